"""`measure` on a toy archive: rows, pooling, units, files, and messages for what is missing."""

import math

import numpy as np
import pandas as pd
import pytest

from wootz.archive import Archive
from wootz.errors import ArchiveError, WootzError
from wootz.fields import NewField
from wootz.measure import CoatingConfig, FractionsConfig, MeasureConfig, ParticlesConfig, measure
from wootz.measure.formatting import format_interval
from wootz.measure.intervals import Interval, student_interval
from wootz.measure.pooling import FieldValue, pool

CLASSES = pd.DataFrame(
    {
        "id": [0, 1, 2, 3],
        "name": ["resin", "coating", "pore", "steel"],
        "colour": ["#0072b2", "#e69f00", "#d55e00", "#009e73"],
        "role": ["background", "phase", "defect", "phase"],
    }
)
THICKNESS_PX = {"A": (30, 34), "B": (40, 42, 44)}


def toy_mask(thickness, rng):
    mask = np.zeros((96, 128), np.uint8)
    mask[20 : 20 + thickness] = 1
    mask[20 + thickness :] = 3
    for _ in range(6):
        row, col = rng.integers(22, 16 + thickness), rng.integers(2, 120)
        mask[row : row + 4, col : col + 5] = 2
    return mask


@pytest.fixture
def archive(tmp_path):
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path / "study")
    archive.add_classes("section", CLASSES)
    fields, masks = [], []
    for specimen, values in THICKNESS_PX.items():
        for i, thickness in enumerate(values):
            mask = toy_mask(thickness, rng)
            image = (50 + 40 * mask + rng.integers(0, 20, mask.shape)).astype(np.uint8)
            row = {"file": f"{specimen} #{i}.tif", "specimen": specimen, "condition": "900C", "split": "test"}
            row |= {"pixel_size_row_nm": 100.0, "pixel_size_col_nm": 100.0}
            fields.append(NewField(image, row))
            masks.append(mask)
    ids = archive.add_images(fields).image_ids
    for image_id, mask in zip(ids, masks, strict=True):
        archive.add_mask(image_id, mask, scheme="section", source="ann")
    return archive


def go(archive, kind, **options):
    options = {"source": "annotation", "overlays": 0} | options
    run = archive.start_run("measure", {}, seed=0, inputs={})
    return measure(archive, MeasureConfig(measure=kind, **options), run=run)


def rows(report, quantity, level):
    table = report.table
    return table[(table["quantity"] == quantity) & (table["level"] == level)]


def test_coating_rows_and_files(archive):
    report = go(archive, CoatingConfig(layer=["coating"]), overlays=1)
    fields = rows(report, "thickness:coating", "field")
    assert fields["value"].tolist() == pytest.approx([3000, 3400, 4000, 4200, 4400], rel=0.02)
    assert set(fields["unit"]) == {"nm"}
    specimens = rows(report, "thickness:coating", "specimen").set_index("specimen")
    b = student_interval(fields.loc[fields["specimen"] == "B", "value"])
    row = specimens.loc["B"]
    assert (row["value"], row["ci_low"], row["ci_high"]) == pytest.approx((b.value, b.ci_low, b.ci_high))
    assert row["n"] == 3
    condition = rows(report, "thickness:coating", "condition").iloc[0]
    over = student_interval(specimens["value"])
    assert (condition["value"], condition["n"]) == (pytest.approx(over.value), 2)
    assert condition["interval"] == "Student's t over 2 specimens"
    for path in (*report.overlays, report.figure):
        assert path.stat().st_size > 5_000
    assert len(report.overlays) == 1
    csv = pd.read_csv(report.folder / "measurements.csv")
    assert len(csv) == len(report.table)
    assert "3.2" in report.summary()
    assert "µm" in report.summary()


def test_rows_reach_the_archive_and_repetition_replaces_them(archive):
    first = go(archive, CoatingConfig(layer=["coating"]))
    stored = archive.measurements
    assert len(stored) == len(first.table)
    assert set(stored["source"]) == {"annotation"}
    second = go(archive, CoatingConfig(layer=["coating"]))
    stored = archive.measurements
    assert len(stored) == len(second.table)
    assert set(stored["run"]) == {second.folder.name}
    go(archive, CoatingConfig(layer=["coating"], smoothing_px=60))
    assert len(archive.measurements) == 2 * len(second.table)  # another definition stands beside


def test_porosity_in_the_coating_is_pooled_by_area(archive):
    report = go(archive, FractionsConfig(classes=["pore"], within=["coating"]), overlays=1)
    assert len(report.overlays) == 1
    quantity = "area_fraction:pore in coating"
    pores = {i: (archive.mask(i, scheme="section") == 2).sum() for i in archive.images["image_id"]}
    fields = rows(report, quantity, "field")
    for row in fields.itertuples():
        thickness = [*THICKNESS_PX["A"], *THICKNESS_PX["B"]][list(pores).index(row.image_id)]
        assert row.value == pytest.approx(pores[row.image_id] / (thickness * 128), rel=0.03)
    b = rows(report, quantity, "specimen").set_index("specimen").loc["B"]
    total = sum(list(pores.values())[2:]) / (sum(THICKNESS_PX["B"]) * 128)
    assert b["value"] == pytest.approx(total, rel=0.03)
    assert 0 <= b["ci_low"] < b["value"] < b["ci_high"] <= 1


