"""Chords of a layer along the normals of its mid-line."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wootz.measure.midline import Midline

STATES = ("measured", "missing", "cut", "side", "end", "ignored")


@dataclass(frozen=True)
class Chords:
    """Chords along the normals: lengths, states, and the signed distances of their outer ends."""

    length: NDArray[np.float64]
    state: NDArray[np.str_]
    first: NDArray[np.float64]
    last: NDArray[np.float64]


def walk_normals(mask, line: Midline, ignore, *, height: float, width: float, span: bool) -> Chords:
    """Walk along every normal in quarter-pixel steps through the bilinear mask and measure what is inside."""
    n_rows, n_cols = mask.shape
    rows = np.flatnonzero(mask.any(1))
    columns = mask.any(0)
    deepest = mask.shape[0] - np.argmax(mask[::-1], 0) - np.argmax(mask, 0)
    reach = min(float(deepest[columns].max()) * height, (rows[-1] - rows[0] + 1) * height) + 2 * height
    step = min(height, width) / 4
    t = np.arange(-math.ceil(reach / step), math.ceil(reach / step) + 1) * step
    values = mask.astype(np.float32)
    parts = []
    # normals in batches, so that a panorama needs no more memory than a field
    for rows_ in np.array_split(np.arange(line.along.size), max(1, line.along.size * t.size // 4_000_000)):
        cosine = 1 / np.hypot(1, line.slope[rows_, None])
        col = (line.along[rows_, None] - line.slope[rows_, None] * cosine * t) / width
        row = (line.across[rows_, None] + cosine * t) / height
        inside = (row >= -0.5) & (row <= n_rows - 0.5) & (col >= -0.5) & (col <= n_cols - 0.5)
        sampled = ndimage.map_coordinates(values, [row, col], order=1, mode="nearest")
        sampled = np.where(inside, sampled, 0.0)
        state = _leaves_field(sampled, inside, row, n_rows)
        if ignore is not None:
            met = ndimage.map_coordinates(ignore.astype(np.uint8), [row, col], order=0, mode="nearest") > 0
            state[_meets(sampled, met & inside, margin=8)] = "ignored"
        parts.append((*_lengths(sampled, t, span=span), state))
    length, first, last, state = (np.concatenate(p) for p in zip(*parts, strict=True))
    state[(length <= 0) & (state != "ignored")] = "missing"
    return Chords(length, state, first, last)


def _lengths(sampled, t, *, span: bool):
    """Length above 0.5 along each ray with linear crossings, and where it starts and ends."""
    a, b = sampled[:, :-1] - 0.5, sampled[:, 1:] - 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where(a * b < 0, np.abs(a) / (np.abs(a) + np.abs(b)), 0.0)
    both = (a >= 0) & (b >= 0) & (a + b > 0)
    part = np.where(both, 1.0, np.where(a > 0, crossing, np.where(b > 0, 1 - crossing, 0.0)))
    step = t[1] - t[0]
    any_part = part > 0
    begin, stop = any_part.argmax(1), part.shape[1] - 1 - any_part[:, ::-1].argmax(1)
    row = np.arange(part.shape[0])
    first = t[begin + 1] - part[row, begin] * step
    last = t[stop] + part[row, stop] * step
    length = part.sum(1) * step
    some = any_part.any(1)
    return (
        np.where(some, last - first if span else length, 0.0),
        np.where(some, first, np.nan),
        np.where(some, last, np.nan),
    )


def _leaves_field(sampled, inside, row, n_rows: int):
    """State of each ray: measured, cut by the border across the layer, or by the border at its side."""
    state = np.full(sampled.shape[0], "measured", dtype="<U8")
    edge_in = inside & ~(np.roll(inside, 1, 1) & np.roll(inside, -1, 1))
    edge_in[:, [0, -1]] = False
    at_edge = edge_in & (sampled >= 0.5)
    lies_across = (row < 0.5) | (row > n_rows - 1.5)
    state[(at_edge & ~lies_across).any(1)] = "side"
    state[(at_edge & lies_across).any(1)] = "cut"
    return state


def _meets(sampled, met, *, margin: int):
    """Rays whose layer part, widened by `margin` steps, meets an ignored pixel."""
    layer = ndimage.maximum_filter1d((sampled >= 0.5).astype(np.uint8), 2 * margin + 1, axis=1) > 0
    return (layer & met).any(1)


def drop_ends(chords: Chords, line: Midline, *, free: tuple[bool, bool]) -> Chords:
    """Leave out what lies closer than half a thickness to an end of the layer inside the field."""
    known = chords.length[chords.state == "measured"]
    if not known.size or not any(free):
        return chords
    half = float(np.median(known)) / 2
    near = np.zeros(line.arc.size, bool)
    near |= free[0] & (line.arc < half)
    near |= free[1] & (line.arc > line.arc[-1] - half)
    return replace(chords, state=np.where(near & (chords.state == "measured"), "end", chords.state))
