"""What every method returns, and the checks that all of them start with."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from wootz.clustering.lloyd import check_different
from wootz.clustering.preprocess import check_features
from wootz.errors import WootzError


@dataclass(frozen=True)
class Grouping:
    """Clusters of N points by any method.

    Parameters
    ----------
    labels : (N,) int32
        0 is the largest cluster; -1 for points that the method puts in none.
    probabilities : (N, n_clusters) float32, or None
        How sure the method is of each cluster; rows add up to 1, or to less where it may say "none".
    stability : float
        Agreement between restarts or heads (mean adjusted Rand index); NaN where there was one.
    loss : float
        What the method made small; NaN where it has no such number. Comparable within a method only.
    notes : tuple of str
        What a person should know before believing the clusters.
    names : tuple of str
        Name of each cluster that was named before, "" for a new one; empty where nothing was named.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None = None
    stability: float = math.nan
    loss: float = math.nan
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return int(self.labels.max()) + 1


def by_size(found: Grouping) -> Grouping:
    """Renumber clusters by size, 0 the largest, and leave out empty ones, unless they carry a name.

    Parameters
    ----------
    found : Grouping
        Labels number the columns of ``probabilities`` and the entries of ``names``, where there are such.

    Returns
    -------
    Grouping
        A note says how many clusters were left out.
    """
    wide = [] if found.probabilities is None else [found.probabilities.shape[1]]
    n = max([found.n_clusters, len(found.names), *wide])
    sizes = np.bincount(found.labels[found.labels >= 0], minlength=n)
    order = np.argsort(-sizes, kind="stable")
    named = np.array([bool(name) for name in found.names] or [False] * n)
    kept = order[sizes[order] > 0]
    rank = np.full(n + 1, -1, np.int32)  # the last entry is that of label -1
    rank[kept] = np.arange(len(kept))
    notes = list(found.notes)
    lost = [found.names[k] for k in order[len(kept) :] if named[k]]
    if lost:
        notes.append(f"No tile was put in {', '.join(lost)}.")
    if len(kept) + len(lost) < n:
        notes.append(f"{n - len(kept) - len(lost)} of {n} clusters stayed empty and were left out.")
    probabilities = found.probabilities
    if probabilities is not None:
        probabilities = probabilities[:, kept]
        if len(kept) < n:
            probabilities = probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-30)
    return dataclasses.replace(
        found,
        labels=rank[found.labels],
        probabilities=probabilities,
        notes=tuple(notes),
        names=tuple(found.names[k] for k in kept) if found.names else (),
    )


def check_points(features: np.ndarray, n_clusters: int | None) -> np.ndarray:
    """Return features as contiguous (N, D) float32 if `n_clusters` clusters can be made of them.

    Raises
    ------
    WootzError
        If no number was given or it is below 2, there are fewer (different) tiles, or features hold NaN or
        are all the same.
    """
    points = check_features(features)
    if n_clusters is None:
        raise WootzError(
            "this method needs method.n_clusters; method=graph suggests a number with its reasons."
        )
    if n_clusters < 2:
        raise WootzError(f"n_clusters={n_clusters} is too small; there must be at least 2 clusters.")
    if n_clusters > len(points):
        raise WootzError(
            f"n_clusters={n_clusters} is more than the {len(points)} tiles; ask for fewer clusters."
        )
    check_different(points, n_clusters)
    return points
