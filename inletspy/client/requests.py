"""What passes through a tunnel, seen as requests and answers while a person is watching.

A `RequestFollower` reads along a stream's bytes and never changes, delays or refuses
them: whatever it can't make sense of, it stops looking at, and the stream goes on. Its
memory is bounded by one head a direction and the requests still without an answer. It
knows nothing of how an exchange is shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from inletspy.errors import HeadError
from inletspy.wire.bodies import Body, body_for
from inletspy.wire.http1 import (
    MAX_HEAD,
    SIZED,
    RequestHead,
    ResponseHead,
    parse_request,
    parse_response,
)

__all__ = ["Exchange", "RequestFollower"]

#: Requests in one stream without an answer, past which following it is given up.
MAX_WAITING: Final = 256
#: How much of a refusing answer is kept, to recognise who refuses and why.
MAX_EXCERPT: Final = 4096

#: What dev servers answer a host with that they don't know: most say 403, Django 400,
#: MCP servers 421.
_REFUSALS: Final = frozenset((400, 403, 421))
#: Older webpack dev servers refuse with status 200 and this text.
_REFUSAL_LENGTH: Final = len(b"Invalid Host header")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with what was answered to it.

    Attributes:
        method: as sent.
        target: as sent.
        host: the name that the upstream was asked by, without port, lower case.
        visitor: the visitor's address, as far as it is known.
        status: the answer's status; None if none came.
        seconds: from the request's head to the end of the answer; for an upgrade, to
            the answer's head.
        size: bytes of the answer's body, as sent.
        upgraded: whether the connection went on in another protocol.
        excerpt: the beginning of the body, where the answer may be a dev server's
            refusal of the host; else empty.
    """

    method: bytes
    target: bytes
    host: bytes
    visitor: str
    status: int | None
    seconds: float
    size: int = 0
    upgraded: bool = False
    excerpt: bytes = b""


class RequestFollower:
    """Follows the HTTP/1.1 exchanges in one stream; a `StreamTap`.

    Args:
        clock: tells the time in seconds.
        visitor: the address that the stream was opened for.
        report: is called with each exchange when it is over, in the order of requests.
        ended: is called once, when the stream has.
    """

    __slots__ = (
        "_body",
        "_clock",
        "_ended",
        "_excerpt",
        "_head",
        "_keeps_excerpt",
        "_lost",
        "_report",
        "_response",
        "_response_body",
        "_response_head",
        "_size",
        "_visitor",
        "_waiting",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        visitor: str,
        report: Callable[[Exchange], None],
        ended: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._visitor = visitor
        self._report = report
        self._ended = ended
        #: Whether nothing in the stream is looked at any more.
        self._lost = False
        #: Requests without a complete answer, each with its time.
        self._waiting: deque[tuple[RequestHead, float]] = deque()
        #: The beginning of a request's head, and the body that is passing.
        self._head = b""
        self._body: Body | None = None
        #: The same for the answers.
        self._response_head = b""
        self._response: ResponseHead | None = None
        self._response_body: Body | None = None
        self._size = 0
        self._excerpt = b""
        self._keeps_excerpt = False

    def from_visitor(self, data: bytes) -> None:
        """See requests pass."""
        if self._lost:
            return
        try:
            self._read_requests(data)
        except HeadError:
            self._give_up()

    def from_upstream(self, data: bytes) -> None:
        """See answers pass."""
        if self._lost:
            return
        try:
            self._read_responses(data)
        except HeadError:
            self._give_up()

    def closed(self) -> None:
        """Report what the end of the stream completes or cuts off."""
        while self._waiting and not self._lost:
            self._finish()
        self._give_up()
        self._ended()

    def _give_up(self) -> None:
        self._lost = True
        self._waiting.clear()
        self._head = self._response_head = self._excerpt = b""
        self._body = self._response = self._response_body = None

    def _read_requests(self, data: bytes) -> None:
        while data:
            if self._body is not None:
                data = data[self._body.feed(data) :]
                if self._body.finished:
                    self._body = None
                continue
            if self._waiting and self._waiting[-1][0].upgrade:
                # Whether this is HTTP at all, only the answer will tell.
                raise HeadError("bytes before the answer to an upgrade")
            head, data = _cut_head(self._head + data)
            if not head:
                self._head = data
                return
            self._head = b""
            request = parse_request(head)
            if len(self._waiting) == MAX_WAITING:
                raise HeadError("too many requests without an answer")
            self._waiting.append((request, self._clock()))
            self._body = body_for(request.framing, request.length)

    def _read_responses(self, data: bytes) -> None:
        while data and not self._lost:
            if self._response_body is not None:
                data = self._feed_response(self._response_body, data)
                continue
            if not self._waiting:
                raise HeadError("an answer without a request")
            head, data = _cut_head(self._response_head + data)
            if not head:
                self._response_head = data
                return
            self._response_head = b""
            self._begin_response(parse_response(head, self._waiting[0][0].method))

    def _begin_response(self, response: ResponseHead) -> None:
        if response.informational:
            return
        self._response = response
        self._response_body = body_for(response.framing, response.length)
        self._keeps_excerpt = response.status in _REFUSALS or (
            response.framing == SIZED and response.length == _REFUSAL_LENGTH
        )
        if self._response_body is None:
            self._finish()

    def _feed_response(self, body: Body, data: bytes) -> bytes:
        """Take what belongs to the present answer's body; returns the rest."""
        if self._keeps_excerpt:
            pieces: list[bytes] = []
            taken = body.feed(data, pieces)
            self._excerpt = (self._excerpt + b"".join(pieces))[:MAX_EXCERPT]
            self._keeps_excerpt = len(self._excerpt) < MAX_EXCERPT
        else:
            taken = body.feed(data)
        self._size += taken
        if body.finished:
            self._finish()
        return data[taken:]

    def _finish(self) -> None:
        """Report the first of the waiting requests, with what there is of its answer."""
        request, started = self._waiting.popleft()
        response = self._response
        upgraded = response is not None and response.status == 101
        exchange = Exchange(
            method=request.method,
            target=request.target,
            host=request.host,
            visitor=_first_forwarded(request) or self._visitor,
            status=response.status if response is not None else None,
            seconds=self._clock() - started,
            size=self._size,
            upgraded=upgraded,
            # Some refuse an upgrade with a text that has no head before it.
            excerpt=self._excerpt if response is not None else self._response_head[:MAX_EXCERPT],
        )
        self._response = self._response_body = None
        self._response_head = self._excerpt = b""
        self._size = 0
        if upgraded:
            self._give_up()
        self._report(exchange)


def _cut_head(data: bytes) -> tuple[bytes, bytes]:
    """A complete head and what follows it; an empty one and all, if it is not complete."""
    end = data.find(b"\r\n\r\n") + 4
    if end >= 4:
        return data[:end], data[end:]
    if len(data) > MAX_HEAD:
        raise HeadError("the head is too long", 431)
    return b"", data


def _first_forwarded(request: RequestHead) -> str:
    """Who asked, as the edge tells it: streams are used for one visitor after another."""
    for line in request.forwarding_fields:
        name, _, value = line.partition(b":")
        if name.lower() == b"x-forwarded-for":
            return value.partition(b",")[0].strip().decode("latin-1")
    return ""
