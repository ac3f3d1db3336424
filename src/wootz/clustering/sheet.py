"""A sheet of tiles, each with its own scale bar and the image that it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wootz.plotting import PixelSize, draw_scale_bar, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class SheetTile:
    """One tile on a sheet.

    Parameters
    ----------
    image : (H, W) float in [0, 1], or uint8
        Already on the grey scale of its field, so that a flat tile stays flat.
    caption : str
        Printed under the tile, e.g. the image that it comes from; ends are kept, the middle is shortened.
    pixel_size_nm : float, (row, col) pair or None
    note : str
        A second line, e.g. a score.
    """

    image: np.ndarray
    caption: str
    pixel_size_nm: PixelSize
    note: str = ""


def tile_sheet(
    rows: Sequence[tuple[str, Sequence[SheetTile]]], *, title: str, tile_in: float = 1.25
) -> "Figure":
    """Draw rows of tiles, each tile with its own scale bar and caption, each row with its name.

    Parameters
    ----------
    rows : sequence of (name, tiles)
    title : str
    tile_in : float
        Side of a tile on paper, in inches.
    """
    columns = max((len(tiles) for _, tiles in rows), default=0)
    if columns == 0:
        raise ValueError("a sheet needs at least one tile")
    gap, pitch, label_width = 1.06, 1.22, 0.3
    figure = new_figure((columns * gap + label_width) * tile_in, len(rows) * pitch * tile_in + 0.4)
    axis = figure.add_subplot()
    axis.set_axis_off()
    for i, (name, tiles) in enumerate(rows):
        axis.text(
            -0.06, i * pitch + 0.5, name, rotation=90, ha="right", va="center", fontsize=8, weight="bold"
        )
        for j, tile in enumerate(tiles):
            _draw_tile(axis, tile, left=j * gap, top=i * pitch)
    axis.set_xlim(-label_width, (columns - 1) * gap + 1.01)
    axis.set_ylim(len(rows) * pitch, -0.02)
    axis.set_aspect("equal")
    axis.set_title(title, fontsize=9, loc="left")
    return figure


def _draw_tile(axis: "Axes", tile: SheetTile, *, left: float, top: float) -> None:
    height, width = tile.image.shape
    longer = max(height, width)
    w, h = width / longer, height / longer
    white = 255 if tile.image.dtype == np.uint8 else 1
    extent = (left, left + w, top + h, top)
    axis.imshow(tile.image, cmap="gray", vmin=0, vmax=white, extent=extent, interpolation="nearest")
    draw_scale_bar(axis, (left, top, w, h), pixel_size_nm=tile.pixel_size_nm, width_px=width, fontsize=6)
    caption = shorten(tile.caption, 26) + (f"\n{tile.note}" if tile.note else "")
    axis.text(left, top + h + 0.02, caption, fontsize=5, va="top", color="#333333", linespacing=1.1)


def shorten(text: str, n_max: int) -> str:
    """Cut the middle out of a text, because file names differ at their ends."""
    if len(text) <= n_max:
        return text
    tail = (n_max - 1) // 2
    return f"{text[: n_max - 1 - tail]}…{text[len(text) - tail :]}"
