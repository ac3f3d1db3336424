"""Files that are either whole or absent: write beside, fsync, rename, fsync the folder.

Every byte of an archive goes to disk through this module, so that a test can cut the power between any two
of its system calls and a full disk gives one message everywhere.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from wootz.errors import ArchiveError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
TEMPORARY = ".tmp"
BINARY = getattr(os, "O_BINARY", 0)  # Windows alone would translate line ends
NPY_HEADER_BYTES = 128
FLUSH_BYTES = 32 << 20


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into an `ArchiveError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ArchiveError(
                f"disk full while writing {path} ({error.strerror}); nothing was lost, all that was stored "
                "before is intact; free space and run the same command again."
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise ArchiveError(
                f"{path} cannot be written ({error.strerror}); check the permissions of the folder, or copy "
                "the archive to a place that you may write to."
            ) from error
        raise


class DurableFile:
    """A file under construction; it takes its name only when `commit` has put all of it on the disk.

    Parameters
    ----------
    path : Path
        Final name. The bytes go to a hidden temporary file in the same folder first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._flushed = 0
        self._flusher: ThreadPoolExecutor | None = None
        self._flush: Future[None] | None = None
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY, 0o666)

    def write(self, *data: Any) -> None:
        """Append all of `data` (anything with the buffer protocol, C-contiguous), several in one go."""
        with disk_errors(self.path):
            self.size += write_all(self._fd, *data)
            if self.size - self._flushed >= FLUSH_BYTES and (self._flush is None or self._flush.done()):
                self.flush()

    def rewind(self, size: int) -> None:
        """Forget everything after the first `size` bytes."""
        self._flushed = min(self._flushed, size)
        os.ftruncate(self._fd, size)
        os.lseek(self._fd, size, os.SEEK_SET)
        self.size = size

    def overwrite_head(self, data: bytes) -> None:
        """Replace the first ``len(data)`` bytes."""
        with disk_errors(self.path):
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.write(self._fd, data)
            os.lseek(self._fd, 0, os.SEEK_END)

    def commit(self) -> None:
        """Put the bytes on the disk, then give the file its name."""
        with disk_errors(self.path):
            self._finish_flush()
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._temporary.replace(self.path)
            sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove the unfinished file; harmless after `commit`."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                self._finish_flush()
            os.close(self._fd)
            self._fd = -1
            with contextlib.suppress(OSError):
                self._temporary.unlink()

    def flush(self) -> None:
        """Send what is written so far to the disk in the background, so that `commit` waits for little."""
        before = self._flush

        def work() -> None:
            if before is not None:
                before.result()  # an error of the disk is told once, by the system; it must come out
            getattr(os, "fdatasync", os.fsync)(self._fd)

        self._flusher = self._flusher or ThreadPoolExecutor(1, thread_name_prefix="wootz-flush")
        self._flush = self._flusher.submit(work)
        self._flushed = self.size

    def _finish_flush(self) -> None:
        """Wait for the bytes on their way to the disk; an error of the disk comes out here."""
        flush, self._flush = self._flush, None
        if self._flusher is not None:
            self._flusher.shutdown()
            self._flusher = None
        if flush is not None:
            flush.result()


def write_all(descriptor: int, *data: Any) -> int:
    """Write all of some buffers, however little the system takes at a time; returns their length in bytes."""
    views = [view for part in data if len(view := memoryview(part).cast("B"))]
    n_bytes = sum(len(view) for view in views)
    while views:
        together = len(views) > 1 and hasattr(os, "writev")
        n_written = os.writev(descriptor, views) if together else os.write(descriptor, views[0])
        while views and n_written >= len(views[0]):
            n_written -= len(views.pop(0))
        if n_written:
            views[0] = views[0][n_written:]
    return n_bytes


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (a rename is not, until its folder is synced)."""
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes | memoryview) -> dict[str, Any]:
    """Write a file atomically.

    Returns
    -------
    dict
        ``bytes`` (its length) and ``sha256`` (hexadecimal), what `read_bytes` checks against.
    """
    file = DurableFile(path)
    try:
        file.write(data)
        file.commit()
    finally:
        file.discard()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def write_json(path: Path, value: Any) -> dict[str, Any]:
    """Write JSON atomically, indented, so that a person can read it; NaN becomes null."""
    return write_bytes(path, json_bytes(value))


def write_npy(path: Path, array: np.ndarray) -> dict[str, Any]:
    """Write an array as ``.npy`` atomically."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return write_bytes(path, buffer.getbuffer())


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write named arrays as ``.npz`` atomically."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return write_bytes(path, buffer.getbuffer())


def write_parquet(path: Path, frame: Any) -> dict[str, Any]:
    """Write a DataFrame as Parquet (zstd) atomically."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return write_bytes(path, buffer.getbuffer())


def read_bytes(path: Path, record: dict[str, Any]) -> bytes:
    """Read a file and compare it with what was recorded when it was written.

    Raises
    ------
    ArchiveError
        If the file is shorter, longer or otherwise not what was written.
    """
    data = path.read_bytes()
    if len(data) != record["bytes"] or hashlib.sha256(data).hexdigest() != record["sha256"]:
        raise ArchiveError(damaged(path, f"{len(data)} bytes, recorded were {record['bytes']}"))
    return data


def hash_file(path: Path) -> str:
    """Compute the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(path: Path, what: str) -> str:
    """Word the message about a file that is not what was written."""
    return (
        f"{path} is damaged ({what}; its checksum does not fit) and was not read; restore the file from a "
        "backup, or run `wootz repair ARCHIVE`, which sets damaged parts aside, and then the same "
        "commands again: they fill the gaps."
    )


def json_bytes(value: Any) -> bytes:
    """Encode as JSON with sorted keys (one form per value, so that it can be hashed)."""
    return json.dumps(plain(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def json_line(value: Any) -> str:
    """Encode as JSON without line breaks, in less than half the time."""
    return json.dumps(plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False)


def fingerprint(value: Any) -> str:
    """Hash a JSON-like value: 16 hexadecimal digits of SHA-256 of its sorted form."""
    return hashlib.sha256(json_bytes(value)).hexdigest()[:16]


def npy_header(dtype: np.dtype, n_items: int) -> bytes:
    """Build the header of a 1-D ``.npy`` file in exactly 128 bytes, so that it can be rewritten in place."""
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({n_items},), }}"
    room = NPY_HEADER_BYTES - 10
    return b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + text.ljust(room - 1).encode() + b"\n"


def plain(value: Any) -> Any:
    """Turn numpy scalars and arrays, paths, tuples, slices and bytes into what JSON knows."""
    match value:
        case dict():
            encoded = {str(k): plain(v) for k, v in value.items()}
        case list() if set(map(type, value)) == {str}:  # ids by the million: nothing to turn
            encoded = value
        case list() | tuple() | set():
            encoded = [plain(v) for v in value]
        case np.ndarray() | np.generic():
            encoded = plain(value.tolist())
        case float() if not np.isfinite(value):
            encoded = None
        case bool() | int() | float() | str() | None:
            encoded = value
        case bytes():
            encoded = value.decode("latin-1")
        case slice():
            encoded = f"{value.start}:{value.stop}"
        case _:
            encoded = str(value)
    return encoded


def try_lock(path: Path) -> int | None:
    """Take an advisory lock that the system frees when this process dies; None while another holds it."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock between processes
        return -1
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # a network file system without locks
        os.close(descriptor)
        return -1
    return descriptor


def unlock(descriptor: int | None) -> None:
    """Give back a lock of `try_lock`."""
    if descriptor is not None and descriptor >= 0:
        os.close(descriptor)
