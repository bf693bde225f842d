"""A link: one control connection, a WebSocket that carries a session's messages.

autobahn does the opening handshake, control frames and the closing handshake. The frames
of binary messages, nearly all of the traffic, are taken and made here, beside autobahn:
that path costs a twentieth of the general one. What a message means is the mux's
business, what a session may do the session's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from socket import IPPROTO_TCP
from struct import Struct
from typing import Any, Final, Protocol

from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from inletspy.errors import ProtocolViolation, ResetCode, StreamReset
from inletspy.tunnel.endpoint import takes_buffers
from inletspy.wire.masking import mask, new_key
from inletspy.wire.mux import Mux

__all__ = ["MAX_MESSAGE", "Link", "LinkEvents"]

_log = Logger()

#: The longest message; a little above both protocols' limit for its content, in bytes.
MAX_MESSAGE: Final = (1 << 20) + 64
#: The longest opening handshake, in bytes.
_MAX_HANDSHAKE: Final = 65_536
#: Bytes that may be sent beyond what the transport takes, before the link is cut.
_MAX_BACKLOG: Final = 4 << 20
#: Bytes that a reason in a close frame may have (RFC 6455, 5.5).
_MAX_REASON: Final = 123

_OPEN: Final = WebSocketProtocol.STATE_OPEN
#: TCP_NOTSENT_LOWAT of Linux, which Python has no name for before 3.12 (tcp(7)), and bytes
#: that the kernel may hold of a link which it has not sent yet.
_NOTSENT_LOWAT: Final = 25
_MAX_UNSENT: Final = 131_072

_CONNECTING: Final = WebSocketProtocol.STATE_CONNECTING
#: Until the peer answers our close, it may send what it had begun.
_TAKING: Final = frozenset((_OPEN, WebSocketProtocol.STATE_CLOSING))
#: FIN, and the opcode, which is 0 of all frames of a message but the first (RFC 6455, 5.2).
_FIN: Final = 0x80
_OPCODE: Final = 0x0F
#: First bytes of the frames of binary messages: a whole one; the first, a middle, the last part.
_BINARY: Final = 0x82
_OF_MESSAGES: Final = frozenset((_BINARY, 0x02, 0x00, 0x80))

_header16 = Struct("!BBH").pack
_header64 = Struct("!BBQ").pack
_length16 = Struct("!H").unpack_from
_length64 = Struct("!Q").unpack_from


def _frame_header(size: int, mask_bit: int) -> bytes:
    if size < 126:
        return bytes((_BINARY, mask_bit | size))
    if size < 65536:
        return _header16(_BINARY, mask_bit | 126, size)
    return _header64(_BINARY, mask_bit | 127, size)


class LinkEvents(Protocol):
    """What the session on a link is told."""

    def link_lost(self, link: Link, code: int | None, reason: str) -> None:
        """The link is gone; `code` is the peer's close code, if it sent one."""


