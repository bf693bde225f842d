"""The server's end of a link: which handshakes are let through, and how others are refused.

autobahn checks that a handshake is one; whether it is welcome, the control plane decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from txaio.tx import make_logger

from inletspy.policy.sources import UNIX
from inletspy.tunnel.link import MAX_MESSAGE, Link

__all__ = ["ServerEvents", "ServerLink", "ServerLinkFactory"]

_log = Logger()


class ServerEvents(Protocol):
    """Who decides on the links that come in; see `control.ControlPlane`."""

    def connected(self, link: ServerLink) -> None:
        """Somebody has come who has said nothing yet."""

    def check(self, link: ServerLink, path: str, headers: Mapping[str, str]) -> object:
        """Raise ConnectionDeny if nothing is to be had there, or not for this client."""

    def connecting(self, link: ServerLink, request: ConnectionRequest) -> Any:
        """Accept with a subprotocol or None, or raise ConnectionDeny; may be a Deferred."""

    def opened(self, link: ServerLink) -> None:
        """The handshake is done."""

    def dropped(self, link: ServerLink) -> None:
        """The connection is gone."""


class ServerLink(Link, WebSocketServerProtocol):  # type: ignore[misc]
    """The server's end of a link.

    Attributes:
        retry_after: seconds after which who is refused may try again; 0 for none.
    """

    _sent_mask_bit = 0
    _received_mask_bit = 0x80
    retry_after = 0
    #: autobahn would say two lines of each handshake that fails.
    log = make_logger(level="error")
    _asked = False

    def connectionMade(self) -> None:
        """Somebody has come."""
        super().connectionMade()
        self.factory.events.connected(self)

    @property
    def source(self) -> str:
        """The address of the peer, or `UNIX`."""
        return str(getattr(self.transport.getPeer(), "host", UNIX))

    def onConnect(self, request: ConnectionRequest) -> Any:
        """Let the control plane decide."""
        self._asked = True
        decision = maybeDeferred(self.factory.events.connecting, self, request)
        return decision.addErrback(self._failed)

    @staticmethod
    def _failed(failure: Failure) -> Failure:
        if failure.check(ConnectionDeny) is None:
            _log.failure("A handshake failed", failure=failure)
        return failure

    def onOpen(self) -> None:
        """The handshake is done."""
        self._prepare_transport()
        self.factory.events.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, be it in the middle of the handshake."""
        super().connectionLost(reason)
        self._end(None, "")
        self.factory.events.dropped(self)

    def processHandshake(self) -> None:
        """Don't wait for the end of what begins like TLS (RFC 8446, 5.1)."""
        if self.data.startswith(b"\x16\x03"):
            self.dropConnection(abort=True)
        else:
            super().processHandshake()

    def succeedHandshake(self, res: Any) -> None:
        """Go on with the handshake, unless the connection went while it was decided."""
        if self.state == self.STATE_CONNECTING:
            super().succeedHandshake(res)

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """Refuse; who may not come in learns nothing else."""
        if not self._asked:
            words = getattr(self, "http_status_line", "").split()
            path = words[1].partition("?")[0] if len(words) == 3 else ""
            try:
                self.factory.events.check(self, path, getattr(self, "http_headers", {}))
            except ConnectionDeny as denial:
                reason, code = str(denial.reason), denial.code
        super().failHandshake(reason, code, responseHeaders)

    def sendHttpErrorResponse(self, code: int, reason: str, responseHeaders: Any = None) -> None:
        """Answer a refused handshake with a reason that a person can read."""
        if code == 500:
            reason = "internal error"
        elif code not in _REASONS:
            code = 400
        body = f"{reason}\n".encode("ascii", "replace")
        head = (
            f"HTTP/1.1 {code} {_REASONS[code]}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\n"
            + (f"Retry-After: {self.retry_after}\r\n" if self.retry_after else "")
            + "Connection: close\r\n\r\n"
        )
        self.sendData(head.encode() + body)


_REASONS: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class ServerLinkFactory(WebSocketServerFactory):
    """Makes the server's ends of links.

    Args:
        reactor: runs their timers.
        events: decides on them.
    """

    protocol = ServerLink
    noisy = False

    def __init__(self, reactor: Any, events: ServerEvents) -> None:
        super().__init__(server="inletspy", reactor=reactor)
        self.events = events
        self.setProtocolOptions(
            webStatus=False,
            failByDrop=False,
            openHandshakeTimeout=10,
            closeHandshakeTimeout=2,
            maxFramePayloadSize=MAX_MESSAGE,
            maxMessagePayloadSize=MAX_MESSAGE,
            serveFlashSocketPolicy=False,
        )
