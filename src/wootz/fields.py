"""Whole fields of view, packed one after the other into 1-D ``.npy`` shards.

Fields differ in size, so there is one flat array per shard and dtype (uint8 and uint16 apart), and a row of
the images table says where its field starts. A field arrives as an array or, for panoramas that do not fit in
memory, as an iterator of row blocks; hash, histogram and bytes are all made in that one pass.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from wootz import intensity, storage
from wootz.errors import ArchiveError
from wootz.hugefile import HugeFile

SHARD_CAP_BYTES = 1 << 30
BLOCK_BYTES = 8 << 20
DTYPES = (np.dtype(np.uint8), np.dtype("<u2"))


@dataclass(frozen=True)
class NewField:
    """A field of view on its way into an archive.

    Attributes
    ----------
    pixels : (H, W) uint8 or uint16, or an iterator of (h, W) blocks of rows from top to bottom
        As recorded, without the info bar. The iterator may raise `wootz.errors.ReadError`: the file is then
        set aside and nothing of it is kept.
    row : mapping
        Columns of the images table; ``file`` is required, all others may be missing. ``image_id``, sizes,
        ``intensity_*`` and the place in the shard are filled in.
    tags : mapping
        All raw tags of the file, kept beside the table.
    measured : PackedField, optional
        What `measure` says of the pixels, where a reader has called it in a thread of its own; the archive
        then has only to write them.
    """

    pixels: np.ndarray | Iterable[np.ndarray]
    row: Mapping[str, Any]
    tags: Mapping[str, Any] = field(default_factory=dict)
    measured: "PackedField | None" = None


@dataclass(frozen=True)
class PackedField:
    """What is known about a field after its pixels went by."""

    dtype: np.dtype
    height_px: int
    width_px: int
    checksum: str
    intensity_low: float
    intensity_high: float

    @property
    def image_id(self) -> str:
        """16 hexadecimal digits from dtype, size and pixels: equal pixels, equal id."""
        text = f"{self.dtype.str} {self.height_px} {self.width_px} {self.checksum}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def n_bytes(self) -> int:
        """Length in the shard."""
        return self.height_px * self.width_px * self.dtype.itemsize


class ShardWriter:
    """One growing shard. Fields are appended, and the last one can be taken back until `commit`."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.path = path
        self.dtype = dtype
        self._file = HugeFile(path)
        try:
            self._file.write(storage.npy_header(dtype, 0))
        except BaseException:
            self._file.discard()
            raise

    @property
    def n_pixels(self) -> int:
        """Pixels so far; the next field starts here."""
        return (self._file.size - storage.NPY_HEADER_BYTES) // self.dtype.itemsize

    def write(self, blocks: Iterable[np.ndarray], measured: PackedField | None = None) -> PackedField:
        """Append a field given as blocks of rows; on an exception the shard is as before.

        What is `measured` already is taken as it is.
        """
        start = self._file.size
        try:
            return self._write(blocks, measured)
        except BaseException:
            self._file.rewind(start)
            raise

    def take_back(self, packed: PackedField) -> None:
        """Remove the field that was written last."""
        self._file.rewind(self._file.size - packed.n_bytes)

    def flush(self) -> None:
        """Complete the header, and send all to the disk in the background; nothing is written after this."""
        self._file.overwrite_head(storage.npy_header(self.dtype, self.n_pixels))
        self._file.flush()

    def commit(self) -> dict[str, Any]:
        """Wait for the bytes sent by `flush`, and give the file its name; returns length and dtype."""
        self._file.commit()
        return {"bytes": self._file.size, "dtype": self.dtype.name}

    def discard(self) -> None:
        """Remove the unfinished shard; harmless after `commit`."""
        self._file.discard()

    def _write(self, blocks: Iterable[np.ndarray], measured: PackedField | None) -> PackedField:
        digest = xxhash.xxh3_128()
        counts = np.zeros(1 << (8 * self.dtype.itemsize), np.int64)
        height, width = 0, 0
        for block in blocks:
            check_block(block, dtype=self.dtype, width=width)
            height, width = height + block.shape[0], block.shape[1]
            packed = np.ascontiguousarray(block, dtype=self.dtype)
            if measured is None:
                digest.update(packed.data)
                counts += intensity.histogram(packed)
            self._file.write(packed)
        if height == 0 or width == 0:
            raise ValueError("the field has no pixels")
        if measured is not None:
            return measured
        low, high = intensity.range_of_histogram(counts)
        return PackedField(self.dtype, height, width, digest.hexdigest(), low, high)


