"""Two views per tile: our batched augmentation against lightly's SimCLR transform on PIL images.

Same tiles (128 px), same output (96 px), same number of cores, interleaved repeats, medians. lightly runs as
its users run it, on RGB images (its ImageNet normalisation needs three channels), in worker processes; it is
also timed on grey images with a one-channel normalisation (``ratio_grey``). The last line is JSON: ``ratio``
is our SimCLR preset (crop with stretch, mirror, brightness, contrast, blur) over lightly's tiles per second,
``ratio_full`` our full preset for micrographs (any rotation with real context, all artefacts of the default
options as often as in training) over the same peer; with as many threads as PyTorch uses, and with one.

    python benchmarks/augment.py [--tiles 128] [--repeats 15] [--threads N]
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from lightly.transforms import SimCLRTransform
from PIL import Image

from wootz.augment import context_px, preset, two_views

TILE_PX, VIEW_PX = 128, 96


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiles", type=int, default=128, help="tiles per batch")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    counts = sorted({1, options.threads})
    by_threads = {n: compare(options.tiles, n, repeats=options.repeats) for n in counts}
    report = {
        "benchmark": "augment",
        **by_threads[options.threads],
        "one_thread": by_threads[1],
        "tile_px": TILE_PX,
        "view_px": VIEW_PX,
        "threads": options.threads,
        "repeats": options.repeats,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(report))


def compare(n_tiles: int, n_threads: int, *, repeats: int) -> dict[str, object]:
    """Measure all four with so many threads, or worker processes of the peer."""
    torch.set_num_threads(n_threads)
    seconds = measure(contestants(n_tiles, n_threads), repeats=repeats)
    rates = {name: n_tiles / statistics.median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        print(f"{n_threads} threads: {name:16s} {rate:8.0f} tiles/s, two views each")
    return {
        "ratio": round(rates["wootz_simclr"] / rates["lightly_rgb"], 2),
        "ratio_full": round(rates["wootz_sem"] / rates["lightly_rgb"], 2),
        "ratio_grey": round(rates["wootz_simclr"] / rates["lightly_grey"], 2),
        "tiles_per_s": {name: round(rate) for name, rate in rates.items()},
    }


def contestants(n_tiles: int, n_threads: int) -> dict[str, Callable[[], object]]:
    """Build the four ways of making two views of the same tiles."""
    simclr, sem = preset("simclr", out_px=VIEW_PX), preset("sem", out_px=VIEW_PX)
    margin = context_px(TILE_PX, sem)
    fields = micrographs(n_tiles, TILE_PX + 2 * margin)
    inner = np.ascontiguousarray(fields[:, margin:-margin, margin:-margin])
    grey = [Image.fromarray((tile * 255).astype(np.uint8)) for tile in inner]
    rgb = [image.convert("RGB") for image in grey]
    tiles, wide = torch.from_numpy(inner)[:, None], torch.from_numpy(fields)[:, None]
    generator = torch.Generator().manual_seed(0)
    on_rgb = SimCLRTransform(input_size=VIEW_PX)
    on_grey = SimCLRTransform(input_size=VIEW_PX, normalize={"mean": [0.5], "std": [0.25]})
    run_all = threaded(n_threads)
    return {
        "wootz_simclr": lambda: two_views(tiles, simclr, generator=generator),
        "wootz_sem": lambda: two_views(wide, sem, generator=generator, margin_px=margin),
        "lightly_rgb": lambda: run_all(on_rgb, rgb),
        "lightly_grey": lambda: run_all(on_grey, grey),
    }


def threaded(n_threads: int) -> Callable[..., object]:
    """Run a transform over images in as many forked processes as we use threads, as a DataLoader would."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    pools: dict[int, object] = {}

    def run_all(transform: Callable, images: list) -> object:
        key = id(transform)
        if key not in pools:
            _STATE[key] = (transform, images)
            pools[key] = context.Pool(n_threads)
        chunks = np.array_split(np.arange(len(images)), n_threads)
        return pools[key].map(_apply, [(key, chunk) for chunk in chunks])

    return run_all


_STATE: dict[int, tuple] = {}


def _apply(job: tuple) -> int:
    """Transform some images in a worker; the views stay there, so that sending them back costs nothing."""
    torch.set_num_threads(1)
    transform, images = _STATE[job[0]]
    return sum(len(transform(images[i])) for i in job[1])


def measure(ways: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, list[float]]:
    """Time each way once per round, in turn, so that a busy machine is equally busy for all."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(repeats):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def micrographs(n: int, side_px: int) -> np.ndarray:
    """Make (n, side, side) float32 pictures in [0, 1] with grains and noise."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((n, 1, side_px // 8, side_px // 8), dtype=np.float32))
    grains = torch.nn.functional.interpolate(coarse, size=(side_px, side_px), mode="bilinear")[:, 0].numpy()
    return np.clip(grains + 0.05 * rng.standard_normal(grains.shape, dtype=np.float32), 0, 1)


if __name__ == "__main__":
    main()
