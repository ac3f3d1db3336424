"""Which methods need which kind of encoder, and what to take instead."""

from torch import nn

from wootz.errors import WootzError


def is_transformer(encoder: nn.Module) -> bool:
    """Say whether a network attends between places (ViT, Swin) instead of convolving alone."""
    return any("attention" in type(module).__name__.lower() for module in encoder.modules())


def require_cnn(encoder: nn.Module, *, method: str, why: str, instead: str) -> None:
    """Raise `WootzError` for a ViT or Swin.

    Parameters
    ----------
    encoder : nn.Module
    method : str
        Name of the method, as the user typed it.
    why, instead : str
        The reason, and the ``method=`` that works on the encoder.
    """
    if is_transformer(encoder):
        name = getattr(encoder, "name", type(encoder).__name__)
        raise WootzError(
            f"method={method} does not fit encoder={name}: {why}. Take {instead} with this encoder, or a "
            f"convolutional one with this method, e.g. encoder=resnet18."
        )
