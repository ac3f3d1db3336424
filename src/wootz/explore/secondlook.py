"""Actions that a head which did not learn from them contradicts: slips, perhaps, to look at again."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from wootz.classheads import fit_class_head
from wootz.errors import WootzError
from wootz.explore.actions import kept_action
from wootz.explore.reviewing import odd_batches
from wootz.explore.state import Action
from wootz.explore.trainer import Trainer, fit_options


@dataclass(frozen=True)
class Look:
    """What heads say of tiles whose action they did not learn from.

    head : id of the head after whose training this was computed.
    words : the verdicts.
    rows, codes : (n,) int64, tiles that were learned from, and the verdict that each had, into `words`.
    batches : (n,) int64, number of the action of each.
    held_out : (n, C) float32, probabilities; NaN where none could judge.
    """

    head: str
    words: tuple[str, ...]
    rows: np.ndarray
    codes: np.ndarray
    batches: np.ndarray
    held_out: np.ndarray


class SecondLook:
    """Second looks of the people at one workspace, one after each training, computed when it is asked for.

    Parameters
    ----------
    trainer : Trainer
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._looks: dict[str, Look] = {}

    def of(self, expert: str) -> dict[str, Any]:
        """List the contradicted actions of a person, the most contradicted first; {} without a head.

        What was renamed, undone or kept since is left out, so that the list follows what the person does.

        Returns
        -------
        dict
            ``head`` and ``actions``: for each its ``id``, the ``word`` it gave, the ``other`` that most of
            its judged tiles are taken for, their ``share`` of ``n_judged``, and ``rows`` that still have
            their verdict by it, with what the heads say of each (``said``, "" where none could judge).
        """
        head = self._trainer.head(expert).get("head")
        if not head:
            return {}
        look = self._looks.get(expert)
        if look is None or look.head != head:
            with self._trainer.busy:
                look = self._looks.get(expert)
                if look is None or look.head != head:
                    look = self._fit(expert, head)
                    self._looks = self._looks | {expert: look}
        workspace = self._trainer.workspace
        with workspace.lock:
            written = workspace.written(expert)
            actions = {action.seq: action for action in workspace.state.actions}
        return {"head": head, "actions": _contradicted(look, written, actions=actions)}

    def _fit(self, expert: str, head: str) -> Look:
        labels, written = self._trainer.taught(expert)
        try:
            fitted = fit_class_head(self._trainer.features, labels, groups=written, **fit_options())
        except WootzError:  # too little is left since the training: nothing contradicts anything
            none = np.zeros(0, np.int64)
            return Look(head, (), none, none, none, np.zeros((0, 1), np.float32))
        names, batches = fitted.head.class_names, written[fitted.rows]
        return Look(head, names, fitted.rows, fitted.codes, batches, fitted.held_out)


def _contradicted(look: Look, written: np.ndarray, *, actions: dict[int, Action]) -> list[dict[str, Any]]:
    """Apply `odd_batches` to what still stands.

    Parameters
    ----------
    look : Look
    written : (N,) int
        Number of the action that each tile has its verdict by now.
    actions : dict
        By number.
    """
    kept = [seq for seq in np.unique(look.batches).tolist() if kept_action(actions[seq].record)]
    held_out = look.held_out.copy()
    held_out[(written[look.rows] != look.batches) | np.isin(look.batches, kept)] = np.nan
    judged = np.isfinite(held_out).all(axis=1)
    found = []
    for seq in odd_batches(held_out, look.codes, look.batches).tolist():
        inside = judged & (look.batches == seq)
        own, taken_for = int(look.codes[inside][0]), held_out[inside].argmax(axis=1)
        counts = np.bincount(taken_for[taken_for != own], minlength=len(look.words))
        other, rows = int(counts.argmax()), np.flatnonzero(written == seq)
        said = dict(zip(look.rows[inside].tolist(), taken_for.tolist(), strict=True))
        about = {"id": actions[seq].id, "when": actions[seq].record.get("when"), "word": look.words[own]}
        about |= {"other": look.words[other], "share": round(float(counts[other] / inside.sum()), 4)}
        about |= {"n_judged": int(inside.sum()), "rows": rows.tolist()}
        about["said"] = [look.words[said[row]] if row in said else "" for row in rows.tolist()]
        found.append(about)
    return found
