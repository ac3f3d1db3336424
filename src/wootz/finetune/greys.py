"""Random grey looks of the same scene: another detector, contrast setting, beam or polish.

A new specimen shows other grey levels than the labelled ones; a network that has seen one scene under many
monotone grey curves has to recognise phases by order, shape and texture instead.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from wootz.intensity import BOUNDS

N_KNOTS = 8


def random_greys(crops: Tensor, *, strength: float, inversion: float, generator: torch.Generator) -> Tensor:
    """Change the greys of each crop by its own random look.

    In turn: a random monotone curve, gamma, contrast and brightness, shading, inversion, blur, noise. Each
    step falls on about half of the crops.

    Parameters
    ----------
    crops : (B, 1, H, W) float32
        On the scale of `wootz.intensity.scale`.
    strength : float in [0, 2]
        0 leaves the crops as they are (inversion apart); 1 is the default.
    inversion : float in [0, 1]
        Chance of ``1 - x``.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    (B, 1, H, W) float32, in [-1, 2]
    """
    x = crops
    if strength > 0:
        x = _sometimes(x, _random_curve(x, strength, generator), 0.5, generator)
        x = _sometimes(x, _random_gamma(x, strength, generator), 0.5, generator)
        x = _random_contrast(x, strength, generator)
        x = _sometimes(x, _random_shading(x, strength, generator), 0.3, generator)
        x = _sometimes(x, _random_blur(x, strength, generator), 0.3, generator)
        x = _sometimes(x, _random_noise(x, strength, generator), 0.5, generator)
    if inversion > 0:
        x = _sometimes(x, 1.0 - x, inversion, generator)
    return x.clamp(*BOUNDS)


def _draw(x: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return (B, n, 1, 1) uniform numbers in [-1, 1], one row a crop."""
    return (2.0 * torch.rand(len(x), n, 1, 1, generator=generator) - 1.0).to(x.device)


def _sometimes(x: Tensor, changed: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    hit = torch.rand(len(x), 1, 1, 1, generator=generator) < chance
    return torch.where(hit.to(x.device), changed, x)


def _random_curve(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Pass greys through a rising piecewise linear curve; greys outside [0, 1] keep their distance."""
    steps = -torch.rand(len(x), N_KNOTS, generator=generator).clamp_min(1e-6).log()
    steps = steps / steps.sum(1, keepdim=True)
    share = min(0.7 * strength, 0.95)
    steps = ((1.0 - share) / N_KNOTS + share * steps).to(x.device)
    knots = functional.pad(steps.cumsum(1), (1, 0))
    position = x.clamp(0.0, 1.0) * N_KNOTS
    cell = position.long().clamp_max(N_KNOTS - 1)
    flat = cell.flatten(1)
    low, rise = knots.gather(1, flat).view_as(x), steps.gather(1, flat).view_as(x)
    return low + (position - cell) * rise + (x - x.clamp(0.0, 1.0))


def _random_gamma(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    gamma = (math.log(2.0) * strength * _draw(x, 1, generator)).exp()
    return x.clamp(1e-4, 1.0).pow(gamma) + (x - x.clamp(1e-4, 1.0))


def _random_contrast(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    draw = _draw(x, 2, generator)
    gain = (math.log(1.8) * strength * draw[:, :1]).exp()
    return (x - 0.5) * gain + 0.5 + 0.25 * strength * draw[:, 1:]


def _random_shading(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Add a smooth field: charging, shadowing, detector shading."""
    coarse = torch.randn(len(x), 1, 3, 3, generator=generator).to(x.device) * 0.12 * strength
    return x + functional.interpolate(coarse, size=x.shape[-2:], mode="bicubic", align_corners=True)


def _random_blur(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Convolve each crop with its own Gaussian of 0.3 to 1.5 px."""
    sigma = 0.9 + 0.6 * min(strength, 1.0) * _draw(x, 1, generator)[:, 0, 0]
    offset = torch.arange(-4, 5, device=x.device)
    kernel = torch.exp(-0.5 * (offset / sigma) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    rows = functional.pad(x, (4, 4, 4, 4), mode="reflect").transpose(0, 1)
    blurred = functional.conv2d(rows, kernel[:, None, :, None], groups=len(x))
    return functional.conv2d(blurred, kernel[:, None, None, :], groups=len(x)).transpose(0, 1)


def _random_noise(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    level = 0.08 * strength * _draw(x, 1, generator).abs()
    return x + level * torch.randn(x.shape, generator=generator).to(x.device)
