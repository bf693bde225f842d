"""The exchanges that were captured: raw, within bounds, the oldest of them going first.

A `Captured` is told of an exchange as it passes, and keeps references to the bytes; what
they mean is found out when somebody looks. Pinned ones stay. Nothing here looks into the
bytes, but for whether an answer is a stream of events.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from inletspy.client.inspector.messages import EventLog, FrameLog
from inletspy.client.inspector.pieces import Pieces, more
from inletspy.client.requests import Cause
from inletspy.wire.control import ServiceOffer

__all__ = ["Captured", "Recording", "Store"]

#: Exchanges that are kept at most, and bytes that each costs beside its own.
MAX_KEPT: Final = 10_000
OVERHEAD: Final = 700
#: What may be pinned.
MAX_PINNED: Final = 200


class Captured:
    """One exchange; see `inletspy.client.requests.Record`.

    Attributes:
        n: its number, which grows.
        service: which it came to, as that was at the time.
        visitor: the address that its stream was opened for.
        started: when the request's head had come, in seconds since the epoch.
        head: the request's head, as sent.
        body: what is kept of the request's body, as sent.
        body_size: how long that is by now.
        answered_at: when the answer's head came; None if it did not.
        answer: the answer's head.
        answer_body: what is kept of its body, as sent; without chunk framing if `streams`.
        answer_size: how long that is by now, as sent.
        ended: when it was over; None while it is not.
        cause: why it came to nothing.
        unread: the beginning of what could not be understood.
        log: its messages, if it is a WebSocket or a stream of events.
        replay_of: the `id` of the one that it repeats; empty if it is a visitor's.
        pinned: whether it is to stay.
        full: whether nothing more is kept of it.
        gone: whether what was kept of it was given up.
    """

    __slots__ = (
        "_id",
        "_kept",
        "_store",
        "answer",
        "answer_body",
        "answer_size",
        "answered_at",
        "body",
        "body_size",
        "cause",
        "ended",
        "full",
        "gone",
        "head",
        "log",
        "n",
        "pinned",
        "replay_of",
        "service",
        "started",
        "streams",
        "unread",
        "visitor",
    )

    def __init__(
        self, store: Store, n: int, service: ServiceOffer, visitor: str, started: float, head: bytes
    ) -> None:
        self._store = store
        self._id = ""
        self._kept = OVERHEAD + len(head)
        self.n = n
        self.service = service
        self.visitor = visitor
        self.started = started
        self.head = head
        self.body: Pieces = None
        self.body_size = 0
        self.answered_at: float | None = None
        self.answer = b""
        self.answer_body: Pieces = None
        self.answer_size = 0
        self.ended: float | None = None
        self.cause: Cause | None = None
        self.unread = b""
        self.log: FrameLog | EventLog | None = None
        self.replay_of = ""
        self.streams = self.pinned = self.full = self.gone = False

    @property
    def id(self) -> str:
        """What it is called; no other is called so, even after a restart."""
        return self._id or f"{self._store.run}-{self.n}"

    # -- as it passes

    def asked(self, data: bytes) -> None:
        """See `Record`."""
        before = self.body_size
        self.body_size += len(data)
        room = self._store.body_limit - before
        if room > 0 and not self.full:
            kept = data if len(data) <= room else data[:room]
            self.body = more(self.body, kept) if self.body else kept
            self._keep(len(kept))

    def answered(self, head: bytes, at: float) -> None:
        """See `Record`."""
        self.answered_at = at
        if self.full:
            return
        self.answer = head
        if b"event-stream" in head:
            self.log = EventLog(self._store.body_limit)
            self.streams = True
        self._keep(len(head))
        self._tell()

    def answering(self, data: bytes) -> None:
        """See `Record`."""
        before = self.answer_size
        self.answer_size += len(data)
        room = self._store.body_limit - before
        if room > 0 and not self.full:
            kept = data if len(data) <= room else data[:room]
            self.answer_body = more(self.answer_body, kept) if self.answer_body else kept
            self._keep(len(kept))

    def streamed(self, content: bytes, size: int, at: float) -> None:
        """See `Record`."""
        self.answer_size += size
        if isinstance(self.log, EventLog) and not self.full:
            self._keep(self.log.add(content, at))
            self._tell()

    def switched(self, from_visitor: bool, data: bytes, at: float) -> None:
        """See `Record`."""
        if from_visitor:
            self.body_size += len(data)
        else:
            self.answer_size += len(data)
        if self.full:
            return
        if self.log is None:
            self.log = FrameLog(self._store.body_limit, self.answer)
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

    def _keep(self, size: int) -> None:
        self._kept += size
        store = self._store
        store.used += size
        if store.used > store.limit:
            store.make_room()

    def _tell(self) -> None:
        changed = self._store.changed
        if changed is not None and not self.gone:
            changed[self.n] = self

    # -- afterwards

    @property
    def is_websocket(self) -> bool:
        """Whether the connection went over to WebSocket."""
        return self.answer.startswith((b"HTTP/1.1 101", b"HTTP/1.0 101"))

    @property
    def size(self) -> int:
        """Bytes that it costs to keep."""
        return self._kept

    def named(self, id: str) -> None:
        """Give it the name that it had in an earlier run."""
        self._id = id

    def drop(self) -> None:
        """Give up what was kept of it."""
        self._store.used -= self._kept
        self._kept = 0
        self.full = self.gone = True
        self.head = self.answer = self.unread = b""
        self.body = self.answer_body = self.log = None
        self.streams = False


class Store:
    """All that was captured.

    Args:
        body_limit: bytes that are kept of each body.
        limit: bytes that all may cost; pinned ones have the same again for themselves.

    Attributes:
        run: begins the ids of what is captured by this very store.
        used: bytes that all cost now, but for pinned ones.
        changed: those that began or changed, while somebody wants to know; else None.
        last_n: the number of the last one.
    """

    def __init__(self, body_limit: int, limit: int) -> None:
        self.body_limit = body_limit
        self.limit = limit
        self.run = secrets.token_hex(3)
        self.used = 0
        self.changed: dict[int, Captured] | None = None
        self.last_n = 0
        self.pinned: dict[int, Captured] = {}
        #: Numbers follow one another without a gap.
        self._kept: deque[Captured] = deque()

    @property
    def first_n(self) -> int:
        """The number of the oldest; one more than `last_n` if there is none."""
        kept = next(iter(self._kept), None)
        numbers = [*sorted(self.pinned)[:1], self.last_n + 1 if kept is None else kept.n]
        return min(numbers)

    def recorder(self, service: ServiceOffer) -> Recording:
        """What keeps the exchanges of a service."""
        return Recording(self, service)

    def begin(self, service: ServiceOffer, head: bytes, visitor: str, at: float) -> Captured:
        """A request's head has passed."""
        n = self.last_n = self.last_n + 1
        captured = Captured(self, n, service, visitor, at, head)
        kept = self._kept
        kept.append(captured)
        self.used += OVERHEAD + len(head)
        if self.used > self.limit or len(kept) > MAX_KEPT:
            self.make_room()
        if self.changed is not None:
            self.changed[n] = captured
        return captured

    def make_room(self) -> None:
        """Give up the oldest until the bounds hold."""
        kept = self._kept
        while kept and (self.used > self.limit or len(kept) > MAX_KEPT):
            self._drop(kept.popleft())

    def clear(self) -> None:
        """Give up all that is not pinned."""
        while self._kept:
            self._drop(self._kept.popleft())

    def _drop(self, captured: Captured) -> None:
        if captured.pinned:
            captured.full = True
            self.used -= captured.size
            return
        if self.changed is not None:
            self.changed.pop(captured.n, None)
        captured.drop()

    def newest_first(self, before: int | None = None) -> Iterator[Captured]:
        """All, or those whose numbers are below `before`, pinned ones among them."""
        kept = list(self._kept)
        pinned = [one for n, one in sorted(self.pinned.items()) if not kept or n < kept[0].n]
        for one in reversed(pinned + kept):
            if (before is None or one.n < before) and not one.gone:
                yield one

    def find(self, id: str) -> Captured | None:
        """The one of that id."""
        for one in self.pinned.values():
            if one.id == id:
                return one
        run, _, digits = id.rpartition("-")
        if run != self.run or not digits.isascii() or not digits.isdecimal() or not self._kept:
            return None
        place = int(digits[:12]) - self._kept[0].n
        return self._kept[place] if 0 <= place < len(self._kept) else None


class Recording:
    """Keeps the exchanges of one service; see `inletspy.client.requests.Recorder`."""

    __slots__ = ("_begin", "_service")

    def __init__(self, store: Store, service: ServiceOffer) -> None:
        self._begin: Callable[[ServiceOffer, bytes, str, float], Captured] = store.begin
        self._service = service

    def begin(self, head: bytes, visitor: str, at: float) -> Captured:
        """See `Recorder`."""
        return self._begin(self._service, head, visitor, at)
