"""Small versions of large fields, at the speed of memory, in any thread."""

import numpy as np

from wootz.compiled import compiled


def shrink(pixels: np.ndarray, width_px: int) -> np.ndarray:
    """Average a field down to `width_px` columns, the rows by the same factor.

    Parameters
    ----------
    pixels : (H, W) uint8 or uint16
    width_px : int, >= 1
        Columns of the result; a narrower field keeps its size.

    Returns
    -------
    (h, w) float32
        Means over bins whose sizes differ by at most 1 px, in grey levels.
    """
    height, width = pixels.shape
    n_cols = min(width_px, width)
    n_rows = max(1, round(height * n_cols / width))
    rows = np.arange(n_rows + 1, dtype=np.int64) * height // n_rows
    cols = np.arange(n_cols + 1, dtype=np.int64) * width // n_cols
    return compiled(_bin_means)(np.ascontiguousarray(pixels), rows, cols)


def _bin_means(pixels: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Sum the lines of each bin column by column (a loop that vectorises), then columns by running sums."""
    n_rows, n_cols = len(rows) - 1, len(cols) - 1
    out = np.empty((n_rows, n_cols), np.float32)
    sums = np.empty(pixels.shape[1], np.uint32)
    before = np.zeros(pixels.shape[1] + 1, np.uint64)  # all columns to the left of each
    for i in range(n_rows):
        sums[:] = 0
        for row in range(rows[i], rows[i + 1]):
            line = pixels[row]
            for col in range(line.size):
                sums[col] += line[col]
        n_lines = rows[i + 1] - rows[i]
        total = np.uint64(0)
        for col in range(sums.size):
            total += np.uint64(sums[col])
            before[col + 1] = total
        for j in range(n_cols):
            total = before[cols[j + 1]] - before[cols[j]]
            out[i, j] = total / (n_lines * (cols[j + 1] - cols[j]))
    return out
