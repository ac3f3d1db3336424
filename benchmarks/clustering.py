"""k-means against scikit-learn, Louvain against networkx, and how the default chain grows with the tiles.

Run ``python benchmarks/clustering.py [--points 10000 100000] [--million]``. Everything is drawn from fixed
seeds. The last line is JSON: ``ratio`` is our k-means rate over scikit-learn's on 100,000 x 128 points and
100 clusters, both from k-means++ and for 20 iterations; ``louvain`` the same against networkx on a graph of
5,000 points; ``chain`` seconds and peak memory of `wootz.clustering.discover` and the UMAP map (of a sample
above 200,000 points; ``map_seconds`` is its part), each size in a process of its own. ``--million`` adds
1,000,000 x 128 (minutes, some GB).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from wootz.clustering import GraphConfig, discover, kmeans, knn_graph, lloyd, louvain, modularity
from wootz.clustering.maps import umap_coordinates
from wootz.progress import say

N_POINTS, DIM, N_CLUSTERS, N_ITER = 100_000, 128, 100, 20
SMALL_GRAPH = 5_000
CLASSES = 30


def classes(n_points: int, *, rng: np.random.Generator) -> np.ndarray:
    """Draw flat classes of unequal size in 128 dimensions, scaled to length one: (N, 128) float32."""
    shares = np.geomspace(30, 1, CLASSES)
    labels = rng.choice(CLASSES, n_points, p=shares / shares.sum())
    centres = rng.normal(size=(CLASSES, DIM)).astype(np.float32)
    flats = (0.9 * rng.normal(size=(CLASSES, 8, DIM))).astype(np.float32)
    points = 0.9 * rng.standard_normal((n_points, DIM), dtype=np.float32)
    for k in range(CLASSES):
        rows = np.flatnonzero(labels == k)
        points[rows] += centres[k] + rng.standard_normal((len(rows), 8), dtype=np.float32) @ flats[k]
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def compare_kmeans(rounds: int) -> dict[str, object]:
    """Run both from k-means++ for the same iterations, in turns."""
    from sklearn.cluster import KMeans

    lloyd.TOLERANCE = -1.0  # no early end, as with tol=0 there
    points = classes(N_POINTS, rng=np.random.default_rng(0))
    kmeans(points[:1000], 10, rng=np.random.default_rng(0), n_init=1)  # compiled now
    ours, theirs = [], []
    for round_ in range(rounds):
        rng = np.random.default_rng(round_)
        took, found = seconds(lambda rng=rng: kmeans(points, N_CLUSTERS, rng=rng, n_init=1, n_iter=N_ITER))
        ours.append((took, found.inertia))
        model = KMeans(N_CLUSTERS, n_init=1, max_iter=N_ITER, tol=0, random_state=round_)
        took, fitted = seconds(lambda model=model: model.fit(points))
        theirs.append((took, fitted.inertia_))
        say(f"k-means: ours {ours[-1][0]:.2f} s, scikit-learn {theirs[-1][0]:.2f} s")
    mean = [statistics.fmean(inertia for _, inertia in runs) for runs in (ours, theirs)]
    return {
        "ratio": round(statistics.median(b / a for (a, _), (b, _) in zip(ours, theirs, strict=True)), 2),
        "ours_s": [round(t, 2) for t, _ in ours],
        "sklearn_s": [round(t, 2) for t, _ in theirs],
        "inertia_off_percent": round(100 * (mean[0] / mean[1] - 1), 3),
    }


def compare_louvain(n_large: int) -> dict[str, object]:
    """Time networkx once and ours in a median on the small graph; ours alone on the large one."""
    import networkx as nx

    links = knn_graph(classes(SMALL_GRAPH, rng=np.random.default_rng(1)), rng=np.random.default_rng(1)).links
    rows = np.repeat(np.arange(SMALL_GRAPH), np.diff(links.indptr))
    graph = nx.Graph()
    edges = zip(rows.tolist(), links.indices.tolist(), links.weights.tolist(), strict=True)
    graph.add_weighted_edges_from(edges)
    theirs_s, groups = seconds(lambda: nx.community.louvain_communities(graph, seed=0))
    labels = np.empty(SMALL_GRAPH, int)
    for number, members in enumerate(groups):
        labels[list(members)] = number
    louvain(links, rng=np.random.default_rng(0))  # compiled now
    runs = [seconds(lambda s=s: louvain(links, rng=np.random.default_rng(s))) for s in range(9)]
    ours_s = statistics.median(took for took, _ in runs)
    q_ours, q_theirs = statistics.median(found.modularity for _, found in runs), modularity(links, labels)
    say(f"Louvain on {SMALL_GRAPH} points: ours {ours_s:.4f} s, networkx {theirs_s:.2f} s")
    features = classes(n_large, rng=np.random.default_rng(2))
    graph_s, large = seconds(lambda: knn_graph(features, rng=np.random.default_rng(2)))
    large_s, found = seconds(lambda: louvain(large.links, rng=np.random.default_rng(2)))
    say(f"{n_large} points: graph {graph_s:.1f} s, Louvain {large_s:.2f} s")
    return {
        "ratio": round(theirs_s / ours_s, 1),
        "ours_s": round(ours_s, 4),
        "networkx_s": round(theirs_s, 2),
        "modularity": round(q_ours, 4),
        "modularity_networkx": round(q_theirs, 4),
        "large": {
            "n_points": n_large,
            "n_links": len(large.links.weights) // 2,
            "graph_s": round(graph_s, 2),
            "louvain_s": round(large_s, 2),
            "modularity": round(found.modularity, 4),
        },
    }


def run_chain(n_points: int) -> dict[str, object]:
    """Run the whole default chain in this process."""
    warm = classes(600, rng=np.random.default_rng(0))
    discover(warm, GraphConfig(n_resamples=1, n_noise=1), rng=np.random.default_rng(0))  # compiled now
    points = classes(n_points, rng=np.random.default_rng(3))
    took, found = seconds(lambda: discover(points, rng=np.random.default_rng(3)))
    map_took, _ = seconds(lambda: umap_coordinates(points, rng=np.random.default_rng(3)))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "n_points": n_points,
        "seconds": round(took + map_took, 1),
        "map_seconds": round(map_took, 1),
        "peak_gib": round(peak_kib / 2**20, 2),
        "n_clusters": found.n_clusters,
        "recall": round(found.hierarchy.graph.recall, 3),
    }


def chain_in_its_own_process(n_points: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, __file__, "--chain", str(n_points)], check=True, stdout=subprocess.PIPE, text=True
    )
    row = json.loads(done.stdout.splitlines()[-1])
    say(f"chain: {row}")
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--points", type=int, nargs="*", default=[10_000, 100_000], help="sizes of the chain")
    parser.add_argument("--million", action="store_true", help="run the chain on 1,000,000 points too")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of k-means")
    parser.add_argument("--graph", type=int, default=100_000, help="points of the large graph")
    parser.add_argument("--chain", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.chain:
        print(json.dumps(run_chain(args.chain)))
        return
    by_kmeans = compare_kmeans(args.rounds) if args.rounds else {"ratio": None}
    by_louvain = compare_louvain(args.graph) if args.graph else None
    sizes = [*args.points, *([1_000_000] if args.million else [])]
    result = {
        "benchmark": "clustering",
        "ratio": by_kmeans["ratio"],
        "kmeans": by_kmeans,
        "louvain": by_louvain,
        "chain": [chain_in_its_own_process(n) for n in sizes],
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
