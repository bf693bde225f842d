"""Services that are not for everybody: who gets in, how, and what the upstream sees of it."""

from __future__ import annotations

import base64
import hashlib
import json
from ipaddress import ip_network
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThread

from inletspy.edge.accesslog import AccessLog
from inletspy.policy.links import link_id, new_link_token
from inletspy.policy.visits import VisitRule, hash_password
from tests.certificates import self_signed
from tests.edge.tunnels import (
    DOMAIN,
    Head,
    Tunnel,
    TunnelTestCase,
    ok,
    read_answer,
    read_head,
    usage,
)
from tests.peers import Peer, until

KEY = "k" * 43
TOKEN = "t0ken-of-a-program"
CERTIFICATE = self_signed("app.tunnel.localhost")
PAGE = ("Accept: text/html,*/*",)
SALT = bytes(range(16))


def account(user: str, password: str) -> dict[str, str]:
    """An account as a client announces it."""
    kept = hash_password(password.encode(), SALT)
    return {"user": user, "salt": SALT.hex(), "hash": kept.hex()}


def basic(user: str, password: str, encoding: str = "utf-8") -> str:
    """The field that a browser sends after a person has typed both."""
    coded = base64.b64encode(f"{user}:{password}".encode(encoding)).decode()
    return f"Authorization: Basic {coded}"


def networks(*texts: str) -> tuple[Any, ...]:
    """Networks as a setting has them."""
    return tuple(ip_network(text) for text in texts)


class VisitTestCase(TunnelTestCase):
    """A tunnel whose service has a rule."""

    options: ClassVar[dict[str, Any]] = {}

    def settings(self) -> dict[str, Any]:
        return {"link_signing_key": KEY}

    def setUp(self) -> None:
        super().setUp()
        self.tunnel.service.rule = VisitRule.read("http", self.options)
        #: How often a password was hashed.
        self.hashed = 0
        self.edge.in_thread = self._count

    def _count(self, *call: Any) -> Deferred[Any]:
        self.hashed += 1
        return deferToThread(*call)

    async def answer(self, *fields: str, line: str = "GET / HTTP/1.1", **visit: Any) -> Head:
        """The head of the answer to one request, which the upstream must not see."""
        before = len(self.upstream.peers)
        visitor = await self.visit(self.request(line, *fields), **visit)
        head = await read_head(visitor)
        visitor.cut()
        self.assertEqual(len(self.upstream.peers), before)
        return head

    async def seen(self, *fields: str, line: str = "GET / HTTP/1.1", **visit: Any) -> Head:
        """What the upstream sees of a request."""
        visitor = await self.visit(self.request(line, *fields), **visit)
        upstream = await self.upstream.connection()
        head = await read_head(upstream)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        visitor.cut()
        upstream.cut()
        await until(lambda: not self.tunnel.streams(), "rid of the stream")
        return head

    def link_token(self, **changes: Any) -> str:
        """A good token of a share link, but for the changes."""
        made: dict[str, Any] = {"key": KEY, "hostname": self.host, "owner": "shared"}
        made["end"] = int(self.edge.now + 60)
        return new_link_token(**{**made, **changes})


