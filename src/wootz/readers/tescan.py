"""Tescan: key-value text in tag 50431, or in a ``.hdr`` beside the picture."""

from __future__ import annotations

from typing import Any

from wootz.readers.findings import Findings, Header
from wootz.readers.sidefiles import side_text
from wootz.readers.text import (
    decode,
    iso_date,
    length_mm,
    length_nm,
    magnification,
    number,
    parse_ini,
    voltage_kv,
)

_TAG = 50431
_JPEG_END = b"\xff\xd9"


def read_tescan(header: Header) -> Findings | None:
    """Return findings of a Tescan file, or None where `header` is not one.

    Notes
    -----
    ``PixelSizeX`` and ``PixelSizeY`` (m). Tag 50431 begins with a thumbnail; the text stands behind the
    end of that JPEG. ``ImageStripSize`` rows at the bottom are the info bar. Several detectors side by
    side in one picture (``ViewFieldsCountX`` > 1) are told in a note.
    """
    where, keys = "tag 50431", _tag_keys(header.tags.get(_TAG))
    if "PixelSizeX" not in keys:
        name, text = side_text(header.path, "hdr", names=header.side_names)
        where, keys = f"side file {name}", _flatten(text)
    if "PixelSizeX" not in keys:
        return None
    width = length_nm(keys["PixelSizeX"], "m")
    height = length_nm(keys.get("PixelSizeY"), "m")
    strip = number(keys.get("ImageStripSize"))
    notes = [] if width else [f"Tescan {where} holds no usable PixelSizeX; scale unknown"]
    fields = [int(number(keys.get(f"ViewFieldsCount{axis}")) or 1) for axis in "XY"]
    if fields != [1, 1]:
        notes.append(f"the picture holds {fields[0]} x {fields[1]} view fields side by side")
    return Findings(
        vendor="Tescan",
        raw=dict(keys),
        pixel_size_nm=(height or width, width) if width else None,
        source=f"Tescan {where} PixelSizeX" if width else "",
        info_bar_px=int(strip) if strip is not None and 0 <= strip < header.height_px else None,
        normalised=_normalise(keys),
        notes=tuple(notes),
    )


def _tag_keys(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        return _flatten(value)
    if not isinstance(value, (bytes, tuple, list)):
        return {}
    try:
        data = bytes(value)
    except (ValueError, TypeError):
        return {}
    end = data.rfind(_JPEG_END)
    return _flatten(decode(data[end + 2 if end >= 0 else 0 :]))


def _flatten(text: str) -> dict[str, str]:
    """Keys of all sections ([MAIN], [SEM]); the first one that holds a key wins."""
    keys: dict[str, str] = {}
    for section in parse_ini(text).values():
        for key, value in section.items():
            keys.setdefault(key, value)
    return keys


def _normalise(keys: dict[str, str]) -> dict[str, Any]:
    return {
        "instrument": keys.get("Device") or "Tescan",
        "hv_kv": voltage_kv(keys.get("HV") or keys.get("AcceleratorVoltage")),
        "wd_mm": length_mm(keys.get("WD"), "m"),
        "detector": keys.get("Detector") or keys.get("Detector0"),
        "magnification": magnification(keys.get("Magnification")),
        "date": iso_date(keys.get("Date"), keys.get("Time") or ""),
        **{f"stage_{a}_mm": length_mm(keys.get(f"Stage{a.upper()}"), "m") for a in "xyz"},
        "tilt_deg": number(keys.get("StageTilt")),
    }
