"""From prepared features and a method's options to clusters: one match over the methods."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wootz.clustering.config import GraphConfig, KMeansConfig
from wootz.clustering.discovery import Discovery, discover
from wootz.clustering.evidence_panel import evidence_figure
from wootz.clustering.exemplars import CentroidDistances, distances_to_centroids, outlier_scores
from wootz.clustering.lloyd import kmeans
from wootz.clustering.sweep import Sweep, silhouette_sweep, sweep_figure
from wootz.errors import WootzError
from wootz.plotting import save_figure
from wootz.storage import write_json

CENTRES_CHUNK = 65_536


@dataclass(frozen=True)
class Fit:
    """Clusters by any method, with what the adapter stores and draws of them.

    Parameters
    ----------
    labels : (N,) int32
        0 is the largest cluster.
    centroids : (n_clusters, D) float32
        Means of the clusters (spherical k-means: of unit length).
    distances : CentroidDistances
    outlier_score : (N,) float64
        1 is typical of its cluster.
    stability : float
        k-means: agreement between restarts (adjusted Rand index); graph: how well the clusters come back in
        subsamples (mean Jaccard). NaN where it was not measured.
    membership : (N,) float64 in [0, 1], or None
        Share of a tile's links that stay in its cluster, where there is a neighbour graph.
    sweep : Sweep or None
    discovery : Discovery or None
    """

    labels: np.ndarray
    centroids: np.ndarray
    distances: CentroidDistances
    outlier_score: np.ndarray
    stability: float
    membership: np.ndarray | None = None
    sweep: Sweep | None = None
    discovery: Discovery | None = None

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.centroids)

    @property
    def stabilities(self) -> np.ndarray | None:
        """Stability of each cluster, (n_clusters,) in [0, 1], where it was measured."""
        return None if self.discovery is None else self.discovery.stability

    @property
    def curve(self) -> pd.DataFrame | None:
        """Table over the number of clusters, where one was made."""
        if self.sweep is not None:
            return self.sweep.curve
        evidence = self.discovery.evidence if self.discovery is not None else None
        return evidence.cuts if evidence is not None else None

    @property
    def reasons(self) -> str:
        """Why there are so many clusters, in words; empty where the number was given without evidence."""
        found = self.discovery.suggestion if self.discovery is not None else None
        if found is None:
            return ""
        if self.n_clusters == found.n_clusters:
            return found.text
        return f"{self.n_clusters} clusters as asked for; the evidence says: {found.text}"


def fit(features: np.ndarray, method: KMeansConfig | GraphConfig, *, rng: np.random.Generator) -> Fit:
    """Cluster prepared (N, D) features with a method's options.

    Raises
    ------
    WootzError
        For any reason of the method.
    """
    match method:
        case GraphConfig():
            return _fit_graph(features, method, rng=rng)
        case KMeansConfig():
            return _fit_kmeans(features, method, rng=rng)
    raise WootzError(f"method={method!r} is not known; choose graph or kmeans.")


def _fit_kmeans(features: np.ndarray, method: KMeansConfig, *, rng: np.random.Generator) -> Fit:
    """Cluster with the number that was asked for, or with the best of a sweep."""
    options = {"rng": rng, "n_init": method.n_init, "n_iter": method.n_iter, "spherical": method.spherical}
    sweep = None
    if method.n_clusters is not None:
        found = kmeans(features, method.n_clusters, **options)
    else:
        numbers = range(method.n_clusters_min, method.n_clusters_max + 1)
        sweep = silhouette_sweep(features, numbers, **options)
        found = sweep.best
    distances = distances_to_centroids(features, found.labels, found.centroids)
    scores = outlier_scores(distances.own, found.labels)
    return Fit(found.labels, found.centroids, distances, scores, found.stability, sweep=sweep)


def _fit_graph(features: np.ndarray, method: GraphConfig, *, rng: np.random.Generator) -> Fit:
    found = discover(features, method, rng=rng)
    centres = cluster_means(features, found.labels)
    if found.n_clusters > 1:
        distances = distances_to_centroids(features, found.labels, centres)
    else:  # without another cluster every tile is on the border
        own = np.linalg.norm(features - centres[0], axis=1).astype(np.float64)
        distances = CentroidDistances(own, own)
    return Fit(
        labels=found.labels,
        centroids=centres,
        distances=distances,
        outlier_score=found.outlier_score,
        stability=float("nan") if found.stability is None else float(np.nanmean(found.stability)),
        membership=found.membership,
        discovery=found,
    )


def cluster_means(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of each cluster's features: (n_clusters, D) float32, summed in double precision."""
    from scipy.sparse import csr_array

    n, n_clusters = len(labels), int(labels.max()) + 1
    total = np.zeros((n_clusters, features.shape[1]))
    for start in range(0, n, CENTRES_CHUNK):
        part = labels[start : start + CENTRES_CHUNK]
        rows = np.arange(len(part))
        member = csr_array((np.ones(len(part)), (part, rows)), shape=(n_clusters, len(part)))
        total += member @ features[start : start + CENTRES_CHUNK].astype(np.float64)
    counts = np.bincount(labels, minlength=n_clusters)[:, None]
    return (total / np.maximum(counts, 1)).astype(np.float32)


def write_evidence(found: Fit, folder: Path) -> list[Path]:
    """Write the tables behind the number of clusters and return the pictures of them."""
    if found.sweep is not None:
        found.sweep.curve.to_csv(folder / "n_clusters.csv", index=False)
        return [save_figure(sweep_figure(found.sweep), folder / "n_clusters.png")]
    if found.discovery is None or found.discovery.suggestion is None:
        return []
    suggestion, evidence = found.discovery.suggestion, found.discovery.evidence
    facts = {"n_clusters": suggestion.n_clusters, "text": suggestion.text, "others": suggestion.others}
    if found.discovery.stability is not None:
        facts["stability_per_cluster"] = np.round(found.discovery.stability, 4).tolist()
    write_json(folder / "suggestion.json", facts)
    if evidence is None:
        return []
    evidence.cuts.to_csv(folder / "n_clusters.csv", index=False)
    evidence.resolutions.to_csv(folder / "resolutions.csv", index=False)
    return [save_figure(evidence_figure(evidence, suggestion), folder / "n_clusters.png")]
