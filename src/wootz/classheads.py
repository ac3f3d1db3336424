"""Classes of tiles from a few named ones: a linear head on features, judged on images that it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wootz.errors import WootzError

STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse regularisation C that cross-validation chooses from, on standardised features."""
N_FOLDS = 5
BLOCK = 65_536
ABSENT = -30.0
"""Logit of a class that the training rows of a fold did not hold."""


@dataclass(frozen=True)
class ClassHead:
    """A multinomial logistic regression on standardised features.

    class_names : tuple of C str.
    mean, scale : (D,) float32, of the training rows.
    weights : (D, C) float32; bias : (C,) float32.
    temperature : float, > 0; logits are divided by it.
    strength : float, the inverse regularisation C.
    """

    class_names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    temperature: float = 1.0
    strength: float = 1.0

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Compute the probability of each class: (N, D) float32 to (N, C) float32, rows sum to 1."""
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise ValueError(f"the head takes features (N, {len(self.mean)}), not {features.shape}")
        out = np.empty((len(features), len(self.class_names)), np.float32)
        for start in range(0, len(features), BLOCK):
            rows = (np.asarray(features[start : start + BLOCK], np.float32) - self.mean) / self.scale
            logits = (rows @ self.weights + self.bias) / self.temperature
            out[start : start + BLOCK] = softmax(logits)
        return out

    def probability_of(self, features: np.ndarray, code: int) -> np.ndarray:
        """Compute the probability of one class: (N, D) float32 to (N,) float32.

        The standardisation is folded into the weights, so that all features are gone through once, and of
        the other classes' probabilities no more than a block is held.
        """
        weights = self.weights / self.scale[:, None] / self.temperature
        bias = self.bias / self.temperature - self.mean @ weights
        out = np.empty(len(features), np.float32)
        for start in range(0, len(features), BLOCK):
            rows = np.asarray(features[start : start + BLOCK], np.float32)
            out[start : start + BLOCK] = softmax(rows @ weights.astype(np.float32) + bias)[:, code]
        return out


@dataclass(frozen=True)
class FittedHead:
    """A head with what cross-validation says of it.

    head : ClassHead, trained on all rows, its temperature fitted to the rows of unseen images.
    rows : (n,) int64, the rows that it was trained on.
    codes : (n,) int64, their classes.
    held_out : (n, C) float32, probabilities by heads that saw no tile of the same image, each calibrated on
        the other folds; NaN where no fold could judge (then no figure counts the row).
    """

    head: ClassHead
    rows: np.ndarray
    codes: np.ndarray
    held_out: np.ndarray


def fit_class_head(
    features: np.ndarray,
    labels: Sequence[str] | np.ndarray,
    *,
    groups: Sequence[str] | np.ndarray,
    rng: np.random.Generator,
    balanced: bool = True,
    strengths: Sequence[float] = STRENGTHS,
    n_max: int = 20_000,
) -> FittedHead:
    """Train a head on the named rows, with C and temperature from cross-validation over groups.

    Parameters
    ----------
    features : (N, D) float32
    labels : (N,) str
        Class of each row; "" where nobody named it, and such rows teach nothing.
    groups : (N,) str
        Rows of one group, such as an image, are never on both sides of a fold.
    rng : numpy Generator
    balanced : bool
        Weigh classes alike, however many rows each has.
    strengths : sequence of float, > 0
        Values of C to choose from.
    n_max : int
        With more named rows, a random part of the largest classes is left out of the training.

    Returns
    -------
    FittedHead

    Raises
    ------
    WootzError
        If fewer than two classes are named, or a class on a single row.

    Notes
    -----
    C has the lowest cross-entropy on held-out rows. Probabilities are calibrated by one temperature for all
    classes. That makes them true on average for tiles *like the named ones*; where a person named the clear
    cases first, the rest is harder, and an audit of a random sample has to say how much.

    References
    ----------
    Guo et al., On calibration of modern neural networks, arXiv 1706.04599, section 4.2 (temperature).
    """
    labels, groups = np.asarray(labels, object), np.asarray(groups, object)
    rows, codes, names = named_rows(labels, n_max=n_max, rng=rng)
    known = np.asarray(features[rows], np.float32)
    mean, scale = known.mean(axis=0), known.std(axis=0)
    scale = np.where(scale > 1e-6 * (np.abs(mean) + 1e-6), scale, 1.0).astype(np.float32)
    standard = (known - mean) / scale
    options: dict[str, Any] = {"n_classes": len(names), "balanced": balanced}
    folds = group_folds(groups[rows], codes, n_folds=N_FOLDS, rng=rng)
    by_strength = _held_out_logits(standard, codes, folds, strengths=strengths, **options)
    judged = np.isfinite(by_strength[0]).all(axis=1)
    weights = _row_weights(codes, n_classes=len(names), balanced=balanced)
    best = 0
    if judged.any():
        losses = [cross_entropy(logits[judged], codes[judged], weights[judged]) for logits in by_strength]
        best = int(np.argmin(losses))
    strength = float(strengths[best]) if judged.any() else 0.1
    coefficients, bias = _solve(standard, codes, strengths=[strength], **options)[0]
    logits = by_strength[best]
    held_out = np.full(logits.shape, np.nan, np.float32)
    for fold in np.unique(folds):
        own, others = judged & (folds == fold), judged & (folds != fold)
        held_out[own] = softmax(logits[own] / fit_temperature(logits[others], codes[others]))
    temperature = fit_temperature(logits[judged], codes[judged])
    head = ClassHead(names, mean, scale, coefficients, bias, temperature, strength)
    return FittedHead(head, rows, codes, held_out)


def named_rows(
    labels: np.ndarray, *, n_max: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Choose the rows to learn from: (rows, codes, class names), classes in sorted order.

    Raises
    ------
    WootzError
        See `fit_class_head`.
    """
    names, codes, counts = np.unique(labels.astype(str), return_inverse=True, return_counts=True)
    present = [i for i, name in enumerate(names) if name]
    if len(present) < 2:
        there = names[present[0]] if present else "none"
        raise WootzError(
            f"a head needs tiles of at least two classes; named so far: {there}. Name tiles of another class."
        )
    for i in present:
        if counts[i] < 2:
            raise WootzError(
                f"class {str(names[i])!r} has a single named tile; name one more, or clear that one."
            )
    cap = _class_cap(counts[present], n_max)
    rows = []
    for i in present:
        own = np.flatnonzero(codes == i)
        rows.append(own if len(own) <= cap else np.sort(rng.permutation(own)[:cap]))
    chosen = np.sort(np.concatenate(rows))
    place = np.full(len(names), -1)
    place[present] = np.arange(len(present))
    return chosen, place[codes[chosen]], tuple(str(names[i]) for i in present)


