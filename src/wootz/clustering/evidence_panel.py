"""The table of evidence as a picture: stability, steps of the merge tree, modularity, each against noise."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wootz.clustering.evidence import SHARE_FLOOR, Evidence
from wootz.clustering.suggestion import STABLE, Suggestion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NOISE_GREY = "#999999"


def evidence_figure(evidence: Evidence, suggestion: Suggestion) -> "Figure":
    """Draw what speaks for each number of clusters, with structureless features in grey.

    Parameters
    ----------
    evidence : Evidence
    suggestion : Suggestion
    """
    from wootz.plotting import new_figure

    figure = new_figure(10.5, 3.6)
    steady, shares, resolutions = figure.subplots(1, 3)
    _draw_stability(steady, evidence.cuts)
    _draw_shares(shares, evidence.cuts)
    _draw_modularity(resolutions, evidence.resolutions)
    if suggestion.n_clusters > 1:
        for axis in (steady, shares):
            axis.axvline(suggestion.n_clusters, color="#444444", linestyle="--", linewidth=1)
    figure.suptitle(suggestion.reasons[0], fontsize=10, x=0.01, ha="left")
    return figure


def _draw_stability(axis: "Axes", cuts: pd.DataFrame) -> None:
    from wootz.plotting import class_colours, style_axis

    style_axis(axis, title="do the clusters come back?", xlabel="number of clusters", ylabel="score, 0 to 1")
    lines = {
        "stability": "subsamples (mean Jaccard)",
        "seed_agreement": "other seeds (Rand index)",
        "silhouette": "silhouette",
        "silhouette_umap": "silhouette in UMAP",
    }
    for (column, name), colour in zip(lines.items(), class_colours(len(lines)), strict=True):
        if cuts[column].notna().any():
            axis.plot(cuts.n_clusters, cuts[column], color=colour, marker="o", markersize=3, label=name)
    axis.plot(
        cuts.n_clusters, cuts.stability_noise, color=NOISE_GREY, linewidth=1, label="subsamples, no structure"
    )
    axis.axhline(STABLE, color=NOISE_GREY, linestyle=":", linewidth=1)
    _finish(axis)


def _draw_shares(axis: "Axes", cuts: pd.DataFrame) -> None:
    from wootz.plotting import class_colours, style_axis

    style_axis(
        axis, title="steps of the merge tree", xlabel="number of clusters", ylabel="share of links [%]"
    )
    inside, between = class_colours(2)
    axis.plot(
        cuts.n_clusters,
        100 * cuts.share_joined.clip(lower=SHARE_FLOOR),
        color=inside,
        marker="o",
        markersize=3,
        label="weakest join inside the clusters",
    )
    axis.plot(
        cuts.n_clusters,
        100 * cuts.share_next.clip(lower=SHARE_FLOOR),
        color=between,
        marker="s",
        markersize=3,
        label="strongest join left between them",
    )
    counted = np.maximum(cuts.gap_noise, np.log(1.5))
    axis.fill_between(
        cuts.n_clusters,
        100 * cuts.share_next.clip(lower=SHARE_FLOOR),
        100 * cuts.share_next.clip(lower=SHARE_FLOOR) * np.exp(counted),
        color=NOISE_GREY,
        alpha=0.25,
        linewidth=0,
        label="step that does not count",
    )
    axis.set_yscale("log")
    _finish(axis)


def _draw_modularity(axis: "Axes", resolutions: pd.DataFrame) -> None:
    from wootz.plotting import class_colours, style_axis

    style_axis(
        axis, title="Louvain's groups over resolutions", xlabel="resolution", ylabel="modularity, Rand index"
    )
    ours, agreed = class_colours(2)
    at = resolutions.resolution
    axis.plot(at, resolutions.modularity, color=ours, marker="o", markersize=3, label="modularity")
    axis.plot(
        at, resolutions.modularity_noise, color=NOISE_GREY, linewidth=1, label="modularity, no structure"
    )
    axis.plot(at, resolutions.seed_agreement, color=agreed, marker="s", markersize=3, label="other seeds")
    for x, y, n in zip(at, resolutions.modularity, resolutions.n_clusters, strict=True):
        axis.annotate(str(int(n)), (x, y), fontsize=7, xytext=(0, 4), textcoords="offset points", ha="center")
    axis.set_xscale("log", base=2)
    axis.set_xticks(at, [f"{x:g}" for x in at])
    axis.legend(fontsize=7, frameon=False)


def _finish(axis: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=7, frameon=False)
