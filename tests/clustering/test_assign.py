"""Votes and limits against loops, the promised share of rejects, and `assign` on planted archives."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from wootz.archive import Archive
from wootz.clustering import (
    AssignConfig,
    ClusterConfig,
    KMeansConfig,
    assign,
    calibrate,
    cluster,
    find_clustering,
    neighbour_votes,
)
from wootz.clustering.assigned import more_than_expected
from wootz.clustering.limits import sample_members
from wootz.clustering.votes import votes_without_own_group
from wootz.errors import WootzError
from wootz.fields import NewField

RATE = 0.05


def vote_by_loops(point, members, labels, k):
    squared = ((members - point) ** 2).sum(axis=1)
    near = np.argsort(squared, kind="stable")[:k]
    shares = {}
    for i in near:
        shares[labels[i]] = shares.get(labels[i], 0.0) + 1 / squared[i]
    best = max(shares, key=lambda c: shares[c])
    return best, shares[best] / sum(shares.values()), np.sqrt(squared[near]).mean()


def test_votes_equal_loops(rng):
    members = rng.normal(size=(80, 5)).astype(np.float32)
    labels, groups = rng.integers(0, 4, 80), rng.integers(0, 6, 80)
    points = rng.normal(size=(15, 5)).astype(np.float32)
    found = neighbour_votes(points, members, labels, n_neighbors=7)
    expected = [vote_by_loops(p, members, labels, 7) for p in points]
    rows = rng.permutation(80)[:30]
    apart = votes_without_own_group(rows, members, labels, groups=groups, n_neighbors=7)
    others = [groups != groups[i] for i in rows]
    expected_apart = [
        vote_by_loops(members[i], members[o], labels[o], 7) for i, o in zip(rows, others, strict=True)
    ]
    for votes, truth in ((found, expected), (apart, expected_apart)):
        assert votes.labels.tolist() == [t[0] for t in truth]
        assert votes.share == pytest.approx([t[1] for t in truth], rel=1e-3)
        assert votes.distance == pytest.approx([t[2] for t in truth], rel=1e-5)


def test_a_few_near_members_are_not_outvoted_and_copies_decide():
    members = np.float32([[0], [0.1], *[[1 + i / 100] for i in range(8)]])
    labels = np.array([0, 0] + [1] * 8)
    votes = neighbour_votes(np.float32([[0.05], [1.0]]), members, labels, n_neighbors=10)
    assert votes.labels.tolist() == [0, 1]
    assert votes.share[1] == pytest.approx(1.0, abs=1e-2)
    assert neighbour_votes(np.zeros((1, 1)), np.zeros((4, 1)), np.zeros(4, int), n_neighbors=3).share == 1.0
    with pytest.raises(ValueError, match="n_neighbors=11"):
        neighbour_votes(members, members, labels, n_neighbors=11)


def test_limits_are_the_conformal_quantiles(rng):
    points = np.concatenate([rng.random(39), 50 + 3 * rng.random(12)])[:, None].astype(np.float32)
    labels = np.repeat([0, 1], [39, 12])
    found = calibrate(points, labels, np.arange(51), rng=rng, rate=RATE, n_neighbors=1)
    alone = [np.sort(np.delete(np.abs(points[:, 0] - x), i))[0] for i, x in enumerate(points[:, 0])]
    first, second = np.sort(alone[:39]), np.sort(alone[39:])
    assert found.limit[0] == pytest.approx(first[37], rel=1e-4)  # ceil(40 x 0.95) = 38th smallest
    assert found.n.tolist() == [39, 12]
    pooled = np.sort(alone)[49]  # ceil(52 x 0.95) = 50th smallest
    assert found.limit[1] == pytest.approx(max(second[-1], pooled), rel=1e-4)  # 12 < 19: too few of its own
    assert found.rate == pytest.approx([RATE, 1 / 13])
    assert found.median[0] == pytest.approx(np.median(first), rel=1e-4)
    with pytest.raises(ValueError, match=r"rate=1\.0"):
        calibrate(points, labels, np.arange(51), rng=rng, rate=1.0)


def draw(rng, *, n_images, spread, classes=(0, 1, 2), n_each=8):
    """Tiles of three classes, each image shifted on its own in each class."""
    centres = np.zeros((4, 6))
    centres[np.arange(4), np.arange(4)] = 8.0
    labels = np.tile(np.repeat(classes, n_each), n_images)
    images = np.repeat(np.arange(n_images), n_each * len(classes))
    shift = rng.normal(0, spread, (n_images, 4, 6))
    points = centres[labels] + shift[images, labels] + rng.normal(0, 0.5, (len(labels), 6))
    return points.astype(np.float32), labels, images


@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_members_held_out_are_rejected_as_rarely_as_stated(spread):
    shares, naive, missed = [], [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        points, labels, images = draw(rng, n_images=40, spread=spread)
        held, truth, _ = draw(rng, n_images=40, spread=spread)
        votes = neighbour_votes(held, points, labels)
        limits = calibrate(points, labels, images, rng=rng, rate=RATE)
        by_tile = calibrate(points, labels, np.arange(len(points)), rng=rng, rate=RATE)
        shares.append(limits.reject(votes).mean())
        naive.append(by_tile.reject(votes).mean())
        strange = draw(rng, n_images=10, spread=spread, classes=(3,))[0]
        missed.append(1 - limits.reject(neighbour_votes(strange, points, labels)).mean())
        assert (votes.labels == truth).mean() > 0.99
    error = np.std(shares) / np.sqrt(len(shares))
    assert RATE / 3 < np.mean(shares) < RATE + 2 * error
    assert np.mean(missed) < 0.02
    if spread:  # neighbours of its own image make a member look closer to the others than a new tile can be
        assert np.mean(naive) > 3 * RATE


def test_small_clusters_are_in_the_sample(rng):
    labels = np.repeat([0, 1, 2], [5_000, 300, 7])
    rows = sample_members(labels, rng=rng, n_max=500, n_each=50)
    counts = np.bincount(labels[rows])
    assert counts[0] == pytest.approx(470, abs=40)
    assert (counts[1:] == [50, 7]).all()
    assert len(np.unique(rows)) == len(rows)
    assert len(sample_members(labels, rng=rng, n_max=9_000, n_each=50)) == len(labels)


@pytest.mark.parametrize(("n_none", "is_more"), [(0, False), (5, False), (9, False), (11, False), (30, True)])
def test_a_warning_needs_more_than_chance(n_none, is_more):
    assert more_than_expected(n_none, 100, RATE) == is_more


N_OLD, SIDE = 6, 6


def add_images(archive, labels, *, seed, instrument="A", shift=0.0):
    """Fields of 6 x 6 tiles of 16 px whose features are drawn around their planted class."""
    rng = np.random.default_rng(seed)
    known = set(archive.tile_table.tile_id) if len(archive.images) else set()
    fields = [
        NewField(
            rng.integers(0, 255, (SIDE * 16, SIDE * 16)).astype(np.uint8),
            {"file": f"{seed}-{i}.tif", "instrument": instrument},
        )
        for i in range(len(labels))
    ]
    archive.add_images(fields)
    archive.write_tiles(16, 16)
    tiles = archive.tiles()
    tiles = tiles.select(~tiles.frame.tile_id.isin(known).to_numpy())
    classes = np.concatenate(labels)
    features = 8.0 * np.eye(4, 6)[classes] + rng.normal(0, 0.5, (len(classes), 6)) + shift
    archive.add_embedding("toy", tiles.tile_ids, features, {"encoder_fingerprint": "planted"})
    return pd.Series(classes, index=tiles.tile_ids)


def planted(seed, n_images, *, classes=(0, 1, 2)):
    rng = np.random.default_rng(seed)
    return [rng.choice(classes, SIDE * SIDE) for _ in range(n_images)]


def run_cluster(archive, **changes):
    options = {"map": False, "montages": False, "cards": False, "shortcuts": False, "l2": False}
    options |= {"keep_uninformative": True} | changes
    method = KMeansConfig(n_clusters=options.pop("n_clusters", 3), spherical=False, n_init=3)
    run = archive.start_run("cluster", {}, seed=0, inputs={})
    return cluster(archive.tiles(), ClusterConfig(method=method, **options), run=run)


def run_assign(archive, **options):
    run = archive.start_run("assign", {}, seed=0, inputs={})
    return assign(archive.tiles(), AssignConfig(**({"pictures": False} | options)), run=run)


@pytest.fixture
def archive(tmp_path):
    archive = Archive.create(tmp_path / "a")
    archive.truth = add_images(archive, planted(0, N_OLD), seed=0)
    return archive


def test_new_images_get_the_clusters_that_are_there(archive):
    run_cluster(archive)
    before = archive.tile_table.set_index("tile_id").cluster_toy
    of_class = before.groupby(archive.truth.to_numpy()).first()
    labels = planted(1, 3)
    labels[2][:12] = 3  # a new kind of structure
    truth = add_images(archive, labels, seed=1)
    report = run_assign(archive)
    after = archive.tile_table.set_index("tile_id")
    assert (after.cluster_toy[before.index] == before).all()
    found = after.cluster_toy[truth.index]
    strange = truth == 3
    assert (found[strange] == -1).all()
    stayed = found[~strange & (found >= 0).to_numpy()]
    assert len(stayed) >= 0.9 * (~strange).sum()
    assert (stayed == of_class[truth[stayed.index]].to_numpy()).all()
    assert (after.outlier_toy[truth.index][strange] > 3).all()
    assert after.member_toy[truth.index].between(0, 1).all()
    assert report.n_new == 108
    assert report.n_none == (found == -1).sum() == 108 - len(stayed)
    table = report.table.set_index("cluster")
    assert table.n_members.to_dict() == {**before.value_counts().to_dict(), -1: 0}
    assert table.n_assigned.drop(-1).to_dict() == stayed.value_counts().to_dict()
    assert f"none of these: {report.n_none}" in report.summary()
    assert report.is_new_kind
    assert "cluster again" in report.summary()
    assert report.picture is None
    objects = archive.objects
    assert objects.image_id.nunique() == N_OLD + 3
    rejected = objects[objects["class"] == "none of these"]
    assert rejected.n_tiles.sum() == report.n_none
    again = run_assign(archive)
    pd.testing.assert_frame_equal(archive.tile_table.set_index("tile_id"), after)
    assert again.table.n_assigned.tolist() == report.table.n_assigned.tolist()


@pytest.mark.slow
def test_a_picture_shows_what_fits_no_cluster(archive):
    run_cluster(archive)
    add_images(archive, planted(1, 1, classes=(0, 1, 3)), seed=1)
    report = run_assign(archive, pictures=True)
    assert report.n_none > 0
    assert report.picture.stat().st_size > 5_000
    assert str(report.picture) in report.summary()


def test_known_structures_alone_raise_no_warning(archive):
    run_cluster(archive)
    assert "no new tiles" in run_assign(archive).summary()
    add_images(archive, planted(2, 4), seed=2)
    report = run_assign(archive)
    assert report.n_none < 0.1 * report.n_new
    assert not report.is_new_kind


def test_features_go_the_way_of_the_clustered_ones(archive):
    """A second instrument shifts all features; standardised by it, its new tiles find their clusters."""
    truth = pd.concat([archive.truth, add_images(archive, planted(3, 5), seed=3, instrument="B", shift=30.0)])
    report = run_cluster(archive, standardise_by="instrument", pca_dim=4, l2=True)
    stored = find_clustering(archive)
    members = archive.tiles()
    assert (members.tile_ids == stored.tile_ids).all()
    features = stored.preparation.apply(members.embedding("toy"), stored.groups)
    assert features.shape == (len(members), 4)
    assert np.linalg.norm(features, axis=1) == pytest.approx(1.0, abs=1e-5)
    new = add_images(archive, planted(4, 2), seed=4, instrument="B", shift=30.0)
    assigned = run_assign(archive)
    assert assigned.n_none < 0.15 * assigned.n_new
    table = archive.tile_table.set_index("tile_id").cluster_toy
    of_class = table[truth.index].groupby(truth).agg(lambda c: c.mode()[0])
    kept = new[(table[new.index] >= 0).to_numpy()]
    assert (table[kept.index].to_numpy() == of_class[kept].to_numpy()).mean() > 0.97
    assert report.n_clusters == 3
    archive.set_image_column("instrument", archive.images.image_id[:4].tolist(), ["C"] * 4)
    with pytest.raises(WootzError, match="has changed in the archive since"):
        run_assign(archive)


def test_uninformative_tiles_stay_out(archive):
    run_cluster(archive, keep_uninformative=False)
    new = add_images(archive, planted(5, 1), seed=5)
    archive.set_tile_column("uninformative", new.index[:6].tolist(), [True] * 6)
    assert run_assign(archive).n_new == 30
    assert archive.tile_table.set_index("tile_id").cluster_toy[new.index[:6]].isna().all()


def test_the_newest_clustering_that_the_column_holds_counts(archive):
    first = run_cluster(archive)
    second = run_cluster(archive, n_clusters=2)
    assert find_clustering(archive).folder == second.folder
    (second.folder / "model.json").unlink()  # killed before it was written, after another one
    with pytest.raises(WootzError, match="was changed"):
        find_clustering(archive)
    third = run_cluster(archive)
    assert find_clustering(archive, "toy").folder == third.folder != first.folder
    table = archive.tile_table
    archive.set_tile_column("cluster_toy", table.tile_id[:1].tolist(), [(table.cluster_toy[0] + 1) % 3])
    with pytest.raises(WootzError, match="was changed"):
        run_assign(archive)


def test_errors_say_what_to_do(archive):
    with pytest.raises(WootzError, match="wootz cluster"):
        run_assign(archive)
    run_cluster(archive)
    run_cluster(archive, name="other")
    with pytest.raises(WootzError, match="name=other or name=toy"):
        run_assign(archive)
    with pytest.raises(WootzError, match="it has: other, toy"):
        run_assign(archive, name="tooy")
    ids = archive.tile_table.tile_id
    archive.add_embedding("foreign", ids, np.ones((len(ids), 6)), {"encoder_fingerprint": "another"})
    with pytest.raises(WootzError, match="encoder_fingerprint differs"):
        run_assign(archive, name="toy", embedding="foreign")
    scaled = {"encoder_fingerprint": "planted", "scale_fingerprint": "20 nm"}
    archive.add_embedding("scaled", ids, np.ones((len(ids), 6)), scaled)
    with pytest.raises(WootzError, match="scale_fingerprint differs"):
        run_assign(archive, name="toy", embedding="scaled")
    new = archive.add_images([NewField(np.full((96, 96), 9, np.uint8), {"file": "n.tif"})]).image_ids
    archive.write_tiles(16, 16)
    with pytest.raises(WootzError, match="wootz embed"):
        run_assign(archive, name="toy")
    assert new
    for bad in ({"reject_rate": 0.0}, {"n_neighbors": 0}, {"calibration_max": 5}):
        with pytest.raises(WootzError, match=next(iter(bad))):
            dataclasses.replace(AssignConfig(), **bad)


def test_one_image_says_what_is_not_known(tmp_path):
    archive = Archive.create(tmp_path / "one")
    add_images(archive, planted(0, 1), seed=0)
    run_cluster(archive)
    add_images(archive, planted(1, 1), seed=1)
    assert "of one image" in run_assign(archive).notes[0]
