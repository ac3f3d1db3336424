"""The probe: a beam wider than a pixel smooths the picture."""

import torch
from torch import Tensor
from torch.nn import functional

TRUNCATE = 3.0


def defocus(views: Tensor, sigma_px: Tensor) -> Tensor:
    """Smooth each view with its own Gaussian beam.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    sigma_px : (B,) float32, >= 0
        Standard deviation of the beam; views with 0 stay as they are. On the CPU, so that choosing the views
        to smooth costs no round trip to the device.

    Returns
    -------
    (B, 1, H, W) float32
        New where something was smoothed.

    Notes
    -----
    The current density of a probe near focus is close to a Gaussian; kernels are cut at 3 sigma and the
    border is mirrored. A strongly defocused beam is a disc instead, with zeros in its transfer function.

    References
    ----------
    Goldstein et al. 2018, doi:10.1007/978-1-4939-6676-9, ch. 2.
    """
    chosen = torch.nonzero(sigma_px > 0).flatten()
    if len(chosen) == 0:
        return views
    sigma = sigma_px[chosen]
    radius = min(int(TRUNCATE * float(sigma.max()) + 0.999), views.shape[-1] - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernels = torch.exp(-0.5 * (offsets / sigma[:, None]).square())
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).to(views.device, non_blocking=True)
    where = chosen.to(views.device, non_blocking=True)
    batch = views.index_select(0, where)
    n, _, height, width = batch.shape
    padded = functional.pad(batch, (radius, radius, radius, radius), mode="reflect").transpose(0, 1)
    smooth = functional.conv2d(padded, kernels[:, None, None, :], groups=n)
    smooth = functional.conv2d(smooth, kernels[:, None, :, None], groups=n)
    return views.index_copy(0, where, smooth.reshape(n, 1, height, width))
