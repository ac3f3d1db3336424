"""Documents, detector and the rendered folder."""

import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from wootz.apps.grey_baseline import grey_baseline
from wootz.errors import WootzError
from wootz.synthetic import (
    CLASSES,
    RECIPES,
    RenderConfig,
    build_recipe,
    compose,
    demo_recipe,
    draw,
    read_recipe,
    read_scene,
    render,
)
from wootz.synthetic.detector import detect
from wootz.synthetic.documents import from_plain, to_json, to_plain
from wootz.synthetic.recipe import LayerSpec, Recipe, Spread
from wootz.synthetic.signal import smooth_noise

# SHA-256 of the canonical JSON of the built-in recipes, printed once by `build_recipe(name).hash`. A change
# means that the demo's fields are no longer those of earlier results: say so in the changelog.
FROZEN_RECIPES = {
    "coating": "b5eb15d77a3fe858435b2be78e766996edff0f22342753563da9ebe42615b538",
    "coating-demo": "9501cae083db8f99391a74c10e5e4fa9c6cd6f903d9c188af9abbd8400575b56",
    "coating-demo-defect": "871287cb3678349c4f382d99c238ce57404604a8a2e0f55db7eac20277662498",
}


def small(name="coating-demo", index=0, *, seed=0, side_um=45.0):
    return compose(build_recipe(name), index, seed=seed, width_um=side_um, height_um=side_um)


# --- documents


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_hashes_are_frozen(name):
    assert build_recipe(name).hash == FROZEN_RECIPES[name]


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_and_scene_survive_json(name, tmp_path):
    recipe, scene = build_recipe(name), small(name)
    (tmp_path / "r.json").write_text(to_json(recipe), encoding="utf-8")
    (tmp_path / "s.json").write_text(to_json(scene), encoding="utf-8")
    assert read_recipe(tmp_path / "r.json") == recipe
    again = read_scene(tmp_path / "s.json")
    assert again == scene
    assert again.hash == scene.hash
    np.testing.assert_array_equal(draw(again, pixel_um=0.3).image, draw(scene, pixel_um=0.3).image)


def test_the_hash_sees_every_field_and_no_spelling():
    recipe = demo_recipe()
    assert replace(recipe, seed=recipe.seed + 1).hash != recipe.hash
    assert replace(recipe, tilt_deg=Spread(-3.0, 3.1)).hash != recipe.hash
    assert replace(recipe, tilt_deg=Spread(-3, 3)).hash == recipe.hash  # 3 and 3.0 are one number
    shuffled = json.loads(json.dumps(to_plain(recipe), sort_keys=True))
    assert from_plain(Recipe, shuffled, where="x").hash == recipe.hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(colour=1), "unknown key 'colour'"),
        (lambda d: d.update(seed="0"), r"recipe.json.seed: expected int, not '0'"),
        (lambda d: d.pop("name"), "required key is missing.*name"),
        (lambda d: d["looks"].pop(0), "no look for resin"),
        (lambda d: d["layers"][0].update(thickness_um={"low": 5, "high": 2}), "low must not exceed high"),
        (lambda d: d["inclusions"][0].update(phase="crack"), "choose one of pore, precipitate"),
        (lambda d: d["imaging"].update(drift_px={"low": 0, "high": 3}), "imaging.drift_px.high"),
        (lambda d: d.update(layers=[]), "layers must be Fe2Al5"),
        (lambda d: d.update(schema="wootz-recipe/9"), "schema='wootz-recipe/9' is not known"),
    ],
)
def test_a_wrong_recipe_file_names_key_and_remedy(tmp_path, change, message):
    data = to_plain(demo_recipe())
    change(data)
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(WootzError, match=message):
        read_recipe(path)


def test_unreadable_recipe_files(tmp_path):
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(WootzError, match=r"bad\.json: not readable as JSON"):
        read_recipe(tmp_path / "bad.json")
    with pytest.raises(WootzError, match="no such file"):
        read_recipe(tmp_path / "none.json")


def test_layers_out_of_order_are_refused():
    with pytest.raises(WootzError, match="in this order"):
        replace(demo_recipe(), layers=[LayerSpec("FeAl"), LayerSpec("Fe2Al5")])


# --- scenes


