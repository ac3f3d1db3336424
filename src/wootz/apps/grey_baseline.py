"""How far grey levels alone go: Otsu thresholds and k-means on pixel values, matched to the classes at best.

A baseline that flatters itself: its groups are matched to the true classes with the truth at hand
(Hungarian method on the pooled counts), which no user could do.
"""

from collections.abc import Iterable

import numpy as np
from scipy.optimize import linear_sum_assignment

N_LEVELS = 256


def otsu_groups(field: np.ndarray, *, n_groups: int) -> np.ndarray:
    """Cut the grey levels of a field into groups by multi-level Otsu thresholds (Liao et al. 2001).

    Parameters
    ----------
    field : (H, W) float32
        Field in intensity scale.
    n_groups : int, 2 to 5

    Returns
    -------
    (H, W) int64 in 0..n_groups-1
    """
    from skimage.filters import threshold_multiotsu

    return np.digitize(field, threshold_multiotsu(field, classes=n_groups, nbins=N_LEVELS // 2))


def kmeans_groups(field: np.ndarray, *, n_groups: int, rng: np.random.Generator) -> np.ndarray:
    """Group the pixels of a field by k-means on their grey level.

    Parameters
    ----------
    field : (H, W) float32
    n_groups : int, >= 2
    rng : numpy Generator

    Returns
    -------
    (H, W) int64 in 0..n_groups-1
    """
    from sklearn.cluster import KMeans

    sample = rng.choice(field.ravel(), size=min(field.size, 20_000), replace=False)
    model = KMeans(n_groups, n_init=4, random_state=int(rng.integers(2**31))).fit(sample[:, None])
    order = np.argsort(np.argsort(model.cluster_centers_[:, 0]))
    return order[model.predict(field.reshape(-1, 1))].reshape(field.shape)


def best_mean_iou(masks: Iterable[np.ndarray], groups: Iterable[np.ndarray], *, n_classes: int) -> float:
    """Match groups one-to-one to classes so that the mean IoU is largest.

    Parameters
    ----------
    masks, groups : iterables of (H, W) integer arrays
        True classes (255 counts nowhere) and group numbers below `n_classes`.
    n_classes : int

    Returns
    -------
    float in [0, 1]
        Mean over the classes that the masks hold, pooled over all fields.
    """
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    for mask, group in zip(masks, groups, strict=True):
        valid = mask != 255
        index = mask[valid].astype(np.int64) * n_classes + group[valid]
        counts += np.bincount(index, minlength=n_classes**2).reshape(n_classes, n_classes)
    union = counts.sum(1)[:, None] + counts.sum(0)[None, :] - counts
    iou = counts / np.maximum(union, 1)
    present = counts.sum(1) > 0
    rows, cols = linear_sum_assignment(-iou * present[:, None])
    return float(iou[rows, cols][present[rows]].mean())
