"""Train a segmentation head on labelled fields: arrays in, a checkpoint out."""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wootz.encoders import Encoder, read_checkpoint
from wootz.encoders.start import is_source, start_encoder
from wootz.errors import WootzError
from wootz.finetune.config import SegmentConfig
from wootz.finetune.crops import shrink_field, shrink_mask
from wootz.finetune.loop import CropBatches, Judge, SegmentTraining
from wootz.finetune.losses import IGNORE, class_weights
from wootz.finetune.scores import SegmentScores, confusion_counts, scores_from_counts
from wootz.finetune.segmenter import FORMAT, Segmenter, load_segmenter, predict_field, save_segmenter
from wootz.finetune.unet import UNet, build_unet
from wootz.storage import fingerprint
from wootz.training import History, build_trainer, device_name, fit, use_bf16

Labelled = tuple[list[np.ndarray], list[np.ndarray]]
FEW_FIELDS, SLOW_ENCODER = 2, 0.1
"""With so few labelled fields a pretrained encoder learns at this share of the rate (few_labels.md)."""


@dataclass(frozen=True)
class SegmentResult:
    """What a training left.

    Parameters
    ----------
    checkpoint : Path
        head.pt, of the best step on the validation fields (the last one without such fields).
    history : DataFrame
        One row per ``cfg.validate_every`` steps: epoch, step, loss, val_mean_iou, seconds.
    val_scores : SegmentScores or None
        Of the kept weights on the validation fields, at the network's scale.
    best_step : int
    seconds : float
        Training time, that of an interrupted run included.
    """

    checkpoint: Path
    history: pd.DataFrame
    val_scores: SegmentScores | None
    best_step: int
    seconds: float


def train_segmenter(
    fields: list[np.ndarray],
    masks: list[np.ndarray],
    cfg: SegmentConfig,
    *,
    class_names: list[str] | tuple[str, ...],
    folder: Path,
    encoder: str = "random:resnet18",
    val: Labelled | None = None,
    seed: int = 0,
    precision: str = "auto",
    device: str | None = None,
    provenance: dict[str, Any] | None = None,
) -> SegmentResult:
    """Train a U-Net on labelled fields and keep the weights that are best on validation fields.

    Parameters
    ----------
    fields : list of (H, W) float32
        On the scale of `wootz.intensity.scale`; sizes may differ.
    masks : list of (H, W) uint8
        Class numbers, 255 = ignore.
    cfg : SegmentConfig
    class_names : C str, C >= 2
    folder : Path
        Receives head.pt, history.csv and last.ckpt; after a kill, the same call goes on from there.
    encoder : str
        Path of an encoder.pt, ``"random:NAME"``, ``"imagenet:NAME"`` or ``"NAME:FILE"`` for a checkpoint of
        torchvision, timm or MONAI (see `wootz.encoders.start.start_encoder`).
    val : (fields, masks), optional
        Fields that choose the step; never test fields.
    seed : int
    precision : str
        ``"auto"``, ``"bf16"`` or ``"float32"``; see `wootz.training.use_bf16`.
    device : str, optional
        ``"cpu"`` or ``"cuda"``; chosen by default.
    provenance : dict, optional
        Kept in the checkpoint beside the configuration.

    Returns
    -------
    SegmentResult

    Raises
    ------
    WootzError
        If there are no labels, only one class, a mask of another size, or the loss becomes NaN.
    CheckpointError
        If the encoder's file is missing or unreadable.
    """
    n_classes = len(class_names)
    _check_labels(fields, masks, n_classes=n_classes)
    cfg = replace(cfg, encoder_lr_factor=_encoder_lr_factor(cfg, encoder=encoder, n_fields=len(fields)))
    bf16 = use_bf16(precision, device=device or device_name())
    count = None
    if val is not None:
        count = functools.partial(_count, _shrink(*val, cfg), cfg, n_classes, "bf16" if bf16 else "float32")
    record = {"task": asdict(cfg), "start": encoder, "seed": seed}
    network = build_unet(starting_encoder(encoder, seed=seed), n_classes=n_classes, seed=seed)
    loop, history = _fit(
        network,
        _shrink(fields, masks, cfg),
        cfg,
        score=None if count is None else lambda network: mean_iou(count(network)),
        record=record,
        trainer_options={"folder": folder, "precision": precision, "device": device},
    )
    segmenter = Segmenter(
        network=loop.best,
        class_names=tuple(class_names),
        downscale=cfg.downscale,
        crop_px=cfg.crop_px,
        flip_rows=cfg.flip_rows,
        precision="bf16" if bf16 else "float32",
        provenance={**record, "best_step": loop.best_step, **(provenance or {})},
    )
    save_segmenter(folder / "head.pt", segmenter)
    return SegmentResult(
        checkpoint=folder / "head.pt",
        history=pd.DataFrame(history.rows),
        val_scores=None if count is None else scores_from_counts(count(loop.best), class_names=class_names),
        best_step=loop.best_step,
        seconds=history.seconds,
    )


