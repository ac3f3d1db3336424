"""What comes on the next card, and which answers are looked at again."""

import numpy as np

from wootz.explore.reviewing import far_card, odd_batches, random_card, surest_card


def test_surest_card_asks_also_where_another_class_is_likelier():
    probabilities = np.array([[0.9, 0.1], [0.55, 0.45], [0.2, 0.8], [0.7, 0.3]])
    free = np.array([True, True, False, True])
    assert surest_card(probabilities, 1, free=free, n=2).tolist() == [1, 3]
    assert surest_card(probabilities, 0, free=free).tolist() == [0, 3, 1]


def test_random_card_is_a_fair_draw_without_repeats():
    among = np.arange(50) % 2 == 0
    rng = np.random.default_rng(0)
    cards = np.array([random_card(among, rng=rng, n=5) for _ in range(2000)])
    counts = np.bincount(cards.ravel(), minlength=50)
    assert not counts[1::2].any()
    assert np.abs(counts[::2] / 2000 - 5 / 25).max() < 0.04
    assert all(len(set(card)) == 5 for card in cards.tolist())
    assert sorted(random_card(among, rng=rng, n=100).tolist()) == np.flatnonzero(among).tolist()


def test_far_card_is_farthest_first_by_loops():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(60, 4)).astype(np.float32)
    free, named = np.ones(60, bool), np.array([3, 8])
    free[[3, 8, 20]] = False
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    known, expected = [3, 8], []
    for _ in range(6):
        left = [i for i in np.flatnonzero(free) if i not in expected]
        worst = min(left, key=lambda i: max(unit[i] @ unit[j] for j in known))
        expected.append(int(worst))
        known.append(int(worst))
    assert far_card(features, named, free=free, n=6).tolist() == expected


def test_far_card_finds_the_class_that_nobody_named():
    rng = np.random.default_rng(2)
    codes = np.array([0] * 100 + [1] * 100 + [2] * 5)
    features = (5 * np.eye(3, 8)[codes] + rng.normal(0, 0.5, (205, 8))).astype(np.float32)
    shown = far_card(features, np.arange(0, 200, 4), free=np.arange(205) % 4 != 0, n=6)
    assert codes[shown[0]] == 2
    assert not len(far_card(features, np.arange(3), free=np.zeros(205, bool)))
    assert len(far_card(features, np.zeros(0, int), free=np.ones(205, bool), n=4)) == 4


def test_odd_batches_are_those_that_the_head_takes_for_one_other_class():
    held_out = np.eye(3)[[0] * 6 + [1] * 6 + [0, 0, 1, 1, 2, 2] + [1, 1]]
    codes = np.array([0] * 6 + [0] * 6 + [0] * 6 + [0, 0])
    batches = np.repeat([10, 11, 12, 13], [6, 6, 6, 2])
    held_out[6] = np.nan
    assert odd_batches(held_out, codes, batches).tolist() == [11]  # 12 is mixed, 13 too small
    assert odd_batches(held_out, codes, batches, n_least=2).tolist() == [11, 13]
    assert odd_batches(held_out, codes, batches, least_frac=0.3).tolist() == [11, 12]
