"""One exchange as it was captured: raw, and told of as it passes.

A `Captured` keeps references to the bytes; what they mean is found out when somebody looks.
Nothing here looks into them, but for whether an answer is a stream of events. What there is
room for, the `Store` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from inletspy.client.exchanges import Cause
from inletspy.client.inspector.messages import EventLog, FrameLog, SavedLog
from inletspy.client.inspector.pieces import Pieces, joined, more
from inletspy.wire.control import ServiceOffer

if TYPE_CHECKING:
    from inletspy.client.inspector.store import Store

__all__ = ["Captured", "Recording"]

#: Bytes that each exchange costs beside its own.
OVERHEAD: Final = 700


class Captured:
    """One exchange; see `inletspy.client.exchanges.Record`.

    Only what every exchange has is set when it begins: each attribute costs time, and most
    have nothing to say. The others are as in `_UNSAID` until they are set.

    Attributes:
        n: its number, which grows.
        visitor: the address that its stream was opened for.
        started: when the request's head had come, in seconds since the epoch.
        head: the request's head, as sent; empty if what was kept was given up.
        ended: when it was over; None while it is not.
        body_size: how long the request's body is by now, as sent.
        cause: why it came to nothing.
        unread: the beginning of what could not be understood.
        log: its messages, if it is a WebSocket or a stream of events.
        streams: see `Record`.
        replay_of: the `id` of the one that it repeats; empty if it is a visitor's.
        pinned: whether it is to stay.
        full: whether nothing more is kept of it.
    """

    __slots__ = (
        "_answer_size",
        "_answered_at",
        "_body",
        "_chunk",
        "_extra",
        "_head_size",
        "_id",
        "_recording",
        "_rest",
        "body_size",
        "cause",
        "ended",
        "full",
        "head",
        "log",
        "n",
        "pinned",
        "replay_of",
        "started",
        "streams",
        "unread",
        "visitor",
    )

    _recording: Recording
    n: int
    visitor: str
    started: float
    head: bytes
    ended: float | None
    #: What it costs beside the bytes of its heads and of `_chunk`.
    _extra: int
    #: The answer's head, with the whole answer if it came at once, and how long the head is.
    _chunk: bytes
    _head_size: int

    _answer_size: int | None
    _answered_at: float | None
    _body: Pieces
    _id: str
    _rest: Pieces
    body_size: int
    cause: Cause | None
    full: bool
    log: FrameLog | EventLog | SavedLog | None
    pinned: bool
    replay_of: str
    streams: bool
    unread: bytes

    def __getattr__(self, name: str) -> Any:
        """What was never set."""
        try:
            return _UNSAID[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def id(self) -> str:
        """What it is called; no other is called so, even after a restart."""
        return self._id or f"{self._recording.store.run}-{self.n}"

    @property
    def service(self) -> ServiceOffer:
        """Which it came to, as that was at the time."""
        return self._recording.service

    @property
    def gone(self) -> bool:
        """Whether what was kept of it was given up."""
        return not self.head

    @property
    def body_bytes(self) -> bytes:
        """What is kept of the request's body, as sent."""
        return joined(self._body)

    @property
    def answered_at(self) -> float | None:
        """When the answer's head came; None if it did not."""
        return self._answered_at or (self.ended if self._head_size else None)

    @property
    def answer(self) -> bytes:
        """The answer's head; empty if none came."""
        return self._chunk[: self._head_size]

    @property
    def answer_bytes(self) -> bytes:
        """What is kept of the answer's body, as sent; not where `log` has its content."""
        first = self._chunk[self._head_size :]
        return first + joined(self._rest) if self._rest else first

    @property
    def answer_size(self) -> int:
        """How long the answer's body is by now, as sent."""
        said = self._answer_size
        return len(self._chunk) - self._head_size if said is None else said

    @property
    def size(self) -> int:
        """Bytes that it costs to keep."""
        return OVERHEAD + len(self.head) + len(self._chunk) + self._extra

    @property
    def is_websocket(self) -> bool:
        """Whether the connection went over to another protocol, which most often is that."""
        return self._chunk.startswith((b"HTTP/1.1 101", b"HTTP/1.0 101"))

    # -- as it passes

    def completed(self, data: bytes, head_size: int, at: float) -> None:
        """See `Record`."""
        self.ended = at
        store = self._recording.store
        size = len(data)
        if size - head_size > store.body_limit:
            self._answer_size = size - head_size
            size = head_size + store.body_limit
            data = data[:size]
        if self.head:
            self._chunk = data
            self._head_size = head_size
            used = store.used = store.used + size
            if used > store.limit:
                store.make_room()
            if store.changed is not None:
                self._tell()

    def asked(self, data: bytes) -> None:
        """See `Record`."""
        before = self.body_size
        self.body_size = before + len(data)
        kept = self._fitting(data, before)
        if kept:
            self._body = more(self._body, kept)
            self._keep(len(kept))

    def answered(self, head: bytes, at: float) -> None:
        """See `Record`."""
        self._answered_at = at
        self._answer_size = 0
        if self.gone:
            return
        self._chunk = head
        self._head_size = len(head)
        if b"event-stream" in head:
            self.log = EventLog(self._recording.store.body_limit)
            self.streams = True
        self._keep(0, len(head))
        self._tell()

    def answering(self, data: bytes) -> None:
        """See `Record`."""
        before = self.answer_size
        self._answer_size = before + len(data)
        kept = self._fitting(data, before)
        if kept:
            self._rest = more(self._rest, kept)
            self._keep(len(kept))

    def streamed(self, content: bytes, size: int, at: float) -> None:
        """See `Record`."""
        self._answer_size = self.answer_size + size
        if isinstance(self.log, EventLog):
            self._keep(self.log.add(content, at))
            self._tell()

    def switched(self, from_visitor: bool, data: bytes, at: float) -> None:
        """See `Record`."""
        if from_visitor:
            self.body_size += len(data)
        else:
            self._answer_size = self.answer_size + len(data)
        if self.full:
            return
        if self.log is None:
            self.log = FrameLog(self._recording.store.body_limit, self.answer)
        if isinstance(self.log, FrameLog):
            self._keep(self.log.add(from_visitor, data, at))
            self._tell()

    def unreadable(self, rest: bytes, reason: str) -> None:
        """See `Record`."""
        if not self.full:
            self.unread = rest
            self._keep(len(rest))

    def finished(self, at: float, cause: Cause | None) -> None:
        """See `Record`."""
        self.ended = at
        self.cause = cause
        self._tell()

    def _fitting(self, data: bytes, before: int) -> bytes:
        """What is kept of a piece of a body that has so many bytes before it."""
        room = self._recording.store.body_limit - before
        if room <= 0 or self.full:
            return b""
        return data if len(data) <= room else data[:room]

    def _keep(self, extra: int, more: int = 0) -> None:
        """Count bytes that are kept; `more` are those of the answer's head."""
        self._extra += extra
        store = self._recording.store
        store.used += extra + more
        if store.used > store.limit:
            store.make_room()

    def _tell(self) -> None:
        changed = self._recording.store.changed
        if changed is not None and self.head:
            changed[self.n] = self

    # -- afterwards

    def restore(self, id: str, body: bytes, answer: bytes, answer_body: bytes) -> None:
        """Give it the name and the bytes that it had in an earlier run."""
        self._id = id
        self._body = body
        self._chunk = answer
        self._head_size = len(answer)
        self._rest = answer_body
        self._extra = len(body) + len(answer_body)
        self.full = True

    def restore_times(
        self, answered_at: float | None, answer_size: int, ended: float, body_size: int
    ) -> None:
        """Give it the times and sizes that it had in an earlier run."""
        self._answered_at = answered_at
        self._answer_size = answer_size
        self.ended = ended
        self.body_size = body_size

    def drop(self) -> None:
        """Give up what was kept of it."""
        self.full = True
        self.head = self._chunk = self.unread = b""
        self._head_size = self._extra = 0
        self._body = self._rest = self.log = None
        self.streams = False


