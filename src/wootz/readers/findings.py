"""What a vendor's metadata say, and the one place that decides on a scale."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wootz.errors import ReadError

NORMALISED_KEYS = (
    "instrument", "hv_kv", "wd_mm", "detector", "magnification", "date",
    "stage_x_mm", "stage_y_mm", "stage_z_mm", "tilt_deg",
)  # fmt: skip
# Two statements about one scale may differ by their rounding, not by more.
SCALE_TOLERANCE = 0.02
# 1 pm to 1 cm per pixel: what lies outside is a broken number, not an image.
PLAUSIBLE_NM = (1e-3, 1e7)


@dataclass(frozen=True)
class Header:
    """What a vendor's parser may look at: tags, size of the picture, the file itself for its side files.

    ``side_names`` are the names beside the file, where somebody has listed them (see `SideNames`).
    """

    path: Path
    height_px: int
    width_px: int
    tags: dict[int, Any] = field(default_factory=dict)
    tail: bytes = b""
    side_names: frozenset[str] | None = None


@dataclass(frozen=True)
class Check:
    """A second statement about the pixel size, from another key."""

    what: str
    pixel_size_nm: float
    axis: int = 1
    tolerance: float = SCALE_TOLERANCE


@dataclass(frozen=True)
class Findings:
    """What one vendor's metadata say about a file.

    ``info_bar_px`` is None where the metadata do not say, 0 where they say that there is none.
    """

    vendor: str
    raw: dict[str, Any]
    pixel_size_nm: tuple[float, float] | None = None
    source: str = ""
    checks: tuple[Check, ...] = ()
    info_bar_px: int | None = None
    normalised: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """The decision: a pixel size and where it came from, or None and why."""

    pixel_size_nm: tuple[float, float] | None
    source: str
    notes: tuple[str, ...] = ()


def settle_scale(findings: Findings, path: Path, *, contradiction: str = "refuse") -> Scale:
    """Pixel size of `findings` after its cross-checks.

    Parameters
    ----------
    findings : Findings
    path : Path
        Named in messages.
    contradiction : {"refuse", "unknown"}
        What to do where two statements differ by more than their tolerance (2 %).

    Raises
    ------
    ReadError
        On a contradiction, unless `contradiction` is "unknown"; then the scale is None, with a note.
    """
    size = findings.pixel_size_nm
    if size is None:
        return Scale(None, "", findings.notes)
    if not all(PLAUSIBLE_NM[0] <= s <= PLAUSIBLE_NM[1] for s in size):
        note = f"{findings.source} gives {size[1]:g} nm per pixel, which no microscope has; scale unknown"
        return Scale(None, "", (*findings.notes, note))
    for check in findings.checks:
        stated = size[check.axis]
        if abs(check.pixel_size_nm / stated - 1) > check.tolerance:
            message = (
                f"{path}: the metadata contradict each other: {findings.source} gives {stated:.5g} nm per "
                f"pixel, {check.what} gives {check.pixel_size_nm:.5g}. Was the picture cropped or resized "
                "after it was taken?"
            )
            if contradiction == "refuse":
                raise ReadError(f"{message} Use the original file, or read it with scale='unknown'.")
            return Scale(None, "", (*findings.notes, f"{message} Its scale counts as unknown."))
    return Scale(size, findings.source, findings.notes)


def normalised_metadata(found: dict[str, Any]) -> dict[str, Any]:
    """All normalised keys, None where the file does not say."""
    return {key: found.get(key) for key in NORMALISED_KEYS}


def with_note(findings: Findings, note: str) -> Findings:
    """Return `findings` with one more note."""
    return dataclasses.replace(findings, notes=(*findings.notes, note))
