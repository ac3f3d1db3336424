"""Features without clusters, to see what a procedure finds where there is nothing to find."""

import numpy as np

from wootz.clustering.preprocess import fit_pca


def structureless(
    features: np.ndarray, *, rng: np.random.Generator, n_points: int | None = None
) -> np.ndarray:
    """Draw features from one Gaussian with the mean and covariance of the given ones.

    Parameters
    ----------
    features : (N, D) float32
    rng : numpy Generator
    n_points : int, optional
        As many as there are features by default.

    Returns
    -------
    (n_points, D) float32
        Where all features have length one, so have these.

    Notes
    -----
    One cloud, however long and flat, is the plainest data without clusters. Features on a curved or hollow
    shape have no clusters either, and may still look more clustered than this cloud.
    """
    n = len(features) if n_points is None else n_points
    fit = fit_pca(features, min(len(features) - 1, features.shape[1]))
    drawn = rng.normal(size=(n, len(fit.variance))) * np.sqrt(fit.variance)
    cloud = drawn @ fit.components + fit.mean
    lengths = np.sqrt(np.einsum("ij,ij->i", features, features, dtype=np.float64))
    if np.allclose(lengths, 1, atol=1e-4):
        cloud /= np.maximum(np.linalg.norm(cloud, axis=1, keepdims=True), 1e-12)
    return cloud.astype(np.float32)
