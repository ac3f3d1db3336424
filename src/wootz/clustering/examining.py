"""What is asked of clusters once they are found: what they follow, and a page with a card for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.card_building import build_cards
from wootz.clustering.cards import write_cards
from wootz.clustering.config import ClusterConfig
from wootz.clustering.driving import medoid_maps
from wootz.clustering.preparation import Preparation, fit_preparation
from wootz.clustering.shortcut_factors import group_tiles
from wootz.clustering.shortcut_section import Shortcuts, find_shortcuts
from wootz.clustering.truth import Agreement


@dataclass(frozen=True)
class Prepared:
    """Features of tiles on their way into a clustering.

    Parameters
    ----------
    raw, features : (N, D) float32
        As stored, and as clustered.
    groups : (N,) int or None
        Groups that they were standardised by.
    preparation : Preparation
    embedding : str
        Empty for features that are not stored, of an encoder that the clustering has trained.
    """

    raw: np.ndarray
    features: np.ndarray
    groups: np.ndarray | None
    preparation: Preparation
    embedding: str = ""


def prepare(tiles: Any, raw: np.ndarray, cfg: ClusterConfig, *, l2: bool, embedding: str = "") -> Prepared:
    """Prepare the features of tiles by the options.

    Raises
    ------
    WootzError
        If features hold NaN or are all the same, or groups are unknown or too small.
    """
    groups = group_tiles(tiles, cfg.standardise_by) if cfg.standardise_by.strip() else None
    preparation = fit_preparation(raw, groups, pca_dim=cfg.pca_dim, whiten=cfg.whiten, l2=l2)
    return Prepared(raw, preparation.apply(raw, groups), groups, preparation, embedding)


def examine(
    tiles: Any,
    labels: np.ndarray,
    prepared: Prepared,
    *,
    refit: Callable[[np.ndarray], np.ndarray],
    cfg: ClusterConfig,
    rng: np.random.Generator,
    folder: Path,
) -> Shortcuts | None:
    """Ask what the clusters follow, where the options say so.

    Parameters
    ----------
    tiles : TileSet
    labels : (N,) int
    prepared : Prepared
    refit : callable
        ``refit(prepared features) -> (n,) int``: cluster again with the same options and number of clusters.
    cfg : ClusterConfig
    rng : numpy Generator
    folder : Path
    """
    if not cfg.shortcuts:
        return None
    first, raw = prepared.preparation, prepared.raw
    if first.standardisation is not None and prepared.groups is not None:
        raw = first.standardisation.apply(raw, prepared.groups)

    def again(features: np.ndarray) -> np.ndarray:
        steps = fit_preparation(features, pca_dim=cfg.pca_dim, whiten=cfg.whiten, l2=first.l2)
        return refit(steps.apply(features))

    truth = None
    if cfg.truth and cfg.truth in tiles.column_names:
        truth = tiles.columns([cfg.truth])[cfg.truth].fillna("").astype(str).to_numpy(object)
    options = {"n_permutations": cfg.permutations, "columns": cfg.shortcut_columns, "truth": truth}
    return find_shortcuts(tiles, labels, raw, refit=again, folder=folder, rng=rng, **options)


def draw_cards(
    tiles: Any,
    chosen: pd.DataFrame,
    prepared: Prepared,
    *,
    labels: np.ndarray,
    centroids: np.ndarray,
    cfg: ClusterConfig,
    folder: Path,
    title: str,
    shortcuts: Shortcuts | None = None,
    against: Agreement | None = None,
    stability: Sequence[float] | np.ndarray | None = None,
) -> Path | None:
    """Write the page of cluster cards, where the options say so, and return it.

    Parameters
    ----------
    tiles : TileSet
    chosen : DataFrame
        Out of `prototypes`.
    prepared : Prepared
    labels : (N,) int
    centroids : (K, D) float
        In the prepared space.
    cfg : ClusterConfig
    folder : Path
    title : str
    shortcuts : Shortcuts, optional
    against : Agreement, optional
    stability : (K,) float, optional
        Of each cluster, in [0, 1].
    """
    if not cfg.cards:
        return None
    given, words = ([], []) if shortcuts is None else (shortcuts.badges, shortcuts.words)
    options = {"centroids": centroids, "embedding": prepared.embedding, "n_each": cfg.occlusion}
    steps = (prepared.preparation, prepared.groups)
    heats = medoid_maps(tiles, chosen, steps, **options) if prepared.embedding else {}
    shown = {"badges": given, "against": against, "heats": heats, "stability": stability}
    page, _ = write_cards(
        build_cards(tiles, chosen, labels=labels, **shown), folder, title=title, words=words
    )
    return page
