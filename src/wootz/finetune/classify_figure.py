"""A head of tile classes in a picture: what it confuses, and whether its confidence is true."""

from typing import TYPE_CHECKING

import numpy as np

from wootz.headscores import HeadScores
from wootz.plotting import new_figure, style_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def head_figure(scores: HeadScores) -> "Figure":
    """Draw the confusion of a head (share of each named class) and confidence against accuracy.

    Parameters
    ----------
    scores : HeadScores
        Of rows that the head did not learn from.
    """
    n = len(scores.class_names)
    figure = new_figure(5.2 + 0.45 * min(n, 20), 2.0 + 0.4 * min(n, 20))
    table, curve = figure.subplots(1, 2)
    counts = scores.confusion
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    table.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = "white" if share[i, j] > 0.6 else "#333333"
        table.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=7, color=colour)
    title = f"unseen images: balanced accuracy {scores.balanced_accuracy:.3f}"
    style_axis(table, title=title, xlabel="predicted", ylabel="named")
    table.grid(visible=False)
    table.set_xticks(range(n), scores.class_names, rotation=45, ha="right", fontsize=7)
    table.set_yticks(range(n), scores.class_names, fontsize=7)
    style_axis(curve, title="is the confidence true?", xlabel="confidence", ylabel="share right")
    curve.plot([0, 1], [0, 1], color="#999999", linewidth=1)
    if scores.reliability:
        confidence, right, rows = zip(*scores.reliability, strict=True)
        curve.plot(confidence, right, color="#0072b2", linewidth=1)
        size = 10 + 60 * np.array(rows) / max(rows)
        curve.scatter(confidence, right, s=size, color="#0072b2", label="size: number of tiles")
        curve.legend(fontsize=7, frameon=False)
    curve.set_xlim(0, 1.02)
    curve.set_ylim(0, 1.02)
    return figure
