"""Build, save and load an encoder: a one-channel ResNet whose file holds all that rebuilds it.

An encoder is plain ``torchvision`` ResNet parts under the same parameter names, so that a torchvision
checkpoint loads apart from its three-channel stem, but without the classifier and with five feature maps for
U-Net decoders and patch features.
"""

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv1x1

import wootz
from wootz import storage
from wootz.errors import CheckpointError
from wootz.options import check_choice

NAMES = ("small", "resnet18", "resnet50")
STRIDES = (2, 4, 8, 16, 32)
INTENSITY = "float32, (x - p0.1) / (p99.9 - p0.1) of the image, clipped to [-1, 2], one channel"
_FORMAT = "wootz-encoder"
_VERSION = 1


class Encoder(nn.Module):
    """A one-channel ResNet without its classifier.

    Attributes
    ----------
    name : str
        The name that `build_encoder` takes.
    channels : tuple of 5 int
        Channels of the feature maps at strides 2, 4, 8, 16 and 32.
    dim : int
        Length of the feature vector, ``channels[-1]``.

    Notes
    -----
    The stem (7 x 7 convolution and its batch norm) stays in float32 under autocast: bfloat16 has 8 bits of
    mantissa, which would round a 12- or 16-bit micrograph to fewer than 256 levels before the first layer.
    """

    def __init__(self, name: str, *, block: type[nn.Module], depths: tuple[int, ...], width: int) -> None:
        super().__init__()
        expansion: int = block.expansion  # type: ignore[assignment]
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
        """Return the maps at strides 2, 4, 8, 16 and 32, each (B, channels[i], H / stride, W / stride)."""
        with torch.autocast(x.device.type, enabled=False):
            stem = self.relu(self.bn1(self.conv1(x.float())))
        maps = [stem, self.layer1(self.maxpool(stem))]
        for layer in (self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return maps


def build_encoder(name: str, *, generator_seed: int | None = None) -> Encoder:
    """Build an encoder with random weights.

    Parameters
    ----------
    name : str
        ``"small"`` (one block per stage, half the width: an eighth of ResNet-18's work, for a CPU),
        ``"resnet18"`` or ``"resnet50"``.
    generator_seed : int, optional
        Seed of the weights; left out, they differ on each call. The global random state is not touched.

    Raises
    ------
    WootzError
        If the name is not known.

    Notes
    -----
    He initialisation, fan-out, as torchvision's.

    References
    ----------
    He et al. 2016, doi:10.1109/CVPR.2016.90; He et al. 2015, doi:10.1109/ICCV.2015.123.
    """
    check_choice("encoder", name, NAMES)
    with torch.device("meta"):  # no weights are drawn here, so the global random state stays as it was
        match name:
            case "small":
                encoder = Encoder(name, block=BasicBlock, depths=(1, 1, 1, 1), width=32)
            case "resnet18":
                encoder = Encoder(name, block=BasicBlock, depths=(2, 2, 2, 2), width=64)
            case _:
                encoder = Encoder(name, block=Bottleneck, depths=(3, 4, 6, 3), width=64)
    encoder.to_empty(device="cpu")
    generator = torch.Generator()
    if generator_seed is None:
        generator.seed()
    else:
        generator.manual_seed(generator_seed)
    _initialise(encoder, generator=generator)
    return encoder


def save_encoder(path: Path | str, encoder: Encoder, *, provenance: dict[str, Any]) -> None:
    """Write an encoder and where it comes from to one file, atomically.

    Parameters
    ----------
    path : Path
        File to write; an interrupted write leaves the old one as it was.
    encoder : Encoder
    provenance : dict
        What made the weights (method, resolved configuration, seed, fingerprint of the training tiles...),
        of types that JSON knows. ``wootz_version`` and ``intensity`` are added.
    """
    record = {"wootz_version": wootz.__version__, "intensity": INTENSITY, **provenance}
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "name": encoder.name,
        "provenance": json.dumps(record, default=str),
        "weights": {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()},
    }
    write_checkpoint(path, content)


def load_encoder(path: Path | str, *, expect: str | None = None) -> Encoder:
    """Rebuild an encoder from its file; every weight must fit.

    Parameters
    ----------
    path : Path
        File from `save_encoder`.
    expect : str, optional
        Architecture that the caller needs.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, no wootz encoder, of another architecture or made for another
        intensity scale.
    """
    content = _read_content(path)
    name, weights = content["name"], content["weights"]
    if expect is not None and name != expect:
        raise CheckpointError(
            f"{path} holds the encoder {name!r}, but {expect!r} is asked for; set encoder={name} or pass a "
            f"checkpoint of {expect!r}."
        )
    encoder = build_encoder(name, generator_seed=0)
    try:
        encoder.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1 if "\n" in str(error) else 0].strip()
        raise CheckpointError(
            f"{path} does not fit the encoder {name!r} ({first}); pretrain again with this version of wootz."
        ) from error
    return encoder


def encoder_provenance(path: Path | str) -> dict[str, Any]:
    """Return what made an encoder: architecture, version, intensity scale and the writer's own entries."""
    content = _read_content(path)
    return {"encoder": content["name"], **json.loads(content["provenance"])}


def encoder_fingerprint(path: Path | str) -> str:
    """Return the SHA-256 of an encoder file's architecture and weights (not of its provenance)."""
    content = _read_content(path)
    return weights_fingerprint(content["name"], content["weights"])


def weights_fingerprint(name: str, weights: dict[str, Tensor]) -> str:
    """Return the SHA-256 of an architecture's name and its weights, 64 hexadecimal digits."""
    digest = hashlib.sha256(name.encode())
    for key in sorted(weights):
        value = weights[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """Load a checkpoint of tensors and plain types without running code from it.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}; check the path, or make one: wootz pretrain.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen types here, by kind of damage
        raise CheckpointError(
            f"{path} is truncated or no checkpoint of wootz ({type(error).__name__}); copy it again or make "
            "a new one."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no checkpoint of wootz; it holds a {type(content).__name__}.")
    return content


def write_checkpoint(path: Path | str, content: dict[str, Any]) -> None:
    """Write tensors and plain types to a file, atomically."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    storage.write_bytes(Path(path), buffer.getbuffer())


def _read_content(path: Path | str) -> dict[str, Any]:
    content = read_checkpoint(path)
    if content.get("format") != _FORMAT or content.get("name") not in NAMES:
        raise CheckpointError(
            f"{path} is no wootz encoder of a known architecture ({', '.join(NAMES)}); pass the encoder.pt "
            "of a wootz pretrain run."
        )
    if content["version"] > _VERSION:
        raise CheckpointError(f"{path} was written by a newer wootz; update wootz to read it.")
    intensity = json.loads(content["provenance"]).get("intensity", INTENSITY)
    if intensity != INTENSITY:
        raise CheckpointError(f"{path} expects another intensity scale ({intensity}); pretrain again.")
    return content


def _stage(block: type[nn.Module], depth: int, widths: tuple[int, int], *, stride: int) -> nn.Sequential:
    """Build one stage as torchvision's ``ResNet._make_layer`` does, for any width."""
    n_in, planes = widths
    n_out: int = planes * block.expansion  # type: ignore[operator]
    shortcut = None
    if stride != 1 or n_in != n_out:
        shortcut = nn.Sequential(conv1x1(n_in, n_out, stride), nn.BatchNorm2d(n_out))
    blocks = [block(n_in, planes, stride, shortcut)]
    blocks += [block(n_out, planes) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


@torch.no_grad()
def _initialise(encoder: Encoder, *, generator: torch.Generator) -> None:
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
