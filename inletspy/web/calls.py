"""Calls: each is one value, from which the tree, the checks and the document are made.

Owns what is the same for all of them: methods, OPTIONS and CORS preflights, tokens, the
reading and checking of paths, queries and bodies, what errors are answered with, and
answers that take time. Knows nothing of what a call does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
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
from inletspy.errors import Conflict, DatabaseUnavailable, NotThere, UsageError
from inletspy.web.schemas import Schema, check

if TYPE_CHECKING:
    from twisted.web.server import Request

    from inletspy.web.access import Access, Caller

__all__ = ["ANSWER_SECONDS", "Asked", "Call", "Ongoing", "tree"]

_log = Logger()

#: How long a call may take until its answer is that it took too long.
ANSWER_SECONDS: Final = 15.0
#: How long a browser may remember the answer to a preflight, in seconds.
_PREFLIGHT_SECONDS: Final = 600
#: Calls that take time which one owner may have under way: they stand in one line at the
#: database, before what takes tokens away.
_MAX_UNDER_WAY: Final = 16
#: When to ask again for what the database has to do with.
_RETRY_SECONDS: Final = 5

_STRAY_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class Asked:
    """A request that has passed all checks of its call.

    Attributes:
        request: itself.
        parameters: what the path and the query say.
        body: the JSON object that came with it; empty where the call takes none.
        known: whose it is; None where the call asks for no token.
    """

    request: Request
    parameters: Mapping[str, str]
    body: Mapping[str, Any]
    known: Caller | None = field(repr=False)

    @property
    def caller(self) -> Caller:
        """Whose it is, in a call that asks for a token."""
        assert self.known is not None
        return self.known


@dataclass(frozen=True)
class Call:
    """One method of one path.

    Attributes:
        method: the HTTP method; HEAD goes with GET.
        path: with `{parameters}` for whole segments.
        run: what it does. Gives what is to be encoded, or an `Answer`, at once or by and
            by; raises `Problem`, or what the store raises.
        summary: that in a line, for the document.
        answer: what it gives; under `/api` what is in `data`.
        scopes: what the token must be good for, all of them.
        or_admin: whether the scope `admin` does as well.
        token: `needed`, `optional` (`run` sees to it), or `none`.
        by_cookie: whether who is signed in needs to send no token.
        body: what the body must be; None where there is none.
        any_type: whether the body's media type does not matter.
        query: names and meanings of what may be in the query.
        status: what a success is answered with.
        errors: further statuses, and when.
        failure: what errors look like, where that is not as everywhere.
        bare: whether the answer stands for itself even under `/api`.
        media_type: what a success is; one that is no JSON is given as text, or goes on.
    """

    method: str
    path: str
    run: Callable[[Asked], Any]
    summary: str
    answer: Schema
    scopes: tuple[str, ...] = ()
    or_admin: bool = False
    token: str = "needed"
    by_cookie: bool = True
    body: Schema | None = None
    any_type: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    errors: Mapping[int, str] = field(default_factory=dict)
    failure: Schema | None = None
    bare: bool = False
    media_type: str = "application/json"

    @property
    def segments(self) -> list[str]:
        """The path, cut at its slashes."""
        return self.path.split("/")[1:]

    @property
    def enveloped(self) -> bool:
        """Whether answers say if they are a success, with what there is in `data`."""
        return self.path.startswith("/api/") and not self.bare


class Ongoing:
    """An answer that goes on: what is sent when, it sees to itself."""

    def begin(self, request: Request) -> None:
        """Answer the request."""
        raise NotImplementedError


def tree(calls: Iterable[Call], access: Access, clock: IReactorTime) -> Resource:
    """The resources that answer these calls, and nothing else."""
    root = _Branch(access, clock, Counter())
    for call in calls:
        branch = root
        for segment in call.segments:
            branch = branch.grown(segment)
        branch.calls[call.method.encode("ascii")] = call
        if call.method == "GET":
            branch.calls[b"HEAD"] = call
    return root


class _Branch(Resource):
    """One place in the tree, with the calls that there are at it, if any."""

    def __init__(self, access: Access, clock: IReactorTime, under_way: Counter[str | None]) -> None:
        super().__init__()
        self.calls: dict[bytes, Call] = {}
        self._access = access
        self._clock = clock
        #: Calls that take time and are not done yet, by owner; None for admins and strangers.
        self._under_way = under_way
        #: What follows where the next segment is a parameter.
        self._any: _Branch | None = None

    def grown(self, segment: str) -> _Branch:
        """The branch at a segment of a call's path, which is made if it is not there."""
        if segment.startswith("{"):
            if self._any is None:
                self._any = self._another()
            return self._any
        name = segment.encode("ascii")
        if name not in self.children:
            self.putChild(name, self._another())
        branch = self.children[name]
        assert isinstance(branch, _Branch)
        return branch

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Where a parameter leads; whatever is not in the tree is not found."""
        if path and self._any is not None:
            return self._any
        return self._another()

    def _another(self) -> _Branch:
        return _Branch(self._access, self._clock, self._under_way)

    def render(self, request: Request) -> int:
        """Answer the request, now or later."""
        call = next(iter(self.calls.values()), None)
        enveloped = call is not None and call.enveloped
        try:
            answer = self._answer(request)
        except Exception:
            _refuse(request, _problem(Failure()), enveloped)
        else:
            if isinstance(answer, Coroutine):
                _Pending(request, answer, enveloped, self._clock)
            elif isinstance(answer, Ongoing):
                answer.begin(request)
            else:
                _send(request, answer)
        return NOT_DONE_YET

    def _answer(self, request: Request) -> Any:
        if not self.calls:
            raise Problem(404, "Not found")
        allow = b", ".join([*self.calls, b"OPTIONS"]).decode("ascii")
        if request.method == b"OPTIONS":
            headers = {"Allow": allow}
            if request.requestHeaders.hasHeader("Access-Control-Request-Method"):
                headers["Access-Control-Allow-Methods"] = allow
                headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
                headers["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
            return Answer(None, 204, headers)
        call = self.calls.get(request.method)
        if call is None:
            raise Problem(405, "Method not allowed", headers={"Allow": allow})
        caller = None
        if call.token == "needed":
            caller = self._access.caller(
                request, *call.scopes, or_admin=call.or_admin, signed_in=call.by_cookie
            )
        asked = Asked(request, _parameters(call, request), _body(call, request), caller)
        who = caller.owner.name if caller is not None and not caller.sees_all else None
        if who is not None and self._under_way[who] >= _MAX_UNDER_WAY:
            detail = f"{_MAX_UNDER_WAY} calls of yours are still under way"
            raise Problem(429, "Too many calls", detail, {"Retry-After": "1"})
        answer = call.run(asked)
        if isinstance(answer, Ongoing):
            return answer
        if isinstance(answer, Awaitable):
            return self._finished_later(call, answer, who)
        return _finished(call, answer)

    async def _finished_later(self, call: Call, answer: Awaitable[Any], who: str | None) -> Answer:
        self._under_way[who] += 1
        try:
            return _finished(call, await answer)
        finally:
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]


def _parameters(call: Call, request: Request) -> dict[str, str]:
    """What path and query say, with no leniency."""
    found = {}
    for name, segment in zip(call.segments, request.path[1:].split(b"/"), strict=True):
        if name.startswith("{"):
            found[name.strip("{}")] = _percent_decoded(segment)
    for name in call.query:
        value = query_value(request, name)
        if value is not None:
            if "\0" in value:  # which the database has in no text
                raise InvalidRequest(f"{name} has a NUL in it")
            found[name] = value
    return found


def _percent_decoded(segment: bytes) -> str:
    """The text that a path's segment stands for (RFC 3986, 2.1)."""
    if _STRAY_PERCENT.search(segment):
        raise InvalidRequest("The path has a % without two hexadecimal digits after it")
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The path is not UTF-8") from None


