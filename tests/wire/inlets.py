"""The ends of the protocol of inlets OSS, and its messages as docs/protocol.md has them."""

from __future__ import annotations

from inletspy.wire import varint
from inletspy.wire.remotedialer import RemoteDialerMux
from tests.wire.muxes import End, MuxTestCase

DATA, CONNECT, ERROR, ADD_CLIENT, REMOVE_CLIENT, PAUSE, RESUME, SYNC_CONNECTIONS = range(1, 9)


def message(connection: int, kind: int, payload: bytes = b"", *, id: int = 1 << 60) -> bytes:
    """A message, made as docs/protocol.md has it."""
    deadline = varint.encode(15_000) if kind in (DATA, CONNECT) else b""
    numbers = [varint.encode(number) for number in (id, connection, kind)]
    return b"".join([*numbers, deadline, payload])


def read(messages: list[bytes]) -> list[tuple[int, int, bytes]]:
    """Connection, type and payload of each message."""
    result = []
    for data in messages:
        _, position = varint.decode(data)
        connection, position = varint.decode(data, position)
        kind, position = varint.decode(data, position)
        if kind in (DATA, CONNECT):
            _, position = varint.decode(data, position)
        result.append((connection, kind, data[position:]))
    return result


class InletsTestCase(MuxTestCase):
    service = "127.0.0.1:3000"

    def make_end(self, *, server: bool) -> End:
        end = End()
        end.mux = RemoteDialerMux(end.turn, end.send)
        return end

    def pieces(self, messages: list[bytes]) -> list[tuple[int, bytes]]:
        return [(connection, data) for connection, kind, data in read(messages) if kind == DATA]

    def kinds(self, messages: list[bytes]) -> list[tuple[int, str]]:
        names = {CONNECT: "open", DATA: "data", ERROR: "reset"}
        return [
            (connection, "finish" if payload == b"EOF" else names.get(kind, "other"))
            for connection, kind, payload in read(messages)
        ]

    def give(self, end: End, *messages: bytes) -> list[tuple[int, int, bytes]]:
        """Have an end receive messages; what it answers."""
        end.take()
        for data in messages:
            end.mux.receive(data)
        return read(end.take())
