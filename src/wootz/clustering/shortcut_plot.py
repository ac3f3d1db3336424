"""A bar for each thing that clusters could follow, with what chance gives."""

from typing import TYPE_CHECKING

import numpy as np

from wootz.clustering.remedies import Remedy
from wootz.clustering.survey import MIN_ADJUSTED, Survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure


def shortcut_figure(survey: Survey, remedies: "Sequence[Remedy]" = ()) -> "Figure":
    """Draw the association of clusters with each factor, strongest first.

    Parameters
    ----------
    survey : Survey
        At least one factor.
    remedies : sequence of Remedy
        Drawn as marks where the association then is.
    """
    from wootz.plotting import class_colours, new_figure, style_axis

    blue, orange, green, _, _, red = class_colours(6)
    table = survey.table.sort_values("adjusted", ascending=False, ignore_index=True)
    colour = np.where(table["follows"], orange, np.where(table["is_enough"], blue, "#bbbbbb"))
    figure = new_figure(7.0, 1.5 + 0.3 * len(table))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    rows = np.arange(len(table))
    left.barh(rows, table["adjusted"].clip(lower=0), color=colour, height=0.6)
    left.axvline(MIN_ADJUSTED, color="#888888", linewidth=0.8, linestyle=":")
    for remedy in remedies:
        row = int(np.flatnonzero(table["factor"] == remedy.factor)[0])
        is_harmful = remedy.keeps_classes is False
        mark = {"marker": "X", "color": red} if is_harmful else {"marker": "D", "color": green}
        left.scatter(max(remedy.adjusted_after, 0), row, s=28, edgecolor="white", zorder=3, **mark)
    right.barh(rows, table["nmi"], color=colour, height=0.6, alpha=0.6)
    right.plot(table["nmi_chance"], rows, "|", color="black", markersize=11, markeredgewidth=1.5)
    left.set_yticks(rows, [str(name) for name in table["factor"]])
    left.invert_yaxis()
    left.set_xlim(0, 1)
    style_axis(left, title="What clusters follow", xlabel="shared, beyond chance (1: all that could be)")
    style_axis(right, xlabel="NMI; line: chance")
    words = "bars: orange follows, blue does not, grey cannot be said (too few images)"
    words += "; after a remedy: diamond; cross where it takes classes away" if remedies else ""
    figure.supxlabel(words, fontsize=7, x=0.01, ha="left")
    return figure
