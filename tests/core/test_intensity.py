"""The common intensity scale against numpy's percentiles and closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wootz.intensity import histogram, range_of_histogram, robust_range, scale


@given(
    hnp.arrays(st.sampled_from([np.uint8, np.uint16]), hnp.array_shapes(min_dims=1, max_dims=2, max_side=60))
)
@settings(deadline=None, max_examples=50)
def test_range_equals_numpy_percentiles(pixels):
    low, high = robust_range(pixels)
    assert high > low
    expected = np.percentile(pixels, [1, 99], method="lower")
    if expected[1] > expected[0]:
        assert (low, high) == tuple(expected)
    elif pixels.max() > pixels.min():
        assert (low, high) == (pixels.min(), pixels.max())
    else:
        assert (low, high) == (int(pixels.flat[0]), int(pixels.flat[0]) + 1)


@given(hnp.arrays(np.uint16, st.integers(1, 500)))
@settings(deadline=None, max_examples=50)
def test_histogram_counts(pixels):
    counts = histogram(pixels)
    values, n = np.unique(pixels, return_counts=True)
    np.testing.assert_array_equal(np.flatnonzero(counts), values)
    np.testing.assert_array_equal(counts[values], n)


def test_histogram_of_strided_and_large_fields():
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1600), dtype=np.uint8)
    np.testing.assert_array_equal(
        histogram(pixels[::2, ::3]), np.bincount(pixels[::2, ::3].ravel(), minlength=256)
    )
    np.testing.assert_array_equal(histogram(pixels), histogram(pixels.astype(np.uint16))[:256])


@given(
    st.sampled_from([(np.uint8, 256), (np.uint8, 3), (np.uint16, 65536), (np.uint16, 4096)]),
    st.integers(1, 70),
    st.integers(0, 9),
)
@settings(deadline=None, max_examples=60)
def test_histogram_of_any_length_and_start(kind, n, skipped):
    dtype, top = kind
    pixels = np.random.default_rng(n).integers(0, top, n + skipped).astype(dtype)[skipped:]
    expected = np.bincount(pixels, minlength=np.iinfo(dtype).max + 1)
    np.testing.assert_array_equal(histogram(pixels), expected)
    np.testing.assert_array_equal(histogram(pixels.astype(pixels.dtype.newbyteorder(">"))), expected)


def test_outliers_do_not_move_the_range():
    pixels = np.random.default_rng(0).integers(1000, 3000, (300, 300), dtype=np.uint16)
    quiet = robust_range(pixels)
    pixels[0, :10] = 65535  # ten hot pixels of 90,000
    loud = robust_range(pixels)
    assert np.abs(np.subtract(quiet, loud)).max() < 5


def test_depths_meet_on_one_scale():
    field = np.random.default_rng(0).integers(0, 256, (100, 100), dtype=np.uint8)
    twelve = field.astype(np.uint16) * 16 + 3
    same = scale(field, *robust_range(field))
    np.testing.assert_allclose(scale(twelve, *robust_range(twelve)), same, atol=2e-6)


def test_scale_closed_form():
    pixels = np.array([0, 10, 110, 210, 60_000], np.uint16)
    found = scale(pixels, 10.0, 110.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [-0.1 / 1.1, 0.0, 1.0, 1.5, 2 - 1 / 599.9], atol=1e-6)
    np.testing.assert_allclose(scale(np.float32([-1e9]), 10.0, 110.0), [-1.0], rtol=1e-6)
    per_image = scale(
        np.zeros((2, 3, 3), np.uint8), np.reshape([0.0, 1.0], (2, 1, 1)), np.reshape([1, 2.0], (2, 1, 1))
    )
    np.testing.assert_array_equal(per_image[:, 0, 0], [0.0, -0.5])


def test_floats_and_their_holes():
    pixels = np.linspace(0, 1, 1001, dtype=np.float32)
    pixels[5] = np.nan
    low, high = robust_range(pixels)
    assert low == pytest.approx(0.01, abs=2e-3)
    assert high == pytest.approx(0.99, abs=2e-3)


@given(hnp.arrays(np.uint16, hnp.array_shapes(min_dims=1, max_dims=3, max_side=30)))
@settings(deadline=None, max_examples=50)
def test_order_and_bounds_are_kept(pixels):
    low, high = robust_range(pixels)
    found = scale(np.asfortranarray(pixels), low, high)
    assert found.shape == pixels.shape
    assert found.min() >= -1
    assert found.max() <= 2
    rising = found.ravel()[np.argsort(pixels.ravel(), kind="stable")].astype(np.float64)
    assert (np.diff(rising) >= -3e-7).all()  # rounding of float32 near 2
    straight = (pixels.astype(np.float64) - low) / (high - low)
    above, below = 2 - 1 / np.maximum(straight, 1), straight / (1 - np.minimum(straight, 0))
    expected = np.where(straight > 1, above, np.where(straight < 0, below, straight))
    np.testing.assert_allclose(found, expected, atol=1e-6 + 2e-7 * high / (high - low))


def test_rare_bright_particles_keep_their_order():
    """A dark support with noise, and 0.5 % of bright particles of two kinds, as in a dark-field image."""
    pixels = np.random.default_rng(0).integers(90, 110, (400, 400), dtype=np.uint16)
    pixels[10:30, 10:30], pixels[50:70, 50:70] = 2000, 3000
    found = scale(pixels, *robust_range(pixels))
    assert found[100:].std() > 0.2
    assert found[60, 60] > found[20, 20] + 2e-3 > 1.9


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (np.nan, 1.0), (0.0, np.inf)])
def test_impossible_ranges(low, high):
    with pytest.raises(ValueError, match="high > low"):
        scale(np.zeros(3, np.uint8), low, high)


def test_no_pixels():
    with pytest.raises(ValueError, match="no pixels"):
        robust_range(np.zeros((0, 3), np.uint8))
    with pytest.raises(ValueError, match="no pixels"):
        robust_range(np.array([np.nan]))
    with pytest.raises(ValueError, match="no pixels"):
        range_of_histogram(np.zeros(256, int))
