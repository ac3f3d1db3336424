"""Notes that people left on clusters, tiles and classes: for the page, and as a table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from wootz.explore.consensus import CONSENSUS
from wootz.explore.groups import group_names
from wootz.explore.state import Action, State
from wootz.explore.workspace import Workspace

ROWS_SHOWN = 2_000
IDS_LISTED = 500
COLUMNS = (
    *("when", "expert", "about", "name", "clustering", "n_tiles", "n_images", "file", "text", "tile_ids"),
)


def noted(state: State, *, actor: str = "") -> list[Action]:
    """List the notes in effect, oldest first; those of one person, or of all (also for the consensus)."""
    return [
        action
        for action in state.actions
        if action.op == "note" and action.in_effect and actor in ("", CONSENSUS, action.actor)
    ]


def page_notes(workspace: Workspace, *, actor: str = "") -> list[dict[str, Any]]:
    """Describe notes for the page.

    Returns
    -------
    list of dict
        ``id``, ``actor`` (who wrote it), ``voice`` (whose action it is: theirs, or the consensus), ``when``,
        ``text``, ``kind`` ("group", "class" or "tiles"), ``key`` of the group or class, ``n`` tiles, and the
        first 2,000 of their ``rows`` where they are no group's. A note on a group of another clustering is
        one on its tiles: the keys of groups mean nothing there.
    """
    found = []
    for action in noted(workspace.state, actor=actor):
        kind, key = _about(action)
        if kind == "group" and _basis(action).get("fingerprint") != workspace.clusters.fingerprint:
            kind, key = "tiles", ""
        ids = _ids(action)
        rows = workspace.known_rows(ids[:ROWS_SHOWN]) if kind == "tiles" else []
        about = {
            "id": action.id,
            "actor": _writer(action),
            "voice": action.actor,
            "when": action.record.get("when"),
        }
        about |= {"kind": kind, "key": key, "n": len(ids), "rows": rows}
        found.append(about | {"text": action.record["text"]})
    return found


def notes_by_tile(state: State, actor: str) -> dict[str, str]:
    """Give what a person noted on each tile, alone, with others or with its cluster: tile_id to text.

    Several notes are joined by " | "; for the consensus, everybody's, with the name of who wrote it.
    """
    found: dict[str, list[str]] = {}
    for action in noted(state, actor=actor):
        text = action.record["text"]
        if actor == CONSENSUS:
            text = f"{_writer(action)}: {text}"
        for tile_id in _ids(action):
            found.setdefault(tile_id, []).append(text)
    return {tile_id: " | ".join(texts) for tile_id, texts in found.items()}


def notes_frame(workspace: Workspace, *, expert: str | None = None) -> pd.DataFrame:
    """List every note in effect, oldest first.

    Parameters
    ----------
    workspace : Workspace
    expert : str, optional
        Only of this person; by default, and for the consensus, of all.

    Returns
    -------
    DataFrame
        ``when``, ``expert``, ``about`` ("cluster", "tiles" or "class"), ``name`` of the cluster or class,
        ``clustering`` (of a cluster), ``n_tiles``, ``n_images``, ``file`` of the first tile, ``text``, and
        ``tile_ids`` (by spaces; left out for more than 500 tiles: the log has them).
    """
    workspace.catch_up()
    with workspace.lock:
        rows = [_row(workspace, action) for action in noted(workspace.state, actor=expert or "")]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(workspace: Workspace, action: Action) -> dict[str, Any]:
    kind, key = _about(action)
    ids, record = _ids(action), action.record
    where = workspace.tiles.columns(["image_id", "file"]).iloc[workspace.known_rows(ids)]
    name = key
    if kind == "group":
        (name,) = group_names(workspace.state, [key])
    elif kind == "class":
        name = workspace.state.classes().get(key, {}).get("name", key)
    return {
        "when": record.get("when", ""),
        "expert": _writer(action),
        "about": "cluster" if kind == "group" else kind,
        "name": name,
        "clustering": _basis(action).get("clustering", "") if kind == "group" else "",
        "n_tiles": len(ids),
        "n_images": where["image_id"].nunique(),
        "file": str(where["file"].iloc[0]) if len(where) else "",
        "text": record["text"],
        "tile_ids": " ".join(ids) if len(ids) <= IDS_LISTED else "",
    }


def _about(action: Action) -> tuple[str, str]:
    """Give "group", "class" or "tiles", and the key of the former two."""
    ((kind, key),) = action.record["about"].items()
    return ("tiles", "") if kind == "tile" else (kind, key)


def _ids(action: Action) -> list[str]:
    about = action.record["about"]
    return list(action.record.get("tiles") or ([about["tile"]] if "tile" in about else []))


def _basis(action: Action) -> Mapping[str, str]:
    return action.record.get("basis") or {}


def _writer(action: Action) -> str:
    return action.record.get("by") or action.actor
