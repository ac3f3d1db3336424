"""What the page asks for, as plain values and arrays; `server` puts them on the wire."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from wootz.explore.actions import NOTED_OPS, ActionError
from wootz.explore.consensus import CONSENSUS, agreement, opinions
from wootz.explore.groups import exemplars, exemplars_of_sample, group_names, rows_by_code, spread
from wootz.explore.history import describe
from wootz.explore.likeness import nearest, proposals, taken_apart
from wootz.explore.notes import page_notes
from wootz.explore.parts import Parts
from wootz.explore.pictures import Pictures
from wootz.explore.points import category_codes, column, column_names, pack
from wootz.explore.secondlook import SecondLook
from wootz.explore.state import CLASS_PREFIX
from wootz.explore.trainer import Trainer
from wootz.explore.workspace import Workspace
from wootz.storage import plain
from wootz.tables import records

N_EXEMPLARS = 8
SEEN_WHOLE, SEEN_EACH = 2_000_000, 20_000
"""Of more tiles than the former, cards show the most typical ones of so many random ones of each group."""
SPREAD = ("specimen", "condition", "step", "instrument", "set")
FOUND_MAX = 5_000
FACTS = (
    *("file", "set", "specimen", "condition", "step", "instrument", "detector", "hv_kv", "wd_mm"),
    *("magnification", "date", "height_px", "width_px"),
)


class Desk:
    """Answers the page's questions about one workspace.

    Parameters
    ----------
    workspace : Workspace
    expert : str
        Name that the page starts with; "" lets it ask.
    """

    def __init__(self, workspace: Workspace, *, expert: str = "") -> None:
        self.workspace = workspace
        self.pictures = Pictures(workspace.tiles)
        self._expert = expert
        frame = workspace.tiles.columns(["tile_id", "image_id", "file", *SPREAD])
        self._images = category_codes(frame["image_id"].astype(str).tolist())[0]
        words = {name: frame[name].fillna("").astype(str).tolist() for name in SPREAD}
        self._spread = {name: category_codes(values) for name, values in words.items()}
        self._names = frame[["tile_id", "file"]].astype(str)
        self._columns = column_names(workspace.tiles)
        self.trainer = Trainer(workspace, images=self._images)
        self.second_look = SecondLook(self.trainer)
        self.parts = Parts(workspace, images=self._images, spread_by=self._spread)
        self._cards: dict[str, list[dict[str, Any]]] = {}

    def session(self) -> dict[str, Any]:
        """Describe the archive: what there is, and what is missing."""
        workspace, clusters = self.workspace, self.workspace.clusters
        workspace.catch_up()
        return {
            "archive": workspace.archive.path.resolve().name,
            "n": workspace.n,
            "clustering": clusters.name,
            "embedding": clusters.embedding,
            "fingerprint": clusters.fingerprint,
            "has_map": clusters.positions is not None,
            "columns": self._columns,
            "hints": list(clusters.hints),
            "expert": self._expert,
            "experts": [name for name in workspace.state.experts if name != CONSENSUS],
            "torn": workspace.torn,
        }

    def points(self) -> bytes:
        """Pack the places on the map: x, y float32, NaN where a tile is on no map."""
        positions = self.workspace.clusters.positions
        if positions is None:
            positions = np.full((self.workspace.n, 2), np.nan, np.float32)
        return pack({"n": self.workspace.n}, {"x": positions[:, 0], "y": positions[:, 1]})

    def column(self, name: str) -> bytes:
        """Pack a column to colour and filter by."""
        if name not in self._columns:
            raise ActionError(f"there is no column {name!r}.")
        about, values = column(self.workspace.tiles, name)
        return pack(about, {"values": values})

    def state(self, expert: str) -> bytes:
        """Pack `state_of` an expert."""
        return pack(*self.state_of(expert))

    def state_of(self, expert: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give what an expert's actions come to: verdict and group of each tile, classes, what undo does."""
        workspace = self.workspace
        workspace.catch_up()
        with workspace.lock:
            state = workspace.state
            codes, keys = workspace.groups(expert)
            verdicts, words = workspace.verdicts(expert)
            undo, redo = (
                state.by_id[target] if target else None
                for target in (state.undo_target(expert), state.redo_target(expert))
            )
            about = {
                "seq": state.seq,
                "groups": keys,
                "group_names": group_names(state, keys),
                "verdicts": words,
                "classes": self._classes(words),
                "experts": [name for name in state.experts if name != CONSENSUS],
                "undo": describe(undo) if undo else "",
                "redo": describe(redo) if redo else "",
                "notes": page_notes(workspace),
            }
        return about, {"group": codes, "verdict": verdicts}

    def cards(self, expert: str) -> list[dict[str, Any]]:
        """Describe each group: typical, borderline and outlying tiles, spread, and what clustering said."""
        codes, keys = self.workspace.groups(expert)
        key = hashlib.sha256(codes.tobytes()).hexdigest() + "\n".join(keys)
        made = self._cards  # replaced, never changed: requests run side by side
        if key not in made:
            made = self._cards = {key: self._make_cards(codes, keys)}
        return made[key]

    def history(self, expert: str, *, n: int) -> list[dict[str, Any]]:
        """List the latest actions of an expert, newest first."""
        with self.workspace.lock:
            mine = [a for a in self.workspace.state.actions if a.actor == expert][-n:]
            return [
                {"id": a.id, "in_effect": a.in_effect}
                | {"text": describe(a), "when": a.record.get("when"), "can_undo": a.op not in NOTED_OPS}
                for a in reversed(mine)
            ]

    def agreement(self) -> dict[str, Any]:
        """Compare what people say, and list what they differ on, with what each says there."""
        workspace = self.workspace
        workspace.catch_up()
        with workspace.lock:
            found = opinions(workspace.state, n=workspace.n)
        said = {row: [found.words[code] for code in found.codes[:, row]] for row in found.disputed.tolist()}
        return agreement(found, self._images) | {"said": said}

    def context(self, row: int, *, factor: float) -> bytes:
        """Pack a tile in its field as a JPEG, with what is known of the image."""
        self._check_rows([row])
        picture, about = self.pictures.context(row, factor=factor)
        (facts,) = self.facts([row], ["tile_id", "row", "col", *FACTS])
        return pack(about | {"facts": facts}, {"jpeg": np.frombuffer(picture, np.uint8)})

    def facts(self, rows: Sequence[int], names: Sequence[str] = FACTS) -> list[dict[str, Any]]:
        """List what is known of some tiles, or of their images; what is unknown is left out."""
        found = records(self.workspace.tiles.columns(names).iloc[list(rows)])
        return [{k: v for k, v in plain(each).items() if v not in (None, "")} for each in found]

    def find(self, text: str) -> list[int]:
        """Find tiles whose id or file name holds a text; the case does not matter."""
        wanted = text.strip().lower()
        if not wanted:
            return []
        hit = np.zeros(self.workspace.n, bool)
        for name in ("tile_id", "file"):
            hit |= self._names[name].str.lower().str.contains(wanted, regex=False).to_numpy(bool)
        return np.flatnonzero(hit)[:FOUND_MAX].tolist()

    def similar(self, rows: Any, *, n: int) -> dict[str, list]:
        """Find the tiles most like some."""
        found, score = nearest(self._features(), self._check_rows(rows), n=min(n, FOUND_MAX))
        return {"rows": found.tolist(), "scores": [round(float(v), 4) for v in score]}

    def propose(self, expert: str, class_key: str, *, n: int) -> dict[str, list]:
        """Propose unnamed tiles for a class, surest first; what was refused is not proposed again."""
        verdicts, words = self.workspace.verdicts(expert)
        wanted = words.index(CLASS_PREFIX + class_key) if CLASS_PREFIX + class_key in words else -1
        other = [i for i, word in enumerate(words) if word and i != wanted]
        free = verdicts == 0
        refused = self.workspace.state.refused(expert, class_key)
        free[self.workspace.known_rows(refused)] = False
        of_class, others = np.flatnonzero(verdicts == wanted), np.flatnonzero(np.isin(verdicts, other))
        found, score = proposals(self._features(), of_class, others, free=free, n=min(n, FOUND_MAX))
        return {"rows": found.tolist(), "scores": [round(float(v), 4) for v in score]}

    def split(self, rows: Any, *, n_parts: int, seed: int) -> list[list[int]]:
        """Take tiles apart, for a look: nothing is written."""
        parts = taken_apart(self._features(), self._check_rows(rows), n_parts=n_parts, seed=seed)
        return [part.tolist() for part in parts]

    def _classes(self, words: list[str]) -> list[dict[str, Any]]:
        defined = self.workspace.state.classes()
        used = [word.removeprefix(CLASS_PREFIX) for word in words if word.startswith(CLASS_PREFIX)]
        keys = list(dict.fromkeys([*defined, *used]))
        empty = {"definition": "", "colour": "", "examples": []}
        classes = [{"key": key, "name": key} | empty | defined.get(key, {}) for key in keys]
        for found in classes:
            found["examples"] = self.workspace.known_rows(found["examples"])
        return classes

    def _make_cards(self, codes: np.ndarray, keys: list[str]) -> list[dict[str, Any]]:
        clusters = self.workspace.clusters
        groups = rows_by_code(codes)
        options = {"n_each": N_EXEMPLARS, "images": self._images}
        if clusters.features is not None:
            if len(codes) > SEEN_WHOLE:
                shown = exemplars_of_sample(clusters.features, codes, n_seen=SEEN_EACH, **options)
            else:
                shown = exemplars(clusters.features, codes, **options)
        else:
            shown = [
                {"medoid": rows[:: max(1, len(rows) // N_EXEMPLARS)][:N_EXEMPLARS].tolist()}
                for rows in groups
            ]
        where = spread(codes, self._spread, n_shown=5)
        sizes = np.bincount(clusters.numbers[clusters.numbers >= 0]) if len(groups) else []
        cards = []
        for key, rows, tiles, values in zip(keys, groups, shown, where, strict=True):
            card = {"key": key, "n": len(rows), "n_images": len(np.unique(self._images[rows]))}
            card |= {"tiles": tiles, "spread": values, "badges": [], "stability": None, "edited": True}
            if key.isdigit() and int(key) < len(sizes):
                same = len(rows) == sizes[int(key)] and bool((clusters.numbers[rows] == int(key)).all())
                card["edited"] = not same
                known: Mapping[str, Any] = clusters.cards.get(int(key), {}) if same else {}
                card |= {"badges": known.get("badges", []), "stability": known.get("stability")}
            cards.append(card)
        return cards

    def _features(self) -> np.ndarray:
        if self.workspace.clusters.features is None:
            path = self.workspace.archive.path
            raise ActionError(f"this needs an embedding of all tiles; make it with `wootz embed {path}`.")
        return self.workspace.clusters.features

    def _check_rows(self, rows: Any) -> np.ndarray:
        self.workspace.ids_of(rows)
        if not len(rows):
            raise ActionError("choose at least one tile.")
        return np.array(pd.unique(np.array(rows)), np.int64)