class BasicAuthTests(VisitTestCase):
    """User name and password (RFC 7617)."""

    options: ClassVar[dict[str, Any]] = {
        "basic_auth": [account("ann", "pass:word: with colons"), account("zoë", "h\xe9llo \u2603")]
    }

    async def test_nobody_gets_in_without(self) -> None:
        for field in (
            "X-A: b",
            "Authorization: ",
            "Authorization: Basic",
            "Authorization: Basic !!!!",
            "Authorization: Basic " + base64.b64encode(b"no colon").decode(),
            "Authorization: Bearer " + TOKEN,
            "Authorization: Basic " + "QUJD" * 300,
            basic("ann", "x" * 257),
            basic("a" * 257, "x"),
            "Cookie: tunnel_visit=" + self.link_token(),
            "X-Tunnel-Token: " + self.link_token(),
        ):
            head = await self.answer(field)
            self.assertEqual(head.status, 401, field)
            self.assertEqual(head.get("www-authenticate"), 'Basic realm="tunnel", charset="UTF-8"')
        self.assertEqual(self.hashed, 0)

    async def test_two_fields_are_none(self) -> None:
        right = basic("ann", "pass:word: with colons")
        self.assertEqual((await self.answer(right, right)).status, 401)

    async def test_right(self) -> None:
        for field in (
            basic("ann", "pass:word: with colons"),
            basic("ann", "pass:word: with colons").replace("Basic ", "bAsIc  "),
            basic("zoë", "h\xe9llo \u2603"),
            basic("zoe\u0308", "he\u0301llo \u2603"),
        ):
            head = await self.seen(field, "Cookie: a=b")
            self.assertIsNone(head.get("authorization"))
            self.assertEqual(head.get("cookie"), "a=b")
        self.assertEqual(self.hashed, 2)

    async def test_wrong(self) -> None:
        for field in (
            basic("ann", "pass"),
            basic("ann", "pass:word: with colons "),
            basic("Ann", "pass:word: with colons"),
            basic("zoë", "h\xe9llo", "latin-1"),
            basic("", ""),
        ):
            self.assertEqual((await self.answer(field)).status, 401, field)
        self.assertEqual(self.hashed, 5)

    async def test_huge(self) -> None:
        """Refused without being hashed."""
        for size, status in ((60_000, 401), (65_536, 431)):
            field = f"Authorization: Basic {'QUJD' * (size // 4)}"
            visitor = await self.visit(self.request("GET / HTTP/1.1", field))
            self.assertEqual((await read_head(visitor)).status, status)
        self.assertEqual(self.hashed, 0)

    async def test_an_upload_waits_for_the_check(self) -> None:
        body = bytes(range(256)) * 4000
        visitor = await self.visit(
            self.request(
                "POST /up HTTP/1.1",
                basic("ann", "pass:word: with colons"),
                f"Content-Length: {len(body)}",
                body=body,
            )
        )
        upstream = await self.upstream.connection()
        self.assertEqual((await read_head(upstream)).start, "POST /up HTTP/1.1")
        self.assertEqual(await upstream.read(len(body)), body)
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_an_upload_with_a_wrong_password(self) -> None:
        body = bytes(300_000)
        visitor = await self.visit(
            self.request(
                "POST / HTTP/1.1", basic("ann", "x"), f"Content-Length: {len(body)}", body=body
            )
            + self.request("GET / HTTP/1.1", basic("ann", "pass:word: with colons"))
        )
        self.assertEqual((await read_answer(visitor))[0].status, 401)
        upstream = await self.upstream.connection()
        self.assertEqual((await read_head(upstream)).start, "GET / HTTP/1.1")
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_many_at_once_are_checked_once(self) -> None:
        field = basic("ann", "pass:word: with colons")
        self.edge.in_thread = lambda *call: held
        held: Deferred[Any] = Deferred()
        visitors = [await self.visit(self.request("GET / HTTP/1.1", field)) for _ in range(20)]
        await until(lambda: self.edge.site.busy == 20, "asked")
        held.callback(hash_password(b"pass:word: with colons", SALT))
        for _ in visitors:
            upstream = await self.upstream.connection()
            await read_head(upstream)
            upstream.send(ok())
        for visitor in visitors:
            self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_a_visitor_who_does_not_wait(self) -> None:
        held: Deferred[Any] = Deferred()
        self.edge.in_thread = lambda *call: held
        visitor = await self.visit(self.request("GET / HTTP/1.1", basic("ann", "x")))
        await until(lambda: self.edge.site.busy, "asked")
        visitor.cut()
        await self.until_visitors(0)
        held.callback(b"")
        self.assertEqual(self.upstream.peers, [])

    async def test_a_check_that_takes_too_long(self) -> None:
        held: Deferred[Any] = Deferred()
        self.edge.in_thread = lambda *call: held
        visitor = await self.visit(self.request("GET / HTTP/1.1", basic("ann", "x")))
        await until(lambda: self.edge.site.busy, "asked")
        self.edge.sweep(122)
        self.assertEqual((await read_head(visitor)).status, 503)
        held.callback(b"")

    async def test_a_service_that_is_over_by_then(self) -> None:
        held: Deferred[Any] = Deferred()
        self.edge.in_thread = lambda *call: held
        field = basic("ann", "pass:word: with colons")
        visitor = await self.visit(self.request("GET / HTTP/1.1", field))
        await until(lambda: self.edge.site.busy, "asked")
        self.edge.release(self.host, self.tunnel)
        self.tunnel.session.services.clear()
        held.callback(hash_password(b"pass:word: with colons", SALT))
        self.assertEqual((await read_head(visitor)).status, 503)
        self.assertEqual(self.edge.resource.pools, set())

    async def test_a_check_that_fails(self) -> None:
        self.edge.in_thread = lambda *call: fail(MemoryError())
        self.assertEqual((await self.answer(basic("ann", "x"))).status, 401)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    async def test_few_are_checked_at_once(self) -> None:
        held: list[Deferred[Any]] = []

        def hold(*call: Any) -> Deferred[Any]:
            held.append(Deferred())
            return held[-1]

        self.edge.in_thread = hold
        hosts = [self.host, *(f"app{number}.{DOMAIN}" for number in range(4))]
        for host in hosts[1:]:
            tunnel = Tunnel(f"http://127.0.0.1:{self.upstream.port}")
            tunnel.service.rule = self.tunnel.service.rule
            self.edge.serve(host, tunnel)
        waiting: list[Peer] = []

        async def begin(host: str, source: int) -> None:
            self.host = host
            request = self.request("GET / HTTP/1.1", basic("ann", str(len(waiting))))
            waiting.append(await self.visit(request, source=f"127.0.0.{source}"))
            await until(lambda: self.edge.site.busy == len(waiting), "asked")

        async def refused(host: str, source: int) -> None:
            self.host = host
            head = await self.answer(basic("ann", "one more"), source=f"127.0.0.{source}")
            self.assertEqual((head.status, head.get("retry-after")), (503, "2"))

        await begin(hosts[0], 1)
        await begin(hosts[1], 1)
        await refused(hosts[2], 1)  # two of one visitor
        for source in range(2, 9):
            await begin(hosts[0], source)
        await refused(hosts[0], 9)  # eight of one service
        for host in hosts[1:4]:
            for source in range(10, 17 if host == hosts[1] else 18):
                await begin(host, source if host != hosts[3] else source + 10)
        self.assertEqual(len(waiting), 32)
        await refused(hosts[4], 99)  # and all there may be
        self.assertEqual(len(held), 2)
        while held:
            held.pop(0).callback(b"")
        for visitor in waiting:
            self.assertEqual((await read_head(visitor)).status, 401)
        self.edge.in_thread = lambda *call: fail(MemoryError())
        self.assertEqual((await self.answer(basic("ann", "x"), source="127.0.0.1")).status, 401)
        self.flushLoggedErrors(MemoryError)

    async def test_guessing_is_slowed_down(self) -> None:
        right = basic("ann", "pass:word: with colons")
        for number in range(5):
            self.assertEqual((await self.answer(basic("ann", str(number)))).status, 401)
        for wait in (1, 2, 4):
            for field in (right, basic("ann", "x")):  # who guesses does not learn which it is
                head = await self.answer(field)
                self.assertEqual((head.status, head.get("retry-after")), (429, str(wait)))
            self.edge.now += wait
            self.assertEqual((await self.answer(basic("ann", "x"))).status, 401)
        self.assertEqual(self.hashed, 8)
        # Others are not kept from coming, nor is who was in already.
        await self.seen(right, source="127.0.0.2")
        await self.seen(right)

    async def test_guessing_from_many_addresses_is_slowed_down(self) -> None:
        self.edge.in_thread = lambda *call: succeed(b"")
        for number in range(100):
            source = f"127.0.1.{number // 4}"
            head = await self.answer(basic("ann", str(number)), source=source)
            self.assertEqual(head.status, 401)
        self.edge.in_thread = deferToThread
        right = basic("ann", "pass:word: with colons")
        head = await self.answer(right, source="127.0.0.2")
        self.assertEqual((head.status, head.get("retry-after")), (429, "1"))
        self.edge.now += 1
        await self.seen(right, source="127.0.0.2")
        self.edge.now += 1
        self.assertEqual((await self.answer(basic("ann", "x"), source="127.0.0.3")).status, 401)
        # Who was in already is not held up, wherever from.
        self.assertEqual((await self.answer(basic("ann", "y"), source="127.0.0.4")).status, 429)
        await self.seen(right, source="127.0.0.4")
        self.edge.now += 10  # never more than that
        self.assertEqual((await self.answer(basic("ann", "y"), source="127.0.0.4")).status, 401)

    async def test_a_proxy_that_does_not_say_whom_it_brings(self) -> None:
        """One of its visitors must not lock out the others."""
        self.edge.settings.change(trusted_proxies=networks("127.0.0.1"))
        for number in range(6):
            self.assertEqual((await self.answer(basic("ann", str(number)))).status, 401)
        await self.seen(basic("ann", "pass:word: with colons"))

    async def test_websocket(self) -> None:
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x")
        head = await self.answer(*upgrade)
        self.assertEqual((head.status, head.get("content-type")), (401, "application/json"))
        visitor = await self.visit(
            self.request("GET / HTTP/1.1", *upgrade, basic("ann", "pass:word: with colons"))
        )
        upstream = await self.upstream.connection()
        head = await read_head(upstream)
        self.assertEqual(head.get("upgrade"), "websocket")
        self.assertIsNone(head.get("authorization"))
        upstream.send(b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi")
        self.assertEqual((await read_head(visitor)).status, 101)
        self.assertEqual(await visitor.read(2), b"hi")
        right = basic("ann", "pass:word: with colons")
        head = await self.answer(*upgrade, right, "Origin: http://evil.example")
        self.assertEqual(head.status, 401)

    async def test_a_preflight_is_answered(self) -> None:
        head = await self.answer(
            "Origin: https://evil.example",
            "Access-Control-Request-Method: PUT",
            "Access-Control-Request-Headers: x-tunnel-token, authorization",
            line="OPTIONS /a HTTP/1.1",
        )
        self.assertEqual(head.status, 204)
        self.assertEqual(head.get("access-control-allow-origin"), "*")
        self.assertEqual(head.get("access-control-allow-methods"), "*")
        self.assertEqual(head.get("access-control-allow-headers"), "*, Authorization")
        # Else any page could use what the visitor's browser remembers.
        self.assertIsNone(head.get("access-control-allow-credentials"))
        self.assertIsNone(head.get("content-length"))
        self.assertEqual((await self.answer(line="OPTIONS / HTTP/1.1")).status, 401)

    async def test_a_page_for_people_and_json_for_programs(self) -> None:
        for fields, kind in (
            (PAGE, "text/html; charset=utf-8"),
            (("Sec-Fetch-Mode: navigate",), "text/html; charset=utf-8"),
            ((*PAGE, "Sec-Fetch-Mode: cors"), "application/json"),
            (("Accept: */*",), "application/json"),
            ((), "application/json"),
        ):
            head = await self.answer(*fields)
            self.assertEqual((head.status, head.get("content-type")), (401, kind), fields)
        visitor = await self.visit(self.request())
        self.assertEqual(json.loads((await read_answer(visitor))[1])["error"], "unauthorized")


class StockBasicAuthTests(BasicAuthTests):
    """The rule is the edge's, whatever carries the stream."""

    native = False


class BearerTests(VisitTestCase):
    """Tokens for programs (RFC 6750)."""

    options: ClassVar[dict[str, Any]] = {"bearer": [hashlib.sha256(TOKEN.encode()).hexdigest()]}

    async def test_with_it(self) -> None:
        for field in (f"Authorization: Bearer {TOKEN}", f"x-tunnel-token: {TOKEN}"):
            head = await self.seen(field)
            self.assertEqual(head.all("authorization") + head.all("x-tunnel-token"), [])

    async def test_the_upstreams_own_goes_on(self) -> None:
        head = await self.seen(f"X-Tunnel-Token: {TOKEN}", "Authorization: Bearer other")
        self.assertEqual(head.get("authorization"), "Bearer other")
        head = await self.seen(f"X-Tunnel-Token: {TOKEN}", basic("a", "b"))
        self.assertEqual(head.get("authorization"), basic("a", "b").partition(": ")[2])

    async def test_never_goes_on_itself(self) -> None:
        head = await self.seen(
            f"X-Tunnel-Token: {TOKEN}",
            "Authorization: Bearer other",
            f"authorization: bearer {TOKEN}",
        )
        self.assertEqual(head.all("authorization"), [])

    async def test_without_it(self) -> None:
        for field in (
            "X-A: b",
            "Authorization: Bearer ",
            f"Authorization: Basic {TOKEN}",
            f"Authorization: {TOKEN}",
            f"Cookie: tunnel_visit={TOKEN}",
        ):
            head = await self.answer(field)
            self.assertEqual(
                (head.status, head.get("www-authenticate")), (401, 'Bearer realm="tunnel"')
            )
        self.assertEqual(
            (await self.answer(line=f"GET /?tunnel_token={TOKEN} HTTP/1.1")).status, 401
        )

    async def test_guessing_is_slowed_down(self) -> None:
        for number in range(5):
            self.assertEqual((await self.answer(f"Authorization: Bearer {number}")).status, 401)
        head = await self.answer(f"X-Tunnel-Token: {TOKEN}")
        self.assertEqual((head.status, head.get("retry-after")), (429, "1"))
        self.edge.now += 1
        await self.seen(f"X-Tunnel-Token: {TOKEN}")
        self.assertEqual((await self.answer("X-Tunnel-Token: x")).status, 401)
        await self.seen(f"X-Tunnel-Token: {TOKEN}")

    async def test_nobody_is_locked_out_by_the_guesses_of_others(self) -> None:
        long = "t" * 32
        self.tunnel.service.rule = VisitRule.read(
            "http", {"bearer": [hashlib.sha256(long.encode()).hexdigest()]}
        )
        for number in range(6):
            await self.answer(f"X-Tunnel-Token: {number}")
        self.assertEqual((await self.answer(f"X-Tunnel-Token: {'x' * 32}")).status, 429)
        await self.seen(f"X-Tunnel-Token: {long}")
        self.assertEqual((await self.answer("X-Tunnel-Token: x")).status, 429)


class PrivateTests(VisitTestCase):
    """Share links and what they leave behind."""

    options: ClassVar[dict[str, Any]] = {"private": True}

    def cookie(self, **changes: Any) -> str:
        """The cookie of a visitor with a link."""
        return f"Cookie: a=b; tunnel_visit={self.link_token(**changes)}; c=d"

    async def test_a_link_becomes_a_cookie(self) -> None:
        token = self.link_token(end=int(self.edge.now) + 7200)
        head = await self.answer(*PAGE, line=f"GET /a?x=1&tunnel_token={token}&y=2 HTTP/1.1")
        self.assertEqual((head.status, head.get("location")), (303, "/a?x=1&y=2"))
        self.assertEqual(
            head.get("set-cookie"),
            f"tunnel_visit={token}; Path=/; Max-Age=7200; HttpOnly; SameSite=Lax",
        )
        self.assertEqual(head.get("cache-control"), "no-store")
        self.assertEqual(head.get("referrer-policy"), "no-referrer")
        head = await self.seen(f"Cookie: a=b; tunnel_visit={token};c=d", line="GET /a HTTP/1.1")
        self.assertEqual(head.get("cookie"), "a=b; c=d")
        head = await self.seen(f"Cookie: tunnel_visit={token}")
        self.assertIsNone(head.get("cookie"))

    async def test_several_cookie_fields(self) -> None:
        cookies = ("Cookie: a=b", f"cookie: __Host-tunnel_visit={self.link_token()}", "Cookie: c=d")
        self.assertEqual((await self.seen(*cookies)).all("cookie"), ["a=b", "c=d"])

    async def test_no_other_cookie_is_in_its_way(self) -> None:
        head = await self.seen(f"Cookie: tunnel_visit=x; {self.cookie()[8:]}")
        self.assertEqual(head.get("cookie"), "a=b; c=d")

    async def test_cookies_of_others_do_not_crowd_it_out(self) -> None:
        """Any page of the base domain can set those that do not begin with `__Host-`."""
        own = f"__Host-tunnel_visit={self.link_token()}"
        await self.seen("Cookie: " + "tunnel_visit=x; " * 100 + own)
        await self.seen(f"Cookie: {own}" + "; tunnel_visit=x" * 100)

    async def test_programs_send_it(self) -> None:
        head = await self.seen(f"X-Tunnel-Token: {self.link_token()}", "Authorization: Bearer own")
        self.assertIsNone(head.get("x-tunnel-token"))
        self.assertEqual(head.get("authorization"), "Bearer own")

    async def test_no_good(self) -> None:
        good = self.link_token()
        for token in (
            self.link_token(end=int(self.edge.now)),
            self.link_token(end=int(self.edge.now) + 91 * 86400),
            self.link_token(key="j" * 43),
            self.link_token(hostname=f"other.{DOMAIN}"),
            self.link_token(owner="somebody else"),
            good[:-1] + ("A" if good[-1] != "A" else "B"),
            good.replace("1.1", "1.2", 1),
            good + "=",
            good.rpartition(".")[0],
            "x" * 40_000,
            "\xff",
            "%00",
        ):
            for field in (f"Cookie: tunnel_visit={token}", f"X-Tunnel-Token: {token}"):
                self.assertEqual((await self.answer(field)).status, 401, token[:99])
            if token.isascii():
                line = f"GET /?tunnel_token={token} HTTP/1.1"
                head = await self.answer(*PAGE, line=line)
                self.assertEqual((head.status, head.get("set-cookie")), (401, None), token[:99])

    async def test_what_an_expired_link_says(self) -> None:
        token = self.link_token()
        self.edge.now += 60
        visitor = await self.visit(self.request(f"GET /?tunnel_token={token} HTTP/1.1", *PAGE))
        self.assertIn(b"This link is not valid any more", (await read_answer(visitor))[1])
        self.assertEqual((await self.answer(f"Cookie: tunnel_visit={token}")).status, 401)

    async def test_replayed_on_another_host(self) -> None:
        other = Tunnel(f"http://127.0.0.1:{self.upstream.port}")
        self.edge.serve(f"other.{DOMAIN}", other)
        other.service.rule = self.tunnel.service.rule
        token, self.host = self.link_token(), f"other.{DOMAIN}"
        for field in (f"Cookie: tunnel_visit={token}", f"X-Tunnel-Token: {token}"):
            self.assertEqual((await self.answer(field)).status, 401)
        self.assertEqual(
            (await self.answer(line=f"GET /?tunnel_token={token} HTTP/1.1")).status, 401
        )

    async def test_another_key_ends_all_links(self) -> None:
        self.edge.settings.change(link_signing_key="j" * 43)
        self.assertEqual((await self.answer(self.cookie())).status, 401)
        self.edge.settings.change(link_signing_key="")
        self.assertEqual((await self.answer(self.cookie(key=""))).status, 401)

    async def test_a_link_that_was_revoked(self) -> None:
        """Link, cookie and field of that one are over at once, and those of others are not."""
        token, other = self.link_token(), self.link_token()
        await self.seen(f"Cookie: tunnel_visit={token}")
        self.edge.revoked.add(link_id(token))
        for field in (f"Cookie: tunnel_visit={token}", f"X-Tunnel-Token: {token}"):
            self.assertEqual((await self.answer(field)).status, 401)
        visitor = await self.visit(self.request(f"GET /?tunnel_token={token} HTTP/1.1", *PAGE))
        head, body = await read_answer(visitor)
        self.assertEqual((head.status, head.get("set-cookie")), (401, None))
        self.assertIn(b"This link is not valid any more", body)
        await self.seen(f"Cookie: tunnel_visit={other}")

    async def test_an_old_link_of_a_visitor_who_is_in(self) -> None:
        """The token vanishes, and is never the upstream's to see."""
        old = self.link_token(end=int(self.edge.now) - 1)
        head = await self.answer(self.cookie(), *PAGE, line=f"GET /?tunnel_token={old} HTTP/1.1")
        self.assertEqual((head.status, head.get("location")), (303, "/"))
        self.assertIsNone(head.get("set-cookie"))
        head = await self.seen(self.cookie(), line=f"DELETE /a?tunnel_token={old}&b HTTP/1.1")
        self.assertEqual(head.start, "DELETE /a?b HTTP/1.1")

    async def test_only_a_page_load_takes_the_token_from_the_address(self) -> None:
        token = self.link_token()
        for method in ("POST", "DELETE", "OPTIONS"):
            line = f"{method} /?tunnel_token={token} HTTP/1.1"
            self.assertEqual((await self.answer(line=line)).status, 401)
        upgrade = ("Connection: Upgrade", "Upgrade: websocket")
        line = f"GET /?tunnel_token={token} HTTP/1.1"
        self.assertEqual((await self.answer(*upgrade, line=line)).status, 401)

    async def test_a_link_leads_nowhere_else(self) -> None:
        token = self.link_token()
        for target, location in (
            ("//evil.example/", "/.//evil.example/"),
            ("/\\evil.example/", "/./\\evil.example/"),
            (f"http://{self.host}", "/"),
            (f"http://{self.host}/a", "/a"),
            (f"HTTP://{self.host}//evil.example", "/.//evil.example"),
            ("/\xe9\x22<>", '/%E9"<>'),
        ):
            head = await self.answer(line=f"GET {target}?tunnel_token={token} HTTP/1.1")
            self.assertEqual((head.status, head.get("location")), (303, location))

    async def test_no_other_page_opens_a_websocket_with_the_cookie(self) -> None:
        upgrade = ("Connection: Upgrade", "Upgrade: websocket")
        for origin in (f"http://evil.{DOMAIN}:8080", "null", "http://evil.example", ""):
            head = await self.answer(*upgrade, self.cookie(), f"Origin: {origin}")
            self.assertEqual(head.status, 401, origin)
        program = f"X-Tunnel-Token: {self.link_token()}"
        for fields in (
            (self.cookie(), f"Origin: https://{self.host.upper()}:8443"),
            (self.cookie(), f"Origin: http://{self.host}"),
            (self.cookie(),),
            (program, "Origin: http://evil.example"),
        ):
            visitor = await self.visit(self.request("GET / HTTP/1.1", *upgrade, *fields))
            upstream = await self.upstream.connection()
            self.assertEqual((await read_head(upstream)).get("upgrade"), "websocket")
            visitor.cut()
            await upstream.ended()
        head = await self.seen(self.cookie(), "Origin: http://evil.example")
        self.assertEqual(head.get("origin"), "http://evil.example")

    async def test_programs_learn_it_from_any_origin(self) -> None:
        head = await self.answer("Origin: https://a.example", "Sec-Fetch-Mode: cors")
        self.assertEqual((head.status, head.get("access-control-allow-origin")), (401, "*"))
        self.assertEqual(head.get("www-authenticate"), 'Bearer realm="tunnel"')

    async def test_behind_a_proxy_that_speaks_tls(self) -> None:
        line = f"GET /?tunnel_token={self.link_token()} HTTP/1.1"
        secure = "X-Forwarded-Proto: https"
        head = await self.answer(secure, line=line)
        self.assertTrue((head.get("set-cookie") or "").startswith("tunnel_visit="))
        self.edge.settings.change(trusted_proxies=networks("127.0.0.1"))
        head = await self.answer(secure, line=line)
        self.assertRegex(
            head.get("set-cookie") or "",
            r"^__Host-tunnel_visit=\S+; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure$",
        )

    async def test_the_log_shows_no_token(self) -> None:
        path = self.mktemp()
        self.edge.site.access_log = log = AccessLog(path)
        token = self.link_token()
        await self.answer(line=f"GET /a?tunnel_token={token}&b=c HTTP/1.1")
        await self.answer("Cookie: tunnel_visit=s3cret", basic("ann", "s3cret"))
        log.tick()
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn('"/a?tunnel_token=***&b=c" 303', text)
        self.assertNotIn(token, text)
        self.assertNotIn("s3cret", text)


class TlsTests(VisitTestCase):
    """Visitors that come by TLS."""

    options: ClassVar[dict[str, Any]] = {"private": True}

    trusted = ("app.tunnel.localhost", CERTIFICATE)

    def settings(self) -> dict[str, Any]:
        return {"link_signing_key": KEY, "tls": CERTIFICATE}

    async def test_the_cookie_is_for_this_host_over_tls_only(self) -> None:
        token = self.link_token()
        head = await self.answer(line=f"GET /?tunnel_token={token} HTTP/1.1")
        self.assertRegex(head.get("set-cookie") or "", r"^__Host-tunnel_visit=.*; Secure$")
        await self.seen(f"Cookie: __Host-tunnel_visit={token}")


class AddressTests(VisitTestCase):
    """Where visitors come from."""

    options: ClassVar[dict[str, Any]] = {
        "allow": ["127.0.0.0/29", "2001:db8::/32"],
        "deny": ["127.0.0.2"],
    }

    async def test_by_the_connection(self) -> None:
        await self.seen("X-Forwarded-For: 127.0.0.2", source="127.0.0.3")
        for source in ("127.0.0.2", "127.0.0.9"):
            head = await self.answer("X-Forwarded-For: 127.0.0.3", source=source)
            self.assertEqual(head.status, 403)
        self.assertEqual((await self.answer(*PAGE, source="127.0.0.9")).status, 403)

    async def test_by_what_a_trusted_proxy_says(self) -> None:
        self.edge.settings.change(trusted_proxies=networks("127.0.0.1", "10.0.0.0/8"))
        for said, let_in in (
            ("127.0.0.3", True),
            ("9.9.9.9, 127.0.0.3", True),
            ("127.0.0.3, 9.9.9.9", False),
            ("127.0.0.3, 10.1.1.1", True),
            ("127.0.0.2, 10.1.1.1", False),
            ("127.0.0.3:4711", True),
            ("[2001:db8::7]:4711", True),
            ("2001:db8::7", True),
            ("2001:db9::7", False),
            ("::ffff:127.0.0.2", False),
            ("::ffff:127.0.0.3", True),
            ("unknown", False),
            ("127.0.0.3, unknown", False),
            ("127.0.0.3,", True),
            ("10.1.1.1", False),
            ("", False),
            ("10.1.1.1, " * 200 + "127.0.0.3", True),
        ):
            field = f"X-Forwarded-For: {said}"
            if let_in:
                await self.seen(field)
            else:
                self.assertEqual((await self.answer(field)).status, 403, said)
        await self.seen("X-Forwarded-For: 9.9.9.9", "X-Forwarded-For: 127.0.0.3")

    async def test_a_proxy_is_no_visitor(self) -> None:
        """That it does not say whom it brings is no way around what is denied."""
        self.edge.settings.change(trusted_proxies=networks("127.0.0.1"))
        for options in ({"deny": ["203.0.113.0/24"]}, {"allow": ["127.0.0.0/8"]}):
            self.tunnel.service.rule = VisitRule.read("http", options)
            self.assertEqual((await self.answer()).status, 403)

    async def test_who_is_refused_uses_up_nothing(self) -> None:
        self.tunnel.session.usage = usage(connections_per_second=0.1)
        for _ in range(3):
            self.assertEqual((await self.answer(source="127.0.0.2")).status, 403)
        await self.seen(source="127.0.0.3")
        self.assertEqual((await self.answer(source="127.0.0.3")).status, 429)

    async def test_what_is_for_the_tunnel_stays_there(self) -> None:
        field = "Cookie: a=b; tunnel_visit=y"
        head = await self.seen("X-Tunnel-Token: x", field, basic("a", "b"))
        self.assertEqual((head.get("x-tunnel-token"), head.get("cookie")), (None, "a=b"))
        self.assertIsNotNone(head.get("authorization"))


class OpenTests(VisitTestCase):
    """A service for everybody."""

    async def test_all_is_passed_on(self) -> None:
        self.assertIsNone(self.tunnel.service.rule)
        fields = ("Cookie: a=tunnel_visit;  b=c", basic("a", "b"), "X-A: tunnel_visit")
        head = await self.seen(*fields, line="OPTIONS /?a=b HTTP/1.1")
        self.assertEqual(head.start, "OPTIONS /?a=b HTTP/1.1")
        self.assertEqual(head.get("cookie"), "a=tunnel_visit;  b=c")
        self.assertEqual(head.get("x-a"), "tunnel_visit")
        self.assertIsNotNone(head.get("authorization"))

    async def test_but_nobodys_leave_to_visit_the_name(self) -> None:
        """Whoever serves it now may be another than the one who gave it."""
        token = self.link_token()
        for name in ("tunnel_visit", "__Host-tunnel_visit"):
            head = await self.seen(
                f"Cookie: a=b; {name}={token};c=d",
                f"cookie: {name}={token}",
                f"X-TUNNEL-Token: {token}",
                line=f"GET /a?b&tunnel_token={token} HTTP/1.1",
            )
            self.assertEqual(head.start, "GET /a?b HTTP/1.1")
            self.assertEqual(head.all("cookie"), ["a=b; c=d"])
            self.assertNotIn(token, str(head))

    async def test_of_each_request_of_a_connection(self) -> None:
        visitor = await self.visit()
        upstream = None
        for _ in range(3):
            visitor.send(
                self.request("GET / HTTP/1.1", "X-Tunnel-Token: x", "Cookie: tunnel_visit=y")
            )
            upstream = upstream or await self.upstream.connection()
            head = await read_head(upstream)
            self.assertEqual(head.all("cookie") + head.all("x-tunnel-token"), [])
            upstream.send(ok())
            await read_answer(visitor)

    async def test_a_connection_keeps_no_large_head(self) -> None:
        visitor = await self.visit()
        upstream = None
        for line, field, kept in (
            ("GET / HTTP/1.1", "X-A: b", True),
            ("GET / HTTP/1.1", "X-A: " + "b" * 9000, False),
            (f"GET /{'a' * 9000} HTTP/1.1", "X-A: b", False),
            ("GET / HTTP/1.1", "X-A: " + "b" * 7000, True),
        ):
            visitor.send(self.request(line, field))
            upstream = upstream or await self.upstream.connection()
            self.assertEqual((await read_head(upstream)).start, line)
            upstream.send(ok())
            await read_answer(visitor)
            (channel,) = self.edge.site.channels
            self.assertEqual(channel._request is not None, kept)
