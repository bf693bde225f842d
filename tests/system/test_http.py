"""HTTP from a visitor's socket to an upstream's, through the real programs."""

from __future__ import annotations

import json
import signal

from tests.certificates import self_signed
from tests.edge.tunnels import ok, read_answer, read_head, request
from tests.peers import CUT, FINISHED, Peer, Upstream
from tests.system.whole import WholeTestCase


class HttpTests(WholeTestCase):
    """The usual course of things."""

    async def asked(self, sent: bytes) -> tuple[Peer, Peer]:
        """Send a request; gives the visitor, and the upstream after the request's head."""
        visitor = await self.visit(sent)
        upstream = await self.upstream.connection()
        await read_head(upstream)
        return visitor, upstream

    async def test_one_request_after_the_other(self) -> None:
        """Heads are rewritten once, and connections on both sides carry many requests."""
        await self.start()
        visitor = await self.visit(
            self.request("GET //a/../b%2e?c HTTP/1.1", "X-Forwarded-For: 10.0.0.1", "cOOKIE: d"),
            source="127.0.0.7",
        )
        upstream = await self.upstream.connection()
        head = await read_head(upstream)
        self.assertEqual(head.start, "GET //a/../b%2e?c HTTP/1.1")
        self.assertEqual(head.fields[:2], [("Host", self.host), ("cOOKIE", "d")])
        self.assertEqual(head.get("x-forwarded-for"), "127.0.0.7")
        self.assertEqual(head.get("x-forwarded-port"), str(self.server.data_port))
        upstream.send(ok(b"one", "sERVER: e"))
        answer, body = await read_answer(visitor)
        self.assertEqual((answer.get("server"), body), ("e", b"one"))

        visitor.send(self.request("GET /2 HTTP/1.1") + self.request("GET /3 HTTP/1.1"))
        for number in (2, 3):
            self.assertEqual((await read_head(upstream)).start, f"GET /{number} HTTP/1.1")
            upstream.send(ok(b"%d" % number))
        for number in (2, 3):
            self.assertEqual((await read_answer(visitor))[1], b"%d" % number)
        self.assertEqual(self.upstream.accepted, 1)

        other = await self.visit(self.request())
        await read_head(upstream)
        upstream.send(ok(b"other"))
        self.assertEqual((await read_answer(other))[1], b"other")
        self.assertEqual(self.upstream.accepted, 1)
        await self.until_idle()

    async def test_whatever_a_body_is(self) -> None:
        await self.start()
        visitor, upstream = await self.asked(
            self.request("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Expect: 100-continue")
        )
        upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual((await read_head(visitor)).status, 100)
        upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        self.assertEqual((await read_head(visitor)).status, 103)
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n")
        self.assertEqual((await read_head(visitor)).get("trailer"), "X-A")
        for number in range(20):  # both directions at once, piece by piece
            chunk = b"3\r\n%03d\r\n" % number
            visitor.send(chunk)
            self.assertEqual(await upstream.read(8), chunk)
            upstream.send(chunk)
            self.assertEqual(await visitor.read(8), chunk)
        end = b"0\r\nX-A: b\r\n\r\n"
        visitor.send(end)
        self.assertEqual(await upstream.read(len(end)), end)
        upstream.send(end)
        self.assertEqual(await visitor.read(len(end)), end)

        visitor.send(self.request("GET / HTTP/1.1"))
        await read_head(upstream)
        upstream.send(b"HTTP/1.0 200 OK\r\n\r\nto the end")
        upstream.close()
        await read_head(visitor)
        self.assertEqual(await visitor.read_until(b"0\r\n\r\n"), b"a\r\nto the end\r\n0\r\n\r\n")

        visitor, upstream = await self.asked(self.request("GET / HTTP/1.0"))
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        await read_head(visitor)
        self.assertEqual(await visitor.read_to_end(), b"ok")
        self.assertEqual(visitor.end, FINISHED)
        await self.until_idle()

    async def test_events_and_upgrades(self) -> None:
        await self.start()
        visitor, upstream = await self.asked(self.request("GET /events HTTP/1.1"))
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await read_head(visitor)
        for number in range(10):
            upstream.send(b"data: %d\n\n" % number)
            await visitor.read_until(b"data: %d\n\n" % number)

        talking, other = await self.asked(
            self.request("GET /chat HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")
            + b"early"
        )
        other.send(b"HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
        self.assertEqual((await read_head(talking)).get("upgrade"), "websocket")
        self.assertEqual(await talking.read(2), b"hi")
        self.assertEqual(await other.read(5), b"early")
        for number in range(10):
            talking.send(b"%d" % number)
            self.assertEqual(await other.read(1), b"%d" % number)
            other.send(b"%d" % number)
            self.assertEqual(await talking.read(1), b"%d" % number)
        talking.finish()
        self.assertEqual(await other.ended(), FINISHED)
        other.send(b"bye")
        other.close()
        self.assertEqual(await talking.read_to_end(), b"bye")
        await self.until_idle()

    async def test_somebody_goes(self) -> None:
        await self.start()
        for end in ("close", "cut"):
            visitor, upstream = await self.asked(self.request())
            getattr(visitor, end)()
            self.assertEqual(await upstream.ended(), CUT)

            visitor, upstream = await self.asked(self.request())
            upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            await visitor.read_until(b"half")
            getattr(upstream, end)()
            self.assertEqual(await visitor.ended(), CUT)

            visitor, upstream = await self.asked(
                self.request("POST / HTTP/1.1", "Content-Length: 0")
            )
            getattr(upstream, end)()
            self.assertEqual((await read_answer(visitor))[0].status, 502)

        visitor, upstream = await self.asked(
            self.request("POST / HTTP/1.1", "Content-Length: 30000000")
        )
        upstream.send(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
        upstream.close()
        self.assertEqual((await read_answer(visitor))[1], b"no!")
        visitor.send(bytes(30_000_000) + self.request())
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

        visitor.send(self.request("GET /again HTTP/1.1"))
        await read_head(upstream)
        upstream.close()  # as if it had been closing when the request came
        upstream = await self.upstream.connection()
        self.assertEqual((await read_head(upstream)).start, "GET /again HTTP/1.1")
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        await self.until_idle()

    async def test_https_upstream(self) -> None:
        await self.start(tls=self_signed("localhost"))
        visitor, upstream = await self.asked(
            self.request("POST / HTTP/1.1", "Content-Length: 1000000", body=bytes(1_000_000))
        )
        await upstream.read(1_000_000)
        upstream.send(ok(bytes(2_000_000)))
        self.assertEqual(len((await read_answer(visitor))[1]), 2_000_000)
        await self.until_idle()

    async def test_pages(self) -> None:
        """What is wrong, at each place where something can be."""
        await self.start(response_timeout_seconds=1)
        wish = "Accept: application/json"
        visitor = await self.visit(request("GET / HTTP/1.1", "Host: nobody.tunnel.localhost", wish))
        self.assertEqual(await self.page(visitor, 404), "unknown_tunnel")

        visitor, upstream = await self.asked(self.request("GET / HTTP/1.1", wish))
        self.assertEqual(await self.page(visitor, 504), "upstream_timeout")
        self.assertEqual(await upstream.ended(), CUT)

        await self.upstream.stop()
        visitor = await self.visit(self.request("GET / HTTP/1.1", wish))
        self.assertEqual(await self.page(visitor, 502), "upstream_refused")
        failure = await self.client.event("upstream_failed")
        self.assertIn(str(self.upstream.port), failure["reason"])

        self.assertEqual(await self.client.stop(signal.SIGINT), 0)
        visitor.send(self.request("GET / HTTP/1.1", wish))
        self.assertEqual(await self.page(visitor, 503), "client_away")

    async def page(self, visitor: Peer, status: int) -> str:
        """The word for programs in a page."""
        head, body = await read_answer(visitor)
        self.assertEqual((head.status, head.get("content-type")), (status, "application/json"))
        self.assertEqual(head.get("retry-after"), "5" if status == 503 else None)
        return str(json.loads(body)["error"])

    async def test_client_dies(self) -> None:
        """Whoever waits for it is told or cut at once, and nobody else notices."""
        await self.start()
        neighbour = Upstream(self)
        await self.start_client(neighbour, "--client-id", "neighbour", name="neighbour")
        self.idle = (self.idle[0] + 1, self.idle[1])
        beside = await self.visit(request("GET / HTTP/1.1", "Host: neighbour.tunnel.localhost"))
        upstream = await neighbour.connection()
        await read_head(upstream)
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
        await read_head(beside)

        used, first = await self.asked(self.request())
        reading, second = await self.asked(self.request("POST / HTTP/1.1", "Content-Length: 0"))
        second.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await reading.read_until(b"half")
        waiting, _ = await self.asked(self.request("POST / HTTP/1.1", "Content-Length: 0"))
        sending, _ = await self.asked(self.request("POST / HTTP/1.1", "Content-Length: 9"))
        first.send(ok())
        await read_answer(used)
        used.send(self.request())
        await read_head(first)
        self.client.kill()

        for visitor in (used, waiting, sending):
            head, _ = await read_answer(visitor)
            self.assertEqual((head.status, head.get("retry-after")), (503, "5"))
        self.assertEqual(await reading.ended(), CUT)
        for peer in self.upstream.peers:
            self.assertIsNotNone(await peer.ended())

        upstream.send(b"lf")
        self.assertEqual(await beside.read(4), b"half")

        self.client = await self.start_client(self.upstream)
        visitor, upstream = await self.asked(self.request())
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        for peer in neighbour.peers:
            peer.cut()
        await self.until_idle()
