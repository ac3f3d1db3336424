"""Memory and rates on an archive that does not fit in memory, with a cold and a warm page cache.

    python benchmarks/big_archive.py [--gb 20] [--seconds 20] [--linked] [--stages read pretrain embed]
                                     [--caches cold warm] [--folder DISK]

An archive of fields of 2048 x 2560 px, uint8, is made in a temporary folder, with a grid of tiles of 128 px
(20 GB: 1.2 million tiles). Then three processes of their own work on it, first after the system was asked
to drop the archive from its page cache (cold), then again (warm): one reads random batches of 256 tiles,
one pretrains (small encoder, views of 32 px, batches of 64 from all of it), one embeds 512 tiles from all
over. Each checks the XXH3-128 of every field that it meets. A thread notes the largest anonymous memory
(RssAnon: what the process itself holds, without file pages, which the system drops when it needs room).

With ``--linked`` the first GB stands there as often as it takes, under as many names (hard links): 20 GB to
every table and mapping for 1 GB of disk, but a cold cache is then warm after the first GB. The last line is
JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from wootz import intensity
from wootz.archive import Archive
from wootz.fields import SHARD_CAP_BYTES, NewField, PackedField
from wootz.progress import say
from wootz.tilegrid import grid_frame

FIELD_PX = (2048, 2560)
TILE_PX = 128
BATCH = 256
N_EMBED = 512
STAGES = ("read", "pretrain", "embed")
CACHES = ("cold", "warm")


def new_fields(n_fields: int, *, seed: int = 0) -> Iterator[NewField]:
    """Yield fields that differ in their last pixels, so that each has a checksum of its own."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(128, 40, (FIELD_PX[0] // 8, FIELD_PX[1] // 8))
    grain = rng.normal(0, 6, FIELD_PX)
    pixels = np.clip(np.kron(coarse, np.ones((8, 8))) + grain, 0, 255).astype(np.uint8)
    range_ = intensity.robust_range(pixels)
    shared = xxhash.xxh3_128(pixels.ravel()[:-8].data)
    for i in range(n_fields):
        own = i.to_bytes(8, "little")
        pixels[-1, -8:] = np.frombuffer(own, np.uint8)
        digest = shared.copy()
        digest.update(own)
        packed = PackedField(pixels.dtype, *FIELD_PX, digest.hexdigest(), *range_)
        yield NewField(pixels, {"file": f"{i:06d}.tif"}, measured=packed)


def make_archive(folder: Path, *, n_fields: int, linked: bool) -> Archive:
    """Pack fields and lay the grid; with `linked`, all but the first GB are further names of it."""
    archive = Archive.create(folder)
    per_shard = SHARD_CAP_BYTES // (FIELD_PX[0] * FIELD_PX[1])
    n_written = min(n_fields, per_shard) if linked else n_fields
    archive.add_images(new_fields(n_written))
    while linked and len(archive.image_table()) < n_fields:
        _link(archive, n_fields - len(archive.image_table()))
    grid = grid_frame(archive.image_table(), size_px=TILE_PX, stride_px=TILE_PX)
    with archive.store.transaction() as transaction:  # as write_tiles, without a look at contrast
        transaction.replace_table("tiles", grid.assign(contrast=0.15, uninformative=False, duplicate=False))
        transaction.change()["grid"] = {"size_px": TILE_PX, "stride_px": TILE_PX}
    return archive


def _link(archive: Archive, n_fields: int) -> None:
    """List the first shard once more, under another name, with up to `n_fields` of its fields."""
    images = archive.image_table()
    number = images["shard"].nunique()
    with archive.store.transaction() as transaction:
        first = transaction.manifest["shards"][0]
        path = transaction.new_path("pixels", "uint8", ".npy")
        os.link(archive.path / first["file"], path)
        record = transaction.record(path, {key: first[key] for key in ("bytes", "dtype")})
        transaction.change()["shards"].append(record)
        rows = images[images["shard"] == first["file"]].head(n_fields)
        rows = rows.assign(
            image_id=rows["image_id"] + f"-{number}",
            file=rows["file"] + f" {number}",
            shard=record["file"],
        )
        transaction.append_table("images", rows)


def drop_from_cache(folder: Path) -> None:
    """Ask the system to forget the pages of all files of a folder."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


class Watch(threading.Thread):
    """Note the largest anonymous memory of this process, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.start()

    def run(self) -> None:  # noqa: D102
        while True:
            self.look()
            time.sleep(0.02)

    def look(self) -> int:
        """Look now; returns the peak so far."""
        status = Path("/proc/self/status").read_text()
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon"))
        self.peak = max(self.peak, int(kib) * 1024)
        return self.peak


def work(stage: str, folder: Path, *, seconds: float) -> dict[str, Any]:
    """Do one stage in this process; returns its rates and its peak of memory."""
    watch, start = Watch(), time.perf_counter()
    archive = Archive(folder)
    tiles = archive.tiles()
    opened_s = time.perf_counter() - start
    match stage:
        case "read":
            rates = read_batches(tiles, seconds=seconds)
        case "pretrain":
            rates = pretrain_for(archive, tiles, seconds=seconds)
        case _:
            rates = embed_some(archive, tiles)
    return {**rates, "open_s": round(opened_s, 2), "rss_anon_gib": round(watch.look() / 2**30, 3)}


