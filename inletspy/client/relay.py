"""Streams joined with connections to the upstreams: bytes in both directions.

Owns how an upstream is dialled. Dials the addresses of this machine without asking a
resolver, since a new connection may be made for every request.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final, Protocol

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.interfaces import IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from inletspy.errors import ResetCode
from inletspy.policy.addresses import UpstreamAddress
from inletspy.tunnel.endpoint import eager
from inletspy.tunnel.splice import SpliceEnd, splice
from inletspy.tunnel.stream import Stream
from inletspy.tunnel.tls import over_tls
from inletspy.wire.mux import MuxStream

__all__ = ["Relay", "StreamTap", "explain"]

#: How long an upstream may take to accept a connection, in seconds.
_CONNECT_SECONDS: Final = 10


class StreamTap(Protocol):
    """Sees the bytes of a stream as they pass; never changes or delays them."""

    def from_visitor(self, data: bytes) -> None:
        """Bytes on their way to the upstream."""

    def from_upstream(self, data: bytes) -> None:
        """Bytes on their way to the visitor."""

    def upstream_ended(self, kind: str, reason: str) -> None:
        """The upstream will send no more.

        Args:
            kind: `closed` if that was in order, `reset`, `tls`, or why there was no
                connection: `refused`, `timeout`, `unknown_host` or `unreachable`.
            reason: the same for people.
        """

    def closed(self) -> None:
        """The stream is over."""


class _StreamEnd(SpliceEnd):
    """The stream's end of a relay, before and after its upstream is connected."""

    dialling: Deferred[Any] | None = None

    def connectionLost(self, reason: Any = None) -> None:
        """Nobody waits for the upstream any more."""
        dialling, self.dialling = self.dialling, None
        if dialling is not None:
            dialling.cancel()
        super().connectionLost(reason)


class _TappedStreamEnd(_StreamEnd):
    def __init__(self, tap: StreamTap) -> None:
        self._tap = tap

    def dataReceived(self, data: bytes) -> None:
        self._tap.from_visitor(data)
        super().dataReceived(data)

    def connectionLost(self, reason: Any = None) -> None:
        self._tap.closed()
        super().connectionLost(reason)


class _UpstreamEnd(SpliceEnd):
    """The upstream's end of a relay.

    Args:
        place: where the upstream is, as people put it.
        failed: is told if there can be no TLS with it.
    """

    def __init__(self, place: str, failed: Callable[[str], None]) -> None:
        self._place = place
        self._failed = failed

    def connectionLost(self, reason: Any = None) -> None:
        """The upstream has gone."""
        if reason.check(SSL.Error):
            self._failed(f"{self._place} does not speak TLS: announce it with http://")
        super().connectionLost(reason)


class _TappedUpstreamEnd(_UpstreamEnd):
    def __init__(self, place: str, failed: Callable[[str], None], tap: StreamTap) -> None:
        super().__init__(place, failed)
        self._tap = tap

    def dataReceived(self, data: bytes) -> None:
        self._tap.from_upstream(data)
        super().dataReceived(data)

    def readConnectionLost(self) -> None:
        self._tap.upstream_ended("closed", f"{self._place} closed the connection")
        super().readConnectionLost()

    def connectionLost(self, reason: Any = None) -> None:
        if self.other is None:
            pass  # it ends because the stream did
        elif reason.check(SSL.Error):
            self._tap.upstream_ended("tls", f"{self._place} does not speak TLS")
        elif reason.check(ConnectionDone):
            self._tap.upstream_ended("closed", f"{self._place} closed the connection")
        else:
            self._tap.upstream_ended("reset", f"{self._place} broke the connection off")
        super().connectionLost(reason)


class _UpstreamFactory(Factory):
    noisy = False

    def __init__(self, end: IProtocol, tls_host: str | None) -> None:
        self._end = end
        self._tls_host = tls_host

    def buildProtocol(self, addr: Any) -> Any:
        return self._end if self._tls_host is None else over_tls(self._end, self._tls_host)


