"""Ends of a splice that count what passes, where nothing but bytes is relayed.

One stands at the visitor's connection and one at the service's stream; each counts what it
receives. What becomes of the counts, `inletspy.policy.traffic` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from inletspy.tunnel.splice import SpliceEnd

if TYPE_CHECKING:
    from inletspy.policy.traffic import Traffic
    from inletspy.tunnel.session import Service

__all__ = ["ConnectionEnd", "ServiceEnd", "VisitorEnd"]


class _MeteredEnd(SpliceEnd):
    """One that counts.

    Attributes:
        size: bytes that have come.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.size = 0
        self._traffic = traffic


# Each passes on by itself: a call more for each piece would cost more than the counting.


class ServiceEnd(_MeteredEnd):
    """The stream to a service: what comes from it is for the visitor."""

    def dataReceived(self, data: bytes) -> None:
        """Count it, and pass it on."""
        self.size += len(data)
        self._traffic.bytes_out += len(data)
        if self.other is not None:
            self.other.transport.write(data)  # type: ignore[union-attr]


class VisitorEnd(_MeteredEnd):
    """A visitor's connection."""

    def dataReceived(self, data: bytes) -> None:
        """Count it, and pass it on."""
        self.size += len(data)
        self._traffic.bytes_in += len(data)
        if self.other is not None:
            self.other.transport.write(data)  # type: ignore[union-attr]


class ConnectionEnd(VisitorEnd):
    """A visitor's connection that carries no requests, and so counts for one."""

    def __init__(self, service: Service) -> None:
        super().__init__(service.traffic)
        self._seconds = service.session.seconds
        self._began = 0.0
        self._source = ""
        self._far: ServiceEnd | None = None

    def begin(self, far: ServiceEnd, source: str) -> None:
        """There is a stream for it.

        Args:
            far: that.
            source: the visitor's address.
        """
        self._far = far
        self._source = source
        self._began = self._seconds()
        self._traffic.begin(self._began)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        far, self._far = self._far, None
        if far is not None:
            now = self._seconds()
            self._traffic.end(now, self._began, self.size, far.size, self._source.encode())
        super().connectionLost(reason)
