"""Two muxes that talk to each other on demand, and what is told to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import TestCase

from inletspy.errors import ResetCode, StreamReset
from inletspy.wire.mux import Mux, MuxStream

__all__ = ["End", "MuxTestCase", "Owner"]


class Owner:
    """The owner of a stream, which notes what it is told.

    Attributes:
        stream: whose owner it is.
        events: `finished`, `writable` and how the stream was closed, in order.
        received: all bytes.
        consuming: whether bytes are used as they come.
        on_data, on_writable, on_finished, on_closed: what to do when told so.
    """

    stream: MuxStream

    def __init__(self, mux: Mux) -> None:
        self.mux = mux
        self.events: list[object] = []
        self.received = b""
        self.consuming = True
        self._unread = 0
        self.on_data: Callable[[bytes], object] = lambda data: None
        self.on_writable: Callable[[], object] = lambda: None
        self.on_finished: Callable[[], object] = lambda: None
        self.on_closed: Callable[[], object] = lambda: None

    def data(self, data: bytes) -> None:
        self.check_open()
        self.received += data
        self.on_data(data)
        self._unread += len(data)
        if self.consuming:
            self.consume()

    def finished(self) -> None:
        self.check_open()
        self.events.append("finished")
        self.on_finished()

    def writable(self) -> None:
        self.check_open()
        self.events.append("writable")
        self.on_writable()

    def closed(self, error: StreamReset | None) -> None:
        self.check_open()
        self.events.append("closed" if error is None else (error.code, error.reason))
        self.on_closed()

    def check_open(self) -> None:
        assert self.end is None, "told something after the end"

    @property
    def end(self) -> object:
        """How the stream was closed; None if it was not."""
        ends = [event for event in self.events if event not in ("finished", "writable")]
        return ends[0] if ends else None

    # -- what it does

    def consume(self) -> None:
        """Use what has come."""
        unread, self._unread = self._unread, 0
        self.mux.consumed(self.stream, unread)

    def write(self, data: bytes) -> None:
        self.mux.write(self.stream, data)

    def finish(self) -> None:
        self.mux.finish(self.stream)

    def reset(self, code: ResetCode = ResetCode.CANCELLED, reason: str = "") -> None:
        self.mux.reset(self.stream, code, reason)


class End:
    """One end of a session: a mux, and what it has sent.

    Attributes:
        mux: made by whoever makes the end.
        messages: what was sent and not taken yet.
        turns: how often a turn's end was asked for.
        owners: of the streams that the peer opened.
        visitors: service and visitor of each of those.
        on_send: what to do when something is sent.
    """

    mux: Any

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.turns = 0
        self.owners: list[Owner] = []
        self.visitors: list[tuple[object, str]] = []
        self.on_send: Callable[[], object] = lambda: None

    def turn(self) -> None:
        self.turns += 1

    def send(self, messages: list[bytes]) -> None:
        self.messages += messages
        self.on_send()

    def accept(self, stream: MuxStream, service: object, visitor: str) -> None:
        owner = Owner(self.mux)
        owner.stream = stream
        stream.events = owner
        self.owners.append(owner)
        self.visitors.append((service, visitor))

    def take(self) -> list[bytes]:
        """The messages so far, those of the present turn as well."""
        self.mux.flush()
        messages, self.messages = self.messages, []
        return messages


class MuxTestCase(TestCase):
    """A server and a client with a link between them that carries on demand.

    Attributes:
        service: what streams are opened to.
    """

    service: Any
    server: End
    client: End

    def make_end(self, *, server: bool) -> End:
        """One end."""
        raise NotImplementedError

    def pieces(self, messages: list[bytes]) -> list[tuple[int, bytes]]:
        """Stream and content of each piece of data in messages."""
        raise NotImplementedError

    def kinds(self, messages: list[bytes]) -> list[tuple[int, str]]:
        """Stream and kind of all frames: open, data, finish, reset or other."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.server = self.make_end(server=True)
        self.client = self.make_end(server=False)
        self.client.mux.accept = self.client.accept

    def open(self) -> Owner:
        """A stream that the server opens."""
        owner = Owner(self.server.mux)
        owner.stream = self.server.mux.open(self.service, "203.0.113.9:51234", owner)
        return owner

    def pair(self) -> tuple[Owner, Owner]:
        """Both owners of a stream that both ends know."""
        here = self.open()
        self.pump()
        return here, self.client.owners[-1]

    def pump(self) -> None:
        """Carry messages in both directions until there are no more."""
        while True:
            there, back = self.server.take(), self.client.take()
            if not there and not back:
                return
            for message in there:
                self.client.mux.receive(message)
            for message in back:
                self.server.mux.receive(message)
