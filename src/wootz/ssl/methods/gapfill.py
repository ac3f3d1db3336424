"""Gap filling: hide blocks of a tile and paint them from what is left; masked autoencoding for CNNs."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wootz.augment.config import CLEAN
from wootz.errors import WootzError
from wootz.ssl.methods.fits import require_cnn
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.methods.pretext_options import GapFillConfig
from wootz.ssl.views import TileBatch

MIN_STD = 0.01  # of full scale; below it a tile is blank and its gaps count less
STRIDE = 4  # of the finest map that the decoder uses


class GapFill(nn.Module):
    """Encoder with all its feature maps and a small decoder that paints pixels.

    Notes
    -----
    The gaps are filled with the mean of the visible pixels and noise of their spread, so that neither a grey
    level nor a smooth patch marks them. Targets are counted in standard deviations of the visible pixels:
    painting their mean gives a loss of about 1, whatever the contrast of the tile. Shot noise of the picture
    itself cannot be foretold and stays in the loss. The adversarial part of the paper is left out, as the
    paper does where it learns features.

    References
    ----------
    Pathak et al. 2016, doi:10.1109/CVPR.2016.278, equation 1, section 3.3 (random blocks).
    """

    def __init__(self, encoder: nn.Module, cfg: GapFillConfig) -> None:
        super().__init__()
        require_cnn(
            encoder,
            method="gapfill",
            why="blocks that are painted over suit convolutions, which see across their borders; a "
            "transformer sees whole patches, and a ViT can leave the hidden ones out for less work",
        )
        channels: tuple[int, ...] = encoder.channels  # type: ignore[assignment]
        self.mask_frac = cfg.mask_frac
        self.block_px = cfg.block_px
        self.encoder = encoder
        self.decoder = Painter(channels[-4:], cfg.decoder_dim)

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw a view of each tile and hide blocks of it: seen, target and mask, each (B, 1, out, out)."""
        view = batch.view(**CLEAN)
        mask = block_mask(
            len(view),
            view.shape[-1],
            block_px=self.block_px,
            mask_frac=self.mask_frac,
            generator=batch.generator,
        ).to(view.device)
        return hide(view, mask, generator=batch.generator)

    def forward(self, seen: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Compute the mean squared error over hidden pixels, averaged over tiles.

        Parameters
        ----------
        seen : (B, 1, H, W)
            Tiles with their gaps painted over.
        target : (B, 1, H, W)
            In standard deviations from the mean; read under the mask only.
        mask : (B, 1, H, W) bool
            True where hidden; some pixels of each tile are.
        """
        painted = at_least_float32(self.decoder(self.encoder.feature_maps(seen), seen.shape[-2:]))  # type: ignore[operator]
        error = torch.where(mask, painted - target, 0.0).square().sum(dim=(1, 2, 3))
        return (error / mask.sum(dim=(1, 2, 3))).mean()

    def update(self, progress: float) -> None:
        """Do nothing: there is no slow copy."""


class Painter(nn.Module):
    """Top-down pyramid over maps at strides 4, 8, 16 and 32, then 4 x 4 pixels for each place.

    Parameters
    ----------
    channels : tuple of int
        Of the maps, fine to coarse.
    width : int

    References
    ----------
    Lin et al. 2017, doi:10.1109/CVPR.2017.106 (pyramid); Shi et al. 2016, doi:10.1109/CVPR.2016.207 (pixels).
    """

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList([nn.Conv2d(n, width, 1) for n in channels])
        self.smooth = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in channels[1:]])
        self.paint = nn.Conv2d(width, STRIDE**2, 3, padding=1)

    def forward(self, maps: list[Tensor], size: torch.Size) -> Tensor:
        """Paint (B, 1, *size) from the maps of an encoder, of which the last ones are used."""
        levels = [lateral(m) for lateral, m in zip(self.laterals, maps[-len(self.laterals) :], strict=True)]
        top = levels[-1]
        for finer, smooth in zip(levels[-2::-1], self.smooth, strict=True):
            top = functional.interpolate(top, size=finer.shape[-2:], mode="bilinear")
            top = functional.relu(smooth(top + finer))
        pixels = functional.pixel_shuffle(self.paint(top), STRIDE)
        return pixels[:, :, : size[0], : size[1]]


def block_mask(
    n: int, side_px: int, *, block_px: int, mask_frac: float, generator: torch.Generator
) -> Tensor:
    """Hide the same number of blocks of a grid in each of `n` views, at random places.

    Returns
    -------
    (n, 1, side_px, side_px) bool
        True where hidden. At least one block is hidden and one visible.

    Raises
    ------
    WootzError
        If a view holds fewer than four blocks.
    """
    n_side = -(-side_px // block_px)
    if n_side < 2:
        raise WootzError(
            f"views of {side_px} px hold no gaps of {block_px} px beside visible parts; set "
            f"method.block_px={max(4, side_px // 6)} or a larger augment.out_px."
        )
    n_hidden = min(max(round(mask_frac * n_side**2), 1), n_side**2 - 1)
    rank = torch.rand(n, n_side**2, generator=generator).argsort(dim=1).argsort(dim=1)
    blocks = (rank < n_hidden).view(n, 1, n_side, n_side)
    whole = blocks.repeat_interleave(block_px, dim=2).repeat_interleave(block_px, dim=3)
    return whole[:, :, :side_px, :side_px]


def hide(view: Tensor, mask: Tensor, *, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Paint over the masked pixels of views (B, 1, H, W) and return what is seen, the target and the mask."""
    visible = ~mask
    count = visible.sum(dim=(1, 2, 3), keepdim=True)
    mean = torch.where(visible, view, 0.0).sum(dim=(1, 2, 3), keepdim=True) / count
    variance = torch.where(visible, view - mean, 0.0).square().sum(dim=(1, 2, 3), keepdim=True) / count
    noise = _normal_like(view, generator=generator)
    seen = torch.where(mask, mean + variance.sqrt() * noise, view)
    return seen, (view - mean) / (variance + MIN_STD**2).sqrt(), mask


def _normal_like(view: Tensor, *, generator: torch.Generator) -> Tensor:
    """Draw standard normal pixels on the view's own device, from a seed that a CPU generator gives."""
    seed = int(torch.randint(2**62, (), generator=generator))
    own = torch.Generator(view.device).manual_seed(seed)
    return torch.randn(view.shape, generator=own, device=view.device, dtype=view.dtype)
