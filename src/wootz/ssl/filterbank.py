"""Features of tiles from a bank of filters at several scales: brightness, edges, blobs and lines."""

from collections.abc import Callable

import numpy as np

SIGMAS_PX = (0.7, 1.4, 2.8, 5.6, 11.2)
FULL_PX = 2.0
"""Widths above this are computed on an image shrunk until they are below."""
STATISTICS = 4
"""Mean, standard deviation, smallest and largest value."""
N_FILTERS = 4 * len(SIGMAS_PX)
BLOCK_PX = 1024
MARGIN_PX = 64
"""Read around a block of a field: the widest filter reaches 48 px, and begins at a multiple of `STEP_PX`."""
STEP_PX = 8


def filter_bank(image: np.ndarray) -> np.ndarray:
    """Filter an image by Gaussians and their derivatives.

    Parameters
    ----------
    image : (H, W) float32

    Returns
    -------
    (20, H, W) float32
        For each of five widths (0.7 to 11.2 px): the smoothed image, the length of its gradient, and the
        larger and the smaller eigenvalue of its Hessian, derivatives multiplied by the width (squared) so
        that scales compare. Rotations by 90 degrees and mirroring only move the values.

    Notes
    -----
    Derivatives are central differences. Widths above 2 px are computed on an image shrunk 2, 4 or 8 times by
    means, where the differences are as much wider.

    References
    ----------
    Berg et al., ilastik, Nature Methods 16 (2019) 1226, doi 10.1038/s41592-019-0582-9 (such features);
    Lindeberg, Int. J. Comput. Vision 30 (1998) 79, doi 10.1023/A:1008045108935 (derivatives by scale).
    """
    out = np.empty((N_FILTERS, *image.shape), np.float32)
    for i, sigma in enumerate(SIGMAS_PX):
        factor = 2 ** max(0, int(np.ceil(np.log2(sigma / FULL_PX))))
        small = _derivatives(_shrunk(np.asarray(image, np.float32), factor), sigma / factor)
        for k, plane in enumerate(small):
            out[4 * i + k] = _grown(plane, factor, image.shape)
    return out


def describe_windows(
    field: np.ndarray, windows: np.ndarray, *, scale: Callable[[np.ndarray], np.ndarray] = np.asarray
) -> np.ndarray:
    """Describe windows of a field by what the filters say inside them.

    Parameters
    ----------
    field : (H, W) uint8, uint16 or float32
        May be memory-mapped: it is read in blocks of about 1024 px, so that a panorama needs no more memory
        than a field of view.
    windows : (n, 4) int
        Row, column, height and width, px.
    scale : callable
        Brings what is read, (h, w) of the dtype of the field, to the scale that the filters are to see,
        float32.

    Returns
    -------
    (n, 80) float32
        Mean, standard deviation, smallest and largest value of each filter, as if the whole field had been
        filtered. Wide filters see beyond the window.
    """
    out = np.empty((len(windows), STATISTICS * N_FILTERS), np.float32)
    blocks = windows[:, :2] // BLOCK_PX
    for block in np.unique(blocks, axis=0):
        own = np.flatnonzero((blocks == block).all(axis=1))
        first = np.maximum(windows[own, :2].min(axis=0) - MARGIN_PX, 0) // STEP_PX * STEP_PX
        last = -(-((windows[own, :2] + windows[own, 2:]).max(axis=0) + MARGIN_PX) // STEP_PX) * STEP_PX
        planes = filter_bank(scale(field[first[0] : last[0], first[1] : last[1]]))
        for at in own.tolist():
            row, col = (windows[at, :2] - first).tolist()
            height, width = windows[at, 2:].tolist()
            inside = planes[:, row : row + height, col : col + width].reshape(N_FILTERS, -1)
            said = (inside.mean(axis=1), inside.std(axis=1), inside.min(axis=1), inside.max(axis=1))
            out[at] = np.concatenate(said)
    return out


def _derivatives(image: np.ndarray, sigma: float) -> list[np.ndarray]:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(image, sigma, mode="reflect", truncate=3.0)
    by_row, by_col = (np.gradient(smooth, axis=axis) * sigma for axis in (0, 1))
    rows, cols = (np.gradient(by_row, axis=0) * sigma, np.gradient(by_col, axis=1) * sigma)
    mixed = np.gradient(by_row, axis=1) * sigma
    middle, half = (rows + cols) / 2, np.hypot((rows - cols) / 2, mixed)
    return [smooth, np.hypot(by_row, by_col), middle + half, middle - half]


def _shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of `factor` by `factor` pixels; the border is repeated to whole blocks."""
    if factor == 1:
        return image
    height, width = image.shape
    whole = np.pad(image, ((0, -height % factor), (0, -width % factor)), mode="edge")
    return whole.reshape(whole.shape[0] // factor, factor, -1, factor).mean((1, 3))


def _grown(plane: np.ndarray, factor: int, shape: tuple[int, ...]) -> np.ndarray:
    return plane.repeat(factor, 0).repeat(factor, 1)[: shape[0], : shape[1]]
