"""Self-supervised pretraining: tiles without labels in, an encoder and embeddings out."""

import importlib
from typing import Any

_EXPORTS = {
    "BYOLConfig": "config",
    "EmbedConfig": "config",
    "MoCoConfig": "config",
    "PretrainConfig": "config",
    "SimCLRConfig": "config",
    "EmbedResult": "embed",
    "embed": "embed",
    "embed_arrays": "embed",
    "feature_std": "monitors",
    "rankme": "monitors",
    "PretrainResult": "pretrain",
    "pretrain": "pretrain",
    "knn_probe": "probes",
}
__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    """Import an exported name on first use, so that importing the package does not import torch."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
