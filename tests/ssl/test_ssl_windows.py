"""Training from a single image: where its windows lie, what they show, what is refused."""

import numpy as np
import pytest

from wootz.archive import Archive
from wootz.augment import AugmentConfig
from wootz.encoders import encoder_provenance
from wootz.errors import WootzError
from wootz.fields import NewField
from wootz.intensity import scale
from wootz.ssl import PretrainConfig, method_options, pretrain
from wootz.ssl.methods.build import build_method
from wootz.ssl.methods.names import METHODS
from wootz.ssl.windows import RandomWindows, draw_windows, random_windows


class Run:
    def __init__(self, folder, run_id="run-1"):
        self.folder, self.id = folder, run_id


@pytest.fixture
def archive(tmp_path, rng):
    archive = Archive.create(tmp_path / "archive")
    large = np.kron(rng.integers(9000, 30000, (40, 60)), np.ones((5, 5))).astype(np.uint16)
    small = rng.integers(0, 255, (40, 60)).astype(np.uint8)
    again = rng.integers(0, 255, (96, 96)).astype(np.uint8)
    files = {"a/large.tif": large, "small.tif": small, "b/twin.tif": again, "c/twin.tif": again[::-1].copy()}
    archive.add_images([NewField(pixels, {"file": file}) for file, pixels in files.items()])
    archive.write_tiles(32, 32)
    return archive


def make(archive, image="large.tif", *, n=64, scale_max=2.0, seed=0):
    return random_windows(archive.tiles(), image, n=n, scale_max=scale_max, seed=seed)


def test_windows_of_the_size_of_a_tile_are_the_field_itself(archive):
    windows = make(archive, n=20, scale_max=1.0)
    field = archive.field(archive.images["image_id"][0])
    assert (windows.windows[:, 2] == 32).all()
    got = windows.scaled(np.arange(20))
    for i, (row, col, _) in enumerate(windows.windows.tolist()):
        expected = scale(field[row : row + 32, col : col + 32], *windows.range_)
        assert np.array_equal(got[i], expected)


def test_a_margin_is_context_and_mirrored_beyond_the_border():
    field = (np.arange(100)[:, None] * 100 + np.arange(90)).astype(np.uint16)
    windows = RandomWindows(
        field, np.array([[0, 0, 16], [40, 50, 16], [84, 74, 16]]), size_px=16, range_=(0, 1e4)
    )
    got = windows.scaled([0, 1, 2], margin=5)
    assert got.shape == (3, 26, 26)
    padded = np.pad(field, 5, mode="reflect")
    for i, (row, col, _) in enumerate(windows.windows.tolist()):
        assert np.array_equal(got[i], scale(padded[row : row + 26, col : col + 26], 0, 1e4))
    assert np.array_equal(got[:, 5:-5, 5:-5], windows.scaled([0, 1, 2]))


def test_large_windows_are_shrunk_without_false_texture():
    rows = np.arange(256)
    coarse = 500 + 400 * np.sin(2 * np.pi * rows / 64)[:, None] * np.ones(256)
    stripes = np.where(rows % 2, 1000, 0) * np.ones((256, 1), int)  # along columns, as fine as pixels
    for field, expected in ((coarse, None), (stripes, 0.5)):
        windows = RandomWindows(
            field.astype(np.uint16), np.array([[64, 32, 96]]), size_px=32, range_=(0, 1000)
        )
        got = windows.scaled([0])[0]
        if expected is None:  # every third pixel, from the middle of the first three
            assert np.abs(got * 1000 - coarse[65:160:3, 33:128:3]).max() < 20
            with_margin = windows.scaled([0], margin=8)[0]
            np.testing.assert_allclose(with_margin[8:-8, 8:-8], got, atol=0.02)
        else:
            assert np.abs(got - expected).max() < 0.2
            assert np.abs(got.mean() - 0.5) < 0.01


