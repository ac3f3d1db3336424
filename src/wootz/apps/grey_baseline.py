"""What grey levels alone can tell: the floor that a segmentation of rendered fields has to leave behind."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment

from wootz.intensity import robust_range

N_BINS = 512
SMOOTH_PX = (0.0, 1.5, 3.0)
MAX_ITERATIONS = 300


def grey_baseline(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float:
    """Segment by grey level, with every advantage: the best mean IoU over smoothing lengths.

    Parameters
    ----------
    images : sequence of (H, W) uint8 or uint16
        Each is scaled to its own robust range.
    masks : sequence of (H, W) uint8
        Truth. The classes that occur in it count, and their number is given to the clustering.

    Returns
    -------
    float, in [0, 1]
        Mean IoU, pooled over all fields, of one-dimensional k-means after Gaussian smoothing by 0, 1.5 and
        3 px, the best of the three.

    Notes
    -----
    In one dimension k-means minimises the variance within classes, as multi-level Otsu thresholding does, so
    that both have the same optimum (Otsu 1979, doi 10.1109/TSMC.1979.4310076). Clusters are assigned to
    classes by the truth itself (Hungarian method), which flatters the baseline, on purpose.
    """
    classes, flat = np.unique(np.concatenate([mask.ravel() for mask in masks]), return_inverse=True)
    best = 0.0
    for sigma in SMOOTH_PX:
        grey = np.concatenate([_scaled(image, sigma).ravel() for image in images])
        cluster = np.digitize(grey, kmeans_thresholds(grey, n_classes=len(classes)))
        best = max(best, _best_mean_iou(flat, cluster, len(classes)))
    return best


def kmeans_thresholds(values: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Return the (n_classes - 1,) boundaries of Lloyd's k-means on numbers, started at quantiles."""
    counts, edges = np.histogram(values, N_BINS)
    grey = (edges[1:] + edges[:-1]) / 2
    centre = np.quantile(values, (np.arange(n_classes) + 0.5) / n_classes)
    for _ in range(MAX_ITERATIONS):
        owner = np.abs(grey[:, None] - centre).argmin(axis=1)
        weight = np.bincount(owner, counts, n_classes)
        sums = np.bincount(owner, counts * grey, n_classes)
        moved = np.where(weight > 0, sums / weight.clip(1), centre)
        if np.array_equal(moved, centre):
            break
        centre = moved
    return (centre[1:] + centre[:-1]) / 2


def _scaled(image: np.ndarray, sigma_px: float) -> np.ndarray:
    low, high = robust_range(image)
    return gaussian_filter((image.astype(np.float32) - low) / (high - low), sigma_px)


def _best_mean_iou(truth: np.ndarray, cluster: np.ndarray, n_classes: int) -> float:
    table = np.bincount(truth.ravel() * n_classes + cluster, minlength=n_classes**2).reshape(n_classes, -1)
    iou = table / np.maximum(table.sum(0) + table.sum(1)[:, None] - table, 1)
    return float(iou[linear_sum_assignment(-iou)].mean())
