"""Losses in full precision."""

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Widen bfloat16 and float16 to float32: cosines near 1 differ by less than bfloat16 can tell."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
