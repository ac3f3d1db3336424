"""The files of an archive and the transactions that change them.

Files are written under new names and never changed; the manifest says which of them count. A kill at any
moment leaves the old manifest with all of its files, and perhaps files that nobody lists, which the next
writer removes. One writer at a time: an advisory lock that the system releases when a process dies.
"""

import contextlib
import io
import json
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from wootz import storage
from wootz.errors import ArchiveError
from wootz.manifest import NAME, listed_files, read_manifest, write_manifest
from wootz.tables import conform, empty, join_rows

MAX_PARTS = 32
LOCK_WAIT_S = 60.0
OWN_FOLDERS = ("tables", "pixels", "embeddings", "masks", "maps")


class Store:
    """The files of an archive: committed tables and what a transaction adds to them.

    Parameters
    ----------
    root : Path
        Folder of the archive; it must hold a manifest (see `create`).
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._mutex = threading.RLock()
        self._open: Transaction | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._committed: dict[str, Any] = {}
        self._cache: dict[str, tuple[list[str], pd.DataFrame]] = {}
        self._verified: set[str] = set()
        self._swept = False
        self._refresh()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it stands on disk, or as the open transaction of this thread will leave it."""
        with self._mutex:
            if self._open is not None:
                return self._open.manifest
            self._refresh()
            return self._committed

    def table(self, name: str) -> pd.DataFrame:
        """Read a table; do not change the frame (it is shared).

        Raises
        ------
        ArchiveError
            If a part of it is damaged or gone.
        """
        with self._mutex:
            for last_try in (False, True):
                parts = self.manifest["tables"].get(name, [])
                files = [part["file"] for part in parts]
                cached = self._cache.get(name)
                if cached is not None and cached[0] == files:
                    return cached[1]
                try:
                    frame = join_rows([self._read_part(part) for part in parts] or [empty(name)], table=name)
                except FileNotFoundError as error:
                    # another process may have replaced the part since the manifest was read
                    if last_try:
                        raise ArchiveError(
                            storage.damaged(Path(error.filename), "the file is gone")
                        ) from error
                    self._stamp = None
                    continue
                self._cache[name] = (files, frame)
                return frame
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """Collect changes and commit them in one step at the end; nested ones join the outermost."""
        with self._mutex:
            if self._open is not None:
                yield self._open
                return
            with _write_lock(self.root):
                self._refresh()
                self._open = Transaction(self, json.loads(json.dumps(self._committed)))
                try:
                    if not self._swept:
                        self._open.remove_leftovers()
                        self._swept = True
                    yield self._open
                    self._open.commit()
                except BaseException:
                    self._cache.clear()
                    # the rename may have happened although what followed it failed: then the files count
                    if read_manifest(self.root / NAME)["serial"] < self._open.manifest["serial"]:
                        self._open.roll_back()
                    raise
                finally:
                    self._open = None
                    self._stamp = None

    def remember(self, name: str, files: list[str], frame: pd.DataFrame) -> None:
        """Keep a table that was just written, so that it need not be read back."""
        self._cache[name] = (files, frame)

    def read_file(self, record: dict[str, Any]) -> bytes:
        """Read a recorded file and check it.

        Raises
        ------
        ArchiveError
            If it is gone, or not what was written.
        """
        path = self.root / record["file"]
        try:
            return storage.read_bytes(path, record)
        except FileNotFoundError as error:
            raise ArchiveError(storage.damaged(path, "the file is gone")) from error

    def verify_once(self, record: dict[str, Any]) -> None:
        """Compare a file with its recorded checksum, the first time that this object meets it.

        Raises
        ------
        ArchiveError
            If it is not what was written.
        """
        if record["file"] in self._verified:
            return
        path = self.root / record["file"]
        if storage.hash_file(path) != record["sha256"]:
            raise ArchiveError(storage.damaged(path, "its content differs"))
        self._verified.add(record["file"])

    def _read_part(self, part: dict[str, Any]) -> pd.DataFrame:
        path = self.root / part["file"]
        data = storage.read_bytes(path, part)
        return pd.read_parquet(io.BytesIO(data))

    def _refresh(self) -> None:
        path = self.root / NAME
        try:
            status = path.stat()
        except FileNotFoundError:
            raise ArchiveError(
                f"{self.root} is no wootz archive (it holds no {NAME}); make one with "
                f"`wootz ingest {self.root} FOLDER`, or check the path."
            ) from None
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp != self._stamp:
            self._committed = read_manifest(path)
            self._stamp = stamp


