"""The page in a real browser: what a person does, with the log and the labels looked at from behind."""

import json
import time

import numpy as np
import pytest

from .browsing import EVIL, Person
from .conftest import make_archive

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def served(tmp_path, serve):
    return serve(make_archive(tmp_path / "a", n_images=4))


def test_a_session_from_opening_to_export(served, browser):
    ana = Person(browser, served, "Ana")
    page, n = ana.page, served.workspace.n
    page.route("**/column?*", lambda route: (time.sleep(0.3), route.continue_()))  # a slow machine
    ana.open()
    assert page.locator(".card").count() == 3
    assert page.inner_text("#focus-title") == "Cluster 0"  # ready means that keys act on what is shown
    band = served.workspace.clusters.numbers

    # name a whole cluster, by a name that would like to be a script
    ana.name_tiles(EVIL)
    key = "class:" + EVIL
    ids = served.workspace.tiles.tile_ids
    assert served.state().verdicts("Ana") == dict.fromkeys(ids[band == 0], key)
    assert "<b>#" in page.inner_text("#facts")  # file names with markup are shown as they are
    assert page.locator("#facts b").count() == 0

    # pick two tiles of the next cluster by keys, reject them
    page.press("#grid", "j")
    ana.sees("Cluster 1")
    page.focus("#grid")
    for k in ("Space", "ArrowRight", "Space"):
        page.keyboard.press(k)
    assert page.locator('#grid .cell[aria-selected="true"]').count() == 2
    ana.does(lambda: page.keyboard.press("x"))
    said = served.state().verdicts("Ana")
    assert sorted(said.values()).count("artefact") == 2
    assert all(band[list(ids).index(t)] == 1 for t, v in said.items() if v == "artefact")

    # a lasso around everything holds every tile; one around a corner none
    ana.lasso([(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)])
    assert page.inner_text("#focus-text").startswith(f"{n} tiles")
    ana.does(lambda: page.keyboard.press("b"))
    assert list(served.state().verdicts("Ana").values()) == ["between"] * n

    # undo twice, redo once
    ana.does(lambda: page.keyboard.press("Control+z"))
    ana.does(lambda: page.keyboard.press("Control+z"))
    assert served.state().verdicts("Ana") == dict.fromkeys(ids[band == 0], key)
    ana.does(lambda: page.click("#redo"))
    assert served.state().verdicts("Ana") == said

    # merge two clusters, then take them apart again
    for k in (0, 1):
        page.check(f'.card[data-key="{k}"] input')
    page.click("#compare")
    ana.sees("Side by side")
    assert page.inner_text("#grid-2 .grid-title") == "Cluster 1"
    assert page.locator("#grid-2 .cell").count() > 3
    ana.does(lambda: page.click("#merge"))
    assert page.locator(".card").count() == 2
    page.click('.card[data-key="0"] strong')
    ana.sees("Cluster 0")
    page.click("#split")
    page.wait_for_selector("#offer:not([hidden])")
    ana.does(lambda: page.click("text=Accept split"))
    groups = served.state().groups("Ana", served.workspace.clusters.fingerprint)
    of_band = dict(zip(ids, band.tolist(), strict=True))
    parts = {group: {of_band[t] for t in groups if groups[t] == group} for group in groups.values()}
    assert sorted(parts.values(), key=min) == [{0}, {1}]
    titles = " ".join(page.locator(".card strong").all_inner_texts())  # a named card is called by its class
    assert ("Cluster 0A" in titles and f"{EVIL} (0B)" in titles) or (
        "Cluster 0B" in titles and f"{EVIL} (0A)" in titles
    )

    # proposals: refuse one, accept the rest
    page.click('.card[data-key="2"] strong')
    ana.sees("Cluster 2")
    page.locator("#grid .cell").first.click()
    ana.name_tiles("bright")
    page.click('.class:has-text("bright") >> text=propose')
    ana.sees("Proposals")
    page.locator("#grid .cell").first.click()
    ana.does(lambda: page.click("#offer >> text=Refuse"))
    assert len(served.state().refused("Ana", "bright")) == 1
    ana.does(lambda: page.click("#offer >> text=Accept"))
    mine = served.state().verdicts("Ana")
    refused = served.state().refused("Ana", "bright")
    assert refused.isdisjoint(t for t, v in mine.items() if v == "class:bright")

    # a reload shows the same; the export too
    before = page.inner_text("#progress-text")
    page.reload()
    ana.ready()
    assert page.inner_text("#progress-text") == before
    page.click("#export")
    with page.expect_download() as download:
        page.click('#export-as button:has-text("CSV")')
    table = download.value.path().read_text()
    page.click("#export")
    with page.expect_download() as download:
        page.click('#export-as button:has-text("Page (HTML)")')
    assert download.value.path().read_bytes().startswith(b"<!doctype html>")
    assert len(table.splitlines()) == 1 + len(mine)
    assert page.title() == "a · wootz explorer"
    assert ana.errors == []
    assert ana.outside == []


