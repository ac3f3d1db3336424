"""The web server: the page's files, its data, and one address that takes actions."""

import asyncio
import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from wootz.errors import WootzError
from wootz.explore.actions import ADOPT, KEY_MAX, NOTED_OPS, ActionError
from wootz.explore.adopting import PRECISION, adopt, offer
from wootz.explore.config import ExploreConfig
from wootz.explore.desk import Desk
from wootz.explore.formats import FORMATS, media_type
from wootz.explore.guard import Guard, TooLargeError
from wootz.explore.listcards import CARDS_MAX, draw_cards, list_card
from wootz.explore.parts import PARTS_MAX
from wootz.explore.points import listed_rows
from wootz.explore.snapshot import snapshot

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
CHANGES_WAIT_S = 20.0
CHANGES_EVERY_S = 0.3
FAILED_ON_DISK = 507


def build_app(desk: Desk, *, hosts: list[str], token: str, framed_by: Sequence[str] = ()) -> Guard:
    """Build the application.

    Parameters
    ----------
    desk : Desk
    hosts : list of str
        Values of the ``Host`` header that are answered.
    token : str
        The session's token.
    framed_by : sequence of str
        Origins whose pages may show the page in a frame.
    """
    pages = _page_files()

    async def page(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in pages:  # a table of known files: no path of the file system is ever asked for
            return JSONResponse({"error": "there is no such page."}, status_code=404)
        kind = TYPES["." + name.rpartition(".")[2]]
        return Response(pages[name], media_type=kind)

    routes = [Route("/", page), Route("/page/{name}", page), *_data_routes(desk), *_action_routes(desk)]
    return Guard(Starlette(routes=routes), hosts=hosts, token=token, framed_by=framed_by)


def _data_routes(desk: Desk) -> list[Route]:
    async def changes(request: Request) -> Response:
        """Wait until the log holds more than the page has seen, for 20 s at most."""
        after, waited = _number(request.query_params.get("after"), "after"), 0.0
        while (seq := await run_in_threadpool(desk.workspace.catch_up)) <= after and waited < CHANGES_WAIT_S:
            await asyncio.sleep(CHANGES_EVERY_S)
            waited += CHANGES_EVERY_S
            if await request.is_disconnected():
                break
        return JSONResponse({"seq": seq})

    def labels(suffix: str) -> Callable[[dict[str, str]], Response]:
        def answer(q: dict[str, str]) -> Response:
            content = FORMATS[suffix](desk.workspace, q.get("expert") or None)
            return Response(content, media_type=media_type(suffix))

        return answer

    def copy(q: dict[str, str]) -> bytes:
        return snapshot(desk, expert=q.get("expert", ""), n_bytes_max=int(ExploreConfig.page_mb * 1e6))[0]

    def context(q: dict[str, str]) -> bytes:
        factor = _number(q.get("factor", "5"), "factor", high=1000)
        return desk.context(_number(q.get("row"), "row"), factor=factor)

    answers: dict[str, Callable[[dict[str, str]], Any]] = {
        "session": lambda _: desk.session(),
        "points": lambda _: desk.points(),
        "column": lambda q: desk.column(q.get("name", "")),
        "state": lambda q: desk.state(_expert(q)),
        "cards": lambda q: desk.cards(_expert(q)),
        "parts": lambda q: desk.parts.of(
            _expert(q), q.get("group", ""), n_parts=_number(q.get("n"), "n", high=PARTS_MAX)
        ),
        "history": lambda q: desk.history(_expert(q), n=_number(q.get("n", "200"), "n", high=10_000)),
        "context": context,
        "agreement": lambda _: desk.agreement(),
        "find": lambda q: desk.find(q.get("text", "")[:500]),
        "head": lambda q: desk.trainer.head(_expert(q)),
        "audit": lambda q: desk.trainer.audit(_expert(q)),
        "again": lambda q: desk.second_look.of(_expert(q)),
        "labels.html": copy,
    } | {f"labels{suffix}": labels(suffix) for suffix in FORMATS}
    routes = [Route(f"/api/{name}", _get(answer)) for name, answer in answers.items()]
    return [*routes, Route("/api/changes", _guarded(changes))]


def _action_routes(desk: Desk) -> list[Route]:
    def act(q: dict[str, Any]) -> Any:
        if q.get("op") in (*NOTED_OPS, ADOPT):
            raise ActionError("the program notes that itself.")
        return desk.workspace.act(q | {"actor": _expert(q, key="actor")})

    def sprite(q: dict[str, Any]) -> Response:
        rows = q.get("rows")
        desk.workspace.ids_of(rows)
        side = _number(q.get("side"), "side")
        return Response(desk.pictures.sprite(list(rows or []), side_px=side), media_type="image/jpeg")

    answers: dict[str, Callable[[dict[str, Any]], Any]] = _head_answers(desk) | {
        "act": act,
        "sprite": sprite,
        "similar": lambda q: desk.similar(q.get("rows"), n=_number(q.get("n", 200), "n")),
        "propose": lambda q: desk.propose(
            _expert(q), str(q.get("class", "")), n=_number(q.get("n", 200), "n")
        ),
        "split": lambda q: desk.split(
            q.get("rows"), n_parts=_number(q.get("parts"), "parts"), seed=_number(q.get("seed", 0), "seed")
        ),
    }
    return [Route(f"/api/{name}", _post(answer), methods=["POST"]) for name, answer in answers.items()]


def _head_answers(desk: Desk) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """List what a person asks of the head that was trained."""
    trainer = desk.trainer

    def card(q: dict[str, Any]) -> Any:
        kind, word = str(q.get("kind", "random")), str(q.get("word", ""))
        seen = q.get("rows") or []
        return list_card(trainer, _expert(q), kind=kind, word=word, seen=seen, least=_share(q))

    return {
        "train": lambda q: trainer.train(_expert(q)),
        "ranked": lambda q: trainer.ranked(
            _expert(q), str(q.get("word", "")), n=_number(q.get("n", 300), "n"), least=_share(q)
        ),
        "card": card,
        "draw": lambda q: trainer.draw(
            _expert(q), n=_number(q.get("n", 50), "n", high=10_000), least=_share(q)
        ),
        "draw_cards": lambda q: draw_cards(
            trainer, _expert(q), n_cards=_number(q.get("n", 6), "n", high=CARDS_MAX), least=_share(q)
        ),
        "offer": lambda q: offer(trainer, _expert(q), precision=_share(q, "precision", PRECISION)),
        "adopt": lambda q: adopt(
            trainer, _expert(q, key="actor"), precision=_share(q, "precision", PRECISION), request=q
        ),
    }


def _get(answer: Callable[[dict[str, str]], Any]) -> Callable:
    async def endpoint(request: Request) -> Response:
        return _response(await run_in_threadpool(answer, dict(request.query_params)))

    return _guarded(endpoint)


def _post(answer: Callable[[dict[str, Any]], Any]) -> Callable:
    async def endpoint(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
            if isinstance(body, dict) and "rows" in body:
                body["rows"] = listed_rows(body["rows"])
            if isinstance(body, dict) and isinstance(body.get("parts"), list):
                body["parts"] = [listed_rows(part) for part in body["parts"]]
        except ValueError as error:
            raise ActionError(f"the request is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise ActionError("the request must be a JSON object.")
        return _response(await run_in_threadpool(answer, body))

    return _guarded(endpoint)


def _guarded(endpoint: Callable) -> Callable:
    """Turn errors that a person can act on into answers that the page shows."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except TooLargeError:
            return JSONResponse({"error": "the request is too large."}, status_code=413)
        except ActionError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except WootzError as error:
            return JSONResponse({"error": str(error)}, status_code=FAILED_ON_DISK)

    return guarded


def _response(value: Any) -> Response:
    match value:
        case Response():
            return value
        case bytes():
            return Response(value, media_type="application/octet-stream")
    return JSONResponse(value)


def _expert(q: dict[str, Any], *, key: str = "expert") -> str:
    name = q.get(key)
    if not isinstance(name, str) or not name.strip() or len(name) > KEY_MAX or not name.isprintable():
        raise ActionError("say who you are first: a name of 1 to 120 characters.")
    return name.strip()


def _number(value: Any, name: str, *, high: int = 2**31 - 1) -> int:
    """Read a whole number that is not negative."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 11:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= high:
        raise ActionError(f"{name} must be a whole number from 0 to {high}.")
    return value


def _share(q: dict[str, Any], name: str = "least", default: float = 0.0) -> float:
    """Read a share, such as the lowest confidence wanted."""
    value = q.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ActionError(f"{name} must be a number from 0 to 1.")
    return float(value)


def _page_files() -> dict[str, bytes]:
    folder = files("wootz.explore") / "page"
    return {
        item.name: item.read_bytes()
        for item in folder.iterdir()
        if "." + item.name.rpartition(".")[2] in TYPES
    }
