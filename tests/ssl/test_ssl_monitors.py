"""Monitors and probes against closed forms, slow loops and scikit-learn; collapse, small and real."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import hyp0f1
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from wootz.augment import AugmentConfig
from wootz.errors import WootzError
from wootz.ssl import (
    PretrainConfig,
    SimCLRConfig,
    alignment,
    alpha_req,
    feature_std,
    knn_probe,
    lidar,
    linear_probe,
    rankme,
    uniformity,
)
from wootz.ssl.collapse import RankGuard, check_collapse
from wootz.ssl.curves import draw_history
from wootz.ssl.known import KnownTiles, known_tiles, part_by_image
from wootz.ssl.pretraining import pretrain_tiles
from wootz.ssl.watch import EVERY_STEPS, FeatureWatch, look, watched


def test_rankme_of_orthogonal_and_of_parallel_features(rng):
    assert rankme(np.eye(12)) == pytest.approx(12, rel=1e-4)
    assert rankme(np.outer(rng.random(50), rng.random(8))) == pytest.approx(1, abs=1e-3)
    blocks = np.kron(np.diag([3.0, 1.0]), np.ones((5, 1)))  # singular values 3 sqrt(5), sqrt(5)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert rankme(blocks) == pytest.approx(np.exp(entropy), rel=1e-5)


@given(n=st.integers(2, 30), dim=st.integers(2, 20), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_rankme_is_bounded_and_blind_to_scale_order_and_rotation(n, dim, scale, seed):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, dim))
    value = rankme(features)
    assert 1 - 1e-6 <= value <= min(n, dim) * (1 + 1e-3)
    turned = features[rng.permutation(n)] @ np.linalg.qr(rng.standard_normal((dim, dim)))[0] * scale
    assert rankme(turned) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("bad", [np.zeros((3, 2)), np.full((3, 2), np.nan), np.ones(4), np.ones((0, 4))])
def test_rankme_refuses_what_has_no_rank(bad):
    with pytest.raises(ValueError, match=r"features"):
        rankme(bad)


def test_spread_is_one_on_the_sphere_and_zero_at_a_point(rng):
    assert feature_std(rng.standard_normal((20000, 64))) == pytest.approx(1, abs=0.02)
    assert feature_std(np.outer(rng.random(50) + 0.1, np.ones(64))) == pytest.approx(0, abs=1e-9)


# the spectrum ----------------------------------------------------------------------------------------------


def with_spectrum(rng, variances, n=200):
    """Make features whose covariance has exactly these eigenvalues, around a mean."""
    basis = np.linalg.qr(rng.standard_normal((n, len(variances))) - 0.0)[0]
    basis = np.linalg.qr(basis - basis.mean(axis=0))[0]
    turned = np.linalg.qr(rng.standard_normal((len(variances), len(variances))))[0]
    return basis * np.sqrt(variances) @ turned + 3.0


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0, 2.5])
def test_alpha_of_a_power_law_is_its_exponent(rng, alpha):
    features = with_spectrum(rng, np.arange(1, 81.0) ** -alpha)
    assert alpha_req(features) == pytest.approx(alpha, abs=1e-6)
    assert alpha_req(1e3 * features[::-1]) == pytest.approx(alpha, abs=1e-6)


def test_alpha_is_the_weighted_line_of_polyfit_through_the_ranks_asked_for(rng):
    variances = np.sort(rng.random(60))[::-1]
    features = with_spectrum(rng, variances)
    rank = np.arange(4, 61)
    slope = np.polyfit(np.log(rank), np.log(variances[3:]), 1, w=rank**-0.5)[0]
    assert alpha_req(features) == pytest.approx(-slope, rel=1e-6)
    rank = np.arange(2, 21)
    slope = np.polyfit(np.log(rank), np.log(variances[1:20]), 1, w=rank**-0.5)[0]
    assert alpha_req(features, ranks=(2, 20)) == pytest.approx(-slope, rel=1e-6)
    with pytest.raises(ValueError, match="features have 3 components"):
        alpha_req(with_spectrum(rng, np.ones(3)))


# views of tiles --------------------------------------------------------------------------------------------


def lidar_by_loops(views, delta=1e-4):
    """Equations 1 to 4 of the paper, tile by tile, with the square root of a matrix."""
    n, q, dim = views.shape
    mean = views.mean(axis=(0, 1))
    between, within = np.zeros((dim, dim)), np.zeros((dim, dim))
    for i in range(n):
        own = views[i].mean(axis=0)
        between += np.outer(own - mean, own - mean) / n
        for j in range(q):
            within += np.outer(views[i, j] - own, views[i, j] - own) / (n * q)
    within += delta * np.mean((views - mean) ** 2) * np.eye(dim)
    half = scipy.linalg.inv(scipy.linalg.sqrtm(within).real)
    values = np.clip(np.linalg.eigvalsh(half @ between @ half), 0, None)
    p = values / values.sum() + 1e-7
    return math.exp(-sum(v * math.log(v) for v in p))


@pytest.mark.parametrize("shape", [(40, 3, 6), (6, 4, 12), (5, 2, 4)])
def test_lidar_is_the_papers_equations(rng, shape):
    views = rng.standard_normal((shape[0], 1, shape[2])) + 0.5 * rng.standard_normal(shape) + 2
    assert lidar(views) == pytest.approx(lidar_by_loops(views), rel=1e-5)


def test_lidar_counts_what_differs_between_tiles_and_not_between_views(rng):
    tiles, noise = rng.standard_normal((2000, 1, 16)), rng.standard_normal((2000, 8, 16))
    assert lidar(tiles + 0.3 * noise) == pytest.approx(16, rel=0.02)  # isotropic: all 16 directions
    stretch = np.geomspace(1, 5, 16)
    assert lidar((tiles + 0.3 * noise) * stretch) == pytest.approx(16, rel=0.02)  # whitened by what is within
    tiles[:, :, 5:] = 0
    mixed = tiles + 0.05 * noise
    assert lidar(mixed) == pytest.approx(5, rel=0.05)
    assert rankme(mixed[:, 0] + 0.5 * noise[:, 1]) > 10  # which noise would lead astray


def test_lidar_refuses_what_has_no_pairs_or_no_difference(rng):
    for bad in (rng.random((4, 1, 3)), rng.random((1, 4, 3)), rng.random((4, 3)), np.ones((4, 2, 3))):
        with pytest.raises(ValueError, match=r"LiDAR needs|features must|same features"):
            lidar(bad)


@pytest.mark.parametrize("dim", [3, 16, 128])
def test_uniformity_of_an_even_sphere(rng, dim):
    # E exp(-t |x - y|^2) = exp(-2t) E exp(2t cos) = exp(-2t) 0F1(D/2; t^2)
    value = uniformity(rng.standard_normal((3000, dim)))
    assert value == pytest.approx(-4 + math.log(hyp0f1(dim / 2, 4.0)), abs=0.01)
    assert uniformity(np.ones((5, dim))) == pytest.approx(0, abs=1e-12)


def test_alignment_and_uniformity_are_the_papers_sums(rng):
    views = rng.standard_normal((7, 3, 5)) + 1
    unit = [[v / math.sqrt(sum(x * x for x in v)) for v in tile] for tile in views]
    pairs = [
        sum((a - b) ** 2 for a, b in zip(tile[i], tile[j], strict=True))
        for tile in unit
        for i in range(3)
        for j in range(i)
    ]
    assert alignment(views) == pytest.approx(np.mean(pairs), rel=1e-12)
    first = [tile[0] for tile in unit]
    terms = [math.exp(-2 * sum((first[i] - first[j]) ** 2)) for i in range(7) for j in range(i)]
    assert uniformity(views[:, 0]) == pytest.approx(math.log(np.mean(terms)), rel=1e-12)
    assert alignment(np.repeat(views[:, :1], 3, axis=1) * [[[1], [2], [3]]]) == pytest.approx(0, abs=1e-12)
    strangers = rng.standard_normal((4000, 2, 64))
    assert alignment(strangers) == pytest.approx(2, abs=0.02)


# collapse --------------------------------------------------------------------------------------------------


def test_collapse_is_named_with_a_remedy():
    check_collapse(std=0.2, rank=5.0, method="byol", epoch=3)
    with pytest.raises(WootzError, match=r"collapsed after epoch 3.*method\.momentum.*method=simclr"):
        check_collapse(std=0.001, rank=5.0, method="byol", epoch=3)
    with pytest.raises(WootzError, match="raise batch_size"):
        check_collapse(std=0.2, rank=1.01, method="simclr", epoch=1)


def test_features_that_died_count_as_collapsed(toy, toy_tiles):
    class Dead(toy.Encoder):
        def forward(self, x):
            features = super().forward(x)
            features[: int(0.6 * len(features))] = 0
            return features

    sample = watched(toy_tiles().scaled(slice(None)), AugmentConfig(out_px=16), seed=0, known=None)
    assert look(sample, Dead()) == {"rankme": 1.0, "feature_std": 0.0}
    assert len(look(sample, toy.Encoder())) >= 5
    broken = toy.Encoder()
    with torch.no_grad():
        broken.layers[0].weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(WootzError, match=r"no longer finite.*precision=float32"):
        look(sample, broken)


def test_lost_dimensions_warn_and_then_stop():
    guard = RankGuard(8.0, method="vicreg")
    assert guard.judge(20.0, epoch=1) == ""
    assert "RankMe fell to 9.0 from 20.0" in guard.judge(9.0, epoch=2)
    assert guard.judge(12.0, epoch=3) == ""
    assert guard.judge(1.9, epoch=4)
    assert guard.judge(2.1, epoch=5)  # not two in a row
    assert guard.judge(1.9, epoch=6)
    again = RankGuard(1.0, method="vicreg")
    again.load_state_dict(guard.state_dict())
    with pytest.raises(
        WootzError, match=r"by epoch 7: RankMe is 1\.8, .* 8\.0; raise method\.variance_weight"
    ):
        again.judge(1.8, epoch=7)


class Pull(torch.nn.Module):
    """BYOL without predictor and slow copy: views of a tile attract, nothing keeps tiles apart."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def views(self, batch):
        return batch.two_views()

    def forward(self, first, second):
        left, right = self.encoder(torch.cat([first, second])).chunk(2)
        return -torch.nn.functional.cosine_similarity(left, right).mean()

    def update(self, progress):
        pass


