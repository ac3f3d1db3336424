"""ConvNeXt, ViT and Swin against the libraries they are known from, and what all families share."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from wootz.encoders import (
    NAMES,
    STRIDES,
    ConvNeXtEncoder,
    SwinEncoder,
    ViTEncoder,
    build_encoder,
    load_encoder,
    save_encoder,
    seeded,
)
from wootz.encoders.positions import resample_positions, sine_positions
from wootz.finetune.config import AnomalyConfig
from wootz.finetune.patchcore import patch_features
from wootz.finetune.unet import build_unet
from wootz.ssl.methods.fits import is_transformer

tiny_vit = functools.partial(
    seeded, lambda: ViTEncoder("tiny", dim=24, depth=4, heads=2, grid=4), generator_seed=0
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pixels(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def scrambled(encoder, seed=1):
    """Give every weight some value, so that no part hides behind a zero or a layer scale of 1e-6."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(
                0.2 * torch.randn(parameter.shape, generator=generator) * parameter.std().nan_to_num(0.5)
            )
            if parameter.ndim == 3 and parameter.shape[1:] == (1, 1):
                parameter.fill_(0.5)
    return encoder.eval()


def test_convnext_computes_what_torchvision_computes():
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    widths, depths = (8, 16, 24, 32), (1, 2, 1, 1)
    ours = scrambled(seeded(lambda: ConvNeXtEncoder("tiny", depths=depths, widths=widths), generator_seed=0))
    stages = zip(widths, (*widths[1:], None), depths, strict=True)
    theirs = ConvNeXt([CNBlockConfig(*stage) for stage in stages], num_classes=5).eval()
    theirs.features[0][0] = nn.Conv2d(1, 8, 4, stride=4)
    theirs.classifier[2] = nn.Identity()
    theirs.load_state_dict(ours.state_dict(), strict=True)  # the keys are torchvision's own
    x = pixels(2, 1, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))
        torch.testing.assert_close(ours.feature_maps(x)[3], theirs.features[:6](x))


def test_convnext_t_has_the_layout_of_torchvision():
    from torchvision.models import convnext_tiny

    with torch.device("meta"):
        theirs = convnext_tiny().state_dict()
    ours = build_encoder("convnext_t", generator_seed=0).state_dict()
    left = {k for k, v in theirs.items() if k not in ours or v.shape != ours[k].shape}
    assert left == {"features.0.0.weight", "classifier.2.weight", "classifier.2.bias"}
    assert ours.keys() <= theirs.keys()


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (80, 48)])
def test_vit_computes_what_timm_computes(size):
    from timm.models.vision_transformer import VisionTransformer

    ours = scrambled(tiny_vit())
    theirs = VisionTransformer(
        img_size=64, patch_size=16, in_chans=1, embed_dim=24, depth=4, num_heads=2, num_classes=0,
        dynamic_img_size=True,
    ).eval()  # fmt: skip
    theirs.load_state_dict(ours.state_dict(), strict=True)
    x = pixels(2, 1, *size)
    with torch.no_grad():
        expected = theirs.forward_features(x)  # positions interpolated where the size is not 64 x 64
        torch.testing.assert_close(ours.attend(ours.tokens(x)), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours(x), expected[:, 1:].mean(1), rtol=1e-4, atol=1e-5)


