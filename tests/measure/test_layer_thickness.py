"""Layer thickness against closed forms, brute force, invariances, degenerate masks and real masks."""

import functools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wootz.measure import class_region, layer_thickness

SHAPE = (300, 420)
ROW, COL = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)


def tilted(thickness, degrees, *, shape=SHAPE, pitch=(1.0, 1.0), offset=0.0):
    """Mask of a straight layer of known normal thickness; `pitch` is the pixel (row, col) size."""
    row, col = np.mgrid[: shape[0], : shape[1]].astype(float)
    y = (row - shape[0] / 2 + offset) * pitch[0]
    x = (col - shape[1] / 2) * pitch[1]
    angle = math.radians(degrees)
    return np.abs(y * math.cos(angle) - x * math.sin(angle)) <= thickness / 2


@functools.cache
def parallel_band(thickness, amplitude, wavelength):
    """Mask of all points within thickness / 2 of a sine curve: its normal thickness is known everywhere."""
    x = np.linspace(-60, SHAPE[1] + 60, 4_000)
    y = SHAPE[0] / 2 + amplitude * np.sin(2 * np.pi * x / wavelength)
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(np.column_stack([y, x])).query(np.column_stack([ROW.ravel(), COL.ravel()]))
    return distance.reshape(SHAPE) <= thickness / 2


# closed forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3, 40])
def test_flat_layer_is_exact(rows):
    mask = np.zeros(SHAPE, bool)
    mask[100 : 100 + rows] = True
    result = layer_thickness(mask)
    assert (result.status, result.unit, result.covered_frac) == ("ok", "px", 1.0)
    assert result.mean.value == pytest.approx(rows, abs=1e-9)
    assert result.median == pytest.approx(rows, abs=1e-9)
    assert result.std == pytest.approx(0, abs=1e-9)
    assert result.n_measured == SHAPE[1]


@pytest.mark.parametrize("degrees", [-20, -10, 3, 10, 20, 33, 52])
@pytest.mark.parametrize("thickness", [6.0, 41.7])
def test_tilted_layer_within_half_a_percent(degrees, thickness):
    mask = tilted(thickness, degrees, shape=(760, 420))
    result = layer_thickness(mask)
    assert result.status == "ok"
    assert result.mean.value == pytest.approx(thickness, rel=0.005)
    vertical = mask.sum(0)[150:270].mean()
    assert vertical == pytest.approx(thickness / math.cos(math.radians(degrees)), rel=0.02)


def test_bent_layer_of_constant_normal_thickness():
    mask = parallel_band(30.0, amplitude=12.0, wavelength=210.0)
    result = layer_thickness(mask, smoothing_px=40)
    assert result.mean.value == pytest.approx(30.0, rel=0.005)
    assert result.std < 0.6
    # the column thickness of the same mask is several per cent too large
    assert mask.sum(0).mean() > 1.02 * result.mean.value


def test_smoothing_length_decides_whether_waviness_turns_the_normal():
    mask = parallel_band(30.0, amplitude=12.0, wavelength=210.0)
    long = layer_thickness(mask, smoothing_px=2000)
    assert long.smoothing == 2000
    assert long.mean.value == pytest.approx(mask.sum(0).mean(), rel=0.01)  # vertical chords again


def test_mean_is_area_over_length_of_a_rough_layer(rng):
    upper = 120 + np.cumsum(rng.normal(0, 0.8, SHAPE[1]))
    lower = 180 + np.cumsum(rng.normal(0, 0.8, SHAPE[1]))
    mask = (upper <= ROW) & (lower > ROW)
    result = layer_thickness(mask, smoothing_px=5000)  # a straight mid-line
    slope = np.polyfit(np.arange(SHAPE[1]), (upper + lower) / 2, 1)[0]
    assert result.mean.value == pytest.approx(mask.sum() / SHAPE[1] / math.hypot(1, slope), rel=0.01)


def test_gaussian_filter_passes_half_of_the_cutoff_wavelength():
    from wootz.measure.midline import trace_midline

    shape = (200, 1200)
    row, col = np.mgrid[: shape[0], : shape[1]].astype(float)
    centre = 100 + 20 * np.sin(2 * np.pi * col / 120)
    line = trace_midline(
        np.abs(row - centre) <= 15, known=np.ones(1200, bool), height=1.0, width=1.0, cutoff=120.0
    )
    middle = (line.along > 300) & (line.along < 900)
    assert np.ptp(line.across[middle]) / 40 == pytest.approx(0.5, abs=0.01)


