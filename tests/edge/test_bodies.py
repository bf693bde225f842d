"""Messages pass whole, whatever frames them, through both wire protocols."""

from __future__ import annotations

from tests.edge.tunnels import TunnelTestCase, ok, read_answer, read_head
from tests.peers import CUT, FINISHED, Peer

CHUNKS = b"4\r\nwiki\r\n6;name=value\r\npedia \r\n0\r\n"
TRAILERS = b"Expires: never\r\nX-Sum: 42\r\n\r\n"


class RequestBodies(TunnelTestCase):
    """What visitors send."""

    async def test_sized(self) -> None:
        sent = self.request("POST /a HTTP/1.1", "Content-Length: 5", body=b"hello")
        visitor, upstream, head = await self.asked(sent)
        self.assertEqual(head.get("content-length"), "5")
        self.assertEqual(await upstream.read(5), b"hello")
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_sized_in_pieces(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST /a HTTP/1.1", "Content-Length: 5", body=b"h")
        )
        self.assertEqual(await upstream.read(1), b"h")
        visitor.send(b"el")
        self.assertEqual(await upstream.read(2), b"el")
        visitor.send(b"lo")
        self.assertEqual(await upstream.read(2), b"lo")
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_empty(self) -> None:
        sent = self.request("POST /a HTTP/1.1", "Content-Length: 0")
        visitor, upstream, head = await self.asked(sent)
        self.assertEqual(head.get("content-length"), "0")
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_chunked_with_extensions_and_trailers(self) -> None:
        sent = self.request(
            "POST /a HTTP/1.1",
            "Transfer-Encoding: chunked",
            "Trailer: Expires",
            body=CHUNKS + TRAILERS,
        )
        visitor, upstream, head = await self.asked(sent)
        self.assertEqual(head.get("transfer-encoding"), "chunked")
        self.assertEqual(head.get("trailer"), "Expires")
        self.assertEqual(await upstream.read_until(b"\r\n\r\n"), CHUNKS + TRAILERS)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_chunked_byte_by_byte(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST /a HTTP/1.1", "Transfer-Encoding: chunked")
        )
        whole = CHUNKS + TRAILERS
        for at in range(len(whole)):
            visitor.send(whole[at : at + 1])
            self.assertEqual(await upstream.read(1), whole[at : at + 1])
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_next_request_in_the_same_piece(self) -> None:
        first = self.request(
            "POST /1 HTTP/1.1", "Transfer-Encoding: chunked", body=CHUNKS + b"\r\n"
        )
        second = self.request("PUT /2 HTTP/1.1", "Content-Length: 3", body=b"two")
        visitor, upstream, _ = await self.asked(first + second + self.request("GET /3 HTTP/1.1"))
        await upstream.read_until(b"0\r\n\r\n")
        upstream.send(ok(b"one"))
        self.assertEqual((await read_head(upstream)).start, "PUT /2 HTTP/1.1")
        self.assertEqual(await upstream.read(3), b"two")
        upstream.send(ok(b"two"))
        self.assertEqual((await read_head(upstream)).start, "GET /3 HTTP/1.1")
        upstream.send(ok(b"three"))
        for content in (b"one", b"two", b"three"):
            self.assertEqual((await read_answer(visitor))[1], content)


class InletsRequestBodies(RequestBodies):
    native = False


