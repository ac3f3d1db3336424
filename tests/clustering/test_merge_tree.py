import numpy as np
import pytest
from scipy.cluster.hierarchy import is_valid_linkage

from wootz.clustering import Links, group_links, merge_gaps, merge_tree, micro_clusters


def random_links(rng, n=30):
    table = np.triu(rng.uniform(0.1, 1, (n, n)) * (rng.random((n, n)) < 0.4), 1).astype(np.float32)
    table = table + table.T
    rows, cols = np.nonzero(table)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n))]).astype(np.int64)
    return table.astype(float), Links(indptr, cols.astype(np.int32), table[rows, cols])


def tree_by_loops(table, labels):
    """Join the two groups with the largest share of the smaller one's links, counted anew each time."""
    groups = {g: set(np.flatnonzero(labels == g)) for g in range(labels.max() + 1)}
    number, steps = labels.max() + 1, []
    while len(groups) > 1:
        best = (-1.0, 0, 0)
        for a, one in groups.items():
            for b, other in groups.items():
                if a < b:
                    between = sum(table[i, j] for i in one for j in other)
                    smaller = min(table[list(one)].sum(), table[list(other)].sum())
                    best = max(best, (between / smaller, a, b))
        share, a, b = best
        groups[number] = groups.pop(a) | groups.pop(b)
        steps.append((a, b, share))
        number += 1
    return steps


def test_group_links_by_loops(rng):
    table, links = random_links(rng)
    labels = rng.integers(0, 5, 30)
    found = group_links(links, labels)
    for a in range(5):
        for b in range(5):
            assert found[a, b] == pytest.approx(table[np.ix_(labels == a, labels == b)].sum(), abs=1e-5)


def test_tree_by_loops(rng):
    table, links = random_links(rng)
    labels = np.arange(30) % 9
    tree = merge_tree(group_links(links, labels))
    expected = tree_by_loops(table, labels)
    assert [[a, b] for a, b, _ in expected] == tree.linkage[:, :2].astype(int).tolist()
    assert tree.shares == pytest.approx([share for *_, share in expected], abs=1e-6)
    assert is_valid_linkage(tree.linkage)
    assert tree.linkage[-1, 3] == 9


def test_cut_by_loops(rng):
    table, links = random_links(rng)
    labels = np.arange(30) % 9
    tree = merge_tree(group_links(links, labels))
    for n_clusters in range(1, 10):
        parts = {g: {g} for g in range(9)}
        for step, (a, b, _) in enumerate(tree_by_loops(table, labels)[: 9 - n_clusters]):
            parts[9 + step] = parts.pop(a) | parts.pop(b)
        found = tree.cut(n_clusters)
        assert {frozenset(np.flatnonzero(found == k).tolist()) for k in set(found.tolist())} == {
            frozenset(int(v) for v in part) for part in parts.values()
        }
        assert found.max() == n_clusters - 1
    for wrong in (0, 10):
        with pytest.raises(ValueError, match="9 groups cannot be cut"):
            tree.cut(wrong)


def test_cuts_are_nested(rng):
    _, links = random_links(rng)
    tree = merge_tree(group_links(links, np.arange(30)))
    for n_clusters in range(2, 30):
        coarse, fine = tree.cut(n_clusters - 1), tree.cut(n_clusters)
        pairs = set(zip(fine.tolist(), coarse.tolist(), strict=True))
        assert len(pairs) == n_clusters


def test_gap_by_hand():
    """Four groups: 0 with 1 and 2 with 3 share half of the smaller one's links, the pairs one in 40.5."""
    between = np.array([[10, 10, 1, 0], [10, 10, 0, 0], [1, 0, 8, 9], [0, 0, 9, 13.5]], float)
    between[0, 2] = between[2, 0] = 1
    tree = merge_tree(between)
    shares = [10 / 20, 9 / 18, 1 / 40.5]
    assert sorted(tree.shares) == pytest.approx(sorted(shares))
    gaps = merge_gaps(tree, [2, 3, 4]).set_index("n_clusters")
    assert gaps.share_joined[2] == pytest.approx(0.5)
    assert gaps.share_next[2] == pytest.approx(1 / 40.5)
    assert gaps.gap[2] == pytest.approx(np.log(0.5 * 40.5))
    assert gaps.gap[3] == pytest.approx(0)
    assert np.isnan(gaps.gap[4])  # nothing was joined yet


def test_gaps_by_loops(rng):
    _, links = random_links(rng, 40)
    tree = merge_tree(group_links(links, np.arange(40) % 20))
    gaps = merge_gaps(tree, range(2, 20)).set_index("n_clusters")
    for n_clusters in range(2, 20):
        done = 20 - n_clusters
        parents = set(range(20, 20 + done))
        used = {int(v) for v in tree.linkage[:done, :2].ravel()}
        tops = [node for node in parents if node not in used]
        assert gaps.share_joined[n_clusters] == min(tree.shares[node - 20] for node in tops)
        assert gaps.share_next[n_clusters] == max(tree.shares[done:])


def test_bad_tables():
    with pytest.raises(ValueError, match="square and symmetric"):
        merge_tree(np.arange(9.0).reshape(3, 3))
    with pytest.raises(ValueError, match="at most 10000"):
        merge_tree(np.broadcast_to(0.0, (10_001, 10_001)))


def test_micro_clusters_are_small_and_pure(rng):
    centres = 20 * np.eye(4, 6)
    points = np.repeat(centres, 50, axis=0) + rng.normal(size=(200, 6))
    labels = micro_clusters(points.astype(np.float32), 24, rng=rng)
    assert labels.max() == 23
    for k in range(24):
        assert len(set(np.flatnonzero(labels == k) // 50)) == 1
    assert micro_clusters(points[:9].astype(np.float32), 24, rng=rng).max() == 2
