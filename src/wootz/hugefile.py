"""Large files written in aligned pieces, so that the system keeps them in huge pages.

Linux gives the page cache of a file pages as large as the writes that fill it. A window of 128 rows touches
40 small pages but one or two huge ones: a shard written in pieces of 8 MiB instead of field by field is
read a quarter faster (.53 instead of .43 of the rate of pre-cut tiles, on a machine with other work).

Pieces of 1 MiB do as well, and not more than that: the largest pages, of 2 MiB, are those that a virtual
machine gives back to its host when they are free, and to get one again takes ten times as long as to fill it
(0.7 instead of 0.07 s of processor time for 300 MB, measured on one that had rested for 4 s).
"""

from pathlib import Path
from typing import Any

from wootz.storage import DurableFile

PIECE_BYTES = 1 << 20


class HugeFile:
    """A `DurableFile` that passes on whole pieces, each at a multiple of its size."""

    def __init__(self, path: Path) -> None:
        self._file = DurableFile(path)
        self._piece = bytearray(PIECE_BYTES)
        self._n_waiting = 0

    @property
    def size(self) -> int:
        """Bytes so far, those that wait for their piece to be full included."""
        return self._file.size + self._n_waiting

    def write(self, data: Any) -> None:
        """Append all of `data` (anything with the buffer protocol, C-contiguous)."""
        view = memoryview(data).cast("B")
        while len(view) >= (room := PIECE_BYTES - self.size % PIECE_BYTES):
            n_waiting, self._n_waiting = self._n_waiting, 0
            self._file.write(memoryview(self._piece)[:n_waiting], view[:room])
            view = view[room:]
        self._piece[self._n_waiting : self._n_waiting + len(view)] = view
        self._n_waiting += len(view)

    def rewind(self, size: int) -> None:
        """Forget everything after the first `size` bytes."""
        self._n_waiting = max(0, size - self._file.size)
        if size < self._file.size:
            self._file.rewind(size)

    def overwrite_head(self, data: bytes) -> None:
        """Replace the first ``len(data)`` bytes."""
        self._pass_on()
        self._file.overwrite_head(data)

    def flush(self) -> None:
        """Send all of it to the disk in the background, so that `commit` waits for little."""
        self._pass_on()
        self._file.flush()

    def commit(self) -> None:
        """Put the bytes on the disk, then give the file its name."""
        self._pass_on()
        self._file.commit()

    def discard(self) -> None:
        """Remove the unfinished file; harmless after `commit`."""
        self._file.discard()

    def _pass_on(self) -> None:
        if self._n_waiting:
            n_bytes, self._n_waiting = self._n_waiting, 0
            self._file.write(memoryview(self._piece)[:n_bytes])
