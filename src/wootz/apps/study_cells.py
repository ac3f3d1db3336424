"""Run the cells of a study: one JSON each, resumable, within a time budget, no failure lost."""

import contextlib
import inspect
import json
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from wootz import __version__, storage
from wootz.apps.steps import alone
from wootz.apps.study_grid import Experiment, Params, cell_id
from wootz.manifest import now
from wootz.progress import say

PACKAGES = ("numpy", "torch", "lightly", "faiss-cpu", "scikit-learn", "segmentation-models-pytorch")
MAX_CRASHES = 3
QUIET_S = 2.0


@dataclass
class Outcome:
    """What became of a run over the cells.

    Parameters
    ----------
    records : list of dict
        One per cell that was ever begun, as in its JSON file.
    left : list of dict
        Parameters of the cells that were not begun.
    reason : str
        Why cells are left; ``""`` where none are.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    left: list[Params] = field(default_factory=list)
    reason: str = ""


class CellStore:
    """The JSON files of a study's cells in one folder.

    Parameters
    ----------
    folder : Path
        Made when missing. Holds ``cells/<id>.json`` and ``work/<id>/``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with storage.disk_errors(folder):
            (folder / "cells").mkdir(parents=True, exist_ok=True)

    def path(self, params: Params) -> Path:
        """Return the file of a cell."""
        return self.folder / "cells" / f"{cell_id(params)}.json"

    def work(self, params: Params) -> Path:
        """Return the working folder of a cell, made when missing."""
        folder = self.folder / "work" / cell_id(params)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def load(self, params: Params) -> dict[str, Any] | None:
        """Read the record of a cell; None where it was never begun. A damaged file is moved aside."""
        path = self.path(params)
        try:
            record = json.loads(path.read_text())
            if not isinstance(record, dict) or "status" not in record:
                raise ValueError("no record of a cell")
        except FileNotFoundError:
            return None
        except ValueError as error:
            aside = path.with_suffix(".damaged")
            path.replace(aside)
            say(f"{path.name} is damaged ({error}); it was moved to {aside.name} and the cell runs again")
            return None
        return record

    def save(self, record: Mapping[str, Any]) -> None:
        """Write the record of a cell atomically."""
        storage.write_json(self.path(record["params"]), record)


def run_cells(
    experiment: Experiment,
    cells: list[Params],
    *,
    folder: Path,
    fixed: Params,
    budget_s: float,
    retry_failed: bool = True,
) -> Outcome:
    """Run all cells that are not done, until the budget is spent.

    Parameters
    ----------
    experiment : Experiment
    cells : list of dict
        Parameters, in the order in which to run.
    folder : Path
        Folder of the study. Several processes may work in it at once: each cell is run by one of them.
    fixed : dict
        Given to `Experiment.prepare`.
    budget_s : float
        A cell is not begun when this process has been at work for so long that the cell, by the time that
        the most similar one took, would end after the budget.
    retry_failed : bool
        Run failed cells again; a cell that took its process down three times is not begun a fourth time.

    Raises
    ------
    KeyboardInterrupt
        When interrupted; the cell at work is noted as interrupted and runs again next time.
    """
    store = CellStore(folder)
    start = time.monotonic()
    known = [(params, store.load(params)) for params in cells]
    waiting = [params for params, record in known if _is_open(record, retry_failed=retry_failed)]
    outcome = Outcome([record for params, record in known if record is not None and params not in waiting])
    say(f"{len(cells)} cells: {len(cells) - len(waiting)} done before, {len(waiting)} to run")
    shared = _prepare(store, experiment, fixed) if waiting else None
    elsewhere = []
    for i, params in enumerate(waiting):
        spent = time.monotonic() - start
        expected = expected_seconds(params, outcome.records)
        if spent + expected > budget_s:
            outcome.left = waiting[i:]
            outcome.reason = (
                f"the budget of {budget_s / 60:g} min: {spent / 60:.1f} min are spent and the next cell "
                f"takes about {expected / 60:.1f} min"
            )
            say(f"stopping before {describe(params)}: {outcome.reason}")
            break
        with _claim(store.path(params).with_suffix(".lock")) as is_mine:
            if not is_mine:
                elsewhere.append(params)
                continue
            record = store.load(params)
            if record is None or _is_open(record, retry_failed=retry_failed):
                record = _run_cell(store, experiment, params, shared=shared)
        outcome.records.append(record)
        _report(record, done=i + 1, total=len(waiting), spent=time.monotonic() - start)
    for params in elsewhere:
        record = store.load(params)
        if record is not None and record["status"] == "done":
            outcome.records.append(record)
        else:
            outcome.left.append(params)
            outcome.reason = outcome.reason or "another process that works on them"
    return outcome


@contextlib.contextmanager
def _claim(path: Path) -> Iterator[bool]:
    """Say whether a cell is ours to run; the system frees the claim when its process dies."""
    lock = storage.try_lock(path)
    try:
        yield lock is not None
    finally:
        storage.unlock(lock)


