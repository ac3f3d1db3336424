"""What to look at in a cluster: its medoids, the tiles on its border and its outliers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wootz.errors import WootzError

CHUNK_ROWS = 65_536
ROLES = ("medoid", "borderline", "outlier")


@dataclass(frozen=True)
class CentroidDistances:
    """Distances of each point to the two centroids that matter.

    Parameters
    ----------
    own : (N,) float64
        Distance to the centroid of the point's own cluster.
    other : (N,) float64
        Distance to the nearest centroid of another cluster.
    """

    own: np.ndarray
    other: np.ndarray

    @property
    def margin(self) -> np.ndarray:
        """``(other - own) / (other + own)``: 0 on the border, 1 at the centroid, below 0 beyond."""
        total = self.own + self.other
        return np.divide(self.other - self.own, total, out=np.zeros_like(total), where=total > 0)


def distances_to_centroids(
    features: np.ndarray, labels: np.ndarray, centroids: np.ndarray
) -> CentroidDistances:
    """Measure each point's Euclidean distance to its own and to the nearest other centroid.

    Parameters
    ----------
    features : (N, D) float32
        As they were clustered (for spherical k-means: of unit length).
    labels : (N,) int, 0 to n_clusters - 1
    centroids : (n_clusters, D) float32, n_clusters >= 2
    """
    if len(features) != len(labels):
        raise WootzError(f"{len(features)} features and {len(labels)} labels do not belong together.")
    own, other = np.empty(len(features)), np.empty(len(features))
    centres = centroids.astype(np.float64)
    norms = np.einsum("ij,ij->i", centres, centres)
    for start in range(0, len(features), CHUNK_ROWS):
        part, rows = slice(start, start + CHUNK_ROWS), np.arange(len(features[start : start + CHUNK_ROWS]))
        points = features[part].astype(np.float64)
        squared = norms - 2 * points @ centres.T + np.einsum("ij,ij->i", points, points)[:, None]
        residual = points - centres[labels[part]]
        own[part] = np.sqrt(np.einsum("ij,ij->i", residual, residual))
        squared[rows, labels[part]] = np.inf
        other[part] = np.sqrt(np.clip(squared.min(axis=1), 0, None))
    return CentroidDistances(own, other)


def cluster_means(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of each cluster's features: (n_clusters, D) float32, summed in double precision."""
    from scipy.sparse import csr_array

    n, n_clusters = len(labels), int(labels.max()) + 1
    total = np.zeros((n_clusters, features.shape[1]))
    for start in range(0, n, CHUNK_ROWS):
        part = labels[start : start + CHUNK_ROWS]
        rows = np.arange(len(part))
        member = csr_array((np.ones(len(part)), (part, rows)), shape=(n_clusters, len(part)))
        total += member @ features[start : start + CHUNK_ROWS].astype(np.float64)
    counts = np.bincount(labels, minlength=n_clusters)[:, None]
    return (total / np.maximum(counts, 1)).astype(np.float32)


def outlier_scores(distance: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each point's distance to its centroid over the median distance in its cluster.

    Parameters
    ----------
    distance : (N,) float, >= 0
        Distance of each point to the centroid of its cluster.
    labels : (N,) int

    Returns
    -------
    (N,) float64, >= 0
        1 is typical, 3 is three times as far out as usual in this cluster. In a cluster whose median is zero
        (duplicates) the mean stands in for it; all zeros give 1.
    """
    frame = pd.DataFrame({"d": np.asarray(distance, float), "k": labels})
    groups = frame.groupby("k").d
    scale = groups.transform("median")
    scale = scale.where(scale > 0, groups.transform("mean"))
    return np.where(scale > 0, frame.d / scale.where(scale > 0, 1.0), 1.0)


def prototypes(
    distances: CentroidDistances,
    labels: np.ndarray,
    *,
    n_each: int,
    groups: Sequence | np.ndarray | None = None,
) -> pd.DataFrame:
    """Choose the tiles that show what a cluster is, where it ends and what does not belong.

    Parameters
    ----------
    distances : CentroidDistances
    labels : (N,) int
    n_each : int, >= 1
        Tiles per cluster and role; fewer in small clusters, and no tile has two roles.
    groups : (N,) optional
        Image of each tile: a second tile of an image is taken only once every image has had its turn, so that
        eight overlapping crops of one field do not stand for a cluster.

    Returns
    -------
    DataFrame
        ``cluster, role, rank, row`` (row is the position in the arrays), ``distance``, ``outlier_score``,
        ``margin``. Roles are ``medoid`` (nearest to the centroid: for squared Euclidean distances exactly the
        points with the smallest sum of distances to the others), ``borderline`` (smallest margin to the next
        cluster) and ``outlier`` (largest distance relative to the cluster).
    """
    scores, margin = outlier_scores(distances.own, labels), distances.margin
    groups = np.asarray(groups) if groups is not None else np.arange(len(labels))
    records = []
    for cluster in np.unique(labels):
        rows = np.flatnonzero(labels == cluster)
        n = min(n_each, max(1, len(rows) // len(ROLES)))
        taken: set[int] = set()
        # outliers before borderline tiles: what is far from every cluster is an outlier first
        for role, key in (("medoid", distances.own), ("outlier", -scores), ("borderline", margin)):
            ordered = rows[np.argsort(key[rows], kind="stable")]
            picked = _one_per_group([int(r) for r in ordered if int(r) not in taken], groups, n)
            taken.update(picked)
            records += [(int(cluster), role, rank, row) for rank, row in enumerate(picked)]
    table = pd.DataFrame(records, columns=["cluster", "role", "rank", "row"])
    at = table.row.to_numpy()
    return table.assign(distance=distances.own[at], outlier_score=scores[at], margin=margin[at])


def _one_per_group(rows: list[int], groups: np.ndarray, n: int) -> list[int]:
    """Return the first `n` rows, taking a group again only when every group has had its turn."""
    return [row for _, row in zip(range(n), _in_turns(rows, groups), strict=False)]


def _in_turns(rows: list[int], groups: np.ndarray) -> Iterator[int]:
    while rows:
        seen, later = set(), []
        for row in rows:
            if groups[row] in seen:
                later.append(row)
            else:
                seen.add(groups[row])
                yield row
        rows = later
