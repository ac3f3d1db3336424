"""JEOL: a ``.txt`` beside the picture of a scanning microscope; XML inside that of a transmission one."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

from wootz.readers.findings import SCALE_TOLERANCE, Check, Findings, Header
from wootz.readers.phenom import element_dict
from wootz.readers.resolution import ratio
from wootz.readers.sidefiles import side_text
from wootz.readers.text import iso_date, length_nm, magnification, number, split_unit, voltage_kv

_LINE = re.compile(r"^\$+(\w+)[ \t]+(.*?)[ \t]*$", re.MULTILINE)
_NM_PER_M, _NM_PER_INCH = 1e9, 25.4e6


def read_jeol_side_file(header: Header) -> Findings | None:
    """Return findings of the ``.txt`` of a JEOL scanning microscope, or None where there is none.

    Notes
    -----
    ``CM_FIELD_OF_VIEW`` over the width, which recent instruments write; else the length of the micron bar
    (``SM_MICRON_MARKER``, such as ``10um``) over its pixels (``SM_MICRON_BAR``), a whole number: with a
    bar of 100 px the scale is known to 1 %. ``CM_FULL_SIZE`` is the size of the scanned field: rows of
    the file beyond it are the info bar, another width contradicts the scale.
    """
    name, text = side_text(header.path, "txt", names=header.side_names)
    keys = {key: value for key, value in _LINE.findall(text.replace("\r", "\n")) if key[2:3] == "_"}
    if not any(key.startswith(("CM_", "SM_")) for key in keys):
        return None
    full = [number(part) for part in (keys.get("CM_FULL_SIZE") or "").split()[:2]]
    full_width, full_height = full if len(full) == 2 else (None, None)
    bar_px, marker = number(keys.get("SM_MICRON_BAR")), length_nm(keys.get("SM_MICRON_MARKER"))
    from_bar = marker / bar_px if marker and bar_px and bar_px > 0 else None
    view = [length_nm(part) for part in (keys.get("CM_FIELD_OF_VIEW") or "").split()[:2]]
    from_view = view[0] / (full_width or header.width_px) if view and view[0] else None
    size = from_view or from_bar
    checks = []
    if from_bar and from_view and bar_px:
        tolerance = max(SCALE_TOLERANCE, 1 / bar_px)
        checks.append(Check(f"the micron bar of {bar_px:g} px", from_bar, tolerance=tolerance))
    if size and full_width:
        what = f"CM_FULL_SIZE {full_width:g} px against a file {header.width_px} px wide"
        checks.append(Check(what, size * full_width / header.width_px))
    key = "CM_FIELD_OF_VIEW" if from_view else "SM_MICRON_MARKER / SM_MICRON_BAR"
    rows_beyond = header.height_px - full_height if full_height and full_width == header.width_px else None
    return Findings(
        vendor="JEOL",
        raw=keys,
        pixel_size_nm=(size, size) if size else None,
        source=f"JEOL side file {name} {key}" if size else "",
        checks=tuple(checks),
        info_bar_px=int(rows_beyond) if rows_beyond is not None and rows_beyond >= 0 else None,
        normalised=_normalise(keys),
        notes=() if size else (f"JEOL side file {name} holds no micron bar; scale unknown",),
    )


def _normalise(keys: dict[str, str]) -> dict[str, Any]:
    position = keys.get("CM_STAGE_POS") or keys.get("CM_STAGE_POSITION") or ""
    stage = [number(part) for part in position.split()]
    stage += [None] * (5 - len(stage))
    return {
        "instrument": keys.get("CM_INSTRUMENT") or "JEOL",
        "hv_kv": voltage_kv(keys.get("CM_ACCEL_VOLT") or keys.get("CM_ACCEL_VOLTAGE"), "kv"),
        "wd_mm": split_unit(keys.get("SM_WD"))[0],
        "detector": keys.get("CM_SIGNAL") or keys.get("CM_SIGNAL_NAME"),
        "magnification": magnification(keys.get("CM_MAG")),
        "date": iso_date(keys.get("CM_DATE"), keys.get("CM_TIME") or ""),
        **dict(zip(("stage_x_mm", "stage_y_mm", "stage_z_mm"), stage[:3], strict=True)),
        "tilt_deg": stage[4],
    }


def read_jeol_xml(header: Header) -> Findings | None:
    """Return findings of a JEOL transmission microscope (``TemReporter`` XML), else None.

    Notes
    -----
    The document gives the camera's pixels per metre of screen and the magnification of that screen; their
    product is the scale. The resolution tags hold the same, rounded to whole dots per inch, and serve as
    check. Outside the magnification mode (diffraction) the axes are no lengths, and the scale is unknown.
    """
    text = header.tags.get(270)
    if not isinstance(text, str) or "<TemReporter" not in text or "<!" in text:
        return None
    try:
        root = ET.fromstring(text[text.index("<TemReporter") : text.rindex(">") + 1])
    except ET.ParseError:
        return Findings("JEOL", {}, notes=("the JEOL XML in the file is damaged; scale unknown",))
    forming = "ImageFormingSystem/"
    magnified = number(root.findtext(forming + "SelectorValue")) or 0.0
    is_length = root.findtext(forming + "ModeString") == "MAG" and magnified > 0
    per_metre = number(root.findtext(".//ImageDataInformation/PixelsPerMeter/Horizontal"))
    size = _NM_PER_M / per_metre / magnified if is_length and per_metre else None
    per_inch = ratio(header.tags.get(282)) if header.tags.get(296) == 2 else None
    checks = ()
    if size and per_inch:
        checks = (Check("XResolution over the magnification", _NM_PER_INCH / per_inch / magnified),)
    return Findings(
        vendor="JEOL",
        raw=element_dict(root),
        pixel_size_nm=(size, size) if size else None,
        source="JEOL XML PixelsPerMeter / magnification" if size else "",
        checks=checks,
        normalised=_normalise_xml(root, magnified if is_length else None),
        notes=() if size else ("the JEOL XML gives no length scale (diffraction or scanning mode)",),
    )


def _normalise_xml(root: ET.Element, magnified: float | None) -> dict[str, Any]:
    stage = {a: number(root.findtext(f"GonioStage/StagePosition/M{a.upper()}")) for a in "xyz"}
    return {
        "instrument": root.findtext("Instruments") or "JEOL",
        "hv_kv": voltage_kv(root.findtext("ElectronGun/AccelerationVoltage")),
        "detector": root.findtext("ImageSourceDetector"),
        "magnification": magnified,
        "date": (root.findtext("DateTime") or "")[:19] or None,
        **{f"stage_{a}_mm": None if v is None else v * 1e-3 for a, v in stage.items()},  # um in the file
        "tilt_deg": number(root.findtext("GonioStage/StagePosition/TX")),
    }
