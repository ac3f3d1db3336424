"""Pretraining and embedding on an archive: provenance, shards, what is refused."""

import numpy as np
import pytest
import torch

from wootz.archive import Archive
from wootz.augment import AugmentConfig
from wootz.coarser import Coarser
from wootz.encoders import build_encoder, encoder_fingerprint, encoder_provenance, load_encoder, save_encoder
from wootz.errors import CheckpointError, WootzError
from wootz.fields import NewField
from wootz.samescale import SameScale
from wootz.ssl import EmbedConfig, PretrainConfig, embed, embed_arrays, pretrain
from wootz.ssl.embedding import encoder_file


class Run:
    """What an adapter needs of `wootz.runs.Run`."""

    def __init__(self, folder, run_id="run-1"):
        self.folder, self.id = folder, run_id


@pytest.fixture
def archive(tmp_path, rng):
    archive = Archive.create(tmp_path / "archive")
    grey = [np.kron(rng.integers(40, 250, (24, 24)), np.ones((4, 4))).astype(np.uint8) for _ in range(2)]
    deep = np.kron(rng.integers(9000, 30000, (24, 24)), np.ones((4, 4))).astype(np.uint16)
    fields = [NewField(p, {"file": f"{i}.tif"}) for i, p in enumerate([*grey, deep])]
    archive.add_images(fields)
    archive.write_tiles(32, 32)
    return archive


def settings(**changes):
    base = {"encoder": "small", "epochs": 1, "batch_size": 8, "precision": "float32"}
    return PretrainConfig(augment=AugmentConfig(out_px=16), **{**base, **changes})


def test_pretrain_then_embed_carries_the_provenance_through(archive, tmp_path):
    run = archive.start_run("pretrain", {}, seed=0, inputs={})
    result = pretrain(archive.tiles(), settings(), run=run)
    run.finish({}, checkpoint=result.checkpoint)
    assert result.n_tiles == 27
    assert encoder_provenance(result.checkpoint)["run"] == run.id
    done = embed(archive.tiles(), EmbedConfig(batch_size=8), run=Run(tmp_path, "embed-1"))
    assert (done.name, done.n_tiles, done.n_new, done.dim) == ("simclr", 27, 27, 256)
    assert "27 tiles x 256 features" in done.summary()
    _, features, about = archive.embedding("simclr")
    assert about["encoder_fingerprint"] == encoder_fingerprint(result.checkpoint)
    assert about["run"] == "embed-1"
    assert len(about["tiles_fingerprint"]) == 64
    pixels = archive.tiles().scaled(slice(None))
    np.testing.assert_allclose(features, embed_arrays(pixels, load_encoder(result.checkpoint)), atol=1e-5)


def test_flagged_tiles_are_left_out_of_the_training(archive, tmp_path):
    flags = np.zeros(27, bool)
    flags[:9] = True
    tiles = archive.tiles().with_column("uninformative", flags).with_column("duplicate", flags[::-1])
    few = pretrain(tiles, settings(), run=Run(tmp_path / "a"))
    assert (few.n_tiles, few.n_left_out) == (9, 18)
    assert "18 duplicates or without contrast left out" in few.summary()
    more = pretrain(tiles, settings(include_uninformative=True), run=Run(tmp_path / "b"))
    assert (more.n_tiles, more.n_left_out) == (18, 9)


def test_tiles_of_two_sizes_are_refused(archive, tmp_path):
    frame = archive.tiles(size_px=32).frame[["tile_id", "image_id", "row", "col", "height", "width"]]
    frame.loc[3, ["height", "width"]] = 16
    from wootz.tiles import TileSet

    with pytest.raises(WootzError, match="tiles of one size"):
        pretrain(TileSet(archive, frame), settings(), run=Run(tmp_path))


def test_random_encoder_is_reproducible_and_named(archive, tmp_path):
    cfg = EmbedConfig(encoder="random:small", seed=3, batch_size=8)
    assert embed(archive.tiles(), cfg, run=Run(tmp_path)).name == "random"
    expected = embed_arrays(archive.tiles().scaled(slice(None)), build_encoder("small", generator_seed=3))
    np.testing.assert_allclose(archive.tiles().embedding("random"), expected, atol=1e-5)


