"""Features of tiles from a bank of filters at several scales: brightness, edges, blobs and lines."""

import numpy as np

from wootz.apps.studies.tile_classes import windows_by_image
from wootz.tiles import TileSet

SIGMAS_PX = (0.7, 1.4, 2.8, 5.6, 11.2)
FULL_PX = 2.0
"""Widths above this are computed on an image shrunk until they are below."""
STATISTICS = 4
"""Mean, standard deviation, smallest and largest value."""


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
    out = np.empty((4 * len(SIGMAS_PX), *image.shape), np.float32)
    for i, sigma in enumerate(SIGMAS_PX):
        factor = 2 ** max(0, int(np.ceil(np.log2(sigma / FULL_PX))))
        small = _derivatives(_shrunk(np.asarray(image, np.float32), factor), sigma / factor)
        for k, plane in enumerate(small):
            out[4 * i + k] = _grown(plane, factor, image.shape)
    return out


def filtered_tiles(tiles: TileSet) -> np.ndarray:
    """Describe each tile by what the filters say inside it, computed on the whole field.

    Parameters
    ----------
    tiles : TileSet

    Returns
    -------
    (N, 80) float32
        Mean, standard deviation, smallest and largest value of each filter within the tile, on the common
        scale of intensities. Wide filters see beyond the tile.
    """
    out = np.empty((len(tiles), STATISTICS * 4 * len(SIGMAS_PX)), np.float32)
    for image_id, index, windows in windows_by_image(tiles):
        planes = filter_bank(tiles.archive.scaled_field(image_id))
        for at, (row, col, height, width) in zip(index.tolist(), windows.tolist(), strict=True):
            inside = planes[:, row : row + height, col : col + width].reshape(len(planes), -1)
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
