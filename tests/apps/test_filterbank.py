"""The filter bank against closed forms, and tiles against their field."""

import numpy as np
import pytest

from wootz.apps.studies.filterbank import SIGMAS_PX, filter_bank, filtered_tiles
from wootz.archive import Archive
from wootz.fields import NewField

N_EACH = 4


def test_a_flat_field_has_no_derivatives():
    planes = filter_bank(np.full((40, 56), 0.3, np.float32))
    assert planes.shape == (N_EACH * len(SIGMAS_PX), 40, 56)
    assert planes[::N_EACH] == pytest.approx(0.3, abs=1e-6)
    assert np.delete(planes, np.s_[::N_EACH], axis=0) == pytest.approx(0.0, abs=1e-5)


def test_a_ramp_has_its_slope_times_the_width_at_every_scale():
    ramp = np.tile(0.01 * np.arange(128, dtype=np.float32), (128, 1))
    planes = filter_bank(ramp)[:, 56:72, 56:72]
    for i, sigma in enumerate(SIGMAS_PX):
        assert planes[N_EACH * i + 1] == pytest.approx(0.01 * sigma, rel=0.02)
        assert planes[N_EACH * i + 2 : N_EACH * i + 4] == pytest.approx(0.0, abs=2e-3)


@pytest.mark.parametrize(("scale", "step_px"), [(1, 1), (2, 2), (3, 4)])
def test_a_gaussian_line_has_the_curvature_of_theory(scale, step_px):
    """Smoothed by t, a line of width s is one of width sqrt(s^2 + t^2) and height s over that."""
    sigma, width, middle = SIGMAS_PX[scale], 6.0, 64 + (step_px - 1) / 2
    line = np.exp(-((np.arange(128) - middle) ** 2) / (2 * width**2)).astype(np.float32)
    planes = filter_bank(np.tile(line, (128, 1)))[:, 64]
    wide = np.hypot(width, sigma)
    beside = np.exp(-((2 * step_px) ** 2) / (2 * wide**2))
    expected = sigma**2 * width / wide * (2 * beside - 2) / (2 * step_px) ** 2  # differences of differences
    assert planes[N_EACH * scale + 3, 64] == pytest.approx(expected, rel=0.03)
    assert planes[N_EACH * scale + 2, 64] == pytest.approx(0.0, abs=1e-4)  # nothing along the line


def test_turning_and_mirroring_move_the_values_only():
    image = np.random.default_rng(0).random((48, 64)).astype(np.float32)
    planes = filter_bank(image)
    assert filter_bank(image[::-1]) == pytest.approx(planes[:, ::-1], abs=1e-5)
    assert filter_bank(np.rot90(image).copy()) == pytest.approx(np.rot90(planes, axes=(1, 2)), abs=1e-5)


def test_tiles_are_described_by_their_place_in_the_field(tmp_path, rng):
    archive = Archive.create(tmp_path / "archive")
    pixels = [rng.integers(0, 255, (70, 96)).astype(np.uint8) for _ in range(2)]
    archive.add_images([NewField(field, {"file": f"{i}.tif"}) for i, field in enumerate(pixels)])
    archive.write_tiles(32, 32)
    tiles = archive.tiles()
    rows = filtered_tiles(tiles)
    assert rows.shape == (len(tiles), 4 * N_EACH * len(SIGMAS_PX))
    frame = tiles.frame
    for i in (0, len(tiles) - 1):
        tile = frame.iloc[i]
        planes = filter_bank(archive.scaled_field(tile["image_id"]))
        top, left = int(tile["row"]), int(tile["col"])
        inside = planes[:, top : top + int(tile["height"]), left : left + int(tile["width"])]
        expected = [f(inside, axis=(1, 2)) for f in (np.mean, np.std, np.min, np.max)]
        assert rows[i] == pytest.approx(np.concatenate(expected), abs=1e-5)
