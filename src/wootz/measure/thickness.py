"""Layer thickness: the chord of the layer along the local normal of its mid-line."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from wootz.measure.intervals import Interval, block_interval, with_scale_error
from wootz.measure.midline import (
    Midline,
    free_ends,
    layer_pieces,
    runs_vertically,
    trace_midline,
    whole_columns,
)
from wootz.measure.normals import STATES, Chords, drop_ends, walk_normals
from wootz.measure.regions import PixelSize, filled, pixel_lengths

MIN_COLUMNS = 8


def _no_values() -> NDArray[np.float64]:
    return np.empty(0)


def _no_points() -> NDArray[np.float64]:
    return np.empty((0, 2))


@dataclass(frozen=True)
class LayerThickness:
    """Thickness of one layer in one field. Lengths are in `unit`, nm where the pixel size is known, else px.

    status : "ok"; "censored": the layer leaves the field across its thickness, the values are lower bounds
    and `mean.ci_high` is infinite; "failed": nothing could be measured, `reason` says why.
    smoothing : cut-off wavelength of the mid-line filter, in `unit`.
    mean : over equal steps along the mid-line, with an interval over decorrelated blocks.
    covered_frac : share of the mid-line that has layer, in [0, 1]; gaps and through-cracks lower it.
    position, thickness : (N,) arc length along the mid-line and chord, NaN where `state` is not measured.
    state : (N,) one of "measured"; "missing": no layer here; "cut": the normal leaves the field inside the
    layer, across it; "side": it leaves through the border at the layer's side, which biases nothing; "end":
    closer than half a thickness to an end of the layer within the field; "ignored": it meets ignored pixels.
    midline_px, start_px, end_px : (N, 2) row, col of the mid-line and of the outer ends of each chord.
    """

    status: str
    reason: str
    unit: str
    smoothing: float
    mean: Interval
    median: float = math.nan
    std: float = math.nan
    covered_frac: float = math.nan
    n_measured: int = 0
    vertical: bool = False
    notes: tuple[str, ...] = ()
    position: NDArray[np.float64] = field(default_factory=_no_values, repr=False)
    thickness: NDArray[np.float64] = field(default_factory=_no_values, repr=False)
    state: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, "<U8"), repr=False)
    midline_px: NDArray[np.float64] = field(default_factory=_no_points, repr=False)
    start_px: NDArray[np.float64] = field(default_factory=_no_points, repr=False)
    end_px: NDArray[np.float64] = field(default_factory=_no_points, repr=False)


def layer_thickness(
    mask: NDArray[np.bool_],
    *,
    pixel_size_nm: PixelSize = None,
    smoothing_px: float | None = None,
    smoothing_nm: float | None = None,
    fill_holes: bool = True,
    overhangs: str = "material",
    orientation: str = "auto",
    section_tilt_deg: float = 0.0,
    pixel_size_rel_error: float = 0.0,
    ignore: NDArray[np.bool_] | None = None,
    confidence: float = 0.95,
) -> LayerThickness:
    """Thickness of a layer along the local normal of its mid-line.

    Parameters
    ----------
    mask : (H, W) bool
        Pixels of the layer, cracks and pores inside it included (`class_region` puts them there).
    pixel_size_nm : float, (row, col) pair of float, > 0, or None
        None or NaN: results are in px. Unequal sizes are handled; a field foreshortened by stage tilt
        needs its true row size here.
    smoothing_px, smoothing_nm : float, > 0, or None
        Cut-off wavelength of the Gaussian filter (ISO 16610-21) that makes the mid-line; only one of them.
        Waviness longer than this turns the normal, shorter roughness does not. With neither it is twice the
        median thickness along the columns, at least 50 px. The chord itself ends on the mask's outline.
    fill_holes : bool
        Holes enclosed by the layer belong to it.
    overhangs : {"material", "span"}
        "material" adds the lengths inside the layer along the normal (area per length of layer), "span" goes
        from the first to the last crossing, over pockets that open to the outside.
    orientation : {"auto", "horizontal", "vertical"}
        The way the layer runs; "auto" finds it. Layers tilted up to 60 degrees against it are measured.
    section_tilt_deg : float, in [0, 80]
        Angle between the section and the plane normal to the layer; thickness is multiplied by its cosine.
    pixel_size_rel_error : float, >= 0
        Relative standard uncertainty of the pixel size, added to the interval.
    ignore : (H, W) bool or None
        Pixels of unknown class; a normal that meets one within or beside the layer is not measured.
    confidence : float, in (0, 1)
        Coverage of the interval of the mean.

    Returns
    -------
    LayerThickness
        Also for a layer that cannot be measured: then `status` is "failed" and `reason` says why.

    Raises
    ------
    ValueError
        For an array that is not (H, W), or an argument out of range.

    Notes
    -----
    Definition and its limits: docs/measurements.md. ISO 9220 and ASTM B748 define the thickness normal to the
    layer on a cross-section in the SEM. The vertical thickness is too large by 1 / cos of the local slope.
    """
    mask = _checked(mask, ignore, overhangs=overhangs, orientation=orientation, tilt=section_tilt_deg)
    height, width, unit = pixel_lengths(pixel_size_nm)
    cutoff = _cutoff(smoothing_px, smoothing_nm, height=height, width=width, unit=unit)
    if not mask.any():
        return _failed("no pixel of the layer in this field", unit=unit, smoothing=cutoff)
    vertical = orientation == "vertical" or (orientation == "auto" and runs_vertically(mask))
    if vertical:
        mask, (height, width) = mask.T, (width, height)
    if fill_holes:
        mask = filled(mask)
    mask, notes = layer_pieces(mask)
    columns = mask.any(0)
    if columns.sum() < MIN_COLUMNS:
        reason = f"the layer is {columns.sum()} px long; at least {MIN_COLUMNS} px are needed for a normal"
        return _failed(reason, unit=unit, smoothing=cutoff, notes=notes)
    if cutoff is None:
        cutoff = max(2 * float(np.median(mask.sum(0)[columns])) * height, 50 * width)
    unknown = None if ignore is None else (ignore.T if vertical else ignore)
    known = whole_columns(mask, unknown)
    if known.sum() < MIN_COLUMNS:
        return _failed("ignored pixels leave no layer to measure", unit=unit, smoothing=cutoff, notes=notes)
    line = trace_midline(mask, known=known, height=height, width=width, cutoff=cutoff)
    chords = walk_normals(mask, line, unknown, height=height, width=width, span=overhangs == "span")
    chords = drop_ends(chords, line, free=free_ends(mask))
    result = _summarise(chords, line, factor=math.cos(math.radians(section_tilt_deg)), confidence=confidence)
    result = replace(result, unit=unit, smoothing=cutoff, notes=(*notes, *result.notes), vertical=vertical)
    if result.status != "failed":
        result = replace(
            result, mean=with_scale_error(result.mean, pixel_size_rel_error, confidence=confidence)
        )
    return _in_pixels(result, line, chords, pitch=(height, width))


def _checked(mask, ignore, *, overhangs: str, orientation: str, tilt: float) -> NDArray[np.bool_]:
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"mask must be (H, W), not {mask.shape}")
    if ignore is not None and ignore.shape != mask.shape:
        raise ValueError(f"ignore {ignore.shape} and mask {mask.shape} differ in shape")
    if overhangs not in ("material", "span"):
        raise ValueError(f"overhangs={overhangs!r} must be 'material' or 'span'")
    if orientation not in ("auto", "horizontal", "vertical"):
        raise ValueError(f"orientation={orientation!r} must be 'auto', 'horizontal' or 'vertical'")
    if not 0 <= tilt <= 80:
        raise ValueError(f"section_tilt_deg={tilt!r} must lie between 0 and 80")
    return mask.astype(bool)


def _cutoff(px: float | None, nm: float | None, *, height: float, width: float, unit: str) -> float | None:
    """Smoothing length in the result's unit; None where the layer decides."""
    if px is not None and nm is not None:
        raise ValueError("give smoothing_px or smoothing_nm, not both")
    if px is None and nm is None:
        return None
    if nm is not None and unit == "px":
        raise ValueError("smoothing_nm needs a pixel size; this field has none: give smoothing_px")
    value = float(nm) if nm is not None else float(px) * math.sqrt(height * width)  # type: ignore[arg-type]
    if not 0 < value < math.inf:
        raise ValueError(f"the smoothing length {value!r} must be positive")
    return value


