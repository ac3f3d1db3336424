"""Which tiles of an archive are trained on: no copies, nothing blank, no info bar, the kinds asked for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wootz.errors import WootzError
from wootz.progress import say, track
from wootz.readers.infobar import find_info_bar
from wootz.ssl.config import PretrainConfig
from wootz.ssl.sampling import ORIGIN, Sampling, plan_sampling

if TYPE_CHECKING:
    from wootz.tiles import TileSet

LOOKED_AT = 64


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
    names = [ORIGIN, options.balance] if options.balance in tiles.column_names else [ORIGIN, "image_id"]
    asks_in_vain = options.balance and options.balance not in names  # the message then lists all columns
    keep, sampling = plan_sampling(tiles.frame if asks_in_vain else tiles.columns(names), options)
    tiles = tiles if keep.all() else tiles.select(keep)
    return Selection(tiles, sampling, n_all - len(tiles))


def on_info_bar(tiles: "TileSet") -> np.ndarray:
    """Find tiles that overlap an info bar which was not cut when the images were ingested.

    Parameters
    ----------
    tiles : TileSet

    Returns
    -------
    (N,) bool

    Notes
    -----
    Up to 64 fields are looked at, evenly spaced among those of which no bar was cut; only if one of them
    shows a bar, all are. So a bar in a few of very many fields is missed; ingest looks at each.
    """
    frame = tiles.columns(["image_id", "row", "height", "info_bar_rows"])
    images = frame.loc[frame["info_bar_rows"] == "", "image_id"].drop_duplicates().tolist()
    some = np.unique(np.linspace(0, len(images) - 1, min(len(images), LOOKED_AT)).astype(int))
    out = np.zeros(len(frame), bool)
    if not any(_bar(tiles, images[i]) is not None for i in some):
        return out
    top, bottom = (frame["row"].to_numpy(), (frame["row"] + frame["height"]).to_numpy())
    rows_of = frame.groupby("image_id").indices
    for image_id in track(images, title="looking for info bars", unit="images"):
        bar = _bar(tiles, image_id)
        if bar is not None:
            rows = rows_of[image_id]
            out[rows] = (top[rows] < bar.stop) & (bottom[rows] > bar.start)
    return out


def _bar(tiles: "TileSet", image_id: str) -> slice | None:
    return find_info_bar(tiles.archive.field(image_id))
