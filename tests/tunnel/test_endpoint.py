"""Connections that write at once, against the installed Twisted."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import Any

from twisted.internet import reactor, tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial import unittest

from inletspy.tunnel.endpoint import eager


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

    async def test_what_the_socket_takes_is_sent_within_the_call(self) -> None:
        client, server = await self.connect()
        transport: Any = client.transport
        transport.write(b"now")
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
