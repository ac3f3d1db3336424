"""The loop: equal batches, exact resuming, honest stops, files that rebuild the encoder."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from wootz.augment import CLEAN, AugmentConfig
from wootz.encoders import encoder_provenance, load_encoder
from wootz.errors import CheckpointError, WootzError
from wootz.ssl import (
    BYOLConfig,
    DenseCLConfig,
    DINOConfig,
    MoCoConfig,
    MoCoV3Config,
    PretrainConfig,
    SimCLRConfig,
    SwaVConfig,
    VICRegConfig,
)
from wootz.ssl.batches import Batches, epoch_rows
from wootz.ssl.methods.options import LocalViewsConfig
from wootz.ssl.pretraining import checked_sample, pretrain_tiles
from wootz.training import LAST, LastCheckpoint, prefetch, use_bf16

METHODS = {
    "simclr": SimCLRConfig(hidden_dim=16, output_dim=8),
    "byol": BYOLConfig(hidden_dim=16, output_dim=8),
    "moco": MoCoConfig(hidden_dim=16, output_dim=8, queue=16, key_groups=2),
    "mocov3": MoCoV3Config(hidden_dim=16, output_dim=8),
    "vicreg": VICRegConfig(hidden_dim=16, output_dim=8),
    "swav": SwaVConfig(hidden_dim=16, output_dim=8, prototypes=6, queue=16, local=LocalViewsConfig(count=1)),
    "dino": DINOConfig(hidden_dim=16, output_dim=12, bottleneck_dim=8, local=LocalViewsConfig(count=1)),
    "densecl": DenseCLConfig(hidden_dim=16, output_dim=8, queue=16, key_groups=2),
}


def options(method="simclr", **changes):
    base = {"encoder": "small", "epochs": 3, "batch_size": 8, "precision": "float32", "seed": 2}
    return PretrainConfig(method=METHODS[method], augment=AugmentConfig(out_px=16), **{**base, **changes})


class KilledError(Exception):
    pass


def losses(result):
    return [(row["epoch"], row["step"], row["loss"]) for row in result.history]


# batches ---------------------------------------------------------------------------------------------------


def test_an_epoch_takes_no_tile_twice_and_orders_differ():
    rows = epoch_rows(50, batch_size=8, seed=1, epoch=0)
    assert rows.shape == (6, 8)
    assert len(np.unique(rows)) == 48
    assert np.array_equal(rows, epoch_rows(50, batch_size=8, seed=1, epoch=0))
    assert not np.array_equal(rows, epoch_rows(50, batch_size=8, seed=1, epoch=1))
    assert not np.array_equal(rows, epoch_rows(50, batch_size=8, seed=2, epoch=0))


@pytest.mark.parametrize("step", [0, 2, 3, 7])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_ranks_share_the_batches_of_one_process_from_any_step(toy_tiles, step, accumulate):
    def read(rank, world, batch_size, accumulate=1):
        tiles = toy_tiles(n=26)
        place = (step, rank, world)
        batches = Batches(
            tiles,
            batch_size=batch_size,
            margin_px=2,
            seed=0,
            accumulate=accumulate,
            position=lambda: place,
        )
        shapes = {tuple(batch.shape) for batch in batches}
        assert len(batches) == 3 * accumulate
        assert shapes == {(batch_size, 1, 36, 36)}
        return tiles.reads

    one = read(0, 1, 8)
    two = [read(rank, 2, 4 // accumulate, accumulate) for rank in range(2)]
    assert len(one) == 3 - step % 3
    assert len(two[0]) == len(two[1]) == len(one) * accumulate
    shared = [a + b for a, b in zip(*two, strict=True)]
    assert np.array_equal(np.ravel(one), np.ravel(shared))


def test_prefetch_keeps_the_order_reads_ahead_and_passes_errors_on():
    seen = []

    def read(item):
        seen.append(item)
        if item == 7:
            raise KilledError
        return item * 2

    stream = prefetch(read, range(10), depth=2)
    assert next(stream) == 0
    time.sleep(0.05)
    assert seen == [0, 1, 2]
    with pytest.raises(KilledError):
        list(stream)
    assert list(prefetch(read, [])) == []


# training --------------------------------------------------------------------------------------------------


def test_files_rebuild_the_encoder_and_tell_its_story(toy_tiles, tmp_path):
    result = pretrain_tiles(toy_tiles(), options(), folder=tmp_path, about={"tiles_fingerprint": "abc"})
    encoder = load_encoder(result.checkpoint, expect="small")
    state = torch.load(tmp_path / LAST, weights_only=True)["state_dict"]
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, state[f"method.encoder.{key}"])
    about = encoder_provenance(result.checkpoint)
    assert (about["method"], about["seed"], about["tiles_fingerprint"]) == ("simclr", 2, "abc")
    assert about["config"]["method"]["temperature"] == 0.2
    assert about["n_steps"] == result.n_steps == 12
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["rankme"].iloc[-1] == pytest.approx(result.rankme)
    assert (tmp_path / "history.png").stat().st_size > 1000
    assert "RankMe" in result.summary()
    assert str(result.checkpoint) in result.summary()


QUICK = ("simclr", "dino")  # the others only where there is time


@pytest.mark.parametrize(
    ("method", "every_s"),
    [
        pytest.param("moco", 1e9, id="moco, end of epoch"),
        *(
            pytest.param(method, 0.0, id=method, marks=() if method in QUICK else pytest.mark.slow)
            for method in METHODS
        ),
    ],
)
def test_interrupted_training_goes_on_to_the_same_weights(
    toy, toy_tiles, tmp_path, monkeypatch, method, every_s
):
    if every_s == 0:  # a checkpoint after each step: a small one
        start = {"method": "random"}
        monkeypatch.setattr("wootz.ssl.pretraining.start_encoder", lambda *_, **__: (toy.encoder(), start))
    # four steps per epoch; reading fails in the second epoch, two batches ahead of the training
    cfg = options(method, epochs=2)
    whole = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path / "whole")
    monkeypatch.setattr(LastCheckpoint.__init__, "__kwdefaults__", {"every_s": every_s})
    tiles = toy_tiles()
    read = tiles.scaled

    def fail(rows, margin=0):
        if len(tiles.reads) == 8:  # one sample and seven batches
            raise KilledError
        return read(rows, margin)

    tiles.scaled = fail
    with pytest.raises(KilledError):
        pretrain_tiles(tiles, cfg, folder=tmp_path / "cut")
    step = torch.load(tmp_path / "cut" / LAST, weights_only=True)["global_step"]
    assert step == 4 if every_s else 4 < step < 8
    again = toy_tiles()
    resumed = pretrain_tiles(again, cfg, folder=tmp_path / "cut")
    assert len(again.reads) == 1 + 8 - step  # only what was left
    assert losses(resumed) == losses(whole)  # bit for bit
    states = [torch.load(tmp_path / f / LAST, weights_only=True)["state_dict"] for f in ("whole", "cut")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_finished_training_is_not_trained_again(toy_tiles, tmp_path):
    first = pretrain_tiles(toy_tiles(), options(epochs=1), folder=tmp_path)
    again = toy_tiles()
    second = pretrain_tiles(again, options(epochs=1), folder=tmp_path)
    assert len(again.reads) == 1
    assert losses(first) == losses(second)


@pytest.mark.slow
def test_seed_decides_the_result(toy_tiles, tmp_path):
    runs = [
        losses(pretrain_tiles(toy_tiles(), options(epochs=1, seed=seed), folder=tmp_path / str(i)))
        for i, seed in enumerate([2, 2, 3])
    ]
    assert runs[0] == runs[1] != runs[2]


def test_every_step_draws_other_views(toy_tiles, tmp_path, monkeypatch):
    import wootz.ssl.views

    draw, seeds = wootz.ssl.views.random_views, []

    def note(batch, cfg, *, generator, **rest):
        seeds.append(generator.initial_seed())
        return draw(batch, cfg, generator=generator, **rest)

    monkeypatch.setattr(wootz.ssl.views, "random_views", note)
    pretrain_tiles(toy_tiles(), options(epochs=2), folder=tmp_path)
    assert len(set(seeds)) == 8


def test_other_options_do_not_go_on_in_the_same_folder(toy_tiles, tmp_path):
    pretrain_tiles(toy_tiles(), options(epochs=1), folder=tmp_path)
    with pytest.raises(CheckpointError, match="of other options or other tiles"):
        pretrain_tiles(toy_tiles(), options(epochs=1, lr=1e-4), folder=tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another network"):
        pretrain_tiles(toy_tiles(), options("byol", epochs=1), folder=tmp_path)


def test_damaged_checkpoint_is_named(toy_tiles, tmp_path):
    (tmp_path / LAST).write_bytes(b"PK not a checkpoint")
    with pytest.raises(CheckpointError, match=r"last\.ckpt is truncated"):
        pretrain_tiles(toy_tiles(), options(epochs=1), folder=tmp_path)


def test_time_budget_ends_the_training_and_stays_ended(toy_tiles, tmp_path):
    cfg = options(epochs=100_000, max_minutes=0.02)
    start = time.monotonic()
    result = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path)
    assert time.monotonic() - start < 30
    assert 0 < result.n_steps < 100_000
    assert result.history[-1]["rankme"] == result.rankme  # looked at after the last step
    assert pretrain_tiles(toy_tiles(), cfg, folder=tmp_path).n_steps == result.n_steps


def test_simclr_learns_to_tell_tiles_apart(toy_tiles, tmp_path):
    cfg = options(epochs=12, lr=3e-3, seed=0)
    cfg.augment = AugmentConfig(out_px=16, area_min_frac=0.7, rotation_deg=0.0, shear_deg=0.0, **CLEAN)
    losses = [row["loss"] for row in pretrain_tiles(toy_tiles(n=48), cfg, folder=tmp_path).history]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.3


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 0.4])
def test_kill_9_and_the_same_command_again(tmp_path, delay_s):
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        import torch; torch.set_num_threads(1)
        from conftest import ToyTiles
        from wootz.augment import AugmentConfig
        from wootz.ssl import PretrainConfig, SimCLRConfig
        from wootz.ssl.pretraining import pretrain_tiles
        cfg = PretrainConfig(method=SimCLRConfig(), encoder="small", epochs=12, batch_size=8,
                             precision="float32", augment=AugmentConfig(out_px=16))
        result = pretrain_tiles(ToyTiles(), cfg, folder=Path(sys.argv[1]))
        print([(row["epoch"], row["loss"]) for row in result.history])
        """)
    )

    def run(folder):
        return subprocess.Popen([sys.executable, script, folder], stdout=subprocess.PIPE, text=True)

    whole = run(tmp_path / "whole").communicate()[0]
    cut = run(tmp_path / "cut")
    while not (tmp_path / "cut" / LAST).exists():
        assert cut.poll() is None
        time.sleep(0.01)
    time.sleep(delay_s)
    os.kill(cut.pid, signal.SIGKILL)
    cut.communicate()
    assert not (tmp_path / "cut" / "encoder.pt").exists()
    assert run(tmp_path / "cut").communicate()[0] == whole != ""


# bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (1, r"batch_size=8 .* needs 8 tiles, but there is only 1; ingest more images"),
        (0, r"there are only 0; ingest"),
        (7, r"there are only 7"),
    ],
)
def test_too_few_tiles(toy_tiles, n, message):
    with pytest.raises(WootzError, match=message):
        checked_sample(toy_tiles(n=n) if n else [], options())


def test_batch_larger_than_the_archive_names_the_batch_that_fits(toy_tiles):
    with pytest.raises(WootzError, match=r"batch_size=64 .* set batch_size=20"):
        checked_sample(toy_tiles(n=20), options(batch_size=64))


def test_accumulated_batches_larger_than_the_archive(toy_tiles):
    with pytest.raises(WootzError, match=r"times accumulate=3 needs 24 tiles.*only 20; ingest"):
        checked_sample(toy_tiles(n=20), options(accumulate=3))
    with pytest.raises(WootzError, match=r"set batch_size=10, or"):
        checked_sample(toy_tiles(n=20), options(accumulate=2, batch_size=16))


def test_constant_tiles(toy_tiles):
    tiles = toy_tiles()
    tiles.pixels = np.broadcast_to(tiles.pixels[:, :1, :1], tiles.pixels.shape)
    with pytest.raises(WootzError, match=r"all 32 tiles .* are constant"):
        checked_sample(tiles, options())