# pixel size and units -------------------------------------------------------------------------------------


def test_anisotropic_pixels():
    pitch = (2.0, 5.0)  # nm
    mask = tilted(80.0, 15.0, shape=(300, 300), pitch=pitch)
    result = layer_thickness(mask, pixel_size_nm=pitch)
    assert result.unit == "nm"
    assert result.mean.value == pytest.approx(80.0, rel=0.005)


@pytest.mark.parametrize("scale", [0.5, 12.33, 4000.0])
def test_lengths_scale_with_the_pixel_size(scale):
    mask = tilted(33.0, 8.0)
    px, nm = layer_thickness(mask), layer_thickness(mask, pixel_size_nm=scale)
    for a, b in ((px.mean.value, nm.mean.value), (px.mean.ci_low, nm.mean.ci_low), (px.std, nm.std)):
        assert b == pytest.approx(a * scale, rel=1e-6)
    assert nm.smoothing == pytest.approx(px.smoothing * scale)


def test_unknown_pixel_size_is_px_never_one_nm():
    for unknown in (None, math.nan, (math.nan, math.nan)):
        assert layer_thickness(tilted(20, 0), pixel_size_nm=unknown).unit == "px"
    with pytest.raises(ValueError, match="smoothing_nm needs a pixel size"):
        layer_thickness(tilted(20, 0), smoothing_nm=100)
    with pytest.raises(ValueError, match="positive"):
        layer_thickness(tilted(20, 0), pixel_size_nm=0.0)


def test_smoothing_in_nm_and_px_agree():
    mask = tilted(33.0, 8.0)
    a = layer_thickness(mask, pixel_size_nm=4.0, smoothing_nm=320.0)
    b = layer_thickness(mask, pixel_size_nm=4.0, smoothing_px=80.0)
    assert a.mean == b.mean
    with pytest.raises(ValueError, match="not both"):
        layer_thickness(mask, pixel_size_nm=4.0, smoothing_nm=320.0, smoothing_px=80.0)


def test_section_tilt_is_the_cosine():
    mask = tilted(33.0, 8.0)
    plain, tilted_section = layer_thickness(mask), layer_thickness(mask, section_tilt_deg=30)
    factor = math.cos(math.radians(30))
    assert tilted_section.mean.value == pytest.approx(plain.mean.value * factor)
    assert tilted_section.std == pytest.approx(plain.std * factor)


def test_pixel_size_error_widens_the_interval():
    mask = tilted(33.0, 8.0)
    plain, widened = (layer_thickness(mask, pixel_size_nm=5.0, pixel_size_rel_error=e) for e in (0.0, 0.02))
    assert widened.mean.value == plain.mean.value
    expected = math.hypot(plain.mean.half_width, 1.959964 * 0.02 * plain.mean.value)
    assert widened.mean.half_width == pytest.approx(expected)


# invariances ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", [np.fliplr, np.flipud, np.transpose, np.rot90, lambda m: np.rot90(m, 2)])
def test_flips_and_turns_change_nothing(move):
    mask = parallel_band(30.0, amplitude=12.0, wavelength=210.0).copy()
    mask[:130, 100:108] = False  # a notch makes it lopsided
    plain, moved = layer_thickness(mask), layer_thickness(move(mask))
    assert moved.vertical == (move(mask).shape != mask.shape)
    for name in ("median", "std", "covered_frac"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name), rel=1e-3, abs=5e-3)
    assert moved.mean.value == pytest.approx(plain.mean.value, rel=1e-3)


def test_vertical_layer_swaps_the_pixel_sizes():
    mask = tilted(80.0, 15.0, shape=(300, 300), pitch=(2.0, 5.0))
    turned = layer_thickness(mask.T, pixel_size_nm=(5.0, 2.0))
    assert turned.vertical
    assert turned.mean.value == pytest.approx(80.0, rel=0.005)


