"""Finding files of an archive that are not what was written, and setting them aside.

Nothing is thrown away: damaged files move to ``damaged/``, and what hung on them leaves the tables. Images
that are lost stand in the set-aside list, so that the next ingest of the same folders reads them again; since
ids come from the pixels, tiles, masks and labels then fit again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from wootz import storage
from wootz.errors import ArchiveError
from wootz.fields import check_field, open_shard, read_field
from wootz.intake import note_set_aside
from wootz.store import Store, Transaction
from wootz.tables import records

COLUMNS = ["file", "what", "problem"]


def find_damage(store: Store, *, deep: bool) -> pd.DataFrame:
    """List damaged files (see `Archive.check`)."""
    found: list[tuple[str, str, str]] = []
    manifest = store.manifest
    for name, parts in manifest["tables"].items():
        found += [(part["file"], f"table {name}", p) for part in parts if (p := _problem(store.root, part))]
    for name, embedding in manifest["embeddings"].items():
        for shard in embedding["shards"]:
            for record in (shard["features"], shard["ids"]):
                if problem := _problem(store.root, record):
                    found.append((record["file"], f"embedding {name}", problem))
    bad_tables = {what.removeprefix("table ") for _, what, _ in found}
    for name in {"masks", "maps"} - bad_tables:
        for row in records(store.table(name)):
            if problem := _problem(store.root, row):
                found.append((row["file"], name, problem))
    if "images" not in bad_tables:
        found += _lost_fields(store, deep=deep)
    return pd.DataFrame(found, columns=COLUMNS)


def repair(store: Store, *, deep: bool) -> pd.DataFrame:
    """Set damaged parts aside in one commit (see `Archive.repair`); returns what `find_damage` found."""
    with store.transaction() as transaction:
        found = find_damage(store, deep=deep)
        tables = found[found["what"].str.startswith("table ")]
        for file, name in zip(tables["file"], tables["what"].str.removeprefix("table "), strict=True):
            parts = transaction.change()["tables"]
            parts[name] = [part for part in parts[name] if part["file"] != file]
        _drop_embedding_shards(transaction, set(found["file"]))
        for name in ("masks", "maps"):
            table = store.table(name)
            stays = ~table["file"].isin(found.loc[found["what"] == name, "file"])
            if not stays.all():
                transaction.replace_table(name, table[stays])
        if len(tables):  # with those parts gone, the fields of the others can be looked at
            found = pd.concat([found, find_damage(store, deep=deep)]).drop_duplicates(ignore_index=True)
        _drop_images(transaction, found[found["what"].str.startswith("image ")])
        files = set(found.loc[~found["what"].str.startswith("image "), "file"])
    for file in sorted(files):
        _move(store.root, file)
    return found


def _lost_fields(store: Store, *, deep: bool) -> list[tuple[str, str, str]]:
    shards = {record["file"]: record for record in store.manifest["shards"]}
    lost = []
    for file, rows in store.table("images").groupby("shard", sort=False):
        path = store.root / str(file)
        shard = open_shard(path, shards[str(file)])
        for row in records(rows):
            if row["offset"] + row["height_px"] * row["width_px"] > len(shard):
                lost.append((row["file"], f"image {row['image_id']}", f"its pixels in {file} are cut off"))
            elif deep:
                try:
                    check_field(read_field(shard, row), row["pixels_xxh3_128"], name=row["file"], path=path)
                except ArchiveError:
                    lost.append((row["file"], f"image {row['image_id']}", f"its pixels in {file} differ"))
    return lost


def _problem(root: Path, record: Mapping[str, Any]) -> str:
    path = root / record["file"]
    if not path.exists():
        return "gone"
    n_bytes = path.stat().st_size
    if n_bytes != record["bytes"]:
        return f"{n_bytes} bytes instead of {record['bytes']}"
    return "" if storage.hash_file(path) == record["sha256"] else "its content differs"


def _drop_embedding_shards(transaction: Transaction, damaged: set[str]) -> None:
    for name, embedding in list(transaction.manifest["embeddings"].items()):
        sound = [
            shard
            for shard in embedding["shards"]
            if not {shard["features"]["file"], shard["ids"]["file"]} & damaged
        ]
        if len(sound) == len(embedding["shards"]):
            continue
        for shard in embedding["shards"]:
            if shard not in sound:  # the intact half of a pair is of no use alone
                for record in (shard["features"], shard["ids"]):
                    if record["file"] not in damaged:
                        transaction.drop(record["file"])
        transaction.change()["embeddings"][name]["shards"] = sound
        if not sound:
            del transaction.manifest["embeddings"][name]


def _drop_images(transaction: Transaction, lost: pd.DataFrame) -> None:
    if not len(lost):
        return
    images = transaction.store.table("images")
    ids = set(lost["what"].str.removeprefix("image "))
    transaction.replace_table("images", images[~images["image_id"].isin(ids)])
    pairs = [(row["file"], f"damaged in the archive: {row['problem']}") for row in records(lost)]
    note_set_aside(transaction, pairs, forget=set())


def _move(root: Path, file: str) -> None:
    """Move a damaged file out of the way, for a person to look at."""
    target = root / "damaged" / file
    if (root / file).exists():
        with storage.disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            (root / file).replace(target)
