"""A TIFF read in one go: its tags and pixels are then found in memory.

Every call to the system lets go of the interpreter lock, and asks for it again among the threads that read
beside it. tifffile makes some forty of them per file; of a whole file it makes none, and the pixels of an
uncompressed picture are where they are needed without another copy.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from wootz.readers.damage import SIGNATURES

MAX_BYTES = 1 << 26
_START_BYTES = 16


def whole_tiff(path: Path) -> np.ndarray | None:
    """Bytes of a TIFF file, (n,) uint8; None for other files, and those of more than 64 MiB.

    What cannot be opened is None too: whoever tries next says why.
    """
    try:
        with path.open("rb", buffering=0) as file:
            start = file.read(_START_BYTES)
            n_bytes = os.fstat(file.fileno()).st_size
            kinds = (kind for signature, kind in SIGNATURES.items() if start.startswith(signature))
            if next(kinds, "") != "tiff" or not _START_BYTES < n_bytes <= MAX_BYTES:
                return None
            data = np.empty(n_bytes, np.uint8)
            data[:_START_BYTES] = np.frombuffer(start, np.uint8)
            n_read = _START_BYTES
            while n_read < n_bytes and (n := file.readinto(data[n_read:].data)):
                n_read += n
    except OSError:
        return None
    return data[:n_read]


class MemoryFile:
    """Bytes that are read like a file.

    Parameters
    ----------
    data : (n,) uint8
    name : str
    """

    def __init__(self, data: np.ndarray, name: str) -> None:
        self.name = name
        self._data = data
        self._position = 0

    def tell(self) -> int:
        """Give the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to `offset` from the start, the position or the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise OSError(f"{self.name}: position {base + offset} lies before the start")
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or to the end."""
        stop = len(self._data) if size < 0 else self._position + size
        part = self._data[self._position : stop].tobytes()
        self._position += len(part)
        return part

    def readinto(self, buffer: bytearray | memoryview | np.ndarray) -> int:
        """Fill a buffer as far as the bytes go; returns how many there were."""
        target = np.frombuffer(buffer, np.uint8)
        part = self._data[self._position : self._position + len(target)]
        target[: len(part)] = part
        self._position += len(part)
        return len(part)
