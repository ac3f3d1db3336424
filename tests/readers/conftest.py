"""A TIFF writer of its own, so that files of vendors can be laid out byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7


def _entry(code: int, value: object, extra: bytearray, extra_at: int) -> bytes:
    match value:
        case str():
            dtype, data = ASCII, value.encode("cp1252") + b"\0"
        case bytes():
            dtype, data = UNDEFINED, value
        case tuple():
            dtype, data = RATIONAL, struct.pack("<2I", *value)
        case list():
            dtype, data = LONG, struct.pack(f"<{len(value)}I", *value)
        case int():
            dtype, data = (
                (SHORT, struct.pack("<H", value)) if value < 65536 else (LONG, struct.pack("<I", value))
            )
        case _:
            raise TypeError(value)
    count = 1 if dtype == RATIONAL else len(data) // {ASCII: 1, UNDEFINED: 1, SHORT: 2, LONG: 4}[dtype]
    if len(data) <= 4:
        return struct.pack("<HHI", code, dtype, count) + data.ljust(4, b"\0")
    at = extra_at + len(extra)
    extra += data + b"\0" * (len(data) % 2)
    return struct.pack("<HHII", code, dtype, count, at)


def tiff_bytes(image: np.ndarray, tags: dict[int, object] | None = None, rows_per_strip: int = 16) -> bytes:
    """Uncompressed little-endian grey TIFF: header, pixels, directory, values of long tags."""
    height, width = image.shape
    pixels = np.ascontiguousarray(image, image.dtype.newbyteorder("<")).tobytes()
    per_strip = rows_per_strip * width * image.itemsize
    offsets = list(range(8, 8 + len(pixels), per_strip))
    sizes = [min(per_strip, 8 + len(pixels) - at) for at in offsets]
    entries = {
        256: width, 257: height, 258: image.itemsize * 8, 259: 1, 262: 1, 273: offsets, 277: 1,
        278: rows_per_strip, 279: sizes, **(tags or {}),
    }  # fmt: skip
    at = 8 + len(pixels)
    extra = bytearray()
    extra_at = at + 2 + 12 * len(entries) + 4
    directory = b"".join(_entry(code, entries[code], extra, extra_at) for code in sorted(entries))
    return b"".join(
        (
            struct.pack("<2sHI", b"II", 42, at),
            pixels,
            struct.pack("<H", len(entries)),
            directory,
            b"\0" * 4,
            extra,
        )
    )


@pytest.fixture
def write_tiff(tmp_path: Path) -> Callable[..., Path]:
    """Write ``(image, tags, name=, trailer=)`` as a TIFF file and return its path."""

    def write(
        image: np.ndarray,
        tags: dict[int, object] | None = None,
        *,
        name: str = "field.tif",
        trailer: bytes = b"",
    ) -> Path:
        path = tmp_path / name
        path.write_bytes(tiff_bytes(image, tags) + trailer)
        return path

    return write


@pytest.fixture
def specimen() -> Callable[..., np.ndarray]:
    """Draw a noisy picture without any bar: ``(height, width, dtype=, seed=)``."""

    def draw(height: int = 96, width: int = 128, *, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        top = np.iinfo(dtype).max
        values = rng.normal(0.45, 0.1, (height, width)) + 0.1 * np.sin(np.arange(width) / 9)
        return (np.clip(values, 0, 1) * top).astype(dtype)

    return draw
