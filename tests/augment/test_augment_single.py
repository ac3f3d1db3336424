"""Each operation alone: independent draws, one result for one seed, no grey levels lost."""

import dataclasses

import pytest
import torch

from wootz.augment import (
    CLEAN,
    AugmentConfig,
    draw_settings,
    no_changes,
    random_view,
    random_views,
    view_with,
)
from wootz.augment.config import ARTEFACT_PROBS
from wootz.augment.parts import PART_FLOATS, one_thread_each, part_rows
from wootz.augment.single import single_operations
from wootz.errors import WootzError

STILL = {
    "area_min_frac": 1.0,
    "aspect_max": 1.0,
    "rotation_deg": 0.0,
    "shear_deg": 0.0,
    "flip_prob": 0.0,
    "jitter_prob": 0.0,
    **CLEAN,
}
ALONE = {
    "zoom": {"area_min_frac": 0.2},
    "stretch": {"area_min_frac": 0.6, "area_max_frac": 0.6, "aspect_max": 1.5},
    "rotation": {"rotation_deg": 180.0},
    "shear": {"shear_deg": 20.0},
    "settings": {"jitter_prob": 1.0},
    **{name: {name: 1.0} for name in ARTEFACT_PROBS},
    "fda_prob": {"fda_prob": 1.0, "fda_max_frac": 0.2},
}
LEVELS = (torch.arange(64 * 64).reshape(1, 1, 64, 64) / 4095) * 0.5 + 0.3  # a 12-bit ramp


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def alone(name, **more):
    return AugmentConfig(**{**STILL, **ALONE[name], "out_px": 64, **more})


def waves(n, size=64):
    """Pictures with structure in both directions, each of its own brightness and contrast."""
    place = torch.arange(size) / size
    rows, cols = torch.sin(7 * place)[:, None], torch.cos(11 * place**2)
    own = torch.linspace(0.5, 1, n)[:, None, None]
    return (0.5 * own + 0.2 * own * (rows + cols))[:, None]


@pytest.mark.parametrize("name", [name for name in ALONE if name not in ("fda_prob", "hist_prob")])
def test_every_sample_has_its_own_draw(name):
    tiles = waves(1).expand(12, 1, 64, 64)
    flat = random_view(tiles, alone(name), generator=generator()).flatten(1)
    distance = torch.cdist(flat, flat) + 99 * torch.eye(len(flat))
    changed = (flat - tiles[0].flatten()).abs().amax(dim=1) > 1e-4
    assert int(changed.sum()) >= 0.6 * len(flat)  # the weakest of a uniform strength change nothing
    assert float(distance[changed][:, changed].min()) > 1e-4


def test_every_exchange_has_its_own_partner_and_strength():
    cfg = alone("fda_prob", hist_prob=1.0)
    drawn = draw_settings(50, (64, 64), cfg, generator=generator())
    assert len(torch.unique(drawn.partner)) > 25
    for strength, largest in ((drawn.fda_cutoff, cfg.fda_max_frac), (drawn.hist_strength, cfg.hist_max)):
        assert len(torch.unique(strength)) == 50
        assert 0.9 * largest < float(strength.max()) <= largest
    assert abs(float(torch.corrcoef(torch.stack([drawn.fda_cutoff, drawn.hist_strength]))[0, 1])) < 0.4


@pytest.mark.parametrize("name", ALONE)
def test_seed_fixes_the_view_and_threads_do_not_matter(name):
    tiles = waves(40)
    cfg = alone(name)
    once = random_view(tiles, cfg, generator=generator(5))
    assert torch.equal(once, random_view(tiles, cfg, generator=generator(5)))
    assert not torch.equal(once, random_view(tiles, cfg, generator=generator(6)))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(once, random_view(tiles, cfg, generator=generator(5)))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ALONE)
def test_no_operation_merges_the_levels_of_a_12_bit_ramp(name):
    tiles = torch.cat([LEVELS, 0.9 * LEVELS.flip(2) + 0.1])
    view = random_view(tiles, alone(name, poisson_dose_max=0.0), generator=generator(1))[0]
    assert view.dtype == torch.float32
    assert len(torch.unique(view)) >= (1000 if name == "zoom" else 2000)


