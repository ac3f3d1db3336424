"""Who may talk to the server: pages that it served itself, with the session's token, and nobody else.

The server listens on this computer alone, but any web page that is open in a browser here can send it
requests. Against that stand: the ``Host`` must be this server's (a stranger's name that is made to point to
127.0.0.1 is refused), ``Origin`` and ``Sec-Fetch-Site`` must be its own where a browser sends them, and all
data need the token, which stands in the part of the address behind ``#`` that browsers send to nobody. No
other page may hold this one in a frame, where it could be clicked unseen, unless `framed_by` names it.
"""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wootz.errors import WootzError

BODY_MAX = 32 << 20
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[\w.*\[\]:-]+")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware: refuses other hosts and origins, missing tokens and large bodies.

    Parameters
    ----------
    app : ASGI application
    hosts : iterable of str
        Allowed values of the ``Host`` header, such as "127.0.0.1:8080".
    token : str
        Needed, as ``Authorization: Bearer TOKEN``, below ``/api/``.
    framed_by : sequence of str
        Origins whose pages may show this one in a frame, such as "http://localhost:*" for notebooks.

    Raises
    ------
    WootzError
        If one of them is no origin.
    """

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str], token: str, framed_by: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._headers = _headers(framed_by)
        self._hosts = {host.lower() for host in hosts}
        self._origins = {f"http://{host}" for host in self._hosts}
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the explorer does not speak {scope['type']}")
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send, self._headers))
            return
        await self._app(scope, _limited(receive), _with_headers(send, self._headers))

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._hosts:
            return _refuse(403, "this server answers to its own address only.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            return _refuse(403, "requests from other pages are refused.")
        # the page itself may be opened from elsewhere, by a link or in a notebook's frame
        is_page = scope["method"] == "GET" and not scope["path"].startswith("/api/")
        if not is_page and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return _refuse(403, "requests from other pages are refused.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_MAX:
            return _refuse(413, f"a request may hold {BODY_MAX >> 20} MiB.")
        if scope["path"].startswith("/api/"):
            given = headers.get("authorization", "").removeprefix("Bearer ").encode()
            if not secrets.compare_digest(given, self._token):
                return _refuse(
                    403, "the session's token is missing; open the address that `wootz explore` printed."
                )
        return None


class TooLargeError(Exception):
    """A body that is longer than allowed, sent without saying so."""


def _limited(receive: Receive) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_MAX:
            raise TooLargeError
        return message

    return limited


def _headers(framed_by: Sequence[str]) -> dict[str, str]:
    """Give the headers of every answer."""
    for origin in framed_by:
        if not ORIGIN.fullmatch(origin):
            raise WootzError(f"{origin!r} is no origin; an origin looks like http://localhost:8888.")
    frames = {} if framed_by else {"x-frame-options": "DENY"}
    return HEADERS | frames | {"content-security-policy": POLICY + (" ".join(framed_by) or "'none'")}


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name for name, _ in message["headers"]}
            added = [(k.encode(), v.encode()) for k, v in headers.items() if k.encode() not in given]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sending


def _refuse(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status_code=status)
