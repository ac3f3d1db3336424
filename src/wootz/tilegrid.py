"""Grids of tiles: where windows lie, how they are named, and which of them show nothing."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from wootz.contrast import contrast
from wootz.errors import ArchiveError
from wootz.progress import say
from wootz.tables import TABLES, records

if TYPE_CHECKING:
    from wootz.archive import Archive

UNINFORMATIVE_CONTRAST = 0.02
N_THREADS = 4


def write_grid(
    archive: "Archive", *, size_px: int, stride_px: int, measured: Mapping[str, np.ndarray] | None = None
) -> pd.DataFrame:
    """Compute and store the grid over all images (see `Archive.write_tiles`)."""
    images = archive.image_table()
    tiles = grid_frame(images, size_px=size_px, stride_px=stride_px)
    small = images[~images["image_id"].isin(tiles["image_id"].unique())]
    if len(small):
        name = small["file"].iloc[0]
        say(f"{len(small)} image(s) smaller than a tile of {size_px} px have no tiles ({name}).")
    with archive.store.transaction() as transaction:
        old = archive.store.table("tiles")
        tiles["contrast"] = _contrasts(archive, tiles, old, measured=measured or {})
        tiles["uninformative"] = tiles["contrast"] < UNINFORMATIVE_CONTRAST
        tiles["duplicate"] = _of_duplicates(tiles, images)
        added = [name for name in old.columns if name not in TABLES["tiles"].names]
        if added:
            tiles = tiles.merge(old[["tile_id", *added]], on="tile_id", how="left", validate="one_to_one")
        transaction.replace_table("tiles", tiles)
        transaction.change()["grid"] = {"size_px": size_px, "stride_px": stride_px}
    return archive.tile_table


def tile_frame(
    archive: "Archive", *, size_px: int | None, stride_px: int | None, images: Any
) -> pd.DataFrame:
    """Give the rows of a selection of tiles (see `Archive.tiles`)."""
    table = archive.image_table()
    if images is not None:
        wanted = np.asarray(images)
        if wanted.dtype != bool:
            known = set(table["image_id"])
            for image_id in wanted.tolist():
                if image_id not in known:
                    raise ArchiveError(
                        f"{archive.path} has no image {image_id!r}; archive.images lists them."
                    )
            wanted = table["image_id"].isin(wanted.tolist()).to_numpy()
        table = table[wanted]
    if size_px is not None:
        tiles = grid_frame(table, size_px=size_px, stride_px=stride_px or size_px)
        return tiles.assign(duplicate=_of_duplicates(tiles, table))
    tiles = archive.store.table("tiles")
    if not len(tiles):
        raise ArchiveError(
            f"{archive.path} has no stored tiles; make them with archive.write_tiles(size_px, stride_px) or "
            f"`wootz ingest {archive.path} FOLDER tile.size_px=...`, or give size_px."
        )
    tiles = tiles[tiles["image_id"].isin(table["image_id"])]
    return tiles.assign(duplicate=_of_duplicates(tiles, table))


def grid(size: tuple[int, int], *, size_px: int, stride_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay windows over a field so that all of it is covered.

    Parameters
    ----------
    size : (H, W), px
        Size of the field.
    size_px, stride_px : int, px, >= 1
        Side of the square windows, and the step between them.

    Returns
    -------
    rows, cols : (n,) int64
        Top-left corners, in reading order. The last row and column of windows end at the border, so that
        they may overlap their neighbours more. Empty where the field is smaller than a window.
    """
    starts = []
    for length in size:
        if length < size_px:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        steps = list(range(0, length - size_px + 1, stride_px))
        if steps[-1] != length - size_px:
            steps.append(length - size_px)
        starts.append(np.array(steps, np.int64))
    rows, cols = np.meshgrid(*starts, indexing="ij")
    return rows.ravel(), cols.ravel()


def tile_id(image_id: str, row: int, *, col: int, size_px: int) -> str:
    """Name a square window: equal windows of equal pixels have equal names in every archive."""
    return f"{image_id}_r{row}_c{col}_s{size_px}"


