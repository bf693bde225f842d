"""What becomes of heads on their way: rewritten once, else left as they came."""

from __future__ import annotations

import os
from ipaddress import ip_network
from typing import Any

from twisted.internet.endpoints import UNIXClientEndpoint

from tests.edge.tunnels import DOMAIN, Tunnel, TunnelTestCase, ok, read_answer, read_head
from tests.peers import Peer, reactor

#: What the edge adds to every request of a stranger.
ADDED = {
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-host",
    "forwarded",
    "x-request-id",
}


class RequestHeadTests(TunnelTestCase):
    """Requests, as the upstream gets them."""

    async def test_target_is_left_as_it_is(self) -> None:
        for target in (
            "/",
            "//",
            "//a//b/../c/./d",
            "/%2e%2E/%2f?%zz&a=b;c#d",
            "/a?b?c=/../",
            "/ünïcode".encode().decode("latin-1"),
            '/"<>\\^`{|}',
            "/" + "a" * 8000,
        ):
            _, upstream, head = await self.asked(self.request(f"GET {target} HTTP/1.1"))
            self.assertEqual(head.start, f"GET {target} HTTP/1.1")
            upstream.cut()

    async def test_options_of_the_server_itself(self) -> None:
        _, _, head = await self.asked(self.request("OPTIONS * HTTP/1.1"))
        self.assertEqual(head.start, "OPTIONS * HTTP/1.1")

    async def test_any_method(self) -> None:
        for method in ("PROPFIND", "get", "M-SEARCH", "X!#$%&'*+.^_`|~"):
            _, upstream, head = await self.asked(self.request(f"{method} / HTTP/1.1"))
            self.assertEqual(head.start, f"{method} / HTTP/1.1")
            upstream.cut()

    async def test_order_and_case_are_kept(self) -> None:
        fields = [
            ("hOST", self.host),
            ("X-bEFORE", "1"),
            ("Cookie", "a=b; c=d"),
            ("COOKIE", "e=f"),
            ("accept", "*/*"),
            ("X-Empty", ""),
            ("User-Agent", "me\t(and you)  twice"),
            ("X-Latin", "\xfc\xff"),
        ]
        sent = "GET / HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n"
        _, _, head = await self.asked(sent.encode("latin-1"))
        self.assertEqual([f for f in head.fields if f[0].lower() not in ADDED], fields)

    async def test_hop_by_hop_fields_stay_here(self) -> None:
        _, _, head = await self.asked(
            self.request(
                "GET / HTTP/1.1",
                "Connection: keep-alive, X-Mine",
                "x-mine: secret",
                "Keep-Alive: timeout=5",
                "Proxy-Connection: keep-alive",
                "X-Other: goes on",
                "connection: x-second",
                "X-Second: secret",
                "TE: gzip",
                "Upgrade: h2c",
            )
        )
        rest = [field for field in head.fields if field[0].lower() not in ADDED]
        self.assertEqual(rest, [("Host", self.host), ("X-Other", "goes on")])

    async def test_connection_can_not_take_away_what_framing_rests_on(self) -> None:
        _, upstream, head = await self.asked(
            self.request(
                "POST / HTTP/1.1",
                "Connection: content-length, host",
                "Content-Length: 2",
                body=b"ab",
            )
        )
        self.assertEqual((head.get("content-length"), head.get("host")), ("2", self.host))
        self.assertEqual(await upstream.read(2), b"ab")

    async def test_trailers_are_asked_for(self) -> None:
        _, _, head = await self.asked(
            self.request("GET / HTTP/1.1", "TE: trailers, deflate;q=0.5", "Connection: TE")
        )
        self.assertEqual((head.get("te"), head.get("connection")), ("trailers", "TE"))

    async def test_visitor_is_told_about(self) -> None:
        visitor = await self.visit(self.request(), source="127.0.0.9")
        head = await read_head(await self.upstream.connection())
        self.assertEqual(head.get("x-forwarded-for"), "127.0.0.9")
        self.assertEqual(head.get("x-forwarded-proto"), "http")
        self.assertEqual(head.get("x-forwarded-port"), "8080")
        self.assertEqual(head.get("x-forwarded-host"), self.host)
        self.assertEqual(head.get("forwarded"), f'for=127.0.0.9;proto=http;host="{self.host}"')
        visitor.close()

    async def test_what_strangers_say_is_replaced(self) -> None:
        _, _, head = await self.asked(
            self.request(
                "GET / HTTP/1.1",
                "X-Forwarded-For: 10.0.0.1",
                "x-forwarded-for: 10.0.0.2",
                "X-Forwarded-Proto: https",
                "X-Forwarded-Host: evil.example.com",
                "X-Forwarded-Port: 1",
                "X-Forwarded-Prefix: /evil",
                "X-Forwarded-Server: evil",
                "X-Real-IP: 10.0.0.1",
                "Forwarded: for=10.0.0.1",
            )
        )
        self.assertEqual(head.get("x-forwarded-for"), "127.0.0.1")
        self.assertEqual(head.get("x-forwarded-proto"), "http")
        self.assertEqual(head.get("x-forwarded-host"), self.host)
        self.assertEqual(head.get("x-forwarded-port"), "8080")
        self.assertEqual(head.get("forwarded"), f'for=127.0.0.1;proto=http;host="{self.host}"')
        for name in ("x-forwarded-prefix", "x-forwarded-server", "x-real-ip"):
            self.assertIsNone(head.get(name))

    async def test_request_id(self) -> None:
        _, first, head = await self.asked(self.request())
        first.cut()
        one = head.get("x-request-id")
        _, second, head = await self.asked(self.request())
        second.cut()
        self.assertNotEqual(one, head.get("x-request-id"))
        _, _, head = await self.asked(self.request("GET / HTTP/1.1", "x-request-ID: mine"))
        self.assertEqual(head.get("x-request-id"), "mine")

    async def test_next_request_of_another_host_says_so(self) -> None:
        """What is kept for a visitor from one request to the next goes with the host."""
        self.edge.serve(f"b.{DOMAIN}", self.tunnel)
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        visitor.send(self.request().replace(self.host.encode(), f"b.{DOMAIN}".encode()))
        head = await read_head(upstream)
        self.assertEqual(head.get("x-forwarded-host"), f"b.{DOMAIN}")


