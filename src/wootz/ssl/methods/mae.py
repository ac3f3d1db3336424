"""MAE: show a ViT a quarter of the patches of a tile and let a small decoder paint the others."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wootz.augment.config import CLEAN
from wootz.encoders.maps import pad_to_multiple
from wootz.encoders.vit import NORM_EPS, Block, sine_positions
from wootz.errors import WootzError
from wootz.ssl.methods.fits import require_vit
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.methods.pretext_options import MAEConfig
from wootz.ssl.views import TileBatch

MIN_STD = 0.01  # of full scale; below it a patch is blank and its noise counts less
MIN_PATCHES = 4


class MAE(nn.Module):
    """ViT on the visible patches, transformer decoder on all.

    Notes
    -----
    Targets are counted in standard deviations of each hidden patch: painting its mean gives a loss of about
    1, whatever its contrast. Other than in the paper (1e-6), the variance has a floor of .01 of full scale
    squared: on photographs no patch is blank, on micrographs many are, and their noise cannot be foretold.

    References
    ----------
    He et al. 2022, doi:10.1109/CVPR52688.2022.01553, section 3, table 1d (normalised targets).
    """

    def __init__(self, encoder: nn.Module, cfg: MAEConfig) -> None:
        super().__init__()
        require_vit(
            encoder,
            method="mae",
            why="it leaves hidden patches out, and only a plain ViT takes any subset of patches",
        )
        dim: int = encoder.dim  # type: ignore[assignment]
        patch_px: int = encoder.patch_px  # type: ignore[assignment]
        self.patch_px = patch_px
        self.mask_frac = cfg.mask_frac
        self.encoder = encoder
        self.decoder = PatchPainter(dim, cfg.decoder_dim, depth=cfg.decoder_depth, n_pixels=patch_px**2)

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw a view (B, 1, out, out) of each tile and an order (B, N) of its patches, visible first."""
        view = batch.view(**CLEAN)
        n_patches = (-(-view.shape[-1] // self.patch_px)) ** 2
        if n_patches < MIN_PATCHES:
            raise WootzError(
                f"views of {view.shape[-1]} px hold {n_patches} patches of {self.patch_px} px, too few to "
                f"hide some; set augment.out_px={6 * self.patch_px} or more."
            )
        order = torch.rand(len(view), n_patches, generator=batch.generator).argsort(dim=1)
        return view, order.to(view.device)

    def n_visible(self, n_patches: int) -> int:
        """Return how many of the patches are shown: at least one, and not all."""
        return min(max(round((1 - self.mask_frac) * n_patches), 1), n_patches - 1)

    def latent(self, view: Tensor, visible: Tensor) -> Tensor:
        """Encode the patches `visible` (B, n) of views alone: (B, 1 + n, dim), class token first."""
        tokens: Tensor = self.encoder.tokens(view)  # type: ignore[operator]
        kept = tokens.gather(1, visible[..., None].expand(-1, -1, tokens.shape[2]))
        return self.encoder.attend(kept)  # type: ignore[operator]

    def forward(self, view: Tensor, order: Tensor) -> Tensor:
        """Compute the mean squared error over the hidden patches.

        Parameters
        ----------
        view : (B, 1, H, W)
        order : (B, N) int64
            A permutation of the patches of each tile, counted row by row; the first `n_visible` are shown.
        """
        n_visible = self.n_visible(order.shape[1])
        n_rows = -(-view.shape[-2] // self.patch_px)
        painted = self.decoder(self.latent(view, order[:, :n_visible]), order, n_rows=n_rows)
        targets = standardised_patches(view, self.patch_px)
        hidden = order[:, n_visible:, None].expand(-1, -1, targets.shape[2])
        return (at_least_float32(painted) - targets.gather(1, hidden)).square().mean()

    def update(self, progress: float) -> None:
        """Do nothing: there is no slow copy."""


class PatchPainter(nn.Module):
    """Transformer on visible tokens and, for each hidden patch, one learned token with its position.

    Parameters
    ----------
    dim : int
        Of the encoder's tokens.
    width : int, divisible by 32
    depth : int
        Blocks.
    n_pixels : int
        Of a patch.
    """

    def __init__(self, dim: int, width: int, *, depth: int, n_pixels: int) -> None:
        super().__init__()
        self.width = width
        self.embed = nn.Linear(dim, width)
        self.hidden_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.blocks = nn.ModuleList([Block(width, width // 32) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.paint = nn.Linear(width, n_pixels)

    def forward(self, latent: Tensor, order: Tensor, *, n_rows: int) -> Tensor:
        """Paint the hidden patches, in the order given.

        Parameters
        ----------
        latent : (B, 1 + n, dim)
            Class token, then the first n patches of the order.
        order : (B, N) int64
        n_rows : int
            Rows of the square grid of patches.

        Returns
        -------
        (B, N - n, n_pixels)
        """
        known = self.embed(latent)
        n_known = known.shape[1]
        positions = sine_positions(n_rows, self.width).to(known.device)[order].to(known.dtype)
        unknown = self.hidden_token.to(known.dtype).expand(len(known), 1 + order.shape[1] - n_known, -1)
        patches = torch.cat([known[:, 1:], unknown], dim=1) + positions
        stream = torch.cat([known[:, :1], patches], dim=1)
        for block in self.blocks:
            stream = block(stream)
        return self.paint(self.norm(stream[:, n_known:]))


def standardised_patches(view: Tensor, patch_px: int) -> Tensor:
    """Cut views (B, 1, H, W) into patches (B, N, patch_px^2) of mean 0 and, if not blank, variance 1."""
    patches = functional.unfold(pad_to_multiple(view, patch_px), patch_px, stride=patch_px).transpose(1, 2)
    centred = patches - patches.mean(dim=2, keepdim=True)
    return centred / (centred.square().mean(dim=2, keepdim=True) + MIN_STD**2).sqrt()
