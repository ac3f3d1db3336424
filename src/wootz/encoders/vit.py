"""A one-channel vision transformer that also runs on a part of its patches, for masked autoencoding."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wootz.encoders.maps import PIXEL_CHANNELS, crop_to_stride, pad_to_multiple, pixels_at_half
from wootz.encoders.positions import resample_positions, sine_positions

NORM_EPS = 1e-6


class ViTEncoder(nn.Module):
    """A vision transformer in timm's parameter names, without its classifier.

    Parameters
    ----------
    name : str
    dim : int, divisible by 4 and by `heads`
        Width of a token.
    depth : int, >= 4
        Number of blocks.
    heads : int
    grid : int
        Side, in patches, of the grid for which positions are stored; other grids interpolate them.
    patch_px : int
        Side of a patch: 16, or smaller in tests of code that works on tokens (`feature_maps` needs 16).

    Attributes
    ----------
    patch_px, dim : int
    channels : tuple of 5 int
        Channels of the feature maps at strides 2, 4, 8, 16 and 32.
    patch_embed.proj : nn.Conv2d
    pos_embed : (1, 1 + grid**2, dim)
        Learned; the first row belongs to the class token.
    cls_token : (1, 1, dim)
    blocks : nn.ModuleList
    norm : nn.LayerNorm

    Notes
    -----
    `tokens` turns pixels into patch tokens that carry their positions, `attend` runs the class token and any
    subset of them through blocks and norm. A masked autoencoder therefore reads::

        tokens = vit.tokens(x)                                        # (B, N, dim), row by row
        kept = tokens.gather(1, rows[..., None].expand(-1, -1, vit.dim))  # rows (B, n): visible patches
        latent = vit.attend(kept)                                     # (B, 1 + n, dim), class token first

    The feature vector is the mean of the patch tokens after the norm, for a micrograph is a texture rather
    than an object; the class token takes part in the attention (networks trained elsewhere need theirs).
    Patch embedding and positions stay in float32 under autocast. There is no dropout.

    References
    ----------
    Dosovitskiy et al. 2021, arXiv:2010.11929, equations 1 to 4; Touvron et al. 2021, arXiv:2012.12877, table
    1 (ViT-S).
    """

    def __init__(
        self, name: str, *, dim: int, depth: int, heads: int, grid: int = 14, patch_px: int = 16
    ) -> None:
        super().__init__()
        if dim % 4 or dim % heads or depth < 4:
            raise ValueError(f"dim={dim} must be divisible by 4 and heads={heads}, depth={depth} at least 4")
        self.name = name
        self.dim = dim
        self.patch_px = patch_px
        self.grid = grid
        self.channels = (PIXEL_CHANNELS, dim, dim, dim, dim)
        self.patch_embed = PatchEmbedding(dim, patch_px)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + grid**2, dim))
        self.blocks = nn.ModuleList([Block(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Average the patch tokens of the last block, normed, over the tile.

        Parameters
        ----------
        x : (B, 1, H, W) float32
            Pixels on the scale of `wootz.intensity.scale`.

        Returns
        -------
        (B, dim) float32
        """
        return _at_least_float32(self.attend(self.tokens(x))[:, 1:]).mean(dim=1)

    def tokens(self, x: Tensor) -> Tensor:
        """Embed patches and add their positions.

        Parameters
        ----------
        x : (B, 1, H, W) float32
            Extended by border pixels where a side is no multiple of `patch_px`.

        Returns
        -------
        (B, N, dim) float32
            One token a patch, row by row.
        """
        with torch.autocast(x.device.type, enabled=False):
            patches = self.patch_embed(pad_to_multiple(x, self.patch_px))
            return patches.flatten(2).transpose(1, 2) + self._positions(*patches.shape[-2:])

    def attend(self, tokens: Tensor) -> Tensor:
        """Run the class token and patch tokens, all or some, through blocks and norm.

        Parameters
        ----------
        tokens : (B, n, dim) float32
            From `tokens`; in any order, for they carry their positions.

        Returns
        -------
        (B, 1 + n, dim)
            The class token first.
        """
        stream = self._with_class_token(tokens)
        for block in self.blocks:
            stream = block(stream)
        return self.norm(stream)

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Return maps at strides 2, 4, 8, 16 and 32, each (B, channels[i], ceil(H / stride), ...).

        A ViT has one stride. At stride 2 stand the pixels themselves (`pixels_at_half`); at 4, 8 and 16 the
        tokens after a quarter, half and three quarters of the blocks, layer-normed without parameters and
        enlarged bilinearly; at 32 the normed tokens of the last block, averaged over 2 x 2. No parameter is
        added.

        References
        ----------
        Ranftl et al. 2021, arXiv:2103.13413, section 3.1 (tokens of several depths as maps).
        """
        if self.patch_px != 16:
            raise ValueError(f"feature maps need patches of 16 px, not {self.patch_px}")
        tokens = self.tokens(x)
        height, width = x.shape[-2:]
        rows, depth = -(-height // self.patch_px), len(self.blocks)
        taps = {depth * part // 4 - 1: stride for part, stride in ((1, 4), (2, 8), (3, 16))}
        stream = self._with_class_token(tokens)
        maps = [pixels_at_half(x)]
        for i, block in enumerate(self.blocks):
            stream = block(stream)
            if i in taps:
                normed = functional.layer_norm(stream[:, 1:], (self.dim,), eps=NORM_EPS)
                grown = _enlarge(_as_map(normed, rows), self.patch_px // taps[i])
                maps.append(crop_to_stride(grown, (height, width), stride=taps[i]))
        last = _as_map(self.norm(stream)[:, 1:], rows)
        maps.append(functional.avg_pool2d(last, 2, ceil_mode=True))
        return maps

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw all weights anew: Xavier uniform, positions from sines and cosines, class token normal .02.

        References
        ----------
        He et al. 2022, arXiv:2111.06377, appendix A; Chen et al. 2021, arXiv:2104.02057, section 4.
        """
        for key, module in self.named_modules():
            if isinstance(module, nn.Linear):
                for part in module.weight.chunk(3 if key.endswith("qkv") else 1):  # three matrices in one
                    nn.init.xavier_uniform_(part, generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.flatten(1), generator=generator)
        nn.init.zeros_(self.patch_embed.proj.bias)  # type: ignore[arg-type]
        self.cls_token.normal_(0.0, 0.02, generator=generator)
        self.pos_embed.zero_()
        self.pos_embed[:, 1:] = sine_positions(self.grid, self.dim)

    def _with_class_token(self, tokens: Tensor) -> Tensor:
        first = self.cls_token + self.pos_embed[:, :1]
        return torch.cat([first.expand(len(tokens), -1, -1), tokens], dim=1)

    def _positions(self, rows: int, cols: int) -> Tensor:
        return resample_positions(self.pos_embed[:, 1:], rows, cols)


