"""Labels as a table that other tools read."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from wootz.explore.actions import ActionError
from wootz.explore.consensus import CONSENSUS
from wootz.explore.labelcolumns import label_columns, voices
from wootz.explore.notes import notes_by_tile, notes_frame
from wootz.explore.state import CLASS_PREFIX
from wootz.explore.workspace import Workspace

WHERE = ("tile_id", "image_id", "file", "row", "col", "height", "width")


def labels_frame(workspace: Workspace, *, expert: str | None = None) -> pd.DataFrame:
    """List every verdict in effect.

    Parameters
    ----------
    workspace : Workspace
    expert : str, optional
        Only of this person, or of the "consensus"; by default of all, and their consensus where there are
        two people or more.

    Returns
    -------
    DataFrame
        ``tile_id, image_id, file, row, col, height, width`` (px), ``expert``, ``verdict`` (class, artefact or
        between), ``class`` (key), ``class_name``, ``seen`` (False where a head's label was accepted unseen;
        of the consensus: where nobody looked), ``seq`` and ``when`` of the last action that
        said so, and ``note``, see `wootz.explore.notes.notes_by_tile`.
    """
    workspace.catch_up()
    with workspace.lock:
        state = workspace.state
        classes = {key: about["name"] for key, about in state.classes().items()}
        when = {action.seq: action.record.get("when", "") for action in state.actions}
        parts = []
        for name in speakers(workspace) if expert is None else [expert]:
            codes, words = workspace.verdicts(name)
            rows = np.flatnonzero(codes)
            if not len(rows):
                continue
            said = [words[code] for code in codes[rows].tolist()]
            keys = [word.removeprefix(CLASS_PREFIX) if word.startswith(CLASS_PREFIX) else "" for word in said]
            sources = state.experts if name == CONSENSUS else [name]
            each = np.stack([state.experts[source].verdicts.written(workspace.n)[rows] for source in sources])
            written = each.max(axis=0).tolist()
            about: dict[str, Any] = {
                "expert": name,
                "verdict": ["class" if key else word for key, word in zip(keys, said, strict=True)],
                "class": keys,
                "class_name": [classes.get(key, key) for key in keys],
                "seen": ((each > 0) & ~np.isin(each, state.unseen)).any(axis=0),
                "seq": written,
                "when": [when[seq] for seq in written],
            }
            notes = notes_by_tile(state, name)
            about["note"] = [notes.get(state.ids[row], "") for row in rows.tolist()]
            where = workspace.tiles.columns(WHERE).iloc[rows].reset_index(drop=True)
            parts.append(where.assign(**about))
    names = [*WHERE, "expert", "verdict", "class", "class_name", "seen", "seq", "when", "note"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def store_labels(workspace: Workspace) -> list[str]:
    """Write each person's labels into the tiles table, for ``wootz cluster method=seeded`` and other methods.

    Column ``label_<person>``, and ``label_consensus`` where there are two people or more: name of the class,
    "artefact", or "" where there is no verdict or it is "in between". Written anew from the log each time.

    Returns
    -------
    list of str
        The columns.
    """
    workspace.catch_up()
    archive = workspace.archive
    with workspace.lock:
        columns = label_columns(workspace.state, n=workspace.n, known=archive.tile_table.columns)
    with archive.transaction():
        for column, values in columns.items():
            archive.set_tile_column(column, workspace.tiles.tile_ids, values)
    return list(columns)


def speakers(workspace: Workspace) -> list[str]:
    """Name all who have acted, and the consensus where two people or more have judged tiles."""
    with workspace.lock:
        return voices(workspace.state, n=workspace.n)


def voice(workspace: Workspace, wanted: str = "") -> str:
    """Say whose labels are meant: the wanted person's, else the consensus of several, else the only one's.

    Returns
    -------
    str
        "" where nobody has acted and nobody is wanted.

    Raises
    ------
    ActionError
        If the wanted person has done nothing here.
    """
    known = speakers(workspace)
    if wanted and wanted not in known:
        raise ActionError(
            f"expert={wanted!r} has labelled nothing here; there are: {', '.join(known) or 'none'}."
        )
    return wanted or (CONSENSUS if CONSENSUS in known else known[0] if known else "")


def labels_csv(workspace: Workspace, *, expert: str | None = None) -> bytes:
    """Write `labels_frame` as CSV, UTF-8.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    return _csv(
        labels_frame(workspace, expert=expert), words=("file", "expert", "class", "class_name", "note")
    )


def notes_csv(workspace: Workspace, *, expert: str | None = None) -> bytes:
    """Write `wootz.explore.notes.notes_frame` as CSV, as `labels_csv` does."""
    frame = notes_frame(workspace, expert=expert)
    return _csv(frame, words=("expert", "name", "clustering", "file", "text"))


def _csv(frame: pd.DataFrame, *, words: Sequence[str]) -> bytes:
    for name in words:
        risky = frame[name].astype(str).str.match(r"^[=+\-@\t\r]")
        frame[name] = frame[name].where(~risky, "'" + frame[name].astype(str))
    return frame.to_csv(index=False).encode()
