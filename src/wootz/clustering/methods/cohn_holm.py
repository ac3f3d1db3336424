"""Cohn and Holm's chain: whitened principal components, then k-means with very many restarts."""

import numpy as np

from wootz.clustering.lloyd import KMeansResult, kmeans
from wootz.clustering.methods.grouping import Grouping, check_points
from wootz.clustering.methods.options import CohnHolmConfig
from wootz.clustering.preprocess import fit_pca, project
from wootz.progress import track

ROUND = 10
FLOOR = 1e-9


def cohn_holm(features: np.ndarray, cfg: CohnHolmConfig, *, rng: np.random.Generator) -> Grouping:
    """Cluster features as Cohn and Holm did those of steel surfaces.

    Parameters
    ----------
    features : (N, D) float32
        In the paper of VGG16's first fully connected layer, of images after CLAHE, and not scaled to unit
        length (``l2=false``).
    cfg : CohnHolmConfig
    rng : numpy Generator

    Raises
    ------
    WootzError
        For fewer (different) tiles than clusters, NaN, features that are all the same.

    Notes
    -----
    Single restarts differ widely on whitened components (in the paper from 36 to 99 % right), hence so many.
    `Grouping.stability` is the agreement of the restarts that came near the lowest inertia in their round
    with the best one.

    References
    ----------
    Cohn & Holm 2021, arXiv:2007.08361.
    """
    points = check_points(features, cfg.n_clusters)
    n = min(cfg.n_components, len(points) - 1, points.shape[1])
    fitted = fit_pca(points, n)
    n = int((fitted.variance > FLOOR * fitted.variance[0]).sum())
    white = project(points, fit_pca(points, n), whiten=True)
    best: KMeansResult | None = None
    rounds = [min(ROUND, cfg.n_init - done) for done in range(0, cfg.n_init, ROUND)]
    for n_init in track(rounds, title="Cohn and Holm", unit=f"rounds of {ROUND} restarts"):
        found = kmeans(white, cfg.n_clusters or 0, rng=rng, n_init=n_init, n_iter=cfg.n_iter)
        if best is None or found.inertia < best.inertia:
            best = found
    assert best is not None
    return Grouping(best.labels, stability=best.stability, loss=best.inertia)
