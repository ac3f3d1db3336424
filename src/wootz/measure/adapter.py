"""``wootz measure``: masks or objects of an archive in, values with units, intervals and pictures out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wootz.measure.config import MeasureConfig, ObjectsConfig
from wootz.measure.formatting import format_interval, headline
from wootz.measure.intervals import Interval
from wootz.measure.per_field import Measured, build_worker
from wootz.measure.per_object import ObjectFields
from wootz.measure.pooling import COLUMNS, pool
from wootz.measure.selection import choose_fields, choose_scheme, load_field
from wootz.measure.summary import summary_figure
from wootz.progress import track

if TYPE_CHECKING:
    from wootz.archive import Archive
    from wootz.runs import Run

SHOWN_ROWS = 12


@dataclass(frozen=True)
class MeasureReport:
    """What a measurement left: the rows, and the files in the run's folder.

    table : columns `level` (field, specimen, condition, all), `image_id`, `file`, `specimen`, `condition`,
    `quantity`, `value`, `unit`, `ci_low`, `ci_high`, `n`, `method`, `interval`, `note`, `source`, `scheme`,
    `run`. A value that could not be measured is NaN and `note` says why; a lower bound has `ci_high` = inf.
    """

    table: pd.DataFrame
    folder: Path
    overlays: tuple[Path, ...]
    figure: Path | None
    confidence: float
    notes: tuple[str, ...] = field(default=())

    def summary(self) -> str:
        """Return a few lines for the terminal: pooled values of the main quantities first."""
        fields = self.table[self.table["level"] == "field"]
        rows = headline(self.table)
        if (rows["level"] != "field").any():
            rows = rows[rows["level"] != "field"]
        n_fields = fields["image_id"].nunique()
        lines = [f"measured {n_fields} field(s), {len(fields)} values; {100 * self.confidence:g} % intervals"]
        lines += [_line(row) for row in rows.head(SHOWN_ROWS).to_dict("records")]
        if len(rows) > SHOWN_ROWS:
            lines.append(f"  ... {len(rows) - SHOWN_ROWS} more in {self.folder / 'measurements.csv'}")
        lines += [f"  note: {note}" for note in self.notes]
        if self.overlays:
            lines.append(f"  check by eye: {self.overlays[0].parent}")
        return "\n".join(lines)


def measure(archive: "Archive", cfg: MeasureConfig, *, run: "Run") -> MeasureReport:
    """Measure the masks or the objects of an archive and store the values.

    Parameters
    ----------
    archive : Archive
        With predictions or annotations of the scheme, or with objects.
    cfg : MeasureConfig
        What to measure, on which masks.
    run : Run
        Its folder takes ``measurements.csv``, ``summary.png`` and one overlay per field.

    Returns
    -------
    MeasureReport

    Raises
    ------
    ArchiveError
        Where masks, objects or classes are missing; the message names the command that makes them.
    """
    plan = _plan(archive, cfg)
    notes = list(plan.notes)
    values, overlays = [], []
    for _, image in track(list(plan.images.iterrows()), title="measure", unit="fields"):
        measured = plan.measure(image)
        values += measured.values
        if len(overlays) < cfg.overlays:
            path = run.folder / "overlays" / f"{_file_stem(image['file'])}-{image['image_id'][:8]}.png"
            overlays.append(_save(measured.draw(archive.field(image["image_id"])), path))
    table = pool(values, confidence=cfg.confidence, pixel_size_rel_error=cfg.pixel_size_rel_error)
    table = table.assign(source=plan.source, scheme=plan.scheme, run=run.id)[list(COLUMNS)]
    archive.add_measurements(table)
    table.insert(2, "file", table["image_id"].map(plan.images.set_index("image_id")["file"]).fillna(""))
    notes += _unit_notes(table)
    figure = _save(summary_figure(table), run.folder / "summary.png") if cfg.overlays else None
    table.to_csv(run.folder / "measurements.csv", index=False)
    return MeasureReport(table, run.folder, tuple(overlays), figure, cfg.confidence, tuple(notes))


@dataclass(frozen=True)
class _Plan:
    """What is measured: the fields, where their masks or objects come from, and how one is measured."""

    images: pd.DataFrame
    notes: list[str]
    source: str
    scheme: str
    measure: Callable[[pd.Series], Measured]


def _plan(archive: "Archive", cfg: MeasureConfig) -> _Plan:
    rng = np.random.default_rng(cfg.seed)
    if isinstance(cfg.measure, ObjectsConfig):
        found = ObjectFields(archive, cfg, rng=rng)
        return _Plan(found.images, found.notes, found.source, "", found.measure)
    scheme = choose_scheme(archive, cfg)
    images, notes = choose_fields(archive, cfg, scheme=scheme.name)
    work = build_worker(cfg, scheme, rng=rng)

    def measure_mask(image: pd.Series) -> Measured:
        return work(load_field(archive, image, cfg, scheme=scheme.name))

    return _Plan(images, notes, cfg.source, scheme.name, measure_mask)


def _save(figure, path: Path) -> Path:
    from wootz.plotting import save_figure

    path.parent.mkdir(parents=True, exist_ok=True)
    return save_figure(figure, path)


def _file_stem(file: str) -> str:
    kept = [c if c.isalnum() or c in "-_." else "_" for c in Path(file).stem]
    return "".join(kept)[:60]


def _unit_notes(table: pd.DataFrame) -> list[str]:
    fields = table[table["level"] == "field"]
    notes = []
    in_px = fields["unit"].isin(("px", "px²", "1/Mpx"))
    if in_px.any():
        n = fields.loc[in_px, "image_id"].nunique()
        notes.append(f"{n} field(s) have no pixel size: lengths and areas are in px, pooled apart")
    failed = fields[fields["value"].isna()].drop_duplicates("image_id")
    notes += [f"{Path(row['file']).name}: {row['note']}" for row in failed.head(5).to_dict("records")]
    if len(failed) > 5:
        notes.append(f"{len(failed) - 5} more fields without a value; see column note")
    return notes


def _line(row: dict) -> str:
    interval = Interval(row["value"], row["ci_low"], row["ci_high"], row["n"], row["interval"])
    level = row["level"]
    where = {
        "field": Path(row["file"]).name,
        "specimen": row["specimen"],
        "condition": row["condition"],
        "all": "all",
    }[level]
    text = f"  {row['quantity']}  {where}: {format_interval(interval, row['unit'])}  ({row['interval']})"
    return f"{text}; {row['note']}" if row["note"] and level != "field" else text
