"""Encoders: the same network as torchvision's, exact files, errors that name the remedy."""

import json
import os

import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50

from wootz.encoders import (
    INTENSITY,
    NAMES,
    STRIDES,
    build_encoder,
    encoder_fingerprint,
    encoder_provenance,
    load_encoder,
    read_checkpoint,
    save_encoder,
    write_checkpoint,
)
from wootz.errors import CheckpointError, WootzError


@pytest.mark.parametrize(("name", "reference"), [("resnet18", resnet18), ("resnet50", resnet50)])
def test_computes_what_torchvision_computes(name, reference):
    theirs = reference(weights=None)
    theirs.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    theirs.fc = nn.Identity()
    ours = build_encoder(name, generator_seed=3)
    missing = theirs.load_state_dict(ours.state_dict(), strict=True)  # the keys are torchvision's own
    assert not missing.missing_keys
    x = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("name", NAMES)
def test_feature_maps_have_the_announced_channels_and_strides(name):
    encoder = build_encoder(name, generator_seed=0).eval()
    with torch.no_grad():
        maps = encoder.feature_maps(torch.rand(1, 1, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 64 // s, 96 // s) for c, s in zip(encoder.channels, STRIDES, strict=True)
    ]
    assert encoder.dim == encoder.channels[-1]


def test_small_costs_an_eighth_of_resnet18():
    def multiplications(name):
        total = 0

        def count(module, inputs, output):
            nonlocal total
            total += output.numel() * module.weight[0].numel()

        encoder = build_encoder(name, generator_seed=0).eval()
        for module in encoder.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(count)
        with torch.no_grad():
            encoder(torch.rand(1, 1, 96, 96))
        return total

    assert multiplications("small") < multiplications("resnet18") / 6


def test_seed_fixes_the_weights_and_leaves_the_global_state_alone():
    state = torch.random.get_rng_state()
    first, same = (build_encoder("small", generator_seed=5).state_dict() for _ in range(2))
    other = build_encoder("small", generator_seed=6).state_dict()
    free = build_encoder("small").state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])
    assert not torch.equal(free["conv1.weight"], build_encoder("small").state_dict()["conv1.weight"])


def test_weights_start_with_he_variance():
    weight = build_encoder("resnet18", generator_seed=0).layer4[1].conv2.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)


@pytest.mark.parametrize("offset", [0.0, 0.9])
def test_stem_sees_a_twelve_bit_ramp_whole_under_bfloat16(offset):
    seen = []
    encoder = build_encoder("small", generator_seed=0).eval()
    encoder.conv1.register_forward_hook(lambda module, inputs, output: seen.extend([inputs[0], output]))
    ramp = (torch.arange(4096).reshape(1, 1, 64, 64) / 4095) * 0.1 + offset  # a dim part of a 16-bit image
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        maps = encoder.feature_maps(ramp)
    assert seen[0].dtype == seen[1].dtype == torch.float32
    assert len(torch.unique(seen[0])) >= 2000
    if offset:
        assert len(torch.unique(ramp.bfloat16())) < 50  # what it would have been cut to
    assert maps[-1].dtype == torch.bfloat16  # the rest does run in bfloat16


def test_file_gives_back_the_same_encoder(tmp_path):
    encoder = build_encoder("small", generator_seed=1)
    save_encoder(tmp_path / "new" / "encoder.pt", encoder, provenance={"method": "simclr", "seed": 1})
    loaded = load_encoder(tmp_path / "new" / "encoder.pt", expect="small")
    assert loaded.name == "small"
    assert all(
        torch.equal(a, b)
        for a, b in zip(loaded.state_dict().values(), encoder.state_dict().values(), strict=True)
    )
    about = encoder_provenance(tmp_path / "new" / "encoder.pt")
    assert (about["encoder"], about["method"], about["seed"]) == ("small", "simclr", 1)
    assert about["intensity"] == INTENSITY
    assert about["wootz_version"]


def test_fingerprint_is_of_the_weights_alone(tmp_path):
    encoder = build_encoder("small", generator_seed=1)
    save_encoder(tmp_path / "a.pt", encoder, provenance={"run": "a"})
    save_encoder(tmp_path / "b.pt", encoder, provenance={"run": "b"})
    with torch.no_grad():
        encoder.bn1.running_mean[0] += 1e-6
    save_encoder(tmp_path / "c.pt", encoder, provenance={"run": "a"})
    a, b, c = (encoder_fingerprint(tmp_path / f"{name}.pt") for name in "abc")
    assert a == b != c


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "encoder.pt"
    save_encoder(path, build_encoder("small", generator_seed=1), provenance={})
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WootzError, match="disk full"):
        save_encoder(path, build_encoder("small", generator_seed=2), provenance={})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(CheckpointError, match=r"no checkpoint .*gone\.pt.*wootz pretrain"):
        load_encoder(tmp_path / "gone.pt")


def test_other_architecture_is_refused(tmp_path):
    save_encoder(tmp_path / "e.pt", build_encoder("small", generator_seed=0), provenance={})
    with pytest.raises(CheckpointError, match=r"e\.pt holds the encoder 'small', but 'resnet18'"):
        load_encoder(tmp_path / "e.pt", expect="resnet18")


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_truncated_file_is_refused(tmp_path, keep):
    path = tmp_path / "e.pt"
    save_encoder(path, build_encoder("small", generator_seed=0), provenance={})
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(CheckpointError, match=r"e\.pt is truncated or no checkpoint"):
        load_encoder(path)


@pytest.mark.parametrize("content", [{"weights": torch.zeros(2)}, {"format": "wootz-encoder", "name": "vit"}])
def test_foreign_file_is_refused(tmp_path, content):
    write_checkpoint(tmp_path / "e.pt", content)
    with pytest.raises(CheckpointError, match="is no wootz encoder of a known architecture"):
        load_encoder(tmp_path / "e.pt")


def test_list_in_a_file_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "e.pt")
    with pytest.raises(CheckpointError, match="holds a list"):
        load_encoder(tmp_path / "e.pt")


def _changed(path, **changes):
    content = read_checkpoint(path)
    write_checkpoint(path, {**content, **changes})


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "e.pt"
    save_encoder(path, build_encoder("small", generator_seed=0), provenance={})
    weights = read_checkpoint(path)["weights"]
    _changed(path, weights={k: v for k, v in weights.items() if k != "conv1.weight"})
    with pytest.raises(CheckpointError, match=r"does not fit the encoder 'small'.*conv1\.weight"):
        load_encoder(path)
    _changed(path, weights={**weights, "conv1.weight": torch.zeros(32, 3, 7, 7)})
    with pytest.raises(CheckpointError, match=r"does not fit the encoder 'small'.*conv1\.weight"):
        load_encoder(path)


def test_newer_format_and_other_intensity_are_refused(tmp_path):
    path = tmp_path / "e.pt"
    save_encoder(path, build_encoder("small", generator_seed=0), provenance={})
    _changed(path, provenance=json.dumps({"intensity": "divided by 65535"}))
    with pytest.raises(CheckpointError, match="another intensity scale"):
        load_encoder(path)
    _changed(path, version=99)
    with pytest.raises(CheckpointError, match="newer wootz"):
        load_encoder(path)


def test_unknown_name_lists_the_known():
    with pytest.raises(WootzError, match="resnet18, resnet34, resnet50, small"):
        build_encoder("vgg", generator_seed=0)
