"""A spatial transformer: a small network turns, shifts and scales each tile before the encoder sees it."""

import torch
from torch import Tensor, nn

POOLED = 8
HIDDEN = 32


class SpatialTransformer(nn.Module):
    """Predict an affine map from a tile and resample the tile by it; at first it changes nothing.

    Parameters
    ----------
    generator : torch.Generator
        Draws the first weights.

    References
    ----------
    Jaderberg et al. 2015, arXiv:1506.02025, section 3; in front of DAC: Souza & Zanchettin 2019,
    arXiv:1902.05401.
    """

    def __init__(self, *, generator: torch.Generator) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(HIDDEN, POOLED * POOLED, generator=generator) / POOLED)
        self.second = nn.Parameter(torch.zeros(6, HIDDEN))
        self.bias = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def affine(self, pixels: Tensor) -> Tensor:
        """Return the map of each tile, in units of half a tile: (B, 1, H, W) -> (B, 2, 3)."""
        small = nn.functional.adaptive_avg_pool2d(pixels, POOLED).flatten(1)
        small = small - small.mean(dim=1, keepdim=True)
        hidden = torch.tanh(small @ self.first.T)
        return (hidden @ self.second.T + self.bias).reshape(-1, 2, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        """Resample (B, 1, H, W) tiles; beyond the border they are mirrored."""
        grid = nn.functional.affine_grid(self.affine(pixels), list(pixels.shape), align_corners=False)
        return nn.functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
