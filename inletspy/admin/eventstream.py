"""A stream of server-sent events, as it comes from a server (HTML Standard, 9.2.6).

Owns the reading: lines, fields, and that a stream which falls silent is over. What an
event means is for others to know.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

__all__ = ["SILENCE", "EventReader", "EventStream", "StreamCut"]

#: A server says something every 15 seconds; after so many without a byte it is gone.
SILENCE: Final = 40.0
_IN_ORDER: Final = (ConnectionDone, ResponseDone, PotentialDataLoss)


class StreamCut(Exception):
    """A stream has ended before it was to; its cause is why, where that is known."""


class EventReader:
    """Events from the bytes of a stream, which may come cut anywhere.

    Args:
        got: is called with the name and the data of each.

    Attributes:
        most: characters of one line or event, at most.
    """

    most = 64 * 1024 * 1024

    def __init__(self, got: Callable[[str, str], None]) -> None:
        self._got = got
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        #: A line that is not whole yet, in pieces.
        self._pieces: list[str] = []
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take more bytes.

        Raises:
            StreamCut: there is a line or event that is too long.
        """
        text = self._decode(data)
        self._size += len(text)
        if self._size > self.most:
            raise StreamCut("an event is too long")
        *lines, rest = text.split("\n")
        for line in lines:
            whole = "".join((*self._pieces, line))
            self._pieces.clear()
            self._line(whole.removesuffix("\r"))
        self._pieces.append(rest)

    def _line(self, line: str) -> None:
        if not line:
            if self._data:
                self._got(self._name or "message", "\n".join(self._data))
            self._name, self._data, self._size = "", [], 0
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)


class EventStream(Protocol):
    """The body of an answer that goes on.

    Args:
        clock: tells when it has been silent for too long.
        got: see `EventReader`.

    Attributes:
        over: fires when the stream has ended in order; fails with StreamCut, or with what
            `got` raised.
    """

    def __init__(self, clock: IReactorTime, got: Callable[[str, str], None]) -> None:
        self.over: Deferred[None] = Deferred()
        self._reader = EventReader(got)
        self._clock = clock
        self._silence: IDelayedCall | None = None
        self._ended = False

    def connectionMade(self) -> None:
        """It has begun."""
        self._silence = self._clock.callLater(SILENCE, self._give_up, StreamCut("it fell silent"))

    def dataReceived(self, data: bytes) -> None:
        """Read on."""
        if self._ended:
            return
        if self._silence is not None:
            self._silence.reset(SILENCE)
        try:
            self._reader.feed(data)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._end(Failure(error))
        transport: Any = self.transport
        transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        if reason.check(*_IN_ORDER):
            self._end(None)
        else:
            error = StreamCut()
            error.__cause__ = reason.value
            self._end(Failure(error))

    def _end(self, why: Failure | None) -> None:
        if self._ended:
            return
        self._ended = True
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
        if why is None:
            self.over.callback(None)
        else:
            self.over.errback(why)
