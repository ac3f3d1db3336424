"""Kappas against scikit-learn and a published table; consensus against a slow one, tile by tile."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from wootz.explore.concord import cohen_interval, cohen_kappa, fleiss_interval, fleiss_kappa
from wootz.explore.consensus import CONSENSUS, agreement, opinions
from wootz.explore.state import replay

# Fleiss' kappa of this table, 14 people and 10 subjects, is .210 in every textbook that prints it
PUBLISHED = """
0 0 0 0 14
0 2 6 4 2
0 0 3 5 6
0 3 9 2 0
2 2 8 1 1
7 7 0 0 0
3 2 6 3 0
2 5 3 2 2
6 5 2 1 0
0 2 2 3 7
"""


def test_cohen_is_that_of_scikit_learn(rng):
    for n_categories in (2, 5):
        first = rng.integers(0, n_categories, 300)
        second = np.where(rng.random(300) < 0.6, first, rng.integers(0, n_categories, 300))
        assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    assert cohen_kappa(first, first) == 1.0


def test_fleiss_is_that_of_the_published_table():
    counts = np.array([line.split() for line in PUBLISHED.strip().splitlines()], int)
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_of_two_people_with_equal_shares_is_that_of_cohen(rng):
    first = rng.integers(0, 3, 600)
    second = np.where(rng.random(600) < 0.5, first, rng.integers(0, 3, 600))
    first, second = np.concatenate([first, second]), np.concatenate([second, first])  # equal shares
    counts = np.stack([(first == k).astype(int) + (second == k) for k in range(3)], axis=1)
    assert fleiss_kappa(counts) == pytest.approx(cohen_kappa(first, second), abs=1e-12)


def test_what_chance_alone_would_agree_on_has_no_kappa():
    same = np.ones(5, int)
    assert np.isnan(cohen_kappa(same, same))
    assert np.isnan(cohen_kappa(same[:0], same[:0]))
    assert np.isnan(fleiss_kappa(np.array([[2, 0], [2, 0]])))
    assert np.isnan(fleiss_kappa(np.zeros((0, 2), int)))
    with pytest.raises(ValueError, match="same number of people"):
        fleiss_kappa(np.array([[2, 0], [1, 0]]))


def test_interval_holds_the_truth_as_often_as_it_says(rng):
    """Two people who agree on 80 % of images whose four tiles are judged alike: kappa .6 with two classes."""
    held = 0
    images = np.repeat(np.arange(80), 4)
    for _ in range(60):
        truth = np.repeat(rng.integers(0, 2, 80), 4)
        second = np.where(np.repeat(rng.random(80) < 0.8, 4), truth, 1 - truth)
        low, high = cohen_interval(truth, second, images, rng=rng)
        held += low <= 0.6 <= high
    assert held >= 51  # 95 % of 60 are 57; below 51 in one of 1,000 runs


def test_intervals_are_those_of_a_slow_loop_over_the_same_draws(rng, monkeypatch):
    images = rng.permutation(np.repeat([7, 3, 9, 4, 1], [30, 10, 25, 3, 12]))
    first = rng.integers(0, 4, 80)
    second, third = (np.where(rng.random(80) < 0.7, first, rng.integers(0, 4, 80)) for _ in range(2))
    counts = np.stack([(np.array([first, second, third]) == k).sum(axis=0) for k in range(4)], axis=1)
    names = np.unique(images)
    draws = np.random.default_rng(5).integers(5, size=(500, 5))
    rows = [np.concatenate([np.flatnonzero(images == names[i]) for i in draw]) for draw in draws]
    slow = np.percentile([cohen_kappa(first[r], second[r]) for r in rows], [2.5, 97.5])
    fast = cohen_interval(first, second, images, rng=np.random.default_rng(5))
    np.testing.assert_allclose(fast, slow, atol=1e-12)
    monkeypatch.setattr("wootz.explore.concord.BLOCK", 35)  # seven draws at a time
    slow = np.percentile([fleiss_kappa(counts[r]) for r in rows], [2.5, 97.5])
    np.testing.assert_allclose(
        fleiss_interval(counts, images, rng=np.random.default_rng(5)), slow, atol=1e-12
    )


def test_no_interval_over_one_image_or_of_one_category():
    answers, images = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    assert np.isnan(cohen_interval(answers, answers, images * 0, rng=np.random.default_rng(0))).all()
    assert np.isnan(cohen_interval(answers * 0, answers * 0, images, rng=np.random.default_rng(0))).all()
    assert cohen_interval(answers, answers, images, rng=np.random.default_rng(0)) == (1.0, 1.0)


def said(n_tiles, *answers):
    """Make a log: each answer is (who, class or op, tiles)."""
    records = []
    for i, (actor, what, tiles) in enumerate(answers):
        op = what if what in ("artefact", "between", "clear", "undo") else "name"
        record = {"id": f"a{i}", "actor": actor, "op": op, "tiles": [f"t{t}" for t in tiles]}
        records.append(record | ({"class": what} if op == "name" else {}))
    return replay(records, tile_ids=[f"t{i}" for i in range(n_tiles)])


def test_consensus_of_random_answers_is_that_of_a_slow_one(rng):
    words = ["p", "q", "artefact", "between", "clear"]
    for _ in range(30):
        people = ["Ana", "Ben", "Cy", CONSENSUS]
        answers = [
            (people[rng.integers(4)], words[rng.integers(5)], rng.choice(20, 6, replace=False).tolist())
            for _ in range(12)
        ]
        state = said(20, *answers)
        found = opinions(state, n=20)
        for row in range(20):
            own = {p: state.verdicts(p).get(f"t{row}") for p in people}
            settled = own.pop(CONSENSUS)
            given = {v for v in own.values() if v}
            expected = settled or (given.pop() if len(given) == 1 else "")
            assert found.words[found.verdicts()[row]] == expected
            given = {v for v in own.values() if v}
            assert (row in found.disputed) == (len(given) > 1)


def test_agreement_names_the_tiles_and_counts_artefacts_as_a_category():
    state = said(
        *(6, ("Ana", "pore", [0, 1, 2]), ("Ben", "pore", [0, 1]), ("Ben", "artefact", [2, 3])),
        *(("Ana", "artefact", [3]), ("Ana", "crack", [4]), (CONSENSUS, "pore", [2])),
    )
    found = agreement(opinions(state, n=6), np.array([0, 0, 1, 1, 2, 2]))
    (pair,) = found["pairs"]
    assert (pair["people"], pair["n"], pair["n_same"], pair["rows"]) == (["Ana", "Ben"], 4, 3, [2])
    assert pair["kappa"] == pytest.approx(cohen_kappa_score([0, 0, 0, 1], [0, 0, 1, 1]), abs=1e-4)
    assert found["all"] is None
    assert (found["disputed"], found["open"], found["n_settled"]) == ([2], [], 1)


def test_labels_that_were_accepted_unseen_are_no_opinion():
    adopted = {"verdict": "class:pore", "tiles": ["t2", "t3", "t4"]}
    records = [
        {"id": "a", "actor": "Ana", "op": "name", "class": "pore", "tiles": ["t0", "t1"]},
        {"id": "b", "actor": "Ben", "op": "name", "class": "pore", "tiles": ["t0", "t2", "t3"]},
        {"id": "c", "actor": "Ben", "op": "artefact", "tiles": ["t1", "t4"]},
        {"id": "d", "actor": "Ana", "op": "adopt", "parts": [adopted]},
        {"id": "e", "actor": "Ana", "op": "name", "class": "pore", "tiles": ["t3"]},  # looked after all
    ]
    found = agreement(opinions(replay(records, tile_ids=[f"t{i}" for i in range(5)]), n=5), np.arange(5))
    (pair,) = found["pairs"]
    assert (pair["n"], pair["n_same"], pair["rows"]) == (3, 2, [1])
    assert found["open"] == [1, 4]  # what was accepted still waits to be settled


def test_three_people_are_compared_where_all_three_judged():
    state = said(
        *(4, ("A", "p", [0, 1, 2, 3]), ("B", "p", [0, 1, 2]), ("B", "q", [3]), ("C", "q", [1, 2, 3]))
    )
    everybody = agreement(opinions(state, n=4), np.arange(4))["all"]
    assert (everybody["n"], everybody["n_same"], everybody["rows"]) == (3, 0, [1, 2, 3])
    assert everybody["kappa"] == pytest.approx(fleiss_kappa(np.array([[2, 1], [2, 1], [1, 2]])), abs=1e-4)


def test_nobody_has_said_anything():
    found = opinions(replay([], tile_ids=["t0"]), n=1)
    assert found.verdicts().tolist() == [0]
    assert agreement(found, np.zeros(1, int))["pairs"] == []