def test_scenes_depend_on_seed_index_and_nothing_else():
    assert small(index=1).hash == small(index=1).hash
    scenes = [small(index=i, seed=s) for i in range(3) for s in range(3)]
    for part in ("interfaces", "grains", "inclusions", "looks", "imaging", "noise_seed"):
        assert len({repr(getattr(scene, part)) for scene in scenes}) == 9


def test_normal_fields_hold_no_defect_and_defect_fields_do():
    normal, defect = small(), small("coating-demo-defect")
    assert not any(i.defect for i in normal.inclusions)
    assert not normal.cracks
    drawn = draw(defect, pixel_um=0.15)
    assert drawn.truth["defects"] == ["defect_cluster", "defect_delamination"]
    assert drawn.truth["defect_area_px"] == drawn.defect_mask.sum() > 300
    assert set(np.unique(drawn.class_mask[drawn.defect_mask])) == {4, 6}
    assert not draw(normal, pixel_um=0.3).defect_mask.any()


def test_demo_objects_are_at_least_eight_pixels_across():
    recipe = demo_recipe()
    for i in range(4):
        for shape in small(index=i, side_um=57.6).inclusions:
            assert 2 * np.sqrt(shape.area_um2 / np.pi) >= 8 * recipe.pixel_um


def test_a_field_too_small_says_what_to_do():
    with pytest.raises(WootzError, match=r"needs .* µm of height.*raise size_px or pixel_um"):
        small(side_um=10.0)


# --- image


@pytest.mark.parametrize("name", ["coating", "coating-demo"])
@pytest.mark.parametrize("mode", ["se", "bse"])
def test_grey_levels_use_the_range_and_are_not_clipped(name, mode):
    for i in range(4):
        scene = small(name, i, side_um=50.0)
        drawn = draw(scene, pixel_um=0.2, mode=mode, bit_depth=16)
        assert drawn.image.dtype == np.uint16
        assert (drawn.image == 0).mean() < 0.01
        assert (drawn.image == 65535).mean() < 0.01
        low, high = np.percentile(drawn.image, [1, 99])
        assert high - low > 0.25 * 65535
        resin = drawn.image[drawn.class_mask == 0]
        assert (resin == 0).mean() < 0.01
        assert resin.std() > 0.01 * 65535
        assert np.unique(drawn.image).size > 256  # more than 8 bits can hold


def test_eight_and_sixteen_bit_are_the_same_picture():
    scene = small()
    eight, sixteen = (draw(scene, pixel_um=0.3, bit_depth=b).image for b in (8, 16))
    assert eight.dtype == np.uint8
    np.testing.assert_allclose(eight / 255, sixteen / 65535, atol=0.5 / 255 + 1e-4)


def test_backscatter_orders_the_phases_by_their_mean_atomic_number():
    drawn = draw(small("coating"), pixel_um=0.2, mode="bse")
    level = {c.name: drawn.image[drawn.class_mask == c.id] for c in CLASSES}
    means = [level[name].mean() for name in ("pore", "resin", "Fe2Al5", "steel")]
    assert means[1] < means[2] < means[3]
    assert means[0] < means[2]


def test_pores_have_bright_rims_in_secondary_electrons_only():
    scene = small("coating", 1, side_um=50.0)

    def rim(mode):
        drawn = draw(scene, pixel_um=0.1, mode=mode)
        near = np.zeros(drawn.image.shape, bool)
        pores = drawn.class_mask == 4
        for shift in (-2, -1, 1, 2):
            near |= np.roll(pores, shift, 0) | np.roll(pores, shift, 1)
        layer = drawn.class_mask == 1
        return drawn.image[near & layer].mean() - drawn.image[layer & ~near].mean()

    assert rim("se") > 15 > rim("bse")


def quiet(scene, **changes):
    off = dict.fromkeys(("shading", "line_noise", "drift_px", "brightness", "defocus_um"), 0.0)
    return replace(scene, imaging=replace(scene.imaging, **{**off, "contrast": 1.0, "gamma": 1.0, **changes}))


def test_detector_noise_is_poisson():
    flat = np.full((400, 400), 0.4, np.float32)
    options = {"pixel_um": 0.1, "bit_depth": 16, "rng": np.random.default_rng(0)}
    for dose in (50.0, 200.0):
        image = detect(flat, quiet(small(), dose_e_per_px=dose), **options) / 65535
        assert image.mean() == pytest.approx(0.4, abs=0.002)
        assert image.var() == pytest.approx(0.4 / dose, rel=0.03)  # variance of N/dose with N ~ Poisson


