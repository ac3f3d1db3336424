"""Each augmentation against a slow reference, one sample at a time."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from wootz.augment import (
    CLEAN,
    AugmentConfig,
    context_px,
    defocus,
    gain_offset_gamma,
    preset,
    random_crop,
    random_view,
    sample_affine,
    scan_lines,
    shot_noise,
    two_views,
)
from wootz.errors import WootzError

WHOLE = {"area_min_frac": 1.0, "aspect_max": 1.0, "rotation_deg": 0.0, "flip_prob": 0.0, "shear_deg": 0.0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n, size, seed=0):
    """Smooth random pictures, (n, 1, size, size) in about [0, 1]."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((n, size, size)), (0, 2, 2))
    return torch.from_numpy((0.5 + noise).astype(np.float32))[:, None]


def resample_slowly(tile, affine, out_px, mode):
    """Bilinear sampling of one tile by scipy; pixel centres at half-integers from the tile's corner."""
    steps = (np.arange(out_px) + 0.5) * 2 / out_px - 1
    v, u = np.meshgrid(steps, steps, indexing="ij")
    x = affine[0, 0] * u + affine[0, 1] * v + affine[0, 2] + tile.shape[1] / 2 - 0.5
    y = affine[1, 0] * u + affine[1, 1] * v + affine[1, 2] + tile.shape[0] / 2 - 0.5
    return ndimage.map_coordinates(tile, [y, x], order=1, mode=mode)


@pytest.mark.parametrize("margin", [0, 14])
def test_window_is_what_scipy_samples(margin):
    cfg = AugmentConfig(out_px=48, aspect_max=1.3, shear_deg=20.0)
    tiles = pictures(12, 64 + 2 * margin)
    affine = random_crop(12, (64, 64), cfg, generator=generator())
    views = sample_affine(tiles, affine, out_px=48).numpy()
    for i in range(12):
        expected = resample_slowly(tiles[i, 0].numpy(), affine[i].double().numpy(), 48, "reflect")
        np.testing.assert_allclose(views[i, 0], expected, atol=2e-4)


def affine_of(matrix):
    return torch.tensor([matrix], dtype=torch.float32)


def test_whole_tile_comes_back_unchanged_turned_and_mirrored():
    tile = pictures(1, 32)
    whole = sample_affine(tile, affine_of([[16, 0, 0], [0, 16, 0]]), out_px=32)
    torch.testing.assert_close(whole, tile, atol=1e-5, rtol=0)
    mirrored = sample_affine(tile, affine_of([[-16, 0, 0], [0, 16, 0]]), out_px=32)
    torch.testing.assert_close(mirrored, tile.flip(3), atol=1e-5, rtol=0)
    turned = sample_affine(tile, affine_of([[0, 16, 0], [-16, 0, 0]]), out_px=32)
    torch.testing.assert_close(turned, torch.rot90(tile, -1, (2, 3)), atol=1e-5, rtol=0)


def test_shrinking_averages_fine_texture_away():
    stripes = torch.zeros(1, 1, 96, 96)
    stripes[..., ::2] = 1.0  # period of 2 px: cannot exist at a third of the resolution
    view = sample_affine(stripes, affine_of([[48, 0, 0], [0, 48, 0]]), out_px=32)
    assert float((view - 0.5).abs()[..., 1:-1].max()) < 0.2
    torch.testing.assert_close(view.mean(), stripes.mean(), atol=0.01, rtol=0)


@given(seed=st.integers(0, 2**32), aspect=st.floats(1, 2), low=st.floats(0.05, 1), rotation=st.floats(0, 180))
@settings(max_examples=40, deadline=None)
def test_windows_lie_in_the_tile_and_their_corners_in_its_margin(seed, aspect, low, rotation):
    cfg = AugmentConfig(aspect_max=aspect, area_min_frac=low, rotation_deg=rotation, shear_deg=30.0)
    height, width = 100, 140
    upright = dataclasses.replace(cfg, rotation_deg=0.0)
    tilt = torch.linspace(0, 60, 16)
    affine = random_crop(16, (height, width), upright, generator=generator(seed), tilt_deg=tilt)
    assert (affine.abs().sum(dim=2) <= torch.tensor([width, height]) / 2 + 1e-3).all()
    unsheared = dataclasses.replace(cfg, shear_deg=0.0)
    affine = random_crop(16, (height, width), unsheared, generator=generator(seed)).double()
    linear, centre = affine[:, :, :2], affine[:, :, 2]
    sides = 2 * linear.square().sum(dim=1).sqrt()  # width and height before the rotation
    assert (centre.abs() + sides / 2 <= torch.tensor([width, height]) / 2 + 1e-3).all()
    area = sides.prod(dim=1) / (height * width)
    assert (area <= 1 + 1e-4).all()
    if aspect == 1:
        assert (area >= low - 1e-4).all()
    square = random_crop(16, (100, 100), cfg, generator=generator(seed), tilt_deg=tilt)
    reach = square.abs().sum(dim=2).max()
    assert float(reach) <= 50 + context_px(100, cfg) + 1e-3


