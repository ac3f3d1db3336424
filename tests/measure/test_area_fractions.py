"""Area fractions and regions against naive loops and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wootz.measure import area_fraction, class_region, student_interval
from wootz.measure.fractions import block_sums


def test_against_loops_over_equal_blocks(rng):
    mask = rng.random((64, 96)) < np.linspace(0, 0.6, 96)
    shares = [mask[r : r + 16, c : c + 24].mean() for r in range(0, 64, 16) for c in range(0, 96, 24)]
    ours, plain = area_fraction(mask), student_interval(shares)
    assert ours.fraction.n == 16
    assert ours.fraction.value == pytest.approx(mask.mean())
    p = mask.mean()
    step = plain.half_width / (p * (1 - p))  # the same half width, on the logit scale
    for limit, sign in ((ours.fraction.ci_low, -1), (ours.fraction.ci_high, 1)):
        assert math.log(limit / (1 - limit)) == pytest.approx(math.log(p / (1 - p)) + sign * step)
    assert (ours.area_px, ours.reference_px) == (mask.sum(), mask.size)


@pytest.mark.parametrize("move", [np.flipud, np.fliplr, np.transpose])
def test_flips_change_nothing(rng, move):
    mask, within = rng.random((64, 64)) < 0.2, rng.random((64, 64)) < 0.7
    within[0, 0] = within[-1, -1] = True
    a, b = area_fraction(mask, within=within), area_fraction(move(mask), within=move(within))
    assert b.fraction.value == pytest.approx(a.fraction.value)
    assert b.fraction.half_width == pytest.approx(a.fraction.half_width)


@settings(max_examples=30)
@given(arrays(bool, st.tuples(st.integers(1, 23), st.integers(1, 23))), st.integers(2, 6))
def test_block_sums_add_up(mask, blocks):
    a, A = block_sums(mask, np.ones_like(mask), blocks=blocks)
    assert a.sum() == mask.sum()
    assert A.sum() == mask.size


def test_porosity_inside_the_coating_only():
    mask = np.zeros((90, 120), np.uint8)  # 0 resin, 1 coating, 2 pore
    mask[30:60] = 1
    mask[40:46, 20:30] = 2  # inside
    mask[30:34, 60:66] = 2  # at the surface, open to the resin: shared
    mask[5:15, 5:25] = 2  # a bubble in the resin
    region = class_region(mask, [1], inside=[2])
    assert region[40:46, 20:30].all()
    assert not region[:29].any()
    inside = area_fraction(mask == 2, within=region)
    assert 60 + 12 <= inside.area_px <= 60 + 24
    assert inside.fraction.value == pytest.approx(inside.area_px / inside.reference_px)
    assert area_fraction(mask == 2).area_px == 60 + 24 + 200


def test_region_is_the_nearest_class_by_brute_force(rng):
    mask = rng.integers(0, 3, (24, 24)).astype(np.uint8)
    mask[rng.random(mask.shape) < 0.05] = 255
    region = class_region(mask, [1], inside=[2])
    known = np.argwhere((mask != 2) & (mask != 255))
    for row, col in np.argwhere(mask == 2):
        distance = ((known - (row, col)) ** 2).sum(1)
        nearest = {int(mask[tuple(p)]) for p in known[distance == distance.min()]}
        assert region[row, col] == (1 in nearest) or len(nearest) > 1  # ties may go either way
    assert (region[mask == 1]).all()
    assert not region[(mask == 0) | (mask == 255)].any()


def test_region_corner_cases():
    ones = np.ones((4, 4), np.uint8)
    assert class_region(ones, [1]).all()
    assert not class_region(ones, [2], inside=[1]).any()
    assert not class_region(np.full((4, 4), 255, np.uint8), [1], inside=[2]).any()
    ring = ones.copy()
    ring[1:3, 1:3] = 0
    assert class_region(ring, [1], fill_holes=True).all()
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        class_region(np.ones(4, np.uint8), [1])


def test_absent_and_full_have_a_reason():
    absent = area_fraction(np.zeros((20, 20), bool)).fraction
    assert (absent.value, math.isnan(absent.ci_high)) == (0.0, True)
    assert "none seen" in absent.reason
    full = area_fraction(np.ones((20, 20), bool)).fraction
    assert (full.value, math.isnan(full.ci_low)) == (1.0, True)
    assert "fills the region" in full.reason
    empty = area_fraction(np.ones((20, 20), bool), within=np.zeros((20, 20), bool))
    assert math.isnan(empty.fraction.value)
    assert empty.reference_px == 0


def test_limits_stay_between_zero_and_one():
    mask = np.zeros((40, 40), bool)
    mask[3, 3] = True
    f = area_fraction(mask).fraction
    assert 0 < f.ci_low < f.value
    assert f.ci_high > f.value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mask": np.zeros(5, bool)}, r"\(H, W\)"),
        ({"mask": np.zeros((5, 5), bool), "within": np.zeros((4, 5), bool)}, "differ in shape"),
        ({"mask": np.zeros((5, 5), bool), "blocks": 1}, "at least 2"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        area_fraction(**arguments)
