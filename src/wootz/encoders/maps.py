"""Feature maps at the five strides of a U-Net for networks that do not have them all."""

from torch import Tensor
from torch.nn import functional

STRIDES = (2, 4, 8, 16, 32)
PIXEL_CHANNELS = 4  # of the map at stride 2 that `pixels_at_half` makes


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend (B, C, H, W) below and to the right by its border pixels, to whole multiples of a size."""
    height, width = x.shape[-2:]
    below, right = -height % multiple, -width % multiple
    return functional.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def pixels_at_half(x: Tensor) -> Tensor:
    """Rearrange the pixels themselves into a map at stride 2, for networks whose first map is coarser.

    Parameters
    ----------
    x : (B, 1, H, W)

    Returns
    -------
    (B, 4, ceil(H / 2), ceil(W / 2))
        The four pixels of each 2 x 2 block; no parameter, nothing is lost.
    """
    return functional.pixel_unshuffle(pad_to_multiple(x, 2), 2)


def crop_to_stride(x: Tensor, size: tuple[int, int], *, stride: int) -> Tensor:
    """Cut a map of padded pixels to ``ceil(size / stride)``, where `size` is that of the pixels."""
    return x[..., : -(-size[0] // stride), : -(-size[1] // stride)]