def test_margin_gives_real_picture_in_the_corners_of_rotated_views():
    cfg = AugmentConfig(out_px=64, area_min_frac=1.0, aspect_max=1.0)
    margin = context_px(64, cfg)
    fields = pictures(20, 64 + 2 * margin)
    affine = random_crop(20, (64, 64), cfg, generator=generator(1))
    views = sample_affine(fields, affine, out_px=64).numpy()
    for i in range(20):
        expected = resample_slowly(fields[i, 0].numpy(), affine[i].double().numpy(), 64, "constant")
        np.testing.assert_allclose(views[i, 0], expected, atol=2e-4)  # no pixel came from beyond
    assert context_px(64, AugmentConfig(rotation_deg=0)) == 0
    assert context_px(64, AugmentConfig(rotation_deg=5)) < margin


def test_crops_are_spread_over_place_size_angle_and_mirror():
    affine = random_crop(
        4000, (100, 100), AugmentConfig(area_min_frac=0.2, shear_deg=0.0), generator=generator()
    )
    determinant = torch.linalg.det(affine[:, :, :2])
    assert float((determinant < 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    area = 4 * determinant.abs() / 100**2
    assert float(area.mean()) == pytest.approx(0.6, abs=0.02)
    angle = torch.atan2(affine[:, 1, 1], -affine[:, 0, 1])  # of the view's own vertical
    hist = torch.histc(angle, 8, -np.pi, np.pi)
    assert float(hist.min()) > 400
    assert float(affine[:, :, 2].std()) > 5


def test_defocus_is_a_gaussian_filter_of_each_view():
    views = pictures(5, 40)
    sigma = torch.tensor([0.0, 0.4, 1.0, 2.0, 0.0])
    smooth = defocus(views, sigma)
    for i, s in enumerate(sigma.tolist()):
        expected = views[i, 0].numpy()
        if s:
            expected = ndimage.gaussian_filter(expected, s, mode="mirror", radius=6)
        np.testing.assert_allclose(smooth[i, 0], expected, atol=1e-5)
    assert torch.equal(smooth[0], views[0])
    torch.testing.assert_close(
        smooth,
        torch.cat([defocus(v[None], s[None]) for v, s in zip(views, sigma, strict=True)]),
        atol=3e-3,
        rtol=0,
    )


def test_shot_noise_has_the_mean_and_variance_of_counting():
    level = torch.tensor([0.0, 0.2, 0.5, 1.0])
    views = level[:, None, None, None].expand(4, 1, 200, 200).contiguous()
    dose, readout = torch.tensor([100.0, 100.0, 400.0, 100.0]), torch.tensor([0.02, 0.0, 0.01, 0.0])
    noisy = shot_noise(views, dose, readout=readout, generator=generator())
    expected = torch.sqrt(level / dose + readout**2)
    torch.testing.assert_close(noisy.mean((1, 2, 3)), level, atol=2e-3, rtol=0)
    torch.testing.assert_close(noisy.std((1, 2, 3)), expected, atol=0, rtol=0.02)
    counted = np.random.default_rng(0).poisson(0.2 * 100, 40000) / 100
    quantiles = [0.05, 0.5, 0.95]
    np.testing.assert_allclose(np.quantile(noisy[1], quantiles), np.quantile(counted, quantiles), atol=0.012)
    shift = noisy[3, 0] - 1
    assert abs(float((shift[:, 1:] * shift[:, :-1]).mean())) < 3e-4  # neighbours are independent


def test_views_without_noise_are_untouched():
    views = pictures(3, 16)
    dose = torch.tensor([torch.inf, 50.0, torch.inf])
    noisy = shot_noise(views, dose, readout=torch.zeros(3), generator=generator())
    assert torch.equal(noisy[0], views[0])
    assert torch.equal(noisy[2], views[2])
    assert not torch.equal(noisy[1], views[1])
    assert (
        shot_noise(views, torch.full((3,), torch.inf), readout=torch.zeros(3), generator=generator()) is views
    )


def test_scan_lines_shift_whole_rows():
    views = pictures(3, 400)
    sigma = torch.tensor([0.0, 0.02, 0.1])
    shift = scan_lines(views, sigma, generator=generator()) - views
    torch.testing.assert_close(shift, shift[..., :1].expand_as(shift), atol=1e-6, rtol=0)
    torch.testing.assert_close(shift[..., 0].std(dim=2)[:, 0], sigma, atol=0, rtol=0.1)
    assert scan_lines(views, torch.zeros(3), generator=generator()) is views


def test_gain_offset_gamma_of_each_view():
    views = pictures(4, 20) * 1.5 - 0.4
    gain, offset = torch.tensor([1.0, 0.6, 1.4, 1.0]), torch.tensor([0.0, 0.1, -0.2, 0.0])
    gamma = torch.tensor([1.0, 1.0, 0.7, 1.4])
    changed = gain_offset_gamma(views, gain, offset=offset, gamma=gamma)
    for i in range(4):
        x = views[i, 0].double().numpy()
        x = np.sign(x) * np.abs(x) ** float(gamma[i])
        expected = float(gain[i]) * (x - x.mean()) + x.mean() + float(offset[i])
        np.testing.assert_allclose(changed[i, 0], expected, atol=1e-5)


def test_every_sample_of_a_batch_has_its_own_draw():
    tile = pictures(1, 64).expand(12, 1, 64, 64).contiguous()
    first, second = two_views(tile, AugmentConfig(out_px=32), generator=generator())
    views = torch.cat([first, second]).flatten(1)
    distance = torch.cdist(views, views) + 99 * torch.eye(24)
    assert float(distance.min()) > 0.3


def test_seed_fixes_the_views_and_leaves_the_global_state_alone():
    tiles = pictures(4, 64)
    state = torch.random.get_rng_state()
    cfg = AugmentConfig(out_px=32, noise_prob=1.0, scan_prob=1.0)
    first = random_view(tiles, cfg, generator=generator(3), margin_px=8)
    assert torch.equal(first, random_view(tiles, cfg, generator=generator(3), margin_px=8))
    assert not torch.equal(first, random_view(tiles, cfg, generator=generator(4), margin_px=8))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_twelve_bit_levels_survive_under_bfloat16():
    tiles = (torch.arange(64 * 64).reshape(1, 1, 64, 64) / 4095) * 0.1 + 0.8
    cfg = AugmentConfig(out_px=64, defocus_prob=1.0, noise_prob=0.0, area_min_frac=0.5)
    with torch.autocast("cpu", torch.bfloat16):
        view = random_view(tiles, cfg, generator=generator())
    assert view.dtype == torch.float32
    assert len(torch.unique(view)) >= 2000


def test_everything_off_is_a_plain_resize():
    cfg = AugmentConfig(out_px=32, jitter_prob=0.0, **WHOLE, **CLEAN)
    tiles = pictures(3, 32)
    torch.testing.assert_close(random_view(tiles, cfg, generator=generator()), tiles, atol=1e-5, rtol=0)


def test_views_stay_in_the_range_of_the_intensity_scale():
    tiles = pictures(8, 32) * 3 - 1
    cfg = AugmentConfig(out_px=32, noise_prob=1.0, dose_min=10, gain_max=0.9, offset_max=1.0)
    view = random_view(tiles, cfg, generator=generator())
    assert float(view.min()) >= -1
    assert float(view.max()) <= 2


def test_simclr_preset_neither_turns_nor_adds_noise():
    cfg = preset("simclr", out_px=32)
    assert (cfg.rotation_deg, cfg.noise_prob, cfg.scan_prob, cfg.gamma_max) == (0, 0, 0, 1)
    assert preset("sem", out_px=32) == AugmentConfig(out_px=32)
    with pytest.raises(WootzError, match="plain, se, sem, simclr"):
        preset("imagenet")


@pytest.mark.parametrize(
    "options",
    [
        {"out_px": 0},
        {"area_min_frac": 0.9, "area_max_frac": 0.5},
        {"aspect_max": 0.5},
        {"defocus_max_px": 90.0},
        {"dose_min": 0.0},
        {"gamma_max": float("nan")},
    ],
)
def test_senseless_ranges_are_refused(options):
    with pytest.raises(WootzError, match=r"augment\.\w+=.* is out of range"):
        AugmentConfig(**options)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 32, 32)])
def test_colour_tiles_are_refused(shape):
    with pytest.raises(ValueError, match="must be"):
        random_view(torch.zeros(shape), AugmentConfig(out_px=16), generator=generator())


def test_margin_larger_than_the_tile_is_refused():
    with pytest.raises(ValueError, match="leaves nothing"):
        random_view(torch.zeros(1, 1, 32, 32), AugmentConfig(out_px=16), generator=generator(), margin_px=16)


@pytest.mark.gpu
def test_gpu_gives_the_same_views_apart_from_noise():
    cfg = AugmentConfig(out_px=32, noise_prob=0.0)
    tiles = pictures(8, 48)
    here = random_view(tiles, cfg, generator=generator(), margin_px=8)
    there = random_view(tiles.cuda(), cfg, generator=generator(), margin_px=8).cpu()
    torch.testing.assert_close(there, here, atol=1e-3, rtol=0)
