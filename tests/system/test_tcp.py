"""`tunnel PORT tcp` with the real programs: ports, and what passes through them."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

from tests.peers import CUT, FINISHED, Peer, PeerFactory, Upstream, listen, until
from tests.system.processes import ClientProcess
from tests.system.whole import WholeTestCase, peak_memory, sockets

MIB = 1 << 20


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports on which nobody listens."""
    for first in range(20_000 + os.getpid() % 9_000, 30_000, count):
        probes = [socket.socket() for _ in range(count)]
        try:
            for number, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + number))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return first
    raise AssertionError("all ports are taken")


class TcpTests(WholeTestCase):
    """A server that gives out few ports."""

    async def start_with_ports(self, count: int = 3) -> None:
        """Start a server with so many ports, and an upstream."""
        self.first = free_ports(count)
        self.range = range(self.first, self.first + count)
        await self.start_server(tcp_port_range=f"{self.range[0]}-{self.range[-1]}")
        self.upstream = Upstream(self)

    def tunnel(self, *arguments: str) -> ClientProcess:
        """A client for the upstream, not started yet."""
        return ClientProcess(
            self, self.server, f"127.0.0.1:{self.upstream.port}", "tcp", *arguments
        )

    async def started(self, *arguments: str) -> int:
        """Start a client; gives the public port."""
        self.client = self.tunnel(*arguments)
        url = urlsplit(str((await self.client.start())["public_url"]))
        self.assertEqual((url.scheme, url.hostname), ("tcp", self.server.domain))
        assert url.port is not None
        self.idle = (sockets(self.server), sockets(self.client))
        return url.port

    async def joined(self, port: int) -> tuple[Peer, Peer]:
        """A visitor and an upstream that hear each other."""
        visitor = await self.visitors.connect_to(port)
        upstream = await self.upstream.connection()
        visitor.send(b"?")
        self.assertEqual(await upstream.read(1), b"?")
        upstream.send(b"!")
        self.assertEqual(await visitor.read(1), b"!")
        return visitor, upstream

    async def test_forwarding(self) -> None:
        await self.start_with_ports()
        port = await self.started()
        self.assertIn(port, self.range)
        visitor, upstream = await self.joined(port)
        visitor.send(b"question")
        visitor.finish()
        self.assertEqual(await upstream.read_to_end(), b"question")
        upstream.send(b"answer")
        upstream.close()
        self.assertEqual(await visitor.read_to_end(), b"answer")
        self.assertEqual(visitor.end, FINISHED)

        visitor, upstream = await self.joined(port)
        upstream.finish()
        self.assertEqual(await visitor.ended(), FINISHED)
        visitor.send(b"still")
        self.assertEqual(await upstream.read(5), b"still")
        visitor.cut()
        await upstream.gone
        self.assertEqual(upstream.end, CUT)
        await self.until_idle()

    async def test_the_upstream_is_told_who_it_is(self) -> None:
        await self.start_with_ports()
        port = await self.started("--proxy-protocol", "v1")
        visitor = await self.visitors.connect_to(port, source="127.0.0.9")
        visitor.send(b"question")
        visitor.finish()
        upstream = await self.upstream.connection()
        source_port = visitor.transport.getHost().port  # type: ignore[union-attr]
        line = f"PROXY TCP4 127.0.0.9 127.0.0.1 {source_port} {self.upstream.port}\r\n"
        self.assertEqual(await upstream.read_to_end(), line.encode() + b"question")
        upstream.cut()
        self.assertEqual(await visitor.ended(), CUT)

        # One that is never there for long enough hangs nobody.
        for _ in range(20):
            visitor = await self.visitors.connect_to(port)
            (await self.upstream.connection()).cut()
            self.assertEqual(await visitor.ended(), CUT)
        self.assertEqual(self.client.stderr, "")
        await self.until_idle()

    async def test_slow_readers(self) -> None:
        await self.start_with_ports()
        port = await self.started()
        for slow, fast in ((0, 1), (1, 0)):
            ends = await self.joined(port)
            ends[slow].pause()
            ends[fast].send(bytes(64 * MIB))
            await ends[fast].until_stuck()
            ends[slow].resume()
            await ends[slow].read(64 * MIB)
        for program in (self.server, self.client):
            self.assertLess(peak_memory(program), 150_000_000)
        await self.until_idle()

    async def test_upstream_refuses(self) -> None:
        await self.start_with_ports()
        port = await self.started()
        await self.upstream.stop()
        visitor = await self.visitors.connect_to(port)
        self.assertEqual(await visitor.ended(), CUT)
        failure = await self.client.event("upstream_failed")
        self.assertIn("refused", failure["reason"])

        again = Upstream(self, port=self.upstream.port)
        visitor = await self.visitors.connect_to(port)
        self.upstream = again
        await again.connection()
        await self.until_idle()

    async def test_same_port_after_a_restart(self) -> None:
        await self.start_with_ports(20)
        port = await self.started("--client-id", "me")
        held, upstream = await self.joined(port)
        self.client.kill()
        self.assertEqual(await held.ended(), CUT)
        await upstream.ended()
        await self.until_refused(port)
        self.assertEqual(await self.started("--client-id", "me"), port)
        visitor, _ = await self.joined(port)
        visitor.close()
        await self.client.stop()

        # It is kept for the client, and from others, for a while.
        await self.until_refused(port)
        await self.assert_refused(port, "in use")
        self.assertEqual(await self.started("--client-id", "me"), port)
        await self.until_idle()

    async def until_refused(self, port: int) -> None:
        def refused() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) != 0

        await until(refused, "closed")

    async def test_port_of_ones_choice(self) -> None:
        await self.start_with_ports()
        wanted = self.range[1]
        self.assertEqual(await self.started("--remote-port", str(wanted)), wanted)
        await self.assert_refused(wanted, "in use")
        await self.assert_refused(self.range[-1] + 1, f"{self.range[0]} to {self.range[-1]}")
        taken = listen(PeerFactory(self), port=self.range[2])
        self.addCleanup(taken.stopListening)
        await self.assert_refused(self.range[2], "in use")
        await self.joined(wanted)
        await self.until_idle()

    async def assert_refused(self, port: int, reason: str) -> None:
        refused = self.tunnel("--client-id", "second", "--remote-port", str(port))
        refused.spawn()
        self.assertEqual(await refused.ended(), 3)
        (error,) = refused.events
        self.assertEqual((error["event"], error["code"]), ("error", "port_unavailable"))
        self.assertIn(reason, error["message"])

    async def test_no_port_is_left(self) -> None:
        await self.start_with_ports(1)
        await self.started()
        refused = self.tunnel("--client-id", "second")
        refused.spawn()
        error = await refused.event("error")
        self.assertEqual(error["code"], "port_unavailable")
        await refused.stop()