def test_strongest_settings_merge_no_levels_either():
    cfg = AugmentConfig(out_px=64, disc_frac=0.5, hist_max=1.0)
    tiles = torch.cat([LEVELS, 0.9 * LEVELS.flip(2) + 0.1])
    operations = single_operations(2, (64, 64), cfg, generator=generator())
    assert len(operations) == 25
    for name, (_, settings) in operations.items():
        view = view_with(tiles, settings, cfg, generator=generator())[0]
        assert len(torch.unique(view)) >= (1000 if name == "zoom" else 2000), name


def test_each_single_operation_changes_the_view_and_what_is_off_is_left_out():
    cfg = AugmentConfig(out_px=32, disc_frac=0.5)
    tiles = waves(2, 32)
    plain = no_changes(
        single_operations(2, (32, 32), cfg, generator=generator())["noise"][1].affine, out_px=32
    )
    recorded = view_with(tiles, plain, cfg, generator=generator())
    torch.testing.assert_close(recorded, tiles, atol=1e-5, rtol=0)
    operations = single_operations(2, (32, 32), cfg, generator=generator())
    for name, (_, settings) in operations.items():
        view = view_with(tiles, settings, cfg, generator=generator())
        assert float((view - recorded).abs().max()) > 5e-3, name
    off = AugmentConfig(**{**STILL, "out_px": 32, "charging_prob": 0.1})
    assert list(single_operations(2, (32, 32), off, generator=generator())) == ["charging"]


def test_an_artefact_comes_as_often_as_its_probability_says():
    cfg = AugmentConfig(**{**STILL, "out_px": 16, "charging_prob": 0.25})
    tiles = torch.zeros(400, 1, 16, 16)
    views = random_view(tiles, cfg, generator=generator())
    assert float((views.abs().amax((1, 2, 3)) > 0).float().mean()) == pytest.approx(0.25, abs=0.06)


def test_each_of_several_views_is_of_its_tile_and_differs_from_the_others():
    n = 70  # two parts of each view
    cfg = AugmentConfig(**{**STILL, "out_px": 64})
    flat = torch.linspace(0, 1, n)[:, None, None, None].expand(n, 1, 80, 80)
    views = random_views(flat, cfg, generator=generator(), n_views=3)
    for view in views:
        torch.testing.assert_close(view, flat[:, :, :64, :64], atol=1e-5, rtol=0)
    first, second = random_views(torch.rand(n, 1, 80, 80), AugmentConfig(), generator=generator(), n_views=2)
    assert (first - second).abs().amax((1, 2, 3)).min() > 0


def test_parts_cover_every_sample_once_whatever_the_number_of_threads():
    for n, floats in ((0, 100), (1, 10**7), (1000, 2**12), (77, 2**13)):
        rows = [i for part in part_rows(n, floats) for i in range(n)[part]]
        assert rows == list(range(n))


def test_parts_are_equal_even_in_number_and_not_too_large():
    for n in (16, 64, 128, 250, 1024):
        sizes = [part.stop - part.start for part in part_rows(n, 96**2)]
        assert len(sizes) % 2 == 0
        assert max(sizes) * 96**2 <= PART_FLOATS
        assert max(sizes) - min(sizes) < len(sizes)
    assert len(part_rows(8, 96**2)) == 1


def broken():
    with one_thread_each() as n:
        raise RuntimeError(f"broken with {n} threads, now {torch.get_num_threads()}")


def test_threads_are_given_back_after_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="broken with 2 threads, now 1"):
            broken()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"charging_prob": 1.5}, "charging_prob"),
        ({"fda_max_frac": 0.7}, "fda_max_frac"),
        ({"tilt_deg": 90.0}, "tilt_deg"),
        ({"scale_min_nm": 5.0}, "both, or neither"),
        ({"scale_min_nm": 5.0, "scale_max_nm": 1.0}, "scale_max_nm"),
        ({"dropped_lines_max": 200}, "dropped_lines_max"),
    ],
)
def test_senseless_options_are_refused(options, message):
    with pytest.raises(WootzError, match=message):
        dataclasses.replace(AugmentConfig(), **options)