def _is_open(record: Mapping[str, Any] | None, *, retry_failed: bool) -> bool:
    if record is None:
        return True
    match record["status"]:
        case "done":
            return False
        case "running":  # its process died without a word
            return record["crashes"] + 1 < MAX_CRASHES
        case "interrupted":
            return True
        case _:
            return retry_failed


def _prepare(store: CellStore, experiment: Experiment, fixed: Params) -> Path | None:
    if experiment.prepare is None:
        return None
    shared = store.folder / "shared"
    shared.mkdir(exist_ok=True)
    with alone(store.folder / ".lock", what="prepares this study"):
        _prepare_once(store, experiment.prepare, fixed, shared=shared)
    return shared


def _prepare_once(
    store: CellStore, prepare: Callable[..., Mapping[str, Any]], fixed: Params, *, shared: Path
) -> None:
    start = time.monotonic()
    figures = dict(prepare(dict(fixed), shared))
    note = {"figures": figures, "seconds": round(time.monotonic() - start, 2), "versions": versions()}
    path = store.folder / "prepare.json"
    if path.exists():  # the first time is the one that did the work
        note["seconds"] = max(note["seconds"], json.loads(path.read_text())["seconds"])
    storage.write_json(path, note)


def _run_cell(
    store: CellStore, experiment: Experiment, params: Params, *, shared: Path | None
) -> dict[str, Any]:
    """Run one cell and write its record, whatever happens short of the process's death."""
    before = store.load(params) or {}
    record: dict[str, Any] = {
        "params": params,
        "status": "running",
        "crashes": before.get("crashes", 0) + (before.get("status") == "running"),
        "started": now(),
        "seconds": None,
        "figures": {},
        "error": before.get("error", ""),
        "versions": versions(),
        "code": code_hash(experiment),
    }
    store.save(record)
    start = time.monotonic()
    extra = {} if shared is None else {"shared": shared}
    try:
        record["figures"] = _checked(experiment.cell(dict(params), store.work(params), **extra), params)
        record |= {"status": "done", "error": ""}
    except KeyboardInterrupt:
        store.save(record | {"status": "interrupted", "seconds": round(time.monotonic() - start, 3)})
        raise
    except Exception as error:  # noqa: BLE001 - a study goes on; the record keeps the whole story
        trace = traceback.format_exc(limit=12)
        record |= {"status": "failed", "error": f"{type(error).__name__}: {error}", "trace": trace}
    record["seconds"] = round(time.monotonic() - start, 3)
    store.save(record)
    return json.loads(storage.json_bytes(record))


def _checked(figures: Any, params: Params) -> dict[str, Any]:
    if not isinstance(figures, Mapping) or not figures:
        raise TypeError(f"a cell must return its figures by name, not {figures!r}")
    if both := sorted(figures.keys() & params.keys()):
        raise TypeError(f"a cell's figures must not be called as its parameters are: {', '.join(both)}")
    return dict(figures)


def expected_seconds(params: Params, records: list[dict[str, Any]]) -> float:
    """Return the longest time of the done cells that share the most parameters; 0 where none is done."""
    done = [r for r in records if r["status"] == "done"]
    if not done:
        return 0.0
    alike = [sum(r["params"].get(key) == value for key, value in params.items()) for r in done]
    return max(r["seconds"] for r, n in zip(done, alike, strict=True) if n == max(alike))


def versions() -> dict[str, str]:
    """Return what the figures depend on: versions of wootz, Python and packages, and the machine."""
    found = {"wootz": __version__, "python": platform.python_version(), "cpus": str(os.cpu_count())}
    found["machine"] = f"{platform.system()} {platform.machine()}"
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def code_hash(experiment: Experiment) -> str:
    """Return a fingerprint of the file that holds the cell, so that mixed results show; "" in a shell."""
    try:
        return storage.hash_file(Path(inspect.getfile(inspect.unwrap(experiment.cell))))[:12]
    except (OSError, TypeError):
        return ""


def describe(params: Params) -> str:
    """Write parameters on one line."""
    return " ".join(f"{key}={value}" for key, value in params.items())


def _report(record: Mapping[str, Any], *, done: int, total: int, spent: float) -> None:
    """Say what a cell gave and how long the rest takes; short cells are passed over but for the last."""
    failed = record["status"] == "failed"
    if record["seconds"] < QUIET_S and done < total and not failed:
        return
    left = (total - done) * spent / done
    figures = {k: v for k, v in record["figures"].items() if isinstance(v, int | float)}
    shown = " ".join(f"{k}={v:.4g}" for k, v in list(figures.items())[:4])
    result = f"FAILED {record['error']}" if failed else shown
    rest = f", about {left / 60:.1f} min left" if left > QUIET_S else ""
    say(f"[{done}/{total}] {describe(record['params'])}: {result} ({record['seconds']:.1f} s{rest})")
