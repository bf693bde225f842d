"""The protocol of inlets OSS: streams over "remotedialer" messages.

One binary WebSocket message is one protocol message: id, connection id, type, for two
of the types a deadline, each a zigzag varint, then the payload. There is no half-close
and, from old peers, no flow control: bytes that a slow reader leaves behind are kept
up to a bound, past which nothing more is read from the link. docs/protocol.md has all
of it.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import iter_unpack
from typing import Final

from inletspy.errors import ProtocolViolation, ResetCode, StreamReset
from inletspy.wire import varint
from inletspy.wire.mux import Mux, MuxStream, StreamEvents

__all__ = ["RemoteDialerMux"]

DATA, CONNECT, ERROR, ADD_CLIENT, REMOVE_CLIENT, PAUSE, RESUME, SYNC_CONNECTIONS = range(1, 9)

#: Content that a stock peer puts into one message, at most.
_MAX_DATA: Final = 32_768
#: What old peers read of an error's text.
_MAX_ERROR: Final = 100
#: A message's type, with the deadline that goes with two of them.
_TYPES: Final = {
    kind: varint.encode(kind) + (varint.encode(15_000) if kind in (DATA, CONNECT) else b"")
    for kind in (DATA, CONNECT, ERROR, PAUSE, RESUME)
}
#: Unread bytes of a stream at which its sender is asked to pause, and to go on.
_HIGH_WATER: Final = 256 << 10
_LOW_WATER: Final = _HIGH_WATER // 8
#: Unread bytes of one stream, and of all, past which the link is not read.
_STREAM_LIMIT: Final = 4 << 20
_SESSION_LIMIT: Final = 64 << 20
_UNLIMITED: Final = 1 << 62

_EOF: Final = "EOF"


class RemoteDialerMux(Mux):
    """The streams of a session that speaks the inlets OSS protocol.

    The service of an opened stream is the `host:port` to dial.
    """

    max_data = _MAX_DATA

    def __init__(self, turn: Callable[[], None], send: Callable[[list[bytes]], None]) -> None:
        super().__init__(turn, send)
        #: Counts from zero, not from a random number as stock peers do: short to encode.
        self._message_id = 0
        self._next_id = 2
        self._unconsumed = 0
        self._full: set[int] = set()
        #: Streams that were there when the client last said which it knows.
        self._listed: set[int] = set()

    # -- sending

    def open(self, address: str, visitor: str, events: StreamEvents) -> MuxStream:
        """Have the client dial `address`; data may follow at once.

        Raises:
            StreamReset: the session has as many streams as it may, or is over.
        """
        stream = MuxStream(self._next_id, _UNLIMITED, _UNLIMITED)
        stream.events = events
        self._enter(stream)
        self._next_id += 1
        self._message(stream.id, CONNECT, f"tcp/{address}".encode())
        return stream

    def consumed(self, stream: MuxStream, size: int) -> None:
        """See `Mux.consumed`."""
        if self.streams.get(stream.id) is not stream:
            return  # what was left of it was forgotten with it
        stream.unconsumed -= size
        self._unconsumed -= size
        if stream.peer_paused and stream.unconsumed < _LOW_WATER:
            stream.peer_paused = False
            self._message(stream.id, RESUME, b"")
        if self.stopped:
            self._check_congestion(stream)

    def _message(self, connection: int, kind: int, payload: bytes) -> None:
        self._message_id += 1
        ids = varint.encode(self._message_id) + varint.encode(connection)
        # One entry is one message, which is why `_messages` has nothing to do.
        self._put(ids + _TYPES[kind] + payload, b"")

    def _emit_data(self, stream: MuxStream, data: bytes) -> None:
        self._message(stream.id, DATA, data)

    def _emit_finish(self, stream: MuxStream) -> None:
        # Error ends both directions: to finish one is to close.
        self._message(stream.id, ERROR, _EOF.encode())
        self._closed(stream, None)

    def _emit_reset(self, stream: MuxStream, code: ResetCode, reason: str) -> None:
        text = reason or code.name.lower()
        self._message(stream.id, ERROR, text.encode("utf-8", "replace")[:_MAX_ERROR])

    def _messages(self, out: list[bytes]) -> list[bytes]:
        return out

    def _forget(self, stream: MuxStream) -> bool:
        if not super()._forget(stream):
            return False
        self._unconsumed -= stream.unconsumed
        stream.unconsumed = 0
        self._check_congestion(stream)
        return True

    # -- receiving

    def receive(self, message: bytes | bytearray) -> None:
        """See `Mux.receive`."""
        message = bytes(message)
        _, position = varint.decode(message)
        connection, position = varint.decode(message, position)
        kind, position = varint.decode(message, position)
        if kind in (DATA, CONNECT):
            _, position = varint.decode(message, position)
        payload = message[position:]
        if kind == SYNC_CONNECTIONS:
            self._synchronise(payload)
        elif kind == CONNECT:
            self._connect(connection, payload)
        else:
            stream = self.streams.get(connection)
            if stream is not None:
                self._receive_on(stream, kind, payload)
            elif kind == DATA:
                self._message(connection, ERROR, f"connection not found {connection}".encode())

    def _receive_on(self, stream: MuxStream, kind: int, payload: bytes) -> None:
        if kind == DATA:
            self._data(stream, payload)
        elif kind == ERROR:
            self._ended(stream, payload)
        elif kind == PAUSE:
            stream.credit = 0
        elif kind == RESUME:
            stream.credit = _UNLIMITED
            self._credited(stream)
        # Other types are those of a cluster of servers, or of later versions.

    def _data(self, stream: MuxStream, payload: bytes) -> None:
        size = len(payload)
        if not size:
            return
        stream.unconsumed += size
        self._unconsumed += size
        stream.events.data(payload)
        if stream.unconsumed > _HIGH_WATER and not stream.peer_paused:
            stream.peer_paused = True
            self._message(stream.id, PAUSE, b"")
        if stream.unconsumed > _STREAM_LIMIT or self._unconsumed > _SESSION_LIMIT:
            self._check_congestion(stream)

    def _ended(self, stream: MuxStream, payload: bytes) -> None:
        text = payload[:1000].decode("utf-8", "replace")
        if text == _EOF:
            self._closed(stream, None)
        else:
            self._closed(stream, StreamReset(_code_of(text), text))

    def _connect(self, connection: int, payload: bytes) -> None:
        network, slash, address = payload[:300].decode("utf-8", "replace").partition("/")
        if not slash or connection in self.streams:
            raise ProtocolViolation("a malformed Connect")
        stream = MuxStream(connection, _UNLIMITED, _UNLIMITED)
        if network == "tcp":
            self._take_up(stream, address, "")
        else:
            self._emit_reset(stream, ResetCode.REFUSED, f"network not allowed: {network}")

    def _synchronise(self, payload: bytes) -> None:
        """Drop what the client no longer knows; it wants no answer."""
        if len(payload) % 8:
            raise ProtocolViolation("a malformed SyncConnections")
        alive = {number for (number,) in iter_unpack("<q", payload)}
        # One that is younger than the last list may be missing because its Connect is
        # still on its way.
        for stream_id in self._listed - alive:
            stream = self.streams.get(stream_id)
            if stream is not None:
                self._closed(stream, StreamReset(ResetCode.CANCELLED, "unknown to the client"))
        self._listed = set(self.streams)

    def _check_congestion(self, stream: MuxStream) -> None:
        if stream.unconsumed > _STREAM_LIMIT:
            self._full.add(stream.id)
        elif stream.unconsumed <= _HIGH_WATER:
            self._full.discard(stream.id)
        limit = _SESSION_LIMIT // 2 if self.stopped else _SESSION_LIMIT
        stop = bool(self._full) or self._unconsumed > limit
        if stop != self.stopped:
            self.stopped = stop
            self.congested(stop)


def _code_of(text: str) -> ResetCode:
    """What a dialler's error text means, in the words of Go's `net` package."""
    for words, code in (
        ("connection refused", ResetCode.REFUSED),
        ("connection reset", ResetCode.CANCELLED),
        ("timeout", ResetCode.TIMEOUT),
        ("deadline exceeded", ResetCode.TIMEOUT),
        ("no such host", ResetCode.UNREACHABLE),
        ("unreachable", ResetCode.UNREACHABLE),
        ("no route", ResetCode.UNREACHABLE),
        ("missing port", ResetCode.UNREACHABLE),
    ):
        if words in text:
            return code
    return ResetCode.CANCELLED
