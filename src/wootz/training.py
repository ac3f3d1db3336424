"""One way to train with Lightning: device, precision, resuming, history and progress.

Lightning runs the loop; what it prints, logs and stores by default is replaced by what a microscopist needs:
one progress line, one CSV file, and one checkpoint that is either whole or absent.
"""

# ruff: noqa: ARG002, D102 -- Lightning gives the hooks their names and arguments

import itertools
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from wootz import storage
from wootz.encoders import read_checkpoint
from wootz.errors import CheckpointError, WootzError
from wootz.lastcheckpoint import LAST, LastCheckpoint, step_is_whole
from wootz.progress import track
from wootz.stopping import slurm_plugins

HISTORY = "history.csv"
CHECK_EVERY = 25
T = TypeVar("T")
S = TypeVar("S")


def device_name() -> str:
    """Return the accelerator to train on: ``"cuda"`` where there is one, else ``"cpu"``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def use_bf16(precision: str, *, device: str) -> bool:
    """Decide whether to compute in bfloat16.

    Parameters
    ----------
    precision : str
        ``"bf16"``, ``"float32"``, or ``"auto"``: bfloat16 where the hardware multiplies it faster (a GPU that
        knows it, a CPU with AMX or AVX512-BF16), else float32. On other CPUs bfloat16 is slower.
    device : str
        ``"cuda"`` or ``"cpu"``.
    """
    if precision != "auto":
        return precision == "bf16"
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)


def prefetch(read: Callable[[S], T], items: Iterable[S], *, depth: int = 2) -> Iterator[T]:
    """Yield ``read(item)`` for each item in order, up to `depth` items ahead in one thread.

    Reading a memory map releases the interpreter, so that one thread keeps a GPU fed; processes would copy
    every batch once more. An exception in `read` is raised here.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="wootz-read") as pool:
        waiting: list[Future[T]] = []
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                if len(waiting) > depth:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            for future in waiting:
                future.cancel()