def test_windows_lie_around_the_tiles_inside_the_field_at_all_scales():
    rng = np.random.default_rng(0)
    centres = np.array([[16.0, 16.0], [16.0, 48.0], [80.0, 112.0]])
    windows = draw_windows(centres, (100, 130), n=4000, size_px=32, scale_max=3.0, rng=rng)
    row, col, side = windows.T
    assert (row >= 0).all()
    assert (col >= 0).all()
    assert (row + side <= 100).all()
    assert (col + side <= 130).all()
    assert side.min() == 32
    assert 90 < side.max() <= 96
    quarters = np.histogram(side, 32 * 3.0 ** np.array([0, 0.25, 0.5, 0.75, 1]))[0] / 4000
    np.testing.assert_allclose(quarters, 0.25, atol=0.03)  # the logarithm is uniform
    small = side < 36
    middle = row[small] + side[small] / 2
    assert not ((middle > 36) & (middle < 62)).any()  # between the tiles that are kept
    assert np.mean(row[small] == 0) < 0.1  # not heaped at the border


def test_sides_are_cut_to_the_field():
    windows = draw_windows(
        np.array([[20.0, 64.0]]), (40, 400), n=200, size_px=32, scale_max=4.0, rng=np.random.default_rng(0)
    )
    assert windows[:, 2].max() <= 40


def test_windows_follow_from_the_seed(archive):
    first, again, other = (make(archive, seed=seed).windows for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_image_is_found_by_id_path_or_name(archive):
    image_id = archive.images["image_id"][0]
    found = [make(archive, name).windows for name in (image_id, "a/large.tif", "large.tif")]
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert len(make(archive, "c/twin.tif")) == 64


def test_windows_avoid_what_was_left_out(archive):
    tiles = archive.tiles()
    frame = tiles.frame
    kept = (frame["image_id"] == archive.images["image_id"][0]) & (frame["col"] < 96)
    windows = random_windows(tiles.select(kept.to_numpy()), "large.tif", n=200, scale_max=1.0, seed=0)
    assert windows.windows[:, 1].max() <= 96


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("lage.tif", r"no such image; did you mean large\.tif\?"),
        ("qqqq", r"no such image; archive\.images lists them"),
        ("twin.tif", r"the name of 2 images; give an id"),
        ("small.tif", r"40 x 60 px, less than 4 tiles of 32 px: .* larger image or smaller tiles"),
    ],
)
def test_images_that_do_not_serve_are_refused(archive, image, message):
    with pytest.raises(WootzError, match=message):
        make(archive, image)


def test_an_image_without_tiles_is_refused(archive):
    tiles = archive.tiles()
    other = tiles.select((tiles.frame["image_id"] != archive.images["image_id"][0]).to_numpy())
    with pytest.raises(WootzError, match=r"none of its tiles is left .* include_uninformative=true"):
        random_windows(other, "large.tif", n=8, scale_max=1.0, seed=0)


def test_options_out_of_range():
    for changes in ({"windows": 1}, {"windows_scale_max": 0.5}):
        with pytest.raises(WootzError, match=r"^windows"):
            PretrainConfig(**changes)


def train(archive, folder, method, **changes):
    cfg = PretrainConfig(
        method=method_options(method),
        encoder="small",
        epochs=1,
        batch_size=8,
        precision="float32",
        augment=AugmentConfig(out_px=32),
        single_image="large.tif",
        windows=16,
        **changes,
    )
    return pretrain(archive.tiles(), cfg, run=Run(folder))


def test_pretraining_on_one_image(archive, tmp_path):
    result = train(archive, tmp_path / "run", "simclr")
    assert (result.n_tiles, result.n_steps) == (16, 2)
    about = encoder_provenance(result.checkpoint)
    assert about["config"]["single_image"] == "large.tif"
    assert about["n_tiles"] == 16


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(set(METHODS) - {"simclr"}))
def test_every_method_trains_on_one_image(archive, tmp_path, toy, monkeypatch, method):
    if method == "mae":
        build = lambda cfg, encoder, **sizes: build_method(cfg, toy.vit(), **sizes)  # noqa: E731
        monkeypatch.setattr("wootz.ssl.pretraining.build_method", build)
    result = train(archive, tmp_path / "run", method)
    assert result.n_steps == 2
    assert np.isfinite(result.loss_last)
