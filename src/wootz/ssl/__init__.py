"""Self-supervised pretraining: tiles without labels in, an encoder and embeddings out."""

import importlib
from typing import Any

_EXPORTS = {  # a submodule becomes an attribute of its package, so none may share a function's name
    "BYOLConfig": "methods.options",
    "EmbedConfig": "config",
    "LensConfig": "lens_options",
    "MoCoConfig": "methods.options",
    "MoCoV3Config": "methods.options",
    "VICRegConfig": "methods.options",
    "SwaVConfig": "methods.options",
    "DINOConfig": "methods.options",
    "DenseCLConfig": "methods.options",
    "PIRLConfig": "methods.pretext_options",
    "CPCConfig": "methods.pretext_options",
    "RelPatchConfig": "methods.pretext_options",
    "GapFillConfig": "methods.pretext_options",
    "MAEConfig": "methods.pretext_options",
    "PretrainConfig": "config",
    "ProbeConfig": "shortcut_options",
    "ProbeReport": "shortcut_report",
    "SamplingConfig": "sampling_options",
    "SimCLRConfig": "methods.options",
    "EmbedResult": "embedding",
    "embed": "embedding",
    "embed_arrays": "embedding",
    "alignment": "monitors",
    "alpha_req": "monitors",
    "feature_std": "monitors",
    "lidar": "monitors",
    "method_options": "methods.names",
    "rankme": "monitors",
    "uniformity": "monitors",
    "PretrainResult": "pretraining",
    "pretrain": "pretraining",
    "knn_probe": "probes",
    "probe": "shortcut_report",
    "linear_probe": "probes",
}
__all__ = [*_EXPORTS]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import an exported name on first use, so that importing the package does not import torch."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
