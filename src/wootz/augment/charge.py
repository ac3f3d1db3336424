"""Charging: places that hold electrons glow, and pull the lines that cross them with them."""

from dataclasses import dataclass

import torch
from torch import Tensor

N_PATCHES = 3
SIZE_MIN_FRAC, SIZE_MAX_FRAC = 0.05, 0.25
TAIL_MIN_FRAC, TAIL_MAX_FRAC = 0.1, 0.6
STREAK_MAX = 0.5


@dataclass(frozen=True)
class Patches:
    """Charged places of a batch; all in pixels of the view, on the CPU.

    Attributes
    ----------
    row, col : (B, K) float32
        Centres.
    size_px : (B, K) float32, > 0
        Sigma of the glow.
    tail_px : (B, K) float32, > 0
        Length over which a streak decays along the scan.
    weight : (B, K) float32
        Brightness of each patch, in parts of the view's own.
    streaks : (B, K, H) float32
        Brightness of the streak in each row, in parts of the patch's; negative where the amplifier
        overshoots.
    """

    row: Tensor
    col: Tensor
    size_px: Tensor
    tail_px: Tensor
    weight: Tensor
    streaks: Tensor


def charging(views: Tensor, brightness: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw charged places with streaks along the scan direction.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    brightness : (B,) float32, >= 0
        Of the strongest patch, in parts of full scale; 0 leaves a view as it is. On the CPU.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    (B, 1, H, W) float32
        ``y = x + brightness g`` with the glow g of `glow`.

    Notes
    -----
    A place that cannot drain its charge sits at a negative potential: more secondary electrons leave it, and
    it is brighter than its surroundings. The beam then moves on along the line while the charge decays, and
    the line keeps a bright or, where the detector's amplifier overshoots, a dark tail.

    References
    ----------
    Goldstein et al. 2018, doi:10.1007/978-1-4939-6676-9, ch. 9 (image defects: charging).
    """
    chosen = torch.nonzero(brightness > 0).flatten()
    if len(chosen) == 0:
        return views
    height, width = views.shape[2:]
    patches = random_patches(len(chosen), (height, width), generator=generator)
    light = glow(patches, (height, width)).mul_(brightness[chosen, None, None])
    where = chosen.to(views.device, non_blocking=True)
    light = light[:, None].to(views.device, non_blocking=True)
    return views.index_copy(0, where, light.add_(views.index_select(0, where)))


def random_patches(n: int, shape: tuple[int, int], *, generator: torch.Generator) -> Patches:
    """Draw one to three charged places for each of `n` views.

    Notes
    -----
    Centres anywhere; sigma 5 to 25 % and tails 10 to 60 % of the width, log uniform; the first patch has
    weight 1, each further one 0 or up to 1 with equal odds; streaks are uniform in [-1/2, 1/2] for each row.
    """
    height, width = shape
    row, col, size, tail, weight = torch.rand(5, n, N_PATCHES, generator=generator)
    streaks = (torch.rand(n, N_PATCHES, height, generator=generator) * 2 - 1) * STREAK_MAX
    weight = (2 * weight - 1).clamp(min=0)
    weight[:, 0] = 1.0
    size = width * SIZE_MIN_FRAC * (SIZE_MAX_FRAC / SIZE_MIN_FRAC) ** size
    tail = width * TAIL_MIN_FRAC * (TAIL_MAX_FRAC / TAIL_MIN_FRAC) ** tail
    return Patches(row * height - 0.5, col * width - 0.5, size, tail_px=tail, weight=weight, streaks=streaks)


def glow(patches: Patches, shape: tuple[int, int]) -> Tensor:
    """Compute the light of charged places.

    Parameters
    ----------
    patches : Patches
    shape : (H, W)

    Returns
    -------
    (B, H, W) float32

    Notes
    -----
    With ``h_k(r) = exp(-(r - r_k)^2 / 2 s_k^2)`` and the same across columns,
    ``g(r, c) = sum_k w_k h_k(r) [h_k(c) + q_k(r) t_k(c)]``, where the tail ``t_k(c)`` is 0 left of the centre
    and ``exp(-(c - c_k) / L_k)`` from there on, and q the streaks.
    """
    height, width = shape
    rows = torch.arange(height) - patches.row[..., None]
    cols = torch.arange(width) - patches.col[..., None]
    size = patches.size_px[..., None]
    down = torch.exp(-0.5 * (rows / size).square()) * patches.weight[..., None]
    across = torch.exp(-0.5 * (cols / size).square())
    tail = torch.where(cols >= 0, torch.exp(-cols.clamp(min=0) / patches.tail_px[..., None]), 0.0)
    left = torch.cat([down, down * patches.streaks], dim=1)
    return left.transpose(1, 2) @ torch.cat([across, tail], dim=1)
