"""TLS on either side: to visitors, and to upstreams from whichever end speaks it."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from tests.certificates import self_signed
from tests.edge.tunnels import Tunnel, TunnelTestCase, ok, read_answer, read_head
from tests.peers import CLOSED, CUT, FINISHED, Peer, Upstream

CERTIFICATE = self_signed("app.tunnel.localhost")

SWITCH = ("GET / HTTP/1.1", "Connection: upgrade", "Upgrade: websocket")
SWITCHED = b"HTTP/1.1 101 Fine\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


class VisitorTests(TunnelTestCase):
    """Visitors who come in by TLS."""

    trusted = ("app.tunnel.localhost", CERTIFICATE)

    def settings(self) -> dict[str, Any]:
        return {"tls": CERTIFICATE}

    async def test_several_requests(self) -> None:
        visitor, upstream, head = await self.asked(self.request())
        self.assertEqual(head.get("x-forwarded-proto"), "https")
        self.assertEqual(head.get("x-forwarded-for"), "127.0.0.1")
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        visitor.send(self.request("POST / HTTP/1.1", "Content-Length: 4", body=b"body"))
        await upstream.read_until(b"body")
        upstream.send(ok(b"again"))
        self.assertEqual((await read_answer(visitor))[1], b"again")

    async def test_big_answer_and_then_the_end(self) -> None:
        content = bytes(range(256)) * 20_000
        visitor, upstream, _ = await self.asked(self.request("GET / HTTP/1.0"))
        upstream.send(b"HTTP/1.1 200 OK\r\n\r\n" + content)
        upstream.close()
        await read_head(visitor)
        self.assertEqual(await visitor.read_to_end(), content)
        self.assertEqual(visitor.end, CLOSED)

    async def test_broken_answer(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await visitor.read_until(b"half")
        upstream.cut()
        self.assertEqual(await visitor.ended(), CUT)

    async def test_visitor_goes(self) -> None:
        for end in ("close", "cut"):
            visitor, upstream, _ = await self.asked(self.request())
            getattr(visitor, end)()
            self.assertEqual(await upstream.ended(), CUT)

    async def test_refusal(self) -> None:
        visitor = await self.visit(b"nonsense\r\n\r\n")
        self.assertEqual((await read_answer(visitor))[0].status, 400)
        self.assertEqual(await visitor.ended(), CLOSED)

    async def test_early_answer(self) -> None:
        for fields in ((), ("Connection: close",)):
            visitor, upstream, _ = await self.asked(
                self.request("POST / HTTP/1.1", "Content-Length: 1000000", *fields)
            )
            upstream.send(b"HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
            self.assertEqual((await read_answer(visitor))[1], b"no!")
            visitor.send(bytes(1_000_000))
            if fields:
                self.assertEqual(await visitor.ended(), CLOSED)
            else:
                visitor.send(self.request())
                await read_head(await self.upstream.connection())

    async def switched(self) -> tuple[Peer, Peer]:
        visitor, upstream, _ = await self.asked(self.request(*SWITCH))
        upstream.send(SWITCHED)
        await read_head(visitor)
        return visitor, upstream

    async def test_upgrade(self) -> None:
        visitor, upstream = await self.switched()
        visitor.send(b"to")
        self.assertEqual(await upstream.read(2), b"to")
        upstream.send(b"fro")
        self.assertEqual(await visitor.read(3), b"fro")
        visitor.close()
        self.assertEqual(await upstream.ended(), FINISHED)

    async def test_upstream_ends_the_upgraded(self) -> None:
        """TLS knows no half-close that Twisted could speak: it is an end in order."""
        for end in ("close", "finish"):
            visitor, upstream = await self.switched()
            upstream.send(b"last")
            getattr(upstream, end)()
            self.assertEqual(await visitor.read_to_end(), b"last")
            self.assertEqual(visitor.end, CLOSED)

    async def test_upstream_cuts_the_upgraded(self) -> None:
        visitor, upstream = await self.switched()
        upstream.cut()
        self.assertEqual(await visitor.ended(), CUT)

    async def test_bytes_that_are_no_tls(self) -> None:
        visitor = await self.edge.visitors.connect_to(self.edge.port)
        visitor.send(self.request())
        await visitor.ended()
        await self.until_visitors(0)


class UpstreamTests(TunnelTestCase):
    """An https upstream, with a certificate that nobody vouches for."""

    upstream_tls = CERTIFICATE

    async def test_several_requests(self) -> None:
        visitor, upstream, head = await self.asked(self.request())
        self.assertEqual(head.get("x-forwarded-proto"), "http")
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        visitor.send(self.request("POST / HTTP/1.1", "Content-Length: 4", body=b"body"))
        await upstream.read_until(b"body")
        upstream.send(ok(b"again"))
        self.assertEqual((await read_answer(visitor))[1], b"again")
        self.assertEqual(self.upstream.accepted, 1)

    async def test_big_both_ways(self) -> None:
        content = bytes(range(256)) * 20_000
        visitor, upstream, _ = await self.asked(
            self.request("POST / HTTP/1.1", f"Content-Length: {len(content)}", body=content)
        )
        self.assertEqual(await upstream.read(len(content)), content)
        upstream.send(ok(content))
        self.assertEqual((await read_answer(visitor))[1], content)

    async def test_answer_that_ends_with_the_connection(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(b"HTTP/1.1 200 OK\r\n\r\nwhole")
        upstream.close()
        await read_head(visitor)
        self.assertEqual(await visitor.read_until(b"0\r\n\r\n"), b"5\r\nwhole\r\n0\r\n\r\n")

    async def test_answer_that_is_cut(self) -> None:
        """Without TLS's own goodbye, anybody on the way may have ended it."""
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await visitor.read_until(b"half")
        upstream.cut()
        self.assertEqual(await visitor.ended(), CUT)

    async def test_visitor_goes(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        visitor.close()
        await upstream.ended()

    async def test_upgrade(self) -> None:
        visitor, upstream, _ = await self.asked(self.request(*SWITCH))
        upstream.send(SWITCHED + b"early")
        await read_head(visitor)
        self.assertEqual(await visitor.read(5), b"early")
        visitor.send(b"to")
        self.assertEqual(await upstream.read(2), b"to")
        visitor.close()
        self.assertEqual(await upstream.ended(), CLOSED)

    async def test_upstream_that_speaks_no_tls(self) -> None:
        plain = Upstream(self)
        self.edge.routes.names.free(self.host, self.tunnel.service)
        self.tunnel = Tunnel(f"https://127.0.0.1:{plain.port}", native=self.native)
        self.edge.serve(self.host, self.tunnel)
        visitor = await self.visit(self.request())
        upstream = await plain.connection()
        upstream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual((await read_answer(visitor))[0].status, 502)


class InletsUpstreamTests(UpstreamTests):
    """The same, where the server itself speaks TLS through the stream."""

    native = False


class Recorder(Factory):
    """Stands in for the control plane."""

    noisy = False

    def __init__(self) -> None:
        self.peers: list[Peer] = []

    def buildProtocol(self, addr: IAddress | None) -> Peer:
        peer = Peer()
        self.peers.append(peer)
        return peer


class OnePortTests(TunnelTestCase):
    """The control plane on the visitors' port."""

    def setUp(self) -> None:
        super().setUp()
        self.control = Recorder()
        self.edge.site.control = self.control
        self.edge.site.control_path = b"/tunnel"

    async def test_client_is_handed_over(self) -> None:
        sent = self.request("GET /tunnel HTTP/1.1", "Connection: upgrade", "Upgrade: WebSocket")
        visitor = await self.visit(sent + b"early")
        await self.until_visitors(0)
        (peer,) = self.control.peers
        self.assertEqual(await peer.read(len(sent) + 5), sent + b"early")
        visitor.send(b"more")
        self.assertEqual(await peer.read(4), b"more")
        peer.send(b"answer")
        self.assertEqual(await visitor.read(6), b"answer")
        visitor.close()
        self.assertEqual(await peer.ended(), FINISHED if self.trusted is None else CLOSED)
        peer.close()

    async def test_all_else_is_a_visitors(self) -> None:
        for line, *fields in (
            ("GET /tunnel HTTP/1.1",),
            ("GET /tunnel HTTP/1.1", "Upgrade: websocket"),
            ("GET /other HTTP/1.1", "Connection: upgrade", "Upgrade: websocket"),
            ("GET /tunnel/ HTTP/1.1", "Connection: upgrade", "Upgrade: websocket"),
        ):
            visitor, upstream, head = await self.asked(self.request(line, *fields))
            self.assertEqual(head.start, line)
            upstream.cut()
            visitor.cut()


class OneTlsPortTests(OnePortTests):
    """The same over TLS."""

    trusted = ("app.tunnel.localhost", CERTIFICATE)

    def settings(self) -> dict[str, Any]:
        return {"tls": CERTIFICATE}
