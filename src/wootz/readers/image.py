"""`read_image`: a micrograph file as pixels, pixel size, metadata and info bar."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from wootz import intensity
from wootz.errors import ReadError
from wootz.options import check_choice
from wootz.readers.damage import decoding, kind_of
from wootz.readers.findings import Findings, Header, normalised_metadata, settle_scale
from wootz.readers.grey import Grey, check_colour, to_grey
from wootz.readers.infobar import find_info_bar
from wootz.readers.raster import raster_header, raster_palette, read_raster
from wootz.readers.tiff import open_tiff, plain, raw_tags, tiff_array, tiff_header, tiff_palette
from wootz.readers.vendors import find_metadata
from wootz.readers.wholefile import whole_tiff

_SUFFIXES = {
    "tiff": (".tif", ".tiff", ".ome.tif"),
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg", ".jpe"),
    "bmp": (".bmp", ".dib"),
}


@dataclass(frozen=True)
class Image:
    """One micrograph as recorded.

    Attributes
    ----------
    pixels : (H, W) uint8 or uint16
        The whole picture, info bar included.
    pixel_size_nm : (float, float) or None
        Height of a row and width of a column in nm; None where unknown.
    pixel_size_source : str
        Tag, side file or rule that the pixel size came from; empty where it is unknown.
    metadata : dict
        ``"raw"``: all tags and keys as found; and the normalised keys `instrument`, `hv_kv`, `wd_mm`,
        `detector`, `magnification`, `date`, `stage_x_mm`, `stage_y_mm`, `stage_z_mm`, `tilt_deg`, None
        where the file does not say.
    info_bar_rows : slice or None
        Rows of the info bar, at the bottom or the top edge.
    vendor : str
        Whose metadata were found; empty for none.
    page, n_pages : int
        Page read, and how many the file has.
    notes : tuple of str
        What was decided on the way: colour, other pages, why the scale is unknown.
    counts : (256,) or (65536,) int64, or None
        How often each value occurs, info bar included, where that was asked for.
    """

    pixels: np.ndarray
    pixel_size_nm: tuple[float, float] | None
    pixel_size_source: str
    metadata: dict[str, Any]
    info_bar_rows: slice | None
    vendor: str = ""
    page: int = 0
    n_pages: int = 1
    notes: tuple[str, ...] = ()
    counts: np.ndarray | None = None

    @property
    def field_rows(self) -> slice:
        """Rows of specimen: all but the info bar."""
        bar, height = self.info_bar_rows, len(self.pixels)
        if bar is None:
            return slice(0, height)
        return slice(0, bar.start) if bar.start else slice(bar.stop, height)


@dataclass(frozen=True)
class _Opened:
    """What the container formats have in common."""

    values: np.ndarray
    header: Header
    raw: dict[str, Any]
    palette: np.ndarray | None = None
    inverted: bool = False
    page: int = 0
    n_pages: int = 1
    notes: tuple[str, ...] = field(default=())


class LargeImageError(ReadError):
    """A TIFF with more pixels than its reader wants at a time."""


def read_image(
    path: str | PathLike[str],
    *,
    page: int | None = None,
    colour: str = "refuse",
    scale: str = "refuse",
    max_pixels: int | None = None,
    count: bool = False,
    side_names: frozenset[str] | None = None,
) -> Image:
    """Read a micrograph: TIFF of any microscope, PNG, JPEG or BMP.

    Parameters
    ----------
    path : path
        Side files (``.hdr``, ``.txt``) are looked for beside it.
    page : int, optional
        Page of a TIFF, from 0; by default the largest one in full resolution.
    colour : {"refuse", "luminance"}
        What to do with a picture that is truly coloured outside its info bar. RGB with equal channels is
        grey, and always read.
    scale : {"refuse", "unknown"}
        What to do where the metadata contradict each other about the pixel size by more than 2 %.
    max_pixels : int, optional
        Refuse a larger TIFF before its pixels are read.
    count : bool
        Count how often each value occurs, on the way to the info bar.
    side_names : frozenset of str, optional
        Names of the side files in the folder (`wootz.readers.sidefiles.SideNames`), for those who read many
        files of it; by default each is asked for.

    Returns
    -------
    Image

    Raises
    ------
    LargeImageError
        More than `max_pixels`; read it with `read_window` or `iter_row_blocks`.
    ReadError
        No such file, no image, damaged or incomplete, a colour picture, values that 16 bits cannot keep, or
        contradictory scale; the message says what to do. Rows that a truncated file lacks are never made up.

    Notes
    -----
    Which key of which vendor gives the pixel size, and what it is checked against: ``docs/formats.md``. A
    plain resolution of 72, 96 or 300 dpi is no scale. Pixels keep the type they were recorded in.

    Examples
    --------
    >>> image = read_image("A600_04.tif")  # doctest: +SKIP
    >>> image.pixel_size_nm, image.pixel_size_source  # doctest: +SKIP
    ((11.65, 11.65), 'Zeiss tag 34118 unnamed[3] x 1024 / 512 columns')
    """
    check_choice("colour", colour, ("refuse", "luminance"))
    check_choice("scale", scale, ("refuse", "unknown"))
    file = Path(path)
    data = whole_tiff(file)
    kind = kind_of(file) if data is None else "tiff"
    opened = _open_tiff(file, page, data, max_pixels) if kind == "tiff" else _open_raster(file, kind)
    grey = to_grey(opened.values, file, palette=opened.palette, inverted=opened.inverted)
    findings = find_metadata(replace(opened.header, side_names=side_names))
    decided = settle_scale(findings, file, contradiction=scale)
    counts = intensity.histogram(grey.pixels) if count else None
    bar = _info_bar(findings, grey, counts)
    about_colour = check_colour(grey, file, colour=colour, info_bar=bar)
    notes = (*opened.notes, *grey.notes, *about_colour, *decided.notes)
    if file.suffix.lower() not in _SUFFIXES[kind]:
        notes = (*notes, f"the name ends in {file.suffix or 'nothing'}, the content is {kind.upper()}")
    return Image(
        pixels=grey.pixels,
        pixel_size_nm=decided.pixel_size_nm,
        pixel_size_source=decided.source,
        metadata={"raw": {**opened.raw, **_side_keys(findings)}, **normalised_metadata(findings.normalised)},
        info_bar_rows=bar,
        vendor=findings.vendor,
        page=opened.page,
        n_pages=opened.n_pages,
        notes=notes,
        counts=counts,
    )


def _open_tiff(path: Path, page: int | None, data: np.ndarray | None, max_pixels: int | None) -> _Opened:
    with open_tiff(path, page, data=data) as opened:
        if max_pixels is not None and opened.shape[0] * opened.shape[1] > max_pixels:
            raise LargeImageError(f"{path} has {opened.shape[1]} x {opened.shape[0]} px; read it in parts.")
        header = tiff_header(opened)
        with decoding(path):
            raw = raw_tags(opened)
        return _Opened(
            values=tiff_array(opened),
            header=header,
            raw=raw,
            palette=tiff_palette(opened),
            inverted=opened.page.photometric == 0,
            page=opened.index,
            n_pages=opened.n_pages,
            notes=opened.notes,
        )


def _open_raster(path: Path, kind: str) -> _Opened:
    with decoding(path):
        header, raw = raster_header(path, kind)
        return _Opened(read_raster(path, kind), header, raw, raster_palette(path, kind))


def _side_keys(findings: Findings) -> dict[str, Any]:
    """Keys that the vendor's reader parsed, unless there were none."""
    return {findings.vendor: plain(findings.raw)} if findings.vendor and findings.raw else {}


def _info_bar(findings: Findings, grey: Grey, counts: np.ndarray | None) -> slice | None:
    """From the metadata where they give its height, else from the picture."""
    height = len(grey.pixels)
    if findings.info_bar_px and findings.info_bar_px < height:
        return slice(height - findings.info_bar_px, height)
    levels = None
    if counts is not None:
        present = np.flatnonzero(counts)
        levels = (int(present[0]), int(present[-1]))
    return find_info_bar(grey.pixels, levels)
