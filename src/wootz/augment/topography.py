"""The shape of the surface: relief under a detector on one side, and brightness across a tilted surface."""

import torch
from torch import Tensor
from torch.nn import functional


def shadow(views: Tensor, strength_px: Tensor, *, azimuth_rad: Tensor) -> Tensor:
    """Light each view from one side.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    strength_px : (B,) float32, >= 0
        Height of the relief: grey values added per grey value of rise and pixel. 0 leaves a view as it is.
        On the CPU.
    azimuth_rad : (B,) float32
        Where the detector lies: 0 right, pi / 2 below. On the CPU.

    Returns
    -------
    (B, 1, H, W) float32
        New where something was changed.

    Notes
    -----
    ``y = x - s (cos a  d_c x + sin a  d_r x)``: grey values stand for heights, and slopes that fall towards
    the detector get brighter, as under an Everhart-Thornley detector, to which more electrons come from faces
    turned to it. The derivatives d_c along columns and d_r along rows are Sobel's, per pixel, the border
    repeated. It misleads where brightness is composition, not height: then it draws edges into a flat
    section.

    References
    ----------
    Reimer 1998, doi:10.1007/978-3-540-38967-5, ch. 6 (topographic contrast). Sobel's operator: Gonzalez and
    Woods 2018, Digital Image Processing, 4th ed., sec. 10.2; here divided by 8.
    """
    chosen = torch.nonzero(strength_px > 0).flatten()
    if len(chosen) == 0:
        return views
    where = chosen.to(views.device, non_blocking=True)
    batch = views.index_select(0, where)
    along = -strength_px[chosen] * torch.cos(azimuth_rad[chosen]) / 8
    down = -strength_px[chosen] * torch.sin(azimuth_rad[chosen]) / 8
    along, down = (v[:, None, None, None].to(views.device, non_blocking=True) for v in (along, down))
    padded = functional.pad(batch, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 2:] - padded[..., :-2]
    lit = batch.addcmul_(_one_two_one(across.transpose(2, 3)).transpose(2, 3), along)
    upright = padded[:, :, 2:] - padded[:, :, :-2]
    return views.index_copy(0, where, lit.addcmul_(_one_two_one(upright), down))


def _one_two_one(padded: Tensor) -> Tensor:
    """Add to twice each pixel its two neighbours along the last axis."""
    return padded[..., 1:-1].mul(2).add_(padded[..., 2:]).add_(padded[..., :-2])


def brightness_ramp(views: Tensor, rise: Tensor) -> Tensor:
    """Add a linear ramp of brightness down the rows.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    rise : (B,) float32
        From the middle of the first row to the middle of the last, in parts of full scale. On the CPU.

    Returns
    -------
    (B, 1, H, W) float32
        ``y = x + rise (r / (H - 1) - 1 / 2)`` for row r.

    Notes
    -----
    On a surface tilted about the row direction, working distance and angle to the detector change from row to
    row; over one field of view the yield changes about linearly.

    References
    ----------
    Reimer 1998, doi:10.1007/978-3-540-38967-5, ch. 6 (surface tilt).
    """
    if not bool((rise != 0).any()):
        return views
    steps = torch.linspace(-0.5, 0.5, views.shape[2])
    ramp = rise[:, None, None, None] * steps[:, None]
    return views + ramp.to(views.device, non_blocking=True)
