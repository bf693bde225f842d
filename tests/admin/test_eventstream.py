"""Server-sent events, cut anywhere."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import ResponseDone

from inletspy.admin.eventstream import SILENCE, EventReader, EventStream, StreamCut

STREAM = (
    "retry: 2000\n\n: a comment\n\nevent: one\ndata: 1\n\n"
    "data: first\r\ndata: second\r\n\r\nevent: none\n\nevent:three\ndata:\u20ac\nid: 7\n\n"
).encode()
EVENTS = [("one", "1"), ("message", "first\nsecond"), ("three", "\u20ac")]


class ReaderTests(TestCase):
    def test_cut_anywhere(self) -> None:
        for size in (1, 2, 3, 7, len(STREAM)):
            got: list[tuple[str, str]] = []
            reader = EventReader(lambda name, data, got=got: got.append((name, data)))  # type: ignore[misc]
            for start in range(0, len(STREAM), size):
                reader.feed(STREAM[start : start + size])
            self.assertEqual(got, EVENTS, size)

    def test_too_long(self) -> None:
        self.patch(EventReader, "most", 1000)
        reader = EventReader(lambda name, data: None)
        for _ in range(10):
            reader.feed(b"data: " + b"x" * 500 + b"\n\n")
        with self.assertRaises(StreamCut):
            for _ in range(10):
                reader.feed(b"x" * 500)


class StreamTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.got: list[tuple[str, str]] = []
        self.stream = EventStream(self.clock, lambda name, data: self.got.append((name, data)))
        self.wire = StringTransport()
        self.stream.makeConnection(self.wire)

    def test_ends_in_order(self) -> None:
        self.stream.dataReceived(STREAM)
        self.stream.connectionLost(Failure(ResponseDone()))
        self.assertIsNone(self.successResultOf(self.stream.over))
        self.assertEqual(self.got, EVENTS)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cut(self) -> None:
        self.stream.connectionLost(Failure(ConnectionLost()))
        error = self.failureResultOf(self.stream.over, StreamCut).value
        self.assertIsInstance(error.__cause__, ConnectionLost)

    def test_silent(self) -> None:
        self.clock.advance(SILENCE - 1)
        self.stream.dataReceived(b": \n\n")
        self.clock.advance(SILENCE - 1)
        self.assertFalse(self.wire.disconnecting)
        self.clock.advance(1)
        self.assertTrue(self.wire.disconnecting)
        self.failureResultOf(self.stream.over, StreamCut)
        self.stream.connectionLost(Failure(ConnectionDone()))

    def test_a_listener_that_fails(self) -> None:
        def fail(name: str, data: str) -> None:
            raise BrokenPipeError

        stream = EventStream(self.clock, fail)
        stream.makeConnection(self.wire)
        stream.dataReceived(STREAM)
        self.failureResultOf(stream.over, BrokenPipeError)
        stream.dataReceived(STREAM)
        stream.connectionLost(Failure(ConnectionDone()))
