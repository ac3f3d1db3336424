"""Turn tiles into feature vectors with a frozen encoder, or a filter bank."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from wootz.coarser import coarser
from wootz.encoders import INTENSITY, Encoder, weights_fingerprint
from wootz.encoders.apply import embed_arrays
from wootz.encoders.start import ENCODER_FILE, is_source, start_encoder
from wootz.errors import CheckpointError, WootzError
from wootz.progress import track
from wootz.samescale import SameScale
from wootz.ssl.config import EmbedConfig
from wootz.ssl.filterencoder import FILTERS, filtered_tiles, find_filters, is_filters
from wootz.ssl.kernelmap import KernelMap
from wootz.training import device_name, prefetch

if TYPE_CHECKING:
    from wootz.archive import Archive
    from wootz.tiles import TileSet


@dataclass(frozen=True)
class EmbedResult:
    """What `embed` stored."""

    name: str
    encoder: str
    n_tiles: int
    n_new: int
    dim: int
    rankme: float

    def summary(self) -> str:
        """Describe the embedding in a line or two."""
        return (
            f"embedding {self.name}: {self.n_tiles} tiles x {self.dim} features, {self.n_new} of them new, "
            f"by {self.encoder}; RankMe {self.rankme:.1f}"
        )


def embed(tiles: "TileSet", cfg: EmbedConfig, *, run: Any) -> EmbedResult:
    """Compute and store the features of tiles; those that are stored already are passed over.

    Parameters
    ----------
    tiles : TileSet
    cfg : EmbedConfig
    run : Run
        Its id is noted in the provenance.

    Raises
    ------
    CheckpointError
        If the encoder's file or run does not exist or does not load.
    ArchiveError
        If the name holds features of another encoder.
    """
    from wootz.ssl.monitors import rankme

    if len(tiles) == 0:
        raise WootzError("there are no tiles to embed; ingest images, or make smaller tiles.")
    archive = tiles.archive
    if is_filters(archive, cfg.encoder):
        if cfg.pixel_size_nm is not None:
            raise WootzError("pixel_size_nm is for networks; filters see each field in its own pixels.")
        name, folder = cfg.name or FILTERS, Path(run.folder)
        kernel_map, about = find_filters(tiles, cfg.encoder, name=name, seed=cfg.seed, folder=folder)
        describe = functools.partial(_filtered, tiles, kernel_map)
    else:
        encoder, about = find_encoder(archive, cfg.encoder, seed=cfg.seed)
        name, downscale = cfg.name or about["method"], int(about.get("downscale", 1))
        describe = functools.partial(_encoded, tiles, encoder, cfg=cfg, downscale=downscale)
    if cfg.pixel_size_nm is not None:
        about["pixel_size_nm"] = cfg.pixel_size_nm
        about["scale_fingerprint"] = f"{cfg.pixel_size_nm:.9g} nm"
    # raises before an hour of computing if the name belongs to another encoder
    todo = np.flatnonzero(~pd.Index(tiles.tile_ids).isin(_stored(archive, name, about)))
    about["run"] = run.id
    _store_shards(archive, describe(todo), ids=tiles.tile_ids, name=name, cfg=cfg, about=about)
    seen = tiles.embedding_sample(name, 2048)
    return EmbedResult(name, about["encoder"], len(tiles), len(todo), seen.shape[1], rankme(seen))


def find_encoder(archive: "Archive", choice: str, *, seed: int) -> tuple[Encoder, dict[str, Any]]:
    """Load the encoder that a user names, and say where it comes from.

    Parameters
    ----------
    archive : Archive
    choice : str
        A file, the id of a run in the archive, ``"random:NAME"`` for random weights or what else
        `wootz.encoders.start.start_encoder` takes, or empty for the newest pretraining run.
    seed : int
        Of random weights.
    """
    source = choice if is_source(choice) else str(encoder_file(archive, choice))
    encoder, about = start_encoder(source, seed=seed)
    about.setdefault("method", "unknown")
    about["encoder_fingerprint"] = weights_fingerprint(encoder.name, encoder.state_dict())
    about["intensity"] = INTENSITY
    return encoder, about


def encoder_file(archive: "Archive", choice: str) -> Path:
    """Find the encoder file of a path, a run id or, for an empty choice, the newest finished pretraining."""
    folder = archive.path / "runs"
    if choice:
        of_run = folder / choice / ENCODER_FILE
        return of_run if of_run.is_file() else Path(choice)
    runs = archive.runs
    pretrained = runs[runs["command"] == "pretrain"]["run"].tolist()
    for run_id in reversed(pretrained):
        if (folder / run_id / ENCODER_FILE).is_file():
            return folder / run_id / ENCODER_FILE
    raise CheckpointError(
        f"{archive.path} has no finished pretraining run; make one with `wootz pretrain {archive.path}`, or "
        "give encoder=filters, which needs none, encoder=FILE or encoder=random:small."
    )


def _stored(archive: "Archive", name: str, about: dict[str, Any]) -> np.ndarray:
    if name not in archive.embedding_names():
        return np.zeros(0, object)
    old = archive.embedding_provenance(name)
    kinds = {"encoder_fingerprint": "by another encoder", "scale_fingerprint": "at another pixel size"}
    for key, what in kinds.items():
        if old.get(key) != about.get(key):
            raise WootzError(
                f"the embedding {name!r} was made {what}; choose a new name: "
                f"`wootz embed {archive.path} name=NEW encoder=...`."
            )
    return archive.embedding_ids(name)


Part = tuple[np.ndarray, np.ndarray]


def _encoded(
    tiles: "TileSet", encoder: Encoder, todo: np.ndarray, *, cfg: EmbedConfig, downscale: int
) -> Iterator[Part]:
    """Pass tiles through a network: rows and their features, a batch at a time.

    An encoder that was trained on shrunk tiles sees them shrunk.
    """
    encoder.to(device_name()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = [todo[start : start + cfg.batch_size] for start in range(0, len(todo), cfg.batch_size)]
    if downscale > 1 and cfg.pixel_size_nm is not None:
        raise WootzError(
            f"this encoder was trained on tiles shrunk {downscale} times; leave out pixel_size_nm."
        )
    size_nm = cfg.pixel_size_nm
    source = coarser(tiles, downscale) if size_nm is None else SameScale(tiles, size_nm)
    pixels = track(prefetch(source.scaled, batches), title="embed", total=len(batches), unit="batches")
    for rows, batch in zip(batches, pixels, strict=True):
        yield rows, embed_arrays(batch, encoder, batch_size=cfg.batch_size)


def _filtered(tiles: "TileSet", kernel_map: KernelMap, todo: np.ndarray) -> Iterator[Part]:
    """Describe tiles by filters: rows and their features, an image at a time."""
    total = tiles.columns(["image_id"])["image_id"].iloc[todo].nunique()
    for rows, described in track(filtered_tiles(tiles, todo), title="embed", total=total, unit="images"):
        yield rows, kernel_map(described)


def _store_shards(
    archive: "Archive",
    parts: Iterable[Part],
    *,
    ids: np.ndarray,
    name: str,
    cfg: EmbedConfig,
    about: dict[str, Any],
) -> None:
    """Store features in shards, each whenever it is full; the last may be smaller."""
    rows: list[np.ndarray] = []
    features: list[np.ndarray] = []

    def store() -> None:
        if rows:
            archive.add_embedding(name, ids[np.concatenate(rows)].tolist(), np.concatenate(features), about)
            rows.clear()
            features.clear()

    for own, part in parts:
        rows.append(own)
        features.append(part)
        if sum(map(len, rows)) >= cfg.shard_rows:
            store()
    store()
