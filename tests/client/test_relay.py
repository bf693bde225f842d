"""Streams joined with connections to upstreams: real sockets on one side, a mux on the other."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.trial.unittest import TestCase

from inletspy.client import relay
from inletspy.client.relay import Relay
from inletspy.errors import ResetCode, StreamReset
from inletspy.policy.addresses import UpstreamAddress
from inletspy.tunnel.stream import Stream
from inletspy.wire.frames import NativeMux
from inletspy.wire.mux import MuxStream
from tests.certificates import self_signed
from tests.peers import CLOSED, CUT, FINISHED, Peer, PeerFactory, Upstream, reactor, until
from tests.tunnel.test_stream import DONE, HalfClosing

MIB = 1 << 20


class Tap:
    """Keeps what passes."""

    def __init__(self) -> None:
        self.sent = b""
        self.answered = b""
        self.ends: list[str] = []
        self.closes = 0

    def from_visitor(self, data: bytes) -> None:
        self.sent += data

    def from_upstream(self, data: bytes) -> None:
        self.answered += data

    def upstream_ended(self, kind: str, reason: str) -> None:
        self.ends.append(kind)

    def closed(self) -> None:
        self.closes += 1


class RelayTestCase(TestCase):
    """A session's two ends, without a link between them.

    Attributes:
        failures: what a person would be told.
    """

    timeout = 60

    def setUp(self) -> None:
        self.failures: list[str] = []
        self.relay = Relay(reactor)
        self.near = NativeMux(
            lambda: None, lambda ms: self._pass(self.far, ms), server=True, control=self.fail
        )
        self.far = NativeMux(
            lambda: None, lambda ms: self._pass(self.near, ms), server=False, control=self.fail
        )
        for mux in (self.near, self.far):
            mux.turn = self._turner(mux)
        self.far.accept = self._accept
        self.address = UpstreamAddress.parse("http://127.0.0.1:1")
        self.tap: Tap | None = None
        self.preface: Callable[[str, int], bytes] | None = None

    def _turner(self, mux: NativeMux) -> Any:
        return lambda: reactor.callLater(0, mux.flush)

    def _pass(self, mux: NativeMux, messages: list[bytes]) -> None:
        for message in messages:
            reactor.callLater(0, mux.receive, message)

    def _accept(self, carried: MuxStream, service: Any, visitor: str) -> None:
        stream = carried.events = self._stream(self.far)
        self.relay.join(
            stream,
            carried,
            self.address,
            self.tap,
            tls=self.address.scheme == "https",
            failed=self.failures.append,
            preface=self.preface,
        )

    def _stream(self, mux: NativeMux) -> Stream:
        return Stream(mux, lambda call: reactor.callLater(0, call), "somebody")

    def visit(self, upstream: str) -> HalfClosing:
        """Open a stream to that upstream."""
        self.address = UpstreamAddress.parse(upstream)
        visitor = HalfClosing()
        stream = self._stream(self.near)
        carried = self.near.open(1, "192.0.2.1:9", stream)
        stream.start(carried, visitor)
        return visitor

    def lose(self) -> None:
        """Lose the link."""
        for mux in (self.near, self.far):
            mux.lost(StreamReset(ResetCode.CANCELLED, "lost"))

    async def until_over(self, *visitors: HalfClosing) -> None:
        """Wait until nothing is left of the streams."""
        await until(
            lambda: all(v.over for v in visitors) and not self.near.streams | self.far.streams,
            lambda: f"over: {[v.log for v in visitors]}",
        )
        for visitor in visitors:
            self.assertEqual(visitor.faults, [])


class RelayTests(RelayTestCase):
    async def test_both_directions_and_half_closes(self) -> None:
        upstream = Upstream(self)
        visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
        visitor.call("write", b"question")
        visitor.call("loseWriteConnection")
        peer = await upstream.connection()
        self.assertEqual(await peer.read_to_end(), b"question")
        self.assertEqual(peer.end, FINISHED)
        peer.send(b"answer")
        peer.finish()
        await self.until_over(visitor)
        self.assertEqual(visitor.log, [b"answer", FINISHED, DONE])
        self.assertEqual(self.failures, [])

    async def test_half_close_with_nothing_before_it(self) -> None:
        # It comes while the upstream is still dialled.
        upstream = Upstream(self)
        visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
        visitor.call("loseWriteConnection")
        peer = await upstream.connection()
        self.assertEqual(await peer.ended(), FINISHED)
        peer.send(b"greeting")
        peer.close()
        await self.until_over(visitor)
        self.assertEqual(visitor.received, b"greeting")

    async def test_mebibytes_both_ways_at_once(self) -> None:
        upstream = Upstream(self)
        visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
        up, down = b"u" * 8 * MIB, b"d" * 8 * MIB
        visitor.call("write", up)
        peer = await upstream.connection()
        peer.send(down)
        self.assertEqual(await peer.read(len(up)), up)
        await until(lambda: len(visitor.received) == len(down), "downloaded")
        visitor.call("loseConnection")
        await peer.ended()
        peer.close()
        await self.until_over(visitor)

    async def test_slow_upstream_slows_the_visitor(self) -> None:
        upstream = Upstream(self)
        visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
        peer = await upstream.connection()
        peer.pause()
        total = 64 * MIB
        visitor.call("write", b"x" * total)
        stream = next(iter(self.near.streams.values()))
        seen = -1
        while seen != stream.queued:  # until nothing moves any more
            seen = stream.queued
            for _ in range(50):
                await until(lambda: True, "a turn")
        self.assertGreater(stream.queued, total // 4)
        peer.resume()
        await until(lambda: peer.total == total, "all there")
        visitor.call("abortConnection")
        await self.until_over(visitor)

    async def test_visitor_is_cut(self) -> None:
        upstream = Upstream(self)
        visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
        peer = await upstream.connection()
        visitor.call("abortConnection")
        self.assertEqual(await peer.ended(), CUT)
        await self.until_over(visitor)

    async def test_upstream_is_cut(self) -> None:
        upstream = Upstream(self)
        visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
        visitor.call("write", b"x")
        peer = await upstream.connection()
        await peer.read(1)
        peer.cut()
        await self.until_over(visitor)
        self.assertEqual(visitor.log, [ResetCode.CANCELLED])
        self.assertEqual(self.failures, [])

    async def test_link_is_lost(self) -> None:
        upstream = Upstream(self)
        visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
        visitor.call("write", b"x")
        peer = await upstream.connection()
        await peer.read(1)
        self.lose()
        self.assertEqual(await peer.ended(), CUT)
        await self.until_over(visitor)

    async def test_tap_sees_all_and_changes_nothing(self) -> None:
        self.tap = Tap()
        upstream = Upstream(self)
        visitor = self.visit(f"http://127.0.0.1:{upstream.port}")
        visitor.call("write", b"question")
        peer = await upstream.connection()
        self.assertEqual(await peer.read(8), b"question")
        peer.send(b"answer")
        peer.close()
        await until(lambda: FINISHED in visitor.log, "answered")
        visitor.call("loseConnection")
        await self.until_over(visitor)
        self.assertEqual(visitor.received, b"answer")
        self.assertEqual((self.tap.sent, self.tap.answered), (b"question", b"answer"))
        self.assertEqual((self.tap.ends[0], self.tap.closes), ("closed", 1))

    async def test_tap_sees_what_an_upstream_never_got(self) -> None:
        self.tap = Tap()
        visitor = self.visit("http://127.0.0.1:1")
        visitor.call("write", b"question")
        await self.until_over(visitor)
        self.assertEqual((self.tap.sent, self.tap.answered), (b"question", b""))
        self.assertEqual((self.tap.ends, self.tap.closes), (["refused"], 1))

    async def test_tap_is_told_of_a_reset(self) -> None:
        self.tap = Tap()
        upstream = Upstream(self)
        visitor = self.visit(f"http://127.0.0.1:{upstream.port}")
        visitor.call("write", b"question")
        peer = await upstream.connection()
        await peer.read(8)
        peer.cut()
        await self.until_over(visitor)
        self.assertEqual((self.tap.ends, self.tap.closes), (["reset"], 1))

    async def test_tap_is_not_told_that_the_visitor_ended_it(self) -> None:
        self.tap = Tap()
        upstream = Upstream(self)
        visitor = self.visit(f"http://127.0.0.1:{upstream.port}")
        visitor.call("write", b"question")
        await (await upstream.connection()).read(8)
        visitor.call("abortConnection")
        await self.until_over(visitor)
        self.assertEqual((self.tap.ends, self.tap.closes), ([], 1))


class DialTests(RelayTestCase):
    async def assertFails(self, upstream: str, code: ResetCode, words: str) -> None:
        self.failures.clear()
        visitor = self.visit(upstream)
        visitor.call("write", b"GET / HTTP/1.1\r\n\r\n")
        await self.until_over(visitor)
        self.assertEqual(visitor.log, [code])
        (failure,) = self.failures
        self.assertIn(words, failure)

    async def test_upstream_refuses(self) -> None:
        upstream = Upstream(self)
        await upstream.stop()
        place = f"127.0.0.1:{upstream.port}"
        await self.assertFails(f"http://{place}", ResetCode.REFUSED, f"nothing listens on {place}")
        place = f"localhost:{upstream.port}"
        await self.assertFails(f"http://{place}", ResetCode.REFUSED, f"nothing listens on {place}")

    async def test_upstream_comes_later(self) -> None:
        early = Upstream(self)
        await early.stop()
        await self.assertFails(
            f"http://localhost:{early.port}", ResetCode.REFUSED, "connection refused"
        )
        upstream = Upstream(self, port=early.port)
        visitor = self.visit(f"http://localhost:{upstream.port}")
        visitor.call("write", b"x")
        peer = await upstream.connection()
        self.assertEqual(await peer.read(1), b"x")
        visitor.call("abortConnection")
        await self.until_over(visitor)

    async def test_unknown_name(self) -> None:
        await self.assertFails(
            "http://nobody.invalid:80", ResetCode.UNREACHABLE, "nobody.invalid is unknown"
        )

    async def test_no_route(self) -> None:
        # TCP knows no broadcast (RFC 1122, 4.2.3.10), so this fails wherever it is tried.
        await self.assertFails(
            "http://255.255.255.255:80", ResetCode.UNREACHABLE, "255.255.255.255:80 is unreachable"
        )

    async def test_name_that_is_none(self) -> None:
        for name in ("a..b", "x" * 70):
            await self.assertFails(f"http://{name}:80", ResetCode.UNREACHABLE, name)

    async def test_upstream_that_does_not_answer(self) -> None:
        self.patch(relay, "_CONNECT_SECONDS", 0.1)
        port = silent_port(self)
        await self.assertFails(
            f"http://127.0.0.1:{port}", ResetCode.TIMEOUT, "does not answer (timeout)"
        )

    async def test_dialling_ends_with_the_visitor(self) -> None:
        port = silent_port(self)
        for host in ("127.0.0.1", "localhost"):
            for way in ("abortConnection", "lose"):
                self.setUp()
                visitor = self.visit(f"http://{host}:{port}")
                visitor.call("write", b"x")
                await until(dialling, "dialled")
                if way == "lose":
                    self.lose()
                else:
                    visitor.call(way)
                await self.until_over(visitor)
                await until(lambda: not dialling(), "given up")
                self.assertEqual(self.failures, [])

    async def test_localhost_on_either_address(self) -> None:
        upstream = Upstream(self)
        visitor = self.visit(f"http://localhost:{upstream.port}")
        await upstream.connection()
        await upstream.stop()
        factory = PeerFactory(self)
        try:
            listening = reactor.listenTCP(upstream.port, factory, interface="::1")
        except Exception as error:  # a machine without IPv6
            self.skipTest(f"needs ::1: {error}")
        self.addCleanup(listening.stopListening)
        visitors = [visitor]
        for number in range(1, 4):
            visitors.append(self.visit(f"http://localhost:{upstream.port}"))
            await until(lambda n=number: len(factory.peers) == n, "connected")  # type: ignore[misc]
        self.assertEqual(self.relay._local, "::1")  # where the next dial goes first
        for visitor in visitors:
            visitor.call("abortConnection")
        await self.until_over(*visitors)
        self.assertEqual(self.failures, [])


class PrefaceTests(RelayTestCase):
    """What the upstream gets before anything of the visitor's."""

    def setUp(self) -> None:
        super().setUp()
        self.preface = lambda host, port: f"to {host} {port}\r\n".encode()

    async def test_comes_first(self) -> None:
        upstream = Upstream(self)
        for host in ("127.0.0.1", "localhost"):
            visitor = self.visit(f"tcp://{host}:{upstream.port}")
            visitor.call("write", b"question")
            visitor.call("loseWriteConnection")
            peer = await upstream.connection()
            line = f"to 127.0.0.1 {upstream.port}\r\n".encode()
            self.assertEqual(await peer.read_to_end(), line + b"question")
            peer.send(b"answer")
            peer.close()
            await self.until_over(visitor)
            self.assertEqual(visitor.received, b"answer")

    async def test_the_upstream_speaks_first(self) -> None:
        upstream = Upstream(self)
        visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
        peer = await upstream.connection()
        peer.send(b"greeting")
        self.assertEqual(await peer.read_until(b"\r\n"), self._line(upstream))
        await until(lambda: visitor.received == b"greeting", "greeted")
        visitor.call("loseConnection")
        await peer.ended()
        peer.close()
        await self.until_over(visitor)

    def _line(self, upstream: Upstream) -> bytes:
        return f"to 127.0.0.1 {upstream.port}\r\n".encode()

    async def test_upstreams_that_end_at_once(self) -> None:
        # More than the sockets hold, so that it is still being written at the end.
        for preface in (b"x", b"x" * 16 * MIB):
            self.preface = lambda host, port, text=preface: text
            for way in ("close", "cut", "finish"):
                upstream = Upstream(self)
                visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
                visitor.call("write", b"question")
                peer = await upstream.connection()
                peer.pause()
                getattr(peer, way)()
                await until(lambda v=visitor: v.log, f"ended by {way}")  # type: ignore[misc]
                if not visitor.over:  # half-closed, as far as anybody can tell
                    self.assertEqual(visitor.log, [FINISHED])
                    visitor.call("loseConnection")
                    peer.resume()
                    await peer.ended()
                    peer.cut()
                await self.until_over(visitor)
                await upstream.stop()
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_the_visitor_leaves_meanwhile(self) -> None:
        self.preface = lambda host, port: b"x" * 16 * MIB
        upstream = Upstream(self)
        visitor = self.visit(f"tcp://127.0.0.1:{upstream.port}")
        peer = await upstream.connection()
        peer.pause()
        visitor.call("abortConnection")
        peer.resume()
        self.assertEqual(await peer.ended(), CUT)
        await self.until_over(visitor)