def measure(pixels: np.ndarray, counts: np.ndarray | None = None) -> PackedField:
    """Hash a whole field, (H, W) uint8 or uint16, and find its range, by its histogram if that is known."""
    dtype = pixels.dtype.newbyteorder("=")
    packed = np.ascontiguousarray(pixels, dtype=dtype)
    low, high = intensity.range_of_histogram(intensity.histogram(packed) if counts is None else counts)
    height, width = packed.shape
    return PackedField(dtype, height, width, hash_pixels(packed), low, high)


def check_block(block: np.ndarray, *, dtype: np.dtype, width: int) -> None:
    """Raise ValueError unless a block of rows is (h, W) of the dtype and width of the blocks before it."""
    if block.ndim != 2:
        raise ValueError(f"a field must be (H, W), one channel, not {block.shape}")
    if block.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"pixels must be uint8 or uint16 and of one dtype, not {block.dtype}")
    if width and block.shape[1] != width:
        raise ValueError(f"rows of {block.shape[1]} pixels after rows of {width}")


def first_block(pixels: np.ndarray | Iterable[np.ndarray]) -> tuple[np.dtype, Iterator[np.ndarray]]:
    """Give the dtype of a field and all of its row blocks; an array is cut into blocks of 8 MiB."""
    blocks = _cut(pixels) if isinstance(pixels, np.ndarray) else iter(pixels)
    head = next(blocks, None)
    if head is None:
        raise ValueError("the field has no pixels")
    dtype = head.dtype.newbyteorder("=")
    if dtype not in DTYPES:
        raise ValueError(f"pixels must be uint8 or uint16 as recorded, not {head.dtype}")
    return dtype, _chain(head, blocks)


def read_field(shard: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """View one field in its shard: (H, W), read-only, not copied."""
    start, height, width = int(row["offset"]), int(row["height_px"]), int(row["width_px"])
    return shard[start : start + height * width].reshape(height, width)


def open_shard(path: Path, record: Mapping[str, Any]) -> np.ndarray:
    """Map a shard into memory as a flat read-only array, cut to what is there.

    A shard that lost its end is still mapped as far as it goes: the fields before the damage are good (their
    checksums tell), and `intact` says which ones are.
    """
    dtype = np.dtype(record["dtype"])
    try:
        n_there = (min(path.stat().st_size, record["bytes"]) - storage.NPY_HEADER_BYTES) // dtype.itemsize
    except FileNotFoundError:
        n_there = 0
    if n_there <= 0:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype=dtype, mode="r", offset=storage.NPY_HEADER_BYTES, shape=(n_there,))


def hash_pixels(pixels: np.ndarray) -> str:
    """Compute the XXH3-128 of C-contiguous pixels, little-endian: 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(pixels.data)


def check_field(pixels: np.ndarray, checksum: str, *, name: str, path: Path) -> None:
    """Raise `ArchiveError` unless the pixels are those that were stored."""
    if hash_pixels(pixels) != checksum:
        raise ArchiveError(storage.damaged(path, f"the pixels of {name} differ"))


def _cut(pixels: np.ndarray) -> Iterator[np.ndarray]:
    if pixels.ndim != 2:
        raise ValueError(f"a field must be (H, W), one channel, not {pixels.shape}")
    step = max(1, BLOCK_BYTES // max(1, pixels.shape[1] * pixels.dtype.itemsize))
    for start in range(0, pixels.shape[0], step):
        yield pixels[start : start + step]


def _chain(head: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield head
    yield from rest
