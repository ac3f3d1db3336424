"""Look at the features while they are trained, and stop a training that has collapsed."""

# ruff: noqa: D102 -- Lightning gives the hooks their names and arguments

from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from wootz.ssl.embedding import embed_arrays
from wootz.ssl.monitors import check_collapse, feature_std, rankme
from wootz.training import history_of

EVERY_STEPS = 50


class FeatureWatch(Callback):
    """Note RankMe and spread of the features of a fixed sample at the end of epochs.

    Parameters
    ----------
    sample : (N, H, W) float32
        The same tiles throughout, so that values can be compared.
    method : str
        Name of the method, for the advice in a message.

    Notes
    -----
    Not more often than every 50 steps, and after the last one: in a small archive an epoch takes less time
    than a look.
    """

    def __init__(self, sample: np.ndarray, *, method: str) -> None:
        self.sample = sample
        self.method = method
        self._last_step = 0

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self._last_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._last_step = state_dict["last_step"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_last = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if not is_last and trainer.global_step - self._last_step < EVERY_STEPS:
            return
        self._last_step = trainer.global_step
        encoder: nn.Module = pl_module.method.encoder  # type: ignore[assignment, union-attr]
        std, rank = trainer.strategy.broadcast(look(self.sample, encoder))
        history_of(trainer).note(rankme=rank, feature_std=std)
        check_collapse(std=std, rank=rank, method=self.method, epoch=trainer.current_epoch + 1)


def look(sample: np.ndarray, encoder: nn.Module) -> tuple[float, float]:
    """Return spread and RankMe of the features of a sample; (0, 1) where the features are all zero."""
    features = embed_arrays(sample, encoder, batch_size=64)
    if not np.isfinite(features).all() or not features.any():
        return 0.0, 1.0
    return feature_std(features), rankme(features)
