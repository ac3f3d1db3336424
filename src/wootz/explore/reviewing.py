"""What to put on the next card: tiles of a class, tiles unlike all named ones, odd answers."""

import numpy as np

from wootz.explore.groups import BLOCK, unit_rows
from wootz.explore.likeness import thinned

CARD = 24
"""Tiles of a card: what a person sees at a glance."""


def surest_card(probabilities: np.ndarray, code: int, *, free: np.ndarray, n: int = CARD) -> np.ndarray:
    """Take the free tiles with the highest probability of a class, also where another class is likelier.

    Parameters
    ----------
    probabilities : (N, C) float
    code : int
        The class.
    free : (N,) bool
        Tiles that may be shown.
    n : int

    Returns
    -------
    (<= n,) int64
        Surest first.
    """
    rows = np.flatnonzero(free)
    return rows[np.argsort(-probabilities[rows, code], kind="stable")][:n]


def random_card(among: np.ndarray, *, rng: np.random.Generator, n: int = CARD) -> np.ndarray:
    """Draw tiles at random: (N,) bool of those in question to (<= n,) int64 rows."""
    return rng.permutation(np.flatnonzero(among))[:n]


def far_card(features: np.ndarray, named: np.ndarray, *, free: np.ndarray, n: int = CARD) -> np.ndarray:
    """Take free tiles that look least like any named tile and like each other, where a new class may hide.

    Parameters
    ----------
    features : (N, D) float32
    named : (m,) int
        Rows that have a name; evenly thinned to 400.
    free : (N,) bool
    n : int

    Returns
    -------
    (<= n,) int64
        Each is the tile with the smallest largest cosine to the named ones and to those taken before it.

    References
    ----------
    Gonzalez, Theoretical Computer Science 38 (1985) 293, doi 10.1016/0304-3975(85)90224-5 (farthest first).
    """
    rows = np.flatnonzero(free)
    if not len(rows):
        return rows
    units = unit_rows(features[rows])
    known = unit_rows(features[thinned(named)]) if len(named) else units[:1]
    likeness = np.concatenate(
        [(units[i : i + BLOCK] @ known.T).max(axis=1) for i in range(0, len(units), BLOCK)]
    )
    taken: list[int] = []
    for _ in range(min(n, len(rows))):
        taken.append(int(likeness.argmin()))
        likeness = np.maximum(likeness, units @ units[taken[-1]])
        likeness[taken] = np.inf
    return rows[taken]


def odd_batches(
    held_out: np.ndarray, codes: np.ndarray, batches: np.ndarray, *, least_frac: float = 0.5, n_least: int = 4
) -> np.ndarray:
    """Find actions whose tiles a head that did not learn from them takes for another class.

    Parameters
    ----------
    held_out : (n, C) float
        Probabilities by a head that saw no tile of the same action; NaN where it could not judge.
    codes : (n,) int
        Class that the action gave.
    batches : (n,) int
        The action of each tile.
    least_frac : float in [0, 1)
        More of the judged tiles than this must be taken for one and the same other class.
    n_least : int
        Judged tiles that an action must have: of one or two tiles the head may well be wrong.

    Returns
    -------
    (k,) int64
        Actions to look at again, the most contradicted first.
    """
    judged = np.isfinite(held_out).all(axis=1)
    said, own, of = held_out[judged].argmax(axis=1), codes[judged], batches[judged]
    found = []
    for batch in np.unique(of):
        inside = of == batch
        if inside.sum() < n_least:
            continue
        other = np.bincount(said[inside], minlength=held_out.shape[1])
        other[own[inside][0]] = 0
        share = other.max() / inside.sum()
        if share > least_frac:
            found.append((-share, int(batch)))
    return np.array([batch for _, batch in sorted(found)], np.int64)
