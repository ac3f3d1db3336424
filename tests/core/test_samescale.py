import numpy as np
import pytest

from wootz.archive import Archive
from wootz.errors import WootzError
from wootz.fields import NewField
from wootz.samescale import SameScale


def make(path, fields):
    archive = Archive.create(path)
    rows = []
    for i, (pixels, size) in enumerate(fields):
        about = {"file": f"{i}.tif"}
        if size is not None:
            about |= {"pixel_size_row_nm": size, "pixel_size_col_nm": size, "pixel_size_source": "test"}
        rows.append(NewField(pixels, about))
    archive.add_images(rows)
    archive.write_tiles(32, 32)
    return archive.tiles()


def waves(side, pixel_nm, *, period_nm=800.0):
    """Draw a grating of one period in nm, whatever the pixel."""
    row, col = (np.arange(side) + 0.5) * pixel_nm, (np.arange(side) + 0.5) * pixel_nm
    grating = np.sin(2 * np.pi * row / period_nm)[:, None] + np.sin(2 * np.pi * col / period_nm)
    return (120 + 50 * grating).round().astype(np.uint8)


def test_one_scene_at_three_magnifications_looks_alike_at_one_pixel_size(tmp_path):
    tiles = make(
        tmp_path / "a", [(waves(256, 20.0), 20.0), (waves(256, 40.0), 40.0), (waves(256, 25.0), 25.0)]
    )
    frame = tiles.frame
    chosen, centre = [], []
    for size in (20.0, 40.0, 25.0):
        inner = frame[(frame.pixel_size_row_nm == size) & (frame.row == 96) & (frame.col == 96)]
        chosen.append(int(inner.index[0]))
        centre.append((96 + 16) * size)
    read = SameScale(tiles, 40.0).scaled(chosen)
    assert read.shape == (3, 32, 32)
    low, high = (frame[name].to_numpy()[chosen] for name in ("intensity_low", "intensity_high"))
    grey = read * (high - low)[:, None, None] + low[:, None, None]
    for picture, middle in zip(grey, centre, strict=True):
        at = middle + (np.arange(32) - 15.5) * 40.0
        wave = np.sin(2 * np.pi * at / 800.0)
        expected = 120 + 50 * (wave[:, None] + wave)
        wrong = np.abs(picture - expected)[2:-2, 2:-2].mean()
        assert wrong < 5  # of an amplitude of 100: shrinking blurs a little
    assert np.array_equal(read[1], tiles.scaled([chosen[1]])[0])  # this one has the size already
    raw = tiles.scaled(chosen)
    assert np.abs(raw[0] - read[0]).mean() > 0.1


def test_order_and_batches_do_not_matter(tmp_path, rng):
    fields = [(rng.integers(0, 255, (96, 96)).astype(np.uint8), size) for size in (10.0, 15.0, 30.0)]
    scale = SameScale(make(tmp_path / "a", fields), 20.0)
    rows = rng.permutation(27)
    whole = scale.scaled(rows)
    for i in (0, 9, 26):
        np.testing.assert_allclose(scale.scaled([rows[i]])[0], whole[i], atol=1e-6)


@pytest.mark.parametrize(
    ("size", "message"),
    [(None, "9 of 18 tiles are of images without a known pixel size"), (100.0, "more than 4 times")],
)
def test_what_cannot_be_read(tmp_path, rng, size, message):
    fields = [(rng.integers(0, 255, (96, 96)).astype(np.uint8), s) for s in (10.0, size)]
    tiles = make(tmp_path / "a", fields)
    with pytest.raises(WootzError, match=message):
        SameScale(tiles, 10.0)
