"""TIFF files: which page, whether all its bytes are there, its tags."""

from __future__ import annotations

import codecs
import dataclasses
import enum
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import tifffile

from wootz.errors import ReadError
from wootz.readers.damage import COPY_AGAIN, decoding
from wootz.readers.findings import Header
from wootz.readers.wholefile import MemoryFile

# What tifffile would log about odd vendor tags on stderr either makes a ReadError here or does no harm.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

_TAIL_BYTES = 1 << 14
_INSTRUMENT_TAGS = (34118, 34680, 34682, 34683, 37706, 33560, 33471, 50431)
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_READABLE_COLOURS = {0, 1, 2, 3, 6}  # white is zero, black is zero, RGB, palette, YCbCr (JPEG)
_MAX_EXPANSION = 2000  # deflate reaches 1032; more means that the header lies about the size
_LAYOUT_TAGS = {273, 279, 320, 324, 325, 347}  # tables of offsets and colours, no metadata


@dataclass(frozen=True)
class OpenPage:
    """One page of an open TIFF file; `data` are all bytes of the file, where they were read before."""

    path: Path
    tif: tifffile.TiffFile
    page: tifffile.TiffPage
    index: int
    n_pages: int
    notes: tuple[str, ...]
    data: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.page.imagelength, self.page.imagewidth


@contextmanager
def open_tiff(path: Path, page: int | None = None, *, data: np.ndarray | None = None) -> Iterator[OpenPage]:
    """Open the page of a TIFF file that holds the micrograph, or the page asked for.

    Notes
    -----
    The largest page that is neither a reduced copy nor a mask; among pages of that size one with an
    instrument's tags, then a grey one, then the first. Levels of a pyramid are reduced copies.
    """
    with decoding(path):
        tif = tifffile.TiffFile(path if data is None else cast("BinaryIO", MemoryFile(data, str(path))))
    with tif:
        with decoding(path):
            opened = _open_page(path, tif, page)
        yield dataclasses.replace(opened, data=data)


def _open_page(path: Path, tif: tifffile.TiffFile, page: int | None) -> OpenPage:
    pages = _pages(path, tif)
    if not pages:
        raise ReadError(f"{path} is a TIFF without a picture. {COPY_AGAIN}")
    if page is not None and not 0 <= page < len(pages):
        raise ReadError(f"{path} has pages 0 to {len(pages) - 1}; there is no page {page}.")
    index = _choose(pages) if page is None else page
    opened = OpenPage(path, tif, pages[index], index, len(pages), _notes(pages, index))
    _check_layout(opened)
    return opened