class History(Callback):
    """One row per epoch, kept in the checkpoint and written whole to ``history.csv``.

    The loss is the mean over the epoch; a loss that is not finite stops the run. Callbacks that come before
    this one add their own values to the row with `note`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._noted: dict[str, Any] = {}
        self._losses: list[Tensor] = []
        self._start_s = time.monotonic()
        self._before_s = 0.0

    @property
    def seconds(self) -> float:
        """Training time so far, over all resumed parts."""
        return self._before_s + time.monotonic() - self._start_s

    def note(self, **values: Any) -> None:
        """Put values into the row of the running epoch."""
        self._noted.update(values)

    def state_dict(self) -> dict[str, Any]:
        losses = [float(loss) for loss in self._losses]
        return {"rows": self.rows, "seconds": self.seconds, "losses": losses, "noted": dict(self._noted)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        self._losses = [torch.tensor(loss) for loss in state_dict["losses"]]
        self._noted = dict(state_dict["noted"])
        self._before_s = state_dict["seconds"]
        self._start_s = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = (outputs["loss"] if isinstance(outputs, dict) else outputs).detach()
        self._losses.append(loss * trainer.accumulate_grad_batches)  # Lightning has divided by it
        if len(self._losses) % CHECK_EVERY == 0:  # not each step: reading a value waits for the GPU
            _check_finite(self._losses[-CHECK_EVERY:], trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._losses:
            return
        loss = _check_finite(self._losses, trainer)
        row = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step, "loss": loss}
        self.rows.append({**row, **self._noted, "seconds": round(self.seconds, 2)})
        self._losses, self._noted = [], {}
        if trainer.is_global_zero:
            self.write()

    def write(self) -> None:
        """Write all rows to ``history.csv``."""
        import pandas as pd

        text = pd.DataFrame(self.rows).to_csv(index=False, lineterminator="\n")
        storage.write_bytes(self.folder / HISTORY, text.encode())


def history_of(trainer: Trainer) -> History:
    """Return the history of a trainer from `build_trainer`."""
    return next(c for c in trainer.callbacks if isinstance(c, History))  # type: ignore[attr-defined]


class Ticker(Callback):
    """Show the steps through `wootz.progress`; without a total where the clock ends the training."""

    def __init__(self, title: str, *, max_minutes: float | None) -> None:
        self.title = title if max_minutes is None else f"{title} (at most {max_minutes:g} min)"
        self.has_total = max_minutes is None
        self._ticks: Iterator[int] = iter(())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        total = int(trainer.estimated_stepping_batches)
        steps = range(trainer.global_step, total) if self.has_total else itertools.count()
        self._ticks = iter(track(steps, title=self.title, unit="steps"))
        next(self._ticks, None)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if step_is_whole(trainer, batch_idx):
            next(self._ticks, None)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        close = getattr(self._ticks, "close", None)
        if close is not None:
            close()


def build_trainer(
    folder: Path,
    *,
    epochs: int,
    title: str,
    precision: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    requeue: bool = False,
    accumulate: int = 1,
    device: str | None = None,
    max_minutes: float | None = None,
    callbacks: Sequence[Callback] = (),
) -> Trainer:
    """Build a trainer that resumes, keeps a history and says what it does.

    Parameters
    ----------
    folder : Path
        Where ``last.ckpt`` and ``history.csv`` go; made if missing.
    epochs : int
    title : str
        What the progress line calls the work.
    precision : str
        ``"auto"``, ``"float32"`` or ``"bf16"``; see `use_bf16`.
    devices : int
        GPUs, or processes on a CPU, of each node; more than one in all means DistributedDataParallel with
        SyncBatchNorm on GPUs.
    nodes : int
        Machines. Lightning finds out from the environment (SLURM, torchrun, ...) which one this is.
    requeue : bool
        Whether a SLURM job that is told to stop goes back in the queue; see `LastCheckpoint`.
    accumulate : int
        Batches whose gradients make one step; an epoch must hold whole steps.
    device : str, optional
        ``"cuda"`` or ``"cpu"``; chosen by default.
    max_minutes : float, optional
        Said on the progress line; the module itself ends the training (``trainer.should_stop``).
    callbacks : sequence of Callback
        Run before those that write history and checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = device or device_name()
    ticker = Ticker(title, max_minutes=max_minutes)
    last = LastCheckpoint(folder, requeue=requeue)
    several = devices * nodes > 1
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "GPU available but not used" and other advice to Lightning's users
        return Trainer(
            accelerator=device,
            devices=devices,
            num_nodes=nodes,
            plugins=slurm_plugins(devices=devices, nodes=nodes),
            strategy="ddp" if several else "auto",
            sync_batchnorm=several and device == "cuda",
            precision="bf16-mixed" if use_bf16(precision, device=device) else "32-true",
            max_epochs=epochs,
            accumulate_grad_batches=accumulate,
            callbacks=[*callbacks, History(folder), last, ticker],
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            benchmark=False,
        )


def fit(trainer: Trainer, module: LightningModule, batches: Iterable[Any]) -> History:
    """Train, from ``last.ckpt`` where the folder has one, and return the history.

    Raises
    ------
    CheckpointError
        If ``last.ckpt`` is damaged or does not fit the module.
    SystemExit
        After a signal that asked for it; see `LastCheckpoint`.
    """
    history = history_of(trainer)
    path = history.folder / LAST
    checkpoint = path if path.exists() else None
    if checkpoint is not None:
        _check_fits(checkpoint, module)
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        if trainer.strategy.root_device.type == "cuda":
            torch.use_deterministic_algorithms(mode=True, warn_only=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer.fit(module, batches, ckpt_path=checkpoint, weights_only=True)
    finally:
        torch.use_deterministic_algorithms(mode=deterministic, warn_only=warn_only)
    return history


def _check_fits(path: Path, module: LightningModule) -> None:
    state = read_checkpoint(path).get("state_dict", {})
    own = module.state_dict()
    if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in own.items()}:
        raise CheckpointError(
            f"{path} belongs to another network; remove the folder {path.parent} or train into a new one."
        )


def _check_finite(losses: list[Tensor], trainer: Trainer) -> float:
    loss = float(torch.stack([value.float().cpu() for value in losses]).double().mean())
    if not math.isfinite(loss):
        raise WootzError(
            f"the loss is {loss} near step {trainer.global_step}; lower lr, or set precision=float32. "
            "If it happens at once, an image may hold damaged pixels."
        )
    return loss
