"""The copy to look at in a real browser, opened as a file: it shows what the server's page does, alone."""

import time

import numpy as np
import pytest

from wootz.explore.desk import Desk
from wootz.explore.snapshot import save_snapshot

from .conftest import make_archive, open_workspace

pytestmark = [pytest.mark.browser, pytest.mark.slow]
EVIL = "</script><img src=x onerror=\"document.title='broken in'\">"


@pytest.fixture
def workspace(tmp_path):
    workspace = open_workspace(make_archive(tmp_path / "a", n_images=4))
    band = workspace.clusters.numbers
    said = [("Ana", 0, EVIL), ("Ana", 1, "stripes"), ("Ben", 0, EVIL)]
    for actor, k, name in said:
        workspace.act(
            {"actor": actor, "op": "name", "class": name, "rows": np.flatnonzero(band == k).tolist()}
        )
    workspace.act({"actor": "Ben", "op": "artefact", "rows": np.flatnonzero(band == 1)[:3].tolist()})
    workspace.act(
        {"actor": "Ana", "op": "define", "class": EVIL, "name": EVIL, "definition": "dark & <quiet>"}
    )
    return workspace


@pytest.fixture
def page(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
        page.set_default_timeout(20_000)
        page.asked, page.errors = [], []
        page.on("request", lambda r: page.asked.append(r.url))
        page.on("pageerror", lambda e: page.errors.append(str(e)))
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        yield page
        browser.close()


def mean_grey(page, selector):
    """Mean of what a canvas shows."""
    return page.evaluate(
        """(s) => { const c = document.querySelector(s);
        const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        let sum = 0; for (let i = 0; i < d.length; i += 4) sum += d[i]; return 4 * sum / d.length; }""",
        selector,
    )


def until(page, is_so):
    """Wait for what takes a busy machine a while; the page forbids the eval of Playwright's own waiting."""
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        page.wait_for_timeout(30)


def test_a_colleague_looks_at_a_copy(workspace, page, tmp_path):
    path = tmp_path / "for a colleague #1.html"
    done = save_snapshot(Desk(workspace), path, expert="Ana")
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready=true]")
    assert page.inner_text("#hints") == done.note
    assert page.inner_text("#progress-text") == "64 of 96 tiles judged"
    assert page.locator(".card").count() == 3

    # the first tile of the first cluster, and its field, are drawn
    assert page.inner_text("#focus-title") == "Cluster 0"
    page.wait_for_selector("#grid .cell.here canvas")
    row = int(page.get_attribute("#grid .cell.here canvas", "data-row"))
    pixels = workspace.tiles.read([row])[0].astype(float)
    about = workspace.tiles.columns(["intensity_low", "intensity_high", "tile_id"]).iloc[row]
    reach = about.intensity_high - about.intensity_low
    expected = 255 * ((pixels - about.intensity_low + 0.1 * reach) / (1.2 * reach)).clip(0, 1).mean()
    until(page, lambda: mean_grey(page, "#grid .cell.here canvas") == pytest.approx(expected, abs=4))
    until(page, lambda: mean_grey(page, "#preview-canvas") > 90)  # the field: dark, striped and bright
    assert about.tile_id in page.inner_text("#facts")
    page.click("#factors [data-factor='1']")
    until(page, lambda: 10 < mean_grey(page, "#preview-canvas") < 60)  # the tile is of the dark band

    # classes, legend, map, two clusters side by side
    assert EVIL in page.inner_text("#classes")
    assert "dark & <quiet>" in page.inner_text("#classes")
    page.select_option("#colour", "verdict")
    page.click('#legend button:has-text("no verdict yet")')
    assert page.inner_text("#focus-text") == "32 tiles"
    box = page.locator("#map").bounding_box()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.01)]
    page.mouse.move(box["x"] + 0.01 * box["width"], box["y"] + 0.01 * box["height"])
    page.mouse.down()
    for c, r in corners:
        page.mouse.move(box["x"] + c * box["width"], box["y"] + r * box["height"], steps=4)
    page.mouse.up()
    assert page.inner_text("#focus-text") == "96 tiles"
    for k in (0, 1):
        page.check(f'.card[data-key="{k}"] input')
    page.keyboard.press("c")
    page.wait_for_selector("#grid-2:not([hidden])")
    page.fill("#find", "S0")
    page.press("#find", "Enter")
    until(page, lambda: page.inner_text("#focus-title") == "Found: S0")
    assert page.inner_text("#focus-text") == "24 tiles"

    # what people differ on can be seen, not settled; no action does anything
    page.click("#agree-button")
    page.click("#agree-rows button:not([disabled])")
    assert page.inner_text("#focus-text") == "3 tiles"
    assert page.inner_text("#grid .cell .corner").split("\n") == ["Ana: stripes", "Ben: artefact"]
    for button in ("#undo", "#export", "#actions", "#expert", "#agree-settle", "#merge", "#head", "#offer"):
        assert not page.is_visible(button)
    for key in ("x", "b", "s", "v", "Delete", "Control+z"):
        page.keyboard.press(key)
        page.wait_for_selector(".toast.bad:has-text('a copy to look at')")
        page.click(".toast.bad button")
    page.keyboard.press("e")
    assert page.locator(".toast").count() == 0
    assert page.inner_text("#progress-text") == "64 of 96 tiles judged"

    assert page.title() == "a · wootz explorer"
    assert page.errors == []
    assert [url for url in page.asked if not url.startswith(("data:", "blob:"))] == [path.as_uri()]


def test_tiles_without_a_picture_are_counted_and_not_shown(workspace, page, tmp_path, monkeypatch):
    monkeypatch.setattr("wootz.explore.snapshot.N_PICTURES_MAX", 64)
    monkeypatch.setattr("wootz.explore.snapshot.N_FIELDS_MAX", 2)
    path = tmp_path / "p.html"
    save_snapshot(Desk(workspace), path, expert="Ana")
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready=true]")
    assert "Pictures of 64 of 96 tiles and 2 of 4 fields." in page.inner_text("#hints")
    page.select_option("#colour", "column:specimen")
    seen = 0
    for name in ("S0", "S1"):
        page.click(f'#legend button:has-text("{name}")')
        until(page, lambda name=name: page.inner_text("#focus-title") == name)
        words = page.inner_text("#focus-text")
        assert words.endswith("of 48 tiles, those with pictures")
        seen += int(words.split()[0])
    assert seen == 64
    page.locator("#grid").focus()
    for _ in range(12):  # over tiles with and without their field
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(60)
    assert page.errors == []
