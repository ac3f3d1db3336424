"""Damaged files: reported with their name, never half-read, set aside by `repair`, filled by the next run."""

import numpy as np
import pandas as pd
import pytest

import wootz
from wootz.archive import Archive
from wootz.cli.main import main
from wootz.errors import ArchiveError
from wootz.fields import NewField


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)


def new_fields(*seeds):
    return [NewField(noise(s), {"file": f"{s}.tif"}) for s in seeds]


@pytest.fixture
def archive(tmp_path):
    archive = Archive.create(tmp_path / "a")
    ids = archive.add_images(new_fields(0, 1, 2)).image_ids
    archive.add_images(new_fields(3))
    tiles = archive.write_tiles(32, 32)["tile_id"].to_numpy()
    archive.add_embedding("e", tiles[:8], np.ones((8, 4), np.float32), {"encoder_fingerprint": "f"})
    archive.add_embedding("e", tiles[8:], np.ones((8, 4), np.float32), {"encoder_fingerprint": "f"})
    archive.add_mask(ids[1], np.zeros((64, 64), np.uint8), scheme="s", source="me")
    return archive


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def test_flipped_pixel(archive):
    row = archive.images.iloc[1]
    flip(archive.path / row["shard"], 128 + 64 * 64 + 700)
    fresh = wootz.open(archive.path)
    assert len(fresh.images) == 4  # lengths fit: only a look at the bytes can tell
    with pytest.raises(ArchiveError, match=r"uint8-.*npy is damaged \(the pixels of 1.tif differ"):
        fresh.field(row["image_id"])
    tiles = fresh.tiles()
    of_others = (tiles.frame["image_id"] != row["image_id"]).to_numpy()
    assert tiles.select(of_others).read(slice(None)).shape == (12, 32, 32)
    with pytest.raises(ArchiveError, match="damaged"):
        tiles.read(slice(None))
    assert archive.check(deep=False).empty
    assert archive.check()["file"].tolist() == ["1.tif"]
    fresh.repair()
    assert fresh.set_aside["file"].tolist() == ["1.tif"]
    assert fresh.images["file"].tolist() == ["0.tif", "2.tif", "3.tif"]
    assert len(fresh.tiles()) == 12
    # the same ingest again fills the gap, and what hung on the image fits again
    fresh.add_images(new_fields(0, 1, 2))
    assert fresh.check().empty
    assert fresh.set_aside.empty
    assert len(fresh.tiles()) == 16
    assert fresh.mask(row["image_id"], scheme="s").shape == (64, 64)
    np.testing.assert_array_equal(fresh.field(row["image_id"]), noise(1))


def test_cut_shard_keeps_the_fields_before_the_cut(archive):
    shard = archive.path / archive.images["shard"][0]
    shard.write_bytes(shard.read_bytes()[: 128 + 2 * 64 * 64 - 5])
    fresh = wootz.open(archive.path)
    assert fresh.images["file"].tolist() == ["0.tif", "3.tif"]
    assert fresh.set_aside["file"].tolist() == ["1.tif", "2.tif"]
    assert "cut off" in fresh.set_aside["reason"][0]
    np.testing.assert_array_equal(fresh.field(fresh.images["image_id"][0]), noise(0))
    assert len(fresh.tiles()) == 8
    fresh.repair(deep=False)
    fresh.add_images(new_fields(0, 1, 2, 3))
    assert sorted(fresh.images["file"]) == ["0.tif", "1.tif", "2.tif", "3.tif"]
    assert fresh.check().empty


def test_missing_shard(archive):
    (archive.path / archive.images["shard"][3]).unlink()
    fresh = wootz.open(archive.path)
    assert fresh.images["file"].tolist() == ["0.tif", "1.tif", "2.tif"]
    fresh.repair()
    fresh.add_images(new_fields(3))
    assert fresh.check().empty
    assert len(fresh.images) == 4


@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damaged_images_table(archive, harm):
    files = sorted((archive.path / "tables").glob("images-*"))
    path = files[0]
    match harm:
        case "flip":
            flip(path, 300)
        case "cut":
            path.write_bytes(path.read_bytes()[:-50])
        case _:
            path.unlink()
    fresh = wootz.open(archive.path)
    with pytest.raises(ArchiveError, match=rf"{path.name} is damaged.*`wootz repair"):
        _ = fresh.images
    found = fresh.check()
    assert found["what"].tolist() == ["table images"]
    fresh.repair()
    assert len(fresh.images) == 1  # the part that came with the second batch is sound
    assert not path.exists()
    fresh.add_images(new_fields(0, 1, 2, 3))
    assert len(fresh.images) == 4
    assert fresh.check().empty
    assert len(fresh.tiles()) == 16


@pytest.mark.parametrize("shard", [0, 1])
def test_damaged_embedding(archive, shard):
    path = sorted((archive.path / "embeddings" / "e").glob("features-*"))[shard]
    flip(path, 200)  # both shards have equal content: a look at the one says nothing about the other
    fresh = wootz.open(archive.path)
    with pytest.raises(ArchiveError, match=rf"{path.name} is damaged"):
        fresh.embedding("e")
    fresh.repair()
    assert len(fresh.embedding("e")[0]) == 8
    assert (fresh.path / "damaged" / "embeddings" / "e" / path.name).exists()
    with pytest.raises(ArchiveError, match=r"does not cover 8 of 16 tiles.*wootz embed .* name=e"):
        fresh.tiles().embedding("e")


def test_damaged_mask(archive):
    path = archive.path / archive.annotations["file"][0]
    flip(path, 60)
    with pytest.raises(ArchiveError, match="is damaged"):
        archive.mask(archive.annotations["image_id"][0], scheme="s")
    assert archive.repair()["what"].tolist() == ["masks"]
    assert archive.annotations.empty
    assert archive.check().empty


def test_repair_from_the_command_line(archive, capsys):
    path = archive.path / archive.annotations["file"][0]
    flip(path, 60)
    assert main(["repair", str(archive.path)]) == 0
    said = capsys.readouterr().out
    assert str(path.relative_to(archive.path)) in said
    assert (archive.path / "damaged" / path.relative_to(archive.path)).exists()
    assert main(["repair", str(archive.path)]) == 0
    assert "is sound" in capsys.readouterr().out


def test_sound_archive_is_left_alone(archive):
    before = sorted((p, p.stat().st_mtime_ns) for p in archive.path.rglob("*") if p.is_file())
    assert archive.repair().empty
    assert before == sorted((p, p.stat().st_mtime_ns) for p in archive.path.rglob("*") if p.is_file())
    assert list(pd.DataFrame(archive.check()).columns) == ["file", "what", "problem"]