def group_folds(
    groups: np.ndarray, codes: np.ndarray, *, n_folds: int, rng: np.random.Generator
) -> np.ndarray:
    """Deal groups to folds so that each fold gets about its share of every class.

    Parameters
    ----------
    groups : (n,) object
    codes : (n,) int
        Classes.
    n_folds : int
        Fewer where there are fewer groups.
    rng : numpy Generator
        Order of equally large groups.

    Returns
    -------
    (n,) int64
        The fold of each row; rows of a group have one.
    """
    _, at, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    n_folds = min(n_folds, len(sizes))
    counts = np.zeros((len(sizes), int(codes.max(initial=0)) + 1))
    np.add.at(counts, (at, codes), 1)
    share = counts / np.maximum(counts.sum(axis=0), 1)  # so that rare classes weigh as much as common ones
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-share[order].sum(axis=1), kind="stable")]
    held = np.zeros((n_folds, counts.shape[1]))
    fold = np.zeros(len(sizes), np.int64)
    for group in order:
        fold[group] = int(np.argmin(((held + share[group]) ** 2 - held**2).sum(axis=1)))
        held[fold[group]] += share[group]
    return fold[at]


def fit_temperature(logits: np.ndarray, codes: np.ndarray) -> float:
    """Find the temperature in [0.05, 20] with the lowest cross-entropy of ``logits / temperature``.

    The true class counts as 1 - 1 / (n + 2), the others share the rest: a few rows that are all right do not
    prove that the head is never wrong.

    Parameters
    ----------
    logits : (n, C) float
    codes : (n,) int
        True classes. Without rows the temperature is 1.

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, 1999, section 2.2 (targets of a finite sample).
    """
    from scipy.optimize import minimize_scalar

    if not len(codes):
        return 1.0
    wrong = 1 / (len(codes) + 2)
    targets = np.full(logits.shape, wrong / (logits.shape[1] - 1))
    targets[np.arange(len(codes)), codes] = 1 - wrong

    def loss(log_t: float) -> float:
        scaled = logits / np.exp(log_t)
        scaled -= scaled.max(axis=1, keepdims=True)
        log_p = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        return float(-(targets * log_p).sum(axis=1).mean())

    found: Any = minimize_scalar(
        loss,
        bounds=(np.log(0.05), np.log(20.0)),
        method="bounded",
    )
    return float(np.exp(found.x))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn (n, C) logits into probabilities."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def cross_entropy(logits: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> float:
    """Compute the weighted mean of -log p of the true class."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted[np.arange(len(codes)), codes] - np.log(np.exp(shifted).sum(axis=1))
    return float(-(weights * log_p).sum() / weights.sum())


def _class_cap(counts: np.ndarray, n_max: int) -> int:
    """Find the largest number of rows a class may have so that all classes together have `n_max`."""
    low, high = 2, int(counts.max())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(counts, middle).sum() <= n_max else (low, middle - 1)
    return low


def _row_weights(codes: np.ndarray, *, n_classes: int, balanced: bool) -> np.ndarray:
    if not balanced:
        return np.ones(len(codes))
    counts = np.bincount(codes, minlength=n_classes)
    return len(codes) / (n_classes * np.maximum(counts, 1))[codes]


def _held_out_logits(
    standard: np.ndarray, codes: np.ndarray, folds: np.ndarray, *, strengths: Sequence[float], **options: Any
) -> list[np.ndarray]:
    """Give, for each strength, (n, C) logits of heads that saw no row of the fold; NaN where none could.

    A row is not judged where its class is in no other fold: no head could have known it.
    """
    n_classes = options["n_classes"]
    out = [np.full((len(codes), n_classes), np.nan) for _ in strengths]
    for fold in np.unique(folds):
        inside = folds == fold
        seen = np.unique(codes[~inside])
        if len(seen) < 2:
            continue
        judged = np.flatnonzero(inside & np.isin(codes, seen))
        solved = _solve(standard[~inside], codes[~inside], strengths=strengths, **options)
        for logits, (weights, bias) in zip(out, solved, strict=True):
            logits[judged] = standard[judged] @ weights + bias
    return out


def _solve(
    rows: np.ndarray, codes: np.ndarray, *, strengths: Sequence[float], n_classes: int, balanced: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fit one regression for each strength, each from the solution of the one before."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(
        max_iter=2000, tol=1e-3, warm_start=True, class_weight="balanced" if balanced else None
    )
    found = []
    for strength in strengths:
        model.C = strength
        model.fit(rows, codes)
        weights = np.zeros((rows.shape[1], n_classes), np.float32)
        bias = np.full(n_classes, ABSENT, np.float32)
        seen = np.asarray(model.classes_)
        if len(seen) == 2:  # one vector for two classes: the logit of the second against the first
            bias[seen] = [0.0, float(np.ravel(model.intercept_)[0])]
            weights[:, seen[1]] = model.coef_[0]
        else:
            bias[seen] = model.intercept_
            weights[:, seen] = model.coef_.T
        found.append((weights, bias))
    return found
