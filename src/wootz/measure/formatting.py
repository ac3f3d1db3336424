"""Values for people: rounded to what the interval supports, in a unit that reads well."""

import math

import numpy as np
import pandas as pd

from wootz.measure.intervals import Interval


def headline(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the quantities that carry an interval in a field, or all where none does."""
    fields = table[table["level"] == "field"]
    main = set(fields.loc[fields["ci_low"].notna(), "quantity"])
    return table[table["quantity"].isin(main)] if main else table


def format_interval(interval: Interval, unit: str) -> str:
    """Write a value with its limits, rounded to what the interval supports: ``1.24 [1.13, 1.35] µm``."""
    factor, shown = readable(interval.value, unit)
    value, low, high = (v * factor for v in (interval.value, interval.ci_low, interval.ci_high))
    if not math.isfinite(value):
        return f"not measured ({interval.reason})" if interval.reason else "not measured"
    width = high - low if math.isfinite(high - low) else abs(value) / 20
    digits = int(np.clip(1 - math.floor(math.log10(width or abs(value) / 100 or 1)), 0, 6))
    text = f"{value:.{digits}f}"
    if math.isfinite(low):
        upper = f"{high:.{digits}f}" if math.isfinite(high) else "open"
        text += f" [{low:.{digits}f}, {upper}]"
    return f"{text} {shown}".strip()


def readable(value: float, unit: str) -> tuple[float, str]:
    """Return factor and unit that a person reads: µm from 1000 nm on, % for shares."""
    if unit == "nm" and abs(value) >= 1000:
        return 1e-3, "µm"
    return (100.0, "%") if unit == "1" and abs(value) <= 1 else (1.0, "" if unit == "1" else unit)
