"""Scenes with exact truth: recipe (distributions) -> scene (geometry in µm) -> image, masks, numbers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wootz.synthetic.composing import compose
    from wootz.synthetic.config import RenderConfig
    from wootz.synthetic.drawing import Rendered, draw
    from wootz.synthetic.recipe import CLASS_IDS, CLASSES, Recipe, read_recipe
    from wootz.synthetic.recipes import RECIPES, build_recipe, demo_recipe
    from wootz.synthetic.rendering import RenderReport, render
    from wootz.synthetic.scene import Scene, read_scene

_HOME = {
    "CLASSES": "recipe",
    "CLASS_IDS": "recipe",
    "RECIPES": "recipes",
    "Recipe": "recipe",
    "RenderConfig": "config",
    "RenderReport": "rendering",
    "Rendered": "drawing",
    "Scene": "scene",
    "build_recipe": "recipes",
    "compose": "composing",
    "demo_recipe": "recipes",
    "draw": "drawing",
    "read_recipe": "recipe",
    "read_scene": "scene",
    "render": "rendering",
}

__all__ = [
    "CLASSES",
    "CLASS_IDS",
    "RECIPES",
    "Recipe",
    "RenderConfig",
    "RenderReport",
    "Rendered",
    "Scene",
    "build_recipe",
    "compose",
    "demo_recipe",
    "draw",
    "read_recipe",
    "read_scene",
    "render",
]


def __getattr__(name: str) -> Any:
    """Import an exported name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
