"""Train a segmentation head on labelled fields: arrays in, a checkpoint out."""

import copy
import time
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
from wootz.finetune.crops import CropOptions, random_crops, shrink_field, shrink_mask
from wootz.finetune.greys import random_greys
from wootz.finetune.losses import IGNORE, class_weights, dice_cross_entropy
from wootz.finetune.scores import SegmentScores, confusion_counts, scores_from_counts
from wootz.finetune.segmenter import Segmenter, predict_field, save_segmenter
from wootz.finetune.unet import UNet, build_unet
from wootz.progress import track

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
        Receives head.pt.
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
    _check_labels(fields, masks, n_classes=len(class_names))
    start = time.monotonic()
    network = build_unet(starting_encoder(encoder, seed=seed), n_classes=len(class_names), seed=seed)
    training = _Training(network.to(device), cfg, seed=seed, precision=precision)
    training.load(fields, masks, n_classes=len(class_names), val=val)
    training.run()
    checkpoint = folder / "head.pt"
    record = {"task": asdict(cfg), "start": encoder, "seed": seed, "best_step": training.best_step}
    segmenter = Segmenter(
        network=training.best,
        class_names=tuple(class_names),
        downscale=cfg.downscale,
        crop_px=cfg.crop_px,
        flip_rows=cfg.flip_rows,
        precision=precision,
        provenance={**record, **(provenance or {})},
    )
    save_segmenter(checkpoint, segmenter)
    scores = training.best_counts
    return SegmentResult(
        checkpoint=checkpoint,
        history=pd.DataFrame(training.history),
        val_scores=None if scores is None else scores_from_counts(scores, class_names=class_names),
        best_step=training.best_step,
        seconds=time.monotonic() - start,
    )


def starting_encoder(source: str, *, seed: int) -> Encoder:
    """Build ``"random:NAME"`` with weights of `seed`, or load a file."""
    if source.startswith("random:"):
        return build_encoder(source.removeprefix("random:"), generator_seed=seed)
    return load_encoder(source)


