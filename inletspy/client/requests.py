"""What passes through a tunnel, seen as requests and answers while a person is watching.

A `RequestFollower` reads along a stream's bytes and never changes, delays or refuses
them: whatever it can't make sense of, it stops looking at, and the stream goes on. Its
memory is bounded by one head a direction and the requests still without an answer. It
knows nothing of how an exchange is shown, nor of how one is kept for the inspector.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from inletspy.client.exchanges import Cause, Exchange, Record, Recorder, request_line
from inletspy.errors import HeadError
from inletspy.wire.bodies import Body, CloseBody, body_for
from inletspy.wire.fields import MAX_HEAD, TOKEN
from inletspy.wire.http1 import parse_request
from inletspy.wire.responses import ResponseHead, parse_response, plain_length

__all__ = ["MAX_EXCERPT", "RequestFollower", "may_refuse"]

_log = Logger()

#: Requests in one stream without an answer, past which following it is given up.
MAX_WAITING: Final = 256
#: How much of a refusing answer is kept, to recognise who refuses and why.
MAX_EXCERPT: Final = 4096

#: What dev servers answer a host with that they don't know: most say 403, Django 400,
#: MCP servers 421.
_REFUSALS: Final = frozenset((400, 403, 421))
#: Older webpack dev servers refuse with status 200 and this text.
_REFUSAL_LENGTH: Final = len(b"Invalid Host header")

_END: Final = b"\r\n\r\n"
_match_request_line = re.compile(TOKEN + rb" [!-~\x80-\xff]++ HTTP/1\.[01]\r\n").match
_find_announcement = re.compile(
    rb"\n(?:content-length|transfer-encoding|upgrade|expect)[ \t]*:"
).search

_GONE: Final = ("cut", "it was given up before the answer was complete")


#: The head of a request, when it had come, what keeps it, and whether it asks for an upgrade.
_Waiting = tuple[bytes, float, Record | None, bool]


class RequestFollower:
    """Follows the HTTP/1.1 exchanges in one stream; a `StreamTap`.

    Args:
        clock: tells the time in seconds.
        visitor: the address that the stream was opened for.
        report: is called with each exchange when it is over, in the order of requests;
            None if nobody is interested.
        ended: is called once, when the stream has.
        recorder: keeps what passes; None for nobody.
    """

    __slots__ = (
        "_asked",
        "_body",
        "_cause",
        "_clock",
        "_ended",
        "_excerpt",
        "_head",
        "_keeps_excerpt",
        "_lost",
        "_record",
        "_recorder",
        "_report",
        "_response",
        "_response_body",
        "_response_head",
        "_size",
        "_switched",
        "_visitor",
        "_waiting",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        visitor: str,
        report: Callable[[Exchange], None] | None,
        ended: Callable[[], None],
        recorder: Recorder | None = None,
    ) -> None:
        self._clock = clock
        self._visitor = visitor
        self._report = report
        self._ended = ended
        self._recorder = recorder
        #: Whether nothing in the stream is looked at any more, but for what `_switched`
        #: is to be told.
        self._lost = False
        self._switched: Record | None = None
        #: Why the upstream is gone.
        self._cause: Cause | None = None
        #: Requests without a complete answer.
        self._waiting: deque[_Waiting] = deque()
        #: The beginning of a request's head, and the body that is passing.
        self._head = b""
        self._body: Body | None = None
        self._asked: Record | None = None
        #: The same for the answers.
        self._response_head = b""
        self._response: ResponseHead | None = None
        self._response_body: Body | None = None
        self._record: Record | None = None
        self._size = 0
        self._excerpt = b""
        self._keeps_excerpt = False

    def from_visitor(self, data: bytes) -> None:
        """See requests pass."""
        try:
            if self._lost:
                if self._switched is not None:
                    self._switched.switched(True, data, self._clock())
                return
            if (
                data.endswith(_END)
                and not self._waiting
                and self._body is None
                and not self._head
                and _is_bare(data)
            ):
                self._begin_request(data, upgrade=False)
                return
            self._read_requests(data)
        except HeadError as error:
            self._cannot_read(self._head + data, str(error))
        except Exception:
            self._contain()

    def from_upstream(self, data: bytes) -> None:
        """See answers pass."""
        try:
            if self._lost:
                if self._switched is not None:
                    self._switched.switched(False, data, self._clock())
                return
            if len(self._waiting) == 1 and self._response is None and not self._response_head:
                end = data.find(_END) + 4
                plain = plain_length(data[:end])
                if (
                    plain is not None
                    and end + plain[1] == len(data)
                    and self._complete_at_once(data, end, *plain)
                ):
                    return
            self._read_responses(data)
        except HeadError as error:
            self._cannot_read(self._response_head + data, str(error))
        except Exception:
            self._contain()

    def upstream_ended(self, kind: str, reason: str) -> None:
        """The upstream could not be reached, or is gone; see `StreamTap`."""
        if self._cause is None:
            self._cause = (kind, reason)

    def closed(self) -> None:
        """Report what the end of the stream completes or cuts off."""
        try:
            self._finish_all()
        except Exception:
            self._contain()
        self._ended()

    def _finish_all(self) -> None:
        cause = self._cause or _GONE
        while self._waiting and not self._lost:
            complete = type(self._response_body) is CloseBody and cause[0] == "closed"
            self._finish(None if complete else cause)
        if self._switched is not None:
            switched, self._switched = self._switched, None
            switched.finished(self._clock(), None)
        self._give_up()

    def _cannot_read(self, rest: bytes, reason: str) -> None:
        if self._recorder is not None:
            now = self._clock()
            for number, (_, _, record, _) in enumerate(self._waiting):
                if record is not None:
                    record.unreadable(b"" if number else rest[:MAX_EXCERPT], reason)
                    record.finished(now, ("unreadable", reason))
        self._give_up()

    def _contain(self) -> None:
        """A fault of ours must not become one of the stream's."""
        _log.failure("A stream could not be followed")
        self._switched = None
        self._give_up()

    def _give_up(self) -> None:
        self._lost = True
        self._waiting.clear()
        self._head = self._response_head = self._excerpt = b""
        self._body = self._response = self._response_body = None
        self._asked = self._record = None

    def _read_requests(self, data: bytes) -> None:
        while data:
            if self._body is not None:
                taken = self._body.feed(data)
                if self._asked is not None:
                    self._asked.asked(data[:taken])
                data = data[taken:]
                if self._body.finished:
                    self._body = self._asked = None
                continue
            if self._waiting and self._waiting[-1][3]:
                # Whether this is HTTP at all, only the answer will tell.
                raise HeadError("bytes before the answer to an upgrade")
            head, data = _cut_head(self._head + data if self._head else data)
            if not head:
                self._head = data
                return
            self._head = b""
            request = parse_request(head)
            if len(self._waiting) == MAX_WAITING:
                raise HeadError("too many requests without an answer")
            self._begin_request(head, upgrade=bool(request.upgrade))
            self._body = body_for(request.framing, request.length)

    def _begin_request(self, head: bytes, upgrade: bool) -> None:
        now = self._clock()
        record = None
        if self._recorder is not None:
            record = self._asked = self._recorder.begin(head, self._visitor, now)
        self._waiting.append((head, now, record, upgrade))

    def _complete_at_once(self, data: bytes, end: int, status: int, length: int) -> bool:
        """Take a whole plain answer, which most are; returns whether it is one."""
        if may_refuse(status, length) or self._waiting[0][0].startswith(b"HEAD "):
            return False
        head, started, record, _ = self._waiting.popleft()
        now = self._clock()
        if record is not None:
            record.completed(data, end, now)
        if self._report is not None:
            self._report(Exchange(head, self._visitor, status, now - started, length))
        return True

    def _read_responses(self, data: bytes) -> None:
        while data and not self._lost:
            if self._response_body is not None:
                data = self._feed_response(self._response_body, data)
                continue
            if not self._waiting:
                raise HeadError("an answer without a request")
            head, data = _cut_head(self._response_head + data if self._response_head else data)
            if not head:
                self._response_head = data
                return
            self._response_head = b""
            asked, _, record, _ = self._waiting[0]
            response = parse_response(head, request_line(asked)[0])
            if not response.informational:
                self._begin_response(response, head, record)
        if data and self._switched is not None:
            self._switched.switched(False, data, self._clock())

    def _begin_response(self, response: ResponseHead, head: bytes, record: Record | None) -> None:
        self._response = response
        self._response_body = body_for(response.framing, response.length)
        self._keeps_excerpt = may_refuse(response.status, response.length)
        if record is not None:
            self._record = record
            record.answered(head, self._clock())
        if self._response_body is None:
            self._finish(None)

    def _feed_response(self, body: Body, data: bytes) -> bytes:
        """Take what belongs to the present answer's body; returns the rest."""
        record = self._record
        if self._keeps_excerpt or (record is not None and record.streams):
            pieces: list[bytes] = []
            taken = body.feed(data, pieces)
            content = b"".join(pieces)
            if self._keeps_excerpt:
                self._excerpt = (self._excerpt + content)[:MAX_EXCERPT]
                self._keeps_excerpt = len(self._excerpt) < MAX_EXCERPT
            if record is not None and record.streams:
                record.streamed(content, taken, self._clock())
                record = None
        else:
            taken = body.feed(data)
        self._size += taken
        rest = data[taken:]
        if record is not None:
            record.answering(data[:taken] if rest else data)
        if body.finished:
            self._finish(None)
        return rest

    def _finish(self, cause: Cause | None) -> None:
        """Report the first of the waiting requests, with what there is of its answer.

        Args:
            cause: why it did not come to its end; None if it did.
        """
        head, started, record, _ = self._waiting.popleft()
        response = self._response
        upgraded = response is not None and response.status == 101
        now = self._clock()
        if record is not None and not upgraded:
            if response is None and self._response_head:
                record.unreadable(self._response_head[:MAX_EXCERPT], "no head of an answer")
            record.finished(now, cause)
        exchange = Exchange(
            head,
            self._visitor,
            response.status if response is not None else None,
            now - started,
            self._size,
            upgraded,
            # Some refuse an upgrade with a text that has no head before it.
            self._excerpt if response is not None else self._response_head[:MAX_EXCERPT],
        )
        self._response = self._response_body = self._record = None
        self._response_head = self._excerpt = b""
        self._size = 0
        if upgraded:
            self._switched = record
            self._give_up()
        if self._report is not None:
            self._report(exchange)


def _is_bare(data: bytes) -> bool:
    """Whether it is one request's head that announces nothing, not even a body."""
    if data.find(_END) != len(data) - 4 or len(data) > MAX_HEAD:
        return False
    lower = data.lower()
    return (
        b"\nhost:" in lower
        and _match_request_line(data) is not None
        and _find_announcement(lower) is None
    )


def may_refuse(status: int, size: int) -> bool:
    """Whether an answer of that status and length may be a dev server's refusal of a host."""
    return status in _REFUSALS or size == _REFUSAL_LENGTH


def _cut_head(data: bytes) -> tuple[bytes, bytes]:
    """A complete head and what follows it; an empty one and all, if it is not complete."""
    end = data.find(b"\r\n\r\n") + 4
    if end >= 4:
        return data[:end], data[end:]
    if len(data) > MAX_HEAD:
        raise HeadError("the head is too long", 431)
    return b"", data