@pytest.fixture
def pull(toy_tiles, tmp_path, monkeypatch):
    monkeypatch.setattr("wootz.ssl.pretraining.build_method", lambda cfg, encoder, **_: Pull(encoder))
    monkeypatch.setattr("wootz.ssl.watch.EVERY_STEPS", 8)
    monkeypatch.setattr("wootz.ssl.watch.TIME_FRAC", 100.0)
    cfg = {"encoder": "small", "batch_size": 16, "lr": 1e-2, "weight_decay": 0.0, "precision": "float32"}

    def run(epochs):
        options = PretrainConfig(epochs=epochs, warmup_frac=0.0, augment=AugmentConfig(out_px=16), **cfg)
        return pretrain_tiles(toy_tiles(), options, folder=tmp_path)

    return run


def test_a_method_without_anything_against_it_really_collapses_and_is_stopped(
    pull, toy, toy_tiles, monkeypatch
):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        encoder = toy.Encoder()
    start = look(
        watched(toy_tiles().scaled(slice(None)), AugmentConfig(out_px=16), seed=0, known=None), encoder
    )
    assert start["feature_std"] > 0.02
    monkeypatch.setattr("wootz.ssl.pretraining.start_encoder", lambda source, **_: (encoder, {}))
    with pytest.raises(
        WootzError, match=r"collapsed after epoch \d+: all tiles have nearly the same.*lower lr"
    ):
        pull(epochs=60)


