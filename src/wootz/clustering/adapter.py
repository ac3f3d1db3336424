"""``wootz cluster``: an embedding of a TileSet in, columns, tables, pictures and a report out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.config import (
    ClusterConfig,
    GraphConfig,
    KMeansConfig,
    map_columns,
)
from wootz.clustering.confusion import confusion_figure
from wootz.clustering.examining import draw_cards, examine, prepare
from wootz.clustering.fitting import Fit, as_fit, fit, write_evidence
from wootz.clustering.maps import MIN_POINTS, UmapResult, map_figure, umap_coordinates
from wootz.clustering.methods.build import known_of
from wootz.clustering.methods.hierarchical_options import HierarchicalConfig
from wootz.clustering.montage import write_montages
from wootz.clustering.report import ClusterReport
from wootz.clustering.sharded import Clustered, cluster_shards, forget_pieces
from wootz.clustering.stored import save_clustering
from wootz.clustering.storing import set_whole_column, store_clusters, write_prototypes
from wootz.clustering.sweep import silhouette
from wootz.clustering.training.build import train_and_group, trains_encoder
from wootz.clustering.truth import Agreement, agreement, tile_truth
from wootz.errors import ArchiveError, WootzError
from wootz.plotting import save_figure
from wootz.progress import say
from wootz.storage import write_json

SILHOUETTE_SAMPLE = 5_000


def cluster(tiles: Any, cfg: ClusterConfig, *, run: Any) -> ClusterReport:
    """Cluster an embedding of the tiles and write columns, tables and pictures.

    Parameters
    ----------
    tiles : TileSet
    cfg : ClusterConfig
    run : Run
        Its folder receives ``cards.html``, ``overview.png``, ``cluster_*.png``, ``map.png``,
        ``shortcuts.png``, ``prototypes.parquet``, ``clusters.json``, and ``model.*`` and ``members.parquet``
        for `wootz.clustering.assign`; by the graph method ``small_groups.npz``, the tree that the explorer
        takes clusters apart by; by methods that train ``encoder.pt`` and ``history.csv``; where the method
        knows them ``probabilities.parquet``; where the number of clusters was looked for ``n_clusters.csv``,
        ``n_clusters.png`` and, by the graph method, ``resolutions.csv`` and ``suggestion.json``; with known
        classes ``confusion.png``, ``confusion.csv``, ``classes.csv`` and ``map_truth.png``.

    Returns
    -------
    ClusterReport

    Raises
    ------
    WootzError
        If the embedding is missing or does not cover the tiles, there are fewer (different) tiles than
        clusters, or features hold NaN or are all the same.
    """
    trained = trains_encoder(cfg.method)
    embedding = cfg.embedding or (cfg.method.name if trained else _only_embedding(tiles.archive))
    name, folder = cfg.name or embedding, Path(run.folder)
    if cfg.truth_scheme:
        tiles = _with_truth(tiles, scheme=cfg.truth_scheme, column=cfg.truth)
    n_all, images = len(tiles), tiles.columns(["image_id"])["image_id"].unique()
    if not cfg.keep_uninformative and "uninformative" in tiles.frame:
        tiles = tiles.select(~tiles.frame.uninformative.fillna(False).to_numpy(bool))
    _check_count(tiles, cfg.method, n_all=n_all)
    rng = np.random.default_rng(cfg.seed)
    grouped = _group(tiles, cfg, embedding=embedding, folder=folder, rng=rng)
    whole, of_whole, found, prepared = tiles, grouped.found, grouped.of_sample, grouped.prepared
    tiles = tiles if found is of_whole else tiles.select(grouped.sample)
    features = prepared.features
    against = _agreement(tiles, found.labels, column=cfg.truth)
    about = {"name": name, "image_ids": images}
    save_clustering(whole, of_whole, prepared, cfg=cfg, groups=grouped.groups, folder=folder, **about)
    n_objects = store_clusters(whole, of_whole, name=name, image_ids=images, objects=cfg.objects)
    forget_pieces(folder)
    chosen = write_prototypes(tiles, found, n_each=cfg.n_prototypes, folder=folder)
    pictures = []
    if cfg.montages:
        titles = _titles(tiles, found, against)
        pictures += write_montages(tiles, chosen, labels=found.labels, titles=titles, folder=folder)
    pictures += _draw_map(tiles, features, found.labels, cfg=cfg, name=name, rng=rng, folder=folder)
    pictures += write_evidence(found, folder)
    pictures += _write_agreement(against, folder=folder)
    refit = _refit(cfg, found.n_clusters)
    shortcuts = examine(tiles, found.labels, prepared, refit=refit, cfg=cfg, rng=rng, folder=folder)
    pictures += [] if shortcuts is None else shortcuts.pictures
    title = f"{name}: {found.n_clusters} clusters of {len(whole)} tiles"
    about = {"labels": found.labels, "centroids": found.centroids, "stability": found.stabilities}
    about |= {"shortcuts": shortcuts, "against": against}
    page = draw_cards(tiles, chosen, prepared, cfg=cfg, folder=folder, title=title, **about)
    sample = rng.permutation(len(tiles))[:SILHOUETTE_SAMPLE]
    report = ClusterReport(
        name=name,
        method=cfg.method.name,
        n_clusters=found.n_clusters,
        sizes=tuple(np.bincount(of_whole.labels).tolist()),
        n_tiles=len(whole),
        n_skipped=n_all - len(whole),
        silhouette=silhouette(features[sample], found.labels[sample], spherical=_is_spherical(cfg)),
        stability=found.stability,
        agreement=against,
        curve=found.curve,
        reasons=found.reasons,
        names=found.names,
        folder=folder,
        pictures=tuple(pictures),
        shortcuts=shortcuts,
        page=page,
        n_objects=n_objects,
    )
    write_json(folder / "clusters.json", report.outputs())
    return report


def _group(
    tiles: Any, cfg: ClusterConfig, *, embedding: str, folder: Path, rng: np.random.Generator
) -> Clustered:
    """Prepare features and cluster them, or have the method train on the tiles or work piece by piece."""
    if isinstance(cfg.method, HierarchicalConfig):
        return cluster_shards(tiles, cfg, embedding=embedding, folder=folder, rng=rng)
    l2 = cfg.l2 or _is_spherical(cfg)
    if trains_encoder(cfg.method):
        say(f"clustering {len(tiles)} tiles by {cfg.method.name}, starting from {cfg.method.encoder!r}")
        grouping, raw = train_and_group(tiles, cfg.method, folder=folder, seed=cfg.seed)
        prepared = prepare(tiles, raw, cfg, l2=l2)
        found = as_fit(prepared.features, grouping)
    else:
        prepared = prepare(tiles, tiles.embedding(embedding), cfg, l2=l2, embedding=embedding)
        n_dims = prepared.features.shape[1]
        say(f"clustering {len(tiles)} tiles by embedding {embedding!r} ({n_dims} dimensions)")
        found = fit(prepared.features, cfg.method, rng=rng, known=known_of(tiles, cfg.method))
    return Clustered(found, prepared.groups, np.arange(len(tiles)), found, prepared)


def _write_agreement(against: Agreement | None, *, folder: Path) -> list[Path]:
    if against is None:
        return []
    against.table.to_csv(folder / "confusion.csv")
    against.per_class.to_csv(folder / "classes.csv", index=False)
    return [save_figure(confusion_figure(against), folder / "confusion.png")]


def _is_spherical(cfg: ClusterConfig) -> bool:
    return getattr(cfg.method, "spherical", False)


def _with_truth(tiles: Any, *, scheme: str, column: str) -> Any:
    values = tile_truth(tiles, scheme=scheme)
    known = values != ""
    tiles.archive.set_tile_column(column, tiles.frame.tile_id.to_numpy()[known], values[known])
    return tiles.with_column(column, values)


def _only_embedding(archive: Any) -> str:
    names = list(archive.embedding_names())
    if len(names) == 1:
        return names[0]
    if not names:
        raise ArchiveError(f"{archive.path} holds no embedding; make one with: wootz embed {archive.path}")
    raise ArchiveError(
        f"{archive.path} holds several embeddings; choose embedding={' or embedding='.join(names)}."
    )


def _check_count(tiles: Any, method: Any, *, n_all: int) -> None:
    wanted = getattr(method, "n_clusters", None) or getattr(method, "n_clusters_min", 2)
    if len(tiles) < max(wanted, 3):
        skipped = (
            f" ({n_all - len(tiles)} of {n_all} are flagged as uninformative)" if n_all > len(tiles) else ""
        )
        raise WootzError(
            f"{len(tiles)} tiles{skipped} cannot form {wanted} clusters; ingest more images, "
            "cut smaller tiles, set method.n_clusters lower or keep_uninformative=true."
        )


def _refit(cfg: ClusterConfig, n_clusters: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what clusters prepared features again, into a given number of clusters.

    By the same method, if it is the graph or k-means; what trains a network or knows names is stood in for by
    k-means, which takes seconds and needs nothing but features.
    """

    def refit(features: np.ndarray) -> np.ndarray:
        match cfg.method:
            case GraphConfig():
                method = replace(cfg.method, n_clusters=n_clusters, resolution=None, evidence=False)
            case KMeansConfig():
                method = replace(cfg.method, n_clusters=n_clusters)
            case _:
                method = KMeansConfig(n_clusters=n_clusters)
        return fit(features, method, rng=np.random.default_rng(cfg.seed)).labels

    return refit


