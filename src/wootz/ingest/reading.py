"""One file of the plan -> a field for the archive, in a thread of its own, in the order of the plan."""

import contextlib
import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np

from wootz.duplicates import perceptual_hash
from wootz.errors import ReadError, WootzError
from wootz.fields import NewField, measure
from wootz.ingest import panorama
from wootz.ingest.config import IngestConfig
from wootz.ingest.plan import Entry
from wootz.intensity import histogram
from wootz.readers import Image, LargeImageError, read_image
from wootz.readers.sidefiles import SideNames
from wootz.tilegrid import field_contrasts

N_THREADS = 3
N_ANNOUNCED = 8
N_AHEAD = 24
AHEAD_BYTES = 256 << 20
SIZE_TOLERANCE = 0.02  # as between two statements within a file


@dataclass(frozen=True)
class ReadFile:
    """A file that was read: the field, and the contrast of each tile of the grid to come (None: unknown)."""

    field: NewField
    contrasts: np.ndarray | None = None


def read_fields(
    entries: Sequence[Entry], cfg: IngestConfig, *, defaults: Mapping[str, Any], side_names: SideNames
) -> Generator[ReadFile]:
    """Read files a little ahead of their use.

    Parameters
    ----------
    entries : sequence of Entry
    cfg : IngestConfig
    defaults : mapping
        Value of each column of the plan where an entry has none.
    side_names : SideNames
        Of all folders of the plan.

    Yields
    ------
    ReadFile
        One per entry, in order. Where a file cannot be read, its pixels raise the `ReadError`, upon which the
        archive sets it aside.
    """
    waiting: deque[tuple[int, Future[ReadFile]]] = deque()
    rest = enumerate(entries)

    def work(number: int, names: frozenset[str] | None) -> ReadFile:
        first = number + N_ANNOUNCED if number else N_THREADS
        for later in entries[first : number + N_ANNOUNCED + 1]:
            announce(later.path)
        return read_entry(entries[number], cfg, defaults=defaults, side_names=names)

    with ThreadPoolExecutor(N_THREADS, thread_name_prefix="wootz-read") as pool:
        try:
            while True:
                while len(waiting) < N_AHEAD and sum(starmap(_held_bytes, waiting)) < AHEAD_BYTES:
                    number, entry = next(rest, (0, None))
                    if entry is None:
                        break
                    reading = pool.submit(work, number, side_names.beside(entry.path))
                    waiting.append((entry.size_bytes, reading))
                if not waiting:
                    return
                yield waiting.popleft()[1].result()
        finally:
            for _, future in waiting:
                future.cancel()


def _held_bytes(file_bytes: int, future: Future[ReadFile]) -> int:
    """Give the memory of a file that waits: of its pixels, or the size of one not read yet."""
    if not future.done() or future.exception() is not None:
        return file_bytes
    pixels = future.result().field.pixels
    return pixels.nbytes if isinstance(pixels, np.ndarray) else 0


def announce(path: Path) -> None:
    """Ask the system to fetch a file, so that the disk works while the threads compute."""
    if not hasattr(os, "posix_fadvise"):
        return
    with contextlib.suppress(OSError):  # what is wrong with the file, its reader will say
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)