class ResponseBodies(TunnelTestCase):
    """What upstreams answer."""

    async def test_sized_in_pieces(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        upstream.send(b"ngth: 6\r\n\r\n")
        self.assertEqual((await read_head(visitor)).get("content-length"), "6")
        for letter in (b"a", b"b", b"c", b"d", b"e", b"f"):
            upstream.send(letter)
            self.assertEqual(await visitor.read(1), letter)
        await self.assert_goes_on(visitor, upstream)

    async def test_chunked_with_trailers(self) -> None:
        visitor, upstream, _ = await self.asked(self.request("GET / HTTP/1.1", "TE: trailers"))
        whole = CHUNKS + TRAILERS
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Expires\r\n\r\n"
        upstream.send(head + whole)
        self.assertEqual(await visitor.read(len(head)), head)
        self.assertEqual(await visitor.read(len(whole)), whole)
        await self.assert_goes_on(visitor, upstream)

    async def test_chunked_byte_by_byte(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS + TRAILERS
        head = len(whole) - len(CHUNKS + TRAILERS)
        for at in range(len(whole)):
            upstream.send(whole[at : at + 1])
            if at >= head:
                await visitor.read_until(whole[at : at + 1])
        await self.assert_goes_on(visitor, upstream)

    async def test_close_delimited(self) -> None:
        """An HTTP/1.1 visitor gets it in chunks, and can ask again."""
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nfirst")
        head = await read_head(visitor)
        self.assertEqual(head.get("transfer-encoding"), "chunked")
        self.assertIsNone(head.get("connection"))
        self.assertEqual(await visitor.read_until(b"first\r\n"), b"5\r\nfirst\r\n")
        upstream.send(b"second")
        self.assertEqual(await visitor.read_until(b"second\r\n"), b"6\r\nsecond\r\n")
        upstream.close()
        self.assertEqual(await visitor.read_until(b"\r\n\r\n"), b"0\r\n\r\n")
        visitor.send(self.request())
        again = await self.upstream.connection()
        await read_head(again)
        again.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_close_delimited_and_empty(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        upstream.close()
        await read_head(visitor)
        self.assertEqual(await visitor.read_until(b"\r\n\r\n"), b"0\r\n\r\n")

    async def test_close_delimited_from_an_old_upstream_to_an_old_visitor(self) -> None:
        visitor, upstream, head = await self.asked(self.request("GET / HTTP/1.0"))
        self.assertEqual(head.start, "GET / HTTP/1.1")
        content = bytes(range(256)) * 4000
        upstream.send(b"HTTP/1.0 200 Fine\r\nX-A: b\r\n\r\n" + content)
        upstream.close()
        answer = await read_head(visitor)
        self.assertEqual(answer.start, "HTTP/1.1 200 Fine")
        self.assertIsNone(answer.get("transfer-encoding"))
        self.assertEqual(answer.get("connection"), "close")
        self.assertEqual(await visitor.read_to_end(), content)
        self.assertEqual(visitor.end, FINISHED)

    async def test_cut_instead_of_closed(self) -> None:
        """A reset is no end: the visitor must see that something may be missing."""
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await visitor.read_until(b"half\r\n")
        upstream.cut()
        self.assertEqual(await visitor.ended(), CUT)

    async def test_chunked_for_an_old_visitor(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("GET / HTTP/1.0", "Connection: keep-alive")
        )
        upstream.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Expires\r\nX-A: b\r\n\r\n"
            + CHUNKS
            + TRAILERS
        )
        head = await read_head(visitor)
        self.assertEqual(head.fields, [("X-A", "b"), ("Connection", "close")])
        self.assertEqual(await visitor.read_to_end(), b"wikipedia ")
        self.assertEqual(visitor.end, FINISHED)

    async def test_old_visitor_keeps_its_connection(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("GET / HTTP/1.0", "Connection: keep-alive")
        )
        upstream.send(ok())
        head, _ = await read_answer(visitor)
        self.assertEqual(head.get("connection"), "keep-alive")
        visitor.send(self.request("GET /2 HTTP/1.0"))
        await read_head(upstream)
        upstream.send(ok(b"last"))
        head, body = await read_answer(visitor)
        self.assertEqual((head.get("connection"), body), ("close", b"last"))
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_old_visitor_gets_no_informational_answer(self) -> None:
        visitor, upstream, _ = await self.asked(self.request("GET / HTTP/1.0"))
        upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + ok())
        self.assertEqual((await read_head(visitor)).status, 200)

    async def test_head(self) -> None:
        for fields in (
            b"Content-Length: 1000\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"",
        ):
            visitor, upstream, _ = await self.asked(self.request("HEAD / HTTP/1.1"))
            answer = b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n"
            upstream.send(answer)
            self.assertEqual(await visitor.read_until(b"\r\n\r\n"), answer)
            await self.assert_goes_on(visitor, upstream)
            upstream.close()

    async def test_no_content_and_not_modified(self) -> None:
        for status in (b"204 No Content", b'304 Not Modified\r\nETag: "a"'):
            visitor, upstream, _ = await self.asked(self.request())
            upstream.send(b"HTTP/1.1 " + status + b"\r\n\r\n")
            self.assertEqual(
                await visitor.read_until(b"\r\n\r\n"), b"HTTP/1.1 " + status + b"\r\n\r\n"
            )
            await self.assert_goes_on(visitor, upstream)
            upstream.close()

    async def test_informational(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        for head in (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
            b"HTTP/1.1 102 Processing\r\n\r\n",
        ):
            upstream.send(head)
            self.assertEqual(await visitor.read_until(b"\r\n\r\n"), head)
        await self.assert_answers(visitor, upstream)

    async def test_several_heads_in_one_piece(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
        upstream.send(early + ok(b"done"))
        self.assertEqual(await visitor.read(len(early)), early)
        self.assertEqual((await read_answer(visitor))[1], b"done")

    async def test_events_one_by_one(self) -> None:
        """Each event is there before the next is sent."""
        visitor, upstream, _ = await self.asked(self.request("GET /events HTTP/1.1"))
        upstream.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        await read_head(visitor)
        for number in range(10):
            event = b"data: %d\n\n" % number
            sent = b"%x\r\n%b\r\n" % (len(event), event)
            upstream.send(sent)
            self.assertEqual(await visitor.read(len(sent)), sent)

    async def assert_answers(self, visitor: Peer, upstream: Peer) -> None:
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def assert_goes_on(self, visitor: Peer, upstream: Peer) -> None:
        """Both connections are good for another request."""
        visitor.send(self.request("GET /again HTTP/1.1"))
        self.assertEqual((await read_head(upstream)).start, "GET /again HTTP/1.1")
        await self.assert_answers(visitor, upstream)


class InletsResponseBodies(ResponseBodies):
    native = False


class Expectations(TunnelTestCase):
    """Expect: 100-continue."""

    EXPECTING = ("POST / HTTP/1.1", "Content-Length: 4", "Expect: 100-continue")

    async def test_continue(self) -> None:
        visitor, upstream, head = await self.asked(self.request(*self.EXPECTING))
        self.assertEqual(head.get("expect"), "100-continue")
        self.assertEqual(bytes(upstream.received), b"")
        upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual((await read_head(visitor)).status, 100)
        visitor.send(b"body")
        self.assertEqual(await upstream.read(4), b"body")
        upstream.send(ok())
        self.assertEqual((await read_head(visitor)).status, 200)

    async def test_body_without_waiting(self) -> None:
        visitor, upstream, _ = await self.asked(self.request(*self.EXPECTING, body=b"body"))
        self.assertEqual(await upstream.read(4), b"body")
        upstream.send(ok())
        self.assertEqual((await read_head(visitor)).status, 200)

    async def test_refused(self) -> None:
        """A visitor that is told no sends no body, so nothing may be read as one."""
        visitor, upstream, _ = await self.asked(self.request(*self.EXPECTING))
        upstream.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
        head = await read_head(visitor)
        self.assertEqual((head.status, head.get("connection")), (417, "close"))
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_refused_after_a_hint(self) -> None:
        """Only 100 lets the body come; what follows a 103 alone is the next request."""
        visitor, upstream, _ = await self.asked(self.request(*self.EXPECTING))
        upstream.send(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual((await read_head(visitor)).status, 103)
        head = await read_head(visitor)
        self.assertEqual((head.status, head.get("connection")), (417, "close"))
        visitor.send(b"GET /second")
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_refused_by_a_page(self) -> None:
        self.edge.release(self.host, self.tunnel)
        visitor = await self.visit(self.request(*self.EXPECTING))
        head, _ = await read_answer(visitor)
        self.assertEqual((head.status, head.get("connection")), (503, "close"))
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_old_visitor_can_not_expect(self) -> None:
        visitor, upstream, head = await self.asked(
            self.request(
                "POST / HTTP/1.0", "Content-Length: 4", "Expect: 100-continue", body=b"body"
            )
        )
        self.assertIsNone(head.get("expect"))
        self.assertEqual(await upstream.read(4), b"body")
        upstream.send(ok())
        self.assertEqual((await read_head(visitor)).status, 200)

    async def test_other_expectation(self) -> None:
        visitor = await self.visit(self.request("GET / HTTP/1.1", "Expect: the-impossible"))
        head, _ = await read_answer(visitor)
        self.assertEqual(head.status, 417)
        self.assertEqual(await visitor.ended(), FINISHED)
