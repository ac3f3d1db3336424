"""Random numbers for each pixel, drawn where the pixels are, reproducibly from a generator on the CPU."""

import torch
from torch import Tensor


def normal_pixels(like: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers of the shape, type and device of `like`."""
    return torch.empty_like(like).normal_(generator=generator_on(like.device, generator=generator))


def uniform_pixels(like: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw uniform numbers in [0, 1) of the shape, type and device of `like`."""
    return torch.empty_like(like).uniform_(generator=generator_on(like.device, generator=generator))


def generator_on(device: torch.device, *, generator: torch.Generator) -> torch.Generator:
    """Return the generator itself on the CPU, else one on the device with a seed drawn from it."""
    if device.type == "cpu":
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
