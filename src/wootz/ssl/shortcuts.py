"""How well a linear map of frozen features tells a factor, against what chance gives."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from wootz.shuffling import n_arrangements, shuffled_groups, shuffled_within
from wootz.ssl.folds import group_folds

N_FOLDS = 5
RIDGE = 0.1
MARGIN = 0.1
MIN_ARRANGEMENTS = 100
CHUNK_COLUMNS = 2000


@dataclass(frozen=True)
class FactorScore:
    """How well features tell a factor.

    Attributes
    ----------
    score : float
        On tiles that the map was not fitted on. Classes: area under the ROC curve, each class against the
        others, averaged (0.5 is chance, 1 perfect). Numbers: R^2 (0 or less is chance, 1 perfect).
    chance, chance_high : float
        Mean, and upper end, of the same with shuffled labels: the larger of their 99 % quantile and three
        standard deviations above their mean.
    n, n_groups : int
        Tiles and groups (images) probed with.
    is_enough : bool
        Whether there are enough groups for shuffling to say anything.
    """

    score: float
    chance: float
    chance_high: float
    n: int
    n_groups: int
    is_enough: bool

    @property
    def is_told(self) -> bool:
        """Whether features tell the factor: above chance, and by a tenth of what there is to tell."""
        clear = self.score - self.chance >= MARGIN * (1 - self.chance)
        return self.is_enough and clear and self.score > self.chance_high


def probe_between(
    features: np.ndarray,
    values: np.ndarray,
    *,
    groups: np.ndarray,
    rng: np.random.Generator,
    n_permutations: int = 199,
) -> FactorScore:
    """Tell a factor on images that the map has not seen.

    Parameters
    ----------
    features : (N, D) float
    values : (N,) str or float
        Text is taken as classes, numbers are regressed on.
    groups : (N,) int or str
        Image of each tile. Folds keep a group together, and labels are shuffled by whole groups.
    rng : numpy Generator
    n_permutations : int

    Returns
    -------
    FactorScore

    Raises
    ------
    ValueError
        If the factor is the same everywhere, or no two classes stand in two groups each.
    """
    values = np.asarray(values)
    is_classes = values.dtype.kind not in "fiu"
    keep = np.ones(len(values), bool)
    if is_classes:
        keep = np.isin(values, [c for c in np.unique(values) if len(np.unique(groups[values == c])) >= 2])
    features, values, groups = features[keep], values[keep], groups[keep]
    if len(np.unique(values)) < 2:
        raise ValueError("nothing to tell: fewer than two classes in two images each, or one value only")
    n_folds = min(N_FOLDS, _smallest_class(values, groups) if is_classes else len(np.unique(groups)))
    folds = group_folds(groups, n_folds=n_folds, rng=rng, labels=values if is_classes else None)
    rows = np.stack([*shuffled_groups(groups, n=n_permutations, rng=rng)])
    target = _one_hot(values) if is_classes else values.astype(np.float64)[:, None]
    score, shuffled = _scores(features, target, folds, rows=rows, is_classes=is_classes)
    n_arrangements = _arrangements(values, groups, is_classes=is_classes)
    return _summary(score, shuffled, groups=groups, is_enough=n_arrangements >= MIN_ARRANGEMENTS)


def probe_within(
    features: np.ndarray,
    groups: np.ndarray,
    *,
    halves: np.ndarray,
    strata: np.ndarray,
    rng: np.random.Generator,
    n_permutations: int = 199,
) -> FactorScore:
    """Tell the image of a tile from other tiles of the same image.

    Parameters
    ----------
    features : (N, D) float
    groups : (N,) int or str
        Image of each tile.
    halves : (N,) int
        0 or 1; a map fitted on one half of each image is tried on the other. Tiles with -1 are left out.
    strata : (N,) int or str
        What is known about each image, e.g. its specimen and instrument. Labels are shuffled within it, so
        that chance knows as much, and features that tell the instrument alone do not count as telling images.
    rng : numpy Generator
    n_permutations : int

    Raises
    ------
    ValueError
        If fewer than two images have tiles in both halves.
    """
    keep = halves >= 0
    features, groups, halves, strata = features[keep], groups[keep], halves[keep], strata[keep]
    if len(np.unique(groups)) < 2:
        raise ValueError("nothing to tell: fewer than two images have tiles in both halves")
    cells = np.unique(
        np.stack([np.unique(strata, return_inverse=True)[1], halves]), axis=1, return_inverse=True
    )
    rows = np.stack([*shuffled_within(cells[1].ravel(), n=n_permutations, rng=rng)])
    score, shuffled = _scores(features, _one_hot(groups), halves, rows=rows, is_classes=True)
    _, first = np.unique(groups, return_index=True)
    is_enough = len(np.unique(strata[first])) < len(first)
    return _summary(score, shuffled, groups=groups, is_enough=is_enough)


def _scores(
    features: np.ndarray, target: np.ndarray, folds: np.ndarray, *, rows: np.ndarray, is_classes: bool
) -> tuple[float, np.ndarray]:
    """Score the labels as they are and as shuffled by `rows` (P, N); target is (N, C)."""
    n_classes = target.shape[1]
    order = np.vstack([np.arange(len(target)), rows])
    step = max(1, CHUNK_COLUMNS // n_classes)
    parts = []
    operators = list(_operators(features, folds))
    for start in range(0, len(order), step):
        shuffled = target[order[start : start + step]]  # (p, N, C)
        columns = shuffled.transpose(1, 0, 2).reshape(len(target), -1)
        score = _fold_scores(operators, columns, is_classes=is_classes)
        parts.append(score.reshape(len(shuffled), n_classes).mean(axis=1))
    values = np.concatenate(parts)
    return float(values[0]), values[1:]


def _operators(
    features: np.ndarray, folds: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for each fold its training rows, its test rows and the ridge regression between their labels.

    Predictions are ``operator @ (labels of training rows - their mean)``, so that one solution serves all
    shuffled labels.
    """
    features = np.asarray(features, np.float64)
    spread = features.std(axis=0)
    used = spread > 1e-9 * max(spread.max(initial=0.0), 1e-12)
    features = (features[:, used] - features[:, used].mean(axis=0)) / spread[used]
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        middle = features[train].mean(axis=0)
        a, b = features[train] - middle, features[test] - middle
        penalty = RIDGE * len(train)
        if a.shape[1] <= len(a):
            operator = b @ np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T)
        else:
            operator = np.linalg.solve(a @ a.T + penalty * np.eye(len(a)), a @ b.T).T
        yield train, test, operator


