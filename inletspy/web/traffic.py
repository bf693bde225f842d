"""What passes through tunnels, for those who may see them: figures and last requests.

Owns how both are shown. How they come about, `inletspy.policy.traffic` knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from inletspy.answers import InvalidRequest
from inletspy.interfaces import ITunnels
from inletspy.policy.links import without_secrets
from inletspy.policy.traffic import KEPT, Passage, Traffic
from inletspy.web.access import row_seen_by
from inletspy.web.calls import Asked, Call
from inletspy.web.rows import shown, timestamp
from inletspy.web.schemas import Schema, array, named, record, text

__all__ = ["PASSAGE", "TRAFFIC", "TrafficCalls", "as_shown", "with_figures"]

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_MILLISECONDS: Final[Schema] = {"type": ["number", "null"]}


def _count(description: str) -> Schema:
    return {**_COUNT, "description": description}


#: Figures of one tunnel.
TRAFFIC: Final = record(
    {
        "requests": _count("Since the name was first served; of tcp tunnels connections."),
        "active": _count("Requests and connections that are under way."),
        "bytes_in": _count("From visitors, with the heads of requests."),
        "bytes_out": _count("To visitors, with the heads of answers."),
        "per_second": {"type": "number", "description": "Requests, over the last 5 seconds."},
        "statuses": record({f"{n}xx": _COUNT for n in range(1, 6)}),
        "p50_ms": {**_MILLISECONDS, "description": "Half of the last 200 requests took no longer."},
        "p99_ms": {**_MILLISECONDS, "description": "99 of 100 of these took no longer."},
        "spark": {
            **array(_COUNT),
            "description": "Requests in each 15 seconds of the last 15 minutes, the oldest first.",
        },
    }
)

#: One request that is over.
PASSAGE: Final = record(
    {
        "n": _count("Later ones have higher numbers."),
        "time": text("When it came, in UTC.", format="date-time"),
        "method": {"type": ["string", "null"], "description": "Null for a connection."},
        "path": {
            "type": ["string", "null"],
            "description": "With the query; bytes that are not ASCII as \\xNN; cut where it is "
            "long, and then … at its end. Null for a connection.",
        },
        "status": {
            "type": ["integer", "null"],
            "description": "499 for a visitor that did not wait. Null for a connection.",
        },
        "duration_ms": {"type": "number"},
        "bytes_in": _COUNT,
        "bytes_out": _COUNT,
        "visitor": text("Its address."),
    }
)


class TrafficCalls:
    """`/api/tunnels/{id}/requests`.

    Args:
        tunnels: whose traffic it is.
    """

    def __init__(self, tunnels: ITunnels) -> None:
        self._tunnels = tunnels

    def calls(self) -> list[Call]:
        """The calls."""
        return [
            Call(
                "GET",
                "/api/tunnels/{id}/requests",
                self.requests,
                f"The last {KEPT} requests of a tunnel, the newest first",
                record({"requests": array(named("Request"), most=KEPT)}),
                scopes=("status",),
                query={"limit": f"How many, from 1 to {KEPT}; 100 where it is left out."},
            )
        ]

    def requests(self, asked: Asked) -> dict[str, Any]:
        """Those of the tunnel of that id, also while its client is away."""
        limit = _limit(asked.parameters.get("limit", "100"))
        id = asked.parameters["id"]
        rows = [*self._tunnels.rows(), *self._tunnels.away()]
        row_seen_by(asked.caller, rows, id)
        traffic = self._tunnels.traffic().get(id)
        passages = list(traffic.passages()) if traffic is not None else []
        return {"requests": [as_shown(passage) for passage in passages[:limit]]}


def _limit(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 4 and 1 <= int(text) <= KEPT:
        return int(text)
    raise InvalidRequest(f"limit must be a whole number from 1 to {KEPT}")


def with_figures(
    rows: Iterable[Mapping[str, Any]],
    traffic: Mapping[str, Traffic],
    now: float,
    *,
    owners: bool,
) -> list[dict[str, Any]]:
    """The rows as the outside gets to see them, with the figures of those that have any.

    Args:
        rows: as they are inside.
        traffic: by the ids of rows.
        now: in seconds since the epoch.
        owners: see `shown`.
    """
    found = shown(rows, owners=owners)
    for row in found:
        passing = traffic.get(row["id"])
        if passing is not None:
            row["traffic"] = passing.figures(now)
    return found


def as_shown(passage: Passage) -> dict[str, Any]:
    """A request as JSON has it."""
    requested = bool(passage.status)
    path = without_secrets(passage.target).decode("ascii", "backslashreplace")
    return {
        "n": passage.n,
        "time": timestamp(datetime.fromtimestamp(passage.began, UTC)),
        "method": passage.method.decode("ascii") if requested else None,
        "path": path + "…" * passage.cut if requested else None,
        "status": passage.status or None,
        "duration_ms": round(passage.seconds * 1000, 2),
        "bytes_in": passage.bytes_in,
        "bytes_out": passage.bytes_out,
        "visitor": passage.visitor.decode("ascii", "backslashreplace"),
    }
