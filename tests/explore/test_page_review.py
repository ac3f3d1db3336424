"""Cards, the second look and labels accepted unseen, in a real browser; the log is looked at from behind."""

import numpy as np
import pytest

from wootz import oplog
from wootz.explore.auditing import audit_answers, latest_audit

from .browsing import Person
from .conftest import make_archive

pytestmark = [pytest.mark.browser, pytest.mark.slow]
WORDS = ("dark", "striped", "bright")


@pytest.fixture
def served(tmp_path, serve):
    served = serve(make_archive(tmp_path / "a", n_images=14))
    band = served.workspace.clusters.numbers
    for k, word in enumerate(WORDS):
        for start in (0, 3, 7, 11, 15):
            rows = np.flatnonzero(band == k)[start::20].tolist()
            served.workspace.act({"op": "name", "class": word, "actor": "Ana", "rows": rows})
    return served


@pytest.fixture
def ana(served, browser):
    """Ana has trained, and the second look is over."""
    ana = Person(browser, served, "Ana")
    ana.open()
    ana.does(lambda: ana.page.click("#train"))
    looked(ana)
    yield ana
    assert ana.errors == []
    assert ana.outside == []


def app(ana, expression):
    return ana.page.evaluate(f"import('/page/store.js').then(m => m.app.{expression})")


def looked(ana):
    ana.until("import('/page/store.js').then(m => Array.isArray(m.app.again))")


def log(ana):
    return oplog.load(ana.served.archive.path)


def card_of(ana, word, button="card"):
    old = app(ana, "focus.rows")
    ana.page.click(f'#head .class:has-text("{word}") button:text-is("{button}")')
    ana.sees(f"Card of {word}")
    assert f"Pick out what is not {word} and name it" in ana.page.inner_text("#offer")
    ana.until(f"import('/page/store.js').then(m => m.app.focus.rows.join() !== '{','.join(map(str, old))}')")
    return app(ana, "focus.rows")


def other_card(ana, rows):
    ana.until(f"import('/page/store.js').then(m => m.app.focus.rows[0] !== {rows[0]})")
    return app(ana, "focus.rows")


def test_a_card_of_a_list(ana, served):
    page, workspace, ids = ana.page, served.workspace, served.workspace.tiles.tile_ids
    rows = card_of(ana, "dark")
    assert len(rows) == 24
    assert page.locator("#grid .cell").count() == 24
    assert page.evaluate("(g => g.scrollHeight <= g.clientHeight)(document.getElementById('grid'))")
    assert not workspace.verdicts("Ana")[0][rows].any()
    assert page.inner_text("#offer button.main") == "Accept the rest as dark (24)"

    # one that is wrong is picked and named; the card stays, with its name on the tile
    page.click("#grid .cell >> nth=2")
    ana.name_tiles("striped")
    assert app(ana, "focus.rows") == rows
    assert page.inner_text("#offer button.main") == "Accept the rest as dark (23)"

    # the rest is accepted in one action, by a key, and the next card comes at once
    page.focus("#grid")
    ana.does(lambda: page.keyboard.press("e"))
    record = log(ana)[-1]
    assert (record["op"], record["class"], len(record["tiles"])) == ("accept", "dark", 23)
    assert ids[rows[2]] not in record["tiles"]
    assert record["how"] | {"head": app(ana, "head.head"), "card": "random"} == record["how"]
    ana.until("import('/page/store.js').then(m => m.app.focus.rows.length > 0)")
    second = other_card(ana, rows)
    assert not set(second) & set(rows)

    # undone, the card is there again; done again, the one after it
    ana.does(lambda: page.keyboard.press("Control+z"))
    ana.until(f"import('/page/store.js').then(m => m.app.focus.rows[0] === {rows[0]})")
    assert page.inner_text("#offer button.main") == "Accept the rest as dark (23)"
    ana.does(lambda: page.keyboard.press("Control+y"))
    other_card(ana, rows)
    assert served.state().verdicts("Ana")[ids[rows[2]]] == "class:striped"
    assert len([1 for row in rows if served.state().verdicts("Ana").get(ids[row]) == "class:dark"]) == 23

    # what is picked out and has no name yet is not among the rest
    third = app(ana, "focus.rows")
    page.click("#grid .cell >> nth=1")
    assert page.inner_text("#offer button.main") == f"Accept the rest as dark ({len(third) - 1})"
    page.focus("#grid")
    ana.does(lambda: page.keyboard.press("e"))
    assert ids[third[1]] not in log(ana)[-1]["tiles"]
    assert app(ana, "focus.rows") == third
    page.keyboard.press("e")
    ana.until("document.getElementById('toasts').innerText.includes('picked out')")
    ana.name_tiles("striped")
    other_card(ana, third)


