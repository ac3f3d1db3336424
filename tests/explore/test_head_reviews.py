"""Cards of lists, the second look, audits by cards, labels accepted unseen: what they say, log, refuse."""

import numpy as np
import pytest

from wootz import oplog
from wootz.explore.acceptance import corrected_confidence, limit_for
from wootz.explore.actions import ActionError
from wootz.explore.adopting import adopt, offer
from wootz.explore.auditing import audit_answers, latest_audit
from wootz.explore.desk import Desk
from wootz.explore.listcards import draw_cards, list_card
from wootz.explore.reviewing import CARD
from wootz.explore.secondlook import SecondLook
from wootz.explore.state import replay
from wootz.explore.trainer import Trainer

from .conftest import make_archive, open_workspace
from .test_server import make_client

WORDS = ("dark", "striped", "bright")


@pytest.fixture
def workspace(tmp_path):
    return open_workspace(make_archive(tmp_path / "a", n_images=14))


@pytest.fixture
def band(workspace):
    return workspace.clusters.numbers


@pytest.fixture
def trainer(workspace, images):
    """Ana has named each band in five actions, and trained."""
    for k, word in enumerate(WORDS):
        for start in range(0, 20, 4):
            name(workspace, word, np.flatnonzero(workspace.clusters.numbers == k)[start::20])
    trainer = Trainer(workspace, images=images)
    trainer.train("Ana")
    return trainer


def name(workspace, word, rows, actor="Ana", **how):
    op = {"op": "name", "class": word} if word not in ("artefact", "between", "clear") else {"op": word}
    workspace.act({**op, "actor": actor, "rows": np.asarray(rows).tolist(), "how": how})


def judge(workspace, band, rows, audit):
    """Answer for audited tiles as somebody who sees the bands."""
    for k, word in enumerate(WORDS):
        mine = [row for row in rows if band[row] == k]
        if mine:
            name(workspace, word, mine, audit=audit)


def audited(workspace, trainer, band, n_cards=2):
    drawn = draw_cards(trainer, "Ana", n_cards=n_cards)
    judge(workspace, band, drawn["rows"], drawn["audit"])
    return drawn


def test_a_random_card_is_of_the_list_and_the_same_until_something_is_done(workspace, trainer):
    found = list_card(trainer, "Ana", kind="random", word="class:dark")
    ranked = trainer.ranked("Ana", "class:dark", n=1000)["rows"]
    assert len(set(found["rows"])) == CARD
    assert set(found["rows"]) < set(ranked)
    assert list_card(trainer, "Ana", kind="random", word="class:dark") == found
    after = list_card(trainer, "Ana", kind="random", word="class:dark", seen=found["rows"])
    assert not set(after["rows"]) & set(found["rows"])
    workspace.act({"op": "refuse", "actor": "Ana", "class": "dark", "rows": found["rows"][:5]})
    left = list_card(trainer, "Ana", kind="random", word="class:dark", seen=ranked[:0])
    assert not set(left["rows"]) & set(found["rows"][:5])
    sure = trainer.ranked("Ana", "class:dark", n=1000, least=0.9)["rows"]
    assert set(list_card(trainer, "Ana", kind="random", word="class:dark", least=0.9)["rows"]) <= set(sure)


def test_the_surest_card_asks_also_where_another_class_is_likelier(workspace, trainer):
    probabilities = trainer.need("Ana").model.probabilities(workspace.clusters.features)
    name(workspace, "striped", trainer.ranked("Ana", "class:bright", n=1000)["rows"][5:])  # five are left
    free = trainer.free("Ana")
    found = list_card(trainer, "Ana", kind="surest", word="class:bright")
    code = trainer.code_of("Ana", "class:bright")
    wanted = np.sort(probabilities[free, code])[::-1][:CARD]
    assert found["scores"] == pytest.approx(wanted, abs=1e-4)
    assert len({trainer.need("Ana").codes[row] for row in found["rows"]}) > 1
    assert free[found["rows"]].all()


def test_one_column_of_probabilities_is_that_of_all(workspace, trainer):
    model, features = trainer.need("Ana").model, workspace.clusters.features
    probabilities = model.probabilities(features)
    for code in range(3):
        column = model.probability_of(features, code)
        assert column.dtype == np.float32
        assert column == pytest.approx(probabilities[:, code], abs=1e-4)


