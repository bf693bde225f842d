"""Bytes kept as they came: by reference where they are many, put together where they are few.

What passes is kept without a copy and without a look at it. Many small pieces would cost
more than their bytes, so that those go into one buffer.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Pieces", "joined", "more"]

#: Pieces of at least so many bytes stay by themselves.
_LARGE: Final = 2048

#: Nothing, one piece, or several.
Pieces = bytes | list[bytes | bytearray] | None


def more(kept: Pieces, data: bytes) -> Pieces:
    """What was kept, with `data` after it."""
    if not kept:
        return data
    if isinstance(kept, bytes):
        kept = [kept]
    last = kept[-1]
    if len(data) >= _LARGE:
        kept.append(data)
    elif isinstance(last, bytearray):
        last += data
    else:
        kept.append(bytearray(data))
    return kept


def joined(kept: Pieces) -> bytes:
    """All of it in one."""
    if kept is None:
        return b""
    return kept if isinstance(kept, bytes) else b"".join(kept)
