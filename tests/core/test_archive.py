"""The archive's tables and packed pixels against what was put in, and bad input with its messages."""

import io
import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xxhash

import wootz
from wootz import fields as fields_module
from wootz.archive import Archive
from wootz.errors import ArchiveError, ReadError
from wootz.fields import NewField
from wootz.intensity import robust_range, scale
from wootz.manifest import VERSION, read_manifest, write_manifest
from wootz.store import MAX_PARTS


@pytest.fixture
def archive(tmp_path):
    return Archive.create(tmp_path / "a")


def noise(seed, shape=(60, 70), dtype=np.uint8, top=256):
    return np.random.default_rng(seed).integers(0, top, shape, dtype=dtype)


def add(archive, *images, **columns):
    new = [NewField(p, {"file": f"{i}.tif"} | columns) for i, p in enumerate(images)]
    return archive.add_images(new).image_ids


@pytest.fixture(params=[8 << 20, 1000, 128])
def piece_bytes(request, monkeypatch):
    """Write shards in pieces larger and smaller than the fields."""
    monkeypatch.setattr("wootz.hugefile.PIECE_BYTES", request.param)


@pytest.mark.usefixtures("piece_bytes")
def test_fields_come_back_as_recorded(archive):
    images = [noise(1), noise(2, (33, 91), np.uint16, 4096), noise(3, (128, 5)), noise(4, (1, 1), np.uint16)]
    ids = add(archive, *images)
    archive.add_images([NewField(noise(9), {"file": "later.tif"})])
    for image_id, expected in zip(ids, images, strict=True):
        field = wootz.open(archive.path).field(image_id)
        assert field.dtype == expected.dtype
        assert not field.flags.writeable
        np.testing.assert_array_equal(field, expected)
        low, high = robust_range(expected)
        np.testing.assert_array_equal(archive.scaled_field(image_id), scale(expected, low, high))


def test_pixels_are_readable_without_wootz(archive):
    image = noise(5, (40, 30), np.uint16, 60_000)
    add(archive, noise(4, (7, 9)), image, noise(3, (11, 3), np.uint16))
    manifest = json.loads((archive.path / "manifest.json").read_text())
    # the published value of XXH3-128 without a seed for no bytes at all, and ours for those of a field
    assert xxhash.xxh3_128_hexdigest(b"") == "99aa06d3014798d86001c324468d497f"
    assert archive.images["pixels_xxh3_128"][1] == xxhash.xxh3_128_hexdigest(image.tobytes())
    part = manifest["tables"]["images"][0]["file"]
    row = pd.read_parquet(archive.path / part).iloc[1]
    flat = np.load(archive.path / row["shard"])
    start, size = row["offset"], row["height_px"] * row["width_px"]
    np.testing.assert_array_equal(
        flat[start : start + size].reshape(row["height_px"], row["width_px"]), image
    )


def test_row_blocks_equal_the_whole_array(tmp_path):
    image = noise(1, (103, 57), np.uint16, 5000)
    whole, blocks = Archive.create(tmp_path / "w"), Archive.create(tmp_path / "b")
    add(whole, image)
    cuts = [0, 1, 40, 41, 103]
    add(blocks, (image[a:b] for a, b in pairwise(cuts)))
    pd.testing.assert_frame_equal(whole.images.drop(columns="shard"), blocks.images.drop(columns="shard"))
    np.testing.assert_array_equal(blocks.field(blocks.images["image_id"][0]), image)


def test_big_endian_and_strided_pixels(archive):
    image = noise(1, (50, 40), np.uint16, 5000)
    ids = add(archive, image.astype(">u2"), np.asfortranarray(noise(2))[::2])
    np.testing.assert_array_equal(archive.field(ids[0]), image)
    np.testing.assert_array_equal(archive.field(ids[1]), noise(2)[::2])


