"""k-means that pays for pairs of tiles which should be together or apart."""

import numpy as np

from wootz.clustering.exemplars import cluster_means
from wootz.clustering.lloyd import kmeans, nearest_centroid
from wootz.clustering.methods.grouping import Grouping, by_size, check_points
from wootz.clustering.methods.known import Known
from wootz.clustering.methods.options import ConstrainedConfig
from wootz.errors import WootzError

TOLERANCE = 1e-6


def constrained(
    features: np.ndarray, cfg: ConstrainedConfig, *, known: Known, rng: np.random.Generator
) -> Grouping:
    """Cluster by pairwise constrained k-means.

    Parameters
    ----------
    features : (N, D) float32
    cfg : ConstrainedConfig
    known : Known
        Its pairs.
    rng : numpy Generator

    Raises
    ------
    WootzError
        If there are no pairs, or a pair names one tile twice; for fewer (different) tiles than clusters, NaN,
        features that are all the same.

    Notes
    -----
    Pairs have a price instead of being laws as in COP-KMeans: an expert's pairs contradict each other now and
    then, where COP-KMeans ends without a result, and even without contradiction it can run into a corner that
    depends on the order of the tiles. `Grouping.notes` says how many pairs were not met.

    References
    ----------
    Basu et al. 2004, Active semi-supervision for pairwise constrained clustering, SDM, equation 2.1 and
    figure 3; the rejected alternative: Wagstaff et al. 2001, Constrained k-means clustering, ICML.
    """
    points = check_points(features, cfg.n_clusters)
    pairs = np.concatenate([known.together, known.apart])
    _check_pairs(pairs, len(points))
    price = cfg.penalty * float(points.var(axis=0, dtype=np.float64).sum())
    partners = _partners(known)
    seeds = rng.integers(2**63, size=cfg.n_init)
    runs = []
    for seed in seeds:
        own = np.random.default_rng(seed)
        start = kmeans(points, cfg.n_clusters or 0, rng=own, n_init=1, n_iter=5).centroids
        runs.append(_one_restart(points, start, partners=partners, price=price, n_iter=cfg.n_iter, rng=own))
    labels, loss = min(runs, key=lambda run: run[1])
    broken = len(_broken(labels, known))
    note = f"{len(pairs) - broken} of {len(pairs)} pairs are as the expert wants them."
    return by_size(Grouping(labels, loss=loss, notes=(note,)))


def pair_cost(labels: np.ndarray, known: Known, *, price: float) -> float:
    """Return the price of all pairs that are not met: together but in two clusters, or apart but in one."""
    return price * len(_broken(labels, known))


def _broken(labels: np.ndarray, known: Known) -> np.ndarray:
    together, apart = labels[known.together], labels[known.apart]
    return np.concatenate(
        [known.together[together[:, 0] != together[:, 1]], known.apart[apart[:, 0] == apart[:, 1]]]
    )


def _partners(known: Known) -> dict[int, list[tuple[int, bool]]]:
    """List for each tile in a pair its partners, and whether they should be together."""
    found: dict[int, list[tuple[int, bool]]] = {}
    for pairs, same in ((known.together, True), (known.apart, False)):
        for a, b in pairs.tolist():
            found.setdefault(a, []).append((b, same))
            found.setdefault(b, []).append((a, same))
    return found


def _one_restart(
    points: np.ndarray,
    centroids: np.ndarray,
    *,
    partners: dict[int, list[tuple[int, bool]]],
    price: float,
    n_iter: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """Assign and average until the objective stays; return labels and objective."""
    bound = np.array(sorted(partners))
    labels, before = nearest_centroid(points, centroids)[0], np.inf
    for _ in range(n_iter):
        free = nearest_centroid(points, centroids)[0]
        free[bound] = labels[bound]
        labels = free
        squared = _squared(points[bound], centroids)
        cost = {int(row): squared[i] for i, row in enumerate(bound)}
        for row in rng.permutation(bound).tolist():  # each in turn, given where the others are now
            own = cost[row].copy()
            for other, same in partners[row]:
                own += price * same
                own[labels[other]] += -price if same else price
            labels[row] = np.argmin(own)
        centroids = np.where(
            np.bincount(labels, minlength=len(centroids))[:, None] > 0,
            _means(points, labels, len(centroids)),
            centroids,
        )
        total = _objective(points, centroids, labels=labels, partners=partners, price=price)
        if before - total <= TOLERANCE * total:
            break
        before = total
    return labels, total


def _means(points: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    means = cluster_means(points, labels)
    return np.concatenate([means, np.zeros((n_clusters - len(means), points.shape[1]), np.float32)])


def _squared(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    apart = points[:, None].astype(np.float64) - centroids[None]
    return np.einsum("ikd,ikd->ik", apart, apart)


def _objective(
    points: np.ndarray,
    centroids: np.ndarray,
    *,
    labels: np.ndarray,
    partners: dict[int, list[tuple[int, bool]]],
    price: float,
) -> float:
    residual = points.astype(np.float64) - centroids[labels]
    broken = sum((labels[a] == labels[b]) != same for a, others in partners.items() for b, same in others)
    return float(np.einsum("ij,ij->", residual, residual)) + price * broken / 2


def _check_pairs(pairs: np.ndarray, n_points: int) -> None:
    if not len(pairs):
        raise WootzError("there are no pairs of tiles; give method.pairs, or use method=kmeans.")
    if pairs.min() < 0 or pairs.max() >= n_points:
        raise ValueError(f"pairs must be rows 0 to {n_points - 1}")
    if (pairs[:, 0] == pairs[:, 1]).any():
        raise WootzError("a pair names the same tile twice.")
