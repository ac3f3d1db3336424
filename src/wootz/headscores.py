"""What a head of classes is worth on images that it has not seen: confusion, recall, calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

N_BINS = 10


@dataclass(frozen=True)
class HeadScores:
    """Figures of one head.

    class_names : tuple of C str.
    confusion : (C, C) int64, true class in rows, predicted in columns; rows that nobody could judge left out.
    n_named : (C,) int64, rows of each class, judged or not.
    n_groups : (C,) int64, groups (images) on which a class is named; with one, nothing is known of it.
    accuracy : float in [0, 1], NaN without judged rows.
    balanced_accuracy : float, mean recall of the classes that were judged.
    calibration_error : float in [0, 1], mean gap between confidence and accuracy over ten bins.
    reliability : tuple of (mean confidence, accuracy, rows) of the bins that hold rows.
    """

    class_names: tuple[str, ...]
    confusion: np.ndarray
    n_named: np.ndarray
    n_groups: np.ndarray
    accuracy: float
    balanced_accuracy: float
    calibration_error: float
    reliability: tuple[tuple[float, float, int], ...]

    @property
    def recall(self) -> np.ndarray:
        """(C,) share of each class that was found; NaN where none was judged."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def precision(self) -> np.ndarray:
        """(C,) share right among the rows called so; NaN where none was."""
        return _ratio(np.diag(self.confusion), self.confusion.sum(axis=0))

    def as_dict(self) -> dict[str, Any]:
        """Give plain values; what is not known is None."""
        classes = [
            {
                "class": name,
                "n_named": int(n),
                "n_images": int(groups),
                "recall": _known(recall),
                "precision": _known(precision),
            }
            for name, n, groups, recall, precision in zip(
                self.class_names, self.n_named, self.n_groups, self.recall, self.precision, strict=True
            )
        ]
        return {
            "n_judged": int(self.confusion.sum()),
            "accuracy": _known(self.accuracy),
            "balanced_accuracy": _known(self.balanced_accuracy),
            "calibration_error": _known(self.calibration_error),
            "classes": classes,
            "confusion": self.confusion.tolist(),
            "reliability": [list(b) for b in self.reliability],
        }


def score_probabilities(
    probabilities: np.ndarray, codes: np.ndarray, *, class_names: Sequence[str], groups: np.ndarray
) -> HeadScores:
    """Compare probabilities with true classes.

    Parameters
    ----------
    probabilities : (n, C) float
        NaN in rows that nobody could judge.
    codes : (n,) int
        True classes.
    class_names : sequence of C str
    groups : (n,) object
        Image of each row.

    Returns
    -------
    HeadScores
    """
    n_classes = len(class_names)
    judged = np.isfinite(probabilities).all(axis=1)
    said, true = probabilities[judged].argmax(axis=1), codes[judged]
    confusion = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(confusion, (true, said), 1)
    recall = _ratio(np.diag(confusion), confusion.sum(axis=1))
    bins = reliability(probabilities[judged].max(axis=1), said == true)
    n = max(len(true), 1)
    return HeadScores(
        class_names=tuple(class_names),
        confusion=confusion,
        n_named=np.bincount(codes, minlength=n_classes),
        n_groups=np.array([len(set(groups[codes == i].tolist())) for i in range(n_classes)]),
        accuracy=float((said == true).mean()) if len(true) else float("nan"),
        balanced_accuracy=float(np.nanmean(recall)) if len(true) else float("nan"),
        calibration_error=sum(abs(c - a) * k for c, a, k in bins) / n if len(true) else float("nan"),
        reliability=bins,
    )


def reliability(confidence: np.ndarray, is_right: np.ndarray) -> tuple[tuple[float, float, int], ...]:
    """Compare confidence with accuracy in ten bins of equal width: (mean confidence, accuracy, rows)."""
    at = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    return tuple(
        (float(confidence[at == k].mean()), float(is_right[at == k].mean()), int((at == k).sum()))
        for k in range(N_BINS)
        if (at == k).any()
    )


def confidence_for(
    probabilities: np.ndarray, codes: np.ndarray, *, precision: float, n_least: int = 20
) -> float:
    """Find the lowest confidence from which on held-out rows are right as often as wanted.

    Parameters
    ----------
    probabilities : (n, C) float
        Held out; NaN in rows that nobody could judge.
    codes : (n,) int
    precision : float in (0, 1)
    n_least : int
        Rows that must lie above the limit.

    Returns
    -------
    float in [0, 1]
        1.0 where no limit reaches it. It is chosen on these rows, so that it flatters: audit what it gives.
    """
    judged = np.isfinite(probabilities).all(axis=1)
    confidence = probabilities[judged].max(axis=1)
    right = probabilities[judged].argmax(axis=1) == codes[judged]
    order = np.argsort(-confidence, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero((share >= precision) & (np.arange(1, len(order) + 1) >= n_least))
    return float(confidence[order[enough[-1]]]) if len(enough) else 1.0


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
