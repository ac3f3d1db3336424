"""How fast `wootz ingest` is beside a bare loop of tifffile.imread and np.save on the same files.

    python benchmarks/ingest.py [MEGABYTES] [FOLDER]

Ours is all of an ingest: reading, info bar, hashes, percentiles, search for copies, packing, tables, tiles with
their contrast, and every byte on the disk (fsync). The bare loop writes into the page cache and computes nothing.
Files are uncompressed 8- and 16-bit TIFFs of 1 to 2 thousand pixels a side, as most microscopes write them;
compression would slow both alike. Both take turns, in one process that has done a small ingest before (imports
and compilation, some 3 s, are not counted). The last line is JSON; `ratio` is our rate over the bare loop's.
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from wootz.ingest import IngestConfig, ingest

SIZES = ((2048, 2048), (1536, 2048), (1024, 1280))
ROUNDS = 5


def field(index: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a field with structure of 8 px and noise; every other one is 16-bit."""
    height, width = SIZES[index % len(SIZES)]
    coarse = rng.normal(0.5, 0.12, (height // 8, width // 8))
    signal = np.kron(coarse, np.ones((8, 8))) + rng.normal(0.0, 0.05, (height, width))
    top, dtype = (255, np.uint8) if index % 2 else (4095, np.uint16)
    return np.clip(signal * top, 0, top).astype(dtype)


def write_files(folder: Path, megabytes: float) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(20261121)
    files: list[Path] = []
    n_bytes = 0
    while n_bytes < megabytes * 1e6:
        pixels = field(len(files), rng)
        files.append(folder / f"field_{len(files):04d}.tif")
        tifffile.imwrite(files[-1], pixels)
        n_bytes += pixels.nbytes
    return files


def bare_loop(files: list[Path], out: Path) -> None:
    out.mkdir()
    for file in files:
        np.save(out / f"{file.stem}.npy", tifffile.imread(file))


def timed(work, *args) -> float:  # noqa: ANN001
    os.sync()  # what an earlier round left to write is not our time
    start = time.perf_counter()
    work(*args)
    return time.perf_counter() - start


def main(megabytes: float = 400.0, folder: str | None = None) -> None:
    root = Path(tempfile.mkdtemp(prefix="wootz-bench-", dir=folder))
    try:
        files = write_files(root / "files", megabytes)
        total_mb = sum(file.stat().st_size for file in files) / 1e6
        warm = root / "warm"
        ingest(warm / "archive", files[:2], IngestConfig())
        seconds: dict[str, list[float]] = {"ingest": [], "bare": []}
        for i in range(ROUNDS):
            seconds["bare"].append(timed(bare_loop, files, root / f"bare{i}"))
            shutil.rmtree(root / f"bare{i}")
            seconds["ingest"].append(timed(ingest, root / f"archive{i}", [root / "files"], IngestConfig()))
            shutil.rmtree(root / f"archive{i}")
            print(
                f"round {i}: bare {seconds['bare'][-1]:.2f} s, ingest {seconds['ingest'][-1]:.2f} s",
                flush=True,
            )
    finally:
        shutil.rmtree(root)
    rate = {name: total_mb / statistics.median(times) for name, times in seconds.items()}
    figures = {
        "benchmark": "ingest",
        "ratio": round(rate["ingest"] / rate["bare"], 3),
        "ingest_mb_per_s": round(rate["ingest"], 1),
        "bare_mb_per_s": round(rate["bare"], 1),
        "files": len(files),
        "megabytes": round(total_mb, 1),
        "rounds": ROUNDS,
        "ingest_s": [round(s, 3) for s in seconds["ingest"]],
        "bare_s": [round(s, 3) for s in seconds["bare"]],
        "cores": os.cpu_count(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((float, str), sys.argv[1:], strict=False)))
