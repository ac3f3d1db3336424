"""Tiles seen from further away: shrunk by a whole factor when they are read."""

from typing import TYPE_CHECKING, Any

import numpy as np

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
        return block_means(self.tiles.scaled(rows, margin * self.factor), self.factor)


def coarser(tiles: "TileSet", factor: int) -> "TileSet | Coarser":
    """Give tiles shrunk by a factor, or the very tiles where it is 1; see `Coarser`."""
    return tiles if factor == 1 else Coarser(tiles, factor)


def block_means(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of (B, H, W) pixels, H and W multiples of the factor: (B, H / factor, W / factor)."""
    n, height, width = pixels.shape
    blocks = pixels.reshape(n, height // factor, factor, width // factor, factor)
    return blocks.mean(axis=(2, 4), dtype=np.float32)
