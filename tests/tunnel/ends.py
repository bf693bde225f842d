"""The two ends of a link, played by a test message by message.

A `Client` talks to the real server, a `Server` to the real client.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from struct import pack, unpack
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import TestCase

from inletspy.wire.frames import CONTROL, pack_frame
from tests.peers import Peer, Upstream
from tests.tunnel.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    Frame,
    accept,
    close_code,
    frame,
    take_frames,
)

__all__ = ["Client", "End", "Server", "grant"]


class End:
    """One end of a link.

    Attributes:
        peer: its connection.
        head: what the other end said first.
        masked: whether it masks what it sends.
    """

    masked: bool

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.head = ""
        self._controls: list[dict[str, Any]] = []

    # -- what it says

    def send(self, message: bytes, opcode: int = BINARY) -> None:
        """Send one WebSocket message."""
        self.peer.send(frame(message, opcode, masked=self.masked))

    def say(self, *messages: Any) -> None:
        """Send control messages, in one WebSocket message; bytes as they are."""
        contents = [m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages]
        self.send(b"".join(pack_frame(0, CONTROL, content) for content in contents))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close the link."""
        self.send(pack("!H", code) + reason.encode(), CLOSE)

    def answer_pings(self) -> None:
        """Be alive, which one that is not asked for its frames is not."""
        ensureDeferred(self.frame()).addErrback(lambda failure: failure.trap(AssertionError))

    # -- what it hears

    async def frame(self) -> Frame:
        """The next WebSocket frame; pings are answered and left out."""
        while True:
            data = bytearray(await self.peer.read(2))
            extra = {126: 2, 127: 8}.get(data[1] & 0x7F, 0)
            data += await self.peer.read(extra)
            length = data[1] & 0x7F
            if extra:
                (length,) = unpack("!H" if extra == 2 else "!Q", data[2:])
            if data[1] & 0x80:
                length += 4
            data += await self.peer.read(length)
            (found,) = take_frames(data)
            if found.opcode != PING:
                return found
            self.send(found.payload, PONG)

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next control message, which must be of that kind."""
        message = await self.hear_one()
        if message["type"] != kind:
            raise AssertionError(f"not {kind!r}, but {message}")
        return message

    async def hear_one(self) -> dict[str, Any]:
        """The next control message."""
        while not self._controls:
            found = await self.frame()
            if found.opcode == CLOSE:
                raise AssertionError(f"closed before a message: {found.payload!r}")
            data = found.payload
            while data:
                stream, word = unpack("!II", data[:8])
                content, data = data[8 : 8 + (word >> 8)], data[8 + (word >> 8) :]
                if stream == 0 and word & 0xFF == CONTROL:
                    self._controls.append(json.loads(content))
        return self._controls.pop(0)

    async def closing(self) -> tuple[int, str]:
        """The code and the reason with which the other end closes the link; answers it."""
        while (found := await self.frame()).opcode != CLOSE:
            pass
        self.send(found.payload, CLOSE)
        return close_code(found.payload), found.payload[2:].decode()


class Client(End):
    """A client's end.

    Attributes:
        welcome: the server's, once there was one.
    """

    masked = True

    def __init__(self, peer: Peer) -> None:
        super().__init__(peer)
        self.welcome: dict[str, Any] = {}

    async def shake_hands(self, request: bytes) -> None:
        """Open the link."""
        self.peer.send(request)
        self.head = (await self.peer.read_until(b"\r\n\r\n")).decode()
        if not self.head.startswith("HTTP/1.1 101 "):
            body = await self.peer.read_to_end()
            raise AssertionError(f"refused: {self.head}{body.decode()}")

    def hello(self, *services: Mapping[str, Any], **more: Any) -> None:
        """Say hello."""
        hello = {"type": "hello", "version": 1, "client_id": "client", "services": services}
        self.say({**hello, **more})

    async def closed(self) -> tuple[int, str]:
        """The code and the reason with which the server closes the link, and does."""
        answer = await self.closing()
        await self.peer.ended()
        return answer

    async def refused(self) -> dict[str, Any]:
        """The error with which the server refuses; checks the close code."""
        error = await self.hear("error")
        code, reason = await self.closed()
        if not 4000 < code < 4100 or not error["message"].startswith(reason[:100]):
            raise AssertionError(f"{error} and then {code} {reason!r}")
        return error


class Server(End):
    """A server's end."""

    masked = False

    @classmethod
    async def accept(cls, listening: Upstream, subprotocol: str | None = "inletspy.v1") -> Server:
        """Let the next client in that connects."""
        server = cls(await listening.connection())
        server.head = (await server.peer.read_until(b"\r\n\r\n")).decode()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept(server.field('Sec-WebSocket-Key')).decode()}",
        ]
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        server.peer.send("\r\n".join([*lines, "", ""]).encode())
        return server

    @classmethod
    async def welcoming(cls, case: TestCase, listening: Upstream) -> Server:
        """Let the next client in, and welcome it with all its services."""
        server = await cls.accept(listening)
        hello = await server.hear("hello")
        server.welcome(*(grant(number, s["name"]) for number, s in enumerate(hello["services"], 1)))
        return server

    def field(self, name: str) -> str:
        """A field of the client's handshake."""
        for line in self.head.split("\r\n"):
            if line.startswith(f"{name}: "):
                return line[len(name) + 2 :]
        raise AssertionError(f"there is no {name} in {self.head}")

    def welcome(self, *services: Mapping[str, Any], **more: Any) -> None:
        """Welcome a client."""
        welcome = {"type": "welcome", "session": "5e55", "key": "6b", "heartbeat": 20}
        self.say({**welcome, "services": services, **more})

    async def refuse(self, code: str, *, retry: bool = False) -> None:
        """Refuse a client, and close the link."""
        self.say({"type": "error", "code": code, "message": f"it is {code}", "retry": retry})
        self.close(4001, f"it is {code}")
        while (await self.frame()).opcode != CLOSE:
            pass
        self.peer.close()


def grant(number: int, name: str) -> dict[str, Any]:
    """A service as a welcome grants it."""
    return {"name": name, "number": number, "public_url": f"http://{name}.tunnel.localhost:8080"}