class TLSTests(RelayTestCase):
    def listen(self, *names: str) -> tuple[PeerFactory, int]:
        factory = PeerFactory(self)
        options = self_signed(*names).options()
        listening = reactor.listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        return factory, listening.getHost().port

    async def first(self, factory: PeerFactory) -> Peer:
        await until(lambda: factory.peers and factory.peers[0].transport, "connected")
        return factory.peers[0]

    async def test_self_signed_and_for_another_name(self) -> None:
        factory, port = self.listen("another.example.com")
        visitor = self.visit(f"https://127.0.0.1:{port}")
        visitor.call("write", b"question")
        peer = await self.first(factory)
        self.assertEqual(await peer.read(8), b"question")
        peer.send(b"x" * MIB)
        peer.close()
        await until(lambda: len(visitor.received) == MIB, "answered")
        visitor.call("loseConnection")
        await self.until_over(visitor)
        self.assertEqual(self.failures, [])

    async def test_visitor_leaves(self) -> None:
        factory, port = self.listen("localhost")
        for way in ("loseConnection", "abortConnection"):
            factory.peers.clear()
            visitor = self.visit(f"https://localhost:{port}")
            visitor.call("write", b"x")
            peer = await self.first(factory)
            await peer.read(1)
            visitor.call(way)
            self.assertIn(await peer.ended(), (CLOSED, CUT))
            await self.until_over(visitor)

    async def test_upstream_speaks_no_tls(self) -> None:
        upstream = Upstream(self)
        visitor = self.visit(f"https://127.0.0.1:{upstream.port}")
        visitor.call("write", b"x")
        peer = await upstream.connection()
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await self.until_over(visitor)
        self.assertIsInstance(visitor.log[-1], ResetCode)
        self.assertEqual(
            self.failures,
            [f"127.0.0.1:{upstream.port} does not speak TLS: announce it with http://"],
        )


def dialling() -> bool:
    """Whether a TCP connection is being made."""
    return any(isinstance(w, tcp.Client) and not w.connected for w in reactor.getWriters())


def silent_port(case: TestCase) -> int:
    """A port of this machine where a connection is neither accepted nor refused."""
    listening = socket.socket()
    case.addCleanup(listening.close)
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    port = int(listening.getsockname()[1])
    for _ in range(4):  # as many as wait to be accepted, and more
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", port))
        case.addCleanup(waiting.close)
    return port
