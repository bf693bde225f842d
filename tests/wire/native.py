"""The native protocol's ends, and its frames as docs/protocol.md has them."""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack, unpack_from
from typing import Any

from inletspy.errors import ProtocolViolation
from inletspy.wire.frames import NativeMux, pack_frame
from tests.wire.muxes import End, MuxTestCase

CONTROL, OPEN, DATA, WINDOW, FIN, RESET, ACK = range(7)
KINDS = {OPEN: "open", DATA: "data", FIN: "finish", RESET: "reset"}


def frames_of(messages: list[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Stream, type and payload of each frame, read as docs/protocol.md has it."""
    for message in messages:
        while message:
            stream, word = unpack_from("!II", message)
            end = 8 + (word >> 8)
            assert end <= len(message), "a cut frame"
            yield stream, word & 0xFF, message[8:end]
            message = message[end:]


def window(stream: int, credit: int) -> bytes:
    return pack_frame(stream, WINDOW, pack("!I", credit))


class NativeTestCase(MuxTestCase):
    service = 7

    def make_end(self, *, server: bool) -> End:
        end = End()
        self.said: list[dict[str, Any]] = []
        end.mux = NativeMux(end.turn, end.send, server=server, control=self.said.append)
        return end

    def pieces(self, messages: list[bytes]) -> list[tuple[int, bytes]]:
        return [(id, data) for id, kind, data in frames_of(messages) if kind == DATA and data]

    def kinds(self, messages: list[bytes]) -> list[tuple[int, str]]:
        return [(id, KINDS.get(kind, "other")) for id, kind, _ in frames_of(messages)]

    def give(self, end: End, *parts: bytes) -> list[tuple[int, int, bytes]]:
        """Have an end receive frames; what it answers."""
        end.take()
        end.mux.receive(b"".join(parts))
        return list(frames_of(end.take()))

    def assertViolated(self, end: End, *parts: bytes) -> None:
        self.assertRaises(ProtocolViolation, end.mux.receive, b"".join(parts))
