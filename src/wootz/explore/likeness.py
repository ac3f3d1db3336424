"""Which tiles look like these: nearest tiles, proposals for a class, and a group taken apart.

All of it compares directions (cosine) in the whole feature space, never places on the map.
"""

import numpy as np

from wootz.explore.actions import ActionError
from wootz.explore.groups import BLOCK, unit_rows

QUERIES_MAX = 400
NEAREST_OF_CLASS = 5
SPLIT_RESTARTS, SPLIT_ITERATIONS = 5, 50


def nearest(features: np.ndarray, rows: np.ndarray, *, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the tiles that look most like one of some tiles.

    Parameters
    ----------
    features : (N, D) float32
    rows : (Q,) int
        What to look for; evenly thinned to 400.
    n : int
        How many to find; the tiles of `rows` themselves are left out.

    Returns
    -------
    found : (<= n,) int64
        Most alike first.
    likeness : (<= n,) float32
        Largest cosine to any of `rows`, in [-1, 1].
    """
    score = _mean_of_best(features, unit_rows(features[thinned(rows)]), n_best=1)
    score[rows] = -np.inf
    return _best(score, n)


def proposals(
    features: np.ndarray, of_class: np.ndarray, others: np.ndarray, *, free: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Propose tiles for a class.

    The score of a tile is its mean cosine to the five nearest tiles of the class, less the same for the tiles
    of all other classes: above 0 where it looks more like this class than like any other.

    Parameters
    ----------
    features : (N, D) float32
    of_class, others : (n,) int
        Tiles of the class, and tiles that were named otherwise (none is allowed: then the cosine alone).
    free : (N,) bool
        Tiles that may be proposed.
    n : int

    Returns
    -------
    found : (<= n,) int64
        Surest first.
    score : (<= n,) float32
        In [-2, 2].

    Raises
    ------
    ActionError
        If no tile of the class is named.
    """
    if not len(of_class):
        raise ActionError("name at least one tile of the class first; proposals are made from named tiles.")
    score = _mean_of_best(features, unit_rows(features[thinned(of_class)]), n_best=NEAREST_OF_CLASS)
    if len(others):
        score -= _mean_of_best(features, unit_rows(features[thinned(others)]), n_best=NEAREST_OF_CLASS)
    return _best(np.where(free, score, -np.inf), n)


def taken_apart(features: np.ndarray, rows: np.ndarray, *, n_parts: int, seed: int) -> list[np.ndarray]:
    """Split tiles into parts by spherical k-means (faiss), the largest part first.

    Parameters
    ----------
    features : (N, D) float32
    rows : (n,) int
        The tiles to split.
    n_parts : int, >= 2
    seed : int

    Returns
    -------
    list of (m,) int64
        Rows of each part; parts without tiles are left out.

    Raises
    ------
    ActionError
        If there are fewer tiles than parts.
    """
    import faiss

    if not 2 <= n_parts <= 20 or len(rows) < n_parts:
        raise ActionError(f"{len(rows)} tiles cannot be split into {n_parts} parts (2 to 20).")
    points = np.ascontiguousarray(unit_rows(features[rows]))
    options = {"niter": SPLIT_ITERATIONS, "nredo": SPLIT_RESTARTS, "seed": seed, "spherical": True}
    kmeans = faiss.Kmeans(points.shape[1], n_parts, min_points_per_centroid=1, **options)
    kmeans.train(points)
    part = kmeans.index.search(points, 1)[1][:, 0]  # type: ignore[union-attr]
    parts = [np.asarray(rows)[part == k] for k in range(n_parts)]
    return sorted((p for p in parts if len(p)), key=lambda p: (-len(p), int(p[0])))


def _mean_of_best(features: np.ndarray, queries: np.ndarray, *, n_best: int) -> np.ndarray:
    """Give each row's mean cosine to its `n_best` most similar queries: (N,) float32."""
    n_best = min(n_best, len(queries))
    score = np.empty(len(features), np.float32)
    for start in range(0, len(features), BLOCK):
        cosine = unit_rows(features[start : start + BLOCK]) @ queries.T
        best = np.partition(cosine, -n_best, axis=1)[:, -n_best:]
        score[start : start + BLOCK] = best.mean(axis=1)
    return score


def _best(score: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    possible = np.flatnonzero(np.isfinite(score))
    order = possible[np.argsort(-score[possible], kind="stable")][:n]
    return order, score[order]


def thinned(rows: np.ndarray) -> np.ndarray:
    """Take at most 400 rows, evenly spaced."""
    rows = np.asarray(rows)
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), QUERIES_MAX)).astype(int)]
