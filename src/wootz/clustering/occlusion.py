"""What in a tile makes it belong to its cluster: cover parts of it and see how far it moves away."""

from collections.abc import Callable

import numpy as np

Embed = Callable[[np.ndarray], np.ndarray]


def occlusion_map(
    tile: np.ndarray,
    embed: Embed,
    *,
    centroid: np.ndarray,
    patch_px: int,
    stride_px: int,
) -> np.ndarray:
    """Slide a patch of the tile's mean grey over it and measure the distance to the centroid.

    Parameters
    ----------
    tile : (H, W) float32
        On the scale of `wootz.intensity.scale`.
    embed : callable
        (N, H, W) float32 tiles to (N, D) features, prepared as those that were clustered.
    centroid : (D,) float
        Of the tile's cluster.
    patch_px, stride_px : int, px, >= 1
        Side of the patch, at most that of the tile, and its step.

    Returns
    -------
    (H, W) float64
        By how much the distance to the centroid grows with what lies there covered, averaged over the patches
        that cover a pixel. Above 0: it speaks for the cluster; below: against it.

    Raises
    ------
    ValueError
        If the patch or step is out of range.

    Notes
    -----
    A covered part is a flat part with sharp edges, which may be a feature of its own: where everything is
    positive, differences within the map say more than its level.

    References
    ----------
    Zeiler & Fergus 2014, doi 10.1007/978-3-319-10590-1_53, section 4.2.
    """
    height, width = tile.shape
    if not (1 <= patch_px <= min(height, width) and 1 <= stride_px <= patch_px):
        raise ValueError(f"need 1 <= stride_px <= patch_px <= {min(height, width)}")
    corners = [
        (r, c) for r in _starts(height, patch_px, stride_px) for c in _starts(width, patch_px, stride_px)
    ]
    covered = np.repeat(tile[None].astype(np.float32), len(corners) + 1, axis=0)
    for i, (r, c) in enumerate(corners, start=1):
        covered[i, r : r + patch_px, c : c + patch_px] = tile.mean()
    distance = np.linalg.norm(embed(covered).astype(np.float64) - centroid, axis=1)
    total, times = np.zeros(tile.shape), np.zeros(tile.shape)
    for i, (r, c) in enumerate(corners, start=1):
        total[r : r + patch_px, c : c + patch_px] += distance[i] - distance[0]
        times[r : r + patch_px, c : c + patch_px] += 1
    return total / times


def _starts(side: int, patch_px: int, stride_px: int) -> list[int]:
    """List where patches begin, the last one flush with the border."""
    return sorted({*range(0, side - patch_px + 1, stride_px), side - patch_px})
