"""Which tiles of an archive are trained on: no copies, nothing blank, no info bar, the kinds asked for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wootz.errors import WootzError
from wootz.progress import say
from wootz.ssl.config import PretrainConfig
from wootz.ssl.sampling import ORIGIN, Sampling, plan_sampling
from wootz.ssl.sampling_options import SamplingConfig
from wootz.uncutbars import on_info_bar

if TYPE_CHECKING:
    from wootz.tiles import TileSet


@dataclass(frozen=True)
class Selection:
    """Tiles to train on.

    Attributes
    ----------
    tiles : TileSet
    sampling : Sampling or None
        How often each is drawn; None for once in an epoch.
    n_left_out : int
        Duplicates, tiles without contrast or on an info bar, and of the kind that was not asked for.
    """

    tiles: "TileSet"
    sampling: Sampling | None
    n_left_out: int


def select_tiles(tiles: "TileSet", cfg: PretrainConfig) -> Selection:
    """Leave out what must not be trained on, and plan how often the rest is drawn.

    Raises
    ------
    WootzError
        If the sampling asks for columns or kinds of tiles that are not there.
    """
    n_all = len(tiles)
    flags = ["duplicate"] if cfg.include_uninformative else ["duplicate", "uninformative"]
    flagged = tiles.columns(flags).eq(True).any(axis=1).to_numpy(bool)
    if flagged.any():
        tiles = tiles.select(~flagged)
    on_bar = on_info_bar(tiles)
    if on_bar.any():
        say(
            f"{on_bar.sum()} tiles lie on an info bar and are left out; a network learns the bar before the "
            "specimen. `wootz ingest` cuts bars unless cut_info_bar=false."
        )
        tiles = tiles.select(~on_bar)
    options = cfg.sampling
    if cfg.single_image and (options.balance or options.synthetic_frac is not None):
        raise WootzError(
            "sampling.balance and sampling.synthetic_frac choose among many images; leave them out "
            "together with single_image."
        )
    if cfg.single_image and options.block > 1:
        raise WootzError("sampling.block keeps tiles of an image together; leave it out with single_image.")
    names = [ORIGIN, options.balance] if options.balance in tiles.column_names else [ORIGIN, "image_id"]
    asks_in_vain = options.balance and options.balance not in names  # the message then lists all columns
    keep, sampling = plan_sampling(tiles.frame if asks_in_vain else tiles.columns(names), options)
    tiles = tiles if keep.all() else tiles.select(keep)
    return Selection(tiles, sampling, n_all - len(tiles))


def tile_groups(tiles: "TileSet", options: SamplingConfig) -> np.ndarray | None:
    """Give each tile the number of its value of ``within``, (N,) int; None where batches are drawn from all.

    Tiles whose value is unknown form a group of their own.

    Raises
    ------
    WootzError
        If there is no such column.
    """
    if options.block == 1:
        return None
    if options.within not in tiles.column_names:
        raise WootzError(
            f"sampling.within={options.within!r}: the tiles have no such column; choose one of "
            f"{', '.join(sorted(map(str, tiles.column_names)))}."
        )
    values = tiles.columns([options.within])[options.within]
    return pd.factorize(values)[0].astype(np.int64) + 1
