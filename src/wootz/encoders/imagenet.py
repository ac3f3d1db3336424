"""ImageNet weights by name, for users who are online; torchvision's files, checked."""

import hashlib
import re
import sys
from pathlib import Path

import torch

from wootz.errors import CheckpointError, WootzError

IMAGENET = ("resnet18", "resnet34", "resnet50", "convnext_t")


def imagenet_url(name: str) -> str:
    """Return where torchvision keeps the ImageNet weights of an architecture.

    Raises
    ------
    WootzError
        If torchvision has none for it.
    """
    from torchvision import models

    match name:
        case "resnet18":
            return models.ResNet18_Weights.IMAGENET1K_V1.url
        case "resnet34":
            return models.ResNet34_Weights.IMAGENET1K_V1.url
        case "resnet50":
            return models.ResNet50_Weights.IMAGENET1K_V1.url
        case "convnext_t":
            return models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1.url
    raise WootzError(
        f"there are no ImageNet weights for {name} that can be had by name; choose one of "
        f"{', '.join(IMAGENET)}, or give a checkpoint file of {name}."
    )


def imagenet_file(name: str) -> Path:
    """Return the file of ImageNet weights, downloaded on first use into torch's own folder.

    Raises
    ------
    WootzError
        If torchvision has no such weights, or they are not there and cannot be downloaded; the message says
        which file to fetch and where to put it.
    CheckpointError
        If the file is not the one that its name promises: torchvision's names end in the first digits of the
        SHA-256.
    """
    url = imagenet_url(name)
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    prefix = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if prefix is None:
        raise ValueError(f"{url} does not carry its checksum")
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), prefix[1], progress=sys.stderr.isatty())
        except OSError as error:
            raise WootzError(
                f"the ImageNet weights of {name} could not be downloaded ({error}). On a computer that "
                f"is online fetch {url} and put it at {path}; or start from other weights."
            ) from error
        except RuntimeError as error:
            raise CheckpointError(f"{url} arrived damaged ({error}); try again.") from error
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(prefix[1]):
        raise CheckpointError(f"{path} is damaged (its SHA-256 is another); delete it and fetch {url} again.")
    return path
