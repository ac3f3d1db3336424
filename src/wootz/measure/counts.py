"""How many objects there are per area, and how large, from their boxes and areas alone."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wootz.measure.intervals import Interval, bootstrap_interval, with_scale_error
from wootz.measure.particle import weighted_density
from wootz.measure.regions import PixelSize, pixel_lengths

BOX = ("row0", "col0", "row1", "col1")


@dataclass(frozen=True)
class ObjectCount:
    """Objects of one class in one field.

    n, n_inside : all objects, and those that do not reach the border of the field.
    density : objects per µm², or per megapixel without scale (`density_unit`), corrected for the border.
    mean_area : of an object, in `area_unit` (µm², else px²), corrected for the border.
    reference_area : the field, in µm² or megapixels.
    weights : (n,) how many objects each stands for; 0 for those that reach the border.
    """

    n: int
    n_inside: int
    density: Interval
    density_unit: str
    mean_area: Interval
    area_unit: str
    reference_area: float
    weights: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def count_objects(
    objects: pd.DataFrame,
    shape: tuple[int, int],
    *,
    rng: np.random.Generator,
    step_px: int = 1,
    pixel_size_nm: PixelSize = None,
    blocks: int = 4,
    pixel_size_rel_error: float = 0.0,
    confidence: float = 0.95,
    n_resamples: int = 2000,
) -> ObjectCount:
    """Count objects and estimate their number per area and their mean area without border bias.

    Parameters
    ----------
    objects : DataFrame
        The box ``row0, col0, row1, col1`` (px, end exclusive) and ``area_px`` of each.
    shape : (H, W), px
        Size of the field; all of it is the area of reference.
    rng : numpy.random.Generator
        Draws the bootstrap of the mean area.
    step_px : int, px, >= 1
        1 for objects out of a pixel mask; the side of a tile for objects that are made of whole tiles.
    pixel_size_nm : float, (row, col) pair of float, > 0, or None
    blocks : int, >= 2
        Along each side, for the interval of the density.
    pixel_size_rel_error, confidence, n_resamples
        As in `wootz.measure.particles`.

    Notes
    -----
    Miles and Lantuéjoul's weights as in `wootz.measure.particles`, for objects whose outlines lie on a grid
    of tiles: a region of box h x w that does not reach the border can lie in ``(H - s - h)(W - s - w)``
    px² of places, s being the side of a tile, and counts ``H W`` over that. With s = 1 px this is the formula
    for pixel masks. Misleads where objects are longer than a third of the field; an object that is larger
    than the field is never counted.

    References
    ----------
    R. E. Miles, in Stochastic Geometry (1974); C. Lantuéjoul, Microscope 28 (1980).
    """
    if not 1 <= step_px <= min(shape):
        raise ValueError(f"step_px={step_px} must be at least 1 and at most the sides of the field {shape}")
    height, width, unit = pixel_lengths(pixel_size_nm)
    inside, weights = grid_weights(objects, shape, step_px=step_px)
    per_px, density_unit = (height * width / 1e6, "1/µm²") if unit == "nm" else (1e-6, "1/Mpx")
    box = objects[list(BOX)].to_numpy(np.float64)
    centres = pd.DataFrame(
        {
            "row": (box[:, 0] + box[:, 2] - 1) / 2,
            "col": (box[:, 1] + box[:, 3] - 1) / 2,
            "weight": weights,
        }
    )
    region = np.ones(shape, bool)
    density = weighted_density(centres, region, area_per_px=per_px, confidence=confidence, blocks=blocks)
    n, n_inside = len(objects), int(inside.sum())
    if n and not n_inside:
        density = Interval(0.0, math.nan, math.nan, 0, density.method, f"all {n} reach the border")
    pixel_area, area_unit = (per_px, "µm²") if unit == "nm" else (1.0, "px²")
    areas = objects["area_px"].to_numpy(np.float64) * pixel_area
    mean_area = bootstrap_interval(areas, weights, rng=rng, confidence=confidence, n_resamples=n_resamples)
    mean_area = replace(mean_area, method=mean_area.method.replace("particles", "objects"),
                        reason=mean_area.reason.replace("particles", "objects"))  # fmt: skip
    if unit == "nm":
        density = with_scale_error(density, 2 * pixel_size_rel_error, confidence=confidence)
        mean_area = with_scale_error(mean_area, 2 * pixel_size_rel_error, confidence=confidence)
    area = float(shape[0] * shape[1]) * per_px
    notes = _notes(box, shape, n_cut=n - n_inside)
    return ObjectCount(n, n_inside, density, density_unit, mean_area, area_unit, area, weights, notes)


def grid_weights(
    objects: pd.DataFrame, shape: tuple[int, int], *, step_px: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which objects stay away from the border, and area of the field over the places where they would.

    Parameters are those of `count_objects`.
    """
    row0, col0, row1, col1 = objects[list(BOX)].to_numpy(np.int64).T
    H, W = shape
    inside = (row0 > 0) & (col0 > 0) & (row1 < H) & (col1 < W)
    places = np.maximum(H - step_px - (row1 - row0), 0) * np.maximum(W - step_px - (col1 - col0), 0)
    return inside, np.where(inside, H * W / np.maximum(places, 1), 0.0)


def _notes(box: NDArray[np.float64], shape: tuple[int, int], *, n_cut: int) -> tuple[str, ...]:
    notes = []
    if n_cut:
        notes.append(f"{n_cut} of {len(box)} objects reach the border of the field")
    sides = np.stack([box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]], axis=1)
    n_large = int((sides > np.asarray(shape) / 3).any(axis=1).sum())
    if n_large:
        notes.append(f"{n_large} longer than a third of the field: density and mean size are unreliable")
    return tuple(notes)
