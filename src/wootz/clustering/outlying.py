"""Which points lie apart in the neighbour graph, and which stand between clusters."""

import numpy as np

from wootz.clustering.exemplars import outlier_scores
from wootz.clustering.graph import KnnGraph
from wootz.clustering.links import Links
from wootz.compiled import compiled


def neighbour_outliers(graph: KnnGraph, labels: np.ndarray) -> np.ndarray:
    """Return each point's mean distance to its neighbours over the median of its cluster.

    Parameters
    ----------
    graph : KnnGraph
    labels : (N,) int

    Returns
    -------
    (N,) float64, >= 0
        1 is typical, 3 is three times as far from its neighbours as usual in this cluster. Unlike distance to
        a centroid it does not take the ends of a long cluster for outliers.

    References
    ----------
    Angiulli & Pizzuti 2002 (sum of distances to the neighbours), doi 10.1007/3-540-45681-3_2.
    """
    reached = np.isfinite(graph.distances)
    total = np.where(reached, graph.distances, 0).sum(axis=1, dtype=np.float64)
    return outlier_scores(total / np.maximum(reached.sum(axis=1), 1), labels)


def membership_share(links: Links, labels: np.ndarray) -> np.ndarray:
    """Return which part of each point's link weight stays in its cluster.

    Parameters
    ----------
    links : Links
    labels : (N,) int

    Returns
    -------
    (N,) float64 in [0, 1]
        1 deep inside a cluster, about 0.5 between two; 0 for a point without links.
    """
    return _share_inside(links, labels.astype(np.int32))


@compiled
def _share_inside(links: Links, labels: np.ndarray) -> np.ndarray:
    indptr, indices, weights = links
    shares = np.zeros(len(labels))
    for i in range(len(labels)):
        inside, total = 0.0, 0.0
        for e in range(indptr[i], indptr[i + 1]):
            total += weights[e]
            if labels[indices[e]] == labels[i]:
                inside += weights[e]
        if total > 0:
            shares[i] = inside / total
    return shares
