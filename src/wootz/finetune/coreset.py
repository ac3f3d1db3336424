"""Greedy coreset: few patches that cover many, for PatchCore's memory."""

import numba
import numpy as np

N_CHUNKS = 64


def greedy_coreset(features: np.ndarray, n: int, *, rng: np.random.Generator) -> np.ndarray:
    """Pick rows one by one, each the farthest from those picked before.

    The cover radius (largest distance of a row to its nearest picked row) is at most twice the best possible.

    Parameters
    ----------
    features : (N, D) float32
    n : int, 1 <= n
        More than N means all rows.
    rng : np.random.Generator
        Draws the first row.

    Returns
    -------
    (min(n, N),) int64
        Rows in the order of picking.

    Raises
    ------
    ValueError
        If the features are empty, have not two axes or are not finite.

    Notes
    -----
    A row whose distance to its centre is at most half the distance from that centre to the new one cannot be
    nearer to the new one (triangle inequality) and is skipped. Distances between centres are computed inside
    the kernel: a BLAS call there would fight numba's threads for the cores.

    References
    ----------
    Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5; Elkan 2003 (ICML), lemma 1; Roth et al. 2022,
    doi:10.1109/CVPR52688.2022.01392, algorithm 1.
    """
    if features.ndim != 2 or not len(features) or not np.isfinite(features).all():
        raise ValueError(f"features must be (N, D), N >= 1 and finite; these are {features.shape}")
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    rows = np.ascontiguousarray(features, dtype=np.float32)
    return _farthest_first(rows, min(n, len(rows)), int(rng.integers(len(rows))))


@numba.njit(parallel=True, cache=True)
def _farthest_first(rows, n, first):  # pragma: no cover - compiled
    n_rows = rows.shape[0]
    picked = np.empty(n, np.int64)
    nearest = np.zeros(n_rows, np.int64)
    squared = np.full(n_rows, np.inf, np.float32)
    between = np.zeros(n, np.float32)
    best = np.empty(N_CHUNKS, np.int64)
    new = first
    for k in range(n):
        picked[k] = new
        for j in numba.prange(k):
            between[j] = _squared_distance(rows, new, picked[j])
        for chunk in numba.prange(N_CHUNKS):
            start, stop = chunk * n_rows // N_CHUNKS, (chunk + 1) * n_rows // N_CHUNKS
            farthest = -1
            for i in range(start, stop):
                if k == 0 or between[nearest[i]] < 4.0 * squared[i]:
                    distance = _squared_distance(rows, new, i)
                    if distance < squared[i]:
                        squared[i] = distance
                        nearest[i] = k
                if farthest < 0 or squared[i] > squared[farthest]:
                    farthest = i
            best[chunk] = farthest
        new = -1
        for chunk in range(N_CHUNKS):
            row = best[chunk]
            if row >= 0 and (new < 0 or squared[row] > squared[new]):
                new = row
    return picked


@numba.njit(fastmath=True, inline="always")
def _squared_distance(rows, a, b):  # pragma: no cover - compiled
    total = np.float32(0.0)
    for d in range(rows.shape[1]):
        step = rows[a, d] - rows[b, d]
        total += step * step
    return total
