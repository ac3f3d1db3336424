"""From overrides to a checked configuration object: Hydra composes, the dataclass validates."""

import difflib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from wootz.cli.commands import COMMANDS, Command, resolve
from wootz.errors import WootzError
from wootz.options import describe


def compose_config(name: str, overrides: Sequence[str], *, config_dir: str | None = None) -> Any:
    """Compose the options of a command.

    Parameters
    ----------
    name : str
        Command name.
    overrides : sequence of str
        Hydra overrides, e.g. ``["epochs=5", "method=byol"]``.
    config_dir : str or None
        A folder of the user's own YAML files, searched besides those in the package.

    Returns
    -------
    object
        An instance of the command's dataclass, validated by its ``__post_init__``.

    Raises
    ------
    WootzError
        For an unknown key (with the nearest known ones), a wrong type or a value out of range.
    """
    from hydra import compose, initialize_config_module
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    command = COMMANDS[name]
    _store_schemas(name, command)
    texts = _text_keys(command)
    with_presets = _expand_presets(name, command, overrides)
    words = [_group_override(name, command, _quote_text(override, texts)) for override in with_presets]
    if config_dir is not None:
        words.append(f"hydra.searchpath=[file://{Path(config_dir).resolve()}]")
    try:
        with initialize_config_module("wootz.configs", version_base="1.3"):
            raw = compose(name, overrides=words)
        return OmegaConf.to_object(raw)
    except WootzError:
        raise
    except (HydraException, OmegaConfBaseException) as error:
        raise WootzError(_explain(name, command, overrides, error)) from error


def sweep(overrides: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the override lists of a ``--multirun``: the product of all ``key=a,b`` and ``range()`` values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(list(overrides))
    choices = []
    for override in parsed:
        key = override.get_key_element()
        if override.is_sweep_override():
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            choices.append([override.input_line or ""])
    yield from itertools.product(*choices)


def _text_keys(command: Command) -> set[str]:
    """List the options that take text, whatever characters it holds."""
    schemas = [("", command.schema)]
    schemas += [(f"{group}.", ref) for group, choices in command.groups.items() for ref in choices.values()]
    return {
        prefix + f.name
        for prefix, ref in schemas
        for f in fields(resolve(ref))
        if f.type in (str, str | None)
    }


def _quote_text(override: str, texts: set[str]) -> str:
    """Quote a text option's value, so that ``{specimen}_{n}`` or ``0:resin,1:steel`` reach it unparsed."""
    key, equals, value = override.partition("=")
    if key.lstrip("+") not in texts or not value or value == "null" or value[0] in "'\"":
        return override
    escaped = value.replace("'", "\\'")
    return f"{key}{equals}'{escaped}'"


def _expand_presets(name: str, command: Command, overrides: Sequence[str]) -> list[str]:
    """Write a preset such as ``augment=bse`` as its single options, before all others, which override it."""
    first, others = [], []
    for override in overrides:
        key, _, value = override.partition("=")
        if key not in command.presets:
            others.append(override)
            continue
        table = resolve(command.presets[key])
        if value not in table:
            raise WootzError(f"{override}: {name} has no {key} {value!r}; choose {', '.join(table)}.")
        first += [f"{key}.{option}={setting}" for option, setting in table[value].items()]
    return first + others


def _group_override(name: str, command: Command, override: str) -> str:
    """Write ``method=byol`` as Hydra's ``pretrain/method@method=byol``; each command has its groups."""
    key, equals, value = override.partition("=")
    return f"{name}/{key}@{key}{equals}{value}" if key in command.groups else override


def _store_schemas(name: str, command: Command) -> None:
    from hydra.core.config_store import ConfigStore
    from omegaconf import MISSING

    store = ConfigStore.instance()
    schema = resolve(command.schema)
    store.store(name=f"{name}_schema", node=schema(**dict.fromkeys(command.groups, MISSING)))
    for group, choices in command.groups.items():
        for choice, reference in choices.items():
            store.store(group=f"{name}/{group}", name=f"{choice}_schema", node=resolve(reference))


def _explain(name: str, command: Command, overrides: Sequence[str], error: Exception) -> str:
    """Say in one sentence which override is wrong, and which keys or choices exist."""
    text = str(error.__cause__ or error).strip()
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in command.groups and value not in command.groups[key]:
            return f"{override}: {name} has no {key} {value!r}; choose {', '.join(command.groups[key])}."
        known = _known_keys(command)
        if key not in known and key not in command.groups and not key.startswith("hydra."):
            near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            return f"{override}: {name} has no option {key!r}.{hint} 'wootz {name} --help' lists them."
        if re.search(rf"full_key: {re.escape(key)}\b", text):
            return f"{override}: {text.splitlines()[0]}"
    return f"{name}: {text}"


def _known_keys(command: Command) -> list[str]:
    keys = [key for key, _, _ in describe(resolve(command.schema))]
    for group, choices in command.groups.items():
        for reference in choices.values():
            keys += [f"{group}.{f.name}" for f in fields(resolve(reference))]
    return keys