def test_embedding_goes_on_where_it_was_cut(archive, tmp_path, monkeypatch):
    cfg = EmbedConfig(encoder="random:small", name="r", batch_size=4, shard_rows=8)
    store, calls = Archive.add_embedding, []

    def fail_third(self, name, tile_ids, features, provenance):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(tile_ids))
        return store(self, name, tile_ids, features, provenance)

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "add_embedding", fail_third)
        with pytest.raises(KeyboardInterrupt):
            embed(archive.tiles(), cfg, run=Run(tmp_path))
    assert calls == [8, 8]
    assert embed(archive.tiles(), cfg, run=Run(tmp_path)).n_new == 27 - 16
    assert embed(archive.tiles(), cfg, run=Run(tmp_path)).n_new == 0
    whole = EmbedConfig(encoder="random:small", name="whole", batch_size=4)
    embed(archive.tiles(), whole, run=Run(tmp_path))
    np.testing.assert_array_equal(archive.tiles().embedding("r"), archive.tiles().embedding("whole"))


def test_name_of_another_encoder_is_refused(archive, tmp_path):
    embed(archive.tiles(), EmbedConfig(encoder="random:small", name="r", seed=1), run=Run(tmp_path))
    with pytest.raises(WootzError, match=r"made by another encoder; choose a new name"):
        embed(archive.tiles(), EmbedConfig(encoder="random:small", name="r", seed=2), run=Run(tmp_path))


def test_embedding_at_one_pixel_size(archive, tmp_path):
    images = archive.images.image_id.tolist()
    sizes = 10.0 * (1 + np.arange(len(images)) % 2)
    for column in ("pixel_size_row_nm", "pixel_size_col_nm"):
        archive.set_image_column(column, images, sizes)
    tiles, encoder = archive.tiles(), build_encoder("small", generator_seed=3)
    cfg = EmbedConfig(encoder="random:small", name="same", seed=3, pixel_size_nm=20.0)
    embed(tiles, cfg, run=Run(tmp_path))
    pixels = SameScale(tiles, 20.0).scaled(np.arange(len(tiles)))
    np.testing.assert_allclose(tiles.embedding("same"), embed_arrays(pixels, encoder), atol=1e-5)
    assert archive.embedding_provenance("same")["pixel_size_nm"] == 20.0
    with pytest.raises(WootzError, match="made at another pixel size"):
        embed(tiles, EmbedConfig(encoder="random:small", name="same", seed=3), run=Run(tmp_path))


def test_run_ids_and_files_name_encoders(archive, tmp_path):
    with pytest.raises(CheckpointError, match=r"no finished pretraining run.*wootz pretrain"):
        encoder_file(archive, "")
    older, newer = (archive.start_run("pretrain", {"n": n}, seed=0, inputs={}) for n in range(2))
    archive.start_run("pretrain", {"n": 2}, seed=0, inputs={})  # still without an encoder
    for run in (older, newer):
        save_encoder(run.folder / "encoder.pt", build_encoder("small"), provenance={})
    assert encoder_file(archive, older.id) == older.folder / "encoder.pt"
    assert encoder_file(archive, "").parent in (older.folder, newer.folder)
    assert encoder_file(archive, str(tmp_path / "x.pt")) == tmp_path / "x.pt"
    with pytest.raises(CheckpointError, match=r"no checkpoint .*x\.pt"):
        embed(archive.tiles(), EmbedConfig(encoder=str(tmp_path / "x.pt")), run=Run(tmp_path))
    with pytest.raises(WootzError, match="encoder='vgg'"):
        embed(archive.tiles(), EmbedConfig(encoder="random:vgg"), run=Run(tmp_path))


def test_features_do_not_depend_on_the_batch_and_the_mode_is_restored(rng):
    encoder = build_encoder("small", generator_seed=0).train()
    pixels = rng.random((7, 32, 32), dtype=np.float32)
    before = encoder.bn1.running_mean.clone()
    one = embed_arrays(pixels, encoder, batch_size=1)
    np.testing.assert_allclose(one, embed_arrays(pixels[:, None], encoder, batch_size=5), atol=1e-5)
    assert encoder.training
    assert torch.equal(encoder.bn1.running_mean, before)
    assert embed_arrays(pixels[:0], encoder).shape == (0, 256)
    with pytest.raises(ValueError, match="shape"):
        embed_arrays(pixels[0], encoder)