def test_vit_maps_are_tokens_of_rising_depth():
    ours = scrambled(seeded(lambda: ViTEncoder("t", dim=24, depth=8, heads=2, grid=4), generator_seed=0))
    x = pixels(1, 1, 64, 64)
    outputs = []
    for block in ours.blocks:
        block.register_forward_hook(lambda module, inputs, output: outputs.append(output[:, 1:]))
    with torch.no_grad():
        maps = ours.feature_maps(x)
    assert len(outputs) == 8
    torch.testing.assert_close(maps[0][0, :, 3, 5], x[0, 0, 6:8, 10:12].flatten())

    def normed(tokens):
        return (tokens - tokens.mean(-1, keepdim=True)) / (
            tokens.var(-1, correction=0, keepdim=True) + 1e-6
        ).sqrt()

    of_16 = normed(outputs[5]).transpose(1, 2).reshape(1, 24, 4, 4)  # after three quarters of the blocks
    torch.testing.assert_close(maps[3], of_16, rtol=1e-4, atol=1e-5)
    of_8 = normed(outputs[3]).transpose(1, 2).reshape(1, 24, 4, 4)
    torch.testing.assert_close(functional.avg_pool2d(maps[2], 2).mean(), of_8.mean(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(maps[4].mean(dim=(2, 3)), ours(x), rtol=1e-4, atol=1e-5)


def test_vit_attends_to_any_part_of_the_patches_in_any_order():
    vit = scrambled(tiny_vit())
    tokens = vit.tokens(pixels(2, 1, 64, 64))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole, turned = vit.attend(tokens), vit.attend(tokens[:, order])
        torch.testing.assert_close(turned[:, 1:], whole[:, 1:][:, order], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(turned[:, 0], whole[:, 0], rtol=1e-4, atol=1e-5)
        assert vit.attend(tokens[:, order[:4]]).shape == (2, 5, 24)


def test_vit_in_double_precision_stays_there():
    vit = tiny_vit().double()
    assert vit(pixels(1, 1, 32, 32).double()).dtype == torch.float64


def test_vit_tokens_carry_their_place():
    vit = tiny_vit()
    flat = vit.tokens(torch.full((1, 1, 64, 64), 0.5))[0].detach()
    assert len(torch.unique(flat, dim=0)) == 16


def test_vit_weights_start_as_xavier():
    vit = build_encoder("vit_s16", generator_seed=0)
    qkv = vit.blocks[0].attn.qkv.weight.detach()
    assert float(qkv.abs().max()) == pytest.approx((6 / (384 + 384)) ** 0.5, rel=1e-3)  # each part by itself
    assert float(vit.blocks[0].mlp.fc1.weight.detach().abs().max()) == pytest.approx(
        (6 / (384 * 5)) ** 0.5, rel=1e-3
    )


def test_sine_positions_by_loops():
    grid, dim = 3, 8
    expected = np.zeros((grid * grid, dim))
    for row in range(grid):
        for col in range(grid):
            for i in range(dim // 4):
                frequency = 1 / 10000 ** (i / (dim // 4))
                of_place = [np.sin(col * frequency), np.cos(col * frequency)]
                of_place += [np.sin(row * frequency), np.cos(row * frequency)]
                expected[row * grid + col, i :: dim // 4] = of_place
    np.testing.assert_allclose(sine_positions(grid, dim).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("rows", "cols"), [(6, 6), (3, 9), (14, 2), (5, 5)])
def test_positions_are_resampled_as_torch_interpolates_images(rows, cols):
    positions = torch.randn(1, 25, 4, generator=torch.Generator().manual_seed(0))
    as_image = positions.view(1, 5, 5, 4).permute(0, 3, 1, 2)
    expected = functional.interpolate(as_image, size=(rows, cols), mode="bicubic", antialias=True)
    ours = resample_positions(positions, rows, cols)
    torch.testing.assert_close(ours, expected.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-5)


def test_positions_first_used_in_inference_can_be_trained():
    positions = torch.randn(1, 49, 4, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        resample_positions(positions, 11, 3)
    resample_positions(positions, 11, 3).sum().backward()
    assert float(positions.grad.sum()) == pytest.approx(4 * 33)  # the weights of each new place sum to one


@pytest.mark.parametrize(("name", "feature_size"), [("swin", 48), ("swin24", 24)])
def test_swin_unetr_of_monai_takes_every_weight(name, feature_size, tmp_path):
    from monai.networks.nets.swin_unetr import SwinUNETR

    save_encoder(tmp_path / "encoder.pt", build_encoder(name, generator_seed=3), provenance={})
    ours = load_encoder(tmp_path / "encoder.pt", expect=name).eval()
    with torch.random.fork_rng():
        theirs = SwinUNETR(in_channels=1, out_channels=3, feature_size=feature_size, spatial_dims=2).eval()
    theirs.swinViT.load_state_dict(
        {k.removeprefix("swinViT."): v for k, v in ours.state_dict().items()}, strict=True
    )
    left = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert not [key for key in left.missing_keys if key.startswith("swinViT.")]
    x = pixels(1, 1, 64, 64)
    with torch.no_grad():
        for own, other in zip(ours.feature_maps(x), theirs.swinViT(x), strict=True):
            torch.testing.assert_close(own, other)
        assert theirs(x).shape == (1, 3, 64, 64)


def stem_of(encoder):
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            return module
    raise AssertionError


@pytest.mark.parametrize("name", NAMES)
def test_twelve_bits_reach_the_stem_under_bfloat16(name):
    seen = []
    encoder = build_encoder(name, generator_seed=0).eval()
    stem_of(encoder).register_forward_hook(lambda module, inputs, output: seen.extend([inputs[0], output]))
    ramp = (torch.arange(4096).reshape(1, 1, 64, 64) / 4095) * 0.1 + 0.9  # a bright part of a 16-bit image
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        features = encoder(ramp)
        maps = encoder.feature_maps(ramp)
    assert seen[0].dtype == seen[1].dtype == torch.float32
    assert len(torch.unique(seen[0])) >= 2000
    assert len(torch.unique(ramp.bfloat16())) < 50  # what it would have been cut to
    assert features.dtype == torch.float32
    assert torch.isfinite(features).all()
    with torch.no_grad():  # and the rest does not run wild in bfloat16
        exact = encoder.feature_maps(ramp)
    for low, high in zip(maps, exact, strict=True):
        assert float((low.float() - high).norm() / high.norm()) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_maps_of_any_size_are_rounded_up(name):
    encoder = build_encoder(name, generator_seed=0).eval()
    with torch.no_grad():
        maps = encoder.feature_maps(pixels(1, 1, 50, 71))
        features = encoder(pixels(1, 1, 50, 71))
    sizes = [(c, -(-50 // s), -(-71 // s)) for c, s in zip(encoder.channels, STRIDES, strict=True)]
    assert [tuple(m.shape[1:]) for m in maps] == sizes
    assert features.shape == (1, encoder.dim)


@pytest.mark.parametrize("name", ["resnet34", "convnext_t", "vit_s16", "swin24"])
def test_u_net_trains_on_every_family(name):
    network = build_unet(build_encoder(name, generator_seed=0), n_classes=3, seed=0)
    logits = network(pixels(2, 1, 64, 64))
    assert logits.shape == (2, 3, 64, 64)
    functional.cross_entropy(logits, (pixels(2, 64, 64) * 3).long()).backward()
    still = [k for k, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not still
    with torch.no_grad():
        assert network.eval()(pixels(1, 1, 50, 71)).shape == (1, 3, 50, 71)


@pytest.mark.parametrize("name", ["convnext_t", "vit_s16", "swin24"])
def test_patches_of_any_layer_are_described(name):
    encoder = build_encoder(name, generator_seed=0)
    field = pixels(70, 90).numpy()
    for layer, stride in enumerate(STRIDES):
        described, grid = patch_features(encoder, field, AnomalyConfig(layers=[layer]))
        assert grid == (-(-70 // stride), -(-90 // stride))
        assert described.shape == (grid[0] * grid[1], encoder.channels[layer])
    assert patch_features(encoder, field, AnomalyConfig(layers=[1, 2, 3]))[0].shape[1] == sum(
        encoder.channels[1:4]
    )


@pytest.mark.parametrize("name", ["convnext_t", "vit_s16", "swin24"])
def test_seed_fixes_every_weight(name, tmp_path):
    state = torch.random.get_rng_state()
    first, same, other = (build_encoder(name, generator_seed=seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[k], same[k]) for k in first)
    assert all(torch.isfinite(v).all() for v in first.values())
    drawn = [
        k for k, v in first.items() if v.is_floating_point() and v.ndim > 1 and not torch.equal(v, other[k])
    ]
    fixed = [k for k, v in first.items() if v.ndim > 1 and k not in drawn]
    assert {k.rsplit(".", 1)[-1] for k in fixed} <= {"layer_scale", "pos_embed", "relative_position_index"}
    save_encoder(tmp_path / "e.pt", build_encoder(name, generator_seed=5), provenance={"seed": 5})
    loaded = load_encoder(tmp_path / "e.pt", expect=name).state_dict()
    assert all(torch.equal(first[k], loaded[k]) for k in first)


def test_training_does_not_draw_from_the_global_state():
    makers = [
        lambda: ConvNeXtEncoder("tiny", depths=(1, 1, 1, 1), widths=(8, 8, 8, 8)),
        lambda: ViTEncoder("tiny", dim=24, depth=4, heads=2),
        lambda: SwinEncoder("tiny", feature_size=12, depths=(2, 1, 1, 1), heads=(2, 2, 2, 2)),
    ]
    for make in makers:
        encoder = seeded(make, generator_seed=0).train()
        state = torch.random.get_rng_state()
        encoder(pixels(2, 1, 64, 64)).sum().backward()
        assert torch.equal(torch.random.get_rng_state(), state)


def test_transformers_are_told_from_cnns():
    assert {name: is_transformer(build_encoder(name, generator_seed=0)) for name in NAMES} == {
        name: name.startswith(("vit", "swin")) for name in NAMES
    }
