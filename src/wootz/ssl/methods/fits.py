"""Which methods need which kind of encoder, and what to take instead."""

from torch import nn

from wootz.encoders import ViTEncoder
from wootz.errors import WootzError


def is_transformer(encoder: nn.Module) -> bool:
    """Say whether a network attends between places (ViT, Swin) instead of convolving alone."""
    return any("attention" in type(module).__name__.lower() for module in encoder.modules())


def require_cnn(encoder: nn.Module, *, method: str, why: str) -> None:
    """Raise `WootzError` for a ViT or Swin.

    Parameters
    ----------
    encoder : nn.Module
    method : str
        Name of the method, as the user typed it.
    why : str
        The reason.
    """
    if is_transformer(encoder):
        instead = "method=mae or method=dino" if isinstance(encoder, ViTEncoder) else "method=dino"
        raise WootzError(
            f"method={method} does not fit encoder={_name(encoder)}: {why}. Take {instead} with this "
            "encoder, or a convolutional encoder with this method, e.g. encoder=resnet18."
        )


def require_vit(encoder: nn.Module, *, method: str, why: str) -> None:
    """Raise `WootzError` for anything but a ViT; see `require_cnn`."""
    if not isinstance(encoder, ViTEncoder):
        instead = "method=dino" if is_transformer(encoder) else "method=gapfill, the same idea for CNNs,"
        raise WootzError(
            f"method={method} does not fit encoder={_name(encoder)}: {why}. Take {instead} with this "
            "encoder, or encoder=vit_s16 with this method."
        )


def _name(encoder: nn.Module) -> str:
    return str(getattr(encoder, "name", type(encoder).__name__))
