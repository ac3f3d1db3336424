"""The checkpoint of a running training: whole or absent, after a whole step, and when told to stop."""

# ruff: noqa: ARG002, D102 -- Lightning gives the hooks their names and arguments

import signal
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from wootz import storage
from wootz.progress import say
from wootz.stopping import StopRequest, requeue_slurm_job

LAST = "last.ckpt"
SAVE_EVERY_S = 600.0


def step_is_whole(trainer: Trainer, batch_idx: int) -> bool:
    """Say whether a batch of this number completes an optimiser step."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


class LastCheckpoint(Callback):
    """Write ``last.ckpt`` after each epoch, and within long epochs every ten minutes, atomically.

    A SIGTERM or SIGUSR1 to any process has all of them write it after the running step and leave, with status
    128 + the signal's number; with `requeue` the first one puts the SLURM job back in the queue before. The
    last epoch is brought to its end if only its checkpoint was missing.
    """

    def __init__(self, folder: Path, *, every_s: float = SAVE_EVERY_S, requeue: bool = False) -> None:
        self.path = folder / LAST
        self.every_s = every_s
        self.requeue = requeue
        self.stop = StopRequest()
        self._saved_s = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.stop.listen()  # Lightning puts back what was there before when the training ends

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if is_last or not step_is_whole(trainer, batch_idx):  # gradients are not in a checkpoint
            return
        due = self.stop.signal is not None or time.monotonic() - self._saved_s >= self.every_s
        if _any_process(trainer, due):
            self.save(trainer)
            self._leave_if_told(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)
        if not (trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs):
            self._leave_if_told(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write the checkpoint beside, then rename; a kill leaves the old one."""
        part = self.path.with_name(f".{LAST}{storage.TEMPORARY}")
        trainer.save_checkpoint(part, weights_only=False)
        if trainer.is_global_zero:
            part.replace(self.path)
            storage.sync_folder(self.path.parent)
        self._saved_s = time.monotonic()

    def _leave_if_told(self, trainer: Trainer) -> None:
        """End the training where a signal came to this process or another; all processes ask together."""
        if not _any_process(trainer, self.stop.signal is not None):
            return
        number = self.stop.signal or signal.SIGTERM
        if trainer.is_global_zero:
            name = signal.Signals(number).name
            say(
                f"told to stop by {name}: saved step {trainer.global_step} in {self.path}; the same command "
                "goes on from there."
            )
            if self.requeue:
                requeue_slurm_job()
        # Lightning kills the first process when one that it has started ends with another status than 0
        raise SIGTERMException(128 + number if trainer.local_rank == 0 else 0)


def _any_process(trainer: Trainer, decision: bool) -> bool:
    if trainer.world_size == 1:
        return decision
    return trainer.strategy.reduce_boolean_decision(decision, all=False)