def test_detector_brightness_contrast_and_gamma():
    flat = np.full((64, 64), 0.4, np.float32)
    options = {"pixel_um": 0.1, "bit_depth": 16}
    conditions = quiet(small(), dose_e_per_px=1e7, brightness=0.1, contrast=2.0, gamma=0.5)
    image = detect(flat, conditions, rng=np.random.default_rng(0), **options) / 65535
    assert image.mean() == pytest.approx(((0.4 - 0.5) * 2 + 0.5 + 0.1) ** 0.5, abs=1e-3)


def test_line_noise_is_the_same_along_a_line():
    flat = np.full((300, 64), 0.5, np.float32)
    conditions = quiet(small(), dose_e_per_px=1e8, line_noise=0.02)
    image = detect(flat, conditions, pixel_um=0.1, bit_depth=16, rng=np.random.default_rng(1)) / 65535
    assert image.mean(axis=1).std() == pytest.approx(0.02, rel=0.15)
    assert image.std(axis=1).max() < 0.001


def test_drift_stays_below_a_pixel():
    ramp = np.tile(np.linspace(0.2, 0.8, 200, dtype=np.float32), (200, 1))
    conditions = quiet(small(), dose_e_per_px=1e9, drift_px=0.5)
    image = detect(ramp, conditions, pixel_um=1.0, bit_depth=16, rng=np.random.default_rng(1)) / 65535
    shift_px = (image - ramp)[:, 5:-5] / (ramp[0, 1] - ramp[0, 0])
    assert 0.2 < np.abs(shift_px).max() <= 0.52


@pytest.mark.parametrize("cell", [1.0, 3.3, 20.0])
def test_smooth_noise_has_unit_variance_everywhere(cell):
    rng = np.random.default_rng(0)
    stack = np.stack([smooth_noise((40, 50), (cell, cell), rng=rng) for _ in range(600)])
    assert stack.dtype == np.float32
    np.testing.assert_allclose(stack.var(axis=0), 1, atol=0.35)
    assert stack.var() == pytest.approx(1, abs=0.06)
    neighbours = (stack[:, :, 1:] * stack[:, :, :-1]).mean()
    assert neighbours == pytest.approx({1.0: 0.5, 3.3: 0.93, 20.0: 1.0}[cell], abs=0.08)  # B-spline overlap


# --- the folder


def digest(folder):
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    out = tmp_path_factory.mktemp("set") / "new"
    cfg = RenderConfig(n=3, seed=4, recipe="coating-demo-defect", size_px=256, pixel_um=0.2, bit_depth=16)
    return out, cfg, render(out, cfg)


def test_folder_holds_images_masks_truth_and_tables(rendered):
    out, cfg, report = rendered
    assert "3 fields" in report.summary()
    assert report.names == ["field_0000", "field_0001", "field_0002"]
    truth = json.loads((out / "truth.json").read_text())
    assert truth["recipe_hash"] == build_recipe(cfg.recipe).hash == report.recipe_hash
    assert read_recipe(out / "recipe.json") == build_recipe(cfg.recipe)
    for record in truth["fields"]:
        image, mask = tifffile.imread(out / record["file"]), np.array(Image.open(out / record["mask"]))
        instances = np.array(Image.open(out / record["instances"]))
        assert (image.dtype, mask.dtype) == (np.uint16, np.uint8)
        assert image.shape == mask.shape == instances.shape == (256, 256)
        scene = read_scene(out / record["scene"])
        assert scene.hash == record["scene_hash"]
        drawn = draw(scene, pixel_um=0.2, bit_depth=16)
        np.testing.assert_array_equal(image, drawn.image)
        np.testing.assert_array_equal(mask, drawn.class_mask)
        np.testing.assert_array_equal(instances, drawn.instance_mask)
        defects = np.array(Image.open(out / record["defect_mask"]))
        np.testing.assert_array_equal(defects > 0, drawn.defect_mask)
    with (out / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(int(r["id"]), r["name"]) for r in rows] == [(c.id, c.name) for c in CLASSES]
    with (out / "metadata.csv").open() as file:
        assert {r["condition"] for r in csv.DictReader(file)} == {"defect"}


