"""Geometry against closed forms and naive references."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wootz.synthetic import build_recipe, compose
from wootz.synthetic.geometry.cracks import Crack, crack_area
from wootz.synthetic.geometry.grains import GrainSet, draw_grains
from wootz.synthetic.geometry.inclusions import Inclusion, area_in_field, draw_shape, outline
from wootz.synthetic.geometry.interfaces import Profile, fit_line, integral, rough_profile, tongues
from wootz.synthetic.raster import _nearest_seeds, centres, signed_distance


def shoelace(points):
    area = 0.0
    for (r0, c0), (r1, c1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        area += r0 * c1 - r1 * c0
    return abs(area) / 2


def make_inclusion(row=10.0, col=10.0, *, radius=2.0, aspect=1.5, angle=30.0, lobes=(0.1, -0.05, 0.04)):
    return Inclusion(1, "pore", "g", row, col, radius, aspect, angle, list(lobes), [10.0, 200.0, 77.0])


def test_rough_profile_has_the_asked_height_and_roughness_spectrum():
    rng = np.random.default_rng(0)
    power = np.zeros(2049)
    for _ in range(60):
        y = rough_profile(4096, step_um=0.1, rq_um=0.7, correlation_um=5.0, hurst=0.7, rng=rng)
        assert y.mean() == pytest.approx(0, abs=1e-12)
        assert y.std() == pytest.approx(0.7)
        power += np.abs(np.fft.rfft(y)) ** 2
    k = 2 * np.pi * np.fft.rfftfreq(4096, 0.1)
    tail = (k > 10 / 5.0) & (k < 20)
    slope = np.polyfit(np.log(k[tail]), np.log(power[tail]), 1)[0]
    assert slope == pytest.approx(-(2 * 0.7 + 1), abs=0.05)  # self-affine: PSD ~ k^-(2H+1)


def test_tongues_point_down_and_average_out():
    x = np.linspace(0, 200, 4000)
    y = tongues(x, length_um=5.0, pitch_um=8.0, rng=np.random.default_rng(1))
    assert abs(y.mean()) < 1e-9
    assert 2.0 < np.ptp(y) < 1.3 * 5.0 + 1e-6
    assert (tongues(x, length_um=0.0, pitch_um=8.0, rng=np.random.default_rng(1)) == 0).all()


@given(
    low=st.floats(-3, 30, allow_nan=False),
    span=st.floats(0.01, 40),
    heights=st.lists(st.floats(-5, 5), min_size=3, max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_integral_of_a_polyline_matches_a_fine_sum(low, span, heights):
    x = 1.7 * np.arange(len(heights))
    n = 200_000
    fine = low + span * (np.arange(n) + 0.5) / n
    assert integral(x, np.array(heights), low_um=low, high_um=low + span) == pytest.approx(
        np.interp(fine, x, heights).mean() * span, abs=2e-3
    )


def test_fit_line_of_a_straight_interface():
    line = Profile("p", -2.0, 0.5, (3 + 0.1 * (-2 + 0.5 * np.arange(100))).tolist())
    assert fit_line(line, width_um=30.0) == pytest.approx((3.0, 0.1))


@given(
    aspect=st.floats(1, 2.5),
    angle=st.floats(0, 180),
    lobes=st.lists(st.floats(-0.15, 0.15), min_size=3, max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_area_of_a_lobed_shape_is_the_closed_form(aspect, angle, lobes):
    shape = make_inclusion(aspect=aspect, angle=angle, lobes=lobes)
    points = outline(shape, 4096)
    assert shape.area_um2 == pytest.approx(shoelace(points), rel=1e-4)
    reach = np.hypot(points[:, 0] - shape.row_um, points[:, 1] - shape.col_um).max()
    assert reach <= shape.outer_um * (1 + 1e-9)


def test_the_outline_is_where_the_signed_distance_is_zero():
    shape = make_inclusion()
    points = outline(shape, 500)
    d = signed_distance(shape, points[:, 0] - shape.row_um, points[:, 1] - shape.col_um)
    assert np.abs(d).max() < 1e-9
    middle = np.array([shape.row_um, shape.col_um])
    inner = middle + 0.9 * (points - middle)
    assert (signed_distance(shape, *(inner - middle).T) < 0).all()


def test_the_signed_distance_of_a_disk_is_exact():
    disk = make_inclusion(aspect=1.0, lobes=(0.0, 0.0, 0.0))
    row, col = np.meshgrid(np.linspace(-4, 4, 33) + 0.01, np.linspace(-4, 4, 33) + 0.01)
    np.testing.assert_allclose(signed_distance(disk, row, col), np.hypot(row, col) - 2.0, atol=1e-9)


def test_area_cut_by_the_field_border_matches_counting():
    for row, col in [(0.4, 7.0), (10.0, 0.3), (19.5, 19.2), (-1.0, 5.0), (-9.0, 5.0), (10.0, 10.0)]:
        shape = make_inclusion(row, col)
        step = 0.02
        grid = np.arange(step / 2, 20, step)
        inside = signed_distance(shape, grid[:, None] - row, grid[None] - col) < 0
        area = area_in_field(shape, height_um=20.0, width_um=20.0)
        assert area == pytest.approx(inside.sum() * step**2, abs=0.02)


def test_shapes_have_the_asked_diameter():
    rng = np.random.default_rng(5)
    for diameter in (0.5, 3.0):
        radius, angle, amplitude, phase = draw_shape(diameter_um=diameter, lobes=0.2, rng=rng)
        shape = Inclusion(1, "pore", "g", 0.0, 0.0, radius, 1.3, angle, amplitude, phase)
        assert 2 * math.sqrt(shape.area_um2 / math.pi) == pytest.approx(diameter, rel=1e-5)


def test_crack_area_is_the_integral_of_its_opening():
    s = np.linspace(0, 10, 101)
    wedge = Crack(1, "c", "col", -2.0, 0.1, (5 + np.sin(s)).tolist(), (0.1 * s).tolist())
    # from column 0 (s = 2) to the end (s = 10): integral of s / 10
    assert crack_area(wedge, height_um=20.0, width_um=20.0) == pytest.approx(0.05 * (100 - 4))
    assert crack_area(wedge, height_um=20.0, width_um=3.0) == pytest.approx(0.05 * (25 - 4))
    assert np.isinf(wedge.distance_um(np.array([-3.0, 9.0]), np.array([5.0, 5.0]))).all()


@pytest.mark.parametrize("seed", range(4))
def test_grains_are_the_power_diagram_of_their_seeds(seed):
    grains = draw_grains(
        "steel",
        size_um=4.0,
        aspect=1.5,
        contrast=1.0,
        waviness=0.0,
        box_um=(0, 30.0, 30.0),
        rng=np.random.default_rng(seed),
    )
    axis = centres(60, 0.5)
    shade, _ = _nearest_seeds(grains, axis, axis)
    # naive: every pixel against every seed
    row = (axis[:, None, None] - np.array(grains.row_um)) / grains.aspect
    col = axis[None, :, None] - np.array(grains.col_um)
    expected = np.array(grains.shade)[(row**2 + col**2 - np.array(grains.weight_um2)).argmin(axis=-1)]
    np.testing.assert_allclose(shade, expected, atol=1e-6)


def test_waviness_bends_the_boundaries_and_leaves_no_hole():
    base = {"size_um": 4.0, "aspect": 1.0, "contrast": 1.0, "box_um": (0, 30.0, 30.0)}
    wavy = draw_grains("steel", waviness=0.2, rng=np.random.default_rng(3), **base)
    row, col = centres(120, 0.25), centres(120, 0.25)
    shade, boundary = _nearest_seeds(wavy, row, col)
    assert np.isfinite(boundary).all()
    assert set(np.unique(shade).round(5)) <= set(np.float32(wavy.shade).round(5))
    straight = GrainSet(**{**wavy.__dict__, "warp": [[0.0] * 5]})
    changed = shade != _nearest_seeds(straight, row, col)[0]
    assert 0.02 < changed.mean() < 0.4


@pytest.mark.parametrize("name", ["coating", "coating-demo", "coating-demo-defect"])
def test_nothing_overlaps_and_nothing_leaves_its_host(name):
    recipe = build_recipe(name)
    for index in range(4):
        scene = compose(recipe, index, seed=1, width_um=60.0, height_um=60.0)
        assert scene.inclusions
        for i, a in enumerate(scene.inclusions):
            points = outline(a)
            hosts = {
                layer.phase
                for layer in scene.stack
                if all(
                    (points[:, 0] > top).all() and (points[:, 0] < bottom).all()
                    for top, bottom in [scene.bounds(layer.phase, points[:, 1])]
                )
            }
            assert len(hosts) == 1
            others = scene.inclusions[i + 1 :]
            apart = np.array([[b.row_um - a.row_um, b.col_um - a.col_um, b.outer_um] for b in others])
            if others:
                assert (np.hypot(apart[:, 0], apart[:, 1]) > a.outer_um + apart[:, 2]).all()
            for crack in scene.cracks:
                s, across = points.T if crack.axis == "row" else points.T[::-1]
                assert (crack.distance_um(s, across) > 0).all()