def read_batches(tiles: Any, *, seconds: float) -> dict[str, float]:
    """Read random batches; the first pass is over when each field has been met, as far as time allows."""
    rng = np.random.default_rng(0)
    images = tiles.columns(["image_id"])["image_id"].astype("category").cat.codes.to_numpy()
    met = np.zeros(images.max() + 1, bool)
    passes: dict[str, list[float]] = {"first": [0, 0.0], "later": [0, 0.0]}
    tiles.read(np.arange(8))  # compile
    begun = time.perf_counter()
    while (now := time.perf_counter()) - begun < seconds or passes["later"][1] < seconds / 4:
        rows = rng.integers(0, len(tiles), BATCH)
        name = "later" if met[images[rows]].all() else "first"
        tiles.scaled(rows)
        met[images[rows]] = True
        passes[name][0] += BATCH
        passes[name][1] += time.perf_counter() - now
    met_gb = met.sum() * FIELD_PX[0] * FIELD_PX[1] / 1e9
    return {
        "first_use_s": round(passes["first"][1], 1),
        "first_use_gb_per_s": round(met_gb / max(passes["first"][1], 1e-9), 2),
        "tiles_per_s": round(passes["later"][0] / max(passes["later"][1], 1e-9)),
    }


def pretrain_for(archive: Archive, tiles: Any, *, seconds: float) -> dict[str, float]:
    """Pretrain until the time is over; the rate is that of the steps, the first use of fields included."""
    from wootz.augment import AugmentConfig
    from wootz.ssl import PretrainConfig, pretrain

    cfg = PretrainConfig(
        encoder="small",
        epochs=1,
        batch_size=64,
        max_minutes=seconds / 60,
        precision="float32",
        augment=AugmentConfig(out_px=32),
    )
    run = archive.start_run("pretrain", {}, seed=0, inputs={})
    start = time.perf_counter()
    result = pretrain(tiles, cfg, run=run)
    whole_s = time.perf_counter() - start
    run.finish({}, checkpoint=result.checkpoint)
    return {
        "steps": result.n_steps,
        "pairs_per_s": round(result.n_steps * cfg.batch_size / result.seconds, 1),
        "before_and_after_s": round(whole_s - result.seconds, 1),
    }


def embed_some(archive: Archive, tiles: Any) -> dict[str, float]:
    """Embed tiles from all over the archive with random weights."""
    from wootz.ssl import EmbedConfig, embed

    rows = np.unique(np.linspace(0, len(tiles) - 1, N_EMBED).astype(int))
    run = archive.start_run("embed", {}, seed=0, inputs={})
    start = time.perf_counter()
    embed(tiles.select(rows), EmbedConfig(encoder="random:small", name=run.id, batch_size=64), run=run)
    run.finish({})
    return {"tiles_per_s": round(len(rows) / (time.perf_counter() - start), 1)}


def run_stages(
    folder: Path, *, stages: list[str], caches: list[str], seconds: float
) -> dict[str, dict[str, Any]]:
    """Run stages with a cold and a warm cache, each in a process of its own."""
    found: dict[str, dict[str, Any]] = {}
    for stage in stages:
        for cache in caches:
            if cache == "cold":
                drop_from_cache(folder)
            words = [sys.executable, __file__, "--worker", stage, "--folder", folder, "--seconds", seconds]
            done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, text=True, check=True)
            found[f"{stage}_{cache}"] = json.loads(done.stdout.splitlines()[-1])
            say(f"{stage}, {cache}: {found[f'{stage}_{cache}']}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gb", type=float, default=20.0, help="size of the packed fields [GB]")
    parser.add_argument("--seconds", type=float, default=20.0, help="of reading and of pretraining")
    parser.add_argument("--linked", action="store_true", help="repeat the first GB by hard links")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--caches", nargs="+", choices=CACHES, default=list(CACHES))
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder")
    parser.add_argument("--worker", choices=STAGES, help="do one stage on the archive in --folder")
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(work(options.worker, options.folder, seconds=options.seconds)))
        return
    n_fields = max(2, round(options.gb * 1e9 / (FIELD_PX[0] * FIELD_PX[1])))
    with tempfile.TemporaryDirectory(prefix="wootz-bench-", dir=options.folder) as name:
        start = time.perf_counter()
        archive = make_archive(Path(name) / "archive", n_fields=n_fields, linked=options.linked)
        n_tiles = len(archive.store.table("tiles"))
        say(f"{n_fields} fields, {n_tiles} tiles, made in {time.perf_counter() - start:.0f} s")
        found = run_stages(
            archive.path, stages=options.stages, caches=options.caches, seconds=options.seconds
        )
    result = {
        "benchmark": "big_archive",
        "rss_anon_gib": max(stage["rss_anon_gib"] for stage in found.values()),
        **found,
        "gb": options.gb,
        "linked": options.linked,
        "n_tiles": n_tiles,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
