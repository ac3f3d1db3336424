"""What an audit comes to: the answers that were given in its view, against what the head had said."""

from typing import Any

import numpy as np

from wootz.audits import Precision, more_needed, overall_precision, stratum_precision
from wootz.explore.actions import VERDICT_OPS
from wootz.explore.state import CLASS_PREFIX, Action, State, verdict_of

TARGET = 0.95
HALF_WIDTH = 0.03


def latest_audit(state: State, actor: str) -> Action | None:
    """Find the audit that a person drew last."""
    return next((a for a in reversed(state.actions) if a.op == "audit" and a.actor == actor), None)


def audit_answers(state: State, audit: Action) -> dict[str, str]:
    """Give the verdict of each audited tile that was judged in the audit's view.

    A verdict that a tile got elsewhere, such as by accepting a whole list, is no answer: nobody looked at
    that tile by itself.
    """
    drawn, answers = set(audit.record["tiles"]), {}
    for action in state.actions:
        how = action.record.get("how")
        if action.actor != audit.actor or not action.in_effect or action.op not in VERDICT_OPS:
            continue
        if not isinstance(how, dict) or how.get("audit") != audit.id:
            continue
        for tile in drawn.intersection(action.record["tiles"]):
            answers[tile] = verdict_of(action.record)
    return {tile: word for tile, word in answers.items() if word}


def audit_cards(state: State, audit: Action) -> list[dict[str, Any]]:
    """List the cards of an audit by cards that are not judged yet; [] for an audit tile by tile.

    Returns
    -------
    list of dict
        ``word`` that the head says of the card's tiles, ids of its ``rows`` in the order of the draw, and the
        ``open`` ones without an answer.
    """
    how = audit.record.get("how")
    size = how.get("cards") if isinstance(how, dict) else None
    if not isinstance(size, int) or size < 1:
        return []
    answers, lists = audit_answers(state, audit), {}
    for tile, said in zip(audit.record["tiles"], audit.record["said"], strict=True):
        lists.setdefault(said, []).append(tile)
    cards = [
        {"word": word, "rows": tiles[at : at + size]}
        for word, tiles in lists.items()
        for at in range(0, len(tiles), size)
    ]
    for card in cards:
        card["open"] = [tile for tile in card["rows"] if tile not in answers]
    return [card for card in cards if card["open"]]


def audit_result(state: State, audit: Action, *, half_width: float = HALF_WIDTH) -> dict[str, Any]:
    """Estimate the precision of the labels that an audit is about.

    Parameters
    ----------
    state : State
    audit : Action
        Of op "audit".
    half_width : float in (0, 0.5)
        Wanted of the overall interval, for `more`.

    Returns
    -------
    dict
        ``audit``, ``least``, ``n_drawn``, ``n_judged``, ``n_labels`` (that the audit is about), ``open`` (ids
        to be judged, in the order of the draw), ``classes`` (word, size and interval of each), ``overall``,
        ``more`` (tiles until the half-width) and ``text``. "In between" counts as a wrong label.
    """
    record = audit.record
    answers, words = audit_answers(state, audit), list(record["sizes"])
    n, right = np.zeros(len(words), int), np.zeros(len(words), int)
    for tile, said in zip(record["tiles"], record["said"], strict=True):
        if tile in answers:
            n[words.index(said)] += 1
            right[words.index(said)] += answers[tile] == said
    sizes = np.array([record["sizes"][word] for word in words], int)
    overall = overall_precision(right, n, sizes=sizes)
    more = more_needed(right, n, sizes=sizes, half_width=half_width) if n.sum() else None
    names = {key: about["name"] for key, about in state.classes().items()}
    classes = []
    for word, r, k, size in zip(words, right.tolist(), n.tolist(), sizes.tolist(), strict=True):
        key = word.removeprefix(CLASS_PREFIX)
        own = _plain(stratum_precision(r, k, size=size))
        classes.append({"word": word, "name": names.get(key, key), "size": size, "right": r, **own})
    return {
        "audit": audit.id,
        "least": record["least"],
        "n_drawn": len(record["tiles"]),
        "n_judged": int(n.sum()),
        "n_labels": int(sizes.sum()),
        "open": [tile for tile in record["tiles"] if tile not in answers],
        "classes": classes,
        "overall": _plain(overall),
        "more": more,
        "text": _say(overall, classes, more=more, n_labels=int(sizes.sum()), half_width=half_width),
    }


def _say(
    overall: Precision, classes: list[dict[str, Any]], *, more: int | None, n_labels: int, half_width: float
) -> str:
    """State when to stop."""
    if not overall.n:
        return "Nothing judged yet."
    share = f"{overall.value:.1%} of {n_labels} labels are right ({overall.low:.1%} to {overall.high:.1%})"
    if overall.low >= TARGET:
        return f"{share}: at least {TARGET:.0%}, you can stop."
    if overall.high < TARGET:
        judged = [c for c in classes if c["n"] and c["size"]]
        worst = max(judged, key=lambda c: (c["n"] - c["right"]) / c["n"] * c["size"])
        return f"{share}: below {TARGET:.0%}. Most errors stand in {worst['name']}; name more there."
    if not more:
        return f"{share}: near {TARGET:.0%}; name more, or ask for more confidence."
    return f"{share}; judge about {more} more to know it to ± {half_width:.0%}."


def _plain(found: Precision) -> dict[str, Any]:
    value = None if np.isnan(found.value) else round(found.value, 4)
    return {"value": value, "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n}
