"""The `predict` verb: a head applied to fields of an archive; masks, maps and objects go back into it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz import storage
from wootz.encoders import read_checkpoint
from wootz.errors import CheckpointError
from wootz.finetune.classify_files import CLASS_HEAD, load_class_head
from wootz.finetune.config import PredictConfig
from wootz.finetune.overlay import class_overlay, confusion_overlay, heat_overlay
from wootz.finetune.patchcore import Detector, image_score, load_detector
from wootz.finetune.run_finetune import check_images, describe_scores, find_checkpoint, find_device
from wootz.finetune.scores import SegmentScores, confusion_counts, scores_from_counts
from wootz.finetune.segmenter import Segmenter, load_segmenter
from wootz.objects import objects_from_mask
from wootz.progress import track

COLOURS = ((64, 224, 208), (255, 140, 0), (186, 85, 211), (124, 205, 124), (240, 98, 146), (100, 149, 237))


@dataclass(frozen=True)
class PredictReport:
    """What `predict` wrote.

    Parameters
    ----------
    n_images : int
    n_objects : int
    scores : dict of str to SegmentScores
        Against annotations, pooled per split: ``"test"``, ``"val"``, ... and ``""`` where no split is set.
    image_scores : DataFrame
        image_id and, for an anomaly head, score and is_anomalous.
    overlays : list of Path
    lines : tuple of str
    """

    n_images: int
    n_objects: int
    scores: dict[str, SegmentScores]
    image_scores: pd.DataFrame
    overlays: list[Path] = field(default_factory=list)
    lines: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return a few lines for the terminal."""
        return "\n".join(self.lines)


def predict(archive: Any, cfg: PredictConfig, *, run: Any) -> PredictReport:
    """Apply a head to fields of an archive.

    A segmentation head writes a mask (kind ``prediction``, source = the run) and the objects of every class
    but 0 for each field; an anomaly head writes a heat map, the columns ``pred_anomaly_score`` and
    ``pred_anomalous``, and the regions above the threshold as objects. Fields with annotations of the head's
    scheme are scored, pooled by split; those of split train or val flatter the head, only test is held out.

    Parameters
    ----------
    archive : Archive
    cfg : PredictConfig
    run : Run
        Its folder receives overlays/*.png, scores.json and, for a segmentation, scores.csv.

    A head of classes writes the columns ``class_<name>`` and ``confidence_<name>`` of the tiles.

    Returns
    -------
    PredictReport

    Raises
    ------
    WootzError
        If an image is unknown.
    CheckpointError
        If the head is missing or no head of wootz.
    """
    path = find_head(archive, cfg.head)
    check_images(archive, cfg.images)
    images = archive.images
    ids = cfg.images or list(images["image_id"])
    kind = read_checkpoint(path).get("format")
    device = find_device(cfg.device)
    if kind == CLASS_HEAD:
        return _predict_tiles(archive, path, cfg)
    if kind == "wootz-anomaly":
        return _predict_anomaly(archive, load_detector(path, device=device), cfg, ids=ids, run=run)
    return _predict_segment(archive, load_segmenter(path, device=device), cfg, ids=ids, run=run)


def _predict_tiles(archive: Any, path: str, cfg: PredictConfig) -> PredictReport:
    """Name the tiles by a head of classes; see `wootz.finetune.predict_classes`."""
    from wootz.finetune.classify import predict_classes

    head, about = load_class_head(path)
    tiles = archive.tiles(images=cfg.images or None)
    lines = predict_classes(tiles, head, embedding=about["embedding"], column=about["column"])
    images = pd.DataFrame({"image_id": tiles.columns(["image_id"])["image_id"].unique()})
    return PredictReport(len(images), 0, {}, images, [], tuple(lines))


def find_head(archive: Any, head: str) -> str:
    """Return the path of a head: a file, a run's id, or with ``""`` the latest finished finetune run's."""
    if head:
        return find_checkpoint(archive, head, name="head.pt")
    heads = sorted(Path(archive.path).glob("runs/finetune-*/head.pt"), key=lambda p: p.stat().st_mtime)
    if not heads:
        raise CheckpointError(f"{archive.path} has no trained head; run: wootz finetune {archive.path}")
    return str(heads[-1])


