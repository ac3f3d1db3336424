"""A training step on labels by cluster, shared by DeepCluster, DeeperCluster and ClusterFit."""

# ruff: noqa: ARG002 -- Lightning gives the hooks their arguments

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from wootz.augment.config import AugmentConfig
from wootz.augment.views import random_view
from wootz.clustering.training.tops import N_TURNS, quarter_turned

MOMENTUM = 0.9


class Classifying(LightningModule):
    """Encoder and a layer on top that predicts the label of a tile from one view of it.

    Parameters
    ----------
    encoder : nn.Module
    top : Top and nn.Module
    label : callable
        ``label(epoch)`` returns the (N,) labels of an epoch, or None to keep those before. New labels have no
        relation to the old ones, so the layer is drawn anew with them.
    augment : AugmentConfig
    margin_px : int
    lr, weight_decay : float
    seed : int
    turn : bool
        Turn each tile by 0 to 3 quarters first, drawn evenly, and ask for the joint target
        ``4 * label + quarters``.
    """

    def __init__(
        self,
        encoder: nn.Module,
        top: Any,
        *,
        label: Callable[[int], np.ndarray | None],
        augment: AugmentConfig,
        margin_px: int,
        lr: float,
        weight_decay: float,
        seed: int,
        turn: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.top = top
        self.label = label
        self.augment = augment
        self.margin_px = margin_px
        self.lr = lr
        self.weight_decay = weight_decay
        self.seed = seed
        self.turn = turn
        self.labels = np.zeros(0, np.int64)
        self.labelled_epoch = -1

    def relabel(self, epoch: int) -> np.ndarray:
        """Return the labels of an epoch; made at its start, and kept when a run goes on within it."""
        if epoch != self.labelled_epoch:
            labels = self.label(epoch)
            self.labelled_epoch = epoch
            if labels is not None:
                self.labels = labels.astype(np.int64)
                self._redraw_top(epoch)
        return self.labels

    def _redraw_top(self, epoch: int) -> None:
        seed = int(np.random.SeedSequence([self.seed, 7, epoch]).generate_state(1)[0])
        self.top.redraw(self.labels, generator=torch.Generator().manual_seed(seed))
        for optimizer in self.trainer.optimizers:
            for weight in self.top.parameters():
                optimizer.state.pop(weight, None)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build SGD with momentum."""
        options: dict[str, Any] = {"lr": self.lr, "momentum": MOMENTUM, "weight_decay": self.weight_decay}
        return torch.optim.SGD(self.parameters(), **options)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Compute the loss of one view of each tile with the label of its tile."""
        rows, pixels = batch
        generator = torch.Generator().manual_seed(step_seed(self.seed, self.global_step))
        targets = torch.from_numpy(self.labels)[rows.cpu()]
        if self.turn:
            turns = torch.randint(N_TURNS, (len(rows),), generator=generator)
            pixels, targets = quarter_turned(pixels, turns.to(pixels.device)), N_TURNS * targets + turns
        view = random_view(pixels, self.augment, generator=generator, margin_px=self.margin_px)
        features = self.encoder(view.to(memory_format=torch.channels_last)).float()
        return self.top(features, targets.to(view.device))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the labels of the running epoch: they cannot be made again from later weights."""
        checkpoint["labels"] = torch.from_numpy(self.labels)
        checkpoint["labelled_epoch"] = self.labelled_epoch

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the labels of the epoch in which the run was interrupted."""
        self.labels = checkpoint["labels"].numpy()
        self.labelled_epoch = checkpoint["labelled_epoch"]


def step_seed(seed: int, step: int) -> int:
    """Return the seed of a step's draws."""
    return int(np.random.SeedSequence([seed, 1 + step]).generate_state(1, np.uint64)[0] >> 1)
