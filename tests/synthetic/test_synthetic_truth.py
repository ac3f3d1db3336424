"""Truth from the geometry against truth counted in the masks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import label

from wootz.synthetic import CLASS_IDS, build_recipe, compose, draw
from wootz.synthetic.geometry.inclusions import area_in_field
from wootz.synthetic.geometry.interfaces import Profile
from wootz.synthetic.raster import rasterise
from wootz.synthetic.truth import geometric_truth, visible_truth

PIXEL_UM = 0.117
SIDE_UM = 512 * PIXEL_UM


@pytest.fixture(scope="module")
def fields():
    """Scenes with their maps: the full coating, 14 fields of 512 px."""
    recipe = build_recipe("coating")
    scenes = [compose(recipe, i, seed=3, width_um=SIDE_UM, height_um=SIDE_UM) for i in range(14)]
    return [(scene, rasterise(scene, pixel_um=PIXEL_UM)) for scene in scenes]


def test_thickness_of_the_mask_agrees_within_three_hundredths_of_a_pixel(fields):
    errors = []
    for scene, maps in fields:
        exact, seen = geometric_truth(scene)["layers"], visible_truth(scene, maps)["layers"]
        errors += [(seen[p]["thickness_um"] - exact[p]["thickness_um"]) / PIXEL_UM for p in exact]
    assert np.sqrt(np.mean(np.square(errors))) < 0.03
    assert abs(np.mean(errors)) < 0.01


def test_area_of_each_inclusion_agrees_within_five_percent_above_ten_pixels(fields):
    error_px, expected_px = [], []
    for scene, maps in fields:
        n_px = np.bincount(maps.instance_mask.ravel(), minlength=len(scene.inclusions) + 1)
        for inclusion in scene.inclusions:
            area = area_in_field(inclusion, height_um=SIDE_UM, width_um=SIDE_UM) / PIXEL_UM**2
            if area > 10:
                error_px.append(n_px[inclusion.id] - area)
                expected_px.append(area)
    error, expected = np.array(error_px), np.array(expected_px)
    assert len(error) > 400
    assert abs(error.sum() / expected.sum()) < 0.002
    for low, high, rms in ((10, 30, 0.08), (30, 100, 0.04), (100, 1e9, 0.02)):
        within = (expected > low) & (expected <= high)
        assert abs(error[within].sum() / expected[within].sum()) < 0.01  # unbiased in each size class
        # of one object: pixel centres inside a shape scatter about its area (Gauss's circle problem)
        assert np.sqrt(np.mean(np.square(error[within] / expected[within]))) < rms


def test_class_areas_and_porosity_agree(fields):
    for scene, maps in fields:
        exact, seen = geometric_truth(scene), visible_truth(scene, maps)
        for name in CLASS_IDS:
            assert seen["area_um2"][name] == pytest.approx(exact["area_um2"][name], rel=0.01, abs=0.4)
        assert seen["porosity_frac"] == pytest.approx(exact["porosity_frac"], abs=5e-4)
        assert sum(exact["area_um2"].values()) == pytest.approx(SIDE_UM**2)


def test_instances_are_connected_and_of_one_class(fields):
    for scene, maps in fields[:6]:
        phase = {i.id: i.phase for i in scene.inclusions}
        for i in np.unique(maps.instance_mask)[1:]:
            inside = maps.instance_mask == i
            assert np.unique(maps.class_mask[inside]).tolist() == [CLASS_IDS[phase.get(int(i), "crack")]]
            if i in phase:
                assert label(inside, np.ones((3, 3)))[1] == 1
        touched = maps.class_mask != maps.layer_mask
        np.testing.assert_array_equal(touched, maps.instance_mask > 0)


def test_pore_components_are_as_many_as_pores(fields):
    for scene, maps in fields:
        count = label(maps.class_mask == CLASS_IDS["pore"], np.ones((3, 3)))[1]
        assert count == visible_truth(scene, maps)["objects"]["pore"]["count"]


def test_flat_tilted_layer_has_its_closed_form():
    recipe = build_recipe("coating-demo")
    scene = compose(recipe, 0, seed=0, width_um=60.0, height_um=60.0)
    x = np.arange(-8, 68.01, 0.5)
    slope = np.tan(np.radians(10))
    lines = [15 + slope * (x - 30), 15 + slope * (x - 30) + 12 / np.cos(np.radians(10))]
    flat = replace(
        scene,
        interfaces=[
            Profile(p.name, -8.0, 0.5, y.tolist()) for p, y in zip(scene.interfaces, lines, strict=True)
        ],
        inclusions=[],
    )
    layer = geometric_truth(flat)["layers"]["Fe2Al5"]
    assert layer["thickness_um"] == pytest.approx(12.0)
    assert layer["tilt_deg"] == pytest.approx(10.0)
    assert layer["thickness_sd_um"] == pytest.approx(0.0, abs=1e-9)
    seen = visible_truth(flat, rasterise(flat, pixel_um=0.1))["layers"]["Fe2Al5"]
    assert seen["thickness_um"] == pytest.approx(12.0, abs=0.003)


def test_pore_line_lies_at_its_depth(fields):
    for scene, _ in fields:
        line = geometric_truth(scene)["pore_line"]
        assert line["n"] >= 5
        assert 4.5 < line["depth_um"] < 8.5  # the recipe asks for 5 to 8, jitter up to 0.5
        assert line["depth_sd_um"] < 1.2


def test_truth_does_not_depend_on_the_pixel_size():
    recipe = build_recipe("coating")
    scene = compose(recipe, 2, seed=0, width_um=50.0, height_um=50.0)
    coarse, fine = (draw(scene, pixel_um=p) for p in (0.2, 0.1))
    assert coarse.truth["geometric"] == fine.truth["geometric"]
    assert coarse.image.shape == (250, 250)
    assert fine.image.shape == (500, 500)
    for name, area in fine.truth["visible"]["area_um2"].items():
        assert coarse.truth["visible"]["area_um2"][name] == pytest.approx(area, rel=0.02, abs=0.5)


def test_an_inclusion_grown_in_the_mask_would_be_noticed(fields):
    """The bounds above are tight enough to see half a pixel of bias."""
    scene, _ = fields[0]
    grown = replace(
        scene, inclusions=[replace(i, radius_um=i.radius_um + PIXEL_UM / 2) for i in scene.inclusions]
    )
    exact, seen = (
        geometric_truth(scene),
        visible_truth(grown, rasterise(grown, pixel_um=PIXEL_UM)),
    )
    assert seen["porosity_frac"] > exact["porosity_frac"] + 5e-4
