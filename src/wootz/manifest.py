"""manifest.json, the only commit point of an archive.

It lists the files that count, with length and SHA-256; replacing it (one atomic rename) commits everything
written since the last one (`wootz.store`). It carries a checksum of its own and a format version.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from wootz import storage
from wootz.errors import ArchiveError

FORMAT = "wootz archive"
VERSION = 3  # 1 checked pixels with SHA-256, 2 kept the 0.1 and 99.9 percentile of each field
NAME = "manifest.json"


def create(root: Path) -> None:
    """Make an empty archive in a new or empty folder."""
    if root.exists() and not root.is_dir():
        raise ArchiveError(f"{root} is a file; give the name of a folder for the archive.")
    if (root / NAME).exists():
        return
    # hidden files are let pass: a killed `create` leaves a temporary one
    strangers = (
        [path.name for path in root.iterdir() if not path.name.startswith(".")] if root.exists() else []
    )
    if any(name != "README.txt" for name in strangers):
        raise ArchiveError(
            f"{root} holds other files ({strangers[0]}, ...) and is no archive; give a new or empty folder."
        )
    with storage.disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    storage.write_bytes(root / "README.txt", README.encode())
    start = {"format": FORMAT, "version": VERSION, "created": now(), "serial": 0, "tables": {}}
    write_manifest(root / NAME, start | {"shards": [], "embeddings": {}, "grid": None})


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check a manifest.

    Raises
    ------
    ArchiveError
        If it is damaged, of another format, or of another version.
    """
    try:
        manifest = json.loads(path.read_bytes())
        checksum = manifest.pop("sha256")
        intact = checksum == hashlib.sha256(storage.json_bytes(manifest)).hexdigest()
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ArchiveError(f"{path} is damaged ({error}); restore it from a backup.") from error
    if manifest.get("format") != FORMAT:
        raise ArchiveError(f"{path} belongs to something else than a wootz archive; check the path.")
    if manifest["version"] > VERSION:
        raise ArchiveError(
            f"{path.parent} was written by a newer wootz (format {manifest['version']}, this one knows "
            f"{VERSION}); update wootz: `pip install -U wootz`."
        )
    if manifest["version"] < VERSION:
        raise ArchiveError(
            f"{path.parent} was written by an early wootz (format {manifest['version']}, this one reads "
            f"{VERSION}); ingest its images again into a new archive."
        )
    if not intact:
        raise ArchiveError(f"{path} is damaged (its checksum does not fit); restore it from a backup.")
    return manifest


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest with its own checksum."""
    from wootz import __version__

    manifest = manifest | {"changed": now(), "wootz": __version__}
    checksum = hashlib.sha256(storage.json_bytes(manifest)).hexdigest()
    storage.write_json(path, manifest | {"sha256": checksum})


def listed_files(root: Path, manifest: dict[str, Any]) -> Iterator[Path]:
    """Name every file that counts, those of the masks and maps tables included."""
    for parts in manifest["tables"].values():
        yield from (root / part["file"] for part in parts)
    yield from (root / shard["file"] for shard in manifest["shards"])
    for embedding in manifest["embeddings"].values():
        for shard in embedding["shards"]:
            yield root / shard["features"]["file"]
            yield root / shard["ids"]["file"]
    for table in ("masks", "maps"):
        for part in manifest["tables"].get(table, []):
            frame = pd.read_parquet(root / part["file"], columns=["file"])
            yield from (root / file for file in frame["file"])


def now() -> str:
    """Give the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


README = """\
This folder is a wootz archive: electron micrographs, tables and results. It can be read without wootz.

manifest.json   which files count, with their lengths and SHA-256 checksums; all others are leftovers. The
                pixels of each field have an XXH3-128 of their own in the images table (xxhsum -H2)
tables/         Parquet: images, tiles, classes, masks, objects, measurements, ... (several parts of one
                table stand one below the other)
pixels/         whole fields, one after the other, in 1-D .npy files: the row of a field in the images table
                names its shard, offset (in pixels), height_px and width_px, so that
                numpy.load(shard, mmap_mode="r")[offset:offset + height * width].reshape(height, width)
                is its image as recorded, without the info bar
embeddings/     per name: (N, D) float32 .npy files, each with a Parquet file of its N tile_ids
masks/          PNG, class numbers, 255 = not labelled; the masks table names image, scheme and source
maps/           float32 .npy maps, such as anomaly heat maps
log/            operations of the expert, one JSON object per line
runs/           one folder per computation: run.json holds its configuration, seed, inputs and outputs
"""
