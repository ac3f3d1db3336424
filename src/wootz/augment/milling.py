"""Curtaining: the stripes that a focused ion beam leaves behind hard places."""

import torch
from torch import Tensor
from torch.nn import functional

N_KNOTS = 4
WIDTH_MIN_PX, WIDTH_MAX_PX = 0.5, 3.0


def curtain(views: Tensor, rms: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw vertical stripes into each view.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    rms : (B,) float32, >= 0
        Strength of the stripes, in parts of the signal; 0 leaves a view as it is. On the CPU.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    (B, 1, H, W) float32
        ``y = x (1 + rms s)`` with the stripes s of `random_stripes`.

    References
    ----------
    Mayer et al. 2007, doi:10.1557/mrs2007.63 (curtaining of milled faces).
    """
    chosen = torch.nonzero(rms > 0).flatten()
    if len(chosen) == 0:
        return views
    widths = WIDTH_MIN_PX + (WIDTH_MAX_PX - WIDTH_MIN_PX) * torch.rand(len(chosen), generator=generator)
    knots = torch.randn(len(chosen), N_KNOTS, views.shape[3], generator=generator)
    stripes = random_stripes(knots, widths, height=views.shape[2])
    where = chosen.to(views.device, non_blocking=True)
    gain = stripes.mul_(rms[chosen, None, None]).add_(1.0)[:, None].to(views.device, non_blocking=True)
    return views.index_copy(0, where, gain.mul_(views.index_select(0, where)))


def random_stripes(knots: Tensor, width_px: Tensor, *, height: int) -> Tensor:
    """Smooth noise into stripes that change slowly along themselves.

    Parameters
    ----------
    knots : (B, K, W) float32
        Standard normal; K >= 2 rows, evenly spaced from the first row of the picture to the last.
    width_px : (B,) float32, > 0
        Sigma of the stripes' profile across.
    height : int
        Rows of the result.

    Returns
    -------
    (B, height, W) float32
        Mean square 1 over each picture.

    Notes
    -----
    Each knot is smoothed along its row with ``exp(-d^2 / 2 width^2)``, wrapped around at the ends; between
    the knots rows are interpolated linearly: milling marks run on for as long as the beam meets the same
    hardness above.
    """
    width = knots.shape[2]
    offsets = torch.arange(width, dtype=torch.float32)
    distance = torch.minimum(offsets, width - offsets)
    kernels = torch.exp(-0.5 * (distance / width_px[:, None]).square())
    smooth = torch.fft.irfft(torch.fft.rfft(knots) * torch.fft.rfft(kernels)[:, None], n=width)
    stripes = functional.interpolate(
        smooth[:, None], size=(height, width), mode="bilinear", align_corners=True
    )[:, 0]
    return stripes / stripes.square().mean(dim=(1, 2), keepdim=True).sqrt()
