"""PNG, JPEG and BMP files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin

from wootz.errors import ReadError
from wootz.readers.damage import COPY_AGAIN
from wootz.readers.findings import Header
from wootz.readers.tiff import plain

_HEAD_BYTES, _TAIL_BYTES = 1 << 18, 1 << 16
# Pixels that a byte can stand for at most (run-length BMP, deflate, progressive JPEG of one even grey);
# more means that the header lies, and decoding would fill the memory.
_MAX_EXPANSION = {"png": 9000, "jpeg": 9000, "bmp": 256}
_PNG_DEPTH, _PNG_COLOUR = 24, 25  # offsets of bit depth and colour type in a PNG


def open_raster(file: BinaryIO, kind: str) -> ImageFile.ImageFile:
    """Open a picture of that `kind`, without decoding it yet.

    The plugins are named, because ``Image.open`` tries every format it knows on damaged bytes, and refuses
    panoramas unless a global limit is lifted.
    """
    match kind:
        case "png":
            image = PngImagePlugin.PngImageFile(file)
        case "jpeg":
            image = JpegImagePlugin.JpegImageFile(file)
        case "bmp":
            image = BmpImagePlugin.BmpImageFile(file)
        case _:
            raise ValueError(kind)
    n_bytes = os.fstat(file.fileno()).st_size
    if image.width * image.height > n_bytes * _MAX_EXPANSION[kind]:
        raise ReadError(
            f"{file.name} is damaged: its header announces {image.width} x {image.height} px, and the file "
            f"holds {n_bytes} bytes. {COPY_AGAIN}"
        )
    return image


def read_raster(path: Path, kind: str, window: tuple[slice, slice] | None = None) -> np.ndarray:
    """Read a PNG, JPEG or BMP, or a window of it: (H, W) or (H, W, C), uint8, uint16 or bool.

    Pillow reduces PNG colours of 16 bits to 8, so those go through imagecodecs.
    """
    with path.open("rb") as file:
        if kind == "png" and _is_deep_colour(file):
            array = np.asarray(imagecodecs.png_decode(file.read()))
            return array if window is None else array[window]
        with open_raster(file, kind) as image:
            if window is None:
                return np.asarray(image)
            rows, cols = window
            return np.asarray(image.crop((cols.start, rows.start, cols.stop, rows.stop)))


def raster_palette(path: Path, kind: str) -> np.ndarray | None:
    """(3, N) uint16 colours of the indices of a palette picture, else None."""
    with path.open("rb") as file, open_raster(file, kind) as image:
        if image.mode != "P":
            return None
        image.load()
        colours = np.asarray(image.getpalette("RGB") or [], np.uint16).reshape(-1, 3).T
        full = np.zeros((3, 256), np.uint16)
        full[:, : colours.shape[1]] = colours * 257
        return full


def raster_size(path: Path, kind: str) -> tuple[int, int]:
    """Rows and columns."""
    with path.open("rb") as file, open_raster(file, kind) as image:
        return image.height, image.width


def raster_header(path: Path, kind: str) -> tuple[Header, dict[str, Any]]:
    """Header for the vendors' readers, and all that Pillow found beside the pixels."""
    with path.open("rb") as file, open_raster(file, kind) as image:
        info = {str(key): plain(value) for key, value in image.info.items()}
        tags = _resolution_tags(image)
        height, width = image.height, image.width
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(len(head), size - _TAIL_BYTES))
        return Header(path, height, width, tags, head + file.read()), info


def _resolution_tags(image: ImageFile.ImageFile) -> dict[int, Any]:
    """Dots per inch as the TIFF tags 282, 283 and 296, so that one rule judges them."""
    dpi = image.info.get("dpi")
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return {}
    return {282: float(dpi[0]), 283: float(dpi[1]), 296: 2}


def _is_deep_colour(file: BinaryIO) -> bool:
    head = file.read(33)
    file.seek(0)
    return len(head) == 33 and head[_PNG_DEPTH] == 16 and head[_PNG_COLOUR] in (2, 4, 6)