class PatchEmbedding(nn.Module):
    """One linear map of the pixels of each patch."""

    def __init__(self, dim: int, patch_px: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, dim, patch_px, stride=patch_px)

    def forward(self, x: Tensor) -> Tensor:
        """Turn (B, 1, H, W) into (B, dim, H / patch, W / patch)."""
        return self.proj(x.to(self.proj.weight.dtype))


class Attention(nn.Module):
    """Multi-head self-attention between tokens."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, N, dim)."""
        n, n_tokens, dim = x.shape
        qkv = self.qkv(x).view(n, n_tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*qkv.unbind(0))
        return self.proj(mixed.transpose(1, 2).reshape(n, n_tokens, dim))


class Perceptron(nn.Module):
    """Two linear layers with a GELU between them, four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token of (B, N, dim) alone."""
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and perceptron, each on normed tokens and added to them."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Perceptron(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, N, dim)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def _as_map(tokens: Tensor, rows: int) -> Tensor:
    """Lay (B, rows * cols, dim) tokens out as (B, dim, rows, cols)."""
    return tokens.transpose(1, 2).unflatten(2, (rows, -1))


def _enlarge(x: Tensor, factor: int) -> Tensor:
    return functional.interpolate(x, scale_factor=factor, mode="bilinear") if factor > 1 else x


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