class Narrow(Pull):
    """Learns nothing and keeps 16 of 256 channels of the last layer alive: tiles differ along fewer axes."""

    def forward(self, first, second):
        return 0 * super().forward(first, second)

    @torch.no_grad()
    def update(self, progress):
        for name, parameter in self.encoder.layer4.named_parameters():
            if parameter.ndim == 1 and (".bn2." in name or "downsample" in name):
                parameter[16:] = 0


def test_lost_dimensions_warn_at_the_first_look_and_stop_at_the_second(pull, monkeypatch, capsys):
    monkeypatch.setattr("wootz.ssl.pretraining.build_method", lambda cfg, encoder, **_: Narrow(encoder))
    monkeypatch.setattr("wootz.ssl.collapse.LOST_FRAC", 0.7)
    monkeypatch.setattr("wootz.ssl.collapse.SHRUNK_FRAC", 0.8)
    with pytest.raises(
        WootzError, match=r"lost its dimensions by epoch 8: RankMe is \d\.\d, random weights had \d\d"
    ):
        pull(epochs=16)
    assert "epoch 4: RankMe fell to" in capsys.readouterr().err


# when to look ----------------------------------------------------------------------------------------------


class History:
    seconds = 0.0
    noted = 0

    def note(self, **values):
        self.noted += 1


