"""`wootz pretrain`: tiles without labels in, an encoder file out."""

import dataclasses
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from wootz.augment.geometry import context_px
from wootz.coarser import coarser
from wootz.encoders import save_encoder
from wootz.encoders.start import describe_start, find_start, start_encoder
from wootz.errors import WootzError
from wootz.ssl.batches import Batches
from wootz.ssl.config import PretrainConfig
from wootz.ssl.curves import draw_history
from wootz.ssl.embedding import ENCODER_FILE
from wootz.ssl.facts import TileFacts, tile_facts
from wootz.ssl.known import KnownTiles, known_tiles
from wootz.ssl.loop import Pretraining
from wootz.ssl.methods.build import build_method
from wootz.ssl.sampling import ORIGIN, Sampling, sampling_table
from wootz.ssl.selection import select_tiles, tile_groups
from wootz.ssl.watch import FeatureWatch, look, watched
from wootz.ssl.windows import random_windows
from wootz.storage import fingerprint, plain, write_bytes
from wootz.tilesource import Tiles, look_at
from wootz.training import build_trainer, fit

if TYPE_CHECKING:
    from wootz.tiles import TileSet

MIN_TILES = 8
CURVES_FILE = "history.png"
SAMPLING_FILE = "sampling.csv"


@dataclass(frozen=True)
class PretrainResult:
    """A finished pretraining.

    Attributes
    ----------
    checkpoint : Path
        The encoder's file.
    rankme, rankme_random : float
        Effective rank of the features of the same sample of tiles, after and before training.
    loss_first, loss_last : float
        Mean loss of the first and the last epoch.
    n_tiles, n_left_out : int
        Tiles trained on, and left out as duplicates or without contrast.
    start : str
        Where the first weights come from.
    n_steps : int
    seconds : float
        Training time over all resumed parts.
    history : list of dict
        One row per epoch: epoch, step, loss, seconds and, where they were looked at, the monitors (see
        `wootz.ssl.watch.look`).
    """

    checkpoint: Path
    rankme: float
    rankme_random: float
    loss_first: float
    loss_last: float
    n_tiles: int
    n_steps: int
    seconds: float
    history: list[dict[str, Any]]
    n_left_out: int = 0
    start: str = "random weights"

    def summary(self) -> str:
        """Describe the run in a few lines."""
        return (
            f"pretrained on {self.n_tiles} tiles ({self.n_left_out} duplicates or without contrast left out) "
            f"in {self.n_steps} steps and {self.seconds:.0f} s\n"
            f"loss {self.loss_first:.3f} -> {self.loss_last:.3f}, RankMe {self.rankme_random:.1f} -> "
            f"{self.rankme:.1f}, from {self.start}\nencoder: {self.checkpoint}"
        )


def pretrain(tiles: "TileSet", cfg: PretrainConfig, *, run: Any) -> PretrainResult:
    """Pretrain an encoder on tiles, without labels.

    Parameters
    ----------
    tiles : TileSet
        All of one size. Those flagged as duplicates are left out (a copy would be taken for another tile),
        and those flagged uninformative unless the options say otherwise. With ``single_image``, those that
        are left of that image say where its windows lie; see `wootz.ssl.windows.random_windows`.
    cfg : PretrainConfig
    run : Run
        In ``run.folder`` go encoder.pt, last.ckpt, history.csv, history.png and, where not every tile is
        drawn once, sampling.csv. A folder with a last.ckpt of the same options and tiles goes on from there,
        to the same result.

    Raises
    ------
    WootzError
        If there are too few tiles for a batch, all are constant, the loss is not finite, or the features
        collapse.
    """
    selected = select_tiles(tiles, cfg)
    tiles, sampling = selected.tiles, selected.sampling
    digest = hashlib.sha256("\n".join(tiles.tile_ids.tolist()).encode()).hexdigest()
    about = {"run": run.id, "tiles_fingerprint": digest, "downscale": cfg.downscale}
    source: Tiles = coarser(tiles, cfg.downscale)
    if cfg.single_image:
        scale_max = cfg.windows_scale_max
        source = random_windows(tiles, cfg.single_image, n=cfg.windows, scale_max=scale_max, seed=cfg.seed)
    if sampling is not None:
        about["shares_fingerprint"] = hashlib.sha256(sampling.shares.tobytes()).hexdigest()
        names = ["image_id", ORIGIN, cfg.sampling.balance]
        table = sampling_table(tiles.columns(names), sampling, balance=cfg.sampling.balance)
        Path(run.folder).mkdir(parents=True, exist_ok=True)
        write_bytes(Path(run.folder) / SAMPLING_FILE, table.to_csv(index=False, float_format="%.6g").encode())
    if cfg.single_image and cfg.augment.scale_min_nm is not None:
        raise WootzError(
            "the windows of a single image have many scales of their own; leave out single_image, or "
            "augment.scale_min_nm and augment.scale_max_nm."
        )
    known = known_tiles(tiles, column=cfg.probe_column, seed=cfg.seed, downscale=cfg.downscale)
    result = pretrain_tiles(
        source,
        cfg,
        folder=Path(run.folder),
        about=about,
        sampling=sampling,
        groups=tile_groups(tiles, cfg.sampling),
        known=known,
        facts=None if cfg.single_image else tile_facts(tiles.frame, cfg.augment),
        runs=tiles.archive.path / "runs",
    )
    return dataclasses.replace(result, n_left_out=selected.n_left_out)


