"""A cluster in parts, in a real browser: looked at, named, moved, and made clusters of."""

import numpy as np
import pytest

from .browsing import Person
from .conftest import make_clustered

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def archive_and_heap(tmp_path):
    return make_clustered(tmp_path / "a")


@pytest.fixture
def served(archive_and_heap, serve):
    return serve(archive_and_heap[0])


def parts(page):
    """Give the rows of each part that the page has, largest first."""
    return page.evaluate(
        "Promise.all([import('/page/store.js'), import('/page/parts.js')])"
        ".then(([s, p]) => s.app.parts.keys.map(p.rowsOfPart))"
    )


def slide(ana, n):
    ana.page.locator("#parts-number").fill(str(n))
    ana.until(f"document.querySelectorAll('.card').length === {n}")


def test_parts_are_named_moved_joined_and_made_clusters(served, browser, archive_and_heap):
    heap, ids = archive_and_heap[1], served.workspace.tiles.tile_ids
    numbers, fingerprint = served.workspace.clusters.numbers, served.workspace.clusters.fingerprint
    n_small = len(set(heap[numbers == 0].tolist()))
    assert n_small > 3
    ana = Person(browser, served, "Ana")
    page = ana.page
    ana.open()

    # down into the first cluster: a card for each small group, the first one is shown
    page.keyboard.press("d")
    ana.sees("Cluster 0, part 1")
    assert page.inner_text("#parts-title") == f"Cluster 0 in {n_small} parts"
    found = parts(page)
    assert [set(heap[rows].tolist()) for rows in found] == [{int(heap[rows[0]])} for rows in found]
    assert sorted(row for rows in found for row in rows) == np.flatnonzero(numbers == 0).tolist()
    assert page.locator(".card").count() == n_small
    assert page.locator("#cluster-bar").is_hidden()

    # one part is named as any chosen tiles are, and its card says so
    page.keyboard.press("j")
    ana.sees("Cluster 0, part 2")
    ana.name_tiles("pore")
    assert served.state().verdicts("Ana") == dict.fromkeys(ids[found[1]], "class:pore")
    assert page.locator(".card strong").all_inner_texts()[1] == "pore (2)"

    # the slider joins along the tree: the parts of three are unions of those of all
    slide(ana, 3)
    joined = parts(page)
    assert all(any(set(rows) <= set(more) for more in joined) for rows in found)
    slide(ana, n_small)
    assert parts(page) == found

    # a part is moved away: the others stay, and are taken apart anew
    page.keyboard.press("k")
    ana.until("import('/page/store.js').then(m => m.app.focus.kind === 'part')")
    page.click(f'.card:has-text("Part {n_small}") strong')
    ana.sees(f"Cluster 0, part {n_small}")
    ana.does(lambda: page.select_option("#move", "1"))
    ana.until(f"document.querySelectorAll('.card').length === {n_small - 1}")
    assert served.state().groups("Ana", fingerprint) == dict.fromkeys(ids[found[-1]], "1")
    ana.does(lambda: page.keyboard.press("Control+z"))
    ana.until(f"document.querySelectorAll('.card').length === {n_small}")

    # two ticked ones become a cluster, the others another; undo brings the whole back
    for k in (0, 1):
        page.locator(".card input").nth(k).check()
    assert page.inner_text("#parts-accept") == "Make a cluster of 2 ticked"
    ana.does(lambda: page.click("#parts-accept"))
    ana.until("document.getElementById('parts-bar').hidden")
    assert page.locator(".card").count() == 3
    made = served.state().groups("Ana", fingerprint)
    assert {g for i, g in made.items() if i in set(ids[found[0] + found[1]])} == {made[ids[found[0][0]]]}
    assert len(set(made.values())) == 2
    ana.does(lambda: page.keyboard.press("Control+z"))
    ana.until("document.querySelectorAll('.card').length === 2")

    # all parts become clusters
    page.click('.card[data-key="0"] strong')
    ana.sees("Cluster 0")
    page.click('.card[data-key="0"] .open-parts')
    ana.sees("Cluster 0, part 1")
    ana.does(lambda: page.click("#parts-accept"))
    ana.until(f"document.querySelectorAll('.card').length === {n_small + 1}")
    made = served.state().groups("Ana", fingerprint)
    assert all(len({made[i] for i in ids[rows]}) == 1 for rows in found)
    assert len(set(made.values())) == n_small

    # a cluster of one small group has parts by its features, and D goes back up
    page.click('.card[data-key="1"] strong')
    ana.sees("Cluster 1")
    page.keyboard.press("d")
    ana.sees("Cluster 1, part 1")
    assert "of the features" in page.get_attribute("#parts-title", "title")
    page.keyboard.press("d")
    ana.sees("Cluster 1")
    ana.until("document.getElementById('focus-title').textContent === 'Cluster 1'")
    assert ana.errors == []
    assert ana.outside == []
