"""Many streams over one link: what both wire protocols share.

A `Mux` keeps the streams of one session: which there are, what each may send, and what
waits because the peer or the link takes no more just now. Waiting streams are served in
turn, so that one bulk transfer does not hold up small requests. How a frame looks, and
what a peer is allowed, the two protocols say (`frames.NativeMux`,
`remotedialer.RemoteDialerMux`). It does no I/O: whoever owns the link feeds it whole
messages, is told when there are some to send, and takes them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from inletspy.errors import ResetCode, StreamReset

__all__ = ["FLUSH_SIZE", "Accept", "Mux", "MuxStream", "StreamCount", "StreamEvents"]

#: Output of one turn that is sent without waiting for the turn's end, in bytes.
FLUSH_SIZE: Final = 60_000


class StreamEvents(Protocol):
    """What the owner of a stream is told. After `closed` comes nothing more.

    Each may call the mux in turn: for this stream or for another.
    """

    def data(self, data: bytes) -> None:
        """Bytes came. Once used, they are given back with `Mux.consumed`."""

    def finished(self) -> None:
        """The peer will send no more; the other direction goes on."""

    def closed(self, error: StreamReset | None) -> None:
        """Both directions are over: in order, or with an error."""

    def writable(self) -> None:
        """All that waited has been sent: write on."""


class StreamCount:
    """The streams of several muxes, which may have so many together.

    Attributes:
        count: how many there are.
        most: how many there may be; 0 for any number.
        full: is called when there would be more; with False where only one of the muxes
            has as many as it may.
    """

    __slots__ = ("count", "full", "most")

    def __init__(self, full: Callable[[bool], None] = lambda together: None) -> None:
        self.count = 0
        self.most = 0
        self.full = full


class MuxStream:
    """One stream, as its mux sees it.

    Attributes:
        id: its number in the session.
        events: who is told what happens.
        queued: bytes that wait to be sent.
        unconsumed: bytes received that the owner has not used yet.
    """

    __slots__ = (
        "allowance",
        "credit",
        "events",
        "finish_sent",
        "finishing",
        "freed",
        "id",
        "kept_waiting",
        "peer_finished",
        "peer_paused",
        "queue",
        "queued",
        "starved",
        "unconsumed",
        "waiting",
        "window",
    )

    def __init__(self, id: int, credit: int, window: int) -> None:
        self.id = id
        self.events: StreamEvents
        #: Bytes that the peer is ready to take.
        self.credit = credit
        #: Bytes that the peer may send, of the `window` it is given.
        self.allowance = window
        self.window = window
        #: Bytes consumed and not yet given back as credit.
        self.freed = 0
        self.unconsumed = 0
        self.queue: deque[bytes] = deque()
        self.queued = 0
        #: Whether it stands in line for its turn to send.
        self.waiting = False
        #: Whether the owner has finished; sent once the queue is empty.
        self.finishing = False
        self.finish_sent = False
        self.peer_finished = False
        #: Whether the peer was told that it holds this stream up.
        self.starved = False
        #: Whether the peer waited for credit, and for nothing else, when it last said so.
        self.kept_waiting = False
        #: Whether the peer was asked to pause (inlets protocol).
        self.peer_paused = False


#: Called for a stream that the peer opens, with the service and the visitor it names;
#: sets `MuxStream.events`, or raises StreamReset to refuse.
Accept = Callable[[MuxStream, Any, str], None]


def _refuse(stream: MuxStream, service: Any, visitor: str) -> None:
    raise StreamReset(ResetCode.REFUSED, "streams are not opened in this direction")


class Mux:
    """The streams of one session. Subclasses are the wire protocols.

    Attributes:
        streams: the open ones by id.
        writable: whether the link takes more; set it through `resume` and `pause`.
        accept: decides on streams that the peer opens.
        max_streams: streams at once; further ones are refused.
        together: counts them with those of other muxes; see `count_with`.
        turn: called when the first output of a turn is there; who owns the link then
            calls `flush` before the turn ends.
        send: called by `flush` with whole messages to send, each becoming one binary
            WebSocket message.
        congested: called with True when no more may be read from the link, and with
            False when it may again.
    """

    #: The most bytes of content in one frame.
    max_data: int
    #: Whether nothing more may be read from the link just now.
    stopped = False
    #: Whether the ends of turns matter, for more than what is to be sent.
    _watches = False

    def __init__(self, turn: Callable[[], None], send: Callable[[list[bytes]], None]) -> None:
        self.streams: dict[int, MuxStream] = {}
        self.writable = True
        self.accept: Accept = _refuse
        self.max_streams = 65536
        self.together = StreamCount()
        self.turn = turn
        self.send = send
        self.congested: Callable[[bool], None] = lambda stop: None
        self._out: list[bytes] = []
        self._out_size = 0
        self._turn_asked = False
        self._waiting: deque[MuxStream] = deque()
        self._serving = False
        #: Why there are no streams any more, once the link is gone.
        self._lost: StreamReset | None = None

    # -- what the owner of the streams calls

    def write(self, stream: MuxStream, data: bytes) -> None:
        """Send `data`, or queue what can't go now; `stream.queued` says how much that is.

        Of no effect once the stream is over. Not to be called after `finish`.
        """
        size = len(data)
        # A stream with a queue stands in line, or has no credit.
        if size <= stream.credit and size <= self.max_data and self.writable and not self._waiting:
            if not size:
                return
            stream.credit -= size
            self._emit_data(stream, data)
        elif size and self.streams.get(stream.id) is stream:
            limit = self.max_data
            stream.queue.extend(data[at : at + limit] for at in range(0, size, limit))
            stream.queued += size
            self._stand_in_line(stream)
            self._serve()

    def finish(self, stream: MuxStream) -> None:
        """Send no more after what waits; the other direction goes on where it can."""
        if not stream.finishing:
            stream.finishing = True
            if not stream.queued:
                self._finish_now(stream)

    def reset(self, stream: MuxStream, code: ResetCode, reason: str = "") -> None:
        """End both directions at once; the owner is told nothing further."""
        if self._forget(stream):
            self._emit_reset(stream, code, reason)

    def consumed(self, stream: MuxStream, size: int) -> None:
        """The owner has used `size` bytes that it got."""
        raise NotImplementedError

    def count_with(self, together: StreamCount) -> None:
        """Have the streams counted there from now on, those that there are among them."""
        self.together.count -= len(self.streams)
        self.together = together
        together.count += len(self.streams)

    # -- what the owner of the link calls

    def receive(self, message: bytes | bytearray) -> None:
        """Take one whole message.

        Raises:
            ProtocolViolation: the peer broke the protocol; the link must end.
        """
        raise NotImplementedError

    def pause(self) -> None:
        """The link takes no more for now."""
        self.writable = False

    def resume(self) -> None:
        """The link takes more again."""
        self.writable = True
        self._serve()

    def lost(self, error: StreamReset) -> None:
        """The link is gone, and all streams with it; there will be no others."""
        self._lost = error
        for stream in list(self.streams.values()):
            self._closed(stream, error)

    def flush(self) -> None:
        """The turn is over: hand what has come together to `send`."""
        self._turn_asked = False
        if self._watches:
            self._turn_over()
        if self._out:
            self._hand_over()

    def _hand_over(self) -> None:
        out, self._out = self._out, []
        self._out_size = 0
        self.send(self._messages(out))

    # -- what the protocols fill in

    def _emit_data(self, stream: MuxStream, data: bytes) -> None:
        raise NotImplementedError

    def _emit_finish(self, stream: MuxStream) -> None:
        raise NotImplementedError

    def _emit_reset(self, stream: MuxStream, code: ResetCode, reason: str) -> None:
        raise NotImplementedError

    def _emit_starved(self, stream: MuxStream) -> None:
        """Tell the peer that the stream has more to send than it may."""

    def _turn_over(self) -> None:
        """A turn is over; called while `_watches`."""

    def _messages(self, out: list[bytes]) -> list[bytes]:
        raise NotImplementedError

    # -- what they share

    def _put(self, header: bytes, payload: bytes) -> None:
        out = self._out
        out.append(header)
        if payload:
            out.append(payload)
        self._out_size = size = self._out_size + len(header) + len(payload)
        if size >= FLUSH_SIZE:
            self._hand_over()
        elif not self._turn_asked:
            self._turn_asked = True
            self.turn()

    def _ask_for_turn(self) -> None:
        if not self._turn_asked:
            self._turn_asked = True
            self.turn()

    def _enter(self, stream: MuxStream) -> None:
        """Put a new stream into the books.

        Raises:
            StreamReset: there are as many as there may be, or the link is gone.
        """
        if self._lost is not None:
            raise StreamReset(self._lost.code, self._lost.reason)
        together = self.together
        over = 0 < together.most <= together.count
        if over or len(self.streams) >= self.max_streams:
            together.full(over)
            raise StreamReset(ResetCode.LIMIT, "too many streams")
        self.streams[stream.id] = stream
        together.count += 1

    def _take_up(self, stream: MuxStream, service: Any, visitor: str) -> None:
        """Let `accept` decide on a stream that the peer opens."""
        try:
            self._enter(stream)
            self.accept(stream, service, visitor)
        except Exception as error:
            self._forget(stream)
            if not isinstance(error, StreamReset):
                raise
            self._emit_reset(stream, error.code, error.reason)

    def _forget(self, stream: MuxStream) -> bool:
        """Take the stream out of the books; False if it was out already."""
        # Of an id that is used again, the books may hold another stream by now.
        if self.streams.get(stream.id) is not stream:
            return False
        del self.streams[stream.id]
        self.together.count -= 1
        stream.queue.clear()
        stream.queued = 0
        stream.credit = 0
        return True

    def _closed(self, stream: MuxStream, error: StreamReset | None) -> None:
        if self._forget(stream):
            stream.events.closed(error)

    def _finish_now(self, stream: MuxStream) -> None:
        if stream.finish_sent or self.streams.get(stream.id) is not stream:
            return
        stream.finish_sent = True
        self._emit_finish(stream)
        if stream.peer_finished:
            self._closed(stream, None)

    def _stand_in_line(self, stream: MuxStream) -> None:
        if not stream.waiting:
            stream.waiting = True
            self._waiting.append(stream)

    def _serve(self) -> None:
        """Let the waiting streams send in turn, as far as credit and link allow."""
        if self._serving:
            return  # called back by what is served; the loop goes on
        self._serving = True
        try:
            while self._waiting and self.writable:
                self._serve_one(self._waiting[0])
        finally:
            self._serving = False

    def _serve_one(self, stream: MuxStream) -> None:
        """Let the first in line send a piece. Until it has, nobody is let past it."""
        if stream.credit > 0 and stream.queued:
            data = self._next_piece(stream)
            stream.credit -= len(data)
            stream.queued -= len(data)
            self._emit_data(stream, data)
        elif stream.queued and not stream.starved:
            stream.starved = True
            self._emit_starved(stream)
        self._waiting.popleft()
        stream.waiting = False
        if stream.queued:
            if not stream.starved:  # else its turn comes again with new credit
                self._stand_in_line(stream)
        elif stream.finishing:
            self._finish_now(stream)
        elif self.streams.get(stream.id) is stream:
            stream.events.writable()

    def _next_piece(self, stream: MuxStream) -> bytes:
        limit = min(self.max_data, stream.credit)
        data = stream.queue.popleft()
        if len(data) > limit:
            stream.queue.appendleft(data[limit:])
            data = data[:limit]
        return data

    def _credited(self, stream: MuxStream) -> None:
        """The peer takes more on this stream."""
        stream.starved = False
        if stream.queued:
            self._stand_in_line(stream)
            self._serve()
