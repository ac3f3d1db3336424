"""Cameras of transmission microscopes: TVIPS (tag 37706) and Olympus SIS (tags 33560, 33471)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from wootz.readers.findings import Check, Findings, Header
from wootz.readers.resolution import resolution_nm
from wootz.readers.text import length_nm, number, voltage_kv

_TVIPS, _SIS, _SIS_INI = 37706, 33560, 33471


def read_tvips(header: Header) -> Findings | None:
    """Return findings of a TVIPS file (``PixelSizeX``, ``PixelSizeY`` in nm), else None.

    Checked against the resolution tags, which TVIPS fills with pixels per centimetre of specimen.
    """
    tag = header.tags.get(_TVIPS)
    if not isinstance(tag, dict):
        return None
    width, height = (length_nm(tag.get(f"PixelSize{axis}"), "nm") for axis in "XY")
    plain = resolution_nm(header)
    checks = (Check("XResolution", plain[1]),) if plain else ()
    position = tag.get("TemStagePosition")
    stage = [number(v) for v in position] if isinstance(position, (list, tuple)) else []
    stage += [None] * (4 - len(stage))
    metres = dict(zip(("stage_x_mm", "stage_y_mm", "stage_z_mm"), stage, strict=False))
    return Findings(
        vendor="TVIPS",
        raw=tag,
        pixel_size_nm=(height or width, width) if width else None,
        source="TVIPS tag 37706 PixelSizeX" if width else "",
        checks=checks,
        normalised={
            "instrument": tag.get("TemType") or "TVIPS",
            "hv_kv": voltage_kv(tag.get("TemHighTension")),
            "detector": tag.get("CameraType"),
            "magnification": number(tag.get("TemMagnification")) or None,
            **{key: None if value is None else value * 1e3 for key, value in metres.items()},
            "tilt_deg": stage[3],
        },
        notes=() if width else ("TVIPS tag 37706 holds no pixel size; scale unknown",),
    )


def read_sis(header: Header) -> Findings | None:
    """Return findings of an Olympus SIS file (``pixelsizex``, ``pixelsizey`` in m), or None."""
    tag = header.tags.get(_SIS)
    tag = tag if isinstance(tag, dict) else header.tags.get(_SIS_INI)
    if not isinstance(tag, dict):
        return None
    width, height = (length_nm(tag.get(f"pixelsize{axis}"), "m") for axis in "xy")
    return Findings(
        vendor="Olympus SIS",
        raw={str(key): value for key, value in tag.items()},
        pixel_size_nm=(height or width, width) if width else None,
        source="Olympus SIS tag pixelsizex" if width else "",
        normalised=_normalise_sis(header, tag),
        notes=() if width else ("the Olympus SIS tag holds no pixel size; scale unknown",),
    )


def _normalise_sis(header: Header, tag: dict[str, Any]) -> dict[str, Any]:
    taken = tag.get("datetime")
    maker = [str(header.tags.get(code) or "").strip() for code in (271, 272)]
    return {
        "instrument": maker[0] or "Olympus SIS",
        "detector": tag.get("cameraname") or maker[1] or None,
        "magnification": number(tag.get("magnification")) or None,
        "date": taken.isoformat() if isinstance(taken, dt.datetime) else None,
    }
