"""The detector: counting statistics, and the operator's brightness, contrast and gamma."""

import torch
from torch import Tensor

from wootz.augment.pixelnoise import generator_on, normal_pixels


def shot_noise(
    views: Tensor,
    dose: Tensor,
    *,
    readout: Tensor,
    generator: torch.Generator,
    poisson_below: float = 0.0,
) -> Tensor:
    """Add counting and readout noise.

    Parameters
    ----------
    views : (B, 1, H, W) float32
        1 is full scale.
    dose : (B,) float32, > 0
        Detected electrons per pixel at full scale; infinite for none of this noise. On the CPU.
    readout : (B,) float32, >= 0
        Sigma of the signal-independent noise, in parts of full scale. On the CPU.
    generator : torch.Generator
        On the CPU.
    poisson_below : float, electrons
        Views of a smaller dose are counted one electron after the other.

    Returns
    -------
    (B, 1, H, W) float32

    Notes
    -----
    Above, ``y = x + sqrt(max(x, 0) / dose + readout^2) n`` with standard normal n: the Gaussian limit of
    Poisson counts, of the same mean and variance. Below,
    ``y = Poisson(dose max(x, 0)) / dose + min(x, 0) + readout n``: where a pixel counts fewer than about
    thirty electrons, real noise is skewed and comes in whole electrons. Both keep the mean.

    References
    ----------
    Reimer 1998, doi:10.1007/978-3-540-38967-5, sec. 4.2.4 (noise of detectors).
    """
    chosen = torch.nonzero(torch.isfinite(dose) | (readout > 0)).flatten()
    if len(chosen) == 0:
        return views
    where = chosen.to(views.device, non_blocking=True)
    batch = views.index_select(0, where)
    counted = torch.nonzero(dose[chosen] < poisson_below).flatten()
    per_electron = 1.0 / dose[chosen]
    if len(counted):
        rows = counted.to(views.device, non_blocking=True)
        batch[rows] = _counts(batch[rows], dose[chosen[counted]], generator=generator)
        per_electron[counted] = 0.0
    spread = batch.clamp(min=0).mul_(_column(per_electron, views))
    spread.add_(_column(readout[chosen].square(), views)).sqrt_()
    return views.index_copy(0, where, batch.addcmul_(spread, normal_pixels(batch, generator=generator)))


def _counts(views: Tensor, dose: Tensor, *, generator: torch.Generator) -> Tensor:
    """Count electrons: means of `views`, in whole parts of 1 / dose above zero."""
    per_view = _column(dose, views)
    mean = views.clamp(min=0).mul_(per_view)
    counts = torch.poisson(mean, generator=generator_on(views.device, generator=generator))
    return counts.div_(per_view).add_(views.clamp(max=0))


def gain_offset_gamma(views: Tensor, gain: Tensor, *, offset: Tensor, gamma: Tensor) -> Tensor:
    """Apply the operator's contrast, brightness and gamma to each view.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    gain : (B,) float32, > 0
        Contrast about the view's mean.
    offset : (B,) float32
        Brightness, in parts of full scale.
    gamma : (B,) float32, > 0
        Exponent; 1 changes nothing. Below zero the curve is mirrored: ``sign(x) |x|^gamma``.

    Returns
    -------
    (B, 1, H, W) float32
        ``gain (x' - mean(x')) + mean(x') + offset`` with ``x' = sign(x) |x|^gamma``.
    """
    if bool((gamma != 1).any()):
        views = views.abs().pow_(_column(gamma, views)).copysign_(views)
    mean = views.mean(dim=(1, 2, 3), keepdim=True)
    gain = _column(gain, views)
    return torch.addcmul(mean * (1 - gain) + _column(offset, views), views, gain)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device, non_blocking=True)[:, None, None, None]
