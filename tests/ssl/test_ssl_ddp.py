"""Several processes compute what one computes with the whole batch: gradients, losses, queues, centres."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from wootz.ssl import (
    BYOLConfig,
    DenseCLConfig,
    DINOConfig,
    MoCoConfig,
    MoCoV3Config,
    SimCLRConfig,
    SwaVConfig,
    VICRegConfig,
)
from wootz.training import LAST


def views(n_views=2, n_local=0):
    """Return a function from a seed to `n_views` large and `n_local` small views of 8 tiles."""

    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        sides = [12] * n_views + [8] * n_local
        return tuple(torch.rand(8, 1, s, s, generator=generator, dtype=torch.float64) for s in sides)

    return draw


HEAD = {"hidden_dim": 8, "output_dim": 4}
CASES = {  # name: (options, seed -> views of the whole batch); add a row for each new method
    "simclr": (SimCLRConfig(**HEAD), views()),
    "byol": (BYOLConfig(**HEAD), views()),
    "moco": (MoCoConfig(**HEAD, queue=16, key_groups=2), views()),
    "mocov3": (MoCoV3Config(**HEAD), views()),
    "vicreg": (VICRegConfig(**HEAD), views()),
    "swav": (SwaVConfig(**HEAD, prototypes=5, queue=0, freeze_frac=0.0), views(2, 2)),
    "swav with a queue": (SwaVConfig(**HEAD, prototypes=5, queue=8, freeze_frac=0.0), views(2, 1)),
    "dino": (DINOConfig(**HEAD, bottleneck_dim=4, freeze_frac=0.0), views(2, 2)),
    "densecl": (DenseCLConfig(**HEAD, queue=16, key_groups=2), views()),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(assert_two_processes_are_one, case):
    assert_two_processes_are_one(*CASES[case])


# two processes under Lightning -----------------------------------------------------------------------------

SCRIPT = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from conftest import ToyTiles
from wootz.augment import AugmentConfig
from wootz.ssl import PretrainConfig, SwaVConfig
from wootz.ssl.pretraining import pretrain_tiles
from wootz.training import LAST, LastCheckpoint
LastCheckpoint.__init__.__kwdefaults__["every_s"] = 0.0
folder, rank = Path(sys.argv[1]), os.environ.get("LOCAL_RANK", "0")
method = SwaVConfig(hidden_dim=16, output_dim=8, prototypes=6, queue=8)
cfg = PretrainConfig(method=method, encoder="small", epochs=2, batch_size=4, devices=2, accumulate=2,
                     precision="float32", augment=AugmentConfig(out_px=16))
tiles = ToyTiles(n=50)
result = pretrain_tiles(tiles, cfg, folder=folder)
content = {{"reads": tiles.reads, "losses": [row["loss"] for row in result.history], "steps": result.n_steps}}
(folder / f"rank{{rank}}.json").write_text(json.dumps(content))
"""


@pytest.fixture
def start_two(tmp_path):
    """Return a function that starts a training by two processes of their own session."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))

    def start(folder):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, script, folder], env=environment, start_new_session=True)

    return start


def ranks_of(folder):
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_lightning_gives_each_process_its_own_tiles_and_goes_on_after_kill_9(start_two, tmp_path):
    assert start_two(tmp_path / "whole").wait(300) == 0
    first, second = ranks_of(tmp_path / "whole")
    assert first["steps"] == second["steps"] == 6  # 50 tiles are 3 steps of 16, in 2 epochs
    reads = [rank["reads"][1:] for rank in (first, second)]  # the first is the sample of the monitors
    assert len(reads[0]) == len(reads[1]) == 12
    for epoch in range(2):
        rows = [row for rank in reads for batch in rank[6 * epoch : 6 * epoch + 6] for row in batch]
        assert len(rows) == len(set(rows)) == 48

    cut = start_two(tmp_path / "cut")
    while not (tmp_path / "cut" / LAST).exists():
        assert cut.poll() is None
        time.sleep(0.01)
    os.killpg(cut.pid, signal.SIGKILL)
    cut.wait()
    step = torch.load(tmp_path / "cut" / LAST, weights_only=True)["global_step"]
    assert 0 < step < 6
    assert start_two(tmp_path / "cut").wait(300) == 0
    for before, after in zip((first, second), ranks_of(tmp_path / "cut"), strict=True):
        assert after["reads"][1:] == before["reads"][1 + 2 * step :]
    assert ranks_of(tmp_path / "cut")[0]["losses"] == first["losses"]
    states = [torch.load(tmp_path / f / LAST, weights_only=True)["state_dict"] for f in ("whole", "cut")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
