"""TileSet: an immutable selection of windows into packed fields, one row each.

Tiles are never cut out and stored: a tile is (image, row, col, height, width), so that overlap, margins and
other sizes cost nothing, and a random batch is read at memory speed.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np
import pandas as pd

from wootz import intensity
from wootz.errors import ArchiveError
from wootz.gather import FieldPool
from wootz.tables import PIXEL_SIZES, TABLES, records

if TYPE_CHECKING:
    from wootz.archive import Archive

WINDOW = ("row", "col", "height", "width")


@final
class TileSet:
    """Row-aligned tiles of an archive: table, pixels and embeddings share one order.

    Parameters
    ----------
    archive : Archive
    tiles : DataFrame
        Columns ``tile_id``, ``image_id``, ``row``, ``col``, ``height``, ``width`` (px, the window within the
        field), and any others.

    Raises
    ------
    ArchiveError
        If ids are not unique, an image is not in the archive, a window leaves its field, a required value is
        missing, or a pixel size is neither positive nor missing.
    """

    def __init__(self, archive: "Archive", tiles: pd.DataFrame) -> None:
        self.archive = archive
        self._tiles = tiles.reset_index(drop=True)
        self._images = _check(self._tiles, archive.image_table())
        self._image_index = pd.Index(self._images["image_id"]).get_indexer(pd.Index(self._tiles["image_id"]))
        self._windows = np.ascontiguousarray(self._tiles[list(WINDOW)].to_numpy(np.int64))
        self._one_size = len(tiles) > 0 and bool((self._windows[:, 2:] == self._windows[0, 2:]).all())
        rows = records(self._images)
        sizes = self._images[["height_px", "width_px"]].to_numpy(np.int64)
        self._pool = FieldPool(sizes, lambda number: archive.pixels.field(rows[number]))
        dtypes = {archive.pixels.dtype(shard) for shard in self._images["shard"].unique()}
        self.dtype = np.dtype(np.uint16) if np.dtype(np.uint16) in dtypes else np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self._tiles)

    def __repr__(self) -> str:
        sizes, counts = np.unique(self._windows[:, 2:], axis=0, return_counts=True)
        text = ", ".join(f"{n} of {h} x {w} px" for (h, w), n in zip(sizes, counts, strict=True))
        return f"TileSet({text or 'no tiles'}, {len(self._images)} images of {self.archive.path})"

    @property
    def column_names(self) -> list[str]:
        """Names of all columns of `frame`: those of the tiles, then those of their images."""
        own = [str(name) for name in self._tiles.columns]
        return own + [str(name) for name in self._images.columns if name not in self._tiles.columns]

    @property
    def frame(self) -> pd.DataFrame:
        """The tiles joined with the columns of their images; a copy. A tile's own column wins.

        All columns of a million tiles take a gigabyte; `columns` gives those that are needed.
        """
        return self.columns(self.column_names)

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Give some columns of `frame`, each once, a copy; names that it does not have are left out."""
        names = list(dict.fromkeys(names))
        images = [n for n in names if n in self._images.columns and n not in self._tiles.columns]
        joined = self._tiles[[n for n in names if n in self._tiles.columns]].copy()
        if images:
            of_images = self._images[images].take(self._image_index).reset_index(drop=True)
            joined = pd.concat([joined, of_images], axis=1)
        return joined

    @property
    def tile_ids(self) -> np.ndarray:
        """(N,) str, in row order."""
        return self._tiles["tile_id"].to_numpy(dtype=object)

    def read(self, rows: Any, margin: int = 0) -> np.ndarray:
        """Read windows as recorded.

        Parameters
        ----------
        rows : (B,) int or slice
            Rows of this set, in any order, with repeats if wanted.
        margin : int, px, >= 0
            Context on all four sides, taken from the field; beyond the field's border it is mirrored (the
            border pixel itself is not repeated).

        Returns
        -------
        (B, H + 2 margin, W + 2 margin) uint8, or uint16 when any image of the set is

        Raises
        ------
        ValueError
            If the rows are of different size.
        ArchiveError
            If the stored pixels are damaged.
        """
        rows = self._row_numbers(rows)
        windows = self._windows[rows]
        if margin < 0:
            raise ValueError(f"margin must be at least 0 px, not {margin}")
        if len(rows) == 0:
            height, width = self._windows[0, 2:] if len(self) else (0, 0)
            return np.zeros((0, height + 2 * margin, width + 2 * margin), self.dtype)
        height, width = (int(v) for v in windows[0, 2:])
        if not self._one_size and (windows[:, 2:] != windows[0, 2:]).any():
            raise ValueError("tiles of different size cannot be read into one array; select one size")
        out = np.empty((len(rows), height + 2 * margin, width + 2 * margin), self.dtype)
        self._pool.read(self._image_index[rows], windows[:, :2] - margin, out=out)
        return out

    def scaled(self, rows: Any, margin: int = 0) -> np.ndarray:
        """Read windows on the common intensity scale of their images (see `wootz.intensity.scale`).

        Returns
        -------
        (B, H + 2 margin, W + 2 margin) float32 in [-1, 2]
        """
        low, high = self.ranges(rows)
        return intensity.scale(self.read(rows, margin), low[:, None, None], high[:, None, None])

    def ranges(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the robust ranges of the images of some tiles: two (B,) float32 in grey levels."""
        low, high = self._ranges
        images = self._image_index[self._row_numbers(rows)]
        return low[images], high[images]

    def embedding(self, name: str) -> np.ndarray:
        """Give the features of an embedding in the row order of this set: (N, D) float32.

        Memory-mapped where the set has the order in which the features were stored, else gathered.

        Raises
        ------
        ArchiveError
            If a tile is not covered; the message names the command that completes the embedding.
        """
        ids, rows = self._embedding_rows(name)
        if len(ids) == len(self) and np.array_equal(rows, np.arange(len(self))):
            return self.archive.embedding(name)[1]
        return self.archive.embedding_rows(name, rows)

    def embedding_sample(self, name: str, n: int) -> np.ndarray:
        """Give the features of up to `n` tiles, evenly spaced, without reading the others: (n, D) float32."""
        _, rows = self._embedding_rows(name)
        chosen = np.linspace(0, len(rows) - 1, min(len(rows), n)).astype(int)
        return self.archive.embedding_rows(name, rows[chosen])

    def _embedding_rows(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Find the stored tile_ids of an embedding, and the row among them of each tile of this set."""
        ids = self.archive.embedding_ids(name)
        wanted = self.tile_ids
        rows = pd.Index(ids).get_indexer(pd.Index(wanted))
        missing = int((rows < 0).sum())
        if missing:
            raise ArchiveError(
                f"the embedding {name!r} does not cover {missing} of {len(wanted)} tiles (first: "
                f"{wanted[int(np.argmax(rows < 0))]}); complete it with "
                f"`wootz embed {self.archive.path} name={name}`."
            )
        return ids, rows

    def with_column(self, name: str, values: Any) -> "TileSet":
        """Return a set with one more (or another) column; `Archive.set_tile_column` stores one."""
        if name in TABLES["tiles"].key:
            raise ValueError(f"column {name!r} says what the tiles are and cannot be replaced")
        values = values.to_numpy() if isinstance(values, pd.Series) else values
        if len(values) != len(self):
            raise ValueError(f"column {name!r} has {len(values)} values for {len(self)} tiles")
        return TileSet(self.archive, self._tiles.assign(**{name: values}))

    def select(self, rows: Any) -> "TileSet":
        """Return the set of some rows, given as an (N,) bool mask or unique int row numbers."""
        return TileSet(self.archive, self._tiles.iloc[self._row_numbers(rows)])

    @cached_property
    def _ranges(self) -> tuple[np.ndarray, np.ndarray]:
        names = ("intensity_low", "intensity_high")
        low, high = (self._images[name].to_numpy(np.float32) for name in names)
        return low, high

    def _row_numbers(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            return np.arange(len(self))[rows]
        rows = np.atleast_1d(np.asarray(rows))
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise ValueError(f"a mask over {rows.shape} rows for {len(self)} tiles")
            return np.flatnonzero(rows)
        if rows.size == 0:
            return np.zeros(0, np.int64)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise ValueError(f"rows must be whole numbers or a mask, not {rows.dtype} {rows.shape}")
        lowest = rows.min()
        if lowest < -len(self) or rows.max() >= len(self):
            raise IndexError(f"row {rows.max()} of {len(self)} tiles")
        return rows if lowest >= 0 else np.where(rows < 0, rows + len(self), rows)


def _check(tiles: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Check a tile table against the images table; returns the images that it uses."""
    missing = [name for name in TABLES["tiles"].key if name not in tiles.columns]
    if missing:
        raise ArchiveError(f"tiles need the columns {', '.join(missing)}.")
    if tiles[list(TABLES["tiles"].key)].isna().to_numpy().any():
        raise ArchiveError("a tile without id, image or window (NaN).")
    if not tiles["tile_id"].is_unique:
        twice = tiles.loc[tiles["tile_id"].duplicated(), "tile_id"].iloc[0]
        raise ArchiveError(f"tile {twice} stands there twice; each tile may occur once.")
    used = images[images["image_id"].isin(tiles["image_id"].unique())].reset_index(drop=True)
    index = pd.Index(used["image_id"]).get_indexer(pd.Index(tiles["image_id"]))
    if (index < 0).any():
        stranger = tiles["image_id"].iloc[int(np.argmax(index < 0))]
        raise ArchiveError(f"image {stranger} of a tile is not in the archive (or was set aside).")
    row, col, height, width = (tiles[name].to_numpy(np.int64) for name in WINDOW)
    sizes = used[["height_px", "width_px"]].to_numpy(np.int64)[index]
    out = (row < 0) | (col < 0) | (height < 1) | (width < 1)
    out |= (row + height > sizes[:, 0]) | (col + width > sizes[:, 1])
    if out.any():
        raise ArchiveError(f"tile {tiles['tile_id'].iloc[int(np.argmax(out))]} leaves its field.")
    for name in PIXEL_SIZES:
        values = used[name]
        if not (values.isna() | (values > 0)).all():
            raise ArchiveError(f"{name} must be positive, or missing where unknown.")
    return used
