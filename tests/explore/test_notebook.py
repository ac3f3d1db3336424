"""The explorer in a notebook: in a thread, in a frame of pages that may hold it, gone with the kernel."""

import functools
import http.server
import re
import socket
import threading

import httpx
import numpy as np
import pytest

from wootz.archive import Archive
from wootz.errors import WootzError
from wootz.explore import show
from wootz.explore.config import ExploreConfig
from wootz.explore.desk import Desk
from wootz.explore.guard import Guard
from wootz.explore.notebook import LOCAL

from .conftest import make_archive


@pytest.fixture
def view(archive):
    view = show(archive, ExploreConfig(expert="Ana"))
    yield view
    view.close()


def split(url):
    address, token = url.split("#token=")
    return address, {"Authorization": f"Bearer {token}"}


def test_it_answers_until_it_is_closed_and_leaves_the_labels(view, archive):
    address, token = split(view.url)
    frame = view._repr_html_()
    assert f'src="{view.url}"' in frame
    assert "width: 100%; height: 720px" in frame
    assert httpx.get(address + "api/session", headers=token).json()["expert"] == "Ana"
    assert httpx.get(address + "api/session").status_code == 403
    said = {"op": "name", "actor": "Ana", "class": "pore", "rows": [4, 5]}
    assert httpx.post(address + "api/act", json=said, headers=token).status_code == 200
    assert view.labels()["class"].tolist() == ["pore", "pore"]
    done = view.close()
    assert done.columns == ("label_Ana",)
    assert (Archive(archive.path).tile_table["label_Ana"] == "pore").sum() == 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, timeout=5)
    assert "iframe" not in view._repr_html_()
    assert view.close() is done


def test_nobody_may_frame_the_page_unless_it_is_said(view, workspace):
    from starlette.testclient import TestClient

    from wootz.explore.server import build_app

    given = httpx.get(split(view.url)[0]).headers
    assert f"frame-ancestors {' '.join(LOCAL)}" in given["content-security-policy"]
    assert "x-frame-options" not in given
    app = build_app(Desk(workspace), hosts=["127.0.0.1:1"], token="t")
    given = TestClient(app, base_url="http://127.0.0.1:1").get("/").headers
    assert given["content-security-policy"].endswith("frame-ancestors 'none'")
    assert given["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "origin", ["*", "localhost", "http://a; script-src *", "http://a b", "http:", "'self'"]
)
def test_what_is_no_origin_is_refused(origin, archive):
    with pytest.raises(WootzError, match="no origin"):
        Guard(lambda *_: None, hosts=[], token="t", framed_by=[origin])  # type: ignore[arg-type]
    with pytest.raises(WootzError, match="no origin"):
        show(archive.path, framed_by=[origin])


def test_an_archive_without_tiles_or_a_taken_port_is_said(tmp_path, view):
    with pytest.raises(WootzError, match="no tiles"):
        show(Archive.create(tmp_path / "empty"))
    port = int(re.search(r":(\d+)/", view.url).group(1))  # type: ignore[union-attr]
    with pytest.raises(WootzError, match="port=0"):
        show(view._desk.workspace.archive, ExploreConfig(port=port))


@pytest.fixture
def notebook(tmp_path):
    """Serve a folder as a notebook's server would, on a port of its own: (folder, port)."""
    folder = tmp_path / "notebook"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None  # type: ignore[method-assign]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.mark.browser
@pytest.mark.slow
def test_a_notebook_of_this_computer_holds_the_page_and_nobody_else(view, notebook, chromium):
    from playwright.sync_api import sync_playwright

    folder, port = notebook
    (folder / "n.html").write_text(f"<!doctype html><title>notebook</title>{view._repr_html_()}")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for host in ("localhost", "127.0.0.1"):  # another site than the explorer's, and another origin
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            page.goto(f"http://{host}:{port}/n.html")
            inside = page.frame_locator("iframe")
            inside.locator("body[data-ready=true]").wait_for(timeout=20_000)
            assert inside.locator("#expert").inner_text() == "Ana"
            inside.locator("#name").fill(host)
            inside.locator("#name").press("Enter")
            inside.locator(f'.class:has-text("{host}")').wait_for(timeout=20_000)
        assert "127.0.0.1" in set(view.labels()["class"])

        page = browser.new_context().new_page()
        refused = []
        page.on("console", lambda m: refused.append(m.text))
        page.goto(f"http://evil.localhost:{port}/n.html")
        page.wait_for_timeout(1000)
        assert any("frame-ancestors" in text for text in refused)
        assert page.frames[1].locator("#archive").count() == 0
        # a page that may hold the explorer may still ask it nothing
        page.goto(f"http://localhost:{port}/n.html")
        address, token = split(view.url)
        asked = "([a, t]) => fetch(a + 'api/session', {headers: t}).then(r => r.status, () => 'refused')"
        assert page.evaluate(asked, [address, token]) == "refused"
        browser.close()


@pytest.mark.slow
def test_a_kernel_shows_it_and_takes_it_along_when_it_ends(tmp_path):
    import nbformat
    from nbclient import NotebookClient

    archive = make_archive(tmp_path / "a")
    code = f"""
from wootz.explore import show
view = show({str(archive.path)!r})
view._desk.workspace.act({{"actor": "Ana", "op": "name", "class": "pore", "rows": [1, 2, 3]}})
view
"""
    cell = nbformat.v4.new_code_cell(code)
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), timeout=120, kernel_name="python3").execute()
    html = cell["outputs"][-1]["data"]["text/html"]
    port = int(re.search(r'<iframe src="http://127.0.0.1:(\d+)/#token=', html).group(1))  # type: ignore[union-attr]
    with socket.socket() as probe:  # the kernel has ended by now
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert np.sum(Archive(archive.path).tile_table["label_Ana"] == "pore") == 3
