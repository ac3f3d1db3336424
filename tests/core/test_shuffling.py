import itertools

import numpy as np
import pytest

from wootz.shuffling import n_arrangements, shuffled_groups, shuffled_within


def test_shuffled_groups_move_whole_images():
    groups = np.array(["a", "b", "a", "c", "b", "c", "c"])
    values = np.array(["A", "B", "A", "C", "B", "C", "C"])
    rows = shuffled_groups(groups, n=300, rng=np.random.default_rng(0))
    seen = set()
    for row in rows:
        given = {g: set(values[row][groups == g]) for g in "abc"}
        assert all(len(v) == 1 for v in given.values())
        seen.add("".join(next(iter(given[g])) for g in "abc"))
    assert seen == {"ABC", "ACB", "BAC", "BCA", "CAB", "CBA"}
    within = np.stack([*shuffled_within(groups, n=200, rng=np.random.default_rng(0))])
    assert (groups[within] == groups).all()
    assert (np.sort(within, axis=1) == np.arange(7)).all()
    assert {tuple(w[[3, 5, 6]]) for w in within} == {
        (i, j, k) for i in (3, 5, 6) for j in (3, 5, 6) for k in (3, 5, 6) if len({i, j, k}) == 3
    }


def test_shifted_groups_go_round_and_lose_their_place():
    groups = np.repeat(["a", "b"], 4)
    place = np.tile(np.arange(4), 2)
    kept = np.stack([*shuffled_groups(groups, n=50, rng=np.random.default_rng(0))])
    assert (place[kept] == place).all()
    moved = np.stack([*shuffled_groups(groups, n=400, rng=np.random.default_rng(0), shifted=True)])
    steps = (place[moved] - place) % 4  # all tiles of an image turn alike, the two images not
    assert (steps[:, :4] == steps[:, :1]).all()
    assert (steps[:, 4:] == steps[:, 4:5]).all()
    pairs, counts = np.unique(steps[:, [0, 4]], axis=0, return_counts=True)
    assert len(pairs) == 16
    assert counts.min() > 8


def test_arrangements_are_counted():
    for values in ("aabb", "abcd", "aaab", "aabbcc"):
        assert n_arrangements(np.array([*values])) == pytest.approx(len({*itertools.permutations(values)}))
    assert n_arrangements(np.arange(1000)) == pytest.approx(np.exp(50))
