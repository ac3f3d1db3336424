"""Whole batches of tiles; which tiles an epoch draws, and their order, depend on seed and epoch alone."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from wootz.ssl.blocks import in_blocks
from wootz.ssl.facts import TileFacts
from wootz.ssl.sampling import Sampling, draw_rows
from wootz.tilesource import PlacedByStep, Tiles
from wootz.training import prefetch

Batch = Tensor | tuple[Tensor, TileFacts]


def epoch_rows(
    n_tiles: int,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    sampling: Sampling | None = None,
    groups: np.ndarray | None = None,
    block: int = 1,
) -> np.ndarray:
    """Draw the batches of an epoch.

    Parameters
    ----------
    n_tiles, batch_size, seed, epoch : int
    sampling : Sampling, optional
        Shares of the tiles, from `plan_sampling`; left out, all have the same.
    groups : (n_tiles,) int, optional
        Tiles of one group come `block` at a time; see `in_blocks`.
    block : int

    Returns
    -------
    (n_tiles // batch_size, batch_size) int
        Row numbers, without repeats unless a tile's share of the draws exceeds one; the tiles left over come
        in other epochs.
    """
    rng = np.random.default_rng([seed, epoch])
    n_batches = n_tiles // batch_size
    n_draws = n_batches * batch_size
    order = rng.permutation(n_tiles)[:n_draws] if sampling is None else draw_rows(sampling, n_draws, rng=rng)
    if groups is not None and block > 1:
        order = in_blocks(order, groups, block=block, rng=rng)
    return order.reshape(n_batches, batch_size)


class Batches(PlacedByStep):
    """Batches as float32 tensors (B, 1, H, W), read one step ahead by a thread.

    With facts of the tiles, each batch is a pair of tensor and facts.

    Parameters
    ----------
    tiles : Tiles
    batch_size : int
        Of one process.
    margin_px : int
        Context around each tile, for rotation.
    seed : int
    accumulate : int
        Batches per step; an epoch has whole steps only.
    sampling : Sampling, optional
        How often each tile is drawn; left out, once in an epoch.
    facts : TileFacts, optional
        Of all tiles.
    groups : (N,) int, optional
    block : int
        Tiles of one group come so many at a time; see `in_blocks`.
    position : callable
        Returns (step, rank, world size). Iteration starts where the step says, so that a run goes on in the
        middle of an epoch with the very batches that it would have seen. Every rank gets equally many.
    """

    def __init__(
        self,
        tiles: Tiles,
        *,
        batch_size: int,
        margin_px: int,
        seed: int,
        accumulate: int = 1,
        sampling: Sampling | None = None,
        facts: TileFacts | None = None,
        groups: np.ndarray | None = None,
        block: int = 1,
        position: Callable[[], tuple[int, int, int]],
    ) -> None:
        self.tiles = tiles
        self.batch_size = batch_size
        self.margin_px = margin_px
        self.seed = seed
        self.accumulate = accumulate
        self.sampling = sampling
        self.facts = facts
        self.groups = groups
        self.block = block
        self.position = position

    def __len__(self) -> int:
        return len(self.tiles) // self._step_tiles(self.position()[2]) * self.accumulate

    def __iter__(self) -> Iterator[Batch]:
        step, rank, world = self.position()
        epoch, first = divmod(step, len(self) // self.accumulate)
        rows = epoch_rows(
            len(self.tiles),
            batch_size=self._step_tiles(world),
            seed=self.seed,
            epoch=epoch,
            sampling=self.sampling,
            groups=self.groups,
            block=self.block,
        )
        mine = rows[first:].reshape(-1, world, self.batch_size)[:, rank]
        return prefetch(self._read, mine)

    def _step_tiles(self, world: int) -> int:
        return self.batch_size * world * self.accumulate

    def _read(self, rows: np.ndarray) -> Batch:
        tiles = torch.from_numpy(self.tiles.scaled(rows, self.margin_px))[:, None]
        return tiles if self.facts is None else (tiles, self.facts.at(rows))
