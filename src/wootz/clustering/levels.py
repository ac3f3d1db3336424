"""Hierarchical k-means: pieces to small groups, small groups to groups, groups to clusters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from wootz.clustering.config import GraphConfig
from wootz.clustering.discovery import Discovery, discover
from wootz.clustering.exemplars import outlier_scores
from wootz.clustering.lloyd import count_different, kmeans
from wootz.clustering.methods.hierarchical_options import HierarchicalConfig
from wootz.clustering.pieces import FirstLevel, Piece
from wootz.errors import WootzError
from wootz.jobs import run_jobs
from wootz.progress import say

N_INIT = 5


@dataclass(frozen=True)
class Levels:
    """Clusters of tiles that were never in memory together.

    Parameters
    ----------
    labels : (N,) int32
        Cluster of each tile, 0 is the largest.
    outlier_score : (N,) float64
        Distance to the centroid of its small group over the median of its cluster.
    centroids : (K, D) float32
        Means of all tiles of each cluster.
    n_small, n_groups : int
        Groups after the first and the second level; they are equal where the second was not needed.
    inertia : float
        Sum of the squared distances of all tiles to the mean of their cluster.
    discovery : Discovery or None
        Of the chain on the groups; its arrays are over groups, ``stability`` over clusters.
    """

    labels: np.ndarray
    outlier_score: np.ndarray
    centroids: np.ndarray
    n_small: int
    n_groups: int
    inertia: float
    discovery: Discovery | None


def hierarchical_kmeans(
    pieces: Sequence[tuple[Piece, np.ndarray]],
    cfg: HierarchicalConfig,
    *,
    first: FirstLevel,
    rng: np.random.Generator,
) -> Levels:
    """Cluster pieces of features; pieces whose files are there are not done again.

    Parameters
    ----------
    pieces : sequence of (Piece, (m,) int)
        From `wootz.clustering.pieces.cut_pieces`: all tiles once.
    cfg : HierarchicalConfig
    first : FirstLevel
        How the first level works and where its files stand.
    rng : numpy Generator
        Draws the second level and what is above.

    Raises
    ------
    WootzError
        For too few (different) tiles, NaN, a job that died, or any reason of the chain on the groups.

    Notes
    -----
    First level: k-means in each piece by itself. Second: k-means of the small groups' centroids, each
    weighing as many tiles as it has, to `n_second` groups. Top: the default chain on the groups, or weighted
    k-means of the small groups to `n_clusters`. Means of means with these weights are the means of all tiles,
    and squared distances add up level by level, so centroids and inertia are exact; only the boundaries
    between clusters are those of small groups.

    In memory are one piece with its features (about 4 times ``piece_rows x D x 4`` bytes), all centroids
    (``n_first x pieces x D x 4`` bytes), and about 60 bytes for each tile.

    Misleads for classes with fewer tiles in a piece than a small group has (some ten): they are averaged with
    their neighbours. The chain sees groups, not tiles: dense regions have more groups, but not in proportion.

    References
    ----------
    Vo et al. 2024 (hierarchical k-means for curation), arXiv 2405.15613, section 3.2; Guha et al. 2003
    (k-means of weighted centroids over a stream), doi 10.1109/TKDE.2003.1198387.
    """
    todo = [piece for piece, _ in pieces if not first.is_done(piece)]
    if len(todo) < len(pieces):
        say(f"{len(pieces) - len(todo)} of {len(pieces)} pieces were done before")
    run_jobs(first.work, todo, cfg.jobs, folder=first.folder / "jobs", title="clustering pieces")
    found = [first.load(piece, centroids_only=True) for piece, _ in pieces]
    centroids = np.concatenate([one.centroids for one in found])
    weights = np.concatenate([one.weights for one in found])
    offsets = np.cumsum([0, *(len(one.weights) for one in found)])
    top, n_groups, discovery = _join(centroids, weights, cfg, rng=rng)
    mass = np.bincount(top, weights=weights)
    order = np.argsort(-mass, kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    top = rank[top]
    if discovery is not None and discovery.stability is not None:
        discovery = replace(discovery, stability=discovery.stability[order])
    means = _weighted_means(centroids, weights, top)
    n_tiles = sum(len(tiles) for _, tiles in pieces)
    labels, distance = np.empty(n_tiles, np.int32), np.empty(n_tiles, np.float32)
    inertia = float((weights * np.square(centroids - means[top]).sum(axis=1)).sum())
    for (piece, tiles), offset in zip(pieces, offsets[:-1], strict=True):
        one = first.load(piece)
        labels[tiles] = top[offset + one.labels]
        distance[tiles] = one.distance
        inertia += float(np.square(one.distance, dtype=np.float64).sum())
    scores = outlier_scores(distance, labels)
    means = means.astype(np.float32)
    return Levels(labels, scores, means, len(centroids), n_groups, inertia, discovery)


def _join(
    centroids: np.ndarray, weights: np.ndarray, cfg: HierarchicalConfig, *, rng: np.random.Generator
) -> tuple[np.ndarray, int, Discovery | None]:
    """Join small groups to clusters: cluster of each, number of groups in between, and the chain's result."""
    if cfg.top == "kmeans":
        if cfg.n_clusters is None:
            raise WootzError("method.top=kmeans needs method.n_clusters; top=graph finds the number itself.")
        joined = kmeans(centroids, cfg.n_clusters, rng=rng, n_init=N_INIT, weights=weights)
        return joined.labels, len(centroids), None
    groups, points = np.arange(len(centroids)), centroids
    if len(centroids) > cfg.n_second:
        n_groups = count_different(centroids, cfg.n_second)
        say(f"joining {len(centroids)} small groups to {n_groups} groups")
        second = kmeans(centroids, n_groups, rng=rng, n_init=1, n_iter=cfg.n_iter, weights=weights)
        groups = np.unique(second.labels, return_inverse=True)[1]
        points = _weighted_means(centroids, weights, groups).astype(np.float32)
    say(f"clustering {len(points)} groups")
    found = discover(points, GraphConfig(n_clusters=cfg.n_clusters), rng=rng)
    return found.labels[groups], len(points), found


def _weighted_means(points: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Average (M, D) points by their weights in each cluster: (K, D) float64."""
    from scipy.sparse import csr_array

    member = csr_array((weights, (labels, np.arange(len(points)))))
    return (member @ points.astype(np.float64)) / np.bincount(labels, weights=weights)[:, None]
