"""An archive as the explorer holds it: its tiles, its clusters, and the log that every action goes into."""

import json
import secrets
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from wootz import __version__, oplog
from wootz.errors import ArchiveError
from wootz.explore.actions import ADOPT, GROUP_OPS, HISTORY_OPS, KEY_MAX, NOTED_OPS, ActionError, check_record
from wootz.explore.clusters import Clusters
from wootz.explore.consensus import CONSENSUS, opinions
from wootz.explore.groups import group_codes
from wootz.explore.state import State
from wootz.storage import plain

HOW_MAX = 20_000
KEPT = (
    *("op", "actor", "session", "class", "name", "definition", "colour"),
    *("into", "about", "text", "of", "how", "by"),
    *("head", "counts", "least", "seed", "said", "sizes"),
)


class Workspace:
    """Tiles, clusters and the state of the labels, kept in step with the log on the disk.

    Several processes may work on one archive: each reads what the others appended before it appends.

    Parameters
    ----------
    tiles : TileSet
    clusters : Clusters
        Row-aligned with the tiles.
    """

    def __init__(self, tiles: Any, clusters: Clusters) -> None:
        self.tiles = tiles
        self.archive = tiles.archive
        self.clusters = clusters
        self.n = len(tiles)
        self.lock = threading.RLock()
        self.torn = ""
        self._offset = 0
        self.state = State(tiles.tile_ids)
        self.catch_up()

    @property
    def basis(self) -> dict[str, str]:
        """What groups refer to, as it stands in each record."""
        return {"clustering": self.clusters.name, "fingerprint": self.clusters.fingerprint}

    def catch_up(self) -> int:
        """Take in what was appended since; returns the number of records in the log."""
        with self.lock:
            path = self.archive.path / oplog.LOG
            size = path.stat().st_size if path.exists() else 0
            if size < self._offset:
                raise ArchiveError(
                    f"{path} is shorter than it was; restore it from a backup and start the explorer again."
                )
            if size > self._offset:
                records, self._offset = oplog.read(self.archive.path, self._offset, n_before=self.state.seq)
                for record in records:
                    self.state.apply(record)
            return self.state.seq

    def set_torn_line_aside(self) -> None:
        """Look whether an earlier process was killed while writing; remember what to tell the user."""
        with oplog.writing(self.archive.path) as log:
            self._note_torn(log)

    def act(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Add an action to the log.

        Parameters
        ----------
        request : mapping
            As `wootz.explore.actions` has it, with ``rows`` (numbers of tiles) in place of ``tiles``. The
            same ``id`` again is the same action, and not written twice. Undo and redo without ``target``
            mean the last action.

        Returns
        -------
        dict
            ``seq``, ``id``, ``op``, ``n`` (tiles concerned), once the record is on the disk.

        Raises
        ------
        ActionError
            If it cannot be done.
        ArchiveError
            If it cannot be written; the state is then as before.
        """
        with self.lock, oplog.writing(self.archive.path) as log:
            self._note_torn(log)
            self.catch_up()
            wanted = request.get("id")
            if isinstance(wanted, str) and wanted in self.state.seq_of_id:
                return {"seq": self.state.seq_of_id[wanted], "id": wanted, "op": request.get("op"), "n": 0}
            record = self.record(request)
            check_record(record)
            log.append(record)
            self.catch_up()
        n = len(record.get("tiles", ())) + sum(len(p["tiles"]) for p in record.get("parts", ()))
        return {"seq": self.state.seq_of_id[record["id"]], "id": record["id"], "op": record["op"], "n": n}

    def record(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Write a request as the record that goes into the log."""
        op = request.get("op")
        _check_names(request)
        name = request.get("id") or secrets.token_hex(8)
        record = {"id": name} | {key: request[key] for key in KEPT if request.get(key) is not None}
        record |= {"wootz": __version__, "basis": self.basis}
        if "rows" in request:
            record["tiles"] = self.ids_of(request["rows"])
        if op == "note" and record.get("tiles") and "about" not in record:
            record["about"] = {"tile": record["tiles"][0]}
        if request.get("examples"):
            record["examples"] = self.ids_of(request["examples"])
        if len(json.dumps(plain(record.get("how")))) > HOW_MAX:
            raise ActionError(f"'how' may hold {HOW_MAX} characters.")
        if op == "split":
            parts = request.get("parts")
            if not isinstance(parts, list) or not all(isinstance(rows, list) for rows in parts):
                raise ActionError("a split needs its parts, as lists of rows.")
            record["parts"] = [
                {"group": f"{name}.{i}", "tiles": self.ids_of(rows)} for i, rows in enumerate(parts)
            ]
        if op == ADOPT:
            record["parts"] = [
                {"verdict": part["verdict"], "tiles": self.ids_of(part["rows"])} for part in request["parts"]
            ]
        if op in GROUP_OPS and not self.clusters.name:
            raise ActionError("there are no clusters to change; make them with `wootz cluster`.")
        if op in HISTORY_OPS:
            record["target"] = self._target(str(op), str(request.get("actor")), request.get("target"))
        return record

    def ids_of(self, rows: Any) -> list[str]:
        """Name the tiles of some rows."""
        array = np.array(rows)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ActionError("rows must be a list of whole numbers.")
        if array.size and (array.min() < 0 or array.max() >= self.n):
            raise ActionError(f"a row is outside of 0 ... {self.n - 1}.")
        return [self.state.ids[row] for row in dict.fromkeys(array.tolist())]

    def known_rows(self, ids: Iterable[str]) -> list[int]:
        """Give the rows of those ids that are tiles of the archive."""
        rows = (self.state.row_of(name) for name in ids)
        return [row for row in rows if row is not None and row < self.n]

    def groups(self, actor: str) -> tuple[np.ndarray, list[str]]:
        """Give the group of each tile as edited: (N,) int32 into a list of keys, -1 for none."""
        with self.lock:
            return group_codes(self.state, actor, self.clusters.fingerprint, numbers=self.clusters.numbers)

    def verdicts(self, actor: str) -> tuple[np.ndarray, list[str]]:
        """Give the verdict of each tile: (N,) int32 into a list of words, 0 for none.

        Those of the "consensus" are what all who judged a tile say, and what was settled.
        """
        with self.lock:
            if actor == CONSENSUS:
                found = opinions(self.state, n=self.n)
                return found.verdicts(), found.words
            expert = self.state.experts.get(actor)
            if expert is None:
                return np.zeros(self.n, np.int32), [""]
            return expert.verdicts.codes(self.n).copy(), list(expert.verdicts.values)

    def written(self, actor: str) -> np.ndarray:
        """Give the number of the action that each tile has its verdict by: (N,) int64, 0 for none."""
        with self.lock:
            expert = self.state.experts.get(actor)
            return np.zeros(self.n, np.int64) if expert is None else expert.verdicts.written(self.n).copy()

    def _target(self, op: str, actor: str, target: Any) -> str:
        if target is None:
            found = self.state.undo_target(actor) if op == "undo" else self.state.redo_target(actor)
            if found is None:
                raise ActionError(f"there is nothing to {op}.")
            return found
        action = self.state.by_id.get(str(target))
        if action is None:
            raise ActionError(f"there is no action {target!r}.")
        if action.actor != actor:
            raise ActionError(f"that is an action of {action.actor}; only {action.actor} can {op} it.")
        if action.op in NOTED_OPS:
            raise ActionError(f"there is nothing to {op}: that action set nothing.")
        if action.in_effect == (op == "redo"):
            raise ActionError(f"that action is {'in effect' if op == 'redo' else 'undone'} already.")
        return action.id

    def _note_torn(self, log: oplog.LogWriter) -> None:
        if log.torn is not None:
            self.torn = (
                f"An action that was being written when the program was killed was never acknowledged; it is "
                f"set aside in log/{log.torn.name}. All earlier actions are intact."
            )


def _check_names(request: Mapping[str, Any]) -> None:
    """Keep the name of the common answer free: nobody acts under it without saying who it is that settles."""
    actor, by = (str(request.get(key) or "").strip() for key in ("actor", "by"))
    if actor.casefold() == CONSENSUS and (actor != CONSENSUS or not by):
        raise ActionError(f"{actor!r} is the name of the common answer; take another name for yourself.")
    if by and (actor != CONSENSUS or by.casefold() == CONSENSUS or len(by) > KEY_MAX or not by.isprintable()):
        raise ActionError(f"'by' says who settles a difference: a name of 1 to {KEY_MAX} characters.")
