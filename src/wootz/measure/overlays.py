"""Drawings to check measurements by eye: what was measured, drawn onto the field that it came from."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wootz import plotting
from wootz.measure.formatting import format_interval, readable
from wootz.measure.intervals import Interval
from wootz.measure.particle import ParticleResult, size_distribution
from wootz.measure.regions import PixelSize
from wootz.measure.thickness import LayerThickness

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAYER, LINE, WARN = "#e69f00", "#56b4e9", "#d55e00"
N_NORMALS_SHOWN = 48
WIDTH_IN = 7.0


def coating_figure(
    image: NDArray, region: NDArray[np.bool_], result: LayerThickness, *, pixel_size_nm: PixelSize, title: str
) -> "Figure":
    """Field with the outline of the layer, its mid-line and every n-th normal, above the profile.

    Normals that were not measured are drawn in red: those that leave the field, at free ends and at gaps.
    """
    height = WIDTH_IN * image.shape[0] / image.shape[1]
    figure = plotting.new_figure(WIDTH_IN, min(height, 1.5 * WIDTH_IN) + 2.4)
    top, bottom = figure.subplots(2, 1, height_ratios=[min(height, 1.5 * WIDTH_IN), 2.0])
    line_px = max(1, round(max(image.shape) / 700))
    outlined = plotting.outline_overlay(image, region.astype(np.uint8), {1: LAYER}, width_px=line_px)
    plotting.show_field(top, outlined, pixel_size_nm=pixel_size_nm)
    top.set_title(title, fontsize=9, loc="left")
    if result.midline_px.size:
        _draw_normals(top, result)
    _profile_axis(bottom, result)
    return figure


def _draw_normals(axis: "Axes", result: LayerThickness) -> None:
    from matplotlib.collections import LineCollection

    every = max(1, result.position.size // N_NORMALS_SHOWN)
    shown = np.arange(every // 2, result.position.size, every)
    measured = result.state[shown] == "measured"
    ends = np.stack([result.start_px[shown][:, ::-1], result.end_px[shown][:, ::-1]], axis=1)
    known = np.isfinite(ends).all((1, 2))
    for select, colour in ((measured & known, LINE), (~measured & known, WARN)):
        axis.add_collection(LineCollection(list(ends[select]), colors=colour, linewidths=0.9))
    row, col = result.midline_px.T
    axis.plot(col, row, color="white", linewidth=1.0, linestyle=(0, (4, 3)))


def _profile_axis(axis: "Axes", result: LayerThickness) -> None:
    plotting.style_axis(axis)
    if result.status == "failed":
        axis.set_axis_off()
        axis.text(0.5, 0.5, f"no thickness: {result.reason}", ha="center", va="center", fontsize=9, wrap=True)
        return
    factor, unit = readable(result.mean.value, result.unit)
    x, y = result.position * factor, result.thickness * factor
    axis.plot(x, y, color=LINE, linewidth=1.0)
    mean = result.mean
    axis.axhline(mean.value * factor, color="black", linewidth=0.8)
    if np.isfinite(mean.ci_low) and np.isfinite(mean.ci_high):
        axis.axhspan(mean.ci_low * factor, mean.ci_high * factor, color="black", alpha=0.1, linewidth=0)
    excluded = result.state != "measured"
    if excluded.any():
        top = float(np.nanmax(y)) * 1.08
        axis.fill_between(x, 0, top, where=list(excluded), color=WARN, alpha=0.25, linewidth=0, step="mid")
    axis.set_ylim(bottom=0)
    axis.set_xlim(float(x[0]), float(x[-1]))
    axis.set_xlabel(f"along the layer ({unit})", fontsize=8)
    axis.set_ylabel(f"thickness ({unit})", fontsize=8)
    label = f"mean {format_interval(mean, result.unit)}, spread (std) {result.std * factor:.3g} {unit}"
    if result.status == "censored":
        label = f"CENSORED, lower bound: {label}"
    axis.set_title(label, fontsize=8, loc="left")


def fractions_figure(
    image: NDArray,
    mask: NDArray[np.uint8],
    classes: Mapping[int, tuple[str, Interval, str]],
    *,
    region: NDArray[np.bool_] | None,
    pixel_size_nm: PixelSize,
    title: str,
) -> "Figure":
    """Field with the outlines of the measured classes and their fractions; what lies outside is dimmed."""
    figure = plotting.new_figure(
        WIDTH_IN, WIDTH_IN * image.shape[0] / image.shape[1] + 0.5 + 0.2 * len(classes)
    )
    axis = figure.subplots()
    width_px = max(1, round(max(image.shape) / 900))
    colours = {class_id: colour for class_id, (_, _, colour) in classes.items()}
    rgb = plotting.outline_overlay(image, mask, colours, width_px=width_px)
    if region is not None:
        rgb[~region] //= 2
    plotting.show_field(axis, rgb, pixel_size_nm=pixel_size_nm)
    axis.set_title(title, fontsize=9, loc="left")
    for name, fraction, colour in classes.values():
        axis.plot([], [], color=colour, linewidth=3, label=f"{name}: {format_interval(fraction, '1')}")
    axis.legend(
        loc="upper left", bbox_to_anchor=(0, 0), fontsize=8, frameon=False, ncols=2 if len(classes) > 3 else 1
    )
    return figure


def particles_figure(
    image: NDArray, mask: NDArray[np.bool_], result: ParticleResult, *, pixel_size_nm: PixelSize, title: str
) -> "Figure":
    """Field with counted particles outlined, those cut by the border in red, beside the size distribution."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    height = 5.0 * image.shape[0] / image.shape[1]
    figure = plotting.new_figure(8.5, max(height, 3.0) + 0.4)
    left, right = figure.subplots(1, 2, width_ratios=[5, 3])
    marks = np.zeros(mask.shape, np.uint8)
    for kind, inside in ((1, True), (2, False)):
        for row in result.table[result.table["inside"] == inside].itertuples():
            box = slice(row.row0, row.row1), slice(row.col0, row.col1)
            marks[box][mask[box]] = kind
    outlined = plotting.outline_overlay(image, marks, {1: LAYER, 2: WARN})
    plotting.show_field(left, outlined, pixel_size_nm=pixel_size_nm)
    left.set_title(title, fontsize=9, loc="left")
    distribution = size_distribution(result)
    factor, unit = readable(result.mean_ecd.value, result.unit)
    plotting.style_axis(right, xlabel=f"equivalent circle diameter ({unit})", ylabel="share of particles")
    if len(distribution):
        low, high = distribution["low"] * factor, distribution["high"] * factor
        right.bar(low, distribution["frac"], width=high - low, align="edge", color=LAYER, edgecolor="white")
        right.set_xscale("log")
        right.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        right.xaxis.set_major_formatter(ScalarFormatter())
        right.xaxis.set_minor_formatter(NullFormatter())
        right.axvline(result.mean_ecd.value * factor, color="black", linewidth=0.8)
    lines = (
        f"{result.n} particles, {result.n - result.n_inside} cut",
        f"mean {format_interval(result.mean_ecd, result.unit)}",
        f"density {format_interval(result.density, result.density_unit)}",
    )
    right.set_title("\n".join(lines), fontsize=8, loc="left")
    return figure
