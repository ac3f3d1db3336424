"""Several processes of one training: which one this is, and in which run they all work.

The first process starts the run. Those that Lightning starts on this machine learn its id from an environment
variable; those that SLURM or torchrun starts look for the run of their own launch.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from wootz.errors import WootzError
from wootz.runs import Run

RUN_VARIABLE = "WOOTZ_RUN"
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # of torchrun, Lightning and SLURM, in Lightning's order
WAIT_S = 600.0


def process_rank(*, n_processes: int) -> int:
    """Return the number of this process in a training by several; 0 for the first, and for one alone."""
    found = [os.environ[name] for name in RANKS if name in os.environ]
    return int(found[0]) if n_processes > 1 and found else 0


def launch_name() -> str:
    """Name the launch that this process belongs to, differently after each requeue; empty if unknown."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    if "SLURM_JOB_ID" not in os.environ:
        names = ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT")
    return ".".join(filter(None, (os.environ.get(name, "") for name in names)))


def lead(run: Run) -> Run:
    """Let the other processes of this launch find a run; returns it."""
    os.environ[RUN_VARIABLE] = run.id
    run.note(launch=launch_name())
    return run


def follow(root: Path, command: str, *, wait_s: float = WAIT_S) -> Run:
    """Join the run of the first process: the same folder, but nothing is written down.

    Parameters
    ----------
    root : Path
        Of the archive.
    command : str
        Name of the verb.
    wait_s : float
        How long to wait for the first process.

    Raises
    ------
    WootzError
        If it has not started one by then.
    """
    deadline = time.monotonic() + wait_s
    while (record := _record(root, command)) is None:
        if time.monotonic() > deadline:
            raise WootzError(
                f"the first process of this training started no run in {root} within {wait_s:.0f} s; look "
                "at its own messages. All processes must see the archive under the same path."
            )
        time.sleep(min(0.2, wait_s))
    return Run(root / "runs" / record["run"], record, joined=True)


def _record(root: Path, command: str) -> dict[str, Any] | None:
    """Find the run of this launch."""
    named = os.environ.get(RUN_VARIABLE)
    launch = launch_name()
    for path in (root / "runs").glob(f"{named or command + '-*'}/run.json"):
        try:
            record = json.loads(path.read_bytes())
        except (ValueError, OSError):
            continue
        if named or (launch and record.get("launch") == launch and record.get("status") == "running"):
            return record
    return None
