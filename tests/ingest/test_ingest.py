import json
import os
import shutil
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wootz
from wootz.errors import WootzError
from wootz.fields import NewField
from wootz.ingest import IngestConfig, ingest, pipeline, reading
from wootz.intensity import robust_range

CLASSES = "0:background,1:oxide,2:crack"
MASKS = {"masks": "../masks/{stem}.png", "classes": CLASSES, "scheme": "coating"}
GRID = {"tile_px": 32, "stride_px": 32}


def by_stem(archive):
    images = wootz.open(archive).images
    return images.set_index(images["file"].map(lambda f: Path(f).stem))


def test_fields_arrive_as_recorded(tmp_path, sem, make):
    make.tiff(sem / "images" / "sixteen.tif", make.texture(9, top=4095), nm=12.5)
    report = ingest(tmp_path / "a", sem, IngestConfig(**GRID))
    assert (report.n_files, report.n_added, report.n_known, report.set_aside) == (7, 7, 0, ())
    archive = wootz.open(tmp_path / "a")
    images = by_stem(tmp_path / "a")
    assert images.index.tolist() == sorted(images.index)
    for n in range(6):
        row = images.loc[f"s{n % 2}_{'ab'[n // 3]}_{n}"]
        np.testing.assert_array_equal(archive.field(row["image_id"]), make.texture(n))
    sixteen = images.loc["sixteen"]
    np.testing.assert_array_equal(archive.field(sixteen["image_id"]), make.texture(9, top=4095))
    assert sixteen["pixel_size_row_nm"] == pytest.approx(12.5)
    assert set(images["set"]) == {"sem"}
    assert report.n_tiles == len(archive.tile_table) == 7 * 12
    assert report.n_scale_unknown == 6
    assert "7 files, 7 taken in" in report.summary()


def test_tiles_have_the_contrast_that_the_archive_computes(tmp_path, sem):
    ingest(tmp_path / "a", sem, IngestConfig(tile_px=40, stride_px=24))
    archive = wootz.open(tmp_path / "a")
    at_hand = archive.tile_table
    computed = archive.write_tiles(41, 24), archive.write_tiles(40, 24)  # another grid drops the stored ones
    pd.testing.assert_frame_equal(at_hand, computed[1])


def test_many_batches_hold_what_one_does(tmp_path, sem):
    ingest(tmp_path / "one", sem, IngestConfig(**GRID))
    plan_batches = pipeline.batches
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "batches", lambda entries, n_bytes: plan_batches(entries, n_bytes=20_000))
        ingest(tmp_path / "many", sem, IngestConfig(**GRID))
    one, many = (wootz.open(tmp_path / name) for name in ("one", "many"))
    assert many.store.manifest["serial"] > one.store.manifest["serial"]
    place = ["shard", "offset"]
    pd.testing.assert_frame_equal(one.images.drop(columns=place), many.images.drop(columns=place))
    pd.testing.assert_frame_equal(one.tile_table, many.tile_table)


def test_files_that_wait_count_by_their_pixels():
    """Small files of large pictures would fill the memory otherwise."""
    pending, array, blocks, failed = (Future() for _ in range(4))
    array.set_result(reading.ReadFile(NewField(np.zeros((20, 30), np.uint16), {"file": "a"})))
    blocks.set_result(reading.ReadFile(NewField(iter([]), {"file": "b"})))
    failed.set_exception(WootzError("no"))
    held = [reading._held_bytes(7, future) for future in (pending, array, blocks, failed)]
    assert held == [7, 1200, 0, 7]


def test_second_call_changes_nothing(tmp_path, sem):
    cfg = IngestConfig(**MASKS, **GRID)
    first = ingest(tmp_path / "a", [sem], cfg)
    manifest = (tmp_path / "a" / "manifest.json").read_bytes()
    second = ingest(tmp_path / "a", [sem], cfg)
    assert (first.n_masks, second.n_masks) == (6, 0)
    assert (second.n_added, second.n_known) == (0, 6)
    assert (tmp_path / "a" / "manifest.json").read_bytes() == manifest


