"""One-channel ResNets in torchvision's parts and parameter names."""

import math

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1


class ResNetEncoder(nn.Module):
    """A one-channel ResNet without its classifier.

    Parameters
    ----------
    name : str
    bottleneck : bool
        Blocks of ResNet-50 instead of those of ResNet-18 and 34.
    depths : tuple of 4 int
        Blocks per stage.
    width : int
        Channels of the stem; 64 in the paper.

    Attributes
    ----------
    channels : tuple of 5 int
        Channels of the feature maps at strides 2, 4, 8, 16 and 32.
    dim : int
        Length of the feature vector, ``channels[-1]``.

    References
    ----------
    He et al. 2016, doi:10.1109/CVPR.2016.90, table 1.
    """

    def __init__(self, name: str, *, bottleneck: bool, depths: tuple[int, ...], width: int) -> None:
        super().__init__()
        block = Bottleneck if bottleneck else BasicBlock
        expansion: int = block.expansion
        self.name = name
        self.channels = (width, *(width * 2**stage * expansion for stage in range(4)))
        self.dim = self.channels[-1]
        self.conv1 = nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs = (width, *self.channels[1:])
        stages = [_stage(block, depths[i], (inputs[i], width * 2**i), stride=min(i + 1, 2)) for i in range(4)]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

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
        """Return the maps at strides 2, 4, 8, 16 and 32, each (B, channels[i], H / stride, W / stride).

        The stem (7 x 7 convolution and its batch norm) stays in float32 under autocast.
        """
        with torch.autocast(x.device.type, enabled=False):
            stem = self.relu(self.bn1(self.conv1(x.float())))
        maps = [stem, self.layer1(self.maxpool(stem))]
        for layer in (self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return maps

    @torch.no_grad()
    def draw_weights(self, generator: torch.Generator) -> None:
        """Draw all weights anew: He initialisation, fan-out, as torchvision's.

        References
        ----------
        He et al. 2015, doi:10.1109/ICCV.2015.123, section 2.2.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
                module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()


def _stage(
    block: type[BasicBlock] | type[Bottleneck], depth: int, widths: tuple[int, int], *, stride: int
) -> nn.Sequential:
    """Build one stage as torchvision's ``ResNet._make_layer`` does, for any width."""
    n_in, planes = widths
    n_out = planes * block.expansion
    shortcut = None
    if stride != 1 or n_in != n_out:
        shortcut = nn.Sequential(conv1x1(n_in, n_out, stride), nn.BatchNorm2d(n_out))
    blocks = [block(n_in, planes, stride, shortcut)]
    blocks += [block(n_out, planes) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)
