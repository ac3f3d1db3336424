"""Where a patch lies: codes of its row and column, for grids of any size."""

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional


def sine_positions(grid: int, dim: int) -> Tensor:
    """Describe each place of a square grid by sines and cosines of its row and of its column.

    Parameters
    ----------
    grid : int
        Side of the grid.
    dim : int, divisible by 4

    Returns
    -------
    (grid**2, dim) float32
        Row by row; each of column sines, column cosines, row sines, row cosines takes a quarter.

    References
    ----------
    Vaswani et al. 2017, arXiv:1706.03762, section 3.5, for two axes as in Chen et al. 2021, arXiv:2104.02057.
    """
    quarter = torch.arange(dim // 4, dtype=torch.float64)
    angles = torch.outer(torch.arange(grid, dtype=torch.float64), 10000.0 ** (-quarter / (dim // 4)))
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    of_col = axis[None].expand(grid, -1, -1)
    of_row = axis[:, None].expand(-1, grid, -1)
    return torch.cat([of_col, of_row], dim=2).reshape(grid**2, dim).float()


def resample_positions(positions: Tensor, rows: int, cols: int) -> Tensor:
    """Interpolate the positions of a square grid on another grid over the same extent.

    Parameters
    ----------
    positions : (1, grid**2, dim)
    rows, cols : int

    Returns
    -------
    (1, rows * cols, dim)

    Notes
    -----
    Cubic, with a wider kernel where the new grid is coarser, as timm does; written as two matrix products,
    whose gradients are the same on each run (those of torch's own interpolation on a GPU are not).
    """
    grid = math.isqrt(positions.shape[1])
    if (rows, cols) == (grid, grid):
        return positions
    square = positions.view(grid, grid, -1)
    by_row = _cubic_weights(grid, rows).to(square)
    by_col = _cubic_weights(grid, cols).to(square)
    return torch.einsum("ri,ijd,cj->rcd", by_row, square, by_col).reshape(1, rows * cols, -1)


@functools.lru_cache(maxsize=64)
def _cubic_weights(n_in: int, n_out: int) -> Tensor:
    """Return the (n_out, n_in) float64 matrix of torch's antialiased cubic interpolation along one axis."""
    with torch.inference_mode(mode=False):  # kept for later calls, which may need gradients
        unit = torch.eye(n_in, dtype=torch.float64)[None, None]
        return functional.interpolate(unit, size=[n_out, n_in], mode="bicubic", antialias=True)[0, 0]
