"""Connections to a service's upstream that carry one HTTP request after another.

An `UpstreamConnection` is the client's side of HTTP/1.1 over a stream: it writes what
an exchange gives it, and reads the answers. An `UpstreamPool` keeps those that can be
used again. What is sent and what becomes of an answer, the exchange decides.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from inletspy.errors import HeadError
from inletspy.tunnel.tls import over_tls
from inletspy.wire.bodies import Body, body_for
from inletspy.wire.http1 import CLOSE, MAX_HEAD, ResponseHead, parse_response

if TYPE_CHECKING:
    from inletspy.edge.exchange import Exchange
    from inletspy.tunnel.session import Service

__all__ = ["UpstreamConnection", "UpstreamPool"]

#: Idle connections that a pool keeps, at most.
_MAX_IDLE: Final = 128
#: Sweeps, one a second, that a connection may be idle. Below the five seconds after
#: which popular servers close theirs, so that few requests meet a closing connection.
_MAX_IDLE_SWEEPS: Final = 4

_match_host = re.compile(
    r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?"
).fullmatch


@implementer(IHalfCloseableProtocol)
class UpstreamConnection(Protocol):
    """One connection to an upstream.

    Attributes:
        used: whether it has carried a request before the present one.
        begun: whether the upstream has said anything to the present one.
        idle_sweeps: for how many sweeps it has been idle.
        spliced: takes over all bytes once the connection was upgraded.
    """

    def __init__(self, pool: UpstreamPool) -> None:
        self.used = False
        self.begun = False
        self.idle_sweeps = 0
        self.spliced: Any = None
        self._pool = pool
        self._exchange: Exchange | None = None
        self._buffer = b""
        self._head: ResponseHead | None = None
        self._body: Body | None = None

    def begin(self, exchange: Exchange, head: bytes) -> None:
        """Send a request's head; its answers go to `exchange`."""
        self._exchange = exchange
        self._head = None
        self.begun = False
        self.transport.write(head)  # type: ignore[union-attr]

    @property
    def reusable(self) -> bool:
        """Whether the upstream takes another request after the present one."""
        return self._head is not None and self._head.keep_alive

    def close(self) -> None:
        """Close an idle connection."""
        self._exchange = None
        self.transport.loseConnection()  # type: ignore[union-attr]

    def abort(self) -> None:
        """Cut the connection; nothing more is told to the exchange."""
        self._exchange = None
        transport: Any = self.transport
        transport.abortConnection()

    def release(self) -> None:
        """The exchange is over in order: keep the connection, if it can be used again."""
        self._exchange = None
        head = self._head
        if head is not None and head.keep_alive and not self._buffer:
            self._pool.keep(self)
        else:
            self.close()

    def splice(self, end: Any) -> bytes:
        """Give all further bytes to `end`; returns those that have come already."""
        self.spliced = end
        self._exchange = None
        rest, self._buffer = self._buffer, b""
        return rest

    # -- what the transport tells

    def dataReceived(self, data: bytes) -> None:
        """Read the answer."""
        if self.spliced is not None:
            self.spliced.dataReceived(data)
            return
        exchange = self._exchange
        if exchange is None:
            # An idle upstream has nothing to say but goodbye (408, for example).
            self._pool.forget(self)
            self.abort()
            return
        self.begun = True
        try:
            if self._head is None:
                self._read_head(exchange, self._buffer + data if self._buffer else data)
            elif self._body is not None:
                self._read_body(exchange, b"", data)
            else:
                raise HeadError("bytes after the answer")
        except HeadError:
            self.abort()
            exchange.upstream_broken()

    def _read_head(self, exchange: Exchange, data: bytes) -> None:
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4:
                if len(data) > MAX_HEAD:
                    raise HeadError("the response head is too long")
                self._buffer = data
                return
            self._buffer = b""
            head = parse_response(data[:end], exchange.request.method)
            data = data[end:]
            if head.domain_cookies:
                # No page sets cookies for another's.
                head.drop_cookies(self._pool.base_domain)
            if head.status >= 200:
                break
            if not head.informational:
                self._head = head
                self._buffer = data
                exchange.switching(head)
                return
            exchange.informational(head)
            if not data:
                return
        self._head = head
        self._body = body_for(head.framing, head.length)
        self._read_body(exchange, exchange.answer(head), data)

    def _read_body(self, exchange: Exchange, answer: bytes, data: bytes) -> None:
        """Pass on the answer's head, if it is still to be sent, and what belongs to the body."""
        body = self._body
        if body is None:
            size, finished = 0, True
            content = b""
        elif exchange.framing_differs:
            pieces: list[bytes] = []
            size = body.feed(data, pieces)
            finished = body.finished
            content = exchange.reframe(b"".join(pieces))
        else:
            size = body.feed(data)
            finished = body.finished
            content = data if size == len(data) else data[:size]
        if answer or content:
            exchange.content(answer + content if answer else content)
        if finished:
            self._buffer = data[size:]
            self._body = None
            exchange.answered()

    def readConnectionLost(self) -> None:
        """The upstream has finished."""
        if self.spliced is not None:
            self.spliced.readConnectionLost()
            return
        self._over(connectionDone)
        self.transport.loseConnection()  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        """Never asked for before a splice."""
        if self.spliced is not None:
            self.spliced.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is over."""
        if self.spliced is not None:
            self.spliced.connectionLost(reason)
            return
        self._over(reason)

    def _over(self, reason: Failure) -> None:
        """End an answer whose end is the connection's, or one that was cut short."""
        self._pool.forget(self)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        by_close = self._head is not None and self._head.framing == CLOSE
        if by_close and reason.check(ConnectionDone):
            exchange.answered()
        else:
            exchange.upstream_lost(reason)


