"""Look at the features while they are trained, and stop a training that has collapsed."""

# ruff: noqa: D102 -- Lightning gives the hooks their names and arguments

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from wootz.augment.config import AugmentConfig
from wootz.augment.views import random_view
from wootz.errors import WootzError
from wootz.progress import say
from wootz.ssl.collapse import RankGuard, check_collapse
from wootz.ssl.embedding import embed_arrays
from wootz.ssl.known import KnownTiles
from wootz.ssl.monitors import alignment, alpha_req, feature_std, lidar, rankme, uniformity
from wootz.ssl.probes import knn_probe, linear_probe
from wootz.training import history_of

EVERY_STEPS = 50
TIME_FRAC = 0.03
N_VIEWED = 128
N_VIEWS = 4


@dataclass(frozen=True)
class Watched:
    """What is looked at: the same pixels throughout, so that values can be compared.

    Attributes
    ----------
    tiles : (N, H, W) float32
    views : (n, Q, h, w) float32
        Q views of each of n tiles.
    known : KnownTiles or None
    """

    tiles: np.ndarray
    views: np.ndarray
    known: KnownTiles | None = None


def watched(tiles: np.ndarray, augment: AugmentConfig, *, seed: int, known: KnownTiles | None) -> Watched:
    """Draw four views of up to 128 of the tiles (N, H, W), evenly spaced."""
    rows = np.unique(np.linspace(0, len(tiles) - 1, min(len(tiles), N_VIEWED)).astype(int))
    batch = torch.from_numpy(tiles[rows])[:, None]
    generator = torch.Generator().manual_seed(seed)
    views = [random_view(batch, augment, generator=generator)[:, 0] for _ in range(N_VIEWS)]
    return Watched(tiles, torch.stack(views, dim=1).numpy(), known)


def look(sample: Watched, encoder: nn.Module) -> dict[str, float]:
    """Compute all monitors of the features of a sample.

    Returns
    -------
    dict
        ``rankme, feature_std, uniformity, lidar, alignment``; ``alpha_req`` where there are enough
        components, ``knn`` and ``linear`` where classes are known. Features that are all zero for half of the
        tiles give ``rankme`` 1 and ``feature_std`` 0 alone.

    Raises
    ------
    WootzError
        If a feature is not finite.
    """
    features = embed_arrays(sample.tiles, encoder, batch_size=64)
    if not np.isfinite(features).all():
        raise WootzError("the features are no longer finite numbers; lower lr, or set precision=float32.")
    if features.any(axis=1).mean() < 0.5:
        return {"rankme": 1.0, "feature_std": 0.0}
    values = {"rankme": rankme(features), "feature_std": feature_std(features)}
    values["uniformity"] = uniformity(features)
    n, q, height, width = sample.views.shape
    flat = embed_arrays(sample.views.reshape(n * q, height, width), encoder, batch_size=64)
    views = flat.reshape(n, q, -1)
    values["alignment"] = alignment(views)
    for name, monitor, given in (("lidar", lidar, views), ("alpha_req", alpha_req, features)):
        try:
            values[name] = monitor(given)
        except ValueError:  # too few tiles or components for this one
            continue
    return values | ({} if sample.known is None else _probe(sample.known, encoder))


def _probe(known: KnownTiles, encoder: nn.Module) -> dict[str, float]:
    features, test = embed_arrays(known.pixels, encoder, batch_size=64), known.is_test
    parts: dict[str, Any] = {"test_features": features[test], "test_labels": known.labels[test]}
    knn = knn_probe(features[~test], known.labels[~test], **parts)
    return {"knn": knn, "linear": linear_probe(features[~test], known.labels[~test], **parts)}


class FeatureWatch(Callback):
    """Note the monitors of a fixed sample at the end of epochs.

    Parameters
    ----------
    sample : Watched
    method : str
        Name of the method, for the advice in a message.
    start : dict
        What `look` said of random weights.
    cost_s : float
        How long that took.

    Notes
    -----
    Not more often than every 50 steps, and not before looking would take more than 3 % of the training's
    time, so that in a small archive, where an epoch takes less time than a look, the training is not slowed
    down. After the last epoch in any case.
    """

    def __init__(self, sample: Watched, *, method: str, start: dict[str, float], cost_s: float) -> None:
        self.sample = sample
        self.method = method
        self.guard = RankGuard(start["rankme"], method=method)
        self._last_step = 0
        self._cost_s = cost_s
        self._spent_s = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"last_step": self._last_step, "spent_s": self._spent_s, "guard": self.guard.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._last_step, self._spent_s = state_dict["last_step"], state_dict["spent_s"]
        self.guard.load_state_dict(state_dict["guard"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_last = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if not (is_last or trainer.strategy.broadcast(self._is_due(trainer))):
            return
        start_s, epoch = time.monotonic(), trainer.current_epoch + 1
        encoder: nn.Module = pl_module.method.encoder  # type: ignore[assignment, union-attr]
        values = trainer.strategy.broadcast(look(self.sample, encoder))
        history_of(trainer).note(**values)
        check_collapse(std=values["feature_std"], rank=values["rankme"], method=self.method, epoch=epoch)
        warning = self.guard.judge(values["rankme"], epoch=epoch)
        if warning and trainer.is_global_zero:
            say(warning)
        self._last_step = trainer.global_step
        self._cost_s = time.monotonic() - start_s
        self._spent_s += self._cost_s

    def _is_due(self, trainer: Trainer) -> bool:
        if trainer.global_step - self._last_step < EVERY_STEPS:
            return False
        return self._spent_s + self._cost_s <= TIME_FRAC * history_of(trainer).seconds
