"""Slow readers hold up their own writers, in bounded memory, and nobody else."""

from __future__ import annotations

from typing import Any, cast

from inletspy.edge import pages
from tests.edge.tunnels import TunnelTestCase, ok, read_answer, read_head, request
from tests.peers import CUT, FINISHED, Peer, until

#: More than the sockets and the tunnel on its way can hold together.
BIG = 48 << 20


class FlowTests(TunnelTestCase):
    """Back-pressure from end to end."""

    async def test_visitor_who_reads_nothing(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        visitor.pause()
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % BIG + bytes(BIG))
        await upstream.until_stuck()
        await self.assert_others_go_on()
        self.assertLess(self.held(), BIG // 2)
        visitor.resume()
        await read_head(visitor)
        await until(lambda: len(visitor.received) == BIG, "all there")

    async def test_visitor_who_never_reads_is_cut(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        visitor.pause()
        upstream.send(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(BIG))
        await upstream.until_stuck()
        self.edge.sweep(300)
        self.assertIsNone(upstream.end)
        self.edge.sweep()
        self.assertEqual(await upstream.ended(), CUT)
        visitor.resume()
        self.assertEqual(await visitor.ended(), CUT)

    async def test_upstream_that_reads_nothing(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", f"Content-Length: {BIG}")
        )
        upstream.pause()
        visitor.send(bytes(BIG))
        await visitor.until_stuck()
        await self.assert_others_go_on()
        self.assertLess(self.held(), BIG // 2)
        upstream.resume()
        await upstream.read(BIG)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_upstream_that_never_reads(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", f"Content-Length: {BIG}")
        )
        upstream.pause()
        visitor.send(bytes(BIG))
        await visitor.until_stuck()
        self.edge.sweep(121)
        self.assertEqual((await read_answer(visitor))[0].status, 504)
        upstream.resume()
        self.assertEqual(await upstream.ended(), CUT)

    async def test_upload_that_goes_on_slowly_is_not_late(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", f"Content-Length: {BIG}")
        )
        upstream.pause()
        visitor.send(bytes(BIG))
        for _ in range(4):
            await visitor.until_stuck()
            self.edge.sweep(100)
            upstream.resume()
            await upstream.read(6_000_000)
            upstream.pause()
        self.assertIsNone(visitor.end)
        upstream.resume()
        await upstream.read(BIG - 4 * 6_000_000)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_upstream_that_answers_and_never_reads(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", f"Content-Length: {BIG}")
        )
        upstream.pause()
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        await read_head(visitor)
        visitor.send(bytes(BIG))
        await visitor.until_stuck()
        self.edge.sweep(300)
        self.assertIsNone(visitor.end)
        self.edge.sweep()
        self.assertEqual(await visitor.ended(), CUT)

    async def test_both_directions_at_once(self) -> None:
        """An echo: the answer begins, and goes on, while the request comes."""
        visitor, upstream, _ = await self.asked(
            self.request("POST /echo HTTP/1.1", "Transfer-Encoding: chunked")
        )
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await read_head(visitor)
        for number in range(100):
            chunk = b"400\r\n" + bytes([number]) * 1024 + b"\r\n"
            visitor.send(chunk)
            self.assertEqual(await upstream.read(len(chunk)), chunk)
            upstream.send(chunk)
            self.assertEqual(await visitor.read(len(chunk)), chunk)
        visitor.send(b"0\r\n\r\n")
        self.assertEqual(await upstream.read(5), b"0\r\n\r\n")
        upstream.send(b"0\r\n\r\n")
        self.assertEqual(await visitor.read(5), b"0\r\n\r\n")
        visitor.send(self.request())
        await read_head(upstream)

    async def test_next_upload_after_one_that_was_stuck(self) -> None:
        """Nothing of the first, given up, holds up or lets loose the second."""
        visitor, first, _ = await self.asked(
            self.request("POST / HTTP/1.1", f"Content-Length: {BIG}")
        )
        first.pause()
        visitor.send(bytes(BIG))
        await visitor.until_stuck()
        first.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.assertEqual((await read_head(visitor)).status, 413)
        visitor.send(self.request("POST / HTTP/1.1", f"Content-Length: {BIG}"))
        second = await self.upstream.connection()
        await read_head(second)
        second.pause()
        visitor.send(bytes(BIG))
        await visitor.until_stuck()
        first.cut()
        await first.gone
        await self.assert_others_go_on()
        self.assertLess(self.held(), BIG // 2)
        second.resume()
        await second.read(BIG)

    def held(self) -> int:
        """Bytes that the tunnel holds back, at both of its ends."""
        return sum(stream.queued + stream.unconsumed for stream in self.tunnel.streams())

    async def assert_others_go_on(self) -> None:
        other, upstream, _ = await self.asked(self.request("GET /other HTTP/1.1"))
        upstream.send(ok())
        self.assertEqual((await read_answer(other))[1], b"ok")
        other.close()


class InletsFlowTests(FlowTests):
    native = False


class FloodTests(TunnelTestCase):
    """Requests that never meet a tunnel."""

    async def test_flood_of_requests_whose_answers_nobody_reads(self) -> None:
        """Our own pages must not pile up either; they all come once they are read."""
        many = 40_000
        fields = ("Host: nobody", "Accept: application/json", f"X-Fill: {'x' * 500}")
        visitor = await self.visit()
        visitor.pause()
        visitor.send(request("GET / HTTP/1.1", *fields) * many)
        await visitor.until_stuck()
        (channel,) = self.edge.site.channels
        transport = cast(Any, channel.transport)
        self.assertLess(len(transport.dataBuffer) + transport._tempDataLen, 1 << 20)
        visitor.resume()
        size = len(pages.render(pages.UNKNOWN_HOST, b"json", head_only=False, keep_alive=True))
        await visitor.read(size * many)


class EarlyAnswerTests(TunnelTestCase):
    """Upstreams that answer before the request is over."""

    SIZE = 20 << 20

    async def uploading(self, *fields: str) -> tuple[Peer, Peer]:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", f"Content-Length: {self.SIZE}", *fields)
        )
        visitor.send(bytes(1000))
        await upstream.read(1000)
        return visitor, upstream

    REFUSAL = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n"

    async def test_and_close(self) -> None:
        """The answer comes at once; the rest is read for nobody, and then all goes on."""
        visitor, upstream = await self.uploading()
        upstream.send(self.REFUSAL + b"Connection: close\r\n\r\nno!")
        upstream.close()
        head, body = await read_answer(visitor)
        self.assertEqual((head.status, body), (413, b"no!"))
        visitor.send(bytes(self.SIZE - 1000) + self.request())
        again = await self.upstream.connection()
        await read_head(again)
        again.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_and_close_without_saying_so(self) -> None:
        visitor, upstream = await self.uploading()
        upstream.send(self.REFUSAL + b"\r\nno!")
        self.assertEqual((await read_answer(visitor))[1], b"no!")
        upstream.cut()
        visitor.send(bytes(self.SIZE - 1000) + self.request())
        again = await self.upstream.connection()
        await read_head(again)
        again.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_and_read_on(self) -> None:
        visitor, upstream = await self.uploading()
        upstream.send(self.REFUSAL + b"\r\nno!")
        self.assertEqual((await read_answer(visitor))[1], b"no!")
        visitor.send(bytes(self.SIZE - 1000) + self.request())
        await upstream.read(self.SIZE - 1000)
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        self.assertEqual(self.upstream.accepted, 1)

    async def test_without_a_length(self) -> None:
        visitor, upstream = await self.uploading()
        upstream.send(b"HTTP/1.1 413 Too Large\r\n\r\nno!")
        upstream.close()
        await read_head(visitor)
        self.assertEqual(await visitor.read_until(b"0\r\n\r\n"), b"3\r\nno!\r\n0\r\n\r\n")

    async def test_to_a_visitor_that_closes(self) -> None:
        """The end of the answer does not wait for the end of the upload."""
        visitor, upstream = await self.uploading("Connection: close")
        upstream.send(self.REFUSAL + b"Connection: close\r\n\r\nno!")
        upstream.close()
        head, body = await read_answer(visitor)
        self.assertEqual((head.get("connection"), body), ("close", b"no!"))
        self.assertEqual(await visitor.ended(), FINISHED)
        visitor.send(bytes(self.SIZE - 1000))
        await self.until_visitors(0)

    async def test_to_a_visitor_that_sends_no_more(self) -> None:
        visitor, upstream = await self.uploading()
        upstream.send(self.REFUSAL + b"Connection: close\r\n\r\nno!")
        await read_answer(visitor)
        self.edge.sweep(5)
        self.assertIsNone(visitor.end)
        self.edge.sweep()
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_to_a_visitor_that_breaks_the_rest(self) -> None:
        """There is one answer to one request, whatever follows."""
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=b"1\r\na\r\n")
        )
        upstream.send(self.REFUSAL + b"Connection: close\r\n\r\nno!")
        await read_answer(visitor)
        visitor.send(b"nonsense\r\n")
        self.assertEqual(await visitor.read_to_end(), b"")
        self.assertEqual(visitor.end, FINISHED)

    async def test_to_which_the_upstream_adds_what_it_must_not(self) -> None:
        """The answer is whole by then, and the visitor keeps its connection."""
        visitor, upstream = await self.uploading()
        upstream.send(self.REFUSAL + b"\r\nno!")
        self.assertEqual((await read_answer(visitor))[1], b"no!")
        upstream.send(b"and another thing")
        self.assertEqual(await upstream.ended(), CUT)
        visitor.send(bytes(self.SIZE - 1000) + self.request())
        again = await self.upstream.connection()
        await read_head(again)
        again.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_before_the_first_byte(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", f"Content-Length: {self.SIZE}")
        )
        upstream.send(self.REFUSAL + b"Connection: close\r\n\r\nno!")
        upstream.close()
        self.assertEqual((await read_answer(visitor))[1], b"no!")
