"""Tiles are windows: each read equals a naive slice, for every dtype, margin, order and image size."""

import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wootz
from wootz.archive import Archive
from wootz.errors import ArchiveError
from wootz.fields import NewField
from wootz.gather import FieldPool, mirror
from wootz.intensity import robust_range, scale
from wootz.tilegrid import contrast, field_contrasts, grid
from wootz.tiles import TileSet


def noise(seed, shape, dtype=np.uint8, top=256):
    return np.random.default_rng(seed).integers(0, top, shape, dtype=dtype)


IMAGES = {
    "a.tif": noise(1, (70, 90)),
    "b.tif": noise(2, (33, 32)),
    "c.tif": noise(3, (64, 47), np.uint16, 4096),
    "small.tif": noise(4, (20, 200)),
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    archive = Archive.create(tmp_path_factory.mktemp("tiles") / "a")
    archive.add_images([NewField(pixels, {"file": file}) for file, pixels in IMAGES.items()])
    return archive


@pytest.fixture
def own(tmp_path):
    archive = Archive.create(tmp_path / "own")
    archive.add_images([NewField(IMAGES["a.tif"], {"file": "a.tif"})])
    return archive


def naive(row, margin=0):
    padded = np.pad(IMAGES[row["file"]], margin, mode="reflect")
    window = padded[
        row["row"] : row["row"] + row["height"] + 2 * margin,
        row["col"] : row["col"] + row["width"] + 2 * margin,
    ]
    assert window.shape == (row["height"] + 2 * margin, row["width"] + 2 * margin)
    return window


@pytest.mark.parametrize("margin", [0, 1, 7, 19])
@pytest.mark.parametrize("files", [["a.tif", "b.tif"], ["c.tif"], ["a.tif", "b.tif", "c.tif"]])
def test_read_equals_slices(archive, files, margin):
    wanted = archive.images["file"].isin(files).to_numpy()
    tiles = archive.tiles(size_px=32, stride_px=13, images=wanted)
    frame = tiles.frame.to_dict("records")
    rows = np.random.default_rng(0).permutation(len(tiles))
    batch = tiles.read(rows, margin=margin)
    assert batch.dtype == (np.uint16 if "c.tif" in files else np.uint8) == tiles.dtype
    assert batch.shape == (len(tiles), 32 + 2 * margin, 32 + 2 * margin)
    for row, window in zip(rows, batch, strict=True):
        np.testing.assert_array_equal(window, naive(frame[row], margin))
        # alone, so that each border is met without its neighbours
        np.testing.assert_array_equal(tiles.read([row], margin=margin)[0], window)
    for row, window in zip(rows[:5], tiles.scaled(rows[:5], margin=margin), strict=True):
        image = frame[row]
        expected = scale(naive(image, margin), image["intensity_low"], image["intensity_high"])
        np.testing.assert_array_equal(window, expected)


def test_margin_larger_than_the_field(own):
    tiles = own.tiles(size_px=64)
    expected = np.pad(IMAGES["a.tif"], 200, mode="reflect")[0 : 64 + 400, 0 : 64 + 400]
    np.testing.assert_array_equal(tiles.read([0], margin=200)[0], expected)


@given(st.integers(1, 9), st.integers(-40, 40))
@settings(deadline=None, max_examples=50)
def test_mirror_equals_numpy(length, index):
    padded = np.pad(np.arange(length), 41, mode="reflect") if length > 1 else np.zeros(83 + length, int)
    assert mirror(np.array([index]), length)[0] == padded[(index + 41) % len(padded)] or index > 41 + length


@given(
    size=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    size_px=st.integers(8, 40),
    stride=st.integers(1, 50),
)
@settings(max_examples=60, deadline=None)
def test_grid_covers_the_field(size, size_px, stride):
    rows, cols = grid(size, size_px=size_px, stride_px=stride)
    if min(size) < size_px:
        assert len(rows) == 0
        return
    seen = np.zeros(size, int)
    for r, c in zip(rows, cols, strict=True):
        assert 0 <= r <= size[0] - size_px
        assert 0 <= c <= size[1] - size_px
        seen[r : r + size_px, c : c + size_px] += 1
    if stride <= size_px:
        assert seen.min() >= 1
    assert len(set(zip(rows.tolist(), cols.tolist(), strict=True))) == len(rows)


def test_rows_may_be_anything_numpy_takes(archive):
    tiles = archive.tiles(size_px=32)
    everything = tiles.read(slice(None))
    np.testing.assert_array_equal(tiles.read([-1, 0, 0]), everything[[-1, 0, 0]])
    np.testing.assert_array_equal(tiles.read(np.arange(len(tiles)) % 2 == 0), everything[::2])
    np.testing.assert_array_equal(tiles.read(3), everything[[3]])
    assert tiles.read([]).shape == (0, 32, 32)
    with pytest.raises(IndexError):
        tiles.read([len(tiles)])
    with pytest.raises(ValueError, match="whole numbers or a mask"):
        tiles.read([0.5])
    with pytest.raises(ValueError, match="margin"):
        tiles.read([0], margin=-1)


def test_ids_depend_on_pixels_and_window_alone(archive, own):
    here = set(own.tiles(size_px=32, stride_px=16).tile_ids)
    assert here <= set(archive.tiles(size_px=32, stride_px=16).tile_ids)
    assert here.isdisjoint(archive.tiles(size_px=16).tile_ids)


def test_select_and_with_column_leave_the_set_as_it_was(archive):
    tiles = archive.tiles(size_px=32)
    before = tiles.frame
    labelled = tiles.with_column("label", np.arange(len(tiles)))
    part = labelled.select([2, 0])
    pd.testing.assert_frame_equal(tiles.frame, before)
    assert part.frame["label"].tolist() == [2, 0]
    np.testing.assert_array_equal(part.read([0, 1]), tiles.read([2, 0]))
    frame = part.frame
    frame["label"] = 9
    assert part.frame["label"].tolist() == [2, 0]
    assert len(tiles.select(np.zeros(len(tiles), bool))) == 0
    with pytest.raises(ValueError, match="3 values for"):
        tiles.with_column("x", [1, 2, 3])
    with pytest.raises(ValueError, match="cannot be replaced"):
        tiles.with_column("row", np.zeros(len(tiles)))
    with pytest.raises(ArchiveError, match="twice"):
        tiles.select([1, 1])


def test_frame_joins_the_image(archive):
    frame = archive.tiles(size_px=32).frame
    assert set(frame["file"]) == {"a.tif", "b.tif", "c.tif"}
    assert frame["pixel_size_row_nm"].isna().all()
    assert not {"file_x", "file_y"} & set(frame.columns)


def test_columns_are_those_of_the_frame(archive):
    tiles = archive.tiles(size_px=32)
    tiles = tiles.select(np.random.default_rng(0).permutation(len(tiles))).with_column(
        "specimen", np.arange(len(tiles)).astype(str)
    )
    frame = tiles.frame
    assert tiles.column_names == list(frame)
    of_images = archive.images.set_index("image_id")
    for name in of_images.columns.drop("specimen"):  # a tile's own column wins
        expected = [of_images.loc[image_id, name] for image_id in frame["image_id"]]
        assert [str(v) for v in frame[name]] == [str(v) for v in expected], name
    assert frame["specimen"].tolist() == [str(i) for i in range(len(tiles))]
    some = ["row", "file", "specimen"]
    assert sorted(tiles.columns([*some, "nothing"])) == sorted(some)
    pd.testing.assert_frame_equal(tiles.columns(some)[some], frame[some])
    assert tiles.columns([]).shape == (len(tiles), 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tile_id": "same"}, "twice"),
        ({"image_id": "stranger"}, "image stranger of a tile is not in the archive"),
        ({"row": 50}, "leaves its field"),
        ({"col": -1}, "leaves its field"),
        ({"height": 0}, "leaves its field"),
        ({"row": np.nan}, "NaN"),
        ({"width": None}, "NaN"),
    ],
)
def test_construction_is_checked(own, change, message):
    good = own.tiles(size_px=32).frame[["tile_id", "image_id", "row", "col", "height", "width"]]
    TileSet(own, good)
    with pytest.raises(ArchiveError, match=message):
        TileSet(own, good.assign(**change))
    with pytest.raises(ArchiveError, match="need the columns height"):
        TileSet(own, good.drop(columns="height"))


