"""Batches of tiles with what is known of each, and features of all tiles."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from wootz.encoders.apply import embed_arrays
from wootz.errors import WootzError
from wootz.tilesource import PlacedByStep, Tiles, look_at
from wootz.training import prefetch


class RowBatches(PlacedByStep):
    """Batches (rows (B,) int64, pixels (B, 1, H + 2 margin, W + 2 margin) float32), read ahead by a thread.

    Parameters
    ----------
    tiles : Tiles
    batch_size : int
    margin_px : int
        Context around each tile, for rotation.
    draw : callable
        ``draw(epoch)`` returns the rows of an epoch in order; called when its first batch is wanted.
        Rows that do not fill a batch are left out.
    step : callable
        Returns the number of steps done; iteration starts there, so that a run goes on within an epoch.
    """

    def __init__(
        self,
        tiles: Tiles,
        *,
        batch_size: int,
        margin_px: int,
        draw: Callable[[int], np.ndarray],
        step: Callable[[], int],
    ) -> None:
        self.tiles = tiles
        self.batch_size = batch_size
        self.margin_px = margin_px
        self.draw = draw
        self.step = step

    def __len__(self) -> int:
        return len(self.tiles) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        epoch, first = divmod(self.step(), len(self))
        rows = self.draw(epoch)[: len(self) * self.batch_size].reshape(len(self), self.batch_size)
        yield from prefetch(self._read, rows[first:])

    def _read(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(self.tiles.scaled(rows, self.margin_px))[:, None]
        return torch.from_numpy(rows), pixels


def checked_side(tiles: Tiles, batch_size: int) -> int:
    """Return the side of the tiles in pixels after looking at some of them.

    Raises
    ------
    WootzError
        For fewer tiles than a batch, tiles of several sizes, NaN, or tiles without any contrast.
    """
    if len(tiles) < batch_size:
        raise WootzError(
            f"{len(tiles)} tiles are fewer than method.batch_size={batch_size}; set it lower or ingest more "
            "images."
        )
    return look_at(tiles).shape[-1]


def features_of(tiles: Tiles, encoder: nn.Module, *, batch_size: int = 256) -> np.ndarray:
    """Compute the features of all tiles: (N, dim) float32."""
    rows = [np.arange(i, min(i + batch_size, len(tiles))) for i in range(0, len(tiles), batch_size)]
    parts = [embed_arrays(pixels, encoder, batch_size=batch_size) for pixels in prefetch(tiles.scaled, rows)]
    return np.concatenate(parts)