class HostHeaderTests(TunnelTestCase):
    """The service's option `host_header`."""

    async def head_with(self, *lines: str, **options: Any) -> Any:
        """The head that the upstream gets when the service has these options."""
        self.edge.routes.names.free(self.host, self.tunnel.service)
        self.tunnel = Tunnel(f"http://127.0.0.1:{self.upstream.port}", options=options)
        self.edge.serve(self.host, self.tunnel)
        _, upstream, head = await self.asked(self.request("GET / HTTP/1.1", *lines))
        self.assertEqual(head.get("x-forwarded-host"), self.host)
        upstream.cut()
        return head

    async def host_with(self, **options: Any) -> str | None:
        """The Host in that head."""
        head = await self.head_with(**options)
        host: str | None = head.get("host")
        return host

    async def test_preserve(self) -> None:
        self.assertEqual(await self.host_with(), self.host)
        self.assertEqual(await self.host_with(host_header="preserve"), self.host)

    async def test_rewrite(self) -> None:
        self.assertEqual(
            await self.host_with(host_header="rewrite"), f"127.0.0.1:{self.upstream.port}"
        )

    async def test_rewriting_takes_the_origin_of_own_pages_along(self) -> None:
        own, other = f"Origin: http://{self.host}", "Origin: https://evil.example"
        upstream = f"http://127.0.0.1:{self.upstream.port}"
        head = await self.head_with(own, host_header="rewrite")
        self.assertEqual(head.all("origin"), [upstream])
        head = await self.head_with(other, host_header="rewrite")
        self.assertEqual(head.all("origin"), ["https://evil.example"])
        head = await self.head_with(own)
        self.assertEqual(head.all("origin"), [f"http://{self.host}"])
        head = await self.head_with(own, host_header="dev.example.com")
        self.assertEqual(head.all("origin"), [f"http://{self.host}"])

    async def test_value(self) -> None:
        self.assertEqual(await self.host_with(host_header="dev.example.com"), "dev.example.com")

    async def test_nonsense_can_not_break_the_head(self) -> None:
        for nonsense in ("a\r\nX-Evil: b", "a b", "", "ä", 7, ["a"]):
            self.assertEqual(await self.host_with(host_header=nonsense), self.host)