_UNSAID: Final[dict[str, Any]] = {
    "_answer_size": None,
    "_answered_at": None,
    "_body": None,
    "_id": "",
    "_rest": None,
    "body_size": 0,
    "cause": None,
    "full": False,
    "log": None,
    "pinned": False,
    "replay_of": "",
    "streams": False,
    "unread": b"",
}
_new = object.__new__


class Recording:
    """Keeps the exchanges of one service; see `inletspy.client.exchanges.Recorder`.

    Args:
        replay_of: see `Captured`.

    Attributes:
        store: where.
        service: whose.
    """

    __slots__ = ("_replay_of", "service", "store")

    def __init__(self, store: Store, service: ServiceOffer, replay_of: str = "") -> None:
        self.store = store
        self.service = service
        self._replay_of = replay_of

    def begin(self, head: bytes, visitor: str, at: float) -> Captured:
        """See `Recorder`."""
        store = self.store
        n = store.last_n = store.last_n + 1
        captured = self.captured(n, visitor, at, head)
        if self._replay_of:
            captured.replay_of = self._replay_of
        kept = store.kept
        kept.append(captured)
        used = store.used = store.used + OVERHEAD + len(head)
        if used > store.limit or len(kept) > store.most:
            store.make_room()
        if store.changed is not None:
            store.changed[n] = captured
        return captured

    def captured(self, n: int, visitor: str, at: float, head: bytes) -> Captured:
        """One that has begun."""
        captured: Captured = _new(Captured)  # an `__init__` would take as long as all the rest
        captured._recording = self
        captured.n = n
        captured.visitor = visitor
        captured.started = at
        captured.head = head
        captured.ended = None
        captured._chunk = b""
        captured._head_size = captured._extra = 0
        return captured
