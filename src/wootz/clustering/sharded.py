"""Hierarchical k-means on the tiles of an archive whose features are never in memory together."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.config import ClusterConfig
from wootz.clustering.examining import Prepared
from wootz.clustering.exemplars import CentroidDistances, distances_to_centroids
from wootz.clustering.fitting import Fit
from wootz.clustering.levels import Levels, hierarchical_kmeans
from wootz.clustering.limits import sample_members
from wootz.clustering.pieces import FirstLevel, cut_pieces
from wootz.clustering.preparation import fit_preparation
from wootz.clustering.shortcut_factors import group_tiles
from wootz.progress import say

SHOWN_EACH = 100
PIECES = "pieces"


@dataclass(frozen=True)
class Clustered:
    """Clusters of all tiles, and of a sample of them what pictures and reports are made of.

    Parameters
    ----------
    found : Fit
        Of all tiles, without distances.
    groups : (N,) int or None
        Groups that features were standardised by.
    sample : (n,) int
        Rows of the tiles in the sample.
    of_sample : Fit
    prepared : Prepared
        Of the sample.
    """

    found: Fit
    groups: np.ndarray | None
    sample: np.ndarray
    of_sample: Fit
    prepared: Prepared


def cluster_shards(
    tiles: Any, cfg: ClusterConfig, *, embedding: str, folder: Path, rng: np.random.Generator
) -> Clustered:
    """Cluster the tiles of an embedding piece by piece.

    Parameters
    ----------
    tiles : TileSet
    cfg : ClusterConfig
        With `HierarchicalConfig`. Principal components, whitening and standardisation are fitted on a sample.
    embedding : str
    folder : Path
        Of the run; ``pieces/`` in it holds what is done, until `forget_pieces`.
    rng : numpy Generator

    Raises
    ------
    WootzError
        If the embedding does not cover a tile, or for any reason of `hierarchical_kmeans`.
    """
    method, archive = cfg.method, tiles.archive
    tiles.embedding_sample(embedding, 1)  # raises where a tile is not covered
    rows = pd.Index(archive.embedding_ids(embedding)).get_indexer(pd.Index(tiles.tile_ids))
    groups = group_tiles(tiles, cfg.standardise_by) if cfg.standardise_by.strip() else None
    drawn = np.sort(rng.permutation(len(rows))[: method.sample])
    raw = archive.embedding_rows(embedding, rows[drawn])
    own = None if groups is None else groups[drawn]
    preparation = fit_preparation(raw, own, pca_dim=cfg.pca_dim, whiten=cfg.whiten, l2=cfg.l2)
    del raw
    first = FirstLevel(
        folder / PIECES, preparation, n_groups=method.n_first, n_iter=method.n_iter, seed=cfg.seed
    )
    files = archive.embedding_shards(embedding)
    pieces = list(cut_pieces(files, rows, piece_rows=method.piece_rows, groups=groups))
    say(f"clustering {len(rows)} tiles by embedding {embedding!r} in {len(pieces)} pieces")
    found = hierarchical_kmeans(pieces, method, first=first, rng=rng)
    whole = _fit(found, found.labels, found.outlier_score, CentroidDistances(np.zeros(0), np.zeros(0)))
    sample = sample_members(found.labels, rng=rng, n_max=method.sample, n_each=SHOWN_EACH)
    raw = archive.embedding_rows(embedding, rows[sample])
    own = None if groups is None else groups[sample]
    prepared = Prepared(raw, preparation.apply(raw, own), own, preparation, embedding)
    if len(sample) < len(rows):
        say(f"pictures, agreement and shortcuts are of a sample of {len(sample)} tiles")
    distances = _distances(prepared, found, sample)
    shown = _fit(found, found.labels[sample], found.outlier_score[sample], distances)
    return Clustered(whole, groups, sample, shown, prepared)


def forget_pieces(folder: Path) -> None:
    """Remove what the pieces left in the folder of a run, once its clusters are stored."""
    shutil.rmtree(folder / PIECES, ignore_errors=True)


def _fit(found: Levels, labels: np.ndarray, scores: np.ndarray, distances: CentroidDistances) -> Fit:
    stability = found.discovery.stability if found.discovery is not None else None
    mean = float("nan") if stability is None else float(np.nanmean(stability))
    about = f"From {found.n_small} small groups."
    return Fit(labels, found.centroids, distances, scores, mean, discovery=found.discovery, notes=about)


def _distances(prepared: Prepared, found: Levels, sample: np.ndarray) -> CentroidDistances:
    if len(found.centroids) > 1:
        return distances_to_centroids(prepared.features, found.labels[sample], found.centroids)
    own = np.linalg.norm(prepared.features - found.centroids[0], axis=1).astype(np.float64)
    return CentroidDistances(own, own)
