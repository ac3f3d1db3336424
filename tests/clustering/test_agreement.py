import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, f1_score, normalized_mutual_info_score

from wootz.clustering import agreement, dominant_class, overlap
from wootz.clustering.confusion import confusion_figure, matched_order
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


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40))
def test_best_jaccard_against_sets(pairs):
    labels, other = (list(column) for column in zip(*pairs, strict=True))
    found = overlap(labels, other)
    for row in found.clusters.to_dict("records"):
        own = {i for i, k in enumerate(labels) if k == row["cluster"]}
        sets = {k: {i for i, v in enumerate(other) if v == k} for k in set(other)}
        scores = {k: len(own & s) / len(own | s) for k, s in sets.items()}
        assert row["n"] == len(own)
        assert row["jaccard"] == pytest.approx(max(scores.values()))
        assert scores[row["other"]] == pytest.approx(row["jaccard"])
    back = overlap(other, labels)
    assert (found.nmi, found.ari) == pytest.approx((back.nmi, back.ari))


def test_overlap_of_a_split_cluster():
    found = overlap([0] * 10 + [1] * 10, ["a"] * 7 + ["b"] * 3 + ["c"] * 10)
    assert found.clusters.other.tolist() == ["a", "c"]
    assert found.clusters.jaccard.tolist() == pytest.approx([0.7, 1.0])


def test_rare_class_f1_is_that_of_scikit_learn_after_the_matching(rng):
    truth = rng.choice(["steel", "layer", "resin", "pore", "crack"], 800, p=[0.5, 0.2, 0.2, 0.07, 0.03])
    clusters = {"steel": 3, "layer": 1, "resin": 0, "pore": 4, "crack": 2}
    labels = np.array([clusters[t] for t in truth])
    wrong = rng.random(800) < 0.25
    labels[wrong] = rng.integers(0, 5, wrong.sum())
    found = agreement(labels, truth)
    assert found.matches == {v: k for k, v in clusters.items()}
    named = np.array([found.matches[k] for k in labels])
    rare = [c for c in clusters if (truth == c).mean() < 0.5 / 5]
    assert set(rare) == {"pore", "crack"}
    assert found.rare_f1 == pytest.approx(f1_score(truth, named, labels=rare, average="macro"))
    assert found.figures()["rare_f1"] == found.rare_f1
    lost = agreement([0] * 30, ["a"] * 28 + ["b"] * 2)
    assert lost.rare_f1 == 0  # no cluster is left for it
    even = agreement([0, 0, 1, 1], ["a", "a", "b", "b"])
    assert even.rare_f1 is None
    assert "rare_f1" not in even.figures()


def test_rejected_tiles_are_counted_among_those_of_known_class():
    found = agreement([0, -1, 1, -1], ["a", "a", "b", ""])
    assert found.rejected_frac == pytest.approx(1 / 3)
    assert found.n_left_out == 2


def test_confusion_lies_on_the_diagonal(rng):
    truth = np.repeat(["a", "b", "c", "d"], [10, 40, 30, 20])
    labels = np.repeat([5, 2, 4, 9, 7, 1], [10, 22, 18, 30, 15, 5])
    order = rng.permutation(100)
    found = agreement(labels[order], truth[order])
    table = matched_order(found)
    assert table.columns.tolist() == ["b", "c", "d", "a"]
    assert table.index.tolist() == [2, 9, 7, 5, 4, 1]  # matched in the order of classes, then the surplus
    assert table.to_numpy().trace() == found.accuracy * 100
    assert (table.loc[found.table.index, found.table.columns] == found.table).all().all()
    axis = confusion_figure(found).axes[0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["2", "9", "7", "5", "4", "1"]
    assert "accuracy 0.770" in axis.get_title(loc="left")
