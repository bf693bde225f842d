"""WebSocket frames byte by byte, as a test says, be they right or wrong (RFC 6455, 5).

Written apart from the code under test, and without its shortcuts.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha1
from typing import Final

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "accept",
    "close_code",
    "fragments",
    "frame",
    "handshake",
    "take_frames",
]

CONTINUATION, TEXT, BINARY = 0, 1, 2
CLOSE, PING, PONG = 8, 9, 10

_KEY: Final = b"\x01\x20\xfe\x7f"


@dataclass(frozen=True)
class Frame:
    """A frame as it came, unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True
    masked: bool = False


def _mask(data: bytes) -> bytes:
    return bytes(byte ^ _KEY[number % 4] for number, byte in enumerate(data))


def frame(
    payload: bytes = b"",
    opcode: int = BINARY,
    *,
    fin: bool = True,
    masked: bool = True,
    size: int | None = None,
) -> bytes:
    """A frame as bytes; `size` is the length that it claims, if that is to be another."""
    length = len(payload) if size is None else size
    first = (0x80 if fin else 0) | opcode
    bit = 0x80 if masked else 0
    if length < 126:
        head = struct.pack("!BB", first, bit | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    return head + (_KEY + _mask(payload) if masked else payload)


def fragments(*pieces: bytes, masked: bool = True, between: bytes = b"") -> bytes:
    """One binary message in several frames, with other bytes in between."""
    parts = []
    for number, piece in enumerate(pieces):
        opcode = CONTINUATION if number else BINARY
        parts.append(frame(piece, opcode, fin=number == len(pieces) - 1, masked=masked))
    return between.join(parts)


def take_frames(data: bytearray) -> list[Frame]:
    """Take the whole frames at the beginning of `data`."""
    frames = []
    while len(data) >= 2:
        length = data[1] & 0x7F
        masked = bool(data[1] & 0x80)
        start = 2
        if length >= 126:
            wide = length == 127
            start = 10 if wide else 4
            if len(data) < start:
                break
            (length,) = struct.unpack_from("!Q" if wide else "!H", data, 2)
        key = bytes(data[start : start + 4])
        start += 4 if masked else 0
        if len(data) < start + length:
            break
        payload = bytes(data[start : start + length])
        if masked:
            payload = bytes(byte ^ key[number % 4] for number, byte in enumerate(payload))
        frames.append(Frame(data[0] & 0x0F, payload, bool(data[0] & 0x80), masked))
        del data[: start + length]
    return frames


def close_code(payload: bytes) -> int:
    """The code that a close frame carries."""
    code: int = struct.unpack_from("!H", payload)[0]
    return code


def handshake(
    *fields: str, path: str = "/tunnel", token: str | None = None, subprotocol: str | None = None
) -> bytes:
    """A client's opening handshake."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: tunnel.localhost:8090",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return "\r\n".join([*lines, *fields, "", ""]).encode("latin-1")


def accept(key: str) -> bytes:
    """What a server proves itself with (RFC 6455, 1.3)."""
    return b64encode(sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
