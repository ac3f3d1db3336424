"""Confidence corrected by an audit, and the limit of acceptance: against truth and by hand."""

import numpy as np
import pytest

from wootz.audits import overall_precision
from wootz.explore.acceptance import corrected_confidence, limit_for, unseen_precision


def test_overconfident_class_is_corrected_and_the_honest_one_is_left():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1.0, 20_000)
    said = rng.integers(0, 2, 20_000)
    true = np.where(said == 0, confidence, 1 / (1 + np.exp(1.5 - np.log(confidence / (1 - confidence)))))
    is_right = rng.random(20_000) < true
    audited = rng.permutation(20_000)[:4000]
    sure = corrected_confidence(confidence, said, audited=audited, is_right=is_right[audited])
    for code in (0, 1):
        gap = sure[said == code].mean() - is_right[said == code].mean()
        assert abs(gap) < 0.02
    assert np.abs(sure - true).mean() < 0.03
    order = np.argsort(confidence[said == 1])
    assert (np.diff(sure[said == 1][order]) >= 0).all()


def test_without_audited_tiles_nothing_changes_and_one_tile_changes_little():
    confidence, said = np.array([0.6, 0.9, 0.99]), np.array([0, 1, 0])
    none = np.zeros(0, int)
    sure = corrected_confidence(confidence, said, audited=none, is_right=none.astype(bool))
    assert sure == pytest.approx(confidence, abs=1e-6)
    confidence = np.full(4, 0.8)
    said = np.array([0, 0, 1, 1])
    one = corrected_confidence(confidence, said, audited=np.array([2]), is_right=np.array([False]))
    assert 0.3 < one[2] == one[3] < one[0] == one[1] < 0.8  # the class that was wrong falls more


def test_limit_by_hand():
    confidence = np.array([0.5, 0.99, 0.97, 0.9, 0.6])
    assert limit_for(confidence, precision=0.95) == 0.9  # (0.99 + 0.97 + 0.9) / 3 = 0.953
    assert limit_for(confidence, precision=0.96) == 0.97
    assert limit_for(confidence, precision=0.1) == 0.5
    assert limit_for(confidence, precision=0.995) == np.inf
    assert limit_for(np.zeros(0), precision=0.5) == np.inf


def test_equal_confidences_are_accepted_together_or_not_at_all():
    confidence = np.array([1.0, 0.8, 0.8, 0.8])
    assert limit_for(confidence, precision=0.89) == 1.0  # 1 and one of the three would do, all three do not
    assert limit_for(confidence, precision=0.85) == 0.8


def test_labels_above_the_limit_are_right_as_often_as_wanted():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.3, 1.0, 50_000)
    is_right = rng.random(50_000) < confidence
    limit = limit_for(confidence, precision=0.9)
    assert is_right[confidence >= limit].mean() == pytest.approx(0.9, abs=0.01)
    assert 0.79 < limit < 0.81


def test_precision_of_the_unseen_is_that_of_all_less_what_is_known():
    right, n, unseen = np.array([19, 8, 0]), np.array([20, 10, 0]), np.array([200, 30, 0])
    found = unseen_precision(right, n, n_unseen=unseen)
    whole = overall_precision(right, n, sizes=n + unseen)
    assert found.value == pytest.approx((0.95 * 200 + 0.8 * 30) / 230)
    assert found.low * 230 + 27 == pytest.approx(whole.low * 260)
    assert found.high * 230 + 27 == pytest.approx(min(whole.high * 260, 257))
    assert found.n == 30
    few = unseen_precision(np.array([90]), np.array([100]), n_unseen=np.array([5]))
    assert few.high - few.low > 0.3  # of five labels the hundred others say little
    assert np.isnan(unseen_precision(np.array([0]), np.array([0]), n_unseen=np.array([5])).value)


def test_the_interval_of_the_unseen_holds_their_share():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        is_right = rng.random(150) < 0.9
        right = np.array([is_right[:60].sum()])
        found = unseen_precision(right, np.array([60]), n_unseen=np.array([90]))
        hits += found.low - 1e-9 <= is_right[60:].mean() <= found.high + 1e-9
    assert hits / 400 > 0.92