def test_tiles_of_two_sizes_cannot_be_one_array(own):
    frame = pd.concat([own.tiles(size_px=32).frame, own.tiles(size_px=16).frame])
    tiles = TileSet(own, frame)
    with pytest.raises(ValueError, match="different size"):
        tiles.read(slice(None))
    assert tiles.select((frame["height"] == 16).to_numpy()).read(slice(None)).shape[1:] == (16, 16)


def test_stored_grid_and_columns(own):
    stored = own.write_tiles(32, 32)
    assert stored["tile_id"].tolist() == own.tiles(size_px=32).tile_ids.tolist()
    own.set_tile_column("label", stored["tile_id"][:2], ["pore", "oxide"])
    own.set_tile_column("cluster_k", stored["tile_id"], np.arange(len(stored)))
    own.set_tile_column("label", stored["tile_id"][1:3], ["crack", "crack"])
    own.add_images([NewField(IMAGES["b.tif"], {"file": "b.tif"})])
    own.write_tiles(32, 16)
    table = wootz.open(own.path).tile_table.set_index("tile_id")
    assert len(table) > len(stored)
    assert table.loc[stored["tile_id"][:4], "label"].tolist() == ["pore", "crack", "crack", ""]
    assert table.loc[stored["tile_id"], "cluster_k"].tolist() == list(range(len(stored)))
    assert table["cluster_k"].isna().sum() == len(table) - len(stored)
    with pytest.raises(ArchiveError, match="tile_id 'zz' is not in the archive"):
        own.set_tile_column("label", ["zz"], ["a"])


