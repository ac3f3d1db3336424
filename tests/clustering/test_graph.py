import numpy as np
import pytest

from wootz.clustering import knn_graph, membership_share, neighbour_outliers
from wootz.clustering.hierarchy import fitting_neighbours
from wootz.errors import WootzError


def points_of(rng, n=60, dim=3):
    return rng.normal(size=(n, dim)).astype(np.float32)


def dense(graph):
    """The adjacency as a full table."""
    indptr, indices, weights = graph.links
    table = np.zeros((len(indptr) - 1,) * 2)
    table[np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)), indices] = weights
    return table


def neighbours_by_loops(points, k):
    out = []
    for i, point in enumerate(points.astype(float)):
        far = [(np.sqrt(((point - other) ** 2).sum()), j) for j, other in enumerate(points.astype(float))]
        out.append([j for _, j in sorted(far) if j != i][:k])
    return np.array(out)


def test_neighbours_and_weights_by_loops(rng):
    points, k = points_of(rng), 5
    graph = knn_graph(points, k, rng=rng)
    expected = neighbours_by_loops(points, k)
    assert (graph.neighbours == expected).all()
    lists = [set(row) | {i} for i, row in enumerate(expected)]
    table = np.zeros((60, 60))
    for i in range(60):
        for j in range(60):
            if i != j and (j in lists[i] or i in lists[j]):
                table[i, j] = len(lists[i] & lists[j]) / len(lists[i] | lists[j])
    assert dense(graph) == pytest.approx(table, abs=1e-6)
    assert graph.recall == 1.0
    flat = points.astype(float)
    first = np.linalg.norm(flat - flat[expected[:, 0]], axis=1)
    assert graph.distances[:, 0] == pytest.approx(first, abs=1e-3)
    assert (dense(knn_graph(points, k, rng=rng, weight="equal")) == (table > 0)).all()


def test_graph_does_not_depend_on_the_order_of_rows_or_on_scale(rng):
    points = points_of(rng)
    order = rng.permutation(60)
    first, second = knn_graph(points, 7, rng=rng), knn_graph(points[order] * 4, 7, rng=rng)
    assert (dense(first)[np.ix_(order, order)] == dense(second)).all()


def test_inverted_file_measures_its_recall(rng):
    points = points_of(rng, 4000, 8)
    exact = knn_graph(points, 10, rng=rng)
    found = knn_graph(points, 10, rng=rng, exact_max=1000)
    overlap = np.mean([np.isin(a, b).mean() for a, b in zip(exact.neighbours, found.neighbours, strict=True)])
    assert 0.95 <= found.recall < 1
    assert found.recall == pytest.approx(overlap, abs=0.02)


def test_copies_of_a_point_are_joined_with_each_other(rng):
    points = np.concatenate([points_of(rng, 40), np.zeros((12, 3), np.float32)])
    graph = knn_graph(points, 6, rng=rng)
    for i in range(40, 52):
        assert set(graph.neighbours[i].tolist()) <= set(range(40, 52)) - {i}
    assert graph.distances[40:] == pytest.approx(0)


@pytest.mark.parametrize(
    ("change", "k", "message"),
    [
        (np.ones_like, 5, "all features are the same"),
        (lambda x: np.repeat(x[:4], 15, axis=0), 5, "only 4 different feature vectors of 60"),
        (lambda x: x[:5], 5, "only 5 different.*ask for fewer neighbours"),
        (lambda x: np.where(np.arange(60)[:, None] == 3, np.nan, x), 5, "NaN"),
        (lambda x: x, 0, "at least one neighbour"),
    ],
)
def test_bad_features(rng, change, k, message):
    with pytest.raises(WootzError, match=message):
        knn_graph(change(points_of(rng)), k, rng=rng)


def test_unknown_weight(rng):
    with pytest.raises(ValueError, match="jaccard or equal"):
        knn_graph(points_of(rng), 5, rng=rng, weight="cosine")


def test_number_of_neighbours_fits_the_number_of_tiles():
    assert [fitting_neighbours(n, 25) for n in (6, 72, 200, 250, 9000)] == [5, 7, 20, 25, 25]
    with pytest.raises(WootzError, match="5 tiles are too few"):
        fitting_neighbours(5, 25)


def test_outliers_and_points_between_clusters(rng):
    points = np.concatenate([rng.normal(0, 1, (80, 4)), rng.normal(9, 1, (80, 4)), [[4.5] * 4, [30] * 4]])
    labels = np.array([0] * 80 + [1] * 80 + [0, 1])
    graph = knn_graph(points.astype(np.float32), 8, rng=rng)
    scores, share = neighbour_outliers(graph, labels), membership_share(graph.links, labels)
    assert np.argsort(-scores)[:2].tolist() == [161, 160]
    assert np.median(scores[:160]) == pytest.approx(1, abs=0.05)
    assert share[80:160].min() > 0.9
    table = dense(graph)
    for i in (0, 100, 160):
        assert share[i] == pytest.approx(table[i, labels == labels[i]].sum() / table[i].sum(), abs=1e-6)
    assert share[160] == share[[*range(80), 160]].min() < 0.9