class _Training:
    """The state of one training run."""

    def __init__(self, network: UNet, cfg: SegmentConfig, *, seed: int, precision: str) -> None:
        self.network, self.cfg, self.precision = network, cfg, precision
        if cfg.channels_last:
            network.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(network)
        self.best = network
        self.best_step = cfg.steps
        self.best_counts: np.ndarray | None = None
        self.best_iou = -1.0
        self.history: list[dict[str, float]] = []
        self.generator = torch.Generator().manual_seed(seed)
        groups = [
            {"params": network.encoder.parameters(), "lr": cfg.lr * cfg.encoder_lr_factor},
            {"params": [*network.decoder.parameters(), *network.head.parameters()], "lr": cfg.lr},
        ]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=cfg.weight_decay)
        self.peaks = [group["lr"] for group in groups]
        self.options = CropOptions(
            cfg.crop_px, cfg.rotation_deg, cfg.zoom, flip_rows=cfg.flip_rows, elastic=cfg.elastic
        )

    def load(self, fields: list, masks: list, *, n_classes: int, val: Labelled | None) -> None:
        factor = self.cfg.downscale
        self.fields = [shrink_field(field, factor) for field in fields]
        self.masks = [shrink_mask(mask, factor) for mask in masks]
        self.val = [(shrink_field(f, factor), m) for f, m in zip(*val, strict=True)] if val else []
        self.val_masks = [shrink_mask(mask, factor).numpy() for _, mask in self.val]
        self.n_classes = n_classes
        counts = sum(torch.bincount(m.flatten().long(), minlength=256)[:n_classes] for m in self.masks)
        assert isinstance(counts, Tensor)
        self.weights = class_weights(counts) if self.cfg.class_weights == "auto" else None

    def run(self) -> None:
        start = time.monotonic()
        limit = float("inf") if self.cfg.max_minutes is None else 60.0 * self.cfg.max_minutes
        for step in track(range(1, self.cfg.steps + 1), title="training the head", unit="steps"):
            done = max(step / self.cfg.steps, (time.monotonic() - start) / limit)
            self.step(step, done)
            last = done >= 1.0 or step == self.cfg.steps
            if self.val and (last or step % self.cfg.validate_every == 0):
                self.validate(step)
            if last:
                break
        if not self.val:
            self.best, self.best_step = self.average, step

    def step(self, step: int, done: float) -> None:
        lr = self.set_lr(min(done, 1.0))
        self.network.train()
        x, target = random_crops(
            self.fields, self.masks, self.options, n=self.cfg.batch, generator=self.generator
        )
        cfg = self.cfg
        x = random_greys(x, strength=cfg.intensity, inversion=cfg.inversion, generator=self.generator)
        if cfg.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        device = next(self.network.parameters()).device
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.network(x.to(device))
        loss = dice_cross_entropy(logits, target.to(device), weights=self.weights)
        if not bool(torch.isfinite(loss)):
            raise WootzError(
                f"the loss became {float(loss)} at step {step}; lower task.lr (now {cfg.lr}) or set "
                "precision=fp32."
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.update_average(step)
        self.history.append({"step": step, "loss": float(loss.detach()), "lr": lr})

    def set_lr(self, done: float) -> float:
        """One cycle: cosine up over the first 15 %, cosine down to a thousandth after."""
        rise = 0.15
        if done < rise:
            share = 0.04 + 0.96 * 0.5 * (1 - np.cos(np.pi * done / rise))
        else:
            share = 1e-3 + 0.5 * (1 + np.cos(np.pi * (done - rise) / (1 - rise)))
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share
        return float(self.peaks[-1] * share)

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        """Move the running mean, faster in the first steps so that the random start does not linger."""
        decay = min(self.cfg.average_decay, (1 + step) / (10 + step))
        ours, theirs = self.average.state_dict(), self.network.state_dict()
        for key, value in ours.items():
            if value.is_floating_point():
                value.lerp_(theirs[key], 1.0 - decay)
            else:
                value.copy_(theirs[key])

    def validate(self, step: int) -> None:
        counts = np.zeros((self.n_classes, self.n_classes), np.int64)
        for (field, _), truth in zip(self.val, self.val_masks, strict=True):
            options = _Window(self.cfg.crop_px, self.cfg.flip_rows, self.precision)
            probability = predict_field(self.average, field, options, flips=False, overlap=0.25)
            predicted = probability.argmax(0).cpu().numpy()
            counts += confusion_counts(truth, predicted, n_classes=self.n_classes)
        iou = scores_from_counts(counts, class_names=[str(i) for i in range(self.n_classes)]).mean_iou
        self.history[-1]["val_mean_iou"] = iou
        if iou > self.best_iou:
            self.best_iou, self.best_step, self.best_counts = iou, step, counts
            self.best = copy.deepcopy(self.average)


@dataclass(frozen=True)
class _Window:
    crop_px: int
    flip_rows: bool
    precision: str


def _check_labels(fields: list[np.ndarray], masks: list[np.ndarray], *, n_classes: int) -> None:
    if not fields:
        raise WootzError("there are no labelled fields to train on; add masks to the archive first.")
    for field, mask in zip(fields, masks, strict=True):
        if field.shape != mask.shape:
            raise WootzError(f"a field is {field.shape} and its mask {mask.shape}; they must be equal.")
    drawn = sorted({int(value) for mask in masks for value in np.unique(mask)} - {IGNORE})
    if drawn and drawn[-1] >= n_classes:
        raise WootzError(f"a mask holds class {drawn[-1]}, but the scheme has {n_classes} classes (0 first).")
    if len(drawn) < 2:
        raise WootzError(f"the masks hold {len(drawn)} class; a segmentation needs two, e.g. the background.")
