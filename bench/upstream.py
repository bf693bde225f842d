"""A small upstream of our own: `python -m bench.upstream HTTP_PORT TCP_PORT`.

By HTTP it answers `GET /N` with N bytes, any upload with how many bytes came, `/events`
with an event now and then that says when it was sent, and a WebSocket upgrade with an
echo. By TCP a connection that says `D` and a number of eight bytes gets that many bytes;
of one that says anything else, all is echoed. It takes requests apart no further than that.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sys
import time
from typing import Final

__all__ = ["ECHO_FRAME", "ECHO_SIZE", "Http", "Tcp"]

_find_length = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE).search
_find_key = re.compile(rb"\r\nsec-websocket-key: *([^\r]+)", re.IGNORECASE).search
_BLOCK: Final = b"x" * 262_144
#: Seconds between two events.
_EVENT_SECONDS: Final = 0.05

#: Bytes of content in a WebSocket message that is echoed.
ECHO_SIZE: Final = 64
#: Such a message as a client sends it: its mask is zero, so that nobody has to mask it.
ECHO_FRAME: Final = bytes((0x82, 0x80 | ECHO_SIZE)) + bytes(4) + b"m" * ECHO_SIZE


class _Sender(asyncio.Protocol):
    """A connection that can send many bytes."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = b""
        #: Bytes of a download that are still to be written.
        self._download = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """The peer has gone: send it no more."""
        self._download = 0

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self._paused = True

    def resume_writing(self) -> None:
        """The peer takes more."""
        self._paused = False
        self._go_on()

    def _send(self, size: int) -> None:
        self._download += size
        self._go_on()

    def _go_on(self) -> None:
        while self._download and not self._paused and not self._transport.is_closing():
            block = _BLOCK[: self._download]
            self._download -= len(block)
            self._transport.write(block)


class Http(_Sender):
    """One connection that speaks HTTP."""

    def __init__(self) -> None:
        super().__init__()
        #: Bytes of an upload that are still to come, and how many there are in all.
        self._upload = 0
        self._uploaded = 0
        self._echoing = False
        self._events: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take a piece of an upload, of a message, or of a request's head."""
        if self._echoing:
            self._echo(data)
            return
        if self._upload:
            data = self._take_upload(data)
        self._buffer += data
        while not self._upload and not self._echoing and b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._answer(head)

    def connection_lost(self, error: Exception | None) -> None:
        """The peer has gone: send it no more."""
        super().connection_lost(error)
        if self._events is not None:
            self._events.cancel()

    def _answer(self, head: bytes) -> None:
        length = _find_length(head)
        target = head.split(b" ", 2)[1].strip(b"/")
        self._uploaded = self._upload = int(length[1]) if length else 0
        if self._upload:
            if b"100-continue" in head:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            rest, self._buffer = self._buffer, b""
            self._buffer = self._take_upload(rest)
        elif key := _find_key(head):
            self._switch(key[1].strip())
        elif target == b"events":
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            self._send_event()
        else:
            size = int(target) if target.isdigit() else 0
            self._transport.write(_head(size) + b"x" * min(size, 4096))
            self._send(max(0, size - 4096))

    def _take_upload(self, data: bytes) -> bytes:
        """Count what belongs to the upload; gives the rest."""
        size = min(len(data), self._upload)
        self._upload -= size
        if not self._upload:
            body = b"%d" % self._uploaded
            self._transport.write(_head(len(body)) + body)
        return data[size:]

    def _send_event(self) -> None:
        event = b"data: %d\n\n" % time.monotonic_ns()
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self._events = asyncio.get_running_loop().call_later(_EVENT_SECONDS, self._send_event)

    def _switch(self, key: bytes) -> None:
        """Become a WebSocket (RFC 6455, 4.2.2)."""
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        self._echoing = True
        data, self._buffer = self._buffer, b""
        if data:
            self._echo(data)

    def _echo(self, data: bytes) -> None:
        """Send back messages, all of which are `ECHO_FRAME`, without their masks."""
        self._buffer += data
        count, rest = divmod(len(self._buffer), len(ECHO_FRAME))
        self._buffer = self._buffer[len(self._buffer) - rest :]
        self._transport.write((ECHO_FRAME[:1] + bytes((ECHO_SIZE,)) + ECHO_FRAME[6:]) * count)


class Tcp(_Sender):
    """One connection that speaks nothing in particular."""

    def data_received(self, data: bytes) -> None:
        """Send back what comes, or as much as is asked for."""
        if self._buffer or (data[:1] == b"D" and not self._download):
            self._buffer += data
            if len(self._buffer) >= 9:
                size = int.from_bytes(self._buffer[1:9], "big")
                self._buffer = b""
                self._send(size)
        else:
            self._transport.write(data)


def _head(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size


async def _serve(http: int, tcp: int) -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(Http, "127.0.0.1", http, backlog=1024),
        await loop.create_server(Tcp, "127.0.0.1", tcp, backlog=1024),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
