"""The training of a segmentation head under Lightning: crops, steps, mean of the weights, best step."""

# ruff: noqa: ARG002, D102 -- Lightning gives the hooks their names and arguments

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from wootz.errors import CheckpointError
from wootz.finetune.config import SegmentConfig
from wootz.finetune.crops import CropOptions, random_crops
from wootz.finetune.greys import random_greys
from wootz.finetune.losses import dice_cross_entropy
from wootz.finetune.unet import UNet
from wootz.training import LAST, history_of, prefetch

WARM_UP = 0.15
MAX_GRADIENT_NORM = 5.0


class CropBatches:
    """Endless epochs of random crops; each batch follows from the seed and its step alone.

    Parameters
    ----------
    fields, masks : lists of (H, W) float32 and uint8 tensors
        Already shrunk by ``cfg.downscale``.
    cfg : SegmentConfig
    seed : int
    position : callable
        Returns (step, rank): iteration starts there, so that a resumed run sees the very batches that it
        would have seen.
    """

    def __init__(
        self,
        fields: list[Tensor],
        masks: list[Tensor],
        cfg: SegmentConfig,
        *,
        seed: int,
        position: Callable[[], tuple[int, int]],
    ) -> None:
        self.fields, self.masks, self.cfg = fields, masks, cfg
        self.seed, self.position = seed, position
        self.options = CropOptions(
            cfg.crop_px,
            cfg.rotation_deg,
            cfg.zoom,
            flip_rows=cfg.flip_rows,
            elastic=cfg.elastic,
            plain_prob=cfg.plain_prob,
        )

    def __len__(self) -> int:
        return min(self.cfg.validate_every, self.cfg.steps)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        step, rank = self.position()
        end = min((step // len(self) + 1) * len(self), self.cfg.steps)
        return prefetch(self._draw, [(self.seed, 0, i, rank) for i in range(step, end)])

    def _draw(self, words: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        generator = step_generator(*words)
        return random_crops(self.fields, self.masks, self.options, n=self.cfg.batch_size, generator=generator)

    # Lightning asks loaders for their state before it resumes within an epoch; ours is the step itself.
    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the position follows from the step."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Do nothing: the position follows from the step."""


def step_generator(*words: int) -> torch.Generator:
    """Return a generator on the CPU that follows from whole numbers alone."""
    seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(seed)


class SegmentTraining(LightningModule):
    """A U-Net in training, the running mean of its weights, and the best of those means so far.

    Parameters
    ----------
    network : UNet
    cfg : SegmentConfig
    weights : (C,) float32 or None
        Class weights of the loss.
    seed : int
    origin : str
        Fingerprint of options and labels; a checkpoint of another one is refused.
    """

    def __init__(
        self, network: UNet, cfg: SegmentConfig, *, weights: Tensor | None, seed: int, origin: str
    ) -> None:
        super().__init__()
        if cfg.channels_last:
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.network, self.cfg, self.origin, self.seed = network, cfg, origin, seed
        self.average, self.best = copy.deepcopy(network), copy.deepcopy(network)
        self.average.requires_grad_(False)
        self.best.requires_grad_(False)
        self.weights = weights
        self.best_step, self.best_score = 0, -math.inf

    def configure_optimizers(self) -> torch.optim.Optimizer:
        lr = self.cfg.lr
        factor = 1.0 if self.cfg.encoder_lr_factor is None else self.cfg.encoder_lr_factor
        others = [*self.network.decoder.parameters(), *self.network.head.parameters()]
        groups = [
            {"params": list(self.network.encoder.parameters()), "base_lr": lr * factor, "lr": lr * factor},
            {"params": others, "base_lr": lr, "lr": lr},
        ]
        return torch.optim.AdamW(groups, weight_decay=self.cfg.weight_decay)

    def on_train_start(self) -> None:
        """Stop a resumed training that was over."""
        self.trainer.should_stop = self.progress() >= 1

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        height = learning_rate_height(self.progress())
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["base_lr"] * height

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, target = batch
        cfg = self.cfg
        generator = step_generator(self.seed, 1, self.global_step, self.global_rank)
        x = random_greys(x, strength=cfg.intensity, inversion=cfg.inversion, generator=generator)
        if cfg.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        return dice_cross_entropy(self.network(x), target, weights=self.weights)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and let the running mean follow at once, so that a checkpoint never falls in between."""
        super().optimizer_step(*args, **kwargs)
        update_average(self.average, self.network, decay=self.cfg.average_decay, step=self.global_step)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.progress() >= 1:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["origin"] = self.origin
        checkpoint["best"] = [self.best_step, self.best_score]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if checkpoint["origin"] != self.origin:
            raise CheckpointError(
                f"the folder holds a {LAST} of other options or other labels; train into a new folder, or "
                "remove the old one."
            )
        self.best_step, self.best_score = checkpoint["best"]

    def progress(self) -> float:
        """Return how much of the training is done, by steps or by the clock, whichever is more."""
        done = self.global_step / self.cfg.steps
        if self.cfg.max_minutes is None:
            return done
        seconds = self.trainer.strategy.broadcast(history_of(self.trainer).seconds)
        return max(done, seconds / max(60.0 * self.cfg.max_minutes, 1e-9))


class Judge(Callback):
    """At the end of each epoch, score the running mean and keep it if it is the best so far.

    Parameters
    ----------
    score : callable or None
        Takes a UNet, returns a number, higher is better. Without it the last mean is kept.
    """

    def __init__(self, score: Callable[[UNet], float] | None) -> None:
        self.score = score

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, SegmentTraining)
        score = math.inf
        if self.score is not None:
            score = self.score(pl_module.average)
            history_of(trainer).note(val_mean_iou=score)
        if score >= pl_module.best_score or not math.isfinite(pl_module.best_score):
            pl_module.best_score, pl_module.best_step = score, trainer.global_step
            pl_module.best.load_state_dict(pl_module.average.state_dict())


@torch.no_grad()
def update_average(average: UNet, network: UNet, *, decay: float, step: int) -> None:
    """Move the running mean towards the weights, faster in the first steps: the random start must not linger.

    Parameters
    ----------
    average, network : UNet
    decay : float in [0, 1)
    step : int
        Steps done so far.
    """
    decay = min(decay, (1.0 + step) / (10.0 + step))
    theirs = network.state_dict()
    for key, value in average.state_dict().items():
        if value.is_floating_point():
            value.lerp_(theirs[key], 1.0 - decay)
        else:
            value.copy_(theirs[key])


def learning_rate_height(progress: float) -> float:
    """Return the learning rate over its peak: half a cosine up over the first 15 %, half a cosine down after.

    Parameters
    ----------
    progress : float
        Part of the training that is done.
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < WARM_UP:
        return 0.04 + 0.96 * 0.5 * (1.0 - math.cos(math.pi * progress / WARM_UP))
    return 1e-3 + 0.999 * 0.5 * (1.0 + math.cos(math.pi * (progress - WARM_UP) / (1.0 - WARM_UP)))
