"""Told to stop by a signal: end after a whole step, with a checkpoint, and under SLURM come back.

What Lightning does is switched off: without SLURM it leaves with status 0 and no checkpoint; under SLURM it
saves inside the signal handler, which may run between the optimiser's step and that of a slow copy.
"""

import os
import signal
import subprocess
import threading
from types import FrameType
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from wootz.errors import WootzError
from wootz.progress import say

STOP_SIGNALS = ("SIGTERM", "SIGUSR1")  # SIGUSR1: what Lightning's users ask SLURM for
REQUEUE_TIMEOUT_S = 60.0


class StopRequest:
    """Remembers that a signal asked this process to stop.

    Attributes
    ----------
    signal : int or None
        Number of the last such signal.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def listen(self) -> None:
        """Take over SIGTERM and SIGUSR1 until somebody else does; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in STOP_SIGNALS:
            if hasattr(signal, name):  # Windows has no SIGUSR1
                signal.signal(getattr(signal, name), self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.signal = number


def slurm_plugins(*, devices: int, nodes: int) -> list[Any]:
    """Return what Lightning needs to train under SLURM without its own requeueing; elsewhere nothing.

    Raises
    ------
    WootzError
        If the job has other numbers of tasks or nodes than the options.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    try:
        environment = SLURMEnvironment(auto_requeue=False)
        environment.validate_settings(devices, nodes)
    except (ValueError, RuntimeError) as error:
        raise WootzError(
            f"the SLURM job does not fit devices={devices} nodes={nodes}; start it with --nodes={nodes} "
            f"--ntasks-per-node={devices} and srun, or set devices and nodes to what it has ({error})."
        ) from error
    return [environment]


def requeue_slurm_job() -> None:
    """Put the SLURM job that this process belongs to back in the queue, and say how that went."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        say("requeue=true has no effect outside a SLURM job; start the same command again to go on.")
        return
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    command = ["scontrol", "requeue", job]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=REQUEUE_TIMEOUT_S)
        problem = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        say(f"SLURM job {job} was not requeued ({problem}); submit the same command again to go on.")
    else:
        say(f"SLURM job {job} is back in the queue.")