def test_the_surest_and_strange_tiles_are_on_cards_too(ana, served):
    page = ana.page
    rows = card_of(ana, "bright", "surest")
    scores = [float(text) for text in page.locator("#grid .corner").all_inner_texts()]
    assert len(scores) == len(rows)
    assert scores == sorted(scores, reverse=True)
    page.click('#offer button:text-is("Next card")')
    assert not set(other_card(ana, rows)) & set(rows)
    page.click('#head button:text-is("Unlike all named")')
    ana.sees("Unlike all named")
    strange = app(ana, "focus.rows")
    assert page.locator("#offer button.main").count() == 0
    page.focus("#grid")
    page.keyboard.press("e")  # there is nothing to accept
    page.click("#grid .cell >> nth=0")
    ana.name_tiles("dust")
    ana.name_tiles("bright")  # what is not picked out
    verdicts = served.state().verdicts("Ana")
    said = [verdicts[served.workspace.tiles.tile_ids[row]] for row in strange]
    assert said == ["class:dust"] + ["class:bright"] * 23
    other_card(ana, strange)
    page.click('#offer button:text-is("Done")')
    ana.sees("Cluster 0")


def test_a_second_look_keeps_and_renames(served, browser):
    workspace, band = served.workspace, served.workspace.clusters.numbers
    free = workspace.verdicts("Ana")[0] == 0
    wrong = [np.flatnonzero((band == k) & free)[3:11].tolist() for k in (0, 2)]
    for rows in wrong:  # two slips of the hand
        workspace.act({"op": "name", "class": "striped", "actor": "Ana", "rows": rows})
    ana, ids = Person(browser, served, "Ana"), workspace.tiles.tile_ids
    page = ana.page
    ana.open()
    assert page.locator("#again").count() == 0
    ana.does(lambda: page.click("#train"))
    page.wait_for_selector("#again")
    assert page.inner_text("#again") == "2 actions to look at again"
    page.click("#again")
    ana.sees("Look again: striped, or ")
    assert "Named striped by one action; the head of all others says" in page.inner_text("#offer")
    first = app(ana, "focus.rows")
    assert first in wrong

    # kept: the same verdict, by an action that says what it keeps; it does not come again
    page.focus("#grid")
    ana.does(lambda: page.keyboard.press("e"))
    record = log(ana)[-1]
    contradicted = next(r for r in log(ana) if r.get("tiles") == [ids[row] for row in first])
    assert (record["op"], record["class"], record["how"]["kept"]) == ("name", "striped", contradicted["id"])
    second = other_card(ana, first)
    ana.until("document.getElementById('again').textContent === '1 action to look at again'")
    assert sorted([first, second]) == sorted(wrong)
    page.reload()
    ana.ready()
    page.wait_for_selector("#again")
    assert page.inner_text("#again") == "1 action to look at again"
    ana.does(lambda: page.click("#undo"))  # the question is back
    ana.until("document.getElementById('again').textContent === '2 actions to look at again'")
    ana.does(lambda: page.click("#redo"))
    ana.until("document.getElementById('again').textContent === '1 action to look at again'")

    # renamed, all at once, by the means there are
    page.click("#again")
    ana.sees("Look again")
    ana.name_tiles(WORDS[band[second[0]]])
    ana.until("!document.getElementById('again')")
    verdicts = served.state().verdicts("Ana")
    assert {verdicts[ids[row]] for row in second} == {f"class:{WORDS[band[second[0]]]}"}
    assert {verdicts[ids[row]] for row in first} == {"class:striped"}
    ana.does(lambda: page.click("#train"))  # what was kept stays kept with the next head
    looked(ana)
    assert page.locator("#again").count() == 0
    assert ana.errors == []


