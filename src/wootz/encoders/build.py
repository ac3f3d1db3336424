"""Choose an architecture by name and draw its weights from a seed."""

from collections.abc import Callable
from typing import TypeVar

import torch

from wootz.encoder_names import ENCODERS
from wootz.encoders.convnext import ConvNeXtEncoder
from wootz.encoders.resnet import ResNetEncoder
from wootz.encoders.swin import SwinEncoder
from wootz.encoders.vit import ViTEncoder
from wootz.options import check_choice

Encoder = ResNetEncoder | ConvNeXtEncoder | ViTEncoder | SwinEncoder
E = TypeVar("E", bound=ResNetEncoder | ConvNeXtEncoder | ViTEncoder | SwinEncoder)


def build_encoder(name: str, *, generator_seed: int | None = None) -> Encoder:
    """Build an encoder with random weights.

    Parameters
    ----------
    name : str
        ``"small"`` (one block per stage, half the width: an eighth of ResNet-18's work, for a CPU),
        ``"resnet18"``, ``"resnet34"``, ``"resnet50"``, ``"convnext_t"``, ``"vit_s16"`` (patches of 16 px),
        ``"swin"`` or ``"swin24"`` (the encoder of SwinUNETR with 48 or 24 features).
    generator_seed : int, optional
        Seed of the weights; left out, they differ on each call. The global random state is not touched.

    Raises
    ------
    WootzError
        If the name is not known.
    """
    check_choice("encoder", name, ENCODERS)
    return seeded(lambda: _assemble(name), generator_seed=generator_seed)


def seeded(make: Callable[[], E], *, generator_seed: int | None = None) -> E:
    """Make an encoder and draw its weights, without touching the global random state.

    Parameters
    ----------
    make : callable
        Returns a new encoder, e.g. ``lambda: ViTEncoder("tiny", dim=24, depth=4, heads=2)``; its first
        weights are thrown away.
    generator_seed : int, optional
        Seed of the weights; left out, they differ on each call.
    """
    generator = torch.Generator()
    if generator_seed is None:
        generator.seed()
    else:
        generator.manual_seed(generator_seed)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # no first weights: they take a second
        encoder = make()
    if next(encoder.parameters()).is_meta:
        encoder.to_empty(device="cpu")
    encoder.draw_weights(generator)
    return encoder


def _assemble(name: str) -> Encoder:  # noqa: PLR0911 -- one return for each architecture
    match name:
        case "small":
            return ResNetEncoder(name, bottleneck=False, depths=(1, 1, 1, 1), width=32)
        case "resnet18":
            return ResNetEncoder(name, bottleneck=False, depths=(2, 2, 2, 2), width=64)
        case "resnet34":
            return ResNetEncoder(name, bottleneck=False, depths=(3, 4, 6, 3), width=64)
        case "resnet50":
            return ResNetEncoder(name, bottleneck=True, depths=(3, 4, 6, 3), width=64)
        case "convnext_t":
            return ConvNeXtEncoder(name, depths=(3, 3, 9, 3), widths=(96, 192, 384, 768))
        case "vit_s16":
            return ViTEncoder(name, dim=384, depth=12, heads=6)
        case "swin24":
            return SwinEncoder(name, feature_size=24)
        case _:
            return SwinEncoder(name, feature_size=48)
