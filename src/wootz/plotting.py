"""Drawing that every unit shares: scale bars, fields with outlines, colours, saved figures.

No pyplot and no global style: figures are built on the Agg canvas, so drawing is safe in threads, on servers
and inside notebooks. matplotlib is imported where it is needed, because it costs 0.4 s.
"""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wootz.intensity import robust_range
from wootz.storage import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
"""Seven colours that people with colour-vision deficiency tell apart (Wong 2011, doi 10.1038/nmeth.1618)."""
DPI = 150
BAR_MAX_FRAC = 0.3
MAX_SHOWN_PX = 2000
ANISOTROPY_MAX = 0.01

PixelSize = float | Sequence[float] | None


def square_pixel_size_nm(pixel_size_nm: PixelSize) -> float | None:
    """Return the one pixel size of square pixels, None where it is unknown or rows and columns differ.

    Parameters
    ----------
    pixel_size_nm : float, (row, col) pair or None
        NaN, zero and negative values count as unknown; more than 1 % between rows and columns as not square.
    """
    if pixel_size_nm is None:
        return None
    row, col = np.broadcast_to(np.asarray(pixel_size_nm, dtype=float), 2).tolist()
    if not (math.isfinite(row) and math.isfinite(col) and row > 0 and col > 0):
        return None
    return col if abs(row - col) <= ANISOTROPY_MAX * max(row, col) else None


