"""Louvain's method: groups of a weighted graph that are linked more than chance would have it."""

from dataclasses import dataclass

import numpy as np

from wootz.clustering import community_loops as loops
from wootz.clustering.links import Links, degrees


@dataclass(frozen=True)
class LouvainResult:
    """Groups at one resolution.

    Parameters
    ----------
    labels : (N,) int32
        Group of each point, 0 is the largest.
    resolution : float
    modularity : float
        Of these groups at this resolution.
    n_levels : int
        How often groups were joined.
    """

    labels: np.ndarray
    resolution: float
    modularity: float
    n_levels: int

    @property
    def n_clusters(self) -> int:
        """Number of groups."""
        return int(self.labels.max()) + 1


def louvain(links: Links, resolution: float = 1.0, *, rng: np.random.Generator) -> LouvainResult:
    """Find groups of high modularity: move points, join groups, repeat on the joined graph.

    Parameters
    ----------
    links : Links
    resolution : float, > 0
        More makes more and smaller groups: 1 is Newman's modularity.
    rng : numpy Generator
        Draws the order in which points are first looked at, on each level.

    Raises
    ------
    ValueError
        For a resolution that is not positive, or a graph without links.

    Notes
    -----
    After the first round only neighbours of moved points are looked at again, which reaches the same kind of
    local optimum (no single move gains) in a fraction of the time. It misleads on groups whose links number
    fewer than about the square root of all (resolution limit: small classes are joined), and it finds groups
    in a graph without any: compare with `evidence`.

    References
    ----------
    Blondel et al. 2008, doi 10.1088/1742-5468/2008/10/P10008; Reichardt & Bornholdt 2006 (resolution),
    doi 10.1103/PhysRevE.74.016110; Fortunato & Barthelemy 2007 (limit), doi 10.1073/pnas.0605965104.
    """
    if not resolution > 0:
        raise ValueError(f"resolution must be positive, not {resolution}")
    if len(links.weights) == 0:
        raise ValueError("a graph without links has no groups")
    labels = np.arange(links.n_points, dtype=np.int32)
    joined, n_levels = links, 0
    while True:
        order = rng.permutation(joined.n_points)
        group = loops.move_points(joined, order, float(resolution))
        n_groups = int(group.max()) + 1
        if n_groups == len(group):
            break
        labels = group[labels]
        joined = loops.join_groups(joined, group, n_groups)
        n_levels += 1
    labels = by_size(labels)
    return LouvainResult(
        labels, float(resolution), modularity(links, labels, resolution=resolution), n_levels
    )


def modularity(links: Links, labels: np.ndarray, *, resolution: float = 1.0) -> float:
    """Return the modularity of groups: weight inside them beyond what their degrees let expect.

    Parameters
    ----------
    links : Links
    labels : (N,) int, >= 0
    resolution : float

    Notes
    -----
    ``Q = sum_c [ w_cc / 2m - resolution (d_c / 2m)^2 ]``, w_cc the weight inside c counted both ways, d_c its
    sum of degrees and 2m that of all: Newman 2006, doi 10.1073/pnas.0601602103, equation 1.
    """
    n_groups = int(labels.max()) + 1
    joined = loops.join_groups(links, labels.astype(np.int32), n_groups)
    volumes = degrees(joined)
    own = joined.indices == np.repeat(np.arange(n_groups), np.diff(joined.indptr))
    total = volumes.sum()
    return float(joined.weights[own].sum() / total - resolution * ((volumes / total) ** 2).sum())


def by_size(labels: np.ndarray) -> np.ndarray:
    """Give the largest group number 0 and so on; of equal ones the first to appear leads: (N,) int32."""
    first = loops.renumber(labels.astype(np.int32))
    order = np.argsort(-np.bincount(first), kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    return rank[first]
