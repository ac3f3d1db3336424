"""SIGTERM in mid-epoch: a checkpoint of a whole step, a clear status, the same result after going on."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from wootz.archive import Archive
from wootz.augment import AugmentConfig
from wootz.errors import WootzError
from wootz.ssl import MoCoConfig, PretrainConfig
from wootz.ssl.pretraining import pretrain_tiles
from wootz.stopping import requeue_slurm_job, slurm_plugins
from wootz.training import LAST, build_trainer

CFG = PretrainConfig(
    method=MoCoConfig(hidden_dim=16, output_dim=8, queue=16, key_groups=2),
    encoder="small",
    epochs=2,
    batch_size=4,
    accumulate=2,
    precision="float32",
    augment=AugmentConfig(out_px=16),
)
SCRIPT = """
import pickle, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from conftest import ToyTiles
from wootz.ssl.pretraining import pretrain_tiles
folder = Path(sys.argv[1])
tiles = ToyTiles(n=48)
read = tiles.scaled
def slow(rows, margin=0):
    if len(tiles.reads) == 8:  # one sample and seven of the twelve batches
        folder.joinpath("ready").touch()
        time.sleep(1.0)
    return read(rows, margin)
tiles.scaled = slow
pretrain_tiles(tiles, pickle.loads({cfg!r}), folder=folder)
"""


def stopped(folder, number):
    """Train in a process of its own that gets a signal in mid-epoch; returns its status and its words."""
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), cfg=pickle.dumps(CFG)))
    code = [sys.executable, script, folder]
    process = subprocess.Popen(code, stderr=subprocess.PIPE, text=True)
    while not (folder / "ready").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    return process.wait(60), process.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_signal_in_mid_epoch_and_the_same_command_again(toy_tiles, tmp_path, name):
    status, words = stopped(tmp_path / "cut", getattr(signal, name))
    assert status == 128 + getattr(signal, name)
    step = torch.load(tmp_path / "cut" / LAST, weights_only=True)["global_step"]
    assert 0 < step < 6  # six steps of two batches in an epoch
    assert f"told to stop by {name}: saved step {step} in {tmp_path / 'cut' / LAST}; the same" in words
    assert "Traceback" not in words
    assert not (tmp_path / "cut" / "encoder.pt").exists()
    whole = pretrain_tiles(toy_tiles(n=48), CFG, folder=tmp_path / "whole")
    again = toy_tiles(n=48)
    resumed = pretrain_tiles(again, CFG, folder=tmp_path / "cut")
    assert len(again.reads) == 1 + 24 - 2 * step
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    states = [torch.load(tmp_path / f / LAST, weights_only=True)["state_dict"] for f in ("whole", "cut")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_signal_in_the_last_epoch_does_not_keep_a_finished_training_from_its_end(toy_tiles, tmp_path):
    tiles = toy_tiles(n=48)
    read = tiles.scaled

    def last_batch(rows, margin=0):
        if len(tiles.reads) == 24:
            time.sleep(0.3)  # the steps before are done
            os.kill(os.getpid(), signal.SIGTERM)
        return read(rows, margin)

    tiles.scaled = last_batch
    before = signal.getsignal(signal.SIGTERM)
    assert pretrain_tiles(tiles, CFG, folder=tmp_path).checkpoint.exists()
    assert signal.getsignal(signal.SIGTERM) == before


# SLURM -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Return a file that notes what a stand-in for SLURM's command was asked."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    tool, asked = tmp_path / "bin" / "scontrol", tmp_path / "asked"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\necho "$@" >> "{asked}"\n[ "$2" != 13 ] || {{ echo "not yours" >&2; exit 1; }}\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    return asked


@pytest.mark.parametrize(
    ("environment", "asked", "said"),
    [
        ({"SLURM_JOB_ID": "7"}, "requeue 7\n", "SLURM job 7 is back in the queue"),
        (
            {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "8", "SLURM_ARRAY_TASK_ID": "2"},
            "requeue 8_2\n",
            "job 8_2 is back",
        ),
        ({"SLURM_JOB_ID": "13"}, "requeue 13\n", r"job 13 was not requeued (not yours); submit the same"),
        ({}, None, "requeue=true has no effect outside a SLURM job"),
    ],
)
def test_requeueing(scontrol, monkeypatch, capsys, environment, asked, said):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    requeue_slurm_job()
    assert (scontrol.read_text() if scontrol.exists() else None) == asked
    assert said in capsys.readouterr().err


def test_requeueing_without_scontrol(scontrol, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("PATH", "/nowhere")
    requeue_slurm_job()
    assert "job 7 was not requeued" in capsys.readouterr().err


def test_slurm_environment_without_the_requeueing_of_lightning(scontrol, monkeypatch, tmp_path):
    assert slurm_plugins(devices=1, nodes=1) == []
    about = {"NTASKS": "1", "JOB_NAME": "x", "NNODES": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in about.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    (environment,) = slurm_plugins(devices=1, nodes=1)
    assert not environment.auto_requeue
    trainer = build_trainer(tmp_path, epochs=1, title="toy")
    assert trainer._accelerator_connector.cluster_environment.auto_requeue is False
    with pytest.raises(WootzError, match=r"does not fit devices=1 nodes=2; start it with --nodes=2"):
        slurm_plugins(devices=1, nodes=2)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # without --ntasks-per-node
    with pytest.raises(WootzError, match="srun"):
        slurm_plugins(devices=4, nodes=1)


def test_nodes_reach_the_trainer(tmp_path):
    trainer = build_trainer(tmp_path, epochs=1, title="toy", nodes=3, devices=2, device="cpu")
    assert (trainer.num_nodes, trainer.world_size) == (3, 6)


# two processes of one command ------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path, rng):
    """Return a function that makes the same archive in another folder."""
    from wootz.fields import NewField

    pixels = rng.integers(40, 250, (4, 96, 96)).astype("uint8")

    def make(name):
        archive = Archive.create(tmp_path / name)
        archive.add_images([NewField(p, {"file": f"{i}.tif"}) for i, p in enumerate(pixels)])
        archive.write_tiles(16, 16)
        return archive

    return make


def command(archive, epochs):
    words = f"encoder=small epochs={epochs} batch_size=8 devices=2 requeue=true precision=float32"
    words += " method.hidden_dim=16 method.output_dim=8 augment.out_px=16"
    code = "import sys; from wootz.cli.main import main; sys.exit(main())"
    script = archive.path.parent / "start.py"
    script.write_text(code)
    return [sys.executable, script, "pretrain", archive.path, *words.split()]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="two processes on the CPU")
def test_two_processes_share_a_run_stop_together_and_go_on(archive, scontrol, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole, cut = archive("whole"), archive("cut")
    assert subprocess.run(command(whole, 8), check=False, timeout=300).returncode == 0
    process = subprocess.Popen(command(cut, 8), stderr=subprocess.PIPE, text=True)
    while not list(cut.path.glob(f"runs/*/{LAST}")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)  # the first process alone
    status, words = process.wait(60), process.stderr.read()
    assert status == 143, words
    assert "told to stop by SIGTERM" in words
    assert scontrol.read_text() == "requeue 7\n"
    assert cut.runs["status"].tolist() == ["running"]
    assert subprocess.run(command(cut, 8), check=False, timeout=300).returncode == 0
    assert cut.runs["status"].tolist() == ["finished"]
    histories = [next(a.path.glob("runs/*/history.csv")).read_text().splitlines() for a in (whole, cut)]
    losses = [[line.split(",")[:3] for line in history] for history in histories]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 9
