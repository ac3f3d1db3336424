import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, silhouette_score

from wootz.clustering import kmeans, silhouette_sweep
from wootz.clustering.sweep import sweep_figure
from wootz.errors import WootzError


def blobs(n=600, dim=8, k=5, std=1.0, seed=3):
    points, truth = make_blobs(n, dim, centers=k, cluster_std=std, random_state=seed)
    return points.astype(np.float32), truth


def test_finds_blobs_with_the_inertia_of_scikit_learn(rng):
    points, truth = blobs()
    ours = kmeans(points, 5, rng=rng)
    theirs = KMeans(5, n_init=10, random_state=0).fit(points)
    assert adjusted_rand_score(truth, ours.labels) == 1.0
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-5)


def test_no_worse_than_scikit_learn_where_clusters_overlap(rng):
    points, _ = blobs(400, 10, 8, std=4.0)
    ours = kmeans(points, 8, rng=rng, n_init=10)
    theirs = KMeans(8, n_init=10, random_state=0).fit(points)
    assert ours.inertia <= theirs.inertia_ * 1.003


@pytest.mark.parametrize("spherical", [False, True])
def test_result_is_consistent_by_loops(rng, spherical):
    points = rng.normal(size=(120, 4)).astype(np.float32)
    found = kmeans(points, 6, rng=rng, spherical=spherical)
    if spherical:
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
        assert np.linalg.norm(found.centroids, axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    inertia = 0.0
    for point, label in zip(points.astype(float), found.labels, strict=True):
        squared = [((point - centre) ** 2).sum() for centre in found.centroids.astype(float)]
        assert squared[label] == pytest.approx(min(squared), abs=1e-5)
        inertia += squared[label]
    assert found.inertia == pytest.approx(inertia, rel=1e-6)
    assert found.inertia == found.restart_inertias.min()
    for k in range(6):  # converged: a centroid is the mean (spherical: its direction) of its points
        mean = points[found.labels == k].mean(axis=0)
        mean = mean / np.linalg.norm(mean) if spherical else mean
        assert found.centroids[k] == pytest.approx(mean, abs=0.05)


def test_spherical_ignores_length_and_euclidean_does_not(rng):
    direction = np.repeat(np.eye(3, dtype=np.float32), 40, axis=0) + rng.normal(0, 0.02, (120, 3))
    points = (direction * rng.uniform(0.1, 30, (120, 1))).astype(np.float32)
    truth = np.repeat(np.arange(3), 40)
    assert adjusted_rand_score(truth, kmeans(points, 3, rng=rng, spherical=True).labels) == 1.0
    assert adjusted_rand_score(truth, kmeans(points, 3, rng=rng).labels) < 0.9


def test_clusters_do_not_depend_on_the_order_of_rows(rng):
    points, _ = blobs(std=2.0)
    order = rng.permutation(len(points))
    first = kmeans(points, 5, rng=np.random.default_rng(1))
    second = kmeans(points[order], 5, rng=np.random.default_rng(2))
    assert adjusted_rand_score(first.labels[order], second.labels) == 1.0
    assert (first.labels[order] == second.labels).all()  # numbered by size, whatever the seed


def test_same_seed_same_result_and_global_state_untouched():
    points, _ = blobs(std=5.0)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - this is what must not change
    first = kmeans(points, 9, rng=np.random.default_rng(5), n_init=3)
    second = kmeans(points, 9, rng=np.random.default_rng(5), n_init=3)
    assert (first.labels == second.labels).all()
    assert (first.centroids == second.centroids).all()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_clusters_are_numbered_by_size(rng):
    points = np.concatenate(
        [np.full((n, 2), 10.0 * i) + rng.normal(0, 0.1, (n, 2)) for i, n in enumerate((5, 50, 20))]
    )
    found = kmeans(points.astype(np.float32), 3, rng=rng)
    assert np.bincount(found.labels).tolist() == [50, 20, 5]


def test_every_point_counts(rng):
    """Centroids are means over all points; faiss by itself would draw 256 points per cluster."""
    points = rng.normal(size=(20_000, 2)).astype(np.float32)
    points[:40] += 300
    found = kmeans(points, 2, rng=rng, n_init=2)
    assert np.bincount(found.labels).tolist() == [19_960, 40]
    assert found.centroids[0] == pytest.approx(points[40:].mean(axis=0), abs=1e-4)


def test_thread_count_is_put_back(rng):
    import faiss

    before = faiss.omp_get_max_threads()
    kmeans(blobs()[0], 3, rng=rng, n_init=1)
    assert faiss.omp_get_max_threads() == before


def test_stability_tells_structure_from_noise(rng):
    structure, _ = blobs(400, 6, 4)
    noise = rng.normal(size=(400, 6)).astype(np.float32)
    assert kmeans(structure, 4, rng=rng).stability > 0.8
    assert kmeans(noise, 8, rng=rng).stability < 0.7


@pytest.mark.parametrize(
    ("change", "n_clusters", "message"),
    [
        (lambda x: x, 1, "at least 2"),
        (lambda x: x[:3], 5, "more than the 3 tiles"),
        (lambda x: np.where(np.arange(len(x))[:, None] == 7, np.nan, x), 3, "1 of 50 rows.*NaN"),
        (np.ones_like, 2, "all features are the same"),
        (lambda x: np.repeat(x[:2], 25, axis=0), 3, "only 2 different"),
        (lambda x: x[:, 0], 2, "table of tiles"),
        (lambda x: x[:0], 2, "table of tiles"),
    ],
)
def test_bad_features(rng, change, n_clusters, message):
    points = change(rng.normal(size=(50, 4)).astype(np.float32))
    with pytest.raises(WootzError, match=message):
        kmeans(points, n_clusters, rng=rng)


def test_row_of_zeros_has_no_direction(rng):
    points = rng.normal(size=(20, 3)).astype(np.float32)
    points[4] = 0
    with pytest.raises(WootzError, match="zeros"):
        kmeans(points, 2, rng=rng, spherical=True)


def test_as_many_clusters_as_different_points(rng):
    points = np.repeat(rng.normal(size=(4, 3)), 5, axis=0).astype(np.float32)
    found = kmeans(points, 4, rng=rng)
    assert found.inertia == pytest.approx(0, abs=1e-8)
    assert np.bincount(found.labels).tolist() == [5, 5, 5, 5]


def test_sweep_finds_the_number_of_blobs_and_keeps_the_curve(rng):
    points, truth = blobs(300, 8, 4)
    sweep = silhouette_sweep(points, range(2, 8), rng=rng, n_init=3)
    assert sweep.n_clusters == 4
    assert sweep.curve.n_clusters.tolist() == [2, 3, 4, 5, 6, 7]
    assert adjusted_rand_score(truth, sweep.best.labels) == 1.0
    row = sweep.curve.set_index("n_clusters").loc[4]
    assert row.silhouette == pytest.approx(silhouette_score(points, truth), abs=1e-6)
    assert sweep_figure(sweep).axes[0].get_title(loc="left").startswith("number of clusters: 4")


def test_sweep_leaves_out_numbers_above_the_tiles(rng):
    points = rng.normal(size=(6, 2)).astype(np.float32)
    assert silhouette_sweep(points, range(2, 20), rng=rng, n_init=1).curve.n_clusters.max() == 5
    with pytest.raises(WootzError, match="too few for a sweep"):
        silhouette_sweep(points[:2], range(2, 20), rng=rng)