def test_strange_tiles_are_of_the_class_that_nobody_named(tmp_path, images, monkeypatch):
    workspace = open_workspace(make_archive(tmp_path / "b", n_images=14))
    band = workspace.clusters.numbers
    for k in (0, 2):  # nobody named a striped one
        name(workspace, WORDS[k], np.flatnonzero(band == k)[::5])
    trainer = Trainer(workspace, images=images)
    trainer.train("Ana")
    found = list_card(trainer, "Ana", kind="unlike")
    assert found["word"] == ""
    assert band[found["rows"][0]] == 1
    assert not workspace.verdicts("Ana")[0][found["rows"]].any()
    again = list_card(trainer, "Ana", kind="unlike", seen=found["rows"])
    assert not set(again["rows"]) & set(found["rows"])
    monkeypatch.setattr("wootz.explore.listcards.FAR_SEEN", 40)  # of many, some at random
    some = list_card(trainer, "Ana", kind="unlike")["rows"]
    assert len(set(some)) == CARD
    assert not workspace.verdicts("Ana")[0][some].any()


def test_a_second_look_finds_slips_and_follows_what_is_done(workspace, trainer, band):
    look = SecondLook(trainer)
    assert look.of("Ana")["actions"] == []
    assert look.of("Ben") == {}
    free = np.flatnonzero(trainer.free("Ana") & (band == 2))
    name(workspace, "dark", free[:8], actor="Ana")
    slip = workspace.state.actions[-1]
    name(workspace, "dark", free[8:11])  # too few to say
    assert look.of("Ana")["actions"] == []  # of the training before
    trainer.train("Ana")
    (found,) = look.of("Ana")["actions"]
    assert (found["id"], found["word"], found["other"]) == (slip.id, "class:dark", "class:bright")
    assert found["rows"] == free[:8].tolist()
    assert set(found["said"]) <= {"class:bright", "class:dark", "class:striped"}

    name(workspace, "dark", free[:8], kept=slip.id)
    assert look.of("Ana")["actions"] == []
    assert SecondLook(trainer).of("Ana")["actions"] == []  # computed anew, as after a restart
    assert Desk(workspace).history("Ana", n=1)[0]["text"] == "kept 8 tiles as dark"
    workspace.act({"op": "undo", "actor": "Ana"})
    assert look.of("Ana")["actions"] == [found]
    name(workspace, "bright", free[:5])  # three are left
    assert look.of("Ana")["actions"] == []
    workspace.act({"op": "undo", "actor": "Ana"})
    workspace.act({"op": "undo", "actor": "Ana", "target": slip.id})
    assert look.of("Ana")["actions"] == []


def test_a_second_look_is_computed_once_a_training(trainer, monkeypatch):
    from wootz.explore import secondlook

    fits, fit = [], secondlook.fit_class_head

    def counted(*args, **options):
        fits.append(len(np.unique(options["groups"])))
        return fit(*args, **options)

    monkeypatch.setattr(secondlook, "fit_class_head", counted)
    look = SecondLook(trainer)
    look.of("Ana")
    look.of("Ana")
    assert fits == [16]  # fifteen actions, and 0 for tiles without one
    trainer.train("Ana")  # the same head again
    look.of("Ana")
    assert len(fits) == 1


def test_an_audit_by_cards_is_a_stratified_sample_in_the_log(workspace, trainer, band):
    free = trainer.free("Ana")
    drawn = draw_cards(trainer, "Ana", n_cards=1)
    record = oplog.load(workspace.archive.path)[-1]
    codes, words = trainer.need("Ana").codes, trainer.need("Ana").words
    sizes = {word: int((free & (codes == k)).sum()) for k, word in enumerate(words)}
    assert record["sizes"] == sizes
    assert record["how"] == {"cards": CARD}
    assert [card["word"] for card in drawn["cards"]] == list(words)
    for card in drawn["cards"]:
        assert len(card["rows"]) == min(CARD, sizes[card["word"]])
        assert {words[codes[row]] for row in card["rows"]} == {card["word"]}
    first = drawn["cards"][0]
    wrong, rest = first["rows"][:2], first["rows"][2:]
    name(workspace, "artefact", wrong, audit=drawn["audit"])
    card = trainer.audit("Ana")["cards"][0]
    assert (card["rows"], card["open"]) == (first["rows"], rest)
    accept = {"op": "accept", "class": first["word"][6:], "actor": "Ana", "rows": rest}
    workspace.act(accept)  # of a list, elsewhere: no answer
    assert trainer.audit("Ana")["n_judged"] == 2
    workspace.act(accept | {"how": {"audit": drawn["audit"]}})
    found = trainer.audit("Ana")
    assert found["n_judged"] == len(first["rows"])
    assert [card["word"] for card in found["cards"]] == list(words[1:])
    assert next(c for c in found["classes"] if c["word"] == first["word"])["right"] == len(rest)
    assert trainer.draw("Ana", n=10)["cards"] == []