def test_new_and_changed_files_are_added(tmp_path, sem, make):
    ingest(tmp_path / "a", sem, IngestConfig(**GRID))
    make.tiff(sem / "images" / "new.tif", make.texture(20))
    os.utime(sem / "images" / "s0_a_0.tif", ns=(1, 1))  # touched, same pixels
    make.tiff(sem / "images" / "s1_a_1.tif", make.texture(21))
    report = ingest(tmp_path / "a", sem, IngestConfig(**GRID))
    assert (report.n_added, report.n_known) == (2, 5)
    assert "changed on disk" in report.summary()
    images = wootz.open(tmp_path / "a").images
    assert len(images) == 8
    assert images.set_index("file").at[str(sem / "images" / "s0_a_0.tif"), "file_mtime_ns"] == 1
    assert ingest(tmp_path / "a", sem, IngestConfig(**GRID)).n_added == 0


def test_bad_files_are_set_aside_and_the_rest_is_taken(tmp_path, sem, make):
    images = sem / "images"
    whole = (images / "s0_a_0.tif").read_bytes()
    (images / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (images / "empty.png").touch()
    (images / "no_image.jpg").write_text("hello")
    make.tiff(images / "float.tif", np.random.default_rng(0).random((64, 64)).astype(np.float32))
    make.png(images / "colour.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    report = ingest(tmp_path / "a", sem, IngestConfig(**GRID))
    assert report.n_added == 6
    reasons = {Path(file).name: reason for file, reason in report.set_aside}
    assert set(reasons) == {"cut.tif", "empty.png", "no_image.jpg", "float.tif", "colour.png"}
    for name, reason in reasons.items():
        assert name in reason
    assert "float32" in reasons["float.tif"]
    assert "colour" in reasons["colour.png"]
    aside = wootz.open(tmp_path / "a").set_aside
    assert sorted(Path(f).name for f in aside["file"]) == sorted(reasons)
    make.tiff(images / "float.tif", make.texture(30))  # exported anew
    again = ingest(tmp_path / "a", sem, IngestConfig(**GRID, colour="luminance"))
    assert again.n_added == 2
    aside = wootz.open(tmp_path / "a").set_aside
    assert sorted(Path(f).name for f in aside["file"]) == ["cut.tif", "empty.png", "no_image.jpg"]


def test_folder_without_images(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden.tif").touch()
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(WootzError, match=r"no image in .*empty; files that end in \.tif \.tiff \.png"):
        ingest(tmp_path / "a", tmp_path / "empty")
    with pytest.raises(WootzError, match="no such file or folder"):
        ingest(tmp_path / "a", tmp_path / "nothing")
    with pytest.raises(WootzError, match="nothing to ingest"):
        ingest(tmp_path / "a", [])
    assert not (tmp_path / "a").exists()


def test_images_smaller_than_a_tile_are_kept_without_tiles(tmp_path, sem, make):
    small = make.tiff(sem / "images" / "small.tif", make.texture(7, (40, 50)))
    report = ingest(tmp_path / "a", sem, IngestConfig(tile_px=64, stride_px=64))
    assert report.without_tiles == (str(small),)
    assert f"without tiles: {small} (see tile_px=)" in report.summary()
    assert len(wootz.open(tmp_path / "a").images) == 7
    alone = ingest(tmp_path / "b", small, IngestConfig())
    assert (alone.n_added, alone.n_tiles) == (1, 0)
    assert ingest(tmp_path / "b", small, IngestConfig(**GRID)).n_tiles > 0


def test_masks_hidden_files_and_archives_are_no_images(tmp_path, sem, make):
    make.tiff(sem / ".thumbnails" / "t.tif", make.texture(8))
    make.tiff(sem / "images" / "._s0_a_0.tif", make.texture(8))
    make.png(sem / "images" / "s0_a_0_mask.png", np.zeros((96, 128), np.uint8))
    cfg = IngestConfig(masks="{stem}_mask.png", classes="0:a", **GRID)
    report = ingest(sem / "archive", sem, cfg)
    assert (report.n_files, report.n_masks, report.n_without_mask) == (6, 1, 5)
    assert ingest(sem / "archive", sem, cfg).n_files == 6


def test_exact_and_near_duplicates_are_flagged_and_kept(tmp_path, make):
    folder = tmp_path / "sem"
    original = make.texture(1, (384, 512), top=4095)
    eight = (original >> 4).astype(np.uint8)
    make.tiff(folder / "1_original.tif", original)
    make.tiff(folder / "2_same.tif", original)
    make.png(folder / "3_eight_bits.png", eight)
    make.png(folder / "4_brighter.png", (eight * 0.7 + 50).astype(np.uint8))
    make.tiff(folder / "5_other.tif", make.texture(2, (384, 512)))
    report = ingest(tmp_path / "a", folder, IngestConfig())
    assert (report.n_added, report.n_exact_duplicates, report.n_near_duplicates) == (5, 1, 2)
    archive = wootz.open(tmp_path / "a")
    images = by_stem(tmp_path / "a")
    copies = images.loc[images["duplicate_of"] != "", "duplicate_of"]
    assert copies.to_dict() == dict.fromkeys(
        ["2_same", "3_eight_bits", "4_brighter"], images.at["1_original", "image_id"]
    )
    flagged = archive.tile_table.groupby("image_id")["duplicate"].all()
    assert set(flagged[flagged].index) == set(images.loc[copies.index, "image_id"])
    late = make.png(tmp_path / "late" / "6_late.png", (eight * 0.5 + 20).astype(np.uint8))
    assert ingest(tmp_path / "a", late, IngestConfig()).n_near_duplicates == 3
    quiet = ingest(tmp_path / "b", folder, IngestConfig(near_duplicates=False))
    assert (quiet.n_exact_duplicates, quiet.n_near_duplicates) == (1, 0)


def test_names_table_and_splits_reach_the_images(tmp_path, sem):
    (tmp_path / "t.csv").write_text(
        "file,condition,pixel_size_nm,dose\ns0_a_0,annealed,5.5,3\ns1_a_1.tif,raw,,4\nzzz,x,,\n"
    )
    (tmp_path / "s.json").write_text(
        json.dumps({"mine": {"train": ["s0_a_0", "s1_a_1"], "val": ["s0_a_2"], "test": ["gone"]}})
    )
    cfg = IngestConfig(
        pattern="{specimen}_{condition}_{n:d}",
        metadata=str(tmp_path / "t.csv"),
        splits=str(tmp_path / "s.json"),
        set="mine",
        **GRID,
    )
    report = ingest(tmp_path / "a", sem, cfg)
    images = by_stem(tmp_path / "a")
    first = images.loc["s0_a_0"]
    assert first[["specimen", "condition", "n", "split", "set", "pixel_size_source"]].tolist() == [
        "s0", "annealed", "0", "train", "mine", "user",
    ]  # fmt: skip
    assert (first["pixel_size_row_nm"], first["pixel_size_col_nm"], first["dose"]) == (5.5, 5.5, 3.0)
    assert images.at["s1_a_1", "condition"] == "raw"
    assert np.isnan(images.at["s1_a_1", "pixel_size_row_nm"])
    assert images.at["s1_b_3", "condition"] == "b"
    assert np.isnan(images.at["s1_b_3", "dose"])
    remarks = "\n".join(report.remarks)
    assert "metadata: 1 row for no file: zzz" in remarks
    assert "metadata: fits not 4 files" in remarks
    assert "splits: 1 row for no file: gone" in remarks


def test_a_corrected_table_reaches_stored_images(tmp_path, sem):
    table = tmp_path / "t.csv"
    cfg = IngestConfig(metadata=str(table), **GRID)
    table.write_text("file,specimen\ns0_a_0,wrong\ns1_a_1,b\n")
    ingest(tmp_path / "a", sem, cfg)
    table.write_text("file,specimen,pixel_size_nm\ns0_a_0,right,8\ns1_a_1,b,\n")
    report = ingest(tmp_path / "a", sem, cfg)
    images = by_stem(tmp_path / "a")
    assert report.n_added == 0
    assert images.at["s0_a_0", "specimen"] == "right"
    assert images.at["s0_a_0", "pixel_size_col_nm"] == 8.0


def test_table_that_contradicts_a_scale(tmp_path, make):
    make.tiff(tmp_path / "sem" / "a.tif", make.texture(1), nm=10.0)
    table = tmp_path / "t.csv"
    table.write_text("file,pixel_size_nm\na,5\n")
    cfg = IngestConfig(metadata=str(table), **GRID)
    with pytest.raises(
        WootzError, match=r"a\.tif: the table gives 5 nm .* the file 10 nm .*trust_table=true"
    ):
        ingest(tmp_path / "a", tmp_path / "sem", cfg)
    table.write_text("file,pixel_size_nm\na,10.1\n")
    ingest(tmp_path / "a", tmp_path / "sem", cfg)
    assert by_stem(tmp_path / "a").at["a", "pixel_size_source"] == "user"
    table.write_text("file,pixel_size_nm\na,5\n")
    ingest(tmp_path / "b", tmp_path / "sem", IngestConfig(metadata=str(table), trust_table=True, **GRID))
    assert by_stem(tmp_path / "b").at["a", "pixel_size_row_nm"] == 5.0


def test_masks_become_annotations(tmp_path, sem, make):
    report = ingest(tmp_path / "a", sem, IngestConfig(**MASKS, **GRID))
    archive = wootz.open(tmp_path / "a")
    assert (report.n_masks, report.n_without_mask) == (6, 0)
    assert archive.classes("coating")["name"].tolist() == ["background", "oxide", "crack"]
    row = by_stem(tmp_path / "a").loc["s0_a_2"]
    mask = archive.mask(row["image_id"], scheme="coating")
    assert (mask[22:60, 10:40] == 1).all()
    assert (mask[70:] == 2).all()
    corrected = np.ones((96, 128), np.uint8)
    make.png(sem / "masks" / "s0_a_2.png", corrected)
    assert ingest(tmp_path / "a", sem, IngestConfig(**MASKS, **GRID)).n_masks == 1
    archive = wootz.open(tmp_path / "a")
    np.testing.assert_array_equal(archive.mask(row["image_id"], scheme="coating"), corrected)
    assert len(archive.annotations) == 6


def test_masks_can_come_later(tmp_path, sem):
    assert ingest(tmp_path / "a", sem, IngestConfig(**GRID)).n_masks == 0
    report = ingest(tmp_path / "a", sem, IngestConfig(**MASKS, **GRID))
    assert (report.n_added, report.n_masks) == (0, 6)


def test_mask_troubles_are_named(tmp_path, sem, make):
    name = "s0_a_0.png"
    good = (sem / "masks" / name).read_bytes()
    cfg = IngestConfig(**MASKS, **GRID)
    make.png(sem / "masks" / name, np.zeros((95, 128), np.uint8))
    with pytest.raises(WootzError, match=r"s0_a_0\.png has 95 x 128 .*s0_a_0\.tif has 96 x 128"):
        ingest(tmp_path / "a", sem, cfg)
    make.png(sem / "masks" / name, np.full((96, 128), 7, np.uint8))
    with pytest.raises(WootzError, match=r"s0_a_0\.png holds the values 7, .*\(0, 1, 2\)"):
        ingest(tmp_path / "a", sem, cfg)
    (sem / "masks" / name).write_bytes(good)
    assert ingest(tmp_path / "a", sem, cfg).n_masks == 6
    other = IngestConfig(**{**MASKS, "classes": "0:a,1:b,2:c"}, **GRID)
    with pytest.raises(WootzError, match=r"scheme 'coating' with other classes \(0:background"):
        ingest(tmp_path / "a", sem, other)
    with pytest.raises(WootzError, match="needs the names of its classes"):
        ingest(tmp_path / "a", sem, IngestConfig(masks=str(sem / "masks"), **GRID))
    (tmp_path / "none").mkdir()
    with pytest.raises(WootzError, match=r"none of the 6 images has one; for s0_a_0\.tif"):
        ingest(tmp_path / "a", sem, IngestConfig(**{**MASKS, "masks": str(tmp_path / "none")}, **GRID))


def test_binary_masks_by_threshold(tmp_path, sem, make):
    for path in (sem / "masks").iterdir():
        make.png(path, np.kron(np.array([[0, 120], [140, 255]], np.uint8), np.ones((48, 64), np.uint8)))
    ingest(tmp_path / "a", sem, IngestConfig(masks=str(sem / "masks"), mask_threshold=127, **GRID))
    archive = wootz.open(tmp_path / "a")
    assert archive.schemes() == ["sem"]
    mask = archive.mask(archive.images["image_id"][0], scheme="sem")
    assert mask.mean() == 0.5
    assert (mask[48:] == 1).all()


def with_bar(pixels: np.ndarray) -> np.ndarray:
    """Put an info bar with text under a field."""
    bar = np.zeros((24, pixels.shape[1]), np.uint8)
    bar[8:16, 4:-4:4] = 255
    bar[8:16, 5:-4:4] = 255
    return np.vstack([pixels, bar])


def test_info_bar_is_cut_from_image_and_mask(tmp_path, make):
    folder = tmp_path / "sem"
    field = make.texture(1, (200, 256))
    make.tiff(folder / "images" / "a.tif", with_bar(field))
    mask = np.zeros((224, 256), np.uint8)
    mask[:100] = 1
    make.png(folder / "masks" / "a.png", mask)
    ingest(tmp_path / "a", folder, IngestConfig(**MASKS, **GRID))
    archive = wootz.open(tmp_path / "a")
    row = archive.images.iloc[0]
    assert row["info_bar_rows"] == "200:224"
    assert (row["intensity_low"], row["intensity_high"]) == robust_range(field)
    np.testing.assert_array_equal(archive.field(row["image_id"]), field)
    np.testing.assert_array_equal(archive.mask(row["image_id"], scheme="coating"), mask[:200])
    ingest(tmp_path / "whole", folder, IngestConfig(**MASKS, **GRID, cut_info_bar=False))
    whole = wootz.open(tmp_path / "whole")
    assert whole.images["height_px"].tolist() == [224]
    np.testing.assert_array_equal(whole.mask(whole.images["image_id"][0], scheme="coating"), mask)


def test_via_regions_become_mask_and_objects(tmp_path, sem):
    square = {"name": "polygon", "all_points_x": [10, 30, 30, 10], "all_points_y": [20, 20, 50, 50]}
    rect = {"name": "rect", "x": 20, "y": 40, "width": 30, "height": 20}
    regions = [{"shape_attributes": s, "region_attributes": {"Label": "Particle"}} for s in (square, rect)]
    entries = {
        "1": {"filename": "s0_a_0.tif", "size": 1, "regions": regions},
        "2": {"filename": "elsewhere.tif", "size": 1, "regions": regions},
        "3": {"filename": "s1_a_1.tif", "size": 1, "regions": []},
    }
    (tmp_path / "via.json").write_text(json.dumps({"_via_img_metadata": entries}))
    report = ingest(tmp_path / "a", sem, IngestConfig(via=str(tmp_path / "via.json"), **GRID))
    assert (report.n_masks, report.n_objects, report.n_without_mask) == (1, 2, 5)
    assert any("elsewhere.tif" in remark for remark in report.remarks)
    archive = wootz.open(tmp_path / "a")
    assert archive.classes("sem")["name"].tolist() == ["background", "Particle"]
    assert archive.objects["area_px"].tolist() == [600, 600]
    mask = archive.mask(archive.annotations["image_id"][0], scheme="sem")
    assert mask.sum() == 600 + 600 - 100


def test_rendered_folder_brings_its_masks(tmp_path):
    from wootz.synthetic import RenderConfig, render

    render(tmp_path / "fields", RenderConfig(n=4, size_px=384, pixel_um=0.12, seed=3))
    report = ingest(tmp_path / "a", tmp_path / "fields", IngestConfig(**GRID))
    archive = wootz.open(tmp_path / "a")
    assert (report.n_added, report.n_masks, report.n_near_duplicates) == (4, 4, 0)
    assert archive.schemes() == ["fields"]
    classes = pd.read_csv(tmp_path / "fields" / "classes.csv")
    assert (
        archive.classes("fields")[["id", "name"]].values.tolist() == classes[["id", "name"]].values.tolist()
    )
    assert archive.images["specimen"].is_unique
    assert set(archive.images["origin"]) == {"rendered"}
    assert archive.images["pixel_size_row_nm"].notna().all()


def test_grid_with_embeddings_is_not_replaced(tmp_path, sem):
    ingest(tmp_path / "a", sem, IngestConfig(**GRID))
    ingest(tmp_path / "a", sem, IngestConfig(tile_px=64, stride_px=64))
    archive = wootz.open(tmp_path / "a")
    tiles = archive.tile_table["tile_id"].tolist()
    archive.add_embedding("e", tiles, np.zeros((len(tiles), 4), np.float32), {"encoder_fingerprint": "f"})
    with pytest.raises(WootzError, match="give tile_px=64 stride_px=64"):
        ingest(tmp_path / "a", sem, IngestConfig(**GRID))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile_px": 4}, "tile_px"),
        ({"colour": "rgb"}, "colour='rgb'"),
        ({"mask_threshold": 300}, "mask_threshold"),
        ({"masks": "m", "via": "v"}, "masks= and via="),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(WootzError, match=message):
        IngestConfig(**options)


def test_panorama_is_read_in_strips(tmp_path, make, monkeypatch):
    from wootz.ingest import panorama

    field = make.texture(1, (300, 400), top=4095)
    path = make.tiff(tmp_path / "p.tif", field, nm=20.0)
    ingest(tmp_path / "plain", path, IngestConfig(**GRID))
    monkeypatch.setattr(panorama, "MIN_PIXELS", 1000)
    monkeypatch.setattr(panorama, "STRIP_BYTES", 32 * 400)
    ingest(tmp_path / "strips", path, IngestConfig(**GRID))
    plain, strips = (wootz.open(tmp_path / name) for name in ("plain", "strips"))
    np.testing.assert_array_equal(strips.field(strips.images["image_id"][0]), field)
    pd.testing.assert_frame_equal(plain.images.drop(columns="shard"), strips.images.drop(columns="shard"))


@pytest.mark.realdata
def test_real_sets_with_labels(tmp_path, data_dir):
    splits = str(data_dir / "splits.json")
    cfg = IngestConfig(**{**MASKS, "scheme": ""}, splits=splits, pattern="{specimen}_{n}")
    report = ingest(tmp_path / "a", data_dir / "ebc", cfg)
    assert (report.n_added, report.n_masks, report.set_aside) == (14, 14, ())
    spheroidite = IngestConfig(
        masks=str(data_dir / "spheroidite" / "annotations"), mask_threshold=127, splits=splits
    )
    report = ingest(tmp_path / "a", data_dir / "spheroidite", spheroidite)
    assert (report.n_added, report.n_masks) == (10, 10)
    images = wootz.open(tmp_path / "a").images
    counts = images.groupby(["set", "split"]).size().to_dict()
    assert counts == {
        ("ebc", "train"): 8, ("ebc", "val"): 2, ("ebc", "test"): 4,
        ("spheroidite", "train"): 5, ("spheroidite", "val"): 2, ("spheroidite", "test"): 3,
    }  # fmt: skip
    assert (images["duplicate_of"] == "").all()
    report = ingest(tmp_path / "b", data_dir / "instruments", IngestConfig())
    assert (report.n_added, len(report.set_aside)) == (13, 2)
    shutil.rmtree(tmp_path / "a")
