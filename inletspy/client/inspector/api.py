"""The inspector's calls: what there is, one of them, its bodies, and what to do with it.

Owns paths, methods and queries. Whether a request may ask at all, the `Gate` says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from inletspy.answers import (
    Answer,
    InvalidRequest,
    Problem,
    error_of,
    query_value,
    read_object,
    send,
)
from inletspy.client.inspector import views
from inletspy.client.inspector.bodies import SAFE_IMAGES
from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.edits import request_again
from inletspy.client.inspector.events import Audience
from inletspy.client.inspector.gate import Gate
from inletspy.client.inspector.har import send_archive
from inletspy.client.inspector.pins import Pins
from inletspy.client.inspector.replay import Replays
from inletspy.client.inspector.search import MAX_LIMIT, Search, found
from inletspy.client.inspector.store import Store
from inletspy.client.inspector.tunnel import Tunnel

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = ["Calls"]

_log = Logger()

#: The query's fields that are read; each may be there once.
_QUERY: Final = (
    "limit",
    "before",
    "q",
    "method",
    "status",
    "path",
    "slower_than",
    "service",
    "kind",
    "state",
    "pinned",
    "reveal",
    "side",
    "request",
)
_ID: Final = "([0-9a-f]{6}-[0-9]{1,12})"

#: A call: what it is asked with, its id if the path has one, its query.
Run = Callable[["Request", str, dict[str, str]], Any]


class Calls(Resource):
    """All that stands under `/api/`.

    Args:
        reactor: for the time.
        gate: who may ask.
        store: what was captured.
        audience: who looks on.
        replays: sends requests again.
        pins: has some stay.
        tunnel: what is carried.
    """

    isLeaf = True

    def __init__(
        self,
        reactor: Any,
        gate: Gate,
        store: Store,
        audience: Audience,
        replays: Replays,
        pins: Pins,
        tunnel: Tunnel,
    ) -> None:
        super().__init__()
        self._reactor = reactor
        self._gate = gate
        self._store = store
        self._audience = audience
        self._replays = replays
        self._pins = pins
        self._tunnel = tunnel
        self._rewriting = tunnel.config.rewriting
        self._calls: list[tuple[str, re.Pattern[str], Run]] = []
        self._add("POST", "/api/session", self._sign_in)
        self._add("GET", "/api/requests", self._list)
        self._add("DELETE", "/api/requests", self._clear)
        self._add("GET", f"/api/requests/{_ID}", self._detail)
        self._add("GET", f"/api/requests/{_ID}/body", self._body)
        self._add("POST", f"/api/requests/{_ID}/replay", self._replay)
        self._add("POST", f"/api/requests/{_ID}/pin", self._pin)
        self._add("DELETE", f"/api/requests/{_ID}/pin", self._unpin)
        self._add("GET", f"/api/requests/{_ID}/har", self._har)
        self._add("GET", "/api/har", self._archive)
        self._add("GET", "/api/services", self._about)
        self._add("GET", "/api/events", self._events)

    def _add(self, method: str, path: str, run: Run) -> None:
        self._calls.append((method, re.compile(path), run))

    # -- how they are answered

    def render(self, request: Request) -> int:
        """Answer a request, now or later."""
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("X-Content-Type-Options", "nosniff")
        request.setHeader("Cross-Origin-Resource-Policy", "same-origin")
        try:
            answer = self._answer(request)
        except Exception:
            self._refuse(request, Failure())
            return NOT_DONE_YET
        if isinstance(answer, Coroutine):
            pending: Deferred[Any] = Deferred.fromCoroutine(answer)
            gone: list[Any] = []
            request.notifyFinish().addErrback(gone.append)
            pending.addCallbacks(
                lambda found: None if gone or found is NOT_DONE_YET else self._send(request, found),
                lambda failure: None if gone else self._refuse(request, failure),
            )
        elif answer is not NOT_DONE_YET:
            self._send(request, answer)
        return NOT_DONE_YET

    def _answer(self, request: Request) -> Any:
        path = request.path.decode("latin-1")
        method = request.method.decode("latin-1")
        there = [(m, match, run) for m, p, run in self._calls if (match := p.fullmatch(path))]
        if path != "/api/session":
            self._gate.check_caller(request)
        self._gate.check_origin(request)
        if not there:
            raise Problem(404, "Not found")
        for known, match, run in there:
            if method == known:
                return run(request, match[1] if match.groups() else "", _asked(request))
        allow = ", ".join(known for known, _, _ in there)
        raise Problem(405, "Method not allowed", headers={"Allow": allow})

    def _send(self, request: Request, given: Any) -> None:
        answer = given if isinstance(given, Answer) else Answer(given)
        request.setResponseCode(answer.status, HTTPStatus(answer.status).phrase.encode())
        for name, value in answer.headers.items():
            request.setHeader(name, value)
        send(request, {"success": True, "data": answer.body})

    def _refuse(self, request: Request, failure: Failure) -> None:
        problem = failure.value
        if not isinstance(problem, Problem):
            _log.failure("A call of the inspector failed", failure=failure)
            problem = Problem(500, "Internal error")
        request.setResponseCode(problem.status, HTTPStatus(problem.status).phrase.encode())
        for name, value in problem.headers.items():
            request.setHeader(name, value)
        send(request, {"success": False, **error_of(problem)})

    def _one(self, id: str) -> Captured:
        captured = self._store.find(id)
        if captured is None:
            raise Problem(404, "Not found", "There is no such request, or it is kept no more")
        return captured

    # -- the calls

    def _sign_in(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        token = read_object(request).get("token")
        if not isinstance(token, str):
            raise InvalidRequest("token is missing")
        return Answer({}, headers={"Set-Cookie": self._gate.admit(token)})

    def _replay(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        original = self._one(id)
        service = self._tunnel.offers.get(original.service.name)
        if service is None or service.proto != "http":
            text = f"The service {original.service.name} is not served by this tunnel"
            raise Problem(409, "Conflict", text)
        again = request_again(original, read_object(request))
        return Answer({"id": self._replays.send(service, again, original).id}, 201)

    def _pin(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        self._pins.pin(self._one(id))
        return {}

    def _unpin(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        self._pins.unpin(self._one(id))
        return {}

    def _har(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        send_archive(request, [self._one(id)], reveal=_reveal(asked))
        return NOT_DONE_YET

    async def _archive(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        search = Search.read({"limit": str(MAX_LIMIT), **asked})
        requests, _ = await found(self._reactor, self._store, search)
        if not request.finished and request.channel is not None:
            send_archive(request, reversed(requests), reveal=_reveal(asked))
        return NOT_DONE_YET

    async def _list(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        requests, more = await found(self._reactor, self._store, Search.read(asked))
        rows = [views.summary(one, self._rewriting) for one in requests]
        return {"requests": rows, "more": more}

    def _clear(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        self._store.clear()
        self._audience.cleared()
        return {}

    def _detail(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        return views.detail(self._one(id), self._rewriting, reveal=_reveal(asked))

    def _body(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        side = asked.get("side", "response")
        if side not in ("request", "response"):
            raise InvalidRequest("side is request or response")
        one = self._one(id)
        content = views.request_content(one) if side == "request" else views.answer_content(one)
        kind = content.media_type
        request.setHeader(
            "Content-Type", kind if kind in SAFE_IMAGES else "application/octet-stream"
        )
        # Whatever a visitor or the upstream has sent is never a page of this origin.
        request.setHeader("Content-Security-Policy", "default-src 'none'; sandbox")
        request.setHeader("Content-Disposition", f'attachment; filename="{id}-{side}.bin"')
        request.setHeader("Content-Length", str(len(content.content)))
        request.write(content.content)
        request.finish()
        return NOT_DONE_YET

    def _about(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        store = self._store
        return {
            "services": self._tunnel.services(),
            "body_limit": store.body_limit,
            "memory_limit": store.limit,
            "memory_used": store.used,
        }

    def _events(self, request: Request, id: str, asked: dict[str, str]) -> Any:
        captured = self._one(asked["request"]) if asked.get("request") else None
        self._audience.join(request, captured)
        return NOT_DONE_YET


def _asked(request: Request) -> dict[str, str]:
    """What the query says."""
    said = ((name, query_value(request, name)) for name in _QUERY)
    return {name: value for name, value in said if value is not None}


def _reveal(asked: dict[str, str]) -> bool:
    return asked.get("reveal", "") == "true"
