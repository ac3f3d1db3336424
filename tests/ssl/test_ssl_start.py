"""Pretraining, embedding and fine-tuning from weights that are there already."""

import numpy as np
import pytest
import torch

from wootz.archive import Archive
from wootz.augment import AugmentConfig
from wootz.encoders import build_encoder, encoder_provenance, load_encoder, save_encoder
from wootz.encoders.foreign import adapt_checkpoint
from wootz.errors import CheckpointError, WootzError
from wootz.fields import NewField
from wootz.finetune.segment import starting_encoder
from wootz.ssl import EmbedConfig, PretrainConfig, SimCLRConfig, embed, pretrain
from wootz.ssl.pretraining import pretrain_tiles
from wootz.training import LAST


def options(**changes):
    method = SimCLRConfig(hidden_dim=16, output_dim=8)
    base = {"encoder": "small", "epochs": 1, "batch_size": 8, "precision": "float32", "lr": 0.0}
    return PretrainConfig(method=method, augment=AugmentConfig(out_px=16), **{**base, **changes})


def weights(encoder):
    return dict(encoder.named_parameters())


def assert_same(one, other):
    assert all(torch.equal(value, weights(other)[key]) for key, value in weights(one).items())


@pytest.fixture
def torchvision_file(tmp_path):
    from torchvision.models import resnet18

    with torch.random.fork_rng():
        state = resnet18(weights=None).state_dict()
    torch.save(state, tmp_path / "colour.pth")
    return tmp_path / "colour.pth"


def test_pretraining_starts_from_a_checkpoint_of_torchvision(toy_tiles, tmp_path, torchvision_file):
    cfg = options(encoder="resnet18", init=str(torchvision_file), init_normalisation="half")
    result = pretrain_tiles(toy_tiles(n=8), cfg, folder=tmp_path / "run")
    expected = adapt_checkpoint(torchvision_file, "resnet18", normalisation="half")
    assert_same(load_encoder(result.checkpoint), expected.encoder)  # the learning rate was 0
    start = encoder_provenance(result.checkpoint)["start"]
    assert (start["library"], start["normalisation"]) == ("torchvision", "half")
    assert start["file_sha256"] == expected.fingerprint
    assert "from colour (torchvision): 120 entries used, left out fc.weight, fc.bias" in result.summary()


def test_training_from_another_file_does_not_go_on_from_the_old_one(toy_tiles, tmp_path):
    for seed in (1, 2):
        save_encoder(tmp_path / f"{seed}.pt", build_encoder("small", generator_seed=seed), provenance={})
    start = tmp_path / "start.pt"
    start.write_bytes((tmp_path / "1.pt").read_bytes())
    cfg = options(init=str(start))
    first = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "run")
    assert_same(load_encoder(first.checkpoint), build_encoder("small", generator_seed=1))
    again = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "run")  # finished: nothing to do
    assert again.loss_last == first.loss_last
    start.write_bytes((tmp_path / "2.pt").read_bytes())
    with pytest.raises(CheckpointError, match=rf"{LAST} of other options"):
        pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "run")


def test_random_is_the_default_and_says_so(toy_tiles, tmp_path):
    result = pretrain_tiles(toy_tiles(n=8), options(seed=4), folder=tmp_path)
    assert_same(load_encoder(result.checkpoint), build_encoder("small", generator_seed=4))
    assert "from random weights" in result.summary()
    assert "start" not in encoder_provenance(result.checkpoint)


def test_starts_that_do_not_fit_are_refused_before_training(toy_tiles, tmp_path, torchvision_file):
    save_encoder(tmp_path / "small.pt", build_encoder("small", generator_seed=0), provenance={})
    for init, encoder, message in [
        ("nowhere.pt", "small", "There is no checkpoint nowhere.pt"),
        (str(tmp_path / "small.pt"), "resnet18", "holds the encoder 'small', but 'resnet18'"),
        (str(torchvision_file), "resnet34", "wootz starts from all weights or from none"),
        ("imagenet", "small", "no ImageNet weights for small"),
    ]:
        with pytest.raises(WootzError, match=message):
            pretrain_tiles(toy_tiles(n=8), options(init=init, encoder=encoder), folder=tmp_path / "run")
    with pytest.raises(WootzError, match="init_normalisation='caffe'"):
        options(init_normalisation="caffe")


class Run:
    """What an adapter needs of `wootz.runs.Run`."""

    def __init__(self, folder, run_id):
        self.folder, self.id = folder, run_id


@pytest.fixture
def archive(tmp_path):
    archive = Archive.create(tmp_path / "archive")
    grey = np.random.default_rng(0).integers(40, 250, (96, 96)).astype(np.uint8)
    archive.add_images([NewField(grey, {"file": "a.tif"})])
    archive.write_tiles(32, 32)
    return archive


def test_the_id_of_a_run_is_a_start(archive):
    first = archive.start_run("pretrain", {}, seed=0, inputs={})
    pretrain(archive.tiles(), options(seed=5), run=first)
    second = archive.start_run("pretrain", {"init": first.id}, seed=0, inputs={})
    result = pretrain(archive.tiles(), options(init=first.id), run=second)
    assert_same(load_encoder(result.checkpoint), build_encoder("small", generator_seed=5))
    assert encoder_provenance(result.checkpoint)["start"]["library"] == "wootz"


def test_weights_of_other_libraries_embed_and_segment(archive, tmp_path, torchvision_file):
    source = f"resnet18:{torchvision_file}"
    done = embed(archive.tiles(), EmbedConfig(encoder=source, batch_size=8), run=Run(tmp_path, "e"))
    assert (done.name, done.dim) == ("colour", 512)
    assert archive.embedding("colour")[2]["library"] == "torchvision"
    expected = adapt_checkpoint(torchvision_file, "resnet18").encoder
    assert_same(starting_encoder(source, seed=0), expected)
    assert_same(starting_encoder("random:small", seed=6), build_encoder("small", generator_seed=6))


@pytest.mark.parametrize(
    "encoder",
    [
        pytest.param("vit_s16", marks=pytest.mark.slow),
        pytest.param("convnext_t", marks=pytest.mark.slow),
        "swin24",
    ],
)
def test_other_families_train(toy_tiles, tmp_path, encoder):
    tiles = toy_tiles(n=8, size_px=64, context_px=24)
    cfg = options(encoder=encoder, lr=1e-3)
    cfg.augment.out_px = 64
    result = pretrain_tiles(tiles, cfg, folder=tmp_path)
    trained, first = (
        weights(load_encoder(result.checkpoint)),
        weights(build_encoder(encoder, generator_seed=0)),
    )
    still = [key for key, value in trained.items() if torch.equal(value, first[key])]
    assert not still