def test_nan_pixels(toy_tiles):
    tiles = toy_tiles()
    tiles.pixels[3, 20, 20] = np.nan
    with pytest.raises(WootzError, match="NaN"):
        checked_sample(tiles, options())


def test_loss_that_is_not_finite_stops_the_run(toy_tiles, tmp_path):
    with pytest.raises(WootzError, match=r"the loss is (nan|inf) near step \d+; lower lr"):
        pretrain_tiles(toy_tiles(), options(lr=1e30, warmup_frac=0.0), folder=tmp_path)
    assert not (tmp_path / LAST).exists()  # the sound part would be kept, the broken one is not


def test_collapse_stops_the_run(toy_tiles, tmp_path, monkeypatch):
    def collapse(self, progress):
        with torch.no_grad():
            for parameter in self.encoder.parameters():
                parameter.zero_()

    monkeypatch.setattr("wootz.ssl.methods.byol.BYOL.update", collapse)
    with pytest.raises(WootzError, match=r"collapsed after epoch 1: all tiles have nearly the same"):
        pretrain_tiles(toy_tiles(), options("byol", epochs=1), folder=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "vgg"}, "encoder='vgg' is not known"),
        ({"optimizer": "sgd"}, "optimizer='sgd'"),
        ({"batch_size": 1}, "batch_size=1 is out of range"),
        ({"epochs": 0}, "epochs=0"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"max_minutes": 0.0}, "max_minutes=0.0"),
        ({"lr": -1.0}, "lr=-1.0"),
        ({"precision": "float16"}, "precision='float16'"),
    ],
)
def test_options_out_of_range(changes, message):
    with pytest.raises(WootzError, match=message):
        PretrainConfig(**changes)


def test_method_options_out_of_range():
    for make in (
        lambda: SimCLRConfig(temperature=0.0),
        lambda: MoCoConfig(momentum=1.0),
        lambda: BYOLConfig(output_dim=1),
        lambda: MoCoConfig(name="simclr"),
    ):
        with pytest.raises(WootzError, match=r"^method\."):
            make()


def test_options_load_without_torch():
    code = "import sys, wootz.ssl.config, wootz.ssl, wootz.augment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_precision_is_what_was_asked():
    assert use_bf16("bf16", device="cpu")
    assert not use_bf16("float32", device="cpu")
    assert use_bf16("auto", device="cpu") in (True, False)


def test_bfloat16_trains_too(toy_tiles, tmp_path):
    cfg = options(epochs=1, precision="bf16")
    cfg.augment.out_px = 32  # smaller views end in maps of 1 x 1, where torch's bf16 kernel is not reliable
    result = pretrain_tiles(toy_tiles(), cfg, folder=tmp_path)
    assert np.isfinite(result.loss_last)
    state = load_encoder(result.checkpoint).state_dict()
    assert {v.dtype for k, v in state.items() if "num_batches" not in k} == {torch.float32}
