"""k-means on faiss: Euclidean or spherical, on all points, several restarts, one seed one result."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wootz.clustering.preprocess import check_features, l2_normalise
from wootz.clustering.seeding import plus_plus
from wootz.compiled import compiled
from wootz.errors import WootzError

ROUND_ITER = 10
TOLERANCE = 1e-5
SMALL_PRODUCTS = 2**28  # some 50 ms on one core


@dataclass(frozen=True)
class KMeansResult:
    """The best of several k-means restarts.

    Parameters
    ----------
    labels : (N,) int32
        Cluster of each point, 0 is the largest cluster.
    centroids : (n_clusters, D) float32
        Of unit length in the spherical case.
    inertia : float
        Sum of squared distances to the nearest centroid (spherical: between unit vectors, 2 - 2 cos).
    restart_inertias : (n_init,) float64
    stability : float
        Mean adjusted Rand index between the kept restart and the others; NaN for one restart.
    """

    labels: np.ndarray
    centroids: np.ndarray
    inertia: float
    restart_inertias: np.ndarray
    stability: float

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.centroids)


def kmeans(
    features: np.ndarray,
    n_clusters: int,
    *,
    rng: np.random.Generator,
    n_init: int = 10,
    n_iter: int = 100,
    spherical: bool = False,
    weights: np.ndarray | None = None,
) -> KMeansResult:
    """Cluster by k-means: k-means++ seeds, Lloyd iterations in faiss on all points, the best of `n_init`.

    Parameters
    ----------
    features : (N, D) float32
    n_clusters : int, 2 to N
    rng : numpy Generator
    n_init : int, >= 1
        Restarts from different seeds.
    n_iter : int, >= 1
        Most iterations of a restart; it ends earlier when an iteration gains less than 1e-5 of the inertia.
    spherical : bool
        Compare directions: rows and centroids are scaled to unit length.
    weights : (N,) float, > 0, optional
        How many points each row stands for: means, inertia, seeds and the order of the clusters go by them.

    Raises
    ------
    WootzError
        For fewer points, or fewer different points, than clusters; fewer than two clusters; NaN; a row of
        zeros in the spherical case.
    ValueError
        If weights are not one positive number for each point.

    Notes
    -----
    k-means prefers round clusters of equal size: a rare class is often shared out or swallowed. Ask for more
    clusters than classes and merge by hand rather than trust a small number.

    References
    ----------
    Lloyd 1982, doi 10.1109/TIT.1982.1056489; Arthur & Vassilvitskii 2007 (k-means++, section 2.2);
    Dhillon & Modha 2001 (spherical), doi 10.1023/A:1007612920971.

    Examples
    --------
    >>> points = np.float32([[0, 0], [0, 1], [9, 9], [9, 8], [9, 9.5]])
    >>> kmeans(points, 2, rng=np.random.default_rng(0)).labels.tolist()
    [1, 1, 0, 0, 0]
    """
    points = check_features(features)
    if n_clusters < 2:
        raise WootzError(f"n_clusters={n_clusters} is too small; there must be at least 2 clusters.")
    if n_clusters > len(points):
        raise WootzError(
            f"n_clusters={n_clusters} is more than the {len(points)} tiles; ask for fewer clusters."
        )
    if spherical:
        points = _unit_rows(points)
    check_different(points, n_clusters)
    mass = _mass(weights, len(points))
    seeds = rng.integers(2**63, size=n_init)  # not rng.spawn: a Generator without SeedSequence cannot
    with one_thread_if_small(points.size * n_clusters):
        runs = [
            _one_restart(
                points,
                n_clusters,
                rng=np.random.default_rng(seed),
                n_iter=n_iter,
                spherical=spherical,
                mass=mass,
            )
            for seed in seeds
        ]
    best = int(np.argmin([inertia for _, _, inertia in runs]))
    labels, centroids, inertia = runs[best]
    order = np.lexsort((centroids[:, 0], -np.bincount(labels, weights=mass, minlength=n_clusters)))
    rank = np.empty(n_clusters, np.int32)
    rank[order] = np.arange(n_clusters)
    others = [run[0] for i, run in enumerate(runs) if i != best]
    return KMeansResult(
        labels=rank[labels],
        centroids=centroids[order],
        inertia=inertia,
        restart_inertias=np.array([run[2] for run in runs]),
        stability=_mean_rand_index(labels, others),
    )


@contextlib.contextmanager
def one_thread_if_small(n_products: int) -> Iterator[None]:
    """Keep small problems on one thread.

    Threads of faiss spin while they wait for each other: on 600 x 8 points and two busy cores, ten iterations
    took 0.4 ms with one thread and 160 ms with two.

    Parameters
    ----------
    n_products : int
        Multiplications of one pass over the data.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    if n_products < SMALL_PRODUCTS:
        faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def nearest_centroid(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centroid of each point and the squared distance to it: (N,) int32 and float64."""
    import faiss

    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(np.ascontiguousarray(centroids, np.float32))
    labels = index.search(np.ascontiguousarray(points, np.float32), 1)[1][:, 0].astype(np.int32)
    # faiss expands |x|^2 - 2xc + |c|^2 in single precision, which loses small distances: computed again
    return labels, _squared_residuals(np.asarray(points), np.asarray(centroids), labels)


@compiled
def _squared_residuals(points: np.ndarray, centroids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    out = np.empty(len(points))
    for i in range(len(points)):
        total = 0.0
        for j in range(points.shape[1]):
            residual = np.float64(points[i, j]) - np.float64(centroids[labels[i], j])
            total += residual * residual
        out[i] = total
    return out


def _one_restart(
    points: np.ndarray,
    n_clusters: int,
    *,
    rng: np.random.Generator,
    n_iter: int,
    spherical: bool,
    mass: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Run one k-means from its own seed; return labels, centroids and inertia."""
    import faiss

    centroids = plus_plus(points, n_clusters, rng=rng, mass=mass)
    labels, squared = np.zeros(len(points), np.int32), np.full(len(points), np.inf)
    seed = int(rng.integers(2**31))
    for done in range(0, n_iter, ROUND_ITER):
        fit = faiss.Kmeans(
            points.shape[1],
            n_clusters,
            niter=min(ROUND_ITER, n_iter - done),
            spherical=spherical,
            seed=seed,
            min_points_per_centroid=1,
            max_points_per_centroid=max(2, len(points)),  # faiss would otherwise draw 256 points per cluster
        )
        fit.train(points, weights=mass, init_centroids=centroids)
        new_centroids = np.asarray(fit.centroids)
        new_labels, new_squared = nearest_centroid(points, new_centroids)
        new_squared = new_squared if mass is None else new_squared * mass
        gain = squared.sum() - new_squared.sum()
        if gain < 0:
            break
        centroids, labels, squared = new_centroids, new_labels, new_squared
        if np.isfinite(gain) and gain <= TOLERANCE * squared.sum():
            break
    return labels, centroids, float(squared.sum())


def _mass(weights: np.ndarray | None, n: int) -> np.ndarray | None:
    if weights is None:
        return None
    mass = np.ascontiguousarray(weights, np.float32)
    if mass.shape != (n,) or not (np.isfinite(mass) & (mass > 0)).all():
        raise ValueError(f"weights must be {n} positive numbers, not {mass.shape} with {mass[:3]} ...")
    return mass


def _unit_rows(points: np.ndarray) -> np.ndarray:
    empty = int((~points.any(axis=1)).sum())
    if empty:
        raise WootzError(
            f"{empty} tiles have features of zeros, which have no direction; use method.spherical=false."
        )
    return l2_normalise(points)


def count_different(points: np.ndarray, at_most: int) -> int:
    """Count the different rows; stops at `at_most`."""
    seen: set[bytes] = set()
    for row in points:
        seen.add(row.tobytes())
        if len(seen) >= at_most:
            break
    return len(seen)


def check_different(points: np.ndarray, n_clusters: int) -> None:
    """Raise unless there are at least `n_clusters` different rows; stops as soon as they are found."""
    n_different = count_different(points, n_clusters)
    if n_different >= n_clusters:
        return
    raise WootzError(
        f"only {n_different} different feature vectors for n_clusters={n_clusters}: many tiles are "
        "duplicates; ask for fewer clusters or leave duplicates out."
    )


def _mean_rand_index(labels: np.ndarray, others: list[np.ndarray]) -> float:
    from sklearn.metrics import adjusted_rand_score

    return (
        float(np.mean([adjusted_rand_score(labels, other) for other in others])) if others else float("nan")
    )
