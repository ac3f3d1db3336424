"""DAC: pairs that are surely alike or surely different teach the rest, with thresholds that close in."""

# ruff: noqa: ARG002 -- Lightning gives the hooks their arguments

from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from wootz.augment.config import AugmentConfig
from wootz.augment.geometry import context_px
from wootz.augment.presets import preset
from wootz.augment.views import random_view
from wootz.clustering.methods.grouping import Grouping, by_size
from wootz.clustering.training.batches import RowBatches, checked_side
from wootz.clustering.training.classifying import step_seed
from wootz.clustering.training.options import DACConfig
from wootz.clustering.training.transformer import SpatialTransformer
from wootz.encoders import Encoder
from wootz.tilesource import Tiles
from wootz.training import build_trainer, fit, history_of, prefetch

SMALLEST = 1e-7
UPPER_FIRST, LOWER_FIRST, LOWER_SLOPE = 0.95, 0.455, 0.1


def dac_thresholds(epoch: int, *, step: float = 0.0099) -> tuple[float, float]:
    """Return (upper, lower): pairs more similar than `upper` are alike, less than `lower` different.

    Parameters
    ----------
    epoch : int, >= 0
    step : float, > 0
        What the parameter lambda gains in an epoch.

    Notes
    -----
    ``u = 0.95 - lambda``, ``l = 0.455 + 0.1 lambda``; training ends when ``u <= l``, in epoch 46 with the
    usual step.

    References
    ----------
    Chang et al. 2017, ICCV, doi 10.1109/ICCV.2017.626, section 4.3 and algorithm 1.
    """
    gained = step * epoch
    return UPPER_FIRST - gained, LOWER_FIRST + LOWER_SLOPE * gained


def dac_loss(probabilities: Tensor, *, upper: float, lower: float) -> tuple[Tensor, float]:
    """Compute the loss of all pairs in a batch that are sure enough.

    Parameters
    ----------
    probabilities : (B, n_clusters) float32
        After the softmax.
    upper, lower : float
        From `dac_thresholds`.

    Returns
    -------
    loss : () float32
        Mean of ``-log S`` over the pairs above `upper` plus mean of ``-log (1 - S)`` over those below
        `lower`, S the cosine of their label features; each mean is 0 where there are no such pairs.
    chosen_frac : float in [0, 1]
        Share of the pairs that are sure enough.

    References
    ----------
    Chang et al. 2017, ICCV, equations 2 to 7.
    """
    unit = nn.functional.normalize(probabilities, dim=1)
    similarity = (unit @ unit.T).clamp(SMALLEST, 1 - SMALLEST)
    pair = ~torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    alike, different = pair & (similarity > upper), pair & (similarity < lower)
    loss = similarity.sum() * 0.0
    if bool(alike.any()):
        loss = loss - similarity[alike].log().mean()
    if bool(different.any()):
        loss = loss - (1 - similarity[different]).log().mean()
    return loss, float((alike | different).sum() / pair.sum())


