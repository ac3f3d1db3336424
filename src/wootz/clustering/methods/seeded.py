"""k-means from named tiles: their means are the first centroids, and they stay where they were put."""

import numpy as np

from wootz.clustering.exemplars import cluster_means
from wootz.clustering.lloyd import nearest_centroid, one_thread_if_small
from wootz.clustering.methods.grouping import Grouping, by_size, check_points
from wootz.clustering.methods.known import Known, check_known
from wootz.clustering.methods.options import SeededConfig
from wootz.clustering.preprocess import l2_normalise
from wootz.errors import WootzError

TOLERANCE = 1e-6


def seeded(features: np.ndarray, cfg: SeededConfig, *, known: Known, rng: np.random.Generator) -> Grouping:
    """Cluster by k-means with named tiles as seeds, and further clusters for what has no name.

    Parameters
    ----------
    features : (N, D) float32
    cfg : SeededConfig
        With ``keep``, named tiles never leave the cluster of their name (Constrained-KMeans); without, they
        only start it (Seeded-KMeans), which forgives wrong names.
    known : Known
    rng : numpy Generator
        Draws the first centroids of the further clusters.

    Raises
    ------
    WootzError
        If no tile is named or there are more names than clusters; for fewer (different) tiles than clusters,
        NaN, features that are all the same.

    References
    ----------
    Basu et al. 2002, Semi-supervised clustering by seeding, ICML, figures 1 and 2.
    """
    n_clusters = len(known.names) if cfg.n_clusters is None else cfg.n_clusters
    if n_clusters < 2:
        raise WootzError(
            "fewer than two classes are named; name tiles of another class, or set method.n_clusters."
        )
    points = check_points(features, n_clusters)
    check_known(known, n_points=len(points), n_clusters=n_clusters)
    points = l2_normalise(points) if cfg.spherical else points
    fixed = known.labels if cfg.keep else np.full(len(points), -1)
    n_init = cfg.n_init if n_clusters > len(known.names) else 1
    with one_thread_if_small(points.size * n_clusters):
        runs = [
            _one_restart(
                points, first_centroids(points, known.labels, n_clusters, rng=rng), fixed=fixed, cfg=cfg
            )
            for _ in range(n_init)
        ]
    labels, inertia = min(runs, key=lambda run: run[1])
    names = (*known.names, *[""] * (n_clusters - len(known.names)))
    named = known.labels >= 0
    moved = int((labels[named] != known.labels[named]).sum())
    notes = (f"{moved} of {named.sum()} named tiles moved to another cluster.",) if not cfg.keep else ()
    return by_size(Grouping(labels, loss=inertia, notes=notes, names=names))


def first_centroids(
    points: np.ndarray, known: np.ndarray, n_clusters: int, *, rng: np.random.Generator
) -> np.ndarray:
    """Return the means of the named tiles, then points far from all centroids before: (n_clusters, D).

    Parameters
    ----------
    points : (N, D) float32
    known : (N,) int
        Cluster of the named tiles, -1 for the others.
    n_clusters : int
    rng : numpy Generator
        Draws with probability proportional to the squared distance to the nearest centroid (k-means++).
    """
    named = known >= 0
    centroids = list(cluster_means(points[named], known[named]))
    free = points[~named] if (~named).any() else points
    while len(centroids) < n_clusters:
        squared = nearest_centroid(free, np.stack(centroids))[1]
        share = squared / squared.sum() if squared.sum() > 0 else None
        centroids.append(free[rng.choice(len(free), p=share)])
    return np.stack(centroids)


def _one_restart(
    points: np.ndarray, centroids: np.ndarray, *, fixed: np.ndarray, cfg: SeededConfig
) -> tuple[np.ndarray, float]:
    """Assign and average until nothing is gained; return labels and the sum of squared distances."""
    labels, before = fixed, np.inf
    for _ in range(cfg.n_iter):
        labels, squared = nearest_centroid(points, centroids)
        labels = np.where(fixed >= 0, fixed, labels).astype(np.int32)
        for empty in np.setdiff1d(np.arange(len(centroids)), labels):
            far = int(np.argmax(np.where(fixed >= 0, -1.0, squared)))
            labels[far], squared[far] = empty, 0.0
        total = 0.0
        centroids = cluster_means(points, labels)
        if cfg.spherical:
            centroids = l2_normalise(centroids)
        residual = points.astype(np.float64) - centroids[labels]
        total = float(np.einsum("ij,ij->", residual, residual))
        if before - total <= TOLERANCE * total:
            return labels, total
        before = total
    return labels, before
