"""Evidence for the number of clusters: k-means over a range, with silhouette and stability at each number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wootz.clustering.lloyd import KMeansResult, kmeans
from wootz.clustering.preprocess import check_features
from wootz.errors import WootzError
from wootz.progress import track

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SILHOUETTE_SAMPLE = 5_000


@dataclass(frozen=True)
class Sweep:
    """k-means at several numbers of clusters.

    Parameters
    ----------
    best : KMeansResult
        The clustering with the highest silhouette.
    curve : DataFrame
        One row a number: ``n_clusters``, ``silhouette`` (-1 to 1), ``stability`` (mean adjusted Rand index
        between restarts), ``inertia``, ``smallest`` (tiles in the smallest cluster).
    """

    best: KMeansResult
    curve: pd.DataFrame

    @property
    def n_clusters(self) -> int:
        """The number with the highest silhouette."""
        return self.best.n_clusters


def silhouette_sweep(
    features: np.ndarray,
    candidates: Sequence[int],
    *,
    rng: np.random.Generator,
    n_init: int = 10,
    n_iter: int = 100,
    spherical: bool = False,
) -> Sweep:
    """Run k-means at each candidate number and choose the one with the highest mean silhouette.

    Parameters
    ----------
    features : (N, D) float32
    candidates : sequence of int
        Numbers of clusters; those above N - 1 are left out.
    rng : numpy Generator
        Also draws the one sample of at most 5,000 tiles on which all silhouettes are computed.

    Raises
    ------
    WootzError
        If no candidate lies between 2 and N - 1, or for any reason of `kmeans`.

    Notes
    -----
    The silhouette favours few, round, well-parted clusters, and it has a maximum on pure noise too: read the
    curve together with the stability, and over-cluster when in doubt.

    References
    ----------
    Rousseeuw 1987, doi 10.1016/0377-0427(87)90125-7.
    """
    points = check_features(features)
    numbers = sorted({int(k) for k in candidates if 2 <= k <= len(points) - 1})
    if not numbers:
        raise WootzError(
            f"{len(points)} tiles are too few for a sweep over {list(candidates)} clusters; set n_clusters."
        )
    sample = rng.permutation(len(points))[:SILHOUETTE_SAMPLE]
    best, best_score, rows = None, -np.inf, []
    for number in track(numbers, title="trying numbers of clusters"):
        fit = kmeans(points, number, rng=rng, n_init=n_init, n_iter=n_iter, spherical=spherical)
        score = silhouette(points[sample], fit.labels[sample], spherical=spherical)
        sizes = np.bincount(fit.labels, minlength=number)
        rows.append((number, score, fit.stability, fit.inertia, int(sizes.min())))
        if score > best_score or best is None:
            best, best_score = fit, score
    assert best is not None
    columns = ["n_clusters", "silhouette", "stability", "inertia", "smallest"]
    return Sweep(best, pd.DataFrame(rows, columns=columns))


def silhouette(points: np.ndarray, labels: np.ndarray, *, spherical: bool) -> float:
    """Return the mean silhouette (-1 to 1) of (N, D) points; NaN where fewer than two clusters are left."""
    from sklearn.metrics import silhouette_score

    if not 2 <= len(np.unique(labels)) <= len(labels) - 1:
        return float("nan")
    return float(silhouette_score(points, labels, metric="cosine" if spherical else "euclidean"))


def sweep_figure(sweep: Sweep) -> "Figure":
    """Draw silhouette and stability against the number of clusters, with the chosen number marked."""
    from matplotlib.ticker import MaxNLocator

    from wootz.plotting import class_colours, new_figure, style_axis

    figure = new_figure(5.5, 3.2)
    title = f"number of clusters: {sweep.n_clusters} by silhouette"
    axis = style_axis(
        figure.add_subplot(), title=title, xlabel="number of clusters", ylabel="silhouette, stability"
    )
    for column, colour, marker in zip(("silhouette", "stability"), class_colours(2), "os", strict=True):
        axis.plot(
            sweep.curve.n_clusters,
            sweep.curve[column],
            color=colour,
            marker=marker,
            markersize=4,
            label=column,
        )
    axis.axvline(sweep.n_clusters, color="#888888", linestyle="--", linewidth=1)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=8, frameon=False)
    return figure
