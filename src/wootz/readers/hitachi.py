"""Hitachi: a ``.txt`` with ``[SemImageFile]`` beside the picture."""

from __future__ import annotations

import re
from typing import Any

from wootz.readers.findings import Check, Findings, Header
from wootz.readers.sidefiles import side_text
from wootz.readers.text import iso_date, length_mm, length_nm, magnification, number, parse_ini, voltage_kv

_SECTIONS = ("SemImageFile", "TemImageFile")


def read_hitachi(header: Header) -> Findings | None:
    """Return findings of the ``.txt`` of a Hitachi microscope, or None where there is none.

    Notes
    -----
    ``PixelSize`` (nm). ``DataSize`` is the size of the picture as taken: a file of another width
    contradicts the scale. Without ``PixelSize`` the scale is unknown: ``Magnification`` refers to a photo
    of 127 mm or to a screen, as the operator chose, and the file does not say which.
    """
    name, text = side_text(header.path, "txt", names=header.side_names)
    sections = parse_ini(text)
    keys = next((sections[s] for s in _SECTIONS if s in sections), None)
    if keys is None:
        return None
    size = length_nm(keys.get("PixelSize"), "nm")
    data_size = re.match(r"(\d+)\s*[xX*]\s*(\d+)", keys.get("DataSize") or "")
    checks, bar = (), None
    if data_size and int(data_size[1]) > 0:
        width, height = int(data_size[1]), int(data_size[2])
        what = f"DataSize {width} px against a file {header.width_px} px wide"
        checks = (Check(what, size * width / header.width_px),) if size else ()
        # A taller file carries the bar below; in one of the same height it may lie over the picture.
        bar = header.height_px - height if width == header.width_px and height < header.height_px else None
    return Findings(
        vendor="Hitachi",
        raw=dict(keys),
        pixel_size_nm=(size, size) if size else None,
        source=f"Hitachi side file {name} PixelSize" if size else "",
        checks=checks,
        info_bar_px=bar,
        normalised=_normalise(keys),
        notes=() if size else (f"Hitachi side file {name} holds no PixelSize; scale unknown",),
    )


def _normalise(keys: dict[str, str]) -> dict[str, Any]:
    return {
        "instrument": keys.get("InstructName") or keys.get("InstrumentName") or "Hitachi",
        "hv_kv": voltage_kv(keys.get("AcceleratingVoltage")),
        "wd_mm": length_mm(keys.get("WorkingDistance"), "um"),
        "detector": keys.get("SignalName") or keys.get("Signal"),
        "magnification": magnification(keys.get("Magnification")),
        "date": iso_date(keys.get("Date"), keys.get("Time") or ""),
        **{f"stage_{a}_mm": length_mm(keys.get(f"StagePosition{a.upper()}"), "nm") for a in "xyz"},
        "tilt_deg": number(keys.get("StagePositionT")),
    }
