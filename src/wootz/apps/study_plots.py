"""The figure of a study: means with intervals, every replicate as a faint dot."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from wootz.apps.study_grid import Study
from wootz.apps.study_tables import figure_names, groups_of, label, rows_where
from wootz.plotting import class_colours, new_figure, style_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP*X"
MAX_FIGURES = 4
MAX_SLANTED = 8
MAX_TICKS = 6
"""Numbers along the axis that are written one by one."""


def study_figure(study: Study, table: pd.DataFrame, summary: pd.DataFrame) -> "Figure":
    """Draw a study: rows of panels per figure, columns per value of ``plot.panel``, colours for the rest.

    Parameters
    ----------
    study : Study
    table, summary : DataFrame
        Out of `cell_table` and `summary_table`.
    """
    shown = [n for n in study.plot.figures if n in set(summary.figure)]
    shown = shown or figure_names(table, study)[:MAX_FIGURES]
    x = x_parameter(study)
    panels = [label(v) for v in study.grid[study.plot.panel]] if study.plot.panel else [None]
    series_keys = [k for k in study.combination_keys if k not in (x, study.plot.panel)]
    figure = new_figure(1.4 + 3.2 * len(panels), 0.5 + 2.6 * max(len(shown), 1))
    axes = figure.subplots(max(len(shown), 1), len(panels), squeeze=False, sharey="row")
    for i, name in enumerate(shown):
        for j, panel in enumerate(panels):
            chosen = rows_where(summary, "figure", name)
            dots = rows_where(table, "status", "done")
            if panel is not None:
                chosen = rows_where(chosen, study.plot.panel, panel)
                dots = rows_where(dots, study.plot.panel, panel)
            axis = style_axis(
                axes[i, j],
                title=f"{study.plot.panel}: {panel}" if panel is not None and i == 0 else "",
                xlabel=x if i == len(shown) - 1 else "",
                ylabel=name if j == 0 else "",
            )
            _draw(axis, chosen, dots, name=name, x=x, levels=study.grid[x], series_keys=series_keys)
    handles, names = axes[0, 0].get_legend_handles_labels()
    if series_keys and handles:
        figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    return figure


def x_parameter(study: Study) -> str:
    """Return the parameter along the axis: as asked, else the compared one, else the last that varies."""
    if study.plot.x:
        return study.plot.x
    if study.compare is not None and study.compare.key != study.plot.panel:
        return study.compare.key
    keys = [key for key in study.combination_keys if key != study.plot.panel] or list(study.grid)
    varying = [key for key in keys if len(study.grid[key]) > 1]
    return (varying or keys)[-1]


def _draw(
    axis: "Axes",
    summary: pd.DataFrame,
    cells: pd.DataFrame,
    *,
    name: str,
    x: str,
    levels: list[Any],
    series_keys: list[str],
) -> None:
    """Draw one panel: numbers on a line, names side by side."""
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in levels)
    place = {label(v): float(v) if numeric else float(i) for i, v in enumerate(levels)}
    groups = groups_of(cells, series_keys)
    span = np.ptp(list(place.values())) or 1.0
    step = (0.01 * span if numeric else 0.6 / max(len(groups), 1)) if len(groups) > 1 else 0.0
    colours = class_colours(len(groups))
    for i, (series, part) in enumerate(groups):
        shift = (i - (len(groups) - 1) / 2) * step
        own = _rows_of(summary, series_keys, series)
        at = np.array([place[v] + shift for v in own[x]]) if x in own else np.zeros(len(own))
        order = np.argsort(at)
        mean = own["mean"].to_numpy(float)[order]
        low, high = own.ci_low.to_numpy(float)[order], own.ci_high.to_numpy(float)[order]
        error = np.nan_to_num(np.stack([mean - low, high - mean]))
        dots = np.array([place[v] + shift for v in part[x]])
        axis.scatter(dots, part[name], s=8, color=colours[i], alpha=0.35, linewidths=0)
        axis.errorbar(
            at[order],
            mean,
            yerr=error,
            color=colours[i],
            marker=MARKERS[i % len(MARKERS)],
            markersize=4,
            linestyle="-" if numeric else "none",
            linewidth=1,
            capsize=2,
            label=", ".join(f"{k} {v}" for k, v in zip(series_keys, series, strict=True)),
        )
    if numeric:  # also where a panel lacks the cells of some level
        axis.set_xlim(min(place.values()) - 0.05 * span, max(place.values()) + 0.05 * span)
    if numeric and len(place) <= MAX_TICKS:
        axis.set_xticks(list(place.values()), [str(v) for v in place])
    if not numeric:
        slanted = len(place) <= MAX_SLANTED
        at, names = list(place.values()), [str(v) for v in place]
        axis.set_xticks(at, names, rotation=20 if slanted else 90, ha="right" if slanted else "center")


def _rows_of(frame: pd.DataFrame, keys: list[str], values: tuple) -> pd.DataFrame:
    for key, value in zip(keys, values, strict=True):
        frame = rows_where(frame, key, value)
    return frame
