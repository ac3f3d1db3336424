"""Do clusters come back? From subsamples of the tiles, and from other seeds."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from wootz.clustering.overlaps import jaccards
from wootz.progress import track

SUBSAMPLE_FRAC = 0.8


class Cuttable(Protocol):
    """A clustering that can be cut into any number of clusters."""

    def cut(self, n_clusters: int) -> np.ndarray:
        """Return the cluster of each point."""
        ...


def best_jaccard(labels: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how well each cluster is found again in another clustering of the same points.

    Parameters
    ----------
    labels, other : (N,) int, >= 0

    Returns
    -------
    (n_clusters,) float64 in [0, 1]
        The largest ``|A & B| / |A | B|`` over the clusters B of `other`; NaN for a cluster without points.

    References
    ----------
    Hennig 2007, doi 10.1016/j.csda.2006.11.025, section 2: above 0.75 a cluster is called stable, below 0.5
    it is gone.
    """
    n_own, n_other = int(labels.max()) + 1, int(other.max()) + 1
    both = np.bincount(labels.astype(np.int64) * n_other + other, minlength=n_own * n_other)
    both = both.reshape(n_own, n_other)
    return np.where(both.sum(axis=1) > 0, jaccards(both).max(axis=1), np.nan)


def cluster_stability(
    features: np.ndarray,
    labelings: Sequence[np.ndarray],
    *,
    regroup: Callable[[np.ndarray, np.random.Generator], Cuttable],
    rng: np.random.Generator,
    n_resamples: int = 5,
) -> list[np.ndarray]:
    """Cluster 80 % subsamples from scratch and look for the clusters of the whole in them.

    Parameters
    ----------
    features : (N, D) float32
    labelings : sequence of (N,) int
        Clusterings of the whole, each with its own number of clusters K.
    regroup : callable
        Clusters a subsample, neighbour graph and all; each labelling is compared with the cut into K.
    rng : numpy Generator
    n_resamples : int, >= 1

    Returns
    -------
    list of (K,) float64 in [0, 1]
        Mean best Jaccard of each cluster over the subsamples (`best_jaccard`), for each labelling; NaN for a
        cluster that no subsample held.
    """
    n_kept = round(SUBSAMPLE_FRAC * len(features))
    found: list[list[np.ndarray]] = [[] for _ in labelings]
    for _ in track(range(n_resamples), title="clustering subsamples"):
        rows = np.sort(rng.choice(len(features), n_kept, replace=False))
        again = regroup(features[rows], rng)
        for labels, scores in zip(labelings, found, strict=True):
            n_clusters = int(labels.max()) + 1
            padded = np.full(n_clusters, np.nan)
            score = best_jaccard(labels[rows], again.cut(n_clusters))
            padded[: len(score)] = score
            scores.append(padded)
    return [_mean_known(np.array(scores)) for scores in found]


def _mean_known(scores: np.ndarray) -> np.ndarray:
    """Average over rows, leaving NaN out; NaN where nothing is left."""
    known = np.isfinite(scores)
    total = np.where(known, scores, 0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


def mean_agreement(labelings: Sequence[np.ndarray]) -> float:
    """Return the mean adjusted Rand index between all pairs of clusterings of the same points; 1 for one."""
    from sklearn.metrics import adjusted_rand_score

    pairs = [(a, b) for i, a in enumerate(labelings) for b in labelings[:i]]
    return float(np.mean([adjusted_rand_score(a, b) for a, b in pairs])) if pairs else 1.0
