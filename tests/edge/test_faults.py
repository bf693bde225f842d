"""What is no proper HTTP, comes too slowly, or means two things: refused, over real sockets."""

from __future__ import annotations

from tests.edge.faults import BROKEN_CHUNKS, BROKEN_HEADS, OTHERWISE
from tests.edge.tunnels import TunnelTestCase, ok, read_answer, read_head
from tests.peers import CUT, FINISHED, until


class BrokenHeadTests(TunnelTestCase):
    """Each is answered with what is wrong, and the connection closed after it."""

    async def assert_refused(self, sent: bytes, status: int, what: str) -> None:
        follow_up = self.request("GET /smuggled HTTP/1.1")
        visitor = await self.visit(sent + follow_up)
        head, body = await read_answer(visitor)
        self.assertEqual((what, head.status), (what, status))
        self.assertEqual(head.get("connection"), "close")
        self.assertIn(b"Reason: ", body)
        self.assertEqual((what, await visitor.read_to_end()), (what, b""))
        self.assertEqual(visitor.end, FINISHED)
        visitor.close()

    async def test_every_fault(self) -> None:
        for what, head in BROKEN_HEADS.items():
            await self.assert_refused(head, 400, what)
        self.assertEqual(self.upstream.accepted, 0)

    async def test_other_statuses(self) -> None:
        for head, status in OTHERWISE.items():
            await self.assert_refused(head, status, str(head[:40]))
        self.assertEqual(self.upstream.accepted, 0)

    async def test_fault_shows_before_the_end_of_the_head(self) -> None:
        for sent, status in (
            (b"GET / HTTP/1.1\n", 400),
            (b"GET / HTTP/1.1\r\nX-A: \0", 400),
            (b"GET / HTTP/1.1\r\nX-A: " + b"b" * 66_000, 431),
            (b"GET /" + b"a" * 66_000, 414),
        ):
            visitor = await self.visit(sent)
            self.assertEqual((await read_answer(visitor))[0].status, status)
            self.assertEqual(await visitor.ended(), FINISHED)

    async def test_visitor_who_goes_on_sending_is_not_listened_to_for_ever(self) -> None:
        visitor = await self.visit(b"nonsense\r\n\r\n")
        await read_answer(visitor)
        self.assertEqual(await visitor.ended(), FINISHED)
        for _ in range(5):
            visitor.send(b"more")
            self.edge.sweep()
            self.assertEqual(len(self.edge.site.channels), 1)
        visitor.send(b"more")
        self.edge.sweep()
        await self.until_visitors(0)

    async def test_every_fault_in_two_pieces(self) -> None:
        """It makes no difference where a head is cut."""
        for what, head in BROKEN_HEADS.items():
            visitor = await self.visit(head[:30])
            await self.until_visitors(1)
            visitor.send(head[30:])
            self.assertEqual((what, (await read_answer(visitor))[0].status), (what, 400))
            visitor.close()
            await self.until_visitors(0)

    async def test_head_cut_everywhere(self) -> None:
        sent = self.request("GET /cut HTTP/1.1", "X-A: b", "Connection: close")
        for at in range(1, len(sent)):
            visitor = await self.visit(sent[:at])
            await self.until_visitors(1)
            visitor.send(sent[at:])
            upstream = await self.upstream.connection()
            self.assertEqual((await read_head(upstream)).start, "GET /cut HTTP/1.1")
            upstream.send(ok(b"ok", "Connection: close"))
            self.assertEqual((await read_answer(visitor))[1], b"ok")
            visitor.close()
            upstream.close()
            await self.until_visitors(0)

    async def test_head_byte_by_byte(self) -> None:
        visitor = await self.visit()
        for byte in self.request():
            visitor.send(bytes([byte]))
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")


class BrokenBodyTests(TunnelTestCase):
    """Nothing of a broken body passes but what was good before it."""

    async def test_every_fault(self) -> None:
        for what, chunks in BROKEN_CHUNKS.items():
            visitor, upstream, _ = await self.asked(
                self.request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=b"2\r\nok\r\n")
            )
            self.assertEqual(await upstream.read(7), b"2\r\nok\r\n")
            visitor.send(chunks + self.request("GET /smuggled HTTP/1.1"))
            head, _ = await read_answer(visitor)
            self.assertEqual((what, head.status), (what, 400))
            self.assertEqual(head.get("connection"), "close")
            self.assertEqual(await visitor.ended(), FINISHED)
            self.assertEqual((what, await upstream.ended()), (what, CUT))
            self.assertNotIn(b"smuggled", upstream.received)

    async def test_after_the_answer_has_begun(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
        )
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        await visitor.read_until(b"some")
        visitor.send(b"nonsense\r\n")
        self.assertEqual(await visitor.ended(), CUT)
        self.assertEqual(await upstream.ended(), CUT)


