"""Checkpoints of torchvision, timm and MONAI: the same answers for a grey image, all weights or none."""

import hashlib
import re

import pytest
import torch
from torch import nn

from wootz.encoders import build_encoder, imagenet, save_encoder
from wootz.encoders.foreign import adapt_checkpoint
from wootz.encoders.grey import FIGURES
from wootz.encoders.start import find_start, start_encoder
from wootz.errors import CheckpointError, WootzError


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def grey(*size):
    return torch.rand(2, 1, *size, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.2


def as_colour(x, normalisation):
    """Repeat a grey image and normalise it as the three-channel network expects."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in FIGURES[normalisation])
    return (x.repeat(1, 3, 1, 1) - mean) / std


def random_network(make):
    """Build a network of another library to evaluate, with statistics and scales that are not 0 or 1."""
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(4)
        network = make().eval()
        for key, value in network.state_dict().items():
            if key.endswith("running_mean"):
                value.normal_(0, 0.3)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif key.endswith(("gamma", "layer_scale")):
                value.uniform_(0.3, 0.7)
            elif key.endswith(("bias", "cls_token", "class_token")) and value.is_floating_point():
                value.normal_(0, 0.1)
    return network


def torchvision_resnet18():
    from torchvision.models import resnet18

    return random_network(lambda: resnet18(weights=None))


def test_resnet_answers_a_grey_image_as_the_colour_network_does(tmp_path):
    theirs = torchvision_resnet18()
    torch.save(theirs.state_dict(), tmp_path / "r18.pth")
    adapted = adapt_checkpoint(tmp_path / "r18.pth", "resnet18", normalisation="none")
    assert adapted.unused == ("fc.weight", "fc.bias")
    assert adapted.kept == ()
    assert len(adapted.used) == len(theirs.state_dict()) - 2
    theirs.fc = nn.Identity()
    x = grey(64, 96)
    with torch.no_grad():
        torch.testing.assert_close(
            adapted.encoder.eval()(x), theirs(x.repeat(1, 3, 1, 1)), rtol=1e-4, atol=1e-5
        )


def test_normalisation_is_folded_into_the_batch_norm_save_at_the_border(tmp_path):
    theirs = torchvision_resnet18()
    torch.save(theirs.state_dict(), tmp_path / "r18.pth")
    ours = adapt_checkpoint(tmp_path / "r18.pth", "resnet18").encoder.eval()
    x = grey(64, 64)
    with torch.no_grad():
        expected = theirs.relu(theirs.bn1(theirs.conv1(as_colour(x, "imagenet"))))
        stem = ours.feature_maps(x)[0]
    torch.testing.assert_close(stem[..., 2:-1, 2:-1], expected[..., 2:-1, 2:-1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(stem, expected, atol=0.01)  # padding is black for ours, mean grey for theirs


def timm_vit(**options):
    from timm.models.vision_transformer import VisionTransformer

    return random_network(
        lambda: VisionTransformer(
            **{"img_size": 224, "patch_size": 16, "embed_dim": 384, "depth": 12, "num_heads": 6, **options}
        )
    )


@pytest.mark.parametrize("normalisation", ["imagenet", "half"])
def test_timm_vit_answers_alike(tmp_path, normalisation):
    theirs = timm_vit(img_size=64, num_classes=7)
    torch.save({"model": theirs.state_dict(), "epoch": 3}, tmp_path / "vit.pth")
    adapted = adapt_checkpoint(tmp_path / "vit.pth", "vit_s16", normalisation=normalisation)
    assert set(adapted.unused) == {"model.head.weight", "model.head.bias"}
    ours = adapted.encoder.eval()
    assert ours.pos_embed.shape == (1, 197, 384)  # interpolated from 4 x 4
    same_grid = timm_vit(num_classes=7)
    torch.save(same_grid.state_dict(), tmp_path / "vit224.pth")
    ours = adapt_checkpoint(tmp_path / "vit224.pth", "vit_s16", normalisation=normalisation).encoder.eval()
    x = grey(224, 224)[:1]
    with torch.no_grad():
        expected = same_grid.forward_features(as_colour(x, normalisation))
        torch.testing.assert_close(ours.attend(ours.tokens(x)), expected, rtol=1e-3, atol=1e-4)


def test_torchvision_vit_answers_alike(tmp_path):
    from torchvision.models import VisionTransformer

    theirs = random_network(
        lambda: VisionTransformer(
            image_size=224,
            patch_size=16,
            num_layers=12,
            num_heads=6,
            hidden_dim=384,
            mlp_dim=1536,
            num_classes=3,
        )
    )
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    adapted = adapt_checkpoint(tmp_path / "vit.pth", "vit_s16")
    assert adapted.library == "torchvision"
    assert set(adapted.unused) == {"heads.head.weight", "heads.head.bias"}
    x = grey(224, 224)[:1]
    with torch.no_grad():
        theirs.heads = nn.Identity()
        ours = adapted.encoder.eval()
        expected = theirs(as_colour(x, "imagenet"))  # the class token
        torch.testing.assert_close(ours.attend(ours.tokens(x))[:, 0], expected, rtol=1e-3, atol=1e-4)


def test_vit_without_a_place_for_the_class_token_gets_zeros_there(tmp_path):
    theirs = timm_vit(no_embed_class=True, num_classes=0)
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    ours = adapt_checkpoint(tmp_path / "vit.pth", "vit_s16").encoder.eval()
    x = grey(224, 224)[:1]
    with torch.no_grad():
        expected = theirs.forward_features(as_colour(x, "imagenet"))
        torch.testing.assert_close(ours.attend(ours.tokens(x)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("library", ["torchvision", "timm", "timm as convolutions"])
def test_convnext_answers_alike(tmp_path, library):
    if library == "torchvision":
        from torchvision.models import convnext_tiny

        theirs = random_network(lambda: convnext_tiny(weights=None))
        theirs.classifier[2] = nn.Identity()
    else:
        import timm

        theirs = random_network(
            lambda: timm.create_model("convnext_tiny", num_classes=0, conv_mlp=library != "timm")
        )
    torch.save(theirs.state_dict(), tmp_path / "c.pth")
    adapted = adapt_checkpoint(tmp_path / "c.pth", "convnext_t")
    assert adapted.unused == adapted.kept == ()
    assert adapted.library == library.split()[0]
    x = grey(64, 64)
    with torch.no_grad():
        ours = adapted.encoder.eval()(x)
        torch.testing.assert_close(ours, theirs(as_colour(x, "imagenet")), rtol=1e-3, atol=1e-4)


def test_convnext_of_its_authors_loads(tmp_path):
    """Their names from those of torchvision, by a table that is written here once more."""
    ours = build_encoder("convnext_t", generator_seed=2).state_dict()
    place = {"0": "dwconv", "2": "norm", "3": "pwconv1", "5": "pwconv2"}
    theirs = {"head.weight": torch.zeros(9, 768)}
    for key, value in ours.items():
        part = key.split(".")
        if part[0] == "classifier":
            name, kept = f"norm.{part[2]}", value
        elif int(part[1]) % 2 == 0:
            name, kept = f"downsample_layers.{int(part[1]) // 2}.{part[2]}.{part[3]}", value
        elif part[3] == "layer_scale":
            name, kept = f"stages.{int(part[1]) // 2}.{part[2]}.gamma", value.flatten()
        else:
            name, kept = f"stages.{int(part[1]) // 2}.{part[2]}.{place[part[4]]}.{part[5]}", value
        theirs[name] = kept
    torch.save({"model": theirs}, tmp_path / "c.pth")
    adapted = adapt_checkpoint(tmp_path / "c.pth", "convnext_t")
    assert all(torch.equal(value, ours[key]) for key, value in adapted.encoder.state_dict().items())
    assert adapted.unused == ("model.head.weight",)
    assert adapted.normalisation == "none"  # one channel: nothing to fold


def test_swin_comes_from_a_two_dimensional_swin_unetr(tmp_path):
    from monai.networks.nets.swin_unetr import SwinUNETR

    theirs = random_network(lambda: SwinUNETR(in_channels=1, out_channels=2, feature_size=24, spatial_dims=2))
    torch.save({"state_dict": {f"module.{k}": v for k, v in theirs.state_dict().items()}}, tmp_path / "s.pt")
    adapted = adapt_checkpoint(tmp_path / "s.pt", "swin24")
    x = grey(64, 64)
    with torch.no_grad():
        torch.testing.assert_close(adapted.encoder.eval().feature_maps(x)[4], theirs.swinViT(x)[4])
    assert all(".swinViT." not in key for key in adapted.unused)
    with torch.random.fork_rng():
        solid = SwinUNETR(in_channels=1, out_channels=2, feature_size=24, spatial_dims=3)
    torch.save(solid.state_dict(), tmp_path / "solid.pt")
    with pytest.raises(CheckpointError, match=r"of other shapes: swinViT\.patch_embed\.proj\.weight"):
        adapt_checkpoint(tmp_path / "solid.pt", "swin24")


def small_resnet(**changes):
    state = torchvision_resnet18().state_dict()
    return {**state, **changes}


def test_prefixes_are_found_and_the_slow_copy_is_taken(tmp_path):
    fast = small_resnet()
    slow = {key: value + 1 for key, value in fast.items()}
    both = {"student": {f"module.backbone.{k}": v for k, v in fast.items()}}
    both["teacher"] = {f"backbone.{k}": v for k, v in slow.items()}
    torch.save({**both, "epoch": 7, "args": {"lr": 0.1}}, tmp_path / "dino.pth")
    adapted = adapt_checkpoint(tmp_path / "dino.pth", "resnet18", normalisation="none")
    assert torch.equal(adapted.encoder.layer4[1].conv2.weight, slow["layer4.1.conv2.weight"])
    assert all(key.startswith("teacher.backbone.") for key in adapted.used)


def test_safetensors_are_read(tmp_path):
    from safetensors.torch import save_file

    state = small_resnet()
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "r.safetensors")
    torch.save(state, tmp_path / "r.pth")
    one, other = (
        adapt_checkpoint(tmp_path / f, "resnet18").encoder.state_dict() for f in ("r.safetensors", "r.pth")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_counters_may_lack(tmp_path):
    state = {k: v for k, v in small_resnet().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "r.pth")
    adapted = adapt_checkpoint(tmp_path / "r.pth", "resnet18")
    assert len(adapted.kept) == 20
    assert all(key.endswith("num_batches_tracked") for key in adapted.kept)


def test_one_missing_weight_is_refused(tmp_path):
    state = small_resnet()
    del state["layer3.0.conv1.weight"]
    torch.save(state, tmp_path / "r.pth")
    with pytest.raises(
        CheckpointError, match=r"in 99 of 100 entries only \(1 missing: layer3\.0\.conv1\.weight"
    ):
        adapt_checkpoint(tmp_path / "r.pth", "resnet18")


def test_other_architectures_are_refused(tmp_path):
    torch.save(small_resnet(), tmp_path / "r.pth")
    with pytest.raises(CheckpointError, match="fits the encoder 'resnet34' in 100 of 180 entries only"):
        adapt_checkpoint(tmp_path / "r.pth", "resnet34")
    with pytest.raises(CheckpointError, match=r"fits the encoder 'small' .* of other shapes"):
        adapt_checkpoint(tmp_path / "r.pth", "small")
    with pytest.raises(CheckpointError, match="holds no weights of vit_s16"):
        adapt_checkpoint(tmp_path / "r.pth", "vit_s16")


def test_files_that_are_no_weights_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        adapt_checkpoint(tmp_path / "gone.pth", "resnet18")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds a list"):
        adapt_checkpoint(tmp_path / "list.pth", "resnet18")
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / "module.pth")
    with pytest.raises(CheckpointError, match="holds more than tensors"):
        adapt_checkpoint(tmp_path / "module.pth", "resnet18")
    torch.save(small_resnet(), tmp_path / "r.pth")
    with pytest.raises(WootzError, match="normalisation='caffe' is not known"):
        adapt_checkpoint(tmp_path / "r.pth", "resnet18", normalisation="caffe")


def test_wootz_file_is_a_start_too(tmp_path):
    encoder = build_encoder("small", generator_seed=3)
    save_encoder(tmp_path / "runs" / "run7" / "encoder.pt", encoder, provenance={"method": "byol"})
    source = find_start("run7", "small", runs=tmp_path / "runs")
    loaded, about = start_encoder(source, seed=0)
    assert torch.equal(loaded.conv1.weight, encoder.conv1.weight)
    assert (about["library"], about["n_used"]) == ("wootz", len(encoder.state_dict()))
    loaded, about = start_encoder(str(tmp_path / "runs" / "run7" / "encoder.pt"), seed=0)
    assert about["method"] == "byol"
    with pytest.raises(CheckpointError, match="'small', but 'resnet18' is asked for"):
        start_encoder(find_start(str(tmp_path / "runs" / "run7"), "resnet18"), seed=0)
    random, _ = start_encoder(find_start("random", "small"), seed=3)
    assert torch.equal(random.conv1.weight, encoder.conv1.weight)


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """Put a checkpoint where torchvision's would be, and torch's own folder elsewhere."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    shop = tmp_path / "shop"
    shop.mkdir()
    torch.save(small_resnet(), shop / "r.pth")
    digest = hashlib.sha256((shop / "r.pth").read_bytes()).hexdigest()[:8]
    file = (shop / "r.pth").rename(shop / f"resnet18-{digest}.pth")
    monkeypatch.setattr(imagenet, "imagenet_url", lambda name: file.as_uri())
    return file


def test_imagenet_is_downloaded_once_and_checked(tmp_path, offered):
    first, about = start_encoder("imagenet:resnet18", seed=0)
    assert (about["method"], about["normalisation"]) == ("imagenet", "imagenet")
    offered.unlink()
    again, _ = start_encoder("imagenet:resnet18", seed=0)
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    kept = tmp_path / "torch" / "hub" / "checkpoints" / offered.name
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"{kept.name} is damaged .*; delete it"):
        start_encoder("imagenet:resnet18", seed=0)


def test_damage_on_the_way_is_found(offered):
    offered.write_bytes(offered.read_bytes() + b"x")
    with pytest.raises(CheckpointError, match="arrived damaged"):
        start_encoder("imagenet:resnet18", seed=0)


def test_without_a_network_the_message_says_what_to_fetch(tmp_path, offered):
    offered.unlink()
    expected = rf"fetch {re.escape(offered.as_uri())} and put it at .*torch/hub/checkpoints/{offered.name}"
    with pytest.raises(WootzError, match=expected):
        start_encoder("imagenet:resnet18", seed=0)
    assert not list((tmp_path / "torch" / "hub" / "checkpoints").iterdir())


@pytest.mark.parametrize("name", imagenet.IMAGENET)
def test_torchvision_names_its_files_by_their_checksum(name):
    assert re.search(r"-[0-9a-f]{8}\.pth$", imagenet.imagenet_url(name))


def test_imagenet_for_other_architectures_is_refused():
    with pytest.raises(WootzError, match="no ImageNet weights for swin that can be had by name"):
        start_encoder("imagenet:swin", seed=0)
