"""Batches from few images: tiles are told apart by what they show, not by the image that they come from."""

import numpy as np


def in_blocks(rows: np.ndarray, groups: np.ndarray, *, block: int, rng: np.random.Generator) -> np.ndarray:
    """Order the draws of an epoch so that tiles of one group lie side by side in blocks.

    Parameters
    ----------
    rows : (E,) int
        Drawn tiles, in random order.
    groups : (N,) int, >= 0
        Group of each tile, its image for one.
    block : int, >= 1
        Tiles that stay together.
    rng : numpy Generator

    Returns
    -------
    (E,) int
        The same draws: sorted by group in random order, cut into blocks, the blocks shuffled. A block holds
        tiles of one group, of two where one ends in it, of several where groups are smaller than a block.
        The second copies of a group's tiles count as a group of their own, and so on.

    Notes
    -----
    A contrastive loss pushes the tiles of a batch apart. Those of different images differ first of all in
    brightness, noise and magnification, so that knowing the image is most of the answer, and that is what a
    network learns. Among tiles of one image it is worth nothing. Negatives that share a nuisance variable
    are conditional ones (Ma et al. 2021, arXiv:2106.02866).
    """
    by_tile = np.argsort(rows, kind="stable")
    first = np.flatnonzero(np.diff(rows[by_tile], prepend=-1))
    copy = np.empty(len(rows), np.int64)
    copy[by_tile] = np.arange(len(rows)) - np.repeat(first, np.diff(first, append=len(rows)))
    keys = np.unique(groups[rows] * (copy.max() + 1) + copy, return_inverse=True)[1]
    place = rng.permutation(int(keys.max()) + 1)
    order = rows[np.lexsort((rng.random(len(rows)), place[keys]))]
    n_blocks = -(-len(rows) // block)
    number = np.repeat(rng.permutation(n_blocks), block)[: len(rows)]
    return order[np.argsort(number, kind="stable")]
