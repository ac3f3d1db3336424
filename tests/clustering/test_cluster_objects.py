"""Regions of clusters against a pixel by pixel reference, and on planted archives."""

import numpy as np
import pandas as pd
import pytest

from wootz.archive import Archive
from wootz.clustering import ClusterConfig, KMeansConfig, cluster, cluster_regions
from wootz.errors import WootzError
from wootz.fields import NewField
from wootz.measure import MeasureConfig, ObjectsConfig, measure
from wootz.objects import decode_rle, objects_from_mask
from wootz.tilegrid import grid

TILE = 16
PLANS = (  # cluster of each tile of a field of 6 x 6; 0 is the ground
    ["000000", "011000", "010000", "000020", "000020", "000000"],
    ["000000", "010010", "000000", "000000", "002200", "000000"],
    ["000000", "001000", "000100", "000000", "000000", "000002"],
)


def by_pixels(labels, windows, shape):
    """Give each pixel the label of the tile whose centre is nearest, by trying all tiles."""
    mask = np.zeros(shape, int)
    centre = windows[:, :2] + windows[:, 2:] / 2
    for row in range(shape[0]):
        for col in range(shape[1]):
            d_row, d_col = abs(centre[:, 0] - row - 0.5), abs(centre[:, 1] - col - 0.5)
            best = np.flatnonzero((d_row == d_row.min()) & (d_col == d_col.min()))
            mask[row, col] = labels[best.max()]  # halfway between two: the later one
    return mask


@pytest.mark.parametrize(("shape", "size", "stride"), [((40, 52), 8, 8), ((43, 30), 9, 4), ((30, 41), 8, 11)])
def test_regions_are_the_components_of_nearest_tiles(shape, size, stride, rng):
    rows, cols = grid(shape, size_px=size, stride_px=stride)
    windows = np.column_stack([rows, cols, np.full((len(rows), 2), size)])
    labels = rng.integers(-2, 3, len(rows))
    found = cluster_regions(labels, windows, shape=shape)
    mask = by_pixels(labels, windows, shape)
    names = {k + 2: str(k) for k in (-2, -1, 0, 1, 2)}
    expected = objects_from_mask(mask + 2, image_id="i", class_names=names, source="s")
    expected = expected.assign(cluster=expected["class"].astype(int))
    box = ["cluster", "row0", "col0", "row1", "col1", "area_px", "rle"]
    both = [frame[box].sort_values(box, ignore_index=True) for frame in (found, expected)]
    pd.testing.assert_frame_equal(*both, check_dtype=False)
    assert found.n_tiles.sum() == len(rows)
    assert found.area_px.sum() == shape[0] * shape[1]


def test_a_place_without_a_tile_is_not_clustered():
    windows = np.array([[0, 0, 8, 8], [0, 8, 8, 8], [8, 0, 8, 8]])
    found = cluster_regions(np.array([0, 0, 0]), windows, shape=(16, 16))
    assert found[["cluster", "area_px", "n_tiles"]].to_numpy().tolist() == [[-2, 64, 0], [0, 192, 3]]


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([[0, 0, 8, 8], [8, 0, 8, 8]], "3 labels"),
        ([[0, 0, 8, 8], [8, 0, 8, 9], [8, 8, 8, 8]], "different size"),
        ([[0, 0, 8, 8], [8, 0, 8, 8], [8, 0, 8, 8]], "stands there twice"),
    ],
)
def test_regions_refuse_what_is_no_grid(windows, message):
    with pytest.raises(ValueError, match=message):
        cluster_regions(np.zeros(3, int), np.array(windows), shape=(16, 16))


@pytest.fixture
def archive(tmp_path, rng):
    """Three fields of 96 px in tiles of 16, with planted clusters as features; the last has no scale."""
    archive = Archive.create(tmp_path / "a")
    fields = []
    for i, size in enumerate((5.0, 20.0, None)):
        row = {"file": f"f{i}.tif", "specimen": f"S{i}"}
        row |= {} if size is None else {"pixel_size_row_nm": size, "pixel_size_col_nm": 2 * size}
        fields.append(NewField(rng.integers(0, 255, (96, 96)).astype(np.uint8), row))
    archive.add_images(fields)
    archive.write_tiles(TILE, TILE)
    tiles = archive.tiles()
    planted = np.concatenate([np.array([list(line) for line in plan], int).ravel() for plan in PLANS])
    features = np.eye(3)[planted] + rng.normal(0, 0.01, (len(planted), 3))
    archive.add_embedding("toy", tiles.tile_ids, features, {"encoder_fingerprint": "planted"})
    return archive


