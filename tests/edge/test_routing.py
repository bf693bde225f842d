"""Where requests go by their Host, and what is answered where they can't go."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

from inletspy.edge import pages
from inletspy.policy.limits import Limits
from tests.edge.tunnels import (
    DOMAIN,
    Tunnel,
    TunnelTestCase,
    ok,
    read_answer,
    read_head,
    request,
    usage,
)
from tests.peers import FINISHED, Upstream


class RoutingTests(TunnelTestCase):
    """The way to the right tunnel."""

    async def test_port_case_and_final_dot_do_not_matter(self) -> None:
        for host in (
            self.host,
            f"{self.host}:8080",
            f"{self.host}:",
            self.host.upper(),
            f"{self.host}.",
            f"App.{DOMAIN}.:443",
        ):
            visitor = await self.visit(request("GET / HTTP/1.1", f"Host: {host}"))
            upstream = await self.upstream.connection()
            self.assertEqual((await read_head(upstream)).get("host"), host)
            upstream.send(ok())
            self.assertEqual((await read_head(visitor)).status, 200)
            upstream.close()

    async def test_two_tunnels_on_one_connection(self) -> None:
        other = Upstream(self)
        self.edge.serve(f"other.{DOMAIN}", Tunnel(f"http://127.0.0.1:{other.port}"))
        visitor, first, _ = await self.asked(self.request())
        first.send(ok(b"first"))
        self.assertEqual((await read_answer(visitor))[1], b"first")
        visitor.send(request("GET / HTTP/1.1", f"Host: other.{DOMAIN}"))
        second = await other.connection()
        await read_head(second)
        second.send(ok(b"second"))
        self.assertEqual((await read_answer(visitor))[1], b"second")

    async def test_absolute_target_names_the_host(self) -> None:
        target = f"http://{self.host}:8080/a?b"
        visitor, upstream, head = await self.asked(self.request(f"GET {target} HTTP/1.1"))
        self.assertEqual(head.start, f"GET {target} HTTP/1.1")
        upstream.send(ok())
        self.assertEqual((await read_head(visitor)).status, 200)

    async def test_absolute_target_without_host(self) -> None:
        """Only HTTP/1.0 may leave the Host out; the upstream gets one."""
        target = f"http://{self.host}/a"
        visitor, upstream, head = await self.asked(request(f"GET {target} HTTP/1.0"))
        self.assertEqual(head.get("host"), self.host)
        upstream.send(ok())
        self.assertEqual((await read_head(visitor)).status, 200)

    async def test_no_name_without_catch_all(self) -> None:
        for sent in (request("GET / HTTP/1.0"), request("GET / HTTP/1.1", "Host: 127.0.0.1")):
            visitor = await self.visit(sent)
            self.assertEqual((await read_head(visitor)).status, 404)

    async def test_catch_all(self) -> None:
        self.edge.settings.change(catch_all_enabled=True)
        self.edge.routes.add_catch_all(self.tunnel.service)
        for host in ("example.com", "127.0.0.1:8080", "[::1]"):
            visitor, upstream, head = await self.asked(request("GET / HTTP/1.1", f"Host: {host}"))
            self.assertEqual(head.get("host"), host)
            upstream.send(ok())
            self.assertEqual((await read_head(visitor)).status, 200)
            upstream.close()
        self.edge.reserved.add("shop.example.com")
        for host in (f"nobody.{DOMAIN}", "shop.example.com", "SHOP.example.com:80"):
            visitor = await self.visit(request("GET / HTTP/1.1", f"Host: {host}"))
            self.assertEqual((await read_head(visitor)).status, 404)

    async def test_catch_all_without_any_host(self) -> None:
        """HTTP/1.1 demands a Host, so the upstream gets its own."""
        self.edge.settings.change(catch_all_enabled=True)
        self.edge.routes.add_catch_all(self.tunnel.service)
        visitor, upstream, head = await self.asked(request("GET / HTTP/1.0"))
        self.assertEqual(head.get("host"), f"127.0.0.1:{self.upstream.port}")
        self.assertEqual(head.all("x-forwarded-host"), [])
        upstream.send(ok())
        self.assertEqual((await read_head(visitor)).status, 200)


class PageTests(TunnelTestCase):
    """Pages of the server's own."""

    async def page(self, *fields: str, status: int, host: str | None = None) -> Any:
        """What a visitor that asks for JSON gets."""
        visitor = await self.visit(
            request(
                "GET / HTTP/1.1",
                f"Host: {host or self.host}",
                "Accept: application/json",
                *fields,
            )
        )
        head, body = await read_answer(visitor)
        self.assertEqual(head.status, status)
        self.assertEqual(head.get("content-type"), "application/json")
        self.last_head = head
        return json.loads(body)

    async def test_unknown_host(self) -> None:
        page = await self.page(status=404, host=f"nobody.{DOMAIN}")
        self.assertEqual(page["error"], "unknown_tunnel")

    async def test_client_away(self) -> None:
        self.edge.release(self.host, self.tunnel)
        page = await self.page(status=503)
        self.assertEqual(page["error"], "client_away")
        self.assertEqual(self.last_head.get("retry-after"), "5")

    async def test_client_draining(self) -> None:
        self.tunnel.session.drain("a test")
        self.assertEqual((await self.page(status=503))["error"], "client_away")

    async def test_upstream_refuses(self) -> None:
        await self.upstream.stop()
        page = await self.page(status=502)
        self.assertEqual(page["error"], "upstream_refused")
        self.assertEqual(len(self.tunnel.failures), 1)
        self.assertNotIn(str(self.upstream.port), json.dumps(page))

    async def test_too_many_streams(self) -> None:
        self.tunnel.session.mux.max_streams = 0
        page = await self.page(status=429)
        self.assertEqual(page["error"], "too_many_requests_in_tunnel")
        self.assertEqual(self.last_head.get("retry-after"), "5")

    async def test_more_visitors_than_the_owner_may_have(self) -> None:
        self.tunnel.session.usage = usage(connections_per_second=0.05)
        visitor = await self.visit(self.request("GET / HTTP/1.1"))
        for _ in range(3):  # requests of one connection, which counts once
            upstream = await self.upstream.connection()
            await read_head(upstream)
            upstream.send(ok(b"ok", "Connection: close"))
            upstream.close()
            self.assertEqual((await read_answer(visitor))[1], b"ok")
            visitor.send(self.request("GET / HTTP/1.1"))
        page = await self.page(status=429)
        self.assertEqual(page["error"], "too_many_visitors")
        self.assertEqual(self.last_head.get("retry-after"), "20")

    async def test_a_connection_counts_for_each_owner_once(self) -> None:
        """As those of proxies do, which bring requests for many."""
        other = Tunnel(f"http://127.0.0.1:{self.upstream.port}")
        self.edge.serve(f"other.{DOMAIN}", other)
        self.tunnel.session.usage = usage(connections_per_second=0.1)
        other.session.usage = usage("bob", connections_per_second=0.1)
        visitor = await self.visit()
        for host in (self.host, f"other.{DOMAIN}") * 3:
            visitor.send(request("GET / HTTP/1.1", f"Host: {host}"))
            upstream = await self.upstream.connection()
            await read_head(upstream)
            upstream.send(ok(b"ok", "Connection: close"))
            upstream.close()
            self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_who_is_over_the_limit_may_try_again(self) -> None:
        """On the same connection, which counts then."""
        self.tunnel.session.usage = counted = usage(connections_per_second=0.1)
        self.assertEqual(counted.take_connection(), 0)
        visitor = await self.visit(self.request())
        self.assertEqual((await read_answer(visitor))[0].status, 429)
        counted.limit(Limits())
        visitor.send(self.request())
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[0].status, 200)

    async def test_inlets_upstream_without_port(self) -> None:
        self.edge.serve(f"portless.{DOMAIN}", Tunnel("http://localhost", native=False))
        page = await self.page(status=502, host=f"portless.{DOMAIN}")
        self.assertEqual(page["error"], "upstream_without_port")

    async def test_kept_alive(self) -> None:
        """A page ends the request, not the connection."""
        visitor = await self.visit(request("GET / HTTP/1.1", f"Host: nobody.{DOMAIN}") * 2)
        for _ in range(2):
            self.assertEqual((await read_answer(visitor))[0].status, 404)
        visitor.send(self.request("GET / HTTP/1.1", "Connection: close"))
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_html_for_browsers(self) -> None:
        for fields in (
            (),
            ("Accept: */*",),
            ("Accept: text/html,application/xhtml+xml,application/json;q=0.9",),
        ):
            visitor = await self.visit(request("GET / HTTP/1.1", f"Host: nobody.{DOMAIN}", *fields))
            head, body = await read_answer(visitor)
            self.assertEqual(head.get("content-type"), "text/html; charset=utf-8")
            self.assertIn("There is no tunnel at this address", body.decode())

    async def test_json_for_programs(self) -> None:
        for accepted in ("application/json", "Application/JSON", "application/problem+json, */*"):
            visitor = await self.visit(
                request("GET / HTTP/1.1", f"Host: nobody.{DOMAIN}", f"accept:{accepted}")
            )
            head, body = await read_answer(visitor)
            self.assertEqual(head.get("content-type"), "application/json")
            self.assertEqual(
                json.loads(body),
                {
                    "error": "unknown_tunnel",
                    "title": pages.UNKNOWN_HOST.title,
                    "detail": pages.UNKNOWN_HOST.text,
                },
            )

    async def test_head_gets_no_body(self) -> None:
        visitor = await self.visit(
            request("HEAD / HTTP/1.1", f"Host: nobody.{DOMAIN}")
            + request("GET / HTTP/1.1", f"Host: nobody.{DOMAIN}")
        )
        head = await read_head(visitor)
        self.assertGreater(int(head.get("content-length") or 0), 0)
        self.assertEqual((await read_answer(visitor))[0].status, 404)

    async def test_old_visitor(self) -> None:
        visitor = await self.visit(
            request("GET / HTTP/1.0", f"Host: nobody.{DOMAIN}", "Connection: keep-alive")
        )
        head, _ = await read_answer(visitor)
        self.assertEqual(head.get("connection"), "close")
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_upload_to_nobody(self) -> None:
        """The upload is read and thrown away, and the connection goes on."""
        visitor = await self.visit(
            request("POST / HTTP/1.1", f"Host: nobody.{DOMAIN}", "Content-Length: 1000000")
        )
        self.assertEqual((await read_answer(visitor))[0].status, 404)
        visitor.send(bytes(1_000_000) + self.request())
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    def test_nothing_of_a_visitor_gets_into_a_page(self) -> None:
        page = pages.page_for_fault(400, 'a <script>alert("1")</script>')
        html = pages.render(page, None, head_only=False, keep_alive=False)
        self.assertNotIn(b"<script", html)


