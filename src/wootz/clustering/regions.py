"""Tiles of one cluster in one image, joined to connected regions."""

import numpy as np
import pandas as pd

NONE_OF_THESE = -1
NOT_CLUSTERED = -2
COLUMNS = ("cluster", "row0", "col0", "row1", "col1", "area_px", "n_tiles", "rle")


def cluster_regions(labels: np.ndarray, windows: np.ndarray, *, shape: tuple[int, int]) -> pd.DataFrame:
    """Join the tiles of each cluster in one image to connected regions.

    Parameters
    ----------
    labels : (N,) int
        Cluster of each tile; `NONE_OF_THESE` and `NOT_CLUSTERED` form regions like any other number.
    windows : (N, 4) int, px
        ``row, col, height, width`` of each tile, all of one size, on a grid.
    shape : (H, W), px
        Size of the field.

    Returns
    -------
    DataFrame
        One row a region: ``cluster``, the box ``row0, col0, row1, col1`` (px, end exclusive), ``area_px``,
        ``n_tiles``, ``rle`` (run lengths within the box, see `wootz.objects.encode_rle`); by cluster, then in
        reading order of the boxes' corners.

    Raises
    ------
    ValueError
        If lengths differ, tiles are of different size, or two tiles are the same window.

    Notes
    -----
    Each pixel belongs to the tile whose centre is nearest, along rows and along columns, so overlapping tiles
    share nothing and the regions of an image fill it exactly once. Such cells of one cluster that touch, by a
    side or a corner, are one region. Places without a tile are `NOT_CLUSTERED`. Boundaries are
    those of cells: a region is known to about half a step of the grid.
    """
    from scipy import ndimage

    cells, counts, edges = _cells(np.asarray(labels), np.asarray(windows, np.int64), shape=shape)
    rows = []
    for cluster in np.unique(cells):
        pieces = np.zeros(cells.shape, np.int32)
        ndimage.label(cells == cluster, structure=np.ones((3, 3)), output=pieces)
        for index, (down, across) in enumerate(ndimage.find_objects(pieces), start=1):
            inside = pieces[down, across] == index
            row_edges, col_edges = (
                e[s.start : s.stop + 1] for e, s in zip(edges, (down, across), strict=True)
            )
            heights, widths = np.diff(row_edges), np.diff(col_edges)
            box = (row_edges[0], col_edges[0], row_edges[-1], col_edges[-1])
            area = int(heights @ inside.astype(np.int64) @ widths)
            n_tiles = int(counts[down, across][inside].sum())
            rows.append((int(cluster), *map(int, box), area, n_tiles, _runs(inside, heights, widths)))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.sort_values(["cluster", "row0", "col0"], kind="stable", ignore_index=True)


def cell_edges(starts: np.ndarray, size_px: int, length_px: int) -> np.ndarray:
    """Cut a side of the field halfway between the centres of neighbouring tiles: (n + 1,) int64, px.

    Parameters
    ----------
    starts : (n,) int, px, ascending
        First pixels of the tiles along this side.
    size_px : int, px
        Length of a tile.
    length_px : int, px
        Length of the side; the first cell begins at 0, the last ends here.
    """
    between = (starts[:-1] + starts[1:] + size_px) // 2
    return np.concatenate([[0], between, [length_px]]).astype(np.int64)


def _cells(
    labels: np.ndarray, windows: np.ndarray, *, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Put tiles on their grid: label and number of tiles of each cell, and edges along rows and columns."""
    if windows.shape != (len(labels), 4) or not len(labels):
        raise ValueError(f"{len(labels)} labels need as many windows of four numbers, not {windows.shape}")
    if (windows[:, 2:] != windows[0, 2:]).any():
        raise ValueError("tiles of different size lie on no common grid; give those of one size")
    rows, row = np.unique(windows[:, 0], return_inverse=True)
    cols, col = np.unique(windows[:, 1], return_inverse=True)
    counts = np.zeros((len(rows), len(cols)), np.int64)
    np.add.at(counts, (row, col), 1)
    if counts.max() > 1:
        raise ValueError("the same window stands there twice")
    cells = np.full(counts.shape, NOT_CLUSTERED, np.int64)
    cells[row, col] = labels
    height, width = windows[0, 2:].tolist()
    return cells, counts, (cell_edges(rows, height, shape[0]), cell_edges(cols, width, shape[1]))


def _runs(inside: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> str:
    """Write the run lengths of cells without drawing their pixels, as `wootz.objects.encode_rle` would."""
    at = np.concatenate([[0], np.cumsum(widths)])
    first = np.concatenate([[0], np.cumsum(heights)])
    size = int(first[-1] * at[-1])
    changes = np.diff(np.pad(inside.astype(np.int8), ((0, 0), (1, 1))), axis=1) != 0
    parts = [
        (np.arange(first[i], first[i + 1])[:, None] * at[-1] + at[changes[i]]).ravel()
        for i in range(len(inside))
    ]
    flips = np.concatenate(parts)
    again = flips[1:] == flips[:-1]  # ends at the end of a line and begins with the next: one run
    keep = np.ones(len(flips), bool)
    keep[1:] &= ~again
    keep[:-1] &= ~again
    runs = np.diff(flips[keep & (flips < size)], prepend=0, append=size)
    return " ".join(map(str, runs.tolist()))
