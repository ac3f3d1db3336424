"""Two random views of each tile of a batch: the question that self-supervised learning asks."""

import math

import torch
from torch import Tensor

from wootz.augment.beam import defocus
from wootz.augment.config import AugmentConfig
from wootz.augment.detector import gain_offset_gamma, scan_lines, shot_noise
from wootz.augment.geometry import random_crop, sample_affine

LOW, HIGH = -1.0, 2.0


def two_views(
    tiles: Tensor, cfg: AugmentConfig, *, generator: torch.Generator, margin_px: int = 0
) -> tuple[Tensor, Tensor]:
    """Draw two independent views of each tile.

    Parameters
    ----------
    tiles : (B, 1, H, W) float32
        On the scale of `wootz.intensity.scale`, on any device.
    cfg : AugmentConfig
    generator : torch.Generator
        On the CPU, whatever the device of the tiles: all parameters are drawn there, so that a seed means the
        same windows and settings everywhere.
    margin_px : int, >= 0
        How many pixels on each side are context, in which a rotated window may reach but not lie.

    Returns
    -------
    two tensors (B, 1, out_px, out_px) float32
        Same device, clipped to [-1, 2].

    Examples
    --------
    >>> import torch
    >>> from wootz.augment import AugmentConfig, two_views
    >>> left, right = two_views(torch.rand(8, 1, 128, 128), AugmentConfig(), generator=torch.Generator())
    """
    first = random_view(tiles, cfg, generator=generator, margin_px=margin_px)
    return first, random_view(tiles, cfg, generator=generator, margin_px=margin_px)


def random_view(
    tiles: Tensor, cfg: AugmentConfig, *, generator: torch.Generator, margin_px: int = 0
) -> Tensor:
    """Draw one view of each tile; see `two_views`.

    Notes
    -----
    The order is that of the instrument: specimen and stage (window), beam (defocus), counting (shot noise),
    scan (line offsets), amplifier (gain, offset, gamma).

    Raises
    ------
    ValueError
        If the tiles are no (B, 1, H, W) floats or smaller than twice the margin.
    """
    if tiles.ndim != 4 or tiles.shape[1] != 1 or not tiles.is_floating_point():
        raise ValueError(f"tiles must be (B, 1, H, W) floats, got {tuple(tiles.shape)} {tiles.dtype}")
    height, width = (side - 2 * margin_px for side in tiles.shape[-2:])
    if min(height, width) < 1:
        raise ValueError(
            f"a margin of {margin_px} px leaves nothing of tiles of {tuple(tiles.shape[-2:])} px"
        )
    with torch.no_grad(), torch.autocast(tiles.device.type, enabled=False):  # bfloat16 would cut grey levels
        return _random_view(tiles, (height, width), cfg, generator=generator)


def _random_view(
    tiles: Tensor, tile_px: tuple[int, int], cfg: AugmentConfig, *, generator: torch.Generator
) -> Tensor:
    n = len(tiles)
    affine = random_crop(n, tile_px, cfg, generator=generator)
    views = sample_affine(tiles, affine, out_px=cfg.out_px)
    draws = torch.rand(7, n, generator=generator)
    sigma = torch.where(draws[0] < cfg.defocus_prob, draws[1] * cfg.defocus_max_px, 0.0)
    views = defocus(views, torch.where(sigma < 0.2, 0.0, sigma))  # below 0.2 px the kernel is one pixel
    noisy = draws[2] < cfg.noise_prob
    dose = cfg.dose_min * torch.exp(draws[3] * math.log(cfg.dose_max / cfg.dose_min))
    dose = torch.where(noisy, dose, math.inf)
    readout = torch.where(noisy, draws[4] * cfg.readout_max, 0.0)
    views = shot_noise(views, dose, readout=readout, generator=generator)
    scan = torch.where(draws[5] < cfg.scan_prob, draws[6] * cfg.scan_max, 0.0)
    views = scan_lines(views, scan, generator=generator)
    return _other_settings(views, cfg, generator=generator).clamp_(LOW, HIGH)


def _other_settings(views: Tensor, cfg: AugmentConfig, *, generator: torch.Generator) -> Tensor:
    chance, gain, offset, gamma = torch.rand(4, len(views), generator=generator)
    chosen = chance < cfg.jitter_prob
    gain = torch.where(chosen, 1 + (2 * gain - 1) * cfg.gain_max, 1.0)
    offset = torch.where(chosen, (2 * offset - 1) * cfg.offset_max, 0.0)
    gamma = torch.where(chosen, torch.exp((2 * gamma - 1) * math.log(cfg.gamma_max)), 1.0)
    return gain_offset_gamma(views, gain, offset=offset, gamma=gamma)