def run_cluster(archive, *, tiles=None, n_clusters=3, **changes):
    options = {"map": False, "montages": False, "cards": False, "shortcuts": False, "l2": False}
    options |= {"keep_uninformative": True} | changes
    method = KMeansConfig(n_clusters=n_clusters, spherical=False, n_init=5)
    run = archive.start_run("cluster", {}, seed=0, inputs={})
    return cluster(tiles or archive.tiles(), ClusterConfig(method=method, **options), run=run)


def test_planted_regions_become_objects(archive):
    report = run_cluster(archive)
    objects = archive.objects
    assert set(objects.source) == {"cluster_toy"}
    assert report.n_objects == len(objects) == 10
    assert objects.groupby("class").size().to_dict() == {"cluster 0": 3, "cluster 1": 4, "cluster 2": 3}
    one = objects[objects["class"] == "cluster 1"].merge(archive.images, on="image_id")
    assert sorted(zip(one.file, one.n_tiles, one.area_px, strict=True)) == [
        ("f0.tif", 3, 3 * 256.0),
        ("f1.tif", 1, 256.0),
        ("f1.tif", 1, 256.0),
        ("f2.tif", 2, 512.0),  # joined by a corner
    ]
    scaled = one[one.file == "f0.tif"].iloc[0]
    assert scaled.area_um2 == pytest.approx(768 * 5 * 10 / 1e6)
    assert one[one.file == "f2.tif"].area_um2.isna().all()
    assert (scaled.row0, scaled.col0, scaled.row1, scaled.col1) == (16, 16, 48, 48)
    drawn = decode_rle(scaled.rle, height=32, width=32)
    assert drawn[::16, ::16].tolist() == [[True, True], [True, False]]
    assert objects.groupby("image_id").area_px.sum().eq(96 * 96).all()
    assert f"{report.n_objects} connected regions" in report.summary()


def test_regions_are_counted_per_cluster_and_field(archive):
    run_cluster(archive)
    cfg = MeasureConfig(measure=ObjectsConfig(resamples=100), by="cluster_toy", overlays=0)
    table = measure(archive, cfg, run=archive.start_run("measure", {}, seed=0, inputs={})).table
    fields = table[table["level"] == "field"].set_index(["quantity", "file"])
    counts = {
        (quantity[-1], file[1]): row.value
        for (quantity, file), row in fields.iterrows()
        if quantity.startswith("object_count")
    }
    assert [counts["1", i] for i in "012"] == [1, 2, 1]
    assert [counts["2", i] for i in "012"] == [1, 1, 1]
    density = fields.loc[("object_density:cluster 1", "f1.tif")]
    places = (96 - 16 - 16) ** 2  # one tile that stays away from the border, on the grid of tiles
    assert density.value == pytest.approx(2 / places * 1e6 / (20 * 40))
    assert density.unit == "1/µm²"
    assert fields.loc[("object_density:cluster 1", "f2.tif")].unit == "1/Mpx"


def test_running_again_replaces_all_that_the_name_had(archive):
    run_cluster(archive)
    first = archive.objects
    run_cluster(archive, name="other")
    run_cluster(archive)
    again = archive.objects
    kept = again[again.source == "cluster_toy"].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first)
    assert (again.source == "cluster_other").sum() == len(first)
    part = archive.tiles(images=archive.images.image_id[:2].tolist())
    run_cluster(archive, tiles=part)
    assert set(archive.objects.query("source == 'cluster_toy'").image_id) == set(part.frame.image_id)
    run_cluster(archive, objects=False)
    assert archive.tile_table.cluster_toy.notna().all()


def test_a_failure_leaves_columns_and_objects_as_they_were(archive, monkeypatch):
    run_cluster(archive)
    before, objects = archive.tile_table, archive.objects

    def broken(*args, **kwargs):
        raise WootzError("the disk is full")

    monkeypatch.setattr("wootz.intake.replace_rows", broken)
    with pytest.raises(WootzError, match="disk is full"):
        run_cluster(archive, n_clusters=2)
    pd.testing.assert_frame_equal(Archive(archive.path).tile_table, before)
    pd.testing.assert_frame_equal(Archive(archive.path).objects, objects)


def test_what_was_left_out_is_area_without_a_cluster(archive):
    flags = archive.tile_table.image_id.eq(archive.images.image_id[2]).to_numpy()
    archive.set_tile_column("uninformative", archive.tile_table.tile_id, flags)
    run_cluster(archive, keep_uninformative=False)
    rest = archive.objects[archive.objects["class"] == "not clustered"]
    assert rest.image_id.tolist() == [archive.images.image_id[2]]
    assert rest[["area_px", "n_tiles"]].to_numpy().tolist() == [[96 * 96, 36]]
    assert rest.cluster.isna().all()