class AddressLimitTests(TunnelTestCase):
    """Connections from one address."""

    def settings(self) -> dict[str, Any]:
        return {"connections_per_address": 2}

    async def test_too_many(self) -> None:
        first = await self.visit()
        await self.visit()
        third = await self.visit(self.request("GET / HTTP/1.1", "Accept: application/json"))
        head, body = await read_answer(third)
        self.assertEqual((head.status, head.get("retry-after")), (429, "10"))
        self.assertEqual(json.loads(body)["error"], "too_many_connections")
        self.assertEqual(await third.ended(), FINISHED)

        elsewhere = await self.visit(self.request(), source="127.0.0.2")
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(elsewhere))[1], b"ok")

        first.close()
        await self.until_visitors(2)
        again = await self.visit(self.request())
        await read_head(upstream)
        upstream.send(ok(b"again"))
        self.assertEqual((await read_answer(again))[1], b"again")

    async def test_too_many_and_nothing_said(self) -> None:
        await self.visit()
        await self.visit()
        third = await self.visit()
        await self.until_visitors(3)
        self.edge.sweep(6)
        self.assertEqual(await third.ended(), FINISHED)

    async def test_proxies_are_not_limited(self) -> None:
        self.edge.settings.change(trusted_proxies=(ip_network("127.0.0.1/32"),))
        for _ in range(5):
            visitor = await self.visit(request("GET / HTTP/1.1", f"Host: nobody.{DOMAIN}"))
            self.assertEqual((await read_answer(visitor))[0].status, 404)
