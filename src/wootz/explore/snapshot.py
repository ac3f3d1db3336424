"""A copy of the explorer to look at: one HTML file with map, cards, labels and pictures, and no server."""

import base64
import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from wootz import storage
from wootz.errors import WootzError
from wootz.explore.consensus import CONSENSUS
from wootz.explore.desk import Desk
from wootz.explore.export import voice
from wootz.explore.frozentable import Table, frozen_table
from wootz.explore.onefile import one_file
from wootz.explore.points import column, pack
from wootz.progress import track

N_TILES_MAX = 200_000
N_PICTURES_MAX = 5_000
N_FIELDS_MAX = 300
SHEET = 64
SIDES_PX = (16, 96)
FIELD_PX = 640
TABLE_SHARE, FIELD_SHARE = 0.5, 0.35
INSTEAD = {"api.js": "frozenapi.js", "thumbs.js": "frozenthumbs.js"}


@dataclass(frozen=True)
class Snapshot:
    """A page that was written."""

    path: Path
    n_bytes: int
    note: str

    def summary(self) -> str:
        """Say how large it is and what was left out."""
        return f"wrote {self.path} ({self.n_bytes / 1e6:.1f} MB). {self.note}"


def save_snapshot(desk: Desk, path: Path, *, expert: str = "", page_mb: float = 20.0) -> Snapshot:
    """Write a page that shows the archive as it is now, for people without wootz.

    Parameters
    ----------
    desk : Desk
    path : Path
    expert : str
        Whose labels, or "consensus"; by default the only person's, or the consensus of several.
    page_mb : float, > 0
        Size that the file does not exceed. Pictures of tiles on cards come first, then such from all
        clusters in turn; pictures of whole fields take at most a third of the room.

    Raises
    ------
    WootzError
        If the file is there, the person has done nothing, or the tables alone are too large.
    """
    if path.exists():
        raise WootzError(f"{path} exists; give another name, or remove it.")
    html, note = snapshot(desk, expert=expert, n_bytes_max=int(page_mb * 1e6))
    storage.write_bytes(path, html)
    return Snapshot(path, len(html), note)


def snapshot(desk: Desk, *, expert: str, n_bytes_max: int) -> tuple[bytes, str]:
    """Make the page: its bytes, and a note on what it shows and what was left out."""
    who = voice(desk.workspace, expert)
    table = frozen_table(desk, who, n_max=N_TILES_MAX, rng=np.random.default_rng(0))
    room = n_bytes_max - len(_assembled([], b"")) - _margin(table)
    columns, dropped = _columns(desk, table, room=int(TABLE_SHARE * room))
    room -= _base64_length(_packed(table, columns, session={}, picture={}))
    fields, numbers = _field_pictures(desk, table, room=int(FIELD_SHARE * room))
    room -= sum(map(len, fields))
    if room < 0:
        raise WootzError(
            f"page_mb={n_bytes_max / 1e6:g} does not hold the map of {len(table.kept)} tiles; give "
            f"page_mb={np.ceil(1 + (n_bytes_max - room) / 1e6):g} or more."
        )
    side, sheets = _tile_pictures(desk, table, room=room)
    n_pictures = min(len(table.order), N_PICTURES_MAX, SHEET * len(sheets))
    note = _note(desk, table, who, n_pictures=n_pictures, n_fields=len(fields), dropped=dropped)
    session = desk.session() | {"n": len(table.kept), "expert": who, "read_only": True, "torn": ""}
    session |= {"hints": [note], "columns": [about["name"] for about, _ in columns]}
    picture = {"side": side, "fields": numbers, "order": table.order[:n_pictures]}
    blocks = [*(("field", text) for text in fields), *(("sheet", text) for text in sheets)]
    return _assembled(blocks, _packed(table, columns, session=session, picture=picture)), note


def _margin(table: Table) -> int:
    """Bytes for what is not counted below: tags, the session, where each picture stands."""
    n_pictures = min(len(table.order), N_PICTURES_MAX)
    n_blocks = min(table.about["n_images"], N_FIELDS_MAX) + n_pictures // SHEET + 1
    return 8_192 + 192 * n_blocks + 6 * n_pictures


