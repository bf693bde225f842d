"""What is no proper HTTP, comes too slowly, or means two things: refused, over real sockets."""

from __future__ import annotations

from tests.edge.tunnels import DOMAIN, TunnelTestCase, ok, read_answer, read_head
from tests.peers import CUT, FINISHED, until

HOST = b"Host: app." + DOMAIN.encode() + b"\r\n"

#: Heads that are refused with 400, each with what is wrong in it.
BROKEN = {
    "length and coding": b"POST / HTTP/1.1\r\n%bContent-Length: 3\r\nTransfer-Encoding:chunked\r\n",
    "coding and length": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\nContent-Length:3\r\n",
    "differing lengths": b"POST / HTTP/1.1\r\n%bContent-Length: 3\r\nContent-Length: 4\r\n",
    "list of lengths": b"POST / HTTP/1.1\r\n%bContent-Length: 3, 3\r\n",
    "signed length": b"POST / HTTP/1.1\r\n%bContent-Length: +3\r\n",
    "negative length": b"POST / HTTP/1.1\r\n%bContent-Length: -3\r\n",
    "hexadecimal length": b"POST / HTTP/1.1\r\n%bContent-Length: 0x3\r\n",
    "length in words": b"POST / HTTP/1.1\r\n%bContent-Length: three\r\n",
    "no length": b"POST / HTTP/1.1\r\n%bContent-Length: \r\n",
    "length with a space": b"POST / HTTP/1.1\r\n%bContent-Length: 1 2\r\n",
    "endless length": b"POST / HTTP/1.1\r\n%bContent-Length: 99999999999999999999\r\n",
    "other digits": "POST / HTTP/1.1\r\n%bContent-Length: ٣\r\n".encode(),
    "gzip": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: gzip, chunked\r\n",
    "chunked twice": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked, chunked\r\n",
    "chunked in two fields": b"POST / HTTP/1.1\r\n%b" + b"Transfer-Encoding: chunked\r\n" * 2,
    "identity": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: identity\r\n",
    "quoted chunked": b'POST / HTTP/1.1\r\n%bTransfer-Encoding: "chunked"\r\n',
    "chunked with a parameter": b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked;a=b\r\n",
    "vertical tab": b"POST / HTTP/1.1\r\n%bTransfer-Encoding:\x0bchunked\r\n",
    "space before a colon": b"POST / HTTP/1.1\r\n%bTransfer-Encoding : chunked\r\n",
    "tab before a colon": b"POST / HTTP/1.1\r\n%bContent-Length\t: 3\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\n%bTransfer-Encoding: chunked\r\n",
    "folded line": b"GET / HTTP/1.1\r\n%bX-A: b\r\n c\r\n",
    "folded first line": b"GET / HTTP/1.1\r\n X-A: b\r\n%b",
    "bare CR": b"GET / HTTP/1.1\r\n%bX-A: b\rX-B: c\r\n",
    "bare LF": b"GET / HTTP/1.1\r\n%bX-A: b\nX-B: c\r\n",
    "bare LF after the line": b"GET / HTTP/1.1\n%b",
    "NUL": b"GET / HTTP/1.1\r\n%bX-A: b\0c\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\n%bX-\0A: b\r\n",
    "escape": b"GET / HTTP/1.1\r\n%bX-A: \x1b[2J\r\n",
    "no colon": b"GET / HTTP/1.1\r\n%bX-A\r\n",
    "no name": b"GET / HTTP/1.1\r\n%b: b\r\n",
    "space in a name": b"GET / HTTP/1.1\r\n%bX A: b\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX-A: b\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\n%bHost: other.example.com\r\n",
    "twice the same Host": b"GET / HTTP/1.1\r\n%b" + HOST,
    "space in Host": b"GET / HTTP/1.1\r\nHost: a b\r\n",
    "path in Host": b"GET / HTTP/1.1\r\nHost: a/b\r\n",
    "user in Host": b"GET / HTTP/1.1\r\nHost: me@a\r\n",
    "list in Host": b"GET / HTTP/1.1\r\nHost: a, b\r\n",
    "port in words": b"GET / HTTP/1.1\r\nHost: a:http\r\n",
    "empty Host": b"GET / HTTP/1.1\r\nHost: \r\n",
    "other host in the target": b"GET http://other.example.com/ HTTP/1.1\r\n%b",
    "no target": b"GET HTTP/1.1\r\n%b",
    "relative target": b"GET a HTTP/1.1\r\n%b",
    "star": b"GET * HTTP/1.1\r\n%b",
    "space in the target": b"GET /a b HTTP/1.1\r\n%b",
    "two spaces": b"GET  / HTTP/1.1\r\n%b",
    "tab in the line": b"GET\t/ HTTP/1.1\r\n%b",
    "space at the end": b"GET / HTTP/1.1 \r\n%b",
    "space at the start": b" GET / HTTP/1.1\r\n%b",
    "no version": b"GET /\r\n%b",
    "odd version": b"GET / HTTP/1.10\r\n%b",
    "version in lower case": b"GET / http/1.1\r\n%b",
    "other protocol": b"GET / FTP/1.1\r\n%b",
    "colon in the method": b"GE:T / HTTP/1.1\r\n%b",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n%b",
}

#: Those that are refused with another status.
OTHERWISE = {
    b"GET / HTTP/2.0\r\n%b": 505,
    b"PRI * HTTP/2.0\r\n": 505,
    b"GET / HTTP/1.2\r\n%b": 505,
    b"CONNECT app.example.com:443 HTTP/1.1\r\nHost: app.example.com:443\r\n": 501,
    b"GET / HTTP/1.1\r\n%bExpect: 200-ok\r\n": 417,
    b"GET / HTTP/1.1\r\n%b" + b"X-A: b\r\n" * 101: 431,
    b"GET / HTTP/1.1\r\n%bX-A: " + b"b" * 66_000 + b"\r\n": 431,
    b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\n%b": 414,
}

#: Bodies in the chunked coding that are none.
BROKEN_CHUNKS = {
    "negative": b"-1\r\n",
    "signed": b"+1\r\na\r\n",
    "0x": b"0x10\r\n",
    "17 digits": b"00000000000000001\r\na\r\n",
    "too large": b"ffffffffffffffff\r\n",
    "empty": b"\r\n",
    "in words": b"one\r\n",
    "space before": b" 1\r\na\r\n",
    "bare LF": b"1\na\r\n",
    "bare LF after the content": b"1\r\na\n",
    "bare CR": b"1\ra\r\n",
    "too long": b"1\r\nab\r\n",
    "NUL in an extension": b"1;\0\r\na\r\n",
    "endless extension": b"1;" + b"a" * 5000,
    "folded trailer": b"0\r\nX-A: b\r\n c\r\n\r\n",
    "trailer without colon": b"0\r\nX-A\r\n\r\n",
    "space before a trailer's colon": b"0\r\nX-A : b\r\n\r\n",
    "endless trailers": b"0\r\n" + b"X-A: b\r\n" * 9000,
}


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
        for what, head in BROKEN.items():
            await self.assert_refused(head.replace(b"%b", HOST) + b"\r\n", 400, what)
        self.assertEqual(self.upstream.accepted, 0)

    async def test_other_statuses(self) -> None:
        for head, status in OTHERWISE.items():
            sent = head.replace(b"%b", HOST) + b"\r\n"
            await self.assert_refused(sent, status, str(sent[:40]))
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
        for what, head in BROKEN.items():
            sent = head.replace(b"%b", HOST) + b"\r\n"
            visitor = await self.visit(sent[:30])
            await self.until_visitors(1)
            visitor.send(sent[30:])
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
