"""Tiles of images of different magnification, read at one pixel size."""

from typing import TYPE_CHECKING, Any

import numpy as np

from wootz.errors import WootzError
from wootz.plotting import square_pixel_size_nm

if TYPE_CHECKING:
    from wootz.tiles import TileSet

MAX_ZOOM = 4.0


class SameScale:
    """Tiles around the same centres as those of a set, of as many pixels, but all of one pixel size.

    Parameters
    ----------
    tiles : TileSet
        Of square tiles.
    pixel_size_nm : float, nm, > 0
        Of what is read. With the coarsest pixel size of the images nothing is made up: finer images are read
        over a larger window and averaged down. Below it, coarser images are magnified, and stay as blurred
        as they are.

    Raises
    ------
    WootzError
        If an image's pixel size is not known, its pixels are not square, it differs from `pixel_size_nm` by
        more than a factor of 4, or a tile is not square.

    Notes
    -----
    Windows are whole pixels of the image, so that the pixel size is met to within half a pixel of the
    window's side. Beyond the border of the field it is mirrored: where windows grow beyond their tiles, tiles
    at the border show part of the image twice.

    Averaging down lowers the noise of the finer images. Features that see noise can tell the magnification by
    that instead: local binary patterns do, on rendered tiles.
    """

    def __init__(self, tiles: "TileSet", pixel_size_nm: float) -> None:
        frame = tiles.columns(["height", "width", "pixel_size_row_nm", "pixel_size_col_nm"])
        pairs = frame[["pixel_size_row_nm", "pixel_size_col_nm"]]
        different, which = np.unique(pairs.to_numpy(np.float64), axis=0, return_inverse=True)
        sizes = np.array([square_pixel_size_nm(pair) or np.nan for pair in different])[which.ravel()]
        if np.isnan(sizes).any():
            raise WootzError(
                f"pixel_size_nm={pixel_size_nm:g}: {np.isnan(sizes).sum()} of {len(sizes)} tiles are of "
                "images without a known pixel size or with pixels that are not square; give "
                "metadata=table.csv."
            )
        zoom = pixel_size_nm / sizes
        if len(zoom) and (zoom.max() > MAX_ZOOM or zoom.min() < 1 / MAX_ZOOM):
            raise WootzError(
                f"pixel_size_nm={pixel_size_nm:g} is more than {MAX_ZOOM:g} times larger or smaller than the "
                f"{sizes.min():g} to {sizes.max():g} nm of the images; choose one nearer, or leave some out."
            )
        if (frame["height"] != frame["width"]).any():
            raise WootzError("pixel_size_nm needs square tiles.")
        self.tiles = tiles
        self.side_px = np.maximum(np.round(frame["height"].to_numpy() * zoom), 1).astype(int)
        self.out_px = frame["height"].to_numpy(int)

    def scaled(self, rows: Any) -> np.ndarray:
        """Read tiles on the common intensity scale: (B, H, W) float32 in [-1, 2], in the order of `rows`."""
        rows = np.atleast_1d(rows)
        if len(np.unique(self.out_px[rows])) > 1:
            raise ValueError("tiles of different size cannot be read into one array; select one size")
        out_px = int(self.out_px[rows[0]])
        out = np.empty((len(rows), out_px, out_px), np.float32)
        for side in np.unique(self.side_px[rows]):
            own = np.flatnonzero(self.side_px[rows] == side)
            margin = max(0, -((out_px - int(side)) // 2))
            around = self.tiles.scaled(rows[own], margin)
            start = (out_px + 2 * margin - int(side)) // 2
            window = around[:, start : start + side, start : start + side]
            out[own] = window if side == out_px else _resized(window, out_px)
        return out


def _resized(pixels: np.ndarray, out_px: int) -> np.ndarray:
    """Resize (B, H, W) by a triangle that is as wide as the larger pixel, so that nothing folds over."""
    import torch
    from torch.nn import functional

    images = torch.from_numpy(np.ascontiguousarray(pixels))[:, None]
    size = (out_px, out_px)
    return functional.interpolate(images, size=size, mode="bilinear", antialias=True)[:, 0].numpy()
