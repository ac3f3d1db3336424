"""Which clustering finds the classes of micrographs? Every method on the same features of the same tiles.

A cell clusters the tiles of one set by one method on one kind of features and compares the clusters with the
classes of the tiles: from masks (the phase that covers most, a defect or crack that is present), from the
renderer's truth, or, where a tile is a whole image, from its name.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from wootz import storage
from wootz.apps.steps import alone
from wootz.apps.studies.clustering_cells import cluster_rows, name_some_rows
from wootz.apps.studies.micrographs import find_set, ingest_one
from wootz.apps.studies.tile_classes import mask_classes, rendered_classes
from wootz.apps.studies.tile_features import HANDMADE, make_features
from wootz.archive import Archive
from wootz.tiles import TileSet

TRUTH = "truth"
FIGURES = ("accuracy", "purity", "nmi", "ari", "rare_f1")


def prepare(fixed: dict[str, Any], folder: Path, *, data: str) -> dict[str, Any]:
    """Ingest each set into an archive of its own and name its tiles; what is there is passed over.

    Parameters
    ----------
    fixed : dict
        ``sets``: names (``rendered`` draws coatings, the others are public sets), ``tile_px`` of each,
        ``n_rendered`` fields, ``render_seed`` (0 where it is not given).
    folder : Path
        Receives one archive a set.
    data : str
        Folder with the public sets and splits.json.

    Returns
    -------
    dict
        Tiles of each class of each set.
    """
    figures = {}
    for name in fixed["sets"]:
        tile_px = fixed["tile_px"][name]
        if name == "rendered":
            seed = fixed.get("render_seed", 0)
            archive = _ingest_rendered(folder, n=fixed["n_rendered"], tile_px=tile_px, seed=seed)
        else:
            archive = ingest_one(Path(data), folder / name, item=find_set(name), tile_px=tile_px)
        if TRUTH not in archive.tile_table:
            tiles = archive.tiles()
            archive.set_tile_column(TRUTH, tiles.tile_ids.tolist(), _classes(tiles, name, folder=folder))
        names, counts = np.unique(archive.tile_table[TRUTH].to_numpy(str), return_counts=True)
        figures[name] = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return figures


def cell(params: dict[str, Any], folder: Path, *, shared: Path) -> dict[str, Any]:
    """Cluster the tiles of one set by one method and compare with their classes.

    Parameters
    ----------
    params : dict
        ``set``, ``features`` (see `make_features`), ``method`` (see `cluster_rows`), ``seed``;
        ``named_per_class``: tiles that the methods are told which learn from names.
    folder : Path
        Of a method that trains the encoder; it goes on where it was stopped.
    shared : Path
        Folder that `prepare` filled; receives features and pretrained encoders, made by the first cell that
        wants them.

    Returns
    -------
    dict
        Hungarian ``accuracy``, ``purity``, ``nmi``, ``ari``, ``rare_f1`` (where a class is rare),
        ``n_clusters``, ``n_classes``, ``n_tiles`` that were compared (those that were named to the method are
        not), ``method_seconds`` without the making of the features.
    """
    from wootz.clustering import agreement

    archive = Archive(shared / params["set"])
    tiles = archive.tiles()
    features, source = features_of(tiles, params, folder=shared / params["set"] / "features")
    truth = tiles.frame[TRUTH].fillna("").to_numpy(object)
    known = name_some_rows(truth, n_each=params["named_per_class"], seed=params["seed"])
    start = time.perf_counter()
    labels, told = cluster_rows(
        tiles, features, params, source=source, truth=truth, known=known, folder=folder
    )
    seconds = time.perf_counter() - start
    judged = np.where(known.labels >= 0, "", truth) if told else truth
    found = agreement(labels, judged)
    return {key: getattr(found, key) for key in FIGURES if getattr(found, key) is not None} | {
        "n_clusters": len(np.unique(labels)),
        "n_classes": found.table.shape[1],
        "n_tiles": found.n,
        "method_seconds": round(seconds, 2),
    }


def _ingest_rendered(folder: Path, *, n: int, tile_px: int, seed: int) -> Archive:
    """Draw coatings and ingest them; what is there is passed over."""
    from wootz.ingest import IngestConfig, ingest
    from wootz.synthetic import RenderConfig, render

    render(folder / "fields", RenderConfig(n=n, recipe="coating", seed=seed))
    options = IngestConfig(set="rendered", scheme="coating", tile_px=tile_px, stride_px=tile_px)
    ingest(folder / "rendered", [folder / "fields"], options)
    return Archive(folder / "rendered")


def _classes(tiles: TileSet, name: str, *, folder: Path) -> np.ndarray:
    if name == "rendered":
        return rendered_classes(tiles, folder / "fields")
    if "masks" not in find_set(name).labels:
        return tiles.frame["specimen"].to_numpy(object)
    return mask_classes(tiles, name)


def features_of(tiles: TileSet, params: dict[str, Any], *, folder: Path) -> tuple[np.ndarray, str]:
    """Return features, and the encoder that made them (as ``method.encoder``; "" for hand-made ones).

    Made once: other cells, also of other processes, wait for them.
    """
    name, seed = params["features"], params["seed"]
    own = folder / (name if name in HANDMADE else f"{name}_{seed}")
    own.mkdir(parents=True, exist_ok=True)
    with alone(own / ".lock", what=f"makes the features {own.name}"):
        if not (own / "facts.json").exists():
            features, facts = make_features(tiles, params, folder=own)
            np.save(own / "features.npy", features)
            storage.write_json(own / "facts.json", facts)  # last: it marks the features as complete
    facts = json.loads((own / "facts.json").read_text())
    source = "" if name in HANDMADE else f"random:{params['encoder']}"
    if "checkpoint" in facts:
        source = str(own / Path(facts["checkpoint"]).name)
    return np.load(own / "features.npy"), source
