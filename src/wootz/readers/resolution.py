"""Scales without a vendor: ImageJ's unit, and resolution tags where they can only mean a specimen."""

from __future__ import annotations

from typing import Any

from wootz.readers.findings import Findings, Header
from wootz.readers.text import LENGTH_NM, parse_ini

# Screens and printers reach 9600 dots per inch, 2.6 um a dot. A finer "resolution" is a specimen's.
# 72, 96, 300 and 600 dpi say how large to print the picture and nothing about the specimen.
FINEST_PRINTER_NM = 2000.0
_X, _Y, _UNIT, _DESCRIPTION = 282, 283, 296, 270
_UNIT_NM = {2: 25.4e6, 3: 1e7}


def resolution_nm(header: Header) -> tuple[float, float] | None:
    """(row, column) pixel size in nm from the resolution tags, or None where they could mean paper."""
    unit = _UNIT_NM.get(_int(header.tags.get(_UNIT, 2)))
    x, y = ratio(header.tags.get(_X)), ratio(header.tags.get(_Y))
    if unit is None or not x:
        return None
    size = (unit / (y or x), unit / x)
    return size if max(size) < FINEST_PRINTER_NM else None


def read_imagej(header: Header) -> Findings | None:
    """Return findings of a file saved by ImageJ or Fiji, or None where `header` is not one.

    ImageJ writes its unit into the description and pixels per unit into XResolution. "inch" and "cm" are
    what it keeps of a printer's resolution, so they count only where no printer is that fine.
    """
    text = header.tags.get(_DESCRIPTION)
    if not isinstance(text, str) or not text.startswith("ImageJ="):
        return None
    keys = parse_ini(text).get("", {})
    unit = keys.get("unit", "").replace("\\u00B5", "µ").lower()
    factor = LENGTH_NM.get(unit)
    x, y = ratio(header.tags.get(_X)), ratio(header.tags.get(_Y))
    size = (factor / (y or x), factor / x) if factor and x else None
    if size and unit in ("inch", "cm") and max(size) >= FINEST_PRINTER_NM:
        size = None
    notes = [] if size else ["saved by ImageJ without a physical scale; scale unknown"]
    if keys.get("images", "1") != "1":
        notes.append(f"ImageJ stack of {keys['images']} slices; the first is read")
    source = f"ImageJ unit {unit}" if size else ""
    return Findings("ImageJ", dict(keys), pixel_size_nm=size, source=source, notes=tuple(notes))


def read_resolution(header: Header) -> Findings:
    """Return what the resolution tags of a file without any vendor's metadata say."""
    size = resolution_nm(header)
    if size:
        return Findings("", {}, pixel_size_nm=size, source="resolution tags (finer than any printer)")
    note = "no pixel size in the file or beside it; scale unknown"
    return Findings("", {}, notes=(note,))


def ratio(value: Any) -> float | None:
    """Return the number, > 0, in a rational tag (top, bottom) or in a plain one."""
    if isinstance(value, (tuple, list)) and len(value) == 2:
        top, bottom = value
        return top / bottom if top and bottom and top > 0 and bottom > 0 else None
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _int(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
