"""The messages of WebSockets and event streams, as they passed: the newest of them.

A `FrameLog` finds where the frames of a WebSocket begin and end (RFC 6455, 5.2), an
`EventLog` keeps pieces of an event stream with their times. Unmasking, inflating and
taking apart is left for when somebody looks (`transcripts`). What can't be understood
ends the log and nothing else.
"""

from __future__ import annotations

import re
import zlib
from collections import deque
from typing import Any, Final

from inletspy.client.inspector.pieces import Pieces, joined, more
from inletspy.wire.masking import mask

__all__ = ["BLANK_LINE", "BLANK_TAIL", "EventLog", "FrameLog", "Inflation", "Message", "SavedLog"]

#: Bytes that a message costs beside its own.
MESSAGE_OVERHEAD: Final = 300
#: How many times the limit of one message all of a connection may cost.
_LOG_FACTOR: Final = 4
#: Bytes that may be inflated at once, and how many times as long messages become on
#: average at most.
MAX_INFLATED: Final = 4 << 20
_SWELLING: Final = 32

#: Frames that are kept of one message.
MAX_FRAMES: Final = 1024

_CONTINUATION: Final = 0
_CONTROL: Final = 8
_OPCODES: Final = frozenset((0, 1, 2, 8, 9, 10))

#: Ends an event of a stream (HTML, 9.2.6).
BLANK_LINE: Final = re.compile(rb"(?>\r\n|\r|\n){2}")
#: So many bytes before a place may belong to a blank line that ends after it.
BLANK_TAIL: Final = 3

_find_deflate = re.compile(
    rb"\r\nsec-websocket-extensions:[^\r]*permessage-deflate([^\r,]*)", re.IGNORECASE
).search


class Inflation:
    """The decompression of one direction's messages (RFC 7692, 7.2.2).

    Args:
        takes_over: whether each message rests on those before it.
    """

    def __init__(self, takes_over: bool) -> None:
        self._takes_over = takes_over
        self._inflater: Any = zlib.decompressobj(-15)
        #: Bytes that may still be inflated: small messages can be made to swell for ever.
        self._allowance = MAX_INFLATED

    def copy(self) -> Inflation:
        """The same state, which goes its own way."""
        other = Inflation(self._takes_over)
        other._inflater = None if self._inflater is None else self._inflater.copy()
        other._allowance = self._allowance
        return other

    def lose(self) -> None:
        """A message is missing: those that rest on it can't be read."""
        if self._takes_over:
            self._inflater = None

    def inflate(self, data: bytes) -> bytes | None:
        """What a message says; None if that can't be known, or is too much."""
        self._allowance = min(self._allowance + len(data) * _SWELLING, MAX_INFLATED)
        if self._inflater is None or self._allowance <= 0:
            return None
        inflater = self._inflater if self._takes_over else zlib.decompressobj(-15)
        try:
            found: bytes = inflater.decompress(data + b"\x00\x00\xff\xff", self._allowance)
        except zlib.error:
            self.lose()
            return None
        self._allowance -= len(found)
        if inflater.unconsumed_tail:
            self.lose()
            return None
        return found


class Message:
    """One message, or one control frame, of a WebSocket.

    Attributes:
        n: its number in its connection.
        at: when it began, in seconds since the epoch.
        from_visitor: which way it went.
        opcode: what it is (RFC 6455, 11.8).
        deflated: whether it is compressed.
        key: masks its first frame; empty for none.
        first: the payload of that, as sent.
        further: key and payload of the frames after it.
        size: bytes of all payloads by now, as sent.
        kept: how many of them are kept.
        full: whether nothing more is kept of it.
        complete: whether its last byte has passed.
    """

    __slots__ = (
        "at",
        "complete",
        "deflated",
        "first",
        "from_visitor",
        "full",
        "further",
        "kept",
        "key",
        "n",
        "opcode",
        "size",
    )

    def __init__(self, n: int, at: float, from_visitor: bool, first: int, key: bytes) -> None:
        self.n = n
        self.at = at
        self.from_visitor = from_visitor
        self.opcode = first & 15
        self.deflated = bool(first & 0x40)
        self.key = key
        self.first: Pieces = None
        self.further: list[tuple[bytes, Pieces]] | None = None
        self.size = 0
        self.kept = 0
        self.full = self.complete = False

    def add(self, data: bytes) -> None:
        """Keep bytes of the payload of the frame that passes."""
        self.kept += len(data)
        if self.further:
            key, pieces = self.further[-1]
            self.further[-1] = (key, more(pieces, data))
        else:
            self.first = more(self.first, data) if self.first else data

    def payload(self) -> bytes:
        """What is kept of it, unmasked; still compressed."""
        frames = [(self.key, self.first), *(self.further or ())]
        return b"".join(
            bytes(mask(joined(pieces), key)) if key else joined(pieces) for key, pieces in frames
        )


class _Direction:
    """Where the frames of one direction are."""

    __slots__ = ("current", "data_message", "head", "inflation", "is_final", "left")

    def __init__(self, inflation: Inflation) -> None:
        #: The beginning of a frame's head.
        self.head = b""
        #: Bytes of the present frame that are still to come, and what it belongs to.
        self.left = 0
        self.current: Message | None = None
        self.is_final = True
        #: The message that continuations belong to.
        self.data_message: Message | None = None
        #: As it is before the oldest message that is kept.
        self.inflation = inflation


