"""The mid-line of a layer: which way it runs, which pieces belong to it, and its smoothed course."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ISLAND_FRAC = 0.02  # pieces smaller than this share of the largest are islands
SIGMA_PER_CUTOFF = math.sqrt(math.log(2) / 2) / math.pi  # 0.18739: half amplitude at the cut-off wavelength


@dataclass(frozen=True)
class Midline:
    """Points at equal steps along the smoothed mid-line of a layer that runs along the columns.

    `along` and `across` are coordinates of the pixel centres in the length unit of the pixel size; `slope` is
    d across / d along. Points without layer nearby are NaN.
    """

    arc: NDArray[np.float64]
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    slope: NDArray[np.float64]


def runs_vertically(mask: NDArray[np.bool_]) -> bool:
    """Whether a layer runs from top to bottom, from the field borders it reaches, else from its moments.

    A layer that reaches both sides but not both of top and bottom runs horizontally, and the other way
    round. Where that does not decide (a layer that ends within the field, or runs along the diagonal), the
    longer axis of the covariance of its pixels does.
    """
    sides = bool(mask[:, 0].any() and mask[:, -1].any())
    ends = bool(mask[0].any() and mask[-1].any())
    if sides != ends:
        return ends
    n_row, n_col = mask.sum(1).astype(float), mask.sum(0).astype(float)
    return _variance(n_row) > _variance(n_col)


def layer_pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], list[str]]:
    """Keep the pieces of a layer that runs along the columns; drop islands and say so.

    Pieces are taken from the largest down. One joins the layer when it is at least 2 % of the largest and at
    least half of its columns are still free: fragments between through-cracks lie side by side, islands lie
    above or below the layer.

    Returns
    -------
    mask : (H, W) bool
    notes : list of str
    """
    labels = np.empty(mask.shape, np.int32)
    n = int(ndimage.label(mask, structure=np.ones((3, 3)), output=labels))  # type: ignore[arg-type]
    if n <= 1:
        return mask, []
    sizes = np.bincount(labels.ravel())
    boxes = ndimage.find_objects(labels)
    taken = np.zeros(mask.shape[1], bool)
    keep = np.zeros(n + 1, bool)
    order = np.argsort(sizes[1:], kind="stable")[::-1] + 1
    for label in order:
        if sizes[label] < ISLAND_FRAC * sizes[order[0]]:
            break
        columns = np.zeros_like(taken)
        box = boxes[label - 1]
        columns[box[1]] = (labels[box] == label).any(0)
        if (columns & ~taken).sum() * 2 >= columns.sum():
            keep[label] = True
            taken |= columns
    dropped = int(n - keep.sum())
    if not dropped:
        return mask, []
    share = 100 * sizes[1:][~keep[1:]].sum() / sizes[1:].sum()
    return keep[labels], [f"left out {dropped} piece(s) beside the layer, {share:.2g} % of its class pixels"]


def free_ends(mask: NDArray[np.bool_]) -> tuple[bool, bool]:
    """Whether the layer ends inside the field on its left and on its right (3 px tolerance)."""
    columns = np.flatnonzero(mask.any(0))
    return bool(columns[0] > 2), bool(columns[-1] < mask.shape[1] - 3)


def whole_columns(mask: NDArray[np.bool_], ignore: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Columns that see the layer from one interface to the other: their centre is its centre.

    Columns whose layer meets ignored pixels never count; those whose layer meets the border above or below
    count only where the layer does so along most of its length.
    """
    columns = np.asarray(mask.any(0), bool)
    if ignore is not None:
        beside = np.asarray(ndimage.binary_dilation(mask, structure=np.ones((3, 3))), bool)
        columns &= ~np.asarray((ignore & beside).any(0), bool)
    inner = columns & ~(mask[0] | mask[-1])
    return inner if 2 * inner.sum() > columns.sum() else columns


def trace_midline(
    mask: NDArray[np.bool_], *, known: NDArray[np.bool_], height: float, width: float, cutoff: float
) -> Midline:
    """Mid-line of a layer along the columns, through the Gaussian profile filter.

    Parameters
    ----------
    mask : (H, W) bool
        The layer; columns may be empty.
    known : (W,) bool
        Columns whose centre counts (`whole_columns`).
    height, width : float, > 0
        Size of a pixel.
    cutoff : float, > 0
        Cut-off wavelength of the filter, in the unit of `height`: waves of this length keep half their
        amplitude.

    Notes
    -----
    The column centres of mass are filtered with the Gaussian weights of ISO 16610-21 in a local straight
    line fit, which stays exact on tilted layers up to the last column (ISO 16610-28 discusses such ends) and
    bridges gaps shorter than the kernel. The slope of the local line gives the direction of the normal.
    """
    count = mask.sum(0)
    rows = np.arange(mask.shape[0], dtype=float)
    centre = rows @ mask / np.maximum(count, 1) * height
    along = np.arange(mask.shape[1]) * width
    across, slope = _local_line(centre, known, sigma=max(SIGMA_PER_CUTOFF * cutoff / width, 0.5))
    slope = slope / width
    first, last = np.flatnonzero(count)[[0, -1]]
    part = slice(first, last + 1)
    near = np.flatnonzero(np.isfinite(across))
    # farther from known columns than the filter reaches, the line goes straight on
    beyond = along - np.clip(along, along[near[0]], along[near[-1]])
    across, slope = (np.interp(along, along[near], v[near]) for v in (across, slope))
    across = across + beyond * slope
    xs, ys = along[part], across[part]
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(xs), np.diff(ys)))])
    steps = np.arange(0.0, arc[-1] + 1e-9, min(width, height)) if arc[-1] else np.zeros(1)
    x = np.interp(steps, arc, xs)
    return Midline(steps, x, np.interp(x, along, across), np.interp(x, along, slope))


def _local_line(
    y: NDArray[np.float64], known: NDArray[np.bool_], *, sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussian-weighted straight line fit around each sample: its value and its slope per sample."""
    radius = max(2, math.ceil(4 * sigma))
    offset = np.arange(-radius, radius + 1, dtype=float)
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    shift = float(y[known].mean()) if known.any() else 0.0
    w = known.astype(float)
    wy = np.where(known, y - shift, 0.0)

    def moment(values: NDArray[np.float64], power: int) -> NDArray[np.float64]:
        return ndimage.correlate1d(values, kernel * offset**power, mode="constant", cval=0.0)

    s0, s1, s2, t0, t1 = moment(w, 0), moment(w, 1), moment(w, 2), moment(wy, 0), moment(wy, 1)
    determinant = s0 * s2 - s1 * s1
    # fewer than about three neighbours within reach, or all on one spot: no line
    good = (s0 > min(3.0, 0.25 * kernel.sum())) & (determinant > 1e-9 * s0 * s0)
    safe = np.where(good, determinant, 1.0)
    value = np.where(good, (s2 * t0 - s1 * t1) / safe + shift, np.nan)
    slope = np.where(good, (s0 * t1 - s1 * t0) / safe, np.nan)
    return value, slope


def _variance(counts: NDArray[np.float64]) -> float:
    position = np.arange(counts.size)
    mean = float((counts * position).sum() / counts.sum())
    return float((counts * (position - mean) ** 2).sum() / counts.sum())
