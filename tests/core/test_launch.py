"""Processes of one training work in one run, that of the first."""

import json

import pytest

from wootz.archive import Archive
from wootz.errors import WootzError
from wootz.launch import RUN_VARIABLE, follow, launch_name, lead, process_rank


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_JOB_ID", "SLURM_STEP_ID", RUN_VARIABLE):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)


@pytest.fixture
def archive(tmp_path):
    return Archive.create(tmp_path / "a")


def start(archive):
    return archive.start_run("pretrain", {}, seed=0, inputs={})


@pytest.mark.parametrize(
    ("variables", "n_processes", "rank"),
    [
        ({}, 2, 0),
        ({"LOCAL_RANK": "1"}, 2, 1),
        ({"LOCAL_RANK": "0", "RANK": "2"}, 4, 2),
        ({"SLURM_PROCID": "3"}, 4, 3),
        ({"SLURM_PROCID": "3"}, 1, 0),  # a task of some other job that runs this command alone
    ],
)
def test_rank(monkeypatch, variables, n_processes, rank):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert process_rank(n_processes=n_processes) == rank


def test_a_process_that_lightning_started_joins_by_name(archive):
    others = [start(archive) for _ in range(2)]
    run = lead(start(archive))
    joined = follow(archive.path, "pretrain", wait_s=0)
    assert (joined.id, joined.folder) == (run.id, run.folder)
    assert run.id not in {other.id for other in others}


def test_a_task_of_slurm_joins_the_run_of_its_job_step(archive, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    run = lead(start(archive))
    monkeypatch.delenv(RUN_VARIABLE)  # tasks of SLURM do not inherit it
    assert launch_name() == "7.0"
    assert follow(archive.path, "pretrain", wait_s=0).id == run.id
    with pytest.raises(WootzError, match="started no run"):
        follow(archive.path, "finetune", wait_s=0)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")  # requeued: the first process has yet to take the run up
    with pytest.raises(WootzError, match=r"started no run in .* within 0 s"):
        follow(archive.path, "pretrain", wait_s=0)


def test_joined_processes_write_nothing_down_and_hold_nothing(archive):
    run = lead(start(archive))
    before = (run.folder / "run.json").read_bytes()
    joined = follow(archive.path, "pretrain", wait_s=0)
    joined.finish({}, checkpoint=run.folder / "encoder.pt")  # which the first may not have written yet
    joined.fail("x")
    assert (run.folder / "run.json").read_bytes() == before
    run.finish({})
    assert json.loads((run.folder / "run.json").read_bytes())["status"] == "finished"
