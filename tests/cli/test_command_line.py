"""What a user types: help, typing mistakes, odd paths. Every YAML is composed."""

import subprocess
import sys
from pathlib import Path

import pytest

from wootz.cli.arguments import split_arguments
from wootz.cli.commands import COMMANDS, resolve
from wootz.cli.compose import compose_config, sweep
from wootz.cli.main import main
from wootz.errors import WootzError

CHOICES = [
    (name, group, choice)
    for name, command in COMMANDS.items()
    for group, choices in command.groups.items()
    for choice in choices
]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_composes_to_its_dataclass(name):
    assert isinstance(compose_config(name, []), resolve(COMMANDS[name].schema))


@pytest.mark.parametrize(("name", "group", "choice"), CHOICES)
def test_every_choice_composes_to_its_schema(name, group, choice):
    config = compose_config(name, [f"{group}={choice}"])
    assert isinstance(getattr(config, group), resolve(COMMANDS[name].groups[group][choice]))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_option_with_a_sentence(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    for key, _, sentence in _options(name):
        assert key in text
        assert sentence, f"{name} {key} has no help text"


def _options(name):
    from wootz.options import describe

    return describe(resolve(COMMANDS[name].schema))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pretrian"], "Did you mean 'wootz pretrain'"),
        (["pretrain"], "takes ARCHIVE, not nothing"),
        (["pretrain", "a", "epoch=3"], "Did you mean epochs"),
        (["pretrain", "a", "epochs=many"], "epochs=many"),
        (["pretrain", "a", "method=simclear"], "choose simclr"),
        (["pretrain", "a", "--epochs", "3"], "options are written key=value"),
        (["pretrain", "no such archive"], "no such archive"),
    ],
)
def test_mistakes_get_a_sentence_and_status_2(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert "Traceback" not in message


def test_odd_specimen_names_are_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    odd = "dose=3,T=400 (b)#2.tif"
    Path(odd).touch()
    arguments = split_arguments(["A", odd, "tile_px=64", "--", "x=1"])
    assert arguments.paths == ("A", odd, "x=1")
    assert arguments.overrides == ("tile_px=64",)


def test_multirun_is_the_product_of_all_lists():
    assert list(sweep(["seed=1,2", "lr=0.1"])) == [("seed=1", "lr=0.1"), ("seed=2", "lr=0.1")]
    assert len(list(sweep(["seed=range(3)", "method=simclr,byol"]))) == 6


def test_users_own_yaml_folder(tmp_path):
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "method").mkdir()
    (tmp_path / "pretrain" / "method" / "mine.yaml").write_text(
        "defaults:\n  - simclr_schema\n  - _self_\ntemperature: 0.2\n"
    )
    config = compose_config("pretrain", ["method=mine"], config_dir=str(tmp_path))
    assert config.method.temperature == 0.2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pattern", "{specimen}_{condition}_{n:d}"),
        ("classes", "0:background,1:oxide (thick),2:crack"),
        ("masks", "../my masks/{stem}.png"),
        ("set", "it's a set, #2"),
        ("metadata", "C:\\data\\table.csv"),
    ],
)
def test_text_options_take_any_characters(key, value):
    assert getattr(compose_config("ingest", [f"{key}={value}"]), key) == value


def test_config_dir_must_exist():
    with pytest.raises(WootzError, match="existing folder"):
        split_arguments(["--config-dir", "/nowhere/at/all"])


def test_a_reader_that_has_seen_enough_is_no_error():
    code = "import sys; from wootz.cli.main import main; sys.exit(main(['pretrain', '--help']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate()
    assert (process.returncode, errors) == (0, b"")