def test_as_many_labels_are_accepted_as_the_audit_bears_out(workspace, trainer, band):
    drawn = audited(workspace, trainer, band)
    found = offer(trainer, "Ana", precision=0.9)
    free, codes = trainer.free("Ana"), trainer.need("Ana").codes
    rows = np.array(drawn["rows"])
    confidence, said = trainer.need("Ana").confidence, np.array(trainer.need("Ana").words)[codes]
    is_right = said[rows] == np.array([f"class:{WORDS[k]}" for k in band[rows]])
    sure = corrected_confidence(confidence, codes, audited=rows, is_right=is_right)
    assert found["n"] == (sure[free] >= limit_for(sure[free], precision=0.9)).sum()
    assert sum(c["n"] for c in found["classes"]) == found["n"]
    assert found["seen"]["low"] <= found["seen"]["value"] <= found["seen"]["high"]
    assert sum(c["n_judged"] for c in found["classes"]) == found["seen"]["n"] <= drawn["n_drawn"]
    assert offer(trainer, "Ana", precision=0.6)["n"] >= found["n"]
    before, result = workspace.state.verdicts("Ana"), trainer.audit("Ana")
    done = adopt(trainer, "Ana", precision=0.9, request={"id": "once", "session": "s"})
    assert (done["n"], done["op"]) == (found["n"], "adopt")
    after = workspace.state.verdicts("Ana")
    assert len(after) == len(before) + found["n"]
    new = [row for row in np.flatnonzero(free) if workspace.tiles.tile_ids[row] in after]
    assert all(after[workspace.tiles.tile_ids[row]] == trainer.need("Ana").words[codes[row]] for row in new)
    record = oplog.load(workspace.archive.path)[-1]
    assert (
        record["how"]["unseen"] | {"head": trainer.need("Ana").head, "audit": drawn["audit"]}
        == record["how"]["unseen"]
    )
    assert adopt(trainer, "Ana", precision=0.9, request={"id": "once"})["n"] == 0  # sent again
    assert trainer.audit("Ana")["overall"] == result["overall"]
    assert Desk(workspace).history("Ana", n=1)[0]["text"] == f"accepted {found['n']} tiles unseen"
    workspace.act({"op": "undo", "actor": "Ana"})
    assert workspace.state.verdicts("Ana") == before
    workspace.act({"op": "redo", "actor": "Ana"})
    assert replay(oplog.load(workspace.archive.path)).verdicts("Ana") == after


def test_what_was_accepted_unseen_is_no_answer_and_teaches_nothing(workspace, trainer, band):
    drawn = draw_cards(trainer, "Ana", n_cards=2)
    judge(workspace, band, drawn["rows"][::3], drawn["audit"])  # a part
    answers = audit_answers(workspace.state, latest_audit(workspace.state, "Ana"))
    n_taught = int((trainer.taught("Ana")[0] != "").sum())
    adopt(trainer, "Ana", precision=0.8, request={})
    verdicts = workspace.state.verdicts("Ana")
    assert (set(workspace.tiles.tile_ids[drawn["rows"]]) - set(answers)) & set(verdicts)
    assert audit_answers(workspace.state, latest_audit(workspace.state, "Ana")) == answers
    assert trainer.train("Ana")["n_named"] == n_taught
    rows = [row for row in drawn["rows"] if workspace.tiles.tile_ids[row] in set(verdicts) - set(answers)]
    name(workspace, WORDS[band[rows[0]]], rows[:1])  # looked at after all
    assert (trainer.taught("Ana")[0] != "").sum() == n_taught + 1


def test_refused_tiles_and_unsure_ones_are_not_accepted(workspace, trainer, band):
    least = float(np.median(trainer.need("Ana").confidence[trainer.free("Ana")]))
    drawn = draw_cards(trainer, "Ana", n_cards=1, least=least)
    judge(workspace, band, drawn["rows"], drawn["audit"])
    for word in WORDS:
        list_ = trainer.ranked("Ana", f"class:{word}", n=3)["rows"]
        if list_:
            workspace.act({"op": "refuse", "actor": "Ana", "class": word, "rows": list_})
    refused = {row for word in WORDS for row in workspace.known_rows(workspace.state.refused("Ana", word))}
    free = np.flatnonzero(trainer.free("Ana"))
    adopt(trainer, "Ana", precision=0.5, request={})
    taken = free[~trainer.free("Ana")[free]]
    assert len(taken)
    assert not refused & set(taken.tolist())
    assert trainer.need("Ana").confidence[taken].min() >= least