def test_looking_takes_three_percent_of_the_time_at_most(monkeypatch):
    clock, history = [0.0], History()

    def look(sample, encoder):
        clock[0] += 2.0
        return {"rankme": 5.0, "feature_std": 0.5}

    monkeypatch.setattr("wootz.ssl.watch.look", look)
    monkeypatch.setattr("wootz.ssl.watch.history_of", lambda trainer: history)
    monkeypatch.setattr("wootz.ssl.watch.time", SimpleNamespace(monotonic=lambda: clock[0]))
    trainer = SimpleNamespace(
        should_stop=False,
        current_epoch=0,
        max_epochs=1000,
        global_step=0,
        is_global_zero=True,
        strategy=SimpleNamespace(broadcast=lambda value: value),
    )
    module = SimpleNamespace(method=SimpleNamespace(encoder=None))
    watch = FeatureWatch(None, method="simclr", start={"rankme": 5.0}, cost_s=2.0)
    looks = []
    for epoch in range(1000):
        clock[0] += 1.0
        trainer.current_epoch, trainer.global_step, history.seconds = epoch, 60 * (epoch + 1), clock[0]
        watch.on_train_epoch_end(trainer, module)
        looks.append(history.noted)
    assert 10 < looks[-2] <= 0.03 * clock[0] / 2 + 1
    assert looks[-1] == looks[-2] + 1  # after the last epoch in any case
    assert looks[60] == 0  # not before 2 s are 3 %
    trainer.current_epoch, trainer.global_step = 3, watch._last_step + EVERY_STEPS - 1
    watch.on_train_epoch_end(trainer, module)
    assert history.noted == looks[-1]


def test_all_monitors_are_noted_and_drawn(toy_tiles, tmp_path):
    tiles = toy_tiles()
    labels = np.array(["a", "b"])[np.arange(32) % 2]
    known = KnownTiles(tiles.scaled(np.arange(32)), labels, np.arange(32) < 16)
    cfg = PretrainConfig(
        method=SimCLRConfig(hidden_dim=8, output_dim=4),
        encoder="small",
        epochs=2,
        batch_size=8,
        precision="float32",
        augment=AugmentConfig(out_px=16),
    )
    pretrain_tiles(tiles, cfg, folder=tmp_path, known=known)
    last = pd.read_csv(tmp_path / "history.csv").iloc[-1]
    names = ["rankme", "lidar", "alpha_req", "alignment", "uniformity", "feature_std", "knn", "linear"]
    assert last[names].notna().all()
    assert 1 <= last["lidar"] <= 31
    assert (tmp_path / "history.png").stat().st_size > 20_000


# probes ----------------------------------------------------------------------------------------------------


def blobs(rng, n, spread=1.2):
    labels = rng.choice(4, n, p=[0.55, 0.25, 0.15, 0.05])
    return np.eye(4, 6)[labels] * 2 + spread * rng.standard_normal((n, 6)), labels


def test_knn_probe_is_scikit_learns_weighted_vote(rng):
    features, labels = blobs(rng, 300)
    test_features, test_labels = blobs(rng, 200)
    unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in (features, test_features)]
    reference = KNeighborsClassifier(
        20, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / 0.07)
    ).fit(unit[0], labels)
    expected = balanced_accuracy_score(test_labels, reference.predict(unit[1]))
    ours = knn_probe(features, labels, test_features=test_features, test_labels=test_labels)
    assert ours == pytest.approx(expected, abs=1e-9)
    assert 0.4 < ours < 0.99


