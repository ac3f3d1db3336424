"""One way to say where an encoder's first weights come from."""

from pathlib import Path
from typing import Any

from wootz.encoder_names import ENCODERS
from wootz.encoders.build import Encoder, build_encoder
from wootz.encoders.files import encoder_provenance, load_encoder
from wootz.encoders.foreign import adapt_checkpoint
from wootz.encoders.imagenet import imagenet_file

ENCODER_FILE = "encoder.pt"


def start_encoder(
    source: str, *, seed: int, normalisation: str = "imagenet"
) -> tuple[Encoder, dict[str, Any]]:
    """Build an encoder and give it its first weights.

    Parameters
    ----------
    source : str
        ``"random:NAME"``, ``"imagenet:NAME"`` (downloaded on first use), ``"NAME:FILE"`` for a checkpoint of
        another library (see `adapt_checkpoint`), or the path of a wootz encoder.
    seed : int
        Of random weights.
    normalisation : str
        What a three-channel checkpoint of another library was given.

    Returns
    -------
    encoder : Encoder
    about : dict
        ``encoder`` (its name), ``method`` and what else is known of the weights.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged or does not fit.
    WootzError
        If ImageNet weights cannot be downloaded, or the architecture is not known.
    """
    kind, _, rest = source.partition(":")
    if not is_source(source):
        return load_encoder(source), encoder_provenance(source)
    if kind == "random":
        return build_encoder(rest, generator_seed=seed), {"encoder": rest, "method": "random", "seed": seed}
    if kind == "imagenet":
        adapted = adapt_checkpoint(imagenet_file(rest), rest)
    else:
        adapted = adapt_checkpoint(rest, kind, normalisation=normalisation)
    method = "imagenet" if kind == "imagenet" else Path(rest).stem
    return adapted.encoder, {"encoder": adapted.encoder.name, "method": method, **adapted.provenance()}


def is_source(text: str) -> bool:
    """Say whether a text names weights as ``KIND:...`` does, rather than the file of a wootz encoder."""
    kind, _, rest = text.partition(":")
    return bool(rest) and kind in ("random", "imagenet", *ENCODERS)


def describe_start(about: dict[str, Any]) -> str:
    """Say in a few words where first weights come from, given what `start_encoder` tells of them."""
    if about["method"] == "random":
        return "random weights"
    words = f"{about['method']} ({about.get('library', 'wootz')})"
    if "n_used" in about:
        left = ", ".join(about["unused"][:4]) + (" ..." if about["n_unused"] > 4 else "")
        words += f": {about['n_used']} entries used" + (f", left out {left}" if left else "")
    return words


def find_start(init: str, name: str, *, runs: Path | None = None) -> str:
    """Turn ``init=`` of a pretraining into what `start_encoder` takes.

    Parameters
    ----------
    init : str
        ``"random"``, ``"imagenet"``, the id of a run under `runs`, its folder, or a checkpoint file of wootz
        or another library.
    name : str
        Architecture.
    runs : Path, optional
        Folder of the archive's runs.
    """
    if init in ("random", "imagenet"):
        return f"{init}:{name}"
    folders = [Path(init)] if runs is None else [runs / init, Path(init)]
    for folder in folders:
        if (folder / ENCODER_FILE).is_file():
            return f"{name}:{folder / ENCODER_FILE}"
    return f"{name}:{init}"
