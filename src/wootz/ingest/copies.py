"""Watch for copies among images as they arrive."""

from collections.abc import Sequence
from typing import final

from wootz.archive import Archive
from wootz.duplicates import DuplicateFinder, perceptual_hash
from wootz.ingest import panorama
from wootz.tables import records


@final
class CopyWatch:
    """Knows the looks of all originals of an archive, and flags what looks like one of them.

    Parameters
    ----------
    archive : Archive
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._finder = DuplicateFinder(archive.field)
        self._seen: set[str] = set()
        self._learn()

    def flag(self, image_ids: Sequence[str]) -> None:
        """Write ``duplicate_of`` of images that were just stored; those seen before are left alone."""
        table = self._archive.image_table()
        rows = table[table["image_id"].isin(set(image_ids) - self._seen)]
        copies: dict[str, str] = {}
        hashes: dict[str, str] = {}
        for row in records(rows):
            image_id, looks = row["image_id"], row["perceptual_hash"]
            self._seen.add(image_id)
            if row["duplicate_of"]:  # byte by byte, known to the archive
                continue
            if not looks and row["height_px"] * row["width_px"] > panorama.MIN_PIXELS:
                looks = hashes[image_id] = perceptual_hash(self._archive.field(image_id))
            original = self._finder.find(looks, lambda image_id=image_id: self._archive.field(image_id))
            if original:
                copies[image_id] = original
            else:
                self._finder.add(image_id, looks)
        for name, values in (("duplicate_of", copies), ("perceptual_hash", hashes)):
            if values:
                self._archive.set_image_column(name, list(values), list(values.values()))

    def _learn(self) -> None:
        table = self._archive.image_table()
        self._seen.update(table["image_id"])
        if "perceptual_hash" in table:
            originals = table[table["duplicate_of"] == ""]
            for image_id, looks in zip(originals["image_id"], originals["perceptual_hash"], strict=True):
                self._finder.add(image_id, looks)
