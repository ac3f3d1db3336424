"""What an expert has said already: names of some tiles, and pairs that belong together or apart."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.errors import WootzError


def _no_pairs() -> np.ndarray:
    return np.zeros((0, 2), np.int64)


@dataclass(frozen=True)
class Known:
    """Names and pairs, by row of the features.

    Parameters
    ----------
    labels : (N,) int
        Number of the name, -1 for tiles without one.
    names : tuple of str
    together, apart : (M, 2) int64
        Rows that belong to the same cluster, and to different ones.
    """

    labels: np.ndarray
    names: tuple[str, ...] = ()
    together: np.ndarray = field(default_factory=_no_pairs)
    apart: np.ndarray = field(default_factory=_no_pairs)


def named_tiles(frame: pd.DataFrame, column: str) -> Known:
    """Read the names of tiles from a column.

    Parameters
    ----------
    frame : DataFrame
        One row a tile.
    column : str
        Empty or missing values: no name.

    Raises
    ------
    WootzError
        If there is no such column, or it is empty everywhere.
    """
    if column not in frame:
        raise WootzError(
            f"the tiles have no column {column!r} with names; name some tiles first, or set method.column."
        )
    text = frame[column].astype("string").fillna("").str.strip()
    names = tuple(sorted(set(text) - {""}))
    if not names:
        raise WootzError(f"no tile has a name in column {column!r}; name a few tiles of each class first.")
    number = {name: i for i, name in enumerate(names)}
    return Known(text.map(number).fillna(-1).to_numpy(np.int64), names)


def paired_tiles(tile_ids: np.ndarray, path: str) -> Known:
    """Read pairs of tiles from a CSV file with the columns ``tile_a, tile_b, same`` (1 or 0).

    Parameters
    ----------
    tile_ids : (N,) str
    path : str

    Raises
    ------
    WootzError
        If the file is missing, lacks a column, names unknown tiles or holds no pair.
    """
    if not path or not Path(path).is_file():
        raise WootzError(
            f"method.pairs={path!r} is no file; give a CSV with the columns tile_a, tile_b, same (1 or 0)."
        )
    table: Any = pd.read_csv(path, dtype=str)
    missing = {"tile_a", "tile_b", "same"} - set(table)
    if missing or not len(table):
        raise WootzError(f"{path} needs the columns tile_a, tile_b, same (1 or 0), and at least one row.")
    rows = [pd.Index(tile_ids).get_indexer(pd.Index(table[key])) for key in ("tile_a", "tile_b")]
    pairs = np.stack(rows, axis=1).astype(np.int64)
    unknown = (pairs < 0).any(axis=1)
    if unknown.any() or not table.same.isin(["0", "1"]).all():
        wrong = "names tiles that are not clustered here" if unknown.any() else "has same other than 0 or 1"
        raise WootzError(
            f"{path} {wrong} (row {int(np.argmax(unknown | ~table.same.isin(['0', '1']))) + 2})."
        )
    same = (table.same == "1").to_numpy()
    return Known(np.full(len(tile_ids), -1), together=pairs[same], apart=pairs[~same])


def check_known(known: Known, *, n_points: int, n_clusters: int) -> None:
    """Check that names fit points and clusters.

    Raises
    ------
    WootzError
        If the numbers of rows differ, no tile is named, or there are more names than clusters.
    """
    if len(known.labels) != n_points:
        raise WootzError(f"{len(known.labels)} names and {n_points} features do not belong together.")
    n_named = int(known.labels.max(initial=-1)) + 1
    if n_named == 0:
        raise WootzError("no tile is named; name a few tiles of each known class first.")
    if len(np.unique(known.labels[known.labels >= 0])) < n_named:
        raise ValueError("names must be numbered without gaps, from 0")
    if n_named > n_clusters or len(known.names) > n_clusters:
        raise WootzError(
            f"{max(n_named, len(known.names))} classes are named, more than method.n_clusters={n_clusters}; "
            "n_clusters counts named and new classes together."
        )
