"""One-channel, two-dimensional Swin transformer: MONAI's own module, so that SwinUNETR takes its weights."""

import math

import torch
from torch import Tensor, nn


class SwinEncoder(nn.Module):
    """The ``swinViT`` part of MONAI's SwinUNETR for one channel in two dimensions.

    Parameters
    ----------
    name : str
    feature_size : int, divisible by 12
        Channels at stride 2; 48 in the published SwinUNETR.
    depths, heads : tuple of 4 int
        Blocks and attention heads of each stage; MONAI's own by default.

    Attributes
    ----------
    channels : tuple of 5 int
        Channels of the feature maps at strides 2, 4, 8, 16 and 32.
    dim : int
        Length of the feature vector, ``channels[-1]``.
    swinViT : monai.networks.nets.swin_unetr.SwinTransformer

    Notes
    -----
    All parameters are called ``swinViT.*``: ``SwinUNETR(in_channels=1, out_channels=C, feature_size=48,
    spatial_dims=2).load_state_dict(encoder.state_dict(), strict=False)`` leaves none of them over, and misses
    only those of the decoder. MONAI embeds patches of 2 x 2 pixels (not 4 x 4 as the paper), which gives all
    five strides. Maps are layer-normed without parameters, as SwinUNETR's decoder takes them. The patch
    embedding stays in float32 under autocast. There is no dropout.

    References
    ----------
    Liu et al. 2021, doi:10.1109/ICCV48922.2021.00986; Hatamizadeh et al. 2022, arXiv:2201.01266.
    """

    def __init__(
        self,
        name: str,
        *,
        feature_size: int,
        depths: tuple[int, ...] = (2, 2, 2, 2),
        heads: tuple[int, ...] = (3, 6, 12, 24),
    ) -> None:
        from monai.networks.nets.swin_unetr import SwinTransformer

        super().__init__()
        self.name = name
        self.channels = tuple(feature_size * 2**stage for stage in range(5))
        self.dim = self.channels[-1]
        with torch.device("cpu"):  # it reads back tensors that it has made, which have no values on "meta"
            self.swinViT = SwinTransformer(
                in_chans=1,
                embed_dim=feature_size,
                window_size=(7, 7),
                patch_size=(2, 2),
                depths=depths,
                num_heads=heads,
                spatial_dims=2,
            )

    def forward(self, x: Tensor) -> Tensor:
        """Average the last feature map over the tile.

        Parameters
        ----------
        x : (B, 1, H, W) float32
            Pixels on the scale of `wootz.intensity.scale`.

        Returns
        -------
        (B, dim) float32
        """
        return self.feature_maps(x)[-1].float().mean(dim=(2, 3))

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Return the maps at strides 2, 4, 8, 16 and 32, each (B, channels[i], ceil(H / stride), ...)."""
        swin = self.swinViT
        with torch.autocast(x.device.type, enabled=False):
            stream = swin.patch_embed(x.float())
        maps = [swin.proj_out(stream, normalize=True)]
        for layer in (swin.layers1[0], swin.layers2[0], swin.layers3[0], swin.layers4[0]):
            stream = layer(stream.contiguous())
            maps.append(swin.proj_out(stream, normalize=True))
        return maps

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw all weights anew: linear maps and position biases normal (.02), biases 0.

        The patch embedding sees four pixels only; its weights have the variance 1 / 4, so that its output is
        about as large as its input.
        """
        for key, parameter in self.named_parameters():
            if key.endswith("relative_position_bias_table"):
                parameter.normal_(0.0, 0.02, generator=generator)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(0.0, 0.02, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d):
                module.weight.normal_(0.0, 1 / math.sqrt(module.weight[0].numel()), generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