@settings(max_examples=15, deadline=None)
@given(degrees=st.floats(-40, 40), thickness=st.floats(5, 60), offset=st.floats(-20, 20))
def test_any_straight_layer(degrees, thickness, offset):
    mask = tilted(thickness, degrees, shape=(400, 260), offset=offset)
    result = layer_thickness(mask, orientation="horizontal")
    assert result.status == "ok"
    # of the pixels that are there: a digital line can be off by half a pixel along its whole length
    drawn = mask.sum(0).mean() * math.cos(math.radians(degrees))
    assert result.mean.value == pytest.approx(drawn, rel=0.005, abs=0.05)


def test_chord_ends_lie_on_the_outline():
    mask = tilted(41.7, 20)
    result = layer_thickness(mask)
    ok = result.state == "measured"
    span = np.hypot(*(result.end_px - result.start_px)[ok].T)
    assert span == pytest.approx(result.thickness[ok], abs=1e-4)
    middle = np.rint(result.midline_px).astype(int)
    assert mask[middle[:, 0], middle[:, 1]].all()


# gaps, islands, holes, borders ----------------------------------------------------------------------------


def test_cracks_and_pores_inside_belong_to_the_layer():
    mask = np.zeros(SHAPE, np.uint8)
    mask[100:140] = 1
    mask[100:140, 200:206] = 2  # a crack through the layer
    mask[110:120, 50:60] = 2  # a crack inside
    mask[140:200, 203:205] = 2  # the crack runs on below: there it belongs to what lies there
    region = class_region(mask, [1], inside=[2])
    assert (~region[100:140]).sum() <= 20  # where the crack leaves the layer, its middle is nearer to outside
    assert not region[145:].any()
    result = layer_thickness(region)
    assert result.mean.value == pytest.approx(40, rel=0.002)
    assert result.covered_frac == 1


def test_holes_are_filled_or_not():
    mask = np.zeros(SHAPE, bool)
    mask[100:140] = True
    mask[110:130, 100:310] = False
    assert layer_thickness(mask).mean.value == pytest.approx(40)
    assert layer_thickness(mask, fill_holes=False).mean.value == pytest.approx(40 - 20 * 210 / 420, rel=0.01)


def test_fragments_beside_each_other_are_one_layer_and_islands_are_left_out():
    mask = np.zeros(SHAPE, bool)
    mask[100:140] = True
    mask[:, 150:160] = False  # an unnamed crack cuts through
    mask[20:40, 200:260] = True  # an island above, mistaken by a network
    mask[260, 10] = True
    result = layer_thickness(mask)
    assert result.status == "ok"
    assert result.mean.value == pytest.approx(40, rel=0.001)
    assert result.covered_frac == pytest.approx(410 / 420, abs=0.002)
    assert (result.state[151:159] == "missing").all()
    assert "left out 2 piece(s)" in result.notes[0]


def test_pocket_under_an_overhang_material_or_span():
    mask = np.zeros(SHAPE, bool)
    mask[100:160] = True
    mask[115:125, 100:300] = False  # a slot ...
    mask[100:125, 290:300] = False  # ... that opens to the outside
    material, span = (layer_thickness(mask, overhangs=o) for o in ("material", "span"))
    inner = slice(150, 250)
    assert material.thickness[inner] == pytest.approx(50, abs=0.5)
    assert span.thickness[inner] == pytest.approx(60, abs=0.5)


@pytest.mark.parametrize("cut", ["top", "bottom"])
def test_layer_that_leaves_the_field_is_a_lower_bound(cut):
    whole = tilted(60.0, 6.0)
    part = whole[140:] if cut == "top" else whole[:160]
    result = layer_thickness(part, orientation="horizontal")
    assert result.status == "censored"
    assert result.mean.ci_high == math.inf
    assert "leave the field" in result.reason
    assert (result.state == "cut").any()
    assert np.isnan(result.thickness[result.state == "cut"]).all()


def test_layer_that_drifts_out_of_the_field_keeps_its_direction():
    """Columns cut by the border do not bend the mid-line; the result stays flagged."""
    result = layer_thickness(tilted(41.7, 36, offset=10), orientation="horizontal")
    assert result.status == "censored"
    step = np.diff(result.midline_px, axis=0)
    degrees = np.degrees(np.arctan2(step[:, 0], step[:, 1]))
    assert np.abs(degrees - 36).max() < 1.5
    assert np.nanmean(result.thickness) == pytest.approx(41.7, rel=0.005)


