"""Each artefact of surface, scan and recording against a slow reference, one sample at a time."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from wootz.augment import (
    brightness_ramp,
    charging,
    curtain,
    defocus,
    lose_lines,
    lose_pixels,
    row_shifts,
    shadow,
    shift_rows,
    shot_noise,
)
from wootz.augment.charge import glow, random_patches
from wootz.augment.dropout import random_lines
from wootz.augment.milling import random_stripes


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n, size, seed=0):
    """Smooth random pictures, (n, 1, size, size) in about [0, 1]."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal((n, size, size)), (0, 2, 2))
    return torch.from_numpy((0.5 + noise).astype(np.float32))[:, None]


def test_relief_is_the_slope_towards_the_light():
    views = pictures(4, 21)
    strength = torch.tensor([0.0, 1.0, 0.5, 2.0])
    azimuth = torch.tensor([1.0, 0.0, 2.5, -math.pi / 2])
    lit = shadow(views, strength, azimuth_rad=azimuth)
    assert torch.equal(lit[0], views[0])
    for i in range(1, 4):
        x = views[i, 0].double().numpy()
        right = ndimage.sobel(x, axis=1, mode="nearest") / 8
        down = ndimage.sobel(x, axis=0, mode="nearest") / 8
        slope = math.cos(azimuth[i]) * right + math.sin(azimuth[i]) * down
        np.testing.assert_allclose(lit[i, 0], x - float(strength[i]) * slope, atol=1e-5)


def test_a_hill_is_bright_on_the_side_of_the_detector():
    row, col = np.mgrid[:31, :31] - 15
    hill = torch.from_numpy(np.exp(-(row**2 + col**2) / 60).astype(np.float32))[None, None]
    change = shadow(hill, torch.tensor([1.0]), azimuth_rad=torch.tensor([0.0])) - hill  # light from the right
    assert float(change[0, 0, 15, 20]) > 0.03
    assert float(change[0, 0, 15, 10]) < -0.03


def test_ramp_rises_from_the_first_row_to_the_last():
    views = pictures(3, 16)
    change = brightness_ramp(views, torch.tensor([0.0, 0.2, -0.1])) - views
    for i, rise in enumerate([0.0, 0.2, -0.1]):
        for r in range(16):
            np.testing.assert_allclose(change[i, 0, r], rise * (r / 15 - 0.5), atol=1e-6)


def stripes_slowly(knots, width_px, height):
    n_knots, width = knots.shape
    smooth = np.zeros((n_knots, width))
    for k in range(n_knots):
        for c in range(width):
            for source in range(width):
                d = min(abs(c - source), width - abs(c - source))
                smooth[k, c] += knots[k, source] * math.exp(-(d**2) / (2 * width_px**2))
    out = np.zeros((height, width))
    for r in range(height):
        place = r * (n_knots - 1) / (height - 1)
        k = min(int(place), n_knots - 2)
        out[r] = smooth[k] + (place - k) * (smooth[k + 1] - smooth[k])
    return out / np.sqrt((out**2).mean())


def test_stripes_are_smoothed_noise_that_changes_slowly_along_the_columns():
    knots = torch.randn(3, 4, 20, generator=generator())
    widths = torch.tensor([0.5, 1.0, 3.0])
    stripes = random_stripes(knots, widths, height=15)
    for i in range(3):
        expected = stripes_slowly(knots[i].double().numpy(), float(widths[i]), 15)
        np.testing.assert_allclose(stripes[i], expected, atol=2e-4)


def test_curtains_multiply_the_signal_along_columns():
    views = torch.full((3, 1, 64, 64), 0.5)
    views[:, :, :, 32:] = 0.0  # no signal, no stripe
    striped = curtain(views, torch.tensor([0.0, 0.05, 0.2]), generator=generator())
    assert torch.equal(striped[0], views[0])
    assert float(striped[:, :, :, 32:].abs().max()) == 0
    gain = striped[1:, 0, :, :32] / 0.5 - 1
    rms = gain.square().mean((1, 2)).sqrt()
    np.testing.assert_allclose(rms, [0.05, 0.2], rtol=0.5)  # 1 over the whole width, here half of it
    along, across = gain.diff(dim=1).square().mean(), gain.diff(dim=2).square().mean()
    assert float(along) < 0.15 * float(across)


