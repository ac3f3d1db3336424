"""The clustering that a person starts from: numbers, features and map of the archive's tiles."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.errors import WootzError
from wootz.explore.config import ExploreConfig

PREFIX = "cluster_"


@dataclass(frozen=True)
class Clusters:
    """What is known of the tiles before anybody acts.

    name : of the clustering; "" where there is none.
    numbers : (N,) int32, -1 for no cluster.
    fingerprint : changes with any number or tile.
    embedding : name of the features; "" where there are none for all tiles.
    features : (N, D) float32, or None.
    positions : (N, 2) float32 on the map, x to the right and y up, NaN where a tile is not on it; or None.
    cards : what ``wootz cluster`` wrote on each cluster, by number.
    folders : of the runs that made clusterings of this name, newest first.
    hints : what is missing, and the command that makes it.
    """

    name: str
    numbers: np.ndarray
    fingerprint: str
    embedding: str
    features: np.ndarray | None
    positions: np.ndarray | None
    cards: dict[int, dict[str, Any]]
    hints: tuple[str, ...]
    folders: tuple[Path, ...] = ()


def load_clusters(tiles: Any, cfg: ExploreConfig) -> Clusters:
    """Read the clustering and the embedding that the options name, or the only ones.

    Parameters
    ----------
    tiles : TileSet
    cfg : ExploreConfig

    Raises
    ------
    WootzError
        If a named clustering or embedding does not exist, or there are several and none is named.
    """
    archive, hints = tiles.archive, []
    name = _clustering(tiles, cfg.clusters)
    numbers = np.full(len(tiles), -1, np.int32)
    if name:
        column = tiles.columns([PREFIX + name])[PREFIX + name]
        numbers = pd.to_numeric(column).fillna(-1).to_numpy(np.int32)
    embedding, hint = _embedding(tiles, cfg.embedding, clustering=name)
    features = tiles.embedding(embedding) if embedding else None
    hints += [hint] if hint else []
    if not name:
        hints.append(
            f"no clusters: all tiles are shown as one heap; make them with `wootz cluster {archive.path}`."
        )
    positions = _positions(tiles, name, features=features)
    if positions is None:
        hints.append(f"no map: it needs an embedding (`wootz embed {archive.path}`).")
    return Clusters(
        name=name,
        numbers=numbers,
        fingerprint=fingerprint(tiles.tile_ids, numbers) if name else "none",
        embedding=embedding,
        features=features,
        positions=positions,
        cards=_cards(archive, name, numbers=numbers),
        hints=tuple(hints),
        folders=tuple(_runs(archive, name)),
    )


def fingerprint(tile_ids: np.ndarray, numbers: np.ndarray) -> str:
    """Hash a clustering: 16 hexadecimal digits over ids and numbers, in the order of the ids."""
    order = np.argsort(tile_ids.astype(str))
    digest = hashlib.sha256("\n".join(tile_ids[order].tolist()).encode())
    digest.update(np.ascontiguousarray(numbers[order], "<i4").tobytes())
    return digest.hexdigest()[:16]


def _clustering(tiles: Any, wanted: str) -> str:
    names = [c.removeprefix(PREFIX) for c in tiles.column_names if c.startswith(PREFIX)]
    if wanted:
        if wanted not in names:
            there = ", ".join(names) or "none"
            raise WootzError(
                f"clusters={wanted!r}: {tiles.archive.path} has the clusterings {there}; make one with "
                f"`wootz cluster {tiles.archive.path} name={wanted}`."
            )
        return wanted
    if len(names) > 1:
        raise WootzError(
            f"{tiles.archive.path} has several clusterings; choose clusters={' or clusters='.join(names)}."
        )
    return names[0] if names else ""


def _embedding(tiles: Any, wanted: str, *, clustering: str) -> tuple[str, str]:
    """Choose the embedding: (name, hint), one of them empty."""
    archive = tiles.archive
    names = archive.embedding_names()
    made_of = _options(archive, clustering).get("embedding") or clustering
    name = wanted or (made_of if made_of in names else names[0] if len(names) == 1 else "")
    if not name:
        more = f"choose one of embedding={', '.join(names)}" if names else "make one with"
        command = "" if names else f" `wootz embed {archive.path}`"
        return "", f"no similar tiles, splits or proposals: they need an embedding; {more}{command}."
    known = set(archive.embedding_ids(name).tolist())
    missing = sum(tile_id not in known for tile_id in tiles.tile_ids.tolist())
    if missing and wanted:
        tiles.embedding(name)  # says what is missing, and raises
    if missing:
        return "", (
            f"no similar tiles, splits or proposals: embedding {name!r} lacks {missing} tiles; complete it "
            f"with `wootz embed {archive.path} name={name}`."
        )
    return name, ""


def _positions(tiles: Any, name: str, *, features: np.ndarray | None) -> np.ndarray | None:
    """Take the stored map, else the first two principal components."""
    columns = [f"umap_col_{name}", f"umap_row_{name}"]
    if name and set(columns) <= set(tiles.column_names):
        frame = tiles.columns(columns)
        found = [pd.to_numeric(frame[c]).to_numpy(np.float32, na_value=np.nan) for c in columns]
        return np.stack([found[0], -found[1]], axis=1)
    if features is None or features.shape[1] < 2 or len(features) < 3:
        return None
    centred = features - features.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.ascontiguousarray(centred @ axes[:, [-1, -2]], np.float32)


def _runs(archive: Any, name: str) -> list[Path]:
    """List the folders of the runs that made a clustering, newest first."""
    if not name:
        return []
    table = archive.runs
    folders = [Path(f) for f in table.loc[table["command"] == "cluster", "folder"]]
    return [f for f in reversed(folders) if _json(f / "clusters.json").get("name") == name]


def _options(archive: Any, name: str) -> dict[str, Any]:
    folders = _runs(archive, name)
    return _json(folders[0] / "run.json").get("config", {}) if folders else {}


def _cards(archive: Any, name: str, *, numbers: np.ndarray) -> dict[int, dict[str, Any]]:
    """Read the cards of a clustering, if they are of the clusters that the tiles now carry."""
    for folder in _runs(archive, name):
        cards = {int(c["cluster"]): c for c in _json(folder / "cards.json").get("clusters", [])}
        sizes = {k: int(c["n"]) for k, c in cards.items()}
        values, counts = np.unique(numbers[numbers >= 0], return_counts=True)
        if sizes and sizes == dict(zip(values.tolist(), counts.tolist(), strict=True)):
            return cards
    return {}


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