class FrameLog:
    """The messages of one WebSocket.

    Args:
        message_limit: bytes that are kept of each.
        answer: the head of the answer that made it one.

    Attributes:
        messages: the newest, each direction's in order.
        last_n: the number of the newest.
        trouble: why nothing more is understood; empty while it is.
    """

    def __init__(self, message_limit: int, answer: bytes) -> None:
        self.messages: deque[Message] = deque()
        self.last_n = 0
        self.trouble = ""
        if b"websocket" not in answer.lower():
            self.trouble = "the connection went over to a protocol that is not read here"
        self._message_limit = message_limit
        self._limit = message_limit * _LOG_FACTOR
        self._kept = 0
        match = _find_deflate(answer)
        settings = match[1].lower() if match else b""
        self.deflates = match is not None
        self._visitor = _Direction(Inflation(b"client_no_context" not in settings))
        self._upstream = _Direction(Inflation(b"server_no_context" not in settings))

    def inflations(self) -> dict[bool, Inflation]:
        """By whether it is the visitor's, the state before the oldest message."""
        return {True: self._visitor.inflation.copy(), False: self._upstream.inflation.copy()}

    def add(self, from_visitor: bool, data: bytes, at: float) -> int:
        """See bytes pass; returns by how many bytes the cost changed."""
        if self.trouble:
            return 0
        before = self._kept
        direction = self._visitor if from_visitor else self._upstream
        position = 0
        size = len(data)
        while position < size and not self.trouble:
            if direction.left:
                end = min(position + direction.left, size)
                self._payload(direction, data[position:end])
                position = end
            else:
                if direction.head:
                    data = direction.head + data[position:]
                    direction.head = b""
                    position, size = 0, len(data)
                position = self._head(direction, from_visitor, data, position, at)
        while self._kept > self._limit and len(self.messages) > 1:
            self._drop(self.messages.popleft())
        return self._kept - before

    def _head(
        self, direction: _Direction, from_visitor: bool, data: bytes, start: int, at: float
    ) -> int:
        """Read a frame's head; returns where its payload begins."""
        position = start + 2
        if len(data) < position:
            direction.head = data[start:]
            return len(data)
        first, second = data[start], data[start + 1]
        length = second & 0x7F
        extended = 2 if length == 126 else 8 if length == 127 else 0
        end = position + extended + (4 if second & 0x80 else 0)
        if len(data) < end:
            direction.head = data[start:]
            return len(data)
        if extended:
            length = int.from_bytes(data[position : position + extended], "big")
        opcode = first & 15
        if (
            opcode not in _OPCODES
            or first & 0x30
            or (first & 0x40 and not self.deflates)
            or length >> 63
            or (opcode >= _CONTROL and (length > 125 or not first & 0x80))
        ):
            self.trouble = "what follows are no frames of a WebSocket"
            return len(data)
        key = data[end - 4 : end] if second & 0x80 else b""
        message = direction.data_message if opcode == _CONTINUATION else None
        if message is None:
            self.last_n += 1
            message = Message(self.last_n, at, from_visitor, first, key)
            self.messages.append(message)
            self._kept += MESSAGE_OVERHEAD
        elif not message.full:
            message.further = message.further or []
            message.further.append((key, None))
            self._kept += MESSAGE_OVERHEAD
            message.full = len(message.further) == MAX_FRAMES
        direction.current = message
        direction.is_final = bool(first & 0x80)
        if opcode < _CONTROL:
            direction.data_message = None if direction.is_final else message
        direction.left = length
        if not length:
            self._end(direction)
        return end

    def _payload(self, direction: _Direction, data: bytes) -> None:
        message = direction.current
        assert message is not None
        size = len(data)
        message.size += size
        if not message.full:
            room = self._message_limit - message.kept
            message.full = size > room
            kept = data if size <= room else data[:room]
            message.add(kept)
            self._kept += len(kept)
        direction.left -= size
        if not direction.left:
            self._end(direction)

    def _end(self, direction: _Direction) -> None:
        if direction.current is not None and direction.is_final:
            direction.current.complete = True
        direction.current = None

    def _drop(self, message: Message) -> None:
        message.full = True
        self._kept -= message.kept + MESSAGE_OVERHEAD * (1 + len(message.further or ()))
        if not message.deflated:
            return
        direction = self._visitor if message.from_visitor else self._upstream
        if message.complete and message.kept == message.size:
            direction.inflation.inflate(message.payload())
        else:
            direction.inflation.lose()


class SavedLog:
    """The messages of an exchange of an earlier run.

    Attributes:
        messages: as they are shown.
        trouble: see `FrameLog`.
    """

    def __init__(self, messages: list[Any], trouble: str) -> None:
        self.messages = messages
        self.trouble = trouble


class EventLog:
    """The content of an event stream, in pieces with their times.

    Args:
        limit: bytes that are kept of it.

    Attributes:
        pieces: the newest.
        dropped: bytes that were there before them.
        dropped_events: how many events ended in these.
        tail: the last of these that belong to no event that has ended.
        trouble: see `FrameLog`; there is none.
    """

    def __init__(self, limit: int) -> None:
        self.pieces: deque[tuple[float, bytes]] = deque()
        self.dropped = 0
        self.dropped_events = 0
        self.tail = b""
        self.trouble = ""
        self._limit = limit
        self._kept = 0

    def add(self, content: bytes, at: float) -> int:
        """See content pass; returns by how many bytes the cost changed."""
        before = self._kept
        if content:
            self.pieces.append((at, content))
            self._kept += len(content) + MESSAGE_OVERHEAD
        while self._kept > self._limit and len(self.pieces) > 1:
            _, old = self.pieces.popleft()
            self._kept -= len(old) + MESSAGE_OVERHEAD
            self.dropped += len(old)
            # Else each who looks would number them from another one on.
            *ended, rest = BLANK_LINE.split(self.tail + old)
            self.dropped_events += len(ended)
            self.tail = rest[-BLANK_TAIL:]
        return self._kept - before

    def content(self) -> bytes:
        """All that is kept."""
        return b"".join(content for _, content in self.pieces)
