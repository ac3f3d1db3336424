"""File-name patterns: specimen, condition and step as they stand in the names of the files.

Nothing here opens an image; `wootz.fieldtables` reads the same facts out of a table.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wootz.errors import WootzError

# what wootz itself fills in: a pattern or table must not overwrite it
RESERVED = {"image_id", "duplicate_of", "perceptual_hash", "file_bytes", "file_mtime_ns", "shard", "offset"}
RESERVED |= {"height_px", "width_px", "bit_depth", "intensity_low", "intensity_high", "info_bar_rows"}
RESERVED |= {"pixel_size_source"}
_KINDS = {"": ".+?", "d": r"\d+", "w": "[A-Za-z]+"}


@dataclass(frozen=True)
class Join:
    """A table or pattern brought together with the files.

    Parameters
    ----------
    values : dict
        File -> {column: value}; a file without a row is missing.
    unmatched_files : tuple of Path
        Files that no row or pattern fits.
    unmatched_rows : tuple of str
        Keys of the table that fit no file.
    """

    values: dict[Path, dict[str, object]]
    unmatched_files: tuple[Path, ...] = ()
    unmatched_rows: tuple[str, ...] = ()


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Turn a file-name pattern into a regular expression.

    Parameters
    ----------
    pattern : str
        Literal text with ``{column}`` for what varies; ``{column:d}`` takes digits, ``{column:w}`` letters
        only and ``{}`` is read and forgotten. A placeholder takes as little text as it can, the last one
        the rest. A ``/`` reaches into the folder names. Braces themselves are written ``{{`` and ``}}``.

    Returns
    -------
    re.Pattern
        To be used with `fullmatch` on the file name without its suffix; one named group per column.

    Raises
    ------
    WootzError
        For unbalanced braces, no placeholder, a repeated, reserved or impossible column name.

    Examples
    --------
    >>> compile_pattern("{specimen}_{n:d}").fullmatch("040617#3_18").groupdict()
    {'specimen': '040617#3', 'n': '18'}
    """
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise WootzError(f"pattern={pattern!r}: {error}; write e.g. '{{specimen}}_{{condition}}'.") from error
    expression = ""
    names: list[str] = []
    for literal, name, kind, conversion in parts:
        expression += re.escape(literal)
        if name is None:
            continue
        if conversion or (kind or "") not in _KINDS:
            raise WootzError(
                f"pattern={pattern!r}: after a column only ':d' (digits) or ':w' (letters) may stand."
            )
        group = f"?P<{name}>" if name else "?:"
        expression += f"({group}{_KINDS[kind or '']})"
        names += [name] if name else []
    _check_names(pattern, names)
    return re.compile(expression, re.DOTALL)


def match_pattern(files: Sequence[Path], pattern: str) -> Join:
    """Read the columns of `pattern` out of each file's name.

    Raises
    ------
    WootzError
        When the pattern fits none of the files; the message shows some names.
    """
    regex = compile_pattern(pattern)
    n_parts = pattern.count("/") + 1
    values: dict[Path, dict[str, object]] = {}
    for file in files:
        found = regex.fullmatch("/".join(file.with_suffix("").parts[-n_parts:]))
        if found:
            values[file] = dict(found.groupdict())
    if files and not values:
        shown = ", ".join(repr(f.stem) for f in files[:3])
        raise WootzError(
            f"pattern={pattern!r} fits none of the {len(files)} file names, such as {shown}. "
            "Write literal text as it stands in the names and {column} for what varies."
        )
    return Join(values, tuple(f for f in files if f not in values))


def _check_names(pattern: str, names: list[str]) -> None:
    if not names:
        raise WootzError(f"pattern={pattern!r} holds no column; write e.g. '{{specimen}}_{{condition}}'.")
    for name, count in Counter(names).items():
        if count > 1:
            raise WootzError(f"pattern={pattern!r}: {{{name}}} stands twice; write {{}} for text to skip.")
        if not name.isidentifier() or name in RESERVED or name == "file":
            raise WootzError(f"pattern={pattern!r}: {name!r} cannot be a column name here; choose another.")
