"""``wootz study NAME``: a grid of experiments to a table and a figure, resumable, within a time budget."""

import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from wootz import storage
from wootz.apps.study_cells import Outcome, describe, run_cells, versions
from wootz.apps.study_grid import Experiment, Study, read_study
from wootz.apps.study_tables import (
    cell_table,
    comparison_table,
    in_grid,
    markdown_table,
    open_pairs,
    summary_table,
    wide_table,
    with_interval,
)
from wootz.errors import WootzError
from wootz.options import check_choice, check_range, option


@dataclass
class StudyConfig:
    """Run a study, or go on with one."""

    out: str = option("", "folder of the study; none is studies/NAME in the current folder")
    budget_minutes: float = option(120.0, "stop before the cell that would end later than this", unit="min")
    retry_failed: bool = option(True, "run cells again that failed before")
    data: str = option("", "folder of the public micrographs, for the studies that run on them")
    jobs: str = option(
        "local",
        "where cells run: local (one after the other; start the command again beside for more at once)",
    )

    def __post_init__(self) -> None:
        check_range("budget_minutes", self.budget_minutes, 0)
        check_choice("jobs", self.jobs, ("local",))


@dataclass(frozen=True)
class StudyReport:
    """What a run of a study came to.

    Parameters
    ----------
    study : Study
    folder : Path
        Holds ``cells.csv``, ``summary.csv``, ``comparison.csv``, ``study.md``, ``figure.png`` and ``.svg``.
    cells, summary, comparison : DataFrame
        See `wootz.apps.study_tables`.
    n_done, n_failed, n_left : int
        Cells done, failed (or interrupted), and not begun.
    reason : str
        Why cells were not begun.
    """

    study: Study
    folder: Path
    cells: pd.DataFrame
    summary_table: pd.DataFrame
    comparison: pd.DataFrame
    n_done: int
    n_failed: int
    n_left: int
    reason: str
    failures: tuple[str, ...]

    def summary(self) -> str:
        """Return a few lines for the terminal."""
        total = self.n_done + self.n_failed + self.n_left
        lines = [f"{self.study.name}: {self.n_done} of {total} cells done"]
        if self.n_failed:
            lines.append(f"{self.n_failed} failed; the first: {self.failures[0]}")
        if self.n_left:
            lines.append(f"{self.n_left} left because of {self.reason}; the same command goes on")
        lines.append(f"tables and figure: {self.folder / 'study.md'}")
        return "\n".join(lines)


def run_study(name: str, cfg: StudyConfig) -> StudyReport:
    """Run a study by its name, or by the path of its YAML file.

    Parameters
    ----------
    name : str
        A study that comes with wootz, or a file that ends in ``.yaml``.
    cfg : StudyConfig

    Raises
    ------
    WootzError
        If there is no such study, or its file is wrong.
    """
    study = load_study(name)
    return execute(study, build_experiment(study.experiment, data=cfg.data), cfg=cfg)


def execute(study: Study, experiment: Experiment, *, cfg: StudyConfig) -> StudyReport:
    """Run a study that was made in Python; see `run_study`."""
    folder = Path(cfg.out) if cfg.out else Path("studies") / study.name
    options = {"budget_s": 60 * cfg.budget_minutes, "retry_failed": cfg.retry_failed}
    try:
        outcome = run_cells(experiment, study.cells(), folder=folder, fixed=study.fixed, **options)
    except KeyboardInterrupt:
        from wootz.apps.study_cells import CellStore

        store = CellStore(folder)
        begun = [record for params in study.cells() if (record := store.load(params)) is not None]
        left = [params for params in study.cells() if store.load(params) is None]
        write_report(study, Outcome(begun, left, "an interruption"), folder=folder)
        raise
    return write_report(study, outcome, folder=folder)


def load_study(name: str) -> Study:
    """Read a study that comes with wootz, or a YAML file of the user."""
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise WootzError(f"there is no study file {name}.")
        return read_study(Path(name))
    found = resources.files("wootz.configs").joinpath("study", f"{name}.yaml")
    if not found.is_file():
        known = ", ".join(study_names()) or "none"
        raise WootzError(f"{name!r} is no study; choose one of {known}, or give the path of a .yaml file.")
    with resources.as_file(found) as path:
        return read_study(path)