class SmugglingTests(TunnelTestCase):
    """Two programs must never disagree on where a request ends."""

    async def test_content_is_content(self) -> None:
        hidden = self.request("GET /hidden HTTP/1.1")
        _, upstream, _ = await self.asked(
            self.request("POST /1 HTTP/1.1", f"Content-Length: {len(hidden)}", body=hidden)
            + self.request("GET /2 HTTP/1.1")
        )
        self.assertEqual(await upstream.read(len(hidden)), hidden)
        upstream.send(ok())
        self.assertEqual((await read_head(upstream)).start, "GET /2 HTTP/1.1")

    async def test_repeated_length_is_sent_once(self) -> None:
        _, upstream, head = await self.asked(
            self.request("POST / HTTP/1.1", "Content-Length: 2", "content-length: 2", body=b"ab")
        )
        self.assertEqual(head.all("content-length"), ["2"])
        self.assertEqual(await upstream.read(2), b"ab")

    async def test_get_with_a_body(self) -> None:
        visitor, upstream, head = await self.asked(
            self.request("GET / HTTP/1.1", "Content-Length: 2", body=b"ab")
        )
        self.assertEqual(head.get("content-length"), "2")
        self.assertEqual(await upstream.read(2), b"ab")
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_letter_case_of_the_coding(self) -> None:
        """Where it passes, it is framing for both sides."""
        _, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", "TRANSFER-encoding: ChUnKeD", body=b"0\r\n\r\n")
        )
        self.assertEqual(await upstream.read(5), b"0\r\n\r\n")

    async def test_connection_can_not_hide_framing(self) -> None:
        _, upstream, head = await self.asked(
            self.request(
                "POST / HTTP/1.1",
                "Connection: close, Transfer-Encoding",
                "Transfer-Encoding: chunked",
                body=b"0\r\n\r\n",
            )
        )
        self.assertEqual(head.get("transfer-encoding"), "chunked")
        self.assertEqual(await upstream.read(5), b"0\r\n\r\n")


class SlowVisitorTests(TunnelTestCase):
    """Visitors who take their time."""

    async def until_read(self, size: int) -> None:
        """Wait until so much of a head has come."""
        await until(
            lambda: [len(channel._buffer) for channel in self.edge.site.channels] == [size],
            "told that much",
        )

    async def test_head_must_come_in_time(self) -> None:
        """One byte a second is not enough to keep a connection."""
        visitor = await self.visit()
        for byte in range(10):
            visitor.send(self.request()[byte : byte + 1])
            await self.until_read(byte + 1)
            self.edge.sweep()
            self.assertEqual(bytes(visitor.received), b"")
        self.edge.sweep()
        head, _ = await read_answer(visitor)
        self.assertEqual((head.status, head.get("connection")), (408, "close"))
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_time_begins_anew_with_each_request(self) -> None:
        visitor = await self.visit()
        sent = self.request()
        for _ in range(3):
            visitor.send(sent[:5])
            await self.until_read(5)
            self.edge.sweep(9)
            visitor.send(sent[5:])
            upstream = await self.upstream.connection()
            await read_head(upstream)
            upstream.send(ok(b"ok", "Connection: close"))
            upstream.close()
            self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_body_must_go_on(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", "Content-Length: 10", body=b"a")
        )
        self.edge.sweep(60)
        visitor.send(b"b")
        self.assertEqual(await upstream.read(2), b"ab")
        self.edge.sweep(60)
        self.assertIsNone(visitor.end)
        self.edge.sweep()
        head, _ = await read_answer(visitor)
        self.assertEqual((head.status, head.get("connection")), (408, "close"))
        self.assertEqual(await upstream.ended(), CUT)

    async def test_body_that_stops_within_the_answer(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", "Content-Length: 10", body=b"a")
        )
        upstream.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
        await visitor.read_until(b"some")
        self.edge.sweep(61)
        self.assertEqual(await visitor.ended(), CUT)
        self.assertEqual(await upstream.ended(), CUT)

    async def test_body_for_nobody_that_does_not_end(self) -> None:
        """However busily it comes, it is not read for ever."""
        visitor = await self.visit(
            b"POST / HTTP/1.1\r\nHost: unknown\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self.assertEqual((await read_answer(visitor))[0].status, 404)
        (channel,) = self.edge.site.channels
        for _ in range(31):
            self.assertFalse(channel.closing)
            channel._quiet = 1
            visitor.send(b"1\r\nx\r\n")
            await until(lambda: channel._quiet == 0, "told so")
            self.edge.sweep()
        self.assertIn(await visitor.ended(), (CUT, FINISHED))

    async def test_who_waits_to_go_on_is_not_late(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", "Content-Length: 10", "Expect: 100-continue")
        )
        self.edge.sweep(100)
        upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await read_head(visitor)
        self.edge.sweep(60)
        visitor.send(bytes(10))
        await upstream.read(10)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_upstream_that_leaves_a_visitor_waiting_is(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", "Content-Length: 10", "Expect: 100-continue")
        )
        self.edge.sweep(121)
        head, _ = await read_answer(visitor)
        self.assertEqual((head.status, head.get("connection")), (504, "close"))
        self.assertEqual(await upstream.ended(), CUT)
