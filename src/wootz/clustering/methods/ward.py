"""Ward's tree in memory that grows with the points only, and the cut with the best silhouette."""

import numpy as np

from wootz.clustering.lloyd import kmeans
from wootz.clustering.mergetree import MergeTree
from wootz.clustering.methods.density import in_space
from wootz.clustering.methods.grouping import Grouping, by_size, check_points
from wootz.clustering.methods.options import WardConfig
from wootz.clustering.sweep import silhouette
from wootz.compiled import compiled

SILHOUETTE_SAMPLE = 2_000
MICRO_ITER = 20


def ward(features: np.ndarray, cfg: WardConfig, *, rng: np.random.Generator) -> Grouping:
    """Cluster by Ward's tree, by default on UMAP coordinates.

    Parameters
    ----------
    features : (N, D) float32
    cfg : WardConfig
    rng : numpy Generator

    Raises
    ------
    WootzError
        For fewer (different) tiles than clusters, NaN, features that are all the same.

    Notes
    -----
    More tiles than ``cfg.n_micro`` are put into so many small groups by k-means first, and the tree starts
    from these with their sizes. Ward prefers round clusters of equal size: on classes that differ much in
    size it does worse than density or the neighbour graph.

    References
    ----------
    Ward 1963, doi 10.1080/01621459.1963.10500845; on UMAP, and silhouette as a guide to the number:
    Lowe et al. 2024, arXiv:2406.02465.
    """
    points = check_points(features, cfg.n_clusters or 2)
    space = in_space(points, cfg, rng=rng)
    leaves, centres = np.arange(len(space)), space
    if len(space) > cfg.n_micro:
        found = kmeans(space, cfg.n_micro, rng=rng, n_init=1, n_iter=MICRO_ITER)
        leaves, centres = found.labels, found.centroids
    tree = ward_tree(centres, np.bincount(leaves, minlength=len(centres)))
    number, notes = cfg.n_clusters, ()
    if number is None:
        number, best = _best_cut(space, leaves, tree, n_max=cfg.n_clusters_max, rng=rng)
        where = "UMAP space" if cfg.space == "umap" else "the features"
        notes = (f"{number} clusters have the best silhouette in {where} ({best:.2f}).",)
    return by_size(Grouping(tree.cut(number)[leaves], notes=notes))


def ward_tree(centres: np.ndarray, sizes: np.ndarray | None = None) -> MergeTree:
    """Join groups by Ward's criterion, always the two that add least to the sum of squared distances.

    Parameters
    ----------
    centres : (n_groups, D) float, n_groups >= 2
        Points, or means of groups of them.
    sizes : (n_groups,) int, optional
        Points in each group; left out, 1.

    Returns
    -------
    MergeTree
        Distances as in scipy: ``sqrt(2 n m / (n + m)) |a - b|``. ``shares`` has no meaning here and is 0.

    Notes
    -----
    Nearest-neighbour chain: a chain of ever nearer groups ends in two that are nearest to each other, and
    these can be joined at once, because joining never brings a group nearer to others than its parts were.
    Time grows with the square of the points, memory with the points.

    References
    ----------
    Murtagh 1983, doi 10.1093/comjnl/26.4.354; Muellner 2011, arXiv:1109.2378, figures 2 and 3.
    """
    n = len(centres)
    weights = np.ones(n) if sizes is None else np.maximum(np.asarray(sizes, float), 1e-9)
    pairs, heights = _chain(np.array(centres, np.float64), weights.copy())
    order = np.argsort(heights, kind="stable")
    linkage = np.empty((n - 1, 4))
    node, count = np.arange(n), np.ones(n)
    for step, (a, b) in enumerate(pairs[order]):  # the slot of a joined group is that of its second part
        linkage[step] = (
            min(node[a], node[b]),
            max(node[a], node[b]),
            heights[order[step]],
            count[a] + count[b],
        )
        node[b], count[b] = n + step, count[a] + count[b]
    return MergeTree(linkage, np.zeros(n - 1))


@compiled
def _chain(centres: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join all groups; return the slots that were joined, (first, second) with the result in the second."""
    n, dim = centres.shape
    alive = np.ones(n, np.bool_)
    chain = np.empty(n, np.int64)
    last = np.zeros(n)  # a joined group is never lower than its parts, not even by rounding
    length, start = 0, 0
    pairs = np.empty((n - 1, 2), np.int64)
    heights = np.empty(n - 1)
    for step in range(n - 1):
        if length == 0:
            while not alive[start]:
                start += 1
            chain[0], length = start, 1
        while True:
            a = chain[length - 1]
            before = chain[length - 2] if length > 1 else -1
            best, nearest = np.inf, -1
            if before >= 0:  # a tie goes to the one before, else the chain may turn for ever
                best, nearest = _squared(centres, sizes, (a, before)), before
            for j in range(n):
                if alive[j] and j not in (a, before):
                    distance = _squared(centres, sizes, (a, j))
                    if distance < best:
                        best, nearest = distance, j
            if nearest == before and before >= 0:
                break
            chain[length] = nearest
            length += 1
        length -= 2
        last[nearest] = max(np.sqrt(best), last[a], last[nearest])
        pairs[step, 0], pairs[step, 1], heights[step] = a, nearest, last[nearest]
        total = sizes[a] + sizes[nearest]
        for d in range(dim):
            centres[nearest, d] = (sizes[a] * centres[a, d] + sizes[nearest] * centres[nearest, d]) / total
        sizes[nearest] = total
        alive[a] = False
    return pairs, heights


@compiled
def _squared(centres: np.ndarray, sizes: np.ndarray, pair: tuple[int, int]) -> float:
    a, b = pair
    total = 0.0
    for d in range(centres.shape[1]):
        total += (centres[a, d] - centres[b, d]) ** 2
    return 2.0 * sizes[a] * sizes[b] / (sizes[a] + sizes[b]) * total


def _best_cut(
    space: np.ndarray, leaves: np.ndarray, tree: MergeTree, *, n_max: int, rng: np.random.Generator
) -> tuple[int, float]:
    """Find the number of clusters with the highest mean silhouette on a sample."""
    rows = rng.permutation(len(space))[:SILHOUETTE_SAMPLE]
    numbers = range(2, min(n_max, tree.n_groups - 1, len(rows) - 1) + 1)
    scores = {n: silhouette(space[rows], tree.cut(n)[leaves[rows]], spherical=False) for n in numbers}
    best = max(scores, key=lambda n: scores[n]) if scores else 2
    return best, scores.get(best, float("nan"))