def scale_bar_length_nm(width_px: float, pixel_size_nm: float) -> tuple[float, str]:
    """Choose a scale bar: the longest 1-2-5 length of at most 30 % of the width.

    Parameters
    ----------
    width_px : float, > 0
        Width of the picture.
    pixel_size_nm : float, > 0
        Size of a pixel along a row.

    Returns
    -------
    length_nm : float
    label : str
        The length in nm, µm or mm, e.g. ``"500 nm"`` or ``"2 µm"``.

    Raises
    ------
    ValueError
        If either argument is not a positive, finite number.

    Examples
    --------
    >>> scale_bar_length_nm(1024, 5.0)
    (1000.0, '1 µm')
    """
    if not (math.isfinite(width_px) and width_px > 0 and math.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise ValueError(f"need a positive width and pixel size, got {width_px} px and {pixel_size_nm} nm")
    length = _nice_length(BAR_MAX_FRAC * width_px * pixel_size_nm)
    for factor, unit in ((1e6, "mm"), (1e3, "µm"), (1.0, "nm")):
        if length >= factor * (1 - 1e-9):
            return length, f"{length / factor:g} {unit}"
    return length, f"{length:g} nm"


def scale_bar(width_px: float, pixel_size_nm: PixelSize) -> tuple[float, str]:
    """Choose a scale bar in nm, or in px where the pixel size is unknown or not square.

    Returns
    -------
    length_px : float
        Length of the bar on the picture.
    label : str
        ``"200 nm"``, ``"1 µm"`` or, without a scale, ``"50 px"``.
    """
    size = square_pixel_size_nm(pixel_size_nm)
    if size is None:
        length = max(1.0, _nice_length(BAR_MAX_FRAC * width_px))
        return length, f"{length:g} px"
    length_nm, label = scale_bar_length_nm(width_px, size)
    return length_nm / size, label


def _nice_length(longest: float) -> float:
    """Return the largest of 1, 2, 5 x 10^n that does not exceed `longest`."""
    power = 10.0 ** math.floor(math.log10(longest) + 1e-12)
    for step in (5.0, 2.0):
        if step * power <= longest * (1 + 1e-12):
            return step * power
    return power


def class_colours(n: int) -> list[str]:
    """Return `n` different colours as ``"#rrggbb"``, safe for colour-vision deficiency up to seven.

    The first colours never depend on `n`. Beyond seven the same hues return lighter and darker, so a plot
    with many classes must also print their numbers.
    """
    return [_mixed(OKABE_ITO[i % len(OKABE_ITO)], i // len(OKABE_ITO)) for i in range(n)]


def _mixed(colour: str, turn: int) -> str:
    """Mix a colour with white (odd turns) or black (even turns), by amounts that never repeat."""
    if turn == 0:
        return colour
    depth, amount, half = (turn + 1) // 2, 0.0, 0.5  # van der Corput: 1/2, 1/4, 3/4, 1/8 ...
    while depth:
        amount += half * (depth & 1)
        depth, half = depth >> 1, half / 2
    target = 255.0 if turn % 2 else 0.0
    mixed = (1 - 0.85 * amount) * rgb_of(colour).astype(float) + 0.85 * amount * target
    return "#" + "".join(f"{round(v):02x}" for v in mixed)


def rgb_of(colour: str) -> np.ndarray:
    """Return (3,) uint8 of ``"#rrggbb"``; ValueError for anything else."""
    try:
        if len(colour) != 7 or colour[0] != "#":
            raise ValueError
        return np.frombuffer(bytes.fromhex(colour[1:]), dtype=np.uint8)
    except ValueError:
        raise ValueError(f"{colour!r} is no colour of the form '#rrggbb'") from None


def grey_uint8(image: np.ndarray, *, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Stretch a field to (H, W) uint8 for looking at; never for computing.

    Parameters
    ----------
    image : (H, W), any real dtype
    low, high : float, optional
        Grey levels shown black and white; by default the 0.1 and 99.9 percentiles.
    """
    if low is None or high is None:
        step = max(1, math.isqrt(image.size // 4_000_000 + 1))
        darkest, brightest = robust_range(image[::step, ::step])
        low = darkest if low is None else low
        high = brightest if high is None else high
    span = max(high - low, 1e-6)
    return (np.clip((image.astype(np.float32) - low) / span, 0, 1) * 255 + 0.5).astype(np.uint8)


def outline_overlay(
    image: np.ndarray, mask: np.ndarray, colours: Sequence[str] | Mapping[int, str], *, width_px: int = 1
) -> np.ndarray:
    """Draw the outlines of a mask's classes on a field.

    Parameters
    ----------
    image : (H, W), any real dtype
    mask : (H, W) integer
        Class of each pixel; 255 (ignore) gets no outline.
    colours : sequence or mapping of "#rrggbb"
        Colour of class k at position or key k; a class without one, or with ``""``, gets no outline.
    width_px : int, >= 1
        Width of the line, which lies inside its class.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ValueError
        If the mask is of another size than the image.
    """
    if image.shape != mask.shape or image.ndim != 2:
        raise ValueError(f"image {image.shape} and mask {mask.shape} must be two-dimensional and of one size")
    table = dict(colours) if isinstance(colours, Mapping) else dict(enumerate(colours))
    canvas = np.repeat(grey_uint8(image)[..., None], 3, axis=2)
    for value, colour in table.items():
        if colour and value != 255:
            canvas[_inner_edge(mask == value, width_px)] = rgb_of(colour)
    return canvas


def _inner_edge(inside: np.ndarray, width_px: int) -> np.ndarray:
    """Return the pixels of a region within `width_px` (city block) of another; the border is no edge."""
    core = inside
    for _ in range(width_px):
        padded = np.pad(core, 1, mode="edge")
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def new_figure(width_in: float, height_in: float) -> "Figure":
    """Return an empty figure on the Agg canvas with constrained layout; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style_axis(axis: "Axes", *, title: str = "", xlabel: str = "", ylabel: str = "") -> "Axes":
    """Give an axis of a graph the look of all wootz figures: open frame, faint grid, small type."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(visible=True, color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8)
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(xlabel, fontsize=9)
    axis.set_ylabel(ylabel, fontsize=9)
    return axis


def show_field(axis: "Axes", image: np.ndarray, *, pixel_size_nm: PixelSize) -> "Axes":
    """Show a field, grey or RGB, with its scale bar; coordinates of the axis stay pixels of the field.

    Parameters
    ----------
    axis : matplotlib axis
    image : (H, W) any real dtype, or (H, W, 3) uint8
    pixel_size_nm : float, (row, col) pair or None
        Without a known, square pixel the bar is in px.
    """
    height, width = image.shape[:2]
    step = max(1, math.ceil(max(height, width) / MAX_SHOWN_PX))
    shown = image[::step, ::step]
    shown = grey_uint8(shown) if shown.ndim == 2 else shown
    axis.imshow(
        shown,
        cmap="gray",
        vmin=0,
        vmax=255,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="antialiased",
    )
    axis.set_axis_off()
    draw_scale_bar(axis, (0.0, 0.0, width, height), pixel_size_nm=pixel_size_nm)
    return axis


def draw_scale_bar(
    axis: "Axes",
    box: tuple[float, float, float, float],
    *,
    pixel_size_nm: PixelSize,
    width_px: float | None = None,
    fontsize: float = 8,
) -> None:
    """Draw a white, black-edged scale bar with its label in the lower left corner of a box.

    Parameters
    ----------
    axis : matplotlib axis whose rows run downwards
    box : (left, top, width, height)
        The picture, in units of the axis.
    pixel_size_nm : float, (row, col) pair or None
    width_px : float, optional
        Width of the picture in its own pixels where the units of the axis are others.
    fontsize : float
        Size of the label in points.
    """
    from matplotlib.patheffects import withStroke

    left, top, width, height = box
    pixels = width if width_px is None else width_px
    length_px, label = scale_bar(pixels, pixel_size_nm)
    length = length_px * width / pixels
    start, row = left + 0.04 * width, top + 0.95 * height
    for colour, line_width, cap in (("black", 4.0, 0.008 * width), ("white", 2.4, 0.0)):
        ends = (start - cap, start + length + cap)
        axis.plot(ends, (row, row), color=colour, linewidth=line_width, solid_capstyle="butt")
    text = axis.text(start, row - 0.025 * height, label, color="white", fontsize=fontsize, va="bottom")
    text.set_path_effects([withStroke(linewidth=2, foreground="black")])


def save_figure(fig: "Figure", path: str | Path) -> Path:
    """Write a figure atomically as PNG, SVG or PDF by its suffix; the same figure gives the same bytes."""
    import matplotlib as mpl

    path = Path(path)
    kind = path.suffix.lstrip(".").lower()
    quiet: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    if kind not in quiet:
        raise ValueError(f"cannot save a figure as {path.name!r}; use .png, .svg or .pdf")
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "wootz"}):
        fig.savefig(buffer, format=kind, metadata=quiet[kind])
    write_bytes(path, buffer.getvalue())
    return path