def _failed(reason: str, *, unit: str, smoothing: float | None, notes=()) -> LayerThickness:
    nothing = Interval(math.nan, math.nan, math.nan, 0, "none", reason)
    return LayerThickness(
        "failed", reason, unit, math.nan if smoothing is None else smoothing, nothing, notes=tuple(notes)
    )


def _summarise(chords: Chords, line: Midline, *, factor: float, confidence: float) -> LayerThickness:
    n = {state: int((chords.state == state).sum()) for state in STATES}
    n_layer = line.arc.size - n["missing"] - n["ignored"]
    covered = n_layer / max(n_layer + n["missing"], 1)
    if n["measured"] < MIN_COLUMNS:
        reason = f"only {n['measured']} normals end inside the field ({n['cut']} leave it inside the layer)"
        result = _failed(reason, unit="", smoothing=None)
        return replace(result, covered_frac=covered, position=line.arc, state=chords.state)
    used = np.isin(chords.state, ("measured", "cut"))
    values = np.where(used, chords.length * factor, np.nan)
    mean = block_interval(values, confidence=confidence)
    status, reason, notes = "ok", mean.reason, []
    if n["cut"]:
        status = "censored"
        reason = f"{n['cut']} of {int(used.sum())} normals leave the field inside the layer: lower bounds"
        mean = replace(mean, ci_high=math.inf, reason=reason)
    if n["missing"]:
        notes.append(f"{100 * (1 - covered):.2g} % of the mid-line has no layer")
    return LayerThickness(
        status, reason, "", math.nan, mean,
        median=float(np.nanmedian(values)), std=float(np.nanstd(values, ddof=1)), covered_frac=covered,
        n_measured=n["measured"], notes=tuple(notes), position=line.arc,
        thickness=np.where(chords.state == "measured", values, np.nan), state=chords.state,
    )  # fmt: skip


def _in_pixels(
    result: LayerThickness, line: Midline, chords: Chords, *, pitch: tuple[float, float]
) -> LayerThickness:
    """Attach mid-line and chord ends as (row, col) of the field."""
    cosine = 1 / np.hypot(1, line.slope)

    def points(t: NDArray[np.float64] | float) -> NDArray[np.float64]:
        row = (line.across + cosine * t) / pitch[0]
        col = (line.along - line.slope * cosine * t) / pitch[1]
        return np.stack([col, row] if result.vertical else [row, col], axis=1)

    return replace(result, midline_px=points(0.0), start_px=points(chords.first), end_px=points(chords.last))
