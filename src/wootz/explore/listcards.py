"""Cards of a head's lists for a person to review: at random, the surest, or unlike all that is named."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from wootz.explore.actions import ActionError
from wootz.explore.likeness import QUERIES_MAX
from wootz.explore.reviewing import CARD, far_card, random_card, surest_card
from wootz.explore.state import CLASS_PREFIX
from wootz.explore.trainer import Trainer

KINDS = ("random", "surest", "unlike")
FAR_SEEN = 50_000
"""Of more tiles without a verdict, strange ones are sought among so many random ones, not to take seconds."""
CARDS_MAX = 100


def list_card(
    trainer: Trainer, expert: str, *, kind: str, word: str = "", seen: Sequence[int] = (), least: float = 0.0
) -> dict[str, Any]:
    """Put tiles without a verdict on a card.

    Parameters
    ----------
    trainer : Trainer
    expert : str
    kind : str
        "random": of the list of a verdict. "surest": those with the highest probability of it, also where
        another one is likelier. "unlike": those least like any named tile, where a new class may hide.
    word : str
        The verdict, such as "class:pore"; without use for "unlike". Tiles refused for it are left out.
    seen : sequence of int
        Rows that were on an earlier card and are not to come again.
    least : float in [0, 1]
        Lowest confidence of a tile on a list.

    Returns
    -------
    dict
        ``kind``, ``word``, ``head``, ``rows`` and, of "surest", their ``scores``. The same state of the log
        gives the same card.

    Raises
    ------
    ActionError
        Without a head, for a kind or verdict that there is not, and where no tile is left.
    """
    trained = trainer.need(expert)
    if kind not in KINDS:
        raise ActionError(f"there is no card {kind!r}; there are {', '.join(KINDS)}.")
    trainer.workspace.ids_of(seen)
    rng = np.random.default_rng([trainer.workspace.catch_up(), len(seen)])
    found: dict[str, Any] = {"kind": kind, "word": "" if kind == "unlike" else word, "head": trained.head}
    free = trainer.free(expert) if kind == "unlike" else trainer.possible(expert, word)
    free[list(seen)] = False
    if kind == "unlike":
        rows = _unlike(trainer, expert, free=free, seen=seen, rng=rng)
    elif kind == "surest":
        column = trained.model.probability_of(trainer.features, trainer.code_of(expert, word))
        rows = surest_card(column[:, None], 0, free=free)
        found["scores"] = np.round(column[rows].astype(float), 4).tolist()
    else:
        code = trainer.code_of(expert, word)
        rows = random_card(free & (trained.codes == code) & (trained.confidence >= least), rng=rng)
    if not len(rows):
        of = f" in the list of {word.removeprefix(CLASS_PREFIX)}" if kind == "random" else ""
        raise ActionError(f"no tile without a verdict is left{of}.")
    return found | {"rows": rows.tolist()}


def draw_cards(trainer: Trainer, expert: str, *, n_cards: int, least: float = 0.0) -> dict[str, Any]:
    """Draw an audit by cards, and note it in the log: random tiles of each class's list, class by class.

    Parameters
    ----------
    trainer : Trainer
    expert : str
    n_cards : int
        Cards of 24 tiles for each class; fewer where its list is shorter.
    least : float in [0, 1]
        See `Trainer.draw`.

    Returns
    -------
    dict
        See `Trainer.audit`.

    Raises
    ------
    ActionError
        Without a head, or with nothing left to audit.
    """
    if not 1 <= n_cards <= CARDS_MAX:
        raise ActionError(f"an audit takes 1 to {CARDS_MAX} cards of each class.")
    trained = trainer.need(expert)
    seed = trainer.workspace.catch_up()
    rng = np.random.default_rng(seed)
    strata = np.full(len(trained.codes), -1)
    for code, word in enumerate(trained.words):
        inside = trainer.possible(expert, word) & (trained.codes == code) & (trained.confidence >= least)
        strata[inside] = code
    parts = [random_card(strata == code, rng=rng, n=n_cards * CARD) for code in range(len(trained.words))]
    rows = np.concatenate(parts)
    if not len(rows):
        raise ActionError("no tile without a verdict is left that the head is so sure of.")
    return trainer.log_audit(expert, rows, strata=strata, least=least, seed=seed, cards=CARD)


def _unlike(
    trainer: Trainer, expert: str, *, free: np.ndarray, seen: Sequence[int], rng: np.random.Generator
) -> np.ndarray:
    """Find strange tiles; each verdict gives as many named ones, so that rare classes count as known."""
    codes, words = trainer.workspace.verdicts(expert)
    each = max(1, QUERIES_MAX // max(len(words), 1))
    known = [np.array(seen, np.int64)[-each:]]
    for code in range(1, len(words)):
        rows = np.flatnonzero(codes == code)
        known.append(rows[np.linspace(0, len(rows) - 1, min(len(rows), each)).astype(int)])
    named, among = np.concatenate(known), np.flatnonzero(free)
    if len(among) > FAR_SEEN:
        among = np.sort(rng.choice(among, FAR_SEEN, replace=False))
    features = np.concatenate([trainer.features[named], trainer.features[among]])
    is_free = np.arange(len(features)) >= len(named)
    return among[far_card(features, np.arange(len(named)), free=is_free) - len(named)]
