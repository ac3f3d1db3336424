"""Labels as a replay of the operation log: a pure function of its records, and of nothing else.

**What undoing means.** Each action sets values in slots: the verdict on a tile, the group that a tile is in,
the description of a class. A slot holds the value that the last action *in effect* gave it. Undoing an action
takes it out of effect, wherever it stands in the log: the state is then what it would be had the action never
been made, and later actions keep what they set. So, undoing an old naming changes a tile only if nothing
named it since; undoing the later naming brings the older one back. Nothing is ever in conflict, and the order
in which actions are undone does not matter.

Only the actor of an action can undo or redo it. Without a target, *undo* takes the actor's latest action that
is in effect, and *redo* the one undone last, as long as the actor has done nothing else since; any undone
action can be brought back by naming it as target.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wootz.errors import ArchiveError
from wootz.explore.actions import (
    ADOPT,
    GROUP_OPS,
    HISTORY_OPS,
    NOTED_OPS,
    OPS,
    VERDICT_OPS,
    ActionError,
    check_record,
)
from wootz.explore.slots import Slots

ARTEFACT, BETWEEN = "artefact", "between"
CLASS_PREFIX = "class:"


@dataclass
class Action:
    """An action as the history lists it.

    seq : place in the log, from 1.
    in_effect : False while it is undone.
    rows : what it set, as (slot table, rows, value) triples.
    """

    seq: int
    id: str
    op: str
    actor: str
    record: Mapping[str, Any]
    in_effect: bool = True
    rows: list[tuple[Slots, np.ndarray, str]] = field(default_factory=list)


@dataclass
class Expert:
    """What one person has said.

    verdicts : slots "class:KEY", "artefact" or "between"; empty for no verdict.
    groups : by fingerprint of a clustering, slots with the key of a group; empty for "as clustered".
    refused : by class, slots "no" where the tile is not to be proposed.
    """

    verdicts: Slots
    groups: dict[str, Slots] = field(default_factory=dict)
    refused: dict[str, Slots] = field(default_factory=dict)
    redo: list[str] = field(default_factory=list)


class State:
    """The state after some records. `replay` builds it; `apply` takes in further records, in order.

    Parameters
    ----------
    tile_ids : sequence of str
        Ids that get the first rows, in this order; ids that records name beyond them follow.

    Attributes
    ----------
    seq : int
        Number of records taken in.
    actions : list of Action
        All but undo and redo, oldest first.
    experts : dict
        `Expert` by name.
    """

    def __init__(self, tile_ids: Sequence[str] | np.ndarray = ()) -> None:
        self.ids: list[str] = [str(i) for i in tile_ids]
        self._row_of = {name: row for row, name in enumerate(self.ids)}
        self.seq = 0
        self.actions: list[Action] = []
        self.by_id: dict[str, Action] = {}
        self.seq_of_id: dict[str, int] = {}
        self.experts: dict[str, Expert] = {}

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in the next record of the log.

        Raises
        ------
        ArchiveError
            If its op is not known (a newer wootz wrote it, and labels without it would be wrong), or the
            record lacks what its op needs.
        """
        self.seq += 1
        op = record.get("op")
        if op not in OPS:
            raise ArchiveError(
                f"operation {self.seq} of the log is {op!r}, which this wootz does not know; a newer one "
                "wrote it. Update wootz: `pip install -U wootz`."
            )
        try:
            check_record(record)
        except ActionError as error:
            raise ArchiveError(f"operation {self.seq} of the log is damaged: {error}") from error
        name = record["id"]
        if name in self.seq_of_id:  # written twice by a writer that did not get its answer
            return
        self.seq_of_id[name] = self.seq
        expert = self.expert(record["actor"])
        if op in HISTORY_OPS:
            self._turn(record, expert)
            return
        action = Action(self.seq, name, op, record["actor"], record)
        action.rows = self._slots_of(record, expert)
        self.actions.append(action)
        self.by_id[name] = action
        if op not in NOTED_OPS:
            expert.redo.clear()
        for slots, rows, value in action.rows:
            slots.write(action.seq, rows, value)

    def expert(self, name: str) -> Expert:
        """Give what a person has said; a new one has said nothing."""
        if name not in self.experts:
            self.experts[name] = Expert(Slots())
        return self.experts[name]

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """Give the row of each id, (n,) int64; unknown ids get new rows."""
        found = []
        for name in ids:
            row = self._row_of.get(name)
            if row is None:
                row = self._row_of[name] = len(self.ids)
                self.ids.append(name)
            found.append(row)
        return np.array(found, np.int64)

    def row_of(self, tile_id: str) -> int | None:
        """Give the row of an id, None where no record and no table names it."""
        return self._row_of.get(tile_id)

    def undo_target(self, actor: str) -> str | None:
        """Name the action that a plain undo would undo: the actor's latest that is in effect."""
        mine = (a for a in reversed(self.actions) if a.actor == actor and a.op not in NOTED_OPS)
        return next((a.id for a in mine if a.in_effect), None)

    def redo_target(self, actor: str) -> str | None:
        """Name the action that a plain redo would bring back."""
        redo = self.experts[actor].redo if actor in self.experts else []
        return redo[-1] if redo else None

    def verdicts(self, actor: str) -> dict[str, str]:
        """Give the verdict of each tile that has one: tile_id to "class:KEY", "artefact" or "between"."""
        return self._named(self.experts[actor].verdicts) if actor in self.experts else {}

    def groups(self, actor: str, fingerprint: str) -> dict[str, str]:
        """Give the group of each tile that an action moved out of the group of a clustering."""
        slots = self.experts[actor].groups.get(fingerprint) if actor in self.experts else None
        return self._named(slots) if slots is not None else {}

    def refused(self, actor: str, class_key: str) -> set[str]:
        """Give the tiles that are not to be proposed for a class."""
        slots = self.experts[actor].refused.get(class_key) if actor in self.experts else None
        return set(self._named(slots)) if slots is not None else set()

    @property
    def unseen(self) -> list[int]:
        """Numbers of the actions by which labels of a head were accepted unseen."""
        return [action.seq for action in self.actions if action.op == ADOPT]

    def classes(self) -> dict[str, dict[str, Any]]:
        """Give name, definition, colour and examples of each class, in the order of first definition.

        A class that tiles are named as while its definition is undone stays in use under its key.
        """
        found: dict[str, dict[str, Any]] = {}
        for action in self.actions:
            if action.op == "define" and action.in_effect:
                record = action.record
                found.setdefault(record["class"], {}).update(
                    name=record["name"],
                    definition=record.get("definition") or "",
                    colour=record.get("colour") or "",
                    examples=list(record.get("examples") or []),
                )
        return found

    def _turn(self, record: Mapping[str, Any], expert: Expert) -> None:
        """Take an action out of effect, or back; what is not the actor's own, or is so already, stays."""
        action = self.by_id.get(str(record.get("target")))
        wanted = record["op"] == "redo"
        if action is None or action.actor != record["actor"] or action.in_effect == wanted:
            return
        if action.op in NOTED_OPS:
            return
        action.in_effect = wanted
        if wanted:
            expert.redo = [name for name in expert.redo if name != action.id]
        else:
            expert.redo.append(action.id)
        for slots, rows, _ in action.rows:
            slots.rebuild(rows, (r for a in self.actions if a.in_effect for r in _writes(a, slots)))

    def _slots_of(self, record: Mapping[str, Any], expert: Expert) -> list[tuple[Slots, np.ndarray, str]]:
        op = record["op"]
        if op in VERDICT_OPS:
            return [(expert.verdicts, self.rows(record["tiles"]), verdict_of(record))]
        if op == ADOPT:
            parts = record["parts"]
            return [(expert.verdicts, self.rows(part["tiles"]), part["verdict"]) for part in parts]
        if op == "refuse":
            slots = expert.refused.setdefault(record["class"], Slots())
            return [(slots, self.rows(record["tiles"]), "no")]
        if op in GROUP_OPS:
            slots = expert.groups.setdefault(record["basis"]["fingerprint"], Slots())
            if op == "split":
                return [(slots, self.rows(part["tiles"]), part["group"]) for part in record["parts"]]
            return [(slots, self.rows(record["tiles"]), record["into"])]
        return []

    def _named(self, slots: Slots) -> dict[str, str]:
        codes = slots.codes(len(self.ids))
        return {self.ids[row]: slots.values[codes[row]] for row in np.flatnonzero(codes).tolist()}


def replay(records: Iterable[Mapping[str, Any]], *, tile_ids: Sequence[str] | np.ndarray = ()) -> State:
    """Compute the state after all records of a log.

    Parameters
    ----------
    records : iterable of mapping
        In the order of the log; see `wootz.explore.actions`.
    tile_ids : sequence of str
        See `State`.
    """
    state = State(tile_ids)
    for record in records:
        state.apply(record)
    return state


def verdict_of(record: Mapping[str, Any]) -> str:
    """Give the verdict that an action passes on its tiles; "" for none."""
    match record["op"]:
        case "name" | "accept":
            return CLASS_PREFIX + record["class"]
        case "artefact":
            return ARTEFACT
        case "between":
            return BETWEEN
    return ""


def _writes(action: Action, slots: Slots) -> Iterable[tuple[int, np.ndarray, str]]:
    return ((action.seq, rows, value) for table, rows, value in action.rows if table is slots)
