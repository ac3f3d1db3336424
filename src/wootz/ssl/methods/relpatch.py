"""Relative patch position: tell which of the eight neighbours of a patch this one is."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wootz.ssl.methods.fits import require_cnn
from wootz.ssl.methods.patches import check_patch_px, cut_patches, grid_corners, own_settings, tile_side_px
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.methods.pretext_options import RelPatchConfig
from wootz.ssl.views import TileBatch

CENTRE = 4
NEIGHBOURS = (0, 1, 2, 3, 5, 6, 7, 8)  # cells of the 3 x 3 grid in reading order: class i is NEIGHBOURS[i]


class RelPatch(nn.Module):
    """Encoder, applied to two patches, and a classifier of where the second lies.

    Notes
    -----
    Lines that run on from one patch into the next would give the answer away, so patches are a gap apart and
    each is shifted at random. So would a shading across the field (charging, a detector at one side), so each
    patch gets its own contrast and brightness. Views are neither turned nor mirrored: what lies above and
    what below is part of the question. On textures without direction and without structures larger than a
    gap there is no answer, and the loss stays at ``log 8``.

    All eight neighbours of each tile are asked for at once: nine patches make eight pairs.

    References
    ----------
    Doersch et al. 2015, doi:10.1109/ICCV.2015.167, section 3.1.
    """

    def __init__(self, encoder: nn.Module, cfg: RelPatchConfig) -> None:
        super().__init__()
        require_cnn(
            encoder,
            method="relpatch",
            why="its patches are far smaller than the tiles whose position code a transformer learns",
        )
        dim: int = encoder.dim  # type: ignore[assignment]
        hidden = cfg.hidden_dim or dim
        self.gap_frac = cfg.gap_frac
        self.jitter_frac = cfg.jitter_frac
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Linear(2 * dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 8)
        )

    def layout_px(self, side_px: int) -> tuple[int, int, int]:
        """Return the side of a patch, the least gap and the largest shift either way, for views of a side."""
        patch = int(side_px / (3 + 2 * self.gap_frac + 2 * self.jitter_frac))
        gap, shift = int(self.gap_frac * patch), int(self.jitter_frac * patch)
        return patch, gap - 2 * shift, shift

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Cut nine patches (B, 9, 1, p, p), in reading order, out of one view of the size of the tile."""
        side = tile_side_px(batch)
        patch_px, gap_px, shift_px = self.layout_px(side)
        check_patch_px(patch_px, side_px=side)
        view = batch.view(out_px=side, rotation_deg=0.0, flip_prob=0.0, jitter_prob=0.0)
        corners = grid_corners(
            len(view),
            pitch_px=patch_px + gap_px + 2 * shift_px,
            spare_px=2 * shift_px,
            generator=batch.generator,
        )
        patches = cut_patches(view, corners, patch_px=patch_px)
        return (own_settings(patches, batch.augment, generator=batch.generator),)

    def logits(self, patches: Tensor) -> Tensor:
        """Classify the neighbours of nine patches (B, 9, 1, p, p): (B, 8, 8), true class on the diagonal."""
        features = self.encoder(patches.flatten(0, 1)).view(len(patches), 9, -1)
        neighbours = features[:, NEIGHBOURS]
        pairs = torch.cat([features[:, CENTRE, None].expand_as(neighbours), neighbours], dim=2)
        return at_least_float32(self.head(pairs.flatten(0, 1))).view(len(patches), 8, 8)

    def forward(self, patches: Tensor) -> Tensor:
        """Compute the cross-entropy; guessing gives log 8 = 2.08."""
        labels = torch.arange(8, device=patches.device).repeat(len(patches))
        return functional.cross_entropy(self.logits(patches).flatten(0, 1), labels)

    def update(self, progress: float) -> None:
        """Do nothing: there is no slow copy."""