def test_fractions_of_all_classes_add_up(archive):
    report = go(archive, FractionsConfig())
    for _, part in report.table[report.table["level"] == "field"].groupby("image_id"):
        assert part["value"].sum() == pytest.approx(1)


def test_particles_rows(archive):
    report = go(archive, ParticlesConfig(classes=["pore"], within=["coating"]), overlays=1)
    assert len(report.overlays) == 1
    fields = rows(report, "particle_density:pore in coating", "field")
    assert (fields["unit"] == "1/µm²").all()
    counts = rows(report, "particle_count:pore in coating", "field")["value"]
    area_um2 = np.array([*THICKNESS_PX["A"], *THICKNESS_PX["B"]]) * 128 * 0.01
    ratio = fields["value"].to_numpy() / (counts.to_numpy() / area_um2)
    assert ((ratio > 0.95) & (ratio < 1.3)).all()  # border weights: a few per cent for small particles
    ecd = rows(report, "particle_ecd_mean:pore in coating", "field")
    assert ecd["value"].between(400, 900).all()
    assert rows(report, "particle_count:pore in coating", "field")["ci_low"].isna().all()


def test_same_seed_same_numbers(archive):
    a, b = (go(archive, ParticlesConfig(classes=["pore"])) for _ in range(2))
    pd.testing.assert_frame_equal(a.table.drop(columns="run"), b.table.drop(columns="run"))


def test_fields_without_a_scale_are_in_px_and_apart(archive):
    ids = archive.images["image_id"]
    for side in ("row", "col"):
        archive.set_image_column(f"pixel_size_{side}_nm", [ids[0]], [math.nan])
    report = go(archive, CoatingConfig(layer=["coating"]))
    fields = rows(report, "thickness:coating", "field").set_index("image_id")
    assert fields.loc[ids[0], "unit"] == "px"
    assert fields.loc[ids[0], "value"] == pytest.approx(30, rel=0.02)
    assert fields.loc[ids[1], "unit"] == "nm"
    specimens = rows(report, "thickness:coating", "specimen")
    assert sorted(specimens.loc[specimens["specimen"] == "A", "unit"]) == ["nm", "px"]
    assert "1 field(s) have no pixel size" in report.summary()
    with pytest.raises(WootzError, match=r"A #0.tif has no pixel size"):
        go(archive, CoatingConfig(layer=["coating"], smoothing_nm=500.0))


def test_field_without_layer_is_a_row_with_a_reason(archive):
    image_id = archive.images["image_id"][0]
    archive.add_mask(image_id, np.zeros((96, 128), np.uint8), scheme="section", source="ann")
    report = go(archive, CoatingConfig(layer=["coating"]), overlays=1)
    row = rows(report, "thickness:coating", "field").set_index("image_id").loc[image_id]
    assert math.isnan(row["value"])
    assert "no pixel of the layer" in row["note"]
    a = rows(report, "thickness:coating", "specimen").set_index("specimen").loc["A"]
    assert a["value"] == pytest.approx(3400, rel=0.02)
    assert "1 of 2 fields could not be measured" in a["note"]
    assert "no pixel of the layer" in report.summary()


def test_duplicates_are_left_out(archive):
    image_id = archive.images["image_id"][1]
    archive.set_image_column("duplicate_of", [image_id], [archive.images["image_id"][0]])
    report = go(archive, CoatingConfig(layer=["coating"]))
    assert image_id not in set(report.table["image_id"])
    assert "left out 1 duplicate" in report.summary()


def test_predictions_of_a_run(archive):
    image_id = archive.images["image_id"][0]
    for source, thickness in (("old", 20), ("new", 24)):
        mask = np.zeros((96, 128), np.uint8)
        mask[20 : 20 + thickness] = 1
        archive.add_mask(
            image_id, mask, scheme="section", source=source, kind="prediction", run=f"run-{source}"
        )
    newest = go(archive, CoatingConfig(layer=["coating"]), source="prediction")
    assert rows(newest, "thickness:coating", "field")["value"].item() == pytest.approx(2400)
    old = go(archive, CoatingConfig(layer=["coating"]), source="prediction", by="run-old")
    assert rows(old, "thickness:coating", "field")["value"].item() == pytest.approx(2000)
    assert "n = 1" in rows(old, "thickness:coating", "specimen")["note"].item()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (CoatingConfig(), {"source": "prediction"}, r"no prediction masks.*wootz predict"),
        (CoatingConfig(layer=["oxide"]), {}, r"no class 'oxide'; it has: resin, coating, pore, steel"),
        (CoatingConfig(layer=["coating"], inside=["x"]), {}, r"measure.inside.*no class 'x'"),
        (CoatingConfig(), {}, r"measure.layer is not set.*coating"),
        (FractionsConfig(within=["x"]), {}, r"measure.within.*no class 'x'"),
        (ParticlesConfig(), {}, r"measure.classes is not set"),
        (CoatingConfig(layer=["coating"]), {"scheme": "other"}, r"no scheme 'other'"),
        (CoatingConfig(layer=["coating"]), {"by": "bob"}, r"by 'bob'.*ann"),
        (CoatingConfig(layer=["coating"]), {"split": "train"}, r"no field of split 'train'"),
        ("nonsense", {}, r"choose one of coating, fractions, particles"),
    ],
)
def test_what_is_missing_is_named(archive, kind, options, message):
    with pytest.raises(WootzError, match=message):
        go(archive, kind, **options)
    assert archive.measurements.empty


