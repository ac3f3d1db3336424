"""Phenom: XML in tag 34683, or inside a JPEG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

from wootz.readers.findings import Findings, Header
from wootz.readers.text import decode, iso_date, length_mm, length_nm, number, voltage_kv

_TAG = 34683
_DOCUMENT = re.compile(rb"<FeiImage\b.*?</FeiImage>", re.DOTALL)


def read_phenom(header: Header) -> Findings | None:
    """Return findings of a Phenom file (``<FeiImage>`` document), or None where `header` is not one.

    Notes
    -----
    ``pixelWidth`` and ``pixelHeight`` with their ``unit`` attribute; without a unit the scale is unknown.
    ``databarHeight`` rows at the bottom are the info bar.
    """
    value = header.tags.get(_TAG)
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    match = _DOCUMENT.search(data if isinstance(data, bytes) else header.tail)
    if match is None:
        return None
    try:
        # The document comes from a file that may be damaged or hostile: no document type, no entities.
        root = ET.fromstring(decode(match[0])) if b"<!" not in match[0] else None
    except ET.ParseError:
        root = None
    if root is None:
        return Findings("Phenom", {}, notes=("the Phenom XML in the file is damaged; scale unknown",))
    width, height = _length_nm(root, "pixelWidth"), _length_nm(root, "pixelHeight")
    bar = number(root.findtext("databarHeight"))
    return Findings(
        vendor="Phenom",
        raw=element_dict(root),
        pixel_size_nm=(height or width, width) if width else None,
        source="Phenom XML pixelWidth" if width else "",
        info_bar_px=int(bar) if bar is not None and 0 <= bar < header.height_px else None,
        normalised=_normalise(root),
        notes=() if width else ("the Phenom XML holds no pixelWidth with a unit; scale unknown",),
    )


def element_dict(element: ET.Element) -> dict[str, Any]:
    """Nested dictionary of an XML element; attributes as ``@name``, repeated children as ``name[1]``."""
    out: dict[str, Any] = {}
    for child in element:
        value: Any = element_dict(child) if len(child) else (child.text or "").strip()
        if child.attrib and not len(child):
            value = {"": value, **{f"@{k}": v for k, v in child.attrib.items()}}
        name, n = child.tag, 1
        while name in out:
            name, n = f"{child.tag}[{n}]", n + 1
        out[name] = value
    return out


def _with_unit(root: ET.Element, path: str) -> tuple[str | None, str]:
    found = root.find(path)
    return (None, "") if found is None else (found.text, found.get("unit", ""))


def _length_nm(root: ET.Element, path: str) -> float | None:
    return length_nm(*_with_unit(root, path))


def _normalise(root: ET.Element) -> dict[str, Any]:
    voltage, unit = _with_unit(root, "acquisition/scan/highVoltage")
    return {
        "instrument": root.findtext("instrument/edition") or root.findtext("instrument/type") or "Phenom",
        "hv_kv": voltage_kv(voltage, unit.lower() or "v"),
        "wd_mm": length_mm(*_with_unit(root, "workingDistance")),
        "detector": root.findtext("acquisition/scan/detector"),
        "date": iso_date(root.findtext("time") or ""),
    }
