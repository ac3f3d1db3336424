import numpy as np
import pytest
import torch

from wootz.finetune.crops import CropOptions, _crop_positions, random_crops, shrink_field, shrink_mask
from wootz.finetune.greys import _random_blur, _random_curve, random_greys


def plain(size: int) -> CropOptions:
    return CropOptions(size, rotation_deg=0.0, zoom=1.0, flip_rows=True, elastic=0.0)


def disk_field() -> tuple[torch.Tensor, torch.Tensor]:
    row, col = np.mgrid[:96, :80]
    mask = ((row - 50) ** 2 + (col - 35) ** 2 < 24**2).astype(np.uint8)
    return torch.from_numpy(mask.astype(np.float32)), torch.from_numpy(mask)


@pytest.mark.parametrize("size", [16, 17])
def test_plain_crops_are_flipped_windows(rng, size):
    field = rng.random((40, 30)).astype(np.float32)
    mask = rng.integers(0, 3, (40, 30)).astype(np.uint8)
    generator = torch.Generator().manual_seed(0)
    pixels, target = random_crops(
        [torch.from_numpy(field)], [torch.from_numpy(mask)], plain(size), n=8, generator=generator
    )
    for x, t in zip(pixels[:, 0].numpy(), target.numpy(), strict=True):
        found = False
        for flipped, labels in [(x[a, b], t[a, b]) for a in UNFLIPS for b in UNFLIPS]:
            for r in range(40 - size + 1):
                for c in range(30 - size + 1):
                    if np.allclose(flipped, field[r : r + size, c : c + size], atol=1e-4):
                        np.testing.assert_array_equal(labels, mask[r : r + size, c : c + size])
                        found = True
        assert found


UNFLIPS = (slice(None), slice(None, None, -1))


def test_pixels_and_mask_move_together():
    field, mask = disk_field()
    options = CropOptions(48, rotation_deg=90.0, zoom=1.5, flip_rows=True, elastic=0.03)
    pixels, target = random_crops([field], [mask], options, n=24, generator=torch.Generator().manual_seed(1))
    valid = target != 255
    assert ((pixels[:, 0] > 0.5) == (target == 1))[valid].float().mean() > 0.995
    assert 0.2 < (target == 1)[valid].float().mean() < 0.8


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_given_share_of_crops_is_not_resampled(rng, share):
    field = torch.from_numpy(rng.integers(0, 2, (64, 64)).astype(np.float32))  # resampled, it has greys
    mask = field.to(torch.uint8)
    options = CropOptions(24, rotation_deg=30.0, zoom=1.5, flip_rows=True, elastic=0.05, plain_prob=share)
    pixels, _ = random_crops([field], [mask], options, n=200, generator=torch.Generator().manual_seed(2))
    as_recorded = (torch.minimum(pixels.abs(), (1 - pixels).abs()) < 1e-3).float().mean((1, 2, 3)) > 0.99
    assert abs(float(as_recorded.float().mean()) - share) < 0.12


def test_beyond_the_border_is_ignored():
    field, mask = torch.rand(20, 20), torch.ones(20, 20, dtype=torch.uint8)
    pixels, target = random_crops([field], [mask], plain(32), n=4, generator=torch.Generator().manual_seed(0))
    assert ((target == 1).sum((1, 2)) == 400).all()
    assert (target == 255).any()
    assert torch.isfinite(pixels).all()


def test_fields_are_drawn_in_proportion_to_the_root_of_their_area():
    fields = [torch.zeros(40, 40), torch.ones(40, 360)]
    masks = [torch.zeros_like(f, dtype=torch.uint8) for f in fields]
    pixels, _ = random_crops(fields, masks, plain(16), n=400, generator=torch.Generator().manual_seed(0))
    assert float(pixels.mean()) == pytest.approx(0.75, abs=0.07)


def test_shrinking(rng):
    field = rng.random((7, 8)).astype(np.float32)
    small = shrink_field(field, 2)
    assert small.shape == (4, 4)
    assert float(small[1, 2]) == pytest.approx(field[2:4, 4:6].mean(), rel=1e-6)
    assert float(small[3, 0]) == pytest.approx(field[6, :2].mean(), rel=1e-6)
    mask = rng.integers(0, 3, (7, 8)).astype(np.uint8)
    np.testing.assert_array_equal(shrink_mask(mask, 2)[:3], mask[1:7:2, 1::2])
    assert (shrink_mask(mask, 2)[3] == 255).all()
    np.testing.assert_array_equal(shrink_mask(mask, 1), mask)


def greys(x: torch.Tensor, **options) -> torch.Tensor:
    given = {"strength": 1.0, "inversion": 0.0, "generator": torch.Generator().manual_seed(5), **options}
    return random_greys(x, **given)


def test_strength_zero_changes_nothing_and_inversion_inverts():
    x = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(greys(x, strength=0.0), x)
    torch.testing.assert_close(greys(x, strength=0.0, inversion=1.0), 1 - x)


def test_each_crop_has_its_own_look():
    x = torch.rand(1, 1, 24, 24).expand(6, 1, 24, 24)
    looks = greys(x)
    for i in range(6):
        for j in range(i):
            assert (looks[i] - looks[j]).abs().mean() > 0.01


def test_curves_keep_the_order_of_greys():
    x = torch.linspace(-0.3, 1.3, 500).expand(8, 1, 1, 500)
    y = _random_curve(x, 1.0, torch.Generator().manual_seed(0))
    assert (y.diff(dim=-1) > 0).all()
    torch.testing.assert_close(y[..., 0], x[..., 0])  # outside [0, 1] the curve is a shift by 0
    assert (y - x).abs().amax(dim=(1, 2, 3)).min() > 0.02


def test_blur_matches_scipy_and_keeps_constants():
    from scipy.ndimage import gaussian_filter

    x = torch.rand(3, 1, 32, 32)
    blurred = _random_blur(x, 0.0, torch.Generator().manual_seed(0))  # strength 0: sigma .9 px for all
    for ours, crop in zip(blurred[:, 0].numpy(), x[:, 0].numpy(), strict=True):
        reference = gaussian_filter(crop, 0.9, mode="mirror", truncate=4.5)
        np.testing.assert_allclose(ours, reference, atol=1e-4)
    flat = torch.full((2, 1, 16, 16), 0.4)
    torch.testing.assert_close(_random_blur(flat, 1.0, torch.Generator().manual_seed(0)), flat)


def test_greys_are_deterministic_and_bounded():
    x = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(greys(x), greys(x))
    strong = greys(x, strength=2.0)
    assert float(strong.min()) >= -1.0
    assert float(strong.max()) <= 2.0


def test_turned_crops_are_rigid_and_zoom_within_bounds():
    options = CropOptions(32, rotation_deg=40.0, zoom=1.5, flip_rows=True, elastic=0.0)
    generator = torch.Generator().manual_seed(0)
    zooms, angles = [], []
    for _ in range(200):
        positions = _crop_positions(options, generator, torch.device("cpu"))
        down, right = positions[1, 0] - positions[0, 0], positions[0, 1] - positions[0, 0]
        assert float(down @ right) == pytest.approx(0.0, abs=1e-4)
        assert float(down.norm()) == pytest.approx(float(right.norm()), rel=1e-4)
        zooms.append(float(down.norm()))
        angles.append(float(torch.rad2deg(torch.atan2(down[1], down[0].abs())).abs()))
    assert 1 / 1.5 < min(zooms) < 0.75
    assert 1.3 < max(zooms) < 1.5
    assert 35 < max(angles) <= 40.1
