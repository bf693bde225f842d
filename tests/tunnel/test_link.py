"""A link takes and makes WebSocket messages, whatever the cuts and whatever the peer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from inletspy.errors import ProtocolViolation, ResetCode, StreamReset
from inletspy.tunnel.clientlink import ClientLinkFactory
from inletspy.tunnel.link import MAX_MESSAGE, Link
from inletspy.tunnel.serverlink import ServerLinkFactory
from inletspy.wire.mux import Mux
from tests.properties import repeatable
from tests.tunnel.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    accept,
    close_code,
    fragments,
    frame,
    handshake,
    take_frames,
)


class RecordingMux(Mux):
    """Keeps the messages that come; fails as told."""

    max_data = 1000

    def __init__(self, link: Any) -> None:
        super().__init__(link.turn, link.send)
        self.messages: list[bytes] = []
        self.on_message: Callable[[bytes], None] = lambda message: None
        self.ends: list[StreamReset] = []

    def receive(self, message: bytes | bytearray) -> None:
        self.messages.append(bytes(message))
        self.on_message(self.messages[-1])

    def lost(self, error: StreamReset) -> None:
        self.ends.append(error)

    def put(self, data: bytes) -> None:
        self._put(data, b"")

    def _messages(self, out: list[bytes]) -> list[bytes]:
        return [b"".join(out)]


class Presence:
    """The session of a link, which tells how the link ended."""

    def __init__(self, mux: RecordingMux) -> None:
        self.ends: list[tuple[int | None, str]] = []
        self._mux = mux

    def link_lost(self, link: Link, code: int | None, reason: str) -> None:
        assert not self._mux.ends, "streams end before anybody knows that the link is gone"
        self.ends.append((code, reason))


class Events:
    """Lets every client in."""

    def __init__(self) -> None:
        self.opened_links: list[Any] = []
        self.dropped_links: list[Any] = []

    def connected(self, link: Any) -> None:
        pass

    def check(self, link: Any, path: str, headers: Mapping[str, str]) -> None:
        pass

    def connecting(self, link: Any, request: Any) -> None:
        return None

    def opened(self, link: Any) -> None:
        self.opened_links.append(link)

    def dropped(self, link: Any) -> None:
        self.dropped_links.append(link)


class Transport(StringTransport):
    """Remembers how it was closed, and takes bytes only, as Twisted's own do."""

    aborted = False

    def writeSequence(self, data: Any) -> None:
        pieces = list(data)
        assert {type(piece) for piece in pieces} <= {bytes}, pieces
        super().writeSequence(pieces)

    def unregisterProducer(self) -> None:
        self.producer = None  # real ones don't mind if there is none

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled


def cancel_timers(factory: Any) -> None:
    """Cancel what autobahn has left in the reactor, whose turn never comes in these tests."""
    for call, _ in list(factory._batched_timer._buckets.values()):
        if call.active():
            call.cancel()


