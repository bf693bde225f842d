"""Bodies far larger than the memory that carries them, through the real programs.

As many MiB each way as INLETSPY_TEST_MIB says; 256 where it says nothing.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from tests.edge.tunnels import read_head
from tests.peers import Peer, reactor
from tests.system.whole import WholeTestCase, peak_memory

MIB: Final = 1 << 20
SIZE: Final = int(os.environ.get("INLETSPY_TEST_MIB", "256")) * MIB
#: What server and client may each take.
MEMORY: Final = 150_000_000
#: Seconds that a transfer may take on the slowest machine.
PATIENCE: Final = 120 + SIZE // MIB


@implementer(IPushProducer)
class Outgoing:
    """A body on its way out, made as it is sent; each MiB of it differs from the others.

    Attributes:
        left: how many bytes are still to be sent.
        digest: the SHA-256 of those that were.
    """

    def __init__(self, peer: Peer, size: int) -> None:
        self.left = size
        self.digest = hashlib.sha256()
        self._filling = os.urandom(MIB - 8)
        self._paused = False
        self._transport = cast(Any, peer.transport)
        self._transport.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while self.left and not self._paused:
            block = self.left.to_bytes(8, "big") + self._filling
            self.left -= len(block)
            self.digest.update(block)
            self._transport.write(block)
        if not self.left:
            self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.left = 0


class Incoming:
    """A body on its arrival, of which nothing is kept.

    Attributes:
        left: how many bytes are still to come.
        digest: the SHA-256 of those that came.
    """

    def __init__(self, peer: Peer, size: int) -> None:
        self.left = size
        self.digest = hashlib.sha256()
        self.arrived: Deferred[None] = Deferred()
        self._data(bytes(peer.received))
        peer.received.clear()
        peer.dataReceived = self._data  # type: ignore[method-assign]

    def _data(self, data: bytes) -> None:
        self.left -= len(data)
        self.digest.update(data)
        if self.left <= 0 and not self.arrived.called:
            self.arrived.callback(None)


class TransferTests(WholeTestCase):
    """Byte by byte the same, in bounded memory."""

    timeout = 2 * PATIENCE + 60

    async def test_download_that_pauses(self) -> None:
        await self.start()
        visitor = await self.visit(self.request())
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        await read_head(visitor)
        visitor.pause()
        outgoing = Outgoing(upstream, SIZE)
        incoming = Incoming(visitor, SIZE)
        await upstream.until_stuck()
        self.assertGreater(outgoing.left, 0)
        visitor.resume()
        await self.assert_arrive((outgoing, incoming))

    async def test_upload_that_pauses(self) -> None:
        await self.start()
        visitor = await self.visit(self.request("PUT / HTTP/1.1", f"Content-Length: {SIZE}"))
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.pause()
        outgoing = Outgoing(visitor, SIZE)
        incoming = Incoming(upstream, SIZE)
        await visitor.until_stuck()
        self.assertGreater(outgoing.left, 0)
        upstream.resume()
        await self.assert_arrive((outgoing, incoming))

    async def test_both_at_once(self) -> None:
        await self.start()
        size = SIZE // 4
        visitor = await self.visit(self.request("POST / HTTP/1.1", f"Content-Length: {size}"))
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await read_head(visitor)
        await self.assert_arrive(
            (Outgoing(visitor, size), Incoming(upstream, size)),
            (Outgoing(upstream, size), Incoming(visitor, size)),
        )

    async def assert_arrive(self, *transfers: tuple[Outgoing, Incoming]) -> None:
        for outgoing, incoming in transfers:
            await incoming.arrived.addTimeout(PATIENCE, reactor)
            self.assertEqual((outgoing.left, incoming.left), (0, 0))
            self.assertEqual(incoming.digest.hexdigest(), outgoing.digest.hexdigest())
        for program in (self.server, self.client):
            self.assertLess(peak_memory(program), MEMORY)
        await self.until_idle()
