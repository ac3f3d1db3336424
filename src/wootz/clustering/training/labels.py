"""Labels by k-means for training, and rows drawn evenly over them."""

import numpy as np

from wootz.clustering.lloyd import kmeans
from wootz.clustering.preprocess import check_features, fit_pca, l2_normalise, project

FLOOR = 1e-9
N_ITER = 20


def kmeans_labels(
    features: np.ndarray, n_labels: int, *, rng: np.random.Generator, n_components: int | None = None
) -> np.ndarray:
    """Cluster features into labels to train on.

    Parameters
    ----------
    features : (N, D) float32
    n_labels : int
        At most half as many labels as tiles are made.
    rng : numpy Generator
    n_components : int, optional
        Whitened principal components and unit length first (DeepCluster); left out, features as they are.

    Returns
    -------
    (N,) int32

    References
    ----------
    Caron et al. 2018, arXiv:1807.05520, section 3.3.
    """
    points = check_features(features)
    if n_components is not None:
        points = whitened(points, n_components)
    return kmeans(points, max(2, min(n_labels, len(points) // 2)), rng=rng, n_init=1, n_iter=N_ITER).labels


def two_level_labels(
    features: np.ndarray, n_clusters: int, n_sub: int, *, rng: np.random.Generator, n_components: int
) -> np.ndarray:
    """Cluster features, and each cluster again within itself.

    Parameters
    ----------
    features : (N, D) float32
    n_clusters : int
        Of the first level; at most half as many as tiles are made.
    n_sub : int
        Within each cluster, at most half as many as it has different tiles; at least one.
    rng : numpy Generator
    n_components : int
        Whitened principal components, of unit length, on which both levels work.

    Returns
    -------
    (N,) int32
        ``cluster * n_sub + sub-class``.

    References
    ----------
    Caron et al. 2019, arXiv:1905.01278, section 3.2 ("choice of super-classes").
    """
    points = whitened(check_features(features), n_components)
    clusters = kmeans_labels(points, n_clusters, rng=rng)
    out = n_sub * clusters
    for cluster in range(int(clusters.max()) + 1):
        own = np.flatnonzero(clusters == cluster)
        most = min(n_sub, len(np.unique(points[own], axis=0)) // 2)
        if most > 1:
            out[own] += kmeans_labels(points[own], most, rng=rng)
    return out


def mutual(before: np.ndarray, labels: np.ndarray) -> float:
    """Return the normalised mutual information of two sets of (N,) labels, in [0, 1]."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(before, labels))


def whitened(points: np.ndarray, n_components: int) -> np.ndarray:
    """Return whitened principal components of unit length; fewer where the features have fewer directions."""
    most = min(n_components, len(points) - 1, points.shape[1])
    variance = fit_pca(points, most).variance
    n = int((variance > FLOOR * variance[0]).sum())
    return l2_normalise(project(points, fit_pca(points, n), whiten=True))


def even_rows(labels: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Draw as many rows as there are labels, the same number from each label as far as that divides.

    Large clusters give a part of their rows, small ones give each row several times; without this, a network
    that always answers with the largest cluster is a good solution.

    Parameters
    ----------
    labels : (N,) int
    rng : numpy Generator

    Returns
    -------
    (N,) int64
        In random order.

    References
    ----------
    Caron et al. 2018, arXiv:1807.05520, section 3.2, trivial parametrization.
    """
    present = np.unique(labels)
    share, more = divmod(len(labels), len(present))
    lucky = set(rng.permutation(present)[:more].tolist())
    rows = []
    for label in present.tolist():
        own, n = np.flatnonzero(labels == label), share + (label in lucky)
        rounds = -(-n // len(own))
        rows.append(np.concatenate([rng.permutation(own) for _ in range(rounds)])[:n])
    return rng.permutation(np.concatenate(rows))
