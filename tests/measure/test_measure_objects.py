"""Counts of objects against closed forms, and on planted archives."""

import math

import numpy as np
import pandas as pd
import pytest

from wootz.archive import Archive
from wootz.errors import ArchiveError, WootzError
from wootz.fields import NewField
from wootz.measure import MeasureConfig, ObjectsConfig, count_objects, measure
from wootz.measure.counts import grid_weights
from wootz.measure.intervals import ratio_interval
from wootz.measure.particle import border_weights
from wootz.objects import objects_from_mask

BOX = ["row0", "col0", "row1", "col1"]


@pytest.mark.parametrize(("n_tiles", "size", "stride"), [((7, 9), 16, 16), ((8, 6), 16, 6), ((5, 6), 10, 13)])
def test_objects_at_every_place_of_the_grid_give_their_true_density(n_tiles, size, stride):
    """One object of 2 x 1 tiles at each place, also beyond the border, is one per stride squared."""
    shape = tuple((n - 1) * stride + size for n in n_tiles)
    edges = [
        np.concatenate([[0], np.arange(1, n) * stride + (size - stride) / 2, [length]]).astype(int)
        for n, length in zip(n_tiles, shape, strict=True)
    ]
    boxes = []
    for row in range(-1, n_tiles[0]):
        for col in range(n_tiles[1]):
            top, bottom = max(row, 0), min(row + 2, n_tiles[0])
            boxes.append((edges[0][top], edges[1][col], edges[0][bottom], edges[1][col + 1]))
    objects = pd.DataFrame(boxes, columns=BOX).assign(area_px=1.0)
    weights = grid_weights(objects, shape, step_px=size)[1]
    truth = shape[0] * shape[1] / stride**2
    assert weights.sum() == pytest.approx(truth, rel=0.01)
    as_pixels = grid_weights(objects, shape, step_px=1)[1]
    assert as_pixels.sum() < 0.85 * truth  # outlines jump by tiles: what pixel masks call uncut is rarer


def test_with_a_step_of_one_pixel_it_is_the_formula_of_particles(rng):
    corner, size = rng.integers(0, 40, (50, 2)), rng.integers(1, 12, (50, 2))
    objects = pd.DataFrame(np.hstack([corner, np.minimum(corner + size, (50, 60))]), columns=BOX)
    inside, weights = grid_weights(objects, (50, 60), step_px=1)
    expected = border_weights(objects, np.ones((50, 60), bool))
    assert (inside == expected[0]).all()
    assert weights == pytest.approx(expected[1])
    assert 0 < inside.sum() < 50


def test_counts_by_hand(rng):
    objects = pd.DataFrame([(2, 2, 4, 6), (5, 5, 9, 7), (0, 3, 2, 5)], columns=BOX)
    objects["area_px"] = [8.0, 6.0, 4.0]
    found = count_objects(objects, (20, 30), rng=rng, pixel_size_nm=(100.0, 50.0))
    weights = [600 / ((20 - 3) * (30 - 5)), 600 / ((20 - 5) * (30 - 3)), 0]
    assert found.weights == pytest.approx(weights)
    assert (found.n, found.n_inside) == (3, 2)
    assert found.density.value == pytest.approx(sum(weights) / (600 * 0.005))
    assert (found.density_unit, found.area_unit) == ("1/µm²", "µm²")
    mean = (weights[0] * 8 + weights[1] * 6) / sum(weights) * 0.005
    assert found.mean_area.value == pytest.approx(mean)
    assert found.reference_area == pytest.approx(3.0)
    assert "1 of 3 objects reach the border" in found.notes[0]
    in_px = count_objects(objects, (20, 30), rng=rng)
    assert in_px.density.value == pytest.approx(sum(weights) / 600e-6)
    assert (in_px.density_unit, in_px.area_unit) == ("1/Mpx", "px²")


def test_none_at_all_has_a_limit_and_none_inside_has_none(rng):
    none = pd.DataFrame(columns=[*BOX, "area_px"], dtype=float)
    empty = count_objects(none, (100, 100), rng=rng).density
    assert (empty.value, empty.ci_high) == (0.0, pytest.approx(-math.log(0.05) / 0.01))
    across = pd.DataFrame([(0, 0, 100, 9)], columns=BOX).assign(area_px=900.0)
    found = count_objects(across, (100, 100), rng=rng)
    assert (found.n, found.density.value) == (1, 0.0)
    assert math.isnan(found.density.ci_high)
    assert found.density.reason == "all 1 reach the border"
    with pytest.raises(ValueError, match="step_px=101"):
        count_objects(across, (100, 100), rng=rng, step_px=101)


N_SPOTS = {"A": (4, 6), "B": (9, 0)}


