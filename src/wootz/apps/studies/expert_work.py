"""Ways in which an expert gets through a set of tiles, at a price: looking costs one, acting costs one."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wootz.audits import draw_audit, overall_precision
from wootz.classheads import FittedHead, fit_class_head
from wootz.clustering import kmeans
from wootz.errors import WootzError
from wootz.explore.groups import exemplars, rows_by_code, unit_rows
from wootz.explore.likeness import taken_apart
from wootz.headscores import confidence_for

TILES_PER_CARD = 40
"""Tiles of a micro-cluster on average: several times as many clusters as classes on the sets of the study."""
N_EXEMPLARS = 8
AGREE_FRAC = 0.9
"""A card is named as a whole if so much of what it shows is of one class, else split or left."""
SPLIT_MIN = 20
N_AUDIT = 60
AUDITED = 0.9
"""Share of right labels that an audit must show: of an expert who errs in 5 %, perfect labels show 0.95."""
N_LEAST = 10
N_ROUNDS = 2
REVIEWED = 20
"""Most tiles that are looked at in the list of one class."""


class Desk:
    """What the expert sees, says and pays.

    Parameters
    ----------
    features : (N, D) float32
    images : (N,) int
    truth : (N,) object
    wrong_frac : float in [0, 1)
        Share of answers that name another class, drawn at random.
    rng : numpy Generator
    """

    def __init__(
        self,
        features: np.ndarray,
        images: np.ndarray,
        truth: np.ndarray,
        *,
        wrong_frac: float,
        rng: np.random.Generator,
    ) -> None:
        self.features, self.images, self.rng = features, images, rng
        self._truth, self._wrong_frac = truth, wrong_frac
        self.classes = np.unique(truth.astype(str)).tolist()
        self.cost = 0

    def look(self, rows: np.ndarray, *, price: int) -> np.ndarray:
        """Look at tiles: as one card (price 1), or one by one (their number)."""
        self.cost += price
        return self._truth[rows]

    def act(self) -> None:
        """Pay for an action."""
        self.cost += 1

    def answer(self, name: str) -> str:
        """Say a class, now and then another one; costs an action."""
        self.cost += 1
        others = [other for other in self.classes if other != name]
        if others and self.rng.random() < self._wrong_frac:
            return str(self.rng.choice(others))
        return name


@dataclass
class Work:
    """What came of it: labels (N,) object with "" for none, the cost, and figures on the way."""

    labels: np.ndarray
    cost: int
    noted: dict[str, Any] = field(default_factory=dict)


def label_one_by_one(desk: Desk) -> Work:
    """Look at every tile, name every tile."""
    labels = np.full(len(desk.features), "", object)
    for row in range(len(labels)):
        labels[row] = desk.answer(desk.look(np.array([row]), price=1)[0])
    return Work(labels, desk.cost)


def label_in_random_order(desk: Desk) -> Work:
    """Name a tenth of the tiles, drawn at random, and let the head name what it is sure of."""
    n = len(desk.features)
    labels = np.full(n, "", object)
    order = desk.rng.permutation(n)[: max(20, n // 10)]
    for row in order:
        labels[row] = desk.answer(desk.look(np.array([row]), price=1)[0])
    return finish_by_head(desk, labels)


def label_by_cards(desk: Desk) -> Work:
    """Name micro-clusters by their cards, split mixed ones, and let the head name what it is sure of."""
    labels, n_cards = np.full(len(desk.features), "", object), 0
    k = max(2, len(labels) // TILES_PER_CARD)
    codes = kmeans(unit_rows(desk.features), k, rng=desk.rng, spherical=True, n_init=3).labels
    waiting = [rows for rows in rows_by_code(codes) if len(rows)]
    named: list[np.ndarray] = []
    while waiting:
        parts: list[np.ndarray] = []
        for rows, name in _look_at_cards(desk, waiting + named, n=len(waiting)):
            n_cards += 1
            if name:
                labels[rows] = desk.answer(name)
                named.append(rows)
            elif len(rows) >= SPLIT_MIN:
                desk.act()
                parts += taken_apart(desk.features, rows, n_parts=2, seed=0)
        waiting = parts
    _check_cards(desk, labels, named)
    return finish_by_head(desk, labels, n_cards=n_cards)


def finish_by_head(desk: Desk, labels: np.ndarray, **noted: Any) -> Work:
    """Train, review the rarest class, train again, audit, and take what the audit bears out.

    Parameters
    ----------
    desk : Desk
    labels : (N,) object
        What is named so far; filled on.
    noted : Any
        Further figures of the work.
    """
    fitted = _train(desk, labels)
    if fitted is None:
        return Work(labels, desk.cost, noted)
    for _ in range(N_ROUNDS):
        _review_rarest(desk, labels, fitted)
        fitted = _train(desk, labels) or fitted
    probabilities = fitted.head.probabilities(desk.features)
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    strata = np.where(labels == "", said, -1)
    names = np.array(fitted.head.class_names, object)
    rows = draw_audit(strata, n_strata=len(names), n=N_AUDIT, rng=desk.rng)
    answers = [desk.answer(name) for row in rows for name in desk.look(np.array([row]), price=1)]
    codes = np.array([fitted.head.class_names.index(a) if a in names else -1 for a in answers], int)
    least = np.ones(len(names))
    for k in range(len(names)):  # each class has its list, and its limit
        own = said[rows] == k
        least[k] = confidence_for(probabilities[rows[own]], codes[own], precision=AUDITED, n_least=N_LEAST)
    inside = (labels == "") & (sure >= least[said])
    kept = inside[rows]  # a random sample of what is accepted, too
    is_right = np.array(answers, object) == names[said[rows]]
    sizes = np.bincount(said[inside], minlength=len(names))
    weights = (kept.astype(float), (kept & is_right).astype(float))
    n, right = (np.bincount(said[rows], weights=w, minlength=len(names)) for w in weights)
    audited = overall_precision(right, n, sizes=sizes)
    labels[inside] = names[said[inside]]
    labels[rows] = answers
    desk.act()  # accepting the list
    noted |= {"audit_low": audited.low, "audit_high": audited.high}
    return Work(labels, desk.cost, noted | {"by_head": float(inside.mean())})


def _look_at_cards(desk: Desk, groups: list[np.ndarray], *, n: int) -> list[tuple[np.ndarray, str]]:
    """Look at the cards of the first `n` groups: their rows, and the class of nearly all that a card shows.

    The class is "" where the card is mixed. All groups together say where each ends.
    """
    codes = np.full(len(desk.features), -1)
    for code, rows in enumerate(groups):
        codes[rows] = code
    if not n:
        return []
    shown = exemplars(desk.features, codes, n_each=N_EXEMPLARS, images=desk.images)
    found = []
    for rows, tiles in zip(groups[:n], shown[:n], strict=True):
        seen = desk.look(np.concatenate([tiles[role] for role in tiles]).astype(int), price=1)
        names, counts = np.unique(seen.astype(str), return_counts=True)
        is_one = counts.max() >= AGREE_FRAC * counts.sum()
        found.append((rows, str(names[counts.argmax()]) if is_one else ""))
    return found


def _check_cards(desk: Desk, labels: np.ndarray, named: list[np.ndarray]) -> None:
    """Look again at cards that a head of the others' tiles takes for something else: a slip of the expert."""
    fitted = _train(desk, labels)
    if fitted is None:
        return
    names = np.array(fitted.head.class_names, object)
    judged = np.isfinite(fitted.held_out).all(axis=1)
    said = np.full(len(labels), "", object)
    said[fitted.rows[judged]] = names[fitted.held_out[judged].argmax(axis=1)]
    strange = [
        i
        for i, rows in enumerate(named)
        if (said[rows] != labels[rows])[said[rows] != ""].sum() > len(rows) / 2
    ]
    order = [named[i] for i in strange] + [rows for i, rows in enumerate(named) if i not in strange]
    for rows, name in _look_at_cards(desk, order, n=len(strange)):
        labels[rows] = desk.answer(name) if name else ""


def _review_rarest(desk: Desk, labels: np.ndarray, fitted: FittedHead) -> None:
    """Look through the list of the class with the fewest named tiles, one by one, surest first."""
    names = fitted.head.class_names
    rare = int(np.bincount(fitted.codes, minlength=len(names)).argmin())
    probabilities = fitted.head.probabilities(desk.features)
    free = np.flatnonzero((labels == "") & (probabilities.argmax(axis=1) == rare))
    for row in free[np.argsort(-probabilities[free, rare], kind="stable")][:REVIEWED]:
        labels[row] = desk.answer(desk.look(np.array([row]), price=1)[0])


def _train(desk: Desk, labels: np.ndarray) -> FittedHead | None:
    """Press the button; None where too little is named."""
    desk.act()
    counts = dict(zip(*np.unique(labels.astype(str), return_counts=True), strict=True))
    taught = np.array([name if counts[name] > 1 else "" for name in labels.astype(str)], object)
    try:
        options: dict[str, Any] = {"groups": desk.images, "strengths": (0.01, 0.1), "n_max": 5000}
        return fit_class_head(desk.features, taught, rng=desk.rng, **options)
    except WootzError:
        return None
