"""Batched augmentation of electron micrographs, on the device, with an independent draw per sample."""

import importlib
from typing import Any

_EXPORTS = {
    "AugmentConfig": "config",
    "CLEAN": "config",
    "PRESETS": "presets",
    "preset": "presets",
    "random_view": "views",
    "random_views": "views",
    "two_views": "views",
    "view_with": "views",
    "Settings": "settings",
    "draw_settings": "settings",
    "no_changes": "settings",
    "random_crop": "geometry",
    "sample_affine": "geometry",
    "context_px": "geometry",
    "shadow": "topography",
    "brightness_ramp": "topography",
    "curtain": "milling",
    "charging": "charge",
    "defocus": "beam",
    "shift_rows": "scan",
    "row_shifts": "scan",
    "scan_lines": "scan",
    "shot_noise": "detector",
    "gain_offset_gamma": "detector",
    "lose_pixels": "dropout",
    "lose_lines": "dropout",
    "exchange_amplitudes": "exchange",
    "exchange_histogram": "exchange",
}
__all__ = [*_EXPORTS]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import an exported name on first use, so that importing the package does not import torch."""
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
