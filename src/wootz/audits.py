"""How many of a head's labels are right: a random sample that a person judges, and the interval it gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95


@dataclass(frozen=True)
class Precision:
    """A share with its interval.

    value : float in [0, 1], NaN where nothing was judged.
    low, high : float in [0, 1].
    n : int, tiles judged.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2


def allocate(sizes: Sequence[int] | np.ndarray, n: int, *, n_least: int = 5) -> np.ndarray:
    """Share a sample out over strata: by size, but with some tiles of each.

    Parameters
    ----------
    sizes : (H,) int
        Tiles of each stratum.
    n : int, >= 0
        Tiles wanted in all; more where the least number of each stratum asks for it.
    n_least : int
        Of each stratum that has so many.

    Returns
    -------
    (H,) int64
        At most the size of each.
    """
    sizes = np.asarray(sizes, np.int64)
    given = np.minimum(sizes, n_least if n else 0)
    wanted = sizes / max(int(sizes.sum()), 1) * min(n, int(sizes.sum()))
    whole = np.maximum(given, np.floor(wanted).astype(np.int64))
    given = whole if whole.sum() <= n else given
    while given.sum() < min(n, int(sizes.sum())):
        given[int(np.argmax(np.where(given < sizes, sizes / (given + 0.5), -1.0)))] += 1
    return given


def draw_audit(
    strata: np.ndarray, *, n_strata: int, n: int, rng: np.random.Generator, n_least: int = 5
) -> np.ndarray:
    """Draw tiles at random within each stratum, in an order that tells nothing of the stratum.

    Parameters
    ----------
    strata : (N,) int
        Predicted class of each tile; -1 for tiles that are not to be drawn.
    n_strata : int
    n : int
    rng : numpy Generator
    n_least : int
        See `allocate`.

    Returns
    -------
    (m,) int64
        Rows.
    """
    sizes = np.bincount(strata[strata >= 0], minlength=n_strata)
    parts = [
        rng.permutation(np.flatnonzero(strata == h))[:k]
        for h, k in enumerate(allocate(sizes, n, n_least=n_least).tolist())
    ]
    return rng.permutation(np.concatenate(parts)).astype(np.int64) if parts else np.zeros(0, np.int64)


def wilson(right: float, n: float, *, z: float) -> tuple[float, float]:
    """Compute the score interval of a share; (0, 1) without trials.

    References
    ----------
    Wilson, J. Am. Stat. Assoc. 22 (1927) 209, doi 10.1080/01621459.1927.10502953.
    """
    if n <= 0:
        return 0.0, 1.0
    share = right / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def stratum_precision(right: int, n: int, *, size: int, level: float = LEVEL) -> Precision:
    """Estimate the share of right labels in one stratum from a random sample without repeats.

    Parameters
    ----------
    right, n : int
        Right ones among those judged.
    size : int, >= n
        Tiles of the stratum; the interval closes when all are judged.
    level : float in (0, 1)

    Returns
    -------
    Precision
        Wilson's interval for ``n (size - 1) / (size - n)`` trials (correction for the finite stratum).
    """
    low, high = _limits(right, n, size=size, z=quantile(level))
    return Precision(right / n if n else float("nan"), low, high, n)


def overall_precision(
    right: Sequence[int] | np.ndarray,
    n: Sequence[int] | np.ndarray,
    *,
    sizes: Sequence[int] | np.ndarray,
    level: float = LEVEL,
) -> Precision:
    """Estimate the share of right labels over all strata, each weighted by its size.

    Parameters
    ----------
    right, n, sizes : (H,) int
        Right ones among those judged, judged, and tiles of each stratum.
    level : float in (0, 1)

    Returns
    -------
    Precision
        A stratum of which nothing was judged counts from 0 to 1; the value is then of the others.

    Notes
    -----
    The limits are the weighted sums of the Wilson limits of the strata, taken at a smaller quantile, so that
    the sum has the wanted level and not a much higher one.

    References
    ----------
    Yan & Su, Stat. Biopharm. Res. 2 (2010) 329, doi 10.1198/sbr.2009.0049, equations 2 and 4.
    """
    right, n, sizes = (np.asarray(v, float) for v in (right, n, sizes))
    total = sizes.sum()
    if not total:
        return Precision(float("nan"), 0.0, 1.0, 0)
    weight, z = sizes / total, quantile(level)
    spread = np.zeros(len(n))
    seen = n > 0
    for h in np.flatnonzero(seen):  # spread at Wilson's middle: 0 or n right ones do not mean no doubt
        trials = _trials(n[h], sizes[h])
        middle = (right[h] / n[h] * trials + z**2 / 2) / (trials + z**2) if np.isfinite(trials) else 0.0
        spread[h] = middle * (1 - middle) / trials if np.isfinite(trials) else 0.0
    root = float((weight * np.sqrt(spread)).sum())
    narrow = z * np.sqrt(float((weight**2 * spread).sum())) / root if root > 0 else z
    limits = [_limits(r, k, size=s, z=narrow) for r, k, s in zip(right, n, sizes, strict=True)]
    low, high = (float((weight * np.array(side)).sum()) for side in zip(*limits, strict=True))
    share = (right[seen] / n[seen] * weight[seen]).sum() / weight[seen].sum() if seen.any() else float("nan")
    return Precision(float(share), low, high, int(n.sum()))


def more_needed(
    right: Sequence[int] | np.ndarray,
    n: Sequence[int] | np.ndarray,
    *,
    sizes: Sequence[int] | np.ndarray,
    half_width: float,
    level: float = LEVEL,
) -> int:
    """Compute how many more tiles bring the overall interval down to a half-width, if they judge alike.

    Parameters
    ----------
    right, n, sizes : (H,) int
        See `overall_precision`.
    half_width : float in (0, 0.5)
    level : float in (0, 1)

    Returns
    -------
    int
        0 where it is narrow enough already. An expectation: the shares so far are not certain.
    """
    right, n, sizes = (np.asarray(v, float) for v in (right, n, sizes))
    share = np.where(n > 0, right / np.maximum(n, 1), right.sum() / max(n.sum(), 1))

    def is_enough(more: int) -> bool:
        new = n + allocate((sizes - n).astype(int), more, n_least=0)
        return overall_precision(share * new, new, sizes=sizes, level=level).half_width <= half_width

    low, high = 0, int((sizes - n).sum())
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return low


def quantile(level: float) -> float:
    """Give the two-sided quantile of the normal distribution, 1.96 for 0.95."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + level / 2)


def _trials(n: float, size: float) -> float:
    """Count independent trials that are worth as much as `n` draws without repeats; inf for all of them."""
    return n * (size - 1) / (size - n) if n < size else float("inf")


def _limits(right: float, n: float, *, size: float, z: float) -> tuple[float, float]:
    if n <= 0:
        return (0.0, 1.0)
    trials = _trials(n, size)
    return wilson(right / n * trials, trials, z=z) if np.isfinite(trials) else (right / n, right / n)
