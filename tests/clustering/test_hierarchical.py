"""Weighted k-means against all partitions and repeated points; pieces, resume, memory, and the command."""

import dataclasses
import itertools
import os
import signal
import tracemalloc
from functools import partial

import numpy as np
import pytest

from wootz import jobs
from wootz.archive import Archive
from wootz.clustering import (
    AssignConfig,
    ClusterConfig,
    HierarchicalConfig,
    agreement,
    assign,
    cluster,
    hierarchical_kmeans,
    kmeans,
)
from wootz.clustering.pieces import FirstLevel, cut_pieces, small_groups
from wootz.clustering.preparation import Preparation, fit_preparation
from wootz.errors import WootzError
from wootz.fields import NewField
from wootz.jobs import JobsConfig, run_jobs

AS_THEY_ARE = Preparation(None, None, whiten=False, l2=False)


def weighted_inertia(points, weights, labels):
    total = 0.0
    for k in set(labels):
        own = [i for i, label in enumerate(labels) if label == k]
        mass = sum(weights[i] for i in own)
        mean = sum(weights[i] * points[i] for i in own) / mass
        total += sum(weights[i] * ((points[i] - mean) ** 2).sum() for i in own)
    return total


@pytest.mark.parametrize("n_clusters", [2, 3])
def test_weighted_kmeans_finds_the_best_of_all_partitions(n_clusters):
    rng = np.random.default_rng(n_clusters)
    points = rng.normal(size=(8, 2)).astype(np.float32)
    weights = rng.integers(1, 30, 8).astype(float)
    best = min(
        weighted_inertia(points.astype(float), weights, labels)
        for labels in itertools.product(range(n_clusters), repeat=8)
        if len(set(labels)) == n_clusters
    )
    found = kmeans(points, n_clusters, rng=rng, n_init=40, weights=weights)
    assert found.inertia == pytest.approx(best, rel=1e-4)
    assert weighted_inertia(points.astype(float), weights, found.labels) == pytest.approx(best, rel=1e-4)
    mass = np.bincount(found.labels, weights=weights)
    assert (np.diff(mass) <= 0).all()
    assert kmeans(points, n_clusters, rng=rng, n_init=40).inertia < 0.9 * best  # other weights, other sum


def test_a_weight_is_so_many_copies(rng):
    points = rng.normal(size=(24, 3)).astype(np.float32)
    weights = rng.integers(1, 9, 24)
    weighted = kmeans(points, 4, rng=rng, n_init=30, weights=weights)
    repeated = kmeans(np.repeat(points, weights, axis=0), 4, rng=rng, n_init=30)
    assert weighted.inertia == pytest.approx(repeated.inertia, rel=2e-3)
    for bad in (np.ones(23), np.zeros(24), np.full(24, np.nan)):
        with pytest.raises(ValueError, match="24 positive numbers"):
            kmeans(points, 4, rng=rng, weights=bad)


def blobs(rng, n, *, n_classes=6, dim=8, spread=0.3):
    truth = rng.integers(n_classes, size=n)
    return (4.0 * np.eye(n_classes, dim)[truth] + rng.normal(0, spread, (n, dim))).astype(np.float32), truth


def shards(folder, points, sizes):
    files = []
    for number, (start, n) in enumerate(zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True)):
        np.save(folder / f"{number}.npy", points[start : start + n])
        files.append((folder / f"{number}.npy", n))
    return files


def settings(**changes):
    known = {"n_clusters": 6, "top": "kmeans", "n_first": 20, "piece_rows": 400, "n_iter": 10}
    return HierarchicalConfig(**(known | changes))


def run(folder, files, rows, cfg, *, seed=0, groups=None, preparation=AS_THEY_ARE):
    first = FirstLevel(folder, preparation, n_groups=cfg.n_first, n_iter=cfg.n_iter, seed=seed)
    pieces = list(cut_pieces(files, rows, piece_rows=cfg.piece_rows, groups=groups))
    return hierarchical_kmeans(pieces, cfg, first=first, rng=np.random.default_rng(seed)), pieces, first


@pytest.mark.parametrize("top", ["kmeans", pytest.param("graph", marks=pytest.mark.slow)])
def test_separated_blobs_come_back_with_exact_means_and_inertia(tmp_path, rng, top):
    points, truth = blobs(rng, 2_600)
    files = shards(tmp_path, points, [1_000, 1_600])
    rows = rng.permutation(2_600)[:2_500]  # tiles are in another order, and some are not wanted
    cfg = settings(top=top, n_clusters=6 if top == "kmeans" else None, n_second=90)
    found, pieces, _ = run(tmp_path / "work", files, rows, cfg)
    assert sum(len(tiles) for _, tiles in pieces) == 2_500
    assert max(len(tiles) for _, tiles in pieces) <= 400
    assert agreement(found.labels, truth[rows]).ari == 1.0
    sizes = np.bincount(found.labels)
    assert (np.diff(sizes) <= 0).all()
    own = points[rows].astype(float)
    means = np.stack([own[found.labels == k].mean(axis=0) for k in range(6)])
    assert found.centroids == pytest.approx(means, abs=1e-4)
    assert found.inertia == pytest.approx(np.square(own - means[found.labels]).sum(), rel=1e-4)
    assert found.n_groups == (found.n_small if top == "kmeans" else 90)
    assert np.median(found.outlier_score) == pytest.approx(1.0, abs=0.02)
    if top == "graph":
        assert found.discovery.suggestion.n_clusters == 6


