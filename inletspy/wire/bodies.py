"""Where the body of an HTTP/1.1 message ends (RFC 9112, 6 and 7.1).

A body is fed the bytes of its connection and says how many of them are its own; they
can be passed on as they are, since nothing that is malformed gets past it. What comes
after them belongs to the next message. It knows nothing of heads but their framing.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

from inletspy.errors import HeadError
from inletspy.wire.fields import CHUNKED, CLOSE, SIZED, TOKEN, VALUE

__all__ = ["Body", "ChunkedBody", "CloseBody", "SizedBody", "body_for", "chunk"]

#: The longest line with a chunk's size, and the longest trailer section, in bytes.
MAX_SIZE_LINE: Final = 4096
MAX_TRAILERS: Final = 65536

_match_size_line = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;" + VALUE + rb")?\r\n").fullmatch
#: A program that takes trailers for headers must not find framing or routing in them
#: (RFC 9110, 6.5.1).
_match_trailer_line = re.compile(
    rb"(?!(?:content-length|transfer-encoding|host):)" + TOKEN + rb":" + VALUE + rb"\r\n",
    re.IGNORECASE,
).fullmatch


class Body(Protocol):
    """A message's body, as its bytes come in.

    Attributes:
        finished: whether its last byte has been fed.
    """

    finished: bool

    def feed(self, data: bytes, pieces: list[bytes] | None = None) -> int:
        """Take what belongs to the body from the start of `data`.

        Args:
            data: what came after all that was fed before.
            pieces: if given, gets the content alone, without chunk framing.

        Returns:
            How many bytes belong to the body.

        Raises:
            HeadError: its framing is broken.
        """


class SizedBody:
    """A body with a Content-Length."""

    __slots__ = ("finished", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.finished = length == 0

    def feed(self, data: bytes, pieces: list[bytes] | None = None) -> int:
        """See `Body.feed`."""
        size = len(data)
        if size >= self.left:
            size = self.left
            self.finished = True
        self.left -= size
        if pieces is not None:
            pieces.append(data[:size])
        return size


class CloseBody:
    """A response's body that ends with its connection; it never finishes by itself."""

    __slots__ = ("finished",)

    def __init__(self) -> None:
        self.finished = False

    def feed(self, data: bytes, pieces: list[bytes] | None = None) -> int:
        """See `Body.feed`."""
        if pieces is not None:
            pieces.append(data)
        return len(data)


class ChunkedBody:
    """A body in the chunked transfer coding, with its trailers.

    Attributes:
        trailer_bytes: how long the lines of its trailers are by now.
    """

    __slots__ = ("_in_trailers", "_left", "_line", "finished", "trailer_bytes")

    def __init__(self) -> None:
        self.finished = False
        #: Bytes of the present chunk that are still to come, with its CRLF.
        self._left = 0
        #: The beginning of a line whose end has not come yet.
        self._line = b""
        self._in_trailers = False
        self.trailer_bytes = 0

    def feed(self, data: bytes, pieces: list[bytes] | None = None) -> int:
        """See `Body.feed`."""
        position = 0
        size = len(data)
        while position < size and not self.finished:
            if self._left:
                position = self._feed_chunk(data, position, pieces)
            else:
                position = self._feed_line(data, position)
        return position

    def _feed_chunk(self, data: bytes, position: int, pieces: list[bytes] | None) -> int:
        content = self._left - 2
        if content > 0:
            end = min(position + content, len(data))
            if pieces is not None:
                pieces.append(data[position:end])
            self._left -= end - position
            position = end
        if self._left <= 2:
            # Its CRLF, or as much of it as is missing and has come.
            line_end = data[position : position + self._left]
            if not b"\r\n".startswith(line_end, 2 - self._left):
                raise HeadError("a chunk does not end with CRLF")
            self._left -= len(line_end)
            position += len(line_end)
        return position

    def _feed_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position) + 1
        line = self._line + (data[position:end] if end else data[position:])
        if len(line) > (MAX_TRAILERS if self._in_trailers else MAX_SIZE_LINE):
            raise HeadError("a chunk's size line or trailer is too long")
        if not end:
            self._line = line
            return len(data)
        self._line = b""
        if self._in_trailers:
            self._end_trailer_line(line)
        else:
            self._end_size_line(line)
        return end

    def _end_size_line(self, line: bytes) -> None:
        match = _match_size_line(line)
        if match is None:
            raise HeadError("a malformed chunk size")
        size = int(match[1], 16)
        if size >= 1 << 63:  # where other programs' numbers turn negative
            raise HeadError("a chunk that is too large")
        if size:
            self._left = size + 2
        else:
            self._in_trailers = True

    def _end_trailer_line(self, line: bytes) -> None:
        if line == b"\r\n":
            self.finished = True
            return
        self.trailer_bytes += len(line)
        if self.trailer_bytes > MAX_TRAILERS:
            raise HeadError("the trailers are too long")
        if _match_trailer_line(line) is None:
            raise HeadError("a malformed trailer")


def body_for(framing: int, length: int) -> Body | None:
    """The body that a head announces; None where there is none."""
    if framing == SIZED:
        return SizedBody(length)
    if framing == CHUNKED:
        return ChunkedBody()
    if framing == CLOSE:
        return CloseBody()
    return None


def chunk(data: bytes) -> bytes:
    """`data`, which is not empty, as one chunk (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