def _body(call: Call, request: Request) -> dict[str, Any]:
    if call.body is None:
        return {}
    kinds = request.requestHeaders.getRawHeaders(b"Content-Type", [])
    if not call.any_type and any(_media_type(kind) != b"application/json" for kind in kinds):
        raise Problem(415, "Unsupported media type", "Send the body as application/json")
    body = read_object(request)
    check(call.body, body)
    return body


def _media_type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()


def _finished(call: Call, given: Any) -> Answer:
    """What a call gave, as it is sent."""
    answer = given if isinstance(given, Answer) else Answer(given, call.status)
    if call.media_type != "application/json":
        fields = {**answer.headers, "Content-Type": call.media_type}
        return Answer(answer.body.encode("utf-8"), answer.status, fields)
    if not call.enveloped:
        return answer
    return Answer({"success": True, "data": answer.body}, answer.status, answer.headers)


class _Pending:
    """An answer that takes time.

    The call goes on to its end, whatever becomes of the request: half of a change would
    be worse than one that nobody hears of.
    """

    def __init__(
        self,
        request: Request,
        answer: Coroutine[Any, Any, Answer],
        enveloped: bool,
        clock: IReactorTime,
    ) -> None:
        self._request = request
        self._enveloped = enveloped
        #: Whether the client has its answer, or does not wait for it any more.
        self._over = False
        self._limit = clock.callLater(ANSWER_SECONDS, self._late)
        request.notifyFinish().addErrback(self._gone)
        Deferred.fromCoroutine(answer).addCallbacks(self._answered, self._failed)

    def _answered(self, answer: Answer) -> None:
        if self._begin():
            _send(self._request, answer)

    def _failed(self, failure: Failure) -> None:
        problem = _problem(failure)  # also for the log, if it is a fault of ours
        if self._begin():
            _refuse(self._request, problem, self._enveloped)

    def _late(self) -> None:
        if self._begin():
            detail = "It took too long, and may still be done: look before you try again"
            _refuse(self._request, Problem(503, "Timeout", detail), self._enveloped)

    def _gone(self, _: Failure) -> None:
        self._begin()

    def _begin(self) -> bool:
        """Whether there is still somebody to answer; they get this one answer only."""
        was_over, self._over = self._over, True
        if self._limit.active():
            self._limit.cancel()
        return not was_over


