"""Tiles seen from further away: shrunk by a whole factor when they are read."""

from typing import TYPE_CHECKING, Any

import numpy as np

from wootz import intensity
from wootz.compiled import compiled
from wootz.errors import WootzError

if TYPE_CHECKING:
    from wootz.tiles import TileSet


class Coarser:
    """Tiles of a set, each shrunk by the mean of blocks of factor x factor pixels.

    A network that is to segment fields shrunk sixfold learns little from tiles at full size; it learns from
    tiles of six times the side that are shrunk as the fields will be.

    Parameters
    ----------
    tiles : TileSet
    factor : int, >= 2

    Raises
    ------
    WootzError
        If the side of a tile is no multiple of the factor.
    """

    def __init__(self, tiles: "TileSet", factor: int) -> None:
        sides = np.unique(tiles.columns(["height", "width"]).to_numpy(int))
        odd = [int(side) for side in sides if side % factor]
        if odd:
            raise WootzError(
                f"downscale={factor} needs tiles whose sides are multiples of it, and some have {odd[0]} px; "
                f"ingest again with tile_px={128 * factor} or another multiple of {factor}."
            )
        self.tiles, self.factor = tiles, factor

    def __len__(self) -> int:
        return len(self.tiles)

    def scaled(self, rows: Any, margin: int = 0) -> np.ndarray:
        """Read tiles on the common intensity scale.

        Parameters
        ----------
        rows : (B,) int
        margin : int, px, >= 0
            Context on all four sides, in pixels of the result.

        Returns
        -------
        (B, H / factor + 2 margin, W / factor + 2 margin) float32 in [-1, 2]
        """
        pixels = self.tiles.read(rows, margin * self.factor)
        pairs, which = np.unique(np.stack(self.tiles.ranges(rows), axis=1), axis=0, return_inverse=True)
        levels = np.arange(np.iinfo(pixels.dtype).max + 1)
        on_scale = intensity.scale(levels, pairs[:, :1], pairs[:, 1:])
        n, height, width = pixels.shape
        out = np.empty((n, height // self.factor, width // self.factor), np.float32)
        compiled(_block_means)(pixels, on_scale, which.ravel(), self.factor, out)
        return out


def coarser(tiles: "TileSet", factor: int) -> "TileSet | Coarser":
    """Give tiles shrunk by a factor, or the very tiles where it is 1; see `Coarser`."""
    return tiles if factor == 1 else Coarser(tiles, factor)


def _block_means(
    pixels: np.ndarray, on_scale: np.ndarray, which: np.ndarray, factor: int, out: np.ndarray
) -> None:
    """Average blocks of what each grey level is on the scale of its tile.

    Lines are summed column by column (a loop that vectorises), then the columns of each block. Looking each
    level up is eight times as fast as bringing all pixels onto the scale first: at a factor of six a batch
    holds 36 times the pixels that it gives.
    """
    sums = np.empty(pixels.shape[2], np.float32)
    area = np.float32(factor * factor)
    for i in range(out.shape[0]):
        table = on_scale[which[i]]
        for row in range(out.shape[1]):
            sums[:] = 0
            for k in range(factor):
                line = pixels[i, row * factor + k]
                for col in range(line.size):
                    sums[col] += table[line[col]]
            for col in range(out.shape[2]):
                total = np.float32(0)
                for k in range(factor):
                    total += sums[col * factor + k]
                out[i, row, col] = total / area
