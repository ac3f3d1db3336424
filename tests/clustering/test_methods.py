"""Every clustering method on small known cases: what it finds, that it repeats, what it refuses."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import cut_tree, linkage
from sklearn.metrics import adjusted_rand_score

from wootz.clustering.fitting import as_fit, fit
from wootz.clustering.methods.build import group
from wootz.clustering.methods.constrained import _one_restart, _partners, constrained, pair_cost
from wootz.clustering.methods.grouping import Grouping, by_size
from wootz.clustering.methods.head_options import SCANConfig, SeLaConfig, SimGCDConfig, TEMIConfig
from wootz.clustering.methods.imbalance import imbalance_note
from wootz.clustering.methods.known import Known, named_tiles, paired_tiles
from wootz.clustering.methods.options import (
    CohnHolmConfig,
    ConstrainedConfig,
    HDBSCANConfig,
    SeededConfig,
    WardConfig,
)
from wootz.clustering.methods.seeded import first_centroids, seeded
from wootz.clustering.methods.ward import ward_tree
from wootz.errors import WootzError

SMALL: Any = {"n_clusters": 3, "batch_size": 64}
METHODS = {
    "cohn_holm": CohnHolmConfig(n_clusters=3, n_init=15),
    "hdbscan": HDBSCANConfig(space="raw", min_samples=3),
    "ward": WardConfig(space="raw", n_clusters_max=6),
    "seeded": SeededConfig(n_clusters=3),
    "constrained": ConstrainedConfig(n_clusters=3, n_init=3),
    "scan": SCANConfig(**SMALL, steps=60, selflabel_steps=20, n_heads=3),
    "temi": TEMIConfig(**SMALL, steps=80, n_heads=3, teacher_momentum=0.97, lr=0.02),
    "sela": SeLaConfig(**SMALL, rounds=6, steps=8, n_heads=3),
    "simgcd": SimGCDConfig(**SMALL, steps=60),
}
WITH_NUMBER = [name for name in METHODS if name not in ("hdbscan", "ward", "seeded")]


def blobs_of(sizes, rng):
    truth = np.repeat([0, 1, 2], sizes)
    points = rng.normal(size=(180, 6)) + 9 * np.eye(3, 6)[truth]
    order = rng.permutation(180)
    return points[order].astype(np.float32), truth[order]


@pytest.fixture
def blobs(rng):
    return blobs_of((70, 50, 60), rng)


def some_known(truth, *, names=("pore", "crack")):
    """Name the first three tiles of the first classes, and pair some."""
    labels = np.full(len(truth), -1)
    for k in range(len(names)):
        labels[np.flatnonzero(truth == k)[:3]] = k
    rows = [np.flatnonzero(truth == k) for k in range(3)]
    return Known(
        labels, names, np.stack([rows[0][:4], rows[0][4:8]], 1), np.stack([rows[0][:4], rows[1][:4]], 1)
    )


@pytest.mark.parametrize("name", METHODS)
def test_finds_three_clusters_and_repeats(rng, name):
    points, truth = blobs_of((60, 60, 60) if name == "sela" else (70, 50, 60), rng)
    known = some_known(truth)
    found = group(points, METHODS[name], rng=np.random.default_rng(1), known=known)
    again = group(points, METHODS[name], rng=np.random.default_rng(1), known=known)
    assert found is not None
    assert again is not None
    assert np.array_equal(found.labels, again.labels)
    assert found.labels.dtype == np.int32
    assert found.n_clusters == 3
    inside = found.labels >= 0
    assert adjusted_rand_score(truth[inside], found.labels[inside]) == 1.0
    assert inside.mean() > 0.9
    assert np.bincount(found.labels[inside]).tolist() == sorted(np.bincount(found.labels[inside]))[::-1]
    if found.probabilities is not None:
        assert found.probabilities.shape == (180, 3)
        assert (found.probabilities[inside].argmax(axis=1) == found.labels[inside]).mean() > 0.97
        if name != "hdbscan":
            assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(180), abs=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_refuses_bad_features(blobs, name):
    points, truth = blobs
    method, known = METHODS[name], some_known(truth)
    holes = points.copy()
    holes[3, 1] = np.nan
    for features, words in ((holes, "NaN"), (np.ones_like(points), "collapsed"), (points[:, 0], "shape")):
        with pytest.raises(WootzError, match=words):
            group(features, method, rng=np.random.default_rng(0), known=known)


@pytest.mark.parametrize("name", WITH_NUMBER)
def test_refuses_bad_numbers(blobs, name):
    points, truth = blobs
    known = some_known(truth)
    for number, words in ((500, "more than the 180 tiles"), (None, "n_clusters")):
        method = dataclasses.replace(METHODS[name], n_clusters=number)
        with pytest.raises(WootzError, match=words):
            group(points, method, rng=np.random.default_rng(0), known=known)
    with pytest.raises(WootzError, match=r"between|at least 2"):
        dataclasses.replace(METHODS[name], n_clusters=1)
    few = np.repeat(points[:2], 90, axis=0)
    with pytest.raises(WootzError, match="only 2 different"):
        group(few, METHODS[name], rng=np.random.default_rng(0), known=known)


def test_sela_makes_equal_clusters_of_unequal_classes(blobs):
    found = group(blobs[0], METHODS["sela"], rng=np.random.default_rng(1))
    assert found is not None
    assert np.bincount(found.labels).max() <= 66  # of 70, 60 and 50


# groupings and fits ----------------------------------------------------------------------------------------
def test_by_size_sorts_drops_and_names():
    labels = np.array([2, 2, 2, 0, 0, -1])
    p = np.array([[0.1, 0.2, 0.7]] * 3 + [[0.8, 0.1, 0.1]] * 2 + [[0.0, 0.0, 0.0]], np.float32)
    found = by_size(Grouping(labels, p, names=("a", "b", "")))
    assert found.labels.tolist() == [0, 0, 0, 1, 1, -1]
    assert found.names == ("", "a")
    assert found.probabilities is not None
    assert found.probabilities[0] == pytest.approx([0.7 / 0.8, 0.1 / 0.8])
    assert found.notes == ("No tile was put in b.",)
    empty = by_size(Grouping(np.array([0, 0, 3])))
    assert empty.labels.tolist() == [0, 0, 1]
    assert "2 of 4 clusters stayed empty" in empty.notes[0]


def test_fit_gives_noise_to_the_nearest_cluster_without_membership(rng):
    points = np.concatenate([rng.normal(size=(30, 2)), rng.normal(size=(40, 2)) + 20]).astype(np.float32)
    points = np.concatenate([points, np.array([[60, 60], [0, -60]], np.float32)])
    found = fit(points, HDBSCANConfig(space="raw", min_size=10), rng=rng)
    assert found.n_clusters == 2
    assert found.labels[-2:].tolist() == [0, 1]
    assert found.membership is not None
    assert found.membership[-2] == 0
    assert found.membership.max() == 1
    assert "2 dense regions" in found.reasons
    nothing = as_fit(points, Grouping(np.full(72, -1, np.int32), notes=("all noise",)))
    assert nothing.n_clusters == 1
    assert nothing.reasons == "all noise"


def test_hdbscan_says_when_all_is_noise(rng):
    points = rng.uniform(size=(60, 20)).astype(np.float32)
    found = group(points, HDBSCANConfig(space="raw", min_size=20), rng=rng)
    assert found is not None
    assert (found.labels == -1).all()
    assert "all tiles are noise" in found.notes[0]
    with pytest.raises(WootzError, match="too few"):
        group(points[:20], HDBSCANConfig(space="raw"), rng=rng)


def test_imbalance_is_noted_where_a_class_was_cut(rng):
    line = np.sort(rng.uniform(size=60))
    order = np.argsort(np.abs(line[:, None] - line), axis=1)[:, 1:41]
    half = (np.arange(60) >= 30).astype(int)
    assert "may have cut a large class" in imbalance_note(half, order, n_clusters=2, preference=5.0)[0]
    assert imbalance_note(half, order, n_clusters=2, preference=0.0) == ()
    assert imbalance_note((np.arange(60) >= 57).astype(int), order, n_clusters=2, preference=5.0) == ()
    apart = np.where(half[:, None] == half[order], order, np.arange(60)[:, None])
    assert imbalance_note(half, apart, n_clusters=2, preference=5.0) == ()


# Ward ------------------------------------------------------------------------------------------------------
def test_ward_tree_against_scipy(rng):
    points = rng.normal(size=(80, 3))
    tree, theirs = ward_tree(points), linkage(points, "ward")
    assert tree.linkage[:, 2] == pytest.approx(theirs[:, 2], rel=1e-9)
    assert tree.linkage[:, 3] == pytest.approx(theirs[:, 3])
    for n in (2, 5, 17):
        expected = cut_tree(theirs, n_clusters=n)[:, 0]
        assert adjusted_rand_score(expected, tree.cut(n)) == 1.0


def test_ward_tree_of_weighted_groups_is_that_of_their_points(rng):
    centres, sizes = rng.normal(size=(12, 2)), rng.integers(1, 6, 12)
    theirs = linkage(np.repeat(centres, sizes, axis=0), "ward")
    tree = ward_tree(centres, sizes)
    assert tree.linkage[:, 2] == pytest.approx(theirs[-11:, 2], rel=1e-6)  # before, copies join at height 0


def test_ward_starts_from_small_groups_where_there_are_many_points(blobs, rng):
    points, truth = blobs
    found = group(points, WardConfig(space="raw", n_clusters=3, n_micro=100), rng=rng)
    assert found is not None
    assert adjusted_rand_score(truth, found.labels) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("method", [WardConfig(), HDBSCANConfig()], ids=["ward", "hdbscan"])
def test_on_umap_coordinates(blobs, method):
    points, truth = blobs
    found = group(points, method, rng=np.random.default_rng(0))
    assert found is not None
    inside = found.labels >= 0
    assert adjusted_rand_score(truth[inside], found.labels[inside]) > 0.95


# names and pairs -------------------------------------------------------------------------------------------
def test_seeds_stay_and_without_keep_may_leave(blobs, rng):
    points, truth = blobs
    wrong = some_known(truth, names=("a", "b", "c"))
    labels = wrong.labels.copy()
    labels[np.flatnonzero(truth == 0)[3]] = 1  # a tile of class 0 named after class 1
    known = dataclasses.replace(wrong, labels=labels)
    kept = seeded(points, SeededConfig(), known=known, rng=rng)
    named = labels >= 0
    as_named = np.array([kept.names.index(known.names[k]) for k in labels[named]])
    assert (kept.labels[named] == as_named).all()
    free = seeded(points, SeededConfig(keep=False), known=known, rng=rng)
    assert adjusted_rand_score(truth, free.labels) == 1.0
    assert free.notes == ("1 of 10 named tiles moved to another cluster.",)


def test_seeds_decide_between_equal_solutions(rng):
    """Four corners of a square: names across or along decide how two clusters cut it."""
    corners = np.array([[0, 0], [0, 4], [4, 0], [4, 4]])
    points = (corners[np.arange(80) % 4] + 0.1 * rng.normal(size=(80, 2)) + 10).astype(np.float32)
    at = np.arange(80) % 4
    for rows, cut in (((0, 1), corners[at, 1]), ((0, 2), corners[at, 0])):
        labels = np.full(80, -1)
        labels[list(rows)] = [0, 1]
        known = Known(labels, ("one", "two"))
        found = seeded(points, SeededConfig(spherical=False), known=known, rng=rng)
        assert adjusted_rand_score(cut, found.labels) == 1.0


def test_first_centroids_are_class_means_then_far_points(blobs, rng):
    points, truth = blobs
    known = some_known(truth)
    first = first_centroids(points, known.labels, 3, rng=rng)
    for k in range(2):
        assert first[k] == pytest.approx(points[known.labels == k].mean(axis=0), abs=1e-5)
    assert truth[np.argmin(np.linalg.norm(points - first[2], axis=1))] == 2


def test_named_methods_name_their_clusters(blobs):
    points, truth = blobs
    for name in ("seeded", "simgcd"):
        found = group(points, METHODS[name], rng=np.random.default_rng(0), known=some_known(truth))
        assert found is not None
        majority = [np.bincount(truth[found.labels == k]).argmax() for k in range(3)]
        assert [("pore", "crack", "")[k] for k in majority] == list(found.names)
    with pytest.raises(WootzError, match="no tile is named"):
        group(points, METHODS["simgcd"], rng=np.random.default_rng(0))
    many = Known(np.arange(180) % 4, ("a", "b", "c", "d"))
    with pytest.raises(WootzError, match="4 classes are named"):
        group(points, METHODS["seeded"], rng=np.random.default_rng(0), known=many)
    one = Known(np.where(np.arange(180) < 3, 0, -1), ("a",))
    with pytest.raises(WootzError, match="fewer than two"):
        group(points, SeededConfig(), rng=np.random.default_rng(0), known=one)


def test_pairs_overrule_distance_at_a_price(rng):
    line = np.concatenate([rng.normal(0, 1, 40), rng.normal(6, 1, 40)])[:, None].astype(np.float32)
    together = np.array([[0, 40], [1, 41]])
    known = Known(np.full(80, -1), together=together, apart=np.array([[2, 3]]))
    dear = constrained(line, ConstrainedConfig(n_clusters=2, penalty=50), known=known, rng=rng)
    assert pair_cost(dear.labels, known, price=1.0) == 0
    assert dear.notes == ("3 of 3 pairs are as the expert wants them.",)
    cheap = constrained(line, ConstrainedConfig(n_clusters=2, penalty=1e-3), known=known, rng=rng)
    assert pair_cost(cheap.labels, known, price=1.0) == 3
    assert adjusted_rand_score(np.repeat([0, 1], 40), cheap.labels) == 1.0


def test_contradicting_pairs_end_with_a_result(rng):
    points = rng.normal(size=(30, 2)).astype(np.float32)
    known = Known(np.full(30, -1), together=np.array([[0, 1], [1, 2]]), apart=np.array([[0, 2]]))
    found = constrained(points, ConstrainedConfig(n_clusters=3, penalty=100), known=known, rng=rng)
    assert found.notes == ("2 of 3 pairs are as the expert wants them.",)
    itself = dataclasses.replace(known, apart=np.array([[4, 4]]))
    with pytest.raises(WootzError, match="twice"):
        constrained(points, ConstrainedConfig(n_clusters=3), known=itself, rng=rng)
    with pytest.raises(WootzError, match="no pairs"):
        constrained(points, ConstrainedConfig(n_clusters=3), known=Known(np.full(30, -1)), rng=rng)


def test_objective_of_pairs_never_rises(rng):
    points = rng.normal(size=(60, 2)).astype(np.float32)
    pairs = rng.permutation(60)[:40].reshape(20, 2)
    known = Known(np.full(60, -1), together=pairs[:10], apart=pairs[10:])
    start, seen = points[:4], []
    for n_iter in range(1, 8):
        own = np.random.default_rng(3)
        labels, loss = _one_restart(
            points, start, partners=_partners(known), price=2.0, n_iter=n_iter, rng=own
        )
        centres = np.stack([points[labels == k].mean(axis=0, dtype=float) for k in range(4)])
        squared = ((points - centres[labels]) ** 2).sum()
        assert loss == pytest.approx(squared + pair_cost(labels, known, price=2.0), rel=1e-5)
        seen.append(loss)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < seen[0]


def test_names_from_a_column_and_pairs_from_a_file(tmp_path):
    frame = pd.DataFrame({"tile_id": list("abcd"), "truth": ["pore", None, " ", "crack"], "empty": ""})
    known = named_tiles(frame, "truth")
    assert known.names == ("crack", "pore")
    assert known.labels.tolist() == [1, -1, -1, 0]
    for column, words in (("nowhere", "no column 'nowhere'"), ("empty", "no tile has a name")):
        with pytest.raises(WootzError, match=words):
            named_tiles(frame, column)
    file = tmp_path / "pairs.csv"
    file.write_text("tile_a,tile_b,same\na,d,1\nb,c,0\nd,b,1\n")
    pairs = paired_tiles(frame.tile_id.to_numpy(), str(file))
    assert pairs.together.tolist() == [[0, 3], [3, 1]]
    assert pairs.apart.tolist() == [[1, 2]]
    for text, words in (
        ("tile_a,same\na,1\n", "needs the columns"),
        ("tile_a,tile_b,same\na,x,1\n", "not clustered here .row 2"),
        ("tile_a,tile_b,same\na,b,1\na,b,yes\n", "other than 0 or 1 .row 3"),
    ):
        file.write_text(text)
        with pytest.raises(WootzError, match=words):
            paired_tiles(frame.tile_id.to_numpy(), str(file))
    with pytest.raises(WootzError, match="is no file"):
        paired_tiles(frame.tile_id.to_numpy(), "")
