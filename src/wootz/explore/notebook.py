"""The explorer in a notebook: its server in a thread of the kernel, its page in a frame below the cell."""

import atexit
import threading
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from wootz.archive import Archive, open_archive
from wootz.errors import WootzError
from wootz.explore.config import ExploreConfig
from wootz.explore.export import labels_frame
from wootz.explore.run_explore import Explored, finished, listen, make_server, open_desk

LOCAL = ("http://localhost:*", "http://127.0.0.1:*")
START_S = 20.0
STOP_S = 10.0


class Shown:
    """An explorer that runs beside a notebook; the last expression of a cell shows it.

    Made by `show`. It ends with `close` or with the kernel; every action is on the disk at once.

    Parameters
    ----------
    archive : Archive
    cfg : ExploreConfig
    frame : tuple of (str, int)
        Width (CSS) and height (px) of the frame.
    framed_by : sequence of str
        Origins of the notebooks that may hold it.
    """

    def __init__(
        self, archive: Archive, cfg: ExploreConfig, *, frame: tuple[str, int], framed_by: Sequence[str]
    ) -> None:
        self._desk = open_desk(archive, cfg)
        self._name, self._frame = archive.path.name, frame
        self._ended: Explored | None = None
        self._lock = threading.Lock()
        self._listener = listen(cfg.port)
        try:
            self._server, self.url = make_server(self._desk, self._listener, framed_by=framed_by)
        except WootzError:
            self._listener.close()
            raise
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="wootz explore", daemon=True
        )
        self._thread.start()
        end = time.monotonic() + START_S
        while not self._server.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        if not self._server.started:
            raise WootzError(f"the explorer's server did not start within {START_S:g} s; try again.")
        atexit.register(self.close)

    def labels(self, expert: str | None = None) -> pd.DataFrame:
        """List the verdicts in effect now, as `wootz.explore.export.labels_frame` does."""
        return labels_frame(self._desk.workspace, expert=expert)

    def close(self) -> Explored:
        """End the session: the labels go into the tiles table. A second call does nothing more."""
        with self._lock:
            if self._ended is None:
                self._server.should_exit = True
                self._thread.join(STOP_S)
                self._listener.close()
                self._ended = finished(self._desk)
                atexit.unregister(self.close)
            return self._ended

    def __repr__(self) -> str:
        """Say where the page is."""
        return f"Shown({self._name!r}, {'closed' if self._ended else self.url})"

    def _repr_html_(self) -> str:
        if self._ended is not None:
            return f"<p>{escape(self._ended.summary())}</p>"
        (width, height), url = self._frame, escape(self.url)
        return (
            f'<iframe src="{url}" title="wootz explorer of {escape(self._name)}" '
            f'style="width: {escape(width)}; height: {height}px; border: 1px solid #ccc"></iframe>'
            f'<p><a href="{url}" target="_blank" rel="noopener noreferrer">Open in a window of its own</a> '
            "(on the computer of the kernel)</p>"
        )


def show(
    archive: Archive | str | Path,
    cfg: ExploreConfig | None = None,
    *,
    width: str = "100%",
    height: int = 720,
    framed_by: Sequence[str] = LOCAL,
) -> Shown:
    """Show the explorer of an archive below a notebook's cell.

    Parameters
    ----------
    archive : Archive or path
    cfg : ExploreConfig, optional
        As for `explore`; ``export`` and ``browser`` do not matter.
    width : str
        Of the frame, as CSS has it: "100%", "1100px".
    height : int
        In px.
    framed_by : sequence of str
        Origins of pages that may hold the explorer in a frame; by default those of this computer, as
        Jupyter's are. What they hold they cannot read, but a page that shows it could make people click.

    Returns
    -------
    Shown
        Draws itself in a notebook; ``labels()`` gives the labels so far, ``close()`` ends the session.

    Raises
    ------
    WootzError
        As `explore`, and where `framed_by` holds something else than origins.

    Notes
    -----
    The server answers only on the computer of the kernel. With the kernel elsewhere, start it with
    ``ExploreConfig(port=8123)``, forward the port (``ssh -L 8123:127.0.0.1:8123``), and open ``url``.

    Examples
    --------
    >>> from wootz.explore import show
    >>> view = show("study")                                             # doctest: +SKIP
    >>> view.labels()                                                    # doctest: +SKIP
    """
    opened = archive if isinstance(archive, Archive) else open_archive(archive)
    return Shown(opened, cfg or ExploreConfig(), frame=(width, height), framed_by=framed_by)
