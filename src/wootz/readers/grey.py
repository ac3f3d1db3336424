"""Any recorded picture to one grey channel, uint8 or uint16, without losing a count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wootz.errors import ReadError

# Levels of 255 by which the channels of a grey picture may differ after JPEG has been through it.
_NEUTRAL_SPREAD = 8
_BLOCK_PIXELS = 1 << 22
# Share of a palette that must be a plain grey ramp for its indices to be the recorded grey levels.
_RAMP_SHARE = 0.85


@dataclass(frozen=True)
class Grey:
    """One channel, and how many pixels of each row were coloured."""

    pixels: np.ndarray
    coloured: np.ndarray | None = None
    notes: tuple[str, ...] = ()


def to_grey(
    array: np.ndarray, path: Path, *, palette: np.ndarray | None = None, inverted: bool = False
) -> Grey:
    """Return one grey channel of `array`.

    Parameters
    ----------
    array : (H, W) or (H, W, C), bool, integer or float
        C of 1 to 4: grey, grey and alpha, RGB, RGB and alpha. Alpha is dropped.
    path : Path
        Named in messages.
    palette : (3, N) uint16 or None
        Colours of the indices in `array`.
    inverted : bool
        Whether 0 is white in the file; the result is turned so that 0 is black.

    Returns
    -------
    Grey
        ``pixels`` (H, W) uint8 or uint16. Equal channels give exactly that channel. Otherwise Rec. 601 luma,
        (299 R + 587 G + 114 B) / 1000 rounded; ``coloured`` (H,) then counts the pixels of each row whose
        channels differ by more than 8 of 255 levels.

    Raises
    ------
    ReadError
        Values that are no counts of at most 16 bits; more than four channels.
    """
    notes: list[str] = []
    if array.ndim == 3 and array.shape[2] in (2, 4):
        if np.ptp(array[..., -1]):
            notes.append("the alpha channel, which is not constant, was dropped")
        array = array[..., :-1]
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or 0 in array.shape or (array.ndim == 3 and array.shape[2] != 3):
        raise ReadError(f"{path} holds an array {array.shape}; a micrograph has one, three or four channels.")
    counts, note = _as_counts(array, path)
    if note:
        notes.append(note)
    if palette is not None and counts.ndim == 2:
        return _from_palette(counts, palette, notes)
    if inverted and counts.ndim == 2:
        counts = np.iinfo(counts.dtype).max - counts
        notes.append("the file stores white as 0; turned so that bright is high")
    if counts.ndim == 2:
        return Grey(counts, notes=tuple(notes))
    return _from_rgb(counts, notes)


def _as_counts(array: np.ndarray, path: Path) -> tuple[np.ndarray, str]:
    """`array` as uint8 or uint16 with the same values; refused where that loses something."""
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255), "a picture of one bit, stored as 0 and 255"
    native = array.dtype.newbyteorder("=")
    if native in (np.uint8, np.uint16):
        return np.ascontiguousarray(array, dtype=native), ""
    if native.kind not in "iuf":
        raise ReadError(
            f"{path} holds {native.name} values; a micrograph holds counts. Export its magnitude."
        )
    low, high = float(array.min()), float(array.max())
    whole = np.issubdtype(native, np.integer) or (
        np.isfinite(low + high) and bool((array == np.rint(array)).all())
    )
    if whole and low >= 0 and high <= 65535:
        note = f"{native.name} that holds whole numbers up to {high:.0f}, read as uint16"
        return array.astype(np.uint16), note
    kind = "" if whole else ", not whole numbers"
    raise ReadError(
        f"{path} holds {native.name} values from {low:g} to {high:g}{kind}, which 16-bit counts cannot keep. "
        "Save it as 16-bit with a range of your choice (Fiji: set the display range, Image > Type > 16-bit)."
    )


def _from_palette(indices: np.ndarray, palette: np.ndarray, notes: list[str]) -> Grey:
    """SmartSEM stores grey levels as indices of a grey ramp, with a few indices kept for drawing colours."""
    n = palette.shape[1]
    levels = np.arange(n) * 65535 // max(1, n - 1)
    colours = palette.astype(np.int64)
    is_ramp = np.abs(colours - levels).max(axis=0) <= 257
    spread = colours.max(axis=0) - colours.min(axis=0) > _NEUTRAL_SPREAD * 257
    if is_ramp.mean() >= _RAMP_SHARE:
        table = np.arange(n)
    else:
        table = (_luma(colours.T[None])[0] + 128) // 257
        notes = [*notes, "palette colours replaced by their grey levels"]
    inside = np.minimum(indices, n - 1)
    pixels = table.astype(np.uint8 if n <= 256 else np.uint16)[inside]
    coloured = np.count_nonzero(spread[inside], axis=1) if spread.any() else None
    return Grey(pixels, coloured if coloured is not None and coloured.any() else None, tuple(notes))


def _from_rgb(rgb: np.ndarray, notes: list[str]) -> Grey:
    height, width = rgb.shape[:2]
    limit = _NEUTRAL_SPREAD * (257 if rgb.dtype == np.uint16 else 1)
    pixels = np.empty((height, width), rgb.dtype)
    coloured = np.zeros(height, np.int64)
    widest = 0
    step = max(1, _BLOCK_PIXELS // width)
    for row in range(0, height, step):  # in blocks: the sums need four bytes a channel
        block = rgb[row : row + step]
        first = block[..., 0]
        if np.array_equal(first, block[..., 1]) and np.array_equal(first, block[..., 2]):
            pixels[row : row + step] = first
            continue
        spread = block.max(axis=2) - block.min(axis=2)
        widest = max(widest, int(spread.max()))
        coloured[row : row + step] = np.count_nonzero(spread > limit, axis=1)
        pixels[row : row + step] = _luma(block)
    if widest and not coloured.any():
        notes = [*notes, f"channels differ by up to {widest} levels, as after JPEG; their luma was taken"]
    return Grey(pixels, coloured if coloured.any() else None, tuple(notes))


def _luma(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = (rgb[..., i].astype(np.uint32) for i in range(3))
    return (299 * red + 587 * green + 114 * blue + 500) // 1000


def check_colour(grey: Grey, path: Path, *, colour: str, info_bar: slice | None) -> tuple[str, ...]:
    """Return notes about colour outside the info bar.

    Raises
    ------
    ReadError
        Where there is some and `colour` is "refuse".
    """
    if grey.coloured is None:
        return ()
    outside = grey.coloured.copy()
    if info_bar is not None:
        outside[info_bar] = 0
    share = outside.sum() / grey.pixels.size
    if not share:
        return ("colours in the info bar alone",)
    what = f"{f'{share:.2g}' if share < 0.01 else f'{share:.0%}'} of its pixels are coloured"
    if colour == "refuse":
        raise ReadError(
            f"{path} is a colour picture ({what}): a map, a false-colour image or a grey one with "
            "drawings on it. Export the grey picture, or accept its luma with colour='luminance'."
        )
    return (f"{what}; their luma (299 R + 587 G + 114 B) / 1000 was taken",)
