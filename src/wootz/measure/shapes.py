"""Place, size and shape of labelled particles, one row each."""

import importlib
import math
import sys
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

SQUARE = 1e-6  # relative difference of height and width up to which a pixel is a square


def shape_table(labels: NDArray[np.uint32], *, height: float, width: float, unit: str) -> pd.DataFrame:
    """Measure particles 1 ... n of a label image.

    Parameters
    ----------
    labels : (H, W) uint32
        Labels without gaps, 0 = background.
    height, width : float, > 0
        Size of a pixel, in `unit`, which becomes the suffix of the columns.

    Returns
    -------
    DataFrame
        Columns as in `ParticleResult.table`, less inside and weight.

    Notes
    -----
    Area is the pixel count. Feret diameters, perimeter and solidity are DIPlib's (chain code; disks of radius
    3 to 40 px within 1.6 %). Where pixels are not square, Feret diameters and solidity are taken on labels
    resampled to squares, and the perimeter from Crofton's formula over four directions.
    """
    n = int(labels.max(initial=0))
    found = ndimage.find_objects(labels) if n else []
    boxes = [[s[0].start, s[1].start, s[0].stop, s[1].stop] for s in found]
    area = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    table = pd.DataFrame(np.array(boxes, int).reshape(n, 4), columns=["row0", "col0", "row1", "col1"])
    row, col = _centroids(labels, area)
    table.insert(0, "row", row)
    table.insert(1, "col", col)
    table["area_px"] = area
    size = area * height * width
    if unit != "px":
        table[f"area_{unit}2"] = size
    table[f"ecd_{unit}"] = 2 * np.sqrt(size / math.pi)
    feret, perimeter, solidity = _shape(labels, height, width, n=n)
    table[f"feret_max_{unit}"], table[f"feret_min_{unit}"] = feret.T
    table[f"perimeter_{unit}"] = perimeter
    table["aspect"] = feret[:, 0] / np.maximum(feret[:, 1], 1e-12)
    table["solidity"] = solidity
    return table


def crofton_perimeter(labels: NDArray[np.uint32], *, height: float, width: float) -> NDArray[np.float64]:
    """Perimeters of particles 1 ... n from their crossings with lines in four directions.

    ``P = pi / 2 sum(c_d s_d N_d)``: N crossings with the grid lines of a direction, s their spacing, c the
    share of directions nearest to it. Holds for pixels of any aspect ratio.

    References
    ----------
    D. Legland, K. Kiêu, M.-F. Devaux, Image Anal. Stereol. 26, 83 (2007), doi 10.5566/ias.v26.p83-92
    """
    n = int(labels.max(initial=0))
    padded = np.pad(labels, 1)
    diagonal = math.hypot(height, width)
    angle = math.atan2(height, width)
    total = np.zeros(n + 1)
    for row, col, spacing, share in (
        (0, 1, height, angle / math.pi),
        (1, 0, width, 0.5 - angle / math.pi),
        (1, 1, height * width / diagonal, 0.25),
        (1, -1, height * width / diagonal, 0.25),
    ):
        a = padded[: padded.shape[0] - row, max(0, -col) : padded.shape[1] - max(0, col)]
        b = padded[row:, max(0, col) : padded.shape[1] - max(0, -col)]
        differs = a != b
        crossings = sum(np.bincount(side[differs], minlength=n + 1) for side in (a, b))
        total += share * spacing * crossings
    return math.pi / 2 * total[1:]


def _shape(labels: NDArray[np.uint32], height: float, width: float, *, n: int):
    """Feret max and min (n, 2), perimeter and solidity (n,)."""
    if n == 0:
        return np.empty((0, 2)), np.empty(0), np.empty(0)
    dip = _diplib()
    pitch = min(height, width)
    square = abs(height / width - 1) <= SQUARE
    even = labels if square else _resampled(labels, height / pitch, width / pitch)
    image = dip.Image(np.ascontiguousarray(even))
    found = dip.MeasurementTool.Measure(image, None, ["Feret", "Perimeter", "Solidity"])
    feret = np.array(found["Feret"])[:, :2] * pitch
    perimeter = np.array(found["Perimeter"])[:, 0] * pitch
    if not square:
        perimeter = crofton_perimeter(labels, height=height, width=width)
    return feret, perimeter, np.array(found["Solidity"])[:, 0]


def _diplib() -> Any:
    """DIPlib; its compiled names are unknown to type checkers.

    Its viewer registers with IPython's input hooks where IPython is loaded, and takes them as loaded with it,
    which they are not since IPython 9: without them the import fails in a notebook.
    """
    if "IPython" in sys.modules:
        importlib.import_module("IPython.terminal.pt_inputhooks")
    import diplib

    return diplib


def _resampled(labels: NDArray[np.uint32], row_factor: float, col_factor: float) -> NDArray[np.uint32]:
    """Nearest labels on square pixels of the finer pitch; factors are at least 1, so no particle is lost."""
    rows, cols = round(labels.shape[0] * row_factor), round(labels.shape[1] * col_factor)
    at_row = ((np.arange(rows) + 0.5) * labels.shape[0] / rows).astype(int)
    at_col = ((np.arange(cols) + 0.5) * labels.shape[1] / cols).astype(int)
    return labels[np.ix_(at_row, at_col)]


def _centroids(labels: NDArray[np.uint32], area: NDArray) -> tuple[NDArray, NDArray]:
    rows, cols = np.nonzero(labels)
    marks = labels[rows, cols]
    row, col = (np.bincount(marks, weights=v, minlength=area.size + 1)[1:] for v in (rows, cols))
    return row / np.maximum(area, 1), col / np.maximum(area, 1)
