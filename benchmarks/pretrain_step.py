"""The real loop of `wootz pretrain` against a bare loop of forward, backward and optimiser.

    python benchmarks/pretrain_step.py [--encoder resnet18] [--batch 128] [--view 96] [--steps 12]

Ours reads random batches from a packed archive, draws two views of each tile, trains under Lightning, notes
the monitors and writes history and checkpoint, as on the command line. The bare loop does forward, backward
and the optimiser's step of the same method on two resident batches of views: nothing can be faster with this
model. Both take turns (a round is one epoch of ours, then as many bare steps), so that a busy machine is
equally busy for both. The first epoch is not counted. The last line is JSON: ``ratio`` is our rate over the
bare loop's, 1 is the ceiling; ``pairs_per_s`` counts pairs of views, that is tiles.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback

from wootz.archive import Archive
from wootz.augment import AugmentConfig
from wootz.encoders import build_encoder
from wootz.fields import NewField
from wootz.progress import say
from wootz.ssl import PretrainConfig, pretraining
from wootz.ssl.loop import build_optimizer
from wootz.ssl.methods.build import build_method
from wootz.training import device_name, use_bf16

FIELD_PX = 1024


def make_archive(folder: Path, *, n_tiles: int, tile_px: int, seed: int = 0) -> Archive:
    """Pack fields with structure of 8 px and noise, enough for `n_tiles` tiles side by side."""
    rng = np.random.default_rng(seed)
    per_field = (FIELD_PX // tile_px) ** 2
    fields = []
    for i in range(-(-n_tiles // per_field)):
        coarse = rng.normal(128, 40, (FIELD_PX // 8, FIELD_PX // 8))
        pixels = np.kron(coarse, np.ones((8, 8))) + rng.normal(0, 6, (FIELD_PX, FIELD_PX))
        fields.append(NewField(np.clip(pixels, 0, 255).astype(np.uint8), {"file": f"{i:04d}.tif"}))
    archive = Archive.create(folder)
    archive.add_images(fields)
    archive.write_tiles(tile_px, tile_px)
    return archive


class BareLoop:
    """Forward, backward and optimiser on views that stay on the device."""

    def __init__(self, cfg: PretrainConfig, *, n_tiles: int) -> None:
        self.device = device_name()
        encoder = build_encoder(cfg.encoder, generator_seed=0)
        method = build_method(cfg.method, encoder, n_tiles=n_tiles, batch_size=cfg.batch_size, seed=0)
        self.method = method.to(self.device, memory_format=torch.channels_last)
        self.optimizer = build_optimizer(self.method, cfg, batch_size=cfg.batch_size)
        shape = (cfg.batch_size, 1, cfg.augment.out_px, cfg.augment.out_px)
        generator = torch.Generator().manual_seed(0)
        views = [torch.rand(shape, generator=generator) for _ in range(2)]
        self.views = [v.to(self.device, memory_format=torch.channels_last) for v in views]
        self.bf16 = use_bf16(cfg.precision, device=self.device)

    def run(self, n_steps: int) -> float:
        """Do some steps; returns the seconds that they took."""
        self._wait()
        start = time.perf_counter()
        for _ in range(n_steps):
            with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bf16):
                loss = self.method(*self.views)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.method.update(0.0)
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


class Turns(Callback):
    """Time each epoch of the real loop, its end included, and let the bare loop follow."""

    def __init__(self, bare: BareLoop, *, n_steps: int) -> None:
        self.bare, self.n_steps = bare, n_steps
        self.ours_s: list[float] = []
        self.bare_s: list[float] = []
        self._start = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002, D102
        if trainer.current_epoch > 0:  # all of the epoch before, its end included
            self.bare._wait()
            self.ours_s.append(time.perf_counter() - self._start)
        self.bare_s.append(self.bare.run(self.n_steps))
        self._start = time.perf_counter()


def measure(cfg: PretrainConfig, *, tile_px: int, n_steps: int) -> tuple[list[float], list[float]]:
    """Run both loops in turns; returns the seconds per step of each round, ours and the bare loop's."""
    with tempfile.TemporaryDirectory(prefix="wootz-bench-") as name:
        n_tiles = cfg.batch_size * n_steps
        archive = make_archive(Path(name) / "archive", n_tiles=n_tiles, tile_px=tile_px)
        tiles = archive.tiles().select(slice(0, n_tiles))
        turns = Turns(BareLoop(cfg, n_tiles=n_tiles), n_steps=n_steps)
        build = pretraining.build_trainer

        def with_turns(*args: Any, callbacks: Any, **kwargs: Any) -> Any:
            return build(*args, callbacks=[*callbacks, turns], **kwargs)

        pretraining.build_trainer = with_turns
        pretraining.pretrain_tiles(tiles, cfg, folder=Path(name) / "run")
    ours, bare = turns.ours_s[1:], turns.bare_s[1:-1]
    return [s / n_steps for s in ours], [s / n_steps for s in bare]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--batch", type=int, default=128, help="tiles per step")
    parser.add_argument("--tile", type=int, default=128, help="side of a tile [px]")
    parser.add_argument("--view", type=int, default=96, help="side of a view [px]")
    parser.add_argument("--steps", type=int, default=12, help="steps of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="bf16")
    options = parser.parse_args()
    cfg = PretrainConfig(
        encoder=options.encoder,
        batch_size=options.batch,
        epochs=options.rounds + 2,
        precision=options.precision,
        augment=AugmentConfig(out_px=options.view),
    )
    ours, bare = measure(cfg, tile_px=options.tile, n_steps=options.steps)
    ratios = [b / o for o, b in zip(ours, bare, strict=True)]
    for i, ratio in enumerate(ratios):
        say(f"round {i + 1}: ours {ours[i]:.3f} s, bare {bare[i]:.3f} s a step, ratio {ratio:.3f}")
    result = {
        "benchmark": "pretrain_step",
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "pairs_per_s": round(options.batch / statistics.median(ours), 1),
        "bare_pairs_per_s": round(options.batch / statistics.median(bare), 1),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        **vars(options),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
