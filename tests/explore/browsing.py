"""What browser tests need: an archive, served as `wootz explore` does, and a person at a window."""

import json
import threading
import time

from wootz import oplog
from wootz.explore.desk import Desk
from wootz.explore.server import build_app
from wootz.explore.state import replay

EVIL = "<img src=x onerror=\"document.title='broken in'\">"


class Served:
    """The explorer of an archive in a thread of this process, as `wootz explore` starts it."""

    def __init__(self, archive):
        import uvicorn

        from wootz.explore.run_explore import listen

        from .conftest import open_workspace

        self.archive = archive
        self.workspace = open_workspace(archive)
        self.socket = listen(0)
        port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/#token=t0ken"
        app = build_app(Desk(self.workspace), hosts=[f"127.0.0.1:{port}"], token="t0ken")
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", lifespan="off"))
        self.server.config.timeout_graceful_shutdown = 1
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.should_exit = True
        self.thread.join(timeout=20)
        self.socket.close()

    def state(self):
        return replay(oplog.load(self.archive.path))


class Person:
    """One window. `outside` collects requests to other hosts, `errors` what the page's scripts threw."""

    def __init__(self, browser, served, name):
        self.served, self.name = served, name
        self.page = browser.new_context(viewport={"width": 1280, "height": 720}).new_page()
        self.errors, self.outside = [], []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda r: self.outside.append(r.url) if "//127.0.0.1:" not in r.url else None)
        self.page.set_default_timeout(20_000)

    def open(self):
        self.page.goto(self.served.url)
        self.page.fill("#who-name", self.name)
        self.page.click("#who button.main")
        self.ready()

    def ready(self):
        self.page.wait_for_selector("body[data-ready=true]")

    def does(self, work, n=1):
        """Do something that ends in `n` more records; they are on the disk before the page says so."""
        before = len(oplog.load(self.served.archive.path))
        work()
        end = time.monotonic() + 20
        while len(oplog.load(self.served.archive.path)) < before + n:
            assert time.monotonic() < end, self.page.inner_text("#toasts")
            self.page.wait_for_timeout(30)
        seq = before + n
        self.until(f"import('/page/store.js').then(m => m.app.seq >= {seq})")
        self.page.wait_for_timeout(100)

    def until(self, script):
        """Wait until a script is true; Playwright's own waiting needs eval, which the page forbids."""
        end = time.monotonic() + 20
        while not self.page.evaluate(script):
            assert time.monotonic() < end, script
            self.page.wait_for_timeout(30)

    def name_tiles(self, text):
        self.page.fill("#name", text)
        self.does(lambda: self.page.press("#name", "Enter"))

    def lasso(self, corners):
        box = self.page.locator("#map").bounding_box()
        points = [(box["x"] + c * box["width"], box["y"] + r * box["height"]) for c, r in corners]
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in [*points[1:], points[0]]:
            self.page.mouse.move(*point, steps=4)
        self.page.mouse.up()
        self.sees("Inside the lasso")

    def sees(self, title):
        """Wait until the middle of the page has a title that starts so."""
        start = json.dumps(title)
        self.until(f"document.getElementById('focus-title').textContent.startsWith({start})")
