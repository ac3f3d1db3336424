"""Named embeddings: append-only shards of float32 features, each with its tile_ids and its provenance.

New images add shards and invalidate nothing. Features of two encoders never stand under one name: all
``*fingerprint`` entries of the provenance must agree.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz import storage
from wootz.annotations import check_name
from wootz.errors import ArchiveError
from wootz.manifest import now
from wootz.store import Store


def add(
    store: Store,
    name: str,
    tile_ids: Sequence[str],
    *,
    features: np.ndarray,
    provenance: Mapping[str, Any],
) -> int:
    """Append a shard (see `Archive.add_embedding`); returns how many rows were new."""
    ids = pd.Index([str(t) for t in tile_ids])
    features = check_features(features, ids, name=name)
    check_name(name, what="embedding")
    if not any(str(key).endswith("fingerprint") for key in provenance):
        raise ArchiveError(
            f"the provenance of the embedding {name!r} names no fingerprint; give at least "
            "encoder_fingerprint, so that features of two encoders are never mixed."
        )
    with store.transaction() as transaction:
        entry = transaction.manifest["embeddings"].get(name)
        if entry is not None:
            check_same_origin(name, entry, dim=features.shape[1], provenance=provenance)
            new = ~ids.isin(stored_ids(store, name))
        else:
            new = np.ones(len(ids), bool)
        if not new.any():
            return 0
        path = transaction.new_path(f"embeddings/{name}", "features", ".npy")
        values = transaction.record(path, storage.write_npy(path, features[new]))
        path = transaction.new_path(f"embeddings/{name}", "tiles", ".parquet")
        listed = transaction.record(path, storage.write_parquet(path, pd.DataFrame({"tile_id": ids[new]})))
        shard = {"features": values, "ids": listed, "rows": int(new.sum()), "when": now()}
        start = {"dim": int(features.shape[1]), "provenance": dict(provenance), "shards": []}
        transaction.change()["embeddings"].setdefault(name, start)["shards"].append(shard)
    return int(new.sum())


def load(store: Store, name: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Give tile_ids, features and provenance (see `Archive.embedding`)."""
    entry = _entry(store, name)
    parts = [_map_features(store, shard, dim=entry["dim"]) for shard in entry["shards"]]
    features = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return stored_ids(store, name), features, provenance_of(store, name)


def provenance_of(store: Store, name: str) -> dict[str, Any]:
    """Give the provenance of an embedding."""
    return dict(_entry(store, name)["provenance"])


def load_rows(store: Store, name: str, rows: np.ndarray) -> np.ndarray:
    """Gather rows of an embedding, in the order given, shard by shard: (n, D) float32.

    Parameters
    ----------
    store : Store
    name : str
    rows : (n,) int
        Row numbers in the order of `stored_ids`, with repeats if wanted.
    """
    entry = _entry(store, name)
    out = np.empty((len(rows), entry["dim"]), np.float32)
    first = 0
    for shard in entry["shards"]:
        here = np.flatnonzero((rows >= first) & (rows < first + shard["rows"]))
        if len(here):
            out[here] = _map_features(store, shard, dim=entry["dim"])[rows[here] - first]
        first += shard["rows"]
    return out


def shard_files(store: Store, name: str) -> list[tuple[Path, int]]:
    """List the files of an embedding, each an (n, D) float32 ``.npy``, with their n; checked once."""
    entry = _entry(store, name)
    for shard in entry["shards"]:
        _map_features(store, shard, dim=entry["dim"])
    return [(store.root / shard["features"]["file"], int(shard["rows"])) for shard in entry["shards"]]


def stored_ids(store: Store, name: str) -> np.ndarray:
    """List the tile_ids of an embedding in the order of its rows."""
    ids = []
    for shard in _entry(store, name)["shards"]:
        data = store.read_file(shard["ids"])
        ids.append(pd.read_parquet(io.BytesIO(data))["tile_id"].to_numpy(dtype=object))
    return np.concatenate(ids)


def check_features(features: np.ndarray, ids: pd.Index, *, name: str) -> np.ndarray:
    """Raise `ArchiveError` unless features are (N, D), finite, and the N ids are unique."""
    features = np.ascontiguousarray(features, np.float32)
    if features.ndim != 2 or len(features) != len(ids):
        raise ArchiveError(f"the embedding {name!r} has {len(ids)} tile_ids for features {features.shape}.")
    if not np.isfinite(features).all():
        row = int(np.argmin(np.isfinite(features).all(axis=1)))
        raise ArchiveError(f"the embedding {name!r} holds NaN or infinity (tile {ids[row]}).")
    if not ids.is_unique:
        raise ArchiveError(f"the embedding {name!r} names tile {ids[ids.duplicated()][0]} twice.")
    return features


def check_same_origin(
    name: str, entry: Mapping[str, Any], *, dim: int, provenance: Mapping[str, Any]
) -> None:
    """Raise `ArchiveError` where new features cannot stand beside the stored ones."""
    old = entry["provenance"]
    keys = {key for key in (*old, *provenance) if str(key).endswith("fingerprint")}
    differ = sorted(key for key in keys if str(old.get(key)) != str(provenance.get(key)))
    if differ or entry["dim"] != dim:
        what = ", ".join(differ) or f"{dim} instead of {entry['dim']} dimensions"
        raise ArchiveError(
            f"the embedding {name!r} was made by another encoder ({what} differs); choose a new name: "
            "`wootz embed ARCHIVE name=NEW encoder=...`."
        )


def _entry(store: Store, name: str) -> dict[str, Any]:
    entries = store.manifest["embeddings"]
    if name not in entries:
        there = ", ".join(sorted(entries)) or "none"
        raise ArchiveError(
            f"{store.root} has no embedding {name!r} (it has: {there}); make it with "
            f"`wootz embed {store.root} name={name}`."
        )
    return entries[name]


def _map_features(store: Store, shard: Mapping[str, Any], *, dim: int) -> np.ndarray:
    path = store.root / shard["features"]["file"]
    record = shard["features"]
    if not path.exists() or path.stat().st_size != record["bytes"]:
        raise ArchiveError(storage.damaged(path, "its length differs, or it is gone"))
    store.verify_once(record)
    features = np.load(path, mmap_mode="r", allow_pickle=False)
    if features.shape != (shard["rows"], dim):
        raise ArchiveError(storage.damaged(path, f"{features.shape} instead of {(shard['rows'], dim)}"))
    return features
