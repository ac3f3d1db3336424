"""Take the weights of another library's checkpoint for one of our encoders, all of them or none."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wootz.encoder_names import NORMALISATIONS
from wootz.encoders.build import Encoder, build_encoder
from wootz.encoders.files import FORMAT, load_encoder
from wootz.encoders.grey import grey_stem
from wootz.encoders.layouts import Layout, layouts_of
from wootz.encoders.positions import resample_positions
from wootz.errors import CheckpointError
from wootz.options import check_choice

_MAY_LACK = ("num_batches_tracked", "relative_position_index", "classifier.0.weight", "classifier.0.bias")
_FOLLOWS = ("teacher", "ema", "momentum")  # slow copies, which are better than what they follow


@dataclass(frozen=True)
class Adapted:
    """An encoder with the weights of a file, and what was taken.

    Parameters
    ----------
    encoder : Encoder
    library : str
        Whose parameter names the file has.
    normalisation : str
        Folded into the stem; ``"none"`` for a one-channel file.
    used, unused : tuple of str
        Entries of the file.
    kept : tuple of str
        Entries of the encoder that the file lacks and that may stay as they are: counters, the last norm.
    fingerprint : str
        SHA-256 of the file.
    """

    encoder: Encoder
    library: str
    normalisation: str
    used: tuple[str, ...]
    unused: tuple[str, ...]
    kept: tuple[str, ...]
    fingerprint: str

    def provenance(self) -> dict[str, Any]:
        """Return what an encoder's file should say of its start."""
        return {
            "library": self.library,
            "normalisation": self.normalisation,
            "n_used": len(self.used),
            "n_unused": len(self.unused),
            "unused": list(self.unused[:20]),
            "kept": list(self.kept),
            "file_sha256": self.fingerprint,
        }


def adapt_checkpoint(path: Path | str, name: str, *, normalisation: str = "imagenet") -> Adapted:
    """Load a checkpoint of torchvision, timm, MONAI (Swin) or wootz into a one-channel encoder.

    Parameters
    ----------
    path : Path
        ``.pt``, ``.pth``, ``.bin`` or ``.safetensors``: a state dict, alone or within other things, with or
        without prefixes such as ``module.`` or ``backbone.``. Of several networks in a file the slow copy
        (teacher, ema) is taken, else the first.
    name : str
        Architecture, see `build_encoder`.
    normalisation : str
        What a three-channel network was given, see `wootz.encoders.grey.grey_stem`. A one-channel one is
        taken as it is.

    Raises
    ------
    CheckpointError
        If the file is missing or unreadable, or an entry of the encoder is not in it in the right shape (save
        counters and the norm behind the last map of a ConvNeXt): there is no start from half the weights.

    Notes
    -----
    Position codes of a ViT for another grid are interpolated.
    """
    check_choice("normalisation", normalisation, NORMALISATIONS)
    content = _read(Path(path))
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if content.get("format") == FORMAT:
        encoder = load_encoder(path, expect=name)
        keys = tuple(encoder.state_dict())
        return Adapted(encoder, "wootz", "none", used=keys, unused=(), kept=(), fingerprint=digest)
    encoder = build_encoder(name, generator_seed=0)
    own = encoder.state_dict()
    entries = dict(_tensors(content))
    layout, origin = _choose(entries, own, name)
    taken = {key: entries[source] for key, source in origin.items()}
    stem = layout.rename(layout.stem)
    is_grey = taken[stem].shape[1] == 1
    _fit_stem(taken, stem, normalisation=normalisation)
    taken = {key: _fit_shape(key, value, own[key]) for key, value in taken.items()}
    _check_whole(path, name, taken=taken, own=own)
    encoder.load_state_dict({**own, **taken}, strict=True)
    return Adapted(
        encoder,
        layout.library,
        "none" if is_grey else normalisation,
        used=tuple(origin.values()),
        unused=tuple(key for key in entries if key not in set(origin.values())),
        kept=tuple(key for key in own if key not in taken),
        fingerprint=digest,
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}; check the path or the id of the run.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise a dozen types here, by kind of damage
        raise CheckpointError(
            f"{path} is damaged or holds more than tensors ({type(error).__name__}); copy it again, or load "
            "it with the program that wrote it and keep the weights alone: "
            "torch.save(model.state_dict(), FILE)."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__} where named weights are expected.")
    return content


