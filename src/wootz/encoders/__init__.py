"""Build, save and load an encoder: a one-channel network whose file holds all that rebuilds it.

Every encoder is an ``nn.Module`` of one of the families below (`Encoder` is their union) with

- ``name``: what `build_encoder` takes,
- ``channels``: five numbers, of the feature maps at strides 2, 4, 8, 16 and 32,
- ``dim``: length of the feature vector,
- ``forward(x)``: (B, 1, H, W) pixels on the scale of `wootz.intensity.scale` to (B, dim) float32,
- ``feature_maps(x)``: five maps, each (B, channels[i], ceil(H / stride), ceil(W / stride)).

Parameters carry the names of the network that each is known by (torchvision's ResNet and ConvNeXt, timm's
ViT, MONAI's Swin). The layer that meets the pixels computes in float32 under autocast: bfloat16 has 8 bits of
mantissa, which would round a 12- or 16-bit micrograph to fewer than 256 levels.
"""

from wootz.encoder_names import ENCODERS as NAMES
from wootz.encoders.build import Encoder, build_encoder, seeded
from wootz.encoders.checkpoints import read_checkpoint, write_checkpoint
from wootz.encoders.convnext import ConvNeXtEncoder
from wootz.encoders.files import (
    INTENSITY,
    encoder_fingerprint,
    encoder_provenance,
    load_encoder,
    save_encoder,
    weights_fingerprint,
)
from wootz.encoders.maps import STRIDES
from wootz.encoders.resnet import ResNetEncoder
from wootz.encoders.swin import SwinEncoder
from wootz.encoders.vit import ViTEncoder

__all__ = [
    "INTENSITY",
    "NAMES",
    "STRIDES",
    "ConvNeXtEncoder",
    "Encoder",
    "ResNetEncoder",
    "SwinEncoder",
    "ViTEncoder",
    "build_encoder",
    "encoder_fingerprint",
    "encoder_provenance",
    "load_encoder",
    "read_checkpoint",
    "save_encoder",
    "seeded",
    "weights_fingerprint",
    "write_checkpoint",
]
