"""The two loops of Louvain's method on a graph: moving points, joining groups."""

import numpy as np

from wootz.clustering.links import Links
from wootz.compiled import compiled

MIN_GAIN = 1e-10


@compiled
def move_points(links: Links, order: np.ndarray, resolution: float) -> np.ndarray:
    """Move single points to the neighbouring group that gains most, until no move gains.

    Parameters
    ----------
    links : Links
    order : (N,) int64
        In which the points are first looked at. Later only the neighbours of points that moved are.
    resolution : float

    Returns
    -------
    (N,) int32
        Group of each point, numbered from 0 by first appearance.
    """
    indptr, indices, weights = links
    n = len(indptr) - 1
    degrees = np.zeros(n)
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            degrees[i] += weights[e]
    group = np.arange(n).astype(np.int32)
    volume = degrees.copy()
    scale = resolution / degrees.sum()
    queue = order.copy()
    waiting = np.ones(n, np.bool_)
    head, n_waiting = 0, n
    to_group = np.zeros(n)
    touched = np.empty(n, np.int32)
    while n_waiting:
        point = queue[head]
        head = head + 1 if head + 1 < n else 0
        n_waiting -= 1
        waiting[point] = False
        old = group[point]
        n_touched = 0
        for e in range(indptr[point], indptr[point + 1]):
            other = indices[e]
            if other == point:
                continue
            g = group[other]
            if to_group[g] == 0.0:
                touched[n_touched] = g
                n_touched += 1
            to_group[g] += weights[e]
        degree = degrees[point]
        volume[old] -= degree
        best = old
        best_gain = to_group[old] - scale * degree * volume[old] + MIN_GAIN * degree
        for t in range(n_touched):
            g = touched[t]
            gain = to_group[g] - scale * degree * volume[g]
            if gain > best_gain:
                best, best_gain = g, gain
            to_group[g] = 0.0
        to_group[old] = 0.0
        volume[best] += degree
        if best == old:
            continue
        group[point] = best
        for e in range(indptr[point], indptr[point + 1]):
            other = indices[e]
            if not waiting[other] and group[other] != best:
                tail = head + n_waiting
                queue[tail if tail < n else tail - n] = other
                waiting[other] = True
                n_waiting += 1
    return renumber(group)


@compiled
def renumber(group: np.ndarray) -> np.ndarray:
    """Give groups numbers from 0 in the order of their first point: (N,) int32."""
    new = np.full(group.max() + 1, -1, np.int32)
    out = np.empty(len(group), np.int32)
    count = 0
    for i in range(len(group)):
        if new[group[i]] < 0:
            new[group[i]] = count
            count += 1
        out[i] = new[group[i]]
    return out


@compiled
def join_groups(links: Links, group: np.ndarray, n_groups: int) -> Links:
    """Add up the links between groups 0 to n_groups - 1; what lies inside a group is its own entry."""
    indptr, indices, weights = links
    n = len(group)
    first = np.zeros(n_groups + 1, np.int64)
    for i in range(n):
        first[group[i] + 1] += 1
    first = np.cumsum(first)
    end = first[:-1].copy()
    members = np.empty(n, np.int64)
    for i in range(n):
        members[end[group[i]]] = i
        end[group[i]] += 1
    total = np.zeros(n_groups)
    touched = np.empty(n_groups, np.int32)
    new_indptr = np.zeros(n_groups + 1, np.int64)
    new_indices = np.empty(len(indices), np.int32)
    new_weights = np.empty(len(indices), np.float32)  # summed in float64; one type is compiled once
    at = 0
    for g in range(n_groups):
        n_touched = 0
        for m in range(first[g], first[g + 1]):
            i = members[m]
            for e in range(indptr[i], indptr[i + 1]):
                other = group[indices[e]]
                if total[other] == 0.0:
                    touched[n_touched] = other
                    n_touched += 1
                total[other] += weights[e]
        for t in range(n_touched):
            new_indices[at] = touched[t]
            new_weights[at] = total[touched[t]]
            total[touched[t]] = 0.0
            at += 1
        new_indptr[g + 1] = at
    return Links(new_indptr, new_indices[:at].copy(), new_weights[:at].copy())