def test_pieces_are_prepared_like_all_features_at_once(tmp_path, rng):
    points, _ = blobs(rng, 900)
    groups = rng.integers(0, 3, 900)
    files = shards(tmp_path, points, [500, 400])
    steps = fit_preparation(points, groups, pca_dim=5, l2=True)
    rows = rng.permutation(900)
    options = {"groups": groups[rows], "preparation": steps}
    found, pieces, first = run(tmp_path / "w", files, rows, settings(), **options)
    prepared = steps.apply(points, groups)[rows]
    for piece, tiles in pieces:
        one = first.load(piece)
        distance = np.linalg.norm(prepared[tiles] - one.centroids[one.labels], axis=1)
        assert one.distance == pytest.approx(distance, abs=1e-5)
    assert found.centroids.shape == (6, 5)


def test_small_groups_of_few_and_of_equal_points(rng):
    few = small_groups(np.float32([[1, 2], [3, 4]]), 50, rng=rng)
    assert (few.centroids.tolist(), few.weights.tolist()) == ([[2.0, 3.0]], [2.0])
    copies = np.repeat(np.float32([[0, 0], [1, 1]]), 100, axis=0)
    found = small_groups(copies, 50, rng=rng)
    assert sorted(found.weights) == [100, 100]
    assert (found.distance == 0).all()


def test_pieces_that_are_done_are_not_done_again(tmp_path, rng, monkeypatch):
    points, _ = blobs(rng, 2_000)
    files, rows, cfg = shards(tmp_path, points, [2_000]), np.arange(2_000), settings()
    expected = run(tmp_path / "whole", files, rows, cfg)[0]
    worked, killed = [], []
    really = FirstLevel.work

    def dies_at_the_third(self, piece):
        worked.append(piece.number)
        if len(worked) == 3 and not killed:
            killed.append(piece)
            raise KeyboardInterrupt
        really(self, piece)

    monkeypatch.setattr(FirstLevel, "work", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "work", files, rows, cfg)
    found = run(tmp_path / "work", files, rows, cfg)[0]
    assert worked == [0, 1, 2, 2, 3, 4]
    assert (found.labels == expected.labels).all()
    assert (found.centroids == expected.centroids).all()
    worked.clear()
    run(tmp_path / "work", files, rows, cfg, seed=1)  # another seed takes nothing over
    run(tmp_path / "work", files, rows[:1_900], cfg)  # nor do other tiles
    assert worked == 2 * [0, 1, 2, 3, 4]


def peak_mb(folder, n, rng):
    """Measure the peak of what numpy holds; the memory-mapped features do not count."""
    folder.mkdir()
    points, _ = blobs(rng, n, dim=32)
    files, rows = shards(folder, points, [n]), np.arange(n)
    del points
    tracemalloc.start()
    run(folder / "work", files, rows, settings(piece_rows=2_000, n_first=10))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def test_memory_is_that_of_a_piece(tmp_path, rng):
    peak_mb(tmp_path / "warm", 4_000, rng)  # imports and compiled loops
    few, many = peak_mb(tmp_path / "few", 4_000, rng), peak_mb(tmp_path / "many", 20_000, rng)
    piece = 2_000 * 32 * 4 / 1e6
    assert few < 6 * piece
    assert many < few + 16_000 * 80 / 1e6  # rows, labels, scores; the features of a tile are 128 bytes


def test_errors_say_what_to_do(tmp_path, rng, monkeypatch):
    points, _ = blobs(rng, 500)
    files = shards(tmp_path, points, [500])
    with pytest.raises(WootzError, match=r"needs method\.n_clusters"):
        run(tmp_path / "w", files, np.arange(500), settings(n_clusters=None))
    for bad in ({"top": "ward"}, {"n_clusters": 1}, {"piece_rows": 5}):
        with pytest.raises(WootzError, match=next(iter(bad))):
            settings(**bad)
    with pytest.raises(WootzError, match=r"jobs\.place"):
        JobsConfig(place="cloud")
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(WootzError, match=r"wootz\[jobs\]"):
        run_jobs(print, [1], JobsConfig(place="local"), folder=tmp_path, title="x")


def dies_once(folder, number):
    """Kill the process at item 3 of the first round; write a file for every other item."""
    if number == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / f"{number}.done").write_text(str(os.getpid()))


