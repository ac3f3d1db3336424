"""A table beside the images, and lists of fixed splits, brought to the files by name.

Specimen, condition and step rarely stand inside an image file; splits, shortcut reports and result tables
depend on them. Nothing here opens an image.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from wootz.errors import WootzError
from wootz.fieldnames import RESERVED, Join

KEY_COLUMNS = ("file", "filename", "file_name", "image", "name", "stem")
TEXT_COLUMNS = ("specimen", "condition", "step", "split", "set")
PIXEL_SIZE_COLUMNS = ("pixel_size_nm", "pixel_size_row_nm", "pixel_size_col_nm")
SPLITS = ("train", "val", "test")
_SUFFIXES = {".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"}


def read_table(path: Path) -> pd.DataFrame:
    """Read a metadata table: CSV (comma, semicolon or tab), TSV or Parquet.

    Returns
    -------
    DataFrame
        Column ``file`` (the key) and the others of the table; specimen, condition, step, split and set are
        text ("" where empty, "007" stays "007"), pixel sizes float64 nm (NaN where empty).

    Raises
    ------
    WootzError
        For a missing or unreadable table, no key column, empty or repeated keys, a reserved column, a split
        other than train, val and test, or a pixel size that is no positive number.
    """
    if not path.is_file():
        raise WootzError(f"metadata={path}: no such file.")
    table = pd.read_parquet(path) if path.suffix.lower() == ".parquet" else _read_delimited(path)
    table.columns = [str(c).strip() for c in table.columns]
    key = next((c for c in KEY_COLUMNS if c in table.columns), None)
    if key is None:
        raise WootzError(
            f"{path}: no column with the file names; name it 'file'. It has: {', '.join(table.columns)}."
        )
    table = table.rename(columns={key: "file"})
    taken = sorted(RESERVED & set(table.columns))
    if taken:
        raise WootzError(f"{path}: wootz fills in {', '.join(taken)} itself; rename or drop the column.")
    table["file"] = _text(table["file"]).str.replace("\\", "/")
    _check_keys(path, table["file"])
    for column in (c for c in TEXT_COLUMNS if c in table):
        table[column] = _text(table[column])
    for column in (c for c in PIXEL_SIZE_COLUMNS if c in table):
        table[column] = _pixel_sizes(path, table, column)
    if "split" in table:
        _check_splits(path, table)
    return table


def join_table(files: Sequence[Path], table: pd.DataFrame, *, name: str) -> Join:
    """Bring a table's rows to the files, by file name with or without suffix, or by the end of the path.

    Parameters
    ----------
    files : sequence of Path
        The files of this ingest.
    table : DataFrame
        From `read_table`.
    name : str
        How messages call the table.

    Raises
    ------
    WootzError
        When a row fits several files, or no row fits any file.
    """
    by_key: dict[str, list[Path]] = {}
    for file in files:
        for key in _keys_of(file):
            by_key.setdefault(key, []).append(file)
    values: dict[Path, dict[str, object]] = {}
    unmatched: list[str] = []
    columns = [c for c in table.columns if c != "file"]
    for row in table.to_dict("records"):
        fits = _closest(str(row["file"]), by_key)
        if len(fits) > 1:
            raise WootzError(
                f"{name}: row {row['file']!r} fits {fits[0]} and {fits[1]}; write the folder too, "
                f"e.g. {fits[0].parent.name}/{fits[0].name}."
            )
        if not fits:
            unmatched.append(str(row["file"]))
        elif fits[0] in values:
            raise WootzError(f"{name}: two rows fit {fits[0]}; keep one of them.")
        else:
            values[fits[0]] = {c: row[c] for c in columns if not _is_empty(row[c])}
    if files and not values:
        raise WootzError(
            f"{name}: none of its {len(table)} rows fits one of the {len(files)} files; it names "
            f"{unmatched[0]!r}, the first file is {files[0].name!r}."
        )
    return Join(values, tuple(f for f in files if f not in values), tuple(unmatched))


def join_splits(
    files_of_set: Mapping[str, Sequence[Path]], splits: Mapping[str, object], *, name: str
) -> Join:
    """Give each file its fixed split from lists of stems.

    Parameters
    ----------
    files_of_set : mapping
        Set name -> files.
    splits : mapping
        ``{set: {"train": [stem, ...], "val": [...], "test": [...]}}`` or, for one set, the inner mapping
        alone. Other keys beside the three lists are ignored.
    name : str
        How messages call the file.

    Raises
    ------
    WootzError
        When no set of this ingest is a key, or one stem stands in two lists.
    """
    flat = any(s in splits for s in SPLITS)
    if not flat and not set(files_of_set) & set(splits):
        raise WootzError(
            f"{name}: no entry for set {', '.join(map(repr, sorted(files_of_set)))}; it has "
            f"{', '.join(map(str, splits))}. Choose one with set=."
        )
    values: dict[Path, dict[str, object]] = {}
    unmatched_rows: list[str] = []
    for set_name, files in files_of_set.items():
        lists = splits if flat else splits.get(set_name, {})
        split_of = _invert(lists, name=f"{name}, set {set_name!r}")
        stems = {f.stem for f in files} | {f.name for f in files}
        for file in files:
            split = split_of.get(file.stem) or split_of.get(file.name)
            if split:
                values[file] = {"split": split}
        unmatched_rows += [stem for stem in split_of if stem not in stems]
    everything = [f for files in files_of_set.values() for f in files]
    return Join(values, tuple(f for f in everything if f not in values), tuple(unmatched_rows))


def _read_delimited(path: Path) -> pd.DataFrame:
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:  # spreadsheet programs on Windows
        text = raw.decode("cp1252", errors="replace")
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        columns = next(csv.reader([head.rstrip("\r")], delimiter=delimiter))
        as_text = {c: str for c in columns if c.strip() in (*KEY_COLUMNS, *TEXT_COLUMNS, *PIXEL_SIZE_COLUMNS)}
        return pd.read_csv(io.StringIO(text), sep=delimiter, dtype=as_text, skipinitialspace=True)
    except (ValueError, StopIteration) as error:  # pandas' parser and empty-data errors are ValueErrors
        raise WootzError(f"{path}: cannot be read as a table: {error}") from error


def _text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.notna(), "").astype(str).str.strip()


def _check_keys(path: Path, keys: pd.Series) -> None:
    if (keys == "").any():
        raise WootzError(f"{path}: row {int(np.argmax(keys == '')) + 1} names no file.")
    if keys.duplicated().any():
        raise WootzError(f"{path}: two rows for {keys[keys.duplicated()].iloc[0]!r}; keep one of them.")


def _pixel_sizes(path: Path, table: pd.DataFrame, column: str) -> pd.Series:
    empty = _text(table[column]) == ""
    numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
    wrong = ~empty & ~((numbers > 0) & np.isfinite(numbers))
    if wrong.any():
        row = table[wrong].iloc[0]
        raise WootzError(
            f"{path}: {column} of {row['file']!r} is {row[column]!r}; it must be a positive number in nm, "
            "with a decimal point, or empty where unknown."
        )
    return numbers


def _check_splits(path: Path, table: pd.DataFrame) -> None:
    wrong = ~table["split"].isin([*SPLITS, ""])
    if wrong.any():
        row = table[wrong].iloc[0]
        raise WootzError(f"{path}: split of {row['file']!r} is {row['split']!r}; choose train, val or test.")


def _keys_of(file: Path) -> list[str]:
    """Every way to name a file: the end of its path, with and without suffix."""
    parts = file.parts
    tails = ["/".join(parts[-n:]) for n in range(1, len(parts) + 1)]
    return [*tails, *(tail[: -len(file.suffix)] for tail in tails if file.suffix)]


def _closest(key: str, by_key: Mapping[str, list[Path]]) -> list[Path]:
    """Return the files that a key names exactly, or else (a suffix that differs) by its stem."""
    if key in by_key:
        return by_key[key]
    stem, dot, suffix = key.rpartition(".")
    return by_key.get(stem, []) if f"{dot}{suffix}".lower() in _SUFFIXES else []


def _is_empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


def _invert(lists: object, *, name: str) -> dict[str, str]:
    if not isinstance(lists, Mapping):
        raise WootzError(f"{name}: must hold lists of file stems under train, val and test.")
    split_of: dict[str, str] = {}
    for split in SPLITS:
        for stem in map(str, lists.get(split, ())):
            if split_of.get(stem, split) != split:
                raise WootzError(f"{name}: {stem!r} stands in {split_of[stem]} and in {split}.")
            split_of[stem] = split
    return split_of
