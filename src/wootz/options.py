"""Options of a command: a dataclass field that carries its own help text, unit and range.

A command's dataclass is at once its schema (Hydra refuses unknown keys and wrong types), its defaults and
its documentation (``wootz <command> --help`` prints it).
"""

from collections.abc import Collection
from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any

from wootz.errors import WootzError


def option(default: Any = MISSING, text: str = "", *, unit: str = "") -> Any:
    """Build a dataclass field with a help text.

    Parameters
    ----------
    default : any
        Default value; a list or dict is copied for each instance. Left out, the option is required.
    text : str
        One sentence for ``--help``.
    unit : str
        Physical unit or range, shown after the default, e.g. ``"px"``, ``"nm"``, ``"in (0, 1)"``.
    """
    metadata = {"help": text, "unit": unit}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check_choice(key: str, value: str, choices: Collection[str]) -> None:
    """Raise `WootzError` unless `value` is one of `choices`."""
    if value not in choices:
        raise WootzError(f"{key}={value!r} is not known; choose one of {', '.join(sorted(choices))}.")


def check_range(key: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise `WootzError` unless ``low <= value <= high`` (NaN is refused)."""
    if not low <= value <= high:
        bounds = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise WootzError(f"{key}={value!r} is out of range; it must be {bounds}.")


def describe(schema: type) -> list[tuple[str, str, str]]:
    """Return (key, default, help with unit) for every option; nested ones as ``outer.inner``."""
    rows = []
    for f in fields(schema):
        default = f.default if f.default_factory is MISSING else f.default_factory()
        if is_dataclass(default) and f.type is type(default):
            rows += [(f"{f.name}.{key}", shown, text) for key, shown, text in describe(type(default))]
            continue
        shown = "required" if default is MISSING else _as_typed(default)
        unit = f.metadata.get("unit", "")
        rows.append((f.name, shown, f.metadata.get("help", "") + (f" [{unit}]" if unit else "")))
    return rows


def _as_typed(value: Any) -> str:
    """Write a value as the command line takes it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