class TrustedProxyTests(TunnelTestCase):
    """Behind a proxy such as nginx."""

    def settings(self) -> dict[str, Any]:
        return {"trusted_proxies": (ip_network("127.0.0.1/32"),)}

    async def test_its_word_is_kept(self) -> None:
        _, _, head = await self.asked(
            self.request(
                "GET / HTTP/1.1",
                "X-Forwarded-For: 203.0.113.9, 10.0.0.1",
                "X-Forwarded-Proto: https",
                "X-Forwarded-Host: public.example.com",
                "X-Forwarded-Port: 443",
                "X-Real-IP: 203.0.113.9",
                "Forwarded: for=203.0.113.9",
            )
        )
        self.assertEqual(head.all("x-forwarded-for"), ["203.0.113.9, 10.0.0.1, 127.0.0.1"])
        self.assertEqual(head.get("x-forwarded-proto"), "https")
        self.assertEqual(head.get("x-forwarded-host"), "public.example.com")
        self.assertEqual(head.get("x-forwarded-port"), "443")
        self.assertEqual(head.get("x-real-ip"), "203.0.113.9")
        self.assertEqual(head.all("forwarded"), ["for=203.0.113.9, for=127.0.0.1"])

    async def test_what_it_leaves_out_is_added(self) -> None:
        _, _, head = await self.asked(
            self.request("GET / HTTP/1.1", "X-Forwarded-For: 203.0.113.9")
        )
        self.assertEqual(head.get("x-forwarded-proto"), "http")
        self.assertEqual(head.get("x-forwarded-port"), "8080")
        self.assertEqual(head.get("x-forwarded-host"), self.host)

    async def test_silent_one_counts_as_a_visitor(self) -> None:
        _, _, head = await self.asked(self.request())
        self.assertEqual(head.get("x-forwarded-for"), "127.0.0.1")

    async def test_stranger_is_not_believed(self) -> None:
        await self.visit(
            self.request("GET / HTTP/1.1", "X-Forwarded-For: 10.0.0.1"), source="127.0.0.2"
        )
        head = await read_head(await self.upstream.connection())
        self.assertEqual(head.get("x-forwarded-for"), "127.0.0.2")

    async def test_setting_that_changes(self) -> None:
        """It counts for the next request on a connection that is there already."""
        visitor = await self.visit()
        for trusted, told in (("127.0.0.0/8", "10.0.0.1, 127.0.0.1"), ("10.0.0.0/8", "127.0.0.1")):
            self.edge.settings.change(trusted_proxies=(ip_network(trusted),))
            visitor.send(self.request("GET / HTTP/1.1", "X-Forwarded-For: 10.0.0.1"))
            upstream = await self.upstream.connection()
            self.assertEqual((await read_head(upstream)).get("x-forwarded-for"), told)
            upstream.send(ok(b"ok", "Connection: close"))
            upstream.close()
            await read_answer(visitor)


