"""DeeperCluster: clusters within clusters, each seen in four rotations, are what the encoder learns."""

import dataclasses
from pathlib import Path

import numpy as np

from wootz.augment.presets import preset
from wootz.clustering.training.batches import RowBatches, checked_side, features_of
from wootz.clustering.training.classifying import Classifying
from wootz.clustering.training.labels import even_rows, mutual, two_level_labels
from wootz.clustering.training.options import DeeperClusterConfig
from wootz.clustering.training.tops import TwoLevelTop
from wootz.encoders import Encoder
from wootz.tilesource import Tiles
from wootz.training import build_trainer, fit, history_of


def deepercluster(
    tiles: Tiles, cfg: DeeperClusterConfig, *, encoder: Encoder, folder: Path, seed: int
) -> np.ndarray:
    """Train an encoder on clusters of its own features and on the rotation of tiles, jointly.

    Parameters
    ----------
    tiles : Tiles
    cfg : DeeperClusterConfig
    encoder : Encoder
        Trained in place.
    folder : Path
        ``last.ckpt`` and ``history.csv``; the latter has a column ``nmi``: how much new labels tell of those
        before, in epochs in which they were made.
    seed : int

    Returns
    -------
    (N, D) float32
        Features of all tiles after training.

    Raises
    ------
    WootzError
        For fewer tiles than a batch, tiles without contrast, a loss that is not finite, features that become
        all the same.

    Notes
    -----
    Tiles are turned before anything else is done to them, so that artefacts along the scan do not give the
    rotation away; views are neither rotated nor mirrored on top. Scan lines, curtains and shadows that the
    tiles hold themselves do give it away. Where a material looks the same from all sides the rotation
    cannot be told, and half of the supervision is lost.

    Rows are drawn evenly over the sub-classes, as in DeepCluster.

    References
    ----------
    Caron et al. 2019, arXiv:1905.01278, section 3.2.
    """
    side = checked_side(tiles, cfg.batch_size)
    augment = dataclasses.replace(preset(cfg.augment, out_px=side), rotation_deg=0.0, flip_prob=0.0)
    n_sub = max(1, cfg.n_labels // cfg.n_super)
    trainer = build_trainer(folder, epochs=cfg.epochs, title="DeeperCluster", precision=cfg.precision)

    def label(epoch: int) -> np.ndarray | None:
        if epoch % cfg.reassign_every:
            return None
        rng = np.random.default_rng([seed, epoch])
        labels = two_level_labels(
            features_of(tiles, encoder), cfg.n_super, n_sub, rng=rng, n_components=cfg.n_components
        )
        if len(module.labels) == len(labels):
            history_of(trainer).note(nmi=mutual(module.labels, labels))
        return labels

    dim: int = encoder.dim  # type: ignore[assignment]
    module = Classifying(
        encoder,
        TwoLevelTop(cfg.n_super, n_sub, dim),
        label=label,
        augment=augment,
        margin_px=0,
        turn=True,
        lr=cfg.lr,
        weight_decay=cfg.weight_decay,
        seed=seed,
    )
    batches = RowBatches(
        tiles,
        batch_size=cfg.batch_size,
        margin_px=0,
        draw=lambda epoch: even_rows(module.relabel(epoch), rng=np.random.default_rng([seed, epoch, 1])),
        step=lambda: trainer.global_step,
    )
    fit(trainer, module, batches)
    return features_of(tiles, encoder)