@pytest.mark.skipif(sys.platform == "win32", reason="reads the peak memory from resource")
def test_panorama_is_packed_in_strips(tmp_path):
    code = """
import resource, sys
import numpy as np
from wootz.archive import Archive
from wootz.fields import NewField
archive = Archive.create(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
strip = np.random.default_rng(0).integers(0, 256, (64, 8192), dtype=np.uint8)
blocks = (strip for _ in range(128))  # 64 MiB in all
archive.add_images([NewField(blocks, {"file": "panorama.tif"})])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 40, "a field of 64 MiB must pass through in strips"


def test_unknown_stays_unknown(archive):
    add(archive, noise(1))
    row = archive.images.iloc[0]
    for name in ("pixel_size_row_nm", "pixel_size_col_nm", "hv_kv", "tilt_deg", "magnification"):
        assert np.isnan(row[name])
    for name in ("specimen", "condition", "step", "split", "set", "duplicate_of", "date"):
        assert row[name] == ""
    assert row["bit_depth"] == 8


def test_known_columns_and_a_groups_own(archive):
    about = {
        "hv_kv": 5,
        "specimen": "A#1 (left)",
        "step": 3.0,
        "info_bar_rows": slice(60, 64),
        "operator": "Ö",
    }
    about |= {"pixel_size_row_nm": 5.8, "pixel_size_col_nm": 5.8, "bit_depth": None}
    add(archive, noise(1), **about)
    add(archive, noise(2), grade=7)
    images = wootz.open(archive.path).images
    row = images.iloc[0]
    assert (row["specimen"], row["step"], row["info_bar_rows"]) == ("A#1 (left)", "3", "60:64")
    assert (row["hv_kv"], row["operator"], row["bit_depth"]) == (5.0, "Ö", 8)
    assert images["operator"].tolist() == ["Ö", ""]
    assert images["grade"].isna().tolist() == [True, False]


@pytest.mark.usefixtures("piece_bytes")
def test_exact_duplicates_share_pixels_and_are_flagged(archive):
    ids = add(archive, noise(1), noise(2), noise(1))
    later = archive.add_images([NewField(noise(2), {"file": "again.tif"})]).image_ids
    images = archive.images.set_index("image_id")
    assert len(set(ids + later)) == 4
    assert images["duplicate_of"].to_dict() == {ids[0]: "", ids[1]: "", ids[2]: ids[0], later[0]: ids[1]}
    assert len(list(archive.path.glob("pixels/*"))) == 1
    assert images.loc[later[0], "shard"] == images.loc[ids[1], "shard"]
    np.testing.assert_array_equal(archive.field(later[0]), noise(2))


def test_same_file_again_changes_nothing(archive):
    first = add(archive, noise(1), noise(2))
    before = archive.images
    assert add(archive, noise(1), noise(2)) == first
    pd.testing.assert_frame_equal(archive.images, before)
    assert len(list(archive.path.glob("pixels/*"))) == 1


def test_equal_bytes_of_other_shape_are_no_duplicate(archive):
    add(archive, np.zeros((4, 6), np.uint8), np.zeros((6, 4), np.uint8), np.zeros((4, 3), np.uint16))
    assert archive.images["duplicate_of"].eq("").all()


@pytest.mark.usefixtures("piece_bytes")
def test_bad_fields_are_set_aside_and_the_rest_goes_in(archive):
    def broken():
        yield noise(1)
        raise ReadError("cut.tif ends in the middle of row 60; copy it again from the microscope.")

    new = [
        NewField(noise(3), {"file": "good.tif"}),
        NewField(broken(), {"file": "cut.tif"}),
        NewField(noise(3).astype(np.float32), {"file": "float.tif"}),
        NewField(np.zeros((4, 4, 3), np.uint8), {"file": "colour.tif"}),
        NewField(np.zeros((0, 4), np.uint8), {"file": "empty.tif"}),
        NewField(iter([noise(1), noise(2, (5, 3))]), {"file": "ragged.tif"}),
        NewField(noise(4), {"file": "good2.tif"}),
    ]
    added = archive.add_images(new, set_aside=[("text.txt", "no image")])
    assert [bool(i) for i in added.image_ids] == [True, False, False, False, False, False, True]
    assert set(archive.set_aside["file"]) == {
        *("text.txt", "cut.tif", "float.tif", "colour.tif", "empty.tif", "ragged.tif")
    }
    assert "middle of row 60" in archive.set_aside.set_index("file").loc["cut.tif", "reason"]
    np.testing.assert_array_equal(archive.field(added.image_ids[-1]), noise(4))
    # copied again, the file is good
    archive.add_images([NewField(noise(1), {"file": "cut.tif"})])
    assert "cut.tif" not in set(archive.set_aside["file"])
    assert archive.check().empty


def test_shards_end_at_the_cap(archive, monkeypatch):
    monkeypatch.setattr("wootz.intake.SHARD_CAP_BYTES", 10_000)
    images = [noise(i) for i in range(7)]  # 4200 bytes each
    ids = add(archive, *images)
    assert archive.images["shard"].value_counts().max() == 3
    for image_id, expected in zip(ids, images, strict=True):
        np.testing.assert_array_equal(archive.field(image_id), expected)
    assert fields_module.SHARD_CAP_BYTES == 1 << 30


def test_many_small_batches_stay_few_files(archive):
    for i in range(MAX_PARTS + 3):
        add(archive, noise(i, (4, 4)))
    assert len(list(archive.path.glob("tables/images-*"))) <= MAX_PARTS
    assert len(wootz.open(archive.path).images) == MAX_PARTS + 3


def test_image_columns_can_be_set_but_not_those_of_the_pixels(archive):
    ids = add(archive, noise(1), noise(2), noise(3))
    archive.set_image_column("split", ids[:2], ["train", "test"])
    archive.set_image_column("pred_score", [ids[2]], np.array([0.5], np.float32))
    archive.set_image_column("pred_anomalous", ids[:2], [True, False])
    images = wootz.open(archive.path).images
    assert images["split"].tolist() == ["train", "test", ""]
    assert images["pred_score"].isna().tolist() == [True, True, False]
    assert images["pred_anomalous"].tolist()[:2] == [True, False]
    assert pd.isna(images["pred_anomalous"][2])
    with pytest.raises(ArchiveError, match="'offset' says where the pixels are"):
        archive.set_image_column("offset", ids, [0, 0, 0])
    with pytest.raises(ArchiveError, match="image_id 'zz' is not in the archive"):
        archive.set_image_column("split", ["zz"], ["train"])
    with pytest.raises(ArchiveError, match="use train, val, test"):
        archive.set_image_column("split", ids[:1], ["tarin"])
    with pytest.raises(ArchiveError, match="a pixel size is positive"):
        archive.set_image_column("pixel_size_row_nm", ids[:1], [0.0])
    with pytest.raises(ArchiveError, match="2 ids but 1 values"):
        archive.set_image_column("x", ids[:2], [1])
    with pytest.raises(ArchiveError, match="given twice"):
        archive.set_image_column("x", [ids[0], ids[0]], [1, 2])


def test_tables_are_copies(archive):
    add(archive, noise(1))
    table = archive.images
    table.loc[0, "specimen"] = "changed"
    assert archive.images["specimen"][0] == ""


def test_another_process_sees_each_commit(archive):
    reader = wootz.open(archive.path)
    assert len(reader.images) == 0
    ids = add(archive, noise(1))
    assert len(reader.images) == 1
    archive.set_image_column("specimen", ids, ["A"])
    assert reader.images["specimen"][0] == "A"


def test_raw_tags_survive(archive):
    tags = {"Beam": {"HV": 5000.0, "nan": float("nan")}, "list": (1, 2), "bytes": b"\xb5m", "µ": "ü"}
    ids = archive.add_images([NewField(noise(1), {"file": "a"}, tags)]).image_ids
    expected = {"Beam": {"HV": 5000.0, "nan": None}, "list": [1, 2], "bytes": "µm", "µ": "ü"}
    assert wootz.open(archive.path).raw_tags(ids[0]) == expected


def test_missing_and_foreign_folders(tmp_path):
    with pytest.raises(ArchiveError, match=r"is no wootz archive.*wootz ingest"):
        wootz.open(tmp_path / "nowhere")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.png").write_bytes(b"x")
    with pytest.raises(ArchiveError, match=r"holds other files \(me.png"):
        Archive.create(tmp_path / "photos")
    with pytest.raises(ArchiveError, match="is a file"):
        Archive.create(tmp_path / "photos" / "me.png")


def test_newer_and_damaged_manifests(archive):
    path = archive.path / "manifest.json"
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(ArchiveError, match=r"manifest.json is damaged"):
        wootz.open(archive.path)
    path.write_bytes(good.replace(b'"serial": 0', b'"serial": 7'))
    with pytest.raises(ArchiveError, match="checksum does not fit"):
        wootz.open(archive.path)
    path.write_bytes(good)
    manifest = read_manifest(path)
    write_manifest(path, manifest | {"version": 99})
    with pytest.raises(ArchiveError, match=r"newer wootz .*pip install -U wootz"):
        wootz.open(archive.path)
    for early in range(1, VERSION):
        write_manifest(path, manifest | {"version": early})
        with pytest.raises(ArchiveError, match=r"early wootz .*ingest its images again"):
            wootz.open(archive.path)
    write_manifest(path, {"format": "something else", "version": VERSION})
    with pytest.raises(ArchiveError, match="something else than a wootz archive"):
        wootz.open(archive.path)


def test_create_opens_what_is_there(archive):
    add(archive, noise(1))
    assert len(Archive.create(archive.path).images) == 1


def test_masks(archive):
    ids = add(archive, noise(1), noise(2, (20, 20)))
    mask = noise(3, (60, 70), top=3)
    mask[:5] = 255
    archive.add_mask(ids[0], mask, scheme="ebc", source="me")
    archive.add_mask(ids[0], mask.astype(np.int64) // 255, scheme="ebc", source="you")
    archive.add_mask(ids[0], mask, scheme="ebc", source="run-1", kind="prediction", run="run-1")
    np.testing.assert_array_equal(archive.mask(ids[0], scheme="ebc", source="me"), mask)
    np.testing.assert_array_equal(archive.mask(ids[0], scheme="ebc"), mask // 255)
    np.testing.assert_array_equal(archive.mask(ids[0], scheme="ebc", kind="prediction"), mask)
    notes = archive.annotations.set_index("source")
    assert notes.loc["me", "classes_drawn"] == "0 1 2"
    assert notes["has_ignore"].to_dict() == {"me": True, "you": False}
    assert archive.predictions["run"].tolist() == ["run-1"]
    from PIL import Image

    with Image.open(archive.path / notes.loc["me", "file"]) as png:  # readable without wootz
        np.testing.assert_array_equal(np.asarray(png), mask)
    archive.add_mask(ids[0], np.zeros_like(mask), scheme="ebc", source="me")
    assert len(archive.annotations) == 2
    assert not (archive.path / notes.loc["me", "file"]).exists()
    assert archive.mask(ids[0], scheme="ebc", source="me").max() == 0


def test_bad_masks(archive):
    ids = add(archive, noise(1))
    with pytest.raises(ArchiveError, match=r"0.tif is \(70, 60\) and the image \(60, 70\)"):
        archive.add_mask(ids[0], np.zeros((70, 60), np.uint8), scheme="s", source="me")
    with pytest.raises(ArchiveError, match="whole class numbers"):
        archive.add_mask(ids[0], np.zeros((60, 70)), scheme="s", source="me")
    with pytest.raises(ArchiveError, match="whole class numbers"):
        archive.add_mask(ids[0], np.full((60, 70), 300), scheme="s", source="me")
    with pytest.raises(ArchiveError, match="cannot name a scheme"):
        archive.add_mask(ids[0], np.zeros((60, 70), np.uint8), scheme="../s", source="me")
    with pytest.raises(ArchiveError, match="kind='guess' is not known"):
        archive.add_mask(ids[0], np.zeros((60, 70), np.uint8), scheme="s", source="me", kind="guess")
    with pytest.raises(ArchiveError, match="no annotation of scheme 's'"):
        archive.mask(ids[0], scheme="s")
    with pytest.raises(ArchiveError, match="has no image 'zz'"):
        archive.mask("zz", scheme="s")


def test_maps(archive):
    ids = add(archive, noise(1))
    heat = np.random.default_rng(0).normal(size=(60, 70)).astype(np.float32)
    archive.add_map(ids[0], heat, name="anomaly", run="r")
    archive.add_map(ids[0], heat * 2, name="anomaly", run="r2")
    np.testing.assert_array_equal(archive.map(ids[0], "anomaly"), heat * 2)
    assert len(list(archive.path.glob("maps/anomaly/*.npy"))) == 1
    with pytest.raises(ArchiveError, match=r"no map 'other'.*has: anomaly"):
        archive.map(ids[0], "other")
    with pytest.raises(ArchiveError, match="must be"):
        archive.add_map(ids[0], heat.T, name="anomaly")


def test_classes(archive):
    frame = pd.DataFrame(
        {
            "id": [1, 0, 2],
            "name": ["oxide", "background", "crack"],
            "colour": ["#40e0d0", "#000000", "#FF0000"],
            "role": ["phase", "background", "defect"],
            "definition": ["grown layer", "", ""],
            "parent": ["", None, "oxide"],
        }
    )
    archive.add_classes("ebc", frame)
    archive.add_classes("other", frame[["id", "name"]])
    archive.add_classes("ebc", frame.iloc[:2])
    assert archive.schemes() == ["ebc", "other"]
    assert archive.classes("ebc")["name"].tolist() == ["background", "oxide"]
    with pytest.raises(ArchiveError, match="no scheme 'x'; it has: ebc, other"):
        archive.classes("x")
    bad = {
        "ids must be unique": frame.assign(id=[1, 1, 2]),
        "0 ... 254": frame.assign(id=[1, 0, 255]),
        "names must be unique": frame.assign(name="a"),
        "#rrggbb": frame.assign(colour="red"),
        "not one of phase": frame.assign(role="thing"),
        "is no class": frame.assign(parent="zinc"),
        "needs the columns name": frame.drop(columns="name"),
    }
    for message, classes in bad.items():
        with pytest.raises(ArchiveError, match=message.replace(".", r"\.")):
            archive.add_classes("bad", classes)


def test_measurements_replace_their_like(archive):
    ids = add(archive, noise(1))
    row = {"image_id": ids[0], "quantity": "thickness", "value": 2.0, "unit": "um", "method": "normal"}
    archive.add_measurements(pd.DataFrame([row | {"source": "annotation"}, row | {"source": "prediction"}]))
    archive.add_measurements(pd.DataFrame([row | {"source": "prediction", "value": 3.0, "run": "r"}]))
    archive.add_measurements(pd.DataFrame([{"specimen": "A", "quantity": "n", "value": 1.0, "unit": "1"}]))
    values = archive.measurements.set_index(["quantity", "source"])["value"]
    assert values.to_dict() == {
        ("thickness", "annotation"): 2.0,
        ("thickness", "prediction"): 3.0,
        ("n", ""): 1.0,
    }
    assert archive.measurements["ci_low"].isna().all()
    with pytest.raises(ArchiveError, match="image 'zz' is not in"):
        archive.add_measurements(pd.DataFrame([row | {"image_id": "zz"}]))


def test_runs(archive):
    run = archive.start_run("pretrain", {"lr": np.float32(0.5)}, seed=1, inputs={"tiles": 3})
    assert run.id.startswith("pretrain-")
    (run.folder / "weights.bin").write_bytes(b"abc")
    run.finish({"rankme": np.float64(3.0)}, checkpoint=run.folder / "weights.bin")
    failed = archive.start_run("embed", {}, seed=None, inputs={})
    failed.fail("no encoder")
    table = archive.runs.set_index("run")
    assert table["status"].to_dict() == {run.id: "finished", failed.id: "failed"}
    record = json.loads((run.folder / "run.json").read_text())
    assert record["config"] == {"lr": 0.5}
    assert record["outputs"] == {"rankme": 3.0}
    assert record["checkpoint_sha256"].startswith("ba7816bf")  # SHA-256 of "abc", FIPS 180-2 appendix B.1
    assert record["version"] == wootz.__version__


def test_import_is_light_and_ingest_is_callable(tmp_path):
    code = "import wootz, sys; print(sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wootz.nothing


def test_npy_header_is_what_numpy_reads():
    from wootz.storage import npy_header

    for n in (0, 5, 10**12):
        head = npy_header(np.dtype(np.uint16), n)
        assert len(head) == 128
        version = np.lib.format.read_magic(stream := io.BytesIO(head))
        assert version == (1, 0)
        assert np.lib.format.read_array_header_1_0(stream) == ((n,), False, np.dtype(np.uint16))
