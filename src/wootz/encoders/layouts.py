"""Parameter names of other libraries, and which of ours they are."""

import re
from collections.abc import Callable
from dataclasses import dataclass

Rule = tuple[str, Callable[[re.Match[str]], str]]


@dataclass(frozen=True)
class Layout:
    """How a library names the parameters of an architecture.

    Parameters
    ----------
    library : str
    stem : str
        Its name of the weight that meets the pixels.
    rules : tuple of (pattern, function)
        The first pattern that a whole name matches gives our name; a name that none matches stays as it is.
    """

    library: str
    stem: str
    rules: tuple[Rule, ...] = ()

    def rename(self, key: str) -> str:
        """Return our name of the library's parameter `key`."""
        for pattern, name in self.rules:
            match = re.fullmatch(pattern, key)
            if match:
                return name(match)
        return key


def _stage(match: re.Match[str]) -> int:
    """Return the place of a stage in torchvision's ``features``, where what halves the map has its own."""
    return 2 * int(match["stage"]) + 1


def _convnext_part(places: dict[str, int]) -> Callable[[re.Match[str]], str]:
    return lambda m: f"features.{_stage(m)}.{m['block']}.block.{places[m['part']]}.{m['end']}"


_SCALE: Rule = (
    r"stages\.(?P<stage>\d)\.(blocks\.)?(?P<block>\d+)\.gamma",
    lambda m: f"features.{_stage(m)}.{m['block']}.layer_scale",
)
_TIMM_CONVNEXT = Layout(
    "timm",
    "stem.0.weight",
    (
        _SCALE,
        (r"stem\.(?P<place>[01])\.(?P<end>\w+)", lambda m: f"features.0.{m['place']}.{m['end']}"),
        (
            r"stages\.(?P<stage>\d)\.downsample\.(?P<place>[01])\.(?P<end>\w+)",
            lambda m: f"features.{2 * int(m['stage'])}.{m['place']}.{m['end']}",
        ),
        (
            r"stages\.(?P<stage>\d)\.blocks\.(?P<block>\d+)\.(?P<part>conv_dw|norm|mlp\.fc1|mlp\.fc2)\.(?P<end>\w+)",
            _convnext_part({"conv_dw": 0, "norm": 2, "mlp.fc1": 3, "mlp.fc2": 5}),
        ),
        (r"head\.norm\.(?P<end>\w+)", lambda m: f"classifier.0.{m['end']}"),
    ),
)
_AUTHORS_CONVNEXT = Layout(
    "the authors of ConvNeXt",
    "downsample_layers.0.0.weight",
    (
        _SCALE,
        (
            r"downsample_layers\.(?P<stage>\d)\.(?P<place>[01])\.(?P<end>\w+)",
            lambda m: f"features.{2 * int(m['stage'])}.{m['place']}.{m['end']}",
        ),
        (
            r"stages\.(?P<stage>\d)\.(?P<block>\d+)\.(?P<part>dwconv|norm|pwconv1|pwconv2)\.(?P<end>\w+)",
            _convnext_part({"dwconv": 0, "norm": 2, "pwconv1": 3, "pwconv2": 5}),
        ),
        (r"norm\.(?P<end>\w+)", lambda m: f"classifier.0.{m['end']}"),
    ),
)
_VIT_PARTS = {
    "ln_1.": "norm1.",
    "ln_2.": "norm2.",
    "self_attention.in_proj_": "attn.qkv.",
    "self_attention.out_proj.": "attn.proj.",
    "mlp.0.": "mlp.fc1.",
    "mlp.3.": "mlp.fc2.",
    "mlp.linear_1.": "mlp.fc1.",
    "mlp.linear_2.": "mlp.fc2.",
}
_TORCHVISION_VIT = Layout(
    "torchvision",
    "conv_proj.weight",
    (
        (r"conv_proj\.(?P<end>\w+)", lambda m: f"patch_embed.proj.{m['end']}"),
        (r"class_token", lambda m: "cls_token"),  # noqa: ARG005
        (r"encoder\.pos_embedding", lambda m: "pos_embed"),  # noqa: ARG005
        (r"encoder\.ln\.(?P<end>\w+)", lambda m: f"norm.{m['end']}"),
        (
            r"encoder\.layers\.encoder_layer_(?P<block>\d+)\.(?P<part>.*?)(?P<end>weight|bias)",
            lambda m: f"blocks.{m['block']}.{_VIT_PARTS.get(m['part'], m['part'])}{m['end']}",
        ),
    ),
)


_MONAI_SWIN = Layout("MONAI", "patch_embed.proj.weight", ((r".*", lambda m: f"swinViT.{m[0]}"),))


def layouts_of(name: str) -> tuple[Layout, ...]:
    """Return the layouts in which a checkpoint of an architecture may come."""
    match name.partition("_")[0]:
        case "convnext":
            return (Layout("torchvision", "features.0.0.weight"), _TIMM_CONVNEXT, _AUTHORS_CONVNEXT)
        case "vit":
            return (Layout("timm", "patch_embed.proj.weight"), _TORCHVISION_VIT)
        case "swin" | "swin24":
            return (_MONAI_SWIN,)
        case _:
            return (Layout("torchvision", "conv1.weight"),)
