"""`/api/health`: how the server is, in figures, for those who run it.

Whether it does its work at all, everybody may ask at `/health`; see `status`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from inletspy.web.calls import Asked, Call
from inletspy.web.schemas import named, record, text

__all__ = ["HEALTH", "Condition", "HealthCalls"]

#: How the server is, as `HEALTH` has it.
Condition = Callable[[], Mapping[str, Any]]

_COUNT: Final = {"type": "integer", "minimum": 0}
_UNKNOWN: Final = {"type": ["integer", "null"], "minimum": 0}

#: The figures.
HEALTH: Final = record(
    {
        "version": text("Of the server."),
        "uptime_seconds": {**_COUNT, "description": "Since it was ready."},
        "tunnels": {**_COUNT, "description": "That this server runs."},
        "links": {**_COUNT, "description": "Connections of clients."},
        "sessions": {**_COUNT, "description": "Clients that were let in."},
        "streams": {**_COUNT, "description": "Logical connections inside the links."},
        "visitors": {**_COUNT, "description": "Connections of visitors."},
        "memory_bytes": {**_UNKNOWN, "description": "Resident; null where that is not known."},
        "descriptors": record({"open": _UNKNOWN, "limit": _COUNT}),
        "database": record(
            {
                "state": {"enum": ["up", "away"]},
                "since": text("Since when, in UTC.", format="date-time"),
            }
        ),
        "refusals": {
            "type": "object",
            "additionalProperties": _COUNT,
            "description": "How often each limit has refused something since the start.",
        },
    }
)


class HealthCalls:
    """The call.

    Args:
        condition: how the server is.
    """

    def __init__(self, condition: Condition) -> None:
        self._condition = condition

    def calls(self) -> list[Call]:
        """The calls."""
        return [
            Call(
                "GET",
                "/api/health",
                self.health,
                "How the server is, in figures",
                named("Health"),
                scopes=("admin",),
            )
        ]

    def health(self, asked: Asked) -> Mapping[str, Any]:
        """How it is now."""
        return self._condition()