def _columns(
    desk: Desk, table: Table, *, room: int
) -> tuple[list[tuple[dict[str, Any], np.ndarray]], list[str]]:
    """Take the columns that fit beside what the page needs anyway; the outlier score comes first."""
    session = desk.session()
    names = sorted(session["columns"], key=lambda name: name != f"outlier_{session['clustering']}")
    room -= _base64_length(_packed(table, [], session={}, picture={}))
    taken, dropped = [], []
    for name in names:
        about, values = column(desk.workspace.tiles, name)
        size = _base64_length(_zipped(pack(about, {"values": values[table.kept]})))
        if size > room:
            dropped.append(name)
            continue
        room -= size
        taken.append((about, values[table.kept]))
    return taken, dropped


def _field_pictures(desk: Desk, table: Table, *, room: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Draw whole fields, those of the first tiles first; for each, its image and the scale of its picture."""
    images, first = np.unique(table.image[table.order], return_index=True)
    wanted = images[np.argsort(first)][:N_FIELDS_MAX]
    row_of = {int(image): int(table.order[i]) for image, i in zip(images, first, strict=True)}
    texts, about = [], []
    for image in track(wanted.tolist(), title="snapshot: fields"):
        row = row_of[image]
        picture, facts = desk.pictures.context(int(table.kept[row]), factor=0, longest_px=FIELD_PX)
        text = base64.b64encode(picture).decode()
        room -= len(text)
        if room < 0:
            break
        texts.append(text)
        about.append(
            {"image": image, "step": float(table.arrays["width"][row]) / facts["box"][2]}
            | {name: facts[name] for name in ("width", "height", "bar_px", "bar_label")}
        )
    return texts, about


def _tile_pictures(desk: Desk, table: Table, *, room: int) -> tuple[int, list[str]]:
    """Draw sheets of 64 tiles, in the table's order, as many as there is room for."""
    longest = int(max(table.arrays["width"].max(), table.arrays["height"].max()))
    side = min(max(longest, SIDES_PX[0]), SIDES_PX[1])
    rows = table.kept[table.order[:N_PICTURES_MAX]]
    texts = []
    for start in track(range(0, len(rows), SHEET), title="snapshot: tiles", unit="sheets"):
        sheet = desk.pictures.sprite(rows[start : start + SHEET].tolist(), side_px=side)
        text = base64.b64encode(sheet).decode()
        room -= len(text)
        if room < 0:
            break
        texts.append(text)
    return side, texts


def _packed(
    table: Table, columns: Sequence[tuple[dict[str, Any], np.ndarray]], *, session: dict, picture: dict
) -> bytes:
    """Pack all but the pictures, compressed."""
    about = table.about | {"session": session, "columns": [found for found, _ in columns]}
    about |= {"side": picture.get("side", 0), "fields": picture.get("fields", [])}
    arrays = table.arrays | {f"column:{found['name']}": values for found, values in columns}
    place = np.full(len(table.kept), -1, np.int32)
    place[picture.get("order", [])] = np.arange(len(picture.get("order", [])))
    return _zipped(pack(about, arrays | {"picture": place}))


def _assembled(blocks: Iterable[tuple[str, str]], packed: bytes) -> bytes:
    folder = files("wootz.explore") / "page"
    texts = {f.name: f.read_text("utf-8").replace("\r\n", "\n") for f in folder.iterdir() if f.is_file()}
    whole = [("frozen", base64.b64encode(packed).decode()), *blocks]
    return one_file(texts, whole, instead=INSTEAD).encode()


def _note(
    desk: Desk, table: Table, who: str, *, n_pictures: int, n_fields: int, dropped: Sequence[str]
) -> str:
    """Say what the page shows, and what it does not."""
    n, n_kept = desk.workspace.n, len(table.kept)
    labels = {"": "no labels yet", CONSENSUS: "consensus labels"}.get(who, f"labels of {who}")
    parts = [f"A copy to look at, of {datetime.now(UTC):%Y-%m-%d}, with {labels}."]
    if n_kept < n:
        parts.append(f"It holds {n_kept} of {n} tiles, drawn at random.")
    parts.append(
        f"Pictures of {_of(n_pictures, n_kept)} tiles and {_of(n_fields, table.about['n_images'])} fields."
    )
    if dropped:
        parts.append(f"Left out for their size: {', '.join(dropped)}.")
    return " ".join(parts)


def _of(some: int, every: int) -> str:
    return f"all {every}" if some == every else f"{some} of {every}"


def _zipped(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def _base64_length(data: bytes) -> int:
    return -(-len(data) // 3) * 4
