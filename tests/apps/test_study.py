import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from wootz.apps.studies import measurement_truth
from wootz.apps.study import StudyConfig, build_experiment, execute, load_study, run_study, study_names
from wootz.apps.study_cells import CellStore, expected_seconds, run_cells
from wootz.apps.study_grid import Comparison, Experiment, Plot, Study, cell_id, read_study
from wootz.apps.study_tables import comparison_table, flatten, markdown_table, summary_table
from wootz.cli.main import main
from wootz.errors import WootzError

GRID = {"data": ["ebc", "b2"], "start": ["random", "pretrained"], "seed": [0, 1, 2]}


def toy(**changes):
    known = {"name": "toy", "experiment": "toy", "grid": GRID, "compare": Comparison("start", "random")}
    return Study(**(known | changes))


def figures(params):
    """A made-up score: pretrained is better by 0.1 + 0.01 seed, b2 by 0.2."""
    base = 0.3 + 0.2 * (params["data"] == "b2") + 0.05 * params["seed"]
    return {"iou": base + (params["start"] == "pretrained") * (0.1 + 0.01 * params["seed"]), "note": "text"}


class Counting:
    """A cell that counts its calls and can be told to fail, or to act as Ctrl-C."""

    def __init__(self, *, fail=lambda p: False, interrupt=lambda p: False):
        self.calls, self.fail, self.interrupt = [], fail, interrupt

    def __call__(self, params, folder):
        self.calls.append(params)
        (folder / "visited").write_text("x")
        if self.interrupt(params):
            raise KeyboardInterrupt
        if self.fail(params):
            raise RuntimeError("no convergence | at\nstep 7")
        return figures(params)


def cell_function(work):
    def cell(params, folder):
        return work(params, folder)

    return Experiment(cell)


def go(study, work, folder, **options):
    return execute(study, cell_function(work), cfg=StudyConfig(out=str(folder), **options))


# the grid


def test_cells_are_the_product_with_the_replicate_slowest():
    cells = toy(fixed={"epochs": 3}).cells()
    assert len(cells) == 12
    assert [c["seed"] for c in cells] == [0] * 4 + [1] * 4 + [2] * 4
    assert {(c["data"], c["start"]) for c in cells[:4]} == {
        (d, s) for d in GRID["data"] for s in GRID["start"]
    }
    assert all(c["epochs"] == 3 for c in cells)


def test_skip_rules():
    study = toy(skip=[{"data": "b2", "seed": [1, 2]}, {"start": "random", "seed": 2}])
    left = {(c["data"], c["start"], c["seed"]) for c in study.cells()}
    expected = {
        (d, st, se)
        for d in GRID["data"]
        for st in GRID["start"]
        for se in GRID["seed"]
        if not (d == "b2" and se in (1, 2)) and not (st == "random" and se == 2)
    }
    assert left == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {}}, "has no grid"),
        ({"grid": {"seed": 3}}, "must be a list"),
        ({"grid": {"seed": [1, 1]}}, "twice"),
        ({"fixed": {"seed": 1}}, "keep one"),
        ({"skip": [{"dta": "b2"}]}, "'dta'"),
        ({"skip": [{"data": "b3"}]}, "b3"),
        ({"compare": Comparison("start", "none")}, "none"),
        ({"plot": Plot(x="epochs")}, "epochs"),
    ],
)
def test_wrong_studies(changes, message):
    with pytest.raises(WootzError, match=message):
        toy(**changes)


def test_a_grid_of_which_nothing_is_left():
    with pytest.raises(WootzError, match="nothing of the grid"):
        toy(skip=[{"start": ["random", "pretrained"]}]).cells()


def test_cell_ids_tell_parameters_apart_and_are_file_names():
    cells = toy(fixed={"path": "a/b c#(1)", "list": [1, 2]}).cells()
    names = [cell_id(c) for c in cells]
    assert len(set(names)) == len(cells)
    assert all("/" not in name and len(name) < 120 for name in names)
    assert cell_id({"a": 1}) != cell_id({"a": 1.5})


