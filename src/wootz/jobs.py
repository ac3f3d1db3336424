"""Independent shards of work: one after the other in this process, in processes here, or as SLURM jobs."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from wootz.errors import WootzError
from wootz.options import check_choice, check_range, option
from wootz.progress import say, track

Item = TypeVar("Item")
PLACES = ("here", "local", "slurm")
WAIT_S = 5.0
MISSES = 4
"""How often in a row a job must be missing from the queue to be lost: files come late on network disks."""
ADVICE = (
    ": the partition allows less time than method.jobs.minutes asks for. Cancel them with scancel and set it "
    "lower."
)


@dataclass
class JobsConfig:
    """Where shards of work run."""

    place: str = option(
        "here", "here: in this process; local: in processes on this machine; slurm: jobs on a cluster"
    )
    workers: int = option(2, "processes or SLURM jobs at a time", unit=">= 1")
    minutes: int = option(240, "longest time of a SLURM job", unit="min, >= 1")
    memory_gb: int = option(8, "memory of a SLURM job", unit="GB, >= 1")
    cpus: int = option(2, "cores of a SLURM job", unit=">= 1")
    partition: str = option("", "SLURM partition; empty: the cluster's default")

    def __post_init__(self) -> None:
        check_choice("method.jobs.place", self.place, PLACES)
        for key in ("workers", "minutes", "memory_gb", "cpus"):
            check_range(f"method.jobs.{key}", getattr(self, key), 1)


def run_jobs(
    work: Callable[[Item], Any], items: Sequence[Item], cfg: JobsConfig, *, folder: Path, title: str
) -> None:
    """Do `work` on each item; results go through files that `work` writes.

    Parameters
    ----------
    work : callable
        Takes one item. It must be a function of a module (or a partial of one), and write whole files, so
        that a caller can see after a kill which items are done and leave them out of `items`.
    items : sequence
    cfg : JobsConfig
    folder : Path
        For the logs of processes and jobs; on a cluster all nodes must see it.
    title : str
        For the progress.

    Raises
    ------
    WootzError
        If submitit is not installed, or a process or job died; the message names its log. What the others
        have done stays.
    """
    if not items:
        return
    if cfg.place == "here":
        for item in track(items, title=title, unit="shards"):
            work(item)
        return
    executor = _executor(cfg, folder=folder)
    n_jobs = min(cfg.workers, len(items))
    shares = [list(items[start::n_jobs]) for start in range(n_jobs)]
    with executor.batch():
        jobs = [executor.submit(partial(_each, work), share) for share in shares]
    say(f"{title}: {len(items)} shards in {n_jobs} jobs ({cfg.place}), logs in {folder}")
    gone = _watch_queue(jobs, title=title) if cfg.place == "slurm" else []
    failed = [(job, "it left SLURM's queue without a result") for job in gone]
    failed += [(job, error) for job in jobs if job not in gone and (error := _outcome(job)) is not None]
    if failed:
        job, error = failed[0]
        raise WootzError(
            f"{len(failed)} of {n_jobs} jobs of {title!r} ended early ({error}); see {job.paths.stderr}. "
            "What is done stays: run the same command again."
        )


def _each(work: Callable[[Any], Any], items: Sequence[Any]) -> None:
    for item in items:
        work(item)


def _executor(cfg: JobsConfig, *, folder: Path) -> Any:
    try:
        import submitit
    except ImportError:
        raise WootzError(
            f"method.jobs.place={cfg.place} needs submitit: pip install 'wootz[jobs]', or set it to here."
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    executor = submitit.AutoExecutor(folder=folder, cluster=cfg.place)
    options: dict[str, Any] = {"timeout_min": cfg.minutes, "mem_gb": cfg.memory_gb, "cpus_per_task": cfg.cpus}
    if cfg.partition:
        options["slurm_partition"] = cfg.partition
    executor.update_parameters(name="wootz", **options)
    return executor


def _watch_queue(jobs: Sequence[Any], *, title: str) -> list[Any]:
    """Wait for jobs of SLURM; say why some are not started, whenever the reason changes.

    Returns
    -------
    list
        Jobs that left the queue without a result, as cancelled ones do. Where the cluster keeps no accounts,
        submitit would wait for them for ever.
    """
    said, misses = "", dict.fromkeys(map(id, jobs), 0)
    while left := [job for job in jobs if not job.done() and misses[id(job)] < MISSES]:
        queue = _ask_queue([job.job_id for job in left])
        if queue is None:
            return []
        for job in left:
            misses[id(job)] = 0 if job.job_id in queue else misses[id(job)] + 1
        reasons = [reason for state, reason in queue.values() if state == "PENDING"]
        words = ", ".join(f"{reasons.count(reason)} {reason}" for reason in sorted(set(reasons)))
        if words and words != said:
            advice = ADVICE if "PartitionTimeLimit" in reasons else ""
            say(f"{title}: jobs that wait, and SLURM's reason: {words}{advice}")
            said = words
        time.sleep(WAIT_S)
    return [job for job in jobs if misses[id(job)] >= MISSES and not job.done()]


def _ask_queue(job_ids: Sequence[str]) -> dict[str, tuple[str, str]] | None:
    """Ask SLURM for state and reason of the jobs in its queue; None if it gives no answer."""
    command = ["squeue", "--noheader", "--array", "--format=%i|%T|%r", "--jobs", ",".join(job_ids)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode and "Invalid job id" not in answer.stderr:  # what it says when all are long gone
        return None
    lines = (line.split("|", 2) for line in answer.stdout.splitlines())
    return {number: (state, reason) for number, state, reason in lines}


def _outcome(job: Any) -> str | None:
    """Wait for a job; None if it ended well, else the last line of why it did not."""
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        job.result()
    except (FailedJobError, UncompletedJobError) as error:
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        return lines[-1] if lines else type(error).__name__
    return None
