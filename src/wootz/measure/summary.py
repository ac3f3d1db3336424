"""One figure of a whole measurement: fields, specimens and conditions with their intervals."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wootz import plotting
from wootz.measure.formatting import headline, readable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MUTED = "#777777"
MAX_FIELDS = 60
MAX_PANELS = 8


def summary_figure(table: pd.DataFrame) -> "Figure":
    """Draw one panel per main quantity: each field with its interval beside specimens and conditions.

    With more than 60 fields only the pooled rows are drawn. Units are never mixed in a panel.
    """
    rows = headline(table)
    if (
        rows.loc[rows["level"] == "field", "image_id"].nunique() > MAX_FIELDS
        and (rows["level"] != "field").any()
    ):
        rows = rows[rows["level"] != "field"]
    else:
        rows = rows[(rows["level"] != "specimen") | (rows["n"] > 1)]  # one field says it already
    panels = [part for _, part in rows.groupby(["quantity", "unit"], sort=False)][:MAX_PANELS]
    heights = [0.8 + 0.19 * len(part) for part in panels]
    figure = plotting.new_figure(7.0, sum(heights) + 0.3)
    axes = np.atleast_1d(figure.subplots(len(panels), 1, height_ratios=heights))
    for axis, part in zip(axes, panels, strict=True):
        _panel(axis, part)
    return figure


def _panel(axis: "Axes", rows: pd.DataFrame) -> None:
    rank = rows["level"].map({"field": 0, "specimen": 1, "condition": 2, "all": 3})
    rows = rows.assign(rank=rank, upper=rank > 1)
    rows = rows.sort_values(["condition", "upper", "specimen", "rank"], kind="stable", ignore_index=True)
    factor, unit = readable(float(rows["value"].median()), str(rows["unit"].iloc[0]))
    for y, row in enumerate(rows.to_dict("records")):
        _whisker(axis, y, row, factor=factor)
    plotting.style_axis(axis, title=str(rows["quantity"].iloc[0]), xlabel=f"{unit}  (lines: interval)")
    _limit(axis, rows, factor=factor)
    axis.set_yticks(range(len(rows)), [_label(row) for row in rows.to_dict("records")], fontsize=6)
    axis.set_ylim(len(rows) - 0.4, -0.6)


def _whisker(axis: "Axes", y: int, row: dict, *, factor: float) -> None:
    is_field = row["level"] == "field"
    colour = MUTED if is_field else "black"
    low, high = (row[k] if math.isfinite(row[k]) else row["value"] for k in ("ci_low", "ci_high"))
    axis.plot([low * factor, high * factor], [y, y], color=colour, linewidth=1.2 if is_field else 2.5)
    marker = ">" if row["ci_high"] == math.inf else ("o" if is_field else "D")
    axis.plot(row["value"] * factor, y, marker, color=colour, markersize=4)


def _limit(axis: "Axes", rows: pd.DataFrame, *, factor: float) -> None:
    """Keep the axis on the values: two fields give a t interval that would squeeze all others to points."""
    top = float(rows["value"].max()) * factor
    if not math.isfinite(top) or top <= 0:
        axis.set_xlim(0, 1)
        return
    highest = float(rows["ci_high"].replace(math.inf, math.nan).max()) * factor
    reach = min(highest, 1.6 * top) if math.isfinite(highest) else top
    axis.set_xlim(0, 1.04 * max(top, reach))


def _label(row: dict) -> str:
    match row["level"]:
        case "field":
            file = Path(str(row.get("file", ""))).name
            file = f"…{file[-34:]}" if len(file) > 35 else file
            return f"{row['specimen']} {file}" if row["specimen"] not in file else file
        case "specimen":
            return f"specimen {row['specimen']}, n = {row['n']}"
        case "condition":
            return f"condition {row['condition']}, n = {row['n']}"
    return f"all, n = {row['n']}"
