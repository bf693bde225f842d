"""The inspector's site, on loopback: its page, its files and its calls.

This is what `twisted.web` serves. It is loaded when the first browser or program comes,
since it takes a while to load and most tunnels are never looked at.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IAddress
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from inletspy.answers import Problem, error_of, send
from inletspy.client.inspector.api import Calls
from inletspy.client.inspector.gate import Gate
from inletspy.files import Files

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.http_headers import Headers

__all__ = ["InspectorSite"]

#: Bytes of a request's body, of one that nobody who is let in sends, seconds that a client may
#: stay silent, connections at once.
BODY_LIMIT: Final = 4 << 20
STRANGERS_LIMIT: Final = 4096
PATIENCE: Final = 60.0
MAX_CONNECTIONS: Final = 128


class _Request(Request):
    transport: Any  # of TCP: it can do more than ITransport says
    channel: _Channel

    def gotLength(self, length: int | None) -> None:
        """Keep the body in memory: it is bounded."""
        self.content = BytesIO()
        self._limit = BODY_LIMIT if self.channel.site.lets_in(self) else STRANGERS_LIMIT

    def handleContentChunk(self, data: bytes) -> None:
        """Take a piece of the body, as long as that is not too long."""
        assert self.content is not None
        if self.content.tell() + len(data) > self._limit:
            self.transport.abortConnection()
        else:
            self.content.write(data)

    def processingFailed(self, reason: Failure) -> Failure:
        """Show no traceback."""
        self.transport.abortConnection()
        return reason


class _Channel(HTTPChannel):
    site: InspectorSite
    requestFactory = _Request

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Count the connection no more."""
        self.site.connections -= 1
        super().connectionLost(reason)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        """Send an answer's head, which does not say who serves."""
        headers.removeHeader(b"Server")
        super().writeHeaders(version, code, reason, headers)


class _Root(Resource):
    isLeaf = True

    def __init__(self, gate: Gate, calls: Calls) -> None:
        super().__init__()
        self._gate = gate
        self._calls = calls
        self._files = Files("inspector")

    def render(self, request: Request) -> int:
        """Hand a request on, if it is meant for this host."""
        try:
            self._gate.check_host(request)
        except Problem as problem:
            request.setResponseCode(problem.status, b"Misdirected Request")
            send(request, {"success": False, **error_of(problem)})
            return NOT_DONE_YET
        if request.path.startswith(b"/api/"):
            return self._calls.render(request)
        return self._files.render(request)


class InspectorSite(Site):
    """What listens.

    Attributes:
        connections: how many are open.
    """

    protocol = _Channel  # type: ignore[assignment]
    requestFactory = _Request

    def __init__(self, reactor: Any, gate: Gate, calls: Calls) -> None:
        super().__init__(
            _Root(gate, calls), timeout=PATIENCE, reactor=reactor, parsePOSTFormSubmission=False
        )
        self.connections = 0
        self._gate = gate

    def lets_in(self, request: Request) -> bool:
        """Whether a request, whose body may be still to come, is of somebody who may ask."""
        try:
            self._gate.check_host(request)
            self._gate.check_caller(request)
        except Problem:
            return False
        return True

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel, or None if there are too many."""
        if self.connections >= MAX_CONNECTIONS:
            return None
        self.connections += 1
        return super().buildProtocol(addr)

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 and nothing else."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Open no access log."""
