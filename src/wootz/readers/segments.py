"""Windows of a TIFF page, decoding only the strips or tiles that they touch."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from wootz.errors import ReadError
from wootz.readers.tiff import OpenPage

_CACHE_BYTES = 1 << 26
_MAX_SEGMENT_BYTES = 1 << 29
_READ_BYTES = 1 << 26


class PageWindows:
    """Reads windows of one open TIFF page; keeps the segments decoded last.

    Parameters
    ----------
    opened : OpenPage

    Raises
    ------
    ReadError
        Where one compressed strip or tile holds more than 512 MiB: it cannot be read in parts.
    """

    def __init__(self, opened: OpenPage) -> None:
        page = opened.page
        self.opened = opened
        self.samples = page.samplesperpixel
        self.planar = page.planarconfig == 2 and self.samples > 1
        self.chunk_rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        self.chunk_cols = page.tilewidth if page.is_tiled else page.imagewidth
        self.across = -(-page.imagewidth // self.chunk_cols)
        self.down = -(-page.imagelength // self.chunk_rows)
        self._decoded: OrderedDict[int, np.ndarray | None] = OrderedDict()
        held = self.chunk_rows * self.chunk_cols * (1 if self.planar else self.samples) * self._dtype.itemsize
        if held > _MAX_SEGMENT_BYTES and not self._is_plain:
            raise ReadError(
                f"{opened.path} is one compressed block of {held >> 20} MiB, which cannot be read in parts. "
                "Save it again as a tiled TIFF (for example with `tifffile.imwrite(..., tile=(512, 512))`)."
            )

    @property
    def _dtype(self) -> np.dtype:
        dtype = self.opened.page.dtype
        assert dtype is not None  # open_tiff refused pages without one
        return dtype

    @property
    def _is_plain(self) -> bool:
        """Uncompressed rows one after another: read straight from the file."""
        page = self.opened.page
        whole_bytes = page.bitspersample in (8, 16, 32, 64) and page.predictor == 1 and page.fillorder == 1
        return whole_bytes and page.compression == 1 and not page.is_tiled and not self.planar

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        """Read a window with bounded slices as stored: (h, w) or (h, w, C)."""
        shape = (rows.stop - rows.start, cols.stop - cols.start, self.samples)
        out = np.zeros(shape, self._dtype.newbyteorder("="))
        if self._is_plain:
            self._read_plain(out, rows, cols)
        else:
            self._read_segments(out, rows, cols)
        return out if self.samples > 1 else out[..., 0]

    def _read_plain(self, out: np.ndarray, rows: slice, cols: slice) -> None:
        page, handle = self.opened.page, self.opened.tif.filehandle
        stored = self._dtype.newbyteorder(self.opened.tif.byteorder)
        row_bytes = page.imagewidth * self.samples * stored.itemsize
        row = rows.start
        while row < rows.stop:
            strip, within = divmod(row, self.chunk_rows)
            n = min(self.chunk_rows - within, rows.stop - row, max(1, _READ_BYTES // row_bytes))
            handle.seek(page.dataoffsets[strip] + within * row_bytes)
            block = np.frombuffer(handle.read(n * row_bytes), stored).reshape(
                n, page.imagewidth, self.samples
            )
            out[row - rows.start : row - rows.start + n] = block[:, cols]
            row += n

    def _read_segments(self, out: np.ndarray, rows: slice, cols: slice) -> None:
        for plane in range(self.samples if self.planar else 1):
            for down in range(rows.start // self.chunk_rows, -(-rows.stop // self.chunk_rows)):
                for across in range(cols.start // self.chunk_cols, -(-cols.stop // self.chunk_cols)):
                    self._paste(out, (rows, cols), (plane, down, across))

    def _paste(self, out: np.ndarray, window: tuple[slice, slice], where: tuple[int, int, int]) -> None:
        plane, down, across = where
        segment = self._segment((plane * self.down + down) * self.across + across)
        if segment is None:
            return
        rows, cols = window
        top, left = down * self.chunk_rows, across * self.chunk_cols
        first_row, first_col = max(rows.start, top), max(cols.start, left)
        last_row = min(rows.stop, top + segment.shape[0])
        last_col = min(cols.stop, left + segment.shape[1])
        part = segment[first_row - top : last_row - top, first_col - left : last_col - left]
        channel = slice(plane, plane + 1) if self.planar else slice(None)
        target = out[first_row - rows.start : last_row - rows.start, :, channel]
        target[:, first_col - cols.start : last_col - cols.start] = part

    def _segment(self, index: int) -> np.ndarray | None:
        """Decode a strip or tile (h, w, C); None where a sparse file holds none."""
        if index in self._decoded:
            self._decoded.move_to_end(index)
            return self._decoded[index]
        page, handle = self.opened.page, self.opened.tif.filehandle
        n_bytes = page.databytecounts[index]
        handle.seek(page.dataoffsets[index])
        data = handle.read(n_bytes) if n_bytes else None
        decoded = page.decode(data, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)[0]
        segment = None if decoded is None else decoded[0]
        self._decoded[index] = segment
        while len(self._decoded) > 1 and self._held_bytes() > self._budget():
            self._decoded.popitem(last=False)
        return segment

    def _held_bytes(self) -> int:
        return sum(segment.nbytes for segment in self._decoded.values() if segment is not None)

    def _budget(self) -> int:
        """Hold a row of tiles at least, so that blocks of rows decode each tile once."""
        page = self.opened.page
        row_of_tiles = self.chunk_rows * page.imagewidth * self.samples * self._dtype.itemsize
        return min(max(_CACHE_BYTES, 2 * row_of_tiles), _MAX_SEGMENT_BYTES // 2)
