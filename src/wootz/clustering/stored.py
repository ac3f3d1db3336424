"""A clustering on disk, with all that new tiles need to follow the same way into its clusters."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.config import GraphConfig, cluster_column
from wootz.clustering.preparation import Preparation
from wootz.clustering.preprocess import Projection
from wootz.clustering.standardise import Standardisation
from wootz.errors import WootzError
from wootz.storage import write_json, write_npz, write_parquet

FACTS, ARRAYS, MEMBERS, SMALL = "model.json", "model.npz", "members.parquet", "small_groups.npz"


@dataclass(frozen=True)
class StoredClustering:
    """What `wootz assign` needs of a clustering.

    Parameters
    ----------
    name : str
        The tile column is ``cluster_<name>``.
    embedding : str
        Empty for a method that trained its own encoder.
    fingerprints : dict
        All ``*fingerprint`` entries of the embedding's provenance.
    preparation : Preparation
    standardise_by : str
    keep_uninformative : bool
    names : tuple of str
        Of the clusters that were named.
    image_ids : tuple of str
        Images that were looked at.
    tile_ids : (N,) str
    labels : (N,) int64
    groups : (N,) int64 or None
        Groups that the features were standardised by.
    sure : (N,) bool
        False for tiles that were put into the nearest cluster although the method found them in none.
    folder : Path
        Of the run.
    """

    name: str
    embedding: str
    fingerprints: Mapping[str, str]
    preparation: Preparation
    standardise_by: str
    keep_uninformative: bool
    names: tuple[str, ...]
    image_ids: tuple[str, ...]
    tile_ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    sure: np.ndarray
    folder: Path


def save_clustering(
    tiles: Any,
    found: Any,
    prepared: Any,
    *,
    cfg: Any,
    name: str,
    image_ids: Any,
    groups: np.ndarray | None,
    folder: Path,
) -> None:
    """Write what `wootz assign` needs of a clustering into its run, before its columns are committed.

    The graph method also leaves its small groups and the tree that joins them, ``small_groups.npz``,
    row-aligned with ``members.parquet``: the explorer takes clusters apart along it.

    Parameters
    ----------
    tiles : TileSet
        All that were clustered.
    found : Fit
        Of them.
    prepared : Prepared
    cfg : ClusterConfig
    name : str
    image_ids : sequence of str
        Images that were looked at.
    groups : (N,) int or None
        Groups of the tiles that features were standardised by.
    folder : Path
        Of the run; after a method that trains with its ``encoder.pt``.
    """
    if prepared.embedding:
        made = fingerprints_of(tiles.archive.embedding_provenance(prepared.embedding))
    else:
        from wootz.encoders import encoder_fingerprint
        from wootz.encoders.start import ENCODER_FILE

        made = {"encoder_fingerprint": encoder_fingerprint(folder / ENCODER_FILE)}
    sure = np.ones(len(found.labels), bool) if found.membership is None else found.membership > 0
    if isinstance(cfg.method, GraphConfig) and found.discovery is not None:
        small = found.discovery.hierarchy
        arrays = {"groups": small.leaves.astype(np.int32), "linkage": small.tree.linkage}
        write_npz(folder / SMALL, arrays)
    _write(
        StoredClustering(
            name=name,
            embedding=prepared.embedding,
            fingerprints=made,
            preparation=prepared.preparation,
            standardise_by=cfg.standardise_by,
            keep_uninformative=cfg.keep_uninformative,
            names=found.names,
            image_ids=tuple(image_ids),
            tile_ids=tiles.tile_ids,
            labels=found.labels.astype(np.int64),
            groups=groups,
            sure=sure if sure.any() else np.ones(len(sure), bool),
            folder=folder,
        )
    )


def _write(stored: StoredClustering) -> None:
    steps = stored.preparation
    facts = {
        "name": stored.name,
        "embedding": stored.embedding,
        "fingerprints": dict(stored.fingerprints),
        "standardise_by": stored.standardise_by,
        "keep_uninformative": stored.keep_uninformative,
        "names": list(stored.names),
        "image_ids": list(stored.image_ids),
        "whiten": steps.whiten,
        "l2": steps.l2,
    }
    arrays: dict[str, np.ndarray] = {}
    if steps.standardisation is not None:
        arrays |= {f"standardisation_{key}": value for key, value in vars(steps.standardisation).items()}
    if steps.projection is not None:
        arrays |= {f"projection_{key}": np.asarray(value) for key, value in vars(steps.projection).items()}
    groups = np.full(len(stored.labels), -1) if stored.groups is None else stored.groups
    members = {"tile_id": stored.tile_ids, "cluster": stored.labels, "group": groups, "sure": stored.sure}
    write_parquet(stored.folder / MEMBERS, pd.DataFrame(members))
    write_npz(stored.folder / ARRAYS, arrays)
    write_json(stored.folder / FACTS, facts)  # last: where it stands, the others do


def load_clustering(folder: Path) -> StoredClustering:
    """Read a clustering back from the folder of its run."""
    facts = json.loads((folder / FACTS).read_bytes())
    with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
        scaled, projected = (
            {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}
            for prefix in ("standardisation_", "projection_")
        )
    if projected:
        projected["explained_frac"] = float(projected["explained_frac"])
    preparation = Preparation(
        Standardisation(**scaled) if scaled else None,
        Projection(**projected) if projected else None,
        facts["whiten"],
        facts["l2"],
    )
    members = pd.read_parquet(folder / MEMBERS)
    return StoredClustering(
        name=facts["name"],
        embedding=facts["embedding"],
        fingerprints=facts["fingerprints"],
        preparation=preparation,
        standardise_by=facts["standardise_by"],
        keep_uninformative=facts["keep_uninformative"],
        names=tuple(facts["names"]),
        image_ids=tuple(facts["image_ids"]),
        tile_ids=members["tile_id"].to_numpy(object),
        labels=members["cluster"].to_numpy(np.int64),
        groups=members["group"].to_numpy(np.int64) if scaled else None,
        sure=members["sure"].to_numpy(bool),
        folder=folder,
    )


def find_clustering(archive: Any, name: str = "") -> StoredClustering:
    """Find the newest clustering of a name whose clusters are those in the tile column.

    Parameters
    ----------
    archive : Archive
    name : str
        May be left out where there is only one.

    Raises
    ------
    WootzError
        If there is none, or several and no name was given, or the column was changed since.
    """
    folders = _oldest_first(archive.runs)
    named = {folder: json.loads((folder / FACTS).read_bytes())["name"] for folder in folders}
    known = sorted(set(named.values()))
    if not known or (name and name not in known):
        there = f"; it has: {', '.join(known)}" if known else ""
        which = f" of the name {name!r}" if name else ""
        raise WootzError(
            f"{archive.path} holds no clustering{which}{there}; make one with: wootz cluster {archive.path}"
        )
    if not name and len(known) > 1:
        raise WootzError(f"{archive.path} holds several clusterings; choose name={' or name='.join(known)}.")
    name = name or known[0]
    table = archive.tile_table
    column = cluster_column(name)
    for folder in [folder for folder in folders if named[folder] == name][::-1]:
        stored = load_clustering(folder)
        if column in table and _agrees(table, column, stored):
            return stored
    raise WootzError(
        f"the column {column} holds other clusters than any run in {archive.path}: it was changed, or tiles "
        f"are gone; cluster again: wootz cluster {archive.path} name={name}"
    )


def fingerprints_of(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Pick the entries of an embedding's provenance that say which encoder and which scale made it."""
    return {str(key): str(value) for key, value in provenance.items() if str(key).endswith("fingerprint")}


def _oldest_first(runs: pd.DataFrame) -> list[Path]:
    """List the folders of runs that stored a clustering; those of the same second by their files."""
    found = [
        (started, (Path(folder) / FACTS).stat().st_mtime_ns, folder)
        for started, folder in zip(runs["started"], runs["folder"], strict=True)
        if (Path(folder) / FACTS).is_file()
    ]
    return [Path(folder) for _, _, folder in sorted(found)]


def _agrees(table: pd.DataFrame, column: str, stored: StoredClustering) -> bool:
    at = pd.Index(table["tile_id"]).get_indexer(pd.Index(stored.tile_ids))
    if (at < 0).any():
        return False
    now = table[column].to_numpy("float64", na_value=np.nan)[at]
    return bool((now == stored.labels).all())
