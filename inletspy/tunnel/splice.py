"""Two connections joined into one: bytes, half-closes, back-pressure and ends.

Serves wherever nothing but bytes is relayed: TCP forwards and upgraded connections at
the edge, everything at the agent. An end neither knows nor asks whether its transport
is a socket or a stream.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["SpliceEnd", "splice"]


@implementer(IHalfCloseableProtocol, IPushProducer)
class SpliceEnd(Protocol):
    """One of the two connections.

    Attributes:
        other: the end that it is joined to; None before and after.
    """

    other: SpliceEnd | None = None
    _read_over = False
    _write_over = False

    def dataReceived(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is not None:
            self.other.transport.write(data)  # type: ignore[union-attr]

    def readConnectionLost(self) -> None:
        """The peer here has finished: finish there."""
        self._read_over = True
        if self.other is not None:
            self.other.finish()
        self._close_if_over()

    def writeConnectionLost(self) -> None:
        """The half-close that was asked for is done."""
        self._write_over = True
        self._close_if_over()

    def finish(self) -> None:
        """Half-close this connection after what was written; close it where TLS knows no half."""
        transport: Any = self.transport
        transport.unregisterProducer()
        if ISSLTransport.providedBy(transport):
            transport.loseConnection()
        else:
            transport.loseWriteConnection()
        self._write_over = True
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._read_over and self._write_over and self.transport is not None:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the other connection in the same way."""
        other, self.other = self.other, None
        if other is None:
            return
        other.other = None
        transport: Any = other.transport
        if transport is None:
            return
        transport.unregisterProducer()
        if reason.check(ConnectionDone):
            transport.loseConnection()
        else:
            other.cut(reason)

    def cut(self, reason: Failure) -> None:
        """End this connection at once, since the other has failed."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    # -- IPushProducer, for the other connection

    def pauseProducing(self) -> None:
        """The other connection takes no more for now."""
        transport: Any = self.transport
        transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It takes more again."""
        transport: Any = self.transport
        transport.resumeProducing()

    def stopProducing(self) -> None:
        """It is gone; its `connectionLost` is about to say how."""


def splice(one: SpliceEnd, two: SpliceEnd) -> None:
    """Join two ends, both of which have their transports."""
    one.other, two.other = two, one
    first: Any = one.transport
    second: Any = two.transport
    first.registerProducer(two, True)
    second.registerProducer(one, True)
