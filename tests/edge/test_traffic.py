"""What the edge counts for each service."""

from __future__ import annotations

from typing import Any

from inletspy.policy.traffic import Passage
from inletspy.policy.visits import VisitRule
from tests.edge.test_tcp import PortTestCase
from tests.edge.tunnels import DOMAIN, TunnelTestCase, ok, read_answer, read_head
from tests.peers import reactor, until


class HttpTests(TunnelTestCase):
    def figure(self, name: str) -> Any:
        """One of the tunnel's figures."""
        return self.tunnel.service.traffic.figures(reactor.seconds())[name]

    def passages(self) -> list[Passage]:
        """The tunnel's requests, newest first."""
        return list(self.tunnel.service.traffic.passages())

    async def test_a_request(self) -> None:
        sent = self.request("POST /a?b=c HTTP/1.1", "Content-Length: 5", body=b"hello")
        began = reactor.seconds()
        visitor, upstream, _ = await self.asked(sent)
        await upstream.read(5)
        self.assertEqual((self.figure("requests"), self.figure("active")), (0, 1))
        upstream.send(ok(b"x" * 1000))
        _, body = await read_answer(visitor)
        self.assertEqual(len(body), 1000)
        (passage,) = self.passages()
        self.assertEqual(passage[3:5], (200, len(sent)))
        self.assertEqual(passage[6:], (b"127.0.0.1", b"POST", b"/a?b=c", False))
        self.assertGreater(passage.bytes_out, 1000)
        self.assertTrue(began <= passage.began <= reactor.seconds())
        self.assertTrue(0 <= passage.seconds <= reactor.seconds() - began)
        self.assertEqual(self.figure("bytes_in"), passage.bytes_in)
        self.assertEqual(self.figure("bytes_out"), passage.bytes_out)
        self.assertEqual(self.figure("statuses")["2xx"], 1)
        self.assertEqual(self.figure("active"), 0)

    async def test_one_after_the_other(self) -> None:
        visitor, upstream, _ = await self.asked(self.request("GET /1 HTTP/1.1"))
        upstream.send(ok())
        await read_answer(visitor)
        visitor.send(self.request("GET /2 HTTP/1.1") + self.request("GET /3 HTTP/1.1"))
        for _ in range(2):
            await read_head(upstream)
            upstream.send(ok(b"longer"))
            await read_answer(visitor)
        self.assertEqual([p.target for p in self.passages()], [b"/3", b"/2", b"/1"])
        sizes = {passage.bytes_in for passage in self.passages()}
        self.assertEqual(sizes, {len(self.request("GET /1 HTTP/1.1"))})

    async def test_an_upstream_that_is_broken(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(b"nonsense\r\n\r\n")
        self.assertEqual((await read_head(visitor)).status, 502)
        self.assertEqual([p.status for p in self.passages()], [502])
        self.assertEqual(self.figure("statuses")["5xx"], 1)

    async def test_a_visitor_that_does_not_wait(self) -> None:
        visitor, _, _ = await self.asked(self.request())
        visitor.cut()
        await until(lambda: bool(self.passages()), "noted")
        self.assertEqual([p.status for p in self.passages()], [499])

    async def test_what_is_for_nobody_counts_for_nobody(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        visitor.send(b"GET / HTTP/1.1\r\nHost: other." + DOMAIN.encode() + b"\r\n\r\n")
        self.assertEqual((await read_head(visitor)).status, 404)
        self.assertEqual(self.figure("requests"), 1)

    async def test_who_is_not_let_in(self) -> None:
        self.tunnel.service.rule = VisitRule(private=True)
        visitor = await self.visit(self.request())
        self.assertEqual((await read_head(visitor)).status, 401)
        self.assertEqual([p.status for p in self.passages()], [401])

    async def test_an_upgraded_connection(self) -> None:
        sent = self.request("GET /ws HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")
        visitor, upstream, _ = await self.asked(sent)
        upstream.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\n\r\nearly"
        )
        self.assertEqual((await read_head(visitor)).status, 101)
        await visitor.read(5)
        self.assertEqual([(p.status, p.target) for p in self.passages()], [(101, b"/ws")])
        before = self.figure("bytes_in"), self.figure("bytes_out")
        visitor.send(b"ping!")
        await upstream.read(5)
        upstream.send(b"pong")
        await visitor.read(4)
        self.assertEqual(
            (self.figure("bytes_in"), self.figure("bytes_out")), (before[0] + 5, before[1] + 4)
        )
        self.assertEqual((self.figure("requests"), self.figure("active")), (1, 1))
        visitor.cut()
        await until(lambda: self.figure("active") == 0, "closed")


class TcpTests(PortTestCase):
    async def test_a_connection(self) -> None:
        traffic = self.tunnel.service.traffic
        visitor = await self.visitors.connect_to(self.port)
        upstream = await self.upstream.connection()
        visitor.send(b"hello")
        await upstream.read(5)
        upstream.send(b"hi")
        await visitor.read(2)
        figures = traffic.figures(reactor.seconds())
        counts = [figures[name] for name in ("requests", "active", "bytes_in", "bytes_out")]
        self.assertEqual(counts, [1, 1, 5, 2])
        self.assertEqual(list(traffic.passages()), [])
        visitor.cut()
        await until(lambda: bool(traffic.noted), "noted")
        (passage,) = traffic.passages()
        self.assertEqual(passage[3:], (0, 5, 2, b"127.0.0.1", b"", b"", False))
        self.assertEqual(traffic.total, 1)

    async def test_one_that_is_turned_away_counts_for_nothing(self) -> None:
        self.limit = 0
        visitor = await self.visitors.connect_to(self.port)
        await visitor.read_to_end()
        self.assertEqual(self.tunnel.service.traffic.total, 0)
