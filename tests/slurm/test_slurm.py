"""What users of a cluster run: shards as jobs, a training by two tasks, and one that is told to stop."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wootz.archive import Archive
from wootz.fields import NewField

pytestmark = pytest.mark.slow
WOOTZ = str(Path(sys.executable).with_name("wootz"))
SMALL = "encoder=small batch_size=8 precision=float32 augment.out_px=16"


@pytest.fixture
def archive(tmp_path):
    rng = np.random.default_rng(3)
    archive = Archive.create(tmp_path / "a")
    fields = [rng.integers(0, 255, (96, 96)).astype(np.uint8) for _ in range(4)]
    archive.add_images([NewField(field, {"file": f"f{i}.tif"}) for i, field in enumerate(fields)])
    archive.write_tiles(16, 16)
    return archive


def test_shards_run_as_jobs_and_come_to_what_one_process_finds(archive, slurm):
    ids = archive.tile_table.tile_id
    rng = np.random.default_rng(1)
    centres = 6.0 * rng.normal(size=(3, 8))
    features = centres[np.arange(len(ids)) % 3] + rng.normal(size=(len(ids), 8))
    archive.add_embedding("toy", ids, features.astype(np.float32), {"encoder_fingerprint": "planted"})
    own = "method=hierarchical method.n_clusters=3 method.top=kmeans method.n_first=5 method.piece_rows=100"
    for place in ("here", "slurm"):
        jobs = f"method.jobs.place={place} method.jobs.cpus=1 method.jobs.memory_gb=1"
        options = f"{own} {jobs} name={place} map=false".split()
        command = [WOOTZ, "cluster", str(archive.path), *options]
        done = subprocess.run(command, env=slurm, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        assert ("jobs (slurm)" in done.stderr) == (place == "slurm")
    tiles = Archive(archive.path).tile_table
    assert tiles.cluster_here.nunique() == 3
    assert tiles.cluster_here.tolist() == tiles.cluster_slurm.tolist()


def test_jobs_that_no_partition_will_ever_start_are_told_of(archive, slurm):
    ids = archive.tile_table.tile_id
    features = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
    archive.add_embedding("toy", ids, features, {"encoder_fingerprint": "planted"})
    own = "method=hierarchical method.n_clusters=3 method.top=kmeans method.n_first=5 map=false"
    jobs = "place=slurm partition=hour minutes=240 workers=1 memory_gb=1 cpus=1"
    options = [*own.split(), *(f"method.jobs.{option}" for option in jobs.split())]
    command = [WOOTZ, "cluster", str(archive.path), *options]
    with subprocess.Popen(command, env=slurm, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "PartitionTimeLimit" in line:
                assert "set it lower" in line
                subprocess.run(["scancel", "--name=wootz"], env=slurm, check=True)
        assert process.wait(120) == 2, lines
    assert any("PartitionTimeLimit" in line for line in lines), lines
    assert "left SLURM's queue without a result" in "".join(lines)


def losses(path):
    """Return the losses of the one run of an archive, which is finished."""
    archive = Archive(path)
    assert archive.runs.status.tolist() == ["finished"]
    return pd.read_csv(archive.path / "runs" / archive.runs.run[0] / "history.csv").loss.tolist()


def train(path, options):
    command = [WOOTZ, "pretrain", str(path), *SMALL.split(), *options.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_two_tasks_train_one_run_as_two_processes_without_slurm_do(archive, run_job, tmp_path):
    shutil.copytree(archive.path, tmp_path / "plain")
    command = f"srun {WOOTZ} pretrain {archive.path} {SMALL} epochs=2 devices=2"
    state, words = run_job(command, tmp_path, "--ntasks-per-node=2", "--nodes=1")
    assert state == "COMPLETED", words
    train(tmp_path / "plain", "epochs=2 devices=2")
    assert losses(archive.path) == losses(tmp_path / "plain")


def test_tasks_that_do_not_fit_the_options_are_refused(archive, run_job, tmp_path):
    command = f"srun {WOOTZ} pretrain {archive.path} {SMALL} epochs=1 devices=2"
    state, words = run_job(command, tmp_path, "--ntasks-per-node=3", "--nodes=1")
    assert state == "FAILED"
    assert "does not fit devices=2 nodes=1; start it with --nodes=1 --ntasks-per-node=2" in words


def test_a_job_told_to_stop_comes_back_and_ends_as_one_that_was_not(archive, run_job, scancel, tmp_path):
    shutil.copytree(archive.path, tmp_path / "plain")
    told = []

    def stop_once(number):
        if not told and list(archive.path.glob("runs/*/last.ckpt")):  # the first of many epochs is done
            told.append(number)
            scancel(number, "TERM")

    command = f"exec srun {WOOTZ} pretrain {archive.path} {SMALL} epochs=40 requeue=true"
    state, words = run_job(command, tmp_path, "--requeue", during=stop_once)
    assert state == "COMPLETED", words
    assert "told to stop by SIGTERM: saved step" in words
    assert "is back in the queue" in words
    train(tmp_path / "plain", "epochs=40")
    assert losses(archive.path) == losses(tmp_path / "plain")
