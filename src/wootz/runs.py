"""Computations: one folder per run."""

import contextlib
import json
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from wootz import storage
from wootz.manifest import now

COLUMNS = ["run", "command", "status", "started", "seconds", "seed", "version", "checkpoint", "folder"]


class Run:
    """A computation in progress. Obtained from `Archive.start_run`.

    Attributes
    ----------
    id : str
        Such as ``pretrain-20261121-101112-ab12``.
    folder : Path
        For everything that the computation leaves behind: checkpoints, histories, figures.
    resumed : bool
        Whether the folder holds the unfinished work of an earlier process.
    joined : bool
        Whether another process leads the run (see `wootz.launch`); this one then writes nothing down.
    """

    def __init__(
        self, folder: Path, record: dict[str, Any], *, resumed: bool = False, joined: bool = False
    ) -> None:
        self.id: str = record["run"]
        self.folder = folder
        self.resumed = resumed
        self.joined = joined
        self._record = record
        self._start = time.monotonic()
        self._lock = None if joined else storage.try_lock(folder / ".lock")

    @property
    def is_mine(self) -> bool:
        """Whether this process holds the run; False while another process works on it."""
        return self._lock is not None

    def finish(self, outputs: Mapping[str, Any], checkpoint: Path | str | None = None) -> None:
        """Note what came out; the checkpoint is recorded with its SHA-256."""
        facts: dict[str, Any] = {"status": "finished", "outputs": dict(outputs)}
        if checkpoint is not None and not self.joined:
            path = Path(checkpoint)
            facts["checkpoint"] = str(path)
            facts["checkpoint_sha256"] = storage.hash_file(path)
        self._write(facts)

    def fail(self, reason: str) -> None:
        """Note why the computation ended without a result."""
        self._write({"status": "failed", "reason": reason})

    def note(self, **facts: Any) -> None:
        """Write down facts about the running computation."""
        self._record |= facts
        storage.write_json(self.folder / "run.json", self._record)

    def _write(self, facts: dict[str, Any]) -> None:
        if self.joined:
            return
        self._record |= facts | {"ended": now(), "seconds": round(time.monotonic() - self._start, 3)}
        storage.write_json(self.folder / "run.json", self._record)
        storage.unlock(self._lock)
        self._lock = None


def start(
    root: Path, command: str, config: Mapping[str, Any], *, seed: int | None, inputs: Mapping[str, Any]
) -> Run:
    """Make the folder of a run and write down what it starts from (see `Archive.start_run`)."""
    from wootz import __version__

    folder = _new_folder(root / "runs", command)
    record = {
        "run": folder.name,
        "command": command,
        "status": "running",
        "started": now(),
        "config": dict(config),
        "seed": seed,
        "inputs": dict(inputs),
        "version": __version__,
    }
    storage.write_json(folder / "run.json", record)
    return Run(folder, record)


def _new_folder(runs: Path, command: str) -> Path:
    """Make a folder of a name that nobody else has, however many runs start in one second."""
    while True:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        folder = runs / f"{command}-{stamp}-{secrets.token_hex(2)}"
        with storage.disk_errors(folder), contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            return folder


def resume(
    root: Path, command: str, config: Mapping[str, Any], *, seed: int | None, inputs: Mapping[str, Any]
) -> Run | None:
    """Find the newest run of the same command, options and inputs that was killed; None if there is none.

    A run that another process is still working on (it holds the lock of the folder) is left alone.
    """
    from wootz import __version__

    wanted = storage.plain(
        {
            "command": command,
            "config": dict(config),
            "seed": seed,
            "inputs": dict(inputs),
            "version": __version__,
        }
    )
    found = []
    for path in (root / "runs").glob(f"{command}-*/run.json"):
        try:
            record = json.loads(path.read_bytes())
        except ValueError:
            continue
        if record.get("status") == "running" and all(record.get(k) == v for k, v in wanted.items()):
            found.append((record["started"], path.parent.name, record))
    for _, name, record in sorted(found, key=lambda item: item[:2], reverse=True):
        run = Run(root / "runs" / name, record, resumed=True)
        if run.is_mine:
            return run
    return None


def load(root: Path) -> pd.DataFrame:
    """List the runs, oldest first; `config`, `inputs` and `outputs` stay in each folder's run.json."""
    rows = []
    for path in sorted((root / "runs").glob("*/run.json")):
        try:
            record = json.loads(path.read_bytes())
        except ValueError:
            record = {"run": path.parent.name, "status": "damaged"}
        rows.append({name: record.get(name) for name in COLUMNS} | {"folder": str(path.parent)})
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.sort_values("started", kind="stable", ignore_index=True)
