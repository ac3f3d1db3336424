"""Draw what was noted after each epoch."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PANELS = (
    ("Loss", ("loss",)),
    ("RankMe: directions in use", ("rankme",)),
    ("LiDAR: directions that tell tiles apart", ("lidar",)),
    ("Alpha-ReQ: decay of the spectrum", ("alpha_req",)),
    ("Alignment: distance of views", ("alignment",)),
    ("Uniformity on the sphere", ("uniformity",)),
    ("Spread of the features", ("feature_std",)),
    ("Probes with known classes", ("knn", "linear")),
    ("Change by the lens, rms", ("lens_rms",)),
)
N_COLUMNS = 4


def draw_history(history: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw loss and monitors over the epochs to a PNG, SVG or PDF file.

    Parameters
    ----------
    history : sequence of dict
        Rows with ``epoch`` and any of the values; epoch 0 is before training. What no row holds is left out.
    path : Path
    """
    from wootz.plotting import class_colours, new_figure, save_figure, style_axis

    shown = [
        (title, held)
        for title, keys in PANELS
        if (held := [key for key in keys if any(row.get(key) is not None for row in history)])
    ]
    n_cols = min(N_COLUMNS, max(len(shown), 1))
    n_rows = max(1, math.ceil(len(shown) / n_cols))
    figure = new_figure(3.1 * n_cols, 2.4 * n_rows)
    axes = figure.subplots(n_rows, n_cols, squeeze=False).ravel()
    for axis, (title, keys) in zip(axes, shown, strict=False):
        for key, colour in zip(keys, class_colours(len(keys)), strict=True):
            points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
            marker = "o" if len(points) < 30 else ""
            axis.plot(*zip(*points, strict=True), marker=marker, markersize=3, color=colour, label=key)
        style_axis(axis, title=title, xlabel="epoch")
        axis.title.set_fontsize(9)
        if len(keys) > 1:
            axis.legend(fontsize=7, frameon=False)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return save_figure(figure, path)
