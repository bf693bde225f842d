"""One request with its answer, for who shows it, and what is to be told of it to who keeps it.

Knows nothing of how exchanges are found in what passes; see `requests`.
"""

from __future__ import annotations

from typing import Protocol

from inletspy.errors import HeadError
from inletspy.wire.fields import first_value
from inletspy.wire.http1 import parse_request

__all__ = ["Cause", "Exchange", "Record", "Recorder", "request_line"]

#: Why an exchange came to nothing: a word for programs, and a line for people.
Cause = tuple[str, str]


class Exchange:
    """One request with what was answered to it.

    Args:
        head: the request's, as sent.
        opened_by: the address that the stream was opened for.

    Attributes:
        status: the answer's status; None if none came.
        seconds: from the request's head to the end of the answer; for an upgrade, to
            the answer's head.
        size: bytes of the answer's body, as sent.
        upgraded: whether the connection went on in another protocol.
        excerpt: the beginning of the body, where the answer may be a dev server's
            refusal of the host; else empty.
    """

    __slots__ = ("_head", "_opened_by", "excerpt", "seconds", "size", "status", "upgraded")

    def __init__(
        self,
        head: bytes,
        opened_by: str,
        status: int | None,
        seconds: float,
        size: int = 0,
        upgraded: bool = False,
        excerpt: bytes = b"",
    ) -> None:
        self._head = head
        self._opened_by = opened_by
        self.status = status
        self.seconds = seconds
        self.size = size
        self.upgraded = upgraded
        self.excerpt = excerpt

    # Most are counted and not looked at: what stands in the head is found when it is asked for.

    @property
    def method(self) -> bytes:
        """As sent."""
        return request_line(self._head)[0]

    @property
    def target(self) -> bytes:
        """As sent."""
        return request_line(self._head)[1]

    @property
    def host(self) -> bytes:
        """The name that the upstream was asked by, without port, lower case."""
        try:
            return parse_request(self._head).host
        except HeadError:
            return b""

    @property
    def visitor(self) -> str:
        """The visitor's address, as far as it is known."""
        # Streams are used for one visitor after another: the edge tells whose turn it is.
        told = first_value(self._head, b"x-forwarded-for").partition(b",")[0].strip()
        return told.decode("latin-1") or self._opened_by


class Record(Protocol):
    """What is kept of one exchange, which is told of it piece by piece as it passes.

    Attributes:
        streams: whether the answer is shown in pieces, with the time of each, and
            therefore wanted without the framing of chunks.
    """

    streams: bool

    def asked(self, data: bytes) -> None:
        """Bytes of the request's body, as sent."""

    def completed(self, data: bytes, head_size: int, at: float) -> None:
        """The whole answer has passed, and nothing else with it; the exchange is over."""

    def answered(self, head: bytes, at: float) -> None:
        """The answer's head has passed."""

    def answering(self, data: bytes) -> None:
        """Bytes of the answer's body, as sent."""

    def streamed(self, content: bytes, size: int, at: float) -> None:
        """The same where `streams` is set: the content, and how many bytes it was sent as."""

    def switched(self, from_visitor: bool, data: bytes, at: float) -> None:
        """Bytes of the protocol that the connection went over to."""

    def unreadable(self, rest: bytes, reason: str) -> None:
        """What passes now can't be understood, and is looked at no further."""

    def finished(self, at: float, cause: Cause | None) -> None:
        """It is over; `cause` is None if it came to its end."""


class Recorder(Protocol):
    """Keeps the exchanges of one service."""

    def begin(self, head: bytes, visitor: str, at: float) -> Record:
        """A request's head has passed."""


def request_line(head: bytes) -> tuple[bytes, bytes]:
    """Method and target of a request's head."""
    method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
    return method, rest.partition(b" ")[0]
