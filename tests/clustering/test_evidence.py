import re

import numpy as np
import pandas as pd
import pytest

from wootz.clustering import (
    GraphConfig,
    agreement,
    best_jaccard,
    cluster_stability,
    discover,
    evidence_figure,
    l2_normalise,
    merge_gaps,
    structureless,
    suggest,
)
from wootz.clustering import hierarchy as hierarchy_module
from wootz.clustering.hierarchy import hierarchy
from wootz.clustering.resampling import mean_agreement
from wootz.errors import WootzError


def quick(**changes):
    return GraphConfig(umap_silhouette=False, **({"n_clusters_max": 12, "n_resamples": 3} | changes))


def blobs(rng, sizes, *, dim=10, spread=1.0):
    centres = 12 * np.eye(len(sizes), dim)
    points = np.concatenate(
        [c + spread * rng.normal(size=(n, dim)) for c, n in zip(centres, sizes, strict=True)]
    )
    return points.astype(np.float32), np.repeat(np.arange(len(sizes)), sizes)


def unequal_classes(seed, n=12_000):
    """Twelve flat classes in 64 dimensions, the largest 42 times the smallest, in random order."""
    rng = np.random.default_rng(seed)
    shares = np.geomspace(42, 1, 12)
    sizes = np.floor(n * shares / shares.sum()).astype(int)
    sizes[0] += n - sizes.sum()
    parts = []
    for size in sizes:
        flat = 0.9 * rng.normal(size=(64, 8))
        parts.append(1.1 * rng.normal(size=64) + rng.normal(size=(size, 8)) @ flat.T)
    points = np.concatenate(parts) + 0.9 * rng.normal(size=(n, 64))
    order = rng.permutation(n)
    return points.astype(np.float32)[order], np.repeat(np.arange(12), sizes)[order]


def test_best_jaccard_by_loops(rng):
    one, other = rng.integers(0, 4, 50), rng.integers(0, 6, 50)
    found = best_jaccard(one, other)
    for k in range(4):
        own = set(np.flatnonzero(one == k))
        parts = [set(np.flatnonzero(other == j)) for j in range(6)]
        assert found[k] == pytest.approx(max(len(own & p) / len(own | p) for p in parts))
    assert best_jaccard(np.array([0, 0, 2]), np.array([1, 1, 0]))[[0, 2]].tolist() == [1, 1]
    assert np.isnan(best_jaccard(np.array([0, 0, 2]), np.array([1, 1, 0]))[1])


class Halves:
    """Clusters by the sign of the first dimension, whatever is asked for."""

    def __init__(self, points):
        self.points = points

    def cut(self, n_clusters):
        return (self.points[:, 0] > 0).astype(int)


def test_stability_of_clusters_that_come_back_and_of_random_ones(rng):
    points = rng.normal(size=(500, 2)).astype(np.float32)
    halves = (points[:, 0] > 0).astype(int)
    labelings = [halves, rng.integers(0, 2, 500)]
    back, random = cluster_stability(
        points, labelings, regroup=lambda part, _: Halves(part), rng=rng, n_resamples=4
    )
    assert back == pytest.approx([1, 1])
    assert random == pytest.approx(
        [1 / 3, 1 / 3], abs=0.05
    )  # half of each: 1/4 of all in both, 3/4 in either
    assert mean_agreement([halves, 1 - halves]) == 1
    assert abs(mean_agreement(labelings)) < 0.1


def test_structureless_features_keep_mean_covariance_and_length(rng):
    mixing = rng.normal(size=(6, 6))
    points = (rng.normal(size=(4000, 6)) @ mixing + 3).astype(np.float32)
    cloud = structureless(points, rng=rng)
    assert cloud.mean(axis=0) == pytest.approx(points.mean(axis=0), abs=0.3)
    scale = np.abs(np.cov(points.T)).max()
    assert np.cov(cloud.T) == pytest.approx(np.cov(points.T), abs=0.1 * scale)
    unit = structureless(l2_normalise(points), rng=rng, n_points=50)
    assert unit.shape == (50, 6)
    assert np.linalg.norm(unit, axis=1) == pytest.approx(1, abs=1e-5)


