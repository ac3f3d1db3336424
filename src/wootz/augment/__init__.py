"""Batched augmentation of electron micrographs, on the device, with an independent draw per sample."""

import importlib
from typing import Any

_EXPORTS = {
    "AugmentConfig": "config",
    "preset": "config",
    "random_view": "views",
    "two_views": "views",
    "random_crop": "geometry",
    "sample_affine": "geometry",
    "context_px": "geometry",
    "defocus": "beam",
    "shot_noise": "detector",
    "scan_lines": "detector",
    "gain_offset_gamma": "detector",
}
__all__ = [*_EXPORTS]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import an exported name on first use, so that importing the package does not import torch."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
