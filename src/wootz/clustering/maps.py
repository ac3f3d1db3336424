"""A two-dimensional map of the tiles (UMAP), for looking only: clusters are never computed on it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wootz.clustering.lloyd import one_thread_if_small
from wootz.clustering.preprocess import check_features
from wootz.errors import WootzError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_POINTS = 5


@dataclass(frozen=True)
class UmapResult:
    """Coordinates on the map.

    Parameters
    ----------
    rows : (M,) int64
        Positions of the mapped tiles, ascending; all of them unless there are more than the sample allows.
    coordinates : (M, n_components) float32
        On a map vertical and horizontal position (row, col), without unit.
    """

    rows: np.ndarray
    coordinates: np.ndarray


def umap_coordinates(
    features: np.ndarray,
    *,
    rng: np.random.Generator,
    n_neighbours: int = 15,
    min_dist: float = 0.1,
    n_max: int = 200_000,
    n_components: int = 2,
) -> UmapResult:
    """Lay tiles out on a plane so that neighbours in the features stay neighbours.

    Parameters
    ----------
    features : (N, D) float32, N >= 5
        Preprocessed as for clustering, compared by Euclidean distance.
    rng : numpy Generator
        Fixes sample and layout on one machine; layouts differ a little between machines.
    n_neighbours : int, >= 2
        Reduced where there are fewer tiles.
    min_dist : float, 0 to 1
    n_max : int
        Above it a random sample of this size is mapped, and `rows` says which.
    n_components : int, >= 2
        Two for a map; more to measure silhouettes in.

    Raises
    ------
    WootzError
        For fewer than 5 tiles, or NaN.

    Notes
    -----
    Distances between far groups, their sizes and densities on the map mean little.

    References
    ----------
    McInnes et al. 2018, doi 10.21105/joss.00861.
    """
    points = check_features(features)
    if len(points) < MIN_POINTS:
        raise WootzError(
            f"{len(points)} tiles are too few for a map; it needs at least {MIN_POINTS} (or map=false)."
        )
    rows = np.arange(len(points))
    if len(points) > n_max:
        rows = np.sort(rng.choice(len(points), n_max, replace=False))
    seed = int(rng.integers(2**31))
    options = {"n_neighbors": n_neighbours, "min_dist": min_dist, "n_components": n_components}
    layout = _layout(points[rows], seed=seed, options=options)
    return UmapResult(rows, layout[:, ::-1].astype(np.float32))


def _layout(points: np.ndarray, *, seed: int, options: dict[str, Any]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap warns about its own dependencies and about disconnected groups
        from umap import UMAP

        k = min(options["n_neighbors"], len(points) - 1)
        few = len(points) < 50  # the spectral start needs more points than it has eigenvectors
        model = UMAP(
            **(options | {"n_neighbors": k}),
            random_state=seed,
            n_jobs=1,
            init="random" if few else "spectral",
            precomputed_knn=_neighbours(points, k),
            force_approximation_algorithm=True,  # else umap ignores the given neighbours below 4096
        )
        return np.asarray(model.fit_transform(points))


def _neighbours(points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, None]:
    """Find each point's exact `k` nearest, itself first: half the time of umap's own approximate search."""
    import faiss

    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    with one_thread_if_small(points.size * len(points)):
        squared, found = index.search(points, k)
    rows = np.arange(len(points))
    for swap in np.flatnonzero(found[:, 0] != rows):  # among duplicates, faiss may name another first
        at = np.flatnonzero(found[swap] == swap)
        found[swap, at[0] if len(at) else 0], found[swap, 0] = found[swap, 0], swap
    squared[:, 0] = 0.0
    return found.astype(np.int32), np.sqrt(np.clip(squared, 0, None)), None


def map_figure(result: UmapResult, labels: np.ndarray, *, names: Sequence[str], title: str) -> "Figure":
    """Draw the map, coloured and numbered by cluster or class.

    Parameters
    ----------
    result : UmapResult
    labels : (N,) int
        Group of every tile (not only of those on the map), -1 for none, which is drawn grey.
    names : sequence of str
        Name of each group, printed at the median of its tiles.
    title : str
    """
    from matplotlib.patheffects import withStroke

    from wootz.plotting import class_colours, new_figure, style_axis

    figure = new_figure(6, 5.2)
    axis = style_axis(
        figure.add_subplot(),
        title=title,
        xlabel="UMAP, for looking only: distances between groups mean little",
    )
    axis.set_xticks([])
    axis.set_yticks([])
    shown = labels[result.rows]
    vertical, horizontal = result.coordinates.T
    size = float(np.clip(4000 / max(len(shown), 1), 0.5, 18))
    for group, colour in zip((-1, *range(len(names))), ("#bbbbbb", *class_colours(len(names))), strict=True):
        inside = shown == group
        if not inside.any():
            continue
        axis.scatter(horizontal[inside], vertical[inside], s=size, c=colour, linewidths=0, rasterized=True)
        if group >= 0:
            centre = np.median(horizontal[inside]), np.median(vertical[inside])
            text = axis.text(
                *centre, names[group], fontsize=8, weight="bold", ha="center", va="center", color=colour
            )
            text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    return figure
