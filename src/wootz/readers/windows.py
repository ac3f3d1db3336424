"""Panoramas that do not fit into memory: size, windows, blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np

from wootz.errors import ReadError
from wootz.options import check_choice
from wootz.readers.damage import decoding, kind_of
from wootz.readers.grey import check_colour, to_grey
from wootz.readers.raster import raster_palette, raster_size, read_raster
from wootz.readers.segments import PageWindows
from wootz.readers.tiff import open_tiff, tiff_palette

# Pillow decodes PNG, JPEG and BMP as a whole, so these are refused before they fill the memory.
_MAX_RASTER_BYTES = 1 << 29


def image_shape(path: str | PathLike[str], *, page: int | None = None) -> tuple[int, int]:
    """Rows and columns of the picture that `read_image` would read, from the header alone.

    Raises
    ------
    ReadError
        As `read_image`, for what the header shows.
    """
    file = Path(path)
    kind = kind_of(file)
    if kind == "tiff":
        with open_tiff(file, page) as opened:
            return opened.shape
    with decoding(file):
        return raster_size(file, kind)


def read_window(
    path: str | PathLike[str], *, rows: slice, cols: slice, page: int | None = None, colour: str = "refuse"
) -> np.ndarray:
    """Window of a picture: exactly ``read_image(path).pixels[rows, cols]``, without reading the rest.

    Parameters
    ----------
    path : path of a TIFF, PNG, JPEG or BMP
    rows, cols : slice of step 1
        As in numpy: negative and open ends count, ends beyond the picture are cut.
    page : int, optional
    colour : {"refuse", "luminance"}

    Returns
    -------
    (h, w) uint8 or uint16

    Raises
    ------
    ReadError
        As `read_image`; also for a TIFF stored as one compressed block above 512 MiB and for a PNG, JPEG
        or BMP that large, which cannot be read in parts.

    Notes
    -----
    Of a TIFF only the strips or tiles that the window touches are decoded. An info bar is not cut.
    """
    with _window_reader(Path(path), page, colour) as (shape, read):
        return read(_bounds(rows, shape[0]), _bounds(cols, shape[1]))


def iter_row_blocks(
    path: str | PathLike[str], *, rows: int = 1024, page: int | None = None, colour: str = "refuse"
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of at most `rows` full rows from top to bottom, with the row each begins at.

    Memory holds a block and a row of tiles, whatever the size of the picture.

    Yields
    ------
    (int, (h, W) uint8 or uint16)

    Examples
    --------
    >>> for first, block in iter_row_blocks("panorama.tif", rows=512):  # doctest: +SKIP
    ...     field[first : first + len(block)] = block
    """
    if rows < 1:
        raise ValueError(f"rows must be at least 1, not {rows}")
    with _window_reader(Path(path), page, colour) as (shape, read):
        for first in range(0, shape[0], rows):
            yield first, read(slice(first, min(first + rows, shape[0])), slice(0, shape[1]))


@contextmanager
def _window_reader(
    path: Path, page: int | None, colour: str
) -> Iterator[tuple[tuple[int, int], Callable[[slice, slice], np.ndarray]]]:
    """Shape of a picture, and a function from two bounded slices to its grey window."""
    check_choice("colour", colour, ("refuse", "luminance"))
    kind = kind_of(path)
    if kind == "tiff":
        with open_tiff(path, page) as opened:
            windows = PageWindows(opened)
            palette, inverted = tiff_palette(opened), opened.page.photometric == 0

            def read_tiff(rows: slice, cols: slice) -> np.ndarray:
                with decoding(path):
                    values = windows.read(rows, cols)
                return _grey(values, path, palette, inverted=inverted, colour=colour)

            yield opened.shape, read_tiff
    else:
        with decoding(path):
            shape, palette = raster_size(path, kind), raster_palette(path, kind)
        if shape[0] * shape[1] > _MAX_RASTER_BYTES:
            raise ReadError(f"{path} is too large to be decoded as a whole; save it as a tiled TIFF.")

        def read_other(rows: slice, cols: slice) -> np.ndarray:
            with decoding(path):
                values = read_raster(path, kind, (rows, cols))
            return _grey(values, path, palette, inverted=False, colour=colour)

        yield shape, read_other


def _grey(
    values: np.ndarray, path: Path, palette: np.ndarray | None, *, inverted: bool, colour: str
) -> np.ndarray:
    if 0 in values.shape:
        return np.zeros(values.shape[:2], np.uint16 if values.dtype.itemsize > 1 else np.uint8)
    grey = to_grey(values, path, palette=palette, inverted=inverted)
    check_colour(grey, path, colour=colour, info_bar=None)
    return grey.pixels


def _bounds(window: slice, length: int) -> slice:
    start, stop, step = window.indices(length)
    if step != 1:
        raise ValueError(f"a window has no step; got {window}")
    return slice(start, max(start, stop))
