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
    sigma = sigma_px[chosen]
    radius = min(int(TRUNCATE * float(sigma.max()) + 0.999), views.shape[-1] - 1)
    offsets = torch.arange(radius + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / sigma[:, None]).square())
    weights = weights / (2 * weights.sum(dim=1, keepdim=True) - 1)
    weights = weights.to(views.device, non_blocking=True)
    where = chosen.to(views.device, non_blocking=True)
    padded = functional.pad(views.index_select(0, where), (radius,) * 4, mode="reflect")
    smooth = _symmetric_sum(_symmetric_sum(padded, weights, dim=2), weights, dim=3)
    return views.index_copy(0, where, smooth)


def _symmetric_sum(padded: Tensor, weights: Tensor, *, dim: int) -> Tensor:
    """Add up neighbours along an axis: ``w_0 x_0 + sum_j w_j (x_-j + x_j)``, j up to the border's width.

    On a CPU three times as fast as a convolution with one group for each view.
    """
    radius = weights.shape[1] - 1
    size = padded.shape[dim] - 2 * radius
    weights = weights.T[..., None, None, None]
    total = padded.narrow(dim, radius, size) * weights[0]
    for j in range(1, radius + 1):
        pair = padded.narrow(dim, radius - j, size) + padded.narrow(dim, radius + j, size)
        total.addcmul_(pair, weights[j])
    return total


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
