"""Features made ready for clustering: checks, principal components, unit length. Pure functions on arrays."""

from dataclasses import dataclass

import numpy as np

from wootz.errors import WootzError

CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class Projection:
    """A fitted principal component projection.

    Parameters
    ----------
    mean : (D,) float64
    components : (n_components, D) float64, orthonormal rows, largest variance first
    variance : (n_components,) float64
        Variance along each component, with N - 1 in the denominator.
    explained_frac : float in [0, 1]
        Share of the total variance that the components hold.
    """

    mean: np.ndarray
    components: np.ndarray
    variance: np.ndarray
    explained_frac: float


def check_features(features: np.ndarray) -> np.ndarray:
    """Return features as contiguous (N, D) float32 after checking them.

    Raises
    ------
    WootzError
        If they are not two-dimensional, are empty, hold NaN or infinity, or are the same in every row (an
        encoder that collapsed).
    """
    if features.ndim != 2 or features.size == 0:
        raise WootzError(f"features must be a table of tiles by dimensions, not of shape {features.shape}.")
    features = np.ascontiguousarray(features, dtype=np.float32)
    bad = 0
    for start in range(0, len(features), CHUNK_ROWS):
        bad += int((~np.isfinite(features[start : start + CHUNK_ROWS])).any(axis=1).sum())
    if bad:
        raise WootzError(
            f"{bad} of {len(features)} rows of the features hold NaN or infinity; "
            "the encoder diverged: pretrain with a lower learning rate and embed again."
        )
    if len(features) > 1 and (features == features[0]).all():
        raise WootzError(
            "all features are the same: the encoder has collapsed or every tile is the same picture; "
            "look at RankMe of the pretraining run."
        )
    return features


def l2_normalise(features: np.ndarray) -> np.ndarray:
    """Scale each row of (N, D) features to length one; rows of zeros stay zeros."""
    length = np.sqrt(np.einsum("ij,ij->i", features, features, dtype=np.float64))[:, None]
    return (features / np.where(length > 0, length, 1)).astype(np.float32)


def fit_pca(features: np.ndarray, n_components: int) -> Projection:
    """Fit principal components on all rows, in double precision and bounded memory.

    Parameters
    ----------
    features : (N, D) float32
    n_components : int, 1 to min(N - 1, D)

    Raises
    ------
    WootzError
        If `n_components` is out of range.

    Notes
    -----
    Each component's sign is fixed (its largest entry is positive), so that the result does not depend on the
    linear algebra library.
    """
    n, dim = features.shape
    most = min(n - 1, dim)
    if not 1 <= n_components <= most:
        raise WootzError(
            f"pca_dim={n_components}: {n} tiles with {dim} dimensions allow 1 to {most} components."
        )
    mean = features.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((dim, dim))
    for start in range(0, n, CHUNK_ROWS):
        centred = features[start : start + CHUNK_ROWS] - mean
        covariance += centred.T @ centred
    values, vectors = np.linalg.eigh(covariance / (n - 1))
    values = np.clip(values, 0, None)
    kept, components = values[::-1][:n_components], vectors.T[::-1][:n_components]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    total = float(values.sum())
    return Projection(mean, components * np.sign(largest), kept, float(kept.sum()) / total if total else 1.0)


def project(features: np.ndarray, projection: Projection, *, whiten: bool = False) -> np.ndarray:
    """Project (N, D) features onto principal components, optionally with unit variance along each.

    Returns
    -------
    (N, n_components) float32

    Raises
    ------
    WootzError
        If `whiten` is asked for and a kept component has no variance.
    """
    components = projection.components
    if whiten:
        floor = 1e-10 * projection.variance[0]
        if projection.variance[-1] <= floor:
            rank = int((projection.variance > floor).sum())
            raise WootzError(f"whitening needs pca_dim <= {rank}: the features have no more directions.")
        components = components / np.sqrt(projection.variance)[:, None]
    out = np.empty((len(features), len(components)), np.float32)
    for start in range(0, len(features), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        out[rows] = (features[rows] - projection.mean) @ components.T
    return out
