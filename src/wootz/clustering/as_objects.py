"""Clusters of tiles as rows of the table of objects, so that they can be counted and measured."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.config import cluster_column
from wootz.clustering.regions import NONE_OF_THESE, NOT_CLUSTERED, cluster_regions
from wootz.objects import COLUMNS

WORDS = {NONE_OF_THESE: "none of these", NOT_CLUSTERED: "not clustered"}
WINDOW = ["row", "col", "height", "width"]


def class_name(cluster: int, names: Sequence[str] = ()) -> str:
    """Name the objects of a cluster: the name that an expert gave it, else its number."""
    if cluster in WORDS:
        return WORDS[cluster]
    given = names[cluster] if cluster < len(names) else ""
    return given or f"cluster {cluster}"


def cluster_objects(
    archive: Any, name: str, *, image_ids: Sequence[str] | np.ndarray, names: Sequence[str] = ()
) -> pd.DataFrame:
    """List the connected regions of each cluster in images.

    Parameters
    ----------
    archive : Archive
        With the column ``cluster_<name>`` on its tiles.
    name : str
        Of the clustering.
    image_ids : sequence of str
        Images that were clustered, also those of which no tile was informative.
    names : sequence of str
        Name of each cluster, "" for none.

    Returns
    -------
    DataFrame
        The columns of `wootz.objects.objects_from_mask`, with ``class`` the name of the cluster ("not
        clustered" for what was left out as uninformative, "none of these" for what fits no cluster) and
        ``source`` ``cluster_<name>``; and ``cluster`` (Int64), ``n_tiles``, ``tile_px`` (side of a tile) and
        ``area_um2`` (NaN where the pixel size is not known). See `cluster_regions` for the rule of joining.
    """
    column = cluster_column(name)
    table = archive.tile_table
    if column not in table:
        table[column] = pd.NA
    images = archive.image_table().set_index("image_id")
    by_image = table.groupby("image_id", sort=False).indices
    labels = table[column].astype("Int64").fillna(NOT_CLUSTERED).to_numpy(np.int64)
    windows = table[WINDOW].to_numpy(np.int64)
    parts = []
    for image_id in dict.fromkeys(image_ids):
        image, rows = images.loc[image_id], by_image[image_id]
        shape = (int(image["height_px"]), int(image["width_px"]))
        found = cluster_regions(labels[rows], windows[rows], shape=shape)
        pixel_um2 = float(image["pixel_size_row_nm"] * image["pixel_size_col_nm"]) / 1e6
        found["object_id"] = [f"{image_id}:{column}:{n}" for n in range(len(found))]
        parts.append(
            found.assign(
                image_id=image_id, tile_px=windows[rows[0], 2], area_um2=found["area_px"] * pixel_um2
            )
        )
    frame = pd.concat(parts, ignore_index=True)
    frame["class"] = [class_name(k, names) for k in frame["cluster"]]
    numbered = frame["cluster"].astype("Int64")
    frame = frame.assign(cluster=numbered.mask(numbered < 0), score=np.nan, source=column)
    return frame[[*COLUMNS, "cluster", "n_tiles", "tile_px", "area_um2"]]


def store_objects(
    archive: Any, name: str, *, image_ids: Sequence[str] | np.ndarray, names: Sequence[str] = ()
) -> int:
    """Store the regions of a clustering in place of all that it had before; returns how many clusters have.

    Parameters are those of `cluster_objects`. Joined to an open transaction, columns and objects change
    together or not at all.
    """
    frame = cluster_objects(archive, name, image_ids=image_ids, names=names)
    archive.add_objects(frame, whole=True)
    return int(frame["cluster"].notna().sum())
