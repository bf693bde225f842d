"""Upgraded connections: from the 101 on, bytes and nothing else."""

from __future__ import annotations

from tests.edge.tunnels import Head, TunnelTestCase, ok, read_answer, read_head
from tests.peers import CUT, FINISHED, Peer

SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: abc\r\n\r\n"
)


class UpgradeTests(TunnelTestCase):
    """WebSocket and any other protocol."""

    async def asked_to_switch(self, *fields: str, early: bytes = b"") -> tuple[Peer, Peer, Head]:
        """A visitor and an upstream, after the request and before the answer."""
        return await self.asked(
            self.request(
                "GET /chat HTTP/1.1",
                *(fields or ("Connection: keep-alive, Upgrade", "Upgrade: websocket")),
                "Sec-WebSocket-Key: xyz",
                body=early,
            )
        )

    async def switched(self) -> tuple[Peer, Peer]:
        """A visitor and an upstream that speak with each other."""
        visitor, upstream, _ = await self.asked_to_switch()
        upstream.send(SWITCHING)
        await read_head(visitor)
        return visitor, upstream

    async def test_both_ways(self) -> None:
        visitor, upstream, head = await self.asked_to_switch()
        self.assertEqual(head.get("connection"), "Upgrade")
        self.assertEqual(head.get("upgrade"), "websocket")
        self.assertEqual(head.get("sec-websocket-key"), "xyz")
        upstream.send(SWITCHING)
        answer = await read_head(visitor)
        self.assertEqual(answer.start, "HTTP/1.1 101 Switching Protocols")
        self.assertEqual(answer.get("connection"), "Upgrade")
        self.assertEqual(answer.get("upgrade"), "websocket")
        self.assertEqual(answer.get("sec-websocket-accept"), "abc")
        for number in range(10):
            sent = bytes([number]) * (number + 1)
            visitor.send(sent)
            self.assertEqual(await upstream.read(len(sent)), sent)
            upstream.send(sent * 2)
            self.assertEqual(await visitor.read(2 * len(sent)), sent * 2)

    async def test_any_protocol_and_letter_case(self) -> None:
        visitor, upstream, head = await self.asked_to_switch(
            "connection: UPGRADE", "UPGRADE: My-Proto/1.0, other"
        )
        self.assertEqual(head.get("upgrade"), "My-Proto/1.0, other")
        upstream.send(
            b"HTTP/1.1 101 Fine\r\nconnection: upgrade\r\nupgrade: My-Proto/1.0\r\n\r\nhello"
        )
        self.assertEqual((await read_head(visitor)).get("upgrade"), "My-Proto/1.0")
        self.assertEqual(await visitor.read(5), b"hello")

    async def test_early_bytes_from_both(self) -> None:
        """Neither side must wait for the other's first word."""
        visitor, upstream, _ = await self.asked_to_switch(early=b"early")
        self.assertEqual(bytes(upstream.received), b"")
        visitor.send(b" bird")
        upstream.send(SWITCHING + b"first")
        await read_head(visitor)
        self.assertEqual(await visitor.read(5), b"first")
        self.assertEqual(await upstream.read(10), b"early bird")

    async def test_hints_before_the_switch(self) -> None:
        visitor, upstream, _ = await self.asked_to_switch()
        upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + SWITCHING + b"x")
        self.assertEqual((await read_head(visitor)).status, 103)
        self.assertEqual((await read_head(visitor)).status, 101)
        self.assertEqual(await visitor.read(1), b"x")

    async def test_upstream_does_not_want_to(self) -> None:
        """An ordinary answer, after which both connections go on as before."""
        visitor, upstream, _ = await self.asked_to_switch()
        upstream.send(ok(b"no"))
        self.assertEqual((await read_answer(visitor))[1], b"no")
        visitor.send(self.request())
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_half_a_wish_is_none(self) -> None:
        for fields in (("Upgrade: websocket",), ("Connection: upgrade",)):
            visitor, upstream, head = await self.asked_to_switch(*fields)
            self.assertIsNone(head.get("upgrade"))
            self.assertIsNone(head.get("connection"))
            upstream.send(ok())
            self.assertEqual((await read_answer(visitor))[1], b"ok")
            upstream.cut()

    async def test_old_visitor_can_not_switch(self) -> None:
        _, _, head = await self.asked(
            self.request("GET / HTTP/1.0", "Connection: upgrade", "Upgrade: websocket")
        )
        self.assertIsNone(head.get("upgrade"))

    async def test_switch_that_nobody_asked_for(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(SWITCHING)
        self.assertEqual((await read_answer(visitor))[0].status, 502)
        self.assertEqual(await upstream.ended(), CUT)

    async def test_switch_in_the_middle_of_the_request(self) -> None:
        visitor, upstream, _ = await self.asked_to_switch(
            "Connection: upgrade", "Upgrade: x", "Content-Length: 10", early=b"some"
        )
        await upstream.read(4)
        upstream.send(SWITCHING)
        self.assertEqual((await read_answer(visitor))[0].status, 502)
        self.assertEqual(await upstream.ended(), CUT)

    async def test_switch_after_a_body(self) -> None:
        visitor, upstream, _ = await self.asked_to_switch(
            "Connection: upgrade", "Upgrade: x", "Content-Length: 4", early=b"bodyearly"
        )
        self.assertEqual(await upstream.read(4), b"body")
        upstream.send(SWITCHING)
        self.assertEqual((await read_head(visitor)).status, 101)
        self.assertEqual(await upstream.read(5), b"early")

    async def test_visitor_closes(self) -> None:
        visitor, upstream = await self.switched()
        visitor.send(b"last")
        visitor.close()
        self.assertEqual(await upstream.read_to_end(), b"last")
        self.assertEqual(upstream.end, FINISHED)

    async def test_visitor_is_cut(self) -> None:
        visitor, upstream = await self.switched()
        visitor.cut()
        self.assertEqual(await upstream.ended(), CUT)

    async def test_upstream_closes(self) -> None:
        visitor, upstream = await self.switched()
        upstream.send(b"last")
        upstream.close()
        self.assertEqual(await visitor.read_to_end(), b"last")
        self.assertEqual(visitor.end, FINISHED)

    async def test_upstream_is_cut(self) -> None:
        visitor, upstream = await self.switched()
        upstream.cut()
        self.assertEqual(await visitor.ended(), CUT)

    async def test_link_is_lost(self) -> None:
        visitor, upstream = await self.switched()
        self.tunnel.lose()
        self.assertEqual(await visitor.ended(), CUT)
        self.assertEqual(await upstream.ended(), CUT)

    async def test_neither_time_nor_silence_ends_it(self) -> None:
        visitor, upstream = await self.switched()
        self.edge.sweep(100_000)
        upstream.send(b"still here")
        self.assertEqual(await visitor.read(10), b"still here")

    async def test_slow_reader_holds_its_writer_up(self) -> None:
        """And what was held up comes whole."""
        for slow, fast in ((0, 1), (1, 0)):
            ends = await self.switched()
            ends[slow].pause()
            content = bytes(range(256)) * 80_000
            ends[fast].send(content)
            await ends[fast].until_stuck()
            ends[slow].resume()
            self.assertEqual(await ends[slow].read(len(content)), content)
            ends[0].cut()
            await self.until_visitors(0)

    async def test_bytes_held_up_before_the_switch(self) -> None:
        """A visitor that was told to wait with further requests is read on."""
        visitor, upstream, _ = await self.asked_to_switch(early=b"e" * 200_000)
        upstream.send(SWITCHING)
        await read_head(visitor)
        visitor.send(b"end")
        self.assertEqual(await upstream.read(200_003), b"e" * 200_000 + b"end")

    async def test_draining_leaves_it_alone(self) -> None:
        visitor, upstream = await self.switched()
        self.edge.site.drain()
        self.assertEqual(self.edge.site.busy, 1)
        visitor.send(b"on")
        self.assertEqual(await upstream.read(2), b"on")


class UpgradeWithHalfCloseTests(UpgradeTests):
    """What only the native protocol can carry."""

    async def test_half_close_of_the_visitor(self) -> None:
        visitor, upstream = await self.switched()
        visitor.finish()
        self.assertEqual(await upstream.ended(), FINISHED)
        upstream.send(b"answer")
        upstream.close()
        self.assertEqual(await visitor.read_to_end(), b"answer")

    async def test_half_close_of_the_upstream(self) -> None:
        visitor, upstream = await self.switched()
        upstream.finish()
        self.assertEqual(await visitor.ended(), FINISHED)
        visitor.send(b"answer")
        visitor.close()
        self.assertEqual(await upstream.read_to_end(), b"answer")


class InletsUpgradeTests(UpgradeTests):
    native = False