def test_glow_is_a_gaussian_with_a_decaying_streak():
    height, width = 17, 23
    patches = random_patches(3, (height, width), generator=generator())
    light = glow(patches, (height, width)).numpy()
    for i in range(3):
        expected = np.zeros((height, width))
        for k in range(patches.row.shape[1]):
            row, col, size, tail, weight = (
                float(v[i, k])
                for v in (patches.row, patches.col, patches.size_px, patches.tail_px, patches.weight)
            )
            for r in range(height):
                h = math.exp(-((r - row) ** 2) / (2 * size**2))
                for c in range(width):
                    spot = math.exp(-((c - col) ** 2) / (2 * size**2))
                    streak = math.exp(-(c - col) / tail) if c >= col else 0.0
                    expected[r, c] += weight * h * (spot + float(patches.streaks[i, k, r]) * streak)
        np.testing.assert_allclose(light[i], expected, atol=1e-5)


def test_patches_have_the_ranges_that_they_claim():
    patches = random_patches(500, (40, 80), generator=generator())
    assert ((patches.col >= -0.5) & (patches.col <= 79.5)).all()
    assert ((patches.row >= -0.5) & (patches.row <= 39.5)).all()
    assert ((patches.size_px >= 0.05 * 80 - 1e-3) & (patches.size_px <= 0.25 * 80 + 1e-3)).all()
    assert ((patches.tail_px >= 8 - 1e-3) & (patches.tail_px <= 48 + 1e-3)).all()
    assert (patches.weight[:, 0] == 1).all()
    assert float((patches.weight[:, 1:] == 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert float(patches.streaks.abs().max()) <= 0.5


def test_charging_adds_its_brightness_at_most_once_a_patch():
    views = torch.zeros(40, 1, 48, 48)
    charged = charging(views, torch.tensor([0.0, 0.4] * 20), generator=generator())
    assert float(charged[::2].abs().max()) == 0
    peaks = charged[1::2].amax((1, 2, 3))
    assert float(peaks.median()) > 0.3
    assert float(peaks.max()) < 0.4 * 3 * 1.5  # three patches in one place, with streaks


def test_row_shifts_follow_their_formula():
    n, height = 4, 30
    zero = torch.zeros(n)
    k, p, m, q = torch.rand(4, n, 1, generator=generator()).double().numpy()
    time = np.arange(height) / height
    f = np.sin(2 * np.pi * ((0.2 + 0.8 * k) * time + p))
    f -= f.mean(axis=1, keepdims=True)
    f /= np.abs(f).max(axis=1, keepdims=True)
    drift = row_shifts(zero + 2, zero, zero, height=height, generator=generator())
    np.testing.assert_allclose(drift, 2 * f, atol=1e-4)
    expected = 0.5 * np.sin(2 * np.pi * (4 * 10**m * time + q))
    vibration = row_shifts(zero, zero + 0.5, zero, height=height, generator=generator())
    np.testing.assert_allclose(vibration, expected, atol=1e-4)
    many = torch.zeros(100)
    jitter = row_shifts(many, many, many + 0.3, height=100, generator=generator())
    assert float(jitter.std()) == pytest.approx(0.3, rel=0.03)
    assert abs(float((jitter[:, 1:] * jitter[:, :-1]).mean())) < 0.003  # rows are independent


def test_shifted_rows_are_what_numpy_interpolates():
    views = pictures(3, 24)
    shift = torch.randn(3, 24, generator=generator()) * 3
    shift[1] = 0.0
    moved = shift_rows(views, shift)
    assert torch.equal(moved[1], views[1])
    columns = np.arange(24)
    for i in range(3):
        for r in range(24):
            expected = np.interp(columns + float(shift[i, r]), columns, views[i, 0, r].numpy())
            np.testing.assert_allclose(moved[i, 0, r], expected, atol=1e-5)


def test_lost_pixels_are_dead_or_hot():
    views = pictures(3, 200).clamp(0.1, 0.9)
    frac = torch.tensor([0.0, 0.02, 0.3])
    lost = lose_pixels(views, frac, generator=generator())
    assert torch.equal(lost[0], views[0])
    for i in (1, 2):
        dead, hot = (lost[i] == 0).float().mean(), (lost[i] == 1).float().mean()
        assert float(dead) == pytest.approx(float(frac[i]) / 2, rel=0.15)
        assert float(hot) == pytest.approx(float(frac[i]) / 2, rel=0.15)
        kept = (lost[i] != 0) & (lost[i] != 1)
        assert torch.equal(lost[i][kept], views[i][kept])


def test_lost_lines_repeat_the_last_that_arrived():
    views = pictures(3, 12)
    rows = torch.zeros(3, 12, dtype=torch.bool)
    rows[1, [4, 5, 9]] = True
    rows[2, [0, 1, 7]] = True
    filled = lose_lines(views, rows).numpy()
    for i in range(3):
        last = np.zeros(12, np.float32)
        for r in range(12):
            last = last if rows[i, r] else views[i, 0, r].numpy()
            np.testing.assert_array_equal(filled[i, 0, r], last)


def test_as_many_lines_are_lost_as_were_drawn():
    count = torch.tensor([0.0, 1.0, 3.0, 12.0])
    lost = random_lines(count, height=12, generator=generator())
    assert lost.sum(dim=1).tolist() == [0, 1, 3, 12]
    spread = random_lines(torch.ones(600), height=12, generator=generator()).sum(dim=0)
    assert int(spread.min()) > 25


def test_few_electrons_are_counted_one_by_one():
    level = torch.tensor([0.25, 0.25, -0.1])
    views = level[:, None, None, None].expand(3, 1, 200, 200).contiguous()
    dose = torch.tensor([8.0, 8.0, 8.0])
    readout = torch.tensor([0.0, 0.02, 0.0])
    noisy = shot_noise(views, dose, readout=readout, generator=generator(), poisson_below=30.0)
    electrons = noisy[0] * 8
    assert torch.equal(electrons, electrons.round())
    assert torch.equal(noisy[2], views[2])  # below zero there is nothing to count, and the mean stays
    counted = np.random.default_rng(0).poisson(2.0, 40000)
    for k in range(7):
        expected = math.exp(-2) * 2**k / math.factorial(k)
        assert float((electrons == k).float().mean()) == pytest.approx(expected, abs=0.01)
        assert (counted == k).mean() == pytest.approx(expected, abs=0.01)
    variance = 0.25 / 8 + 0.02**2
    assert float(noisy[1].var()) == pytest.approx(variance, rel=0.04)
    gaussian = shot_noise(views[:1], dose[:1], readout=readout[:1], generator=generator())
    skew = [float(((x - x.mean()) / x.std()).pow(3).mean()) for x in (noisy[0], gaussian)]
    assert skew[0] == pytest.approx(1 / math.sqrt(2), abs=0.06)
    assert abs(skew[1]) < 0.06


def test_disc_has_the_weights_of_its_radius():
    views = pictures(4, 32)
    sigma = torch.tensor([1.0, 0.8, 0.0, 2.2])
    disc = torch.tensor([True, False, True, True])
    smooth = defocus(views, sigma, disc=disc)
    assert torch.equal(smooth[2], views[2])
    torch.testing.assert_close(smooth[1:2], defocus(views[1:2], sigma[1:2]))
    for i in (0, 3):
        radius = 2 * float(sigma[i])
        reach = int(radius + 1)
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
        for r in range(-reach, reach + 1):
            for c in range(-reach, reach + 1):
                kernel[r + reach, c + reach] = min(max(radius + 0.5 - math.hypot(r, c), 0), 1)
        expected = ndimage.convolve(views[i, 0].double().numpy(), kernel / kernel.sum(), mode="mirror")
        np.testing.assert_allclose(smooth[i, 0], expected, atol=1e-5)
        offsets = np.arange(-reach, reach + 1)
        spread = math.sqrt((kernel.sum(axis=0) * offsets**2).sum() / kernel.sum())
        assert spread == pytest.approx(float(sigma[i]), rel=0.1)