def _fold_scores(
    operators: list[tuple[np.ndarray, np.ndarray, np.ndarray]], columns: np.ndarray, *, is_classes: bool
) -> np.ndarray:
    """Score each column of labels over all folds: area under the ROC curve of 0/1, or R^2."""
    top, bottom = np.zeros(columns.shape[1]), np.zeros(columns.shape[1])
    for train, test, operator in operators:
        mean, truth = columns[train].mean(axis=0), columns[test]
        found = operator @ (columns[train] - mean)
        if is_classes:
            positive = truth.sum(axis=0)
            pairs = positive * (len(test) - positive)
            above = (rankdata(found, axis=0) * truth).sum(axis=0) - positive * (positive + 1) / 2
            top, bottom = top + above, bottom + pairs
        else:
            top += np.square(truth - mean - found).sum(axis=0)
            bottom += np.square(truth - mean).sum(axis=0)
    ratio = np.divide(top, bottom, out=np.full_like(top, 0.5 if is_classes else 1.0), where=bottom > 0)
    return ratio if is_classes else 1 - ratio


def _summary(score: float, shuffled: np.ndarray, *, groups: np.ndarray, is_enough: bool) -> FactorScore:
    chance, spread = float(shuffled.mean()), float(shuffled.std())
    high = max(float(np.quantile(shuffled, 0.99)), chance + 3 * spread)
    return FactorScore(score, chance, high, len(groups), len(np.unique(groups)), is_enough)


def _one_hot(values: np.ndarray) -> np.ndarray:
    names, which = np.unique(values, return_inverse=True)
    return np.eye(len(names))[which]


def _smallest_class(values: np.ndarray, groups: np.ndarray) -> int:
    return min(len(np.unique(groups[values == c])) for c in np.unique(values))


def _arrangements(values: np.ndarray, groups: np.ndarray, *, is_classes: bool) -> float:
    """Count in how many ways whole groups can share out their labels."""
    _, first = np.unique(groups, return_index=True)
    return n_arrangements(values[first] if is_classes else np.arange(len(first)))