class DAC(LightningModule):
    """Encoder and softmax layer, trained on sure pairs.

    Parameters
    ----------
    encoder : nn.Module
        With an attribute ``dim``.
    cfg : DACConfig
    augment : AugmentConfig
    margin_px : int
    seed : int
    """

    def __init__(
        self, encoder: nn.Module, cfg: DACConfig, *, augment: AugmentConfig, margin_px: int, seed: int
    ) -> None:
        super().__init__()
        dim: int = encoder.dim  # type: ignore[assignment]
        generator = torch.Generator().manual_seed(step_seed(seed, -1))
        self.encoder = encoder
        self.front = SpatialTransformer(generator=generator) if cfg.spatial_transformer else nn.Identity()
        self.norm = nn.BatchNorm1d(dim, affine=False)
        self.top = nn.Parameter(torch.randn(dim, cfg.n_clusters or 0, generator=generator) / dim**0.5)
        self.cfg = cfg
        self.augment = augment
        self.margin_px = margin_px
        self.seed = seed

    def forward(self, pixels: Tensor) -> Tensor:
        """Return cluster probabilities: (B, 1, H, W) -> (B, n_clusters) float32."""
        shown = self.front(pixels).to(memory_format=torch.channels_last)
        return (self.norm(self.encoder(shown).float()) @ self.top).softmax(dim=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build RMSProp."""
        return torch.optim.RMSprop(self.parameters(), lr=self.cfg.lr)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Compute the loss of one view of each tile."""
        generator = torch.Generator().manual_seed(step_seed(self.seed, self.global_step))
        view = random_view(batch[1], self.augment, generator=generator, margin_px=self.margin_px)
        upper, lower = dac_thresholds(self.current_epoch, step=self.cfg.threshold_step)
        with torch.autocast(view.device.type, enabled=False):
            loss, chosen_frac = dac_loss(self(view).float(), upper=upper, lower=lower)
        if self.trainer.is_last_batch:
            history_of(self.trainer).note(upper=upper, lower=lower, chosen_frac=chosen_frac)
        return loss


def dac(
    tiles: Tiles, cfg: DACConfig, *, encoder: Encoder, folder: Path, seed: int
) -> tuple[Grouping, np.ndarray]:
    """Cluster tiles by deep adaptive clustering.

    Parameters
    ----------
    tiles : Tiles
    cfg : DACConfig
    encoder : Encoder
        Trained in place.
    folder : Path
        ``last.ckpt`` and ``history.csv``, with the thresholds and the share of sure pairs of each epoch.
    seed : int

    Returns
    -------
    Grouping
    features : (N, D) float32
        By the trained encoder, behind the spatial transformer where there is one; the encoder's file does not
        hold the latter.

    Raises
    ------
    WootzError
        For fewer tiles than a batch, tiles without contrast, a loss that is not finite.

    Notes
    -----
    Features are standardised by batch before the softmax: with features that are all positive and alike, as
    those of an untrained encoder are, every pair would be surely alike at once, and all tiles one cluster.
    `Grouping.notes` says when that has happened nevertheless. Results depend much on seed and encoder: from
    random weights, on three drawn textures, seeds 0 to 2 gave adjusted Rand indices of 0.84, 0.57 and 0.53
    with the default rate (two textures joined in the latter), and 0.54, 0.0 and 0.57 with the paper's 1e-3.
    Published figures on CIFAR-10 (52 % right) were not reached by re-implementations.

    References
    ----------
    Chang et al. 2017, ICCV, doi 10.1109/ICCV.2017.626; spatial transformer in front: Souza & Zanchettin 2019,
    arXiv:1902.05401.
    """
    side = checked_side(tiles, cfg.batch_size)
    augment = preset(cfg.augment, out_px=side)
    margin_px = context_px(side, augment)
    module = DAC(encoder, cfg, augment=augment, margin_px=margin_px, seed=seed)
    epochs = min(cfg.epochs, last_epoch(cfg.threshold_step))
    trainer = build_trainer(folder, epochs=epochs, title="DAC", precision=cfg.precision)
    batches = RowBatches(
        tiles,
        batch_size=cfg.batch_size,
        margin_px=margin_px,
        draw=lambda epoch: np.random.default_rng([seed, epoch, 1]).permutation(len(tiles)),
        step=lambda: trainer.global_step,
    )
    fit(trainer, module, batches)
    probabilities, features = _apply(module, tiles)
    labels = probabilities.argmax(axis=1).astype(np.int32)
    notes = ()
    if len(np.unique(labels)) < 2:
        notes = ("DAC put all tiles in one cluster; try another encoder or seed.",)
    return by_size(Grouping(labels, probabilities, notes=notes)), features


def last_epoch(step: float = 0.0099) -> int:
    """Return after how many epochs the thresholds have met."""
    epoch = 0
    while True:
        upper, lower = dac_thresholds(epoch, step=step)
        if upper <= lower:
            return max(epoch, 1)
        epoch += 1


@torch.no_grad()
def _apply(module: DAC, tiles: Tiles) -> tuple[np.ndarray, np.ndarray]:
    """Return the probabilities and features of all tiles, seen as they are."""
    module.eval()
    rows = [np.arange(i, min(i + 256, len(tiles))) for i in range(0, len(tiles), 256)]
    probabilities, features = [], []
    for pixels in prefetch(tiles.scaled, rows):
        batch = torch.from_numpy(np.ascontiguousarray(pixels))[:, None].to(module.top.device)
        shown = module.front(batch).to(memory_format=torch.channels_last)
        found = module.encoder(shown).float()
        features.append(found.cpu().numpy())
        probabilities.append((module.norm(found) @ module.top).softmax(dim=1).cpu().numpy())
    return np.concatenate(probabilities), np.concatenate(features)