class UpstreamPool:
    """The upstream connections of one service.

    Attributes:
        service: whose they are.
        base_domain: cookies that the upstream sets for it, or above it, are dropped.
        authority: host and port of the upstream.
        host: the Host to send instead of the visitor's, or None.
        origin: the Origin field that goes with it, where that is the upstream's own.
        closed: whether the service is over.
    """

    def __init__(self, service: Service, base_domain: str) -> None:
        self.service = service
        self.base_domain = base_domain.encode()
        self.authority = service.address.authority.encode() if service.address else b""
        self.host = _host_for(service, self.authority)
        self.origin = b""
        if self.host == self.authority and service.address is not None:
            self.origin = b"Origin: %b://%b\r\n" % (service.address.scheme.encode(), self.host)
        self.closed = False
        self._idle: deque[UpstreamConnection] = deque()

    def connection(self, visitor: str, *, fresh: bool) -> UpstreamConnection:
        """A connection to send a request on.

        Args:
            visitor: the address of who asks.
            fresh: not one that the upstream may be closing at this moment.

        Raises:
            inletspy.errors.ClientAway: no link to the client.
            inletspy.errors.StreamReset: a limit was reached.
        """
        idle = self._idle
        if idle and not (fresh and idle[-1].idle_sweeps):
            connection = idle.pop()
            connection.used = True
            return connection
        connection = UpstreamConnection(self)
        protocol: Any = connection
        if self.service.tls_through_stream and self.service.address is not None:
            protocol = over_tls(connection, self.service.address.host)
        self.service.connect(protocol, visitor)
        return connection

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    def keep(self, connection: UpstreamConnection) -> None:
        """Keep an idle connection for the next request."""
        if self.closed or len(self._idle) >= _MAX_IDLE:
            connection.close()
        else:
            connection.idle_sweeps = 0
            self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """A connection is over; of no effect if it was not idle."""
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self) -> None:
        """Close what has been idle for too long; called once a second."""
        for connection in self._idle:
            connection.idle_sweeps += 1
        while self._idle and self._idle[0].idle_sweeps > _MAX_IDLE_SWEEPS:
            self._idle.popleft().close()

    def close(self) -> None:
        """Close the idle connections: the service is over."""
        self.closed = True
        while self._idle:
            self._idle.popleft().close()


def _host_for(service: Service, authority: bytes) -> bytes | None:
    """The Host that the service's option `host_header` asks for, if it is fit for one."""
    wanted = service.offer.options.get("host_header", "preserve")
    if wanted == "rewrite":
        return authority
    if wanted == "preserve" or not isinstance(wanted, str) or _match_host(wanted) is None:
        return None
    return wanted.encode()
