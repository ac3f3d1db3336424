"""The encoder that an embedding was made with, found again by its fingerprint."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wootz.encoders.build import Encoder
from wootz.encoders.files import weights_fingerprint
from wootz.encoders.start import ENCODER_FILE, is_source, start_encoder
from wootz.errors import WootzError

if TYPE_CHECKING:
    from wootz.archive import Archive


def recall_encoder(archive: "Archive", embedding: str) -> Encoder | None:
    """Load the encoder of an embedding.

    Parameters
    ----------
    archive : Archive
    embedding : str

    Returns
    -------
    Encoder or None
        None where it is not at hand any more, or the embedding came from elsewhere.

    Notes
    -----
    Looked for where the run that made the embedding took it from, then among the pretraining runs of the
    archive. Only weights with the fingerprint of the embedding count.
    """
    about = archive.embedding_provenance(embedding)
    wanted = about.get("encoder_fingerprint")
    for source, seed in _sources(archive.path / "runs", str(about.get("run", ""))):
        try:
            encoder, _ = start_encoder(source, seed=seed)
        except WootzError:
            continue
        if weights_fingerprint(encoder.name, encoder.state_dict()) == wanted:
            return encoder
    return None


def _sources(runs: Path, embed_run: str) -> Iterator[tuple[str, int]]:
    """List (source, seed) as `start_encoder` takes them, likeliest first."""
    record = runs / embed_run / "run.json"
    if embed_run and record.is_file():
        config = json.loads(record.read_text(encoding="utf-8")).get("config", {})
        choice, seed = str(config.get("encoder", "")), int(config.get("seed") or 0)
        if is_source(choice) or (choice and Path(choice).is_file()):
            yield choice, seed
    for file in sorted(runs.glob(f"*/{ENCODER_FILE}"), reverse=True):
        yield str(file), 0
