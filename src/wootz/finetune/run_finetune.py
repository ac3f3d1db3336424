"""The `finetune` verb: labelled or normal fields of an archive in, a head in the run's folder out."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz import storage
from wootz.errors import WootzError
from wootz.finetune.config import AnomalyConfig, ClassifyConfig, FinetuneConfig
from wootz.finetune.finetune_report import FinetuneReport
from wootz.finetune.patchcore import fit_detector, save_detector
from wootz.finetune.segment import starting_encoder, train_segmenter


def finetune(archive: Any, cfg: FinetuneConfig, *, run: Any) -> FinetuneReport:
    """Train a segmentation or anomaly head on fields of an archive, or a head of classes on its tiles.

    Segmentation trains on the fields of split ``train`` that carry masks of the scheme (all fields with masks
    where no split is set), and chooses the step on those of split ``val``; split ``test`` is never read.
    Anomaly takes the named images as normal (else split ``train``, else all). Classes: see
    `wootz.finetune.finetune_classify`.

    Parameters
    ----------
    archive : Archive
    cfg : FinetuneConfig
    run : Run
        Its folder receives head.pt, history.csv and scores.json.

    Returns
    -------
    FinetuneReport

    Raises
    ------
    WootzError
        If there are no masks of the scheme, the scheme or an image is unknown, or training fails.
    CheckpointError
        If the encoder is missing or of another kind.
    """
    if isinstance(cfg.task, ClassifyConfig):
        from wootz.finetune.classify import finetune_classify

        return finetune_classify(archive, cfg, run=run)
    source = find_checkpoint(archive, cfg.encoder, name="encoder.pt")
    if isinstance(cfg.task, AnomalyConfig):
        return _finetune_anomaly(archive, cfg, source=source, run=run)
    return _finetune_segment(archive, cfg, source=source, run=run)


def find_checkpoint(archive: Any, source: str, *, name: str) -> str:
    """Turn the id of a run into the path of its checkpoint; paths and ``random:...`` stay as they are."""
    in_run = Path(archive.path) / "runs" / source / name
    return str(in_run) if source and in_run.is_file() else source


def find_device(device: str) -> str:
    """Turn ``auto`` into cuda where there is one."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def choose_scheme(archive: Any, scheme: str) -> str:
    """Return the scheme asked for, or the only one; raise with the known ones otherwise."""
    known = list(archive.schemes())
    if scheme in known:
        return scheme
    listed = ", ".join(known) or "none; add masks first (archive.add_classes and archive.add_mask)"
    if scheme:
        raise WootzError(f"scheme={scheme!r} is not in {archive.path}; its schemes: {listed}.")
    if len(known) == 1:
        return known[0]
    raise WootzError(f"set scheme=..., since {archive.path} has these schemes: {listed}.")


def list_class_names(archive: Any, scheme: str) -> list[str]:
    """Return the names by class number; a number that the scheme skips is called unused."""
    names = {int(row["id"]): str(row["name"]) for row in archive.classes(scheme).to_dict("records")}
    return [names.get(i, f"unused {i}") for i in range(max(names) + 1)]


def check_images(archive: Any, images: list[str]) -> None:
    """Raise `WootzError` for image ids that the archive does not hold."""
    unknown = sorted(set(images) - set(archive.images["image_id"]))
    if unknown:
        raise WootzError(f"images: {', '.join(unknown[:3])} not in {archive.path}; see its images table.")


