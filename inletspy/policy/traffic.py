"""What passes through one service: counts, the rate, the last requests.

Noting a request is on its way to the visitor, so it only counts and keeps; whatever takes
longer waits until somebody looks. Time comes with what is noted. Where requests come from
and who may look is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import ceil
from struct import Struct
from typing import Any, Final, NamedTuple

__all__ = ["KEPT", "SLOT_SECONDS", "Passage", "Traffic"]

#: Requests that are remembered one by one, at most.
KEPT: Final = 200
#: The slots that requests are counted in for the curve, and how long each lasts.
_SLOTS: Final = 60
SLOT_SECONDS: Final = 15
#: Over so many seconds the rate is taken.
_RATE_SECONDS: Final = 5
#: So many bytes of a request are remembered, at most.
_MAX_TEXT: Final = 512

#: Of a request: when it began, how long it took, status, bytes in and out.
_FIGURES: Final = Struct("<dfHQQ")
_PACKED: Final = _FIGURES.size
_pack = _FIGURES.pack
_unpack = _FIGURES.unpack_from

#: The classes of statuses that are shown.
_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")


class Passage(NamedTuple):
    """A request that is over, or a connection without requests.

    Attributes:
        n: its number; a later one has a higher number.
        began: when, in seconds since the epoch.
        seconds: how long it took.
        status: of the answer; 0 for a connection.
        bytes_in: from the visitor, the head included.
        bytes_out: to the visitor, the head included.
        visitor: where it came from.
        method: its method; empty for a connection.
        target: its target, with whatever secrets stand in it.
        cut: whether something is missing at its end.
    """

    n: int
    began: float
    seconds: float
    status: int
    bytes_in: int
    bytes_out: int
    visitor: bytes
    method: bytes
    target: bytes
    cut: bool


def _nothing() -> int:
    return 0


class Traffic:
    """What passes through one service.

    Attributes:
        noted: requests and connections that are over.
        open: connections that were counted as they began, and are not over.
        bytes_in: from visitors.
        bytes_out: to visitors.
        active: tells how many requests and connections are under way.
    """

    __slots__ = (
        "_base",
        "_last",
        "_marks",
        "_second",
        "_slot",
        "_slots",
        "_statuses",
        "_turn_at",
        "active",
        "bytes_in",
        "bytes_out",
        "noted",
        "open",
    )

    def __init__(self, active: Callable[[], int] = _nothing) -> None:
        self.noted = 0
        self.open = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.active = active
        #: When something has to be done about rate and curve.
        self._turn_at = 0.0
        #: The present second and slot, and how many there were when the slot began.
        self._second = self._slot = self._base = 0
        # Only services that anybody visits need the rest.
        self._statuses: list[int]
        #: The last requests, packed: that takes a third of the memory.
        self._last: deque[bytes]
        #: Requests in the slots before the present one.
        self._slots: deque[int]
        #: Seconds in which something was counted, and how much was there before.
        self._marks: deque[tuple[int, int]]

    # -- on the way of requests

    def note(
        self,
        now: float,
        began: float,
        method: bytes,
        target: bytes,
        status: int,
        bytes_in: int,
        bytes_out: int,
        visitor: bytes,
    ) -> None:
        """A request is over; see `Passage`."""
        if now >= self._turn_at:
            self._turn(now)
        self.noted += 1
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        self._statuses[status // 100] += 1
        text = b" ".join((visitor, method, target))
        if len(text) > _MAX_TEXT:
            text = text[:_MAX_TEXT]
        self._last.append(_pack(began, now - began, status, bytes_in, bytes_out) + text)

    def begin(self, now: float) -> None:
        """A connection without requests has begun; its bytes are counted as they pass."""
        if now >= self._turn_at:
            self._turn(now)
        self.open += 1

    def end(self, now: float, began: float, bytes_in: int, bytes_out: int, visitor: bytes) -> None:
        """It is over."""
        if now >= self._turn_at:
            self._turn(now)
        self.open -= 1
        self.noted += 1
        self._last.append(_pack(began, now - began, 0, bytes_in, bytes_out) + visitor)

    def _turn(self, now: float) -> None:
        """A second is over, or many are."""
        second = int(now)
        if not self._turn_at:
            self._statuses = [0] * 10
            self._last = deque(maxlen=KEPT)
            self._restart(second)
        self._settle(second)
        self._marks.append((second, self.total))
        self._second = second
        self._turn_at = second + 1.0

    def _restart(self, second: int) -> None:
        """Have rate and curve begin now."""
        self._slots = deque([0] * (_SLOTS - 1), maxlen=_SLOTS - 1)
        self._marks = deque(maxlen=_RATE_SECONDS + 1)
        self._base = self.total
        self._slot = second // SLOT_SECONDS
        self._second = second
        self._turn_at = float(second)

    def _settle(self, second: int) -> None:
        """Have the present slot be that of a second."""
        slot = second // SLOT_SECONDS
        if slot > self._slot:
            self._slots.append(self.total - self._base)
            self._slots.extend([0] * min(slot - self._slot - 1, _SLOTS))
            self._base = self.total
            self._slot = slot

    def rest(self) -> None:
        """Nothing is under way any more, as far as anybody can tell."""
        self.active = _nothing

    # -- for those who look

    @property
    def total(self) -> int:
        """All that there were, be they over or not."""
        return self.noted + self.open

    def pulse(self, now: float) -> tuple[float, ...]:
        """Differs from an earlier one if `figures` do; costs little.

        Args:
            now: in seconds since the epoch.
        """
        counts = self.active(), self.total, self.open, self.bytes_in, self.bytes_out
        if not self._turn_at:
            return counts
        quiet = int(now) - self._second
        # Rate and curve go on changing for a while.
        rate = self._rate(int(now)) if quiet <= _RATE_SECONDS else 0.0
        slot = int(now) // SLOT_SECONDS if quiet <= (_SLOTS + 1) * SLOT_SECONDS else 0
        return *counts, rate, slot

    def figures(self, now: float) -> dict[str, Any]:
        """All in figures, JSON-ready.

        Args:
            now: in seconds since the epoch.
        """
        statuses = [0] * 10
        curve = [0] * _SLOTS
        per_second = 0.0
        times: list[float] = []
        if self._turn_at:
            if now < self._second:  # the clock was set back
                self._restart(int(now))
            self._settle(int(now))
            statuses = self._statuses
            curve = [*self._slots, self.total - self._base]
            per_second = self._rate(int(now))
            # How long an upgraded connection or one without requests lasts says nothing.
            unpacked = map(_unpack, self._last)
            times = sorted(seconds for _, seconds, status, _, _ in unpacked if status >= 200)
        return {
            "requests": self.total,
            "active": self.active(),
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "per_second": per_second,
            "statuses": dict(zip(_CLASSES, statuses[1:], strict=False)),
            "p50_ms": _percentile(times, 0.5),
            "p99_ms": _percentile(times, 0.99),
            "spark": curve,
        }

    def passages(self, after: int = 0) -> Iterator[Passage]:
        """The last ones, newest first.

        Args:
            after: a number; only those with a higher one.
        """
        last = self._last if self._turn_at else ()
        for n, entry in zip(range(self.noted, after, -1), reversed(last), strict=False):
            visitor, method, target = [*entry[_PACKED:].split(b" ", 2), b"", b""][:3]
            cut = len(entry) >= _PACKED + _MAX_TEXT
            began, seconds, status, bytes_in, bytes_out = _unpack(entry)
            figures = n, began, seconds, status, bytes_in, bytes_out
            yield Passage(*figures, visitor, method, target, cut)

    def _rate(self, second: int) -> float:
        before = next(
            (count for at, count in self._marks if at > second - _RATE_SECONDS), self.total
        )
        return round((self.total - before) / _RATE_SECONDS, 2)


def _percentile(ordered: list[float], part: float) -> float | None:
    """The value that so great a part of all does not exceed, in milliseconds."""
    if not ordered:
        return None
    return round(ordered[ceil(part * len(ordered)) - 1] * 1000, 2)
