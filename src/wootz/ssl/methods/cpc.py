"""CPC: from the upper part of a tile, predict the features of patches further down."""

import torch
from lightly.utils import dist
from torch import Tensor, nn
from torch.nn import functional

from wootz.ssl.methods.fits import require_cnn
from wootz.ssl.methods.patches import check_patch_px, own_settings, tile_side_px
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.methods.pretext_options import CPCConfig
from wootz.ssl.views import TileBatch

GRID = 7  # rows and columns of patches that overlap by half
FIRST = 2  # rows below; the next row shares half its pixels, which would give the answer away
LOGIT_SCALE = 0.1  # of the products of predicted and true codes, as in Hénaff et al.


class RowContext(nn.Module):
    """What is known at each place from the rows above it and its own row.

    Notes
    -----
    Residual layers of 3 x 3 convolutions over the row itself and the two above it. There is no norm: one over
    places, like batch or group norm, would carry lower rows into upper ones.
    """

    def __init__(self, dim: int, width: int, n_layers: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(dim, width, 1)
        self.layers = nn.ModuleList([nn.Conv2d(width, width, 3) for _ in range(n_layers)])

    def forward(self, codes: Tensor) -> Tensor:
        """Map codes (B, dim, rows, cols) to contexts (B, width, rows, cols)."""
        context = self.stem(codes)
        for layer in self.layers:
            context = context + layer(functional.pad(functional.relu(context), (1, 1, 2, 0)))
        return context


class CPC(nn.Module):
    """Encoder of patches, context over rows, one linear prediction for each distance.

    Notes
    -----
    As in the second version: small targets, contrast and brightness of each patch for itself, and only rows
    that share no pixel with the last known one are predicted. Other than there, rows are read downwards only,
    since views are turned at random anyway, and the encoder keeps its batch norm.

    Negatives are all patches of the same row, of all tiles of all processes: other columns of the same tile
    are the hard ones, and the row itself cannot be the answer.

    References
    ----------
    van den Oord et al. 2018, arXiv:1807.03748, equations 3 and 4, section 3.2; Hénaff et al. 2020,
    arXiv:1905.09272, section 3 and appendix.
    """

    def __init__(self, encoder: nn.Module, cfg: CPCConfig) -> None:
        super().__init__()
        require_cnn(
            encoder,
            method="cpc",
            why="its patches are far smaller than the tiles whose position code a transformer learns",
        )
        dim: int = encoder.dim  # type: ignore[assignment]
        self.encoder = encoder
        self.context = RowContext(dim, cfg.context_dim, cfg.layers)
        self.targets = nn.Linear(dim, cfg.output_dim)
        self.predictors = nn.ModuleList(
            [nn.Linear(cfg.context_dim, cfg.output_dim) for _ in range(cfg.steps)]
        )

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Cut 7 x 7 overlapping patches (B, 7, 7, 1, p, p) out of one view of the size of the tile."""
        side = tile_side_px(batch)
        stride = side // (GRID + 1)
        check_patch_px(2 * stride, side_px=side)
        view = batch.view(out_px=side, jitter_prob=0.0)
        used = view[:, :, : stride * (GRID + 1), : stride * (GRID + 1)]
        patches = used.unfold(2, 2 * stride, stride).unfold(3, 2 * stride, stride)
        patches = patches.permute(0, 2, 3, 1, 4, 5)
        return (own_settings(patches, batch.augment, generator=batch.generator),)

    def codes(self, patches: Tensor) -> Tensor:
        """Encode patches (B, rows, cols, 1, p, p) each for itself: (B, rows, cols, dim)."""
        return self.encoder(patches.flatten(0, 2)).view(*patches.shape[:3], -1)

    def forward(self, patches: Tensor) -> Tensor:
        """Compute InfoNCE, averaged over all distances and places; guessing gives log(7 x tiles)."""
        codes = self.codes(patches)
        targets = at_least_float32(self.targets(codes))
        context = self.context(codes.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        predictions = [
            at_least_float32(predictor(context[:, : GRID - FIRST - step]))
            for step, predictor in enumerate(self.predictors)
        ]
        with torch.autocast(targets.device.type, enabled=False):
            candidates = torch.cat(dist.gather(targets)) if dist.world_size() > 1 else targets
            losses = [
                _info_nce(predicted, candidates[:, FIRST + step :])
                for step, predicted in enumerate(predictions)
            ]
            return torch.cat(losses).mean()

    def update(self, progress: float) -> None:
        """Do nothing: there is no slow copy."""


def _info_nce(predicted: Tensor, candidates: Tensor) -> Tensor:
    """Compare predictions (B, rows, cols, D) with the same rows of all tiles (N, rows, cols, D).

    Returns
    -------
    (rows * B * cols,)
        The loss of each prediction; tile b of this process is tile ``b + rank B`` of all.
    """
    n, n_rows, n_cols, _ = predicted.shape
    queries = predicted.transpose(0, 1).flatten(1, 2)
    keys = candidates.transpose(0, 1).flatten(1, 2)
    logits = LOGIT_SCALE * queries @ keys.transpose(1, 2)
    own = torch.arange(n * n_cols, device=logits.device) + dist.rank() * n * n_cols
    return functional.cross_entropy(logits.flatten(0, 1), own.repeat(n_rows), reduction="none")
