"""The graph of nearest neighbours that the default clustering works on: exact or inverted-file, weighted."""

from dataclasses import dataclass

import numpy as np

from wootz.clustering import neighbourhoods
from wootz.clustering.links import Links
from wootz.clustering.lloyd import one_thread_if_small
from wootz.clustering.preprocess import check_features
from wootz.errors import WootzError

EXACT_MAX = 200_000
RECALL_SAMPLE = 1_000
RECALL_AIM = 0.95
CHUNK_ROWS = 65_536
WEIGHTS = ("jaccard", "equal")


@dataclass(frozen=True)
class KnnGraph:
    """An undirected graph: points are joined where one is among the other's nearest neighbours.

    Parameters
    ----------
    links : Links
        Symmetric; indices ascend in each row, no point is joined to itself, weights in (0, 1].
    neighbours : (N, k) int32
        Nearest neighbours of each point, nearest first.
    distances : (N, k) float32
        Euclidean distances to them.
    recall : float in [0, 1]
        Share of the true neighbours that were found, measured on a sample; 1 where the search is exact.
    """

    links: Links
    neighbours: np.ndarray
    distances: np.ndarray
    recall: float


def knn_graph(
    features: np.ndarray,
    n_neighbors: int = 25,
    *,
    rng: np.random.Generator,
    weight: str = "jaccard",
    exact_max: int = EXACT_MAX,
) -> KnnGraph:
    """Join each point with its nearest neighbours.

    Parameters
    ----------
    features : (N, D) float32
        Compared by Euclidean distance (on rows of unit length: by angle).
    n_neighbors : int, 1 to N - 1
    rng : numpy Generator
        Draws the sample on which the recall of an approximate search is measured, and its cells.
    weight : str
        ``"jaccard"``: share of neighbours that the two points have in common, ``|A & B| / |A | B|``, each
        point counted among its own neighbours so that no link weighs nothing. Links that leave a dense group
        are mostly between points without common neighbours and nearly vanish; distances, whose scale
        differs from group to group, do not enter. ``"equal"``: 1.
    exact_max : int
        More points than this are searched through an inverted file (IVF): cells are added to the search until
        a sample finds 95 % of its true neighbours, and `recall` says what was reached.

    Raises
    ------
    WootzError
        For fewer different points than neighbours, features that are all the same, NaN.

    References
    ----------
    Levine et al. 2015 (PhenoGraph: Jaccard weights), doi 10.1016/j.cell.2015.05.047; Jegou et al. 2011
    (inverted files), doi 10.1109/TPAMI.2010.57.
    """
    points = check_features(features)
    if weight not in WEIGHTS:
        raise ValueError(f"weight={weight!r} is not known; choose {' or '.join(WEIGHTS)}")
    _check_enough(points, n_neighbors)
    if len(points) <= exact_max:
        neighbours, distances = exact_neighbours(points, n_neighbors)
        recall = 1.0
    else:
        neighbours, distances, recall = _inverted_file(points, n_neighbors, rng=rng)
    indptr, indices = neighbourhoods.undirected(neighbours)
    if weight == "jaccard":
        weights = neighbourhoods.jaccard(neighbours, indptr, indices)
    else:
        weights = np.ones(len(indices), np.float32)
    return KnnGraph(Links(indptr, indices, weights), neighbours, distances, recall)


def exact_neighbours(points: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Find each point's nearest others by comparing all pairs: (N, k) int32 and (N, k) float32 distances."""
    import faiss

    index = faiss.IndexFlatL2(points.shape[1])
    index.add(points)
    return _search(index, points, n_neighbors)


def _search(index, points: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    neighbours = np.empty((len(points), n_neighbors), np.int32)
    distances = np.empty((len(points), n_neighbors), np.float32)
    with one_thread_if_small(points.size * len(points)):
        for start in range(0, len(points), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            squared, found = index.search(points[part], n_neighbors + 1)
            neighbours[part], distances[part] = neighbourhoods.without_self(found, squared, start)
    return neighbours, distances


def _inverted_file(
    points: np.ndarray, n_neighbors: int, *, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Search through an inverted file, opened as far as the measured recall asks for."""
    import faiss

    n, dim = points.shape
    n_cells = int(4 * np.sqrt(n))
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, n_cells)
    index.cp.seed = int(rng.integers(2**31))
    index.cp.niter = 10
    index.train(points[np.sort(rng.choice(n, min(n, 64 * n_cells), replace=False))])
    index.add(points)
    rows = np.sort(rng.choice(n, RECALL_SAMPLE, replace=False))
    exact = faiss.IndexFlatL2(dim)
    exact.add(points)
    truth = exact.search(points[rows], n_neighbors + 1)[1]
    del exact
    recall = 0.0
    for n_probe in (8, 16, 32, 64, 128):
        index.nprobe = min(n_probe, n_cells)
        found = index.search(points[rows], n_neighbors + 1)[1]
        recall = _recall(found, truth)
        if recall >= RECALL_AIM:
            break
    neighbours, distances = _search(index, points, n_neighbors)
    return neighbours, distances, recall


def _recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of true neighbours that were found, point by point."""
    return float(np.mean([np.isin(t, f).mean() for f, t in zip(found, truth, strict=True)]))


def _check_enough(points: np.ndarray, n_neighbors: int) -> None:
    if n_neighbors < 1:
        raise WootzError(f"n_neighbors={n_neighbors} is too small; a point needs at least one neighbour.")
    seen: set[bytes] = set()
    for row in points:
        seen.add(row.tobytes())
        if len(seen) > n_neighbors:
            return
    raise WootzError(
        f"only {len(seen)} different feature vectors of {len(points)} tiles, too few for "
        f"n_neighbors={n_neighbors}: ask for fewer neighbours, leave duplicates out or ingest more images."
    )