def test_yaml(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        textwrap.dedent(
            """
            experiment: measurement_truth
            question: Does it work?
            grid: {method: [a, b], seed: [0, 1]}
            skip: [{method: b, seed: 1}]
            compare: {key: method, baseline: a}
            plot: {figures: [iou]}
            """
        )
    )
    study = read_study(path)
    assert (study.name, len(study.cells()), study.compare) == ("mine", 3, Comparison("method", "a"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b", "mapping"),
        ("grid: {seed: [0]}", "'experiment' is missing"),
        ("experiment: x\ngird: {seed: [0]}", "unknown key 'gird'"),
        ("experiment: x\ngrid: {seed: [0]}\nplot: {z: seed}", "unknown key 'z'"),
        ("a: [1", "cannot be read as a study"),
    ],
)
def test_wrong_yaml(tmp_path, text, message):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(WootzError, match=message):
        read_study(path)


# running


def test_whole_study(tmp_path):
    work = Counting()
    report = go(toy(), work, tmp_path)
    assert (report.n_done, report.n_failed, report.n_left) == (12, 0, 0)
    records = [json.loads(p.read_text()) for p in (tmp_path / "cells").glob("*.json")]
    assert len(records) == 12
    for record in records:
        assert record["figures"] == pytest.approx(
            figures(record["params"]) | {"note": record["figures"]["note"]}
        )
        assert record["status"] == "done"
        assert record["seconds"] >= 0
        assert record["versions"]["wootz"]
        assert record["code"]
    for name in ("cells.csv", "summary.csv", "comparison.csv", "study.md", "figure.png", "figure.svg"):
        assert (tmp_path / name).stat().st_size > 0
    page = (tmp_path / "study.md").read_text()
    assert "All 12 cells" in page
    assert "Paired differences to start = random" in page
    assert "12 of 12 cells done" in report.summary()


def test_done_cells_are_not_run_again_and_a_larger_grid_goes_on(tmp_path):
    go(toy(), Counting(), tmp_path)
    again = Counting()
    assert go(toy(), again, tmp_path).n_done == 12
    assert again.calls == []
    larger = Counting()
    report = go(toy(grid=GRID | {"seed": [0, 1, 2, 3]}), larger, tmp_path)
    assert [c["seed"] for c in larger.calls] == [3] * 4
    assert report.n_done == 16


def test_other_fixed_values_are_other_cells(tmp_path):
    go(toy(), Counting(), tmp_path)
    changed = Counting()
    go(toy(fixed={"epochs": 9}), changed, tmp_path)
    assert len(changed.calls) == 12


def test_failures_are_kept_shown_and_tried_again(tmp_path):
    broken = Counting(fail=lambda p: p["data"] == "b2" and p["seed"] == 1)
    report = go(toy(), broken, tmp_path)
    assert (report.n_done, report.n_failed) == (10, 2)
    assert "no convergence" in report.summary()
    page = (tmp_path / "study.md").read_text()
    assert "not complete" in page
    assert page.count("- data=b2") == 2
    table = pd.read_csv(tmp_path / "cells.csv")
    assert (table.status == "failed").sum() == 2
    record = json.loads(next((tmp_path / "cells").glob("data-b2*seed-1*.json")).read_text())
    assert "RuntimeError" in record["error"]
    assert "test_study.py" in record["trace"]
    kept = Counting()
    assert go(toy(), kept, tmp_path, retry_failed=False).n_failed == 2
    assert kept.calls == []
    mended = Counting()
    assert go(toy(), mended, tmp_path).n_failed == 0
    assert len(mended.calls) == 2


@pytest.mark.parametrize("result", [None, {}, [1.0], {"iou": 0.5, "seed": 1.0}])
def test_a_cell_must_return_figures(tmp_path, result):
    report = go(toy(), lambda params, folder: result, tmp_path)
    assert report.n_failed == 12
    assert "TypeError" in report.failures[0]


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(tmp_path):
    work = Counting(interrupt=lambda p: p["seed"] == 1 and p["start"] == "pretrained")
    with pytest.raises(KeyboardInterrupt):
        go(toy(), work, tmp_path)
    assert len(work.calls) == 6
    page = (tmp_path / "study.md").read_text()
    assert "6 cells left because of an interruption" in page
    rest = Counting()
    assert go(toy(), rest, tmp_path).n_done == 12
    assert len(rest.calls) == 7