def _agreement(tiles: Any, labels: np.ndarray, *, column: str) -> Agreement | None:
    if not column or column not in tiles.frame:
        return None
    truth = tiles.frame[column]
    known = truth.notna() & (truth.astype(str) != "")
    return agreement(labels, truth.to_numpy()) if known.any() else None


def _titles(tiles: Any, found: Fit, against: Agreement | None) -> list[str]:
    """Word the head of each montage: size, spread over images and specimens, known classes."""
    frame = tiles.frame.assign(cluster_=found.labels)
    titles = []
    for k, part in frame.groupby("cluster_"):
        name = f" ({found.names[k]})" if found.names and found.names[k] else ""
        text = f"cluster {k}{name}: {len(part)} tiles ({len(part) / len(frame):.0%})"
        text += f" of {part.image_id.nunique()} images"
        specimens = part.specimen.replace("", np.nan).nunique() if "specimen" in part else 0
        text += f", {specimens} specimens" if specimens else ""
        if against is not None and k in against.table.index:
            row = against.table.loc[k]
            text += f"; {row.max() / row.sum():.0%} {row.idxmax()} where known"
        titles.append(text)
    return titles


def _draw_map(
    tiles: Any,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    cfg: ClusterConfig,
    name: str,
    rng: Any,
    folder: Path,
) -> list[Path]:
    """Compute and store map coordinates; draw them by cluster and, where known, by class."""
    if not cfg.map:
        return []
    if len(features) < MIN_POINTS:
        say(f"no map: {len(features)} tiles are fewer than {MIN_POINTS}")
        return []
    say("laying out the map")
    options = {"n_neighbours": cfg.map_neighbours, "min_dist": cfg.map_min_dist, "n_max": cfg.map_sample}
    result = umap_coordinates(features, rng=rng, **options)
    tile_ids = tiles.frame.tile_id.to_numpy()[result.rows]
    for column, values in zip(map_columns(name), result.coordinates.T, strict=True):
        set_whole_column(tiles.archive, column, tile_ids, values=pd.array(values.astype(float), "Float64"))
    shown = (
        f"{len(result.rows)} of {len(labels)} tiles"
        if len(result.rows) < len(labels)
        else f"{len(labels)} tiles"
    )
    numbers = [str(k) for k in range(int(labels.max()) + 1)]
    figure = map_figure(result, labels, names=numbers, title=f"{shown} by cluster")
    paths = [save_figure(figure, folder / "map.png")]
    paths += _draw_known_map(tiles, result, column=cfg.truth, folder=folder)
    return paths


def _draw_known_map(tiles: Any, result: UmapResult, *, column: str, folder: Path) -> list[Path]:
    if not column or column not in tiles.frame:
        return []
    values = tiles.frame[column].fillna("").astype(str)
    names = sorted(set(values) - {""})
    codes = values.map({value: i for i, value in enumerate(names)}).fillna(-1).to_numpy(int)
    figure = map_figure(result, codes, names=names, title="the same map by known class")
    return [save_figure(figure, folder / "map_truth.png")]
