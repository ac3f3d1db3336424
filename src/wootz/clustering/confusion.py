"""The table of clusters against known classes, in an order in which agreement lies on the diagonal."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wootz.clustering.truth import Agreement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NUMBERS = 400


def matched_order(found: Agreement) -> pd.DataFrame:
    """Order the table of an agreement by its matching.

    Returns
    -------
    DataFrame
        Classes in columns, largest first. Clusters in rows: first those matched with a class, in the order of
        the classes, then the others, each after those of the class that most of its tiles belong to.
    """
    table = found.table
    counts = table.to_numpy()
    by_size = np.argsort(-counts.sum(axis=0), kind="stable")
    place = {table.columns[j]: i for i, j in enumerate(by_size)}
    rows = []
    for i, cluster in enumerate(table.index):
        is_matched = cluster in found.matches
        name = found.matches[cluster] if is_matched else table.columns[counts[i].argmax()]
        rows.append((not is_matched, place[name], -counts[i].sum(), i))
    return table.iloc[[row[-1] for row in sorted(rows)], by_size]


def confusion_figure(found: Agreement, *, title: str = "") -> "Figure":
    """Draw the ordered table: shade is the share of the cluster, the number the tiles.

    Parameters
    ----------
    found : Agreement
    title : str
        Over the figure; by default the scores.
    """
    from wootz.plotting import new_figure, style_axis

    table = matched_order(found)
    counts = table.to_numpy()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    n_rows, n_cols = counts.shape
    figure = new_figure(2.2 + 0.55 * min(n_cols, 24), 1.4 + 0.28 * min(n_rows, 60))
    axis = figure.subplots()
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if counts.size <= MAX_NUMBERS:
        for i, j in zip(*np.nonzero(counts), strict=True):
            colour = "white" if share[i, j] > 0.6 else "#333333"
            axis.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=7, color=colour)
    n_matched = len(found.matches)
    title = title or f"accuracy {found.accuracy:.3f}, purity {found.purity:.3f}, ARI {found.ari:.3f}"
    style_axis(axis, title=title, xlabel="known class", ylabel="cluster")
    axis.grid(visible=False)
    if n_matched < n_rows:
        axis.axhline(n_matched - 0.5, color="#d55e00", linewidth=1)
    axis.set_xticks(range(n_cols), [str(name) for name in table.columns], rotation=45, ha="right", fontsize=7)
    axis.set_yticks(range(n_rows), [str(name) for name in table.index], fontsize=7)
    return figure
