"""The training step that all methods share: views, loss, learning rate, what follows the weights."""

# ruff: noqa: ARG002 -- Lightning gives the hooks their arguments

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from lightly.models.utils import get_weight_decay_parameters
from lightly.utils.lars import LARS
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from wootz.errors import CheckpointError
from wootz.ssl.batches import Batch
from wootz.ssl.config import PretrainConfig
from wootz.ssl.lens import build_lens, through_lens
from wootz.ssl.views import TileBatch
from wootz.training import LAST, history_of, step_is_whole


class Pretraining(LightningModule):
    """One method under Lightning.

    Parameters
    ----------
    method : nn.Module
        From `build_method`.
    cfg : PretrainConfig
    margin_px : int
        Context that the batches carry around each tile.
    shift_px : int
        Part of the context by which the window of a view may lie off its tile.
    n_steps : int
        Of the whole training, if no time budget ends it earlier.
    origin : str
        Fingerprint of options and tiles; a checkpoint of another one is refused.
    """

    def __init__(
        self,
        method: nn.Module,
        cfg: PretrainConfig,
        *,
        margin_px: int,
        n_steps: int,
        origin: str,
        shift_px: int = 0,
    ) -> None:
        super().__init__()
        self.method = method
        self.cfg = cfg
        self.margin_px = margin_px
        self.shift_px = shift_px
        self.lens = build_lens(cfg.lens, method=cfg.method.name, seed=cfg.seed)
        self.n_steps = n_steps
        self.origin = origin

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build AdamW or LARS without weight decay on norms and biases."""
        batch_size = self.cfg.batch_size * self.cfg.accumulate * self.trainer.world_size
        optimizer = build_optimizer(self.method, self.cfg, batch_size=batch_size)
        if self.lens is not None:
            lr = optimizer.param_groups[0]["base_lr"] * self.cfg.lens.lr_factor
            group = {"params": list(self.lens.parameters()), "weight_decay": 0.0, "lr": lr, "base_lr": lr}
            optimizer.add_param_group(group)
        return optimizer

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move tiles without waiting for the copy; their facts stay on the CPU, where views are planned."""
        if device.type != "cuda":
            return batch
        tiles, facts = batch if isinstance(batch, tuple) else (batch, None)
        tiles = tiles.pin_memory().to(device, non_blocking=True)
        return tiles if facts is None else (tiles, facts)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rate from the progress of the training."""
        factor = learning_rate_factor(self.progress(), warmup_frac=self.cfg.warmup_frac)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["base_lr"] * factor

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Let the method draw its views of each tile and compute its loss."""
        part = batch_idx % self.cfg.accumulate
        words = [self.cfg.seed, 1 + self.global_step, self.global_rank, part]
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator().manual_seed(seed)
        pixels, facts = batch if isinstance(batch, tuple) else (batch, None)
        tiles = TileBatch(
            pixels,
            self.margin_px,
            self.cfg.augment,
            generator=generator,
            shift_px=self.shift_px,
            facts=facts,
        )
        views = self.method.views(tiles)  # type: ignore[operator]
        if self.lens is None:
            return self.method(*views)
        views, change = through_lens(self.lens, views, weight=self.cfg.lens.weight)
        self._change = change.detach()
        # the value stays that of the method alone, so that losses with and without a lens compare
        return self.method(*views) + self.cfg.lens.penalty * (change - change.detach())

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and let slow copies follow at once, so that a checkpoint never falls in between."""
        super().optimizer_step(*args, **kwargs)
        self.method.update(self.progress())  # type: ignore[operator]

    def on_train_start(self) -> None:
        """Stop a resumed training whose time was over."""
        self.trainer.should_stop = self.progress() >= 1

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note how much the lens changes, and end the training when its time is over, after a whole step."""
        if self.lens is not None and self.trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            history_of(self.trainer).note(lens_rms=float(self._change.sqrt()))
        if step_is_whole(self.trainer, batch_idx) and self.progress() >= 1:
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note of which options and tiles the checkpoint is."""
        checkpoint["origin"] = self.origin

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of other options or tiles."""
        if checkpoint["origin"] != self.origin:
            raise CheckpointError(
                f"the folder holds a {LAST} of other options or other tiles; train into a new folder, or "
                "remove the old one."
            )

    def progress(self) -> float:
        """Return how much of the training is done, by steps or by the clock, whichever is more."""
        done = self.global_step / self.n_steps
        if self.cfg.max_minutes is None:
            return done
        seconds = self.trainer.strategy.broadcast(history_of(self.trainer).seconds)
        return max(done, seconds / (60 * self.cfg.max_minutes))


def learning_rate_factor(progress: float, *, warmup_frac: float) -> float:
    """Return the learning rate as a part of its largest: linear rise, then half a cosine to 0.

    Parameters
    ----------
    progress : float
        Part of the training that is done, in [0, 1].
    warmup_frac : float
        Part of the training over which the rate rises, in [0, 1).
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < warmup_frac:
        return 0.02 + 0.98 * progress / warmup_frac
    return 0.5 * (1 + math.cos(math.pi * (progress - warmup_frac) / (1 - warmup_frac)))


def build_optimizer(module: nn.Module, cfg: PretrainConfig, *, batch_size: int) -> torch.optim.Optimizer:
    """Build the optimiser; norms and biases get no weight decay (nor LARS's trust ratio).

    References
    ----------
    LARS: You et al. 2017, arXiv:1708.03888; its rate 0.3 batch / 256: Chen et al. 2020, arXiv:2002.05709.
    """
    decayed, plain = get_weight_decay_parameters([module])
    is_lars = cfg.optimizer == "lars"
    lr = cfg.lr if cfg.lr is not None else (0.3 * batch_size / 256 if is_lars else 1e-3)
    decay = cfg.weight_decay if cfg.weight_decay is not None else (1e-6 if is_lars else 1e-4)
    groups = [
        {"params": _trainable(decayed), "weight_decay": decay, "base_lr": lr},
        {"params": _trainable(plain), "weight_decay": 0.0, "base_lr": lr},
    ]
    return LARS(groups, lr=lr, momentum=0.9) if is_lars else torch.optim.AdamW(groups, lr=lr)


def _trainable(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    return [p for p in parameters if p.requires_grad]
