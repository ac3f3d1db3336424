"""Training, ranking and audits behind the page: what they say, log, and refuse."""

import numpy as np
import pytest

from wootz import oplog
from wootz.audits import overall_precision
from wootz.errors import ArchiveError
from wootz.explore.actions import ActionError
from wootz.explore.auditing import audit_result, latest_audit
from wootz.explore.desk import Desk
from wootz.explore.state import replay
from wootz.explore.trainer import Trainer

from .conftest import make_archive, open_workspace
from .test_server import make_client


@pytest.fixture
def workspace(tmp_path):
    return open_workspace(make_archive(tmp_path / "a", n_images=6))


@pytest.fixture
def trainer(workspace, images):
    return Trainer(workspace, images=images)


def name(workspace, word, rows, actor="Ana", **how):
    op = {"op": "name", "class": word} if word not in ("artefact", "between", "clear") else {"op": word}
    workspace.act({**op, "actor": actor, "rows": np.asarray(rows).tolist(), "how": how})


def name_some(workspace, n_each=8):
    """Name a few tiles of each band, on all images."""
    for k, word in enumerate(("dark", "striped", "bright")):
        rows = np.flatnonzero(workspace.clusters.numbers == k)
        name(workspace, word, rows[:: len(rows) // n_each])


def test_the_rest_is_ranked_by_the_head(workspace, trainer):
    name_some(workspace)
    name(workspace, "between", [3])
    found = trainer.train("Ana")
    band = workspace.clusters.numbers
    judged = workspace.verdicts("Ana")[0] > 0
    assert [c["class"] for c in found["classes"]] == ["class:bright", "class:dark", "class:striped"]
    assert sum(c["n_rest"] for c in found["classes"]) == (~judged).sum()
    assert found["balanced_accuracy"] > 0.9
    ranked = trainer.ranked("Ana", "class:dark", n=1000)
    assert ranked["scores"] == sorted(ranked["scores"], reverse=True)
    assert not judged[ranked["rows"]].any()
    assert (band[ranked["rows"]] == 0).mean() > 0.9
    workspace.act({"op": "refuse", "actor": "Ana", "class": "dark", "rows": ranked["rows"][:2]})
    sure = trainer.ranked("Ana", "class:dark", n=1000, least=0.9)
    assert min(sure["scores"]) >= 0.9
    assert max(sure["scores"]) < 1
    assert not set(ranked["rows"][:2]) & set(sure["rows"])
    assert trainer.head("Ben") == {}


def test_an_audit_is_random_recorded_and_says_nothing_of_the_head(workspace, trainer):
    name_some(workspace)
    trainer.train("Ana")
    free = workspace.verdicts("Ana")[0] == 0
    drawn = trainer.draw("Ana", n=30)
    assert len(drawn["rows"]) == drawn["n_drawn"] == 30
    assert free[drawn["rows"]].all()
    assert drawn["n_labels"] == free.sum()
    assert "said" not in drawn
    assert drawn["overall"]["n"] == 0
    record = oplog.load(workspace.archive.path)[-1]
    assert record["op"] == "audit"
    assert [workspace.state.row_of(t) for t in record["tiles"]] == drawn["rows"]
    assert sum(record["sizes"].values()) == free.sum()


def test_precision_counts_only_what_was_judged_in_the_audit(workspace, trainer, images):
    name_some(workspace)
    trainer.train("Ana")
    rows = trainer.draw("Ana", n=40)["rows"]
    record = oplog.load(workspace.archive.path)[-1]
    said = dict(zip(rows, record["said"], strict=True))
    everything = np.flatnonzero(workspace.verdicts("Ana")[0] == 0)
    name(workspace, "dark", everything[:50])  # a whole list at once is no answer
    assert trainer.audit("Ana")["n_judged"] == 0
    audit = trainer.audit("Ana")["audit"]
    wrong = rows[:5]
    for row in rows[:20]:
        word = "artefact" if row in wrong[:3] else "between" if row in wrong else said[row].split(":")[1]
        name(workspace, word, [row], audit=audit)
    name(workspace, "dark", rows[:20])  # named anew elsewhere: the answers stay
    found = trainer.audit("Ana")
    assert found["n_judged"] == 20
    assert set(found["rows"]) == set(rows[20:])
    words = list(record["sizes"])
    n = [sum(said[r] == w for r in rows[:20]) for w in words]
    right = [sum(said[r] == w for r in rows[5:20]) for w in words]
    wanted = overall_precision(right, n, sizes=list(record["sizes"].values()))
    assert found["overall"]["value"] == pytest.approx(wanted.value, abs=1e-4)
    assert found["overall"]["low"] == pytest.approx(wanted.low, abs=1e-4)
    workspace.act({"op": "undo", "actor": "Ana"})  # of the naming elsewhere
    workspace.act({"op": "undo", "actor": "Ana"})  # of the last answer
    assert trainer.audit("Ana")["n_judged"] == 19
    again = Trainer(open_workspace(workspace.archive), images=images).audit("Ana")  # after a restart
    assert again["n_judged"] == 19
    assert not again["is_current"]


def test_the_statement_says_when_to_stop(workspace, trainer):
    name_some(workspace)
    trainer.train("Ana")
    free = int((workspace.verdicts("Ana")[0] == 0).sum())
    rows = trainer.draw("Ana", n=free)["rows"]
    audit = latest_audit(workspace.state, "Ana")
    assert audit is not None
    for row, said in zip(rows, audit.record["said"], strict=True):
        name(workspace, said.split(":")[1], [row], audit=audit.id)
    found = trainer.audit("Ana")
    assert found["overall"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": free}  # all judged: no doubt
    assert found["more"] == 0
    assert "you can stop" in found["text"]
    dark = [row for row, said in zip(rows, audit.record["said"], strict=True) if said == "class:dark"]
    name(workspace, "striped", dark, audit=audit.id)
    worse = audit_result(workspace.state, audit)
    assert worse["overall"]["value"] == pytest.approx(1 - len(dark) / free, abs=1e-4)
    assert "below 95%" in worse["text"]
    assert "dark" in worse["text"]


def test_trainings_and_draws_are_noted_but_nothing_to_undo(workspace, trainer):
    name_some(workspace)
    workspace.act({"op": "undo", "actor": "Ana"})
    name(workspace, "bright", np.flatnonzero(workspace.clusters.numbers == 2)[:6])
    before = workspace.state.verdicts("Ana")
    trainer.train("Ana")
    trainer.draw("Ana", n=15)
    with pytest.raises(ActionError, match="set nothing"):
        workspace.act({"op": "undo", "actor": "Ana", "target": workspace.state.actions[-1].id})
    workspace.act({"op": "undo", "actor": "Ana"})  # of the naming before
    assert len(workspace.state.verdicts("Ana")) == len(before) - 6
    workspace.act({"op": "redo", "actor": "Ana"})
    assert workspace.state.verdicts("Ana") == before
    assert replay(oplog.load(workspace.archive.path)).verdicts("Ana") == before
    texts = [line["text"] for line in Desk(workspace).history("Ana", n=10) if not line["can_undo"]]
    assert texts == ["drew 15 tiles for an audit", "trained on what was named"]


def test_what_cannot_be_done_is_said(workspace, trainer, tmp_path):
    with pytest.raises(ActionError, match="two classes"):
        trainer.train("Ana")
    for ask in (lambda: trainer.ranked("Ana", "class:dark", n=5), lambda: trainer.draw("Ana", n=5)):
        with pytest.raises(ActionError, match="train first"):
            ask()
    name_some(workspace)
    trainer.train("Ana")
    with pytest.raises(ActionError, match="does not know 'pore'"):
        trainer.ranked("Ana", "class:pore", n=5)
    name(workspace, "dark", range(workspace.n))
    with pytest.raises(ActionError, match="left"):
        trainer.draw("Ana", n=5)
    bare = open_workspace(make_archive(tmp_path / "b", embedding=False))
    with pytest.raises(ActionError, match="wootz embed"):
        Trainer(bare, images=np.zeros(bare.n, int)).train("Ana")


def test_over_the_web_nobody_can_forge_an_audit(workspace):
    client = make_client(Desk(workspace))
    name_some(workspace)
    assert client.get("/api/head", params={"expert": "Ana"}).json() == {}
    assert client.post("/api/train", json={"expert": "Ana"}).json()["n_named"] >= 24
    drawn = client.post("/api/draw", json={"expert": "Ana", "n": 12}).json()
    assert client.get("/api/audit", params={"expert": "Ana"}).json() == drawn
    ranked = client.post("/api/ranked", json={"expert": "Ana", "word": "class:dark", "n": 5}).json()
    assert len(ranked["rows"]) == 5
    n = len(oplog.load(workspace.archive.path))
    forged = {"op": "audit", "actor": "Ana", "head": "x", "rows": [0], "said": ["class:dark"]}
    for body in (
        forged | {"sizes": {"class:dark": 9}, "least": 0},
        {"op": "train", "actor": "Ana", "head": "x"},
    ):
        assert client.post("/api/act", json=body).status_code == 400
    for least in (-1, 2, "1", None, True):
        answer = client.post("/api/draw", json={"expert": "Ana", "n": 5, "least": least})
        assert answer.status_code == 400
    assert len(oplog.load(workspace.archive.path)) == n


def test_a_damaged_audit_in_the_log_is_refused(workspace):
    record = {"op": "audit", "id": "a", "actor": "Ana", "head": "h", "tiles": ["t"], "said": [], "sizes": {}}
    workspace.archive.log(record | {"least": 0})
    with pytest.raises(ArchiveError, match="damaged"):
        open_workspace(workspace.archive)
