"""Ways in which an expert gets through a set of tiles, at a price: looking costs one, acting costs one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wootz.apps.studies.expert_desk import Book, Desk, Work, work_through
from wootz.audits import overall_precision
from wootz.classheads import FittedHead, fit_class_head
from wootz.clustering import kmeans
from wootz.errors import WootzError
from wootz.explore.acceptance import corrected_confidence, limit_for
from wootz.explore.groups import exemplars, unit_rows
from wootz.explore.reviewing import CARD, far_card, odd_batches, random_card, surest_card

ROLES = 3


@dataclass(frozen=True)
class Plan:
    """How much of what the expert does.

    n_first : cards of clusters before the first training.
    n_rounds : trainings, each followed by a card of every list and one of tiles unlike all named ones.
    n_audit : cards of every list, drawn at random, by which the last head is judged.
    rare_frac : classes that the head says of a smaller share of the tiles are rare.
    n_read : cards of a rare class's list between two trainings.
    least_found : that list is read on while this share of the cards is of the class.
    precision : expected of the labels that are accepted unseen.
    """

    n_first: int = 40
    n_rounds: int = 8
    n_audit: int = 6
    rare_frac: float = 0.05
    n_read: int = 6
    least_found: float = 0.1
    precision: float = 0.975


def label_one_by_one(desk: Desk) -> Work:
    """Look at every tile, name every tile."""
    return Work(desk.name_one_by_one(np.arange(len(desk.features))), desk.cost)


def label_in_random_order(desk: Desk, plan: Plan) -> Work:
    """Name a tenth of the tiles, drawn at random, one by one, and let the head name what it is sure of."""
    n = len(desk.features)
    book, rows = Book(n), desk.rng.permutation(n)[: max(20, n // 10)]
    book.write(rows, desk.name_one_by_one(rows), is_main=np.zeros(len(rows), bool))
    noted = accept_sure(desk, book, plan=plan)
    return Work(book.labels, desk.cost, noted)


def label_by_reviews(desk: Desk, plan: Plan) -> Work:
    """Name cards of clusters, train and review cards of lists in turn, accept what the head is sure of."""
    book, noted, paid = Book(len(desk.features)), {}, 0
    for part in ("first", "reviews", "rare", "last"):
        match part:
            case "first":
                for rows in first_cards(desk, n=plan.n_first):
                    work_through(desk, book, rows)
            case "reviews":
                for _ in range(plan.n_rounds):
                    review_lists(desk, book)
                look_again(desk, book)
            case "rare":
                read_rare(desk, book, plan=plan)
                noted["by_card"] = float((~book.free).mean())
            case "last":
                noted |= accept_sure(desk, book, plan=plan)
        noted[f"cost_{part}"], paid = desk.cost - paid, desk.cost
    return Work(book.labels, desk.cost, noted)


def first_cards(desk: Desk, *, n: int) -> Iterator[np.ndarray]:
    """Give a card of each of `n` clusters: typical tiles, tiles at the border and outliers."""
    n = min(n, len(desk.features) // 2)
    codes = kmeans(unit_rows(desk.features), n, rng=desk.rng, spherical=True, n_init=1).labels
    for shown in exemplars(desk.features, codes, n_each=CARD // ROLES, images=desk.images):
        yield np.concatenate([shown[role] for role in shown]).astype(np.int64)


def review_lists(desk: Desk, book: Book) -> None:
    """Train; name a card of each list, drawn at random, one of the scarcest class, one of strange tiles."""
    fitted = train(desk, book)
    if fitted is None:
        return
    probabilities = fitted.head.probabilities(desk.features)
    said = probabilities.argmax(axis=1)
    for code in range(probabilities.shape[1]):
        work_through(desk, book, random_card(book.free & (said == code), rng=desk.rng))
    scarce = int(np.bincount(fitted.codes, minlength=probabilities.shape[1]).argmin())
    work_through(desk, book, surest_card(probabilities, scarce, free=book.free))
    work_through(desk, book, far_card(desk.features, book.named, free=book.free))


def look_again(desk: Desk, book: Book) -> None:
    """Look again at actions that a head of all the others contradicts: slips of the expert."""
    try:
        fitted = _fit(desk, book, groups=book.actions)
    except WootzError:
        return
    for action in odd_batches(fitted.held_out, fitted.codes, book.actions[fitted.rows]):
        work_through(desk, book, np.flatnonzero(book.actions == action))


def read_rare(desk: Desk, book: Book, *, plan: Plan) -> None:
    """Read the lists of rare classes, surest first, training in between, until cards hold few of them.

    Rare is what the head says of few tiles, and in any case the class with the shortest list.
    """
    fitted = train(desk, book)
    if fitted is None:
        return
    said = fitted.head.probabilities(desk.features).argmax(axis=1)
    expected = np.bincount(said, minlength=len(fitted.head.class_names)) / len(said)
    order = [code for code in np.argsort(expected) if expected[code] <= max(plan.rare_frac, expected.min())]
    for name in [fitted.head.class_names[code] for code in order]:
        found = 1.0
        while found >= plan.least_found and book.free.any() and name in fitted.head.class_names:
            probabilities = fitted.head.probabilities(desk.features)
            code = fitted.head.class_names.index(name)
            ranked = surest_card(probabilities, code, free=book.free, n=plan.n_read * CARD)
            cards = [ranked[at : at + CARD] for at in range(0, len(ranked), CARD)]
            found = np.mean(np.concatenate([work_through(desk, book, card) for card in cards]) == name)
            fitted = train(desk, book) or fitted
    look_again(desk, book)


def accept_sure(desk: Desk, book: Book, *, plan: Plan) -> dict[str, float]:
    """Train, judge random cards of each list, and accept the labels that they bear out.

    Returns
    -------
    dict
        ``by_head``: share of the tiles that were accepted unseen; ``audit``, ``audit_low``, ``audit_high``:
        their precision as the expert sees it, on tiles that also chose the limit; left out where none of
        the accepted tiles was judged. {} without a head.
    """
    fitted = train(desk, book)
    if fitted is None:
        return {}
    names = np.array(fitted.head.class_names, object)
    probabilities = fitted.head.probabilities(desk.features)
    said, listed = probabilities.argmax(axis=1), book.free
    rows = _judge_lists(desk, book, said, n_classes=len(names), n_cards=plan.n_audit)
    look_again(desk, book)
    is_right = book.labels[rows] == names[said[rows]]
    sure = corrected_confidence(probabilities.max(axis=1), said, audited=rows, is_right=is_right)
    inside = listed & (sure >= limit_for(sure[listed], precision=plan.precision))
    kept = inside[rows]
    sizes, n, right = (
        np.bincount(said[chosen], minlength=len(names))
        for chosen in (inside, rows[kept], rows[kept & is_right])
    )
    audited = overall_precision(right, n, sizes=sizes)
    taken = inside & book.free
    book.labels[taken] = names[said[taken]]
    desk.act()  # accepting the lists
    found = {"by_head": float(taken.mean())}
    if audited.n:
        found |= {"audit": audited.value, "audit_low": audited.low, "audit_high": audited.high}
    return found


def _judge_lists(desk: Desk, book: Book, said: np.ndarray, *, n_classes: int, n_cards: int) -> np.ndarray:
    """Name random cards of the list of each class; (n,) int64 rows."""
    cards = []
    for code in range(n_classes):
        drawn = random_card(book.free & (said == code), rng=desk.rng, n=n_cards * CARD)
        cards += [drawn[at : at + CARD] for at in range(0, len(drawn), CARD)]
    for card in cards:
        work_through(desk, book, card)
    return np.concatenate(cards) if cards else np.zeros(0, np.int64)


def train(desk: Desk, book: Book) -> FittedHead | None:
    """Press the button; None where too little is named."""
    desk.act()
    try:
        return _fit(desk, book, groups=desk.images)
    except WootzError:
        return None


def _fit(desk: Desk, book: Book, *, groups: np.ndarray) -> FittedHead:
    """Fit a head as the page does; classes on a single tile teach nothing."""
    labels = book.labels.astype(str)
    names, counts = np.unique(labels, return_counts=True)
    taught = np.where(np.isin(labels, names[counts < 2]), "", labels).astype(object)
    options: dict[str, Any] = {"strengths": (0.01, 0.1), "n_max": 5000}
    return fit_class_head(desk.features, taught, groups=groups, rng=desk.rng, **options)
