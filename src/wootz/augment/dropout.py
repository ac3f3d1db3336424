"""What the recording loses: dead and hot pixels, and lines that never arrive."""

import torch
from torch import Tensor

from wootz.augment.pixelnoise import uniform_pixels


def lose_pixels(views: Tensor, frac: Tensor, *, generator: torch.Generator) -> Tensor:
    """Set single pixels to nothing or to full scale.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    frac : (B,) float32, in [0, 1]
        Probability of each pixel to be lost; 0 leaves a view as it is. On the CPU.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    (B, 1, H, W) float32
        With u uniform in [0, 1) for each pixel: 0 where ``u < frac / 2``, 1 where ``frac / 2 <= u < frac``.

    Notes
    -----
    Dead and hot elements of a camera, electrical spikes of a scanned detector, missed blocks of a file.
    """
    chosen = torch.nonzero(frac > 0).flatten()
    if len(chosen) == 0:
        return views
    where = chosen.to(views.device, non_blocking=True)
    batch = views.index_select(0, where)
    draws = uniform_pixels(batch, generator=generator)
    limit = frac[chosen, None, None, None].to(views.device, non_blocking=True)
    batch.masked_fill_(draws < limit, 1.0).masked_fill_(draws < limit / 2, 0.0)
    return views.index_copy(0, where, batch)


def lose_lines(views: Tensor, rows: Tensor) -> Tensor:
    """Repeat, in place of each lost line, the last one that arrived.

    Parameters
    ----------
    views : (B, 1, H, W) float32
    rows : (B, H) bool
        Which rows are lost. Lost rows at the top, before any has arrived, are 0. On the CPU.

    Returns
    -------
    (B, 1, H, W) float32
    """
    chosen = torch.nonzero(rows.any(dim=1)).flatten()
    if len(chosen) == 0:
        return views
    lost = rows[chosen]
    source = torch.where(lost, -1, torch.arange(rows.shape[1])).cummax(dim=1).values
    where = chosen.to(views.device, non_blocking=True)
    batch = views.index_select(0, where)
    index = source.clamp(min=0).to(views.device, non_blocking=True)
    filled = batch.gather(2, index[:, None, :, None].expand_as(batch))
    none_yet = (source < 0)[:, None, :, None].to(views.device, non_blocking=True)
    return views.index_copy(0, where, filled.masked_fill_(none_yet, 0.0))


def random_lines(count: Tensor, *, height: int, generator: torch.Generator) -> Tensor:
    """Choose `count` different rows of each view: (B,) int to (B, height) bool."""
    lost = torch.zeros(len(count), height, dtype=torch.bool)
    chosen = torch.nonzero(count > 0).flatten()
    if len(chosen):
        rank = torch.rand(len(chosen), height, generator=generator).argsort(dim=1).argsort(dim=1)
        lost[chosen] = rank < count[chosen, None]
    return lost
