"""Facts about stored images that a later call states anew: a corrected table, another pattern, new times."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wootz.archive import Archive
from wootz.ingest.config import IngestConfig
from wootz.ingest.plan import Entry
from wootz.ingest.reading import PIXEL_SIZES, check_pixel_size, given_pixel_size
from wootz.tables import as_text, records


def rows_by_file(archive: Archive) -> dict[str, dict[str, Any]]:
    """Give the row of each file in the images table; of one that changed and was stored again, the last."""
    return {row["file"]: row for row in records(archive.image_table())}


def note_times(archive: Archive, entries: Mapping[str, Entry]) -> None:
    """Renew size and time of files that were read again and turned out to hold the pixels that are stored."""
    table = archive.image_table()
    ids = table["image_id"].tolist()
    for name, attribute in (("file_bytes", "size_bytes"), ("file_mtime_ns", "mtime_ns")):
        stored = dict(zip(ids, table[name].tolist(), strict=True))
        now = {i: getattr(entry, attribute) for i, entry in entries.items() if i}
        stale = {i: value for i, value in now.items() if stored[i] != value}
        if stale:
            archive.set_image_column(name, list(stale), list(stale.values()))


def update_facts(archive: Archive, entries: Sequence[Entry], cfg: IngestConfig) -> None:
    """Bring the columns of stored images up to what pattern, table and split lists say now.

    Raises
    ------
    WootzError
        If the table contradicts a stored pixel size that came from the file (see `read_entry`).
    """
    rows = rows_by_file(archive)
    changes: dict[str, dict[str, Any]] = {}
    for entry in entries:
        row = rows.get(entry.file)
        if row is None:
            continue
        for name, value in _stated(entry, row, cfg).items():
            if not _same(row.get(name), value):
                changes.setdefault(name, {})[row["image_id"]] = value
    if changes:
        with archive.transaction():
            for name, values in changes.items():
                archive.set_image_column(name, list(values), list(values.values()))


def _stated(entry: Entry, row: Mapping[str, Any], cfg: IngestConfig) -> dict[str, Any]:
    stated = {name: value for name, value in entry.columns.items() if name not in PIXEL_SIZES}
    given = given_pixel_size(entry)
    if given is None:
        return stated
    stored = (float(row["pixel_size_row_nm"]), float(row["pixel_size_col_nm"]))
    if row["pixel_size_source"] not in ("", "user") and not cfg.trust_table:
        check_pixel_size(entry, given, found=stored, source=row["pixel_size_source"])
    rows, cols = given
    return stated | {"pixel_size_row_nm": rows, "pixel_size_col_nm": cols, "pixel_size_source": "user"}


def _same(stored: Any, stated: Any) -> bool:
    if isinstance(stored, int | float | np.number) and isinstance(stated, int | float | np.number):
        return bool(stored == stated)
    return stored is not None and as_text(stored) == as_text(stated)
