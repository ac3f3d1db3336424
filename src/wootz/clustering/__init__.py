"""Clustering: embeddings in, candidate classes with prototypes, outliers, agreement and montages out.

Everything but the options is loaded on first use, so that ``wootz --help`` does not wait for faiss.
"""

from importlib import import_module
from typing import Any

from wootz.clustering.config import ClusterConfig, GraphConfig, KMeansConfig

_EXPORTS = {  # a submodule becomes an attribute of its package, so none may share a function's name
    "cluster": "adapter",
    "assign": "assigning",
    "AssignConfig": "assign_config",
    "AssignReport": "assigned",
    "Limits": "limits",
    "calibrate": "limits",
    "Votes": "votes",
    "neighbour_votes": "votes",
    "find_clustering": "stored",
    "Discovery": "discovery",
    "discover": "discovery",
    "Evidence": "evidence",
    "gather_evidence": "evidence",
    "merge_gaps": "evidence",
    "evidence_figure": "evidence_panel",
    "CentroidDistances": "exemplars",
    "distances_to_centroids": "exemplars",
    "outlier_scores": "exemplars",
    "prototypes": "exemplars",
    "KnnGraph": "graph",
    "knn_graph": "graph",
    "Hierarchy": "hierarchy",
    "micro_clusters": "hierarchy",
    "Links": "links",
    "LouvainResult": "communities",
    "louvain": "communities",
    "modularity": "communities",
    "KMeansResult": "lloyd",
    "kmeans": "lloyd",
    "cluster_objects": "as_objects",
    "cluster_regions": "regions",
    "Overlap": "overlaps",
    "overlap": "overlaps",
    "Association": "association",
    "associate": "association",
    "associate_images": "association",
    "Badge": "badges",
    "fit_standardisation": "standardise",
    "Remedy": "remedies",
    "Shortcuts": "shortcut_section",
    "Survey": "survey",
    "survey_factors": "survey",
    "try_remedies": "remedies",
    "HierarchicalConfig": "methods.hierarchical_options",
    "Levels": "levels",
    "hierarchical_kmeans": "levels",
    "CohnHolmConfig": "methods.options",
    "HDBSCANConfig": "methods.options",
    "WardConfig": "methods.options",
    "SeededConfig": "methods.options",
    "ConstrainedConfig": "methods.options",
    "SCANConfig": "methods.head_options",
    "TEMIConfig": "methods.head_options",
    "SeLaConfig": "methods.head_options",
    "SimGCDConfig": "methods.head_options",
    "Grouping": "methods.grouping",
    "Known": "methods.known",
    "group": "methods.build",
    "DeepClusterConfig": "training.options",
    "ClusterFitConfig": "training.options",
    "DACConfig": "training.options",
    "UmapResult": "maps",
    "umap_coordinates": "maps",
    "MergeTree": "mergetree",
    "group_links": "mergetree",
    "merge_tree": "mergetree",
    "membership_share": "outlying",
    "neighbour_outliers": "outlying",
    "Projection": "preprocess",
    "fit_pca": "preprocess",
    "l2_normalise": "preprocess",
    "project": "preprocess",
    "ClusterReport": "report",
    "best_jaccard": "resampling",
    "cluster_stability": "resampling",
    "structureless": "noise",
    "Suggestion": "suggestion",
    "suggest": "suggestion",
    "Sweep": "sweep",
    "silhouette_sweep": "sweep",
    "Agreement": "truth",
    "agreement": "truth",
    "dominant_class": "truth",
    "tile_truth": "truth",
}

__all__ = ["ClusterConfig", "GraphConfig", "KMeansConfig", *_EXPORTS]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"wootz.clustering.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'wootz.clustering' has no attribute {name!r}")
