"""How much there is to see in a tile, so that those that show nothing can be flagged."""

import numpy as np

from wootz.compiled import compiled
from wootz.intensity import BOUNDS

BLOCK_PX = 4


def contrast(strip: np.ndarray, cols: np.ndarray, *, size_px: int, range_: tuple[float, float]) -> np.ndarray:
    """Measure how much there is to see in windows that lie side by side in a strip of rows.

    The standard deviation of 4 x 4 px block means on the common intensity scale, here cut at its ends.
    Averaging over blocks takes away most of the shot noise, of which an empty resin or vacuum region consists
    (a noise of 0.08 leaves 0.02), while a pore or crack over 1 % of the window at half the range keeps 0.05.

    Parameters
    ----------
    strip : (size_px, W) uint8 or uint16
    cols : (n,) int
        First column of each window.
    size_px : int
        Side of the windows, px.
    range_ : (low, high)
        Robust range of the whole field.

    Returns
    -------
    (n,) float64, >= 0
        Below 0.02 a tile counts as uninformative: it is flagged, never dropped. Misleads where the field
        itself has no contrast (its noise is then stretched over the whole scale), and on fine lamellae below
        8 px, which the blocks average away in part.
    """
    low, high = range_
    first = -(-np.asarray(cols, np.int64) // BLOCK_PX)
    last = np.minimum((np.asarray(cols, np.int64) + size_px) // BLOCK_PX, strip.shape[1] // BLOCK_PX)
    return compiled(_deviations)(np.ascontiguousarray(strip), first, last, float(low), float(high))


def _deviations(
    strip: np.ndarray, first: np.ndarray, last: np.ndarray, low: float, high: float
) -> np.ndarray:
    """Compute the deviation of the block means from block column `first` to `last` of each window."""
    n_down, n_across = strip.shape[0] // BLOCK_PX, strip.shape[1] // BLOCK_PX
    sums = np.zeros(n_across + 1)
    squares = np.zeros(n_across + 1)
    line = np.empty(strip.shape[1], np.uint32)
    blocks = np.empty(n_across, np.uint32)
    scale = 1.0 / (BLOCK_PX * BLOCK_PX * (high - low))
    offset = low / (high - low)
    for i in range(n_down):
        line[:] = 0
        for row in range(i * BLOCK_PX, (i + 1) * BLOCK_PX):
            for col in range(line.size):
                line[col] += strip[row, col]
        for j in range(n_across):  # written out, as is the clipping: this vectorises, loops do not
            first_col = j * BLOCK_PX
            blocks[j] = line[first_col] + line[first_col + 1] + line[first_col + 2] + line[first_col + 3]
        for j in range(n_across):
            mean = blocks[j] * scale - offset
            mean = mean if mean > BOUNDS[0] else BOUNDS[0]  # noqa: FURB136
            mean = mean if mean < BOUNDS[1] else BOUNDS[1]  # noqa: FURB136
            sums[j + 1] += mean
            squares[j + 1] += mean * mean
    sums, squares = np.cumsum(sums), np.cumsum(squares)
    out = np.empty(len(first))
    for n in range(len(first)):
        n_blocks = (last[n] - first[n]) * n_down
        mean = (sums[last[n]] - sums[first[n]]) / n_blocks
        variance = (squares[last[n]] - squares[first[n]]) / n_blocks - mean * mean
        out[n] = np.sqrt(max(variance, 0.0))
    return out
