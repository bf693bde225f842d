"""The exchanges that were captured: within bounds, the oldest of them going first.

Owns which are kept, and which stay since they are pinned. What is kept of each is the matter
of `captured`.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterator

from inletspy.client.inspector.captured import Captured, Recording
from inletspy.wire.control import ServiceOffer

__all__ = ["Store"]


class Store:
    """All that was captured.

    Args:
        body_limit: bytes that are kept of each body.
        limit: bytes that all may cost; pinned ones have the same again for themselves.

    Attributes:
        most: exchanges that are kept at most, but for pinned ones.
        run: begins the ids of what is captured by this very store.
        used: bytes that all cost now, but for pinned ones.
        changed: those that began or changed, while somebody wants to know; else None.
        last_n: the number of the last one.
        pinned: those that stay, by number.
        kept: the latest; their numbers follow one another without a gap.
    """

    most = 10_000

    def __init__(self, body_limit: int, limit: int) -> None:
        self.body_limit = body_limit
        self.limit = limit
        self.run = secrets.token_hex(3)
        self.used = 0
        self.changed: dict[int, Captured] | None = None
        self.last_n = 0
        self.pinned: dict[int, Captured] = {}
        self.kept: deque[Captured] = deque()

    @property
    def first_n(self) -> int:
        """The number of the oldest; one more than `last_n` if there is none."""
        kept = next(iter(self.kept), None)
        numbers = [*sorted(self.pinned)[:1], self.last_n + 1 if kept is None else kept.n]
        return min(numbers)

    def recorder(self, service: ServiceOffer) -> Recording:
        """What keeps the exchanges of a service."""
        return Recording(self, service)

    def make_room(self) -> None:
        """Give up the oldest until the bounds hold."""
        kept = self.kept
        while kept and (self.used > self.limit or len(kept) > self.most):
            oldest = kept.popleft()
            self.used -= oldest.size
            if oldest.ended is None or self.pinned or self.changed is not None:
                self._leave(oldest)
            else:  # it goes as nobody holds it, once the rest of its request's body has come
                oldest.full = True

    def clear(self) -> None:
        """Give up all that is not pinned."""
        while self.kept:
            captured = self.kept.popleft()
            self.used -= captured.size
            self._leave(captured)

    def unpin(self, captured: Captured) -> None:
        """Have one stay no longer than others."""
        captured.pinned = False
        self.pinned.pop(captured.n, None)
        if self.kept and captured.n >= self.kept[0].n:
            self.touched(captured)
        else:
            self._forget(captured)

    def touched(self, captured: Captured) -> None:
        """Tell whoever looks on that one has changed."""
        if self.changed is not None:
            self.changed[captured.n] = captured

    def _leave(self, captured: Captured) -> None:
        """See to one that is among the latest no longer."""
        if captured.n in self.pinned:
            captured.full = True
        else:
            self._forget(captured)

    def _forget(self, captured: Captured) -> None:
        if self.changed is not None:
            self.changed.pop(captured.n, None)
        captured.drop()

    def newest_first(self, before: int | None = None) -> Iterator[Captured]:
        """All, or those whose numbers are below `before`, pinned ones among them."""
        kept = list(self.kept)
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
        if run != self.run or not digits.isascii() or not digits.isdecimal() or not self.kept:
            return None
        place = int(digits[:12]) - self.kept[0].n
        return self.kept[place] if 0 <= place < len(self.kept) else None
