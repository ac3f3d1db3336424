"""Number, size and shape of particles, corrected for those that the field border cuts."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from wootz.measure.fractions import block_sums
from wootz.measure.intervals import Interval, bootstrap_interval, clipped, ratio_interval, with_scale_error
from wootz.measure.regions import PixelSize, filled, pixel_lengths
from wootz.measure.shapes import shape_table

QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class ParticleResult:
    """Particles of one class in one field; lengths are in `unit`, nm where the scale is known, else px.

    table : one row a particle: `row`, `col` of the centroid and the box `row0, col0, row1, col1` in px (row1,
    col1 exclusive), `area_px`, then with the unit as suffix `area_*2`, `ecd_*`, `feret_max_*`, `feret_min_*`,
    `perimeter_*`; `aspect` (Feret max / min), `solidity`, `inside` (not cut by the field border or by ignored
    pixels) and `weight` (Miles-Lantuéjoul; 0 where not inside).
    density : particles per µm², or per megapixel without scale (`density_unit`).
    mean_ecd, ecd_d10, ecd_d50, ecd_d90 : of the weighted number distribution, in `unit`.
    reference_area : area the density refers to, in µm² or megapixels.
    """

    table: pd.DataFrame
    unit: str
    density_unit: str
    n: int
    n_inside: int
    density: Interval
    mean_ecd: Interval
    ecd_d10: float
    ecd_d50: float
    ecd_d90: float
    mean_aspect: Interval
    reference_area: float
    notes: tuple[str, ...] = ()


def particles(
    labels: NDArray,
    *,
    rng: np.random.Generator,
    pixel_size_nm: PixelSize = None,
    within: NDArray[np.bool_] | None = None,
    ignore: NDArray[np.bool_] | None = None,
    min_area_px: int = 9,
    fill_holes: bool = True,
    pixel_size_rel_error: float = 0.0,
    confidence: float = 0.95,
    n_resamples: int = 2000,
) -> ParticleResult:
    """Measure particles and estimate their density and size without border bias.

    Parameters
    ----------
    labels : (H, W) bool, or integer with 0 = background
        A bool mask is cut into 8-connected pieces; integers name instances, touching ones included.
    rng : numpy.random.Generator
        Draws the bootstrap of the means.
    pixel_size_nm : float, (row, col) pair of float, > 0, or None
        None or NaN: results are in px.
    within : (H, W) bool or None
        Phase of reference: particles with at least half of their area in it count, and the density is per
        area of it. Its interfaces cut nothing, so only the field border enters the weights.
    ignore : (H, W) bool or None
        Unknown pixels; a particle whose box touches one counts as cut.
    min_area_px : int, >= 1
        Smaller pieces are left out; below about 9 px shape and Feret are noise.
    fill_holes : bool
        Holes enclosed by a piece belong to it (bool masks only).
    pixel_size_rel_error : float, >= 0
        Relative standard uncertainty of the pixel size, added to the intervals.
    confidence, n_resamples
        Coverage of the intervals; resamples of the bootstrap.

    Notes
    -----
    A particle of box h x w lies uncut in the field with a chance proportional to ``(H - h - 1)(W - w - 1)``;
    large ones are cut more often. Each uncut particle gets the weight ``H W / ((H - h - 1)(W - w - 1))``.
    Area is the pixel count, ``ECD = 2 sqrt(area / pi)``; for the rest see `shapes.shape_table`. Sizes are
    those of sections, not of bodies. Misleads where particles are larger than a third of the field, or touch
    and are not separated.

    References
    ----------
    R. E. Miles, in Stochastic Geometry (1974); C. Lantuéjoul, Microscope 28 (1980); ASTM E1245.
    """
    marked = _instances(np.asarray(labels), fill_holes=fill_holes)
    for name, other in (("within", within), ("ignore", ignore)):
        if other is not None and other.shape != marked.shape:
            raise ValueError(f"{name} {other.shape} and labels {marked.shape} differ in shape")
    height, width, unit = pixel_lengths(pixel_size_nm)
    kept = _renumbered(marked, within=within, min_area_px=min_area_px)
    table = shape_table(kept, height=height, width=width, unit=unit)
    window = np.ones(marked.shape, bool) if ignore is None else ~ignore
    region = window if within is None else window & within
    table["inside"], table["weight"] = border_weights(table, window)
    ecd = table[f"ecd_{unit}"].to_numpy()
    weight = table["weight"].to_numpy()
    mean_ecd = bootstrap_interval(ecd, weight, rng=rng, confidence=confidence, n_resamples=n_resamples)
    aspect = bootstrap_interval(
        table["aspect"], weight, rng=rng, confidence=confidence, n_resamples=n_resamples
    )
    area_per_px, density_unit = (height * width / 1e6, "1/µm²") if unit == "nm" else (1e-6, "1/Mpx")
    density = weighted_density(table, region, area_per_px=area_per_px, confidence=confidence)
    if unit == "nm":
        density = with_scale_error(density, 2 * pixel_size_rel_error, confidence=confidence)
        mean_ecd = with_scale_error(mean_ecd, pixel_size_rel_error, confidence=confidence)
    d10, d50, d90 = weighted_quantiles(ecd, weight, QUANTILES)
    n_inside = int(table["inside"].sum())
    notes = _notes(table, window)
    area = float(region.sum()) * area_per_px
    return ParticleResult(
        table, unit, density_unit, len(table), n_inside, density, mean_ecd, d10, d50, d90, aspect, area, notes
    )


def weighted_quantiles(
    values: NDArray[np.float64], weights: NDArray[np.float64], levels: tuple[float, ...]
) -> list[float]:
    """Quantiles of a weighted sample: the smallest value whose cumulated weight reaches the level."""
    keep = weights > 0
    if not keep.any():
        return [math.nan] * len(levels)
    order = np.argsort(values[keep])
    x, share = values[keep][order], np.cumsum(weights[keep][order])
    at = np.searchsorted(share / share[-1], np.asarray(levels) - 1e-12)
    return [float(x[i]) for i in np.minimum(at, x.size - 1)]


def size_distribution(result: ParticleResult, *, n_bins: int = 12) -> pd.DataFrame:
    """Weighted number distribution of the equivalent circle diameter over logarithmic bins.

    Returns
    -------
    DataFrame
        `low`, `high` in the unit of the result, `n` uncut particles, `frac` of the weighted number in [0, 1].
    """
    kept = result.table[result.table["inside"]]
    if kept.empty:
        return pd.DataFrame({"low": [], "high": [], "n": [], "frac": []}, dtype=float)
    ecd = kept[f"ecd_{result.unit}"].to_numpy()
    edges = np.geomspace(ecd.min() * 0.999, ecd.max() * 1.001, n_bins + 1)
    counts = np.histogram(ecd, edges)[0]
    weights = np.histogram(ecd, edges, weights=kept["weight"])[0]
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": counts, "frac": weights / weights.sum()})


def _instances(labels: NDArray, *, fill_holes: bool) -> NDArray[np.int32]:
    if labels.ndim != 2:
        raise ValueError(f"labels must be (H, W), not {labels.shape}")
    if labels.dtype != bool:
        if not np.issubdtype(labels.dtype, np.integer) or (labels.size and labels.min() < 0):
            raise ValueError(f"labels must be bool or non-negative integers, not {labels.dtype}")
        return labels.astype(np.int32)
    out = np.empty(labels.shape, np.int32)
    pieces = filled(labels) if fill_holes else labels
    ndimage.label(pieces, structure=np.ones((3, 3)), output=out)  # type: ignore[arg-type]
    return out


def _renumbered(
    labels: NDArray[np.int32], *, within: NDArray[np.bool_] | None, min_area_px: int
) -> NDArray[np.uint32]:
    """Labels 1..n of the particles that are large enough and lie in the phase of reference."""
    area = np.bincount(labels.ravel(), minlength=1)
    keep = area >= min_area_px
    keep[0] = False
    if within is not None:
        keep &= 2 * np.bincount(labels.ravel(), weights=within.ravel(), minlength=area.size) >= area
    return np.where(keep, np.cumsum(keep), 0).astype(np.uint32)[labels]


def border_weights(
    table: pd.DataFrame, window: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which boxes, with one pixel around them, lie in the window, and area over the places where they would.

    Without ignored pixels this is the closed form of Miles and Lantuéjoul; else the places are counted.
    """
    h = (table["row1"] - table["row0"]).to_numpy() + 2
    w = (table["col1"] - table["col0"]).to_numpy() + 2
    H, W = window.shape
    row, col = table["row0"].to_numpy() - 1, table["col0"].to_numpy() - 1
    inside = (row >= 0) & (col >= 0) & (row + h <= H) & (col + w <= W)
    places = np.maximum(H - h + 1, 0) * np.maximum(W - w + 1, 0).astype(float)
    if not window.all():
        total = np.pad(window.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        for size in {(int(a), int(b)) for a, b in zip(h[inside], w[inside], strict=True)}:
            a, b = size
            count = total[a:, b:] - total[:-a, b:] - total[a:, :-b] + total[:-a, :-b]
            full = count == a * b
            same = np.flatnonzero(inside & (h == a) & (w == b))
            places[same] = full.sum()
            inside[same] = full[row[same], col[same]]
    return inside, np.where(inside, window.sum() / np.maximum(places, 1), 0.0)


def weighted_density(
    table: pd.DataFrame, region: NDArray[np.bool_], *, area_per_px: float, confidence: float, blocks: int = 4
) -> Interval:
    """Weighted number per area with an interval over blocks of the region.

    Parameters
    ----------
    table : DataFrame
        ``row, col`` (px, inside the field) and ``weight`` of each object.
    region : (H, W) bool
        Area of reference.
    area_per_px : float, > 0
        In the unit of area that the density is per.
    confidence : float, in (0, 1)
    blocks : int, >= 2
        Along each side.
    """
    weights = np.zeros(region.shape)
    at = table["row"].round().astype(int), table["col"].round().astype(int)
    np.add.at(weights, at, table["weight"])
    a, A = block_sums(weights, region, blocks=blocks)
    area = float(region.sum()) * area_per_px
    if not a.any() and area > 0:
        # none in this area: the Poisson limit, which holds for particles placed at random
        limit = -math.log(1 - confidence) / area
        return Interval(0.0, 0.0, limit, 0, "Poisson limit for none seen")
    density = clipped(ratio_interval(a, A * area_per_px, confidence=confidence), 0.0, math.inf)
    return replace(density, method=f"Miles-Lantuéjoul weights, {density.method}")


def _notes(table: pd.DataFrame, window: NDArray[np.bool_]) -> tuple[str, ...]:
    notes = []
    n_cut = int((~table["inside"]).sum())
    if n_cut:
        notes.append(f"{n_cut} of {len(table)} particles are cut by the border or meet ignored pixels")
    large = (table["row1"] - table["row0"] > window.shape[0] / 3) | (
        table["col1"] - table["col0"] > window.shape[1] / 3
    )
    if large.any():
        notes.append(
            f"{int(large.sum())} longer than a third of the field: density and mean size are unreliable"
        )
    return tuple(notes)
