"""Turn tiles into feature vectors with a frozen encoder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from wootz.encoders import INTENSITY, Encoder, weights_fingerprint
from wootz.encoders.features import embed_arrays
from wootz.encoders.start import ENCODER_FILE, is_source, start_encoder
from wootz.errors import CheckpointError, WootzError
from wootz.progress import track
from wootz.ssl.config import EmbedConfig
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
    encoder, about = find_encoder(archive, cfg.encoder, seed=cfg.seed)
    name = cfg.name or about["method"]
    # raises before an hour of computing if the name belongs to another encoder
    todo = np.flatnonzero(~pd.Index(tiles.tile_ids).isin(_stored(archive, name, about)))
    encoder.to(device_name()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _embed_shards(tiles, encoder, todo, name=name, cfg=cfg, about={**about, "run": run.id})
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
        "give encoder=FILE or encoder=random:small."
    )


def _stored(archive: "Archive", name: str, about: dict[str, Any]) -> np.ndarray:
    if name not in archive.embedding_names():
        return np.zeros(0, object)
    old = archive.embedding_provenance(name)
    if old.get("encoder_fingerprint") != about["encoder_fingerprint"]:
        raise WootzError(
            f"the embedding {name!r} was made by another encoder; choose a new name: "
            f"`wootz embed {archive.path} name=NEW encoder=...`."
        )
    return archive.embedding_ids(name)


def _embed_shards(
    tiles: "TileSet",
    encoder: Encoder,
    todo: np.ndarray,
    *,
    name: str,
    cfg: EmbedConfig,
    about: dict[str, Any],
) -> None:
    """Embed the rows `todo`, and store a shard whenever it is full."""
    batches = [todo[start : start + cfg.batch_size] for start in range(0, len(todo), cfg.batch_size)]
    ids = tiles.tile_ids
    held: list[np.ndarray] = []
    first = done = 0
    pixels = prefetch(tiles.scaled, batches)
    for rows, batch in zip(
        batches, track(pixels, title="embed", total=len(batches), unit="batches"), strict=True
    ):
        held.append(embed_arrays(batch, encoder, batch_size=cfg.batch_size))
        done += len(rows)
        if done - first >= cfg.shard_rows or done == len(todo):
            archive_rows = ids[todo[first:done]].tolist()
            tiles.archive.add_embedding(name, archive_rows, np.concatenate(held), about)
            held, first = [], done
