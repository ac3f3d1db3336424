"""Segmentation scores pooled over all pixels of a data set."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

IGNORE = 255


@dataclass(frozen=True)
class SegmentScores:
    """Scores of each class, pooled; NaN for a class that neither truth nor prediction holds.

    Parameters
    ----------
    class_names : tuple of str
    iou, dice, precision, recall : (C,) float64 in [0, 1] or NaN
    pixel_accuracy : float in [0, 1]
    n_pixels : int
        Labelled pixels.
    """

    class_names: tuple[str, ...]
    iou: np.ndarray
    dice: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    pixel_accuracy: float
    n_pixels: int

    @property
    def mean_iou(self) -> float:
        """Mean IoU over the classes present; NaN without any."""
        present = self.iou[~np.isnan(self.iou)]
        return float(present.mean()) if len(present) else float("nan")

    def table(self) -> pd.DataFrame:
        """Return one row a class."""
        columns = {"iou": self.iou, "dice": self.dice, "precision": self.precision, "recall": self.recall}
        return pd.DataFrame({"class": list(self.class_names), **columns})

    def as_dict(self) -> dict[str, object]:
        """Return plain numbers for JSON; NaN becomes None."""
        rows = self.table().set_index("class").to_dict("index")
        per_class = {
            name: {k: None if np.isnan(v) else float(v) for k, v in row.items()} for name, row in rows.items()
        }
        return {"mean_iou": self.mean_iou, "pixel_accuracy": self.pixel_accuracy, "classes": per_class}


def confusion_counts(truth: np.ndarray, predicted: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Count pixels by true (row) and predicted (column) class.

    Parameters
    ----------
    truth : (H, W) uint8, 0..C-1 or 255
        Pixels of 255 count nowhere.
    predicted : (H, W) uint8, 0..C-1
    n_classes : int

    Returns
    -------
    (C, C) int64

    Raises
    ------
    ValueError
        If the shapes differ or a mask holds a class beyond `n_classes`.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {truth.shape} and predicted is {predicted.shape}; they must be equal")
    valid = truth != IGNORE
    true, pred = truth[valid].astype(np.int64), predicted[valid].astype(np.int64)
    if true.size and max(true.max(), pred.max()) >= n_classes:
        raise ValueError(f"a mask holds class {max(true.max(), pred.max())}, but n_classes is {n_classes}")
    return np.bincount(true * n_classes + pred, minlength=n_classes**2).reshape(n_classes, n_classes)


def scores_from_counts(counts: np.ndarray, *, class_names: list[str] | tuple[str, ...]) -> SegmentScores:
    """Turn pooled counts into scores.

    Sum the counts over the images first: a mean of per-image IoU weighs an image with ten crack pixels like
    one with ten thousand, and depends on how absent classes are scored.

    Parameters
    ----------
    counts : (C, C) int64
        Sum of `confusion_counts` over the images.
    class_names : C str

    Returns
    -------
    SegmentScores
    """
    true_positive = np.diag(counts).astype(np.float64)
    n_true, n_predicted = counts.sum(1), counts.sum(0)
    total = int(counts.sum())
    return SegmentScores(
        class_names=tuple(class_names),
        iou=_ratio(true_positive, n_true + n_predicted - true_positive),
        dice=_ratio(2.0 * true_positive, n_true + n_predicted),
        precision=_ratio(true_positive, n_predicted),
        recall=_ratio(true_positive, n_true),
        pixel_accuracy=float(true_positive.sum() / total) if total else float("nan"),
        n_pixels=total,
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
