"""Labels of a head that are accepted unseen: as many as an audit bears out, in one action."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wootz.explore.acceptance import corrected_confidence, limit_for, unseen_precision
from wootz.explore.actions import ADOPT, ActionError
from wootz.explore.auditing import audit_answers, latest_audit
from wootz.explore.state import Action
from wootz.explore.trainer import Trained, Trainer

PRECISION = 0.975
LOWEST, HIGHEST = 0.5, 0.999


@dataclass(frozen=True)
class _Judged:
    """Tiles of an audit that were answered: their rows, and whether the head was right."""

    rows: np.ndarray
    is_right: np.ndarray


def offer(trainer: Trainer, expert: str, *, precision: float = PRECISION) -> dict[str, Any]:
    """Say how many labels of a person's head can be accepted unseen.

    Parameters
    ----------
    trainer : Trainer
    expert : str
    precision : float in [0.5, 0.999]
        Expected share of right ones among them.

    Returns
    -------
    dict
        ``audit``, ``head``, ``precision``, ``limit`` (of the corrected confidence), ``n`` labels,
        ``expected`` share of right ones, ``classes`` (``word``, ``n``, and ``right`` of ``n_judged`` audited
        tiles above the limit), and ``seen``: the share of right ones by the audit alone, as ``value``,
        ``low``, ``high`` (95 %) and ``n`` tiles that it is seen from.

    Raises
    ------
    ActionError
        Without a head, an audit of it or an answer in that; if no limit reaches the precision.

    Notes
    -----
    The audited tiles correct the confidence and give the interval. The correction has few parameters, but
    where few tiles were judged the interval flatters somewhat.
    """
    return _offer(trainer, expert, precision=precision)[0]


def adopt(trainer: Trainer, expert: str, *, precision: float, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give the tiles of `offer` the verdicts of the head, as one action that can be undone.

    Parameters
    ----------
    trainer : Trainer
    expert : str
    precision : float
        See `offer`, also for what is raised.
    request : mapping
        ``id`` and ``session`` as the page gives them with any action; the same id again does nothing.

    Returns
    -------
    dict
        See `Workspace.act`.
    """
    workspace = trainer.workspace
    given = {key: request[key] for key in ("id", "session") if isinstance(request.get(key), str)}
    with workspace.lock:
        workspace.catch_up()
        if given.get("id") in workspace.state.seq_of_id:
            return workspace.act({"op": ADOPT, "actor": expert, **given})
        about, rows = _offer(trainer, expert, precision=precision)
        trained = trainer.need(expert)
        parts = [
            {"verdict": word, "rows": rows[trained.codes[rows] == code].tolist()}
            for code, word in enumerate(trained.words)
        ]
        # not {"audit": id} at the top of `how`, which marks answers of an audit: nobody looked at these tiles
        basis = {key: about[key] for key in ("head", "audit", "limit", "precision", "expected", "seen")}
        record = {"op": ADOPT, "actor": expert, "parts": [part for part in parts if part["rows"]]}
        return workspace.act(record | given | {"how": {"view": "offer", "unseen": basis}})


def _offer(trainer: Trainer, expert: str, *, precision: float) -> tuple[dict[str, Any], np.ndarray]:
    if not LOWEST <= precision <= HIGHEST:
        raise ActionError(f"the precision must be a number from {LOWEST} to {HIGHEST}.")
    trained = trainer.need(expert)
    with trainer.workspace.lock:
        audit, judged = _judged(trainer, expert, trained=trained)
        free = trained.confidence >= audit.record["least"]
        for code, word in enumerate(trained.words):
            free &= trainer.possible(expert, word) | (trained.codes != code)
    if not free.any():
        raise ActionError("no tile without a verdict is left that the audit is about.")
    sure = corrected_confidence(
        trained.confidence, trained.codes, audited=judged.rows, is_right=judged.is_right
    )
    limit = limit_for(sure[free], precision=precision)
    if not np.isfinite(limit):
        raise ActionError(
            f"no label can be accepted at an expected precision of {precision:.1%}: the surest one is right "
            f"with {sure[free].max():.1%}. Ask for less, or name more and train again."
        )
    rows = np.flatnonzero(free & (sure >= limit))
    about = {"audit": audit.id, "head": trained.head, "precision": precision, "limit": round(limit, 6)}
    about |= {"n": len(rows), "expected": round(float(sure[rows].mean()), 4)}
    return about | _borne_out(trained, rows, judged=judged, sure=sure, limit=limit), rows


def _judged(trainer: Trainer, expert: str, *, trained: Trained) -> tuple[Action, _Judged]:
    """Collect the answers of the latest audit, which must be of the head at hand."""
    state = trainer.workspace.state
    audit = latest_audit(state, expert)
    if audit is None:
        raise ActionError("audit first: nobody knows yet how many labels of the head are right.")
    if audit.record["head"] != trained.head:
        raise ActionError("the audit is of an earlier head; draw one of the head that you trained last.")
    answers, rows, is_right = audit_answers(state, audit), [], []
    for tile, said in zip(audit.record["tiles"], audit.record["said"], strict=True):
        row = state.row_of(tile)
        if tile in answers and row is not None and row < trainer.workspace.n:
            rows.append(row)
            is_right.append(answers[tile] == said)
    if not rows:
        raise ActionError("nothing of the audit is judged yet.")
    return audit, _Judged(np.array(rows, np.int64), np.array(is_right, bool))


def _borne_out(
    trained: Trained, rows: np.ndarray, *, judged: _Judged, sure: np.ndarray, limit: float
) -> dict[str, Any]:
    """Give the figures of each class, and what the audit alone says of these labels."""
    above = sure[judged.rows] >= limit
    sets = (rows, judged.rows[above], judged.rows[above & judged.is_right])
    size, n, right = (np.bincount(trained.codes[some], minlength=len(trained.words)) for some in sets)
    seen = unseen_precision(right, n, n_unseen=size)
    value = None if np.isnan(seen.value) else round(seen.value, 4)
    classes = [
        {"word": word, "n": int(k), "n_judged": int(m), "right": int(r)}
        for word, k, m, r in zip(trained.words, size, n, right, strict=True)
    ]
    return {
        "classes": classes,
        "seen": {"value": value, "low": round(seen.low, 4), "high": round(seen.high, 4), "n": seen.n},
    }
