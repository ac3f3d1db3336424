"""wootz: from unlabelled electron micrographs to classes, masks and measurements with error bars.

>>> import wootz
>>> archive = wootz.open("study")                                    # doctest: +SKIP
>>> report = wootz.ingest("study", ["sem/"])                         # doctest: +SKIP
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wootz.archive import open_archive as open  # noqa: A004
    from wootz.ingest import ingest

__version__ = "0.1.0.dev0"
__all__ = ["__version__", "ingest", "open"]


def __getattr__(name: str) -> Any:
    # `import wootz` stays instant: pandas and numpy load with the first archive, torch with the first network
    if name == "open":
        from wootz.archive import open_archive

        return open_archive
    if name == "ingest":
        return import_module("wootz.ingest")
    raise AttributeError(f"module 'wootz' has no attribute {name!r}")


class _Verb(ModuleType):
    """A submodule that can be called like the function of its own name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return vars(self)[self.__name__.rpartition(".")[2]](*args, **kwargs)


class _Package(ModuleType):
    """Python binds a submodule to its package: after any import of it `wootz.ingest` is the module."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "ingest" and isinstance(value, ModuleType):
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
