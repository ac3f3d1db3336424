"""Checkpoints of tensors and plain types: read without running code from them, written atomically."""

import io
from pathlib import Path
from typing import Any

import torch

from wootz import storage
from wootz.errors import CheckpointError


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
