"""DeepCluster: cluster the features, train on the clusters, and again."""

from pathlib import Path

import numpy as np

from wootz.augment.geometry import context_px
from wootz.augment.presets import preset
from wootz.clustering.training.batches import RowBatches, checked_side, features_of
from wootz.clustering.training.classifying import Classifying
from wootz.clustering.training.labels import even_rows, kmeans_labels, mutual
from wootz.clustering.training.options import DeepClusterConfig
from wootz.clustering.training.tops import FlatTop
from wootz.encoders import Encoder
from wootz.tilesource import Tiles
from wootz.training import build_trainer, fit, history_of


def deepcluster(
    tiles: Tiles, cfg: DeepClusterConfig, *, encoder: Encoder, folder: Path, seed: int
) -> np.ndarray:
    """Train an encoder on clusters of its own features.

    Parameters
    ----------
    tiles : Tiles
    cfg : DeepClusterConfig
    encoder : Encoder
        Trained in place.
    folder : Path
        ``last.ckpt`` and ``history.csv``; the latter has a column ``nmi``: how much the labels of an epoch
        tell of those of the epoch before.
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
    A pretraining method first of all. On small sets the labels may stay about brightness and texture: look at
    ``nmi``, which rises when the labels settle, whatever they settle on.

    References
    ----------
    Caron et al. 2018, arXiv:1807.05520, sections 3 and 4.1 (figure 2b: NMI between epochs).
    """
    side = checked_side(tiles, cfg.batch_size)
    augment = preset(cfg.augment, out_px=side)
    margin_px = context_px(side, augment)
    trainer = build_trainer(folder, epochs=cfg.epochs, title="DeepCluster", precision=cfg.precision)

    def label(epoch: int) -> np.ndarray:
        rng = np.random.default_rng([seed, epoch])
        features = features_of(tiles, encoder)
        labels = kmeans_labels(features, cfg.n_labels, rng=rng, n_components=cfg.n_components)
        if len(module.labels) == len(labels):
            history_of(trainer).note(nmi=mutual(module.labels, labels))
        return labels

    dim: int = encoder.dim  # type: ignore[assignment]
    module = Classifying(
        encoder,
        FlatTop(cfg.n_labels, dim),
        label=label,
        augment=augment,
        margin_px=margin_px,
        lr=cfg.lr,
        weight_decay=cfg.weight_decay,
        seed=seed,
    )
    batches = RowBatches(
        tiles,
        batch_size=cfg.batch_size,
        margin_px=margin_px,
        draw=lambda epoch: even_rows(module.relabel(epoch), rng=np.random.default_rng([seed, epoch, 1])),
        step=lambda: trainer.global_step,
    )
    fit(trainer, module, batches)
    return features_of(tiles, encoder)
