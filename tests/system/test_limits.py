"""Visitors and clients that ask for too much, or mean harm: the server stays, and lets go."""

from __future__ import annotations

import random
import resource
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import SkipTest

from twisted.internet.defer import DeferredList, ensureDeferred

from tests.edge.faults import BROKEN_CHUNKS, BROKEN_HEADS, OTHERWISE
from tests.edge.tunnels import ok, read_answer, read_head, request
from tests.peers import CUT, FINISHED, until
from tests.system.http import fetch
from tests.system.whole import WholeTestCase, peak_memory, sockets
from tests.tunnel.websocket import handshake

#: Idle connections that the server must bear.
CROWD = 10_000


@contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    """Let this process have so many files for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SkipTest(f"needs {count} file descriptors, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class LimitTests(WholeTestCase):
    """Each limit, as it is set in the database."""

    async def serves(self, source: str = "127.0.0.1") -> None:
        """Check that an ordinary visitor is served."""
        visitor = await self.visit(
            self.request("GET / HTTP/1.1", "Connection: close"), source=source
        )
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(ok(b"ok", "Connection: close"))
        upstream.close()
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_crowd_that_says_nothing(self) -> None:
        await self.start()
        with many_descriptors(CROWD + 500):
            crowd = []
            try:
                for number in range(CROWD):
                    visitor = socket.socket()
                    crowd.append(visitor)
                    visitor.bind((f"127.0.1.{number % 10 + 1}", 0))
                    visitor.connect(("127.0.0.1", self.server.data_port))
                there = self.idle[0] + CROWD
                await until(lambda: sockets(self.server) == there, "all there")
                await self.serves()
            finally:
                for visitor in crowd:
                    visitor.close()
        await self.serves()
        await self.until_idle()

    async def test_connections_of_an_address(self) -> None:
        await self.start(connections_per_address=2)
        held = [await self.visit(self.request()[:9], source="127.0.0.3") for _ in range(2)]
        visitor = await self.visit(self.request(), source="127.0.0.3")
        head, _ = await read_answer(visitor)
        self.assertEqual((head.status, head.get("retry-after")), (429, "10"))
        self.assertEqual(await visitor.ended(), FINISHED)
        await self.serves()
        for peer in held:
            peer.send(self.request()[9:])
            upstream = await self.upstream.connection()
            await read_head(upstream)
            upstream.send(ok(b"ok", "Connection: close"))
            upstream.close()
            self.assertEqual((await read_answer(peer))[1], b"ok")
        await self.until_idle()

    async def test_streams_of_a_session(self) -> None:
        """The limit counts at once where it is changed, and again."""
        await self.start(streams_per_session=1)
        visitor = await self.visit(self.request())
        upstream = await self.upstream.connection()
        other = await self.visit(self.request())
        head, _ = await read_answer(other)
        self.assertEqual((head.status, head.get("retry-after")), (429, "5"))
        await read_head(upstream)
        upstream.send(ok())
        await read_answer(visitor)
        other.send(self.request())
        await read_head(upstream)
        upstream.send(ok(b"now"))
        self.assertEqual((await read_answer(other))[1], b"now")
        await self.until_idle()

    async def test_visitors_who_take_their_time(self) -> None:
        await self.start(head_timeout_seconds=1, body_idle_seconds=1, keep_alive_seconds=1)
        for sent, status in (
            (self.request()[:9], 408),
            (self.request("POST / HTTP/1.1", "Content-Length: 9", body=b"a"), 408),
            (b"", None),
        ):
            visitor = await self.visit(sent)
            if status is not None:
                self.assertEqual((await read_answer(visitor))[0].status, status)
            self.assertEqual(await visitor.read_to_end(), b"")
            self.assertEqual(visitor.end, FINISHED)
        self.assertEqual(await (await self.upstream.connection()).ended(), CUT)
        await self.until_idle()

    async def test_one_byte_a_second(self) -> None:
        """Whatever comes in time, the whole of a head must."""
        await self.start(head_timeout_seconds=2)
        visitor = await self.visit(self.request()[:-2] + b"X-Slow: ")

        def drip() -> bool:
            if visitor.end is None:
                visitor.send(b"y")
            return bool(visitor.received)

        await until(drip, "answered")
        self.assertEqual((await read_answer(visitor))[0].status, 408)
        await self.until_idle()

    async def test_frozen_client(self) -> None:
        """It counts as gone once it is silent for two or three heartbeats."""
        await self.start(heartbeat_seconds="0.3")
        visitor = await self.visit(self.request())
        upstream = await self.upstream.connection()
        await read_head(upstream)
        self.client.kill(signal.SIGSTOP)
        self.assertEqual((await read_answer(visitor))[0].status, 503)
        self.client.kill(signal.SIGCONT)
        await self.client.event("reconnected")
        await self.serves()
        await self.until_idle()

    async def test_limits_that_change(self) -> None:
        """They are in force for those who come after."""
        await self.start()
        await self.visit(self.request()[:9])
        self.set(connections_per_address=1)

        statuses = {404}
        while 429 not in statuses:
            visitor = await self.visit(request("GET / HTTP/1.1", "Host: nobody"))
            statuses.add((await read_answer(visitor))[0].status)
            visitor.close()
            await visitor.gone
        self.assertEqual(statuses, {404, 429})
        await self.until_idle()


class GuessTests(WholeTestCase):
    """Somebody tries one token after the other."""

    async def handshake(self, token: str) -> int:
        """The status of the answer to a handshake with a token."""
        peer = await self.visitors.connect_to(self.server.control_port)
        peer.send(handshake(token=token, subprotocol="inletspy.v1"))
        status = int((await peer.read_until(b"\r\n")).split()[1])
        await peer.ended()
        return status

    async def test_a_thousand_wrong_tokens(self) -> None:
        await self.start()
        before = peak_memory(self.server)
        lines = self.server.stderr.count("\n") + self.server.stdout.count("\n")
        statuses: Counter[int] = Counter()
        for number in range(20):
            tries = [
                ensureDeferred(self.handshake(f"{'x' * 40 * (n % 2)}{number}-{n}"))
                for n in range(50)
            ]
            statuses.update([status for _, status in await DeferredList(tries)])
            # Visitors are served meanwhile.
            visitor = await self.visit(self.request("GET / HTTP/1.1", "Connection: close"))
            upstream = await self.upstream.connection()
            await read_head(upstream)
            upstream.send(ok(b"ok", "Connection: close"))
            upstream.close()
            self.assertEqual((await read_answer(visitor))[1], b"ok")
        self.assertEqual(statuses.keys(), {401, 429})
        # The first few, and one whenever the wait was over; it doubles each time.
        self.assertLess(statuses[401], 30)
        # Who has the right token gets in from the same address.
        await self.start_client(self.upstream, name="other")
        # So do callers of the API; others wait there, too.
        url = f"{self.server.status_url}/api/tunnels"
        self.assertEqual((await fetch(url, token=self.server.token)).status, 200)
        while (await fetch(url, token="wrong")).status != 429:
            pass  # a wait is just over; the next is longer
        said = self.server.stderr + self.server.stdout
        self.assertLess(said.count("\n") - lines, 10, said)
        self.assertIn("wrong token from 127.0.0.1", said)
        self.assertLess(peak_memory(self.server) - before, 32 << 20)


class HarmTests(WholeTestCase):
    """Nothing that a visitor sends takes the server down, or gets past it."""

    async def test_every_fault(self) -> None:
        await self.start()
        faults = dict.fromkeys(BROKEN_HEADS.values(), 400) | OTHERWISE
        chunked = self.request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
        faults |= {chunked + chunks: 400 for chunks in BROKEN_CHUNKS.values()}
        for sent, status in faults.items():
            visitor = await self.visit(sent + self.request("GET /smuggled HTTP/1.1"))
            self.assertEqual(((await read_answer(visitor))[0].status, sent), (status, sent))
            self.assertEqual(await visitor.read_to_end(), b"")
            self.assertEqual(visitor.end, FINISHED)
        for peer in self.upstream.peers:
            await peer.ended()
            self.assertNotIn(b"smuggled", peer.received)
        await self.until_idle()

    async def test_noise(self) -> None:
        await self.start()
        noise = random.Random(2)
        seed = [*BROKEN_HEADS.values(), self.request(), self.request("POST / HTTP/1.1", "Expect:")]
        for _ in range(300):
            sent = bytearray(noise.choice(seed) * noise.randrange(1, 4))
            for _ in range(noise.randrange(6)):
                at = noise.randrange(len(sent))
                sent[at : at + noise.randrange(3)] = noise.randbytes(noise.randrange(3))
            visitor = await self.visit(bytes(sent))
            visitor.finish() if noise.random() < 0.5 else visitor.close()
        for peer in self.visitors.peers:
            if not peer.gone.called:
                peer.cut()
        await self.until_idle()
        self.assertNotIn("Traceback", self.server.stdout + self.server.stderr)