def _tensors(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors of nested dicts, names joined by dots."""
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping):
            yield from _tensors(value, f"{prefix}{key}.")


def _choose(
    entries: dict[str, Tensor], own: Mapping[str, Tensor], name: str
) -> tuple[Layout, dict[str, str]]:
    """Find the layout and prefix under which the file holds most of the encoder: our key to the file's."""
    best: tuple[Layout, dict[str, str]] | None = None
    rank = (0, False)
    for layout in layouts_of(name):
        ends = [key for key in entries if f".{key}".endswith(f".{layout.stem}")]
        for prefix in (key.removesuffix(layout.stem) for key in ends):
            inside = [key for key in entries if key.startswith(prefix)]
            origin = {layout.rename(key.removeprefix(prefix)): key for key in inside}
            origin = {key: source for key, source in origin.items() if key in own}
            this = (len(origin), any(word in prefix for word in _FOLLOWS))
            if this > rank:
                best, rank = (layout, origin), this
    if best is None:
        stems = ", ".join(layout.stem for layout in layouts_of(name))
        raise CheckpointError(
            f"the checkpoint holds no weights of {name} (nothing is called {stems}); pass a file of this "
            "architecture, or set encoder= to that of the file."
        )
    return best


def _fit_stem(taken: dict[str, Tensor], stem: str, *, normalisation: str) -> None:
    """Make the stem one-channel, in place; what its constant term is taken from is its bias or batch norm."""
    if taken[stem].ndim != 4 or taken[stem].shape[1] != 3:
        return
    taken[stem], offset = grey_stem(taken[stem].float(), normalisation=normalisation)
    bias = stem.removesuffix("weight") + "bias"
    if bias in taken:
        taken[bias] = taken[bias] - offset
    elif "bn1.running_mean" in taken:
        taken["bn1.running_mean"] = taken["bn1.running_mean"] + offset


def _fit_shape(key: str, value: Tensor, own: Tensor) -> Tensor:
    """Drop or add axes of length 1 (a 1 x 1 convolution is a linear map), interpolate positions."""
    if key == "pos_embed" and value.ndim == 3 and value.shape != own.shape and value.shape[2] == own.shape[2]:
        return _fit_positions(value, own)
    if [n for n in value.shape if n > 1] == [n for n in own.shape if n > 1]:
        return value.reshape(own.shape)
    return value


def _fit_positions(value: Tensor, own: Tensor) -> Tensor:
    """Interpolate positions from another grid; those without a row for the class token get zeros there."""
    n, side = value.shape[1], math.isqrt(own.shape[1] - 1)
    if math.isqrt(n) ** 2 == n:
        first, rest = torch.zeros_like(value[:, :1]), value
    else:
        first, rest = value[:, :1], value[:, 1:]
    if math.isqrt(rest.shape[1]) ** 2 != rest.shape[1]:
        return value
    return torch.cat([first, resample_positions(rest, side, side)], dim=1)


def _check_whole(path: Path | str, name: str, *, taken: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise `CheckpointError` unless all that the encoder needs has been taken, in its shape."""
    needed = [key for key in own if not key.endswith(_MAY_LACK)]
    missing = [key for key in needed if key not in taken]
    other = [key for key, value in taken.items() if value.shape != own[key].shape]
    if not missing and not other:
        return

    def some(keys: list[str]) -> str:
        return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")

    parts = [f"{len(missing)} missing: {some(missing)}"] if missing else []
    parts += [f"{len(other)} of other shapes: {some(other)}"] if other else []
    fitting = len(needed) - len(missing) - len(other)
    raise CheckpointError(
        f"{path} fits the encoder {name!r} in {fitting} of {len(needed)} entries only ({'; '.join(parts)}); "
        "pass a checkpoint of this architecture. wootz starts from all weights or from none."
    )
