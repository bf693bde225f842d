"""Connections on both sides: kept, used again, broken, and given up."""

from __future__ import annotations

import json
import socket
from typing import Any, cast

from tests.edge.tunnels import TunnelTestCase, ok, read_answer, read_head
from tests.peers import CUT, FINISHED, Peer, until


class KeepAliveTests(TunnelTestCase):
    """Which connections carry further requests."""

    async def exchange(self, visitor: Peer, upstream: Peer, line: str = "GET / HTTP/1.1") -> None:
        visitor.send(self.request(line))
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_one_connection_each_for_many_requests(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        for _ in range(20):
            await self.exchange(visitor, upstream)
        self.assertEqual(self.upstream.accepted, 1)

    async def test_visitors_share_connections(self) -> None:
        first, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(first)
        await self.exchange(await self.visit(), upstream)
        self.assertEqual(self.upstream.accepted, 1)

    async def test_a_connection_carries_one_request_at_a_time(self) -> None:
        _, first, _ = await self.asked(self.request("GET /1 HTTP/1.1"))
        _, second, head = await self.asked(self.request("GET /2 HTTP/1.1"))
        self.assertEqual(head.start, "GET /2 HTTP/1.1")
        self.assertEqual(self.upstream.accepted, 2)
        self.assertIsNot(first, second)

    async def test_upstream_that_closes(self) -> None:
        for answer in (
            ok(b"ok", "Connection: close"),
            ok().replace(b"HTTP/1.1", b"HTTP/1.0"),
        ):
            visitor, upstream, _ = await self.asked(self.request())
            upstream.send(answer)
            self.assertEqual((await read_answer(visitor))[1], b"ok")
            self.assertEqual(await upstream.ended(), FINISHED)
            upstream.close()
            visitor.send(self.request())
            upstream = await self.upstream.connection()
            await self.answered(visitor, upstream)
            upstream.cut()

    async def answered(self, visitor: Peer, upstream: Peer) -> None:
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_old_upstream_that_keeps_its_connection(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok(b"ok", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"))
        await read_answer(visitor)
        await self.exchange(visitor, upstream)
        self.assertEqual(self.upstream.accepted, 1)

    async def test_idle_upstream_connection_is_closed_after_some_seconds(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        self.edge.sweep(4)
        await self.exchange(visitor, upstream)
        self.edge.sweep(5)
        self.assertEqual(await upstream.ended(), FINISHED)

    async def test_idle_upstream_connection_that_closes_is_not_used(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        upstream.close()
        await until(lambda: not self.tunnel.streams(), "told of the end")
        visitor.send(self.request("POST / HTTP/1.1", "Content-Length: 0"))
        await self.answered(visitor, await self.upstream.connection())

    async def test_idle_upstream_connection_that_talks_is_not_used(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        upstream.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(await upstream.ended(), CUT)
        visitor.send(self.request())
        await self.answered(visitor, await self.upstream.connection())

    async def test_bytes_after_the_answer_poison_nothing(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok() + ok(b"evil"))
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        await upstream.ended()
        visitor.send(self.request())
        await self.answered(visitor, await self.upstream.connection())

    async def test_idle_visitor_is_closed(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        self.edge.sweep(75)
        self.assertIsNone(visitor.end)
        self.edge.sweep()
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_visitor_who_says_nothing_is_closed(self) -> None:
        visitor = await self.visit()
        await self.until_visitors(1)
        self.edge.sweep(76)
        self.assertEqual(await visitor.read_to_end(), b"")
        self.assertEqual(visitor.end, FINISHED)

    async def test_one_empty_line_before_a_request(self) -> None:
        visitor, upstream, _ = await self.asked(b"\r\n" + self.request())
        upstream.send(ok())
        await read_answer(visitor)
        visitor.send(b"\r")
        visitor.send(b"\n")
        await self.exchange(visitor, upstream)

    async def test_two_empty_lines_are_no_request(self) -> None:
        visitor = await self.visit(b"\r\n\r\n" + self.request())
        self.assertEqual((await read_answer(visitor))[0].status, 400)
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_close_reaches_a_visitor_who_is_slow_at_the_end(self) -> None:
        """What waits to be read when the answer ends is still sent, and then the end."""
        content = bytes(50_000)
        visitor = await self.visit()
        visitor.pause()
        await self.until_visitors(1)
        (channel,) = self.edge.site.channels
        transport = cast(Any, channel.transport)
        transport.bufferSize = 1000
        for end in (transport, cast(Any, visitor.transport)):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.getHandle().setsockopt(socket.SOL_SOCKET, option, 4096)
        visitor.send(self.request("GET / HTTP/1.1", "Connection: close"))
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(ok(content))
        await until(lambda: not channel.busy and channel.closing, "at the answer's end")
        visitor.resume()
        self.assertEqual((await read_answer(visitor))[1], content)
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_draining(self) -> None:
        idle = await self.visit()
        busy, upstream, _ = await self.asked(self.request())
        await self.until_visitors(2)
        self.assertEqual(self.edge.site.busy, 1)
        self.edge.site.drain()
        self.assertEqual(await idle.ended(), FINISHED)
        upstream.send(ok())
        head, _ = await read_answer(busy)
        self.assertEqual(head.get("connection"), "close")
        self.assertEqual(await busy.ended(), FINISHED)
        self.assertEqual(self.edge.site.busy, 0)


class PipeliningTests(TunnelTestCase):
    """Requests sent before the answers to those before them."""

    async def test_answers_come_in_order(self) -> None:
        visitor = await self.visit(
            b"".join(self.request(f"GET /{number} HTTP/1.1") for number in range(50))
        )
        upstream = await self.upstream.connection()
        for number in range(50):
            self.assertEqual((await read_head(upstream)).start, f"GET /{number} HTTP/1.1")
            upstream.send(ok(b"%d" % number))
        for number in range(50):
            self.assertEqual((await read_answer(visitor))[1], b"%d" % number)
        self.assertEqual(self.upstream.accepted, 1)

    async def test_next_request_waits_for_the_answer(self) -> None:
        visitor, upstream, _ = await self.asked(self.request("GET /1 HTTP/1.1") * 2)
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await visitor.read_until(b"\r\n\r\no")
        self.assertEqual(bytes(upstream.received), b"")
        upstream.send(b"k")
        await read_head(upstream)
        upstream.send(ok())

    async def test_more_than_is_read_ahead(self) -> None:
        """A flood of requests is left in the socket, and answered in the end."""
        many = 3000
        visitor = await self.visit(self.request("GET / HTTP/1.1", f"X-Fill: {'x' * 400}") * many)
        upstream = await self.upstream.connection()
        for _ in range(many):
            await read_head(upstream)
            upstream.send(ok())
        for _ in range(many):
            self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_nothing_after_a_request_that_closes(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("GET /1 HTTP/1.1", "Connection: close") + self.request("GET /2 HTTP/1.1")
        )
        upstream.send(ok())
        await read_answer(visitor)
        self.assertEqual(await visitor.read_to_end(), b"")
        self.assertEqual(bytes(upstream.received), b"")

    async def test_broken_request_after_a_good_one(self) -> None:
        visitor, upstream, _ = await self.asked(self.request() + b"nonsense\r\n\r\n")
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        self.assertEqual((await read_answer(visitor))[0].status, 400)
        self.assertEqual(await visitor.ended(), FINISHED)


class RetryTests(TunnelTestCase):
    """Requests whose connection was ending just as they were sent."""

    async def used(self) -> tuple[Peer, Peer]:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        return visitor, upstream

    async def test_idempotent_request_is_repeated(self) -> None:
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"):
            for end in ("close", "cut"):
                visitor, upstream = await self.used()
                visitor.send(self.request(f"{method} /again HTTP/1.1"))
                await read_head(upstream)
                getattr(upstream, end)()
                upstream = await self.upstream.connection()
                self.assertEqual((await read_head(upstream)).start, f"{method} /again HTTP/1.1")
                upstream.send(b"HTTP/1.1 204 No Content\r\n\r\n")
                self.assertEqual((await read_head(visitor)).status, 204)
                upstream.cut()

    async def test_other_requests_are_not(self) -> None:
        for line in ("POST / HTTP/1.1", "PATCH / HTTP/1.1", "get / HTTP/1.1"):
            visitor, upstream = await self.used()
            visitor.send(self.request(line, "Accept: application/json"))
            await read_head(upstream)
            upstream.close()
            head, body = await read_answer(visitor)
            self.assertEqual(head.status, 502)
            self.assertEqual(json.loads(body)["error"], "upstream_broken")

    async def test_request_with_a_body_is_not(self) -> None:
        visitor, upstream = await self.used()
        visitor.send(self.request("PUT / HTTP/1.1", "Content-Length: 1", body=b"x"))
        await upstream.read_until(b"\r\n\r\nx")
        upstream.close()
        self.assertEqual((await read_answer(visitor))[0].status, 502)

    async def test_request_on_a_new_connection_is_not(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.close()
        self.assertEqual((await read_answer(visitor))[0].status, 502)
        self.assertEqual(self.upstream.accepted, 1)

    async def test_request_that_was_answered_in_part_is_not(self) -> None:
        visitor, upstream = await self.used()
        visitor.send(self.request())
        await read_head(upstream)
        upstream.send(b"H")
        upstream.close()
        self.assertEqual((await read_answer(visitor))[0].status, 502)
        self.assertEqual(self.upstream.accepted, 1)

    async def test_post_takes_no_connection_that_was_idle_for_long(self) -> None:
        visitor, upstream = await self.used()
        self.edge.sweep()
        visitor.send(self.request("POST / HTTP/1.1", "Content-Length: 0"))
        other = await self.upstream.connection()
        await read_head(other)
        other.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        self.assertEqual(bytes(upstream.received), b"")


class EndTests(TunnelTestCase):
    """Somebody goes in the middle."""

    async def test_visitor_goes_before_the_answer(self) -> None:
        for end in ("close", "cut"):
            visitor, upstream, _ = await self.asked(self.request())
            getattr(visitor, end)()
            self.assertEqual(await upstream.ended(), CUT)

    async def test_visitor_goes_within_the_answer(self) -> None:
        for end in ("close", "cut"):
            visitor, upstream, _ = await self.asked(self.request())
            upstream.send(b"HTTP/1.1 200 OK\r\n\r\ndata")
            await visitor.read_until(b"data")
            getattr(visitor, end)()
            self.assertEqual(await upstream.ended(), CUT)

    async def test_visitor_goes_within_an_upload(self) -> None:
        for end in ("close", "cut"):
            visitor, upstream, _ = await self.asked(
                self.request("POST / HTTP/1.1", "Content-Length: 100", body=b"some")
            )
            await upstream.read(4)
            getattr(visitor, end)()
            self.assertEqual(await upstream.ended(), CUT)

    async def test_visitor_goes_within_a_head(self) -> None:
        visitor = await self.visit(self.request()[:20])
        await self.until_visitors(1)
        visitor.close()
        await self.until_visitors(0)
        self.assertEqual(self.upstream.accepted, 0)

    async def test_upstream_closes_without_an_answer(self) -> None:
        for end in ("close", "cut", "finish"):
            visitor, upstream, _ = await self.asked(
                self.request("GET / HTTP/1.1", "Accept: application/json")
            )
            getattr(upstream, end)()
            head, body = await read_answer(visitor)
            self.assertEqual((head.status, head.get("connection")), (502, None))
            self.assertEqual(json.loads(body)["error"], "upstream_broken")

    async def test_upstream_goes_within_its_answer(self) -> None:
        for start in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        ):
            for end in ("close", "cut"):
                visitor, upstream, _ = await self.asked(self.request())
                upstream.send(start)
                await visitor.read_until(start[-6:])
                getattr(upstream, end)()
                self.assertEqual(await visitor.ended(), CUT)

    async def test_upstream_goes_within_a_chunked_answer_to_an_old_visitor(self) -> None:
        visitor, upstream, _ = await self.asked(self.request("GET / HTTP/1.0"))
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await visitor.read_until(b"half")
        upstream.close()
        self.assertEqual(await visitor.ended(), CUT)

    async def test_upstream_speaks_no_http(self) -> None:
        for nonsense in (
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        ):
            visitor, upstream, _ = await self.asked(
                self.request("GET / HTTP/1.1", "Accept: application/json")
            )
            upstream.send(nonsense)
            head, body = await read_answer(visitor)
            self.assertEqual((head.status, nonsense), (502, nonsense))
            self.assertEqual(json.loads(body)["error"], "upstream_broken")
            self.assertEqual(await upstream.ended(), CUT)

    async def test_upstream_breaks_its_framing(self) -> None:
        for rest in (b"x\r\n", b"-1\r\n", b"0x10\r\n", b"4\r\nhalfX", b"12345678901234567\r\n"):
            visitor, upstream, _ = await self.asked(self.request())
            upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await read_head(visitor)
            upstream.send(rest)
            self.assertEqual(await visitor.ended(), CUT)
            self.assertEqual(await upstream.ended(), CUT)

    async def test_upstream_is_silent(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("GET / HTTP/1.1", "Accept: application/json")
        )
        self.edge.sweep(120)
        self.edge.sweep()
        head, body = await read_answer(visitor)
        self.assertEqual((head.status, json.loads(body)["error"]), (504, "upstream_timeout"))
        self.assertEqual(await upstream.ended(), CUT)
        visitor.send(self.request())
        await read_head(await self.upstream.connection())

    async def test_slow_answer_is_no_silence(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        self.edge.sweep(100)
        upstream.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await read_head(visitor)
        self.edge.sweep(100)
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await read_head(visitor)
        self.edge.sweep(1000)
        upstream.send(b"k")
        self.assertEqual(await visitor.read(2), b"ok")

    async def test_link_is_lost(self) -> None:
        """Whoever waits is told at once, whoever reads is cut."""
        waiting, first, _ = await self.asked(self.request("POST / HTTP/1.1", "Content-Length: 0"))
        reading, second, _ = await self.asked(self.request())
        second.send(b"HTTP/1.1 200 OK\r\n\r\ndata")
        await reading.read_until(b"data")
        self.tunnel.lose()
        head, _ = await read_answer(waiting)
        self.assertEqual((head.status, head.get("retry-after")), (503, "5"))
        self.assertEqual(await reading.ended(), CUT)
        self.assertEqual(await first.ended(), CUT)
        self.assertEqual(await second.ended(), CUT)

    async def test_link_is_lost_with_requests_on_used_connections(self) -> None:
        visitors = []
        for _ in range(5):
            visitor, upstream, _ = await self.asked(self.request())
            visitors.append((visitor, upstream))
        for visitor, upstream in visitors:
            upstream.send(ok())
            await read_answer(visitor)
        for visitor, _ in visitors[:3]:
            visitor.send(self.request())
        for _, upstream in visitors[2:]:
            await read_head(upstream)
        self.tunnel.lose()
        for visitor, _ in visitors[:3]:
            self.assertEqual((await read_answer(visitor))[0].status, 503)
