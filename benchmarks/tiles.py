"""Random batches of windows out of a packed archive, against three ways to store tiles.

Run ``python benchmarks/tiles.py [--megapixels 400]``. Synthetic fields go into a temporary folder as an
archive, as TIFF files, as one plain ``.npy`` of pre-cut tiles and as PNG tiles; each is then read in random
batches of 256 windows of 128 px, in turns, from a warm cache. The last line is JSON: ``ratio`` is our rate
over that of the plain memory-mapped tiles (which give no overlap, margin or other size), higher is better.
``ratio_margin``: windows with a margin of 32 px, against slices of fields in memory that numpy mirrored at
their borders beforehand. ``ratio_shrunk``: tiles of 768 px, scaled and shrunk sixfold, 32 at a time, against
the same by numpy (scaled by wootz, mean of blocks).
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
from wootz.coarser import coarser
from wootz.fields import NewField
from wootz.progress import say

TILE_PX = 128
BATCH = 256
MARGIN_PX = 32
LARGE_PX, LARGE_STRIDE_PX, FACTOR, LARGE_BATCH = 768, 128, 6, 32
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


def readers_with_margin(archive: Archive, fields: list[np.ndarray], windows: np.ndarray) -> dict[str, Reader]:
    """Build two readers of windows with a margin: (B, 192, 192) uint8."""
    tiles = archive.tiles(size_px=TILE_PX)
    padded = [np.pad(field, MARGIN_PX, mode="reflect") for field in fields]
    side = TILE_PX + 2 * MARGIN_PX

    def slices(rows: np.ndarray) -> np.ndarray:
        return np.stack([padded[i][r : r + side, c : c + side] for i, r, c in windows[rows].tolist()])

    return {"margin": lambda rows: tiles.read(rows, MARGIN_PX), "padded": slices}


def readers_that_shrink(archive: Archive) -> tuple[dict[str, Reader], int]:
    """Build two readers of large tiles that are shrunk, (B, 128, 128) float32, and count the tiles."""
    tiles = archive.tiles(size_px=LARGE_PX, stride_px=LARGE_STRIDE_PX)
    side = LARGE_PX // FACTOR

    def block_means(rows: np.ndarray) -> np.ndarray:
        return tiles.scaled(rows).reshape(len(rows), side, FACTOR, side, FACTOR).mean(axis=(2, 4))

    return {"shrunk": coarser(tiles, FACTOR).scaled, "blocks": block_means}, len(tiles)


def measure(
    ways: dict[str, Reader],
    n_tiles: int,
    *,
    rng: np.random.Generator,
    batch: int = BATCH,
    n_batches: int = 40,
) -> dict[str, list[float]]:
    """Time the ways in turns, so that all of them meet the same neighbours on the machine: tiles/s."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for name, read in ways.items():
        for start in range(0, batch if name == "png" else n_tiles, batch):
            read(np.arange(start, min(start + batch, n_tiles)))  # warm cache, compiled
    for _ in range(15):
        batches = [rng.integers(0, n_tiles, batch) for _ in range(n_batches)]
        for name, read in ways.items():
            some = batches[:1] if name == "png" else batches
            start = time.perf_counter()
            for rows in some:
                read(rows)
            rates[name].append(len(some) * batch / (time.perf_counter() - start))
    return rates


def ratio(rates: dict[str, list[float]], ours: str, other: str) -> tuple[float, list[float]]:
    """Give the median ratio of two rates over the rounds, and its range."""
    found = [a / b for a, b in zip(rates[ours], rates[other], strict=True)]
    return round(statistics.median(found), 3), [round(min(found), 3), round(max(found), 3)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megapixels", type=int, default=400, help="size of the archive [Mpx]")
    n_fields = max(2, parser.parse_args().megapixels * 1_000_000 // (FIELD_PX[0] * FIELD_PX[1]))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="wootz-bench-") as name:
        folder = Path(name)
        fields = make_fields(n_fields, rng=rng)
        archive, windows = write_all(folder, fields)
        ways = readers(folder, archive, windows)
        rows = rng.integers(0, len(windows), BATCH)
        for way in ("memmap", "tiff"):
            np.testing.assert_array_equal(ways["archive"](rows), ways[way](rows))
        rates = measure(ways, len(windows), rng=rng)
        ways = readers_with_margin(archive, fields, windows)
        np.testing.assert_array_equal(ways["margin"](rows), ways["padded"](rows))
        rates |= measure(ways, len(windows), rng=rng)
        del ways, fields
        ways, n_large = readers_that_shrink(archive)
        np.testing.assert_allclose(
            ways["shrunk"](rows[:9] % n_large), ways["blocks"](rows[:9] % n_large), atol=1e-6
        )
        rates |= measure(ways, n_large, rng=rng, batch=LARGE_BATCH, n_batches=2)
    middle = {way: statistics.median(values) for way, values in rates.items()}
    for way, rate in middle.items():
        say(f"{way:8} {rate:10,.0f} tiles/s")
    (plain, range_), (margin, _), (shrunk, _) = (
        ratio(rates, *pair) for pair in (("archive", "memmap"), ("margin", "padded"), ("shrunk", "blocks"))
    )
    result = {
        "benchmark": "tiles",
        "ratio": plain,
        "ratio_range": range_,
        "ratio_margin": margin,
        "ratio_shrunk": shrunk,
        "tiles_per_s": {way: round(rate) for way, rate in middle.items()},
        "n_tiles": len(windows),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