def test_without_a_grid_the_message_names_the_remedy(own):
    with pytest.raises(ArchiveError, match="no stored tiles; make them with"):
        own.tiles()
    with pytest.raises(ArchiveError, match=r"no image is as large as a tile of 99 px .*a.tif, is 70 x 90"):
        own.write_tiles(99, 99)
    with pytest.raises(ArchiveError, match="at least 8 px"):
        own.tiles(size_px=4)
    with pytest.raises(ArchiveError, match="no image 'zz'"):
        own.tiles(size_px=32, images=["zz"])


def test_small_images_are_named(archive, capsys):
    archive.write_tiles(32, 32)
    assert "1 image(s) smaller than a tile of 32 px have no tiles (small.tif)" in capsys.readouterr().err


def test_duplicates_are_flagged_also_when_found_later(own):
    ids = own.add_images(
        [NewField(IMAGES["a.tif"], {"file": "copy.tif"}), NewField(IMAGES["b.tif"], {"file": "b.tif"})]
    ).image_ids
    assert own.write_tiles(32, 32).groupby("image_id")["duplicate"].all().to_dict() == {
        own.images["image_id"][0]: False,
        ids[0]: True,
        ids[1]: False,
    }
    own.set_image_column("duplicate_of", [ids[1]], [ids[0]])
    assert own.tiles(images=[ids[1]]).frame["duplicate"].all()


def naive_contrast(window, low, high):
    blocks = [
        (window[r : r + 4, c : c + 4].mean() - low) / (high - low)
        for r in range(0, window.shape[0] - 3, 4)
        for c in range(0, window.shape[1] - 3, 4)
    ]
    return np.std(blocks)


def test_contrast_equals_loops():
    strip = noise(1, (32, 100))
    found = contrast(strip, np.array([0, 20, 68]), size_px=32, range_=(10.0, 200.0))
    expected = [naive_contrast(strip[:, c : c + 32].astype(float), 10, 200) for c in (0, 20, 68)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [(64, 96), (70, 91), (20, 300)])
def test_contrasts_of_a_field_are_those_of_its_grid(tmp_path, size):
    pixels = np.random.default_rng(3).integers(0, 4096, size, dtype=np.uint16)
    archive = Archive.create(tmp_path / "a")
    (image_id,) = archive.add_images([NewField(pixels, {"file": "a.tif"})]).image_ids
    at_hand = field_contrasts(pixels, robust_range(pixels), size_px=16, stride_px=12)
    computed = archive.write_tiles(16, 12)["contrast"].to_numpy()
    np.testing.assert_array_equal(at_hand, computed)
    again = Archive.create(tmp_path / "b")
    again.add_images([NewField(pixels, {"file": "a.tif"})])
    given = again.write_tiles(16, 12, contrasts={image_id: at_hand + 1.0, "unknown": at_hand})
    np.testing.assert_array_equal(given["contrast"], computed + 1.0)


def test_what_counts_as_uninformative(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.normal(60, 8, (128, 512))  # resin with shot noise
    image[:, 128:256] += rng.normal(0, 8, (128, 128))  # the same, twice as noisy
    image[60:64, 256:384] = 200  # one thin crack: 3 % of the window
    image[40:60, 420:460] = 180
    image[80:, 384:] = 220
    archive = Archive.create(tmp_path / "a")
    archive.add_images([NewField(np.clip(image, 0, 255).astype(np.uint8), {"file": "a"})])
    table = archive.write_tiles(128, 128)
    assert table["uninformative"].tolist() == [True, True, False, False]
    assert (table["contrast"] >= 0).all()


def test_constant_field(tmp_path):
    archive = Archive.create(tmp_path / "a")
    archive.add_images([NewField(np.full((64, 64), 255, np.uint8), {"file": "a"})])
    assert archive.write_tiles(32, 32)["uninformative"].all()
    assert (archive.tiles().scaled([0]) == 0).all()


def test_batches_from_two_threads(archive):
    tiles = archive.tiles(size_px=16, stride_px=5)
    expected = tiles.read(slice(None))
    fresh = archive.tiles(size_px=16, stride_px=5)
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            rows = rng.integers(0, len(fresh), 64)
            if not (fresh.read(rows) == expected[rows]).all():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pool_refuses_what_it_cannot_copy():
    pool = FieldPool(np.array([[4, 4]]), lambda number: np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match="not as announced"):
        pool.read(np.array([0]), np.array([[0, 0]]), out=np.zeros((1, 2, 2), np.uint8))
