"""A killed run goes on in its own folder; a finished, failed or live one does not."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from wootz.archive import Archive

ABOUT = {"seed": 3, "inputs": {"images": 2}}


@pytest.fixture
def archive(tmp_path):
    return Archive.create(tmp_path / "a")


def start(archive, config, **changes):
    return archive.start_run("pretrain", config, **(ABOUT | changes), resume=True)


def killed_run(archive):
    """Start a run in a process that dies without a word."""
    code = (
        "import os, sys; from wootz.archive import Archive\n"
        f"run = Archive(sys.argv[1]).start_run('pretrain', {{'epochs': 5}}, **{ABOUT!r}, resume=True)\n"
        "print(run.id, flush=True); os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, archive.path], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def test_killed_run_is_resumed(archive):
    killed = killed_run(archive)
    run = start(archive, {"epochs": 5})
    assert (run.id, run.resumed) == (killed, True)


@pytest.mark.parametrize("changes", [{"seed": 4}, {"inputs": {"images": 3}}])
def test_other_seed_or_input_starts_anew(archive, changes):
    killed = killed_run(archive)
    assert start(archive, {"epochs": 5}, **changes).id != killed


def test_other_options_start_anew(archive):
    killed = killed_run(archive)
    assert start(archive, {"epochs": 6}).id != killed


def test_live_finished_and_failed_runs_are_left_alone(archive):
    live = start(archive, {"epochs": 5})
    second = start(archive, {"epochs": 5})
    assert second.id != live.id
    live.finish({})
    second.fail("tried")
    third = start(archive, {"epochs": 5})
    assert third.id not in {live.id, second.id}
    assert sorted(archive.runs["status"]) == ["failed", "finished", "running"]
    assert third.folder.is_dir()


def test_runs_of_one_second_have_folders_of_their_own(archive, monkeypatch):
    drawn = iter(["aaaa", "aaaa", "bbbb", "cccc"])
    monkeypatch.setattr("wootz.runs.secrets", SimpleNamespace(token_hex=lambda _: next(drawn)))
    names = [archive.start_run("ingest", {}, seed=None, inputs={}).folder.name for _ in range(2)]
    assert len(set(names)) == 2
    assert names[1].endswith("-bbbb") or names[0][:-5] != names[1][:-5]  # or a second went by in between