def grid_frame(images: pd.DataFrame, *, size_px: int, stride_px: int) -> pd.DataFrame:
    """Lay the grid over all images; images smaller than a window yield no tile.

    Raises
    ------
    ArchiveError
        If not one image is as large as a window.
    """
    if size_px < 8 or stride_px < 1:
        raise ArchiveError(f"tiles of {size_px} px every {stride_px} px: use at least 8 px and 1 px.")
    parts: dict[str, list[Any]] = {name: [] for name in ("tile_id", "image_id", "row", "col")}
    sizes = zip(images["image_id"], images["height_px"], images["width_px"], strict=True)
    windows: dict[tuple[int, int], tuple[list[int], list[int], list[str]]] = {}  # of each size of field
    for image_id, *size in sizes:
        height, width = map(int, size)
        if (height, width) not in windows:
            corners = [part.tolist() for part in grid((height, width), size_px=size_px, stride_px=stride_px)]
            names = [tile_id("", r, col=c, size_px=size_px) for r, c in zip(*corners, strict=True)]
            windows[height, width] = (*corners, names)
        rows, cols, names = windows[height, width]
        parts["tile_id"] += [f"{image_id}{name}" for name in names]
        parts["image_id"] += [str(image_id)] * len(names)
        parts["row"] += rows
        parts["col"] += cols
    if len(images) and not parts["row"]:
        largest = images.iloc[int((images["height_px"] * images["width_px"]).argmax())]
        raise ArchiveError(
            f"no image is as large as a tile of {size_px} px (the largest, {largest['file']}, is "
            f"{largest['height_px']} x {largest['width_px']} px); choose smaller tiles."
        )
    return pd.DataFrame(parts).assign(height=size_px, width=size_px)


def field_contrasts(
    field: np.ndarray, range_: tuple[float, float], *, size_px: int, stride_px: int
) -> np.ndarray:
    """Compute the `contrast` of every tile that the grid lays over a field, in reading order: (n,) float64.

    Parameters
    ----------
    field : (H, W) uint8 or uint16
    range_ : (low, high)
        Its robust range.
    size_px, stride_px : int, px
    """
    rows, cols = grid((field.shape[0], field.shape[1]), size_px=size_px, stride_px=stride_px)
    windows = np.column_stack([rows, cols, np.full(len(rows), size_px)])
    return _window_contrasts(field, range_, windows) if len(rows) else np.zeros(0)


def _contrasts(
    archive: "Archive", tiles: pd.DataFrame, old: pd.DataFrame, *, measured: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Take contrasts from the table and from what was `measured`, and compute the others, strip by strip."""
    values = np.full(len(tiles), np.nan)
    if len(old):
        known = dict(zip(old["tile_id"].tolist(), old["contrast"].tolist(), strict=True))
        values[:] = [known.get(name, np.nan) for name in tiles["tile_id"].tolist()]
    ids = tiles["image_id"].to_numpy(object)
    edges = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
    for start, stop in pairwise(edges):
        found = measured.get(ids[start])
        if found is not None and len(found) == stop - start:
            values[start:stop] = found
    todo = np.flatnonzero(np.isnan(values))
    if not len(todo):
        return values
    ids = ids[todo]
    windows = tiles[["row", "col", "height"]].to_numpy(np.int64)[todo]
    images = {image["image_id"]: image for image in records(archive.image_table())}

    def measure(start: int, stop: int) -> None:
        image = images[ids[start]]
        range_ = (image["intensity_low"], image["intensity_high"])
        field = archive.pixels.field(image)
        values[todo[start:stop]] = _window_contrasts(field, range_, windows[start:stop])

    edges = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(todo)]
    with ThreadPoolExecutor(N_THREADS) as pool:
        list(pool.map(measure, edges[:-1], edges[1:]))
    return values


def _window_contrasts(field: np.ndarray, range_: tuple[float, float], windows: np.ndarray) -> np.ndarray:
    """Compute the contrast of (n, 3) windows (row, col, size) of one field, strip by strip."""
    found = np.empty(len(windows))
    edges = (np.flatnonzero(windows[1:, 0] != windows[:-1, 0]) + 1).tolist()
    for start, stop in zip([0, *edges], [*edges, len(windows)], strict=True):
        row, _, size_px = windows[start].tolist()
        strip = field[row : row + size_px]
        found[start:stop] = contrast(strip, windows[start:stop, 1], size_px=size_px, range_=range_)
    return found


def _of_duplicates(tiles: pd.DataFrame, images: pd.DataFrame) -> np.ndarray:
    copies = set(images.loc[images["duplicate_of"] != "", "image_id"])
    return tiles["image_id"].isin(copies).to_numpy()
