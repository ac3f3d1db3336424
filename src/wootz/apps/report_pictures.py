"""Pictures of the report: files and figures as data URIs, and the three that no run has drawn."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wootz.plotting import class_colours, grey_uint8, new_figure, show_field

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_WIDTH_PX = 1200
MAX_BYTES = 250_000
JPEG_QUALITY = 80
MAX_PANORAMA_PX = 4_000_000


def picture(path: Path) -> str:
    """Read a picture as a data URI of at most 1200 px width; what is large as a PNG becomes a JPEG.

    Electron micrographs are noisy, and noise does not compress without loss. The report shows pictures; the
    full ones stay in the archive.
    """
    return _reduced(path.read_bytes(), is_png=path.suffix.lower() == ".png")


def figure_uri(figure: "Figure") -> str:
    """Draw a figure as a data URI, reduced like `picture`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return _reduced(buffer.getvalue())


def _reduced(data: bytes, *, is_png: bool = True) -> str:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as opened:
        if is_png and opened.width <= MAX_WIDTH_PX and len(data) <= MAX_BYTES:
            return _data_uri(data, "png")
        image = opened.convert("RGB")
    if image.width > MAX_WIDTH_PX:
        height = round(image.height * MAX_WIDTH_PX / image.width)
        image = image.resize((MAX_WIDTH_PX, height), Image.Resampling.LANCZOS)
    png = _encoded(image, "png", optimize=True)
    if len(png) <= MAX_BYTES:
        return _data_uri(png, "png")
    # subsampling off: the thin coloured outlines of an overlay would bleed
    return _data_uri(_encoded(image, "jpeg", quality=JPEG_QUALITY, subsampling=0), "jpeg")


def fields_figure(archive: Any, image_ids: list[str]) -> "Figure":
    """Draw some fields side by side, each with its scale bar and name."""
    n_cols = min(4, len(image_ids))
    n_rows = -(-len(image_ids) // n_cols)
    figure = new_figure(2.6 * n_cols, 2.4 * n_rows)
    axes = figure.subplots(n_rows, n_cols, squeeze=False).ravel()
    for axis in axes[len(image_ids) :]:
        axis.set_axis_off()
    for axis, image_id in zip(axes, image_ids, strict=False):
        row = archive.image(image_id)
        pixels, size = _thinned(archive.field(image_id), row)
        show_field(axis, pixels, pixel_size_nm=size)
        name = Path(row["file"]).name
        axis.set_title(name if len(name) <= 30 else "…" + name[-29:], fontsize=7, loc="left")
    return figure


def tile_grid_figure(archive: Any, image_id: str) -> "Figure":
    """Draw the tile grid onto a field; tiles flagged as uninformative are crossed out."""
    from matplotlib.patches import Rectangle

    row = archive.image(image_id)
    table = archive.tile_table
    tiles = table[table["image_id"] == image_id]
    figure = new_figure(5.0, 5.0 * min(row["height_px"] / row["width_px"], 1.6))
    axis = figure.subplots()
    show_field(axis, archive.field(image_id), pixel_size_nm=_size(row))
    blue, orange = class_colours(2)
    for tile in tiles.to_dict("records"):
        corner = (tile["col"] - 0.5, tile["row"] - 0.5)
        colour = orange if tile["uninformative"] else blue
        axis.add_patch(
            Rectangle(corner, tile["width"], tile["height"], fill=False, edgecolor=colour, linewidth=0.8)
        )
        if tile["uninformative"]:
            ends = ((tile["col"], tile["col"] + tile["width"]), (tile["row"], tile["row"] + tile["height"]))
            axis.plot(*ends, color=orange, linewidth=0.6)
    return figure


def heat_figure(archive: Any, image_ids: list[str], *, name: str) -> "Figure":
    """Draw heat maps over their fields on one common scale."""
    heats = [archive.map(image_id, name) for image_id in image_ids]
    low, high = min(float(np.median(h)) for h in heats), max(float(h.max()) for h in heats)
    figure = new_figure(3.2 * len(image_ids), 3.2)
    axes = figure.subplots(1, len(image_ids), squeeze=False).ravel()
    for axis, image_id, heat in zip(axes, image_ids, heats, strict=True):
        row = archive.image(image_id)
        show_field(axis, grey_uint8(archive.field(image_id)), pixel_size_nm=_size(row))
        strength = np.clip((heat - low) / max(high - low, 1e-9), 0, 1)
        axis.imshow(heat, cmap="inferno", alpha=0.6 * strength, vmin=low, vmax=high)
        axis.set_title(f"{Path(row['file']).name[-24:]}: {heat.max():.3g}", fontsize=7, loc="left")
    return figure


def _thinned(pixels: np.ndarray, row: dict[str, Any]) -> tuple[np.ndarray, tuple[float, float]]:
    """Take every n-th pixel of a panorama: a thumbnail does not need to read all of it."""
    step = max(1, int(np.sqrt(pixels.size / MAX_PANORAMA_PX)))
    size = _size(row)
    return pixels[::step, ::step], (size[0] * step, size[1] * step)


def _size(row: dict[str, Any]) -> tuple[float, float]:
    return row["pixel_size_row_nm"], row["pixel_size_col_nm"]


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


def _encoded(image: Any, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()
