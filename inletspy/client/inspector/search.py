"""Which of the captured exchanges somebody wants to see.

A search goes from the newest to the oldest and lets the traffic go on meanwhile: it never
takes more than a few milliseconds at a time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.task import deferLater

from inletspy.answers import InvalidRequest
from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.heads import request_line, status_of
from inletspy.client.inspector.messages import EventLog
from inletspy.client.inspector.store import Store
from inletspy.client.inspector.views import kind_of, state_of

__all__ = ["Search", "found"]

#: How many are given where nobody says, and at most.
LIMIT: Final = 100
MAX_LIMIT: Final = 1000
#: Seconds that a search may hold the traffic up.
_SLICE: Final = 0.004

_match_status = re.compile(r"[1-5](?:[0-9]{2}|xx)|none").fullmatch


@dataclass(frozen=True)
class Search:
    """What is looked for; None where it does not matter.

    Attributes:
        limit: how many are wanted.
        before: only those with lower numbers.
        q: what stands somewhere in them, in lower case.
        methods: which methods, in upper case.
        statuses: like `404`, `5xx`, or `none` for those without an answer.
        path: what stands in the target, in lower case.
        slower_than: milliseconds that they took at least.
        service: whose they are.
        kind: see `views.kind_of`.
        state: see `views.state_of`.
        pinned: whether they are pinned.
    """

    limit: int = LIMIT
    before: int | None = None
    q: bytes | None = None
    methods: tuple[bytes, ...] | None = None
    statuses: tuple[str, ...] | None = None
    path: bytes | None = None
    slower_than: float | None = None
    service: str | None = None
    kind: str | None = None
    state: str | None = None
    pinned: bool | None = None

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> Search:
        """Read a query.

        Raises:
            InvalidRequest: it makes no sense.
        """
        statuses = _list(asked.get("status", "").lower())
        if statuses and not all(_match_status(status) for status in statuses):
            raise InvalidRequest("status is like 404, 5xx or none; several with commas")
        methods = _list(asked.get("method", "").upper())
        pinned = asked.get("pinned", "")
        if pinned not in ("", "true", "false"):
            raise InvalidRequest("pinned is true or false")
        limit = _number(asked, "limit", 1, MAX_LIMIT)
        before = _number(asked, "before", -(1 << 53), 1 << 53)
        return cls(
            limit=LIMIT if limit is None else int(limit),
            before=None if before is None else int(before),
            q=asked.get("q", "").lower().encode() or None,
            methods=tuple(method.encode() for method in methods) or None,
            statuses=statuses or None,
            path=asked.get("path", "").lower().encode() or None,
            slower_than=_number(asked, "slower_than", 0, 1e12),
            service=asked.get("service") or None,
            kind=asked.get("kind") or None,
            state=asked.get("state") or None,
            pinned=None if not pinned else pinned == "true",
        )

    def fits(self, one: Captured) -> bool:
        """Whether that is one of them."""
        method, target = request_line(one.head)
        return (
            (self.methods is None or method in self.methods)
            and (self.path is None or self.path in target.lower())
            and (self.pinned is None or one.pinned == self.pinned)
            and (self.service is None or one.service.name == self.service)
            and (self.kind is None or kind_of(one) == self.kind)
            and (self.state is None or state_of(one) == self.state)
            and (self.slower_than is None or self._is_slow(one, self.slower_than))
            and (self.statuses is None or self._has_status(one, self.statuses))
            and (self.q is None or self._holds(one, self.q))
        )

    def _is_slow(self, one: Captured, least: float) -> bool:
        return one.ended is not None and (one.ended - one.started) * 1000 >= least

    def _has_status(self, one: Captured, wanted: tuple[str, ...]) -> bool:
        status = status_of(one.answer)
        if status is None:
            return "none" in wanted
        return str(status) in wanted or f"{status // 100}xx" in wanted

    def _holds(self, one: Captured, q: bytes) -> bool:
        return (
            q in one.head.lower()
            or q in one.answer.lower()
            or q in one.body_bytes.lower()
            or q in one.answer_bytes.lower()
            or (isinstance(one.log, EventLog) and q in one.log.content().lower())
        )


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _number(asked: Mapping[str, str], name: str, least: float, most: float) -> float | None:
    text = asked.get(name, "")
    if not text:
        return None
    if re.fullmatch(r"-?[0-9]{1,17}(?:\.[0-9]{1,9})?", text) is None:
        raise InvalidRequest(f"{name} is no number")
    if not least <= float(text) <= most:
        raise InvalidRequest(f"{name} must be from {least:.0f} to {most:.0f}")
    return float(text)


async def found(reactor: Any, store: Store, search: Search) -> tuple[list[Captured], bool]:
    """The newest that fit.

    Returns:
        They, newest first, and whether there may be more.
    """
    fitting: list[Captured] = []
    until = reactor.seconds() + _SLICE
    for one in store.newest_first(search.before):
        if search.fits(one):
            if len(fitting) == search.limit:
                return [one for one in fitting if not one.gone], True
            fitting.append(one)
        if reactor.seconds() > until:
            await deferLater(reactor, 0)
            until = reactor.seconds() + _SLICE
    return [one for one in fitting if not one.gone], False
