"""The shape of a tunnel in `/status`, `/api/tunnels` and `tunnels.json`.

A row as `ITunnels.rows()` gives it says whose it is; that is for choosing rows, not
for showing. Everything that shows rows to the outside goes through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from inletspy.web.schemas import named, record, text

__all__ = ["TUNNEL", "moment", "of_owner", "shown", "timestamp"]

Row = Mapping[str, Any]

#: What a row says to the server only, and to those who see everybody's.
_INTERNAL: Final = frozenset({"owner"})

#: A row as everybody sees it. A tunnel that was registered has no more than is required.
TUNNEL: Final = record(
    {
        "id": text("What `/api/tunnels/{id}` calls it."),
        "hostname": text("The public name; of a tcp tunnel the base domain."),
        "public_url": text("Where visitors reach it, or what clients connect to it by."),
        "upstream": text("The service behind it, as its client calls it."),
        "client_id": text("Which client serves it."),
        "connected_at": text("Since when, in UTC.", format="date-time"),
        "status": {"enum": ["active", "draining", "away"]},
    },
    {
        "protocol": {"enum": ["http", "tcp"]},
        "session": text("The client's session; its tunnels have the same."),
        "wire": {"enum": ["inletspy.v1", "inlets"]},
        "shared": {"type": "boolean", "description": "Whether others may have its name, too."},
        "private": {"const": True, "description": "There if visitors can't reach it."},
        "held_until": text(
            "There if it is away: until then its name is kept for its owner.", format="date-time"
        ),
        "traffic": {
            **named("Traffic"),
            "description": "What passes through it. Not at `/status`, nor where this server does "
            "not run the tunnel.",
        },
        "owner": text("Whose it is; for the scope `admin` only."),
    },
)


def shown(rows: Iterable[Row], *, owners: bool = False) -> list[dict[str, Any]]:
    """The rows as the outside gets to see them.

    Args:
        rows: as they are inside.
        owners: whether who sees them may know whose they are.
    """
    hidden = frozenset() if owners else _INTERNAL
    return [{key: row[key] for key in row if key not in hidden} for row in rows]


def of_owner(rows: Iterable[Row], owner: str) -> list[Row]:
    """The rows that belong to exactly this owner."""
    return [row for row in rows if row.get("owner") == owner]


def timestamp(moment: datetime) -> str:
    """A time in UTC as rows have it: ISO 8601, ending in Z."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def moment(seconds: float) -> str:
    """Whole seconds since the epoch in the same form, for what ends at a time that was set."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
