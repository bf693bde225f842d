"""The client's end of a link: the handshake it makes, and why it was refused.

Where the server is and how to get there is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.types import ConnectionResponse
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from inletspy.tunnel.link import MAX_MESSAGE, Link

__all__ = ["ClientLink", "ClientLinkFactory"]

#: How long a server may take to answer the handshake, in seconds.
_HANDSHAKE_SECONDS: Final = 20

_match_status = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?![^ \r])").match
_find_wait = re.compile(rb"\r\nretry-after:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE).search
_find_length = re.compile(rb"\r\ncontent-length: *([0-9]{1,9})(?![^ \r])", re.IGNORECASE).search


class ClientLink(Link, WebSocketClientProtocol):  # type: ignore[misc]
    """The client's end of a link.

    Attributes:
        rejection: status and text with which the server refused the handshake.
        retry_after: seconds that it asked to wait then before the next.
    """

    _sent_mask_bit = 0x80
    _received_mask_bit = 0
    rejection: tuple[int, str] | None = None
    retry_after = 0

    def onConnect(self, response: ConnectionResponse) -> None:
        """The server has accepted."""
        self.factory.accepted(self, response)

    def onOpen(self) -> None:
        """The handshake is done."""
        self._prepare_transport()
        self.factory.opened(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        super().connectionLost(reason)
        self._end(None, "")
        self.factory.dropped(self, reason)

    def processHandshake(self) -> None:
        """Leave to autobahn what may be a server that accepts; note what others say."""
        head, separator, body = self.data.partition(b"\r\n\r\n")
        if not separator:
            return
        status = _match_status(head)
        if status is not None and status[1] == b"101" and head.isascii():
            super().processHandshake()
            return
        if status is not None:
            text = "".join(c for c in body[:300].decode("utf-8", "replace") if c.isprintable())
            self.rejection = (int(status[1]), text.strip())
            wait = _find_wait(head + b"\r\n")
            self.retry_after = int(wait[1]) if wait is not None else 0
            size = _find_length(head)
            if size is not None and len(body) < min(int(size[1]), 300):
                return  # the text is still on its way
        self.dropConnection(abort=True)


class _Fields:
    """Header fields as autobahn asks for them, which by itself repeats none.

    Args:
        headers: a list of values makes as many fields.
    """

    def __init__(self, headers: dict[str, str | list[str]]) -> None:
        self._fields = [
            (name, value)
            for name, values in headers.items()
            for value in ([values] if isinstance(values, str) else values)
        ]

    def items(self) -> list[tuple[str, str]]:
        """Names and values."""
        return self._fields


class ClientLinkFactory(WebSocketClientFactory):
    """Makes the client's ends of links.

    Args:
        reactor: runs their timers.
        url: the server's, ws or wss, with path.
        token: sent in the Authorization field; empty for none.
        subprotocols: what the client speaks; empty for the inlets protocol.
        headers: further fields of the handshake; a list of values repeats a field.
    """

    protocol = ClientLink
    noisy = False

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        token: str,
        subprotocols: list[str],
        headers: dict[str, str | list[str]],
    ) -> None:
        if token:
            headers = {"Authorization": f"Bearer {token}", **headers}
        super().__init__(url=url, protocols=subprotocols, useragent="inletspy", reactor=reactor)
        self.headers = _Fields(headers)
        self.accepted: Callable[[ClientLink, ConnectionResponse], None] = lambda *args: None
        self.opened: Callable[[ClientLink], None] = lambda link: None
        self.dropped: Callable[[ClientLink, Failure], None] = lambda link, reason: None
        self.setProtocolOptions(
            failByDrop=False,
            openHandshakeTimeout=_HANDSHAKE_SECONDS,
            closeHandshakeTimeout=2,
            maxFramePayloadSize=MAX_MESSAGE,
            maxMessagePayloadSize=MAX_MESSAGE,
        )
