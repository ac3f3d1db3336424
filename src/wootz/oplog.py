"""The log of operations: one JSON line for each action of a person, appended and never changed.

Labels are a replay of this file, so that a record counts once it is on the disk, and not before. Writers of
several processes take turns by a lock; readers need none, since they take whole lines alone.
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wootz import storage
from wootz.errors import ArchiveError
from wootz.manifest import now
from wootz.progress import say

LOG = "log/operations.jsonl"
LOCK = "log/.lock"
LOCK_WAIT_S = 30.0
LOCK_EVERY_S = 0.002


def append(root: Path, record: Mapping[str, Any]) -> None:
    """Append one operation; it is on the disk when this returns."""
    with writing(root) as log:
        log.append(record)


def load(root: Path) -> list[dict[str, Any]]:
    """Read all operations in order; an unfinished last line is no operation."""
    return read(root)[0]


def read(root: Path, offset: int = 0, *, n_before: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Read the operations from a place in the file on.

    Parameters
    ----------
    root : Path
        The archive.
    offset : int
        Where an earlier call ended, in bytes; 0 for the beginning.
    n_before : int
        How many lines stand before it, for messages.

    Returns
    -------
    records : list of dict
    offset : int
        Behind the last whole line.

    Raises
    ------
    ArchiveError
        If a whole line is damaged: labels are the replay of all lines, so none may be skipped.
    """
    path = root / LOG
    if not path.exists():
        return [], 0
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = data.rfind(b"\n") + 1
    records = []
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], start=n_before + 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise ArchiveError(
                f"line {number} of {path} is damaged ({error}); restore the file from a backup, or remove "
                "the line by hand if you accept to lose that operation."
            ) from error
    return records, offset + whole


class LogWriter:
    """The log while this process alone may write to it. Obtained from `writing`.

    Attributes
    ----------
    torn : Path or None
        Where an unfinished last line was set aside to; its write never returned.
    """

    def __init__(self, root: Path, descriptor: int, *, torn: Path | None) -> None:
        self.torn = torn
        self._root = root
        self._descriptor = descriptor

    def append(self, record: Mapping[str, Any]) -> None:
        """Append one record; it is on the disk when this returns, or not in the file at all.

        Raises
        ------
        ArchiveError
            If the disk is full or the folder must not be written to.
        """
        fields = {"when": now(), **storage.plain(dict(record))}
        line = json.dumps(fields, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with storage.disk_errors(self._root / LOG):
            end = os.lseek(self._descriptor, 0, os.SEEK_END)
            try:
                storage.write_all(self._descriptor, line)
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, end)
                raise


@contextlib.contextmanager
def writing(root: Path) -> Iterator[LogWriter]:
    """Hold the log for writing; other writers wait.

    What an earlier process left unfinished at the end is set aside beside the log, and said.

    Raises
    ------
    ArchiveError
        If another process holds the log for half a minute, or the disk is full.
    """
    path = root / LOG
    with storage.disk_errors(path):
        is_new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _wait_for_lock(root / LOCK)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | storage.BINARY
            descriptor = os.open(path, flags, 0o666)
            try:
                torn = _set_torn_line_aside(path, descriptor)
                yield LogWriter(root, descriptor, torn=torn)
            finally:
                os.close(descriptor)
            if is_new:
                storage.sync_folder(path.parent)
                storage.sync_folder(root)
        finally:
            storage.unlock(lock)


def _wait_for_lock(path: Path) -> int:
    give_up = time.monotonic() + LOCK_WAIT_S
    while (lock := storage.try_lock(path)) is None:
        if time.monotonic() > give_up:
            raise ArchiveError(
                f"another process has held {path} for {LOCK_WAIT_S:g} s; nothing was written. Close other "
                "explorers of this archive, then try again."
            )
        time.sleep(LOCK_EVERY_S)
    return lock


def _set_torn_line_aside(path: Path, descriptor: int) -> Path | None:
    """Move an unfinished last line into a file of its own; returns that file."""
    end = os.lseek(descriptor, 0, os.SEEK_END)
    whole = _end_of_whole_lines(descriptor, end)
    if whole == end:
        return None
    os.lseek(descriptor, whole, os.SEEK_SET)
    rest = os.read(descriptor, end - whole)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"torn-{stamp}-{secrets.token_hex(2)}.txt")
    storage.write_bytes(aside, rest)
    os.ftruncate(descriptor, whole)
    say(
        f"the last line of {path} was unfinished: its writer was killed before it was acknowledged. "
        f"It is set aside in {aside.name}; all earlier operations are intact."
    )
    return aside


def _end_of_whole_lines(descriptor: int, end: int) -> int:
    position = end
    while position > 0:
        step = min(4096, position)
        position -= step
        os.lseek(descriptor, position, os.SEEK_SET)
        newline = os.read(descriptor, step).rfind(b"\n")
        if newline >= 0:
            return position + newline + 1
    return 0
