"""The training loop of a segmentation head: steps, running mean of the weights, best step, resume."""

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wootz.encoders import read_checkpoint, write_checkpoint
from wootz.errors import CheckpointError, WootzError
from wootz.finetune.config import SegmentConfig
from wootz.finetune.crops import CropOptions, random_crops
from wootz.finetune.greys import random_greys
from wootz.finetune.losses import dice_cross_entropy
from wootz.finetune.unet import UNet
from wootz.progress import track

SAVE_EVERY_S = 60.0
WARM_UP = 0.15
MAX_GRADIENT_NORM = 5.0


class Loop:
    """One training run: everything that must survive a kill lives here.

    Parameters
    ----------
    network : UNet
        On its device.
    cfg : SegmentConfig
    fields, masks : lists of (H, W) float32 and uint8 tensors
        Already shrunk by ``cfg.downscale``.
    weights : (C,) float32 or None
        Class weights of the loss.
    validate : callable or None
        Returns a score, higher is better, of a network; without it the last weights are kept.
    seed : int
    precision : str
    """

    def __init__(
        self,
        network: UNet,
        cfg: SegmentConfig,
        *,
        labelled: tuple[list[Tensor], list[Tensor]],
        weights: Tensor | None,
        validate: Callable[[UNet], float] | None,
        seed: int,
        precision: str,
    ) -> None:
        if cfg.channels_last:
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.network, self.cfg, self.precision = network, cfg, precision
        self.fields, self.masks = labelled
        self.weights, self.validate = weights, validate
        self.device = next(network.parameters()).device
        self.average = copy.deepcopy(network)
        self.best = copy.deepcopy(network)
        self.best_step, self.best_score = 0, -math.inf
        self.done_steps, self.seconds = 0, 0.0
        self.history: list[dict[str, float]] = []
        self.generator = torch.Generator().manual_seed(seed)
        others = [*network.decoder.parameters(), *network.head.parameters()]
        groups = [
            {"params": list(network.encoder.parameters()), "lr": cfg.lr * cfg.encoder_lr_factor},
            {"params": others, "lr": cfg.lr},
        ]
        self.peaks = [cfg.lr * cfg.encoder_lr_factor, cfg.lr]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=cfg.weight_decay)
        self.crops = CropOptions(
            cfg.crop_px, cfg.rotation_deg, cfg.zoom, flip_rows=cfg.flip_rows, elastic=cfg.elastic
        )

    def run(self, state: Path, *, signature: dict[str, Any]) -> None:
        """Train to the end; after a kill, go on from `state` if it was written by the same `signature`."""
        self._resume(state, signature)
        limit = math.inf if self.cfg.max_minutes is None else 60.0 * self.cfg.max_minutes
        before, start, saved = self.seconds, time.monotonic(), time.monotonic()
        todo = range(self.done_steps + 1, self.cfg.steps + 1)
        for step in track(todo, title="training the head", unit="steps"):
            done = max(step / self.cfg.steps, self.seconds / limit)
            self._step(step, share=min(done, 1.0))
            self.done_steps = step
            last = done >= 1.0
            if self.validate and (last or step % self.cfg.validate_every == 0):
                self._judge(step)
            self.seconds = before + time.monotonic() - start
            if last:
                break
            if time.monotonic() - saved >= SAVE_EVERY_S:
                write_checkpoint(state, {"signature": signature, **self._state()})
                saved = time.monotonic()
        if not self.validate:
            self.best, self.best_step = self.average, self.done_steps

    def _step(self, step: int, *, share: float) -> None:
        cfg = self.cfg
        lr = self._set_lr(share)
        self.network.train()
        x, target = random_crops(self.fields, self.masks, self.crops, n=cfg.batch, generator=self.generator)
        x = random_greys(x, strength=cfg.intensity, inversion=cfg.inversion, generator=self.generator)
        x, target = x.to(self.device), target.to(self.device)
        if cfg.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.network(x)
        loss = dice_cross_entropy(logits, target, weights=self.weights)
        if not bool(torch.isfinite(loss)):
            raise WootzError(
                f"the loss became {float(loss.detach())} at step {step}; lower task.lr (now {cfg.lr:g}) or "
                "set precision=fp32."
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        self._update_average(step)
        self.history.append({"step": step, "loss": float(loss.detach()), "lr": lr})

    def _set_lr(self, share: float) -> float:
        """One cycle over the share of the run: cosine up over the first 15 %, cosine down to 0.1 % after."""
        if share < WARM_UP:
            height = 0.04 + 0.96 * 0.5 * (1.0 - math.cos(math.pi * share / WARM_UP))
        else:
            height = 1e-3 + 0.999 * 0.5 * (1.0 + math.cos(math.pi * (share - WARM_UP) / (1.0 - WARM_UP)))
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = peak * height
        return self.peaks[1] * height

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        """Move the running mean, faster in the first steps so that the random start does not linger."""
        decay = min(self.cfg.average_decay, (1.0 + step) / (10.0 + step))
        if self.cfg.average_decay == 0.0:
            decay = 0.0
        theirs = self.network.state_dict()
        for key, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(theirs[key], 1.0 - decay)
            else:
                value.copy_(theirs[key])

    def _judge(self, step: int) -> None:
        assert self.validate is not None
        score = self.validate(self.average)
        self.history[-1]["val_mean_iou"] = score
        if score > self.best_score or not np.isfinite(self.best_score):
            self.best_score, self.best_step = score, step
            self.best.load_state_dict(self.average.state_dict())

    def _state(self) -> dict[str, Any]:
        return {
            "networks": [n.state_dict() for n in (self.network, self.average, self.best)],
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "numbers": [self.best_step, self.best_score, self.done_steps, self.seconds],
            "history": self.history,
        }

    def _resume(self, state: Path, signature: dict[str, Any]) -> None:
        if not state.is_file():
            return
        try:
            content = read_checkpoint(state)
        except CheckpointError:
            return  # a state that cannot be read costs time, never the run
        if content.get("signature") != signature:
            return
        for network, weights in zip(
            (self.network, self.average, self.best), content["networks"], strict=True
        ):
            network.load_state_dict(weights)
        self.optimiser.load_state_dict(content["optimiser"])
        self.generator.set_state(content["generator"])
        self.best_step, self.best_score, self.done_steps, self.seconds = content["numbers"]
        self.history = content["history"]
