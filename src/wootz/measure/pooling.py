"""From values of fields to rows for fields, specimens and conditions."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from wootz.measure.intervals import Interval, clipped, ratio_interval, share_limits, with_scale_error

COLUMNS = (
    *("level", "image_id", "specimen", "condition", "quantity", "value", "unit", "ci_low", "ci_high", "n"),
    *("method", "interval", "note", "source", "scheme", "run"),
)
SHARES = ("area_fraction", "thickness_coverage")


@dataclass(frozen=True)
class FieldValue:
    """One quantity of one field.

    numerator, denominator : what several fields are pooled by: sums over fields are divided, so that a field
    with more coating weighs more in the porosity; (value, 1) for a plain mean over fields.
    length_power : power of the pixel size in the value: 1 length, 2 area or density, 0 fraction.
    method : definition of the quantity, the same for every field and every repetition.
    """

    image_id: str
    specimen: str
    condition: str
    quantity: str
    unit: str
    interval: Interval
    method: str
    numerator: float
    denominator: float = 1.0
    length_power: int = 0
    note: str = ""
    pooled: bool = True


def pool(
    values: Iterable[FieldValue], *, confidence: float = 0.95, pixel_size_rel_error: float = 0.0
) -> pd.DataFrame:
    """Rows for each field, specimen and condition, with intervals over the level below.

    A specimen's interval is Student's t over its fields; a condition's is over its specimens where there are
    several, else over its fields. With one field, the interval of that field stands, and the note says that
    it does not see the spread between fields. Units are never mixed: fields with and without a scale
    make separate rows. Where no specimen and no condition is known, one row "all" pools the fields.

    Returns
    -------
    DataFrame
        Columns as in `COLUMNS`, less source, scheme and run; `level` is field, specimen, condition or all.
    """
    values = list(values)
    rows = [_row("field", v, v.interval, note=v.note) for v in values]
    settings: dict[str, Any] = {"confidence": confidence, "error": pixel_size_rel_error}
    usable = [v for v in values if v.pooled]
    specimens = []
    for name, members in _groups(usable, "specimen", "condition").items():
        if name[0]:
            pooled = _pooled(members, **settings)
            specimens.append(replace(members[0], image_id="", interval=pooled[0], numerator=pooled[0].value,
                                     denominator=1.0, note=pooled[1]))  # fmt: skip
    rows += [_row("specimen", v, v.interval, note=v.note) for v in specimens]
    rows += _upper_rows(usable, specimens, settings=settings)
    return pd.DataFrame(rows, columns=[c for c in COLUMNS if c not in ("source", "scheme", "run")])


def _upper_rows(
    usable: list[FieldValue], specimens: list[FieldValue], *, settings: dict[str, Any]
) -> list[dict]:
    """Rows per condition and, where that says nothing else, over everything."""
    rows = []
    by_condition = _groups(usable, "condition")
    n_conditions = len({name[0] for name in by_condition})
    for name, fields in by_condition.items():
        level = "condition" if name[0] else "all"
        over = [s for s in specimens if (s.condition, s.quantity, s.unit, s.method) == name]
        known = all(f.specimen for f in fields)
        if level == "all" and (n_conditions > 1 or (known and len(over) == 1)):
            continue  # mixed with other conditions, or the one specimen says it already
        what = "specimens" if known and len(over) > 1 else "fields"
        interval, note = _pooled(over if what == "specimens" else fields, what=what, **settings)
        rows.append(_row(level, replace(fields[0], image_id="", specimen=""), interval, note=note))
    return rows


def _groups(values: list[FieldValue], *keys: str) -> dict[tuple, list[FieldValue]]:
    groups: dict[tuple, list[FieldValue]] = {}
    for v in values:
        name = (*(getattr(v, key) for key in keys), v.quantity, v.unit, v.method)
        groups.setdefault(name, []).append(v)
    return groups


def _pooled(
    members: list[FieldValue], *, confidence: float, error: float, what: str = "fields"
) -> tuple[Interval, str]:
    """One interval over fields or specimens, and a note on what it does not contain."""
    measured = [m for m in members if math.isfinite(m.numerator) and m.denominator > 0]
    notes = []
    if len(measured) < len(members):
        notes.append(f"{len(members) - len(measured)} of {len(members)} {what} could not be measured")
    if len(measured) == 1:
        note = f"n = 1: the spread between {what} is not in the interval"
        return replace(measured[0].interval, n=1), "; ".join([*notes, note])
    interval = ratio_interval(
        [m.numerator for m in measured], [m.denominator for m in measured], confidence=confidence
    )
    interval = replace(interval, method=f"Student's t over {interval.n} {what}")
    if measured:
        interval = with_scale_error(interval, error * measured[0].length_power, confidence=confidence)
        is_share = measured[0].quantity.startswith(SHARES)
        interval = share_limits(interval) if is_share else clipped(interval, 0.0, math.inf)
    bounds = sum(m.interval.ci_high == math.inf for m in measured)
    if bounds:
        notes.append(f"{bounds} of {len(measured)} {what} give lower bounds only")
        interval = replace(interval, ci_high=math.inf)
    if interval.reason:
        notes.append(interval.reason)
    return interval, "; ".join(notes)


def _row(level: str, value: FieldValue, interval: Interval, *, note: str) -> dict:
    return {
        "level": level,
        "image_id": value.image_id,
        "specimen": value.specimen,
        "condition": value.condition,
        "quantity": value.quantity,
        "value": interval.value,
        "unit": value.unit,
        "ci_low": interval.ci_low,
        "ci_high": interval.ci_high,
        "n": interval.n,
        "method": value.method,
        "interval": interval.method,
        "note": note,
    }
