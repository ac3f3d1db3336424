"""The filter bank against closed forms, and tiles against their field."""

import numpy as np
import pytest

from wootz.archive import Archive
from wootz.errors import CheckpointError, WootzError
from wootz.fields import NewField
from wootz.ssl import EmbedConfig, embed, filterbank
from wootz.ssl.filterbank import SIGMAS_PX, describe_windows, filter_bank
from wootz.ssl.filterencoder import FILTERS_FILE, filtered_tiles, fit_filters

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


def described(planes, row, col, height, width):
    inside = planes[:, row : row + height, col : col + width]
    return np.concatenate([f(inside, axis=(1, 2)) for f in (np.mean, np.std, np.min, np.max)])


def make_archive(path, rng, n=2):
    archive = Archive.create(path)
    pixels = [rng.integers(0, 255, (70, 96)).astype(np.uint8) for _ in range(n)]
    archive.add_images([NewField(field, {"file": f"{i}.tif"}) for i, field in enumerate(pixels)])
    archive.write_tiles(32, 32)
    return archive


@pytest.fixture
def archive(tmp_path, rng):
    return make_archive(tmp_path / "archive", rng)


def test_tiles_are_described_by_their_place_in_the_field(archive):
    tiles = archive.tiles()
    parts = list(filtered_tiles(tiles, np.array([0, 5, len(tiles) - 1])))
    assert [rows.tolist() for rows, _ in parts] == [[0, 5], [len(tiles) - 1]]
    frame = tiles.frame
    for rows, features in parts:
        planes = filter_bank(archive.scaled_field(frame["image_id"][rows[0]]))
        for row, found in zip(rows, features, strict=True):
            window = frame.loc[row, ["row", "col", "height", "width"]].astype(int)
            assert found == pytest.approx(described(planes, *window), abs=1e-5)


def test_a_panorama_in_blocks_is_as_a_whole(monkeypatch, rng):
    monkeypatch.setattr(filterbank, "BLOCK_PX", 96)
    field = rng.random((391, 475)).astype(np.float32)
    corners = [(row, col) for row in range(0, 391 - 30, 29) for col in range(0, 475 - 41, 37)]
    windows = np.array([(row, col, 30, 41) for row, col in corners])
    windows[-1] = (391 - 30, 475 - 41, 30, 41)
    planes = filter_bank(field)
    expected = np.array([described(planes, *window) for window in windows.tolist()])
    assert describe_windows(field, windows) == pytest.approx(expected, abs=2e-5)


def embedded(archive, **options):
    run = archive.start_run("embed", {}, seed=0, inputs={})
    result = embed(archive.tiles(), EmbedConfig(**{"encoder": "filters", **options}), run=run)
    run.finish({})
    return result, run


def test_embed_by_filters_and_later_images_on_the_same_scale(archive, rng):
    first, run = embedded(archive)
    assert (first.name, first.encoder, first.n_new, first.dim) == ("filters", "filters", 18, 18)
    _, before, about = archive.embedding("filters")
    kernel_map = fit_filters(archive.tiles(), seed=0)
    rows = np.concatenate([part for _, part in filtered_tiles(archive.tiles())])
    assert before == pytest.approx(kernel_map(rows), abs=1e-5)
    late = NewField(rng.integers(0, 255, (64, 64)).astype(np.uint8), {"file": "late.tif"})
    archive.add_images([late])
    archive.write_tiles(32, 32)
    again, _ = embedded(archive)
    assert (again.n_tiles, again.n_new) == (22, 4)
    ids, after, now = archive.embedding("filters")
    assert now["encoder_fingerprint"] == about["encoder_fingerprint"]
    place = {tile: i for i, tile in enumerate(ids)}
    wanted = archive.tiles().tile_ids
    rows = np.concatenate([part for _, part in filtered_tiles(archive.tiles())])
    assert after[[place[i] for i in wanted]] == pytest.approx(kernel_map(rows), abs=1e-5)
    by_run, _ = embedded(archive, encoder=run.id, name="copy")
    assert archive.embedding_provenance("copy")["encoder_fingerprint"] == about["encoder_fingerprint"]
    assert by_run.n_new == 22


def test_another_archive_takes_the_map_of_the_first(archive, tmp_path, rng):
    _, run = embedded(archive)
    other = make_archive(tmp_path / "other", rng, n=1)
    embedded(other, encoder=str(run.folder / FILTERS_FILE))
    kernel_map = fit_filters(archive.tiles(), seed=0)
    rows = np.concatenate([part for _, part in filtered_tiles(other.tiles())])
    assert other.embedding("filters")[1] == pytest.approx(kernel_map(rows), abs=1e-5)


def test_what_filters_refuse(archive, tmp_path):
    with pytest.raises(WootzError, match="own pixels"):
        embedded(archive, pixel_size_nm=3.0)
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not a map")
    (tmp_path / "empty.npz").write_bytes(b"")
    for file in ("broken.npz", "empty.npz", "nowhere.npz"):
        with pytest.raises(CheckpointError, match="encoder=filters"):
            embedded(archive, encoder=str(tmp_path / file))
    embedded(archive, encoder="random:small", name="net")
    with pytest.raises(WootzError, match="made by random"):
        embedded(archive, name="net")
    _, run = embedded(archive)
    (run.folder / FILTERS_FILE).unlink()
    with pytest.raises(CheckpointError, match="is gone"):
        embedded(archive)
