"""Where the field of view lies: place, scale, tilt, shear, rotation and mirror image in one resampling."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from wootz.augment.config import AugmentConfig


def context_px(tile_px: int, cfg: AugmentConfig) -> int:
    """Return how many pixels around a tile a rotated window can reach.

    Read tiles with this margin and the corners of a rotated view are real picture, not padding.

    Notes
    -----
    A window of width w and height h >= w / A at the tile's edge, turned by a, sticks out by
    ``(w sin a - h (1 - cos a)) / 2``; with w the tile's side that is largest at ``tan a = A``.
    """
    angle = min(math.radians(cfg.rotation_deg), math.atan(cfg.aspect_max))
    return math.ceil(tile_px / 2 * (math.sin(angle) - (1 - math.cos(angle)) / cfg.aspect_max))


def random_crop(
    n: int,
    tile_px: tuple[int, int],
    cfg: AugmentConfig,
    *,
    generator: torch.Generator,
    pixel_size_nm: Tensor | None = None,
    tilt_deg: Tensor | None = None,
) -> Tensor:
    """Draw a window in each of `n` tiles.

    Parameters
    ----------
    n : int
    tile_px : (height, width)
        Size of the tiles without their margin.
    cfg : AugmentConfig
    generator : torch.Generator
        On the CPU.
    pixel_size_nm : (n,) float, optional
        Size of a tile's pixel, nm; NaN where unknown. Used where the options ask for a range of scales.
    tilt_deg : (n,) float32, optional
        Tilt of each surface about the scan's row direction, in [0, 90).

    Returns
    -------
    (n, 2, 3) float32
        For each tile the affine map from a view's coordinates (u, v) in [-1, 1] to pixels (x, y) from the
        tile's centre: ``x, y = A [u, v, 1]``.

    Notes
    -----
    Area uniform in ``[area_min_frac, area_max_frac]``, log stretch uniform; a side that comes out longer than
    the tile is cut to the tile. With a scale range and a known pixel size p, the side of a square of the
    window's area is ``out_px s / p`` with ln s uniform, over the part of the range that the areas allow, or
    the nearest limit where they allow none: the physical scale of the views is then the same for tiles of all
    magnifications.

    A tilt t makes the surface look shorter across its axis. As only ratios count beside a random
    magnification, the window gets narrower along its rows instead: ``w cos t``. A shear a takes
    ``x + y tan a`` and shrinks the window until it lies in the one before. So every window lies inside the
    unsheared, untilted one, which lies inside the tile before it is turned about its centre.

    References
    ----------
    Window as in Szegedy et al. 2015, doi:10.1109/CVPR.2015.7298594, as used by SimCLR.
    """
    area, stretch, place_x, place_y, turn, mirror, skew = torch.rand(7, n, generator=generator)
    height, width = tile_px
    area = _areas(area, tile_px, cfg, pixel_size_nm=pixel_size_nm)
    ratio = torch.exp((2 * stretch - 1) * math.log(cfg.aspect_max) + math.log(width / height))
    window_w = torch.sqrt(area * ratio).clamp(max=width)
    window_h = torch.sqrt(area / ratio).clamp(max=height)
    centre_x = (place_x - 0.5) * (width - window_w)
    centre_y = (place_y - 0.5) * (height - window_h)
    return place_window(
        torch.stack([window_w, window_h], dim=1),
        centre=torch.stack([centre_x, centre_y], dim=1),
        angle_rad=(2 * turn - 1) * math.radians(cfg.rotation_deg),
        mirrored=mirror < cfg.flip_prob,
        shear_rad=(2 * skew - 1) * math.radians(cfg.shear_deg),
        tilt_rad=torch.zeros(n) if tilt_deg is None else torch.deg2rad(tilt_deg),
    )


def place_window(
    size_px: Tensor,
    *,
    centre: Tensor,
    angle_rad: Tensor,
    mirrored: Tensor,
    shear_rad: Tensor,
    tilt_rad: Tensor,
) -> Tensor:
    """Write windows as affine maps; see `random_crop`.

    Parameters
    ----------
    size_px, centre : (n, 2) float32
        Width and height; x and y from the tile's centre, px.
    angle_rad, shear_rad, tilt_rad : (n,) float32
    mirrored : (n,) bool

    Returns
    -------
    (n, 2, 3) float32
        With turn a, shear s, tilt t, mirror m = 1 or -1, width w and height h, and the shrinking
        ``k = w cos t / (w cos t + h |tan s|)``: ``A = k / 2 R(a) [[m w cos t, h tan s], [0, h]]``.
    """
    width, height = size_px.unbind(dim=1)
    width = width * torch.cos(tilt_rad)
    lean = height * torch.tan(shear_rad)
    half = width / (width + lean.abs()) / 2
    width = torch.where(mirrored, -width, width)
    cos, sin = torch.cos(angle_rad), torch.sin(angle_rad)
    x = (half * cos * width, half * (cos * lean - sin * height), centre[:, 0])
    y = (half * sin * width, half * (sin * lean + cos * height), centre[:, 1])
    return torch.stack((*x, *y), dim=1).view(len(size_px), 2, 3)


def _areas(
    draws: Tensor, tile_px: tuple[int, int], cfg: AugmentConfig, *, pixel_size_nm: Tensor | None
) -> Tensor:
    """Turn uniform draws into window areas, px^2."""
    whole = tile_px[0] * tile_px[1]
    area = (cfg.area_min_frac + (cfg.area_max_frac - cfg.area_min_frac) * draws) * whole
    if pixel_size_nm is None or cfg.scale_min_nm is None or cfg.scale_max_nm is None:
        return area
    limits = math.sqrt(cfg.area_min_frac * whole), math.sqrt(cfg.area_max_frac * whole)
    size = pixel_size_nm.to("cpu", torch.float32)
    known = torch.isfinite(size) & (size > 0)
    per_nm = cfg.out_px / torch.where(known, size, 1.0)
    low = (cfg.scale_min_nm * per_nm).clamp(*limits)
    high = (cfg.scale_max_nm * per_nm).clamp(*limits)
    return torch.where(known, (low * (high / low) ** draws).square(), area)


def sample_affine(tiles: Tensor, affine: Tensor, *, out_px: int) -> Tensor:
    """Cut a window out of each tile and resample it, bilinear.

    Parameters
    ----------
    tiles : (B, 1, H, W) float32
        With or without a margin; beyond the border the picture is mirrored.
    affine : (B, 2, 3) float32
        From `random_crop`: view coordinates in [-1, 1] to pixels from the tile's centre.
    out_px : int
        Side of the result.

    Returns
    -------
    (B, 1, out_px, out_px) float32

    Notes
    -----
    Windows of more than 1.5 times `out_px` are sampled on a grid two, three, ... times as fine, which is then
    averaged, so that shrinking does not fold fine texture into false coarse texture. A window is at most as
    large as the tile, so the factor is chosen for the batch from its largest window.
    """
    largest_px = 2 * affine[:, :, :2].square().sum(dim=1).amax().sqrt().item()
    fine = max(1, round(largest_px / out_px))
    grid = _grid(affine, tiles.shape[-2:], n=out_px * fine).to(tiles.device, non_blocking=True)
    padding = "border" if _inside(affine, tiles.shape[-2:]) else "reflection"  # the same inside, but faster
    views = functional.grid_sample(tiles, grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return views if fine == 1 else functional.avg_pool2d(views, fine)


def _inside(affine: Tensor, shape: torch.Size) -> bool:
    """Say whether no window of the batch leaves the picture."""
    reach_px = affine.abs().sum(dim=2)  # the farthest of the four corners, in x and in y
    limit_px = torch.tensor([shape[1] / 2, shape[0] / 2])
    return bool((reach_px <= limit_px).all())


def _grid(affine: Tensor, shape: torch.Size, *, n: int) -> Tensor:
    """Build the (B, n, n, 2) coordinates for ``grid_sample``, x and y in planes of their own.

    ``grid_sample`` reads planes as fast as pairs, and they are built several times faster than pairs are by
    ``affine_grid``.
    """
    height, width = shape
    a, b, c = (affine * torch.tensor([[2.0 / width], [2.0 / height]])).unbind(dim=2)  # (B, 2): for x, y
    steps = (torch.arange(n, dtype=torch.float32) + 0.5) * (2.0 / n) - 1.0
    along = a[:, :, None] * steps
    down = b[:, :, None] * steps + c[:, :, None]
    return (along[:, :, None, :] + down[:, :, :, None]).permute(0, 2, 3, 1)
