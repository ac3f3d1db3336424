"""The simulated expert: what is paid, what is said, and where the ways lead on clear features."""

import numpy as np
import pytest

from wootz.apps.studies import simulated_expert
from wootz.apps.studies.expert_work import Desk, Work, label_by_cards, label_in_random_order, label_one_by_one
from wootz.apps.studies.simulated_expert import judge_work
from wootz.apps.study import load_study
from wootz.errors import WootzError


def make_desk(*, n=2000, gap=8.0, wrong_frac=0.05, seed=0):
    """Four classes, the rarest 3 % of the tiles, on 40 images."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(4, n, p=[0.6, 0.27, 0.1, 0.03])
    features = gap * np.eye(4, 12)[codes] + rng.normal(0, 1, (n, 12))
    truth = np.array(["steel", "resin", "pore", "crack"], object)[codes]
    images = rng.integers(0, 40, n)
    return Desk(features.astype(np.float32), images, truth, wrong_frac=wrong_frac, rng=rng), truth


def test_one_by_one_costs_two_a_tile_and_errs_as_often_as_the_expert():
    desk, truth = make_desk()
    figures = judge_work(label_one_by_one(desk), truth)
    assert figures["cost"] == 2 * len(truth)
    assert figures["share"] == 1.0
    assert figures["precision"] == pytest.approx(0.95, abs=0.02)
    assert figures["correct_per_cost"] == pytest.approx(0.475, abs=0.01)


def test_cards_are_cheap_where_clusters_are_the_classes():
    desk, truth = make_desk(wrong_frac=0.0)
    figures = judge_work(label_by_cards(desk), truth)
    assert figures["precision"] > 0.98
    assert figures["rare_recall"] > 0.8
    assert figures["correct_per_cost"] > 10 * 0.5
    assert figures["n_cards"] >= len(truth) // 40


def test_cards_of_noise_are_not_named_and_the_head_is_not_believed():
    desk, truth = make_desk(gap=0.0, n=600)
    work = label_by_cards(desk)
    figures = judge_work(work, truth)
    assert figures["share"] < 0.6
    assert figures["correct_per_cost"] < 1.5


def test_random_order_names_a_tenth_and_the_head_the_rest():
    desk, truth = make_desk()
    figures = judge_work(label_in_random_order(desk), truth)
    assert figures["cost"] >= 2 * len(truth) // 10
    assert figures["by_head"] > 0.5
    assert figures["precision"] > 0.95


def test_figures_by_hand():
    truth = np.array(["a"] * 20 + ["b"] * 10 + ["c"] * 2, object)  # c has too few tiles to be judged as rare
    labels = truth.copy()
    labels[:5] = ""
    labels[20:23] = "a"
    figures = judge_work(Work(labels, 10), truth)
    assert figures["correct_per_cost"] == 2.4
    assert figures["precision"] == pytest.approx(24 / 27)
    assert figures["rare_recall"] == 0.7


@pytest.mark.slow
def test_a_cell_of_the_study_on_rendered_tiles(tmp_path):
    fixed = load_study("simulated_expert").fixed | {"sets": ["rendered"], "n_rendered": 2}
    simulated_expert.prepare(fixed, tmp_path, data="")
    params = fixed | {"set": "rendered", "features": "lbp", "way": "cards", "seed": 0}
    figures = simulated_expert.cell(params, tmp_path / "work", shared=tmp_path)
    assert 0 < figures["correct_per_cost"] < 64
    assert figures == simulated_expert.cell(params, tmp_path / "work", shared=tmp_path)
    with pytest.raises(WootzError, match="way="):
        simulated_expert.cell(params | {"way": "guess"}, tmp_path / "work", shared=tmp_path)
