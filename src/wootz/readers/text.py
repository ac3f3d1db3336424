"""Numbers, units, dates and key-value text as microscopes write them."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Any

LENGTH_NM = {
    "pm": 1e-3, "å": 0.1, "angstrom": 0.1, "nm": 1.0, "nanometer": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3,
    "micron": 1e3, "microns": 1e3, "micrometer": 1e3, "mm": 1e6, "cm": 1e7, "inch": 25.4e6, "m": 1e9,
    "fm": 1e-6,
}  # fmt: skip
_VOLTAGE_KV = {"v": 1e-3, "volt": 1e-3, "volts": 1e-3, "kv": 1.0, "mv": 1e3}
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*)", re.DOTALL)
_DATE_ORDERS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%Y%m%d")
_TIME_ORDERS = ("%H:%M:%S", "%I:%M:%S %p", "%H:%M")


def number(value: Any) -> float | None:
    """Leading finite number of `value`; None for text without one, empty text, NaN and infinity."""
    return split_unit(value)[0]


def split_unit(value: Any) -> tuple[float | None, str]:
    """Split a number from the lower-case unit after it: ``"8100 um"`` -> ``(8100.0, "um")``.

    A number with a comma is None: it may be a decimal or a thousand.
    """
    if isinstance(value, bool) or value is None:
        return None, ""
    if isinstance(value, (int, float)):
        return (float(value), "") if math.isfinite(value) else (None, "")
    match = _NUMBER.match(str(value))
    if match is None:
        return None, ""
    found, rest = float(match[1]), match[2].strip().lower()
    if rest[:1] == "," and rest[1:2].isdigit():  # decimal comma or thousands: a factor of 1000 apart
        return None, ""
    return (found, rest) if math.isfinite(found) else (None, "")


def length_nm(value: Any, unit: str = "") -> float | None:
    """Length in nm, > 0, of ``"5um"`` or of a bare number in `unit`; None where unit or number is unclear."""
    found, own_unit = split_unit(value)
    factor = LENGTH_NM.get((own_unit or unit).lower())
    if found is None or factor is None or found <= 0:
        return None
    return found * factor


def length_mm(value: Any, unit: str = "") -> float | None:
    """Length or stage coordinate in mm, of any sign."""
    found, own_unit = split_unit(value)
    factor = LENGTH_NM.get((own_unit or unit).lower())
    return None if found is None or factor is None else found * factor * 1e-6


def voltage_kv(value: Any, unit: str = "v") -> float | None:
    """Acceleration voltage in kV, > 0; the sign that some vendors write is dropped."""
    found, own_unit = split_unit(value)
    factor = _VOLTAGE_KV.get(own_unit or unit)
    return None if not found or factor is None else abs(found) * factor


def magnification(value: Any) -> float | None:
    """Magnification of ``"10.00 K X"``, ``"x15.0k"`` or a number."""
    found, unit = split_unit(str(value).strip().lstrip("xX×"))
    if found is None or found <= 0:
        return None
    return found * 1e3 if unit.startswith("k") else found


def iso_date(date: Any, time: Any = "") -> str | None:
    """``2016-06-13T17:06:40`` where the order of day and month is certain, else the text as it stands."""
    text = " ".join(str(part).strip() for part in (date, time) if part not in (None, ""))
    if not text:
        return None
    day = _parse_day(str(date).strip())
    clock = next((c for c in (_parse(str(time).strip().upper(), f) for f in _TIME_ORDERS) if c), None)
    if day is None:
        return text
    return dt.datetime.combine(day.date(), clock.time()).isoformat() if clock else day.date().isoformat()


def _parse(text: str, layout: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, layout)
    except ValueError:
        return None


def _parse_day(text: str) -> dt.datetime | None:
    for layout in _DATE_ORDERS:
        if found := _parse(text, layout):
            return found
    # 06/13/2016 is certain, 06/05/2016 is American or European: only the certain ones are turned.
    american, european = _parse(text, "%m/%d/%Y"), _parse(text, "%d/%m/%Y")
    if american and european and american != european:
        return None
    return american or european


def decode(data: bytes) -> str:
    """Text of `data`: UTF-16 with its mark, UTF-8, else Windows-1252 (where the micro sign is one byte)."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def parse_ini(text: str) -> dict[str, dict[str, str]]:
    """Sections of ``[Section]`` / ``key=value`` text; keys before the first section stand under ``""``."""
    sections: dict[str, dict[str, str]] = {}
    current = ""
    for line in re.split(r"[\x00-\x08\x0a-\x1f]+", text):  # any line end, and the controls of binary headers
        stripped = line.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            current = stripped[1:-1].strip()
        elif "=" in stripped:
            key, _, value = stripped.partition("=")
            sections.setdefault(current, {})[key.strip()] = value.strip()
    return sections
