"""Class lists: number, name, colour and role of what a mask shows."""

from pathlib import Path

import pandas as pd

from wootz.errors import WootzError
from wootz.tables import ROLES

MAX_CLASS = 254
_BACKGROUND_NAMES = {"background", "matrix", "resin", "mount", "vacuum"}
_DEFECT_NAMES = {"crack", "pore", "void", "defect", "hole", "delamination"}
_COLUMNS = ["id", "name", "colour", "role", "definition", "parent"]


def read_classes(text: str) -> pd.DataFrame:
    """Read a class list, written out or in a file.

    Parameters
    ----------
    text : str
        ``"0:background,1:oxide,2:crack"``, or the path of a CSV file with the columns id and name, and
        perhaps colour ("#rrggbb"), role (phase, defect, artefact, background), definition, parent.

    Returns
    -------
    DataFrame
        Columns id (0 ... 254), name, colour, role, definition, parent. What is not given is filled in:
        colours that colour-blind readers can tell apart, and the role by the name (background, matrix, resin
        -> background; crack, pore, void -> defect; all others -> phase).

    Raises
    ------
    WootzError
        If the text is neither, or ids or names are empty, repeated or out of range.
    """
    if text.lower().endswith(".csv") or Path(text).is_file():
        frame = _read_class_file(Path(text))
        where = f"classes={text}"
    else:
        frame = _parse_class_text(text)
        where = f"classes={text!r}"
    _check_classes(frame, where)
    return _fill_in(frame)


def same_classes(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Tell whether two class lists give the same names to the same numbers."""
    return dict(zip(one["id"], one["name"], strict=True)) == dict(
        zip(other["id"], other["name"], strict=True)
    )


def _read_class_file(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(
            path, dtype=str, keep_default_na=False, skipinitialspace=True, encoding="utf-8-sig"
        )
    except FileNotFoundError as error:
        raise WootzError(f"classes={path}: no such file.") from error
    except (ValueError, OSError) as error:
        raise WootzError(f"classes={path}: cannot be read as CSV: {error}") from error
    frame = frame.rename(columns={"color": "colour"})
    if not {"id", "name"} <= set(frame.columns):
        raise WootzError(f"classes={path}: needs the columns id and name; it has {', '.join(frame.columns)}.")
    return frame


def _parse_class_text(text: str) -> pd.DataFrame:
    pairs = [part.partition(":") for part in text.split(",") if part.strip()]
    if not pairs or any(not colon for _, colon, _ in pairs):
        raise WootzError(f"classes={text!r}: write 0:background,1:oxide or give a classes.csv.")
    return pd.DataFrame(
        {"id": [i.strip() for i, _, _ in pairs], "name": [name.strip() for _, _, name in pairs]}
    )


def _check_classes(frame: pd.DataFrame, where: str) -> None:
    for number, name in zip(frame["id"], frame["name"], strict=True):
        if not str(number).isdecimal() or not 0 <= int(number) <= MAX_CLASS:
            raise WootzError(
                f"{where}: {number!r} is no class number; use 0 ... 254 (255 means not labelled)."
            )
        if not str(name).strip():
            raise WootzError(f"{where}: class {number} has no name.")
    for column in ("id", "name"):
        repeated = frame[column][frame[column].duplicated()]
        if len(repeated):
            raise WootzError(f"{where}: {column} {repeated.iloc[0]!r} stands twice.")
    for role in set(frame.get("role", ())) - {"", *ROLES}:
        raise WootzError(f"{where}: role {role!r} is not known; choose one of {', '.join(ROLES)}.")


def _fill_in(frame: pd.DataFrame) -> pd.DataFrame:
    from wootz.plotting import class_colours

    rows = []
    for row, colour in zip(frame.to_dict("records"), class_colours(len(frame)), strict=True):
        given = {str(key): value for key, value in row.items() if value != ""}
        name = str(row["name"])
        known = {"colour": colour, "role": _role_of(name), "definition": "", "parent": ""}
        rows.append(known | given | {"id": int(row["id"]), "name": name})
    return pd.DataFrame(rows, columns=_COLUMNS)


def _role_of(name: str) -> str:
    word = name.lower()
    return "background" if word in _BACKGROUND_NAMES else "defect" if word in _DEFECT_NAMES else "phase"
