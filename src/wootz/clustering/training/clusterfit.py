"""ClusterFit: a new encoder learns, from scratch, the clusters of another one's features."""

from pathlib import Path

import numpy as np

from wootz.augment.geometry import context_px
from wootz.augment.presets import preset
from wootz.clustering.training.batches import RowBatches, checked_side, features_of
from wootz.clustering.training.classifying import Classifying
from wootz.clustering.training.labels import kmeans_labels
from wootz.clustering.training.options import ClusterFitConfig
from wootz.clustering.training.tops import FlatTop
from wootz.encoders import Encoder, build_encoder
from wootz.tilesource import Tiles
from wootz.training import build_trainer, fit


def clusterfit(
    tiles: Tiles, cfg: ClusterFitConfig, *, encoder: Encoder, folder: Path, seed: int
) -> tuple[Encoder, np.ndarray]:
    """Train a new encoder on clusters of the given one's features.

    Parameters
    ----------
    tiles : Tiles
    cfg : ClusterFitConfig
    encoder : Encoder
        Not changed.
    folder : Path
        ``last.ckpt`` and ``history.csv``.
    seed : int

    Returns
    -------
    encoder : Encoder
        The new one.
    features : (N, D) float32
        Of all tiles by it.

    Raises
    ------
    WootzError
        For fewer tiles than a batch, tiles without contrast, features that are all the same, a loss that is
        not finite.

    Notes
    -----
    What one encoder learned from its task and from noise in its labels is smoothed: the new one keeps what
    survives as clusters. It cannot learn more than the clusters tell.

    References
    ----------
    Yan et al. 2020, arXiv:1912.03330, section 3.
    """
    side = checked_side(tiles, cfg.batch_size)
    augment = preset(cfg.augment, out_px=side)
    margin_px = context_px(side, augment)
    rng = np.random.default_rng([seed, 3])
    trainer = build_trainer(folder, epochs=cfg.epochs, title="ClusterFit", precision=cfg.precision)
    encoder.to(trainer.strategy.root_device)  # type: ignore[call-overload]
    labels = kmeans_labels(features_of(tiles, encoder), cfg.n_labels, rng=rng)
    new = build_encoder(cfg.new_encoder or encoder.name, generator_seed=seed)
    dim: int = new.dim  # type: ignore[assignment]
    module = Classifying(
        new,
        FlatTop(cfg.n_labels, dim),
        label=lambda epoch: labels if epoch == 0 else None,
        augment=augment,
        margin_px=margin_px,
        lr=cfg.lr,
        weight_decay=cfg.weight_decay,
        seed=seed,
    )

    def draw(epoch: int) -> np.ndarray:
        module.relabel(epoch)
        return np.random.default_rng([seed, epoch, 1]).permutation(len(tiles))

    batches = RowBatches(
        tiles,
        batch_size=cfg.batch_size,
        margin_px=margin_px,
        draw=draw,
        step=lambda: trainer.global_step,
    )
    fit(trainer, module, batches)
    return new, features_of(tiles, new)
