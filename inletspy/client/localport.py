"""A port of this machine that leads to a private service.

Each connection to it becomes a stream; nothing is asked about the bytes. Where the
streams lead, and how the server is found, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory

from inletspy.errors import ClientAway, ResetCode, StartError, StreamReset
from inletspy.interfaces import IUpstream
from inletspy.tunnel.endpoint import eager
from inletspy.tunnel.splice import SpliceEnd, splice

__all__ = ["LocalPort", "with_port"]

#: The same trouble is told once in so many seconds: programs try again quickly.
_TELL_SECONDS: Final = 10.0


def with_port(host: str, port: int) -> str:
    """An IP address and a port, as people write them."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _StreamEnd(SpliceEnd):
    """The stream of a connection.

    Args:
        failed: is told why it failed, if not because the connection did.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed

    def connectionLost(self, reason: Any = None) -> None:
        """The stream is over."""
        if self.other is not None and reason.check(StreamReset):
            reset: StreamReset = reason.value
            # What was up and is cut is no trouble that a person could look into.
            if reset.code is not ResetCode.CANCELLED:
                self._failed(str(reset))
        super().connectionLost(reason)


class _Connection(SpliceEnd):
    """A connection of a program on this machine."""

    def __init__(self, upstream: IUpstream, failed: Callable[[str], None]) -> None:
        self._upstream = upstream
        self._failed = failed

    def connectionMade(self) -> None:
        """Open a stream for it."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        peer = transport.getPeer()
        end = _StreamEnd(self._failed)
        try:
            self._upstream.connect(end, with_port(peer.host, peer.port))
        except (ClientAway, StreamReset) as error:
            away = isinstance(error, ClientAway)
            self._failed("it is not connected just now" if away else str(error))
            transport.abortConnection()
            return
        splice(self, end)


class LocalPort(Factory):
    """Listens for the programs that want to reach a private service.

    Args:
        reactor: listens.
        upstream: where each connection leads.
        failed: is told, in plain words, why connections fail.
    """

    noisy = False

    def __init__(self, reactor: Any, upstream: IUpstream, failed: Callable[[str], None]) -> None:
        self._reactor = eager(reactor)
        self._upstream = upstream
        self._tell = failed
        self._told = ""
        self._told_at = 0.0

    def open(self, host: str, port: int) -> IListeningPort:
        """Listen from now on.

        Args:
            host: the IP address to listen on.
            port: the port; 0 for a free one.

        Raises:
            StartError: that can't be had.
        """
        try:
            listening: IListeningPort = self._reactor.listenTCP(
                port, self, backlog=1024, interface=host
            )
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            raise StartError(
                f"can't listen on {with_port(host, port)}: {reason}; choose another port, or 0 "
                "for a free one"
            ) from error
        return listening

    def buildProtocol(self, addr: IAddress | None) -> _Connection:
        """A program connects."""
        return _Connection(self._upstream, self._failed)

    def _failed(self, reason: str) -> None:
        now = self._reactor.seconds()
        if reason != self._told or now - self._told_at > _TELL_SECONDS:
            self._told, self._told_at = reason, now
            self._tell(reason)
