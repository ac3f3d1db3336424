"""The simulated expert: what is paid, what is said, and where the ways lead on clear features."""

import numpy as np
import pytest

from wootz.apps.studies import simulated_expert
from wootz.apps.studies.expert_desk import Book, Desk, Work, work_through
from wootz.apps.studies.expert_work import (
    Plan,
    label_by_reviews,
    label_in_random_order,
    label_one_by_one,
    look_again,
)
from wootz.apps.studies.simulated_expert import judge_work
from wootz.apps.study import load_study
from wootz.errors import WootzError

PLAN = Plan(n_first=12, n_rounds=2, n_audit=2, n_read=2)


def make_desk(*, n=2000, gap=8.0, wrong_frac=0.05, seed=0, each_tile=False):
    """Four classes, the rarest 3 % of the tiles, on 40 images."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(4, n, p=[0.6, 0.27, 0.1, 0.03])
    features = gap * np.eye(4, 12)[codes] + rng.normal(0, 1, (n, 12))
    truth = np.array(["steel", "resin", "pore", "crack"], object)[codes]
    images = rng.integers(0, 40, n)
    options = {"wrong_frac": wrong_frac, "each_tile": each_tile}
    return Desk(features.astype(np.float32), images, truth, rng=rng, **options), truth


def test_one_by_one_costs_two_a_tile_and_errs_as_often_as_the_expert():
    desk, truth = make_desk()
    figures = judge_work(label_one_by_one(desk), truth)
    assert figures["cost"] == 2 * len(truth)
    assert figures["share"] == 1.0
    assert figures["precision"] == pytest.approx(0.95, abs=0.02)
    assert figures["correct_per_cost"] == pytest.approx(0.475, abs=0.01)


def test_a_card_costs_a_look_an_answer_and_every_tile_of_another_class():
    desk, truth = make_desk(wrong_frac=0.0)
    rows = np.concatenate([np.flatnonzero(truth == "steel")[:10], np.flatnonzero(truth == "crack")[:3]])
    book = Book(len(truth))
    names = work_through(desk, book, rows)
    assert desk.cost == 1 + 1 + 3
    assert (names == truth[rows]).all()
    assert (book.labels[rows] == truth[rows]).all()
    assert sorted(np.bincount(book.actions[rows]).tolist()) == [
        1,
        1,
        1,
        10,
    ]  # one action, and three of one tile
    assert book.free.sum() == len(truth) - 13
    assert not len(work_through(desk, book, rows[:0]))
    assert desk.cost == 5


def test_a_wrong_answer_is_about_the_card_or_about_each_tile():
    answers = {}
    for each_tile in (False, True):
        desk, truth = make_desk(wrong_frac=0.3, each_tile=each_tile)
        steel = np.flatnonzero(truth == "steel")[: 24 * 40].reshape(40, 24)
        answers[each_tile] = np.array([(desk.name_card(rows)[0] == "steel").mean() for rows in steel])
    assert set(answers[False]) == {0.0, 1.0}  # the whole card is right, or the whole card is wrong
    assert answers[False].mean() == pytest.approx(0.7, abs=0.2)
    assert answers[True].mean() == pytest.approx(0.7, abs=0.05)
    assert answers[True].std() < 0.2


def test_a_card_under_a_wrong_name_is_found_and_named_again():
    desk, truth = make_desk(wrong_frac=0.0)
    book = Book(len(truth))
    for name in ("steel", "resin", "pore"):
        for rows in np.flatnonzero(truth == name)[:72].reshape(3, 24):
            work_through(desk, book, rows)
    wrong = np.flatnonzero(truth == "steel")[100:124]
    book.write(wrong, np.full(24, "pore", object), is_main=np.ones(24, bool))
    before = desk.cost
    look_again(desk, book)
    assert (book.labels[wrong] == "steel").all()
    assert desk.cost == before + 2
    assert (book.labels[book.named] == truth[book.named]).all()


@pytest.mark.parametrize("each_tile", [False, True])
def test_reviews_are_cheap_where_features_tell_the_classes(each_tile):
    desk, truth = make_desk(n=4000, each_tile=each_tile)
    plan = Plan(n_first=12, n_rounds=2, n_audit=2, n_read=2, precision=0.965 * (0.95 if each_tile else 1.0))
    figures = judge_work(label_by_reviews(desk, plan), truth)
    assert figures["precision"] > 0.95
    assert figures["rare_recall"] > 0.8
    assert figures["correct_per_cost"] > 10 * 0.475
    assert figures["cost"] == sum(figures[f"cost_{part}"] for part in ("first", "reviews", "rare", "last"))


def test_a_head_that_knows_nothing_gets_nothing_accepted():
    desk, truth = make_desk(gap=0.0, n=600)
    figures = judge_work(label_by_reviews(desk, PLAN), truth)
    assert figures["by_head"] < 0.05
    assert figures["precision"] > 0.85


def test_random_order_names_a_tenth_and_the_head_the_rest():
    desk, truth = make_desk()
    figures = judge_work(label_in_random_order(desk, PLAN), truth)
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
    fixed = load_study("simulated_expert").fixed | {"sets": ["rendered"], "n_rendered": 4}
    simulated_expert.prepare(fixed, tmp_path, data="")
    params = fixed | {"set": "rendered", "features": "filters", "way": "reviews", "seed": 0}
    params |= {"slips": "answer", "images_frac": 1.0}
    figures = simulated_expert.cell(params, tmp_path / "work", shared=tmp_path)
    assert 0 < figures["correct_per_cost"] < 64
    assert figures == simulated_expert.cell(params, tmp_path / "work", shared=tmp_path)
    half = simulated_expert.cell(params | {"images_frac": 0.5}, tmp_path / "work", shared=tmp_path)
    assert half["n_tiles"] == figures["n_tiles"] / 2
    with pytest.raises(WootzError, match="way="):
        simulated_expert.cell(params | {"way": "guess"}, tmp_path / "work", shared=tmp_path)
