"""Starting centroids of k-means: far from each other, on points, weighted or not."""

import numpy as np

SEEDING_POINTS = 100  # candidates per cluster for k-means++; the clustering itself sees every point


def plus_plus(
    points: np.ndarray, n_clusters: int, *, rng: np.random.Generator, mass: np.ndarray | None = None
) -> np.ndarray:
    """Draw starting centroids with probability proportional to the squared distance to those drawn before.

    Parameters
    ----------
    points : (N, D) float32
    n_clusters : int, 1 to N
    rng : numpy Generator
    mass : (N,) float32, > 0, optional
        Weights of the points.

    Returns
    -------
    (n_clusters, D) float32

    Notes
    -----
    Each is the best of a few draws, as Arthur & Vassilvitskii propose in their section 5.

    References
    ----------
    Arthur & Vassilvitskii 2007 (k-means++, section 2.2).
    """
    n_candidates = min(len(points), max(10_000, SEEDING_POINTS * n_clusters))
    rows = rng.choice(len(points), n_candidates, replace=False) if n_candidates < len(points) else slice(None)
    pool = points[rows] - points[rows].mean(
        axis=0
    )  # near the origin, so that single precision keeps distances
    norms = np.einsum("ij,ij->i", pool, pool)
    n_trials = 2 + int(np.log(n_clusters))
    weight = None if mass is None else mass[rows]
    total = None if weight is None else weight.sum(dtype=np.float64)
    picked = [int(rng.integers(len(pool)) if weight is None else rng.choice(len(pool), p=weight / total))]
    squared = _squared_to(pool, norms, picked)[0]
    while len(picked) < n_clusters:
        squared[picked] = 0.0
        reached = np.cumsum(squared if weight is None else squared * weight, dtype=np.float64)
        trials = np.searchsorted(reached, rng.random(n_trials) * reached[-1], side="right").clip(
            max=len(pool) - 1
        )
        if reached[-1] == 0:  # only copies of the picked points are left
            trials = rng.integers(len(pool), size=n_trials)
        left = _squared_to(pool, norms, trials.tolist())
        np.minimum(left, squared, out=left)
        sums = left.sum(axis=1, dtype=np.float64) if weight is None else left @ weight.astype(np.float64)
        best = int(sums.argmin())
        picked.append(int(trials[best]))
        squared = left[best]
    return np.ascontiguousarray(points[rows][picked])


def _squared_to(pool: np.ndarray, norms: np.ndarray, rows: list[int]) -> np.ndarray:
    """Return the squared distances of all points to some of them: (n_rows, M) float32."""
    out = (-2.0 * pool[rows]) @ pool.T
    out += norms
    out += norms[rows][:, None]
    return np.clip(out, 0, None, out=out)