def test_two_people_in_two_windows(served, browser):
    ana, ben = Person(browser, served, "Ana"), Person(browser, served, "Ben")
    ana.open()
    ben.open()
    ana.name_tiles("pore")
    ben.does(lambda: ben.page.keyboard.press("x"))
    again = Person(browser, served, "Ana")
    again.open()
    assert again.page.inner_text("#progress-text") == ana.page.inner_text("#progress-text")
    again.does(lambda: again.page.click("#undo"))  # undone in one window, seen in the other
    ana.until("document.getElementById('progress-text').textContent.startsWith('0 of')")
    assert set(served.state().verdicts("Ben").values()) == {"artefact"}
    assert ben.errors == again.errors == ana.errors == []


def test_two_people_differ_and_one_settles_it(served, browser):
    ana, ben = Person(browser, served, "Ana"), Person(browser, served, "Ben")
    ana.open()
    ana.page.click("#agree-button")
    ana.page.wait_for_selector("text=Agreement needs the labels of two people")
    ana.name_tiles("pore")
    ben.open()
    ben.name_tiles("pore")
    ben.page.focus("#grid")
    ben.page.keyboard.press("Space")
    ben.does(lambda: ben.page.keyboard.press("x"))

    page, n = ben.page, int(np.sum(served.workspace.clusters.numbers == 0))
    page.click("#agree-button")
    page.wait_for_selector("#agree[open]")
    cells = page.locator("#agree-rows tr").first.locator("th, td").all_inner_texts()
    assert cells[:3] == ["Ana, Ben", str(n), f"{1000 * (n - 1) // n / 10:g} %"]
    assert page.inner_text("#agree-open") == "People differ on 1 tiles; 1 of them are not settled."
    page.click("#agree-settle")
    ben.sees("To settle")
    assert page.inner_text("#grid .cell .corner").split("\n") == ["Ana: pore", "Ben: artefact"]
    assert page.inner_text("#expert") == "Consensus (Ben)"
    assert page.inner_text("#progress-text").startswith(f"{n - 1} of")  # the others nobody contradicts
    page.keyboard.press("x")
    page.wait_for_selector("text=Pick the tiles that this settles first")
    page.click("#grid .cell")
    ben.name_tiles("pore")
    (settled,) = [a.record for a in served.state().actions if a.actor == "consensus"]
    assert (settled["by"], len(settled["tiles"])) == ("Ben", 1)
    ben.does(lambda: page.keyboard.press("Control+z"))
    ben.does(lambda: page.keyboard.press("Control+y"))
    page.click("#expert")
    ben.until("document.getElementById('expert').textContent === 'Ben'")
    ana.page.click("#export")
    ana.page.select_option("#export-who", "consensus")
    with ana.page.expect_download() as download:
        ana.page.click('#export-as button:has-text("COCO")')
    content = json.loads(download.value.path().read_text())
    assert [c["name"] for c in content["categories"]] == ["pore"]
    assert len(content["annotations"]) == n
    assert ana.errors == ben.errors == []


def test_a_full_disk_is_told_on_the_page(served, browser, monkeypatch):
    ana = Person(browser, served, "Ana")
    ana.open()
    ana.name_tiles("pore")

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("wootz.storage.write_all", full)
        ana.page.keyboard.press("x")
        ana.page.wait_for_selector(".toast.bad")
    assert "disk full" in ana.page.inner_text(".toast.bad")
    assert set(served.state().verdicts("Ana").values()) == {"class:pore"}
    n = int(np.sum(served.workspace.clusters.numbers == 0))
    assert ana.page.inner_text("#progress-text") == f"{n} of {served.workspace.n} tiles judged"
    ana.does(lambda: ana.page.keyboard.press("x"))


def test_the_map_finds_points_and_the_lasso_agrees_with_a_slow_one(served, browser):
    ana = Person(browser, served, "Ana")
    ana.open()
    corners = [(0.1, 0.15), (0.8, 0.3), (0.55, 0.9), (0.45, 0.5), (0.2, 0.8)]
    ana.lasso(corners)
    found = ana.page.evaluate("import('/page/store.js').then(m => m.app.focus.rows)")
    how = ana.page.evaluate("import('/page/store.js').then(m => m.app.focus.how.lasso)")
    places = served.workspace.clusters.positions.astype(float)
    slow = {i for i, (x, y) in enumerate(places) if inside(x, y, how)}
    near = {i for i, (x, y) in enumerate(places) if distance(x, y, how) < 0.01 * np.ptp(places)}
    assert 0 < len(slow) < len(places)
    assert set(found) - near == slow - near