@pytest.fixture
def archive(tmp_path):
    """Fields of 60 px with spots of 3 x 4 px; specimen A has a scale of 100 nm, B has none."""
    archive = Archive.create(tmp_path / "a")
    rng = np.random.default_rng(0)
    fields, masks = [], []
    for specimen, numbers in N_SPOTS.items():
        for i, n in enumerate(numbers):
            row = {"file": f"{specimen}{i}.tif", "specimen": specimen, "condition": "hot"}
            row |= {"pixel_size_row_nm": 100.0, "pixel_size_col_nm": 100.0} if specimen == "A" else {}
            fields.append(NewField(rng.integers(0, 255, (60, 60)).astype(np.uint8), row))
            mask = np.zeros((60, 60), np.uint8)
            for k in range(n):
                mask[6 + 16 * (k // 3) :, 6 + 16 * (k % 3) :][:3, :4] = 1
            masks.append(mask)
    ids = archive.add_images(fields).image_ids
    archive.add_classes("spots", pd.DataFrame({"id": [0, 1], "name": ["ground", "spot"]}))
    found = []
    for image_id, mask in zip(ids, masks, strict=True):
        archive.add_mask(image_id, mask, scheme="spots", source="run-1", kind="prediction")
        found.append(objects_from_mask(mask, image_id=image_id, class_names={1: "spot"}, source="run-1"))
    archive.add_objects(pd.concat(found))
    return archive


def go(archive, **options):
    kind = ObjectsConfig(**{k: options.pop(k) for k in ("classes", "min_area_px") if k in options})
    run = archive.start_run("measure", {}, seed=0, inputs={})
    return measure(archive, MeasureConfig(measure=kind, **({"overlays": 0} | options)), run=run)


def rows(report, quantity, level):
    return report.table[(report.table["quantity"] == quantity) & (report.table["level"] == level)]


def test_fields_without_any_object_count_and_units_stay_apart(archive):
    report = go(archive)
    fields = rows(report, "object_count:spot", "field").set_index("file")
    assert fields["value"].to_dict() == {"A0.tif": 4, "A1.tif": 6, "B0.tif": 9, "B1.tif": 0}
    weight = 3600 / ((60 - 4) * (60 - 5))
    density = rows(report, "object_density:spot", "field").set_index("file")
    assert density.loc["A1.tif", "value"] == pytest.approx(6 * weight / 36)
    assert density["unit"].to_dict() == dict.fromkeys(("A0.tif", "A1.tif"), "1/µm²") | dict.fromkeys(
        ("B0.tif", "B1.tif"), "1/Mpx"
    )
    a, b = (rows(report, "object_density:spot", "specimen").set_index("specimen").loc[s] for s in "AB")
    expected = ratio_interval([4 * weight, 6 * weight], [36, 36])
    assert (a["value"], a["ci_high"]) == pytest.approx((expected.value, expected.ci_high))
    assert b["value"] == pytest.approx(9 * weight / 2 / 3600e-6)
    areas = rows(report, "object_area_mean:spot", "specimen")
    assert areas["value"].tolist() == pytest.approx([0.12, 12])
    assert areas["unit"].tolist() == ["µm²", "px²"]
    share = rows(report, "area_fraction:spot", "specimen").set_index("specimen")
    assert share.loc["A", "value"] == pytest.approx(5 * 12 / 3600)
    assert len(rows(report, "object_density:spot", "condition")) == 2  # with and without a scale
    assert any("2 field(s) have no pixel size" in note for note in report.notes)
    assert set(archive.measurements["source"]) == {"run-1"}


def test_small_objects_are_left_out_and_overlays_drawn(archive):
    report = go(archive, min_area_px=13, overlays=1)
    assert rows(report, "object_count:spot", "field")["value"].eq(0).all()
    assert report.overlays[0].stat().st_size > 5_000


def test_objects_of_a_source_without_masks_say_what_is_not_known(archive):
    objects = archive.objects.assign(source="by hand")
    archive.add_objects(objects.assign(object_id="h" + objects.object_id))
    with pytest.raises(WootzError, match="by=by hand"):
        go(archive)
    report = go(archive, by="by hand")
    assert len(rows(report, "object_count:spot", "field")) == 3  # B1 has no spot, and nothing names it
    assert "fields without any object of 'by hand' are not known" in report.notes[0]


def test_errors_say_what_to_do(archive, tmp_path):
    with pytest.raises(ArchiveError, match="no class 'spott'; they have: spot"):
        go(archive, classes=["spott"])
    with pytest.raises(ArchiveError, match="by one of: run-1"):
        go(archive, by="run-2")
    with pytest.raises(ArchiveError, match="split 'val'"):
        go(archive, split="val")
    with pytest.raises(ArchiveError, match="wootz cluster"):
        go(Archive.create(tmp_path / "empty"))
