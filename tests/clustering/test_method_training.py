"""Methods that train the encoder: their cores against loops, and short trainings on drawn tiles."""

import dataclasses
import math
import os
import signal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from wootz.clustering.training.batches import RowBatches, features_of
from wootz.clustering.training.build import train_and_group, trains_encoder
from wootz.clustering.training.classifying import Classifying
from wootz.clustering.training.dac import DAC, dac_loss, dac_thresholds, last_epoch
from wootz.clustering.training.labels import even_rows, kmeans_labels, whitened
from wootz.clustering.training.options import (
    ClusterFitConfig,
    DACConfig,
    DeepClusterConfig,
    DeeperClusterConfig,
)
from wootz.clustering.training.transformer import SpatialTransformer
from wootz.encoders import build_encoder, load_encoder
from wootz.errors import WootzError


class DrawnTiles:
    """Three textures of 16 px with a margin: flat with noise, stripes across, checks."""

    def __init__(self, n, *, seed=0):
        rng = np.random.default_rng(seed)
        self.truth = rng.permutation(np.arange(n) % 3)
        row, col = np.indices((48, 48))
        looks = np.stack([0 * row, row // 2 % 2, (row // 3 + col // 3) % 2]).astype(np.float32)
        self.pixels = 0.3 + 0.4 * looks[self.truth] + 0.05 * rng.normal(size=(n, 48, 48)).astype(np.float32)

    def __len__(self):
        return len(self.truth)

    def scaled(self, rows, margin=0):
        edge = 16 - margin
        return np.ascontiguousarray(self.pixels[rows][:, edge : 48 - edge, edge : 48 - edge])


# DAC -------------------------------------------------------------------------------------------------------
def test_dac_thresholds_close_until_they_meet():
    assert dac_thresholds(0) == pytest.approx((0.95, 0.455))
    assert dac_thresholds(10) == pytest.approx((0.95 - 0.099, 0.455 + 0.0099))
    upper, lower = dac_thresholds(45)
    assert upper > lower
    upper, lower = dac_thresholds(46)
    assert upper <= lower
    assert last_epoch() == 46
    assert last_epoch(10.0) == 1


def test_dac_loss_by_loops(rng):
    scores = 3 * rng.normal(size=(9, 4))
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    found, frac = dac_loss(torch.from_numpy(p), upper=0.8, lower=0.4)
    alike, different = [], []
    for i in range(9):
        for j in range(9):
            if i == j:
                continue
            s = p[i] @ p[j] / np.linalg.norm(p[i]) / np.linalg.norm(p[j])
            if s > 0.8:
                alike.append(-math.log(s))
            if s < 0.4:
                different.append(-math.log(1 - s))
    assert alike
    assert different
    assert float(found) == pytest.approx(np.mean(alike) + np.mean(different), rel=1e-6)
    assert frac == pytest.approx((len(alike) + len(different)) / 72)


def test_dac_loss_without_sure_pairs_is_zero_and_has_gradients():
    scores = torch.zeros(4, 3, requires_grad=True)
    loss, frac = dac_loss(scores.softmax(dim=1), upper=1.0, lower=0.0)
    loss.backward()
    assert (float(loss.detach()), frac) == (0.0, 0.0)
    assert scores.grad is not None
    assert (scores.grad == 0).all()


def test_spatial_transformer_starts_as_identity_and_moves_by_its_map(rng):
    front = SpatialTransformer(generator=torch.Generator().manual_seed(0))
    x = torch.from_numpy(rng.random((2, 1, 16, 16), np.float32))
    assert torch.allclose(front(x), x, atol=1e-5)
    front.bias.data[2] = 2 / 16  # half sides: one pixel to the right in the source
    assert torch.allclose(front(x)[..., :-1], x[..., 1:], atol=1e-4)
    front(x).square().sum().backward()
    assert front.second.grad is not None
    assert front.second.grad.abs().sum() > 0


# labels and batches ----------------------------------------------------------------------------------------
def test_even_rows_draw_each_label_equally(rng):
    labels = np.repeat([0, 1, 3], [60, 30, 2])
    rows = even_rows(labels, rng=rng)
    assert len(rows) == 92
    assert sorted(np.bincount(labels[rows], minlength=4).tolist()) == [0, 30, 31, 31]
    assert len(set(rows[labels[rows] == 0].tolist())) == (labels[rows] == 0).sum()  # no repeats where enough
    assert set(rows[labels[rows] == 3].tolist()) == {90, 91}


def test_labels_are_made_on_whitened_components(rng):
    """Classes along a direction of little variance are found after whitening, and lost without."""
    truth = np.arange(300) % 2
    points = np.stack([truth + 0.1 * rng.normal(size=300), 20 * rng.normal(size=300)], 1).astype(np.float32)
    points = np.concatenate([points, points[:, :1]], axis=1)  # a third, redundant direction
    white = whitened(points, 3)
    assert white.shape == (300, 2)
    assert np.linalg.norm(white, axis=1) == pytest.approx(np.ones(300), abs=1e-5)
    raw, made = (kmeans_labels(points, 4, rng=rng, n_components=n) for n in (None, 3))
    assert normalized_mutual_info_score(truth, made) > 0.4
    assert normalized_mutual_info_score(truth, raw) < 0.1
    assert kmeans_labels(points, 1000, rng=rng).max() == 149


def test_row_batches_go_on_where_the_step_says():
    tiles, step = DrawnTiles(10), [0]
    batches = RowBatches(
        tiles,
        batch_size=4,
        margin_px=2,
        draw=lambda epoch: np.arange(10) * 1 + 0 * epoch,
        step=lambda: step[0],
    )
    assert len(batches) == 2
    first, second = list(batches)
    assert first[0].tolist() == [0, 1, 2, 3]
    assert torch.equal(second[1][:, 0], torch.from_numpy(tiles.scaled(np.arange(4, 8), 2)))
    step[0] = 3
    (only,) = list(batches)
    assert only[0].tolist() == [4, 5, 6, 7]


# trainings -------------------------------------------------------------------------------------------------
SHORT: Any = {"n_clusters": 3, "batch_size": 16, "augment": "plain", "precision": "float32"}
METHODS = {
    "deepcluster": DeepClusterConfig(**SHORT, epochs=2, n_labels=6),
    "deepercluster": DeeperClusterConfig(**SHORT, epochs=2, n_labels=6, n_super=2, reassign_every=1),
    "clusterfit": ClusterFitConfig(**SHORT, epochs=2, n_labels=6),
    "dac": DACConfig(**SHORT, epochs=2),
}


SLOWER = [pytest.param(name, marks=pytest.mark.slow) for name in METHODS if name != "dac"]


@pytest.mark.parametrize("name", ["dac", *SLOWER])
def test_training_runs_saves_and_says_what_it_did(tmp_path, name):
    tiles = DrawnTiles(48)
    assert trains_encoder(METHODS[name])
    found, features = train_and_group(tiles, METHODS[name], folder=tmp_path, seed=1)
    assert found.labels.shape == (48,)
    assert 1 <= found.n_clusters <= 3
    assert features.shape == (48, 256)
    saved = load_encoder(tmp_path / "encoder.pt")
    assert features_of(tiles, saved) == pytest.approx(features, abs=1e-4)
    start = features_of(tiles, build_encoder("small", generator_seed=1))
    assert np.abs(start - features).max() > 1e-3
    history = pd.read_csv(tmp_path / "history.csv")
    assert history.step.tolist() == [3, 6]
    extra = {"deepcluster": "nmi", "deepercluster": "nmi", "dac": "chosen_frac"}.get(name)
    if extra:
        assert 0 <= history[extra].iloc[-1] <= 1


@pytest.mark.parametrize("name", METHODS)
def test_refuses_bad_tiles(tmp_path, name):
    tiles, method = DrawnTiles(20), METHODS[name]
    for change, words in (
        ({"n_clusters": None}, "needs method.n_clusters"),
        ({"n_clusters": 40}, "more than the 20 tiles"),
        ({"batch_size": 64}, "fewer than method.batch_size"),
    ):
        with pytest.raises(WootzError, match=words):
            train_and_group(tiles, dataclasses.replace(method, **change), folder=tmp_path, seed=0)
    tiles.pixels[:] = 0.5
    with pytest.raises(WootzError, match=r"the same|constant"):
        train_and_group(tiles, method, folder=tmp_path, seed=0)
    with pytest.raises(WootzError, match="augment"):
        dataclasses.replace(method, augment="nonsense")


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_textures_are_told_apart(tmp_path, name):
    changes = {"epochs": 15, "batch_size": 32, "threshold_step": 0.03}
    if name != "dac":
        changes = {"epochs": 8, "batch_size": 32, "lr": 0.02, "n_labels": 12}
    tiles, method = DrawnTiles(192), dataclasses.replace(METHODS[name], **changes)

    def score(seed, **more):
        chosen = dataclasses.replace(method, **more)
        found, _ = train_and_group(tiles, chosen, folder=tmp_path / f"{seed} {more}", seed=seed)
        return adjusted_rand_score(tiles.truth, found.labels)

    if name == "dac":  # from random weights the seed decides, and the machine: 0.48 to 0.90
        trained = np.median([score(seed) for seed in range(5)])
        assert trained > 0.5
        assert trained > np.median([score(seed, epochs=1) for seed in range(5)]) + 0.1
    else:
        assert score(0) > 0.9


@pytest.mark.slow
def test_spatial_transformer_learns_with_dac(tmp_path):
    method = dataclasses.replace(METHODS["dac"], spatial_transformer=True)
    plain = train_and_group(DrawnTiles(48), METHODS["dac"], folder=tmp_path / "plain", seed=1)[1]
    turned = train_and_group(DrawnTiles(48), method, folder=tmp_path / "turned", seed=1)[1]
    assert np.abs(plain - turned).max() > 1e-3


@pytest.mark.slow
def test_deepcluster_repeats_exactly(tmp_path):
    runs = [
        train_and_group(DrawnTiles(48), METHODS["deepcluster"], folder=tmp_path / str(i), seed=1)[1]
        for i in (0, 1)
    ]
    assert np.array_equal(runs[0], runs[1])


# stopped and started again ---------------------------------------------------------------------------------
class PowerCutError(RuntimeError):
    """Ends a training in the middle of a step, without any checkpoint."""


def told(module):
    os.kill(os.getpid(), signal.SIGTERM)


def cut(module):
    raise PowerCutError


STOPS = {  # step of three an epoch, from 0; what happens; which error; steps that are done again
    "told within an epoch": (4, told, SystemExit, 0),
    "told in the last step of an epoch": (5, told, SystemExit, 0),
    "cut within an epoch": (7, cut, PowerCutError, 1),
    "cut in the first epoch": (1, cut, PowerCutError, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("name", METHODS)
def test_goes_on_after_a_stop_as_if_there_had_been_none(tmp_path, monkeypatch, name, stop):
    method = dataclasses.replace(METHODS[name], epochs=4)
    if name == "deepercluster":
        method = dataclasses.replace(method, reassign_every=2)
    whole, features = train_and_group(DrawnTiles(48), method, folder=tmp_path / "whole", seed=1)
    kind = DAC if name == "dac" else Classifying
    step, happens, error, n_again = STOPS[stop]
    plain, done = kind.training_step, []

    def counted(module, batch, batch_idx):
        done.append(module.global_step)
        if module.global_step == step and len(done) <= step + 1:
            happens(module)
        return plain(module, batch, batch_idx)

    monkeypatch.setattr(kind, "training_step", counted)
    with pytest.raises(error):
        train_and_group(DrawnTiles(48), method, folder=tmp_path / "parts", seed=1)
    assert not (tmp_path / "parts" / "encoder.pt").exists()
    begun = len(done)
    again, repeated = train_and_group(DrawnTiles(48), method, folder=tmp_path / "parts", seed=1)
    assert done[begun] == (step + 1 if happens is told else step // 3 * 3)
    assert len(done) == 12 + n_again + (step % 3 if happens is cut else 0)
    assert np.array_equal(features, repeated)
    assert np.array_equal(whole.labels, again.labels)
    before, after = (pd.read_csv(tmp_path / f / "history.csv") for f in ("whole", "parts"))
    pd.testing.assert_frame_equal(before.drop(columns="seconds"), after.drop(columns="seconds"))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_after_the_last_step_nothing_is_trained_again(tmp_path, monkeypatch, name):
    first = train_and_group(DrawnTiles(48), METHODS[name], folder=tmp_path, seed=1)[1]
    (tmp_path / "encoder.pt").unlink()
    monkeypatch.setattr(DAC if name == "dac" else Classifying, "training_step", cut)
    assert np.array_equal(first, train_and_group(DrawnTiles(48), METHODS[name], folder=tmp_path, seed=1)[1])