def test_normals_that_leave_at_the_side_bias_nothing():
    result = layer_thickness(tilted(60.0, 25.0))
    assert result.status == "ok"
    assert (result.state == "side").sum() > 10
    assert result.mean.value == pytest.approx(60, rel=0.003)


def test_layer_that_ends_inside_the_field():
    mask = tilted(40.0, 10.0)
    mask[:, :70] = mask[:, 350:] = False
    result = layer_thickness(mask)
    assert (result.state == "end").sum() == pytest.approx(40, abs=4)
    assert result.mean.value == pytest.approx(40, rel=0.006)


def test_ignored_pixels_are_not_measured():
    mask = np.zeros(SHAPE, bool)
    mask[100:140] = True
    ignore = np.zeros(SHAPE, bool)
    ignore[90:120, 50:80] = True
    mask[ignore] = False
    result = layer_thickness(mask, ignore=ignore)
    assert (result.state == "ignored").sum() == pytest.approx(30, abs=3)
    assert result.mean.value == pytest.approx(40, rel=0.01)
    assert layer_thickness(mask).mean.value < 39


# results that are failures --------------------------------------------------------------------------------


def _one_pixel():
    mask = np.zeros(SHAPE, bool)
    mask[50, 60] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros(SHAPE, bool), "no pixel of the layer"),
        (np.ones(SHAPE, bool), "leave it inside the layer"),
        (np.ones((1, 1), bool), "at least 8 px"),
        (_one_pixel(), "at least 8 px"),
        (np.zeros((0, 0), bool), "no pixel"),
    ],
)
def test_degenerate_masks_fail_with_a_reason(mask, reason):
    result = layer_thickness(mask)
    assert result.status == "failed"
    assert reason in result.reason
    assert math.isnan(result.mean.value)
    assert math.isnan(result.mean.ci_high)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"overhangs": "outer"}, "overhangs"),
        ({"orientation": "diagonal"}, "orientation"),
        ({"section_tilt_deg": 90}, "section_tilt_deg"),
        ({"smoothing_px": -1}, "positive"),
        ({"ignore": np.zeros((2, 2), bool)}, "differ in shape"),
        ({"confidence": 95}, "confidence"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        layer_thickness(tilted(20, 0), **arguments)


def test_checkerboard_and_noise_give_a_result_not_a_crash(rng):
    for mask in ((ROW + COL) % 2 == 0, rng.random(SHAPE) < 0.3):
        assert layer_thickness(mask).status in ("ok", "censored", "failed")


# real masks -----------------------------------------------------------------------------------------------


@pytest.mark.realdata
def test_oxide_of_real_barrier_coatings_against_vertical_thickness(data_dir):
    """The stored truth is vertical; ours is smaller by the cosine of the local slope and by curvature.

    With chords L at arc s, the area is the integral of L (1 - k m) ds, where k is the curvature of the
    mid-line and m the distance of the chord's middle from it. So the column sums of the truth, an
    independent route to the area, must come back to within 0.7 %.
    """
    from PIL import Image

    for truth in json.loads((data_dir / "ebc" / "derived_ground_truth.json").read_text())[::4]:
        mask = np.array(Image.open(data_dir / "ebc" / "masks" / f"{truth['image']}.png"))
        result = layer_thickness(class_region(mask, [1], inside=[2]))
        assert (result.status, result.unit, result.covered_frac) == ("ok", "px", 1.0)
        chord = result.end_px - result.start_px
        normal = chord / np.hypot(*chord.T)[:, None]
        off_middle = (((result.start_px + result.end_px) / 2 - result.midline_px) * normal).sum(1)
        curvature = np.gradient(np.arctan2(-normal[:, 1], normal[:, 0]), result.position)
        area_per_arc = np.nanmean(result.thickness * (1 - curvature * off_middle))
        arc_over_width = result.position[-1] / (mask.shape[1] - 1)
        vertical = truth["oxide_area_over_width_px"]
        assert area_per_arc == pytest.approx(vertical / arc_over_width, rel=0.007), truth["image"]
        assert 0.92 < result.mean.value / vertical < 1.0
        assert result.std == pytest.approx(truth["oxide_thickness_px_std"], rel=0.2)
