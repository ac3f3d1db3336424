"""Training from a single image: windows at random places and scales in place of a grid of tiles."""

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from wootz import intensity
from wootz.errors import WootzError
from wootz.gather import window_with_mirror
from wootz.tables import records

if TYPE_CHECKING:
    from wootz.tiles import TileSet

MIN_TILES = 4  # as large as this many tiles an image must be, or all windows show nearly the same


class RandomWindows:
    """Windows of one field with what training needs of a `wootz.tiles.TileSet`.

    Parameters
    ----------
    field : (H, W) uint8 or uint16
        As recorded; may be memory-mapped, only windows are read.
    windows : (N, 3) int
        Row and column of the top-left corner and side of each, px, within the field.
    size_px : int
        Side to which all are shrunk, at most the smallest side.
    range_ : (low, high)
        Robust range of the field, grey levels.
    """

    def __init__(
        self, field: np.ndarray, windows: np.ndarray, *, size_px: int, range_: tuple[float, float]
    ) -> None:
        self.field = field
        self.windows = windows
        self.size_px = size_px
        self.range_ = range_

    def __len__(self) -> int:
        return len(self.windows)

    def scaled(self, rows: Any, margin: int = 0) -> np.ndarray:
        """Read windows on the common intensity scale.

        Parameters
        ----------
        rows : (B,) int
        margin : int, px, >= 0
            Context on all four sides, in pixels of the result; beyond the field's border it is mirrored.

        Returns
        -------
        (B, size_px + 2 margin, size_px + 2 margin) float32 in [-1, 2]

        Notes
        -----
        Larger windows are shrunk by a triangle two steps wide (bilinear with antialias), so that fine texture
        does not fold into false coarse texture. With a margin, places are right to a pixel of the result.
        """
        rows = np.atleast_1d(rows)
        out_px = self.size_px + 2 * margin
        out = np.empty((len(rows), out_px, out_px), np.float32)
        for i, (row, col, side) in enumerate(self.windows[rows].tolist()):
            around = -(-margin * side // self.size_px)
            corner, read_px = (row - around, col - around), side + 2 * around
            pixels = window_with_mirror(self.field, corner, size=(read_px, read_px))
            whole = intensity.scale(pixels, *self.range_)
            out[i] = whole if side == self.size_px else _shrink(whole, out_px)
        return out


def draw_windows(
    centres: np.ndarray,
    shape: tuple[int, int],
    *,
    n: int,
    size_px: int,
    scale_max: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw windows around the tiles of a field.

    Parameters
    ----------
    centres : (M, 2) float
        Row and column of the centres of tiles of `size_px`; each window has its centre in one of the tiles,
        as far as the border of the field allows.
    shape : (H, W)
        Of the field, px; windows stay inside.
    n : int
    size_px : int
        Smallest side.
    scale_max : float, >= 1
        Largest side over the smallest; the logarithm of the side is uniform.
    rng : numpy.random.Generator

    Returns
    -------
    (n, 3) int64
        Row, column and side, px.
    """
    largest = max(size_px, min(scale_max * size_px, *shape))
    side = np.floor(size_px * (largest / size_px) ** rng.random(n)).astype(np.int64)
    corner = centres[rng.integers(len(centres), size=n)] - side[:, None] / 2
    last = np.array(shape) - side[:, None]
    low, high = (np.clip(corner + half, 0, last) for half in (-size_px / 2, size_px / 2))
    corner = np.round(low + (high - low) * rng.random((n, 2))).astype(np.int64)
    return np.column_stack([corner, side])


def random_windows(tiles: "TileSet", image: str, *, n: int, scale_max: float, seed: int) -> RandomWindows:
    """Draw windows of one image of an archive, where it has tiles.

    Parameters
    ----------
    tiles : TileSet
        Square, of one size; those of the image say where windows lie (not on what was left out) and how
        large they are at least.
    image : str
        Its id or file name, with or without folder.
    n : int
        Windows; the same in every epoch.
    scale_max : float, >= 1
        Largest window, in sides of a tile.
    seed : int

    Raises
    ------
    WootzError
        If the image is not known, not unique, too small, or has no tiles to train on.

    References
    ----------
    Asano et al. 2020, arXiv:1904.13132: one large image and strong augmentation teach the first layers of a
    network as well as a million images do; section 3 draws a fixed pool of crops of random size and place.
    """
    row = _find_image(tiles, image)
    shape = (int(row["height_px"]), int(row["width_px"]))
    frame = tiles.frame
    of_image = frame[frame["image_id"] == row["image_id"]]
    if not len(of_image):
        raise WootzError(
            f"single_image={image}: none of its tiles is left to train on (smaller than a tile, duplicates "
            "or without contrast); take another image, or set include_uninformative=true."
        )
    sizes = np.unique(of_image[["height", "width"]].to_numpy())
    if len(sizes) != 1:
        raise WootzError("training from a single image needs square tiles of one size; ingest again.")
    size_px = int(sizes[0])
    if shape[0] * shape[1] < MIN_TILES * size_px**2:
        raise WootzError(
            f"single_image={image} has {shape[0]} x {shape[1]} px, less than {MIN_TILES} tiles of {size_px} "
            "px: its windows would all show the same; take a larger image or smaller tiles."
        )
    centres = of_image[["row", "col"]].to_numpy(float) + size_px / 2
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    windows = draw_windows(centres, shape, n=n, size_px=size_px, scale_max=scale_max, rng=rng)
    field = tiles.archive.field(str(row["image_id"]))
    range_ = (float(row["intensity_low"]), float(row["intensity_high"]))
    return RandomWindows(field, windows, size_px=size_px, range_=range_)


def _find_image(tiles: "TileSet", image: str) -> dict[str, Any]:
    """Find the row of an image by id, path or file name."""
    table = tiles.archive.image_table()
    files = table["file"].astype(str).str.replace("\\", "/")
    names = files.str.rsplit("/", n=1).str[-1]
    for known in (table["image_id"], files, names):
        found = table[known == image]
        if len(found) == 1:
            return records(found)[0]
        if len(found) > 1:
            ids = ", ".join(found["image_id"].head(3))
            raise WootzError(f"single_image={image} is the name of {len(found)} images; give an id: {ids}.")
    near = get_close_matches(image, [*names, *table["image_id"]], n=1, cutoff=0.4)
    advice = f"did you mean {near[0]}?" if near else "archive.images lists them."
    raise WootzError(f"single_image={image}: {tiles.archive.path} has no such image; {advice}")


def _shrink(pixels: np.ndarray, out_px: int) -> np.ndarray:
    image = torch.from_numpy(np.ascontiguousarray(pixels))[None, None]
    size = (out_px, out_px)
    return functional.interpolate(image, size=size, mode="bilinear", antialias=True)[0, 0].numpy()
