"""How two clusterings of the same tiles share them: which cluster comes back, and how whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wootz.clustering.truth import agreement


@dataclass(frozen=True)
class Overlap:
    """Agreement between two clusterings, which need not have the same number of clusters.

    Parameters
    ----------
    nmi, ari : float
        Normalised mutual information and adjusted Rand index: symmetric, 1 where both are the same.
    n : int
        Tiles that are in a cluster of both.
    clusters : DataFrame
        ``cluster, n, other, jaccard`` of each cluster of the first clustering: see `best_overlaps`.
    """

    nmi: float
    ari: float
    n: int
    clusters: pd.DataFrame


def overlap(labels: Sequence | np.ndarray, other: Sequence | np.ndarray) -> Overlap:
    """Compare two clusterings, e.g. from two seeds, two embeddings or before and after a remedy.

    Parameters
    ----------
    labels, other : (N,) int or str
        Cluster of each tile; negative, NaN or empty means that the tile has none, and it is left out.

    Raises
    ------
    WootzError
        If the lengths differ or no tile is in a cluster of both.

    Examples
    --------
    >>> overlap([0, 0, 1, 1], [7, 7, 7, 3]).clusters.jaccard.round(2).tolist()
    [0.67, 0.5]
    """
    found = agreement(labels, other)
    return Overlap(found.nmi, found.ari, found.n, best_overlaps(found.table))


def best_overlaps(table: pd.DataFrame) -> pd.DataFrame:
    """Find for each cluster the cluster of the other clustering that shares most with it.

    Parameters
    ----------
    table : (K, L) DataFrame of counts
        One row a cluster, one column a cluster of the other clustering, e.g. `Agreement.table`.

    Returns
    -------
    DataFrame
        ``cluster, n, other, jaccard``: tiles in both over tiles in either, in [0, 1]. The first of equals.

    Notes
    -----
    Unlike a matching one to one, two clusters may name the same other one: a cluster that was split shows as
    a best overlap near the share of its larger part.

    References
    ----------
    Hennig 2007, doi 10.1016/j.csda.2006.11.025, section 3.
    """
    counts = table.to_numpy(np.float64)
    jaccard = jaccards(counts)
    best = jaccard.argmax(axis=1)
    return pd.DataFrame(
        {
            "cluster": table.index,
            "n": counts.sum(axis=1).astype(int),
            "other": table.columns[best],
            "jaccard": jaccard[np.arange(len(best)), best],
        }
    )


def jaccards(counts: np.ndarray) -> np.ndarray:
    """Divide what two clusters share by what either holds, ``|A & B| / |A | B|``; 0 for two empty ones.

    Parameters
    ----------
    counts : (K, L)
        Tiles in both, of each pair of clusters.

    Returns
    -------
    (K, L) float64 in [0, 1]
    """
    counts = np.asarray(counts, np.float64)
    either = counts.sum(axis=1, keepdims=True) + counts.sum(axis=0) - counts
    return np.divide(counts, either, out=np.zeros_like(counts), where=either > 0)