class LinkCases:
    """What holds at both ends of a link, shown without a network."""

    masked = True

    def setUp(self: Any) -> None:
        self.clock = Clock()
        self.open()

    def open(self: Any, rest: bytes = b"") -> None:
        """A link whose handshake is done, in the same segment as `rest`."""
        self.events = Events()
        factory = ServerLinkFactory(self.clock, self.events)
        self.connect(factory.buildProtocol(None))
        self.events.opened = self.carry
        self.link.dataReceived(handshake() + rest)
        answer = self.transport.value()
        self.assertTrue(answer.startswith(b"HTTP/1.1 101 "), answer)
        self.received = bytearray(answer.partition(b"\r\n\r\n")[2])
        self.transport.clear()

    def connect(self: Any, link: Any) -> None:
        self.link = link
        self.transport = Transport()
        self.gone = False
        self.link.makeConnection(self.transport)
        self.addCleanup(cancel_timers, link.factory)
        self.addCleanup(self.lose)

    def carry(self: Any, link: Any) -> None:
        self.mux = RecordingMux(link)
        self.session = Presence(self.mux)
        link.carry(self.mux, self.session)

    def lose(self: Any, reason: Exception | None = None) -> None:
        """The connection goes, however it was left."""
        if not self.gone:
            self.gone = True
            self.link.connectionLost(Failure(reason or ConnectionLost()))

    def sent(self: Any) -> list[Frame]:
        """The frames that were sent since the last time this was asked."""
        self.received += self.transport.value()
        self.transport.clear()
        return take_frames(self.received)

    def frame(self: Any, payload: bytes = b"", opcode: int = BINARY, **options: Any) -> bytes:
        return frame(payload, opcode, masked=self.masked, **options)

    def fragments(self: Any, *pieces: bytes, between: bytes = b"") -> bytes:
        return fragments(*pieces, masked=self.masked, between=between)

    def assertClosed(self: Any, code: int) -> None:
        """The link was closed with that code, and its session knows."""
        closes = [f for f in self.sent() if f.opcode == CLOSE]
        self.assertEqual([close_code(f.payload) for f in closes], [code])

    # -- receiving

    def test_sizes(self: Any) -> None:
        messages = [b"x" * size for size in (0, 1, 125, 126, 65535, 65536, 1 << 20)]
        for message in messages:
            self.link.dataReceived(self.frame(message))
        self.assertEqual(self.mux.messages, messages)

    def test_cut_at_every_byte(self: Any) -> None:
        ping = self.frame(b"are you there", PING)
        transcript = (
            self.frame(b"first")
            + ping
            + self.frame(b"m" * 300)
            + self.fragments(b"in", b"", b"pieces", between=ping)
            + self.frame(b"")
            + self.frame(b"l" * 66_000)
            + self.frame(b"", PONG)
            + self.frame(b"last")
        )
        expected = [b"first", b"m" * 300, b"inpieces", b"", b"l" * 66_000, b"last"]
        ends = [*range(1, 400), *range(66_300, len(transcript))]
        for cut in ends:
            self.mux.messages.clear()
            self.link.dataReceived(transcript[:cut])
            self.link.dataReceived(transcript[cut:])
            self.assertEqual(self.mux.messages, expected, f"cut at {cut}")
            pongs = [f.payload for f in self.sent()]
            self.assertEqual(pongs, [b"are you there"] * 3)

    def test_byte_by_byte(self: Any) -> None:
        transcript = self.frame(b"m" * 300) + self.fragments(b"a" * 130, b"b") + self.frame(b"z")
        for position in range(len(transcript)):
            self.link.dataReceived(transcript[position : position + 1])
        self.assertEqual(self.mux.messages, [b"m" * 300, b"a" * 130 + b"b", b"z"])

    @repeatable
    @given(st.data())
    def test_any_messages_any_cuts(self: Any, data: st.DataObject) -> None:
        self.open()
        pieces = st.binary(max_size=300) | st.integers(0, 70_000).map(lambda size: b"s" * size)
        expected = []
        pings = []
        transcript = b""
        kinds = st.sampled_from(("whole", "whole", "fragments", "ping", "pong"))
        for kind in data.draw(st.lists(kinds, max_size=8)):
            if kind == "whole":
                expected.append(data.draw(pieces))
                transcript += self.frame(expected[-1])
            elif kind == "fragments":
                parts = data.draw(st.lists(pieces, min_size=2, max_size=4))
                between = b""
                if data.draw(st.booleans()):
                    between = self.frame(b"inside", PING)
                    pings += [b"inside"] * (len(parts) - 1)
                transcript += self.fragments(*parts, between=between)
                expected.append(b"".join(parts))
            else:
                payload = data.draw(st.binary(max_size=125))
                transcript += self.frame(payload, PING if kind == "ping" else PONG)
                if kind == "ping":
                    pings.append(payload)
        cuts = data.draw(st.lists(st.integers(0, len(transcript)), max_size=8).map(sorted))
        for start, end in zip([0, *cuts], [*cuts, len(transcript)], strict=True):
            self.link.dataReceived(transcript[start:end])
        self.assertEqual(self.mux.messages, expected)
        self.assertEqual([f.payload for f in self.sent()], pings)
        self.assertEqual((self.link.data, self.link._pieces), (b"", []))

    def test_straight_after_the_handshake(self: Any) -> None:
        for cut in (0, 1, 5, 12):
            rest = self.frame(b"early") + self.frame(b"bird")
            self.open(rest[: len(rest) - cut])
            self.link.dataReceived(rest[len(rest) - cut :] + self.frame(b"worm"))
            self.assertEqual(self.mux.messages, [b"early", b"bird", b"worm"])
            self.lose()

    def test_tcp_does_not_wait(self: Any) -> None:
        self.assertTrue(self.transport.no_delay)

    # -- violations

    def test_message_of_two_mebibytes(self: Any) -> None:
        message = self.frame(b"x" * (2 << 20))
        for start in range(0, len(message), 65536):
            self.link.dataReceived(message[start : start + 65536])
        self.assertClosed(1009)
        self.assertEqual(self.mux.messages, [])
        self.assertEqual(self.session.ends, [(1009, "the message is too long")])
        self.assertLess(len(self.link.data) + self.link._pieces_size, MAX_MESSAGE)

    def test_huge_length(self: Any) -> None:
        for size in (MAX_MESSAGE + 1, 1 << 62, (1 << 64) - 1):
            self.open()
            self.link.dataReceived(self.frame(size=size))
            self.assertClosed(1009)
            self.lose()

    def test_fragments_that_are_too_long_together(self: Any) -> None:
        self.link.dataReceived(self.fragments(*[b"x" * 65536] * 32))
        self.assertClosed(1009)
        self.assertEqual(self.mux.messages, [])
        self.lose()
        self.assertEqual(len(self.session.ends), 1)

    def test_text(self: Any) -> None:
        self.link.dataReceived(self.frame(b"hello", TEXT))
        self.assertClosed(1002)
        self.assertEqual(self.session.ends, [(1002, "a text message")])

    def test_what_had_begun_may_end_while_the_link_closes(self: Any) -> None:
        """Else the peer would lose the connection, and why it closes, in the middle."""
        whole = self.frame(b"w" * 3000)
        for first, rest, messages in (
            (whole[:1000], whole[1000:], [b"w" * 3000]),
            (self.frame(b"a" * 9, fin=False), self.frame(b"b", CONTINUATION), [b"a" * 9 + b"b"]),
        ):
            self.open()
            self.link.dataReceived(first)
            self.link.close(1001, "the server is going away")
            self.link.dataReceived(rest)
            self.assertEqual(self.mux.messages, messages)
            self.assertClosed(1001)
            self.assertFalse(self.transport.disconnecting)
            self.lose()

    def test_fragments_after_a_violation_are_for_nobody(self: Any) -> None:
        self.link.dataReceived(self.fragments(*[b"x" * 65536] * 20))
        self.link.dataReceived(self.frame(b"y" * 65536, CONTINUATION, fin=False) * 40)
        self.link.dataReceived(self.frame(b"z"))
        self.assertClosed(1009)
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.mux.messages, [])
        self.assertEqual(len(self.session.ends), 1)

    def test_lengths_that_are_not_in_their_shortest_form(self: Any) -> None:
        bit = 0x80 if self.masked else 0
        for length in (b"\x7e\0\x01", b"\x7e\0\x7d", b"\x7f" + bytes(6) + b"\xff\xff"):
            for first in (0x82, 0x02):
                self.open()
                head = bytes((first, length[0] | bit)) + length[1:]
                self.link.dataReceived(head + bytes(70_000))
                self.assertClosed(1002)
                self.assertEqual(self.mux.messages, [])
                self.lose()

    def test_wrong_mask(self: Any) -> None:
        for opcode in (BINARY, PING):
            self.open()
            self.link.dataReceived(frame(b"x", opcode, masked=not self.masked))
            self.assertClosed(1002)
            self.assertEqual(self.mux.messages, [])
            self.lose()
            self.assertEqual(len(self.session.ends), 1)

    def test_nonsense(self: Any) -> None:
        # A frame of an unknown kind, with reserved bits, a cut ping, a piece of nothing.
        for first in (0x83, 0xC2, 0x09, 0x80):
            self.open()
            bit = 0x80 if self.masked else 0
            self.link.dataReceived(bytes((first, bit)) + bytes(4 if self.masked else 0))
            self.assertClosed(1002)
            self.lose()

    def test_message_that_the_mux_refuses(self: Any) -> None:
        def refuse(message: bytes) -> None:
            raise ProtocolViolation("no such thing")

        self.mux.on_message = refuse
        self.link.dataReceived(self.frame(b"one") + self.frame(b"two"))
        self.assertEqual(self.mux.messages, [b"one"])
        self.assertClosed(1002)
        self.assertEqual(self.session.ends, [(1002, "no such thing")])
        self.assertEqual(len(self.mux.ends), 1)

    def test_message_that_breaks_the_mux(self: Any) -> None:
        def fail(message: bytes) -> None:
            raise ZeroDivisionError

        self.mux.on_message = fail
        self.link.dataReceived(self.frame(b"one") + self.frame(b"two"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertClosed(1011)
        self.assertEqual(len(self.session.ends), 1)

    # -- sending

    def test_one_message_for_a_turn(self: Any) -> None:
        self.mux.put(b"a")
        self.mux.put(b"b")
        self.assertEqual(self.sent(), [])
        self.clock.advance(0)
        self.assertEqual(self.sent(), [Frame(BINARY, b"ab", masked=not self.masked)])
        self.clock.advance(0)
        self.assertEqual(self.sent(), [])

    def test_sizes_sent(self: Any) -> None:
        messages = [b"x" * size for size in (0, 1, 125, 126, 65535, 65536, 1 << 20)]
        self.link.send(messages)
        self.assertEqual(
            self.sent(), [Frame(BINARY, message, masked=not self.masked) for message in messages]
        )

    def test_slow_transport(self: Any) -> None:
        self.assertIs(self.transport.producer, self.link)
        self.assertTrue(self.transport.streaming)
        self.link.pauseProducing()
        self.assertFalse(self.mux.writable)
        self.link.resumeProducing()
        self.assertTrue(self.mux.writable)

    def test_pings_of_a_peer_that_does_not_read(self: Any) -> None:
        """The latest answer is enough, and waits until it can be sent."""
        self.link.pauseProducing()
        for number in range(3):
            self.link.dataReceived(self.frame(b"%d" % number, PING))
        self.assertEqual(self.sent(), [])
        self.link.resumeProducing()
        self.assertEqual([f.payload for f in self.sent()], [b"2"])
        self.link.dataReceived(self.frame(b"3", PING))
        self.assertEqual([f.payload for f in self.sent()], [b"3"])

    def test_answers_to_a_peer_that_does_not_read(self: Any) -> None:
        self.link.pauseProducing()
        self.link.send([bytes(1 << 20)] * 3)
        self.link.resumeProducing()
        self.link.pauseProducing()
        self.link.send([bytes(1 << 20)] * 3)
        self.assertFalse(self.transport.aborted)
        self.link.send([bytes(1 << 20)])
        self.assertTrue(self.transport.aborted)

    def test_next_session_on_a_slow_transport(self: Any) -> None:
        self.link.pauseProducing()
        self.carry(self.link)
        self.assertFalse(self.mux.writable)
        self.link.resumeProducing()
        self.assertTrue(self.mux.writable)

    def test_congested_session_stops_the_reading(self: Any) -> None:
        self.mux.congested(True)
        self.assertEqual(self.transport.producerState, "paused")
        self.mux.stopped = True
        self.assertTrue(self.link.reading_stopped)
        self.mux.congested(False)
        self.assertEqual(self.transport.producerState, "producing")

    # -- ends

    def test_close_sends_what_waits(self: Any) -> None:
        self.mux.put(b"farewell")
        self.link.close(4001, "é" * 100)
        first, last = self.sent()
        self.assertEqual((first.payload, last.opcode), (b"farewell", CLOSE))
        self.assertEqual(close_code(last.payload), 4001)
        self.assertEqual(last.payload[2:].decode(), "é" * 61)  # as much as fits, and whole
        self.link.close(4002, "again")
        self.link.send([b"too late"])
        self.link.sendPing()
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.session.ends, [])
        self.link.dataReceived(self.frame(last.payload, CLOSE))
        self.lose()
        self.assertEqual(self.session.ends, [(4001, "é" * 61)])
        self.assertEqual([error.code for error in self.mux.ends], [ResetCode.CANCELLED])

    def test_messages_while_it_closes(self: Any) -> None:
        self.link.close(1000, "")
        self.link.dataReceived(self.frame(b"still") + self.frame(b"here"))
        self.assertEqual(self.mux.messages, [b"still", b"here"])

    def test_peer_closes(self: Any) -> None:
        self.link.dataReceived(self.frame(b"\x03\xe9bye", CLOSE))
        self.assertEqual(len(self.sent()), 1)
        self.lose()
        self.assertEqual(self.session.ends, [(1001, "bye")])

    def test_lost(self: Any) -> None:
        self.mux.put(b"x")
        self.lose()
        self.assertEqual(self.session.ends, [(None, "")])
        self.assertEqual(len(self.mux.ends), 1)
        self.clock.advance(0)  # nothing is sent any more
        self.assertEqual(self.sent(), [])
        self.assertIsNone(self.link.mux)
        self.assertIsNone(self.link.session)

    def test_abort(self: Any) -> None:
        self.link.abort()
        self.assertTrue(self.transport.aborted)
        self.link.close(1000, "")
        self.link.abort()
        self.lose()
        self.assertEqual(self.session.ends, [(None, "")])

    # -- signs of life

    def test_anything_that_comes_was_heard(self: Any) -> None:
        self.link.heard = False
        self.link.dataReceived(b"\x8a")
        self.assertTrue(self.link.heard)

    def test_probe_answered(self: Any) -> None:
        answers = [self.link.probe(2), self.link.probe(3)]
        self.assertEqual([f.opcode for f in self.sent()], [PING, PING])
        self.assertNoResult(answers[0])
        self.link.dataReceived(self.frame(b"probe", PONG))
        self.assertEqual([self.successResultOf(answer) for answer in answers], [True, True])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_probe_behind_other_traffic(self: Any) -> None:
        # The pong may stand in a long line.
        answer = self.link.probe(2)
        self.link.dataReceived(self.frame(b"x" * 1000)[:500])
        self.assertTrue(self.successResultOf(answer))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_probe_unanswered(self: Any) -> None:
        answer = self.link.probe(2)
        self.clock.advance(1.9)
        self.assertNoResult(answer)
        self.clock.advance(0.1)
        self.assertFalse(self.successResultOf(answer))
        self.link.dataReceived(self.frame(b"probe", PONG))

    def test_probe_of_a_link_that_ends(self: Any) -> None:
        answer = self.link.probe(2)
        self.link.close()
        self.assertFalse(self.successResultOf(answer))
        self.open()
        answer = self.link.probe(2)
        self.lose()
        self.assertFalse(self.successResultOf(answer))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ServerLinkTests(LinkCases, SynchronousTestCase):
    """The server's end, whose own frames are not masked."""


class ClientLinkTests(LinkCases, SynchronousTestCase):
    """The client's end, whose frames are masked while the server's are not."""

    masked = False

    def open(self, rest: bytes = b"") -> None:
        factory = ClientLinkFactory(
            self.clock,
            "ws://tunnel.localhost:8090/tunnel",
            token="secret",
            subprotocols=["inletspy.v1"],
            headers={"x-many": ["1", "2"]},
        )
        factory.opened = self.carry
        self.connect(factory.buildProtocol(None))
        head, _, _ = self.transport.value().partition(b"\r\n\r\n")
        self.asked = head.decode().split("\r\n")
        key = next(line for line in self.asked if line.startswith("Sec-WebSocket-Key: "))
        self.transport.clear()
        self.received = bytearray()
        self.link.dataReceived(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept(key[19:]) + b"\r\n"
            b"Sec-WebSocket-Protocol: inletspy.v1\r\n\r\n" + rest
        )

    def test_handshake(self) -> None:
        self.assertEqual(self.asked[0], "GET /tunnel HTTP/1.1")
        for line in (
            "Authorization: Bearer secret",
            "Sec-WebSocket-Protocol: inletspy.v1",
            "x-many: 1",
            "x-many: 2",
        ):
            self.assertIn(line, self.asked)


class RejectionTests(SynchronousTestCase):
    """What a client learns of a server that refuses the handshake."""

    def rejection(self, answer: bytes) -> tuple[int, str] | None:
        factory = ClientLinkFactory(
            reactor, "ws://tunnel.localhost:8090/tunnel", token="", subprotocols=[], headers={}
        )
        self.addCleanup(cancel_timers, factory)
        link: Any = factory.buildProtocol(None)
        link.makeConnection(Transport())
        for position in range(len(answer)):
            link.dataReceived(answer[position : position + 1])
        link.connectionLost(Failure(ConnectionLost()))
        found: tuple[int, str] | None = link.rejection
        return found

    def test_reasons(self) -> None:
        head = b"HTTP/1.1 409 Conflict\r\ncontent-length: 12\r\n\r\n"
        self.assertEqual(self.rejection(head + b"it is\ttaken\n"), (409, "it istaken"))
        self.assertEqual(self.rejection(head + b"it"), (409, "it"))
        self.assertEqual(self.rejection(b"HTTP/1.1 503 Away\r\n\r\n"), (503, ""))
        self.assertEqual(self.rejection(b"HTTP/1.1 502\r\n\r\n"), (502, ""))
        self.assertIsNone(self.rejection(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"))
        self.assertIsNone(self.rejection(b"HTTP/1.1 2\xb22 x\r\n\r\n"))
        self.assertIsNone(self.rejection(b"HTTP/1.1 401 Unauth"))