def _problem(failure: Failure) -> Problem:
    """What a client is told of a failure."""
    error = failure.value
    match error:
        case Problem():
            return error
        case NotThere():
            return Problem(404, "Not found", "There is none, or it is not yours")
        case Conflict():
            return Problem(409, "Conflict", str(error))
        case UsageError():
            return InvalidRequest(str(error))
        case DatabaseUnavailable():
            headers = {"Retry-After": str(_RETRY_SECONDS)}
            return Problem(503, "Database unavailable", "Try again later", headers)
    _log.failure("A call of the status port failed", failure=failure)
    return Problem(500, "Internal error")


def _refuse(request: Request, problem: Problem, enveloped: bool) -> None:
    body = {"success": False, **error_of(problem)} if enveloped else error_of(problem)
    _send(request, Answer(body, problem.status, problem.headers))


def _send(request: Request, answer: Answer) -> None:
    # Not every version of twisted.web has a phrase for each.
    request.setResponseCode(answer.status, HTTPStatus(answer.status).phrase.encode())
    for name, value in answer.headers.items():
        request.setHeader(name, value)
    if answer.status == 204:
        request.finish()
    elif isinstance(answer.body, bytes):
        request.setHeader("Content-Length", str(len(answer.body)))
        request.write(answer.body)
        request.finish()
    else:
        send(request, answer.body)
