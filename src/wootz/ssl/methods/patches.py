"""Square patches of a view: cut on a grid with random shifts, set apart in brightness, shuffled."""

import torch
from torch import Tensor

from wootz.augment.config import AugmentConfig
from wootz.augment.detector import gain_offset_gamma
from wootz.errors import WootzError
from wootz.ssl.views import TileBatch

MIN_PATCH_PX = 4


def tile_side_px(batch: TileBatch) -> int:
    """Return the shorter side of the tiles without their margin, px."""
    return min(batch.tiles.shape[-2:]) - 2 * batch.margin_px


def check_patch_px(patch_px: int, *, side_px: int) -> None:
    """Raise `WootzError` where patches of views of `side_px` come out too small to show anything."""
    if patch_px < MIN_PATCH_PX:
        raise WootzError(
            f"views of {side_px} px give patches of {patch_px} px, too small to show anything; make larger "
            "tiles (64 px and more), or take a method of whole views, e.g. method=simclr."
        )


def grid_corners(n: int, *, pitch_px: int, spare_px: int, generator: torch.Generator) -> Tensor:
    """Draw the top-left corners of a 3 x 3 grid of patches, each shifted for itself.

    Parameters
    ----------
    n : int
        Views.
    pitch_px : int
        From one corner of the grid to the next.
    spare_px : int, >= 0
        Each patch moves by 0 to this many pixels down and right.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    (n, 9, 2) int64
        Row and column, cells in reading order.
    """
    cells = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    return cells * pitch_px + torch.randint(spare_px + 1, (n, 9, 2), generator=generator)


def cut_patches(views: Tensor, corners: Tensor, *, patch_px: int) -> Tensor:
    """Cut squares out of views.

    Parameters
    ----------
    views : (B, 1, H, W)
    corners : (B, N, 2) int64
        Row and column of each top-left corner.
    patch_px : int

    Returns
    -------
    (B, N, 1, patch_px, patch_px), on the device of the views
    """
    steps = torch.arange(patch_px)
    rows = (corners[..., :1] + steps).to(views.device, non_blocking=True)
    cols = (corners[..., 1:] + steps).to(views.device, non_blocking=True)
    which = torch.arange(len(views), device=views.device)[:, None, None, None]
    return views[which, 0, rows[..., :, None], cols[..., None, :]].unsqueeze(2)


def own_settings(patches: Tensor, cfg: AugmentConfig, *, generator: torch.Generator) -> Tensor:
    """Give each patch its own contrast and brightness, so that a shading across the view tells no place.

    Parameters
    ----------
    patches : (B, ..., 1, p, p)
    cfg : AugmentConfig
        Its `jitter_prob`, `gain_max` and `offset_max`.
    generator : torch.Generator
        On the CPU.
    """
    flat = patches.reshape(-1, *patches.shape[-3:])
    chance, gain, offset = torch.rand(3, len(flat), generator=generator)
    chosen = chance < cfg.jitter_prob
    gain = torch.where(chosen, 1 + (2 * gain - 1) * cfg.gain_max, 1.0)
    offset = torch.where(chosen, (2 * offset - 1) * cfg.offset_max, 0.0)
    changed = gain_offset_gamma(flat, gain, offset=offset, gamma=torch.ones(len(flat)))
    return changed.reshape(patches.shape)


def random_permutations(n: int, length: int, *, generator: torch.Generator) -> Tensor:
    """Draw `n` permutations of ``0 ... length - 1``, all equally likely: (n, length) int64."""
    return torch.rand(n, length, generator=generator).argsort(dim=1)


def shuffle(patches: Tensor, order: Tensor) -> Tensor:
    """Put patch ``order[b, i]`` of view b at place i.

    Parameters
    ----------
    patches : (B, N, ...)
    order : (B, N) int64
    """
    order = order.to(patches.device, non_blocking=True)
    return patches[torch.arange(len(patches), device=patches.device)[:, None], order]


def unshuffle(patches: Tensor, order: Tensor) -> Tensor:
    """Undo `shuffle` of the same order."""
    return shuffle(patches, order.argsort(dim=1))
