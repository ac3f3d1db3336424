"""Thermo Fisher / FEI: INI text in tag 34680 or 34682, or behind the pixels of old Quanta files."""

from __future__ import annotations

import math
from typing import Any

from wootz.readers.findings import Check, Findings, Header
from wootz.readers.text import decode, iso_date, length_mm, length_nm, number, parse_ini, voltage_kv

_TAGS = (34682, 34680)


def read_fei(header: Header) -> Findings | None:
    """Return findings of a Thermo Fisher / FEI file, or None where `header` is not one.

    Notes
    -----
    The pixel size is ``Scan.PixelWidth`` and ``PixelHeight`` (m); without them, as in pictures of the
    navigation camera, the beam's ``HFW / Image.ResolutionX``. It is checked against the field width over
    the width of the file, so that a cropped or resized picture is noticed. ``Image.ResolutionY`` counts
    the rows of specimen: what the file has more is the info bar.
    """
    where, ini = _sections(header)
    if "User" not in ini and "Scan" not in ini and "Image" not in ini:
        return None
    resolution_x = number(_get(ini, "Image", "ResolutionX")) or header.width_px
    size, source = _pixel_size(ini, where, resolution_x)
    return Findings(
        vendor="Thermo Fisher / FEI",
        raw=ini,
        pixel_size_nm=size,
        source=source,
        checks=_checks(ini, header, resolution_x),
        info_bar_px=_info_bar(ini, header, resolution_x),
        normalised=_normalise(ini),
        notes=() if size else (f"{where} holds neither Scan.PixelWidth nor a field width; scale unknown",),
    )


def _sections(header: Header) -> tuple[str, dict[str, dict[str, Any]]]:
    for tag in _TAGS:
        value = header.tags.get(tag)
        if isinstance(value, dict):
            sections = {str(k): v for k, v in value.items() if isinstance(v, dict)}
            return f"FEI tag {tag}", sections
        if isinstance(value, (str, bytes)):
            text = value if isinstance(value, str) else decode(value)
            return f"FEI tag {tag}", {k: dict(v) for k, v in parse_ini(text).items()}
    start = header.tail.find(b"[User]")
    if start < 0:
        return "", {}
    return "FEI trailer", {k: dict(v) for k, v in parse_ini(decode(header.tail[start:])).items()}


def _get(ini: dict[str, dict[str, Any]], section: str, key: str) -> Any:
    return ini.get(section, {}).get(key)


def _pixel_size(
    ini: dict[str, dict[str, Any]], where: str, resolution_x: float
) -> tuple[tuple[float, float] | None, str]:
    width = length_nm(_get(ini, "Scan", "PixelWidth"), "m")
    height = length_nm(_get(ini, "Scan", "PixelHeight"), "m")
    if width:
        return (height or width, width), f"{where} Scan.PixelWidth"
    beam = str(_get(ini, "Beam", "Beam") or "EBeam")
    field_width = length_nm(_get(ini, beam, "HFW"), "m")
    if not field_width:
        return None, ""
    width = field_width / resolution_x
    field_height = length_nm(_get(ini, beam, "VFW"), "m")
    resolution_y = number(_get(ini, "Image", "ResolutionY"))
    height = field_height / resolution_y if field_height and resolution_y else width
    return (height, width), f"{where} {beam}.HFW / Image.ResolutionX"


def _checks(ini: dict[str, dict[str, Any]], header: Header, resolution_x: float) -> tuple[Check, ...]:
    beam = str(_get(ini, "Beam", "Beam") or "EBeam")
    field_width = length_nm(_get(ini, "Scan", "HorFieldsize"), "m") or length_nm(_get(ini, beam, "HFW"), "m")
    width = length_nm(_get(ini, "Scan", "PixelWidth"), "m")
    checks = []
    if field_width:
        what = f"the field width {field_width * 1e-3:.5g} um over {header.width_px} px"
        checks.append(Check(what, field_width / header.width_px))
    elif width:
        what = f"Image.ResolutionX {resolution_x:g} against a file {header.width_px} px wide"
        checks.append(Check(what, width * resolution_x / header.width_px))
    return tuple(checks)


def _info_bar(ini: dict[str, dict[str, Any]], header: Header, resolution_x: float) -> int | None:
    resolution_y = number(_get(ini, "Image", "ResolutionY"))
    if resolution_y and resolution_x == header.width_px and 0 < resolution_y <= header.height_px:
        return int(header.height_px - resolution_y)
    bar = number(_get(ini, "PrivateFei", "DatabarHeight"))
    return int(bar) if bar and not resolution_y else None


def _normalise(ini: dict[str, dict[str, Any]]) -> dict[str, Any]:
    beam = str(_get(ini, "Beam", "Beam") or "EBeam")
    field_width = number(_get(ini, "Scan", "HorFieldsize")) or number(_get(ini, beam, "HFW"))
    canvas = number(_get(ini, "Image", "MagCanvasRealWidth"))
    tilt = number(_get(ini, "Stage", "StageT"))
    wd = length_mm(_get(ini, beam, "WD"), "m") or length_mm(_get(ini, "Stage", "WorkingDistance"), "m")
    names = [_get(ini, "Detectors", key) for key in ("Name", "Mode")]
    created = str(_get(ini, "PrivateFei", "TimeOfCreation") or "").split()  # day first, in any locale
    date = created if len(created) == 2 else [_get(ini, "User", "Date"), _get(ini, "User", "Time")]
    return {
        "instrument": _get(ini, "System", "SystemType") or _get(ini, "System", "Type") or None,
        "hv_kv": voltage_kv(_get(ini, beam, "HV")) or voltage_kv(_get(ini, "Beam", "HV")),
        "wd_mm": wd if wd and wd > 0 else None,  # the navigation camera writes a negative one
        "detector": " ".join(str(name) for name in names if name not in (None, "", "None")) or None,
        "magnification": canvas / field_width if canvas and field_width else None,
        "date": iso_date(*date),
        **{f"stage_{a}_mm": length_mm(_get(ini, "Stage", f"Stage{a.upper()}"), "m") for a in "xyz"},
        "tilt_deg": None if tilt is None else math.degrees(tilt),
    }
