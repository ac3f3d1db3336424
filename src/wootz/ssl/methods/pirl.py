"""PIRL: the shuffled pieces of a tile attract its whole views, pieces of other tiles repel."""

import torch
from lightly.utils import dist
from torch import Tensor, nn
from torch.nn import functional

from wootz.ssl.methods.fits import require_cnn
from wootz.ssl.methods.patches import (
    check_patch_px,
    cut_patches,
    grid_corners,
    own_settings,
    random_permutations,
    shuffle,
)
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.methods.pretext_options import PIRLConfig
from wootz.ssl.views import TileBatch

JIGSAW_AREA_FRAC = 0.6  # of the tile, at least: the paper's crop for the jigsaw


class PIRL(nn.Module):
    """Encoder, a linear head for whole views and one for nine pieces in any order.

    Notes
    -----
    The memory bank of the paper, one vector for each picture of the data set, is replaced by the batch: the
    projection of another view of the same tile stands for the tile's entry in the bank, those of all other
    tiles (of all processes) for the negatives, and gradients flow to both. A bank needs a fixed row for each
    tile, which windows drawn at random from one image do not have, its entries are an epoch old, and every
    process would have to keep all of it. Large batches do better, as in SimCLR.

    Of equation 4, the second sum, over ``log(1 - h)`` of the negatives, is left out: with the softmax of
    equation 3 over all candidates, the first term pushes the negatives away already.

    References
    ----------
    Misra & van der Maaten 2020, doi:10.1109/CVPR42600.2020.00674, equations 3 and 5, section 3.2.
    """

    def __init__(self, encoder: nn.Module, cfg: PIRLConfig) -> None:
        super().__init__()
        require_cnn(
            encoder,
            method="pirl",
            why="jigsaw pieces are far smaller than the tiles whose position code a transformer learns, and "
            "on transformers PIRL is known to learn next to nothing",
        )
        dim: int = encoder.dim  # type: ignore[assignment]
        self.temperature = cfg.temperature
        self.jigsaw_weight = cfg.jigsaw_weight
        self.piece_frac = cfg.piece_frac
        self.encoder = encoder
        self.head = nn.Linear(dim, cfg.output_dim)
        self.piece_head = nn.Linear(dim, cfg.output_dim)
        self.jigsaw_head = nn.Linear(9 * cfg.output_dim, cfg.output_dim)

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw two views (B, 1, out, out) of each tile, and nine shuffled pieces of a third."""
        cfg = batch.augment
        pitch = cfg.out_px // 3
        piece_px = max(1, round(self.piece_frac * pitch))
        check_patch_px(piece_px, side_px=cfg.out_px)
        first, second = batch.two_views()
        area = min(cfg.area_max_frac, max(cfg.area_min_frac, JIGSAW_AREA_FRAC))
        whole = batch.view(area_min_frac=area, jitter_prob=0.0)
        draws, n = batch.generator, len(whole)
        corners = grid_corners(n, pitch_px=pitch, spare_px=pitch - piece_px, generator=draws)
        pieces = own_settings(cut_patches(whole, corners, patch_px=piece_px), cfg, generator=draws)
        return first, second, shuffle(pieces, random_permutations(n, 9, generator=draws))

    def forward(self, first: Tensor, second: Tensor, pieces: Tensor) -> Tensor:
        """Compute the loss of two views (B, 1, H, W) and pieces (B, 9, 1, p, p) of the same tiles."""
        whole, other = self.head(self.encoder(torch.cat([first, second]))).chunk(2)
        parts = self.piece_head(self.encoder(pieces.flatten(0, 1)))
        jigsaw = self.jigsaw_head(parts.view(len(pieces), -1))
        bank = _unit(whole)
        with torch.autocast(bank.device.type, enabled=False):
            bank = torch.cat(dist.gather(bank)) if dist.world_size() > 1 else bank
            jigsaw_loss, view_loss = self._nce(_unit(jigsaw), bank), self._nce(_unit(other), bank)
            return self.jigsaw_weight * jigsaw_loss + (1 - self.jigsaw_weight) * view_loss

    def update(self, progress: float) -> None:
        """Do nothing: without a bank nothing follows."""

    def _nce(self, queries: Tensor, bank: Tensor) -> Tensor:
        """Compute -log h of equation 3, averaged; row i of the queries belongs to row i of its process."""
        own = torch.arange(len(queries), device=queries.device) + dist.rank() * len(queries)
        return functional.cross_entropy(queries @ bank.T / self.temperature, own)


def _unit(values: Tensor) -> Tensor:
    return functional.normalize(at_least_float32(values), dim=1)
