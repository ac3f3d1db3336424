"""The scan: rows that are recorded one after another while the specimen moves."""

import math

import torch
from torch import Tensor

DRIFT_CYCLES = (0.2, 1.0)
VIBRATION_CYCLES = (4.0, 40.0)


def row_shifts(
    drift_px: Tensor,
    vibration_px: Tensor,
    jitter_px: Tensor,
    *,
    height: int,
    generator: torch.Generator,
) -> Tensor:
    """Draw how far each row of each view is displaced along the scan.

    Parameters
    ----------
    drift_px, vibration_px, jitter_px : (B,) float32, >= 0
        Largest displacement by drift, amplitude of the vibration, and sigma of the jitter. On the CPU.
    height : int
        Rows of a view.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    (B, height) float32
        px, of mean 0 for the drift.

    Notes
    -----
    For row r, ``d(r) = D [f(r) - mean f] / max |f - mean f| + V sin(2 pi m r / height + q) + J n_r`` with
    ``f(r) = sin(2 pi k r / height + p)``, k uniform in [0.2, 1] cycles a frame: slow, smooth drift of stage
    and specimen. The vibration (building, pumps, mains) has m log uniform in 4 to 40 cycles a frame. Jitter
    n_r is standard normal: scan lines that start early or late.

    References
    ----------
    Jones and Nellist 2013, doi:10.1017/S1431927613001402 (distortions of scanned images).
    """
    n = len(drift_px)
    k, p, m, q = torch.rand(4, n, 1, generator=generator)
    time = torch.arange(height, dtype=torch.float32) / height
    k = DRIFT_CYCLES[0] + (DRIFT_CYCLES[1] - DRIFT_CYCLES[0]) * k
    drift = torch.sin(2 * math.pi * (k * time + p))
    drift = drift - drift.mean(dim=1, keepdim=True)
    drift = drift / drift.abs().amax(dim=1, keepdim=True)
    m = VIBRATION_CYCLES[0] * (VIBRATION_CYCLES[1] / VIBRATION_CYCLES[0]) ** m
    vibration = torch.sin(2 * math.pi * (m * time + q))
    jitter = torch.randn(n, height, generator=generator)
    return drift_px[:, None] * drift + vibration_px[:, None] * vibration + jitter_px[:, None] * jitter


def shift_rows(views: Tensor, shift_px: Tensor) -> Tensor:
    """Displace each row along itself.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    shift_px : (B, H) float32
        Row r shows at column c what was at ``c + shift``. Views with zeros only stay as they are. On the CPU.

    Returns
    -------
    (B, 1, H, W) float32
        Linear between pixels; beyond the border the last pixel is repeated.
    """
    chosen = torch.nonzero((shift_px != 0).any(dim=1)).flatten()
    if len(chosen) == 0:
        return views
    where = chosen.to(views.device, non_blocking=True)
    batch = views.index_select(0, where)[:, 0]
    width = batch.shape[2]
    shift = shift_px[chosen].to(views.device, non_blocking=True)[..., None]
    place = (torch.arange(width, device=views.device) + shift).clamp_(0, width - 1)
    left = place.floor()
    first = left.long()
    near, far = batch.gather(2, first), batch.gather(2, (first + 1).clamp_(max=width - 1))
    return views.index_copy(0, where, torch.lerp(near, far, place.sub_(left))[:, None])


def scan_lines(views: Tensor, sigma: Tensor, *, generator: torch.Generator) -> Tensor:
    """Shift the grey values of each scan line (row) by its own offset.

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
