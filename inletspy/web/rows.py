"""The shape of a tunnel in `/status`, `/api/tunnels` and `tunnels.json`.

A row as `ITunnels.rows()` gives it says whose it is; that is for choosing rows, not
for showing. Everything that shows rows to the outside goes through here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

__all__ = ["of_owner", "shown", "timestamp"]

Row = Mapping[str, Any]

#: What a row says to the server only.
_INTERNAL: Final = frozenset({"owner"})


def shown(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as the outside gets to see them."""
    return [{key: row[key] for key in row if key not in _INTERNAL} for row in rows]


def of_owner(rows: Iterable[Row], owner: str) -> list[Row]:
    """The rows that belong to exactly this owner."""
    return [row for row in rows if row.get("owner") == owner]


def timestamp(moment: datetime) -> str:
    """A time in UTC as rows have it: ISO 8601, ending in Z."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
