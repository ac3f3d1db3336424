"""Measurements in the report: values with intervals and units, the figures and overlays of each run."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.apps.report import Part, Section
from wootz.measure.formatting import format_interval, headline
from wootz.measure.intervals import Interval

N_OVERLAYS = 4
N_CARDS = 8
MASKS = {"annotation": "drawn", "prediction": "predicted"}
LEVELS = {"all": 0, "condition": 1, "specimen": 2, "field": 3}


def _origin(source: str) -> str:
    """Word where a value comes from: drawn or predicted masks, or the objects of a source."""
    return f"{MASKS[source]} masks" if source in MASKS else f"objects of {source}"


def value_cards(archive: Any) -> list[dict[str, str]]:
    """Return the pooled values of the highest level with their intervals, for the first screen."""
    table = _leveled(archive.measurements)
    if table.empty:
        return []
    rows = _latest(headline(table))
    top = rows[rows["rank"] == rows.groupby("quantity")["rank"].transform("min")]
    top = top.sort_values(["quantity", "source"], ascending=[True, False], kind="stable")
    return [_card(row) for row in top.head(N_CARDS).to_dict("records")]


def measurements(archive: Any) -> Part:
    """Tables with units and intervals, the figure of each measuring run, and some overlays."""
    table = _leveled(archive.measurements)
    if table.empty:
        return Part("measurements", "Measurements", missing=f"wootz measure {archive.path} measure=coating")
    files = archive.images.set_index("image_id")["file"].map(lambda f: Path(f).name)
    rows = _latest(table)
    rows = rows.assign(file=rows["image_id"].map(files).fillna(""))
    blocks = _pooled_blocks(rows)
    runs = list(dict.fromkeys(rows.sort_values("source", ascending=False, kind="stable")["run"]))
    for run in runs:
        folder = archive.path / "runs" / run
        mine = rows[rows["run"] == run]
        about = f"{_origin(mine['source'].iloc[0])}; {mine['method'].iloc[0]}"
        title = ", ".join(_plain(q) for q in dict.fromkeys(headline(mine)["quantity"]))
        if (folder / "summary.png").is_file():
            blocks.append(Section(title, figure=folder / "summary.png", note=about))
        overlays = sorted((folder / "overlays").glob("*.png"))
        if overlays:
            note = f"{min(len(overlays), N_OVERLAYS)} of {len(overlays)}; all are in {folder / 'overlays'}"
            blocks.append(
                Section(
                    "On the micrographs",
                    figure=spread(overlays, N_OVERLAYS),
                    note=note,
                    folded=run != runs[0],
                )
            )
    fields_table = _worded_rows(rows[rows["level"] == "field"], where="file")
    blocks.append(Section("Every field", table=fields_table, folded=True))
    about = (
        "Intervals at the confidence that was asked for (95 % by default); definitions: docs/measurements.md."
    )
    return Part("measurements", "Measurements", blocks, about=about)


def _pooled_blocks(rows: pd.DataFrame) -> list[Section]:
    """Show the highest level of the main quantities open, everything else that is pooled on a click."""
    pooled = rows[rows["level"] != "field"]
    if pooled.empty:
        return []
    main = headline(rows)
    top = main[main["rank"] == main.groupby("quantity")["rank"].transform("min")]
    return [
        Section("", table=_worded_rows(top, where="group")),
        Section(
            "All pooled values, by specimen and condition",
            table=_worded_rows(pooled, where="group"),
            folded=True,
        ),
    ]


def _leveled(table: pd.DataFrame) -> pd.DataFrame:
    """Add the level where another program wrote the rows without it."""
    if "level" not in table:
        table = table.assign(level=np.where(table["image_id"] != "", "field", "specimen"))
    defaults = {"condition": "", "interval": "", "note": "", "scheme": ""}
    table = table.assign(**{k: v for k, v in defaults.items() if k not in table})
    return table.assign(rank=table["level"].map(LEVELS).fillna(3))


def _latest(table: pd.DataFrame) -> pd.DataFrame:
    """Keep, per quantity and source, the rows of the run that measured it last."""
    last = table.groupby(["quantity", "source"], sort=False)["run"].transform("last")
    return table[table["run"] == last]


def _interval(row: dict[Any, Any]) -> Interval:
    return Interval(row["value"], row["ci_low"], row["ci_high"], row["n"], row["interval"], row["note"])


def _card(row: dict[Any, Any]) -> dict[str, str]:
    text = format_interval(_interval(row), row["unit"])
    group = row["condition"] or row["specimen"] if row["level"] != "all" else ""
    masks = _origin(row["source"])
    about = " · ".join(filter(None, (group, masks, row["interval"], row["note"])))
    return {"value": text, "name": _plain(row["quantity"]), "about": about}


def _plain(quantity: str) -> str:
    name, _, what = quantity.partition(":")
    return f"{name.replace('_', ' ')} of {what}" if what else name


def _worded_rows(rows: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Rows for people: value with interval and unit in one column, rounded to the interval."""
    rows = rows.sort_values(["rank", "quantity", "source"], kind="stable")
    words = []
    for row in rows.to_dict("records"):
        group = (
            row["file"]
            if where == "file"
            else row["condition"]
            if row["level"] == "condition"
            else row["specimen"]
        )
        words.append(
            {
                where: group or row["level"],
                "quantity": _plain(row["quantity"]),
                "value [interval]": format_interval(_interval(row), row["unit"]),
                "n": int(row["n"]) if row["n"] == row["n"] else "",
                "interval": row["interval"],
                "masks": MASKS.get(row["source"], row["source"]),
                "note": row["note"],
            }
        )
    return pd.DataFrame(words)


def spread(items: list[Any], n: int) -> list[Any]:
    """Take `n` items at equal steps, so that they are not all of the first specimen."""
    if len(items) <= n:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, n).round().astype(int)]
