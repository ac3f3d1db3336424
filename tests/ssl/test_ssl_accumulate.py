"""Several small batches make the step of one large batch: weights, losses, slow copies, checkpoints."""

import math

import pytest
import torch

from wootz.augment import CLEAN, AugmentConfig
from wootz.ssl import BYOLConfig, MoCoConfig, PretrainConfig
from wootz.ssl.batches import Batches
from wootz.ssl.loop import Pretraining, learning_rate_factor
from wootz.ssl.pretraining import pretrain_tiles
from wootz.training import LAST, LastCheckpoint, build_trainer, fit

SAME_VIEWS = AugmentConfig(  # nothing is random, so that views do not depend on how tiles are batched
    out_px=16,
    area_min_frac=1.0,
    aspect_max=1.0,
    rotation_deg=0.0,
    shear_deg=0.0,
    flip_prob=0.0,
    jitter_prob=0.0,
    **CLEAN,
)


def train(toy, tiles, folder, *, batch_size, accumulate):
    cfg = PretrainConfig(
        method=BYOLConfig(hidden_dim=8, output_dim=4, momentum=0.9),
        epochs=2,
        batch_size=batch_size,
        accumulate=accumulate,
        precision="float32",
        augment=SAME_VIEWS,
    )
    method = toy.float64_method(cfg.method)
    trainer = build_trainer(folder, epochs=2, title="toy", precision="float32", accumulate=accumulate)
    module = Pretraining(method, cfg, margin_px=0, n_steps=6, origin="toy")
    batches = Batches(
        tiles,
        batch_size=batch_size,
        margin_px=0,
        seed=0,
        accumulate=accumulate,
        position=lambda: (trainer.global_step, 0, 1),
    )
    rates, updates = [], []
    update = method.update
    method.update = lambda progress: (updates.append(progress), update(progress))
    step = module.optimizer_step

    def note(*args, **kwargs):
        rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        step(*args, **kwargs)

    module.optimizer_step = note
    history = fit(trainer, module, batches)
    return method.state_dict(), [row["loss"] for row in history.rows], rates, updates


@pytest.mark.parametrize("accumulate", [2, 4])
def test_small_batches_make_the_step_of_a_large_one(toy, toy_tiles, tmp_path, accumulate):
    tiles = toy_tiles(n=26)  # three steps of 8 an epoch; two tiles are left over
    large = train(toy, tiles, tmp_path / "1", batch_size=8, accumulate=1)
    small = train(toy, tiles, tmp_path / "2", batch_size=8 // accumulate, accumulate=accumulate)
    assert small[1] == pytest.approx(large[1], rel=1e-6)  # of float32
    expected = [1e-3 * learning_rate_factor(i / 6, warmup_frac=0.1) for i in range(6)]
    assert small[2] == large[2] == pytest.approx(expected)
    assert small[3] == large[3] == [i / 6 for i in range(6)]  # slow copies move once a step
    for name, value in large[0].items():
        torch.testing.assert_close(small[0][name], value, rtol=1e-6, atol=1e-9)


class CutError(Exception):
    pass


def test_cut_within_a_step_goes_on_from_the_last_whole_one(toy_tiles, tmp_path, monkeypatch):
    cfg = PretrainConfig(
        method=MoCoConfig(hidden_dim=16, output_dim=8, queue=8, key_groups=1),
        encoder="small",
        epochs=2,
        batch_size=4,
        accumulate=2,
        precision="float32",
        augment=AugmentConfig(out_px=16),
    )
    whole = pretrain_tiles(toy_tiles(n=24), cfg, folder=tmp_path / "whole")
    assert whole.n_steps == 6
    monkeypatch.setattr(LastCheckpoint.__init__, "__kwdefaults__", {"every_s": 0.0})
    saved_at, n_batches = [], 0
    save = LastCheckpoint.save
    step = Pretraining.training_step

    def note(self, trainer):
        saved_at.append(n_batches)
        save(self, trainer)

    def fail(self, batch, batch_idx):
        nonlocal n_batches
        if n_batches == 9:  # in the second half of the fifth step
            raise CutError
        n_batches += 1
        return step(self, batch, batch_idx)

    monkeypatch.setattr(LastCheckpoint, "save", note)
    monkeypatch.setattr(Pretraining, "training_step", fail)
    with pytest.raises(CutError):
        pretrain_tiles(toy_tiles(n=24), cfg, folder=tmp_path / "cut")
    monkeypatch.setattr(Pretraining, "training_step", step)
    assert saved_at == [2, 4, 6, 8]
    assert torch.load(tmp_path / "cut" / LAST, weights_only=True)["global_step"] == 4
    again = toy_tiles(n=24)
    resumed = pretrain_tiles(again, cfg, folder=tmp_path / "cut")
    assert len(again.reads) == 1 + 4
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    states = [torch.load(tmp_path / f / LAST, weights_only=True)["state_dict"] for f in ("whole", "cut")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_batches_of_a_step_have_views_of_their_own(toy_tiles, tmp_path, monkeypatch):
    import wootz.ssl.views

    draw, seeds = wootz.ssl.views.random_views, set()

    def note(batch, cfg, *, generator, **rest):
        seeds.add(generator.initial_seed())
        return draw(batch, cfg, generator=generator, **rest)

    monkeypatch.setattr(wootz.ssl.views, "random_views", note)
    cfg = PretrainConfig(
        encoder="small", epochs=1, batch_size=4, accumulate=2, precision="float32", augment=SAME_VIEWS
    )
    result = pretrain_tiles(toy_tiles(n=16), cfg, folder=tmp_path)
    assert (result.n_steps, len(seeds)) == (2, 4)
    assert math.isfinite(result.loss_last)
