"""A cluster in parts: along the tree that clustering left, or by features."""

import numpy as np
import pandas as pd
import pytest

from wootz.explore.actions import ActionError
from wootz.explore.config import ExploreConfig
from wootz.explore.desk import Desk
from wootz.explore.points import unpack
from wootz.explore.run_explore import open_desk
from wootz.explore.smallgroups import SmallGroups, joined, load_small_groups
from wootz.storage import write_npz, write_parquet

from .conftest import make_clustered

TREE = np.array([[0, 3], [1, 2], [5, 4], [6, 7]])  # 5 = {0, 3}, 6 = {1, 2}, 7 = {0, 3, 4}, 8 = all


@pytest.mark.parametrize(
    ("present", "n_parts", "expected"),
    [
        ([0, 1, 2, 3, 4], 5, [0, 1, 2, 3, 4]),
        ([0, 1, 2, 3, 4], 3, [5, 6, 6, 5, 4]),
        ([0, 1, 2, 3, 4], 2, [7, 6, 6, 7, 7]),
        ([0, 1, 2, 3, 4], 1, [8] * 5),
        ([0, 2, 4], 2, [7, 2, 7]),  # 1 and 3 are not there: what is joined with them alone keeps its number
        ([3, 1], 1, [8, 8]),
        ([4], 1, [4]),
    ],
)
def test_joined_by_hand(present, n_parts, expected):
    assert joined(TREE, np.array(present), n_parts=n_parts).tolist() == expected


def by_sets(linkage, present, n_parts):
    """Join sets step by step, until those of the groups that are there are few enough."""
    nodes = {g: {g} for g in range(len(linkage) + 1)}
    for step, (a, b) in enumerate(linkage):
        parts = {frozenset(s & present) for s in nodes.values() if s & present}
        if len(parts) <= n_parts:
            return parts
        nodes[len(linkage) + 1 + step] = nodes.pop(a) | nodes.pop(b)
    return {frozenset(s & present) for s in nodes.values() if s & present}


def random_tree(rng, n):
    alive, linkage = list(range(n)), []
    for step in range(n - 1):
        a, b = (alive.pop(rng.integers(len(alive))) for _ in range(2))
        linkage.append((a, b))
        alive.append(n + step)
    return np.array(linkage)


def test_parts_are_those_of_the_tree_cut_by_sets(rng):
    for _ in range(40):
        n = int(rng.integers(2, 15))
        tree, groups = random_tree(rng, n), rng.integers(0, n, 80)
        rows = np.sort(rng.choice(80, 30, replace=False))
        n_parts = int(rng.integers(1, n + 1))
        part, nodes = SmallGroups(groups.astype(np.int32), tree).parts(rows, n_parts=n_parts)
        found = {frozenset(groups[rows][part == k].tolist()) for k in range(len(nodes))}
        assert found == by_sets(tree.tolist(), set(groups[rows].tolist()), n_parts)
        assert (np.diff(np.bincount(part)) <= 0).all()


def test_tiles_of_no_small_group_are_a_part(rng):
    groups = np.array([0, 0, 0, 1, -1, 2, -1, 3, 4], np.int32)
    part, nodes = SmallGroups(groups, TREE).parts(np.arange(9), n_parts=3)
    assert nodes.tolist() == [7, -1, 6]
    assert part.tolist() == [0, 0, 0, 2, 1, 2, 1, 0, 0]


def test_damaged_files_count_as_none(tmp_path):
    assert load_small_groups([tmp_path], np.array(["a"])) is None
    write_npz(tmp_path / "small_groups.npz", {"groups": np.array([0, 9]), "linkage": TREE.astype(float)})
    write_parquet(tmp_path / "members.parquet", pd.DataFrame({"tile_id": ["a", "b"]}))
    assert load_small_groups([tmp_path], np.array(["a"])) is None
    write_npz(tmp_path / "small_groups.npz", {"groups": np.array([0, 3]), "linkage": TREE.astype(float)})
    found = load_small_groups([tmp_path], np.array(["b", "new", "a"]))
    assert found is not None
    assert found.groups.tolist() == [3, -1, 0]
    (tmp_path / "small_groups.npz").write_bytes(b"PK nothing")
    assert load_small_groups([tmp_path], np.array(["a"])) is None


@pytest.fixture
def clustered(tmp_path):
    return make_clustered(tmp_path / "a")


def test_a_cluster_comes_apart_along_its_tree(clustered):
    archive, heap = clustered
    desk = open_desk(archive, ExploreConfig())
    numbers = desk.workspace.clusters.numbers
    assert set(numbers.tolist()) == {0, 1}
    for key in ("0", "1"):
        inside = numbers == int(key)
        n_heaps = len(set(heap[inside].tolist()))
        if n_heaps == 1:
            continue
        about, arrays = unpack(desk.parts.of("Ana", key, n_parts=n_heaps))
        assert (about["by"], len(about["cards"])) == ("tree", n_heaps)
        assert arrays["rows"].tolist() == np.flatnonzero(inside).tolist()
        of_part = [set(heap[arrays["rows"][arrays["part"] == k]].tolist()) for k in range(n_heaps)]
        assert sorted(map(sorted, of_part)) == [[h] for h in sorted(set(heap[inside].tolist()))]
        for k, card in enumerate(about["cards"]):
            assert card["n"] == int((arrays["part"] == k).sum())
            assert set(heap[card["tiles"]["medoid"]].tolist()) == of_part[k]


def test_parts_keep_their_keys_and_follow_what_was_moved(clustered):
    desk = open_desk(clustered[0], ExploreConfig())
    fine, arrays = unpack(desk.parts.of("Ana", "0", n_parts=60))
    n = len(fine["cards"])
    assert (fine["most"], n > 2) == (n, True)
    coarse, _ = unpack(desk.parts.of("Ana", "0", n_parts=n - 1))
    keys = [{card["key"] for card in about["cards"]} for about in (fine, coarse)]
    assert len(keys[0] & keys[1]) == n - 2  # two were joined, the others are what they were
    gone = n - 1
    away = arrays["rows"][arrays["part"] == gone].tolist()
    before, _ = unpack(desk.parts.of("Ana", "1", n_parts=60))
    assert before["by"] == "features"  # one small group alone: the tree has no parts of it
    desk.workspace.act({"op": "move", "actor": "Ana", "into": "1", "rows": away})
    left, _ = unpack(desk.parts.of("Ana", "0", n_parts=60))
    assert {card["key"] for card in left["cards"]} == keys[0] - {fine["cards"][gone]["key"]}
    more, arrays = unpack(desk.parts.of("Ana", "1", n_parts=60))
    assert (more["by"], more["most"]) == ("tree", 2)
    assert fine["cards"][gone]["key"] in {card["key"] for card in more["cards"]}
    assert set(away) <= set(arrays["rows"].tolist())
    with pytest.raises(ActionError, match="no cluster '7'"):
        desk.parts.of("Ana", "7", n_parts=2)


def test_without_a_tree_features_take_it_apart(workspace):
    desk = Desk(workspace)
    about, arrays = unpack(desk.parts.of("Ana", "1", n_parts=2))
    assert (about["by"], about["most"]) == ("features", 20)
    parts = [arrays["rows"][arrays["part"] == k].tolist() for k in range(2)]
    assert parts == desk.split(np.flatnonzero(workspace.clusters.numbers == 1).tolist(), n_parts=2, seed=0)
