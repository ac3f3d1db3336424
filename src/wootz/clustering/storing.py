"""What a clustering leaves in the archive: tile columns and objects, in one commit, and its tables."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.as_objects import store_objects
from wootz.clustering.config import cluster_column, member_column, outlier_column
from wootz.clustering.exemplars import prototypes
from wootz.clustering.fitting import Fit
from wootz.storage import write_parquet


def store_clusters(tiles: Any, found: Fit, *, name: str, image_ids: np.ndarray, objects: bool = True) -> int:
    """Write the columns of a clustering and its connected regions, all or nothing.

    Parameters
    ----------
    tiles : TileSet
        The tiles that were clustered; all others have no cluster afterwards.
    found : Fit
    name : str
        What an earlier clustering of this name left is replaced.
    image_ids : (n,) str
        Images that were looked at, also those of which no tile was clustered.
    objects : bool
        Write regions.

    Returns
    -------
    int
        How many regions there are.
    """
    archive = tiles.archive
    columns: dict[str, Any] = {
        cluster_column(name): pd.array(found.labels, "Int64"),
        outlier_column(name): pd.array(found.outlier_score, "Float64"),
    }
    if found.membership is not None:
        columns[member_column(name)] = pd.array(found.membership, "Float64")
    with archive.transaction():
        for column, values in columns.items():
            set_whole_column(archive, column, tiles.tile_ids, values=values)
        return store_objects(archive, name, image_ids=image_ids, names=found.names) if objects else 0


def set_whole_column(archive: Any, column: str, tile_ids: np.ndarray, *, values: Any) -> None:
    """Store a column and empty it for all other tiles: numbers of an earlier clustering mean nothing now."""
    every = archive.tile_table.tile_id
    archive.set_tile_column(column, every, pd.Series(values, index=tile_ids).reindex(every))


def write_prototypes(tiles: Any, found: Fit, *, n_each: int, folder: Path) -> pd.DataFrame:
    """Write the table of prototypes and, where known, of probabilities; return the former with positions."""
    frame = tiles.columns(["tile_id", "image_id", "row", "col", "height", "width"])
    groups = frame.image_id.to_numpy()
    chosen = prototypes(found.distances, found.labels, n_each=n_each, groups=groups)
    at = frame.iloc[chosen.row.to_numpy()].reset_index(drop=True)
    write_parquet(folder / "prototypes.parquet", pd.concat([chosen.drop(columns="row"), at], axis=1))
    if found.probabilities is not None:
        each = {f"cluster_{k}": column for k, column in enumerate(found.probabilities.T)}
        tile_ids = frame.tile_id.to_numpy()
        write_parquet(folder / "probabilities.parquet", pd.DataFrame({"tile_id": tile_ids, **each}))
    return chosen
