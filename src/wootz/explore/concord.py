"""How far several people agree beyond chance: the kappas of Cohen and Fleiss, with intervals over images."""

from collections.abc import Callable

import numpy as np

N_DRAWS = 500
INTERVAL = (2.5, 97.5)


def cohen_kappa(first: np.ndarray, second: np.ndarray) -> float:
    """Compare two people on tiles that both judged.

    Parameters
    ----------
    first, second : (N,) int, >= 0
        Category that each gave to each tile; one numbering for both.

    Returns
    -------
    float, at most 1
        Agreement beyond that of two people who call each category as often as these two, but at random; 0 is
        chance, 1 is perfect. NaN for no tile, or where both always say one and the same: chance alone would
        agree then.

    References
    ----------
    Cohen 1960, doi 10.1177/001316446002000104.
    """
    n_categories = int(max(first.max(initial=-1), second.max(initial=-1))) + 1
    if not len(first):
        return float("nan")
    table = np.bincount(first * n_categories + second, minlength=n_categories**2)
    table = table.reshape(n_categories, n_categories) / len(first)
    return _beyond(float(np.trace(table)), float(table.sum(axis=0) @ table.sum(axis=1)))


def fleiss_kappa(counts: np.ndarray) -> float:
    """Compare several people on tiles that each was judged by equally many of them.

    Parameters
    ----------
    counts : (N, C) int
        How many people gave tile i category j; each row has the same sum, 2 or more.

    Returns
    -------
    float, at most 1
        As `cohen_kappa`, with one share of each category for all people. NaN for no tile or one category.

    Raises
    ------
    ValueError
        If rows have different sums, or fewer than two people judged.

    References
    ----------
    Fleiss 1971, doi 10.1037/h0031619.
    """
    if not len(counts):
        return float("nan")
    people = counts.sum(axis=1)
    if (people != people[0]).any() or people[0] < 2:
        raise ValueError("every tile must be judged by the same number of people, two or more.")
    n = int(people[0])
    observed = float(((counts * counts).sum(axis=1) - n).mean() / (n * (n - 1)))
    shares = counts.sum(axis=0) / counts.sum()
    return _beyond(observed, float(shares @ shares))


def interval(
    kappa: Callable[[np.ndarray], float], images: np.ndarray, *, rng: np.random.Generator
) -> tuple[float, float]:
    """Give the 95 % interval of a kappa, by drawing images with replacement.

    Tiles of one image are no independent evidence: they are judged at one glance.

    Parameters
    ----------
    kappa : callable
        From rows, with repetition, to the kappa of those tiles.
    images : (N,) int
        Image of each tile.
    rng : numpy Generator

    Returns
    -------
    low, high : float
        Percentile interval of 500 draws; NaN for fewer than two images, or where a draw of twenty has none.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    names = np.unique(images)
    if len(names) < 2:
        return float("nan"), float("nan")
    rows = [np.flatnonzero(images == name) for name in names]
    draws = rng.integers(len(names), size=(N_DRAWS, len(names)))
    found = np.array([kappa(np.concatenate([rows[i] for i in draw])) for draw in draws])
    if np.isnan(found).mean() > 0.05:
        return float("nan"), float("nan")
    low, high = np.nanpercentile(found, INTERVAL)
    return float(low), float(high)


def _beyond(observed: float, by_chance: float) -> float:
    return (observed - by_chance) / (1.0 - by_chance) if by_chance < 1.0 - 1e-12 else float("nan")