def test_pixel_size_stands_in_the_tags(rendered):
    out, _, _ = rendered
    with tifffile.TiffFile(out / "images" / "field_0000.tif") as file:
        tags = file.pages[0].tags
        numerator, denominator = tags["XResolution"].value
        assert tags["ResolutionUnit"].value == 3  # centimetre
        assert 1e4 * denominator / numerator == pytest.approx(0.2, rel=1e-6)
        assert file.imagej_metadata["unit"] == "cm"


def test_our_reader_recovers_the_pixel_size(rendered):
    readers = pytest.importorskip("wootz.readers")
    if not hasattr(readers, "read_image"):
        pytest.skip("the readers are not there")
    image = readers.read_image(rendered[0] / "images" / "field_0001.tif")
    assert image.pixel_size_nm == pytest.approx((200.0, 200.0), rel=1e-6)
    assert image.pixels.dtype == np.uint16


def test_the_same_call_does_nothing_and_an_interrupted_set_is_completed(rendered, tmp_path):
    out, cfg, _ = rendered
    before = digest(out)
    assert render(out, cfg).n_drawn == 0
    assert digest(out) == before
    for name in ("truth/field_0001.json", "masks/field_0001.png", "truth.json"):
        (out / name).unlink()
    report = render(out, cfg)
    assert report.n_drawn == 1
    assert "2 were there already" in report.summary()
    assert digest(out) == before


def test_a_longer_set_begins_with_the_shorter_one(rendered, tmp_path):
    out, cfg, _ = rendered
    longer = tmp_path / "longer"
    render(longer, replace(cfg, n=4))
    short, long = digest(out), digest(longer)
    changed = {name for name in short if short[name] != long[name]}
    assert changed == {"truth.json", "metadata.csv"}


def test_another_process_draws_the_same_bytes(rendered, tmp_path):
    out, cfg, _ = rendered
    code = "import sys, json; from wootz.synthetic import RenderConfig, render; "
    code += "render(sys.argv[1], RenderConfig(**json.loads(sys.argv[2])))"
    options = json.dumps({**asdict(cfg), "n": 1})
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a"), options], check=True)
    again, before = digest(tmp_path / "a"), digest(out)
    assert all(again[name] == before[name] for name in again if "0000" in name)


def test_a_recipe_file_serves_as_recipe(rendered, tmp_path):
    out, cfg, report = rendered
    copy = render(tmp_path / "b", replace(cfg, n=1, recipe=str(out / "recipe.json")))
    assert copy.recipe_hash == report.recipe_hash


def test_another_set_in_the_folder_is_refused(rendered, tmp_path):
    out, cfg, _ = rendered
    with pytest.raises(WootzError, match=r"rendered with seed=4, not 5; give a new folder"):
        render(out, replace(cfg, seed=5))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WootzError, match="exists and is no folder of rendered fields"):
        render(tmp_path, cfg)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "steel"}, "recipe='steel' is not known; choose one of coating, coating-demo"),
        ({"n": 0}, "n=0 is out of range"),
        ({"size_px": 8}, "size_px=8 is out of range"),
        ({"bit_depth": 12}, "bit_depth='12' is not known; choose one of 16, 8"),
        ({"pixel_um": -0.1}, "pixel_um=-0.1 is out of range"),
        ({"mode": "stem"}, "mode='stem' is not known; choose one of bse, se"),
        ({"seed": -1}, "seed=-1 is out of range"),
    ],
)
def test_bad_options_say_what_is_allowed(tmp_path, options, message):
    with pytest.raises(WootzError, match=message):
        render(tmp_path / "x", RenderConfig(**{"n": 1, **options}))


# --- not easy for grey levels


def test_grey_baseline_solves_what_grey_levels_can_solve():
    mask = np.repeat([7, 0, 3, 1], 500).reshape(40, 50).astype(np.uint8)
    grey = np.array([30, 90, 0, 150, 0, 0, 0, 210])[mask]
    image = (grey + np.random.default_rng(0).normal(0, 5, mask.shape)).clip(0, 255).astype(np.uint8)
    assert grey_baseline([image], [mask]) > 0.99
    assert grey_baseline([np.roll(image, 5, axis=0)], [mask]) < 0.5


def test_grey_levels_alone_do_not_solve_the_demo():
    drawn = [draw(small(index=i, side_um=57.6), pixel_um=0.15) for i in range(6)]
    masks = [d.class_mask for d in drawn]
    assert set(np.unique(masks)) == {0, 1, 3, 4, 5}
    assert 0.1 < grey_baseline([d.image for d in drawn], masks) < 0.45
