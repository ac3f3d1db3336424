"""Embeddings grow by shards, keep the order of their tiles, and never mix two encoders."""

import numpy as np
import pandas as pd
import pytest

import wootz
from wootz.archive import Archive
from wootz.errors import ArchiveError
from wootz.fields import NewField

F = {"encoder_fingerprint": "abc", "scaling_fingerprint": "s1", "when": "today"}


@pytest.fixture
def archive(tmp_path):
    archive = Archive.create(tmp_path / "a")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    archive.add_images([NewField(pixels, {"file": "a"})])
    archive.write_tiles(16, 16)
    return archive


def features_of(ids):
    """Any function of the id that tells rows apart."""
    return np.array([[float(hash_of(i)), 1.0] for i in ids], np.float32)


def hash_of(text):
    return sum(ord(c) * (k + 1) for k, c in enumerate(text)) % 9973


def test_rows_stay_with_their_tiles(archive):
    tiles = archive.tiles()
    ids = tiles.tile_ids
    order = np.random.default_rng(1).permutation(len(ids))
    assert archive.add_embedding("e", ids[order[:10]], features_of(ids[order[:10]]), F) == 10
    assert (
        archive.add_embedding("e", ids[order], features_of(ids[order]), F | {"when": "later"})
        == len(ids) - 10
    )
    assert archive.add_embedding("e", ids, features_of(ids), F) == 0
    again = wootz.open(archive.path).tiles()
    np.testing.assert_array_equal(again.embedding("e"), features_of(ids))
    rows = np.array([5, 1, 20])
    np.testing.assert_array_equal(again.select(rows).embedding("e"), features_of(ids[rows]))
    stored, features, provenance = archive.embedding("e")
    np.testing.assert_array_equal(features, features_of(stored))
    assert provenance == F
    assert archive.embedding_names() == ["e"]


def test_rows_and_samples_come_from_their_shards(archive):
    ids = archive.tiles().tile_ids
    order = np.random.default_rng(1).permutation(len(ids))
    for part in np.array_split(order, 3):
        archive.add_embedding("e", ids[part], features_of(ids[part]), F)
    np.testing.assert_array_equal(archive.embedding_ids("e"), ids[order])
    assert archive.embedding_provenance("e") == F
    rows = np.array([20, 3, 3, 0, 11, len(ids) - 1])
    np.testing.assert_array_equal(archive.embedding_rows("e", rows), features_of(ids[order[rows]]))
    assert archive.embedding_rows("e", rows[:0]).shape == (0, 2)
    tiles = archive.tiles().select(np.arange(4, 20))
    np.testing.assert_array_equal(tiles.embedding("e"), features_of(tiles.tile_ids))
    sample = tiles.embedding_sample("e", 4)
    np.testing.assert_array_equal(sample, features_of(tiles.tile_ids[[0, 5, 10, 15]]))
    assert len(tiles.embedding_sample("e", 100)) == 16
    archive.add_images([NewField(np.eye(32, dtype=np.uint8), {"file": "b"})])
    archive.write_tiles(16, 16)
    with pytest.raises(ArchiveError, match=r"does not cover 4 of \d+ tiles .*wootz embed"):
        archive.tiles().embedding_sample("e", 4)


def test_one_shard_is_memory_mapped(archive):
    tiles = archive.tiles()
    archive.add_embedding("e", tiles.tile_ids, features_of(tiles.tile_ids), F)
    features = tiles.embedding("e")
    assert isinstance(features, np.memmap)
    assert not features.flags.writeable
    path = next((archive.path / "embeddings" / "e").glob("*.npy"))
    np.testing.assert_array_equal(np.load(path), features)  # readable without wootz
    listed = pd.read_parquet(next((archive.path / "embeddings" / "e").glob("*.parquet")))
    assert listed["tile_id"].tolist() == tiles.tile_ids.tolist()


def test_another_encoder_is_refused(archive):
    ids = archive.tiles().tile_ids
    archive.add_embedding("e", ids[:4], features_of(ids[:4]), F)
    with pytest.raises(ArchiveError, match=r"another encoder .encoder_fingerprint differs"):
        archive.add_embedding("e", ids[4:], features_of(ids[4:]), F | {"encoder_fingerprint": "xyz"})
    with pytest.raises(ArchiveError, match="scaling_fingerprint differs"):
        archive.add_embedding("e", ids[4:], features_of(ids[4:]), {"encoder_fingerprint": "abc"})
    with pytest.raises(ArchiveError, match="3 instead of 2 dimensions"):
        archive.add_embedding("e", ids[4:6], np.ones((2, 3)), F)
    with pytest.raises(ArchiveError, match="names no fingerprint"):
        archive.add_embedding("new", ids, features_of(ids), {"encoder": "resnet"})
    assert len(archive.embedding("e")[0]) == 4


def test_bad_features(archive):
    ids = archive.tiles().tile_ids
    bad = features_of(ids)
    bad[3, 1] = np.nan
    with pytest.raises(ArchiveError, match=f"NaN or infinity .tile {ids[3]}"):
        archive.add_embedding("e", ids, bad, F)
    with pytest.raises(ArchiveError, match="tile_ids for features"):
        archive.add_embedding("e", ids[:3], bad, F)
    with pytest.raises(ArchiveError, match="twice"):
        archive.add_embedding("e", [ids[0], ids[0]], bad[:2], F)
    with pytest.raises(ArchiveError, match="cannot name"):
        archive.add_embedding("a/b", ids[:2], features_of(ids[:2]), F)


def test_missing_and_incomplete_embeddings_name_the_command(archive):
    tiles = archive.tiles()
    with pytest.raises(ArchiveError, match=r"no embedding 'e' \(it has: none\).*wootz embed .* name=e"):
        tiles.embedding("e")
    archive.add_embedding("e", tiles.tile_ids[:10], features_of(tiles.tile_ids[:10]), F)
    n = len(tiles)
    with pytest.raises(ArchiveError, match=rf"does not cover {n - 10} of {n} tiles.*wootz embed .* name=e"):
        tiles.embedding("e")