@implementer(IPushProducer)
class Link:
    """What server and client links share; mixed into autobahn's protocols.

    Attributes:
        mux: reads and writes the messages; None before there is a session, and after.
        session: is told of the link's end.
        heard: whether anything came since this was last set to False.
    """

    mux: Mux | None = None
    session: LinkEvents | None = None
    heard = True

    # What autobahn's protocol, beside which this stands, provides:
    factory: Any
    transport: Any
    state: int
    data: bytes
    current_frame: Any
    inside_message: bool
    closeHandshakeTimeoutCall: Any
    sendCloseFrame: Callable[..., None]
    sendPing: Callable[..., None]
    sendPong: Callable[..., None]
    dropConnection: Callable[..., None]
    _dataReceived: Callable[[bytes], None]

    #: The mask bit of frames that are sent, and of those that must come (RFC 6455, 5.1).
    _sent_mask_bit: int
    _received_mask_bit: int

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        #: Bytes in `_pieces`, and how many it takes before another look is worth it.
        self._pieces_size = 0
        self._pieces_needed = 0
        #: What has come of a message in fragments.
        self._fragments: bytearray | None = None
        self._pings: list[Deferred[bool]] = []
        #: Bytes sent since the transport took no more, and a ping left unanswered.
        self._backlog = 0
        self._owed_pong: bytes | None = None
        #: Bytes to come of a message that was too long.
        self._rest = 0
        self._takes_buffers = False

    # -- for the session

    def carry(self, mux: Mux, session: LinkEvents) -> None:
        """Carry the messages of `mux` from now on, in place of any before it."""
        if self.mux is None:
            self.transport.registerProducer(self, True)
        else:
            mux.writable = self.mux.writable
        self.mux = mux
        self.session = session
        mux.congested = self._congested

    def turn(self) -> None:
        """Have the mux flushed at the end of this turn of the reactor."""
        self.factory.reactor.callLater(0, self._flush)

    def send(self, messages: list[bytes]) -> None:
        """Send each of the messages as one binary WebSocket message."""
        if self.state != _OPEN:
            return
        parts: list[bytes | bytearray] = []
        for message in messages:
            header = _frame_header(len(message), self._sent_mask_bit)
            if self._sent_mask_bit:
                key = new_key()
                masked = mask(message, key)
                parts += (header + key, masked if self._takes_buffers else bytes(masked))
            else:
                parts += (header, message)
        self.transport.writeSequence(parts)
        if self.mux is not None and not self.mux.writable:
            # Streams wait their turn, but answers to what the peer sends do not; one that
            # sends without end and reads nothing must not fill the memory with them.
            self._backlog += sum(map(len, parts))
            if self._backlog > _MAX_BACKLOG:
                _log.warn("A peer does not read what it asks for; its link is cut")
                self.abort()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Send what waits, and close in order (RFC 6455, 7.1.1)."""
        self._flush()
        if self.state == _OPEN:
            text = reason.encode()[:_MAX_REASON].decode("utf-8", "ignore")
            # Not by `sendClose`, which refuses the codes that are not an application's own.
            self.sendCloseFrame(code, text.encode())
            self._answer_pings(False)

    def cease(self, code: int, reason: str) -> None:
        """Close in order, and carry nothing more from now on."""
        self.close(code, reason)
        self._end(code, reason)

    def abort(self) -> None:
        """Cut the connection."""
        self.dropConnection(abort=True)

    def probe(self, seconds: float) -> Deferred[bool]:
        """Whether anything comes within so many seconds of a ping that asks for it."""
        answer: Deferred[bool] = Deferred()
        self._pings.append(answer)
        timer = self.factory.reactor.callLater(seconds, self._answer_pings, False)
        self.sendPing(b"probe")

        def answered(alive: bool) -> bool:
            if timer.active():
                timer.cancel()
            return alive

        return answer.addCallback(answered)

    # -- back-pressure

    def pauseProducing(self) -> None:
        """The transport takes no more for now."""
        if self.mux is not None:
            self.mux.pause()

    def resumeProducing(self) -> None:
        """The transport takes more again."""
        self._backlog = 0
        owed, self._owed_pong = self._owed_pong, None
        if owed is not None:
            self.sendPong(owed)
        if self.mux is not None:
            self.mux.resume()

    def stopProducing(self) -> None:
        """The transport is gone; `connectionLost` sees to the rest."""

    def _congested(self, stop: bool) -> None:
        if stop:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    @property
    def reading_stopped(self) -> bool:
        """Whether the link itself does not read, so that silence says nothing."""
        return self.mux is not None and self.mux.stopped

    # -- receiving

    def dataReceived(self, data: bytes) -> None:
        """Take the frames of whole messages; leave all else to autobahn."""
        self.heard = True
        if self._pings:
            self._answer_pings(True)
        if self._rest:
            # The rest of a long message is read all the same, for its sender to get to
            # read why the link closes.
            rest, self._rest = self._rest, max(0, self._rest - len(data))
            data = data[rest:]
        if self.state not in _TAKING or self.data or self.current_frame or self.inside_message:
            if self.state == _CONNECTING and len(self.data) + len(data) > _MAX_HANDSHAKE:
                self.dropConnection(abort=True)
                return
            self._dataReceived(data)
            return
        if self._pieces_size:
            self._pieces.append(data)
            self._pieces_size += len(data)
            if self._pieces_size < self._pieces_needed:
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._pieces_size = 0
        self._take_frames(data)

    def _take_frames(self, data: bytes) -> None:
        position = 0
        size = len(data)
        while size - position >= 2:
            first = data[position]
            length = data[position + 1]
            mask_bit = length & 0x80
            length &= 0x7F
            start = position + 2
            shortest = 0
            if length == 126:
                if size - position < 4:
                    break
                (length,) = _length16(data, start)
                start += 2
                shortest = 126
            elif length == 127:
                if size - position < 10:
                    break
                (length,) = _length64(data, start)
                start += 8
                shortest = 65536
            if mask_bit:
                start += 4
            end = start + length
            if length > MAX_MESSAGE:
                self._rest = max(0, end - size)
                self._violated(ProtocolViolation("the message is too long", 1009))
                return
            if length < shortest:
                self._violated(ProtocolViolation("a length not in its shortest form"))
            if end > size:
                self._keep(data[position:], end - position)
                return
            if first in _OF_MESSAGES and mask_bit == self._received_mask_bit:
                if mask_bit:
                    content = mask(memoryview(data)[start:end], data[start - 4 : start])
                    self._content(first, content)
                else:
                    self._content(first, data[start:end])
            else:
                self._dataReceived(data[position:end])
            position = end
            if self.state not in _TAKING or self.inside_message:
                # Closed, or a text in fragments: autobahn goes on from here.
                if position < size:
                    self._dataReceived(data[position:])
                return
        if position < size:
            self._keep(data[position:], 0)

    def _keep(self, data: bytes, needed: int) -> None:
        self._pieces.append(data)
        self._pieces_size = len(data)
        self._pieces_needed = needed

    def _content(self, first: int, content: bytes | bytearray) -> None:
        """Take the content of a frame; stock clients cut a message into many (RFC 6455, 5.4)."""
        if self.mux is None:
            return  # the link closes: what still comes is for nobody
        fragments = self._fragments
        if (first & _OPCODE != 0) == (fragments is not None):
            self._violated(ProtocolViolation("a fragment out of place"))
        elif first == _BINARY:
            self._message(content)
        elif fragments is None:
            self._fragments = bytearray(content)
        elif len(fragments) + len(content) > MAX_MESSAGE:
            self._violated(ProtocolViolation("the message is too long", 1009))
        else:
            fragments += content
            if first & _FIN:
                self._fragments = None
                self._message(fragments)

    def _message(self, message: bytes | bytearray) -> None:
        if self.mux is None:
            return
        try:
            self.mux.receive(message)
        except ProtocolViolation as error:
            self._violated(error)
        except Exception:
            _log.failure("A message could not be handled; its session ends")
            self._violated(ProtocolViolation("internal error", 1011))

    def _violated(self, error: ProtocolViolation) -> None:
        if self.mux is None:
            return  # it closes already
        _log.warn("A peer broke the protocol: {reason}", reason=str(error))
        self.cease(error.close_code, str(error))

    def _flush(self) -> None:
        if self.mux is not None:
            self.mux.flush()

    # -- what autobahn calls

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A message that came together with the handshake, or a text."""
        if isBinary:
            self._message(payload)
        else:
            self._violated(ProtocolViolation("a text message", 1002))

    def onPing(self, payload: bytes) -> None:
        """The peer asks for a sign of life; the latest answer is enough (RFC 6455, 5.5.3)."""
        if self.mux is not None and not self.mux.writable:
            self._owed_pong = payload
        else:
            self.sendPong(payload)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection is gone; only a clean end has a reason of the peer's."""
        timer, self.closeHandshakeTimeoutCall = self.closeHandshakeTimeoutCall, None
        if timer is not None:
            timer.cancel()
        if wasClean:
            self._end(code, reason or "")
        else:
            self._end(None, "")

    def _answer_pings(self, alive: bool) -> None:
        pings, self._pings = self._pings, []
        for answer in pings:
            answer.callback(alive)

    def _end(self, code: int | None, reason: str) -> None:
        self._answer_pings(False)
        mux, self.mux = self.mux, None
        session, self.session = self.session, None
        try:
            # First, so that nobody who loses a stream asks this session for another.
            if session is not None:
                session.link_lost(self, code, reason)
        finally:
            if mux is not None:
                self.transport.unregisterProducer()
                mux.lost(StreamReset(ResetCode.CANCELLED, "the link was lost"))

    def _prepare_transport(self) -> None:
        self._takes_buffers = takes_buffers(self.transport)
        # autobahn's own option for this has no effect under Twisted.
        with suppress(AttributeError, OSError):  # a UNIX socket, or a transport of a test
            self.transport.setTcpNoDelay(True)
            # What waits in the kernel is out of the mux's hands: there it stands in line
            # before all that comes later, and a small request behind a bulk transfer.
            self.transport.getHandle().setsockopt(IPPROTO_TCP, _NOTSENT_LOWAT, _MAX_UNSENT)
