"""A batch of tiles from which methods draw their views."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from wootz.augment.config import AugmentConfig
from wootz.augment.views import random_view


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
    """

    tiles: Tensor
    margin_px: int
    augment: AugmentConfig
    generator: torch.Generator

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
        view = random_view(self.tiles, cfg, generator=self.generator, margin_px=self.margin_px)
        return view.to(memory_format=torch.channels_last)

    def two_views(self) -> tuple[Tensor, Tensor]:
        """Draw two independent views of each tile."""
        return self.view(), self.view()
