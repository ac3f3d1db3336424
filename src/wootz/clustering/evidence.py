"""How many clusters: tables of evidence, with what the same procedure finds in structureless features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wootz.clustering.communities import louvain
from wootz.clustering.config import GraphConfig
from wootz.clustering.hierarchy import Hierarchy, hierarchy
from wootz.clustering.mergetree import MergeTree
from wootz.clustering.noise import structureless
from wootz.clustering.resampling import cluster_stability, mean_agreement
from wootz.progress import say

RESOLUTIONS = (0.25, 0.5, 1.0, 2.0, 4.0)
SHARE_FLOOR = 0.01
SILHOUETTE_SAMPLE = 2_000
UMAP_DIM = 10


@dataclass(frozen=True)
class Evidence:
    """What speaks for each number of clusters.

    Parameters
    ----------
    cuts : DataFrame
        One row a number of clusters: ``n_clusters``, ``smallest`` (tiles), ``share_joined``, ``share_next``
        and ``gap`` (see `merge_gaps`), ``stability`` and ``least_stability`` (mean and smallest best Jaccard
        over clusters), ``seed_agreement`` (adjusted Rand index), ``silhouette``, ``silhouette_umap``, and
        ``gap_noise``, ``stability_noise``: the largest seen in structureless features.
    resolutions : DataFrame
        One row a resolution of Louvain's method: ``resolution``, ``n_clusters``, ``modularity``,
        ``modularity_noise``, ``seed_agreement``.
    jaccard : dict
        Stability of each cluster, (K,) for each number of clusters K.
    n_used : int
        Tiles that subsamples, seeds and structureless features were drawn from or are as many as.
    """

    cuts: pd.DataFrame
    resolutions: pd.DataFrame
    jaccard: dict[int, np.ndarray]
    n_used: int


def merge_gaps(tree: MergeTree, numbers: Sequence[int]) -> pd.DataFrame:
    """Return how sharply the link share falls where a tree is cut.

    Parameters
    ----------
    tree : MergeTree
    numbers : sequence of int, 2 to n_groups
        Numbers of clusters.

    Returns
    -------
    DataFrame
        ``n_clusters``; ``share_joined``, the smallest link share at which one of the clusters was completed
        (NaN where none was joined from smaller groups); ``share_next``, the largest at which any
        two would be joined from here on (a later join can share more than the next one); ``gap``, the log of
        the ratio of the two. Shares below one in a hundred all count as 0.01, as parted.
    """
    wanted = np.asarray(numbers, int)
    n = tree.n_groups
    ends = np.full(2 * n - 1, n - 1)  # the step at which a node is joined with another; the root never is
    steps = np.arange(n - 1)
    ends[tree.linkage[:, 0].astype(int)] = steps
    ends[tree.linkage[:, 1].astype(int)] = steps
    completed = np.concatenate([np.full(n, np.inf), tree.shares])
    starts = np.concatenate([np.full(n, -1), steps])
    joined = np.array([completed[(starts < n - k) & (ends >= n - k)].min() for k in numbers])
    joined = np.where(np.isfinite(joined), joined, np.nan)
    after = np.maximum.accumulate(tree.shares[::-1])[wanted - 2]
    gap = np.log(np.maximum(joined, SHARE_FLOOR) / np.maximum(after, SHARE_FLOOR))
    return pd.DataFrame({"n_clusters": wanted, "share_joined": joined, "share_next": after, "gap": gap})


def gather_evidence(
    features: np.ndarray, found: Hierarchy, cfg: GraphConfig, *, rng: np.random.Generator
) -> Evidence:
    """Measure what speaks for each number of clusters from 2 to `cfg.n_clusters_max`.

    Parameters
    ----------
    features : (N, D) float32
    found : Hierarchy
        Of these features.
    cfg : GraphConfig
        Above `evidence_max` tiles, subsamples and seeds are drawn from a sample of that size and compared
        with the clusters of all tiles on it; a coarser graph finds rare clusters less easily, so their
        stability is then a lower bound.
    rng : numpy Generator
    """
    numbers = list(range(2, min(cfg.n_clusters_max, found.tree.n_groups) + 1))
    rows = np.arange(len(features))
    if len(features) > cfg.evidence_max:
        rows = np.sort(rng.choice(len(features), cfg.evidence_max, replace=False))
    points = np.ascontiguousarray(features[rows])
    labelings = [found.cut(k) for k in numbers]
    on_sample = [labels[rows] for labels in labelings]
    say(f"measuring how stable 2 to {numbers[-1]} clusters are")
    jaccard = cluster_stability(
        points, on_sample, regroup=_regroup(cfg), rng=rng, n_resamples=cfg.n_resamples
    )
    base = found if len(rows) == len(features) else hierarchy(points, cfg, rng=rng)
    cuts = merge_gaps(found.tree, numbers)
    cuts.insert(1, "smallest", [int(np.bincount(labels).min()) for labels in labelings])
    cuts["stability"] = [float(np.nanmean(j)) for j in jaccard]
    cuts["least_stability"] = [float(np.nanmin(j)) for j in jaccard]
    cuts["seed_agreement"] = _seed_agreement(points, base, numbers, cfg=cfg, rng=rng)
    cuts["silhouette"], cuts["silhouette_umap"] = _silhouettes(points, on_sample, cfg=cfg, rng=rng)
    say("the same on structureless features")
    noise = [_noise(points, numbers, cfg=cfg, rng=rng) for _ in range(cfg.n_noise)]
    cuts["gap_noise"] = max(float(np.nanmax(gaps, initial=0)) for gaps, _, _ in noise)
    cuts["stability_noise"] = np.max([stability for _, stability, _ in noise], axis=0)
    resolutions = _resolutions(base, cfg=cfg, rng=rng)
    resolutions["modularity_noise"] = np.max([q for _, _, q in noise], axis=0)
    return Evidence(cuts, resolutions, dict(zip(numbers, jaccard, strict=True)), len(rows))


def _regroup(cfg: GraphConfig):
    return lambda part, rng: _Capped(hierarchy(part, cfg, rng=rng))


@dataclass(frozen=True)
class _Capped:
    """A hierarchy that gives its finest cut where it has fewer groups than are asked for."""

    whole: Hierarchy

    def cut(self, n_clusters: int) -> np.ndarray:
        return self.whole.cut(min(n_clusters, self.whole.tree.n_groups))


def _seed_agreement(
    points: np.ndarray, base: Hierarchy, numbers: Sequence[int], *, cfg: GraphConfig, rng: np.random.Generator
) -> list[float]:
    """Build the tree from other seeds on the same graph and compare the cuts."""
    others = [hierarchy(points, cfg, rng=rng, graph=base.graph) for _ in range(cfg.n_seeds - 1)]
    runs = [_Capped(h) for h in (base, *others)]
    return [mean_agreement([run.cut(k) for run in runs]) for k in numbers]


def _silhouettes(
    points: np.ndarray, labelings: Sequence[np.ndarray], *, cfg: GraphConfig, rng: np.random.Generator
) -> tuple[list[float], list[float]]:
    """Return the mean silhouettes on a sample, in the features and in UMAP dimensions (else NaN)."""
    rows = rng.permutation(len(points))[:SILHOUETTE_SAMPLE]
    own = _silhouettes_of(points[rows], [labels[rows] for labels in labelings])
    if not cfg.umap_silhouette:
        return own, [float("nan")] * len(labelings)
    from wootz.clustering.maps import umap_coordinates

    layout = umap_coordinates(
        points[rows], rng=rng, n_neighbours=30, min_dist=0.0, n_components=UMAP_DIM
    ).coordinates
    return own, _silhouettes_of(layout, [labels[rows] for labels in labelings])


def _silhouettes_of(points: np.ndarray, labelings: Sequence[np.ndarray]) -> list[float]:
    from sklearn.metrics import pairwise_distances, silhouette_score

    between = pairwise_distances(points.astype(np.float64))
    np.fill_diagonal(between, 0)
    scores = []
    for labels in labelings:
        fits = 2 <= len(np.unique(labels)) < len(labels)
        scores.append(
            float(silhouette_score(between, labels, metric="precomputed")) if fits else float("nan")
        )
    return scores


def _noise(
    points: np.ndarray, numbers: Sequence[int], *, cfg: GraphConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return gaps, stabilities (per number) and modularities (per resolution) of structureless features."""
    cloud = structureless(points, rng=rng)
    found = hierarchy(cloud, cfg, rng=rng)
    there = [k for k in numbers if k <= found.tree.n_groups]
    labelings = [found.cut(k) for k in there]
    jaccard = cluster_stability(cloud, labelings, regroup=_regroup(cfg), rng=rng, n_resamples=2)
    stability = np.full(len(numbers), float("nan"))
    stability[: len(there)] = [np.nanmean(j) for j in jaccard]
    found_q = [louvain(found.graph.links, r, rng=rng).modularity for r in RESOLUTIONS]
    return merge_gaps(found.tree, there).gap.to_numpy(), stability, np.array(found_q)


def _resolutions(base: Hierarchy, *, cfg: GraphConfig, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for resolution in RESOLUTIONS:
        runs = [louvain(base.graph.links, resolution, rng=rng) for _ in range(cfg.n_seeds)]
        best = max(runs, key=lambda run: run.modularity)
        agreed = mean_agreement([run.labels for run in runs])
        rows.append((resolution, best.n_clusters, best.modularity, agreed))
    return pd.DataFrame(rows, columns=["resolution", "n_clusters", "modularity", "seed_agreement"])
