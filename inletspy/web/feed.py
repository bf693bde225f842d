"""What changes among the tunnels, looked at once a second for all who follow.

Owns which rows are new, changed or gone since when, and their JSON, which is made once
however many follow. How it gets to them is the matter of `events`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from inletspy.interfaces import ITunnels
from inletspy.policy.traffic import Traffic
from inletspy.web.traffic import with_figures

__all__ = ["REMEMBERED", "Feed", "encoded"]

#: For so many seconds it is remembered what is gone.
REMEMBERED: Final = 60


def encoded(value: Any) -> bytes:
    """JSON in one line."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


class _Entry:
    """A row, and when it changed.

    Attributes:
        row: as it is inside.
        traffic: what passes through it, where that is known.
        pulse: of that.
        changed: at which look it was last found to have changed.
    """

    __slots__ = ("_json", "changed", "pulse", "row", "traffic")

    def __init__(self, row: Mapping[str, Any], traffic: Traffic | None, changed: int) -> None:
        self.row = row
        self.traffic = traffic
        self.pulse: tuple[float, ...] = ()
        self.changed = changed
        self._json: dict[bool, bytes] = {}

    def change(self, look: int) -> None:
        """It has changed."""
        self.changed = look
        self._json.clear()

    def json(self, now: float, *, owners: bool) -> bytes:
        """The row as the outside gets to see it; as it was when it changed."""
        found = self._json.get(owners)
        if found is None:
            traffic = {} if self.traffic is None else {self.row["id"]: self.traffic}
            (shown,) = with_figures([self.row], traffic, now, owners=owners)
            found = self._json[owners] = encoded(shown)
        return found


class _Gone(NamedTuple):
    """A row that is gone.

    Attributes:
        look: at which look it was missed.
        at: when that was.
        id: of the row.
        owner: whose it was.
    """

    look: int
    at: float
    id: str
    owner: str


class Feed:
    """The tunnels, also those that are away, as followers know them.

    Args:
        tunnels: what to follow.
        now: seconds since the epoch.

    Attributes:
        looks: how often was looked.
    """

    def __init__(self, tunnels: ITunnels, now: Callable[[], float]) -> None:
        self.looks = 0
        self._tunnels = tunnels
        self._now = now
        self._entries: dict[str, _Entry] = {}
        #: What has changed at the last look, by owner.
        self._fresh: dict[str, list[_Entry]] = {}
        #: The oldest first.
        self._gone: deque[_Gone] = deque()
        #: Whether rows may have come, gone or changed since the last look.
        self._stale = True
        self._unsubscribe: Callable[[], None] | None = None

    def rest(self) -> None:
        """Nobody wants to know, until the next look."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        self._entries.clear()
        self._fresh.clear()
        self._gone.clear()

    def _changed(self) -> None:
        self._stale = True

    def look(self) -> None:
        """See what has changed."""
        self.looks += 1
        self._fresh = {}
        if self._unsubscribe is None:
            self._unsubscribe = self._tunnels.subscribe(self._changed)
            self._stale = True
        now = self._now()
        if self._stale:
            self._stale = False
            self._read(now)
        for entry in self._entries.values():
            if entry.traffic is not None:
                pulse = entry.traffic.pulse(now)
                if pulse != entry.pulse:
                    entry.pulse = pulse
                    entry.change(self.looks)
            if entry.changed == self.looks:
                self._fresh.setdefault(entry.row.get("owner", ""), []).append(entry)
        while self._gone and self._gone[0].at <= now - REMEMBERED:
            self._gone.popleft()

    def _read(self, now: float) -> None:
        """Have the rows that there are."""
        traffic = self._tunnels.traffic()
        before, self._entries = self._entries, {}
        for row in (*self._tunnels.rows(), *self._tunnels.away()):
            id = row["id"]
            entry = before.pop(id, None)
            passing = traffic.get(id)
            if entry is None:
                entry = _Entry(row, passing, self.looks)
            elif entry.row != row or entry.traffic is not passing:
                entry.row, entry.traffic = row, passing
                entry.change(self.looks)
            self._entries[id] = entry
        self._gone += [
            _Gone(self.looks, now, id, entry.row.get("owner", "")) for id, entry in before.items()
        ]

    # -- what followers ask

    def all(self, owner: str | None) -> list[bytes]:
        """All rows of an owner, or of everybody with the owners, as JSON."""
        entries = [e for e in self._entries.values() if owner in (None, e.row.get("owner"))]
        return self._json(entries, owner)

    def changes(self, owner: str | None, since: int) -> tuple[list[bytes], list[str]]:
        """The rows, as JSON, that have changed since an earlier look, and the ids that are gone.

        Args:
            owner: whose; None for everybody's.
            since: the look; not longer than `REMEMBERED` ago.
        """
        entries: Iterable[_Entry]
        if since < self.looks - 1:  # the follower could not take what came
            entries = [
                entry
                for entry in self._entries.values()
                if entry.changed > since and owner in (None, entry.row.get("owner"))
            ]
        elif owner is None:
            entries = [entry for fresh in self._fresh.values() for entry in fresh]
        else:
            entries = self._fresh.get(owner, ())
        return self._json(entries, owner), list(self._gone_since(owner, since))

    def _gone_since(self, owner: str | None, since: int) -> Iterator[str]:
        for gone in reversed(self._gone):
            if gone.look <= since:
                return
            if owner in (None, gone.owner):
                yield gone.id

    def _json(self, entries: Iterable[_Entry], owner: str | None) -> list[bytes]:
        now = self._now()
        return [entry.json(now, owners=owner is None) for entry in entries]

    def has(self, id: str, owner: str | None) -> bool:
        """Whether there is a row of that id, of an owner or of anybody."""
        entry = self._entries.get(id)
        return entry is not None and owner in (None, entry.row.get("owner"))

    def traffic(self, id: str) -> Traffic | None:
        """What passes through the tunnel of a row that there is; None if it is not known."""
        return self._entries[id].traffic
