"""A head of tile classes as a file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wootz.classheads import ClassHead
from wootz.errors import CheckpointError

CLASS_HEAD = "wootz-classes"
_VERSION = 1
_ARRAYS = ("mean", "scale", "weights", "bias")


def save_class_head(path: Path | str, head: ClassHead, *, about: Mapping[str, Any]) -> None:
    """Write a head to one file, atomically.

    Parameters
    ----------
    path : Path
    head : ClassHead
    about : mapping
        Plain values: ``embedding`` that it reads, ``embedding_fingerprint``, ``column``, where the labels
        come from.
    """
    import torch

    from wootz.encoders import write_checkpoint

    content: dict[str, Any] = {
        "format": CLASS_HEAD,
        "version": _VERSION,
        "class_names": list(head.class_names),
        "temperature": head.temperature,
        "strength": head.strength,
        "about": json.dumps(dict(about), default=str),
    }
    content |= {name: torch.from_numpy(np.ascontiguousarray(getattr(head, name))) for name in _ARRAYS}
    write_checkpoint(path, content)


def load_class_head(path: Path | str) -> tuple[ClassHead, dict[str, Any]]:
    """Read a head and what was written with it.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated or no head of classes.
    """
    from wootz.encoders import read_checkpoint

    content = read_checkpoint(path)
    if content.get("format") != CLASS_HEAD or content.get("version") != _VERSION:
        raise CheckpointError(
            f"{path} is no head of tile classes of this wootz; train one: "
            "wootz finetune ARCHIVE task=classify."
        )
    arrays = {name: content[name].numpy() for name in _ARRAYS}
    head = ClassHead(
        tuple(content["class_names"]),
        temperature=float(content["temperature"]),
        strength=float(content["strength"]),
        **arrays,
    )
    return head, json.loads(content["about"])
