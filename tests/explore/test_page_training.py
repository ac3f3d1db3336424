"""Train and Audit in a real browser, with the log looked at from behind."""

import numpy as np
import pytest

from wootz import oplog
from wootz.explore.auditing import audit_answers, latest_audit

from .browsing import Person
from .conftest import make_archive

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def served(tmp_path, serve):
    return serve(make_archive(tmp_path / "a", n_images=6))


def test_train_review_audit_reload(served, browser, tmp_path):
    workspace = served.workspace
    band, words = workspace.clusters.numbers, ("dark", "striped", "bright")
    for k, word in enumerate(words):
        rows = np.flatnonzero(band == k)[::6].tolist()
        workspace.act({"op": "name", "class": word, "actor": "Ana", "rows": rows})
    ana = Person(browser, served, "Ana")
    page = ana.page
    ana.open()
    assert page.is_disabled("#audit")
    ana.does(lambda: page.click("#train"))
    ana.until("document.querySelectorAll('#head .class').length === 3")
    assert "right on unseen images" in page.inner_text("#head")
    page.click('#classes .class:has-text("dark") >> text=propose')  # by the head now
    ana.sees("Proposals for dark")
    ana.until("import('/page/store.js').then(m => m.app.focus.text === 'surest first, by the head')")
    rows = page.evaluate("import('/page/store.js').then(m => m.app.focus.rows)")
    assert (band[rows] == 0).mean() > 0.9
    assert (workspace.verdicts("Ana")[0][rows] == 0).all()

    ana.does(lambda: page.click("#audit"))
    ana.sees("Audit")
    record = oplog.load(served.archive.path)[-1]
    assert record["op"] == "audit"
    assert page.locator("#grid .corner").count() == 0
    assert "dark" not in page.inner_text("#grid")  # nothing says what the head thinks
    page.screenshot(path=tmp_path / "audit.png")
    key = {str(word): str(1 + i) for i, word in enumerate(page.locator("#classes .label").all_inner_texts())}
    n = len(record["tiles"])
    assert page.inner_text("#focus-text").startswith(f"{n} tiles")
    judged = {}
    for i in range(8):  # the tile that is looked at, one after the other, the third an artefact
        row = page.evaluate("import('/page/store.js').then(m => m.app.here)")
        press = "x" if i == 2 else key[words[band[row]]]
        judged[workspace.tiles.tile_ids[row]] = "artefact" if i == 2 else f"class:{words[band[row]]}"
        ana.does(lambda press=press: page.keyboard.press(press))
        ana.until(f"import('/page/store.js').then(m => m.app.focus.rows.length === {n - 1 - i})")
    state = served.state()
    audit = latest_audit(state, "Ana")
    assert audit is not None
    assert audit_answers(state, audit) == judged
    ana.until("document.querySelector('#head .audit').textContent.includes('8 of')")
    assert "labels are right" in page.inner_text("#head .audit")

    ana.does(lambda: page.keyboard.press("Control+z"))  # an answer taken back is open again
    ana.until("document.querySelector('#head .audit').textContent.includes('7 of')")
    page.reload()
    ana.ready()
    assert "7 of" in page.inner_text("#head .audit")
    page.click("#history-open")
    page.wait_for_selector("#history[open]")
    assert "trained on what was named" in page.inner_text("#history-list")
    assert page.locator('#history-list li:has-text("audit") button').count() == 0
    assert ana.errors == []
    assert ana.outside == []


def test_too_little_named_is_told_and_the_page_answers_while_it_trains(served, browser, monkeypatch):
    ana = Person(browser, served, "Ana")
    page = ana.page
    ana.open()
    page.click("#train")
    page.wait_for_selector(".toast.bad")
    assert "two classes" in page.inner_text(".toast.bad")
    page.click(".toast.bad button")
    ana.name_tiles("dark")
    page.press("#grid", "j")
    ana.sees("Cluster 1")
    ana.name_tiles("striped")
    import threading

    from wootz.explore import trainer

    go, fit = threading.Event(), trainer.fit_class_head

    def slow(*args, **options):
        assert go.wait(20)
        return fit(*args, **options)

    monkeypatch.setattr(trainer, "fit_class_head", slow)
    page.click("#train")
    ana.until("document.getElementById('train').disabled")
    page.press("#grid", "j")
    ana.sees("Cluster 2")
    ana.does(lambda: page.keyboard.press("x"))  # on the disk while the training waits
    assert page.is_disabled("#train")
    ana.does(go.set)
    ana.until("!document.getElementById('train').disabled")
    ana.until("document.querySelectorAll('#head .class').length === 2")
    assert ana.errors == []
