"""Occlusion maps of the medoids of an archive's clusters, where the encoder is at hand."""

from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.occlusion import occlusion_map
from wootz.clustering.preparation import Preparation
from wootz.coarser import coarser
from wootz.progress import say, track
from wootz.samescale import SameScale

PATCH_FRAC, STRIDE_FRAC = 1 / 4, 1 / 8
TOLERANCE = 0.02


def medoid_maps(
    tiles: Any,
    chosen: pd.DataFrame,
    prepared: tuple[Preparation, np.ndarray | None],
    *,
    embedding: str,
    centroids: np.ndarray,
    n_each: int,
) -> dict[int, np.ndarray]:
    """Compute occlusion maps of the first medoids of each cluster.

    Parameters
    ----------
    tiles : TileSet
    chosen : DataFrame
        Out of `prototypes`.
    prepared : Preparation, and (N,) int or None
        How features were prepared, and the groups that they were standardised by.
    embedding : str
    centroids : (K, D) float
        In the prepared space.
    n_each : int
        Medoids per cluster; 0 computes none.

    Returns
    -------
    dict
        Row of the tile to its (H, W) map, in multiples of the distance that medoids of this cluster have from
        the centroid on average; empty where the encoder is not at hand, or gives other features than the
        embedding has.
    """
    from wootz.encoders.apply import embed_arrays
    from wootz.encoders.recall import recall_encoder

    preparation, groups = prepared
    medoids = chosen[(chosen["role"] == "medoid") & (chosen["rank"] < n_each)]
    encoder = recall_encoder(tiles.archive, embedding) if len(medoids) else None
    if encoder is None:
        return {}
    about = tiles.archive.embedding_provenance(embedding)
    size_nm, factor = about.get("pixel_size_nm"), int(about.get("downscale", 1))
    source = coarser(tiles, factor) if size_nm is None else SameScale(tiles, float(size_nm))
    rows = medoids["row"].to_numpy(int)
    stored = tiles.select(rows).embedding(embedding)
    made = np.concatenate([embed_arrays(source.scaled([row]), encoder) for row in rows])
    if np.linalg.norm(made - stored) > TOLERANCE * np.linalg.norm(stored):
        say("no occlusion maps: the encoder gives other features than the embedding holds")
        return {}
    usual = chosen[chosen["role"] == "medoid"].groupby("cluster")["distance"].mean()
    maps = {}
    for row, cluster in track(
        zip(rows, medoids["cluster"], strict=True), title="covering parts of medoids", total=len(rows)
    ):
        own = None if groups is None else groups[row]

        def embed(pixels: np.ndarray, own: Any = own) -> np.ndarray:
            of_group = None if own is None else np.full(len(pixels), own)
            return preparation.apply(embed_arrays(pixels, encoder), of_group)

        tile = source.scaled([row])[0]
        patch = max(2, round(PATCH_FRAC * min(tile.shape)))
        stride = max(1, round(STRIDE_FRAC * min(tile.shape)))
        moved = occlusion_map(tile, embed, centroid=centroids[cluster], patch_px=patch, stride_px=stride)
        whole = moved.repeat(factor, axis=0).repeat(factor, axis=1)  # of the tile as it is drawn
        maps[int(row)] = whole / max(float(usual[cluster]), 1e-12)
    return maps