@pytest.mark.parametrize("changes", [{"batch_size": 0}, {"name": "a/b"}, {"shard_rows": 1}])
def test_embed_options_out_of_range(changes):
    with pytest.raises(WootzError, match=next(iter(changes))):
        EmbedConfig(**changes)


@pytest.mark.slow
@pytest.mark.realdata
def test_simclr_beats_random_weights_on_real_surfaces(data_dir, tmp_path):
    """NEU surface defects: 60 epochs on the training split without labels, kNN on the validation split."""
    import json

    from PIL import Image

    from wootz import intensity
    from wootz.ssl import knn_probe
    from wootz.ssl.pretraining import pretrain_tiles

    def load(name):
        image = np.asarray(Image.open(next((data_dir / "neu" / "images").glob(f"{name}.*"))).convert("L"))
        return intensity.scale(image, *intensity.robust_range(image))

    class Tiles:
        def __init__(self, pixels):
            self.pixels = pixels

        def __len__(self):
            return len(self.pixels)

        def scaled(self, rows, margin=0):
            around = ((0, 0), (margin, margin), (margin, margin))
            return np.pad(self.pixels[rows], around, mode="reflect")

    split = json.loads((data_dir / "splits.json").read_text())["neu"]
    pixels = {part: np.stack([load(name) for name in split[part]]) for part in ("train", "val")}
    labels = {part: np.array([name.rsplit("_", 1)[0] for name in split[part]]) for part in ("train", "val")}

    def probe(encoder):
        train, val = (embed_arrays(pixels[part], encoder) for part in ("train", "val"))
        return knn_probe(train, labels["train"], test_features=val, test_labels=labels["val"])

    cfg = PretrainConfig(encoder="small", epochs=60, batch_size=64)
    result = pretrain_tiles(Tiles(pixels["train"]), cfg, folder=tmp_path)
    assert probe(load_encoder(result.checkpoint)) > probe(build_encoder("small", generator_seed=0)) + 0.15


def test_shrunk_tiles_are_means_of_blocks_with_their_surroundings(archive):
    tiles = archive.tiles()
    coarse = Coarser(tiles, 4)
    rows = np.array([4, 0, 13])
    whole = tiles.scaled(rows, 8)
    expected = np.empty((3, 12, 12))
    for at in np.ndindex(12, 12):
        row, col = 4 * at[0], 4 * at[1]
        expected[:, at[0], at[1]] = whole[:, row : row + 4, col : col + 4].mean(axis=(1, 2))
    assert coarse.scaled(rows, 2) == pytest.approx(expected, abs=1e-6)
    assert coarse.scaled(rows) == pytest.approx(expected[:, 2:-2, 2:-2], abs=1e-6)
    with pytest.raises(WootzError, match="tile_px=640"):
        Coarser(tiles, 5)


def test_an_encoder_of_shrunk_tiles_embeds_shrunk_tiles(archive, tmp_path):
    done = pretrain(archive.tiles(), settings(downscale=2, epochs=1), run=Run(tmp_path / "run"))
    assert encoder_provenance(done.checkpoint)["downscale"] == 2
    embed(archive.tiles(), EmbedConfig(encoder=str(done.checkpoint)), run=Run(tmp_path, "embed-1"))
    encoder, pixels = load_encoder(done.checkpoint), archive.tiles().scaled(slice(None))
    wanted = embed_arrays(Coarser(archive.tiles(), 2).scaled(np.arange(len(pixels))), encoder)
    np.testing.assert_allclose(archive.embedding("simclr")[1], wanted, atol=1e-5)
    assert np.abs(wanted - embed_arrays(pixels, encoder)).max() > 1e-3
    again = EmbedConfig(encoder=str(done.checkpoint), pixel_size_nm=3.0, name="again")
    with pytest.raises(WootzError, match="leave out pixel_size_nm"):
        embed(archive.tiles(), again, run=Run(tmp_path, "embed-2"))


def test_downscale_is_refused_where_scales_come_from_elsewhere():
    with pytest.raises(WootzError, match="single_image"):
        settings(downscale=2, single_image="a.tif")
    with pytest.raises(WootzError, match="downscale"):
        settings(downscale=0)