def test_kill_loses_one_cell_at_most(tmp_path):
    code = f"""
    import time
    from pathlib import Path
    from wootz.apps.study import StudyConfig, execute
    from wootz.apps.study_grid import Experiment, Study
    def cell(params, folder):
        time.sleep(60 if params["seed"] == 2 else 0)
        return {{"iou": 0.5}}
    study = Study("toy", "toy", grid={{"seed": [0, 1, 2, 3]}})
    execute(study, Experiment(cell), cfg=StudyConfig(out={str(tmp_path)!r}))
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while (
        len(list((tmp_path / "cells").glob("*.json"))) < 3
        and time.monotonic() < deadline
        and process.poll() is None
    ):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    work = Counting()
    grid = {"seed": [0, 1, 2, 3]}
    study = Study("toy", "toy", grid=grid)
    report = execute(
        study,
        cell_function(lambda p, f: work(p | {"data": "", "start": ""}, f)),
        cfg=StudyConfig(str(tmp_path)),
    )
    assert [c["seed"] for c in work.calls] == [2, 3]
    assert report.n_done == 4


def test_a_cell_that_kills_its_process_is_not_begun_for_ever(tmp_path):
    study = Study("toy", "toy", grid={"seed": [0]})
    store = CellStore(tmp_path)
    params = study.cells()[0]
    record = {
        "params": params,
        "status": "running",
        "crashes": 2,
        "seconds": None,
        "figures": {},
        "error": "",
    }
    store.save(record | {"versions": {}, "code": ""})
    work = Counting()
    report = go(study, work, tmp_path)
    assert work.calls == []
    assert report.n_failed == 1
    assert "running" in report.failures[0]


def test_damaged_record_is_moved_aside_and_the_cell_runs_again(tmp_path):
    go(toy(), Counting(), tmp_path)
    path = next((tmp_path / "cells").glob("*.json"))
    path.write_text(path.read_text()[:40])
    work = Counting()
    assert go(toy(), work, tmp_path).n_done == 12
    assert len(work.calls) == 1
    assert path.with_suffix(".damaged").exists()


def test_two_processes_share_the_cells_of_a_folder(tmp_path):
    beside, reports = Counting(), []

    def first(params, folder):
        if not reports:  # while this cell is at work, the same command is started again
            reports.append(go(toy(), beside, tmp_path))
        return figures(params)

    report = go(toy(), first, tmp_path)
    assert len(beside.calls) == 11
    assert (reports[0].n_done, reports[0].n_left) == (11, 1)
    assert "another process" in reports[0].reason
    assert (report.n_done, report.n_left) == (12, 0)
    assert report.cells["seed"].value_counts().tolist() == [4, 4, 4]


def test_budget_stops_before_a_cell_that_would_exceed_it(tmp_path, monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr("wootz.apps.study_cells.time.monotonic", lambda: clock[0])

    def slow(params, folder):
        clock[0] += 40.0
        return figures(params)

    report = go(toy(), slow, tmp_path, budget_minutes=3)
    assert (report.n_done, report.n_left) == (4, 8)  # 160 s spent, a fifth cell would end at 200 s
    assert "budget of 3 min" in report.summary()
    assert "stopping before" in capsys.readouterr().err
    assert "8 cells left" in (tmp_path / "study.md").read_text()
    assert go(toy(), slow, tmp_path, budget_minutes=60).n_done == 12


def test_expected_time_is_that_of_the_most_similar_cells():
    def record(seconds, **params):
        return {"status": "done", "seconds": seconds, "params": params}

    done = [record(10, m="a", seed=0), record(90, m="b", seed=0), record(95, m="b", seed=1)]
    assert expected_seconds({"m": "b", "seed": 2}, done) == 95
    assert expected_seconds({"m": "a", "seed": 2}, done) == 10
    assert expected_seconds({"m": "c", "seed": 5}, done) == 95
    assert expected_seconds({"m": "c", "seed": 5}, []) == 0


def test_prepare_runs_first_and_its_folder_is_shared(tmp_path):
    order = []

    def prepare(fixed, shared):
        order.append("prepare")
        (shared / "encoder").write_text(str(fixed["epochs"]))
        return {"rankme": 4.0}

    def cell(params, folder, *, shared):
        order.append(params["seed"])
        return {"read": int((shared / "encoder").read_text())}

    study = Study("toy", "toy", grid={"seed": [0, 1]}, fixed={"epochs": 7})
    outcome = run_cells(
        Experiment(cell, prepare), study.cells(), folder=tmp_path, fixed=study.fixed, budget_s=60
    )
    assert order == ["prepare", 0, 1]
    assert [r["figures"]["read"] for r in outcome.records] == [7, 7]
    assert json.loads((tmp_path / "prepare.json").read_text())["figures"] == {"rankme": 4.0}
    run_cells(Experiment(cell, prepare), study.cells(), folder=tmp_path, fixed=study.fixed, budget_s=60)
    assert order == ["prepare", 0, 1]


# tables


def test_means_and_intervals_by_hand(tmp_path):
    summary = go(toy(), Counting(), tmp_path).summary_table.set_index(["data", "start"])
    row = summary.loc[("ebc", "pretrained")]
    values = [0.4, 0.46, 0.52]
    half = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
    assert row["mean"] == pytest.approx(0.46)
    assert (row.ci_low, row.ci_high) == (pytest.approx(0.46 - half), pytest.approx(0.46 + half))
    assert row.n == 3


def test_paired_differences_by_hand(tmp_path):
    table = go(toy(), Counting(), tmp_path).comparison
    each = table[table.data != "(all)"]
    assert each.difference.to_numpy() == pytest.approx([0.11, 0.11])
    half = stats.t.ppf(0.975, 2) * 0.01 / np.sqrt(3)  # the spread of the pairs, not of the seeds
    assert each.ci_low.to_numpy() == pytest.approx([0.11 - half] * 2)
    pooled = table[table.data == "(all)"].iloc[0]
    assert (pooled.difference, pooled.n) == (pytest.approx(0.11), 2)


def test_pairs_with_a_missing_side_are_left_out(tmp_path):
    work = Counting(fail=lambda p: p["start"] == "random" and p["seed"] == 2 and p["data"] == "ebc")
    table = go(toy(), work, tmp_path).comparison.set_index("data")
    assert table.loc["ebc"].n == 2
    assert table.loc["b2"].n == 3
    assert table.loc["ebc"].difference == pytest.approx((0.1 + 0.11) / 2)


def test_one_seed_has_no_interval(tmp_path):
    report = go(toy(grid=GRID | {"seed": [0]}), Counting(), tmp_path)
    assert report.summary_table.ci_low.isna().all()
    assert "0.3 (n=1)" in (tmp_path / "study.md").read_text()


def test_missing_figures_count_as_missing():
    study = toy(grid={"seed": [0, 1, 2]}, compare=None)
    frame = pd.DataFrame(
        {"seed": [0, 1, 2], "status": "done", "seconds": 1.0, "error": "", "iou": [0.2, np.nan, 0.4]}
    )
    row = summary_table(study, frame).iloc[0]
    assert (row["mean"], row.n) == (pytest.approx(0.3), 2)


def test_comparison_over_the_replicate_alone():
    study = Study("toy", "toy", grid={"m": ["a", "b"], "seed": [0, 1]}, compare=Comparison("m", "a"))
    frame = pd.DataFrame({"m": ["a", "b", "a", "b"], "seed": [0, 0, 1, 1], "iou": [1.0, 2.0, 3.0, 5.0]})
    table = comparison_table(study, frame.assign(status="done", seconds=0.0, error=""))
    assert table.difference.tolist() == [1.5]
    assert table.n.tolist() == [2]


def test_flatten_keeps_numbers():
    nested = {"a": 1, "b": {"c": 2.5, "d": {"e": True}}, "f": None, "g": "text", "h": [1, 2]}
    flat = flatten(nested)
    assert np.isnan(flat.pop("f"))
    assert flat == {"a": 1, "b.c": 2.5, "b.d.e": 1}


def test_markdown_escapes():
    text = markdown_table(pd.DataFrame({"a|b": ["x|y\nz"], "v": [0.123456]}))
    assert text.splitlines()[2] == "| x\\|y z | 0.1235 |"


def test_results_of_another_state_of_the_code_are_pointed_out(tmp_path):
    go(toy(), Counting(), tmp_path)
    path = next((tmp_path / "cells").glob("*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "other"}))
    go(toy(), Counting(), tmp_path)
    assert "2 states of the code" in (tmp_path / "study.md").read_text()


def test_figure_with_panels_and_numbers_along_the_axis(tmp_path):
    grid = {
        "noise": [0.0, 1.0, 2.0],
        "data": ["ebc", "b2"],
        "start": ["random", "pretrained"],
        "seed": [0, 1],
    }
    report = go(toy(grid=grid, plot=Plot(["iou"], "noise", "data"), compare=None), Counting(), tmp_path)
    assert report.n_done == 24
    assert b"noise" in (tmp_path / "figure.svg").read_bytes() or (tmp_path / "figure.png").exists()


# what comes with wootz


def test_every_study_can_be_read_and_built(tmp_path):
    (tmp_path / "splits.json").write_text("{}")
    assert "measurement_truth" in study_names()
    for name in study_names():
        study = load_study(name)
        assert study.cells()
        assert study.question
        assert callable(build_experiment(study.experiment, data=str(tmp_path)).cell)


@pytest.mark.parametrize(
    ("data", "message"), [("", "name their folder with data=FOLDER"), ("gone", "holds no splits.json")]
)
def test_a_study_without_its_micrographs_leaves_no_folder(tmp_path, data, message):
    with pytest.raises(WootzError, match=message):
        run_study("real_chain", StudyConfig(out=str(tmp_path / "out"), data=data))
    assert not (tmp_path / "out").exists()


def test_unknown_names(tmp_path):
    with pytest.raises(WootzError, match="measurement_truth"):
        run_study("nope", StudyConfig(out=str(tmp_path)))
    with pytest.raises(WootzError, match="no study file"):
        run_study("nope.yaml", StudyConfig())
    with pytest.raises(WootzError, match=r"choose .*measurement_truth"):
        build_experiment("nope")
    with pytest.raises(WootzError, match="choose one of local"):
        StudyConfig(jobs="slurm")


def test_command_line_with_a_study_of_ones_own(tmp_path, capsys):
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "experiment: measurement_truth\n"
        "grid: {outline_noise_px: [0.0], seed: [0]}\n"
        "fixed: {n_fields: 2, tilt_deg: 4.0, pixel_um: 0.4}\n"
    )
    out = tmp_path / "out"
    assert main(["study", str(path), f"out={out}", "budget_minutes=5"]) == 0
    assert "1 of 1 cells done" in capsys.readouterr().out
    table = pd.read_csv(out / "cells.csv")
    assert table.thickness_abs_rel_error_pct.item() < 1.5
    assert main(["study", str(path), "budget_minutes=-1"]) == 2


def test_outline_noise_has_the_asked_spread_and_no_bias(rng):
    region = np.zeros((300, 900), bool)
    region[100:200] = True
    thickness = measurement_truth.noisy_outline(region, 3.0, rng=rng).sum(axis=0)
    assert thickness.mean() == pytest.approx(100, abs=1.0)
    assert thickness.std() == pytest.approx(3.0 * np.sqrt(2), rel=0.3)
    assert (measurement_truth.noisy_outline(region, 0.0, rng=rng) == region).all()
