"""How fast `wootz ingest` is beside a bare loop of tifffile.imread and np.save on the same files.

    python benchmarks/ingest.py [MEGABYTES] [FOLDER]

Ours is all of an ingest: reading, info bar, hashes, percentiles, search for copies, packing, tables, tiles
with their contrast, and every byte on the disk (fsync). The bare loop computes nothing and leaves its bytes
in the page cache. Files are uncompressed 8- and 16-bit TIFFs of 1 to 2 thousand pixels a side, as most
microscopes write them. Both take turns in one process that has done a small ingest before (imports and
compilation, some 3 s, are not counted).

Two cases. *cold*: the files are not in the page cache, as in any folder that is ingested for the first time;
`ratio` in the JSON on the last line is our rate over the bare loop's here. *warm*: the files were read a
moment ago, so that the bare loop is two copies in memory; `ratio_warm` is given beside it, since that is the
harder one. So is `ratio_synced`, cold against a bare loop that syncs its files too: on a slow or busy disk
the sync is all that one sees. Where the system cannot drop a file from its cache, `ratio` is the warm one.
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
CAN_DROP = hasattr(os, "posix_fadvise")


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


def synced_loop(files: list[Path], out: Path) -> None:
    bare_loop(files, out)
    for path in out.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def full_ingest(files: list[Path], out: Path) -> None:
    ingest(out, files[0].parent, IngestConfig())


def drop_from_cache(files: list[Path]) -> None:
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def timed(work, files: list[Path], *, out: Path, cold: bool) -> float:
    """Run once into a folder that is removed then; what earlier rounds left to write is not our time."""
    os.sync()
    if cold:
        drop_from_cache(files)
    else:
        for file in files:
            file.read_bytes()
    start = time.perf_counter()
    work(files, out)
    seconds = time.perf_counter() - start
    shutil.rmtree(out)
    return seconds


def main(megabytes: float = 1200.0, folder: str | None = None) -> None:
    root = Path(tempfile.mkdtemp(prefix="wootz-bench-", dir=folder))
    seconds: dict[str, list[float]] = {}
    try:
        files = write_files(root / "files", megabytes)
        total_mb = sum(file.stat().st_size for file in files) / 1e6
        ingest(root / "first", files[:2], IngestConfig())
        for _ in range(ROUNDS):
            for case in ["cold", "warm"] if CAN_DROP else ["warm"]:
                for name, work in (("bare", bare_loop), ("ingest", full_ingest), ("synced", synced_loop)):
                    times = seconds.setdefault(f"{name}_{case}_s", [])
                    times.append(timed(work, files, out=root / "out", cold=case == "cold"))
                    print(f"{name} {case}: {times[-1]:.2f} s", flush=True)
    finally:
        shutil.rmtree(root)
    print(json.dumps(figures(seconds, total_mb=total_mb, n_files=len(files))))


def figures(seconds: dict[str, list[float]], *, total_mb: float, n_files: int) -> dict[str, object]:
    median = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {
        case: round(median[f"bare_{case}_s"] / median[f"ingest_{case}_s"], 3)
        for case in ("cold", "warm")
        if f"bare_{case}_s" in median
    }
    case = "cold" if "cold" in ratios else "warm"
    ratios["synced"] = round(median[f"synced_{case}_s"] / median[f"ingest_{case}_s"], 3)
    rates = {name.replace("_s", "_mb_per_s"): round(total_mb / value, 1) for name, value in median.items()}
    return {
        "benchmark": "ingest",
        "ratio": ratios.get("cold", ratios["warm"]),
        "ratio_warm": ratios["warm"],
        "ratio_synced": ratios["synced"],
        **rates,
        "files": n_files,
        "megabytes": round(total_mb, 1),
        "cores": os.cpu_count(),
        **{name: [round(s, 3) for s in times] for name, times in seconds.items()},
    }


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((float, str), sys.argv[1:], strict=False)))
