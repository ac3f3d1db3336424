"""How far several people agree beyond chance: the kappas of Cohen and Fleiss, with intervals over images."""

from collections.abc import Callable

import numpy as np

N_DRAWS = 500
INTERVAL = (2.5, 97.5)
BLOCK = 4_000_000


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
    return float(_cohen(_tables(first, second, np.zeros(len(first), np.int64)).sum(axis=0)))


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
    return float(_fleiss(_fleiss_sums(counts, np.zeros(len(counts), np.int64)).sum(axis=0)))


def cohen_interval(
    first: np.ndarray, second: np.ndarray, images: np.ndarray, *, rng: np.random.Generator
) -> tuple[float, float]:
    """Give the 95 % interval of `cohen_kappa`, by drawing images with replacement.

    Tiles of one image are no independent evidence: they are judged at one glance.

    Parameters
    ----------
    first, second : (N,) int, >= 0
    images : (N,) int
        Image of each tile.
    rng : numpy Generator

    Returns
    -------
    low, high : float
        Percentile interval of 500 draws; NaN for fewer than two images, or where one draw of twenty has no
        kappa.

    References
    ----------
    Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    return _over_images(_tables(first, second, _numbered(images)), _cohen, rng=rng)


def fleiss_interval(
    counts: np.ndarray, images: np.ndarray, *, rng: np.random.Generator
) -> tuple[float, float]:
    """Give the 95 % interval of `fleiss_kappa`, as `cohen_interval` does."""
    return _over_images(_fleiss_sums(counts, _numbered(images)), _fleiss, rng=rng)


def _over_images(
    sums: np.ndarray, kappa: Callable[[np.ndarray], np.ndarray], *, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw images; a kappa depends on sums over tiles only, so that each image is one row of `sums`."""
    n = len(sums)
    if n < 2:
        return float("nan"), float("nan")
    flat, found = sums.reshape(n, -1).astype(float), []
    step = max(1, BLOCK // n)
    for start in range(0, N_DRAWS, step):
        drawn = rng.integers(n, size=(min(step, N_DRAWS - start), n))
        times = np.stack([np.bincount(draw, minlength=n) for draw in drawn]).astype(float)
        found.append(kappa((times @ flat).reshape(-1, *sums.shape[1:])))
    values = np.concatenate(found)
    if np.isnan(values).mean() > 0.05:
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, INTERVAL)
    return float(low), float(high)


def _tables(first: np.ndarray, second: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Count pairs of answers in each image: (I, C, C)."""
    n = int(max(first.max(initial=-1), second.max(initial=-1))) + 1
    n_images = int(images.max(initial=-1)) + 1
    pairs = (images * n + first) * n + second
    return np.bincount(pairs, minlength=n_images * n * n).reshape(n_images, n, n)


def _fleiss_sums(counts: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Sum, over the tiles of each image, what Fleiss' kappa needs: (I, C + 2).

    How often each category was given, then pairs of people who agree, then all pairs.
    """
    people = counts.sum(axis=1)
    if len(people) and ((people != people[0]).any() or people[0] < 2):
        raise ValueError("every tile must be judged by the same number of people, two or more.")
    agreeing = (counts * (counts - 1)).sum(axis=1)
    each = np.column_stack([counts, agreeing, people * (people - 1)])
    sums = np.zeros((int(images.max(initial=-1)) + 1, each.shape[1]), np.int64)
    np.add.at(sums, images, each)
    return sums


def _cohen(tables: np.ndarray) -> np.ndarray:
    """Give the kappa of (..., C, C) tables."""
    n = tables.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore"):  # no tile: 0 / 0
        observed = np.trace(tables, axis1=-2, axis2=-1) / n
        by_chance = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1) / (n * n)
    return _beyond(observed, by_chance)


def _fleiss(sums: np.ndarray) -> np.ndarray:
    """Give the kappa of (..., C + 2) sums."""
    given, agreeing, pairs = sums[..., :-2], sums[..., -2], sums[..., -1]
    with np.errstate(invalid="ignore"):
        shares = given / given.sum(axis=-1, keepdims=True)
        return _beyond(agreeing / pairs, (shares * shares).sum(axis=-1))


def _beyond(observed: np.ndarray, by_chance: np.ndarray) -> np.ndarray:
    room = 1.0 - by_chance
    return np.where(room > 1e-12, (observed - by_chance) / np.where(room > 1e-12, room, 1.0), np.nan)


def _numbered(images: np.ndarray) -> np.ndarray:
    return np.unique(images, return_inverse=True)[1].reshape(-1)
