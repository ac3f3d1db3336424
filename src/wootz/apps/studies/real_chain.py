"""The real chain: pretrain on six public sets together, then segment and measure three of them.

Each start of the same network on the same labels: the quick pick, random weights, and pretrained weights.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import wootz
from wootz.apps import chain
from wootz.apps.steps import Steps
from wootz.apps.studies.micrographs import SETS, TILE_PX, MicrographSet, find_set, ingest_sets
from wootz.archive import Archive
from wootz.errors import WootzError

ENCODER = "small"
SMOOTHING_PX = 256.0
"""Cut-off wavelength of the layer's mid-line on EBC, the same for predicted and true masks."""
WEIGHTS = {"class_weights": "none"}
"""Chosen on EBC's val images; all other options stand with the sets."""
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
    if not data:
        raise WootzError("this study runs on public micrographs; name their folder with data=FOLDER.")
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
    if params["start"] == "quick_pick":
        masks = _quick_pick(archive, item, seed=params["seed"])
    else:
        encoder = f"random:{ENCODER}"
        if params["start"] == "pretrained":
            record = json.loads((shared / "steps" / "pretrain.json").read_text())
            encoder = str(shared / record["figures"]["encoder"])
        masks = _wootz(archive, item, encoder=encoder, seed=params["seed"])
    return _score(archive, item, masks) | _thickness(archive, item, masks, folder=folder)


def image_ids(archive: Archive, item: MicrographSet, splits: tuple[str, ...]) -> list[str]:
    """Return the labelled images of a set in some splits."""
    images = archive.images
    labelled = set(archive.annotations.query("scheme == @item.name")["image_id"])
    chosen = images[(images["set"] == item.name) & images["split"].isin(splits)]
    return [i for i in chosen["image_id"] if i in labelled]


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


def _quick_pick(archive: Archive, item: MicrographSet, *, seed: int) -> dict[str, np.ndarray]:
    from wootz.finetune import train_quick_pick

    train = image_ids(archive, item, ("train", "val"))
    network = train_quick_pick(
        [archive.scaled_field(i) for i in train],
        [archive.mask(i, scheme=item.name) for i in train],
        n_classes=len(archive.classes(item.name)),
        downscale=item.downscale,
        seed=seed,
    )
    test = image_ids(archive, item, ("test",))
    return {i: network.predict_mask(archive.scaled_field(i)) for i in test}


def _wootz(archive: Archive, item: MicrographSet, *, encoder: str, seed: int) -> dict[str, np.ndarray]:
    from wootz.finetune import FinetuneConfig, SegmentConfig, load_segmenter

    task = SegmentConfig(**WEIGHTS | item.segment)
    train = image_ids(archive, item, ("train", "val"))  # as the quick pick; val chose the options before
    options = FinetuneConfig(task=task, encoder=encoder, scheme=item.name, images=train, seed=seed)
    head = load_segmenter(chain.finetune(archive, options).checkpoint)
    # not through the archive, which keeps one prediction per image: cells may run side by side
    test = image_ids(archive, item, ("test",))
    return {i: head.predict_mask(archive.scaled_field(i)) for i in test}


def _score(archive: Archive, item: MicrographSet, masks: dict[str, np.ndarray]) -> dict[str, Any]:
    from wootz.finetune import confusion_counts, scores_from_counts

    names = list(archive.classes(item.name).sort_values("id")["name"])
    counts = sum(
        confusion_counts(archive.mask(i, scheme=item.name), mask, n_classes=len(names))
        for i, mask in masks.items()
    )
    scores = scores_from_counts(np.asarray(counts), class_names=names)
    per_class = {f"iou_{n}": float(v) for n, v in zip(names, scores.iou, strict=True) if np.isfinite(v)}
    return {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy, **per_class}


def _thickness(
    archive: Archive, item: MicrographSet, masks: dict[str, np.ndarray], *, folder: Path
) -> dict[str, Any]:
    """Measure the layer of predicted and true masks through the same function and compare."""
    if item.layer is None:
        return {}
    rows = []
    for image_id, mask in masks.items():
        truth = archive.mask(image_id, scheme=item.name)
        exact, found = (measure_layer(archive, item, m) for m in (truth, mask))
        file = Path(archive.image(image_id)["file"]).stem
        rows.append({"file": file, "thickness_true_px": exact, "thickness_px": found})
    table = pd.DataFrame(rows)
    table["rel_error"] = table["thickness_px"] / table["thickness_true_px"] - 1
    table.to_csv(folder / "thickness.csv", index=False)
    error = table["rel_error"].abs().fillna(1.0)  # a layer that was not found is wrong by 100 %
    return {
        "thickness_rel_error_median": float(error.median()),
        "thickness_rel_error_max": float(error.max()),
    }


def measure_layer(archive: Archive, item: MicrographSet, mask: np.ndarray) -> float:
    """Return the mean thickness in px of a set's layer, what lies inside included; NaN if there is none."""
    from wootz.measure import class_region, layer_thickness

    ids = {str(row["name"]): int(row["id"]) for row in archive.classes(item.name).to_dict("records")}
    inside = [ids[item.inside]] if item.inside else []
    region = class_region(mask, [ids[str(item.layer)]], inside=inside)
    return float(layer_thickness(region, pixel_size_nm=None, smoothing_px=SMOOTHING_PX).mean.value)
