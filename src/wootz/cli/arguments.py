"""Split a command line into paths, Hydra overrides and flags.

Specimen names hold ``#``, ``(``, ``=``, spaces and commas, so a path is never handed to Hydra's grammar: a
word counts as an override only when it starts with a key and ``=`` and no file of that name exists. After
``--`` everything is a path.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wootz.errors import WootzError

_OVERRIDE = re.compile(r"^(~[\w./@]+(=.*)?|\+{0,2}[A-Za-z_][\w./@]*=.*)$", re.DOTALL)


@dataclass(frozen=True)
class Arguments:
    """A split command line."""

    paths: tuple[str, ...]
    overrides: tuple[str, ...]
    help: bool = False
    multirun: bool = False
    config_dir: str | None = None


def split_arguments(words: Sequence[str]) -> Arguments:
    """Sort the words behind a command's name.

    Raises
    ------
    WootzError
        For a flag that no command has, or ``--config-dir`` without a folder.
    """
    paths: list[str] = []
    overrides: list[str] = []
    flags: dict[str, bool] = {}
    config_dir = None
    rest = iter(words)
    for word in rest:
        if word == "--":
            paths.extend(rest)
        elif word in ("-h", "--help"):
            flags["help"] = True
        elif word in ("-m", "--multirun"):
            flags["multirun"] = True
        elif word == "--config-dir":
            config_dir = next(rest, None)
            if config_dir is None or not Path(config_dir).is_dir():
                raise WootzError(f"--config-dir needs an existing folder, not {config_dir!r}.")
        elif word.startswith("--"):
            raise WootzError(
                f"{word} is no flag of wootz; options are written key=value (see --help). "
                "A path that starts with -- goes behind a lone --."
            )
        elif _OVERRIDE.match(word) and not Path(word).exists():
            overrides.append(word)
        else:
            paths.append(word)
    return Arguments(tuple(paths), tuple(overrides), config_dir=config_dir, **flags)
