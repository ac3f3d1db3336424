"""Hierarchical k-means on ten million feature vectors that are never in memory together.

    python benchmarks/hierarchical.py [MILLIONS] [FOLDER]

Shards of a million x 64 points are drawn from 30 flat classes of unequal size (42 to 1) and written to files
(2.5 GB for ten million); then `wootz.clustering` clusters them in pieces of 250,000. The last line is JSON:
seconds of each level, peak memory of the process, number of clusters, and the adjusted Rand index with the
classes over all points. ``ratio`` is the rate over that of k-means on all points of the first shard (100
clusters, one start), which does hold them in memory.
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

from wootz.clustering import kmeans
from wootz.clustering.levels import hierarchical_kmeans
from wootz.clustering.methods.hierarchical_options import HierarchicalConfig
from wootz.clustering.pieces import FirstLevel, cut_pieces
from wootz.clustering.preparation import fit_preparation
from wootz.progress import say

SHARD, DIM, CLASSES, IMBALANCE = 1_000_000, 64, 30, 42


def draw_shards(folder: Path, n_shards: int) -> tuple[list[Path], np.ndarray]:
    """Write shards and return their files and the class of each point."""
    rng = np.random.default_rng(5)
    shares = np.geomspace(IMBALANCE, 1, CLASSES)
    centres = 1.1 * rng.normal(size=(CLASSES, DIM)).astype(np.float32)
    flats = (0.9 * rng.normal(size=(CLASSES, 8, DIM))).astype(np.float32)
    files, truth = [], []
    for i in range(n_shards):
        labels = rng.choice(CLASSES, SHARD, p=shares / shares.sum())
        points = 0.9 * rng.standard_normal((SHARD, DIM), dtype=np.float32)
        for k in range(CLASSES):
            rows = np.flatnonzero(labels == k)
            points[rows] += centres[k] + rng.standard_normal((len(rows), 8), dtype=np.float32) @ flats[k]
        files.append(folder / f"shard-{i}.npy")
        np.save(files[-1], points)
        truth.append(labels.astype(np.int8))
    return files, np.concatenate(truth)


def main(millions: int = 10, folder: str | None = None) -> None:
    with tempfile.TemporaryDirectory(prefix="wootz-bench-", dir=folder) as scratch:
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # so that its memory is not ours
            files, truth = pool.apply(draw_shards, (Path(scratch), millions))
        cfg = HierarchicalConfig()
        start = time.perf_counter()
        sample = np.load(files[0], mmap_mode="r")[: cfg.sample]
        first = FirstLevel(
            Path(scratch) / "pieces", fit_preparation(sample), n_groups=cfg.n_first, n_iter=cfg.n_iter, seed=0
        )
        sizes = [(file, SHARD) for file in files]
        pieces = list(cut_pieces(sizes, np.arange(len(truth)), piece_rows=cfg.piece_rows))
        found = hierarchical_kmeans(pieces, cfg, first=first, rng=np.random.default_rng(0))
        took = time.perf_counter() - start
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        say(f"{len(truth)} points: {took:.0f} s")
        start = time.perf_counter()
        kmeans(np.load(files[0]), 100, rng=np.random.default_rng(0), n_init=1)
        whole = time.perf_counter() - start
        report = {
            "benchmark": "hierarchical",
            "ratio": round(len(truth) / took / (SHARD / whole), 2),
            "n_points": len(truth),
            "seconds": round(took, 1),
            "kmeans_of_a_million_s": round(whole, 1),
            "peak_gib": round(peak_kib / 2**20, 2),
            "n_small": found.n_small,
            "n_clusters": len(found.centroids),
            "ari": round(float(adjusted_rand_score(truth, found.labels)), 4),
            "classes": CLASSES,
            "threads": os.environ.get("OMP_NUM_THREADS", ""),
            "load": round(os.getloadavg()[0], 1),
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*(int(word) if i == 0 else word for i, word in enumerate(sys.argv[1:3])))
