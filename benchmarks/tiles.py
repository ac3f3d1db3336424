"""Random batches of windows out of a packed archive, against three ways to store tiles.

Run ``python benchmarks/tiles.py [--megapixels 400]``. Synthetic fields go into a temporary folder as an
archive, as TIFF files, as one plain ``.npy`` of pre-cut tiles and as PNG tiles; each is then read in random
batches of 256 windows of 128 px, in turns, from a warm cache. The last line is JSON: ``ratio`` is our rate
over that of the plain memory-mapped tiles (which give no overlap, margin or other size), higher is better.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from wootz.archive import Archive
from wootz.fields import NewField
from wootz.progress import say

TILE_PX = 128
BATCH = 256
FIELD_PX = (1024, 1280)
PNG_FIELDS = 4

Reader = Callable[[np.ndarray], np.ndarray]


def make_fields(n_fields: int, *, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw smooth noise, so that PNG compresses it about as it does a micrograph."""
    coarse = rng.normal(128, 40, (n_fields, FIELD_PX[0] // 8, FIELD_PX[1] // 8))
    grain = rng.normal(0, 6, FIELD_PX)
    return [np.clip(np.kron(field, np.ones((8, 8))) + grain, 0, 255).astype(np.uint8) for field in coarse]


def write_all(folder: Path, fields: list[np.ndarray]) -> tuple[Archive, np.ndarray]:
    """Store the fields four times; returns the archive and (field, row, col) of each tile."""
    archive = Archive.create(folder / "archive")
    archive.add_images([NewField(pixels, {"file": f"{i:05d}.tif"}) for i, pixels in enumerate(fields)])
    corners = [(r, c) for r in range(0, FIELD_PX[0], TILE_PX) for c in range(0, FIELD_PX[1], TILE_PX)]
    windows = np.array([(i, r, c) for i in range(len(fields)) for r, c in corners])
    tiles = np.lib.format.open_memmap(
        folder / "tiles.npy", mode="w+", dtype=np.uint8, shape=(len(windows), TILE_PX, TILE_PX)
    )
    for n, (i, r, c) in enumerate(windows.tolist()):
        tiles[n] = fields[i][r : r + TILE_PX, c : c + TILE_PX]
        if i < PNG_FIELDS:
            Image.fromarray(tiles[n]).save(folder / f"{n}.png")
    for i, pixels in enumerate(fields):
        tifffile.imwrite(folder / f"{i:05d}.tif", pixels)
    return archive, windows


def readers(folder: Path, archive: Archive, windows: np.ndarray) -> dict[str, Reader]:
    """Build the four readers; each takes row numbers and returns (B, 128, 128) uint8."""
    tiles = archive.tiles(size_px=TILE_PX)
    plain = np.load(folder / "tiles.npy", mmap_mode="r")
    files = [tifffile.memmap(path, mode="r") for path in sorted(folder.glob("*.tif"))]
    n_png = len(list(folder.glob("*.png")))

    def tiff_windows(rows: np.ndarray) -> np.ndarray:
        places = windows[rows].tolist()
        return np.stack([files[i][r : r + TILE_PX, c : c + TILE_PX] for i, r, c in places])

    def png_tiles(rows: np.ndarray) -> np.ndarray:
        return np.stack([np.asarray(Image.open(folder / f"{row}.png")) for row in rows % n_png])

    return {"archive": tiles.read, "memmap": lambda rows: plain[rows], "tiff": tiff_windows, "png": png_tiles}


def measure(ways: dict[str, Reader], n_tiles: int, *, rng: np.random.Generator) -> dict[str, list[float]]:
    """Time the ways in turns, so that all of them meet the same neighbours on the machine: tiles/s."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for read in ways.values():
        read(np.arange(n_tiles) if read is not ways["png"] else np.arange(BATCH))  # warm cache, compiled
    for _ in range(15):
        batches = [rng.integers(0, n_tiles, BATCH) for _ in range(40)]
        for name, read in ways.items():
            some = batches[:1] if name == "png" else batches
            start = time.perf_counter()
            for rows in some:
                read(rows)
            rates[name].append(len(some) * BATCH / (time.perf_counter() - start))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megapixels", type=int, default=400, help="size of the archive [Mpx]")
    n_fields = max(2, parser.parse_args().megapixels * 1_000_000 // (FIELD_PX[0] * FIELD_PX[1]))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="wootz-bench-") as name:
        folder = Path(name)
        archive, windows = write_all(folder, make_fields(n_fields, rng=rng))
        ways = readers(folder, archive, windows)
        rows = rng.integers(0, len(windows), BATCH)
        for way in ("memmap", "tiff"):
            np.testing.assert_array_equal(ways["archive"](rows), ways[way](rows))
        rates = measure(ways, len(windows), rng=rng)
    middle = {way: statistics.median(values) for way, values in rates.items()}
    for way, rate in middle.items():
        say(f"{way:8} {rate:10,.0f} tiles/s, {rate / middle['memmap']:.4f} of the memmap")
    ratios = [a / b for a, b in zip(rates["archive"], rates["memmap"], strict=True)]
    result = {
        "benchmark": "tiles",
        "ratio": round(statistics.median(ratios), 3),
        "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        "tiles_per_s": {way: round(rate) for way, rate in middle.items()},
        "n_tiles": len(windows),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
