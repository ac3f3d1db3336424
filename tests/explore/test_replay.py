"""Labels are a replay of the log: compared with a slow one that leaves undone actions out and starts anew."""

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from wootz.errors import ArchiveError
from wootz.explore.state import State, replay

TILES = [f"t{i}" for i in range(12)]
ACTORS = ["Ana", "Ben"]
BASIS = {"clustering": "c", "fingerprint": "f"}


def reference(records):
    """What undoing means, word by word: find what is in effect, then do that alone, one tile at a time."""
    made = {r["id"]: r for r in records if r["op"] not in ("undo", "redo")}
    undone = set()
    for position, r in enumerate(records):
        if r["op"] not in ("undo", "redo"):
            continue
        earlier = {e["id"] for e in records[:position]}
        target = made.get(r["target"])
        if target is None or target["actor"] != r["actor"] or target["id"] not in earlier:
            continue
        (undone.add if r["op"] == "undo" else undone.discard)(r["target"])
    verdicts, groups, refused, classes = {}, {}, set(), {}
    for r in records:
        if r["op"] in ("undo", "redo") or r["id"] in undone:
            continue
        for tile in r.get("tiles", []):
            key = (r["actor"], tile)
            if r["op"] in ("name", "accept"):
                verdicts[key] = "class:" + r["class"]
            elif r["op"] in ("artefact", "between"):
                verdicts[key] = r["op"]
            elif r["op"] == "clear":
                verdicts.pop(key, None)
            elif r["op"] in ("merge", "move"):
                groups[key] = r["into"]
            elif r["op"] == "refuse":
                refused.add((r["actor"], r["class"], tile))
        for part in r.get("parts", []):
            for tile in part["tiles"]:
                if r["op"] == "adopt":
                    verdicts[r["actor"], tile] = part["verdict"]
                else:
                    groups[r["actor"], tile] = part["group"]
        if r["op"] == "define":
            classes[r["class"]] = r["name"]
    return verdicts, groups, refused, classes


def seen(state):
    verdicts = {(a, t): v for a in state.experts for t, v in state.verdicts(a).items()}
    groups = {(a, t): g for a in state.experts for t, g in state.groups(a, "f").items()}
    refused = {(a, c, t) for a in state.experts for c in "pq" for t in state.refused(a, c)}
    return verdicts, groups, refused, {key: c["name"] for key, c in state.classes().items()}


def make_log(random, n):
    """A log of any actions; undo and redo aim anywhere, at strangers' and at undone actions too."""
    records = []
    for i in range(n):
        op = random.choice(
            ["name", "accept", "artefact", "between", "clear", "merge", "move", "split", "refuse", "define"]
            + ["adopt"]
            + ["undo", "redo"] * 4
        )
        record = {"id": f"a{i}", "op": op, "actor": random.choice(ACTORS), "basis": BASIS}
        tiles = random.sample(TILES, random.randint(1, 6))
        if op in ("undo", "redo"):
            record["target"] = f"a{random.randint(max(0, i - 15), i + 1)}"
        elif op == "split":
            cut = random.randint(1, len(tiles))
            parts = [{"group": f"a{i}.0", "tiles": tiles[:cut]}, {"group": f"a{i}.1", "tiles": tiles[cut:]}]
            record |= {"parts": parts} if cut < len(tiles) else {"op": "move", "into": "3", "tiles": tiles}
        elif op == "adopt":
            cut = random.randint(1, len(tiles))
            heaps = [("class:p", tiles[:cut]), ("artefact", tiles[cut:])]
            record["parts"] = [{"verdict": word, "tiles": heap} for word, heap in heaps if heap]
        elif op == "define":
            record |= {"class": random.choice("pq"), "name": f"name {i}"}
        else:
            record |= {"tiles": tiles, "class": random.choice("pq"), "into": random.choice("0123")}
        records.append(record)
    return records


@settings(max_examples=40, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 80))
def test_replay_equals_the_reference_on_the_way(random, n_records):
    records = make_log(random, n_records)
    state = State(TILES[:5])
    for n, record in enumerate(records, start=1):
        state.apply(record)
        if n % 7 == 0 or n == len(records):
            assert seen(state) == reference(records[:n])


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32))
def test_a_thousand_actions(seed):
    records = make_log(random.Random(seed), 1000)
    assert seen(replay(records)) == reference(records)


def act(i, op, actor="Ana", **fields):
    return {"id": f"a{i}", "op": op, "actor": actor, "basis": BASIS, **fields}


def test_undoing_an_old_action_leaves_later_ones():
    records = [
        act(0, "name", **{"class": "p"}, tiles=["t0", "t1"]),
        act(1, "name", **{"class": "q"}, tiles=["t1", "t2"]),
        act(2, "undo", target="a0"),
    ]
    assert replay(records).verdicts("Ana") == {"t1": "class:q", "t2": "class:q"}
    records.append(act(3, "undo", target="a1"))
    assert replay(records).verdicts("Ana") == {}
    records.append(act(4, "redo", target="a0"))
    assert replay(records).verdicts("Ana") == {"t0": "class:p", "t1": "class:p"}


def test_plain_undo_and_redo_walk_back_and_forth_without_limit():
    records = [act(i, "name", **{"class": f"c{i}"}, tiles=["t0"]) for i in range(50)]
    state = replay(records)
    stranger = act("x", "artefact", "Ben", tiles=["t0"])
    state.apply(stranger)
    for i in range(50, 100):
        state.apply(act(i, "undo", target=state.undo_target("Ana")))
    assert state.verdicts("Ana") == {}
    assert state.verdicts("Ben") == {"t0": "artefact"}
    assert state.undo_target("Ana") is None
    for i in range(100, 150):
        state.apply(act(i, "redo", target=state.redo_target("Ana")))
        assert state.verdicts("Ana") == {"t0": f"class:c{i - 100}"}
    assert state.redo_target("Ana") is None
    state.apply(act(150, "undo", target=state.undo_target("Ana")))
    state.apply(act(151, "between", tiles=["t1"]))
    assert state.redo_target("Ana") is None  # something else was done since; naming it still works
    state.apply(act(152, "redo", target="a49"))
    assert state.verdicts("Ana") == {"t0": "class:c49", "t1": "between"}


def test_nobody_undoes_what_another_did_and_twice_written_counts_once():
    records = [act(0, "name", **{"class": "p"}, tiles=["t0"]), act(1, "undo", "Ben", target="a0")]
    records += [act(0, "artefact", tiles=["t0"])]
    assert replay(records).verdicts("Ana") == {"t0": "class:p"}


def test_a_record_of_a_newer_program_is_refused():
    with pytest.raises(ArchiveError, match="operation 1 of the log is 'dream'"):
        replay([act(0, "dream")])
    with pytest.raises(ArchiveError, match="operation 1 of the log is damaged: name needs"):
        replay([act(0, "name", tiles=["t0"])])