def pretrain_tiles(
    tiles: Tiles,
    cfg: PretrainConfig,
    *,
    folder: Path,
    about: dict[str, Any] | None = None,
    sampling: Sampling | None = None,
    groups: np.ndarray | None = None,
    known: KnownTiles | None = None,
    facts: TileFacts | None = None,
    runs: Path | None = None,
) -> PretrainResult:
    """Pretrain on anything that reads tiles; see `pretrain`.

    Parameters
    ----------
    tiles : Tiles
        A TileSet, or an object with ``len`` and ``scaled(rows, margin)``.
    cfg : PretrainConfig
    folder : Path
    about : dict, optional
        Further provenance for the encoder's file.
    sampling : Sampling, optional
        How often each tile is drawn; left out, once in an epoch.
    groups : (N,) int, optional
        What ``cfg.sampling.within`` says of each tile, from `tile_groups`.
    known : KnownTiles, optional
        Tiles with known classes, for probes on the way; nothing is trained on them.
    facts : TileFacts, optional
        Pixel sizes and kinds of the tiles, for the augmentation.
    runs : Path, optional
        Folder in which ``cfg.init`` may name a run.
    """
    sample = checked_sample(tiles, cfg)
    source = find_start(cfg.init, cfg.encoder, runs=runs)
    encoder, start = start_encoder(source, seed=cfg.seed, normalisation=cfg.init_normalisation)
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sights = watched(sample, cfg.augment, seed=cfg.seed, known=known)
    start_s = time.monotonic()
    before = look(sights, encoder)
    cost_s = time.monotonic() - start_s
    batch = cfg.batch_size * cfg.devices * cfg.nodes
    method = build_method(cfg.method, encoder, n_tiles=len(tiles), batch_size=batch, seed=cfg.seed)
    about = {**(about or {}), "method": cfg.method.name, "config": plain(dataclasses.asdict(cfg))}
    if cfg.init != "random":
        about["start"] = start
    shift_px = round(cfg.sampling.shift_frac * sample.shape[-1])
    margin_px = context_px(sample.shape[-1], cfg.augment) + shift_px
    n_steps = len(tiles) // (batch * cfg.accumulate) * cfg.epochs
    module = Pretraining(
        method,
        cfg,
        margin_px=margin_px,
        shift_px=shift_px,
        n_steps=n_steps,
        origin=_origin(about, len(tiles)),
    )
    trainer = build_trainer(
        folder,
        epochs=cfg.epochs,
        title=f"pretrain {cfg.method.name}",
        precision=cfg.precision,
        devices=cfg.devices,
        nodes=cfg.nodes,
        requeue=cfg.requeue,
        accumulate=cfg.accumulate,
        max_minutes=cfg.max_minutes,
        callbacks=[FeatureWatch(sights, method=cfg.method.name, start=before, cost_s=cost_s)],
    )
    batches = Batches(
        tiles,
        batch_size=cfg.batch_size,
        margin_px=margin_px,
        seed=cfg.seed,
        accumulate=cfg.accumulate,
        sampling=sampling,
        facts=facts,
        groups=groups,
        block=cfg.sampling.block,
        position=lambda: (trainer.global_step, trainer.global_rank, trainer.world_size),
    )
    history = fit(trainer, module, batches)
    rows = [{"epoch": 0, **before}, *history.rows]
    result = _result(rows, folder / ENCODER_FILE, n_tiles=len(tiles), seconds=history.seconds)
    result = dataclasses.replace(result, start=describe_start(start))
    if trainer.is_global_zero:
        about |= {"seed": cfg.seed, "n_tiles": len(tiles), "n_steps": result.n_steps, "rankme": result.rankme}
        save_encoder(result.checkpoint, encoder, provenance=about)
        draw_history(rows, folder / CURVES_FILE)
    return result


def checked_sample(tiles: Tiles, cfg: PretrainConfig) -> np.ndarray:
    """Read up to 512 tiles, evenly spaced, and check that there is something to learn from.

    Returns
    -------
    (n, H, W) float32

    Raises
    ------
    WootzError
        If there are fewer tiles than one step needs, they differ in size, or all are constant.
    """
    n_devices = cfg.devices * cfg.nodes
    n, n_batches = len(tiles), n_devices * cfg.accumulate
    needed = cfg.batch_size * n_batches
    if n < needed:
        times = f" times accumulate={cfg.accumulate}" if cfg.accumulate > 1 else ""
        advice = f"set batch_size={n // n_batches}, or " if n >= MIN_TILES * n_batches else ""
        raise WootzError(
            f"batch_size={cfg.batch_size} on {n_devices} device(s){times} needs {needed} tiles, but there "
            f"{'is' if n == 1 else 'are'} only {n}; {advice}ingest more images or make smaller, overlapping "
            "tiles."
        )
    return look_at(tiles)


def _origin(about: dict[str, Any], n_tiles: int) -> str:
    """Fingerprint what a checkpoint belongs to; the run's id is left out, its folder may be renamed."""
    kept = {key: value for key, value in about.items() if key != "run"}
    return fingerprint({**kept, "n_tiles": n_tiles})


def _result(rows: list[dict[str, Any]], checkpoint: Path, *, n_tiles: int, seconds: float) -> PretrainResult:
    ranks = [row["rankme"] for row in rows if "rankme" in row]
    return PretrainResult(
        checkpoint=checkpoint,
        rankme=ranks[-1],
        rankme_random=ranks[0],
        loss_first=rows[1]["loss"],
        loss_last=rows[-1]["loss"],
        n_tiles=n_tiles,
        n_steps=rows[-1]["step"],
        seconds=seconds,
        history=rows[1:],
    )
