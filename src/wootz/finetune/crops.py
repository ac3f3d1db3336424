"""Random crops of labelled fields: rotated, zoomed, flipped and warped in one resampling."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wootz.finetune.losses import IGNORE


@dataclass(frozen=True)
class CropOptions:
    """How far a crop may depart from a plain window.

    Parameters
    ----------
    size_px : int
        Side of the crop.
    rotation_deg : float, >= 0
    zoom : float, >= 1
        A crop shows between ``1 / zoom`` and ``zoom`` times the plain window's side.
    flip_rows : bool
    elastic : float, >= 0
        Standard deviation of smooth shifts, as a fraction of the side.
    plain_prob : float in [0, 1]
        Chance that a crop is only flipped: resampling softens a picture, and a network that has seen only
        softened ones does worse on the fields as recorded.
    """

    size_px: int
    rotation_deg: float
    zoom: float
    flip_rows: bool
    elastic: float
    plain_prob: float = 0.0


def shrink_field(field: np.ndarray, factor: int) -> Tensor:
    """Average blocks of factor x factor pixels; a rest at the lower or right border is filled by reflection.

    Parameters
    ----------
    field : (H, W) float32
    factor : int, >= 1

    Returns
    -------
    (ceil(H / factor), ceil(W / factor)) float32
    """
    padded = np.pad(field, [(0, -side % factor) for side in field.shape], mode="symmetric")
    pixels = torch.from_numpy(np.ascontiguousarray(padded, dtype=np.float32))
    return functional.avg_pool2d(pixels[None, None], factor)[0, 0] if factor > 1 else pixels


def shrink_mask(mask: np.ndarray, factor: int) -> Tensor:
    """Take the central pixel of each block of factor x factor pixels; a rest is ignored (255).

    A majority vote would erase classes thinner than half a block, such as cracks.
    """
    padded = np.pad(mask, [(0, -side % factor) for side in mask.shape], constant_values=IGNORE)
    return torch.from_numpy(np.ascontiguousarray(padded[factor // 2 :: factor, factor // 2 :: factor]))


def random_crops(
    fields: list[Tensor], masks: list[Tensor], options: CropOptions, *, n: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw crops, each from a field chosen in proportion to the root of its area.

    In proportion to the area, one panorama would be the whole training; all alike, each pixel of a small
    field would be seen a hundred times.

    Parameters
    ----------
    fields : list of (H, W) float32
    masks : list of (H, W) uint8, 255 = ignore
    options : CropOptions
    n : int
    generator : torch.Generator

    Returns
    -------
    (n, 1, size, size) float32 and (n, size, size) int64
        Beyond a field's border the pixels are reflected and the mask is 255.
    """
    sides = torch.tensor([float(field.numel()) ** 0.5 for field in fields])
    chosen = torch.multinomial(sides, n, replacement=True, generator=generator).tolist()
    crops = [_one_crop(fields[i], masks[i], options, generator) for i in chosen]
    return torch.stack([pixels for pixels, _ in crops])[:, None], torch.stack([target for _, target in crops])


def _one_crop(
    field: Tensor, mask: Tensor, options: CropOptions, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    height, width = field.shape
    grid = _crop_positions(options, generator, field.device)
    reach = options.size_px / 2.0
    for axis, side in enumerate((height, width)):
        margin = min(reach, side / 2.0)
        centre = margin + float(torch.rand((), generator=generator)) * (side - 2.0 * margin)
        grid[..., axis] += math.floor(centre - reach + 0.5) + reach - 0.5  # unturned crops fall on pixels
    normalised = torch.stack([grid[..., 1] / width, grid[..., 0] / height], -1) * 2 + torch.tensor(
        [1 / width - 1, 1 / height - 1], device=field.device
    )
    pixels = functional.grid_sample(
        field[None, None], normalised[None], padding_mode="reflection", align_corners=False
    )
    row, col = grid[..., 0].round().long(), grid[..., 1].round().long()
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    target = mask[row.clamp(0, height - 1), col.clamp(0, width - 1)].long()
    return pixels[0, 0], target.where(inside, IGNORE)


def _crop_positions(options: CropOptions, generator: torch.Generator, device: torch.device) -> Tensor:
    """Return the (size, size, 2) rows and columns of a crop's pixels around its centre, in field pixels."""
    draw = torch.rand(5, generator=generator)
    is_plain = float(draw[4]) < options.plain_prob
    angle = 0.0 if is_plain else math.radians(options.rotation_deg) * (2.0 * float(draw[0]) - 1.0)
    zoom = 1.0 if is_plain else math.exp(math.log(options.zoom) * (2.0 * float(draw[1]) - 1.0))
    flip_row = -1.0 if options.flip_rows and draw[2] < 0.5 else 1.0
    flip_col = -1.0 if draw[3] < 0.5 else 1.0
    axis = torch.arange(options.size_px, device=device) - (options.size_px - 1) / 2.0
    row, col = torch.meshgrid(axis * zoom * flip_row, axis * zoom * flip_col, indexing="ij")
    cos, sin = math.cos(angle), math.sin(angle)
    positions = torch.stack([cos * row + sin * col, cos * col - sin * row], -1)
    if options.elastic > 0 and not is_plain:
        coarse = torch.randn(1, 2, 5, 5, generator=generator).to(device) * options.elastic * options.size_px
        shifts = functional.interpolate(
            coarse, size=2 * [options.size_px], mode="bicubic", align_corners=True
        )
        positions = positions + shifts[0].permute(1, 2, 0)
    return positions
