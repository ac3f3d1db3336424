"""The real chain: pretrain on six public sets together, then segment and measure three of them.

Each start of the same network on the same labels: the quick pick, random weights, and pretrained weights.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import wootz
from wootz.apps import chain
from wootz.apps.steps import Steps
from wootz.apps.studies.micrographs import SETS, TILE_PX, find_set, ingest_sets
from wootz.apps.studies.segmenting import (
    compare_thickness,
    image_ids,
    score_masks,
    segment_quick_pick,
    segment_wootz,
)
from wootz.archive import Archive

ENCODER = "small"
EMBEDDINGS = ("pretrained", "random")


def prepare(fixed: dict[str, Any], folder: Path, *, data: str) -> dict[str, Any]:
    """Ingest, pretrain, embed and cluster once for all cells; goes on where it was stopped.

    Parameters
    ----------
    fixed : dict
        ``epochs`` of pretraining.
    folder : Path
        Receives ``archive/`` and ``steps/``.
    data : str
        Folder with the public sets and splits.json.

    Returns
    -------
    dict
        Figures of each step; ``pretrain.encoder`` is the checkpoint, relative to `folder`.
    """
    epochs = int(fixed["epochs"])
    steps = Steps(folder / "steps", {"epochs": epochs, "encoder": ENCODER, "tile_px": TILE_PX})
    figures = {"ingest": steps.do("ingest", "Ingesting six sets", lambda: _ingest(Path(data), folder))}
    archive = wootz.open(folder / "archive")
    figures["pretrain"] = steps.do(
        "pretrain", "Pretraining on all of them", lambda: _pretrain(archive, epochs=epochs)
    )
    encoder = folder / figures["pretrain"]["encoder"]
    figures["clusters"] = steps.do(
        "clusters", "Embedding and clustering each set", lambda: _cluster(archive, encoder)
    )
    return figures | {"seconds": steps.seconds}


def cell(params: dict[str, Any], folder: Path, *, shared: Path) -> dict[str, Any]:
    """Train one network on one set and score it on the held-out images.

    Parameters
    ----------
    params : dict
        ``set``, ``start`` (quick_pick, random, pretrained) and ``seed``.
    folder : Path
        Receives the predicted masks of the quick pick.
    shared : Path
        Folder that `prepare` filled.

    Returns
    -------
    dict
        ``mean_iou``, ``pixel_accuracy``, ``iou_<class>`` and, for a layer, ``thickness_rel_error_median``.
    """
    archive = wootz.open(shared / "archive")
    item = find_set(params["set"])
    images = image_ids(archive, item, ("train", "val"))  # val chose the options before
    if params["start"] == "quick_pick":
        masks = segment_quick_pick(archive, item, images=images, seed=params["seed"])
    else:
        encoder = f"random:{ENCODER}"
        if params["start"] == "pretrained":
            record = json.loads((shared / "steps" / "pretrain.json").read_text())
            encoder = str(shared / record["figures"]["encoder"])
        masks = segment_wootz(archive, item, images=images, encoder=encoder, seed=params["seed"])
    return score_masks(archive, item, masks) | compare_thickness(archive, item, masks, folder=folder)


def _ingest(data: Path, folder: Path) -> dict[str, Any]:
    archive = ingest_sets(data, folder / "archive")
    images = archive.images
    return {
        "images": {item.name: int((images["set"] == item.name).sum()) for item in SETS},
        "tiles": len(archive.tile_table),
        "duplicates": int((images["duplicate_of"] != "").sum()),
        "set_aside": len(archive.set_aside),
    }


def _pretrain(archive: Archive, *, epochs: int) -> dict[str, Any]:
    from wootz.ssl import PretrainConfig

    options = PretrainConfig(encoder=ENCODER, epochs=epochs, precision="bf16")
    result = chain.pretrain(archive, options)
    return {
        "encoder": str(Path(result.checkpoint).relative_to(archive.path.parent)),
        "rankme": result.rankme,
        "rankme_random": result.rankme_random,
        "loss_first": result.loss_first,
        "loss_last": result.loss_last,
        "n_tiles": result.n_tiles,
        "n_steps": result.n_steps,
        "options": asdict(options),
    }


def _cluster(archive: Archive, encoder: Path) -> dict[str, Any]:
    """Cluster the tiles of each labelled set on pretrained and on random features, K = number of classes."""
    from wootz.clustering import ClusterConfig, KMeansConfig
    from wootz.ssl import EmbedConfig

    chain.embed(archive, EmbedConfig(encoder=str(encoder), name="pretrained"))
    chain.embed(archive, EmbedConfig(encoder=f"random:{ENCODER}", name="random"))
    rows = {}
    images = archive.images
    for item in SETS:
        ids = list(images.loc[images["set"] == item.name, "image_id"])
        n_classes = len(archive.classes(item.name))
        for embedding in EMBEDDINGS:
            options = ClusterConfig(
                embedding=embedding,
                name=f"{item.name}_{embedding}",
                truth=f"truth_{item.name}",
                truth_scheme=item.name,
                map=embedding == "pretrained",
                method=KMeansConfig(n_clusters=n_classes),
            )
            report = chain.cluster(archive, options, tiles=archive.tiles(images=ids))
            found = report.agreement
            rows[f"{item.name}/{embedding}"] = {
                "n_tiles": report.n_tiles,
                "n_clusters": report.n_clusters,
                "silhouette": report.silhouette,
                **({k: getattr(found, k) for k in ("accuracy", "purity", "nmi", "ari")} if found else {}),
            }
    return rows
