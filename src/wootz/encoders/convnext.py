"""One-channel ConvNeXt in torchvision's parts and parameter names."""

import functools

import torch
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt, LayerNorm2d

from wootz.encoders.maps import PIXEL_CHANNELS, pad_to_multiple, pixels_at_half

LAYER_SCALE = 1e-6


class ConvNeXtEncoder(nn.Module):
    """A one-channel ConvNeXt without its classifier.

    Parameters
    ----------
    name : str
    depths, widths : tuple of 4 int
        Blocks and channels of each stage.

    Attributes
    ----------
    channels : tuple of 5 int
        Channels of the feature maps at strides 2, 4, 8, 16 and 32.
    dim : int
        Length of the feature vector, ``channels[-1]``.
    features, classifier : nn.Sequential
        As in torchvision; of the classifier only its layer norm is left.

    Notes
    -----
    The stem (4 x 4 convolution and its norm) stays in float32 under autocast. There is no stochastic depth:
    it would draw from the global random state, and runs would not resume bit for bit.

    References
    ----------
    Liu et al. 2022, doi:10.1109/CVPR52688.2022.01167, section 2 and table 9.
    """

    def __init__(self, name: str, *, depths: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        self.name = name
        self.channels = (PIXEL_CHANNELS, *widths)
        self.dim = widths[-1]
        outputs = (*widths[1:], None)
        stages = [
            CNBlockConfig(n, n_out, depth) for n, n_out, depth in zip(widths, outputs, depths, strict=True)
        ]
        norm = functools.partial(LayerNorm2d, eps=1e-6)
        self.features = ConvNeXt(stages, num_classes=1, norm_layer=norm).features
        self.features[0][0] = nn.Conv2d(1, widths[0], 4, stride=4)  # type: ignore[index,operator]
        self.classifier = nn.Sequential(norm(self.dim))

    def forward(self, x: Tensor) -> Tensor:
        """Average the last map over the tile and norm the mean, as torchvision does.

        Parameters
        ----------
        x : (B, 1, H, W) float32
            Pixels on the scale of `wootz.intensity.scale`.

        Returns
        -------
        (B, dim) float32
        """
        mean = self._stages(x)[-1].float().mean(dim=(2, 3), keepdim=True)
        return self.classifier(mean).flatten(1).float()

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Return maps at strides 2, 4, 8, 16 and 32, each (B, channels[i], ceil(H / stride), ...).

        ConvNeXt has no stride 2: there stand the pixels themselves (`pixels_at_half`). The others are the
        ends of the stages, the last one normed at each place by the norm that `forward` applies to its mean.
        """
        maps = self._stages(x)
        return [pixels_at_half(x), *maps[:-1], self.classifier(maps[-1])]

    def _stages(self, x: Tensor) -> list[Tensor]:
        """Return the ends of the four stages, of pixels extended to whole multiples of 32.

        A map of the extended pixels has ceil(H / stride) rows at stride 32, and is cut to as many at others.
        """
        height, width = x.shape[-2:]
        with torch.autocast(x.device.type, enabled=False):
            stream = self.features[0](pad_to_multiple(x.float(), 32))
        maps = []
        for i in range(1, 8):  # stages have odd places, what halves the map between them even ones
            stream = self.features[i](stream)
            if i % 2:
                stride = 2 ** (2 + i // 2)
                maps.append(stream[..., : -(-height // stride), : -(-width // stride)])
        return maps

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw all weights anew as the authors do: normal (.02), biases 0, layer scale 1e-6."""
        for key, parameter in self.named_parameters():
            if key.endswith("layer_scale"):
                parameter.fill_(LAYER_SCALE)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(0.0, 0.02, generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            elif isinstance(module, nn.LayerNorm):
                module.reset_parameters()
