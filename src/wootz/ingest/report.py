"""What an ingest did, in numbers and in a few lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from wootz.archive import Archive
from wootz.ingest.config import IngestConfig
from wootz.ingest.labelling import Labelled
from wootz.ingest.plan import Plan

MAX_SHOWN = 5


@dataclass(frozen=True)
class Work:
    """What one call did: files that were read, those among them that had changed, and what came of them."""

    new: set[str]
    n_added: int
    changed: list[str] = field(default_factory=list)
    aside: Sequence[tuple[str, str]] = ()
    labelled: Labelled = field(default_factory=Labelled)


@dataclass(frozen=True)
class IngestReport:
    """Outcome of one `ingest` call.

    Attributes
    ----------
    archive : str
        Folder of the archive.
    n_files, n_added, n_known : int
        Files found; taken in by this call; stored before (same path, size and time, or same pixels).
    set_aside : tuple of (file, reason)
        Files that were not taken in.
    n_exact_duplicates, n_near_duplicates : int
        Images of the archive that are copies of another file of it, byte by byte or by their looks.
    n_masks, n_objects : int
        Masks stored or renewed by this call, and objects drawn as regions.
    n_without_mask : int
        Files of this call for which no mask was found although masks were asked for.
    n_tiles, n_uninformative_tiles : int
        Tiles of the archive, and those that show nothing.
    without_tiles : tuple of str
        Files smaller than a tile.
    n_scale_unknown : int
        Images of the archive without a pixel size.
    remarks : tuple of str
        Rows and files that did not come together, changed files, folders passed over.
    n_bytes : int
        Size of the files that were read.
    seconds : float
    """

    archive: str
    n_files: int
    n_added: int
    n_known: int
    set_aside: tuple[tuple[str, str], ...]
    n_exact_duplicates: int
    n_near_duplicates: int
    n_masks: int
    n_objects: int
    n_without_mask: int
    n_tiles: int
    n_uninformative_tiles: int
    tile_px: int
    without_tiles: tuple[str, ...]
    n_scale_unknown: int
    remarks: tuple[str, ...]
    n_bytes: int
    seconds: float

    def summary(self) -> str:
        """Describe the outcome for the terminal."""
        rate = f", {self.n_bytes / 1e6 / self.seconds:.0f} MB/s" if self.n_added and self.seconds > 0 else ""
        counts = f"{self.n_files} files, {self.n_added} taken in, {self.n_known} were there, "
        lines = [
            f"{self.archive}: {counts}{len(self.set_aside)} set aside ({self.seconds:.1f} s{rate})",
            f"{self.n_tiles} tiles of {self.tile_px} px, {self.n_uninformative_tiles} of them show nothing",
        ]
        if self.n_masks or self.n_objects or self.n_without_mask:
            without = f"; {self.n_without_mask} files without a mask" if self.n_without_mask else ""
            lines.append(f"{self.n_masks} masks and {self.n_objects} objects stored{without}")
        if self.n_exact_duplicates or self.n_near_duplicates:
            counts = f"{self.n_exact_duplicates} exact, {self.n_near_duplicates} near"
            lines.append(f"duplicates, flagged and kept: {counts}")
        if self.n_scale_unknown:
            lines.append(
                f"pixel size unknown in {self.n_scale_unknown} images: lengths are reported in px "
                "(metadata= takes a column pixel_size_nm)"
            )
        small = [f"smaller than a tile, kept without tiles: {f} (see tile_px=)" for f in self.without_tiles]
        aside = [f"set aside: {reason}" for _, reason in self.set_aside]
        return "\n".join([*lines, *_some(small), *_some(aside), *self.remarks])


def make_report(
    archive: Archive, plan: Plan, work: Work, *, cfg: IngestConfig, seconds: float
) -> IngestReport:
    """Count what the archive holds after a call, beside what the call did."""
    images = archive.image_table()
    tiles = archive.store.table("tiles")
    n_exact, n_near = _duplicates(images)
    mine = images[images["file"].isin({entry.file for entry in plan.entries})]
    labels = any(entry.has_labels for entry in plan.entries)
    remarks = list(plan.remarks)
    if work.changed:
        names = ", ".join(work.changed[:MAX_SHOWN])
        remarks.append(
            f"changed on disk since they were stored, read again: {names} ({len(work.changed)} files)"
        )
    return IngestReport(
        archive=str(archive.path),
        n_files=len(plan.entries),
        n_added=work.n_added,
        n_known=len(plan.entries) - work.n_added - len(work.aside),
        set_aside=tuple(work.aside),
        n_exact_duplicates=n_exact,
        n_near_duplicates=n_near,
        n_masks=work.labelled.n_masks,
        n_objects=work.labelled.n_objects,
        n_without_mask=sum(not entry.has_labels for entry in plan.entries) if labels else 0,
        n_tiles=len(tiles),
        n_uninformative_tiles=int(tiles["uninformative"].sum()),
        tile_px=cfg.tile_px,
        without_tiles=tuple(mine.loc[~mine["image_id"].isin(tiles["image_id"].unique()), "file"]),
        n_scale_unknown=int(images["pixel_size_row_nm"].isna().sum()),
        remarks=tuple(remarks),
        n_bytes=sum(entry.size_bytes for entry in plan.entries if entry.file in work.new),
        seconds=seconds,
    )


def _duplicates(images: pd.DataFrame) -> tuple[int, int]:
    """Count copies with the same pixels, and those with the same looks."""
    copies = images[images["duplicate_of"] != ""]
    original = images.set_index("image_id")["pixels_xxh3_128"].reindex(copies["duplicate_of"])
    n_exact = int((original.to_numpy() == copies["pixels_xxh3_128"].to_numpy()).sum())
    return n_exact, len(copies) - n_exact


def _some(lines: list[str]) -> list[str]:
    hidden = len(lines) - MAX_SHOWN
    return lines if hidden <= 0 else [*lines[:MAX_SHOWN], f"... and {hidden} more like it"]