def test_knn_probe_takes_names_and_few_samples(rng):
    features = np.eye(3)
    found = knn_probe(
        features,
        np.array(["a", "b", "c"]),
        test_features=features,
        test_labels=np.array(["a", "b", "a"]),
        k=1,
    )
    assert found == pytest.approx((0.5 + 1) / 2)
    with pytest.raises(ValueError, match="3 features for 2 labels"):
        knn_probe(features, np.zeros(2), test_features=features, test_labels=np.zeros(3))


def test_linear_probe_is_weighted_least_squares(rng):
    features, labels = blobs(rng, 200)
    test_features, test_labels = blobs(rng, 150)
    features, test_features = features * 7 + 3, test_features * 7 + 3
    centre, spread = features.mean(axis=0), features.std(axis=0)
    x, z = (features - centre) / spread, (test_features - centre) / spread
    weight = len(labels) / (4 * np.bincount(labels)[labels])
    middle = np.average(x, axis=0, weights=weight)
    scores = []
    for name in range(4):
        y = np.where(labels == name, 1.0, -1.0)
        level = np.average(y, weights=weight)
        normal = sum(w * np.outer(a - middle, a - middle) for w, a in zip(weight, x, strict=True))
        right = sum(w * (a - middle) * (b - level) for w, a, b in zip(weight, x, y, strict=True))
        scores.append((z - middle) @ np.linalg.solve(normal + 0.1 * 200 * np.eye(6), right) + level)
    expected = balanced_accuracy_score(test_labels, np.argmax(scores, axis=0))
    found = linear_probe(features, labels, test_features=test_features, test_labels=test_labels)
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0.5 < found < 0.99
    with pytest.raises(ValueError, match="200 features for 199 labels"):
        linear_probe(features, labels[1:], test_features=test_features, test_labels=test_labels)


def test_known_tiles_are_parted_by_image_with_each_class_on_both_sides(rng):
    images = np.repeat([f"i{k}" for k in range(12)], 20)
    labels = pd.Series(np.where(rng.random(240) < 0.2, "rare", np.repeat(["a", "b", "c"], 80)))
    labels[:20] = ""
    labels[220:] = "alone"  # in one image only
    rows, is_test = part_by_image(labels, pd.Series(images), n_max=10_000, rng=rng)
    assert not set(images[rows[is_test]]) & set(images[rows[~is_test]])
    sides = [set(labels[rows[side]]) for side in (is_test, ~is_test)]
    assert sides[0] == sides[1] == {"a", "b", "c", "rare"}
    assert 0.3 < is_test.mean() < 0.7
    assert len(part_by_image(labels, pd.Series(images), n_max=50, rng=rng)[0]) == 50
    assert not len(part_by_image(pd.Series(["a"] * 240), pd.Series(images), n_max=50, rng=rng)[0])


def test_known_tiles_find_their_column(toy_tiles, rng):
    pixels = toy_tiles(n=40)
    frame = pd.DataFrame({"image_id": np.repeat(np.arange(8), 5), "truth_phase": np.arange(40) // 5 % 2})
    tiles = SimpleNamespace(
        column_names=list(frame), columns=lambda names: frame[names], scaled=pixels.scaled
    )
    known = known_tiles(tiles, column="", seed=0)
    assert set(known.labels) == {"0", "1"}
    assert len(known.pixels) == 40
    assert known_tiles(tiles, column="none", seed=0) is None
    assert known_tiles(SimpleNamespace(column_names=["image_id"]), column="", seed=0) is None
    with pytest.raises(WootzError, match="no such column"):
        known_tiles(tiles, column="phase", seed=0)
    with pytest.raises(WootzError, match="fewer than two classes"):
        known_tiles(tiles, column="image_id", seed=0)


def test_history_is_drawn_with_epochs_without_monitors(tmp_path):
    rows = [{"epoch": 0, "rankme": 3.0}, {"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "rankme": 5.0}]
    path = draw_history(rows, tmp_path / "history.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
