"""`ingest`: read, pack, find copies, label, cut the grid of tiles; resumable at any moment."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path

import numpy as np

from wootz.archive import Archive
from wootz.errors import WootzError
from wootz.fields import NewField
from wootz.ingest.config import IngestConfig
from wootz.ingest.copies import CopyWatch
from wootz.ingest.facts import note_times, update_facts
from wootz.ingest.labelling import add_labels
from wootz.ingest.plan import Plan, batches, column_defaults, make_plan
from wootz.ingest.reading import ReadFile, read_fields
from wootz.ingest.report import IngestReport, Work, make_report
from wootz.progress import track
from wootz.readers.sidefiles import SideNames


def ingest(
    archive_path: str | Path, paths: Sequence[str | Path] | str | Path, cfg: IngestConfig | None = None
) -> IngestReport:
    """Take image files and folders into an archive.

    Parameters
    ----------
    archive_path : path
        Folder of the archive; it is made where it does not exist.
    paths : path or sequence of paths
        Files, and folders that are searched to the bottom. Folders of masks are passed over; a folder written
        by `wootz render` brings its masks, classes and metadata along.
    cfg : IngestConfig, optional

    Returns
    -------
    IngestReport

    Raises
    ------
    WootzError
        For a mistake in options, tables or names (before anything is read), a table that contradicts a pixel
        size, or a mask that does not fit its image. Files that cannot be read are no error: they are set
        aside with the reason, and the others are taken in.
    ArchiveError
        Where the disk is full. What was committed stays; the same call goes on from there.

    Notes
    -----
    Stored files are known by path, size and time, and those that changed in time only by their pixels. Each
    batch of fields is committed in one step, so that a call that was killed and is repeated ends with the
    same archive as one that was not.
    """
    started = time.monotonic()
    cfg = cfg or IngestConfig()
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    plan = make_plan([Path(path) for path in listed], cfg)
    archive = Archive.create(archive_path)
    _check_grid(archive, cfg)
    run = archive.start_run(
        "ingest", asdict(cfg), seed=None, inputs={"paths": [str(p) for p in listed]}, resume=True
    )
    try:
        report = _ingest(archive, plan, cfg, started=started)
    except Exception as error:
        with contextlib.suppress(WootzError, OSError):  # a full disk has no room for this note either
            run.fail(f"{type(error).__name__}: {error}")
        raise
    run.finish(asdict(report))
    return report


def _ingest(archive: Archive, plan: Plan, cfg: IngestConfig, *, started: float) -> IngestReport:
    n_before = len(archive.image_table())
    known = _known_files(archive)
    new = {
        entry.file for entry in plan.entries if known.get(entry.file) != (entry.size_bytes, entry.mtime_ns)
    }
    contrasts: dict[str, np.ndarray] = {}
    aside = _add_images(archive, plan, cfg, new=new, contrasts=contrasts)
    update_facts(archive, plan.entries, cfg)
    labelled = add_labels(archive, plan.entries, cfg)
    _write_tiles(archive, cfg, contrasts)
    changed = [entry.path.name for entry in plan.entries if entry.file in new and entry.file in known]
    work = Work(
        new=new,
        changed=changed,
        aside=aside,
        n_added=len(archive.image_table()) - n_before,
        labelled=labelled,
    )
    return make_report(archive, plan, work, cfg=cfg, seconds=time.monotonic() - started)


def _known_files(archive: Archive) -> dict[str, tuple[int, int]]:
    """Give size and time of every stored file; of one that changed and was stored again, the last ones."""
    table = archive.image_table()
    if "file_mtime_ns" not in table:
        return {}
    facts = zip(table["file_bytes"], table["file_mtime_ns"], strict=True)
    return {file: (int(size), int(when)) for file, (size, when) in zip(table["file"], facts, strict=True)}


def _add_images(
    archive: Archive, plan: Plan, cfg: IngestConfig, *, new: set[str], contrasts: dict[str, np.ndarray]
) -> list[tuple[str, str]]:
    """Take in what is new, batch by batch; returns (file, reason) of what was set aside.

    `contrasts` receives the contrast of all tiles of each image.
    """
    aside: list[tuple[str, str]] = []
    defaults = column_defaults(plan.entries)
    copies = CopyWatch(archive) if cfg.near_duplicates else None
    progress = track(range(len(new)), title="ingest", total=len(new), unit="files")
    of_batches = [
        [entry for entry in batch if entry.file in new]
        for batch in batches(plan.entries, n_bytes=cfg.batch_mb * 1_000_000)
    ]
    # one reader for all batches: it goes on while one of them is committed
    entries = list(chain(*of_batches))
    reading = read_fields(entries, cfg, defaults=defaults, side_names=SideNames())
    with contextlib.closing(reading) as files:
        for todo in filter(None, of_batches):
            with archive.transaction():
                of_tiles: list[np.ndarray | None] = []
                of_batch = islice(files, len(todo))
                added = archive.add_images(_fields(of_batch, progress, of_tiles))
                pairs = zip(added.image_ids, of_tiles, strict=True)
                contrasts |= {image_id: found for image_id, found in pairs if image_id and found is not None}
                aside += zip(added.set_aside["file"], added.set_aside["reason"], strict=True)
                if copies is not None:
                    copies.flag(added.image_ids)
                note_times(archive, dict(zip(added.image_ids, todo, strict=True)))
    for _ in progress:
        pass
    return aside


def _fields(
    files: Iterator[ReadFile], progress: Iterator[int], contrasts: list[np.ndarray | None]
) -> Iterator[NewField]:
    for file in files:
        contrasts.append(file.contrasts)
        yield file.field
        next(progress, None)


def _check_grid(archive: Archive, cfg: IngestConfig) -> None:
    """Refuse another grid where results hang on the tiles of the present one."""
    grid = archive.store.manifest["grid"]
    if grid is None or (grid["size_px"], grid["stride_px"]) == (cfg.tile_px, cfg.stride_px):
        return
    if archive.embedding_names():
        raise WootzError(
            f"{archive.path} has embeddings of tiles of {grid['size_px']} px (stride {grid['stride_px']}); "
            f"give tile_px={grid['size_px']} stride_px={grid['stride_px']}, or make a new archive."
        )


def _write_tiles(archive: Archive, cfg: IngestConfig, contrasts: dict[str, np.ndarray]) -> None:
    grid = archive.store.manifest["grid"]
    same = grid is not None and (grid["size_px"], grid["stride_px"]) == (cfg.tile_px, cfg.stride_px)
    images = archive.image_table()
    sides = images[["height_px", "width_px"]].min(axis=1)
    large = set(images.loc[sides >= cfg.tile_px, "image_id"])
    if large and not (same and large <= set(archive.store.table("tiles")["image_id"])):
        archive.write_tiles(cfg.tile_px, cfg.stride_px, contrasts=contrasts)
