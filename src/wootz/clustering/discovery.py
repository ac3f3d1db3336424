"""The default chain on an array: neighbour graph, small groups, merge tree, evidence, clusters, outliers."""

from dataclasses import dataclass

import numpy as np

from wootz.clustering.communities import louvain
from wootz.clustering.config import GraphConfig
from wootz.clustering.evidence import Evidence, gather_evidence
from wootz.clustering.hierarchy import Hierarchy, hierarchy
from wootz.clustering.outlying import membership_share, neighbour_outliers
from wootz.clustering.preprocess import check_features
from wootz.clustering.suggestion import Suggestion, suggest
from wootz.errors import WootzError


@dataclass(frozen=True)
class Discovery:
    """Clusters that the default chain found.

    Parameters
    ----------
    labels : (N,) int32
        Cluster of each point, 0 is the largest; all 0 where there are no stable clusters.
    hierarchy : Hierarchy
        Graph, small groups and merge tree; ``hierarchy.cut(n)`` gives any other number of clusters.
    outlier_score : (N,) float64, >= 0
        1 is typical, 3 is three times as far from its neighbours as usual in the cluster.
    membership : (N,) float64 in [0, 1]
        Share of a point's links that stay in its cluster.
    stability : (n_clusters,) float64 in [0, 1], or None
        Mean best Jaccard of each cluster over subsamples, where evidence was gathered for this number.
    evidence : Evidence or None
    suggestion : Suggestion or None
        What the evidence speaks for, also where another number was asked for.
    """

    labels: np.ndarray
    hierarchy: Hierarchy
    outlier_score: np.ndarray
    membership: np.ndarray
    stability: np.ndarray | None
    evidence: Evidence | None
    suggestion: Suggestion | None

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return int(self.labels.max()) + 1


def discover(features: np.ndarray, cfg: GraphConfig | None = None, *, rng: np.random.Generator) -> Discovery:
    """Find clusters by the default chain.

    Parameters
    ----------
    features : (N, D) float32
        Ready for clustering (see `wootz.clustering.preprocess`): of unit length unless lengths count.
    cfg : GraphConfig, optional
    rng : numpy Generator

    Raises
    ------
    WootzError
        For NaN, features that are all the same, too few (different) points, or a number of clusters that the
        tree cannot be cut into.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> points = rng.normal(size=(300, 4)) + 9 * np.repeat(np.eye(3, 4), 100, axis=0)
    >>> cfg = GraphConfig(umap_silhouette=False, n_clusters_max=8)
    >>> discover(points, cfg, rng=rng).n_clusters
    3
    """
    cfg = GraphConfig() if cfg is None else cfg
    points = check_features(features)
    found = hierarchy(points, cfg, rng=rng)
    wanted = cfg.n_clusters
    if wanted is not None and wanted > found.tree.n_groups:
        raise WootzError(
            f"method.n_clusters={wanted} is more than the {found.tree.n_groups} groups that the tree starts "
            "from; ask for fewer clusters or raise method.leaf_resolution."
        )
    evidence = suggestion = stability = None
    if cfg.evidence and found.tree.n_groups > 1:
        evidence = gather_evidence(points, found, cfg, rng=rng)
        suggestion = suggest(evidence.cuts)
    elif cfg.evidence:
        suggestion = Suggestion(1, ("No stable clusters.", "The neighbour graph does not come apart."))
    if cfg.resolution is not None:
        labels = louvain(found.graph.links, cfg.resolution, rng=rng).labels
    else:
        number = wanted if wanted is not None else (suggestion.n_clusters if suggestion else 1)
        labels = found.cut(number)
        stability = evidence.jaccard.get(number) if evidence is not None else None
    return Discovery(
        labels=labels,
        hierarchy=found,
        outlier_score=neighbour_outliers(found.graph, labels),
        membership=membership_share(found.graph.links, labels),
        stability=stability,
        evidence=evidence,
        suggestion=suggestion,
    )