def _predict_segment(
    archive: Any, segmenter: Segmenter, cfg: PredictConfig, *, ids: list[str], run: Any
) -> PredictReport:
    scheme = segmenter.provenance.get("scheme", "prediction")
    names = segmenter.class_names
    splits = archive.images.set_index("image_id")["split"]
    annotated = archive.annotations
    with_truth = set(annotated.loc[annotated["scheme"] == scheme, "image_id"])
    counts: dict[str, np.ndarray] = {}
    objects, overlays = [], []
    for image_id in track(ids, title="predicting", unit="fields"):
        pixels = archive.scaled_field(image_id)
        mask = segmenter.predict_mask(pixels, flips=cfg.flips, overlap=cfg.overlap)
        archive.add_mask(image_id, mask, scheme=scheme, source=run.id, kind="prediction", run=run.id)
        wanted = dict(enumerate(names[1:], start=1))
        objects.append(objects_from_mask(mask, image_id=image_id, class_names=wanted, source=run.id))
        truth = archive.mask(image_id, scheme=scheme) if image_id in with_truth else None
        if truth is not None:
            split = str(splits[image_id])
            found = confusion_counts(truth, mask, n_classes=len(names))
            counts[split] = counts.get(split, 0) + found
        if len(overlays) < cfg.overlays:
            picture = _segment_picture(pixels, mask, truth, n_classes=len(names))
            overlays.append(_write_picture(picture, run, image_id))
    archive.add_objects(pd.concat(objects, ignore_index=True))
    scores = {split: scores_from_counts(table, class_names=names) for split, table in counts.items()}
    _write_scores(scores, run)
    n_objects = sum(map(len, objects))
    lines = [f"{len(ids)} fields predicted, {n_objects} objects, overlays in {Path(run.folder) / 'overlays'}"]
    lines += [describe_scores(split or "all labelled fields", s) for split, s in sorted(scores.items())]
    if not scores:
        lines.append(f"no annotation of scheme {scheme!r} on these fields, so nothing is scored")
    table = pd.DataFrame({"image_id": ids})
    return PredictReport(len(ids), n_objects, scores, table, overlays, tuple(lines))


def _segment_picture(
    pixels: np.ndarray, mask: np.ndarray, truth: np.ndarray | None, *, n_classes: int
) -> np.ndarray:
    """Draw right and wrong pixels where there is a truth, the classes where there is none."""
    if truth is not None:
        return confusion_overlay(pixels, truth, mask)
    colours = {i: COLOURS[(i - 1) % len(COLOURS)] for i in range(1, n_classes)}
    return class_overlay(pixels, mask, colours)


def _predict_anomaly(
    archive: Any, detector: Detector, cfg: PredictConfig, *, ids: list[str], run: Any
) -> PredictReport:
    low = float(np.median(detector.normal_scores))
    scores, objects, overlays = [], [], []
    for image_id in track(ids, title="predicting", unit="fields"):
        pixels = archive.scaled_field(image_id)
        heat = detector.heat_map(pixels)
        archive.add_map(image_id, heat, name="anomaly", run=run.id)
        scores.append(image_score(heat))
        region = (heat > detector.threshold).astype(np.uint8)
        objects.append(
            objects_from_mask(region, image_id=image_id, class_names={1: "anomaly"}, source=run.id)
        )
        if len(overlays) < cfg.overlays:
            picture = heat_overlay(pixels, heat, low=0.5 * low, high=1.5 * max(detector.threshold, 1e-9))
            overlays.append(_write_picture(picture, run, image_id))
    anomalous = [score > detector.threshold for score in scores]
    archive.set_image_column("pred_anomaly_score", ids, scores)
    archive.set_image_column("pred_anomalous", ids, anomalous)
    archive.add_objects(pd.concat(objects, ignore_index=True))
    table = pd.DataFrame({"image_id": ids, "score": scores, "is_anomalous": anomalous})
    storage.write_json(
        Path(run.folder) / "scores.json",
        {"threshold": detector.threshold, "images": table.to_dict("records")},
    )
    lines = (f"{len(ids)} fields scored, {sum(anomalous)} above the threshold {detector.threshold:.3g}",)
    return PredictReport(len(ids), sum(map(len, objects)), {}, table, overlays, lines)


def _write_scores(scores: dict[str, SegmentScores], run: Any) -> None:
    folder = Path(run.folder)
    storage.write_json(folder / "scores.json", {split or "all": s.as_dict() for split, s in scores.items()})
    tables = [s.table().assign(split=split) for split, s in scores.items()]
    if tables:
        pd.concat(tables).to_csv(folder / "scores.csv", index=False)


def _write_picture(picture: np.ndarray, run: Any, image_id: str) -> Path:
    from PIL import Image

    folder = Path(run.folder) / "overlays"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{image_id}.png"
    Image.fromarray(picture).save(path)
    return path
