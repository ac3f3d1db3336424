"""Train a segmentation head on labelled fields: arrays in, a checkpoint out."""

import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from wootz.encoders import Encoder, build_encoder, load_encoder
from wootz.errors import WootzError
from wootz.finetune.config import SegmentConfig
from wootz.finetune.crops import shrink_field, shrink_mask
from wootz.finetune.loop import Loop
from wootz.finetune.losses import IGNORE, class_weights
from wootz.finetune.scores import SegmentScores, confusion_counts, scores_from_counts
from wootz.finetune.segmenter import Segmenter, predict_field, save_segmenter
from wootz.finetune.unet import UNet, build_unet

Labelled = tuple[list[np.ndarray], list[np.ndarray]]


@dataclass(frozen=True)
class SegmentResult:
    """What a training left.

    Parameters
    ----------
    checkpoint : Path
        head.pt, of the best step on the validation fields (the last one without such fields).
    history : DataFrame
        step, loss, lr and, at validated steps, val_mean_iou.
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
    precision: str = "bf16",
    device: str = "cpu",
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
        Receives head.pt. While training it holds last.pt: after a kill, the same call goes on from there.
    encoder : str
        Path of an encoder.pt, or ``"random:NAME"``.
    val : (fields, masks), optional
        Fields that choose the step; never test fields.
    seed : int
    precision : str
        ``"bf16"`` or ``"fp32"``.
    device : str
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
    network = build_unet(starting_encoder(encoder, seed=seed), n_classes=n_classes, seed=seed).to(device)
    small = _shrink(fields, masks, cfg)
    judge = None if val is None else functools.partial(_count, _shrink(*val, cfg), cfg, n_classes, precision)
    loop = Loop(
        network,
        cfg,
        labelled=small,
        weights=_weights(small[1], cfg, n_classes=n_classes),
        validate=None if judge is None else lambda network: mean_iou(judge(network)),
        seed=seed,
        precision=precision,
    )
    record = {"task": asdict(cfg), "start": encoder, "seed": seed, "precision": precision}
    loop.run(folder / "last.pt", signature=record)
    checkpoint = folder / "head.pt"
    segmenter = Segmenter(
        network=loop.best,
        class_names=tuple(class_names),
        downscale=cfg.downscale,
        crop_px=cfg.crop_px,
        flip_rows=cfg.flip_rows,
        precision=precision,
        provenance={**record, "best_step": loop.best_step, **(provenance or {})},
    )
    save_segmenter(checkpoint, segmenter)
    (folder / "last.pt").unlink(missing_ok=True)
    return SegmentResult(
        checkpoint=checkpoint,
        history=pd.DataFrame(loop.history),
        val_scores=None if judge is None else scores_from_counts(judge(loop.best), class_names=class_names),
        best_step=loop.best_step,
        seconds=loop.seconds,
    )


def starting_encoder(source: str, *, seed: int) -> Encoder:
    """Build ``"random:NAME"`` with weights of `seed`, or load a file."""
    if source.startswith("random:"):
        return build_encoder(source.removeprefix("random:"), generator_seed=seed)
    return load_encoder(source)


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
