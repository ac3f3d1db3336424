"""A U-Net whose encoder is any wootz encoder and whose decoder is that of segmentation-models-pytorch."""

import torch
from torch import Tensor, nn

from wootz.encoders import Encoder

DECODER_CHANNELS = (256, 128, 64, 32, 16)  # of segmentation-models-pytorch, beside encoders 64 wide


class UNet(nn.Module):
    """Encoder, U-Net decoder and a 3 x 3 convolution to class logits.

    Parameters
    ----------
    encoder : Encoder
    n_classes : int, >= 2
    """

    def __init__(self, encoder: Encoder, *, n_classes: int) -> None:
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

        super().__init__()
        channels = decoder_channels(encoder.channels)
        self.encoder = encoder
        self.decoder = UnetDecoder(
            encoder_channels=(1, *encoder.channels), decoder_channels=channels, n_blocks=5
        )
        self.head = nn.Conv2d(channels[-1], n_classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) float32 logits of (B, 1, H, W) float32 pixels, of any H and W >= 32."""
        decoded = self.decoder([x, *self.encoder.feature_maps(x)])
        with torch.autocast(x.device.type, enabled=False):
            return self.head(decoded.float())


def decoder_channels(channels: tuple[int, ...]) -> tuple[int, ...]:
    """Return the decoder's channels for an encoder with maps of these channels, fine to coarse.

    A decoder of fixed width would take nine tenths of the work of a U-Net on the small encoder. The wider of
    the two finest maps counts, for that at stride 2 is four channels of pixels in a ViT or ConvNeXt.
    """
    width = min(64, max(channels[:2]))
    return tuple(max(16, channels * width // 64) for channels in DECODER_CHANNELS)


def build_unet(encoder: Encoder, *, n_classes: int, seed: int) -> UNet:
    """Build a U-Net with decoder weights drawn from `seed`; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(encoder, n_classes=n_classes)
