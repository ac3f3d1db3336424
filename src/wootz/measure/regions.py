"""Regions and lengths that measurements share: which pixels belong to a phase, how long a pixel is."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

IGNORE = 255
PixelSize = float | tuple[float, float] | None


def class_region(
    mask: NDArray[np.uint8],
    classes: Iterable[int],
    *,
    inside: Iterable[int] = (),
    fill_holes: bool = False,
) -> NDArray[np.bool_]:
    """Pixels that belong to a phase, with the cracks and pores that lie inside it.

    A pixel of an `inside` class (a crack, a pore) belongs to the phase that is nearest to it. So a crack that
    cuts through an oxide belongs to the oxide where it runs in it and to the steel where it runs on, and a
    pore on an interface is shared.

    Parameters
    ----------
    mask : (H, W) uint8
        Class ids, 255 = ignore. Ignored pixels are never part of a region.
    classes : iterable of int
        Ids that make up the phase.
    inside : iterable of int
        Ids without a place of their own; those that stand in `classes` are dropped from here.
    fill_holes : bool
        Add every hole that the region encloses, whatever its class. A hole open to the field border is not
        enclosed.

    Returns
    -------
    (H, W) bool
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"mask must be (H, W), not {mask.shape}")
    wanted = list(classes)
    region = np.isin(mask, wanted)
    shared = np.isin(mask, [c for c in inside if c not in wanted])
    known = ~shared & (mask != IGNORE)
    if shared.any() and region.any() and known.any():
        nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
        row, col = np.asarray(nearest)
        region |= shared & region[row, col]
    if fill_holes:
        region = filled(region)
    return region & (mask != IGNORE)


def filled(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Region with every hole that it encloses; a hole open to the field border is not enclosed."""
    return np.asarray(ndimage.binary_fill_holes(region), dtype=bool)


def pixel_lengths(pixel_size_nm: PixelSize) -> tuple[float, float, str]:
    """Height and width of a pixel and their unit: nm where the scale is known, else 1, 1, px.

    Raises
    ------
    ValueError
        For a size that is not positive. NaN counts as unknown.
    """
    if pixel_size_nm is None:
        return 1.0, 1.0, "px"
    pair = (pixel_size_nm, pixel_size_nm) if np.isscalar(pixel_size_nm) else tuple(pixel_size_nm)  # type: ignore[arg-type]
    row, col = (float(v) for v in pair)  # type: ignore[misc]
    if np.isnan(row) or np.isnan(col):
        return 1.0, 1.0, "px"
    if not (0 < row < np.inf and 0 < col < np.inf):
        raise ValueError(f"pixel_size_nm={pixel_size_nm!r} must be positive")
    return row, col, "nm"