def _encoder_lr_factor(cfg: SegmentConfig, *, encoder: str, n_fields: int) -> float:
    if cfg.encoder_lr_factor is not None:
        return cfg.encoder_lr_factor
    return SLOW_ENCODER if n_fields <= FEW_FIELDS and not encoder.startswith("random:") else 1.0


def _fit(
    network: UNet,
    labelled: tuple[list[Tensor], list[Tensor]],
    cfg: SegmentConfig,
    *,
    score: Callable[[UNet], float] | None,
    record: dict[str, Any],
    trainer_options: dict[str, Any],
) -> tuple[SegmentTraining, History]:
    """Train on shrunk fields; return the module and its history."""
    masks, seed = labelled[1], record["seed"]
    digest = hashlib.sha256(b"".join(part.numpy().tobytes() for parts in labelled for part in parts))
    origin = fingerprint({**record, "labels": digest.hexdigest()})
    weights = _weights(masks, cfg, n_classes=network.head.out_channels)
    loop = SegmentTraining(network, cfg, weights=weights, seed=seed, origin=origin)
    trainer = build_trainer(
        **trainer_options,
        epochs=-(-cfg.steps // min(cfg.validate_every, cfg.steps)),
        title="training the head",
        max_minutes=cfg.max_minutes,
        callbacks=[Judge(score)],
    )
    batches = CropBatches(
        *labelled, cfg, seed=seed, position=lambda: (trainer.global_step, trainer.global_rank)
    )
    return loop, fit(trainer, loop, batches)


def starting_encoder(source: str, *, seed: int) -> Encoder:
    """Load the encoder of a segmentation head, or what else `start_encoder` takes."""
    is_file = not is_source(source) and Path(source).is_file()
    if is_file and read_checkpoint(source).get("format") == FORMAT:
        return load_segmenter(source).network.encoder
    return start_encoder(source, seed=seed)[0]


def mean_iou(counts: np.ndarray) -> float:
    """Return the mean pooled IoU over the classes present."""
    return scores_from_counts(counts, class_names=[str(i) for i in range(len(counts))]).mean_iou


def _shrink(
    fields: list[np.ndarray], masks: list[np.ndarray], cfg: SegmentConfig
) -> tuple[list[Tensor], list[Tensor]]:
    small = [shrink_field(field, cfg.downscale) for field in fields]
    return small, [shrink_mask(mask, cfg.downscale) for mask in masks]


def _weights(masks: list[Tensor], cfg: SegmentConfig, *, n_classes: int) -> Tensor | None:
    if cfg.class_weights == "none":
        return None
    counts = torch.stack([torch.bincount(mask.flatten().long(), minlength=256) for mask in masks])
    return class_weights(counts.sum(0)[:n_classes])


def _count(
    labelled: tuple[list[Tensor], list[Tensor]],
    cfg: SegmentConfig,
    n_classes: int,
    precision: str,
    network: UNet,
) -> np.ndarray:
    """Pool the confusion counts of a network over shrunk fields, without flips."""
    total = np.zeros((n_classes, n_classes), np.int64)
    for field, truth in zip(*labelled, strict=True):
        probability = predict_field(
            network, field, crop_px=cfg.crop_px, turns=[[]], precision=precision, overlap=0.25
        )
        predicted = probability.argmax(0).cpu().numpy().astype(np.uint8)
        total += confusion_counts(truth.numpy(), predicted, n_classes=n_classes)
    return total


def _check_labels(fields: list[np.ndarray], masks: list[np.ndarray], *, n_classes: int) -> None:
    if not fields:
        raise WootzError("there are no labelled fields to train on; add masks to the archive first.")
    for field, mask in zip(fields, masks, strict=True):
        if field.shape != mask.shape:
            raise WootzError(f"a field is {field.shape} and its mask {mask.shape}; they must be equal.")
        if not np.isfinite(field).all():
            raise WootzError("a field holds NaN or infinity; ingest the image again.")
    drawn = sorted({int(value) for mask in masks for value in np.unique(mask)} - {IGNORE})
    if drawn and drawn[-1] >= n_classes:
        raise WootzError(f"a mask holds class {drawn[-1]}, but the scheme has {n_classes} classes (0 first).")
    if len(drawn) < 2:
        raise WootzError(f"the masks hold {len(drawn)} class; a segmentation needs two, e.g. the background.")
