"""The native protocol's frames, `inletspy.v1`: streams with credit and half-close.

A message is one or more frames back to back; a frame is two big-endian words, the
stream id and `length << 8 | type`, and its payload. The server opens even stream ids,
the client odd ones, and ids only rise. docs/protocol.md has all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from inletspy.errors import ProtocolViolation, ResetCode, StreamReset
from inletspy.wire.mux import Mux, MuxStream, StreamEvents

__all__ = [
    "INITIAL_WINDOW",
    "MAX_PAYLOAD",
    "MAX_WINDOW",
    "SUBPROTOCOL",
    "NativeMux",
    "pack_frame",
]

SUBPROTOCOL: Final = "inletspy.v1"

CONTROL, OPEN, DATA, WINDOW, FIN, RESET, ACK = range(7)

#: Limits of the protocol, in bytes.
MAX_PAYLOAD: Final = 65_536
INITIAL_WINDOW: Final = 262_144
MAX_WINDOW: Final = 16 << 20
#: What all streams of a session may have above their initial windows, in bytes.
MAX_EXTRA_WINDOWS: Final = 64 << 20
_MAX_CREDIT: Final = 1 << 31
#: Messages from this size on are mostly one piece of bulk, in bytes.
_LARGE: Final = 32_768
_MAX_ID: Final = (1 << 32) - 1
_MAX_VISITOR: Final = 300

_header = Struct("!II")
_pack_header = _header.pack
_unpack_header = _header.unpack_from
_credit = Struct("!I")
_number = Struct("!H")


def pack_frame(stream_id: int, kind: int, payload: bytes = b"") -> bytes:
    """One whole frame."""
    return _pack_header(stream_id, len(payload) << 8 | kind) + payload


class NativeMux(Mux):
    """The streams of a session that speaks `inletspy.v1`.

    Attributes:
        control: called with each control message, a JSON object with a text `type`.
    """

    max_data = MAX_PAYLOAD

    def __init__(
        self,
        turn: Callable[[], None],
        send: Callable[[list[bytes]], None],
        *,
        server: bool,
        control: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__(turn, send)
        self.control = control
        self._next_id = 2 if server else 1
        #: The highest id that the peer has opened; its parity is the peer's.
        self._peer_id = -1 if server else 0
        self._extra_windows = 0
        #: Streams whose senders wait for credit, of this turn and of the one before it, each
        #: with what tells whether anything has come on it since.
        self._waited_for: list[tuple[MuxStream, int, int]] = []
        self._long_waited_for: list[tuple[MuxStream, int, int]] = []

    # -- sending

    def open(self, service: int, visitor: str, events: StreamEvents) -> MuxStream:
        """Open a stream to a service; data may follow at once.

        Raises:
            StreamReset: the session has as many streams as it may, or is over.
        """
        if self._next_id > _MAX_ID:
            raise StreamReset(ResetCode.LIMIT, "the session has used up its streams")
        stream = MuxStream(self._next_id, INITIAL_WINDOW, INITIAL_WINDOW)
        stream.events = events
        self._enter(stream)
        self._next_id += 2
        payload = _number.pack(service) + visitor.encode("ascii", "replace")
        self._put(_pack_header(stream.id, len(payload) << 8 | OPEN), payload)
        return stream

    def send_control(self, message: dict[str, Any]) -> None:
        """Send one control message.

        Raises:
            ValueError: it is too long for a frame, or no JSON.
        """
        payload = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
        if len(payload) > MAX_PAYLOAD:
            raise ValueError("a control message that is too long")
        self._put(_pack_header(0, len(payload) << 8 | CONTROL), payload)

    def consumed(self, stream: MuxStream, size: int) -> None:
        """See `Mux.consumed`: credit goes back once half the window is free."""
        stream.unconsumed -= size
        stream.freed += size
        if stream.freed * 2 >= stream.window and not stream.peer_finished:
            self._give_credit(stream)

    def _give_credit(self, stream: MuxStream) -> None:
        if stream.freed and self.streams.get(stream.id) is stream:
            stream.allowance += stream.freed
            self._put(_pack_header(stream.id, 4 << 8 | WINDOW), _credit.pack(stream.freed))
            stream.freed = 0

    def _emit_data(self, stream: MuxStream, data: bytes) -> None:
        self._put(_pack_header(stream.id, len(data) << 8 | DATA), data)

    def _emit_starved(self, stream: MuxStream) -> None:
        # An empty DATA frame carries nothing but this: there is more to send than credit.
        self._put(_pack_header(stream.id, DATA), b"")

    def _emit_finish(self, stream: MuxStream) -> None:
        self._put(_pack_header(stream.id, FIN), b"")

    def _emit_reset(self, stream: MuxStream, code: ResetCode, reason: str) -> None:
        payload = _number.pack(code) + reason.encode("utf-8", "replace")[:1000]
        self._put(_pack_header(stream.id, len(payload) << 8 | RESET), payload)

    def _messages(self, out: list[bytes]) -> list[bytes]:
        return [b"".join(out)]

    def _forget(self, stream: MuxStream) -> bool:
        if not super()._forget(stream):
            return False
        self._extra_windows -= stream.window - INITIAL_WINDOW
        return True

    # -- receiving

    def receive(self, message: bytes | bytearray) -> None:
        """See `Mux.receive`."""
        position = 0
        end = len(message)
        streams = self.streams
        # Many small pieces are best cut out of bytes; a large one is copied but once.
        source = bytes(message) if end < _LARGE else memoryview(message)
        while position < end:
            if end - position < 8:
                raise ProtocolViolation("a cut frame")
            stream_id, word = _unpack_header(source, position)
            position += 8
            length = word >> 8
            payload = bytes(source[position : position + length])
            position += length
            if length > MAX_PAYLOAD or position > end:
                raise ProtocolViolation("a frame that is too long or cut")
            if word & 0xFF == DATA:
                stream = streams.get(stream_id)
                if stream is None:
                    self._check_was_open(stream_id)
                elif not length:
                    self._peer_starved(stream)
                else:
                    self._data(stream, payload)
            else:
                self._receive_other(word & 0xFF, stream_id, payload)

    def _data(self, stream: MuxStream, payload: bytes) -> None:
        size = len(payload)
        stream.allowance -= size
        if stream.allowance < 0:
            raise ProtocolViolation("DATA beyond the credit given")
        if stream.peer_finished:
            raise ProtocolViolation("DATA after FIN")
        stream.unconsumed += size
        stream.events.data(payload)

    def _peer_starved(self, stream: MuxStream) -> None:
        """The sender waits for credit: see whether its reader waits as well."""
        if stream.peer_finished:
            raise ProtocolViolation("DATA after FIN")
        if stream.unconsumed == 0 and stream.window < MAX_WINDOW:
            self._waited_for.append((stream, stream.allowance, stream.freed))
            self._watches = True
            self._ask_for_turn()

    def _turn_over(self) -> None:
        """Widen the windows of streams on which nothing comes any more.

        Whether that is so shows only after all that is there by now was read. Where more
        is there, it is the reading that is slow, and a wider window would but let more of the
        stream stand in line before what comes on others. Once may be chance: the sender had
        its credit and was only slow to go on.
        """
        for stream, allowance, freed in self._long_waited_for:
            now = stream.allowance, stream.freed, stream.unconsumed
            waits = now == (allowance, freed, 0)
            if waits and stream.kept_waiting:
                self._widen_window(stream)
            stream.kept_waiting = waits
        self._long_waited_for, self._waited_for = self._waited_for, []
        self._watches = bool(self._long_waited_for)
        if self._watches:
            self._ask_for_turn()

    def _widen_window(self, stream: MuxStream) -> None:
        window = stream.window
        grow = min(window, MAX_WINDOW - window, MAX_EXTRA_WINDOWS - self._extra_windows)
        if grow > 0 and not stream.peer_finished and self.streams.get(stream.id) is stream:
            stream.window += grow
            self._extra_windows += grow
            stream.freed += grow
            self._give_credit(stream)

    def _receive_other(self, kind: int, stream_id: int, payload: bytes) -> None:
        if kind == CONTROL:
            if stream_id:
                raise ProtocolViolation("a control message on a stream")
            self.control(_control_message(payload))
        elif kind == OPEN:
            self._opened(stream_id, payload)
        elif kind == ACK:
            if stream_id or len(payload) != 8:
                raise ProtocolViolation("a malformed ACK")
        elif kind not in (WINDOW, FIN, RESET):
            raise ProtocolViolation(f"unknown frame type {kind}")
        else:
            stream = self.streams.get(stream_id)
            if stream is None:
                self._check_was_open(stream_id)
            elif kind == WINDOW:
                self._window(stream, payload)
            elif kind == FIN:
                self._finished(stream, payload)
            else:
                self._reset(stream, payload)

    def _opened(self, stream_id: int, payload: bytes) -> None:
        if stream_id <= self._peer_id or (stream_id - self._peer_id) % 2:
            raise ProtocolViolation("a stream id that was not the peer's to open")
        if not 2 <= len(payload) <= _MAX_VISITOR:
            raise ProtocolViolation("a malformed OPEN")
        self._peer_id = stream_id
        (service,) = _number.unpack_from(payload)
        stream = MuxStream(stream_id, INITIAL_WINDOW, INITIAL_WINDOW)
        self._take_up(stream, service, payload[2:].decode("ascii", "replace"))

    def _window(self, stream: MuxStream, payload: bytes) -> None:
        if len(payload) != 4:
            raise ProtocolViolation("a malformed WINDOW")
        stream.credit += _credit.unpack(payload)[0]
        if stream.credit > _MAX_CREDIT:
            raise ProtocolViolation("more credit than a stream can have")
        self._credited(stream)

    def _finished(self, stream: MuxStream, payload: bytes) -> None:
        if payload or stream.peer_finished:
            raise ProtocolViolation("a malformed or second FIN")
        stream.peer_finished = True
        stream.events.finished()
        if stream.finish_sent:
            self._closed(stream, None)

    def _reset(self, stream: MuxStream, payload: bytes) -> None:
        if len(payload) < 2:
            raise ProtocolViolation("a malformed RESET")
        (number,) = _number.unpack_from(payload)
        try:
            code = ResetCode(number)
        except ValueError:
            code = ResetCode.INTERNAL  # a code of a later version
        reason = payload[2:1002].decode("utf-8", "replace")
        self._closed(stream, StreamReset(code, reason))

    def _check_was_open(self, stream_id: int) -> None:
        """A frame may still be under way for a stream that has ended, but for no other."""
        own = stream_id % 2 == self._next_id % 2
        if stream_id <= 0 or stream_id >= (self._next_id if own else self._peer_id + 1):
            raise ProtocolViolation("a frame for a stream that was never opened")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON (RFC 8259, 6)")


_decode_json = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _control_message(payload: bytes) -> dict[str, Any]:
    try:
        message = _decode_json(payload.decode())
    except (ValueError, RecursionError):
        raise ProtocolViolation("a control message that is no JSON") from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolViolation("a control message that is no object with a type")
    return message
