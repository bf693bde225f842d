"""Signed varints in zigzag form, as Go's `binary.PutVarint` writes them.

Seven bits a byte, least significant group first; at most ten bytes. Nothing here knows
what the numbers mean.
"""

from __future__ import annotations

from typing import Final

from inletspy.errors import ProtocolViolation

__all__ = ["decode", "encode"]

_MAX_BYTES: Final = 10
_SINGLE: Final = [bytes((byte,)) for byte in range(0x80)]


def encode(number: int) -> bytes:
    """The varint of a number of at most 64 bits, sign included."""
    rest = (number << 1) ^ (number >> 63)
    if rest <= 0x7F:
        return _SINGLE[rest]
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def decode(data: bytes, position: int = 0) -> tuple[int, int]:
    """The number whose varint starts at `position`, and where the next byte stands.

    Raises:
        ProtocolViolation: it is cut, or longer than 64 bits allow.
    """
    rest = shift = 0
    for byte in data[position : position + _MAX_BYTES]:
        position += 1
        if byte < 0x80:
            rest |= byte << shift
            if rest >> 64:
                raise ProtocolViolation("a varint of more than 64 bits")
            return (rest >> 1) ^ -(rest & 1), position
        rest |= (byte & 0x7F) << shift
        shift += 7
    raise ProtocolViolation("a varint that does not end")
