"""What the nearest members of clusters say of a point: which cluster it is of, and how far away they are."""

from dataclasses import dataclass

import numpy as np

from wootz.clustering.lloyd import one_thread_if_small

CHUNK_ROWS = 4_096
TINY = 1e-12


@dataclass(frozen=True)
class Votes:
    """The vote of each point's nearest members.

    Parameters
    ----------
    labels : (n,) int32
        Cluster with the largest share of the vote.
    share : (n,) float64 in (0, 1]
        Its share.
    distance : (n,) float64, >= 0
        Mean Euclidean distance to the nearest members, of whatever cluster.
    """

    labels: np.ndarray
    share: np.ndarray
    distance: np.ndarray


def neighbour_votes(
    points: np.ndarray, members: np.ndarray, labels: np.ndarray, *, n_neighbors: int = 10
) -> Votes:
    """Let the nearest members vote on each point.

    Parameters
    ----------
    points : (n, D) float32
    members : (N, D) float32
        Points that are in a cluster, prepared in the same way.
    labels : (N,) int, >= 0
        Their clusters.
    n_neighbors : int, 1 to N

    Returns
    -------
    Votes

    Notes
    -----
    A vote weighs ``1 / d²``: the few members of a rare cluster are near to a point of it, and are not
    outvoted by the many members of a large cluster further away. All members are compared (no approximate
    search).

    References
    ----------
    Dudani 1976 (distance-weighted neighbours), doi 10.1109/TSMC.1976.5408784.
    """
    import faiss

    if not 1 <= n_neighbors <= len(members):
        raise ValueError(f"n_neighbors={n_neighbors} must be 1 to the number of members, {len(members)}")
    index = faiss.IndexFlatL2(members.shape[1])
    index.add(np.ascontiguousarray(members, np.float32))
    found, squared = np.empty((len(points), n_neighbors), np.int64), np.empty((len(points), n_neighbors))
    with one_thread_if_small(points.size * len(members)):
        for start in range(0, len(points), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            squared[part], found[part] = index.search(np.ascontiguousarray(points[part]), n_neighbors)
    return _count(labels[found], squared)


def votes_without_own_group(
    rows: np.ndarray, members: np.ndarray, labels: np.ndarray, *, groups: np.ndarray, n_neighbors: int = 10
) -> Votes:
    """Let members vote on members, each time without those of the same group.

    Parameters
    ----------
    rows : (n,) int
        Members that are voted on.
    members : (N, D) float32
    labels : (N,) int, >= 0
    groups : (N,) int
        Group of each member, e.g. its image.
    n_neighbors : int
        Fewer where the other groups have fewer members.

    Raises
    ------
    ValueError
        If all members are of one group.
    """
    import faiss

    order = np.argsort(groups, kind="stable")  # a group is then a range of numbers, which faiss can leave out
    points = np.ascontiguousarray(members[order], np.float32)
    sizes = np.bincount(groups)
    if sizes.max() == len(members):
        raise ValueError("all members are of one group")
    first = np.cumsum(sizes) - sizes
    k = int(min(n_neighbors, len(members) - sizes.max()))
    found, squared = np.empty((len(rows), k), np.int64), np.empty((len(rows), k))
    index = faiss.IndexFlatL2(members.shape[1])
    index.add(points)
    own = groups[rows]
    with one_thread_if_small(len(rows) * members.size):
        for group in np.unique(own):
            here = np.flatnonzero(own == group)
            others = faiss.IDSelectorNot(
                faiss.IDSelectorRange(int(first[group]), int(first[group] + sizes[group]))
            )
            search = faiss.SearchParameters(sel=others)  # pyright: ignore[reportCallIssue]
            asked = np.ascontiguousarray(members[rows[here]], np.float32)
            squared[here], found[here] = index.search(asked, k, params=search)
    return _count(labels[order][found], squared)


def _count(labels: np.ndarray, squared: np.ndarray) -> Votes:
    """Count the weighted votes of (n, k) labels at (n, k) squared distances."""
    squared = np.clip(squared, 0.0, None)
    scale = squared.mean(axis=1, keepdims=True)
    weights = 1.0 / (squared + TINY + 1e-6 * scale)  # equal ones where all neighbours are copies of the point
    weights /= weights.sum(axis=1, keepdims=True)
    same = labels[:, :, None] == labels[:, None, :]
    shares = (same * weights[:, None, :]).sum(axis=2)  # of the cluster of each neighbour, nearest first
    best = shares.argmax(axis=1)
    rows = np.arange(len(labels))
    share = np.clip(shares[rows, best], 0.0, 1.0)
    return Votes(labels[rows, best].astype(np.int32), share, np.sqrt(squared).mean(axis=1))