def judge_cards(ana, served, n=None):
    """Judge audit cards as somebody who sees the bands: name what is wrong, accept the rest."""
    page, band = ana.page, served.workspace.clusters.numbers
    ana.sees("Audit card of")
    while app(ana, "focus.kind") == "card" and (n is None or n > 0):
        rows, word = app(ana, "focus.rows"), app(ana, "focus.card.word").removeprefix("class:")
        for i, row in enumerate(rows):
            if WORDS[band[row]] != word:
                page.click(f"#grid .cell >> nth={i}")
                ana.name_tiles(WORDS[band[row]])
        page.focus("#grid")
        ana.does(lambda: page.keyboard.press("e"))
        gone = f"m.app.focus.kind !== 'card' || m.app.focus.rows[0] !== {rows[0]}"
        ana.until(f"import('/page/store.js').then(m => {gone})")
        n = None if n is None else n - 1


def test_an_audit_by_cards_and_labels_accepted_unseen(ana, served):
    page, band = ana.page, served.workspace.clusters.numbers
    assert page.locator("#adopt").count() == 0
    page.fill("#n-cards", "2")
    page.press("#n-cards", "Enter")
    ana.does(lambda: page.click("#audit-cards"))
    record = log(ana)[-1]
    assert record["op"] == "audit"
    assert sorted(record["said"]) == record["said"]  # class by class
    assert len(record["tiles"]) == 2 * 24 * 3
    judge_cards(ana, served, n=2)
    ana.until("document.querySelector('#head .audit').textContent.includes('48 of 144 judged')")
    assert "Accept" in page.inner_text("#adopt")  # a part is enough for an offer
    assert "cards left" in page.inner_text("#audit-cards")
    page.click('#offer button:text-is("Later")')
    ana.sees("Cluster 0")
    page.click("#audit-cards")
    judge_cards(ana, served)
    ana.until("document.querySelector('#head .audit').textContent.includes('144 of 144 judged')")
    answers = audit_answers(served.state(), latest_audit(served.state(), "Ana"))
    assert len(answers) == 144

    # the number of labels follows the precision; a figure that nothing reaches is told
    page.fill("#precision", "0.9")
    ana.until("/Accept [1-9]\\d* labels/.test(document.getElementById('adopt').textContent)")
    page.fill("#precision", "2")
    ana.until("document.getElementById('offer-text').textContent.includes('0.5 to 0.999')")
    assert page.is_disabled("#adopt")
    page.fill("#precision", "0.9")
    ana.until("!document.getElementById('adopt').disabled")
    n = int(page.inner_text("#adopt").split()[1])
    before = served.state().verdicts("Ana")
    ana.does(lambda: page.click("#adopt"))
    record, after = log(ana)[-1], served.state().verdicts("Ana")
    assert (record["op"], sum(len(part["tiles"]) for part in record["parts"])) == ("adopt", n)
    assert len(after) == len(before) + n
    audit = next(r for r in log(ana) if r["op"] == "audit")
    assert record["how"]["unseen"]["audit"] == audit["id"]
    right = [
        after[t] == f"class:{WORDS[band[i]]}"
        for i, t in enumerate(served.workspace.tiles.tile_ids)
        if t in after
    ]
    assert np.mean(right) > 0.9
    assert (
        audit_answers(served.state(), latest_audit(served.state(), "Ana")) == answers
    )  # nobody looked at them

    # one step back, and the page after a reload is as before it
    ana.does(lambda: page.keyboard.press("Control+z"))
    assert served.state().verdicts("Ana") == before
    page.reload()
    ana.ready()
    page.wait_for_selector("#adopt")
    assert "144 of 144 judged" in page.inner_text("#head .audit")
    assert app(ana, "undo").startswith("accepted 2")
    ana.does(lambda: page.click("#train"))  # of a head that learned from the answers, nothing is known
    ana.until("document.querySelector('#head .audit').textContent.includes('of an earlier head')")
    ana.until("!document.getElementById('adopt')")


def test_another_person_sees_nothing_of_it(ana, served, browser):
    ben = Person(browser, served, "Ben")
    ben.open()
    assert ben.page.inner_text("#head") == ""
    ben.page.focus("#grid")
    ben.page.keyboard.press("e")
    card_of(ana, "dark")
    assert app(ben, "focus.kind") == "cluster"
    assert ben.errors == []
