"""Reading packed fields: shards mapped once, each field checked against its XXH3-128 at its first use."""

import mmap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from wootz import storage
from wootz.errors import ArchiveError
from wootz.fields import check_field, open_shard, read_field
from wootz.store import Store
from wootz.tables import conform, empty


class PixelReader:
    """The packed fields of one archive, read-only."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shards: dict[str, np.ndarray] = {}
        self._checked: set[tuple[str, int]] = set()

    def field(self, row: Mapping[str, Any]) -> np.ndarray:
        """View the field of a row of the images table: (H, W) uint8 or uint16, read-only, not copied.

        Raises
        ------
        ArchiveError
            If its bytes are not those that were stored; they are hashed once per process.
        """
        file = row["shard"]
        shard = self._shard(file)
        end = int(row["offset"]) + int(row["height_px"]) * int(row["width_px"])
        if end > len(shard):
            raise ArchiveError(storage.damaged(self._store.root / file, "it is cut off, or gone"))
        pixels = read_field(shard, row)
        place = (file, int(row["offset"]))
        if place not in self._checked:
            announce(shard, int(row["offset"]), end)
            check_field(pixels, row["pixels_xxh3_128"], name=row["file"], path=self._store.root / file)
            self._checked.add(place)
        return pixels

    def trust(self, images: pd.DataFrame) -> None:
        """Skip the check of fields that this process has just written, hashed on their way to the disk."""
        self._checked.update(zip(images["shard"], images["offset"].astype(int), strict=True))

    def present(self, images: pd.DataFrame) -> np.ndarray:
        """Tell which images have all of their pixels on disk, by the length of the shards: (N,) bool."""
        there = {file: len(self._shard(file)) for file in images["shard"].unique()}
        ends = (images["offset"] + images["height_px"] * images["width_px"]).to_numpy()
        return ends <= np.array([there[file] for file in images["shard"]], np.int64)

    def part_sound(self, images: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Part the images whose pixels are there from set-aside rows for the others: (images, set_aside)."""
        present = self.present(images)
        if present.all():
            return images, empty("set_aside")
        lost = images[~present]
        reasons = "its pixels in " + lost["shard"] + " are cut off or gone"
        aside = pd.DataFrame({"file": lost["file"], "reason": reasons, "when": ""})
        return images[present].reset_index(drop=True), conform("set_aside", aside)

    def dtype(self, file: str) -> np.dtype:
        """Give the dtype of a shard."""
        return self._shard(file).dtype

    def _shard(self, file: str) -> np.ndarray:
        if file not in self._shards:
            records = {record["file"]: record for record in self._store.manifest["shards"]}
            if file not in records:
                raise ArchiveError(storage.damaged(self._store.root / file, "the manifest does not list it"))
            self._shards[file] = open_shard(self._store.root / file, records[file])
        return self._shards[file]


def announce(shard: np.ndarray, start: int, end: int) -> None:
    """Ask the system to read items `start` to `end` of a mapped shard at once, and no more.

    Left alone it reads around each page that it misses, up to its read-ahead (8 MB on some machines): two to
    three times as much as a field of 5 MB.
    """
    mapped = getattr(shard, "_mmap", None)
    if mapped is None or not hasattr(mmap, "MADV_WILLNEED"):
        return
    first, last = (storage.NPY_HEADER_BYTES + item * shard.itemsize for item in (start, end))
    first -= first % mmap.PAGESIZE
    mapped.madvise(mmap.MADV_WILLNEED, first, last - first)
