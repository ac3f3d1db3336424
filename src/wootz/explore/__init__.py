"""The explorer: a person names, merges, splits and rejects what clustering found, and nothing is lost.

`replay` turns the archive's operation log into labels; `Workspace` adds actions to the log; the rest serves
the page (`wootz explore ARCHIVE`, or `show(archive)` in a notebook; see ``docs/explorer.md``).
"""

from importlib import import_module
from typing import Any

_EXPORTS = {
    "ExploreConfig": "config",
    "explore": "run_explore",
    "State": "state",
    "replay": "state",
    "Workspace": "workspace",
    "show": "notebook",
}
__all__ = list(_EXPORTS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"wootz.explore.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'wootz.explore' has no attribute {name!r}")
