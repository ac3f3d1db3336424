"""Draw what features tell, factor by factor."""

from pathlib import Path

import pandas as pd


def draw_shortcuts(table: pd.DataFrame, path: Path, *, title: str) -> Path:
    """Draw scores against what chance gives, a line a factor, to a PNG, SVG or PDF file.

    Parameters
    ----------
    table : DataFrame
        Of a `ProbeReport`.
    path : Path
    title : str
    """
    from wootz.plotting import class_colours, new_figure, save_figure, style_axis

    others = [str(name) for name in table.columns if str(name).startswith("score_")]
    colours = class_colours(2 + len(others))
    figure = new_figure(7.0, 1.2 + 0.32 * len(table))
    axis = figure.subplots()
    for i, row in enumerate(table.to_dict("records")):
        ends = [max(row["chance"], 0), max(row["chance_high"], 0)]
        axis.plot(ends, [i, i], color="#bbbbbb", linewidth=7, label="" if i else "chance", zorder=1)
        for name, colour in zip(others, colours[2:], strict=True):
            label = "" if i else name.removeprefix("score_")
            axis.plot(max(row[name], 0), i, "|", markersize=11, mew=2, color=colour, label=label, zorder=2)
        is_told = str(row["verdict"]).startswith("told")
        fill = colours[0] if is_told else "white"
        label = "" if i else "features (full: told)"
        axis.plot(max(row["score"], 0), i, "o", color=colours[0], mfc=fill, label=label, zorder=3)
    axis.set_yticks(range(len(table)), [f"{r.factor} ({r.measure})" for r in table.itertuples()])
    axis.set_xlim(-0.02, 1.02)
    axis.invert_yaxis()
    style_axis(axis, title=title, xlabel="score on images not fitted on: 1 is perfect, R2 below 0 drawn at 0")
    figure.legend(fontsize=7, frameon=False, loc="outside lower center", ncols=3 + len(others))
    return save_figure(figure, path)
