"""How the server is, in figures: what its parts tell of themselves, put together.

Knows what each part's `snapshot()` has, and no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from inletspy import __version__
from inletspy.interfaces import ISnapshot
from inletspy.process import memory, open_descriptors

__all__ = ["Condition"]


class Condition:
    """The figures, when somebody asks.

    Args:
        now: seconds since the epoch.
        visitors: how many connections of visitors there are.
        descriptors: how many the process may have open.
        parts: database, admission and control plane.
    """

    def __init__(
        self,
        now: Callable[[], float],
        visitors: Callable[[], int],
        descriptors: int,
        *parts: ISnapshot,
    ) -> None:
        self._now = now
        self._visitors = visitors
        self._descriptors = descriptors
        self._parts = parts
        self._began = now()

    def __call__(self) -> Mapping[str, Any]:
        """As `inletspy.web.health.HEALTH` has it."""
        told: dict[str, Any] = {}
        for part in self._parts:
            told |= part.snapshot()
        return {
            "version": __version__,
            "uptime_seconds": max(0, int(self._now() - self._began)),
            "tunnels": told["services"],
            "links": told["links"],
            "sessions": told["sessions"],
            "streams": told["streams"],
            "visitors": self._visitors(),
            "memory_bytes": memory(),
            "descriptors": {"open": open_descriptors(), "limit": self._descriptors},
            "database": {
                "state": "up" if told["connected"] else "away",
                "since": datetime.fromtimestamp(told["since"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "refusals": told["refused"],
        }
