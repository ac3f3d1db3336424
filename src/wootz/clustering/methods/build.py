"""One match over the methods of this package."""

from typing import Any

import numpy as np

from wootz.clustering.methods import head_options, options
from wootz.clustering.methods.grouping import Grouping
from wootz.clustering.methods.known import Known, named_tiles, paired_tiles


def group(
    features: np.ndarray, method: Any, *, rng: np.random.Generator, known: Known | None = None
) -> Grouping | None:
    """Cluster prepared (N, D) features with a method's options; None for options of no method here.

    Each method is imported when it is used, so that k-means does not wait for torch.

    Raises
    ------
    WootzError
        For any reason of the method.
    """
    match method:
        case options.CohnHolmConfig():
            from wootz.clustering.methods.cohn_holm import cohn_holm

            return cohn_holm(features, method, rng=rng)
        case options.HDBSCANConfig():
            from wootz.clustering.methods.density import hdbscan

            return hdbscan(features, method, rng=rng)
        case options.WardConfig():
            from wootz.clustering.methods.ward import ward

            return ward(features, method, rng=rng)
        case options.SeededConfig() | options.ConstrainedConfig() | head_options.SimGCDConfig():
            return _with_known(features, method, known=known or Known(np.full(len(features), -1)), rng=rng)
        case _:
            return _with_heads(features, method, rng=rng)


def _with_known(features: np.ndarray, method: Any, *, known: Known, rng: np.random.Generator) -> Grouping:
    match method:
        case options.SeededConfig():
            from wootz.clustering.methods.seeded import seeded

            return seeded(features, method, known=known, rng=rng)
        case options.ConstrainedConfig():
            from wootz.clustering.methods.constrained import constrained

            return constrained(features, method, known=known, rng=rng)
        case _:
            from wootz.clustering.methods.simgcd import simgcd

            return simgcd(features, method, known=known, rng=rng)


def _with_heads(features: np.ndarray, method: Any, *, rng: np.random.Generator) -> Grouping | None:
    match method:
        case head_options.SCANConfig():
            from wootz.clustering.methods.scan import scan

            return scan(features, method, rng=rng)
        case head_options.TEMIConfig():
            from wootz.clustering.methods.temi import temi

            return temi(features, method, rng=rng)
        case head_options.SeLaConfig():
            from wootz.clustering.methods.sela import sela

            return sela(features, method, rng=rng)
    return None


def known_of(tiles: Any, method: Any) -> Known | None:
    """Read from the tiles, or a file, what a method needs to know before; None for the others."""
    match method:
        case options.SeededConfig() | head_options.SimGCDConfig():
            return named_tiles(tiles.frame, method.column)
        case options.ConstrainedConfig():
            return paired_tiles(tiles.frame.tile_id.to_numpy(), method.pairs)
    return None
