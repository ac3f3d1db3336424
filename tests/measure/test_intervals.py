"""Intervals: closed forms, and coverage by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter

from wootz.measure import (
    area_fraction,
    block_interval,
    bootstrap_interval,
    ratio_interval,
    student_interval,
)
from wootz.measure.intervals import correlation_length, with_scale_error


def test_student_against_scipy(rng):
    x = rng.normal(5, 2, 9)
    ours = student_interval(x, confidence=0.9)
    low, high = stats.t.interval(0.9, 8, loc=x.mean(), scale=stats.sem(x))
    assert (ours.value, ours.ci_low, ours.ci_high) == pytest.approx((x.mean(), low, high))
    assert ours.n == 9


@pytest.mark.parametrize("values", [[], [3.0], [math.nan, 3.0]])
def test_too_few_values_have_a_reason_not_a_number(values):
    ours = student_interval(values)
    assert math.isnan(ours.ci_low)
    assert "fewer than two" in ours.reason


@given(st.lists(st.floats(0, 100), min_size=2, max_size=20), st.floats(0.5, 50))
def test_ratio_with_equal_denominators_is_student(values, area):
    ours, plain = ratio_interval(values, [area] * len(values)), student_interval(np.array(values) / area)
    assert ours.value == pytest.approx(plain.value, abs=1e-9)
    if any(values):
        assert (ours.ci_low, ours.ci_high) == pytest.approx((plain.ci_low, plain.ci_high), abs=1e-6)


def test_ratio_does_not_depend_on_units_and_skips_empty_blocks(rng):
    a, A = rng.random(12), 1 + rng.random(12)
    plain = ratio_interval(a, A)
    scaled = ratio_interval([*a, 0.0], [*(A * 1e6), 0.0])
    assert scaled.n == 12
    assert scaled.half_width * 1e6 == pytest.approx(plain.half_width)


def test_nothing_seen_and_nothing_to_see():
    none = ratio_interval([0, 0, 0], [1, 1, 1])
    assert none.value == 0
    assert math.isnan(none.ci_high)
    assert "none seen" in none.reason
    assert "nothing to measure in" in ratio_interval([0], [0]).reason
    with pytest.raises(ValueError, match="differ in length"):
        ratio_interval([1, 2], [1])


@pytest.mark.parametrize("length", [1, 4, 15])
def test_correlation_length_of_an_autoregressive_profile(length, rng):
    a = math.exp(-1 / length)
    expected = (1 + a) / (1 - a)  # 1 + 2 sum of a^k
    found = np.mean([correlation_length(lfilter([1], [1, -a], rng.normal(size=4000))) for _ in range(20)])
    assert found == pytest.approx(expected, rel=0.12)


def test_correlation_length_sees_through_gaps(rng):
    x = lfilter([1], [1, -0.9], rng.normal(size=8000))
    gaps = x.copy()
    gaps[rng.random(x.size) < 0.3] = np.nan
    assert correlation_length(gaps) == pytest.approx(correlation_length(x), rel=0.15)
    assert correlation_length([1.0, 1.0, 1.0, 1.0]) == 1.0


@pytest.mark.parametrize("length", [1, 10, 60])
def test_block_interval_of_a_profile_covers(length):
    rng = np.random.default_rng(7)
    a = math.exp(-1 / length)
    hits = naive = 0
    repeats = 400
    for _ in range(repeats):
        x = lfilter([math.sqrt(1 - a * a)], [1, -a], rng.normal(size=2000))[1000:]
        ours, pixels = block_interval(x), student_interval(x)
        hits += ours.ci_low <= 0 <= ours.ci_high
        naive += pixels.ci_low <= 0 <= pixels.ci_high
    assert 0.92 <= hits / repeats <= 0.98
    if length > 1:
        assert naive / repeats < 0.6  # what treating every normal as independent would give


def test_profile_without_four_blocks_says_so(rng):
    trend = block_interval(np.linspace(0, 1, 500))
    assert "measure more fields" in trend.reason
    assert trend.ci_high - trend.ci_low > 0.9
    assert "too few" in block_interval([1.0] * 5).reason


def _field_of_pores(rng, *, size=256, mean_radius=5.0, n_mean=24):
    """Periodic field of random disks: the expected fraction is the same in every field."""
    row, col = np.mgrid[:size, :size]
    mask = np.zeros((size, size), bool)
    for _ in range(rng.poisson(n_mean)):
        r, (y, x) = rng.gamma(16, mean_radius / 16), rng.uniform(0, size, 2)
        dy, dx = np.abs(row - y), np.abs(col - x)
        mask |= np.minimum(dy, size - dy) ** 2 + np.minimum(dx, size - dx) ** 2 < r * r
    return mask


def test_coverage_of_area_fractions_blocks_against_pixels():
    """92 to 95 of 100 with blocks, 6 to 22 with the binomial over pixels, by coarseness of the structure."""
    rng = np.random.default_rng(3)
    masks = [_field_of_pores(rng, size=128, n_mean=20, mean_radius=3.5) for _ in range(300)]
    truth = np.mean([m.mean() for m in masks])
    blocks = pixels = 0
    for m in masks:
        f = area_fraction(m).fraction
        blocks += f.ci_low <= truth <= f.ci_high
        half = 1.96 * math.sqrt(m.mean() * (1 - m.mean()) / m.size)
        pixels += abs(m.mean() - truth) <= half
    assert 0.92 <= blocks / len(masks) <= 0.98
    assert pixels / len(masks) < 0.5


def test_bootstrap_covers_and_is_repeatable():
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(150):
        x = rng.gamma(4, 2.0, 60)
        ours = bootstrap_interval(x, np.ones(60), rng=rng, n_resamples=400)
        hits += ours.ci_low <= 8.0 <= ours.ci_high
    assert 0.88 <= hits / 150 <= 0.99
    a, b = (bootstrap_interval(x, x, rng=np.random.default_rng(1)) for _ in range(2))
    assert a == b
    assert a.value == pytest.approx((x * x).sum() / x.sum())


def test_scale_error_adds_in_quadrature():
    plain = student_interval([9.0, 10.0, 11.0])
    wide = with_scale_error(plain, 0.05)
    assert wide.half_width == pytest.approx(math.hypot(plain.half_width, 1.959964 * 0.5))
    assert with_scale_error(plain, 0.0) is plain