def study_names() -> list[str]:
    """List the studies that come with wootz."""
    folder = resources.files("wootz.configs").joinpath("study")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def build_experiment(name: str, *, data: str = "") -> Experiment:
    """Build the code of a study by its name; `data` is the folder of the micrographs that it runs on.

    Raises
    ------
    WootzError
        If there is no such experiment, or it needs `data` and the folder is not there.
    """
    if name == "measurement_truth":
        from wootz.apps.studies import measurement_truth

        return Experiment(measurement_truth.cell)
    from wootz.apps.studies import (
        clustering,
        few_labels,
        micrographs,
        pretraining,
        real_chain,
        simulated_expert,
    )

    on_micrographs = {
        "real_chain": real_chain,
        "pretraining": pretraining,
        "few_labels": few_labels,
        "clustering": clustering,
        "simulated_expert": simulated_expert,
    }
    if name not in on_micrographs:
        known = ", ".join(("measurement_truth", *on_micrographs))
        raise WootzError(f"experiment={name!r} is not known; choose one of {known}.")
    micrographs.check_data(data)
    module = on_micrographs[name]
    return Experiment(module.cell, prepare=functools.partial(module.prepare, data=data))


def write_report(study: Study, outcome: Outcome, *, folder: Path) -> StudyReport:
    """Write the tables, the page and the figure of whatever cells there are."""
    from wootz.apps.study_plots import study_figure
    from wootz.plotting import save_figure

    records = in_grid(study, outcome.records)
    cells = cell_table(study, records)
    summary, comparison = summary_table(study, cells), comparison_table(study, cells)
    failures = tuple(
        f"{describe(r['params'])}: {r['error'] or r['status']}" for r in records if r["status"] != "done"
    )
    for frame, name in ((cells, "cells"), (summary, "summary"), (comparison, "comparison")):
        if frame.shape[1]:
            storage.write_bytes(folder / f"{name}.csv", frame.to_csv(index=False).encode())
    if len(summary):
        figure = study_figure(study, cells, summary)
        save_figure(figure, folder / "figure.png")
        save_figure(figure, folder / "figure.svg")
    page = _page(study, outcome, records, summary=summary, comparison=comparison, failures=failures)
    storage.write_bytes(folder / "study.md", page.encode())
    n_done = int((cells.status == "done").sum())
    return StudyReport(
        study=study,
        folder=folder,
        cells=cells,
        summary_table=summary,
        comparison=comparison,
        n_done=n_done,
        n_failed=len(records) - n_done,
        n_left=len(outcome.left),
        reason=outcome.reason,
        failures=failures,
    )


def _page(
    study: Study,
    outcome: Outcome,
    records: list[dict[str, Any]],
    *,
    summary: pd.DataFrame,
    comparison: pd.DataFrame,
    failures: tuple[str, ...],
) -> str:
    """Write the result page in Markdown."""
    grid = "; ".join(f"{key}: {', '.join(map(str, values))}" for key, values in study.grid.items())
    seconds = sum(r["seconds"] or 0 for r in records)
    parts = [f"# {study.name}", study.question, f"Grid: {grid}."]
    if study.fixed:
        parts.append(f"Fixed: {describe(study.fixed)}.")
    parts.append(f"{open_pairs(study, outcome.left, len(failures))} {seconds / 60:.1f} min of computing.")
    if outcome.left:
        parts.append(f"{len(outcome.left)} cells left because of {outcome.reason}.")
    if len(summary):
        title = f"## Means over {study.replicate}, with 95 % intervals"
        parts += [title, markdown_table(wide_table(study, summary)), "![figure](figure.png)"]
    if len(comparison):
        keep = [c for c in comparison.columns if c not in ("difference", "ci_low", "ci_high", "n")]
        shown = comparison[keep].assign(
            difference=[with_interval(r, "difference") for r in comparison.to_dict("records")]
        )
        assert study.compare is not None
        base = f"{study.compare.key} = {study.compare.baseline}"
        parts += [f"## Paired differences to {base}, with 95 % intervals", markdown_table(shown)]
    if failures:
        parts += ["## Failed cells", "\n".join(f"- {line}" for line in failures)]
    parts += ["## Made with", _versions(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _versions(records: list[dict[str, Any]]) -> str:
    seen: dict[str, set[str]] = {}
    for record in records:
        for name, value in record["versions"].items():
            seen.setdefault(name, set()).add(value)
    seen = seen or {name: {value} for name, value in versions().items()}
    text = ", ".join(f"{name} {' and '.join(sorted(values))}" for name, values in seen.items() if any(values))
    codes = {record["code"] for record in records if record["status"] == "done"}
    mixed = "" if len(codes) < 2 else f" Cells come from {len(codes)} states of the code: run them anew."
    return f"{text}.{mixed}"
