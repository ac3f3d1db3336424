"""Pictures by which a microscopist judges a clustering: one sheet a cluster, and one overview of all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.sheet import SheetTile, tile_sheet
from wootz.plotting import save_figure
from wootz.progress import track

ROWS = (
    ("medoid", "medoids"),
    ("borderline", "borderline"),
    ("outlier", "outliers"),
)
OVERVIEW_TILES = 8
OVERVIEW_CLUSTERS = 40


def write_montages(
    tiles: Any, chosen: pd.DataFrame, *, labels: np.ndarray, titles: Sequence[str], folder: Path
) -> list[Path]:
    """Draw a sheet per cluster: rows of medoids, borderline tiles and outliers, each with its own scale bar.

    Parameters
    ----------
    tiles : TileSet
        Row-aligned with `labels`.
    chosen : DataFrame
        Out of `prototypes`: ``cluster, role, rank, row, outlier_score, margin``.
    labels : (N,) int
    titles : sequence of str
        One per cluster.
    folder : Path

    Returns
    -------
    list of Path
        ``overview.png`` (medoids of the clusters), then ``cluster_000.png`` and so on.
    """
    pictures = read_chosen(tiles, chosen)
    n_clusters = len(titles)
    overview = [
        (
            f"{k} (n={int((labels == k).sum())})",
            _shown(pictures, chosen, cluster=k, role="medoid")[:OVERVIEW_TILES],
        )
        for k in range(min(n_clusters, OVERVIEW_CLUSTERS))
    ]
    first = f"medoids of {n_clusters} clusters"
    first += f", the largest {OVERVIEW_CLUSTERS} shown" if n_clusters > OVERVIEW_CLUSTERS else ""
    paths = [save_figure(tile_sheet(overview, title=first), folder / "overview.png")]
    for k in track(range(n_clusters), title="drawing clusters"):
        rows = [(name, _shown(pictures, chosen, cluster=k, role=role)) for role, name in ROWS]
        sheet = tile_sheet([row for row in rows if row[1]], title=titles[k])
        paths.append(save_figure(sheet, folder / f"cluster_{k:03d}.png"))
    return paths


def read_chosen(tiles: Any, chosen: pd.DataFrame) -> dict[int, SheetTile]:
    """Read the pixels of the chosen tiles and say from which image and with which pixel size they are."""
    rows = np.unique(chosen.row.to_numpy())
    frame = tiles.frame.iloc[rows]
    sizes = frame[["pixel_size_row_nm", "pixel_size_col_nm"]].to_numpy(float)
    # the scale of the whole field, so that a flat tile stays flat instead of showing stretched noise
    images = [np.clip(tiles.scaled([row])[0], 0, 1) for row in rows]
    names = [Path(str(name)).stem for name in frame.file]
    return {
        int(row): SheetTile(image, name, (size[0], size[1]))
        for row, image, name, size in zip(rows, images, names, sizes, strict=True)
    }


def _shown(
    pictures: dict[int, SheetTile], chosen: pd.DataFrame, *, cluster: int, role: str
) -> list[SheetTile]:
    return [tile for _, tile in tile_row(pictures, chosen, cluster=cluster, role=role)]


def tile_row(
    pictures: dict[int, SheetTile], chosen: pd.DataFrame, *, cluster: int, role: str
) -> list[tuple[int, SheetTile]]:
    """List (row, tile) of the tiles that have a role in a cluster, each with what made it be chosen."""
    part = chosen.loc[(chosen.cluster == cluster) & (chosen.role == role)].sort_values(by="rank")
    tiles = []
    for record in part.to_dict("records"):
        row = int(record["row"])
        match role:
            case "borderline":
                note = f"margin {record['margin']:.2f}"
            case "outlier":
                note = f"{record['outlier_score']:.1f}x median"
            case _:
                note = ""
        tile = pictures[row]
        tiles.append((row, SheetTile(tile.image, tile.caption, tile.pixel_size_nm, note)))
    return tiles
