import numpy as np
import pytest
import torch
from scipy import stats

from wootz.encoders import build_encoder
from wootz.errors import CheckpointError, WootzError
from wootz.finetune import patchcore
from wootz.finetune.config import AnomalyConfig
from wootz.finetune.coreset import greedy_coreset
from wootz.finetune.patchcore import (
    fit_detector,
    image_score,
    load_detector,
    patch_distances,
    patch_features,
    save_detector,
    threshold_from_normal,
)


def naive_coreset(features: np.ndarray, n: int, first: int) -> list[int]:
    """Roth et al. 2022, algorithm 1, without any shortcut."""
    picked = [first]
    while len(picked) < n:
        distance = np.linalg.norm(features[:, None] - features[picked][None], axis=2).min(1)
        picked.append(int(distance.argmax()))
    return picked


def test_coreset_equals_the_loop(rng):
    centres = rng.normal(size=(5, 6)) * 8
    features = (centres[rng.integers(5, size=400)] + rng.normal(size=(400, 6))).astype(np.float32)
    ours = greedy_coreset(features, 40, rng=np.random.default_rng(2))
    first = int(np.random.default_rng(2).integers(400))
    np.testing.assert_array_equal(ours, naive_coreset(features.astype(np.float64), 40, first))


def test_coreset_bounds_and_errors(rng):
    features = rng.normal(size=(7, 3)).astype(np.float32)
    assert sorted(greedy_coreset(features, 50, rng=rng)) == list(range(7))
    with pytest.raises(ValueError, match="finite"):
        greedy_coreset(np.full((3, 2), np.nan, np.float32), 2, rng=rng)
    with pytest.raises(ValueError, match="at least 1"):
        greedy_coreset(features, 0, rng=rng)


@pytest.mark.parametrize("flat_limit", [10_000, 100])
def test_distances_equal_the_naive_ones(rng, monkeypatch, flat_limit):
    monkeypatch.setattr(patchcore, "_FLAT_LIMIT", flat_limit)
    memory, rows = rng.normal(size=(900, 5)).astype(np.float32), rng.normal(size=(30, 5)).astype(np.float32)
    naive = np.sort(np.linalg.norm(rows[:, None] - memory[None], axis=2), axis=1)[:, :3].mean(1)
    ours = patch_distances(rows, memory, neighbours=3)
    assert np.median(np.abs(ours - naive) / naive) < 1e-3
    assert (ours >= naive - 1e-4).all()
    np.testing.assert_allclose(patch_distances(memory[:4], memory, neighbours=1), 0, atol=1e-3)


def test_threshold_is_conformal_with_many_fields_and_student_with_few(rng):
    scores = rng.normal(size=40)
    assert threshold_from_normal(scores, false_alarm_frac=0.05) == np.sort(scores)[38]  # ceil(41 * .95) = 39
    few = np.array([1.0, 2.0, 3.0])
    expected = 2.0 + stats.t.ppf(0.95, 2) * np.sqrt(1 + 1 / 3)
    assert threshold_from_normal(few, false_alarm_frac=0.05) == pytest.approx(expected)


def test_threshold_keeps_its_false_alarm_rate(rng):
    for n in (5, 30):
        alarms = []
        for _ in range(3000):
            scores = rng.normal(size=n + 1)
            alarms.append(scores[n] > threshold_from_normal(scores[:n], false_alarm_frac=0.1))
        assert np.mean(alarms) == pytest.approx(0.1, abs=0.025)


def stripes(rng: np.random.Generator, *, defect: bool) -> np.ndarray:
    row, col = np.mgrid[:64, :96]
    field = 0.5 + 0.3 * np.sin((row + rng.uniform(0, 9)) / 2.0) + rng.normal(0, 0.05, (64, 96))
    if defect:
        field[(row - 40) ** 2 + (col - 60) ** 2 < 8**2] = 0.9
    return field.astype(np.float32)


@pytest.fixture(scope="module")
def detector():
    rng = np.random.default_rng(0)
    cfg = AnomalyConfig(coreset=200, layers=[1, 2], smoothing_px=2.0)
    fields = [stripes(rng, defect=False) for _ in range(6)]
    return fit_detector(fields, build_encoder("small", generator_seed=0), cfg, rng=rng)


def test_a_defect_is_found_where_it_is(detector, rng):
    heats = [detector.heat_map(stripes(rng, defect=True)) for _ in range(4)]
    normal = [image_score(detector.heat_map(stripes(rng, defect=False))) for _ in range(4)]
    assert min(image_score(h) for h in heats) > max(normal)
    assert min(image_score(h) for h in heats) > detector.threshold
    for heat in heats:
        assert heat.shape == (64, 96)
        row, col = np.unravel_index(heat.argmax(), heat.shape)
        assert np.hypot(row - 40, col - 60) < 12


def test_detector_file_rebuilds_it(detector, rng, tmp_path):
    save_detector(tmp_path / "head.pt", detector)
    loaded = load_detector(tmp_path / "head.pt")
    field = stripes(rng, defect=True)
    np.testing.assert_allclose(loaded.heat_map(field), detector.heat_map(field), atol=1e-5)
    assert loaded.threshold == detector.threshold
    assert loaded.cfg == detector.cfg


def test_detector_errors(detector, tmp_path, rng):
    with pytest.raises(WootzError, match="two normal fields"):
        fit_detector([stripes(rng, defect=False)], detector.encoder, detector.cfg, rng=rng)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_detector(tmp_path / "missing.pt")
    torch.save({"format": "wootz-segmenter"}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="task=anomaly"):
        load_detector(tmp_path / "other.pt")


def test_patches_of_a_windowed_field_are_those_of_one_pass(rng, monkeypatch):
    """Windows with a margin wider than the receptive field of a shallow map change nothing."""
    encoder = build_encoder("small", generator_seed=1)
    cfg = AnomalyConfig(layers=[1])
    field = rng.random((100, 150)).astype(np.float32)
    whole, grid = patch_features(encoder, field, cfg)
    monkeypatch.setattr(patchcore, "_WINDOW_PX", 64)
    windowed, same = patch_features(encoder, field, cfg)
    assert grid == same == (25, 38)
    np.testing.assert_allclose(windowed, whole, atol=1e-4)