class Relay:
    """Joins streams with connections to upstreams.

    Args:
        reactor: connects.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = eager(reactor)
        #: For `localhost`, the address that something listened on last.
        self._local = "127.0.0.1"

    def join(
        self,
        stream: Stream,
        carried: MuxStream,
        address: UpstreamAddress,
        tap: StreamTap | None,
        *,
        tls: bool,
        failed: Callable[[str], None],
        preface: Callable[[str, int], bytes] | None = None,
    ) -> None:
        """Connect to the upstream and relay; what comes meanwhile waits.

        Args:
            stream: not started yet.
            carried: the mux's view of it.
            address: where the upstream is.
            tap: sees the bytes; None costs nothing.
            tls: whether to speak TLS to the upstream.
            failed: is told, in plain words, why a connection could not be made.
            preface: makes what the upstream gets first, from the IP address and the
                port that it was reached at; None for nothing. Not over TLS.
        """
        place = address.authority
        if tap is None:
            stream_end, upstream_end = _StreamEnd(), _UpstreamEnd(place, failed)
        else:
            stream_end = _TappedStreamEnd(tap)
            upstream_end = _TappedUpstreamEnd(place, failed, tap)
        stream.start(carried, stream_end)
        stream.pauseProducing()

        def connected(_: Any) -> None:
            stream_end.dialling = None
            transport: Any = upstream_end.transport
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
            if preface is not None:
                peer = transport.getPeer()
                transport.write(preface(peer.host, peer.port))
            splice(stream_end, upstream_end)
            stream.resumeProducing()

        def not_connected(failure: Failure) -> None:
            if stream_end.dialling is None:
                return  # cancelled, which endpoints put in several ways
            stream_end.dialling = None
            code, kind, reason = explain(failure, address)
            if tap is not None:
                tap.from_visitor(stream.unread)
                tap.upstream_ended(kind, reason)
            stream.reset(code, reason)
            failed(reason)

        dialling = self.dial(address, upstream_end, tls=tls)
        stream_end.dialling = dialling
        dialling.addCallbacks(connected, not_connected)

    def dial(self, address: UpstreamAddress, protocol: IProtocol, *, tls: bool) -> Deferred[Any]:
        """Connect a protocol to an upstream.

        Returns:
            Fires when it is connected, or fails; see `explain`.
        """
        factory = _UpstreamFactory(protocol, address.host if tls else None)
        if address.host != "localhost":
            return self._endpoint(address.host, address.effective_port).connect(factory)
        first, second = self._local, "::1" if self._local == "127.0.0.1" else "127.0.0.1"
        dialling = self._endpoint(first, address.effective_port).connect(factory)

        def try_other(failure: Failure) -> Any:
            # Programs listen on either; Node's `localhost` is often ::1 alone.
            failure.trap(ConnectionRefusedError)
            other = self._endpoint(second, address.effective_port).connect(factory)
            return other.addCallbacks(remember, lambda _: failure)

        def remember(protocol: Any) -> Any:
            self._local = second
            return protocol

        return dialling.addErrback(try_other)

    def _endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        try:
            version = ipaddress.ip_address(host).version
        except ValueError:
            return HostnameEndpoint(self._reactor, host, port, timeout=_CONNECT_SECONDS)
        kind = TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint
        return kind(self._reactor, host, port, timeout=_CONNECT_SECONDS)


def explain(failure: Failure, address: UpstreamAddress) -> tuple[ResetCode, str, str]:
    """What a failed dial means: for the peer, as `StreamTap` calls it, and for people."""
    place = address.authority
    if failure.check(ConnectionRefusedError):
        reason = f"nothing listens on {place} (connection refused)"
        return ResetCode.REFUSED, "refused", reason
    if failure.check(TimeoutError):
        return ResetCode.TIMEOUT, "timeout", f"{place} does not answer (timeout)"
    if failure.check(DNSLookupError):
        reason = f"{address.host} is unknown (no such host)"
        return ResetCode.UNREACHABLE, "unknown_host", reason
    error: Any = failure.value if failure.check(ConnectError) else failure.getErrorMessage()
    return ResetCode.UNREACHABLE, "unreachable", f"{place} is unreachable: {error}"[:200]
