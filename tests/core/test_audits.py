"""Audits: intervals against closed forms, and against how often they hold the truth when drawn anew."""

import numpy as np
import pytest
from scipy.stats import binomtest

from wootz.audits import allocate, draw_audit, more_needed, overall_precision, quantile, stratum_precision


@pytest.mark.parametrize(("right", "n"), [(0, 7), (3, 9), (95, 100), (40, 40)])
def test_a_stratum_without_end_has_the_interval_of_wilson(right, n):
    found = stratum_precision(right, n, size=10**9)
    wanted = binomtest(right, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-6)
    alone = overall_precision([right], [n], sizes=[10**9])
    assert (alone.low, alone.high) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_all_judged_leaves_no_doubt_and_nothing_judged_leaves_all():
    assert stratum_precision(9, 10, size=10).half_width == 0
    none = stratum_precision(0, 0, size=50)
    assert (none.low, none.high) == (0, 1)
    assert np.isnan(none.value)
    half = overall_precision([10, 0], [10, 0], sizes=[10, 10])
    assert (half.low, half.high) == (0.5, 1.0)
    assert half.value == 1.0


def test_strata_are_weighted_by_their_size():
    found = overall_precision([45, 5], [50, 10], sizes=[9000, 1000])
    assert found.value == pytest.approx(0.9 * 0.9 + 0.1 * 0.5)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("n", [40, 150])
def test_coverage_over_audits_drawn_anew(n, rng):
    sizes, share = np.array([600, 250, 60]), np.array([0.97, 0.9, 0.6])
    strata = np.repeat(np.arange(3), sizes)
    right = np.concatenate([np.arange(s) < round(s * p) for s, p in zip(sizes, share, strict=True)])
    truth, hits, own, widths = right.mean(), [], [], []
    for _ in range(400):
        rows = draw_audit(strata, n_strata=3, n=n, rng=rng)
        k = np.bincount(strata[rows], minlength=3)
        r = np.bincount(strata[rows], weights=right[rows], minlength=3)
        found = overall_precision(r, k, sizes=sizes)
        hits.append(found.low <= truth <= found.high)
        widths.append(found.half_width)
        first = stratum_precision(int(r[1]), int(k[1]), size=250)
        own.append(first.low <= right[strata == 1].mean() <= first.high)
    assert 0.91 <= np.mean(hits) <= 0.995
    assert np.mean(own) >= 0.9
    assert np.mean(widths) < 1.35 * 1.96 * np.sqrt(truth * (1 - truth) / n)  # no wider than need be


def test_a_draw_is_random_within_strata_and_hides_them(rng):
    strata = np.repeat([0, 1, -1], [100, 20, 30])
    counts = np.zeros(150)
    firsts = []
    for _ in range(600):
        rows = draw_audit(strata, n_strata=3, n=24, rng=rng)
        assert len(set(rows.tolist())) == 24
        assert np.bincount(strata[rows]).tolist() == [19, 5]
        counts[rows] += 1
        firsts.append(strata[rows[0]])
    assert counts[120:].sum() == 0
    assert np.abs(counts[:100] / 600 - 0.19).max() < 0.08
    assert np.abs(counts[100:120] / 600 - 0.25).max() < 0.08
    assert np.mean(firsts) == pytest.approx(5 / 24, abs=0.06)


def test_allocation():
    assert allocate([900, 90, 10], 100, n_least=5).tolist() == [86, 9, 5]
    assert allocate([900, 90, 3], 0).tolist() == [0, 0, 0]
    assert allocate([5, 3], 100).tolist() == [5, 3]
    assert allocate([50, 50], 4, n_least=5).tolist() == [5, 5]
    assert allocate([70_000, 30_000], 50_000, n_least=0).tolist() == [35_000, 15_000]


def test_how_many_more_are_needed():
    right, n, sizes = [45, 9], [50, 10], [90_000, 10_000]
    wide = overall_precision(right, n, sizes=sizes).half_width
    assert more_needed(right, n, sizes=sizes, half_width=wide + 1e-9) == 0
    more = more_needed(right, n, sizes=sizes, half_width=0.02)
    formula = quantile(0.95) ** 2 * 0.9 * 0.1 / 0.02**2 - 60  # of a simple sample with one share
    assert more == pytest.approx(formula, rel=0.05)
    assert more_needed([9], [10], sizes=[12], half_width=0.001) == 2
