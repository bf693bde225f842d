"""A small upstream of our own: `python -m bench.upstream PORT`.

Answers `GET /N` with N bytes, and any upload with how many bytes came, over connections
that are kept. It takes the request apart no further than that.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import Final

__all__ = ["Upstream"]

_find_length = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE).search
_BLOCK: Final = b"x" * 262_144


class Upstream(asyncio.Protocol):
    """One connection."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = b""
        #: Bytes of an upload that are still to come, and how many there are in all.
        self._upload = 0
        self._uploaded = 0
        #: Bytes of a download that are still to be written.
        self._download = 0
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take a piece of an upload, or of a request's head."""
        if self._upload:
            data = self._take_upload(data)
        self._buffer += data
        while not self._upload and b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        length = _find_length(head)
        self._uploaded = self._upload = int(length[1]) if length else 0
        if self._upload:
            if b"100-continue" in head:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            rest, self._buffer = self._buffer, b""
            self._buffer = self._take_upload(rest)
        else:
            target = head.split(b" ", 2)[1].strip(b"/")
            size = int(target) if target.isdigit() else 0
            self._transport.write(_head(size) + b"x" * min(size, 4096))
            self._download = max(0, size - 4096)
            self._go_on()

    def _take_upload(self, data: bytes) -> bytes:
        """Count what belongs to the upload; gives the rest."""
        size = min(len(data), self._upload)
        self._upload -= size
        if not self._upload:
            body = b"%d" % self._uploaded
            self._transport.write(_head(len(body)) + body)
        return data[size:]

    def pause_writing(self) -> None:
        """The peer does not keep up."""
        self._paused = True

    def resume_writing(self) -> None:
        """The peer takes more."""
        self._paused = False
        self._go_on()

    def _go_on(self) -> None:
        while self._download and not self._paused:
            block = _BLOCK[: self._download]
            self._download -= len(block)
            self._transport.write(block)


def _head(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
