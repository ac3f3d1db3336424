"""How far from its neighbours a member of a cluster usually is, and from where on a point is no member."""

import math
from dataclasses import dataclass

import numpy as np

from wootz.clustering.votes import Votes, votes_without_own_group

SAMPLE_EACH = 200


@dataclass(frozen=True)
class Limits:
    """Limits of the distance to the nearest members, for points that are voted into each cluster.

    Parameters
    ----------
    limit : (K,) float64
        Points further than this are none of the clusters.
    median : (K,) float64
        What is usual.
    n : (K,) int64
        Members that the limit rests on.
    rate : (K,) float64 in (0, 1)
        Share of members that is expected beyond the limit, at most.
    """

    limit: np.ndarray
    median: np.ndarray
    n: np.ndarray
    rate: np.ndarray

    def reject(self, votes: Votes) -> np.ndarray:
        """Say which points are none of the clusters: (n,) bool."""
        return votes.distance > self.limit[votes.labels]


def calibrate(
    members: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    rng: np.random.Generator,
    rate: float = 0.05,
    n_neighbors: int = 10,
    n_max: int = 5_000,
) -> Limits:
    """Find the limits from the members themselves.

    Parameters
    ----------
    members : (N, D) float32
    labels : (N,) int, 0 to K - 1
    groups : (N,) int
        What new points come in, e.g. the image of each member: neighbours of the same group do not count,
        because points of a new group have none in theirs. With one group, each member is its own group.
    rng : numpy Generator
        Draws the members that are looked at, where there are more than `n_max`.
    rate : float, in (0, 1)
        Share of the members that may be rejected.
    n_neighbors : int
    n_max : int, >= 1
        Members that are looked at; of small clusters up to 200 in any case.

    Returns
    -------
    Limits

    Raises
    ------
    ValueError
        If `rate` is not in (0, 1).

    Notes
    -----
    Split conformal prediction by category, the category being the cluster that is voted for: of n members
    that are voted into a cluster, the limit is the ``ceil((n + 1)(1 - rate))``-th smallest distance. A new
    point that is drawn like a member is then beyond it with a probability of at most `rate`, whatever the
    distribution (exactly so for one more group drawn like the others; the members' own distances are taken
    with their group left out, and the new point's with all members). Where n is less than ``1 / rate - 1``,
    the limit is the largest distance, or that of all clusters together if it is larger, and the rate is
    ``1 / (n + 1)``.

    It says that a point is unlike the members. It does not say that it is of a new class: another
    instrument or magnification moves points too.

    References
    ----------
    Vovk et al. 2005, Algorithmic Learning in a Random World, section 4.5 (Mondrian conformal predictors);
    Lei et al. 2018 (split conformal), doi 10.1080/01621459.2017.1307116, section 2.2.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate={rate!r} must lie between 0 and 1")
    groups = np.unique(groups, return_inverse=True)[1]
    if groups.max() == 0:
        groups = np.arange(len(members))
    rows = sample_members(labels, rng=rng, n_max=n_max, n_each=SAMPLE_EACH)
    votes = votes_without_own_group(rows, members, labels, groups=groups, n_neighbors=n_neighbors)
    n_clusters = int(labels.max()) + 1
    pooled = _quantile(votes.distance, rate)
    limit, median = np.full(n_clusters, pooled), np.full(n_clusters, np.median(votes.distance))
    counts, rates = np.zeros(n_clusters, np.int64), np.full(n_clusters, rate)
    for k in np.unique(votes.labels):
        distances = votes.distance[votes.labels == k]
        counts[k], median[k] = len(distances), np.median(distances)
        limit[k] = _quantile(distances, rate)
        if _rank(len(distances), rate) > len(distances):
            limit[k], rates[k] = max(limit[k], pooled), 1 / (len(distances) + 1)
    return Limits(limit, median, counts, rates)


def sample_members(labels: np.ndarray, *, rng: np.random.Generator, n_max: int, n_each: int) -> np.ndarray:
    """Draw members at random, and more of clusters of which fewer than `n_each` would come: (n,) int."""
    if len(labels) <= n_max:
        return np.arange(len(labels))
    order = rng.permutation(len(labels))
    drawn = np.zeros(len(labels), bool)
    drawn[order[:n_max]] = True
    for k, n in enumerate(np.bincount(labels[drawn], minlength=int(labels.max()) + 1)):
        if n < n_each:
            more = order[labels[order] == k]
            drawn[more[:n_each]] = True
    return np.flatnonzero(drawn)


def _rank(n: int, rate: float) -> int:
    return math.ceil((n + 1) * (1 - rate) - 1e-9)  # 20 * 0.95 is a little more than 19 in binary


def _quantile(distances: np.ndarray, rate: float) -> float:
    """Return the conformal quantile; the largest distance where there are too few for it."""
    rank = min(_rank(len(distances), rate), len(distances))
    return float(np.partition(distances, rank - 1)[rank - 1])
