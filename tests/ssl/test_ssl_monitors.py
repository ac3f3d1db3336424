"""RankMe, spread and the kNN probe against closed forms, slow loops and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from wootz.errors import WootzError
from wootz.ssl import feature_std, knn_probe, rankme
from wootz.ssl.monitors import check_collapse, draw_history


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


def test_collapse_is_named_with_a_remedy():
    check_collapse(std=0.2, rank=5.0, method="byol", epoch=3)
    with pytest.raises(WootzError, match=r"collapsed after epoch 3.*method\.momentum.*method=simclr"):
        check_collapse(std=0.001, rank=5.0, method="byol", epoch=3)
    with pytest.raises(WootzError, match="raise batch_size"):
        check_collapse(std=0.2, rank=1.01, method="simclr", epoch=1)


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


def test_history_is_drawn_with_epochs_without_monitors(tmp_path):
    rows = [{"epoch": 0, "rankme": 3.0}, {"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "rankme": 5.0}]
    path = draw_history(rows, tmp_path / "history.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