@pytest.mark.slow
def test_a_killed_process_is_named_and_the_rest_stays(tmp_path):
    cloudpickle = pytest.importorskip("cloudpickle")
    pytest.importorskip("submitit")
    cloudpickle.register_pickle_by_value(__import__("sys").modules[dies_once.__module__])
    work, cfg = partial(dies_once, tmp_path), JobsConfig(place="local", workers=2, minutes=5)
    with pytest.raises(WootzError, match="1 of 2 jobs"):
        run_jobs(work, range(6), cfg, folder=tmp_path / "logs", title="numbers")
    done = {int(path.stem) for path in tmp_path.glob("*.done")}
    assert {0, 2, 4, 1} <= done
    assert 3 not in done
    run_jobs(work, sorted(set(range(6)) - done), cfg, folder=tmp_path / "logs", title="numbers")
    pids = {path.read_text() for path in tmp_path.glob("*.done")}
    assert len(list(tmp_path.glob("*.done"))) == 6
    assert str(os.getpid()) not in pids


@pytest.mark.slow
def test_processes_give_what_this_process_gives(tmp_path, rng):
    pytest.importorskip("submitit")
    points, _ = blobs(rng, 1_500)
    files, rows = shards(tmp_path, points, [1_500]), np.arange(1_500)
    here = run(tmp_path / "here", files, rows, settings())[0]
    local = settings(jobs=JobsConfig(place="local", workers=2))
    assert (run(tmp_path / "local", files, rows, local)[0].labels == here.labels).all()


@pytest.fixture
def archive(tmp_path):
    """Four fields of 6 x 6 tiles with planted classes as features, in two shards, the second first."""
    archive = Archive.create(tmp_path / "a")
    rng = np.random.default_rng(0)
    fields = [
        NewField(rng.integers(0, 255, (96, 96)).astype(np.uint8), {"file": f"{i}.tif"}) for i in range(4)
    ]
    archive.add_images(fields)
    archive.write_tiles(16, 16)
    ids = archive.tiles().tile_ids
    features, truth = blobs(rng, len(ids), n_classes=3)
    for part in (slice(100, None), slice(0, 100)):
        archive.add_embedding("toy", ids[part], features[part], {"encoder_fingerprint": "planted"})
    archive.truth = truth
    return archive


def test_the_command_clusters_shards_and_new_tiles_can_follow(archive):
    method = HierarchicalConfig(n_clusters=3, top="kmeans", n_first=5, piece_rows=100, sample=1_000)
    options = {"map": False, "montages": False, "cards": False, "shortcuts": False}
    cfg = ClusterConfig(method=method, keep_uninformative=True, pca_dim=4, **options)
    report = cluster(archive.tiles(), cfg, run=archive.start_run("cluster", {}, seed=0, inputs={}))
    table = archive.tile_table
    assert agreement(table.cluster_toy.to_numpy(int), archive.truth).ari == 1.0
    assert report.sizes == tuple(table.cluster_toy.value_counts())
    assert (report.n_tiles, report.n_clusters, report.method) == (144, 3, "hierarchical")
    assert "small groups" in report.reasons
    assert not (report.folder / "pieces").exists()
    assert (archive.objects.groupby("image_id").n_tiles.sum() == 36).all()
    archive.add_images([NewField(np.zeros((96, 96), np.uint8), {"file": "new.tif"})])
    archive.write_tiles(16, 16)
    new = archive.tile_table.tile_id[144:]
    archive.add_embedding(
        "toy", new, blobs(np.random.default_rng(1), 36, n_classes=3)[0], {"encoder_fingerprint": "planted"}
    )
    later = assign(
        archive.tiles(),
        dataclasses.replace(AssignConfig(), pictures=False),
        run=archive.start_run("assign", {}, seed=0, inputs={}),
    )
    assert later.n_new == 36
    assert later.n_none < 8


def test_a_sample_is_shown_and_all_are_stored(archive, monkeypatch):
    method = HierarchicalConfig(n_clusters=3, top="kmeans", n_first=5, piece_rows=100)
    monkeypatch.setattr(method, "sample", 60)
    monkeypatch.setattr("wootz.clustering.sharded.SHOWN_EACH", 5)
    options = {"map": False, "montages": False, "cards": False, "shortcuts": False}
    cfg = ClusterConfig(method=method, keep_uninformative=True, **options)
    report = cluster(archive.tiles(), cfg, run=archive.start_run("cluster", {}, seed=0, inputs={}))
    assert sum(report.sizes) == 144
    assert archive.tile_table.cluster_toy.notna().all()
    assert report.silhouette > 0.5


def test_jobs_here_run_in_order(tmp_path):
    seen = []
    run_jobs(seen.append, [3, 1, 2], JobsConfig(), folder=tmp_path, title="x")
    jobs.run_jobs(seen.append, [], JobsConfig(place="slurm"), folder=tmp_path, title="x")
    assert seen == [3, 1, 2]