class UnixSocketTests(TunnelTestCase):
    """A UNIX socket has no addresses, and only a proxy on this machine can be behind it."""

    async def visit(self, sent: bytes = b"", *, source: str = "") -> Peer:
        path = os.path.relpath(self.mktemp())  # a socket's name must be short
        listening = reactor.listenUNIX(path, self.edge.site)
        self.addCleanup(listening.stopListening)
        visitor = await self.edge.visitors.connect(UNIXClientEndpoint(reactor, path))
        visitor.send(sent)
        return visitor

    async def test_its_word_is_kept(self) -> None:
        _, _, head = await self.asked(
            self.request(
                "GET / HTTP/1.1", "X-Forwarded-For: 203.0.113.9", "Forwarded: for=203.0.113.9"
            )
        )
        self.assertEqual(head.get("x-forwarded-for"), "203.0.113.9")
        self.assertEqual(head.get("forwarded"), "for=203.0.113.9")

    async def test_nothing_is_known(self) -> None:
        _, _, head = await self.asked(self.request())
        self.assertEqual(head.get("x-forwarded-for"), "unknown")
        self.assertEqual(head.get("forwarded"), f'for=unknown;proto=http;host="{self.host}"')

    async def test_not_limited(self) -> None:
        self.edge.settings.change(connections_per_address=1)
        for _ in range(2):
            visitor, upstream, _ = await self.asked(self.request())
            upstream.send(ok(b"ok", "Connection: close"))
            upstream.close()
            self.assertEqual((await read_answer(visitor))[1], b"ok")


class PublicUrlTests(TunnelTestCase):
    """What the outside sees, where something in front ends TLS."""

    def settings(self) -> dict[str, Any]:
        return {"public_url": "https://tunnel.example.com"}

    async def test_scheme_and_port(self) -> None:
        _, _, head = await self.asked(self.request())
        self.assertEqual(head.get("x-forwarded-proto"), "https")
        self.assertEqual(head.get("x-forwarded-port"), "443")


class ResponseHeadTests(TunnelTestCase):
    """Answers, as the visitor gets them."""

    async def answer(self, *lines: str, sent: bytes | None = None) -> list[tuple[str, str]]:
        """The fields that the visitor gets of an answer without a body."""
        visitor, upstream, _ = await self.asked(sent or self.request())
        upstream.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
        head = await read_head(visitor)
        self.assertEqual(head.start.rstrip(), lines[0].rstrip())
        upstream.cut()
        return head.fields

    async def test_order_case_and_doubles_are_kept(self) -> None:
        fields = [
            ("dATE", "now"),
            ("Set-Cookie", "a=b"),
            ("set-cookie", "c=d; Path=/"),
            ("Access-Control-Allow-Origin", "*"),
            ("X-Latin", "\xfc"),
            ("X-Empty", ""),
            ("Content-Length", "0"),
            ("Server", "mine"),
        ]
        lines = [f"{name}: {value}" for name, value in fields]
        self.assertEqual(await self.answer("HTTP/1.1 299 Strange  Reason", *lines), fields)

    async def test_no_reason(self) -> None:
        for line in ("HTTP/1.1 200 ", "HTTP/1.1 200"):
            await self.answer(line, "Content-Length: 0")

    async def test_hop_by_hop_fields_stay_there(self) -> None:
        fields = await self.answer(
            "HTTP/1.1 200 OK",
            "Connection: keep-alive, X-Mine",
            "X-Mine: secret",
            "Keep-Alive: timeout=5",
            "X-Other: goes on",
            "Content-Length: 0",
            "Upgrade: h2c",
        )
        self.assertEqual(fields, [("X-Other", "goes on"), ("Content-Length", "0")])

    async def test_what_the_upstream_does_with_its_connection_is_its_own_business(self) -> None:
        fields = await self.answer("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 0")
        self.assertEqual(fields, [("Content-Length", "0")])

    async def test_visitor_who_wants_to_close(self) -> None:
        for sent in (
            self.request("GET / HTTP/1.1", "Connection: close"),
            self.request("GET / HTTP/1.1", "Connection: CLOSE, x"),
            self.request("GET / HTTP/1.0"),
        ):
            fields = await self.answer("HTTP/1.1 200 OK", "Content-Length: 0", sent=sent)
            self.assertEqual(fields, [("Content-Length", "0"), ("Connection", "close")])

    async def test_no_coding_for_an_old_visitor_where_there_is_no_body(self) -> None:
        fields = await self.answer(
            "HTTP/1.1 200 OK",
            "Transfer-Encoding: chunked",
            sent=self.request("HEAD / HTTP/1.0"),
        )
        self.assertEqual(fields, [("Connection", "close")])
