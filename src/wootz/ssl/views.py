"""A batch of tiles from which methods draw their views."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from wootz.augment.config import AugmentConfig
from wootz.augment.views import random_views
from wootz.ssl.facts import TileFacts


@dataclass(frozen=True)
class TileBatch:
    """Tiles with their context, and how views of them may differ.

    Parameters
    ----------
    tiles : (B, 1, H + 2 margin, W + 2 margin) float32
        On the scale of `wootz.intensity.scale`, on any device.
    margin_px : int, >= 0
        Context on each side.
    augment : AugmentConfig
    generator : torch.Generator
        On the CPU; the draws of a step follow from it alone.
    shift_px : int, >= 0
        Each view is drawn from a window that lies up to this far off the tile, up or down and left or right,
        so that two views overlap in part only. It uses up as much of the margin.
    facts : TileFacts, optional
        Pixel sizes and kinds of the tiles, for views of one physical scale and exchange of looks.
    """

    tiles: Tensor
    margin_px: int
    augment: AugmentConfig
    generator: torch.Generator
    shift_px: int = 0
    facts: TileFacts | None = None

    def view(self, **changes: Any) -> Tensor:
        """Draw one random view of each tile.

        Parameters
        ----------
        **changes
            Options of `AugmentConfig` that differ from the batch's own, e.g. ``out_px=48``.

        Returns
        -------
        (B, 1, out_px, out_px) float32, channels last
        """
        cfg = replace(self.augment, **changes) if changes else self.augment
        return self._views(cfg, 1)[0]

    def two_views(self) -> tuple[Tensor, Tensor]:
        """Draw two independent views of each tile."""
        if self.shift_px:
            return self.view(), self.view()
        first, second = self._views(self.augment, 2)
        return first, second

    def _views(self, cfg: AugmentConfig, n_views: int) -> list[Tensor]:
        tiles = self._neighbours() if self.shift_px else self.tiles
        margin_px = self.margin_px - self.shift_px
        known: dict[str, Tensor] = {} if self.facts is None else vars(self.facts)
        views = random_views(
            tiles, cfg, generator=self.generator, n_views=n_views, margin_px=margin_px, **known
        )
        return [view.to(memory_format=torch.channels_last) for view in views]

    def _neighbours(self) -> Tensor:
        """Cut a window near each tile, with the rest of the margin around it."""
        n, _, height, width = self.tiles.shape
        size = 2 * self.shift_px + 1
        corners = torch.randint(size, (2, n, 1), generator=self.generator)
        rows, cols = (
            (corner + torch.arange(side - size + 1)).to(self.tiles.device)
            for corner, side in zip(corners, (height, width), strict=True)
        )
        which = torch.arange(n, device=self.tiles.device)
        return self.tiles[which[:, None, None], 0, rows[:, :, None], cols[:, None, :]][:, None]
