"""Shuffled tiles that respect which tiles belong together: what chance alone would give."""

import math
from collections.abc import Iterator

import numpy as np

MOST = 50.0  # e to this is enough of anything


def shuffled_groups(
    groups: np.ndarray, *, n: int, rng: np.random.Generator, shifted: bool = False
) -> Iterator[np.ndarray]:
    """Give each group the values of another one, tile by tile.

    Parameters
    ----------
    groups : (N,) int or str
        E.g. the image of each tile.
    n : int
        Shuffles.
    rng : numpy Generator
    shifted : bool
        Whether each group begins at a random tile of its giver and goes round. Without it, what depends on
        the place in an image keeps its place.

    Yields
    ------
    (N,) int
        Rows from which tiles take their value. A group takes all from one other; where it is longer, it
        begins again.

    Notes
    -----
    Tiles of one image resemble each other. Shuffled one by one they would make chance look narrower than it
    is; shuffled image by image they keep what they share. Values that are the same all over an image are
    thereby shuffled as labels of whole images.
    """
    _, which, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(which, kind="stable")
    starts = np.cumsum(sizes) - sizes
    within = np.empty(len(groups), np.int64)
    within[order] = np.arange(len(groups)) - starts[which[order]]
    for _ in range(n):
        giver = rng.permutation(len(sizes))[which]
        begin = rng.integers(0, sizes)[which] if shifted else 0
        yield order[starts[giver] + (within + begin) % sizes[giver]]


def shuffled_within(strata: np.ndarray, *, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Shuffle rows within each stratum: yields (N,) int rows from which each row takes its value."""
    _, which = np.unique(strata, return_inverse=True)
    home = np.argsort(which, kind="stable")
    for _ in range(n):
        out = np.empty(len(which), np.int64)
        out[home] = np.lexsort((rng.random(len(which)), which))
        yield out


def n_arrangements(values: np.ndarray) -> float:
    """Count in how many different ways the values of (N,) groups can be dealt out; at most e to the 50th."""
    _, counts = np.unique(values, return_counts=True)
    log = math.lgamma(len(values) + 1) - sum(math.lgamma(c + 1) for c in counts)
    return math.exp(min(log, MOST))