def test_several_schemes_must_be_chosen(archive):
    archive.add_classes("second", CLASSES)
    image_id = archive.images["image_id"][0]
    archive.add_mask(image_id, np.ones((96, 128), np.uint8), scheme="second", source="ann")
    with pytest.raises(WootzError, match="add scheme=second"):
        go(archive, FractionsConfig())
    assert go(archive, FractionsConfig(), scheme="section").table["scheme"].unique().tolist() == ["section"]


def test_empty_archive(tmp_path):
    archive = Archive.create(tmp_path / "empty")
    with pytest.raises(ArchiveError, match="no prediction masks"):
        measure(archive, MeasureConfig(), run=archive.start_run("measure", {}, seed=0, inputs={}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MeasureConfig(source="guess"), "source="),
        (lambda: MeasureConfig(confidence=95), "confidence="),
        (lambda: CoatingConfig(overhangs="x"), r"measure\.overhangs"),
        (lambda: CoatingConfig(section_tilt_deg=-3), r"measure\.section_tilt_deg"),
        (lambda: CoatingConfig(smoothing_px=0), r"measure\.smoothing_px"),
        (lambda: FractionsConfig(blocks=1), r"measure\.blocks"),
        (lambda: ParticlesConfig(min_area_px=0), r"measure\.min_area_px"),
    ],
)
def test_options_out_of_range(make, message):
    with pytest.raises(WootzError, match=message):
        make()


# pooling -----------------------------------------------------------------------------------------------


def value(number, *, specimen="", condition="", high=None, power=1, quantity="thickness:x"):
    interval = Interval(number, number - 1, number + 1 if high is None else high, 4, "blocks")
    return FieldValue(
        "i", specimen, condition, quantity, "nm", interval, "m", numerator=number, length_power=power
    )


def test_without_specimens_one_row_pools_all_fields():
    table = pool([value(v) for v in (9.0, 10.0, 12.0)])
    pooled = table[table["level"] == "all"].iloc[0]
    expected = student_interval([9.0, 10.0, 12.0])
    assert (pooled["ci_low"], pooled["ci_high"]) == pytest.approx((expected.ci_low, expected.ci_high))
    assert table["level"].tolist() == ["field"] * 3 + ["all"]


def test_conditions_are_not_mixed():
    table = pool(
        [value(v, specimen=s, condition=c) for v, s, c in ((1, "a", "x"), (2, "a", "x"), (9, "b", "y"))]
    )
    assert table[table["level"] == "condition"]["value"].tolist() == [1.5, 9]
    assert "all" not in set(table["level"])


def test_lower_bounds_stay_lower_bounds():
    table = pool(
        [value(9.0, specimen="a"), value(12.0, specimen="a", high=math.inf), value(5.0, specimen="b")]
    )
    a = table[(table["level"] == "specimen") & (table["specimen"] == "a")].iloc[0]
    assert a["ci_high"] == math.inf
    assert "lower bounds only" in a["note"]
    assert table[table["level"] == "all"]["ci_high"].item() == math.inf


def test_scale_error_is_not_averaged_away():
    many = [value(100.0 + 0.01 * i) for i in range(50)]
    plain, with_error = (pool(many, pixel_size_rel_error=e).iloc[-1] for e in (0.0, 0.02))
    assert plain["ci_high"] - plain["ci_low"] < 0.2
    assert (with_error["ci_high"] - with_error["ci_low"]) / 2 == pytest.approx(1.96 * 2.0, rel=0.01)


def test_lengths_never_go_below_zero():
    table = pool([value(1.0, specimen="a"), value(9.0, specimen="a")])
    assert table[table["level"] == "specimen"]["ci_low"].item() == 0


@pytest.mark.parametrize(
    ("interval", "unit", "text"),
    [
        (Interval(1243.0, 1131.0, 1352.0, 5, ""), "nm", "1.24 [1.13, 1.35] µm"),
        (Interval(0.0123, 0.0101, 0.0145, 5, ""), "1", "1.23 [1.01, 1.45] %"),
        (Interval(59.5, 57.0, math.inf, 5, ""), "px", "59.5 [57.0, open] px"),
        (Interval(math.nan, math.nan, math.nan, 0, "", "no layer"), "nm", "not measured (no layer)"),
        (Interval(5.0, 5.0, 5.0, 3, ""), "px", "5.000 [5.000, 5.000] px"),
    ],
)
def test_values_are_rounded_to_their_interval(interval, unit, text):
    assert format_interval(interval, unit) == text
