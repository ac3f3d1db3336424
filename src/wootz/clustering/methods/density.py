"""HDBSCAN on UMAP coordinates or on the features: dense regions are clusters, sparse points are in none."""

import numpy as np

from wootz.clustering.maps import MIN_POINTS, umap_coordinates
from wootz.clustering.methods.grouping import Grouping, by_size
from wootz.clustering.methods.options import HDBSCANConfig
from wootz.clustering.preprocess import check_features
from wootz.errors import WootzError
from wootz.progress import say


def hdbscan(features: np.ndarray, cfg: HDBSCANConfig, *, rng: np.random.Generator) -> Grouping:
    """Find dense regions of any shape; their number comes out.

    Parameters
    ----------
    features : (N, D) float32
    cfg : HDBSCANConfig
    rng : numpy Generator

    Returns
    -------
    Grouping
        Labels are -1 for points in no cluster; ``probabilities`` holds the strength of membership in the
        point's own cluster and 0 elsewhere. Without any dense region all labels are -1.

    Raises
    ------
    WootzError
        For fewer tiles than the smallest cluster needs, NaN, features that are all the same.

    Notes
    -----
    In many dimensions distances are alike and everything becomes noise (``space=raw``); UMAP pulls groups
    together first, but may also draw groups out of noise. Users report 25 to 45 % of points in no cluster.

    References
    ----------
    Campello et al. 2013, doi 10.1007/978-3-642-37456-2_14; McInnes et al. 2018, doi 10.21105/joss.00861.
    """
    points = check_features(features)
    needed = max(2 * cfg.min_size, MIN_POINTS)
    if len(points) < needed:
        raise WootzError(
            f"{len(points)} tiles are too few for two clusters of method.min_size={cfg.min_size}; "
            "set it lower or ingest more images."
        )
    from sklearn.cluster import HDBSCAN

    space = in_space(points, cfg, rng=rng)
    model = HDBSCAN(min_cluster_size=cfg.min_size, min_samples=cfg.min_samples, copy=True)  # pyright: ignore[reportArgumentType]
    labels = model.fit_predict(space.astype(np.float64)).astype(np.int32)
    n_clusters = int(labels.max()) + 1
    if n_clusters == 0:
        return Grouping(labels, notes=("No dense region was found: all tiles are noise.",))
    inside = labels >= 0
    probabilities = np.zeros((len(points), n_clusters), np.float32)
    probabilities[np.flatnonzero(inside), labels[inside]] = model.probabilities_[inside]
    notes = (f"{n_clusters} dense regions were found; {(~inside).mean():.0%} of the tiles are in none.",)
    return by_size(Grouping(labels, probabilities, notes=notes))


def in_space(points: np.ndarray, cfg, *, rng: np.random.Generator) -> np.ndarray:
    """Return the features themselves or their UMAP coordinates: (N, n_components) float32.

    Parameters
    ----------
    points : (N, D) float32
    cfg : HDBSCANConfig or WardConfig
    rng : numpy Generator
    """
    if cfg.space == "raw":
        return points
    say(f"UMAP in {cfg.n_components} dimensions")
    n = min(cfg.n_components, max(2, len(points) - 2))
    options = {"n_neighbours": cfg.n_neighbors, "n_components": n, "min_dist": 0.0}
    return umap_coordinates(points, rng=rng, n_max=len(points), **options).coordinates