def table(**changes):
    """Evidence that speaks for 4, with 2 as a second choice."""
    known = {
        "n_clusters": [2, 3, 4, 5],
        "share_joined": [0.1, 0.1, 0.3, 0.3],
        "share_next": [0.05, 0.1, 0.03, 0.3],
        "gap": np.log([2, 1, 10, 1]),
        "stability": [0.95, 0.7, 0.9, 0.6],
        "seed_agreement": [1.0, 0.9, 1.0, 0.7],
        "gap_noise": 0.1,
        "stability_noise": [0.6, 0.5, 0.4, 0.3],
    }
    return pd.DataFrame(known | changes)


@pytest.mark.parametrize(
    ("changes", "n_clusters", "others", "words"),
    [
        ({}, 4, (2,), "a step of 10.0.*mean Jaccard of 0.90.*Also worth a look: 2"),
        ({"gap": np.log([16, 1, 10, 1])}, 4, (2,), "4 clusters"),  # the finer of two serious gaps
        ({"gap": np.log([200, 1, 10, 1])}, 2, (4,), "2 clusters"),  # the gap at 4 is not half of that at 2
        ({"stability": [0.95, 0.7, 0.7, 0.6]}, 2, (), "2 clusters"),
        ({"stability_noise": [0.6, 0.5, 0.85, 0.3]}, 2, (), "2 clusters"),
        ({"gap_noise": 3.0}, 1, (), "No stable clusters.*largest step, at 4, is 10.0.*slices of one cloud"),
        ({"gap": np.log([1.2, 1, 1.3, 1])}, 1, (), "1.5 is the least that counts"),
        ({"gap": np.nan}, 1, (), "no step of it could be measured"),
        ({"stability": 0.5}, 1, (), "best mean Jaccard is 0.50"),
        ({"stability": [0.5, 0.8, 0.5, 0.5]}, 1, (), "are not the same"),
    ],
)
def test_suggestion_on_made_up_tables(changes, n_clusters, others, words):
    found = suggest(table(**changes))
    assert (found.n_clusters, found.others) == (n_clusters, others)
    assert re.search(words, found.text)
    assert found.text.startswith("No stable clusters" if n_clusters == 1 else f"{n_clusters} clusters.")


def test_chain_finds_the_number_of_unequal_blobs(rng):
    points, truth = blobs(rng, (300, 90, 60, 40))
    found = discover(points, quick(), rng=rng)
    assert found.suggestion is not None
    assert found.evidence is not None
    assert found.n_clusters == found.suggestion.n_clusters == 4
    assert agreement(found.labels, truth).accuracy == 1
    assert np.bincount(found.labels).tolist() == [300, 90, 60, 40]
    assert found.stability == pytest.approx(np.ones(4), abs=0.02)
    assert found.membership.min() > 0.5
    cuts = found.evidence.cuts.set_index("n_clusters")
    assert cuts.silhouette.idxmax() == 4
    assert cuts.stability[4] > cuts.stability_noise[4] + 0.3
    figure = evidence_figure(found.evidence, found.suggestion)
    assert len(figure.axes) == 3


def test_pure_noise_gives_no_stable_clusters(rng):
    for points in (rng.normal(size=(500, 16)), rng.normal(size=(400, 3)) * [5, 1, 1]):
        found = discover(points.astype(np.float32), quick(), rng=rng)
        assert found.n_clusters == 1
        assert found.suggestion is not None
        assert found.suggestion.text.startswith("No stable clusters.")
        assert "structureless" in found.suggestion.text


def test_same_seed_same_result(rng):
    points, _ = blobs(rng, (60, 50, 40), spread=3.0)
    one, two = (discover(points, quick(), rng=np.random.default_rng(4)) for _ in range(2))
    assert (one.labels == two.labels).all()
    pd.testing.assert_frame_equal(one.evidence.cuts, two.evidence.cuts)


