"""What stands in a head that was captured, read when somebody looks.

The heads have passed the checks of `inletspy.wire.http1`, or were written by it, so that
their lines need no further doubt. Owns which fields are secrets.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from inletspy.client.exchanges import request_line
from inletspy.wire.fields import first_value as header

__all__ = [
    "MASK",
    "SECRETS",
    "fields",
    "first_line",
    "header",
    "masked",
    "pairs_of",
    "query",
    "request_line",
    "status_of",
    "text",
    "values",
]

#: Fields whose values are shown to who asks for them only.
SECRETS: Final = frozenset(
    ("authorization", "cookie", "set-cookie", "proxy-authorization", "x-tunnel-token")
)
MASK: Final = "••••••"

#: Pairs that are shown of a query.
MAX_PAIRS: Final = 1000


def first_line(head: bytes) -> str:
    """The request line or status line."""
    return head.partition(b"\r\n")[0].decode("utf-8", "backslashreplace")


def status_of(head: bytes) -> int | None:
    """The status of an answer's head; None if there is no head."""
    return int(head[9:12]) if head else None


def fields(head: bytes) -> list[tuple[str, str]]:
    """Names and values, in order."""
    return [(text(name), text(value)) for name, value in _lines(head)]


def values(head: bytes) -> list[bytes]:
    """The values alone, as sent."""
    return [value for _, value in _lines(head)]


def _lines(head: bytes) -> list[tuple[bytes, bytes]]:
    found = []
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            found.append((name, value.strip(b" \t")))
    return found


def masked(pairs: list[tuple[str, str]], reveal: bool) -> tuple[list[list[str]], list[str]]:
    """The fields as they are shown.

    Returns:
        Names and values, and the names of those whose values are hidden.
    """
    if reveal:
        return [[name, value] for name, value in pairs], []
    hidden = [name for name, _ in pairs if name.lower() in SECRETS]
    return [[n, MASK if n.lower() in SECRETS else v] for n, v in pairs], hidden


def query(target: bytes) -> list[list[str]]:
    """The pairs of a target's query."""
    return pairs_of(target.partition(b"?")[2].decode("utf-8", "replace"))


def pairs_of(said: str) -> list[list[str]]:
    """Names and values of what a form or a query says."""
    said = "&".join(said.split("&", MAX_PAIRS)[:MAX_PAIRS])
    return [[n, v] for n, v in parse_qsl(said, keep_blank_values=True, errors="replace")]


def text(data: bytes) -> str:
    """Bytes of a head as text."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
