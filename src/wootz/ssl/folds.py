"""Folds of tiles that respect which tiles belong together."""

import numpy as np


def group_folds(
    groups: np.ndarray, *, n_folds: int, rng: np.random.Generator, labels: np.ndarray | None = None
) -> np.ndarray:
    """Deal groups of tiles out to folds, so that no group stands on both sides.

    Parameters
    ----------
    groups : (N,) int or str
        E.g. the image of each tile.
    n_folds : int, >= 2
    rng : numpy Generator
    labels : (N,) int or str, optional
        Classes of which each fold should get its part; that of a group's first tile counts.

    Returns
    -------
    (N,) int
        In [0, n_folds).
    """
    names, first, which = np.unique(groups, return_index=True, return_inverse=True)
    order = rng.permutation(len(names))
    if labels is not None:
        of_group = np.unique(labels, return_inverse=True)[1][first]
        order = order[np.argsort(of_group[order], kind="stable")]
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % n_folds
    return fold[which]


def halves_within(groups: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Cut each image into two halves that share no pixel, along its longer direction.

    Parameters
    ----------
    groups : (N,) int or str
        Image of each tile.
    windows : (N, 4) int
        Row, column, height and width of each tile, px.

    Returns
    -------
    (N,) int
        0 and 1, and -1 for tiles on the cut and for images without tiles on both sides.
    """
    out = np.full(len(groups), -1)
    for name in np.unique(groups):
        rows = np.flatnonzero(groups == name)
        own = windows[rows]
        axis = int(np.ptp(own[:, 1]) > np.ptp(own[:, 0]))
        start, stop = own[:, axis], own[:, axis] + own[:, 2 + axis]
        cut = (start.min() + stop.max()) / 2
        side = np.where(stop <= cut, 0, np.where(start >= cut, 1, -1))
        if (side == 0).any() and (side == 1).any():
            out[rows] = side
    return out
