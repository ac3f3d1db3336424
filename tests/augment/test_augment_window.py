"""Windows: physical scale, tilt and shear in closed form; presets on the command line."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from wootz.augment import PRESETS, AugmentConfig, preset, random_crop, random_view
from wootz.augment.geometry import place_window
from wootz.cli.compose import compose_config
from wootz.errors import WootzError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def view_nm(affine, pixel_size_nm, out_px):
    """Side of a view's pixel, nm: the root of its area."""
    return torch.linalg.det(affine[:, :, :2]).abs().sqrt() * 2 / out_px * pixel_size_nm


def test_views_of_tiles_of_all_magnifications_have_one_physical_scale():
    cfg = AugmentConfig(
        out_px=32, area_min_frac=0.05, aspect_max=1.0, shear_deg=0.0, scale_min_nm=8.0, scale_max_nm=12.0
    )
    size = torch.tensor([3.0, 5.0, 8.0] * 400)  # 128 px tiles can show 0.9 to 4 of their own pixels in one
    affine = random_crop(1200, (128, 128), cfg, generator=generator(), pixel_size_nm=size)
    scale = view_nm(affine, size, 32)
    assert float(scale.min()) >= 8 - 1e-3
    assert float(scale.max()) <= 12 + 1e-3
    logs = (scale[size == 5.0] / 8).log() / math.log(1.5)
    np.testing.assert_allclose(np.histogram(logs, 4, (0, 1))[0], 100, atol=35)  # uniform in the logarithm


def test_scale_goes_as_near_as_the_areas_allow():
    cfg = AugmentConfig(
        out_px=32, area_min_frac=0.25, aspect_max=1.0, shear_deg=0.0, scale_min_nm=8.0, scale_max_nm=12.0
    )
    size = torch.tensor([0.5, 100.0, 2.5])  # too fine, too coarse, and 4 px at most: 10 nm
    affine = random_crop(3, (128, 128), cfg, generator=generator(), pixel_size_nm=size)
    scale = view_nm(affine, size, 32)
    assert float(scale[0]) == pytest.approx(0.5 * 128 / 32, rel=1e-4)  # the whole tile
    assert float(scale[1]) == pytest.approx(100 * 64 / 32, rel=1e-4)  # the smallest window
    assert 8 <= float(scale[2]) <= 10 + 1e-3


def test_tiles_without_a_scale_are_drawn_by_area():
    cfg = AugmentConfig(out_px=32, scale_min_nm=8.0, scale_max_nm=12.0)
    size = torch.tensor([math.nan, 4.0, 0.0, math.inf])
    with_sizes = random_crop(4, (128, 128), cfg, generator=generator(), pixel_size_nm=size)
    by_area = random_crop(4, (128, 128), AugmentConfig(out_px=32), generator=generator())
    same = (with_sizes == by_area).all(dim=2).all(dim=1)
    assert same.tolist() == [True, False, True, True]


def test_one_pattern_at_two_magnifications_gives_views_of_one_period():
    cfg = AugmentConfig(
        **{**vars(preset("plain", out_px=64)), "rotation_deg": 0.0, "aspect_max": 1.0, "area_min_frac": 0.05},
    )
    cfg = dataclasses.replace(
        cfg, defocus_prob=0, noise_prob=0, scan_prob=0, jitter_prob=0, scale_min_nm=10.0, scale_max_nm=10.0
    )
    nm = torch.tensor([5.0, 8.0])
    columns = torch.arange(128) * nm[:, None]
    tiles = (0.5 + 0.4 * torch.sin(2 * math.pi * columns / 80))[:, None, None].expand(2, 1, 128, 128)
    views = random_view(tiles.contiguous(), cfg, generator=generator(), pixel_size_nm=nm)
    spectra = torch.fft.rfft(views[:, 0, 0] - views[:, 0, 0].mean(dim=1, keepdim=True)).abs()
    assert spectra.argmax(dim=1).tolist() == [8, 8]  # 64 px of 10 nm hold eight periods of 80 nm


def placed(**changes):
    zero = torch.zeros(1)
    options = {"centre": torch.zeros(1, 2), "mirrored": torch.zeros(1, dtype=torch.bool)}
    angles = {"angle_rad": zero, "shear_rad": zero, "tilt_rad": zero}
    size = torch.tensor([[60.0, 40.0]])
    return place_window(size, **{**options, **angles, **changes})[0, :, :2].double().numpy()


def test_a_tilted_surface_looks_shorter_across_the_axis():
    plain, tilted = placed(), placed(tilt_rad=torch.tensor([math.radians(60)]))
    # rows over columns: how much specimen a view's height shows, beside its width
    assert (tilted[1, 1] / tilted[0, 0]) / (plain[1, 1] / plain[0, 0]) == pytest.approx(2.0, rel=1e-5)


def test_shear_changes_the_angle_between_the_scan_axes():
    for degrees in (-20.0, 10.0):
        matrix = placed(shear_rad=torch.tensor([math.radians(degrees)]))
        assert math.degrees(math.atan2(matrix[0, 1], matrix[1, 1])) == pytest.approx(degrees, abs=1e-4)
        assert matrix[1, 0] == 0
        assert matrix[0, 0] / matrix[1, 1] == pytest.approx(1.5, rel=1e-5)
        assert np.abs(matrix).sum(axis=1)[0] == pytest.approx(30.0, rel=1e-5)  # as wide as before


def test_rotation_and_mirror_turn_the_whole_window():
    turn, shear = torch.tensor([0.7]), torch.tensor([0.2])
    matrix = placed(angle_rad=turn, shear_rad=shear, mirrored=torch.ones(1, dtype=torch.bool))
    cos, sin = math.cos(0.7), math.sin(0.7)
    back = np.array([[cos, sin], [-sin, cos]]) @ matrix
    upright = placed(shear_rad=shear)
    np.testing.assert_allclose(back, upright * [[-1, 1], [1, 1]], atol=1e-5)


# presets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_chosen_by_its_name_on_the_command_line(name):
    assert compose_config("pretrain", [f"augment={name}"]).augment == preset(name)
    assert compose_config("views", [f"augment={name}"]).augment == preset(name)


@pytest.mark.parametrize("order", [1, -1])
def test_single_options_override_a_preset_whatever_their_order(order):
    words = ["augment=bse", "augment.dose_min=40", "augment.out_px=64"][::order]
    chosen = compose_config("pretrain", words).augment
    assert chosen == dataclasses.replace(preset("bse", out_px=64), dose_min=40.0)


def test_an_unknown_preset_or_option_gets_a_sentence():
    with pytest.raises(WootzError, match=r"no augment 'see'; choose sem, se, bse"):
        compose_config("pretrain", ["augment=see"])
    with pytest.raises(WootzError, match=r"Did you mean augment\.dose_min"):
        compose_config("pretrain", ["augment.dose_mn=40"])
    with pytest.raises(WootzError, match=r"augment.dose_min=lots: Value 'lots'"):
        compose_config("pretrain", ["augment.dose_min=lots"])


def test_presets_differ_as_their_signals_do():
    se, bse, stem = (preset(name) for name in ("se", "bse", "stem"))
    assert se.shadow_prob > bse.shadow_prob > stem.shadow_prob == 0
    assert se.charging_prob > bse.charging_prob == stem.charging_prob == 0
    assert bse.curtain_prob == stem.curtain_prob > se.curtain_prob
    assert se.dose_min > bse.dose_min > stem.dose_min
    assert stem.dose_min < stem.poisson_dose_max
