"""The file of an encoder: written whole or not at all, read strictly, with where it comes from."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import wootz
from wootz.encoder_names import ENCODERS
from wootz.encoders.build import Encoder, build_encoder
from wootz.encoders.checkpoints import read_checkpoint, write_checkpoint
from wootz.errors import CheckpointError

INTENSITY = "float32, (x - p1) / (p99 - p1) of the image, bent into [-1, 2] outside [0, 1], one channel"
FORMAT = "wootz-encoder"
_VERSION = 1


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
        "format": FORMAT,
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


def _read_content(path: Path | str) -> dict[str, Any]:
    content = read_checkpoint(path)
    if content.get("format") != FORMAT or content.get("name") not in ENCODERS:
        raise CheckpointError(
            f"{path} is no wootz encoder of a known architecture ({', '.join(ENCODERS)}); pass the "
            "encoder.pt of a wootz pretrain run."
        )
    if content["version"] > _VERSION:
        raise CheckpointError(f"{path} was written by a newer wootz; update wootz to read it.")
    intensity = json.loads(content["provenance"]).get("intensity", INTENSITY)
    if intensity != INTENSITY:
        raise CheckpointError(f"{path} expects another intensity scale ({intensity}); pretrain again.")
    return content
