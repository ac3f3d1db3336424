"""One match over the methods that train the encoder; what they leave is saved as a wootz encoder."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from wootz.clustering.methods.grouping import Grouping, check_points
from wootz.clustering.training.options import (
    ClusterFitConfig,
    DACConfig,
    DeepClusterConfig,
    DeeperClusterConfig,
)

N_INIT = 10


def trains_encoder(method: Any) -> bool:
    """Say whether a method works on the tiles themselves and trains the encoder."""
    return isinstance(method, DeepClusterConfig | DeeperClusterConfig | ClusterFitConfig | DACConfig)


def train_and_group(tiles: Any, method: Any, *, folder: Path, seed: int) -> tuple[Grouping, np.ndarray]:
    """Cluster tiles by a method that trains the encoder, and save the encoder.

    Parameters
    ----------
    tiles : Tiles
        A TileSet, or an object with ``len`` and ``scaled(rows, margin)``.
    method : DeepClusterConfig, DeeperClusterConfig, ClusterFitConfig or DACConfig
    folder : Path
        Receives ``encoder.pt``, ``last.ckpt`` and ``history.csv``.
    seed : int

    Returns
    -------
    Grouping
    features : (N, D) float32
        Of the trained encoder.

    Raises
    ------
    WootzError
        If no number of clusters is given, or for any reason of the method.
    """
    from wootz.clustering.lloyd import kmeans
    from wootz.clustering.training.batches import features_of
    from wootz.encoders import save_encoder
    from wootz.encoders.start import ENCODER_FILE, start_encoder

    archive = getattr(tiles, "archive", None)
    run = None if archive is None else archive.path / "runs" / method.encoder / ENCODER_FILE
    source = str(run) if run is not None and run.is_file() else method.encoder
    encoder, about = start_encoder(source, seed=seed)
    check_points(features_of(tiles, encoder), method.n_clusters)  # before hours of training
    found: Grouping | None = None
    match method:
        case DeepClusterConfig():
            from wootz.clustering.training.deepcluster import deepcluster

            features = deepcluster(tiles, method, encoder=encoder, folder=folder, seed=seed)
        case DeeperClusterConfig():
            from wootz.clustering.training.deepercluster import deepercluster

            features = deepercluster(tiles, method, encoder=encoder, folder=folder, seed=seed)
        case ClusterFitConfig():
            from wootz.clustering.training.clusterfit import clusterfit

            encoder, features = clusterfit(tiles, method, encoder=encoder, folder=folder, seed=seed)
        case _:
            from wootz.clustering.training.dac import dac

            found, features = dac(tiles, method, encoder=encoder, folder=folder, seed=seed)
    if found is None:
        rng = np.random.default_rng([seed, 5])
        best = kmeans(features, method.n_clusters or 0, rng=rng, n_init=N_INIT, spherical=True)
        found = Grouping(best.labels, stability=best.stability, loss=best.inertia)
    provenance = {"method": method.name, "seed": seed, "start": about, "config": dataclasses.asdict(method)}
    save_encoder(folder / ENCODER_FILE, encoder.cpu(), provenance=provenance)
    return found, features
