"""One request and its answer, between a visitor's channel and an upstream connection.

Decides what is sent on in both directions: the head is rewritten once, bodies pass as
they come, and what goes wrong becomes a page, a second try or a cut connection,
whichever a correct proxy owes the visitor at that point (RFC 9112, 9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from inletspy.edge import pages
from inletspy.errors import ClientAway, HeadError, ResetCode, StreamReset
from inletspy.tunnel.metered import ServiceEnd, VisitorEnd
from inletspy.tunnel.splice import splice
from inletspy.wire.bodies import chunk
from inletspy.wire.http1 import CHUNKED, CLOSE, NO_BODY, RequestHead, ResponseHead

if TYPE_CHECKING:
    from inletspy.edge.channel import EdgeChannel
    from inletspy.edge.upstreams import UpstreamConnection, UpstreamPool
    from inletspy.tunnel.session import Service

__all__ = ["Exchange"]

_PAGES = {
    ResetCode.REFUSED: pages.REFUSED,
    ResetCode.UNREACHABLE: pages.REFUSED,
    ResetCode.TIMEOUT: pages.TIMEOUT,
    ResetCode.LIMIT: pages.BUSY,
}
#: By these a client tells that there is no connection to its upstream, which got nothing.
_NOT_CONNECTED = (
    ResetCode.REFUSED,
    ResetCode.UNREACHABLE,
    ResetCode.TIMEOUT,
    ResetCode.LIMIT,
)


@implementer(IPushProducer)
class _Upload:
    """What a visitor sends, for the stream that takes it to hold up."""

    def __init__(self, channel: EdgeChannel) -> None:
        self._channel = channel

    def pauseProducing(self) -> None:
        self._channel.pause_reading()

    def resumeProducing(self) -> None:
        self._channel.resume_reading()

    def stopProducing(self) -> None:
        self._channel.abort()


class Exchange:
    """One request on its way; made by the resource, which knows where it goes.

    Attributes:
        request: its head.
        pool: the upstream connections of its service.
        awaited: whether the visitor may be waiting for leave to send the body.
        framing_differs: whether the visitor gets another framing than the upstream's.
        sweeps: seconds that the upstream has neither begun to answer nor taken anything.
        status: of the answer; 0 before there is one.
    """

    __slots__ = (
        "_answered",
        "_channel",
        "_connection",
        "_head",
        "_request_over",
        "_tried",
        "_wrap_chunks",
        "awaited",
        "framing_differs",
        "pool",
        "request",
        "status",
        "sweeps",
    )

    def __init__(
        self, channel: EdgeChannel, request: RequestHead, head: bytes, pool: UpstreamPool
    ) -> None:
        self.request = request
        self.pool = pool
        self.awaited = request.expects_continue
        self.framing_differs = False
        self.sweeps = 0
        self.status = 0
        self._channel = channel
        self._head = head
        self._connection: UpstreamConnection | None = None
        self._request_over = request.framing == NO_BODY
        self._answered = False
        self._tried: tuple[Service, ...] = ()
        self._wrap_chunks = False

    def start(self) -> None:
        """Send the request's head to the upstream."""
        self._send(fresh=not self.request.retriable)

    def _send(self, *, fresh: bool) -> None:
        try:
            connection = self.pool.connection(self._channel.visitor, fresh=fresh)
        except ClientAway:
            if not self._goes_elsewhere():
                self._channel.answer_page(pages.CLIENT_AWAY)
            return
        except StreamReset as error:
            if not self._goes_elsewhere():
                self._channel.answer_page(_PAGES.get(error.code, pages.BUSY))
            return
        self._connection = connection
        transport: Any = connection.transport
        if self.request.framing != NO_BODY:
            # A slow upstream slows its own visitor's upload, and nothing else.
            transport.registerProducer(_Upload(self._channel), True)
        if self._channel.paused:
            transport.pauseProducing()
        connection.begin(self, self._head)

    # -- what the channel tells

    def body(self, data: bytes) -> None:
        """A part of the request's body, with its chunk framing if it has one."""
        self.awaited = False
        self.sweeps = 0
        if self._connection is not None:
            self._connection.transport.write(data)  # type: ignore[union-attr]

    def body_over(self) -> None:
        """The request is complete."""
        self._release_visitor()
        self._request_over = True
        if self._answered:
            self._over()

    def pause(self) -> None:
        """The visitor takes no more for now."""
        if self._connection is not None:
            self._connection.transport.pauseProducing()  # type: ignore[union-attr]

    def resume(self) -> None:
        """The visitor takes more again."""
        if self._connection is not None:
            self._connection.transport.resumeProducing()  # type: ignore[union-attr]

    def cancel(self) -> None:
        """The visitor has gone, or waits no longer: the upstream need not go on."""
        connection = self._part()
        if connection is not None:
            connection.abort()

    # -- what the upstream connection tells

    def informational(self, head: ResponseHead) -> None:
        """A 1xx answer: the final one follows."""
        if head.status == 100:  # the only one that lets the body come (RFC 9110, 10.1.1)
            self.awaited = False
        self.sweeps = 0
        if self.request.minor:  # HTTP/1.0 knows none (RFC 9110, 15.2)
            self._channel.write(head.forward())

    def switching(self, head: ResponseHead) -> None:
        """The upstream changes to another protocol: bytes pass freely from here on."""
        connection = self._connection
        if connection is None or not self.request.upgrade or not self._request_over:
            raise HeadError("101 without a request for it")
        self.status = 101
        self._connection = None
        connection.transport.resumeProducing()  # type: ignore[union-attr]
        traffic = self.pool.service.traffic
        visitor, upstream = VisitorEnd(traffic), ServiceEnd(traffic)
        early = connection.splice(upstream)
        upstream.makeConnection(connection.transport)
        self._channel.write(head.forward() + early)
        rest = self._channel.splice(visitor)
        splice(visitor, upstream)
        if rest:
            visitor.dataReceived(rest)

    def answer(self, head: ResponseHead) -> bytes:
        """The head of the final answer, as the visitor gets it."""
        channel = self._channel
        request = self.request
        self.status = head.status
        keep_alive = request.keep_alive and not (channel.closing or self.awaited)
        extra = b""
        if head.framing == CLOSE:
            if request.minor:
                self._wrap_chunks = self.framing_differs = True
                extra = b"Transfer-Encoding: chunked\r\n"
            else:
                keep_alive = False
        elif head.framing == CHUNKED and not request.minor:
            self.framing_differs = True
            keep_alive = False
        if not keep_alive:
            channel.closing = True
            extra += b"Connection: close\r\n"
        elif not request.minor:
            extra += b"Connection: keep-alive\r\n"
        return head.forward(extra, unframed=not request.minor)

    def reframe(self, content: bytes) -> bytes:
        """Content in the visitor's framing, where that is not the upstream's."""
        return chunk(content) if self._wrap_chunks and content else content

    def content(self, data: bytes) -> None:
        """Bytes of the answer, for the visitor."""
        self._channel.write(data)

    def answered(self) -> None:
        """The answer is complete."""
        self._answered = True
        if self._wrap_chunks:
            self._channel.write(b"0\r\n\r\n")
        if self._request_over:
            self._over()
        elif self.awaited or (self._connection is not None and not self._connection.reusable):
            # It has said all it will: the rest of the request, if it comes, is for nobody.
            self._channel.discard_body()
            self._over()
        # Else the upstream may still be reading, as a server that answers early does.

    def upstream_broken(self) -> None:
        """The upstream sent something that is not HTTP; its connection is cut already."""
        self._part()
        if self._answered:
            self._channel.discard_body()
            self._over()
        else:
            self._fail(pages.BROKEN)

    def upstream_lost(self, reason: Failure) -> None:
        """The upstream's connection has ended before the exchange was over."""
        connection = self._part()
        if self._answered:
            self._channel.discard_body()
            self._over()
        elif self.status:
            self._channel.abort()
        elif connection is not None and self._goes_again(connection, reason):
            pass
        elif self.pool.service.session.link is None:
            self._fail(pages.CLIENT_AWAY)
        elif isinstance(reason.value, StreamReset):
            self._fail(_PAGES.get(reason.value.code, pages.BROKEN))
        else:
            self._fail(pages.BROKEN)

    def keeps_waiting(self) -> None:
        """A second has gone by without an answer: try another client if this one is silent.

        Of no effect where there is none, or where that might do something twice.
        """
        connection = self._connection
        if (
            self.pool.service.session.silent
            and connection is not None
            and not connection.begun
            and self.request.retriable
        ):
            self._goes_elsewhere()

    def timed_out(self) -> None:
        """The upstream has not begun to answer in time."""
        self.cancel()
        self._fail(pages.TIMEOUT)

    # -- ends

    def _goes_again(self, connection: UpstreamConnection, reason: Failure) -> bool:
        """Send the request once more where that can't do anything twice; whether it was."""
        if connection.begun:
            return False
        if isinstance(reason.value, StreamReset) and reason.value.code in _NOT_CONNECTED:
            # Of a body that has begun, some is gone.
            whole = self.request.framing == NO_BODY or self.awaited
            return whole and self._goes_elsewhere()
        if not self.request.retriable:
            return False
        service = self.pool.service
        if service.away and self._goes_elsewhere():
            return True
        if connection.used and service.session.link is not None:
            # It was closing as we wrote (RFC 9112, 9.3.1).
            self._send(fresh=True)
            return True
        return False

    def _goes_elsewhere(self) -> bool:
        """Send the request to another client that serves the name, if there is one."""
        self._tried += (self.pool.service,)
        place = self._channel.site.resource.elsewhere(self._channel, self.request, self._tried)
        if place is None:
            return False
        left = self._part()
        if left is not None:
            left.abort()
        self.pool, self._head = place
        self._send(fresh=True)
        return True

    def _fail(self, page: pages.Page) -> None:
        if self.status:
            self._channel.abort()
        else:
            self._channel.answer_page(page)

    def _over(self) -> None:
        connection = self._part()
        if connection is not None:
            if self._channel.paused:
                connection.transport.resumeProducing()  # type: ignore[union-attr]
            if self._request_over:
                connection.release()
            else:
                connection.close()
        self._channel.exchange_over()

    def _part(self) -> UpstreamConnection | None:
        """Have nothing more to do with the connection."""
        if not self._request_over:
            self._release_visitor()
        connection, self._connection = self._connection, None
        return connection

    def _release_visitor(self) -> None:
        """No more of the upload goes into the stream; what is left there holds nobody up."""
        if self._connection is not None:
            self._connection.transport.unregisterProducer()  # type: ignore[union-attr]
        self._channel.resume_reading()