def choose_labelled(archive: Any, cfg: FinetuneConfig, *, scheme: str) -> tuple[list[str], list[str]]:
    """Return the image ids to train on and those that choose the step, none of them without `use_val`."""
    check_images(archive, cfg.images)
    annotated = archive.annotations
    with_mask = set(annotated.loc[annotated["scheme"] == scheme, "image_id"])
    images = archive.images[archive.images["image_id"].isin(with_mask)]
    val = list(images.loc[images["split"] == "val", "image_id"])
    if cfg.images:
        train = [i for i in cfg.images if i in with_mask]
    elif (images["split"] != "").any():
        train = list(images.loc[images["split"] == "train", "image_id"])
    else:
        train = list(images["image_id"])
    if not train:
        raise WootzError(
            f"no field to train on carries a mask of scheme {scheme!r} in {archive.path}; add masks, or name "
            "labelled fields with images=[...]."
        )
    if cfg.n_labels is not None and cfg.n_labels < len(train):
        rng = np.random.default_rng(cfg.seed)
        train = [train[i] for i in sorted(rng.permutation(len(train))[: cfg.n_labels])]
    return train, [i for i in val if i not in train] if cfg.use_val else []


def _finetune_segment(archive: Any, cfg: FinetuneConfig, *, source: str, run: Any) -> FinetuneReport:
    scheme = choose_scheme(archive, cfg.scheme)
    names = list_class_names(archive, scheme)
    train, val = choose_labelled(archive, cfg, scheme=scheme)

    def labelled(ids: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        masks = [archive.mask(i, scheme=scheme) for i in ids]
        return [archive.scaled_field(i) for i in ids], masks

    result = train_segmenter(
        *labelled(train),
        cfg.task,
        class_names=names,
        folder=Path(run.folder),
        encoder=source,
        val=labelled(val) if val else None,
        seed=cfg.seed,
        precision=cfg.precision,
        device=find_device(cfg.device),
        provenance={"scheme": scheme, "run": run.id, "train_images": train, "val_images": val},
    )
    scores: dict[str, Any] = {"best_step": result.best_step, "n_train": len(train), "n_val": len(val)}
    lines = [f"trained on {len(train)} fields in {result.seconds:.0f} s; kept step {result.best_step}"]
    if result.val_scores is not None:
        scores["val"] = result.val_scores.as_dict()
        lines.append(describe_scores("val", result.val_scores))
    storage.write_json(Path(run.folder) / "scores.json", scores)
    return FinetuneReport(result.checkpoint, scores, result.seconds, tuple(lines))


def describe_scores(title: str, scores: Any) -> str:
    """Return one line: mean IoU and the IoU of each class."""
    classes = ", ".join(
        f"{n} {v:.3f}" for n, v in zip(scores.class_names, scores.iou, strict=True) if not np.isnan(v)
    )
    return f"{title}: mean IoU {scores.mean_iou:.3f} ({classes})"


def _finetune_anomaly(archive: Any, cfg: FinetuneConfig, *, source: str, run: Any) -> FinetuneReport:
    import time

    start = time.monotonic()
    check_images(archive, cfg.images)
    images: pd.DataFrame = archive.images
    normal = (
        cfg.images or list(images.loc[images["split"] == "train", "image_id"]) or list(images["image_id"])
    )
    rng = np.random.default_rng(cfg.seed)
    if cfg.n_labels is not None and cfg.n_labels < len(normal):
        normal = [normal[i] for i in sorted(rng.permutation(len(normal))[: cfg.n_labels])]
    encoder = starting_encoder(source, seed=cfg.seed).to(find_device(cfg.device))
    fields = [archive.scaled_field(i) for i in normal]
    provenance = {"start": source, "seed": cfg.seed, "run": run.id, "normal_images": normal}
    detector = fit_detector(fields, encoder, cfg.task, rng=rng, provenance=provenance)
    checkpoint = Path(run.folder) / "head.pt"
    save_detector(checkpoint, replace(detector, provenance=provenance))
    scores = {
        "threshold": detector.threshold,
        "normal_scores": [float(s) for s in detector.normal_scores],
        "n_patches": len(detector.memory),
    }
    storage.write_json(Path(run.folder) / "scores.json", scores)
    kept = f"{len(detector.memory)} patches kept, threshold {detector.threshold:.3g}"
    lines = (f"{len(normal)} normal fields, {kept}",)
    return FinetuneReport(checkpoint, scores, time.monotonic() - start, lines)
