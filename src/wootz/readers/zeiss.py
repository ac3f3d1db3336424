"""Zeiss SmartSEM: tag 34118, as tifffile parses it."""

from __future__ import annotations

from typing import Any

from wootz.readers.findings import Check, Findings, Header
from wootz.readers.text import iso_date, length_mm, length_nm, magnification, number, voltage_kv

_TAG = 34118
# The unnamed block and AP_PIXEL_SIZE describe a screen of 1024 columns, whatever the width of the file.
_REFERENCE_WIDTH_PX = 1024


def read_zeiss(header: Header) -> Findings | None:
    """Return findings of a Zeiss SmartSEM file, or None where `header` is not one.

    Notes
    -----
    ``AP_IMAGE_PIXEL_SIZE``, which old versions do not write; then the fourth number of the unnamed block,
    times 1024 over the width of the file. Never ``AP_PIXEL_SIZE``: it belongs to a picture of 1024 columns
    and is wrong by a factor of two on 512 or 2048 (HyperSpy issue 2056). Checked against ``AP_WIDTH`` and
    ``AP_HEIGHT``, the size of the field. SmartSEM does not say whether it burnt an info bar in.
    """
    cz = header.tags.get(_TAG)
    if not isinstance(cz, dict):
        return None
    cz = {str(key).lower(): value for key, value in cz.items()}
    size, source = _pixel_size(cz, header.width_px)
    return Findings(
        vendor="Zeiss",
        raw=cz,
        pixel_size_nm=(size, size) if size else None,
        source=source,
        checks=_checks(cz, header),
        normalised=_normalise(cz),
        notes=() if size else ("Zeiss tag 34118 holds no pixel size; scale unknown",),
    )


def _length_nm(cz: dict[str, Any], key: str) -> float | None:
    entry = cz.get(key)
    if not isinstance(entry, (tuple, list)) or len(entry) < 2:
        return None
    return length_nm(entry[1], str(entry[2]) if len(entry) > 2 else "")


def _value(cz: dict[str, Any], key: str) -> Any:
    entry = cz.get(key)
    return entry[1] if isinstance(entry, (tuple, list)) and len(entry) > 1 else None


def _unit(cz: dict[str, Any], key: str) -> str:
    entry = cz.get(key)
    return str(entry[2]) if isinstance(entry, (tuple, list)) and len(entry) > 2 else ""


def _pixel_size(cz: dict[str, Any], width_px: int) -> tuple[float | None, str]:
    size = _length_nm(cz, "ap_image_pixel_size")
    if size:
        return size, "Zeiss tag 34118 AP_IMAGE_PIXEL_SIZE"
    unnamed = cz.get("")
    values = [v for v in unnamed if v != ""] if isinstance(unnamed, (tuple, list)) else []
    reference = length_nm(values[3], "m") if len(values) > 3 else None
    if not reference:
        return None, ""
    source = f"Zeiss tag 34118 unnamed[3] x {_REFERENCE_WIDTH_PX} / {width_px} columns"
    return reference * _REFERENCE_WIDTH_PX / width_px, source


def _checks(cz: dict[str, Any], header: Header) -> tuple[Check, ...]:
    checks = []
    for key, axis, n_px in (("ap_width", 1, header.width_px), ("ap_height", 0, header.height_px)):
        field = _length_nm(cz, key)
        if field:
            checks.append(Check(f"{key.upper()} {field * 1e-3:.5g} um over {n_px} px", field / n_px, axis))
    return tuple(checks)


def _normalise(cz: dict[str, Any]) -> dict[str, Any]:
    serial = _value(cz, "sv_serial_number")
    return {
        "instrument": f"Zeiss {serial}" if serial else "Zeiss",
        "hv_kv": voltage_kv(_value(cz, "ap_actualkv"), _unit(cz, "ap_actualkv").lower() or "kv"),
        "wd_mm": length_mm(_value(cz, "ap_wd"), _unit(cz, "ap_wd") or "mm"),
        "detector": _value(cz, "dp_detector_type") or _value(cz, "dp_detector_channel"),
        "magnification": magnification(_value(cz, "ap_mag")),
        "date": iso_date(_value(cz, "ap_date"), _value(cz, "ap_time") or ""),
        **{
            f"stage_{a}_mm": length_mm(_value(cz, f"ap_stage_at_{a}"), _unit(cz, f"ap_stage_at_{a}") or "mm")
            for a in "xyz"
        },
        "tilt_deg": number(_value(cz, "ap_stage_at_t")),
    }