def _pages(path: Path, tif: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """All pages of the main chain; a damaged chain may lead back into itself."""
    pages: list[tifffile.TiffPage] = []
    seen: set[int] = set()
    for page in tif.pages:
        if page.offset in seen:
            raise ReadError(f"{path} is damaged: its list of pages runs in a circle. {COPY_AGAIN}")
        seen.add(page.offset)
        if isinstance(page, tifffile.TiffPage):
            pages.append(page)
    return pages


def _choose(pages: list[tifffile.TiffPage]) -> int:
    full = [i for i, p in enumerate(pages) if not int(p.subfiletype or 0) & (_REDUCED | _MASK)]

    def merit(i: int) -> tuple[int, bool, bool, int]:
        area = pages[i].imagelength * pages[i].imagewidth
        instrument = any(code in pages[i].tags for code in _INSTRUMENT_TAGS)
        return area, instrument, pages[i].samplesperpixel == 1, -i

    return max(full or range(len(pages)), key=merit)


def _notes(pages: list[tifffile.TiffPage], index: int) -> tuple[str, ...]:
    notes = []
    if len(pages) > 1:
        sizes = [f"{i} ({p.imagewidth} x {p.imagelength})" for i, p in enumerate(pages) if i != index]
        listed = ", ".join(sizes[:8]) + (", ..." if len(sizes) > 8 else "")
        notes.append(f"page {index} of {len(pages)} read; not read: {listed}")
    if int(pages[index].tags.valueof(274, 1) or 1) != 1:
        notes.append("the orientation tag asks for a rotated display; pixels are given as recorded")
    return tuple(notes)


def _check_layout(opened: OpenPage) -> None:
    """Refuse what no micrograph is, and files whose pixels are not all there."""
    page, path = opened.page, opened.path
    if min(opened.shape) < 1 or page.imagedepth > 1 or page.dtype is None:
        raise ReadError(f"{path}: page {opened.index} is no two-dimensional picture. {COPY_AGAIN}")
    if int(page.photometric or 0) not in _READABLE_COLOURS:
        raise ReadError(f"{path} is stored in another colour space; save it as grey or RGB TIFF.")
    starts, sizes = np.asarray(page.dataoffsets, np.int64), np.asarray(page.databytecounts, np.int64)
    expected = int(np.prod([int(n) for n in page.chunked]))
    if min(len(starts), len(sizes)) < expected:
        listed = f"{expected} strips belong to the picture, {min(len(starts), len(sizes))} are listed"
        raise ReadError(f"{path} is damaged: {listed}. {COPY_AGAIN}")
    starts, sizes = starts[:expected], sizes[:expected]
    file_bytes = opened.tif.filehandle.size
    outside = (starts < 0) | (sizes < 0) | (starts + sizes > file_bytes)
    if outside.any():
        raise ReadError(f"{path} is damaged: {_missing(opened, outside, file_bytes)}")
    _check_size(opened, sizes)


def _check_size(opened: OpenPage, sizes: np.ndarray) -> None:
    """Refuse a header that announces more pixels than the bytes of the file can hold."""
    page = opened.page
    announced = page.imagelength * page.imagewidth * page.samplesperpixel * page.bitspersample / 8
    chunk = int(np.prod([int(n) for n in page.chunks])) * page.bitspersample / 8
    expansion = 1 if page.compression == 1 else _MAX_EXPANSION
    # An empty tile of a sparse panorama holds no bytes and no specimen; it reads as 0.
    needed = announced * np.count_nonzero(sizes) / len(sizes)
    if not sizes.any() or needed > sizes.sum() * expansion or chunk > max(4 * announced, 1 << 26):
        raise ReadError(
            f"{opened.path} is damaged: its header announces {page.imagewidth} x {page.imagelength} px, "
            f"{announced:.0f} bytes, and the file holds {sizes.sum()} bytes of pixels. {COPY_AGAIN}"
        )


def _missing(opened: OpenPage, outside: np.ndarray, file_bytes: int) -> str:
    page = opened.page
    unit = "tiles" if page.is_tiled else "strips"
    text = f"{outside.sum()} of its {len(outside)} {unit} lie beyond its end ({file_bytes} bytes)"
    if not page.is_tiled and page.planarconfig == 1:
        rows = np.flatnonzero(outside) * page.rowsperstrip
        last = min(page.imagelength, int(rows[-1]) + page.rowsperstrip) - 1
        text += f"; missing are rows {rows[0]} to {last} of {page.imagelength}"
    if _went_through_text_mode(opened):
        return (
            f"{text}. All its bytes are valid text: it was transferred or saved as text, which destroys "
            "pixels for good. Copy the original again, in binary mode."
        )
    return f"{text}. Rows that are missing are not made up. {COPY_AGAIN}"


def _went_through_text_mode(opened: OpenPage) -> bool:
    """Whether the file is valid UTF-8 with bytes above 127 as pairs, which pixels never are by chance."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    handle = opened.tif.filehandle
    handle.seek(0)
    try:
        while block := handle.read(1 << 20):
            decoder.decode(block)
    except UnicodeDecodeError:
        return False
    return True


def tiff_header(opened: OpenPage) -> Header:
    """Tags and tail of an open page, for the vendors' readers.

    Tags of the instrument that only the first page carries count for the other pages too.
    """
    with decoding(opened.path):
        tags: dict[int, Any] = {}
        for tag in opened.page.tags:
            tags.setdefault(tag.code, tag.value)  # of a doubled tag the first counts
        first = opened.tif.pages.first.tags if opened.index else opened.page.tags
        if not any(code in tags for code in _INSTRUMENT_TAGS):
            tags |= {code: first.valueof(code) for code in _INSTRUMENT_TAGS if code in first}
        handle = opened.tif.filehandle
        handle.seek(max(0, handle.size - _TAIL_BYTES))
        tail = handle.read(_TAIL_BYTES)
    height, width = opened.shape
    return Header(opened.path, height, width, tags, tail)


def tiff_palette(opened: OpenPage) -> np.ndarray | None:
    """(3, N) uint16 colours of the indices of a palette page, else None."""
    colours = opened.page.colormap if int(opened.page.photometric or 0) == 3 else None
    return None if colours is None else np.asarray(colours, np.uint16)


def tiff_array(opened: OpenPage) -> np.ndarray:
    """Values of the page as stored: (H, W) or (H, W, C)."""
    with decoding(opened.path):
        array = _array_in_place(opened)
        if array is None:
            array = np.asarray(opened.page.asarray())
        separate = opened.page.axes.startswith("S")
        return np.moveaxis(array, 0, -1) if separate else array


def _array_in_place(opened: OpenPage) -> np.ndarray | None:
    """View the values of a page within the bytes of its file, where they need no decoding."""
    page, data = opened.page, opened.data
    if data is None or page.dtype is None or not page.is_final:
        return None
    stored = page.dtype.newbyteorder(opened.tif.byteorder)
    start, n_bytes = page.dataoffsets[0], int(np.prod(page.shape)) * stored.itemsize
    part = data[start : start + n_bytes]
    # where the picture is a small part of the file, a view would keep the whole in memory
    if not stored.isnative or start % stored.itemsize or len(part) < n_bytes or 2 * n_bytes < len(data):
        return None
    return part.view(stored).reshape(page.shape)


def raw_tags(opened: OpenPage) -> dict[str, Any]:
    """All tags of the page but the tables of offsets and colours, by name, as plain Python values."""
    raw: dict[str, Any] = {}
    for tag in opened.page.tags:
        if tag.code not in _LAYOUT_TAGS:
            raw.setdefault(tag.name, plain(tag.value))
    return raw


def plain(value: Any) -> Any:
    """`value` in types that JSON knows: long binary as its size, text without its padding."""
    match value:
        case enum.Enum():
            out: Any = value.name
        case None | bool() | int() | float():
            out = value
        case bytes():
            out = value.hex() if len(value) <= 64 else f"{len(value)} bytes"
        case dict():
            out = {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            out = [plain(item) for item in value]
        case np.ndarray():
            out = value.tolist() if value.size <= 1024 else f"array {value.shape}"
        case np.generic():
            out = value.item()
        case _:
            out = str(value).rstrip("\x00 ")
    return out
