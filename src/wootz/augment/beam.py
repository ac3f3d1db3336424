"""The probe: a beam wider than a pixel smooths the picture."""

import torch
from torch import Tensor
from torch.nn import functional

TRUNCATE = 3.0


def defocus(views: Tensor, sigma_px: Tensor, *, disc: Tensor | None = None) -> Tensor:
    """Smooth each view with its own beam.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    sigma_px : (B,) float32, >= 0
        Standard deviation of the beam along one axis; views with 0 stay as they are. On the CPU, so that
        choosing the views to smooth costs no round trip to the device.
    disc : (B,) bool, optional
        Which beams are discs of even current instead of Gaussians. On the CPU.

    Returns
    -------
    (B, 1, H, W) float32
        New where something was smoothed.

    Notes
    -----
    The current density of a probe near focus is close to a Gaussian, cut at 3 sigma. Far from focus it is the
    image of the aperture: a disc, with zeros in its transfer function. A disc of radius ``R = 2 sigma`` has
    this sigma along an axis; a pixel at distance d from its centre weighs ``min(max(R + 1/2 - d, 0), 1)``.
    Weights sum to 1; the border is mirrored.

    References
    ----------
    Goldstein et al. 2018, doi:10.1007/978-1-4939-6676-9, ch. 2.
    """
    is_disc = torch.zeros(len(views), dtype=torch.bool) if disc is None else disc
    views = _gaussian(views, torch.where(is_disc, 0.0, sigma_px))
    return _disc(views, torch.where(is_disc, sigma_px, 0.0))


def _gaussian(views: Tensor, sigma_px: Tensor) -> Tensor:
    chosen = torch.nonzero(sigma_px > 0).flatten()
    if len(chosen) == 0:
        return views
    matrix = smoothing_matrix(sigma_px[chosen], views.shape[-1]).to(views.device, non_blocking=True)
    where = chosen.to(views.device, non_blocking=True)
    smooth = matrix @ views.index_select(0, where).squeeze(1) @ matrix.mT
    return views.index_copy(0, where, smooth[:, None])


def smoothing_matrix(sigma_px: Tensor, n: int) -> Tensor:
    """Write Gaussian smoothing along an axis of `n` pixels as matrices, the mirrored border included.

    Parameters
    ----------
    sigma_px : (B,) float32, > 0
    n : int

    Returns
    -------
    (B, n, n) float32
        Rows sum to 1; ``S x`` smooths a column x, ``S X S^T`` a picture along both axes. On a CPU that is
        1.4 to 2 times as fast as adding up shifted copies (96 px, 16 to 64 views).
    """
    radius = min(int(TRUNCATE * float(sigma_px.max()) + 0.999), n - 1)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets / sigma_px[:, None]).square())
    weights = weights / weights.sum(dim=1, keepdim=True)
    source = (torch.arange(n)[:, None] + offsets).abs()
    source = torch.where(source < n, source, 2 * (n - 1) - source)  # mirrored about the outermost pixel
    size = len(sigma_px), n, 2 * radius + 1
    matrix = torch.zeros(len(sigma_px), n, n)
    return matrix.scatter_add_(2, source.expand(size), weights[:, None].expand(size))


def _disc(views: Tensor, sigma_px: Tensor) -> Tensor:
    chosen = torch.nonzero(sigma_px > 0).flatten()
    if len(chosen) == 0:
        return views
    disc_px = 2.0 * sigma_px[chosen]
    radius = min(int(float(disc_px.max()) + 1.0), views.shape[-1] - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    distance = torch.hypot(offsets[:, None], offsets)
    kernels = (disc_px[:, None, None] + 0.5 - distance).clamp(0, 1)
    kernels = (kernels / kernels.sum(dim=(1, 2), keepdim=True)).to(views.device, non_blocking=True)
    where = chosen.to(views.device, non_blocking=True)
    # one group for each view: the views into the channels of one picture
    padded = functional.pad(views.index_select(0, where), (radius,) * 4, mode="reflect").transpose(0, 1)
    smooth = functional.conv2d(padded, kernels[:, None], groups=len(chosen))
    return views.index_copy(0, where, smooth.transpose(0, 1))
