"""Loops over neighbour lists: without the point itself, undirected, weighted by shared neighbours."""

import numpy as np

from wootz.compiled import compiled


@compiled
def without_self(found: np.ndarray, squared: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Drop each point from its own list: (n, k + 1) int64 and squared distances -> (n, k) of each.

    Where copies of a point push it out of its own list, the farthest entry goes instead; entries that an
    inverted file left empty (-1) stay -1 at infinite distance.
    """
    n, width = found.shape
    neighbours = np.full((n, width - 1), -1, np.int32)
    distances = np.full((n, width - 1), np.inf, np.float32)
    for i in range(n):
        at = 0
        for j in range(width):
            if found[i, j] == first + i or found[i, j] < 0 or at == width - 1:
                continue
            neighbours[i, at] = found[i, j]
            distances[i, at] = np.sqrt(max(squared[i, j], 0.0))
            at += 1
    return neighbours, distances


@compiled
def undirected(neighbours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join points where one lists the other: (N, k) int32, -1 for none -> indptr (N + 1,), indices (E,)."""
    n, k = neighbours.shape
    room = np.zeros(n + 1, np.int64)
    for i in range(n):
        for j in range(k):
            other = neighbours[i, j]
            if other >= 0:
                room[i + 1] += 1
                room[other + 1] += 1
    room = np.cumsum(room)
    end = room[:-1].copy()
    both = np.empty(room[-1], np.int32)
    for i in range(n):
        for j in range(k):
            other = neighbours[i, j]
            if other >= 0:
                both[end[i]] = other
                end[i] += 1
                both[end[other]] = i
                end[other] += 1
    indptr = np.zeros(n + 1, np.int64)
    at = 0
    for i in range(n):
        row = np.sort(both[room[i] : end[i]])
        for j in range(len(row)):
            if j == 0 or row[j] != row[j - 1]:
                both[at] = row[j]  # never ahead of what is still to be read
                at += 1
        indptr[i + 1] = at
    return indptr, both[:at].copy()


@compiled
def jaccard(neighbours: np.ndarray, indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Weigh each link by the shared part of the two neighbourhoods, each with its own point: (E,) float32."""
    n, k = neighbours.shape
    sets = np.empty((n, k + 1), np.int32)
    sets[:, :k] = neighbours
    for i in range(n):
        sets[i, k] = i
        sets[i].sort()
    weights = np.empty(len(indices), np.float32)
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            other = indices[e]
            a, b, shared, size_a, size_b = 0, 0, 0, 0, 0
            while a <= k or b <= k:
                if b > k or (a <= k and sets[i, a] < sets[other, b]):
                    size_a += sets[i, a] >= 0
                    a += 1
                elif a > k or sets[other, b] < sets[i, a]:
                    size_b += sets[other, b] >= 0
                    b += 1
                else:
                    shared += sets[i, a] >= 0
                    a += 1
                    b += 1
            weights[e] = shared / max(size_a + size_b + shared, 1)
    return weights
