"""What the heads of requests and responses have in common (RFC 9110, 5; RFC 9112, 5).

The grammar of field lines, the framing that they announce, and the fields that end at
each hop. It works on a head's field lines and on their lower-cased copy, and knows
neither which message they belong to nor what becomes of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from inletspy.errors import HeadError

__all__ = [
    "CHUNKED",
    "CLOSE",
    "FIELDS",
    "MAX_FIELDS",
    "MAX_HEAD",
    "NO_BODY",
    "SIZED",
    "TOKEN",
    "VALUE",
    "Span",
    "content_length",
    "first_value",
    "list_items",
    "lower_lines",
    "named_spans",
    "without",
]

#: How the end of a message's body is found (RFC 9112, 6.3).
NO_BODY: Final = 0
SIZED: Final = 1
CHUNKED: Final = 2
CLOSE: Final = 3

#: The longest head, in bytes, and the most fields in it.
MAX_HEAD: Final = 65536
MAX_FIELDS: Final = 100

#: A method or a field's name (RFC 9110, 5.6.2).
TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
#: A field value: visible bytes, obs-text, space and tab (RFC 9110, 5.5).
VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"
#: All field lines, as a group, and the empty line.
FIELDS: Final = rb"((?:" + TOKEN + rb":" + VALUE + rb"\r\n)*+)\r\n"

#: What a `Connection` option can't take away: the fields that routing and framing rest
#: on, those that are dealt with by themselves, and options that name no field.
_NOT_BY_NAME: Final = frozenset(
    (
        b"",
        b"close",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    )
)
_find_lines = re.compile(rb"\n([^:]++):[^\r]*+\r").finditer

#: Start and end of a field line, CRLF included.
Span = tuple[int, int]


def lower_lines(lines: bytes) -> bytes:
    """Field lines as they are searched: in lower case, each after its line feed.

    A search that begins with a literal is several times faster. What it finds from one
    line feed to the next stands at the same place, name to line end, in `lines`.
    """
    return b"\n" + lines.lower()


def without(lines: bytes, spans: Sequence[Span]) -> bytes:
    """The field lines less those at `spans`, which may come in any order."""
    if len(spans) == 1:
        ((start, end),) = spans
        return lines[:start] + lines[end:]
    kept = []
    position = 0
    for start, end in sorted(spans):
        if start > position:
            kept.append(lines[position:start])
        position = max(position, end)
    kept.append(lines[position:])
    return b"".join(kept)


def content_length(value: bytes) -> int:
    """The value of a Content-Length field (RFC 9110, 8.6).

    Raises:
        HeadError: it is no number, or one that other programs can't hold.
    """
    if not value.isdigit() or len(value) > 18:
        raise HeadError("malformed Content-Length")
    return int(value)


def first_value(head: bytes, name: bytes) -> bytes:
    """The value of the first field of that (lower-case) name in a head; empty if none."""
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    start = at + len(name) + 3
    return head[start : head.index(b"\r\n", start)].strip(b" \t")


def list_items(value: bytes) -> list[bytes]:
    """The items of a comma-separated list (RFC 9110, 5.6.1); some may be empty."""
    if b"," not in value:
        return [value.strip(b" \t")]
    return [item.strip(b" \t") for item in value.split(b",")]


def named_spans(lower: bytes, options: Collection[bytes]) -> list[Span]:
    """Where the fields stand that `Connection` names (RFC 9110, 7.6.1).

    Args:
        lower: see `lower_lines`.
        options: all that `Connection` lists, in lower case. However many they are, the
            lines are gone through once.
    """
    if _NOT_BY_NAME.issuperset(options):
        return []
    named = set(options) - _NOT_BY_NAME
    return [match.span() for match in _find_lines(lower) if match[1] in named]
