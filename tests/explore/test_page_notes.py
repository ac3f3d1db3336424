"""Notes in a real browser: written, shown on card and tile, kept over a reload, exported, removed."""

import pandas as pd
import pytest

from .browsing import EVIL, Person
from .conftest import make_archive

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def served(tmp_path, serve):
    return serve(make_archive(tmp_path / "a", n_images=4))


def write(person, text):
    page = person.page
    page.keyboard.press("m")
    page.wait_for_selector("#note-box[open]")
    page.fill("#note-text", text)
    person.does(lambda: page.press("#note-text", "Control+Enter"))


def test_notes_on_a_cluster_and_on_tiles(served, browser):
    ana = Person(browser, served, "Ana")
    page, n = ana.page, int((served.workspace.clusters.numbers == 0).sum())
    ana.open()
    page.focus("#grid")

    # on a cluster: its card shows the text, as text
    write(ana, EVIL)
    assert page.inner_text('.card[data-key="0"] .note') == EVIL
    assert page.locator(".card .note").count() == 1
    (record,) = [a.record for a in served.state().actions if a.op == "note"]
    assert (record["about"], len(record["tiles"])) == ({"group": "0"}, n)

    # on two picked tiles: they are marked, and the first one's facts hold it
    page.focus("#grid")
    for k in ("Space", "ArrowRight", "Space", "ArrowLeft"):
        page.keyboard.press(k)
    write(ana, "charged?\nsee the log book")
    ana.until("document.querySelector('#facts .note dd')?.textContent.startsWith('charged?')")
    assert page.locator("#grid .cell.noted").count() == 2
    rows = page.evaluate("import('/page/store.js').then(m => [...m.app.picked])")
    last = served.state().actions[-1].record
    assert last["tiles"] == served.workspace.tiles.tile_ids[rows].tolist()

    # a reload shows both; another person sees who wrote them, and cannot remove them
    page.reload()
    ana.ready()
    assert page.inner_text('.card[data-key="0"] .note') == EVIL
    assert page.locator("#grid .cell.noted").count() == 2
    ben = Person(browser, served, "Ben")
    ben.open()
    assert ben.page.inner_text('.card[data-key="0"] .note') == f"Ana: {EVIL}"
    ben.page.click("#note")
    assert ben.page.locator("#note-list li").count() == 2
    assert ben.page.locator("#note-list >> text=Remove").count() == 0
    ben.page.locator("#note-list li >> text=2 tiles").click()  # newest first
    ben.sees("Note on 2 tiles")
    assert ben.page.locator("#grid .cell").count() == 2

    # in the table; then one is removed, which undo brings back
    page.click("#export")
    with page.expect_download() as download:
        page.click('#export-as button:has-text("Notes")')
    table = pd.read_csv(download.value.path())
    assert table["text"].tolist() == [EVIL, "charged?\nsee the log book"]
    assert table["n_tiles"].tolist() == [n, 2]
    page.click("#note")
    ana.does(page.locator("#note-list >> text=Remove").first.click)
    ana.until("document.querySelectorAll('#grid .cell.noted').length === 0")
    ana.does(lambda: page.keyboard.press("Control+y"))
    ana.until("document.querySelectorAll('#grid .cell.noted').length === 2")
    assert page.title() == "a · wootz explorer"
    assert (ana.errors, ana.outside, ben.errors) == ([], [], [])
