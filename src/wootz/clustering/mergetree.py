"""A tree of groups: which are linked most, joined step by step, and the cut into any number of clusters."""

from dataclasses import dataclass

import numpy as np

from wootz.clustering.community_loops import join_groups
from wootz.clustering.links import Links
from wootz.compiled import compiled

MAX_GROUPS = 10_000


@dataclass(frozen=True)
class MergeTree:
    """Groups joined pair by pair.

    Parameters
    ----------
    linkage : (n_groups - 1, 4) float64
        As scipy's linkage matrix: the two groups (those that were joined before count on from n_groups), the
        distance ``1 - share``, and how many of the first groups are in the new one. Distances may go down a
        little from one row to the next: a joined group is linked to a third by the sum of its parts' links.
    shares : (n_groups - 1,) float64, in [0, 1]
        Link share of the two groups at each step.
    """

    linkage: np.ndarray
    shares: np.ndarray

    @property
    def n_groups(self) -> int:
        """Number of groups before any is joined."""
        return len(self.shares) + 1

    def cut(self, n_clusters: int) -> np.ndarray:
        """Undo the last joins until there are `n_clusters`: (n_groups,) int32, by first appearance.

        Raises
        ------
        ValueError
            If there are not so many groups, or fewer than one is asked for.
        """
        if not 1 <= n_clusters <= self.n_groups:
            raise ValueError(f"{self.n_groups} groups cannot be cut into {n_clusters} clusters")
        parent = np.arange(2 * self.n_groups - 1)
        for step in range(self.n_groups - n_clusters):
            parent[self.linkage[step, :2].astype(np.int64)] = self.n_groups + step
        for node in range(len(parent) - 1, -1, -1):  # a parent has a higher number than its children
            parent[node] = parent[parent[node]]
        return np.unique(parent[: self.n_groups], return_inverse=True)[1].astype(np.int32)


def group_links(links: Links, labels: np.ndarray) -> np.ndarray:
    """Add up the link weights between groups.

    Parameters
    ----------
    links : Links
    labels : (N,) int
        Group of each point, 0 to n_groups - 1.

    Returns
    -------
    (n_groups, n_groups) float64
        Symmetric; the diagonal is the weight inside each group, counted both ways, so that rows add up to the
        degrees.
    """
    n_groups = int(labels.max()) + 1
    joined = join_groups(links, labels.astype(np.int32), n_groups)
    table = np.zeros((n_groups, n_groups))
    table[np.repeat(np.arange(n_groups), np.diff(joined.indptr)), joined.indices] = joined.weights
    return table


def merge_tree(between: np.ndarray) -> MergeTree:
    """Join groups step by step, each time the two with the largest link share.

    Parameters
    ----------
    between : (n_groups, n_groups) float, >= 0
        Symmetric link weights, from `group_links`.

    Raises
    ------
    ValueError
        For a table that is not square and symmetric, or of more than 10,000 groups.

    Notes
    -----
    The share of groups a and b is ``w_ab / min(d_a, d_b)``: which part of the smaller one's links leads to
    the other. Pieces of one dense region share many of their links whatever their size, and classes parted by
    a sparse region few, so rare classes survive. Dividing by the product of the degrees instead (the quotient
    that modularity compares with 1) raises the share of small groups without bound.

    It misleads where two classes touch along a dense border.
    """
    if len(between) > MAX_GROUPS:
        raise ValueError(f"{len(between)} groups are too many for a tree; start from at most {MAX_GROUPS}")
    if between.ndim != 2 or not np.allclose(between, between.T):
        raise ValueError(f"link weights must be square and symmetric, not {between.shape}")
    return MergeTree(*_join_all(between.astype(np.float64)))


@compiled
def _join_all(between: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join until one group is left; each row remembers its best partner, so a step costs one pass."""
    n = len(between)
    volume = between.sum(axis=1)
    node = np.arange(n)
    size = np.ones(n)
    alive = np.ones(n, np.bool_)
    best = np.full(n, -1)
    share = np.full(n, -1.0)
    linkage = np.empty((n - 1, 4))
    shares = np.empty(n - 1)
    for i in range(n):
        _look(i, between, (volume, alive, best, share))
    for step in range(n - 1):
        a = -1
        for i in range(n):
            if alive[i] and best[i] >= 0 and (a < 0 or share[i] > share[a]):
                a = i
        b = best[a]
        size[a] += size[b]
        linkage[step, 0] = min(node[a], node[b])
        linkage[step, 1] = max(node[a], node[b])
        linkage[step, 2] = 1.0 - share[a]
        linkage[step, 3] = size[a]
        shares[step] = share[a]
        node[a] = n + step
        alive[b] = False
        between[a, a] += between[b, b] + 2.0 * between[a, b]
        volume[a] += volume[b]
        for i in range(n):
            if alive[i] and i != a:
                between[a, i] += between[b, i]
                between[i, a] = between[a, i]
        _look(a, between, (volume, alive, best, share))
        for i in range(n):
            if not alive[i] or i == a:
                continue
            if best[i] == a or best[i] == b:
                _look(i, between, (volume, alive, best, share))
            else:
                now = _share(between[i, a], volume[i], volume[a])
                if now > share[i]:
                    best[i], share[i] = a, now
    return linkage, shares


@compiled
def _share(weight: float, one: float, other: float) -> float:
    smaller = min(one, other)
    return min(weight / smaller, 1.0) if smaller > 0 else 0.0


@compiled
def _look(
    row: int, between: np.ndarray, state: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
) -> None:
    """Find the partner of a row that shares most."""
    volume, alive, best, share = state
    best[row], share[row] = -1, -1.0
    for j in range(len(between)):
        if alive[j] and j != row:
            now = _share(between[row, j], volume[row], volume[j])
            if now > share[row]:
                best[row], share[row] = j, now
