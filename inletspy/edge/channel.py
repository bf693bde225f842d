"""A visitor's connection: HTTP/1.1 as the edge speaks it to browsers.

Reads one request after the other, gives each to the resource, and writes the answers in
order. Holds what time and memory a visitor may take: it never buffers a body, stops
reading what it can't pass on, and is swept once a second instead of keeping timers.
Where a request goes, the resource knows; what an answer looks like, the exchange.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from inletspy.edge import pages
from inletspy.errors import HeadError
from inletspy.policy.sources import UNIX
from inletspy.tunnel.splice import SpliceEnd
from inletspy.wire.bodies import Body, body_for
from inletspy.wire.http1 import RequestHead, check_partial_head, parse_request

if TYPE_CHECKING:
    from inletspy.edge.exchange import Exchange
    from inletspy.edge.login import Login
    from inletspy.edge.resource import EdgeSite
    from inletspy.policy.traffic import Traffic

__all__ = ["EdgeChannel"]

#: Bytes of pipelined requests that are read ahead, at most.
_MAX_AHEAD: Final = 65_536
#: Seconds for which bytes are still read that nobody wants any more, so that the visitor
#: gets to read the answer before the connection closes (RFC 9112, 9.6).
_LINGER_SECONDS: Final = 5
#: Seconds that reading the rest of an upload for nobody may take in all.
_DISCARD_SECONDS: Final = 30
#: Seconds for which nothing may move: a visitor reads nothing of what waits for it, or an
#: upstream that answers reads nothing of an upload.
_STALL_SECONDS: Final = 300
#: The bytes of a head that is kept for the next one to be compared with, at most.
_MAX_KEPT: Final = 8192


@implementer(IHalfCloseableProtocol, IPushProducer)
class EdgeChannel(Protocol):
    """One visitor's connection.

    Attributes:
        visitor: its address as `IP:PORT`, for the client to show.
        address: its IP address, or `UNIX`.
        paused: whether the visitor takes no more for now.
        closing: whether the connection closes after the present answer.
        forwarding: what the resource keeps for this visitor's requests.
        trust: whether it is a trusted proxy, beside the setting that says so.
        owners: for whose visitor it was counted.
        traffic: of the service that the present request is for, as far as that is known.
    """

    def __init__(self, site: EdgeSite) -> None:
        self.site = site
        self.visitor = ""
        self.address = ""
        self.paused = False
        self.closing = False
        self.forwarding: tuple[bytes, bytes] | None = None
        self.trust: tuple[object, bool] | None = None
        self.owners: set[str] = set()
        self.traffic: Traffic | None = None
        self._counted = False
        self._connected = False
        self._buffer = b""
        self._exchange: Exchange | Login | None = None
        self._request: RequestHead | None = None
        self._body: Body | None = None
        self._discarding = False
        self._reading_paused = False
        self._looping = False
        self._spliced: SpliceEnd | None = None
        #: Seconds since the present state began, or since a part of a body came; see `sweep`.
        self._quiet = 0
        #: Seconds since the first byte of a head that is not whole yet, or since the rest
        #: of an upload is read for nobody.
        self._age = 0
        #: Whether the answer is out, and only the visitor's close is waited for.
        self._lingering = False
        #: Whether the connection closes as soon as all is sent.
        self._leaving = False
        self._began = 0.0
        #: Bytes of the present request, and of its answer, heads included.
        self._received = self._sent = 0

    # -- the connection

    def connectionMade(self) -> None:
        """A visitor has come."""
        transport: Any = self.transport
        with suppress(AttributeError, OSError):  # a UNIX socket has no such options
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        peer = transport.getPeer()
        self.address = getattr(peer, "host", UNIX).removeprefix("::ffff:")
        port = getattr(peer, "port", 0)
        bracketed = f"[{self.address}]" if ":" in self.address else self.address
        self.visitor = f"{bracketed}:{port}"
        self._connected = True
        self.site.joined(self)
        transport.registerProducer(self, True)
        self._counted = self.site.count_visitor(self.address)

    def dataReceived(self, data: bytes) -> None:
        """Read requests and their bodies."""
        if self._spliced is not None:
            self._spliced.dataReceived(data)
        elif self._body is not None:
            self._quiet = 0
            self._read_body(data)
        elif self._exchange is not None or self.paused:
            self._buffer += data
            if len(self._buffer) > _MAX_AHEAD:
                self.pause_reading()
        elif not self.closing:
            self._buffer = self._buffer + data if self._buffer else data
            self._read_requests()

    def readConnectionLost(self) -> None:
        """The visitor has closed.

        A visitor that goes away can't be told from one that only half-closes, and
        hardly any HTTP client does the latter: what it asked for is cancelled at once.
        """
        if self._spliced is not None:
            self._spliced.readConnectionLost()
        elif self._exchange is not None:
            self.abort()
        else:
            self._close()

    def writeConnectionLost(self) -> None:
        """A half-close that was asked for is done."""
        if self._spliced is not None:
            self._spliced.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The visitor has gone."""
        self._connected = False
        self.site.left(self)
        if self._counted:
            self.site.forget_visitor(self.address)
        spliced, self._spliced = self._spliced, None
        if spliced is not None:
            spliced.connectionLost(reason)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancel()
            self._record(exchange.status or 499)

    def abort(self) -> None:
        """Cut the connection, so that the visitor sees that something is missing."""
        if self._connected:
            self._connected = False
            self.closing = True
            transport: Any = self.transport
            transport.abortConnection()

    @property
    def busy(self) -> bool:
        """Whether something is still under way for the visitor."""
        return self._exchange is not None or self._spliced is not None

    def drain(self) -> None:
        """Close now if idle, else after the present answer."""
        self.closing = True
        if not self.busy and not self._lingering:
            self._close()

    def _close(self) -> None:
        self.closing = True
        if self._connected and not self._leaving:
            self._leaving = True
            self._quiet = 0
            transport: Any = self.transport
            transport.unregisterProducer()  # a paused one would hold the close up for ever
            transport.loseConnection()

    # -- reading

    def _read_requests(self) -> None:
        """Begin every request that is there whole, as long as none is in progress.

        None begins either while the visitor takes no answers, which would pile up.
        """
        if self._looping:  # an exchange that was over at once; the loop below goes on
            return
        self._looping = True
        try:
            while self._buffer and self._exchange is None and not (self.closing or self.paused):
                if not self._read_request():
                    break
        finally:
            self._looping = False

    def _read_request(self) -> bool:
        """Begin the request at the start of the buffer; False if its head is not whole."""
        data = self._buffer
        # One empty line before a request is tolerated (RFC 9112, 2.2).
        start = 2 if data[:2] == b"\r\n" else 0
        end = data.find(b"\r\n\r\n", start) + 4
        try:
            if end < 4:
                check_partial_head(data[start:])
                return False
            raw = data[start:end]
            request = parse_request(raw, self._request)
        except HeadError as error:
            self._refuse(error)
            return False
        self._buffer = data[end:]
        self._request = request
        self._quiet = self._age = 0
        self._began = self.site.seconds()
        self._received = end
        self._sent = 0
        self.traffic = None
        if request.upgrade and self.site.takes_over(request):
            self._hand_over(raw)
            return False
        if request.framing:
            self._body = body_for(request.framing, request.length)
        if self._counted:
            self._exchange = exchange = self.site.resource.exchange(self, request)
            if exchange is not None:
                exchange.start()
        else:
            self.closing = True
            self.answer_page(pages.TOO_MANY_CONNECTIONS)
        if self._body is not None and self._buffer:
            data, self._buffer = self._buffer, b""
            self._read_body(data)
        return True

    def _read_body(self, data: bytes) -> None:
        body = self._body
        if body is None:
            return
        try:
            size = body.feed(data)
        except HeadError as error:
            self._refuse(error)
            return
        self._received += size
        if self._exchange is not None and not self._discarding:
            self._exchange.body(data if size == len(data) else data[:size])
        if body.finished:
            self._body = None
            self._buffer = data[size:]
            if self._discarding:
                self._discarding = False
                self._age = 0
                self._next()
            elif self._exchange is not None:
                self._exchange.body_over()

    def discard_body(self) -> None:
        """Read the rest of the request for nobody."""
        if self._body is not None:
            self._discarding = True
            self._quiet = self._age = 0
            self.resume_reading()

    def pause_reading(self) -> None:
        """Read no more for now."""
        if not self._reading_paused and self._connected:
            self._reading_paused = True
            transport: Any = self.transport
            transport.pauseProducing()

    def resume_reading(self) -> None:
        """Read again."""
        if self._reading_paused and self._connected:
            self._reading_paused = False
            self._quiet = 0
            transport: Any = self.transport
            transport.resumeProducing()

    # -- writing

    def write(self, data: bytes) -> None:
        """Send bytes to the visitor."""
        if self._connected:
            self._sent += len(data)
            self.transport.write(data)  # type: ignore[union-attr]

    def answer_page(self, page: pages.Page) -> None:
        """Answer the present request with a page of our own."""
        request = self._request
        if request is None:
            return
        # A visitor that waits for leave to send its body may send it or not after this.
        in_doubt = request.expects_continue and self._body is not None
        keep_alive = bool(request.minor) and request.keep_alive and not (self.closing or in_doubt)
        self.closing = not keep_alive
        self.write(
            pages.render(
                page,
                request.field(b"accept"),
                head_only=request.method == b"HEAD",
                keep_alive=keep_alive,
            )
        )
        self._record(page.status)
        if self._body is not None:
            self.discard_body()
        self._exchange = None
        self._next()

    def _refuse(self, error: HeadError) -> None:
        """Answer what is no HTTP, and close: where the next request begins is unknown."""
        exchange, self._exchange = self._exchange, None
        self._body = None
        self._buffer = b""
        if self._discarding:  # the answer is out already
            self._linger()
            return
        if exchange is not None:
            exchange.cancel()
            self._record(exchange.status or error.status)
            if exchange.status:
                self.abort()
                return
        else:
            self.site.answers[error.status] += 1
        self._say_goodbye(pages.page_for_fault(error.status, str(error)))

    def _say_goodbye(self, page: pages.Page) -> None:
        """Answer with a page, and close once the visitor has had time to read it."""
        self.closing = True
        self.write(pages.render(page, None, head_only=False, keep_alive=False))
        self._linger()

    def _linger(self) -> None:
        # Closing with bytes unread would reset the connection and take the answer with it.
        self._discarding = False
        if ISSLTransport.providedBy(self.transport):
            self._close()  # which waits for the visitor to close, too
            return
        self.closing = True
        self._lingering = True
        self._quiet = 0
        self._finish_writing()
        self.resume_reading()

    def _finish_writing(self) -> None:
        transport: Any = self.transport
        if self._connected and not ISSLTransport.providedBy(transport):
            transport.unregisterProducer()
            self.paused = False
            transport.loseWriteConnection()

    # -- the course of an exchange

    def replace_exchange(self, exchange: Exchange) -> None:
        """Go on with `exchange` in place of the present one."""
        self._exchange = exchange
        exchange.start()

    def exchange_over(self) -> None:
        """The answer is sent, and nobody waits for more of the request."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._record(exchange.status)
        self._next()

    def _next(self) -> None:
        self._quiet = 0
        if self._body is not None:  # the rest of an upload is still being discarded
            if self.closing:
                self._finish_writing()
            return
        if self.closing:
            self._close()
            return
        if self._reading_paused:
            self.resume_reading()
        if self._buffer:
            self._read_requests()

    def _record(self, status: int) -> None:
        site, request = self.site, self._request
        site.answers[status] += 1
        if request is None:
            return
        began, now = self._began, site.seconds()
        method, target = request.method, request.target
        log, traffic = site.access_log, self.traffic
        who, received, sent = self.address.encode(), self._received, self._sent
        if log is not None:
            log.record(who, request.host, method, target, status, sent, now - began)
        if traffic is not None:
            traffic.note(now, began, method, target, status, received, sent, who)
        if len(target) + len(request.lines) > _MAX_KEPT:
            self._request = None  # a connection that is idle holds little

    def splice(self, end: SpliceEnd) -> bytes:
        """Give all further bytes to `end`; returns those that have come already."""
        self._record(101)
        self._exchange = None
        self._spliced = end
        transport: Any = self.transport
        transport.unregisterProducer()
        end.makeConnection(transport)
        self.resume_reading()
        rest, self._buffer = self._buffer, b""
        return rest

    def _hand_over(self, raw: bytes) -> None:
        """Let the control plane have the connection (one port for both planes)."""
        transport: Any = self.transport
        rest, self._buffer = self._buffer, b""
        self.closing = True
        transport.unregisterProducer()
        self._connected = False
        self.site.left(self)
        if self._counted:
            self.site.forget_visitor(self.address)
        protocol = self.site.control_protocol(transport.getPeer())
        if isinstance(transport, ProtocolWrapper):  # TLS
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        protocol.makeConnection(transport)
        protocol.dataReceived(raw + rest)

    # -- IPushProducer, towards the visitor

    def pauseProducing(self) -> None:
        """The visitor takes no more for now."""
        self.paused = True
        self._quiet = 0
        if self._exchange is not None:
            self._exchange.pause()

    def resumeProducing(self) -> None:
        """The visitor takes more again."""
        self.paused = False
        self._quiet = 0
        if self._exchange is not None:
            self._exchange.resume()
        else:
            self._next()

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` sees to the rest."""

    # -- time

    def sweep(self) -> None:
        """A second has gone by."""
        self._quiet += 1
        exchange = self._exchange
        settings = self.site.settings.current
        if self._spliced is not None:
            return
        if self._leaving or self.paused:
            if self._quiet > _STALL_SECONDS:
                self.abort()
        elif self._lingering or self._discarding:
            self._age += 1
            limit = _DISCARD_SECONDS if self._counted else _LINGER_SECONDS
            if self._quiet > _LINGER_SECONDS or (self._discarding and self._age > limit):
                self._close()
        elif self._body is not None and not self._reading_paused and not self._waits_to_go_on:
            if self._quiet > settings.body_idle_seconds:
                self._refuse(HeadError("not come in time", 408))
        elif exchange is not None:
            exchange.sweeps += 1
            if not exchange.status:
                self._quiet = 0  # it is the upstream that everybody waits for
                if exchange.sweeps > settings.response_timeout_seconds:
                    exchange.timed_out()
                else:
                    exchange.keeps_waiting()
            elif self._body is not None and self._quiet > _STALL_SECONDS:
                self.abort()
        elif self._buffer:
            self._age += 1
            if self._age > settings.head_timeout_seconds:
                self._refuse(HeadError("not come in time", 408))
        elif self._quiet > (settings.keep_alive_seconds if self._counted else _LINGER_SECONDS):
            self._close()

    @property
    def _waits_to_go_on(self) -> bool:
        return self._exchange is not None and self._exchange.awaited
