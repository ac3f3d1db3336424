"""A chain of steps that goes on where it was stopped: each finished step leaves a JSON file."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wootz import storage
from wootz.errors import WootzError
from wootz.progress import say

WAIT_S = 5.0


@contextmanager
def alone(lock: Path, *, what: str) -> Iterator[None]:
    """Do something that no two processes may do at a time; whoever comes second waits, and says for what.

    Parameters
    ----------
    lock : Path
        A file for the lock; made when missing.
    what : str
        What the other process does, to follow "waiting for another process that".
    """
    while (held := storage.try_lock(lock)) is None:
        say(f"waiting for another process that {what} ...")
        time.sleep(WAIT_S)
    try:
        yield
    finally:
        storage.unlock(held)


class Steps:
    """The steps of one long command in one folder.

    Parameters
    ----------
    folder : Path
        Where the JSON files go; made when missing.
    settings : dict
        Plain values that decide the results; a folder begun with other settings is refused.

    Raises
    ------
    WootzError
        If the folder was begun with other settings.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        with storage.disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        note = folder / "settings.json"
        if note.exists():
            begun = json.loads(note.read_text())
            differ = sorted(k for k in begun.keys() | settings.keys() if begun.get(k) != settings.get(k))
            if differ:
                raise WootzError(
                    f"{folder.parent} was begun with other settings ({', '.join(differ)}); give another "
                    "folder, or remove this one to start anew."
                )
        else:
            storage.write_json(note, settings)

    def do(self, name: str, title: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Run `work` unless it was finished before; return its figures.

        Parameters
        ----------
        name : str
            Name of the step and of its JSON file.
        title : str
            What the user reads while it runs.
        work : callable
            Returns plain values (numbers, strings, lists, dicts).
        """
        done = self.folder / f"{name}.json"
        if done.exists():
            record = json.loads(done.read_text())
            say(f"{title}: done before")
        else:
            say(f"{title} ...")
            start = time.monotonic()
            record = {"figures": work(), "seconds": round(time.monotonic() - start, 2)}
            storage.write_json(done, record)
        self.seconds[name] = record["seconds"]
        return record["figures"]
