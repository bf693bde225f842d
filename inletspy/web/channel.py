"""HTTP on the status port: twisted.web's channel with bounds, and silent about itself.

Owns what is common to all requests before a resource sees them and to all answers:
the limit on bodies, the time a client may take, back-pressure on pipelined requests,
and that errors found at this level are JSON and disclose nothing. Knows no resource.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from inletspy.answers import InvalidRequest, Problem, encode, error_of, send
from inletspy.web.access import allow_origin

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.http_headers import Headers

    from inletspy.web.site import StatusSite

__all__ = ["BODY_LIMIT", "PATIENCE_SECONDS", "StatusChannel", "StatusRequest"]

_log = Logger()

#: Longest request body, in bytes.
BODY_LIMIT: Final = 65_536

#: How long a client may take for a whole request, to take the last answer, and to
#: stay away between two requests.
PATIENCE_SECONDS: Final = 30.0

#: What every answer says, unless a resource says otherwise.
_COMMON_FIELDS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class StatusRequest(Request):
    """A request to the status port."""

    channel: StatusChannel

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory: the channel sees to it that it is short."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, as long as the body is not too long."""
        assert self.content is not None
        if self.content.tell() + len(data) > BODY_LIMIT:
            self.channel.refuse_body()
        else:
            self.content.write(data)

    def process(self) -> None:
        """Find the resource and let it answer."""
        if self.path == b"*":
            # twisted.web would answer these itself, not in JSON.
            self.path = b"/*"
        allow_origin(self, self.channel.site.settings.current.cors_allowed_origins)
        super().process()

    def processingFailed(self, reason: Failure) -> Failure:
        """Tell the log what went wrong, and the client only that something did."""
        _log.failure("A request to the status port failed", failure=reason)
        if self.startedWriting:
            self.loseConnection()
        else:
            self.setResponseCode(500)
            send(self, error_of(Problem(500, "Internal error")))
        return reason


class StatusChannel(HTTPChannel):
    """One connection to the status port."""

    site: StatusSite
    transport: Any  # whatever the endpoint makes: it can do more than ITransport says
    requestFactory = StatusRequest
    maxHeaders = 100

    #: Whether the connection is over as far as this side is concerned.
    _ending = False
    #: Whether the peer takes the answers more slowly than it asks.
    _full = False

    # -- time -----------------------------------------------------------------------

    def resetTimeout(self) -> None:
        """Leave the clock running: some bytes now and then don't earn more time."""

    def timeoutConnection(self) -> None:
        """End the connection; if it should have ended long ago, by force."""
        if self._ending:
            self.transport.abortConnection()
        else:
            self.loseConnection()

    def loseConnection(self) -> None:
        """End the connection once all is sent, for which the peer has some time only."""
        self._ending = True
        self.setTimeout(PATIENCE_SECONDS)
        super().loseConnection()

    def connectionMade(self) -> None:
        """Count the connection."""
        super().connectionMade()
        self._peer = self.getPeer()
        self.site.connected(self._peer)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Count the connection no more."""
        self.site.disconnected(self._peer)
        super().connectionLost(reason)

    # -- requests that are refused before they are complete -------------------------

    def refuse(self, detail: str) -> None:
        """Answer 400 to what is no good request, and take nothing more on this connection.

        What still arrives is read for a while and dropped: closing at once could cost
        the client the answer (RFC 9112, 9.6).
        """
        if self._ending:
            return
        self._ending = True
        body = encode(error_of(InvalidRequest(detail)))
        fields = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **_COMMON_FIELDS,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (head.encode("ascii"), body))
        self.transport.unregisterProducer()
        if not self.isSecure():  # TLS knows no half-close
            self.transport.loseWriteConnection()
        self.setTimeout(PATIENCE_SECONDS)

    def refuse_body(self) -> None:
        """Refuse a body that is too long."""
        self.refuse(f"The body is over {BODY_LIMIT} bytes")

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse("This is no HTTP request")

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a head with a line that has no end."""
        self.refuse("The request's head is too long")

    def dataReceived(self, data: bytes) -> None:
        """Take bytes, unless there is nobody left to take them."""
        if not self._ending:
            super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """Take a line of a head."""
        if not self._ending:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        """Take bytes of a body."""
        if not self._ending:
            super().rawDataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        """Take a header field; false if it can't be one."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            # Python refuses to read a Content-Length of thousands of digits.
            self._respondToBadRequestAndDisconnect()
            return False

    def allHeadersReceived(self) -> None:
        """Refuse a body that says it is too long before it is on its way."""
        if self.length is not None and self.length > BODY_LIMIT:
            self.refuse_body()
        else:
            super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """Pass a complete request on."""
        if not self._ending:
            super().allContentReceived()

    # -- back-pressure ----------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Note that the peer does not keep up."""
        self._full = True
        super().pauseProducing()

    def requestDone(self, request: Request) -> None:
        """Leave pipelined requests alone until the peer took the answers so far.

        twisted.web goes on answering what it has read, and reading, into a buffer
        that nothing bounds.
        """
        self.paused = self._full
        super().requestDone(request)
        if self.paused and not self._ending:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on with what was left alone."""
        self._full = False
        super().resumeProducing()
        if self.paused:
            self.paused = False
            self.dataReceived(b"")

    # -- answers ------------------------------------------------------------------------

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Send an answer's head, with what all have in common."""
        headers.removeHeader(b"Server")
        for name, value in _COMMON_FIELDS.items():
            if not headers.hasHeader(name):
                headers.setRawHeaders(name, [value])
        super().writeHeaders(version, code, reason, headers)
