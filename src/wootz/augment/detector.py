"""The detector: counting statistics, scan lines, and the operator's brightness and contrast."""

import torch
from torch import Tensor


def shot_noise(views: Tensor, dose: Tensor, *, readout: Tensor, generator: torch.Generator) -> Tensor:
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

    Returns
    -------
    (B, 1, H, W) float32

    Notes
    -----
    ``y = x + sqrt(max(x, 0) / dose + readout^2) n`` with standard normal n: the Gaussian limit of
    ``Poisson(dose x) / dose``, of the same mean and variance. It misleads in the darkest parts of very short
    exposures, where a pixel counts fewer than about ten electrons and real noise is skewed.

    References
    ----------
    Reimer 1998, doi:10.1007/978-3-540-38967-5, sec. 4.2.4 (noise of detectors).
    """
    chosen = torch.nonzero(torch.isfinite(dose) | (readout > 0)).flatten()
    if len(chosen) == 0:
        return views
    where = chosen.to(views.device, non_blocking=True)
    per_electron = _column(1.0 / dose[chosen], views)
    floor = _column(readout[chosen].square(), views)
    batch = views.index_select(0, where)
    spread = batch.clamp(min=0).mul_(per_electron).add_(floor).sqrt_()
    noise = _normal(batch.shape, like=views, generator=generator)
    return views.index_copy(0, where, batch.addcmul_(spread, noise))


def scan_lines(views: Tensor, sigma: Tensor, *, generator: torch.Generator) -> Tensor:
    """Shift each scan line (row) by its own offset.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    sigma : (B,) float32, >= 0
        Standard deviation of the offsets, in parts of full scale. On the CPU.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    (B, 1, H, W) float32

    Notes
    -----
    Beam current and detector gain drift between lines far more than along one, since a line takes
    milliseconds. It is added after the rotation: views are specimens that lie otherwise under the same scan.
    """
    if not bool((sigma > 0).any()):
        return views
    offsets = torch.randn(len(sigma), 1, views.shape[2], 1, generator=generator) * sigma[:, None, None, None]
    return views + offsets.to(views.device, non_blocking=True)


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
        views = views.sign() * views.abs().pow(_column(gamma, views))
    mean = views.mean(dim=(1, 2, 3), keepdim=True)
    gain = _column(gain, views)
    return torch.addcmul(mean * (1 - gain) + _column(offset, views), views, gain)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device, non_blocking=True)[:, None, None, None]


def _normal(shape: torch.Size, *, like: Tensor, generator: torch.Generator) -> Tensor:
    """Draw standard normal pixels on the device of `like`, reproducibly from a generator on the CPU."""
    if like.device.type != "cpu":
        seed = int(torch.randint(2**62, (), generator=generator))
        generator = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)
