"""From features to a tree of clusters: neighbour graph, small groups on it, and the tree that joins them."""

from dataclasses import dataclass

import numpy as np

from wootz.clustering.communities import by_size, louvain
from wootz.clustering.config import GraphConfig
from wootz.clustering.graph import KnnGraph, knn_graph
from wootz.clustering.lloyd import kmeans
from wootz.clustering.mergetree import MergeTree, group_links, merge_tree
from wootz.errors import WootzError

FEWEST_NEIGHBOURS = 5
NEIGHBOURS_FRAC = 0.1
MICRO_ITER = 20
MAX_LEAVES = 4_000
LEAST_RESOLUTION = 0.01


@dataclass(frozen=True)
class Hierarchy:
    """Small groups of points and the tree that joins them.

    Parameters
    ----------
    graph : KnnGraph
    leaves : (N,) int32
        Small group of each point.
    tree : MergeTree
        Over the small groups.
    """

    graph: KnnGraph
    leaves: np.ndarray
    tree: MergeTree

    def cut(self, n_clusters: int) -> np.ndarray:
        """Return the cluster of each point, 0 the largest: (N,) int32."""
        return by_size(self.tree.cut(n_clusters)[self.leaves])


def hierarchy(
    features: np.ndarray, cfg: GraphConfig, *, rng: np.random.Generator, graph: KnnGraph | None = None
) -> Hierarchy:
    """Build the neighbour graph, small groups on it, and their tree.

    Parameters
    ----------
    features : (N, D) float32
    cfg : GraphConfig
    rng : numpy Generator
    graph : KnnGraph, optional
        Of these features, where it is there already.

    Raises
    ------
    WootzError
        For any reason of `wootz.clustering.graph.knn_graph`.
    """
    if graph is None:
        k = fitting_neighbours(len(features), cfg.n_neighbors)
        graph = knn_graph(features, k, rng=rng, weight=cfg.weight)
    if cfg.leaves == "louvain":
        leaves = small_groups(graph, cfg.leaf_resolution, rng=rng)
    else:
        leaves = micro_clusters(features, cfg.n_micro, rng=rng)
    return Hierarchy(graph, leaves, merge_tree(group_links(graph.links, leaves)))


def small_groups(graph: KnnGraph, resolution: float, *, rng: np.random.Generator) -> np.ndarray:
    """Find Louvain's groups at a high resolution, halved until there are at most 4,000: (N,) int32.

    A tree of more takes minutes and gigabytes.

    Raises
    ------
    WootzError
        If the graph itself is in more parts.
    """
    while resolution >= LEAST_RESOLUTION:
        found = louvain(graph.links, resolution, rng=rng)
        if found.n_clusters <= MAX_LEAVES:
            return found.labels
        resolution /= 2
    raise WootzError(
        f"the neighbour graph falls into more than {MAX_LEAVES} parts that are not joined: most tiles have "
        "copies; leave duplicates out or raise method.n_neighbors."
    )


def fitting_neighbours(n_points: int, wanted: int) -> int:
    """Return how many neighbours to take: as wanted, but at most a tenth of the points, and at least 5.

    A point that is joined with more neighbours than its class has members is joined with other classes.
    """
    if n_points <= FEWEST_NEIGHBOURS:
        raise WootzError(
            f"{n_points} tiles are too few for a neighbour graph, which needs at least "
            f"{FEWEST_NEIGHBOURS + 1}; ingest more images or cut smaller tiles."
        )
    return min(wanted, max(FEWEST_NEIGHBOURS, int(NEIGHBOURS_FRAC * n_points)))


def micro_clusters(features: np.ndarray, n_micro: int, *, rng: np.random.Generator) -> np.ndarray:
    """Cut features into many small clusters by k-means, to be joined by a merge tree: (N,) int32.

    Parameters
    ----------
    features : (N, D) float32
    n_micro : int, >= 2
        Five to ten times the expected number of classes; at most a third of the points are used.
    rng : numpy Generator

    Notes
    -----
    On rare classes the small groups that Louvain's method finds at a high resolution are purer: k-means cuts
    where there are many points. Micro-clusters cost less where there are millions.
    """
    n = min(n_micro, max(2, len(features) // 3))
    return kmeans(features, n, rng=rng, n_init=1, n_iter=MICRO_ITER).labels