def test_filters_hold_for_map_cards_grid_and_actions(served, browser):
    ana = Person(browser, served, "Ana")
    ana.open()
    page, ids = ana.page, served.workspace.tiles.tile_ids
    frame = served.workspace.tiles.columns(["specimen", "outlier_toy"])
    band = served.workspace.clusters.numbers
    of_s1 = frame["specimen"].eq("S1").to_numpy()

    def choose(column, work):
        page.keyboard.press("f")
        page.wait_for_selector("#filter-by[open]")
        page.select_option("#filter-column", label=column)
        work()
        page.click("#filter-by button.main")
        page.wait_for_selector(f"#filters .chip:has-text('{column}')")

    page.focus("#grid")
    choose("specimen", lambda: page.select_option("#filter-values", "S1"))
    n = int((of_s1 & (band == 0)).sum())
    assert page.inner_text("#filters .soft") == f"{of_s1.sum()} of {len(ids)} tiles:"
    assert f"{n} of {(band == 0).sum()} tiles" in page.inner_text('.card[data-key="0"]')
    assert page.inner_text("#focus-text").startswith(f"{n} of {(band == 0).sum()} tiles, filtered")
    ana.name_tiles("pore")
    assert set(served.state().verdicts("Ana")) == set(ids[of_s1 & (band == 0)])
    ana.lasso([(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)])
    assert page.inner_text("#focus-text").startswith(f"{of_s1.sum()} tiles")

    # a range on top, which a reload remembers; then one chip after the other is clicked away
    middle = float(frame["outlier_toy"].median())
    choose("outlier_toy", lambda: page.fill("#filter-low", str(middle)))
    both = of_s1 & (frame["outlier_toy"].to_numpy(np.float32) >= middle)
    assert 0 < both.sum() < of_s1.sum()
    assert page.inner_text("#filters .soft") == f"{both.sum()} of {len(ids)} tiles:"
    page.reload()
    ana.ready()
    assert page.inner_text("#filters .soft") == f"{both.sum()} of {len(ids)} tiles:"
    page.click("#filters .chip:has-text('specimen')")
    above = int((frame["outlier_toy"].to_numpy(np.float32) >= middle).sum())
    words = f"'{above} of {len(ids)} tiles:'"
    ana.until(f"document.querySelector('#filters .soft').textContent === {words}")
    page.click("#filters .chip")
    ana.until("document.getElementById('filters').hidden")
    ana.lasso([(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)])
    assert page.inner_text("#focus-text").startswith(f"{len(ids)} tiles")
    assert ana.errors == []


def test_filters_by_what_was_named_and_edited_follow_the_actions(served, browser):
    ana = Person(browser, served, "Ana")
    ana.open()
    page, n = ana.page, served.workspace.n
    sizes = np.bincount(served.workspace.clusters.numbers).tolist()
    shown = "document.querySelector('#filters .soft')?.textContent"

    def choose(column, words):
        page.keyboard.press("f")
        page.wait_for_selector("#filter-by[open]")
        page.select_option("#filter-column", label=column)
        ana.until(f"document.querySelector('#filter-values').textContent.includes({json.dumps(words[0])})")
        page.select_option("#filter-values", label=words)
        page.click("#filter-by button.main")

    # "to be named": what gets a name leaves the view at once, and comes back with undo
    page.focus("#grid")
    choose("verdict", [f"no verdict yet ({n})"])
    ana.name_tiles("pore")
    ana.until(f"{shown} === '{n - sizes[0]} of {n} tiles:'")
    assert page.inner_text("#focus-text").startswith(f"0 of {sizes[0]} tiles, filtered")
    ana.does(lambda: page.keyboard.press("Control+z"))
    ana.until(f"{shown} === '{n} of {n} tiles:'")
    page.click("#filters .chip")
    ana.until("document.getElementById('filters').hidden")

    # two clusters; the legend counts what is left; merging one away keeps the other's filter
    choose("cluster, as edited", [f"Cluster 0 ({sizes[0]})", f"Cluster 1 ({sizes[1]})"])
    ana.until(f"{shown} === '{sizes[0] + sizes[1]} of {n} tiles:'")
    assert page.inner_text("#filters .chip span") == "cluster, as edited: Cluster 0, Cluster 1"
    ana.until("document.querySelectorAll('#legend button').length === 2")
    for k in (1, 2):  # cluster 2 is left out: nothing of it may be moved
        page.check(f'.card[data-key="{k}"] input')
    page.click("#merge")
    page.wait_for_selector("text=The filters leave nothing to merge")
    assert len(served.state().actions) == 1
    page.uncheck('.card[data-key="2"] input')
    page.check('.card[data-key="0"] input')
    ana.does(lambda: page.click("#merge"))
    ana.until(f"{shown} === '{sizes[0] + sizes[1]} of {n} tiles:'")
    assert page.locator(".card").count() == 2
    assert ana.errors == []


def inside(x, y, corners):
    """Even-odd rule, edge by edge."""
    odd = False
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < (x1 - x0) * (y - y0) / (y1 - y0) + x0:
            odd = not odd
    return odd


def distance(x, y, corners):
    """To the nearest edge."""
    best = np.inf
    for a, b in zip(np.array(corners), np.roll(corners, -1, axis=0), strict=True):
        t = np.clip((np.array([x, y]) - a) @ (b - a) / max((b - a) @ (b - a), 1e-12), 0, 1)
        best = min(best, float(np.hypot(*(a + t * (b - a) - [x, y]))))
    return best
