"""From the records of a study's cells to tables: every cell, means with intervals, paired differences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from wootz.apps.study_grid import Params, Study
from wootz.measure import student_interval
from wootz.storage import fingerprint

STATISTICS = ("mean", "ci_low", "ci_high", "n")


def flatten(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers among nested figures by dotted name; null is NaN, flags are 0 or 1, text is left."""
    out: dict[str, float] = {}
    for key, value in figures.items():
        if isinstance(value, Mapping):
            out |= flatten(value, f"{prefix}{key}.")
        elif value is None or isinstance(value, bool | int | float):
            out[f"{prefix}{key}"] = float("nan") if value is None else float(value)
    return out


def cell_table(study: Study, records: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one row per cell: parameters, ``status``, ``seconds``, ``error``, then all numbers."""
    rows = []
    for record in records:
        place = {key: label(record["params"][key]) for key in study.grid}
        about = {key: record[key] for key in ("status", "seconds", "error")}
        rows.append(place | about | flatten(record["figures"]))
    columns = [*study.grid, "status", "seconds", "error"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=pd.Index(columns))


def label(value: Any) -> Any:
    """Return a parameter's value as one cell of a table."""
    return value if isinstance(value, str | int | float) else str(value)


def figure_names(table: pd.DataFrame, study: Study) -> list[str]:
    """Return the columns of a cell table that are figures."""
    about = {*study.grid, "status", "seconds", "error"}
    return [str(name) for name in table.columns if name not in about]


def summary_table(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per combination and figure: mean and 95 % t interval over the replicates.

    Returns
    -------
    DataFrame
        The parameters but the replicate, ``figure, mean, ci_low, ci_high, n, std``. `n` counts the replicates
        with a value; with one of them the interval is NaN, never zero.
    """
    keys = study.combination_keys
    done = rows_where(table, "status", "done")
    rows = []
    for values, part in groups_of(done, keys):
        for name in figure_names(table, study):
            interval = student_interval(part[name].to_numpy(float))
            std = float(np.nanstd(part[name].to_numpy(float), ddof=1)) if interval.n > 1 else float("nan")
            numbers = (interval.value, interval.ci_low, interval.ci_high, interval.n, std)
            rows.append((*values, name, *numbers))
    return pd.DataFrame(rows, columns=pd.Index([*keys, "figure", *STATISTICS, "std"]))


def comparison_table(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Return paired differences to the baseline: same replicate, all other parameters equal.

    Returns
    -------
    DataFrame
        One row per compared value, figure and combination of the others: ``difference`` (value minus
        baseline), its 95 % t interval over the pairs and their number ``n``. Where there is more than one
        combination, rows with ``(all)`` in its place follow: the mean over combinations of their mean
        differences, with the interval over combinations.
    """
    compare = study.compare
    if compare is None:
        return pd.DataFrame()
    others = [key for key in study.combination_keys if key != compare.key]
    done = rows_where(table, "status", "done")
    base = rows_where(done, compare.key, label(compare.baseline))
    names, pair_on, rows = figure_names(table, study), [*others, *_replicate(study)], []
    for value in study.grid[compare.key]:
        if value == compare.baseline:
            continue
        mine = rows_where(done, compare.key, label(value))
        pairs = _paired(mine, base, names=names, on=pair_on)
        for name in names:
            blocks = []
            for place, part in groups_of(pairs, others):
                interval = student_interval(part[name].to_numpy(float))
                if interval.n:
                    blocks.append(interval.value)
                    rows.append((label(value), *place, name, *_limits(interval)))
            if len(blocks) > 1:
                rows.append(
                    (label(value), *["(all)"] * len(others), name, *_limits(student_interval(blocks)))
                )
    columns = [compare.key, *others, "figure", "difference", *STATISTICS[1:]]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def markdown_table(frame: pd.DataFrame) -> str:
    """Write a table in Markdown; numbers with four significant digits, NaN as a dash."""
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + " --- |" * frame.shape[1]]
    lines += ["| " + " | ".join(_shown(v) for v in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def wide_table(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """Return one row per combination, one column per figure, each cell ``mean [low, high] (n)``."""
    keys, rows = study.combination_keys, {}
    for record in summary.to_dict("records"):
        place = tuple(record[key] for key in keys)
        rows.setdefault(place, {})[record["figure"]] = with_interval(record)
    frame = pd.DataFrame([dict(zip(keys, place, strict=True)) | cells for place, cells in rows.items()])
    return frame.fillna("-") if len(frame) else frame


def with_interval(record: Mapping[Any, Any], value: str = "mean") -> str:
    """Write a value with its interval and the number of replicates behind it."""
    if not record["n"]:
        return "-"
    text = f"{record[value]:.4g}"
    if np.isfinite(record["ci_low"]):
        text += f" [{record['ci_low']:.4g}, {record['ci_high']:.4g}]"
    return f"{text} (n={int(record['n'])})"


def in_grid(study: Study, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort records into the order of the study's cells."""
    order = {fingerprint(params): i for i, params in enumerate(study.cells())}
    return sorted(records, key=lambda record: order[fingerprint(record["params"])])


def open_pairs(study: Study, left: list[Params], failed: int) -> str:
    """Say in one sentence whether the grid is complete."""
    if not left and not failed:
        return f"All {len(study.cells())} cells of the grid are done."
    return f"The grid is not complete: {len(left)} cells were not run and {failed} failed."


def _limits(interval: Any) -> tuple[float, float, float, int]:
    return interval.value, interval.ci_low, interval.ci_high, interval.n


def _replicate(study: Study) -> list[str]:
    return [study.replicate] if study.replicate in study.grid else []


def _paired(mine: pd.DataFrame, base: pd.DataFrame, *, names: list[str], on: list[str]) -> pd.DataFrame:
    if not on:
        mine, base, on = mine.assign(pair_=0), base.assign(pair_=0), ["pair_"]
    both = mine.merge(base, on=on, suffixes=("", " base"), validate="one_to_one")
    differences = {name: both[name] - both[f"{name} base"] for name in names}
    return pd.concat([both[on], pd.DataFrame(differences)], axis=1)


def rows_where(frame: pd.DataFrame, column: str, value: Any) -> pd.DataFrame:
    """Return the rows with a value in a column."""
    return frame.loc[(frame[column] == value).to_numpy(bool), :]


def groups_of(frame: pd.DataFrame, keys: list[str]) -> list[tuple[tuple, pd.DataFrame]]:
    """Return (values, rows) per combination, in order of appearance; one group without keys."""
    if not keys:
        return [((), frame)] if len(frame) else []
    groups = frame.groupby(keys, sort=False, dropna=False)
    return [(tuple(values), part) for values, part in groups]  # pyright: ignore[reportArgumentType]


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return "-" if np.isnan(value) else f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
