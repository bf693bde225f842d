"""A stream as an ordinary Twisted transport.

Whatever speaks through a stream (the HTTP relay, a TCP forward, TLS) is a protocol that
sees nothing but its transport. Owns the order of events towards that protocol and
back-pressure in both directions; which bytes stand on the link for them, the mux knows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from inletspy.errors import ResetCode, StreamReset
from inletspy.interfaces import IStream
from inletspy.wire.mux import Mux, MuxStream

__all__ = ["Stream", "StreamAddress", "Target"]

_log = Logger()

#: Bytes that have come for a protocol and are told to it in a row, before others have a turn.
_MAX_IN_A_ROW: Final = 262_144


@implementer(IAddress)
class StreamAddress:
    """Who is at the other end of a stream, as the wire protocol puts it.

    Attributes:
        text: a visitor's `IP:PORT`, or a service.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"StreamAddress({self.text!r})"


class Target(Protocol):
    """What streams lead to."""

    def ended(self, reason: Failure) -> None:
        """One of them is over."""


@implementer(IStream)
class Stream:
    """One logical connection inside a session; see `inletspy.interfaces.IStream`.

    To the mux it is the stream's `StreamEvents`.

    Args:
        mux: carries it.
        later: calls a function after the present turn; the end of a stream is never
            told to its protocol from inside one of the protocol's own calls.
        peer: who is at the other end.

    Attributes:
        target: what it leads to, which is told of its end before the protocol is.
    """

    __slots__ = (
        "_calling",
        "_delivering",
        "_discarding",
        "_end",
        "_finished",
        "_half_closed",
        "_inbox",
        "_later",
        "_mux",
        "_paused",
        "_peer",
        "_producer",
        "_producer_paused",
        "_stream",
        "_turn_asked",
        "connected",
        "protocol",
        "target",
    )

    disconnecting = False

    def __init__(
        self,
        mux: Mux,
        later: Callable[[Callable[[], None]], Any],
        peer: str,
    ) -> None:
        self.connected = True
        self.protocol: Any = None
        self.target: Target | None = None
        self._mux = mux
        self._later = later
        self._peer = peer
        self._stream: MuxStream
        self._inbox: deque[bytes] = deque()
        self._paused = False
        self._delivering = False
        #: Whether the protocol wants no more data, having closed.
        self._discarding = False
        #: Whether the peer's half-close waits for the inbox to be read, and whether it was told.
        self._finished = False
        self._half_closed = False
        #: The end, while it waits for the inbox to be read.
        self._end: Failure | None = None
        self._calling = False
        self._turn_asked = False
        self._producer: Any = None
        self._producer_paused = False

    def start(self, stream: MuxStream, protocol: IProtocol) -> None:
        """Become `protocol`'s transport, carried by the mux's `stream`."""
        self._stream = stream
        self.protocol = protocol
        try:
            protocol.makeConnection(self)
        except Exception:
            self._contain()

    # -- ITransport and its relatives

    def write(self, data: bytes) -> None:
        """Send `data`, or queue it while the peer takes no more."""
        if not self.connected or self._stream.finishing:
            return
        self._mux.write(self._stream, data)
        if self._stream.queued and self._producer is not None and not self._producer_paused:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces as one."""
        self.write(b"".join(data))

    def loseWriteConnection(self) -> None:
        """Finish this direction after what was written; go on receiving."""
        if self.connected:
            self._calling = True
            self._mux.finish(self._stream)
            self._calling = False

    def loseConnection(self, _reason: Failure | None = None) -> None:
        """Close in order: send what was written, want nothing further."""
        if not self._discarding:
            self._discarding = True
            self._paused = False
            self._consume_inbox()
            if self.connected:
                self.loseWriteConnection()
            elif self._end is not None:  # it waited for the inbox to be read
                self._deliver_soon()

    def abortConnection(self) -> None:
        """End both directions at once; the peer is told that it was cancelled."""
        self.reset(ResetCode.CANCELLED)

    def reset(self, code: ResetCode, reason: str = "") -> None:
        """End both directions at once, with a reason for the peer."""
        if self.connected:
            self.connected = False
            self._mux.reset(self._stream, code, reason)
            self._end = Failure(StreamReset(code, reason))
        if self._end is not None:
            self._inbox.clear()
            self._finished = False
            self._later(self._tell_end)

    def getPeer(self) -> StreamAddress:
        """Who is at the other end."""
        return StreamAddress(self._peer)

    def getHost(self) -> StreamAddress:
        """This end has no address of its own."""
        return StreamAddress("")

    @property
    def unread(self) -> bytes:
        """What has come and was not delivered yet, because of `pauseProducing`."""
        return b"".join(self._inbox)

    @property
    def lingering(self) -> bool:
        """Whether all has been sent, and only the peer's close is still to come."""
        return self.connected and self._discarding and not self._stream.queued

    # -- IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause and resume `producer`, a push producer, as the peer takes bytes."""
        if not streaming:
            raise NotImplementedError("a stream takes push producers only")
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._producer_paused = bool(self._stream.queued)
        if self._producer_paused:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """Leave the producer alone from now on."""
        self._producer = None
        self._producer_paused = False

    # -- IPushProducer

    def pauseProducing(self) -> None:
        """Deliver nothing until `resumeProducing`; what comes is kept, within its window."""
        self._paused = not self._discarding

    def resumeProducing(self) -> None:
        """Deliver again, from the next turn on: never from inside this call."""
        self._paused = False
        if self._waiting:
            self._deliver_soon()

    def stopProducing(self) -> None:
        """The consumer has gone."""
        self.loseConnection()

    # -- StreamEvents

    def data(self, data: bytes) -> None:
        """See `inletspy.wire.mux.StreamEvents`."""
        if self._discarding:
            if self._stream.queued:
                # What was written is still on its way; this is for nobody.
                self._mux.consumed(self._stream, len(data))
            else:
                # As TCP does when data comes for a closed socket (RFC 9293, 3.10.7.4).
                self.reset(ResetCode.CANCELLED)
        elif self._paused or self._delivering or self._inbox:
            self._inbox.append(data)
        else:
            self._delivering = True
            try:
                self.protocol.dataReceived(data)
            except Exception:
                self._contain()
            self._delivering = False
            self._mux.consumed(self._stream, len(data))
            if self._inbox or self._finished or self._end is not None:
                self._deliver()

    def finished(self) -> None:
        """See `inletspy.wire.mux.StreamEvents`."""
        self._finished = True
        self._deliver()

    def closed(self, error: StreamReset | None) -> None:
        """See `inletspy.wire.mux.StreamEvents`."""
        if not self.connected:
            return
        self.connected = False
        self._end = Failure(ConnectionDone() if error is None else error)
        if error is None:
            # To close is also to finish, where the protocol has no frame for that.
            self._finished = not self._half_closed
        elif not self._finished:
            # What was cut short is of no use. What is complete still goes to its reader.
            self._consume_inbox()
        if self._calling:
            self._deliver_soon()
        else:
            self._deliver()

    def writable(self) -> None:
        """See `inletspy.wire.mux.StreamEvents`."""
        if self._producer_paused:
            self._producer_paused = False
            try:
                self._producer.resumeProducing()
            except Exception:
                self._contain()

    # -- how events reach the protocol

    @property
    def _waiting(self) -> bool:
        """Whether there is anything that the protocol is still to be told."""
        return bool(self._inbox) or self._finished or self._end is not None

    def _deliver_soon(self) -> None:
        if not self._turn_asked:
            self._turn_asked = True
            self._later(self._take_turn)

    def _take_turn(self) -> None:
        self._turn_asked = False
        self._deliver()

    def _deliver(self) -> None:
        """Pass on what waits, in order, as far as the protocol lets it."""
        if self._delivering:
            return
        self._delivering = True
        left = _MAX_IN_A_ROW
        while self._inbox and not self._paused:
            if left <= 0:
                self._deliver_soon()
                break
            data = self._inbox.popleft()
            left -= len(data)
            if not self._discarding:
                try:
                    self.protocol.dataReceived(data)
                except Exception:
                    self._contain()
            self._mux.consumed(self._stream, len(data))
        self._delivering = False
        if self._inbox or (self._paused and self._end is None):
            return
        if self._finished:
            self._finished = False
            self._tell_finished()
        if self._end is not None:
            self._tell_end()

    def _tell_finished(self) -> None:
        self._half_closed = True
        if self._discarding or self.protocol is None:
            return
        if IHalfCloseableProtocol.providedBy(self.protocol):
            try:
                self.protocol.readConnectionLost()
            except Exception:
                self._contain()
        else:
            self.loseConnection()

    def _tell_end(self) -> None:
        end, self._end = self._end, None
        if end is None or self.protocol is None:
            return
        protocol, self.protocol = self.protocol, None
        producer, self._producer = self._producer, None
        if self.target is not None:
            self.target.ended(end)
        try:
            if producer is not None and self._producer_paused:
                producer.resumeProducing()
            protocol.connectionLost(end)
        except Exception:
            _log.failure("A stream's protocol failed at its end")

    def _consume_inbox(self) -> None:
        while self._inbox:
            self._mux.consumed(self._stream, len(self._inbox.popleft()))

    def _contain(self) -> None:
        """An error in one stream's protocol must not end the session."""
        _log.failure("A stream's protocol failed; the stream is reset")
        self.reset(ResetCode.INTERNAL)
