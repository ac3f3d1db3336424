"""Dataclasses as JSON documents: canonical text, hash, and strict reading with errors that name the key."""

import hashlib
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from wootz.errors import WootzError

T = TypeVar("T")


def to_plain(document: Any) -> dict[str, Any]:
    """Turn a dataclass into dicts, lists and scalars; float fields are floats even where an int was given."""
    hints = get_type_hints(type(document))
    return {f.name: _plain(getattr(document, f.name), hints[f.name]) for f in fields(document)}


def to_json(document: Any, *, indent: int | None = 1) -> str:
    """Write a dataclass as JSON text (NaN and infinity are refused)."""
    return json.dumps(to_plain(document), indent=indent, allow_nan=False)


def fingerprint(document: Any) -> str:
    """Hash a dataclass: SHA-256 of its JSON with sorted keys and no blanks (64 hexadecimal digits)."""
    text = json.dumps(to_plain(document), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def from_plain(schema: type[T], data: Any, *, where: str) -> T:
    """Build a dataclass from parsed JSON.

    Parameters
    ----------
    schema : type
        The dataclass.
    data : dict
        Parsed JSON object.
    where : str
        File name or key path, for messages.

    Raises
    ------
    WootzError
        For unknown or missing keys and values of a wrong type; the message names the key.
    """
    if not isinstance(data, dict):
        raise WootzError(f"{where}: expected an object with the keys of {schema.__name__}, not {data!r}.")
    hints = get_type_hints(schema)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise WootzError(f"{where}: unknown key {unknown[0]!r}; known keys: {', '.join(hints)}.")
    values = {name: _value(hints[name], value, f"{where}.{name}") for name, value in data.items()}
    try:
        return schema(**values)
    except TypeError as error:
        raise WootzError(f"{where}: a required key is missing ({error}); add it to the file.") from error


def read_document(schema: type[T], path: Path) -> T:
    """Read a dataclass from a JSON file; `WootzError` where the file is absent, no JSON, or does not fit."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WootzError(f"{path}: no such file; give the path of an existing {schema.__name__}.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise WootzError(f"{path}: not readable as JSON ({error}); write it again with to_json.") from error
    return from_plain(schema, data, where=path.name)


def _plain(value: Any, hint: Any) -> Any:
    if is_dataclass(value):
        return to_plain(value)
    if get_origin(hint) is list:
        return [_plain(item, get_args(hint)[0]) for item in value]
    return float(value) if hint is float else value


def _value(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) is list:
        if not isinstance(value, list):
            raise WootzError(f"{where}: expected a list, not {value!r}.")
        return [_value(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if is_dataclass(hint):
        return from_plain(hint, value, where=where)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise WootzError(f"{where}: expected {hint.__name__}, not {value!r}.")
    return value
