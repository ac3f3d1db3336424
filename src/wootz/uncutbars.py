"""Tiles that lie on an info bar which was not cut at ingest."""

from typing import TYPE_CHECKING

import numpy as np

from wootz.progress import track
from wootz.readers.infobar import find_info_bar

if TYPE_CHECKING:
    from wootz.tiles import TileSet

LOOKED_AT = 64


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
