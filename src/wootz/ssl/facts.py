"""What the augmentation wants to know of each tile: the size of its pixels, and whether it is rendered."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from wootz.augment.config import AugmentConfig
from wootz.ssl.sampling import ORIGIN, RENDERED

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TileFacts:
    """Facts of all tiles, or of those of a batch.

    Attributes
    ----------
    pixel_size_nm : (N,) float32
        NaN where unknown.
    rendered : (N,) bool
    """

    pixel_size_nm: Tensor
    rendered: Tensor

    def at(self, rows: np.ndarray) -> "TileFacts":
        """Return the facts of some rows."""
        chosen = torch.from_numpy(np.asarray(rows))
        return TileFacts(self.pixel_size_nm[chosen], self.rendered[chosen])


def tile_facts(frame: "pd.DataFrame", augment: AugmentConfig) -> TileFacts | None:
    """Gather the facts that the augmentation uses.

    Parameters
    ----------
    frame : DataFrame
        Tiles joined with their images.
    augment : AugmentConfig

    Returns
    -------
    TileFacts or None
        None where none makes a difference: no range of scales is asked for, and tiles are all real or all
        rendered, or take over no looks. The pixel size of pixels that are not square is the root of their
        area.
    """
    rendered = np.zeros(len(frame), bool)
    if ORIGIN in frame:
        rendered = frame[ORIGIN].eq(RENDERED).to_numpy(bool)
    exchanges = augment.fda_prob > 0 or augment.hist_prob > 0
    mixed = bool(exchanges and rendered.any() and not rendered.all())
    if augment.scale_min_nm is None and not mixed:
        return None
    sizes = np.sqrt(frame["pixel_size_row_nm"].to_numpy(float) * frame["pixel_size_col_nm"].to_numpy(float))
    return TileFacts(torch.from_numpy(sizes.astype(np.float32)), torch.tensor(rendered))
