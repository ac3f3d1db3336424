"""Measurements with units and intervals: layer thickness, area fractions, particles."""

from importlib import import_module
from typing import Any

_EXPORTS = {
    "CoatingConfig": "config",
    "FractionsConfig": "config",
    "MeasureConfig": "config",
    "ObjectsConfig": "config",
    "ParticlesConfig": "config",
    "AreaFraction": "fractions",
    "area_fraction": "fractions",
    "Interval": "intervals",
    "block_interval": "intervals",
    "bootstrap_interval": "intervals",
    "ratio_interval": "intervals",
    "student_interval": "intervals",
    "MeasureReport": "adapter",
    "measure": "adapter",
    "ObjectCount": "counts",
    "count_objects": "counts",
    "ParticleResult": "particle",
    "particles": "particle",
    "class_region": "regions",
    "LayerThickness": "thickness",
    "layer_thickness": "thickness",
}
__all__ = list(_EXPORTS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(f"wootz.measure.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'wootz.measure' has no attribute {name!r}")