def test_nothing_is_accepted_without_an_audit_of_this_head(workspace, trainer, band, images):
    with pytest.raises(ActionError, match="audit first"):
        offer(trainer, "Ana")
    drawn = draw_cards(trainer, "Ana", n_cards=1)
    with pytest.raises(ActionError, match="nothing of the audit is judged"):
        offer(trainer, "Ana")
    for row in drawn["rows"]:
        name(workspace, "artefact", [row], audit=drawn["audit"])  # all are wrong
    with pytest.raises(ActionError, match=r"no label can be accepted at an expected precision of 99.9%"):
        offer(trainer, "Ana", precision=0.999)
    for precision in (0.49, 1.0, float("nan")):
        with pytest.raises(ActionError, match=r"from 0\.5 to 0\.999"):
            offer(trainer, "Ana", precision=precision)
    n = len(oplog.load(workspace.archive.path))
    with pytest.raises(ActionError, match="no label"):
        adopt(trainer, "Ana", precision=0.999, request={})
    with pytest.raises(ActionError, match="train first"):
        adopt(trainer, "Ben", precision=0.9, request={})  # Ana's head is not Ben's
    assert len(oplog.load(workspace.archive.path)) == n
    trainer.train("Ana")
    with pytest.raises(ActionError, match="earlier head"):
        offer(trainer, "Ana")
    with pytest.raises(ActionError, match="train first"):
        offer(Trainer(workspace, images=images), "Ana")


def test_cards_that_there_are_not_are_refused(workspace, trainer):
    for ask, message in (
        (lambda: list_card(trainer, "Ben", kind="random", word="class:dark"), "train first"),
        (lambda: list_card(trainer, "Ana", kind="odd", word="class:dark"), "no card 'odd'"),
        (lambda: list_card(trainer, "Ana", kind="random", word="class:pore"), "does not know 'pore'"),
        (lambda: list_card(trainer, "Ana", kind="surest", word=""), "does not know ''"),
        (lambda: list_card(trainer, "Ana", kind="unlike", seen=[workspace.n]), "outside"),
        (lambda: draw_cards(trainer, "Ben", n_cards=2), "train first"),
        (lambda: draw_cards(trainer, "Ana", n_cards=0), "1 to 100"),
    ):
        with pytest.raises(ActionError, match=message):
            ask()
    name(workspace, "dark", np.flatnonzero(trainer.free("Ana")))
    for kind in ("random", "surest", "unlike"):
        with pytest.raises(ActionError, match="left"):
            list_card(trainer, "Ana", kind=kind, word="class:dark")
    with pytest.raises(ActionError, match="left"):
        draw_cards(trainer, "Ana", n_cards=2)


def test_over_the_web(workspace, band):
    desk = Desk(workspace)
    client = make_client(desk)
    for k, word in enumerate(WORDS):
        name(workspace, word, np.flatnonzero(band == k)[::6])
    ana = {"expert": "Ana"}
    assert client.get("/api/again", params=ana).json() == {}
    assert client.post("/api/card", json=ana | {"word": "class:dark"}).status_code == 400
    client.post("/api/train", json=ana)
    assert client.get("/api/again", params=ana).json()["actions"] == []
    card = client.post("/api/card", json=ana | {"word": "class:dark", "kind": "surest"}).json()
    assert len(card["rows"]) == CARD
    assert client.post("/api/draw_cards", json=ana | {"n": 1}).json()["n_judged"] == 0
    audit = client.get("/api/audit", params=ana).json()
    judge(workspace, band, audit["rows"], audit["audit"])
    n = client.post("/api/offer", json=ana | {"precision": 0.9}).json()["n"]
    log = len(oplog.load(workspace.archive.path))
    forged = {"op": "adopt", "actor": "Ana", "parts": [{"verdict": "class:dark", "tiles": ["x"]}]}
    bad = [("act", forged)]
    bad += [("adopt", {"actor": "Ana", "precision": p}) for p in (None, "0.9", 2, True, 0.1)]
    bad += [("adopt", {"precision": 0.9}), ("adopt", {"actor": "Ben", "precision": 0.9})]
    bad += [("adopt", {"actor": "consensus", "precision": 0.9}), ("draw_cards", ana | {"n": 101})]
    bad += [("card", ana | {"word": 7}), ("card", ana | {"word": "class:dark", "rows": [-1]})]
    bad += [("card", ana | {"word": "class:dark", "rows": "all"}), ("card", ana | {"kind": ["random"]})]
    for address, body in bad:
        answer = client.post(f"/api/{address}", json=body)
        assert (address, answer.status_code) == (address, 400), body
        assert answer.json()["error"]
    assert len(oplog.load(workspace.archive.path)) == log
    done = client.post("/api/adopt", json={"actor": "Ana", "precision": 0.9, "id": "x" * 16}).json()
    assert (done["n"], done["id"]) == (n, "x" * 16)
