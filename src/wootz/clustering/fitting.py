"""From prepared features and a method's options to clusters: one match over the methods."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.config import GraphConfig, KMeansConfig
from wootz.clustering.discovery import Discovery, discover
from wootz.clustering.evidence_panel import evidence_figure
from wootz.clustering.exemplars import (
    CentroidDistances,
    cluster_means,
    distances_to_centroids,
    outlier_scores,
)
from wootz.clustering.lloyd import kmeans, nearest_centroid
from wootz.clustering.methods.build import group
from wootz.clustering.methods.grouping import Grouping
from wootz.clustering.methods.known import Known
from wootz.clustering.methods.names import METHODS
from wootz.clustering.sweep import Sweep, silhouette_sweep, sweep_figure
from wootz.errors import WootzError
from wootz.plotting import save_figure
from wootz.storage import write_json


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
        Share of a tile's links that stay in its cluster, where there is a neighbour graph; the probability of
        its cluster by a method that knows probabilities.
    sweep : Sweep or None
    discovery : Discovery or None
    probabilities : (N, n_clusters) float32, or None
    notes : str
        What the method wants a person to know.
    names : tuple of str
        Name of each cluster that was named before, "" for the others; empty where nothing was named.
    """

    labels: np.ndarray
    centroids: np.ndarray
    distances: CentroidDistances
    outlier_score: np.ndarray
    stability: float
    membership: np.ndarray | None = None
    sweep: Sweep | None = None
    discovery: Discovery | None = None
    probabilities: np.ndarray | None = None
    notes: str = ""
    names: tuple[str, ...] = ()

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
        """Why there are so many clusters, and what else the method says, in words; may be empty."""
        found = self.discovery.suggestion if self.discovery is not None else None
        if found is None:
            return self.notes
        if self.n_clusters == found.n_clusters:
            return found.text
        return f"{self.n_clusters} clusters as asked for; the evidence says: {found.text}"


def fit(features: np.ndarray, method: Any, *, rng: np.random.Generator, known: Known | None = None) -> Fit:
    """Cluster prepared (N, D) features with a method's options.

    Parameters
    ----------
    features : (N, D) float32
    method : dataclass
        Options of one of `wootz.clustering.methods.names.METHODS`.
    rng : numpy Generator
    known : Known, optional
        Names and pairs, for the methods that learn from them.

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
    found = group(features, method, rng=rng, known=known)
    if found is None:
        raise WootzError(f"method={method!r} is not known; choose one of {', '.join(METHODS)}.")
    return as_fit(features, found)


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
    return Fit(
        labels=found.labels,
        centroids=centres,
        distances=_distances(features, found.labels, centres),
        outlier_score=found.outlier_score,
        stability=float("nan") if found.stability is None else float(np.nanmean(found.stability)),
        membership=found.membership,
        discovery=found,
    )


def as_fit(features: np.ndarray, found: Grouping) -> Fit:
    """Complete the clusters of a method; tiles in none go to the nearest mean, with a membership of 0.

    Parameters
    ----------
    features : (N, D) float32
    found : Grouping
    """
    labels, inside = found.labels, found.labels >= 0
    if not inside.any():
        labels = np.zeros_like(labels)
    centres = (
        cluster_means(features[inside], labels[inside]) if inside.any() else cluster_means(features, labels)
    )
    if not inside.all() and inside.any():
        labels = np.where(inside, labels, nearest_centroid(features, centres)[0]).astype(np.int32)
    distances = _distances(features, labels, centres)
    membership = None
    if found.probabilities is not None:
        membership = np.where(inside, found.probabilities[np.arange(len(labels)), labels], 0.0).astype(
            np.float64
        )
    elif not inside.all():
        membership = inside.astype(np.float64)
    return Fit(
        labels=labels,
        centroids=centres,
        distances=distances,
        outlier_score=outlier_scores(distances.own, labels),
        stability=found.stability,
        membership=membership,
        probabilities=found.probabilities,
        notes=" ".join(found.notes),
        names=found.names,
    )


def _distances(features: np.ndarray, labels: np.ndarray, centres: np.ndarray) -> CentroidDistances:
    if len(centres) > 1:
        return distances_to_centroids(features, labels, centres)
    own = np.linalg.norm(features - centres[0], axis=1).astype(np.float64)
    return CentroidDistances(own, own)  # without another cluster every tile is on the border


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
