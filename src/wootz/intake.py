"""Fields of view into the archive: one commit per batch, exact duplicates stored once, bad ones set aside."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from wootz import storage
from wootz.errors import ArchiveError
from wootz.fields import SHARD_CAP_BYTES, NewField, PackedField, ShardWriter, first_block
from wootz.manifest import now
from wootz.store import Store, Transaction
from wootz.tables import PIXEL_SIZES, SPLITS, TABLES, conform, records


@dataclass(frozen=True)
class AddedImages:
    """What became of the fields given to `Archive.add_images`.

    Attributes
    ----------
    image_ids : list of str
        One per field, in the order given; ``""`` where the file was set aside.
    set_aside : DataFrame
        Columns file, reason, when.
    """

    image_ids: list[str]
    set_aside: pd.DataFrame


class Intake:
    """One batch on its way in; lives for one transaction."""

    def __init__(self, transaction: Transaction, images: pd.DataFrame) -> None:
        self._transaction = transaction
        self._writers: dict[str, ShardWriter] = {}
        self._known: dict[str, dict[str, Any]] = {row["image_id"]: row for row in records(images)}
        self.rows: list[dict[str, Any]] = []
        self.tags: list[dict[str, str]] = []

    def take(self, field: NewField) -> str:
        """Store the pixels of one field and note its row; returns its image_id."""
        dtype, blocks = first_block(field.pixels)
        writer = self._writer(dtype)
        packed = writer.write(blocks, field.measured)
        twin = self._known.get(packed.image_id)
        if twin is not None:
            writer.take_back(packed)
            place = {name: twin[name] for name in ("shard", "offset")}
        else:
            place = {
                "shard": writer.path.relative_to(self._transaction.store.root).as_posix(),
                "offset": writer.n_pixels - packed.height_px * packed.width_px,
            }
        image_id, is_new = self._name(packed.image_id, file=str(field.row["file"]))
        if is_new:
            row = describe(packed, field.row) | place | {"image_id": image_id}
            if twin is not None:
                row["duplicate_of"] = packed.image_id
            self._known[image_id] = row
            self.rows.append(row)
            tags = storage.json_line(dict(field.tags))
            self.tags.append({"image_id": image_id, "tags_json": tags})
        return image_id

    def flush_shards(self) -> None:
        """Send all open shards to the disk in the background, while the tables are made."""
        for writer in self._writers.values():
            writer.flush()

    def commit_shards(self) -> None:
        """Wait until all open shards are on the disk, and list them in the manifest."""
        for writer in self._writers.values():
            self._commit(writer)
        self._writers.clear()

    def discard(self) -> None:
        """Remove unfinished shards."""
        for writer in self._writers.values():
            writer.discard()

    def _writer(self, dtype: np.dtype) -> ShardWriter:
        writer = self._writers.get(dtype.name)
        if writer is not None and writer.n_pixels * dtype.itemsize >= SHARD_CAP_BYTES:
            writer.flush()
            self._commit(self._writers.pop(dtype.name))
            writer = None
        if writer is None:
            path = self._transaction.new_path("pixels", dtype.name, ".npy")
            writer = self._writers[dtype.name] = ShardWriter(path, dtype)
        return writer

    def _commit(self, writer: ShardWriter) -> None:
        if writer.n_pixels == 0:
            writer.discard()
            return
        record = self._transaction.record(writer.path, writer.commit())
        self._transaction.change()["shards"].append(record)

    def _name(self, image_id: str, *, file: str) -> tuple[str, bool]:
        """Find a free id, or the one under which this very file was stored before."""
        name, n = image_id, 1
        while name in self._known:
            if self._known[name]["file"] == file:
                return name, False
            n += 1
            name = f"{image_id}-{n}"
        return name, True


def add_images(
    store: Store, fields: Iterable[NewField], *, set_aside: Iterable[tuple[str, str]] = ()
) -> AddedImages:
    """Append fields to an archive in one commit (see `Archive.add_images`)."""
    aside = [(str(file), str(reason)) for file, reason in set_aside]
    image_ids: list[str] = []
    with store.transaction() as transaction:
        intake = Intake(transaction, store.table("images"))
        try:
            for field in fields:
                try:
                    image_ids.append(intake.take(field))
                except ArchiveError:
                    raise
                except ValueError as error:  # ReadError, and pixels that are no field
                    aside.append((str(field.row["file"]), str(error)))
                    image_ids.append("")
            intake.flush_shards()
            if intake.rows:
                transaction.append_table("images", check_images(pd.DataFrame(intake.rows)))
                transaction.append_table("tags", pd.DataFrame(intake.tags))
            intake.commit_shards()
        finally:
            intake.discard()
        kept = {row["file"] for row in intake.rows}
        frame = note_set_aside(transaction, aside, forget=kept)
    return AddedImages(image_ids, frame)


def note_set_aside(
    transaction: Transaction, files: list[tuple[str, str]], *, forget: set[str]
) -> pd.DataFrame:
    """Write (file, reason) pairs to the set-aside table; `forget` names files that are good after all.

    A file that is noted with the same reason keeps its row: reading it again in vain changes nothing.
    """
    new = conform("set_aside", pd.DataFrame(files, columns=["file", "reason"]).assign(when=now()))
    old = transaction.store.table("set_aside")
    noted = set(zip(old["file"], old["reason"], strict=True))
    fresh = np.array([pair not in noted for pair in files], bool)
    stays = ~old["file"].isin(forget | set(new.loc[fresh, "file"]))
    if fresh.any() or not stays.all():
        transaction.replace_table("set_aside", pd.concat([old[stays], new[fresh]], ignore_index=True))
    return new


def replace_rows(store: Store, table: str, frame: pd.DataFrame, *, same: list[str]) -> None:
    """Store rows in place of those that agree with them in the columns `same`.

    Raises
    ------
    ArchiveError
        If a row names an image that is not in the archive, or a value does not fit its column.
    """
    frame = conform(table, frame)
    with store.transaction() as transaction:
        known = set(store.table("images")["image_id"]) | {""}
        strangers = frame.loc[~frame["image_id"].isin(known), "image_id"]
        if len(strangers):
            raise ArchiveError(f"{table}: image {strangers.iloc[0]!r} is not in {store.root}.")
        old = store.table(table)
        stale = pd.MultiIndex.from_frame(old[same]).isin(pd.MultiIndex.from_frame(frame[same]))
        if stale.any():
            transaction.replace_table(table, pd.concat([old[~stale], frame], ignore_index=True))
        else:
            transaction.append_table(table, frame)


def describe(packed: PackedField, given: Mapping[str, Any]) -> dict[str, Any]:
    """Join what the reader knew about a field with what its pixels say."""
    facts = {
        "intensity_low": packed.intensity_low,
        "intensity_high": packed.intensity_high,
        "bit_depth": 8 * packed.dtype.itemsize,
    }
    known = {name: value for name, value in given.items() if not (name in facts and value is None)}
    return (
        facts
        | known
        | {"height_px": packed.height_px, "width_px": packed.width_px, "pixels_xxh3_128": packed.checksum}
    )


def check_images(frame: pd.DataFrame) -> pd.DataFrame:
    """Give rows of the images table their types and refuse values that would lie later.

    Raises
    ------
    ArchiveError
        If a pixel size is not positive (unknown is NaN), a split has another name, or low >= high.
    """
    frame = conform("images", frame)
    for name in PIXEL_SIZES:
        wrong = ~(frame[name].isna() | ((frame[name] > 0) & np.isfinite(frame[name])))
        if wrong.any():
            bad = frame[wrong].iloc[0]
            raise ArchiveError(
                f"{name} of {bad['file']} is {bad[name]}; a pixel size is positive, or missing where unknown."
            )
    strange = ~frame["split"].isin(SPLITS)
    if strange.any():
        bad = frame[strange].iloc[0]
        raise ArchiveError(f"split of {bad['file']} is {bad['split']!r}; use train, val, test or nothing.")
    if not (frame["intensity_high"] > frame["intensity_low"]).all():
        raise ArchiveError("intensity_high must be above intensity_low in every image.")
    return frame


def protected_columns() -> set[str]:
    """Name the columns of the images table that say where pixels lie; nobody sets them afterwards."""
    free = {"duplicate_of", "info_bar_rows", "pixel_size_source", "bit_depth"}
    structural = {"image_id", "file", "shard", "pixels_xxh3_128", *TABLES["images"].whole}
    return structural - free


def load_tags(store: Store, image_id: str) -> dict[str, Any]:
    """Read the raw tags of one image."""
    tags = store.table("tags")
    found = tags.loc[tags["image_id"] == image_id, "tags_json"]
    return json.loads(found.iloc[-1]) if len(found) else {}
