"""Factors as codes: classes numbered, numbers binned, so that they can be counted against clusters."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from wootz.factors import Factor

N_BINS = 8


@dataclass(frozen=True)
class Coded:
    """A factor as whole numbers.

    Parameters
    ----------
    name : str
    codes : (N,) int
        0 to ``len(words) - 1``; -1 is unknown.
    words : tuple of str
        What each code means, for reading.
    numbers : (N,) float64 or None
        The numbers before binning, NaN where unknown; None for classes and for few different numbers.
    """

    name: str
    codes: np.ndarray
    words: tuple[str, ...]
    numbers: np.ndarray | None = None


def code_factor(factor: Factor, *, n_bins: int = N_BINS) -> Coded:
    """Turn the values of a factor into whole numbers.

    Parameters
    ----------
    factor : Factor
    n_bins : int, >= 2
        Numbers with more different values than this are cut at their quantiles into so many bins of equal
        count (fewer where values repeat).
    """
    known = factor.is_known
    codes = np.full(len(known), -1)
    values = factor.values[known]
    if factor.values.dtype.kind not in "fiu":
        names, codes[known] = np.unique(values.astype(str), return_inverse=True)
        return Coded(factor.name, codes, tuple(str(name) for name in names))
    different, index = np.unique(values, return_inverse=True)
    if len(different) <= n_bins:
        codes[known] = index
        return Coded(factor.name, codes, tuple(_worded(v, factor) for v in different))
    edges = np.unique(np.quantile(values, np.arange(1, n_bins) / n_bins))
    inner = edges[(edges > different[0]) & (edges <= different[-1])]
    codes[known] = np.searchsorted(inner, values, side="right")
    ends = [different[0], *inner, different[-1]]
    words = [f"{_worded(a, factor)} to {_worded(b, factor)}" for a, b in pairwise(ends)]
    numbers = np.where(known, factor.values, np.nan).astype(np.float64)
    return Coded(factor.name, codes, tuple(words), numbers)


def _worded(value: float, factor: Factor) -> str:
    number = np.exp(value) if factor.is_log else value
    return f"{number:.4g} {factor.unit}".strip()