def read_entry(
    entry: Entry,
    cfg: IngestConfig,
    *,
    defaults: Mapping[str, Any],
    side_names: frozenset[str] | None = None,
) -> ReadFile:
    """Read one file as a field: pixels without info bar, one row of the images table, raw tags.

    All that needs every pixel is computed here, while they are in the cache of the processor.

    Raises
    ------
    WootzError
        If the table of the user contradicts the file's pixel size.
    """
    facts = {"file": entry.file, "file_bytes": entry.size_bytes, "file_mtime_ns": entry.mtime_ns}
    try:
        image, pixels = _read(entry.path, cfg, side_names=side_names)
        looks, measured, contrasts = "", None, None  # a panorama is hashed from the archive, strip by strip
        if isinstance(pixels, np.ndarray):
            looks = perceptual_hash(pixels) if cfg.near_duplicates else ""
            measured = measure(pixels, _counts(image, cfg))
            range_ = (measured.intensity_low, measured.intensity_high)
            contrasts = field_contrasts(pixels, range_, size_px=cfg.tile_px, stride_px=cfg.stride_px)
    except ReadError as error:
        return ReadFile(NewField(_raising(error), facts))
    bar = image.info_bar_rows if cfg.cut_info_bar else None
    facts |= {"info_bar_rows": bar, "perceptual_hash": looks, "notes": "; ".join(image.notes)}
    own = {name: value for name, value in image.metadata.items() if name != "raw"}
    given = {name: value for name, value in entry.columns.items() if name not in PIXEL_SIZES}
    row = own | dict(defaults) | given | facts | pixel_size(entry, cfg, image)
    return ReadFile(NewField(pixels, row, image.metadata["raw"], measured), contrasts)


def _read(
    path: Path, cfg: IngestConfig, *, side_names: frozenset[str] | None
) -> tuple[Image, np.ndarray | Iterator[np.ndarray]]:
    """Read a picture, and give its rows of specimen: as an array, or as blocks of a panorama."""
    about = {"colour": cfg.colour, "scale": cfg.scale, "side_names": side_names, "count": True}
    try:
        image = read_image(path, max_pixels=panorama.MIN_PIXELS, **about)
    except LargeImageError:
        return panorama.read_panorama(path, cfg)
    return image, image.pixels[image.field_rows] if cfg.cut_info_bar else image.pixels


def _counts(image: Image, cfg: IngestConfig) -> np.ndarray | None:
    """Give the histogram of the rows of specimen: that of all rows less that of the info bar."""
    if image.counts is None or image.info_bar_rows is None or not cfg.cut_info_bar:
        return image.counts
    outside = np.ones(len(image.pixels), bool)
    outside[image.field_rows] = False
    return image.counts - histogram(image.pixels[outside])


PIXEL_SIZES = ("pixel_size_nm", "pixel_size_row_nm", "pixel_size_col_nm")


def pixel_size(entry: Entry, cfg: IngestConfig, image: Image) -> dict[str, Any]:
    """Settle between the file and the user's table.

    Raises
    ------
    WootzError
        If both give a size, more than 2 % apart, and ``trust_table`` is not set.
    """
    given = given_pixel_size(entry)
    if given is None:
        rows, cols = image.pixel_size_nm or (np.nan, np.nan)
        source = image.pixel_size_source
    else:
        if image.pixel_size_nm is not None and not cfg.trust_table:
            check_pixel_size(entry, given, found=image.pixel_size_nm, source=image.pixel_size_source)
        (rows, cols), source = given, "user"
    return {"pixel_size_row_nm": rows, "pixel_size_col_nm": cols, "pixel_size_source": source}


def given_pixel_size(entry: Entry) -> tuple[float, float] | None:
    """Give the (row, col) pixel size in nm that the user states for a file, or None."""
    both = entry.columns.get("pixel_size_nm")
    rows = entry.columns.get("pixel_size_row_nm", both)
    cols = entry.columns.get("pixel_size_col_nm", both)
    if rows is None and cols is None:
        return None
    if rows is None or cols is None:
        raise WootzError(f"metadata: {entry.file} has a pixel size in one direction only; give both.")
    return float(rows), float(cols)


def check_pixel_size(
    entry: Entry, given: tuple[float, float], *, found: tuple[float, float], source: str
) -> None:
    """Raise `WootzError` if two (row, col) pixel sizes in nm differ by more than 2 %."""
    for axis, stated, own in zip(("row", "column"), given, found, strict=True):
        if not abs(stated / own - 1.0) <= SIZE_TOLERANCE:
            raise WootzError(
                f"{entry.file}: the table gives {stated:g} nm per {axis}, the file {own:g} nm ({source}). "
                "Correct the table, or give trust_table=true if the file is wrong."
            )


def _raising(error: ReadError) -> Iterator[np.ndarray]:
    raise error
    yield  # a generator: the error comes when the archive asks for the pixels
