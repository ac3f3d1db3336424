import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wootz.clustering import distances_to_centroids, kmeans, outlier_scores, prototypes
from wootz.clustering.maps import _neighbours, map_figure, umap_coordinates
from wootz.errors import WootzError


@pytest.fixture
def clustered(rng):
    points = np.concatenate([rng.normal(5 * k, 1, (40, 3)) for k in range(3)]).astype(np.float32)
    fit = kmeans(points, 3, rng=rng)
    return points, fit, distances_to_centroids(points, fit.labels, fit.centroids)


def test_distances_against_loops(clustered, monkeypatch):
    points, fit, distances = clustered
    for i, point in enumerate(points.astype(float)):
        all_d = [np.sqrt(((point - c) ** 2).sum()) for c in fit.centroids.astype(float)]
        own = all_d.pop(fit.labels[i])
        assert distances.own[i] == pytest.approx(own)
        assert distances.other[i] == pytest.approx(min(all_d))
        assert distances.margin[i] == pytest.approx((min(all_d) - own) / (min(all_d) + own))
    monkeypatch.setattr("wootz.clustering.exemplars.CHUNK_ROWS", 7)
    again = distances_to_centroids(points, fit.labels, fit.centroids)
    assert again.other == pytest.approx(distances.other)


def test_first_medoid_is_the_medoid(clustered):
    points, fit, distances = clustered
    table = prototypes(distances, fit.labels, n_each=4)
    for k in range(3):
        inside = np.flatnonzero(fit.labels == k)
        sums = [((points[i] - points[inside]) ** 2).sum() for i in inside]
        first = table[(table.cluster == k) & (table.role == "medoid") & (table["rank"] == 0)].row.item()
        assert first == inside[int(np.argmin(sums))]


def test_roles_do_not_share_tiles_and_are_ordered(clustered):
    _, fit, distances = clustered
    table = prototypes(distances, fit.labels, n_each=6)
    assert table.row.is_unique
    assert (table.groupby(["cluster", "role"]).size() == 6).all()
    for (_, role), part in table.groupby(["cluster", "role"]):
        key = {"medoid": part.distance, "borderline": part.margin, "outlier": -part.outlier_score}[role]
        assert key.is_monotonic_increasing


def test_a_planted_outlier_is_found(rng):
    points = rng.normal(size=(60, 4)).astype(np.float32)
    points[:30] += 20
    points[17] += 9
    fit = kmeans(points, 2, rng=rng)
    distances = distances_to_centroids(points, fit.labels, fit.centroids)
    scores = outlier_scores(distances.own, fit.labels)
    assert int(scores.argmax()) == 17
    assert scores[17] > 3
    table = prototypes(distances, fit.labels, n_each=3)
    assert 17 in set(table[(table.role == "outlier") & (table["rank"] == 0)].row)


@given(st.floats(0.01, 100))
def test_outlier_scores_do_not_depend_on_the_unit(factor):
    rng = np.random.default_rng(0)
    distance, labels = rng.random(50), rng.integers(0, 4, 50)
    scores = outlier_scores(distance, labels)
    assert outlier_scores(factor * distance, labels) == pytest.approx(scores)
    for k in range(4):
        assert np.median(scores[labels == k]) == pytest.approx(1)


def test_outlier_scores_among_duplicates():
    assert outlier_scores(np.zeros(3), np.zeros(3, int)).tolist() == [1, 1, 1]
    scores = outlier_scores(np.array([0, 0, 0, 4.0]), np.zeros(4, int))
    assert scores.tolist() == [0, 0, 0, 4]


def test_tiny_clusters_show_each_tile_once(rng):
    points = np.concatenate([rng.normal(0, 1, (30, 2)), [[50, 50]], [[90, 0]], [[91, 0]]]).astype(np.float32)
    fit = kmeans(points, 3, rng=rng)
    table = prototypes(distances_to_centroids(points, fit.labels, fit.centroids), fit.labels, n_each=8)
    assert table.row.is_unique
    assert set(table.cluster) == {0, 1, 2}


def test_every_image_has_its_turn(clustered):
    _, fit, distances = clustered
    groups = np.arange(len(fit.labels)) % 5
    table = prototypes(distances, fit.labels, n_each=5, groups=groups)
    medoids = table[table.role == "medoid"]
    assert (groups[medoids.row].reshape(3, 5).tolist()) != []
    for k in range(3):
        assert len(set(groups[medoids[medoids.cluster == k].row])) == 5


def test_lengths_must_fit(clustered):
    points, fit, _ = clustered
    with pytest.raises(WootzError, match="do not belong together"):
        distances_to_centroids(points[:5], fit.labels, fit.centroids)


def test_neighbours_against_loops(rng):
    points = rng.normal(size=(40, 3)).astype(np.float32)
    points[7] = points[3]
    found, distance, _ = _neighbours(points, 6)
    all_d = np.sqrt(((points[:, None].astype(float) - points[None].astype(float)) ** 2).sum(axis=2))
    assert (found[:, 0] == np.arange(40)).all()
    assert distance == pytest.approx(np.sort(all_d, axis=1)[:, :6], abs=2e-3)


@pytest.mark.slow
def test_map_parts_groups_repeats_and_samples(rng):
    points = np.concatenate([rng.normal(12 * k, 1, (60, 5)) for k in range(3)]).astype(np.float32)
    truth = np.repeat(np.arange(3), 60)
    first = umap_coordinates(points, rng=np.random.default_rng(4))
    second = umap_coordinates(points, rng=np.random.default_rng(4))
    assert (first.coordinates == second.coordinates).all()
    assert first.coordinates.shape == (180, 2)
    assert first.rows.tolist() == list(range(180))
    centres = np.array([first.coordinates[truth == k].mean(axis=0) for k in range(3)])
    nearest = ((first.coordinates[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == truth).mean() > 0.98
    part = umap_coordinates(points, rng=np.random.default_rng(4), n_max=100)
    assert len(part.rows) == len(part.coordinates) == 100
    assert (np.diff(part.rows) > 0).all()
    figure = map_figure(part, np.where(truth == 2, -1, truth), names=["a", "b"], title="t")
    assert {text.get_text() for text in figure.axes[0].texts} == {"a", "b"}


@pytest.mark.slow
def test_map_of_five_tiles(rng):
    points = rng.normal(size=(5, 4)).astype(np.float32)
    assert np.isfinite(umap_coordinates(points, rng=rng).coordinates).all()


def test_map_of_too_few_tiles(rng):
    points = rng.normal(size=(5, 4)).astype(np.float32)
    with pytest.raises(WootzError, match="too few for a map"):
        umap_coordinates(points[:4], rng=rng)
