"""``wootz explore``: open an archive, start the server on this computer, open the page."""

import contextlib
import secrets
import socket
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wootz.errors import WootzError
from wootz.explore.clusters import load_clusters
from wootz.explore.config import ExploreConfig
from wootz.explore.desk import Desk
from wootz.explore.export import labels_frame, store_labels
from wootz.explore.formats import save_labels
from wootz.explore.snapshot import Snapshot, save_snapshot
from wootz.explore.workspace import Workspace
from wootz.progress import say

ADDRESS = "127.0.0.1"
TILES_MAX = 20_000_000
PAGES = (".html", ".htm")


@dataclass(frozen=True)
class Explored:
    """What a session left behind."""

    archive: Path
    n_records: int
    n_labelled: int
    columns: tuple[str, ...]

    def summary(self) -> str:
        """Say how much is labelled, and where the labels are."""
        text = f"{self.archive}: {self.n_labelled} tiles carry a verdict; {self.n_records} log records"
        return text + (f"; tile columns {', '.join(self.columns)}" if self.columns else "")


@dataclass(frozen=True)
class Exported:
    """A file of labels."""

    path: Path
    n_labelled: int

    def summary(self) -> str:
        """Say what was written."""
        return f"wrote {self.path} (the archive has verdicts on {self.n_labelled} tiles)"


def explore(archive: Any, cfg: ExploreConfig) -> Explored | Exported | Snapshot:
    """Serve the explorer until it is interrupted (Ctrl+C), or write labels or a copy of the page into a file.

    Parameters
    ----------
    archive : Archive
    cfg : ExploreConfig

    Raises
    ------
    WootzError
        If the archive holds no tiles, an option names what is not there, the port is taken, or the file to
        write is there already.
    """
    desk = open_desk(archive, cfg)
    if Path(cfg.export).suffix.lower() in PAGES:
        return save_snapshot(desk, Path(cfg.export), expert=cfg.expert.strip(), page_mb=cfg.page_mb)
    if cfg.export:
        path = save_labels(desk.workspace, Path(cfg.export), expert=cfg.expert.strip())
        return Exported(path, labels_frame(desk.workspace)["tile_id"].nunique())
    desk.pictures.warm_up()
    with listen(cfg.port) as listener:
        server, url = make_server(desk, listener)
        for hint in desk.workspace.clusters.hints:
            say(f"explore: {hint}")
        say(f"explore: {url}\nexplore: every action is on the disk at once; Ctrl+C ends the session")
        if cfg.browser:
            threading.Timer(0.5, webbrowser.open, [url]).start()
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    return finished(desk)


def make_server(desk: Desk, listener: socket.socket, *, framed_by: Sequence[str] = ()) -> tuple[Any, str]:
    """Build the uvicorn server of a session, and the address that opens its page."""
    import uvicorn

    from wootz.explore.server import build_app

    port = listener.getsockname()[1]
    token = secrets.token_urlsafe(24)
    hosts = [f"{name}:{port}" for name in (ADDRESS, "localhost")]
    app = build_app(desk, hosts=hosts, token=token, framed_by=framed_by)
    settings = {"log_level": "warning", "access_log": False, "ws": "none", "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=1, **settings))
    return server, f"http://{ADDRESS}:{port}/#token={token}"


def finished(desk: Desk) -> Explored:
    """Write the labels into the tiles table, and say what the session left behind."""
    columns = store_labels(desk.workspace)
    state = desk.workspace.state
    labelled = {tile for name in state.experts for tile in state.verdicts(name)}
    return Explored(desk.workspace.archive.path, state.seq, len(labelled), tuple(columns))


def open_desk(archive: Any, cfg: ExploreConfig) -> Desk:
    """Read what the page will ask for; a half-written action of a killed process is set aside.

    Raises
    ------
    WootzError
        See `explore`.
    """
    tiles = archive.tiles() if len(archive.tile_table) else None
    if tiles is None or not len(tiles):
        raise WootzError(
            f"{archive.path} holds no tiles to look at; ingest images: `wootz ingest {archive.path} FOLDER`."
        )
    if len(tiles) > TILES_MAX:
        raise WootzError(
            f"{archive.path} has {len(tiles):,} tiles, more than a page can hold ({TILES_MAX:,}; ten million "
            "take 8 GiB of memory). Ingest a part of the images, or with a larger "
            "stride_px, into an archive of its own, name its tiles, and let `wootz predict` name the rest."
        )
    workspace = Workspace(tiles, load_clusters(tiles, cfg))
    workspace.set_torn_line_aside()
    return Desk(workspace, expert=cfg.expert.strip())


def listen(port: int) -> socket.socket:
    """Take a port of this computer, reachable from nowhere else; 0 is any free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen(128)  # who is faster than the server's start waits, and is not refused
    except OSError as error:
        listener.close()
        raise WootzError(
            f"port {port} cannot be used ({error.strerror}); port=0 takes a free one."
        ) from error
    return listener
