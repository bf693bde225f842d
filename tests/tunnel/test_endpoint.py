"""Connections that write at once, and events told at once, against the installed Twisted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from typing import Any

from twisted.internet import reactor, tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.pollreactor import PollReactor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python import context
from twisted.python.failure import Failure
from twisted.python.log import ILogContext
from twisted.trial import unittest

from inletspy.tunnel.endpoint import eager, quicken


class Collector(Protocol):
    """Keeps what comes, until the connection ends."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended: Deferred[object] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.value)


class EagerTests(unittest.TestCase):
    """Both ends are made by an eager reactor."""

    async def connect(self) -> tuple[Collector, Collector]:
        """A connected pair: client and server."""
        accepted: Deferred[Collector] = Deferred()

        def build() -> Collector:
            server = Collector()
            accepted.callback(server)
            return server

        factory = Factory.forProtocol(build)
        port: Any = await TCP4ServerEndpoint(eager(reactor), 0, interface="127.0.0.1").listen(
            factory
        )
        self.addCleanup(port.stopListening)
        client: Any = await TCP4ClientEndpoint(
            eager(reactor), "127.0.0.1", port.getHost().port
        ).connect(Factory.forProtocol(Collector))
        return client, await accepted

    async def test_a_reset_that_writing_meets_is_no_orderly_end(self) -> None:
        for data in (b"x", b"x" * 100_000):  # in one piece, and in several
            client, server = await self.connect()
            peer: Any = client.transport
            transport: Any = server.transport
            peer.abortConnection()
            await client.ended  # within the turn: the server has not been told of it yet
            transport.writeSequence([data[:1], data[1:]])
            self.assertIsInstance(await server.ended, ConnectionLost)

    async def test_nothing_is_sent_after_an_abort(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        transport.abortConnection()
        transport.write(b"too late")
        self.assertIsInstance(await server.ended, ConnectionLost)
        self.assertEqual(server.received, [])

    async def test_what_the_socket_takes_is_sent_within_the_call(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        transport.writeSequence([b"n", b"ow"])
        receiving: Any = server.transport
        # Nothing but the kernel lies between: the reactor has not run since the call.
        self.assertEqual(receiving.getHandle().recv(3, socket.MSG_PEEK), b"now")
        transport.loseConnection()
        await server.ended

    async def test_what_the_kernel_refuses_follows_in_order(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        pieces = [os.urandom(size) for size in (1, 3_000_000, 10, 2_000_000, 7)]
        for piece in pieces:
            transport.write(piece)
        transport.writeSequence([b"a", b"b"])
        transport.loseConnection()
        await server.ended
        sent = hashlib.sha256(b"".join(pieces) + b"ab").hexdigest()
        self.assertEqual(hashlib.sha256(b"".join(server.received)).hexdigest(), sent)

    async def test_a_full_socket_pauses_the_producer(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        receiving: Any = server.transport
        receiving.pauseProducing()
        resumed: Deferred[None] = Deferred()

        class Source:
            paused = False

            def pauseProducing(self) -> None:
                self.paused = True

            def resumeProducing(self) -> None:
                resumed.callback(None)

            def stopProducing(self) -> None:
                pass

        source = Source()
        transport.registerProducer(source, True)
        transport.write(bytes(16 << 20))
        self.assertTrue(source.paused)
        receiving.resumeProducing()
        await resumed
        transport.unregisterProducer()
        transport.loseConnection()
        await server.ended

    async def test_a_peer_that_is_gone_ends_the_connection(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        transport.pauseProducing()  # so that only writing meets the error
        receiving: Any = server.transport
        receiving.abortConnection()
        await server.ended
        transport.write(b"one")
        transport.write(b"two")
        reason = await client.ended
        self.assertIsInstance(reason, ConnectionLost)
        transport.write(b"after the end")

    def test_twisted_has_what_it_rests_on(self) -> None:
        self.assertTrue(hasattr(FileDescriptor(), "_tempDataBuffer"))
        self.assertTrue(hasattr(tcp.Connection, "_writeDisconnected"))
        self.assertIsNot(eager(reactor), reactor)

    def test_other_reactors_are_left_as_they_are(self) -> None:
        clock = Clock()
        self.assertIs(eager(clock), clock)


class HoldingTests(EagerTests):
    """The same where the end of each round is told, until which small pieces wait."""

    def setUp(self) -> None:
        if not isinstance(reactor, EPollReactor):
            raise unittest.SkipTest("needs the epoll reactor")
        self.addCleanup(quicken(reactor))

    async def test_small_pieces_go_together_at_the_end_of_the_round(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        receiving: Any = server.transport
        transport.write(b"a")
        transport.writeSequence([b"b", b"c"])
        transport.write(b"d")
        with self.assertRaises(BlockingIOError):
            receiving.getHandle().recv(1, socket.MSG_PEEK)
        while not server.received:
            await deferLater(reactor, 0)
        self.assertEqual(server.received, [b"abcd"])
        transport.loseConnection()
        await server.ended

    async def test_what_is_much_waits_for_no_end(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        receiving: Any = server.transport
        transport.write(b"a" * 10_000)
        transport.write(b"b" * 10_000)
        self.assertEqual(len(receiving.getHandle().recv(1 << 20, socket.MSG_PEEK)), 20_000)
        transport.write(b"c")
        transport.loseConnection()
        await server.ended
        received = b"".join(server.received)
        self.assertEqual(received, b"a" * 10_000 + b"b" * 10_000 + b"c")

    async def test_what_is_held_comes_before_the_close(self) -> None:
        for close in ("loseConnection", "loseWriteConnection"):
            client, server = await self.connect()
            client.transport.write(b"last words")  # type: ignore[union-attr]
            getattr(client.transport, close)()
            self.assertIsInstance(await server.ended, ConnectionDone)
            self.assertEqual(server.received, [b"last words"])
            await client.ended

    async def test_what_is_held_comes_before_an_abort(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        transport.write(b"last words")
        transport.abortConnection()
        self.assertIsInstance(await server.ended, ConnectionLost)
        self.assertEqual(server.received, [b"last words"])
        await client.ended

    async def test_what_is_held_is_sent_where_the_reactor_ends_the_connection(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        transport.write(b"last words")
        reading: Any = reactor
        reading.removeReader(transport)
        transport.connectionLost(Failure(ConnectionLost()))  # as `disconnectAll` does
        await server.ended
        self.assertEqual(server.received, [b"last words"])

    async def test_what_fails_keeps_nothing_from_the_others(self) -> None:
        class Source:
            def pauseProducing(self) -> None:
                raise ZeroDivisionError

            def resumeProducing(self) -> None:
                pass

            def stopProducing(self) -> None:
                pass

        failing, _ = await self.connect()
        client, server = await self.connect()
        transport: Any = failing.transport
        transport.registerProducer(Source(), True)
        transport.bufferSize = 0
        transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        with contextlib.suppress(BlockingIOError):
            while True:
                transport.socket.send(bytes(65_536))
        transport.write(b"does not fit")
        client.transport.write(b"fits")  # type: ignore[union-attr]
        client.transport.loseConnection()  # type: ignore[union-attr]
        await server.ended
        self.assertEqual(server.received, [b"fits"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        transport.unregisterProducer()
        transport.abortConnection()
        await failing.ended

    async def test_with_its_end_all_goes_at_once_again(self) -> None:
        undo = quicken(reactor)
        client, server = await self.connect()
        transport: Any = client.transport
        receiving: Any = server.transport
        transport.write(b"held")
        undo()
        transport.write(b"not held")
        received = receiving.getHandle().recv(100, socket.MSG_PEEK)
        self.assertEqual(received, b"heldnot held")
        transport.loseConnection()
        await server.ended


class QuickenTests(unittest.TestCase):
    """The reactor that the tests run in, which is put back as it was."""

    def setUp(self) -> None:
        if not isinstance(reactor, EPollReactor):
            raise unittest.SkipTest("needs the epoll reactor")
        self.addCleanup(quicken(reactor))

    async def connect(self, build: Any) -> tuple[Any, Any]:
        """A client's transport, and the server's protocol, made by `build`."""
        made: Deferred[Any] = Deferred()

        def build_and_tell() -> Any:
            protocol = build()
            made.callback(protocol)
            return protocol

        factory = Factory.forProtocol(build_and_tell)
        factory.noisy = False
        port: Any = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        client: Any = await TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect(
            Factory.forProtocol(Collector)
        )
        return client, await made

    async def test_events_come_without_a_log_context(self) -> None:
        contexts = []

        class Looker(Collector):
            def dataReceived(self, data: bytes) -> None:
                contexts.append(context.get(ILogContext))
                self.transport.write(data)  # type: ignore[union-attr]
                self.transport.loseConnection()  # type: ignore[union-attr]

        client, server = await self.connect(Looker)
        before = context.get(ILogContext)
        client.transport.write(b"x" * 100_000)
        await server.ended
        await client.ended
        self.assertTrue(contexts)
        self.assertEqual({id(found) for found in contexts}, {id(before)})
        self.assertTrue(client.received)

    async def test_what_is_raised_ends_the_connection_and_is_logged(self) -> None:
        class Failing(Collector):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        client, server = await self.connect(Failing)
        client.transport.write(b"x")
        self.assertIsInstance(await server.ended, ZeroDivisionError)
        await client.ended
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_sockets_that_one_before_them_has_closed(self) -> None:
        class Cutting(Collector):
            def dataReceived(self, data: bytes) -> None:
                for other in servers:
                    other.transport.abortConnection()

        pairs = [await self.connect(Cutting) for _ in range(2)]
        servers = [server for _, server in pairs]
        for client, _ in pairs:  # both are there in the same round, or one after the other
            client.transport.socket.send(b"x")
        for client, server in pairs:
            await server.ended
            await client.ended

    async def test_timers_go_on(self) -> None:
        await deferLater(reactor, 0.001)
        running: Any = reactor
        self.assertEqual(running.doIteration.__name__, "iterate")

    async def test_what_escapes_keeps_nothing_from_the_others(self) -> None:
        class Failing(Collector):
            def connectionLost(self, reason: Failure = connectionDone) -> None:
                super().connectionLost(reason)
                raise ZeroDivisionError

        pairs = [await self.connect(Failing) for _ in range(2)]
        for client, _ in pairs:
            client.transport.abortConnection()
        for client, server in pairs:
            await server.ended
            await client.ended
        await deferLater(reactor, 0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_other_reactors_are_left_alone(self) -> None:
        poll = PollReactor()
        self.addCleanup(poll.disconnectAll)
        for other in (Clock(), poll):
            quicken(other)
            self.assertNotIn("doIteration", vars(other))
