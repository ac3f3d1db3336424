import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from wootz.clustering import agreement, dominant_class
from wootz.errors import WootzError


def naive_accuracy(labels, truth):
    """Try every one-to-one matching."""
    clusters, classes = sorted(set(labels)), sorted(set(truth))
    short, long, swap = (
        (clusters, classes, False) if len(clusters) <= len(classes) else (classes, clusters, True)
    )
    best = 0
    for choice in itertools.permutations(long, len(short)):
        pairs = set(zip(choice, short, strict=True)) if swap else set(zip(short, choice, strict=True))
        best = max(best, sum((a, b) in pairs for a, b in zip(labels, truth, strict=True)))
    return best / len(labels)


def naive_purity(labels, truth):
    right = 0
    for cluster in set(labels):
        inside = [t for k, t in zip(labels, truth, strict=True) if k == cluster]
        right += max(inside.count(t) for t in set(inside))
    return right / len(labels)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40))
def test_against_naive_loops_and_scikit_learn(pairs):
    labels, truth = (list(column) for column in zip(*pairs, strict=True))
    found = agreement(labels, truth)
    assert found.accuracy == pytest.approx(naive_accuracy(labels, truth))
    assert found.purity == pytest.approx(naive_purity(labels, truth))
    assert found.nmi == pytest.approx(normalized_mutual_info_score(truth, labels))
    assert found.ari == pytest.approx(adjusted_rand_score(truth, labels))
    assert found.table.to_numpy().sum() == found.n == len(labels)
    assert found.accuracy <= found.purity + 1e-12


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 1000))
def test_cluster_numbers_mean_nothing(names, seed):
    rng = np.random.default_rng(seed)
    labels, truth = rng.integers(0, 5, 60), rng.integers(0, 3, 60)
    assert agreement(np.array(names)[labels], truth).figures() == pytest.approx(
        agreement(labels, truth).figures()
    )


def test_perfect_clusters_and_names():
    found = agreement([2, 2, 0, 0, 1], ["pore", "pore", "steel", "steel", "crack"])
    assert (found.accuracy, found.purity, found.nmi, found.ari) == (1, 1, 1, 1)
    assert found.matches == {2: "pore", 0: "steel", 1: "crack"}
    assert found.table.at[2, "pore"] == 2


def test_surplus_clusters_are_wrong_for_accuracy_but_not_for_purity():
    found = agreement([0, 0, 1, 1, 2], ["a", "a", "a", "a", "b"])
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.purity == 1


def test_more_classes_than_clusters():
    found = agreement([0, 0, 0, 1], ["a", "a", "b", "c"])
    assert found.accuracy == pytest.approx(3 / 4)
    lost = found.per_class.set_index("class").loc["b"]
    assert lost.recall == 0
    assert lost.cluster is None or pd.isna(lost.cluster)


def test_rare_class_shows_in_the_table_per_class():
    found = agreement([0] * 90 + [0] * 5 + [1] * 5, ["common"] * 90 + ["rare"] * 10)
    rare = found.per_class.set_index("class").loc["rare"]
    assert (rare.precision, rare.recall) == (1, 0.5)
    assert rare.f1 == pytest.approx(2 / 3)
    assert found.accuracy == 0.95


def test_unknown_tiles_are_left_out_and_counted():
    found = agreement([0, 0, 1, -1, 1, 0], ["a", "", "b", "a", None, "a"])
    assert (found.n, found.n_left_out) == (3, 3)
    assert found.accuracy == 1
    assert agreement([0.0, np.nan, 1.0], [3, 3, 4]).n == 2


def test_nothing_to_compare():
    with pytest.raises(WootzError, match="no tile has both"):
        agreement([0, 1], ["", ""])
    with pytest.raises(WootzError, match="cannot be compared"):
        agreement([0, 1], ["a"])


def test_dominant_class_against_loops(rng):
    mask = rng.choice([0, 1, 2, 255], (40, 50), p=[0.3, 0.2, 0.1, 0.4]).astype(np.uint8)
    mask[:10, :10] = 255
    windows = [(r, c, 8, 12) for r in range(0, 33, 8) for c in range(0, 38, 9)]
    found = dominant_class(mask, np.array(windows), min_known_frac=0.5)
    for (r, c, h, w), value in zip(windows, found, strict=True):
        pixels = [v for v in mask[r : r + h, c : c + w].ravel().tolist() if v != 255]
        expected = -1 if len(pixels) < 0.5 * h * w else max(sorted(set(pixels)), key=pixels.count)
        assert value == expected
    assert found[0] == -1
