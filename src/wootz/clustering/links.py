"""A weighted, undirected graph as three arrays, which compiled loops take as one."""

from typing import NamedTuple

import numpy as np


class Links(NamedTuple):
    """Symmetric adjacency in compressed sparse rows.

    Parameters
    ----------
    indptr : (N + 1,) int64
    indices : (E,) int32
    weights : (E,) float32, > 0
        Each link stands in the rows of both its points. An entry of a point with itself is the weight inside
        it, counted both ways (a group of points that was joined into one).
    """

    indptr: np.ndarray
    indices: np.ndarray
    weights: np.ndarray

    @property
    def n_points(self) -> int:
        """Number of points."""
        return len(self.indptr) - 1


def degrees(links: Links) -> np.ndarray:
    """Add up the link weights of each point: (N,) float64; points without links have 0."""
    sums = np.concatenate([[0.0], np.cumsum(links.weights, dtype=np.float64)])
    return sums[links.indptr[1:]] - sums[links.indptr[:-1]]
