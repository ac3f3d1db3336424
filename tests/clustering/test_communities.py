import networkx as nx
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from wootz.clustering import Links, knn_graph, louvain, modularity


def links_of(table):
    """Compressed rows of a full, symmetric table."""
    rows, cols = np.nonzero(table)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(table)))])
    return Links(indptr.astype(np.int64), cols.astype(np.int32), table[rows, cols].astype(np.float32))


def random_table(rng, n, density=0.3):
    table = np.triu(rng.uniform(0.1, 1, (n, n)) * (rng.random((n, n)) < density), 1)
    return (table + table.T).astype(np.float32)


def modularity_by_loops(table, labels, resolution):
    """Newman 2006, equation 1, over all pairs."""
    degree, total = table.sum(axis=1), table.sum()
    value = 0.0
    for i in range(len(table)):
        for j in range(len(table)):
            if labels[i] == labels[j]:
                value += table[i, j] - resolution * degree[i] * degree[j] / total
    return value / total


@pytest.mark.parametrize("resolution", [0.5, 1.0, 3.0])
def test_modularity_by_loops(rng, resolution):
    table, labels = random_table(rng, 25).astype(float), rng.integers(0, 4, 25)
    expected = modularity_by_loops(table, labels, resolution)
    assert modularity(links_of(table), labels, resolution=resolution) == pytest.approx(expected, abs=1e-6)


def test_no_move_of_one_point_gains(rng):
    """What the first rounds of Louvain's method end at, and joining groups must not leave."""
    table = random_table(rng, 40, 0.15).astype(float)
    found = louvain(links_of(table), rng=rng)
    best = modularity_by_loops(table, found.labels, 1.0)
    assert found.modularity == pytest.approx(best, abs=1e-6)
    for a in range(found.n_clusters):  # and no two groups gain by being joined
        for b in range(a):
            joined = np.where(found.labels == a, b, found.labels)
            assert modularity_by_loops(table, joined, 1.0) <= best + 1e-9


@pytest.mark.parametrize("n_cliques", [6, 12])
def test_ring_of_cliques_in_closed_form(rng, n_cliques):
    """Cliques of 5, one link between neighbours: Q = 1 - 1 / (5 * 4 / 2 + 1) - 1 / n (Fortunato 2007)."""
    table = np.kron(np.eye(n_cliques), 1 - np.eye(5))
    for c in range(n_cliques):
        i, j = 5 * c, 5 * ((c + 1) % n_cliques) + 1
        table[i, j] = table[j, i] = 1
    found = louvain(links_of(table), rng=rng)
    assert adjusted_rand_score(np.repeat(np.arange(n_cliques), 5), found.labels) == 1
    assert found.modularity == pytest.approx(1 - 1 / 11 - 1 / n_cliques, abs=1e-6)


def test_resolution_limit_and_how_a_higher_resolution_undoes_it(rng):
    """30 cliques of 5: Newman's modularity is higher with pairs joined, as Fortunato & Barthelemy show."""
    table = np.kron(np.eye(30), 1 - np.eye(5))
    for c in range(30):
        i, j = 5 * c, 5 * ((c + 1) % 30) + 1
        table[i, j] = table[j, i] = 1
    links = links_of(table)
    assert louvain(links, rng=rng).n_clusters < 30
    assert louvain(links, 4.0, rng=rng).n_clusters == 30


@pytest.mark.parametrize("resolution", [0.5, 1.0, 2.0])
def test_modularity_of_networkx_within_a_hundredth(rng, resolution):
    points = rng.normal(size=(400, 5)) + 4 * rng.integers(0, 3, 400)[:, None] * np.eye(5)[0]
    links = knn_graph(points.astype(np.float32), 10, rng=rng).links
    graph = nx.Graph()
    rows = np.repeat(np.arange(400), np.diff(links.indptr))
    graph.add_weighted_edges_from(
        zip(rows.tolist(), links.indices.tolist(), links.weights.tolist(), strict=True)
    )
    theirs = nx.community.louvain_communities(graph, resolution=resolution, seed=1)
    expected = nx.community.modularity(graph, theirs, resolution=resolution)
    assert louvain(links, resolution, rng=rng).modularity >= 0.99 * expected
    labels = np.empty(400, int)
    for number, members in enumerate(theirs):
        labels[list(members)] = number
    assert modularity(links, labels, resolution=resolution) == pytest.approx(expected, abs=1e-5)


def test_same_seed_same_groups_numbered_by_size(rng):
    links = links_of(random_table(rng, 80, 0.1))
    first, second = (louvain(links, rng=np.random.default_rng(3)) for _ in range(2))
    assert (first.labels == second.labels).all()
    assert (np.diff(np.bincount(first.labels)) <= 0).all()
    assert first.n_levels >= 1


def test_parts_without_links_stay_apart(rng):
    table = np.kron(np.eye(3), random_table(rng, 20, 0.8))
    labels = louvain(links_of(table), 0.01, rng=rng).labels
    assert adjusted_rand_score(np.repeat(np.arange(3), 20), labels) == 1


def test_bad_graphs(rng):
    with pytest.raises(ValueError, match="resolution must be positive"):
        louvain(links_of(random_table(rng, 5)), 0.0, rng=rng)
    with pytest.raises(ValueError, match="without links"):
        louvain(links_of(np.zeros((4, 4))), rng=rng)