def test_a_number_or_a_resolution_that_is_asked_for(rng):
    points, _ = blobs(rng, (80, 70, 60))
    asked = discover(points, quick(n_clusters=5, evidence=False), rng=rng)
    assert (asked.n_clusters, asked.evidence, asked.stability) == (5, None, None)
    with_evidence = discover(points, quick(n_clusters=2), rng=rng)
    assert with_evidence.n_clusters == 2
    assert with_evidence.suggestion is not None
    assert with_evidence.suggestion.n_clusters == 3
    assert with_evidence.stability is not None
    assert len(with_evidence.stability) == 2
    assert discover(points, quick(resolution=0.3, evidence=False), rng=rng).n_clusters == 3
    with pytest.raises(WootzError, match=r"n_clusters=200 is more than the \d+ groups"):
        discover(points, quick(n_clusters=200, evidence=False), rng=rng)


def test_sample_for_the_evidence_of_many_tiles(rng):
    points, truth = blobs(rng, (900, 500, 300))
    found = discover(points, quick(evidence_max=500), rng=rng)
    assert found.evidence is not None
    assert found.evidence.n_used == 500
    assert len(found.labels) == 1700
    assert agreement(found.labels, truth).accuracy == 1


def test_micro_clusters_instead_of_louvain(rng):
    points, truth = blobs(rng, (150, 100, 50))
    found = discover(points, quick(leaves="kmeans", n_micro=20, n_clusters=3, evidence=False), rng=rng)
    assert agreement(found.labels, truth).accuracy == 1
    assert found.hierarchy.tree.n_groups == 20


def test_too_many_small_groups_are_found_more_coarsely(rng, monkeypatch):
    points, _ = blobs(rng, (150, 100, 50))
    fine = hierarchy(points, quick(), rng=rng)
    monkeypatch.setattr(hierarchy_module, "MAX_LEAVES", fine.tree.n_groups - 1)
    coarse = hierarchy(points, quick(), rng=rng)
    assert 3 <= coarse.tree.n_groups < fine.tree.n_groups
    monkeypatch.setattr(hierarchy_module, "MAX_LEAVES", 2)
    with pytest.raises(WootzError, match="more than 2 parts"):
        hierarchy(points, quick(), rng=rng)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:4], "4 tiles are too few"),
        (np.ones_like, "all features are the same"),
        (lambda x: np.repeat(x[:3], 30, axis=0), "only 3 different"),
        (lambda x: np.where(np.arange(90)[:, None] == 1, np.inf, x), "NaN or infinity"),
    ],
)
def test_bad_features(rng, change, message):
    with pytest.raises(WootzError, match=message):
        discover(change(blobs(rng, (50, 40))[0]), quick(), rng=rng)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_clusters": 1}, "n_clusters=1 is out of range"),
        ({"resolution": 0.0}, "above 0"),
        ({"resolution": 1.0, "n_clusters": 3}, "not both"),
        ({"evidence": False}, "needs method.n_clusters or method.resolution"),
        ({"weight": "cosine"}, "equal, jaccard"),
        ({"leaves": "ward"}, "kmeans, louvain"),
        ({"n_seeds": 1}, "n_seeds"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(WootzError, match=message):
        GraphConfig(**options)


def test_tree_of_rare_classes_has_its_widest_gap_at_their_number(rng):
    """The long test below in a second: its first seed, the tree only."""
    points, truth = unequal_classes(0)
    found = hierarchy(l2_normalise(points), GraphConfig(), rng=rng)
    gaps = merge_gaps(found.tree, range(2, 30)).set_index("n_clusters").gap
    number = int(gaps.idxmax())
    scores = agreement(found.cut(number), truth)
    assert scores.ari >= 0.97
    assert (scores.per_class.recall >= 0.8).sum() >= 11


@pytest.mark.slow
@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_rare_classes_are_found_without_their_number(seed, unit):
    points, truth = unequal_classes(seed)
    points = l2_normalise(points) if unit else points
    found = discover(points, GraphConfig(umap_silhouette=False), rng=np.random.default_rng(seed))
    scores = agreement(found.labels, truth)
    assert scores.ari >= 0.97
    assert (scores.per_class.recall >= 0.8).sum() >= 11