class Transaction:
    """Changes that become visible together. Obtained from `Store.transaction`."""

    def __init__(self, store: Store, manifest: dict[str, Any]) -> None:
        self.store = store
        self.manifest = manifest
        self.manifest["serial"] += 1
        self._changed = False
        self._written: list[Path] = []
        self._dropped: list[Path] = []

    def new_path(self, folder: str, stem: str, suffix: str) -> Path:
        """Make up a file name that was never used and never will be, so that it can stand for the content.

        The serial orders the names for a person; the random part keeps what was taken back apart from what
        is written next.
        """
        name = f"{stem}-{self.manifest['serial']:06d}-{secrets.token_hex(3)}{suffix}"
        path = self.store.root / folder / name
        self._written.append(path)
        self._changed = True
        return path

    def record(self, path: Path, facts: dict[str, Any]) -> dict[str, Any]:
        """Describe a written file as the manifest does: its name below the root, and its checks."""
        return {"file": path.relative_to(self.store.root).as_posix(), **facts}

    def replace_table(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table anew."""
        frame = conform(name, frame)
        for part in self.manifest["tables"].get(name, []):
            self.drop(part["file"])
        self.manifest["tables"][name] = [self._write_part(name, frame)]
        self._remember(name, frame)

    def append_table(self, name: str, frame: pd.DataFrame) -> None:
        """Add rows to a table as a new part; many small parts are merged into one."""
        frame = conform(name, frame)
        if not len(frame):
            return
        parts = self.manifest["tables"].setdefault(name, [])
        stacked = join_rows([self.store.table(name), frame], table=name)
        if len(parts) + 1 > MAX_PARTS:
            self.replace_table(name, stacked)
        else:
            parts.append(self._write_part(name, frame))
            self._remember(name, stacked)

    def change(self) -> dict[str, Any]:
        """Give out the manifest for changing; the change is committed with the rest."""
        self._changed = True
        return self.manifest

    def drop(self, file: str) -> None:
        """Remove a file once the commit has succeeded."""
        self._dropped.append(self.store.root / file)
        self._changed = True

    def commit(self) -> None:
        """Replace the manifest; from here on the changes count."""
        if not self._changed:
            return
        write_manifest(self.store.root / NAME, self.manifest)
        for path in self._dropped:
            with contextlib.suppress(OSError):
                path.unlink()

    def roll_back(self) -> None:
        """Remove what was written; the committed manifest knows nothing of it."""
        for path in self._written:
            with contextlib.suppress(OSError):
                path.unlink()

    def remove_leftovers(self) -> None:
        """Delete files that a killed writer left behind: temporary ones, and those that no manifest lists."""
        listed = set(listed_files(self.store.root, self.store._committed))
        for folder in OWN_FOLDERS:
            for path in (self.store.root / folder).rglob("*"):
                unfinished = path.name.startswith(".") and path.name.endswith(storage.TEMPORARY)
                stray = path.suffix in {".npy", ".parquet", ".png"} and path not in listed
                if path.is_file() and (unfinished or stray):
                    with contextlib.suppress(OSError):
                        path.unlink()

    def _write_part(self, name: str, frame: pd.DataFrame) -> dict[str, Any]:
        path = self.new_path("tables", name, ".parquet")
        return self.record(path, {"rows": len(frame), **storage.write_parquet(path, frame)})

    def _remember(self, name: str, frame: pd.DataFrame) -> None:
        self.store.remember(name, [part["file"] for part in self.manifest["tables"][name]], frame)


@contextlib.contextmanager
def _write_lock(root: Path) -> Iterator[None]:
    """Let one process write at a time; the system frees the lock when its holder dies."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while (lock := storage.try_lock(root / ".lock")) is None:
        if time.monotonic() > deadline:
            raise ArchiveError(
                f"another wootz process has been writing to {root} for {LOCK_WAIT_S:.0f} s; wait until it "
                "ends and run the same command again."
            )
        time.sleep(0.02)
    try:
        yield
    finally:
        storage.unlock(lock)
