"""Features that nobody has to train: what learned ones are to be compared with."""

import numpy as np

LBP_RADII_PX = (1, 2, 4)
N_GREYS = 32


def grey_histogram(tiles: np.ndarray, *, n_bins: int = N_GREYS) -> np.ndarray:
    """Count grey levels: all that brightness alone can tell.

    Parameters
    ----------
    tiles : (N, H, W) float32
        On the scale of `wootz.intensity.scale`; values outside [0, 1] count in the outermost bins.
    n_bins : int

    Returns
    -------
    (N, n_bins) float32
        Shares, summing to 1.
    """
    levels = np.clip((tiles.reshape(len(tiles), -1) * n_bins).astype(np.int64), 0, n_bins - 1)
    counts = np.stack([np.bincount(row, minlength=n_bins) for row in levels])
    return (counts / levels.shape[1]).astype(np.float32)


def local_binary_patterns(tiles: np.ndarray) -> np.ndarray:
    """Count rotation-invariant uniform local binary patterns at three radii: texture without brightness.

    Parameters
    ----------
    tiles : (N, H, W) float32

    Returns
    -------
    (N, 54) float32
        Square roots of shares (8, 16 and 24 points at radii of 1, 2 and 4 px), so that the cosine compares
        histograms by their Bhattacharyya coefficient.

    References
    ----------
    Ojala et al. 2002, doi:10.1109/TPAMI.2002.1017623.
    """
    from skimage.feature import local_binary_pattern

    rows = []
    for tile in tiles:
        # 16 bits, since the comparison of neighbours needs whole numbers to be free of rounding
        whole = np.clip((tile + 1.0) / 3.0 * 65535.0, 0, 65535).astype(np.uint16)
        parts = []
        for radius in LBP_RADII_PX:
            n_points = 8 * (LBP_RADII_PX.index(radius) + 1)
            codes = local_binary_pattern(whole, n_points, radius, method="uniform").astype(np.int64)
            parts.append(np.bincount(codes.ravel(), minlength=n_points + 2) / codes.size)
        rows.append(np.concatenate(parts))
    return np.sqrt(np.stack(rows)).astype(np.float32)


def equalised_patterns(tiles: np.ndarray) -> np.ndarray:
    """Count local binary patterns of tiles after contrast-limited adaptive histogram equalisation (CLAHE).

    Parameters
    ----------
    tiles : (N, H, W) float32
        Values outside [0, 1] are cut.

    Returns
    -------
    (N, 54) float32
        As `local_binary_patterns`.

    References
    ----------
    Zuiderveld 1994, Graphics Gems IV, VIII.5; before clustering micrographs: Cohn & Holm 2021,
    arXiv:2007.08361.
    """
    from skimage.exposure import equalize_adapthist

    even = [equalize_adapthist(np.clip(tile, 0.0, 1.0)) for tile in tiles]
    return local_binary_patterns(np.stack(even).astype(np.float32))


def pixel_pca(tiles: np.ndarray, *, n_components: int = 64, side_px: int = 32) -> np.ndarray:
    """Project tiles, averaged down to `side_px` a side, on their principal components.

    Parameters
    ----------
    tiles : (N, H, W) float32
    n_components : int
        At most N and side_px squared are kept.
    side_px : int

    Returns
    -------
    (N, n_components) float32
    """
    from skimage.transform import resize
    from sklearn.decomposition import PCA

    small = [np.asarray(resize(tile, (side_px, side_px), anti_aliasing=True)) for tile in tiles]
    flat = np.stack(small).reshape(len(tiles), -1)
    n_kept = min(n_components, *flat.shape)
    return PCA(n_kept, svd_solver="full").fit_transform(flat).astype(np.float32)
