"""The inspector as a browser or a program asks it: who gets in, and what is answered."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

from inletspy.client.inspector import replay
from inletspy.client.inspector.heads import MASK
from inletspy.client.inspector.inspection import Inspection
from inletspy.client.inspector.settings import InspectSettings
from inletspy.errors import StartError
from tests.client.inspector.support import GET, OK, InspectorTestCase, get
from tests.client.inspector.test_messages import SSE, SWITCH, UPGRADE, chunk, frame
from tests.peers import Peer, Upstream, reactor, until

PATHS = ("/api/requests", "/api/services", "/api/events", "/api/har", "/api/requests/aaaaaa-1")
NASTY = "</script><img src=x onerror=alert(1)>\u202e\u200b\x7f"


class GateTests(InspectorTestCase):
    async def test_without_the_token(self) -> None:
        for path in PATHS:
            for fields in ((), ("Authorization: Bearer wrong",), ("Authorization: Basic eA==",)):
                answer = await self.ask(path, "GET", None, *fields, token=False)
                self.assertEqual(answer.status, 401, path)
                self.assertIn("www-authenticate", answer.fields)

    async def test_other_hosts(self) -> None:
        """A name that leads here is no name of ours (DNS rebinding)."""
        for host in (
            "evil.example.com",
            f"evil.example.com:{self.port}",
            "127.0.0.1",
            f"127.0.0.1:{self.port + 1}",
            f"127.0.0.1.nip.io:{self.port}",
            f"0.0.0.0:{self.port}",
        ):
            for path in ("/", "/assets/inspector/main.js", *PATHS):
                answer = await self.ask(path, host=host)
                self.assertEqual(answer.status, 421, host)
        for host in ("localhost", "LOCALHOST", "[::1]", "127.0.0.1"):
            answer = await self.ask("/api/services", host=f"{host}:{self.port}")
            self.assertEqual(answer.status, 200, host)

    async def test_a_port_that_browsers_leave_out(self) -> None:
        self.inspection._gate.port = 80
        for host in ("127.0.0.1", "localhost:80"):
            answer = await self.ask(
                "/api/services", "GET", None, f"Origin: http://{host}", host=host
            )
            self.assertEqual(answer.status, 200)
        answer = await self.ask("/api/services", host="evil.example.com")
        self.assertEqual(answer.status, 421)

    async def test_other_origins(self) -> None:
        id = self.pass_(GET, OK)
        for method, path in (
            ("POST", f"/api/requests/{id}/replay"),
            ("POST", f"/api/requests/{id}/pin"),
            ("DELETE", "/api/requests"),
            ("POST", "/api/session"),
            ("GET", "/api/requests"),
        ):
            for field in (
                "Origin: http://evil.example.com",
                "Origin: null",
                f"Origin: https://127.0.0.1:{self.port}",
                f"Origin: http://127.0.0.1:{self.port + 1}",
                "Sec-Fetch-Site: cross-site",
                "Sec-Fetch-Site: same-site",
            ):
                answer = await self.ask(path, method, {}, field)
                self.assertEqual(answer.status, 403, (method, path, field))
        self.assertEqual(len((await self.ask("/api/requests")).data["requests"]), 1)

    async def test_a_session(self) -> None:
        own = f"Origin: http://127.0.0.1:{self.port}"
        for token in ("", "wrong", self.token + "x", "ü"):
            answer = await self.ask("/api/session", "POST", {"token": token}, own, token=False)
            self.assertEqual(answer.status, 401, token)
        for body in ({}, {"token": 1}, {"token": None}):
            answer = await self.ask("/api/session", "POST", body, own, token=False)
            self.assertEqual(answer.status, 400)
        answer = await self.ask("/api/session", "POST", {"token": self.token}, own, token=False)
        cookie, _, rest = answer.fields["set-cookie"].partition("; ")
        self.assertTrue(cookie.startswith(f"inletspy_inspector_{self.port}="))
        self.assertNotIn(self.token, cookie)
        self.assertEqual(rest, "HttpOnly; SameSite=Strict; Path=/api")
        for kept, status in ((cookie, 200), (cookie + "x", 401), (cookie.lower(), 401)):
            answer = await self.ask(
                "/api/requests",
                "GET",
                None,
                f"Cookie: {kept}",
                "Sec-Fetch-Site: same-origin",
                token=False,
            )
            self.assertEqual(answer.status, status, kept)

    async def test_the_session_of_another_inspector(self) -> None:
        answer = await self.ask("/api/session", "POST", {"token": self.token}, token=False)
        value = answer.fields["set-cookie"].partition(";")[0].partition("=")[2]
        self.start()
        cookie = f"Cookie: inletspy_inspector_{self.port}={value}"
        answer = await self.ask("/api/requests", "GET", None, cookie, token=False)
        self.assertEqual(answer.status, 401)

    async def test_the_page_needs_no_token_and_holds_no_secret(self) -> None:
        answer = await self.ask("/", token=False)
        self.assertEqual(answer.status, 200)
        self.assertIn("default-src 'none'", answer.fields["content-security-policy"])
        self.assertNotIn(self.token.encode(), answer.body)

    async def test_only_this_machine_is_listened_to(self) -> None:
        self.assertEqual(self.inspection._listening.getHost().host, "127.0.0.1")

    async def test_what_is_no_call(self) -> None:
        for method, path, status in (
            ("GET", "/api/", 404),
            ("GET", "/api/requests/", 404),
            ("GET", "/api/requests/../requests", 404),
            ("GET", "/api/requests/zzzzzz-1", 404),
            ("GET", "/api/requests/aaaaaa-1", 404),
            ("GET", "/nothing", 404),
            ("POST", "/", 405),
            ("PUT", "/api/requests", 405),
            ("POST", "/api/requests/aaaaaa-1/pin", 404),
        ):
            answer = await self.ask(path, method)
            self.assertEqual(answer.status, status, (method, path))
            self.assertNotIn(b"Traceback", answer.body)

    async def test_what_is_no_http(self) -> None:
        for data in (b"\x16\x03\x01\0\0\r\n\r\n", b"GET /" + b"x" * 70_000 + b"\r\n\r\n"):
            peer = await self.peers.connect_to(self.port)
            peer.send(data)
            self.assertNotIn(b"Traceback", await peer.read_to_end())

    async def test_a_body_without_end(self) -> None:
        """Also one that is complete, but longer than what who has no token has to say."""
        for size, token in ((5 << 20, self.token), (5000, ""), (5000, "wrong")):
            peer = await self.peers.connect_to(self.port)
            peer.send(
                f"POST /api/session HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"Authorization: Bearer {token}\r\nContent-Length: {size}\r\n\r\n".encode()
            )
            peer.send(b"x" * size)
            self.assertNotEqual(await peer.ended(), None)
            self.assertEqual(await peer.read_to_end(), b"")


class PortTests(InspectorTestCase):
    def test_the_next_one(self) -> None:
        module = "inletspy.client.inspector.inspection"
        self.patch(__import__(module, fromlist=["PORT"]), "PORT", self.port)
        other = Inspection(reactor, InspectSettings(), self.tunnel, self.environ)
        other.open()
        self.addCleanup(other.close)
        self.assertNotIn(f":{self.port}/", other.url)

    def test_one_that_is_taken(self) -> None:
        other = Inspection(reactor, InspectSettings(port=self.port), self.tunnel, self.environ)
        error = self.assertRaises(StartError, other.open)
        self.assertIn(f"127.0.0.1:{self.port}", str(error))
        self.assertIn("--inspect", str(error))


class ListTests(InspectorTestCase):
    async def rows(self, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask(f"/api/requests{query}")).data["requests"]
        return found

    async def paths(self, query: str) -> list[str]:
        return [row["path"] for row in await self.rows(query)]

    async def test_a_summary(self) -> None:
        id = self.pass_(get("/a?b", "X-Forwarded-For: 203.0.113.7, 10.0.0.1"), OK)
        (row,) = await self.rows()
        self.assertEqual(
            {key: row[key] for key in row if not key.endswith(("_ms", "_at"))},
            {
                "id": id,
                "n": 1,
                "service": "web",
                "kind": "http",
                "method": "GET",
                "path": "/a?b",
                "host": "web.example.com",
                "status": 200,
                "state": "done",
                "request_bytes": 0,
                "response_bytes": 5,
                "content_type": "text/plain",
                "visitor": "203.0.113.7",
                "pinned": False,
                "replay_of": None,
                "failure": None,
            },
        )

    async def test_search(self) -> None:
        self.pass_(get("/one"), OK)
        post = get("/two", "Content-Length: 6").replace(b"GET", b"POST") + b"NEEDLE"
        self.pass_(post, OK.replace(b"200 OK", b"404 No"))
        self.pass_(get("/three"), OK.replace(b"200 OK", b"503 No").replace(b"hello", b"Straw"))
        self.pass_(get("/Four"))
        for query, expected in (
            ("", ["/Four", "/three", "/two", "/one"]),
            ("?limit=2", ["/Four", "/three"]),
            ("?limit=2&before=3", ["/two", "/one"]),
            ("?method=post", ["/two"]),
            ("?method=POST,PUT", ["/two"]),
            ("?status=404", ["/two"]),
            ("?status=5xx,200", ["/three", "/one"]),
            ("?status=none", ["/Four"]),
            ("?path=fo", ["/Four"]),
            ("?q=needle", ["/two"]),
            ("?q=STRAW", ["/three"]),
            ("?q=web.example.com&method=post", ["/two"]),
            ("?q=no%20such", []),
            ("?state=open", ["/Four"]),
            ("?kind=websocket", []),
            ("?service=web&slower_than=0", ["/three", "/two", "/one"]),
            ("?slower_than=100000", []),
            ("?pinned=true", []),
        ):
            self.assertEqual(await self.paths(query), expected, query)
        self.assertTrue((await self.ask("/api/requests?limit=3")).data["more"])
        self.assertFalse((await self.ask("/api/requests?limit=4")).data["more"])

    async def test_queries_that_make_no_sense(self) -> None:
        for query in (
            "limit=0",
            "limit=1001",
            "limit=x",
            "limit=1&limit=2",
            "status=99",
            "status=abc",
            "slower_than=-1",
            "slower_than=nan",
            "before=1e9",
            "pinned=maybe",
            "q=%ff",
        ):
            answer = await self.ask(f"/api/requests?{query}")
            self.assertEqual(answer.status, 400, query)

    async def test_failures_are_explained(self) -> None:
        for kind in ("refused", "timeout", "reset", "closed", "tls", "unknown_host", "unreachable"):
            stream = self.stream = self.open_stream()
            self.pass_(GET)
            stream.upstream_ended(kind, "it is so")
            stream.closed()
            failure = (await self.rows("?limit=1"))[0]["failure"]
            self.assertEqual((failure["kind"], failure["title"]), (kind, "It is so"))
            self.assertTrue(failure["advice"])
            self.assertNotIn("PLACE", failure["advice"])

    async def test_a_dev_server_refuses_the_host(self) -> None:
        body = b'Blocked request. This host ("web.example.com") is not allowed.'
        self.pass_(GET, b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        failure = (await self.rows())[0]["failure"]
        self.assertEqual(failure["kind"], "host_not_allowed")
        self.assertIn("Vite refuses the host web.example.com", failure["title"])
        self.assertIn("--host-header rewrite", failure["advice"])
        self.assertIn('"web.example.com" to server.allowedHosts', failure["advice"])

    async def test_refusals_that_swell(self) -> None:
        """A list tells of refusals; it must not take long because they are long."""
        body = gzip.compress(b"no" * (2 << 20))
        answer = b"HTTP/1.1 403 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b"
        for _ in range(1000):
            self.pass_(GET, answer % (len(body), body))
        began = time.process_time()
        await self.ask("/api/requests?limit=1000")
        self.assertLess(time.process_time() - began, 1)

    async def test_clear(self) -> None:
        self.pass_(GET, OK)
        self.assertEqual((await self.ask("/api/requests", "DELETE")).status, 200)
        self.assertEqual(await self.rows(), [])

    async def test_services(self) -> None:
        data = (await self.ask("/api/services")).data
        self.assertEqual(data["services"][0]["name"], "web")
        self.assertEqual((data["body_limit"], data["memory_limit"]), (1 << 20, 64 << 20))


class DetailTests(InspectorTestCase):
    async def test_both_sides(self) -> None:
        id = self.pass_(
            get("/p?q=1", "Content-Length: 5", "Content-Type: application/json").replace(
                b"GET", b"POST"
            )
            + b'{"a":',
            OK,
        )
        found = await self.detail(id)
        self.assertEqual(found["request"]["line"], "POST /p?q=1 HTTP/1.1")
        self.assertEqual(found["request"]["query"], [["q", "1"]])
        self.assertEqual(found["request"]["headers"][0], ["Host", "web.example.com"])
        body = found["request"]["body"]
        self.assertEqual((body["type"], body["text"], body["cut"]), ("json", '{"a":', False))
        self.assertEqual(found["response"]["line"], "HTTP/1.1 200 OK")
        self.assertEqual(found["response"]["body"]["text"], "hello")
        self.assertEqual((found["messages"], found["request"]["form"]), (None, None))
        self.assertTrue(found["curl"].startswith("curl "))

    async def test_secrets(self) -> None:
        answer = OK.replace(b"Content-Type", b"Set-Cookie: id=s3cret\r\nContent-Type")
        id = self.pass_(get("/", "Authorization: Bearer s3cret", "Cookie: s3cret"), answer)
        for path in (f"/api/requests/{id}", f"/api/requests/{id}/har", "/api/har"):
            self.assertNotIn(b"s3cret", (await self.ask(path)).body, path)
            self.assertIn(b"s3cret", (await self.ask(f"{path}?reveal=true")).body, path)
        found = await self.detail(id)
        self.assertEqual(found["request"]["masked"], ["Authorization", "Cookie"])
        self.assertEqual(found["response"]["headers"][0], ["Set-Cookie", MASK])

    async def test_markup_stays_text(self) -> None:
        nasty = NASTY.encode()
        long = b"A" * 60_000
        id = self.pass_(
            b"GET /%b HTTP/1.1\r\nHost: a\r\nX-Long: %b\r\nX-Nasty: <b>\xff\t\x80\r\n\r\n"
            % (nasty.replace(b" ", b"+").replace(b"\x7f", b""), long),
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%b"
            % (len(nasty), nasty),
        )
        for path in (
            "/api/requests",
            f"/api/requests/{id}",
            f"/api/requests/{id}/body",
            f"/api/requests/{id}/har",
        ):
            answer = await self.ask(path)
            self.assertEqual(answer.status, 200, path)
            self.assertNotIn("html", answer.fields["content-type"])
            self.assertEqual(answer.fields["x-content-type-options"], "nosniff")
            if not path.endswith("body"):
                self.assertTrue(answer.body.isascii())
        self.assertEqual((await self.detail(id))["response"]["body"]["text"], NASTY)

    async def test_bodies_are_never_pages(self) -> None:
        for kind, sent in (
            ("text/html", "application/octet-stream"),
            ("image/svg+xml", "application/octet-stream"),
            ("text/javascript", "application/octet-stream"),
            ("image/png; x=y", "image/png"),
        ):
            answer = OK.replace(b"text/plain", kind.encode())
            id = self.pass_(GET, answer)
            found = await self.ask(f"/api/requests/{id}/body?side=response")
            self.assertEqual((found.body, found.fields["content-type"]), (b"hello", sent))
            self.assertTrue(found.fields["content-disposition"].startswith("attachment"))
            self.assertIn("sandbox", found.fields["content-security-policy"])
            self.assertEqual(found.fields["cross-origin-resource-policy"], "same-origin")
        self.assertEqual((await self.ask(f"/api/requests/{id}/body?side=up")).status, 400)

    async def test_messages(self) -> None:
        id = self.pass_(UPGRADE, SWITCH + b"\r\n" + frame(b"hi"))
        found = await self.detail(id)
        self.assertEqual((found["kind"], found["messages"][0]["text"]), ("websocket", "hi"))
        self.assertEqual(found["response"]["body"]["type"], "empty")

    async def test_archives(self) -> None:
        first = self.pass_(get("/1?a=b"), OK)
        self.pass_(get("/2"), OK)
        one = json.loads((await self.ask(f"/api/requests/{first}/har")).body)["log"]
        self.assertEqual((one["version"], one["creator"]["name"]), ("1.2", "inletspy"))
        (entry,) = one["entries"]
        self.assertEqual(entry["request"]["url"], "http://web.example.com/1?a=b")
        self.assertEqual(entry["request"]["queryString"], [{"name": "a", "value": "b"}])
        content = entry["response"]["content"]
        self.assertEqual(content, {"size": 5, "mimeType": "text/plain", "text": "hello"})
        for key in ("startedDateTime", "time", "cache", "timings"):
            self.assertIn(key, entry)
        for key in ("method", "httpVersion", "cookies", "headers", "headersSize", "bodySize"):
            self.assertIn(key, entry["request"])
        for key in ("status", "statusText", "cookies", "headers", "redirectURL", "bodySize"):
            self.assertIn(key, entry["response"])
        many = json.loads((await self.ask("/api/har?path=/2")).body)["log"]["entries"]
        self.assertEqual([each["request"]["url"] for each in many], ["http://web.example.com/2"])
        every = json.loads((await self.ask("/api/har")).body)["log"]["entries"]
        self.assertEqual(len(every), 2)


class EventTests(InspectorTestCase):
    async def listen(self, query: str = "") -> Peer:
        peer = await self.peers.connect_to(self.port)
        peer.send(
            f"GET /api/events{query} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.token}\r\n\r\n".encode()
        )
        return peer

    async def event(self, peer: Peer, kind: str) -> Any:
        await peer.read_until(f"event: {kind}\ndata: ".encode())
        return json.loads(await peer.read_until(b"\n\n"))

    async def test_what_comes_and_changes(self) -> None:
        self.pass_(get("/before"), OK)
        peer = await self.listen()
        hello = await self.event(peer, "hello")
        self.assertEqual((hello["first_n"], hello["last_n"]), (1, 1))
        id = self.pass_(get("/now"))
        (row,) = (await self.event(peer, "requests"))["requests"]
        self.assertEqual((row["id"], row["path"], row["state"]), (id, "/now", "open"))
        self.stream.from_upstream(OK)
        (row,) = (await self.event(peer, "requests"))["requests"]
        self.assertEqual((row["id"], row["state"]), (id, "done"))
        await self.ask("/api/requests", "DELETE")
        hello = await self.event(peer, "hello")
        self.assertEqual((hello["first_n"], hello["last_n"]), (3, 2))
        peer.cut()
        await until(lambda: self.store.changed is None, "noted that nobody looks")

    async def test_messages(self) -> None:
        id = self.pass_(UPGRADE, SWITCH + b"\r\n" + frame(b"one"))
        peer = await self.listen(f"?request={id}")
        found = await self.event(peer, "messages")
        self.assertEqual((found["request"], found["messages"][0]["text"]), (id, "one"))
        self.stream.from_visitor(frame(b"two", key=b"abcd"))
        (message,) = (await self.event(peer, "messages"))["messages"]
        self.assertEqual((message["from"], message["text"]), ("visitor", "two"))
        other = await self.listen("?request=aaaaaa-1")
        self.assertIn(b" 404 ", await other.read_until(b"\r\n"))

    async def test_events_of_an_event_stream(self) -> None:
        id = self.pass_(get("/e"), SSE + chunk(b"data: one\n\n"))
        peer = await self.listen(f"?request={id}")
        self.assertEqual((await self.event(peer, "messages"))["messages"][0]["text"], "one")

    async def test_a_reader_that_stops(self) -> None:
        """What it has not read is not piled up."""
        peer = await self.listen()
        await self.event(peer, "hello")
        calls: Any = self.inspection._factory._site.resource._calls
        (viewer,) = calls._audience._viewers
        transport = viewer.request.channel.transport
        written: list[int] = []
        write = transport.write

        def counted(data: bytes) -> None:
            written.append(len(data))
            write(data)

        self.patch(transport, "write", counted)
        peer.pause()
        for _ in range(100):
            for place in range(100):
                self.pass_(get(f"/{place}/" + "x" * 500), OK)
            calls._audience._tell()  # no turn of the reactor: nothing leaves meanwhile
        self.assertLess(sum(written), 500_000)
        self.assertGreater(len(viewer.pending), 9000)
        self.store.clear()
        calls._audience._tell()
        self.assertEqual(len(viewer.pending), 0)
        peer.resume()
        await self.event(peer, "requests")

    async def test_more_than_is_told(self) -> None:
        """However much passes while a page is open, what it was not told of is bounded."""
        self.store.most = 500
        peer = await self.listen()
        await self.event(peer, "hello")
        calls: Any = self.inspection._factory._site.resource._calls
        (viewer,) = calls._audience._viewers
        self.patch(viewer.request, "write", lambda data: None)  # it keeps up
        for _ in range(10):
            for place in range(400):
                self.pass_(get(f"/{place}"), OK)
            calls._audience._tell()
        self.assertLessEqual(len(viewer.pending), 500)

    async def test_not_too_many(self) -> None:
        peers = [await self.listen() for _ in range(16)]
        for peer in peers:
            await self.event(peer, "hello")
        self.assertIn(b" 429 ", await (await self.listen()).read_until(b"\r\n"))


class ReplayTests(InspectorTestCase):
    def serve(self) -> Upstream:
        """An upstream that a test plays."""
        upstream = Upstream(self)
        self.tunnel.offers["web"] = self.tunnel.offers["web"].__class__(
            "web", "http", f"http://127.0.0.1:{upstream.port}", hostname="web"
        )
        return upstream

    async def replay(self, id: str, **edits: Any) -> str:
        answer = await self.ask(f"/api/requests/{id}/replay", "POST", edits)
        self.assertEqual(answer.status, 201, answer.body)
        return str(answer.data["id"])

    async def over(self, id: str) -> dict[str, Any]:
        one = self.store.find(id)
        assert one is not None
        await until(lambda: one.ended is not None, "over")
        return await self.detail(id)

    async def test_as_it_was(self) -> None:
        upstream = self.serve()
        chunked = get("/p", "Transfer-Encoding: chunked").replace(b"GET", b"PUT")
        chunked += b"3;x=y\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
        for request in (get("/a", "Authorization: x"), chunked):
            id = self.pass_(request, OK)
            again = await self.replay(id)
            peer = await upstream.connection()
            self.assertEqual(await peer.read(len(request)), request)
            self.assertEqual((await self.detail(again))["state"], "open")
            peer.send(OK.replace(b"hello", b"other"))
            found = await self.over(again)
            self.assertEqual((found["replay_of"], found["state"]), (id, "done"))
            self.assertEqual(found["response"]["body"]["text"], "other")
            await peer.ended()

    async def test_edited(self) -> None:
        upstream = self.serve()
        request = get(
            "/a",
            "Authorization: s3cret",
            "X-A: 1",
            "Content-Encoding: gzip",
            "Content-Length: 2",
            "Expect: 100-continue",
        ).replace(b"GET", b"POST")
        id = self.pass_(request + b"ab", OK)
        await self.replay(
            id,
            method="PATCH",
            path="/ü b?x=%20",
            headers=[
                ["Host", "other"],
                ["Authorization", MASK],
                ["X-B", "ü"],
                ["Content-Encoding", "gzip"],
                ["Content-Length", "999"],
                ["Transfer-Encoding", "chunked"],
            ],
            body={"text": "grüß"},
        )
        peer = await upstream.connection()
        head = await peer.read_until(b"\r\n\r\n")
        self.assertEqual(
            head.decode(),
            "PATCH /%C3%BC%20b?x=%20 HTTP/1.1\r\nHost: other\r\nAuthorization: s3cret\r\n"
            "X-B: ü\r\nContent-Length: 6\r\n\r\n",
        )
        self.assertEqual(await peer.read(6), "grüß".encode())

    async def test_edits_leave_the_rest(self) -> None:
        upstream = self.serve()
        chunked = get("/p", "Transfer-Encoding: chunked", "X-A: b").replace(b"GET", b"POST")
        chunked = chunked.replace(b"X-A: b", b"X-A: \xff")
        id = self.pass_(chunked + b"3\r\nabc\r\n0\r\n\r\n", OK)
        await self.replay(id, path="/q")
        peer = await upstream.connection()
        self.assertEqual(
            await peer.read_until(b"abc"),
            b"POST /q HTTP/1.1\r\nHost: web.example.com\r\nX-A: \xff\r\n"
            b"Content-Length: 3\r\n\r\nabc",
        )
        await self.replay(id, body={"base64": "AAE="})
        peer = await upstream.connection()
        self.assertEqual((await peer.read_until(b"\0\1"))[-6:], b"\r\n\r\n\0\1")

    async def test_edits_that_make_no_request(self) -> None:
        self.serve()
        id = self.pass_(GET, OK)
        for edits in (
            {"method": "GET X"},
            {"method": ""},
            {"method": "CONNECT"},
            {"path": "x"},
            {"path": 1},
            {"headers": "x"},
            {"headers": [["a"]]},
            {"headers": [["a b", "c"]]},
            {"headers": [["a", "b\r\nc: d"]]},
            {"headers": [["Host", "a"], ["Host", "b"]]},
            {"headers": [["Host", "a/b"]]},
            {"headers": [["Cookie", MASK]]},
            {"body": "x"},
            {"body": {"base64": "?"}},
            {"body": {"text": "a", "base64": "YQ=="}},
            {"url": "http://elsewhere/"},
        ):
            answer = await self.ask(f"/api/requests/{id}/replay", "POST", edits)
            self.assertEqual(answer.status, 400, edits)
        for data in (b"[]", b"{", b"\xff"):
            self.assertEqual(len((await self.ask("/api/requests")).data["requests"]), 1, data)

    async def test_a_path_with_line_breaks_stays_one_request(self) -> None:
        upstream = self.serve()
        id = self.pass_(GET, OK)
        await self.replay(id, path="/ HTTP/1.1\r\nHost: evil\r\n\r\nGET /")
        peer = await upstream.connection()
        self.assertEqual(
            await peer.read_until(b"\r\n"),
            b"GET /%20HTTP/1.1%0D%0AHost:%20evil%0D%0A%0D%0AGET%20/ HTTP/1.1\r\n",
        )

    async def test_a_body_that_was_cut(self) -> None:
        self.start(body_limit=10)
        upstream = self.serve()
        post = get("/p", "Content-Length: 20").replace(b"GET", b"POST")
        id = self.pass_(post + b"x" * 20, OK)
        answer = await self.ask(f"/api/requests/{id}/replay", "POST", {})
        self.assertEqual(answer.status, 409)
        self.assertIn("only 10 of 20 bytes", answer.detail)
        await self.replay(id, body={"text": "whole"})
        peer = await upstream.connection()
        self.assertTrue((await peer.read_until(b"whole")).endswith(b"\r\n\r\nwhole"))

    async def test_a_body_that_never_came(self) -> None:
        self.serve()
        for fields in (("Content-Length: 20",), ("Transfer-Encoding: chunked",)):
            post = get("/p", *fields).replace(b"GET", b"POST")
            self.stream = self.open_stream()
            id = self.pass_(post + b"5\r\nx", OK)
            answer = await self.ask(f"/api/requests/{id}/replay", "POST", {})
            self.assertEqual(answer.status, 409)
            self.assertIn("did not come to its end", answer.detail)

    async def test_a_websocket(self) -> None:
        id = self.pass_(UPGRADE, SWITCH + b"\r\n")
        answer = await self.ask(f"/api/requests/{id}/replay", "POST", {})
        self.assertEqual(answer.status, 409)

    async def test_the_upstream_is_gone(self) -> None:
        id = self.pass_(GET, OK)
        found = await self.over(await self.replay(id))
        self.assertEqual((found["state"], found["failure"]["kind"]), ("failed", "refused"))

    async def test_the_service_is_gone(self) -> None:
        id = self.pass_(GET, OK)
        self.tunnel.offers.clear()
        answer = await self.ask(f"/api/requests/{id}/replay", "POST", {})
        self.assertEqual(answer.status, 409)
        self.assertIn("web is not served", answer.detail)

    async def test_how_answers_end(self) -> None:
        upstream = self.serve()
        id = self.pass_(GET, OK)
        for data, end, state, kind in (
            (b"HTTP/1.1 200 OK\r\n\r\nup to the close", "close", "done", None),
            (OK[:-1], "close", "failed", "closed"),
            (OK[:-1], "cut", "failed", "reset"),
            (b"", "close", "failed", "closed"),
            (b"rubbish\r\n\r\n", "", "failed", "unreadable"),
        ):
            again = await self.replay(id)
            peer = await upstream.connection()
            await peer.read_until(b"\r\n\r\n")
            peer.send(data)
            if end == "cut":
                one = self.store.find(again)
                await until(lambda one=one: one.answer_size, "begun")  # type: ignore[misc]
            if end:
                getattr(peer, end)()
            found = await self.over(again)
            kinds = found["failure"] and found["failure"]["kind"]
            self.assertEqual((found["state"], kinds), (state, kind), data)

    async def test_an_upstream_that_says_nothing(self) -> None:
        self.patch(replay, "SILENCE", 0.05)
        self.serve()
        found = await self.over(await self.replay(self.pass_(GET, OK)))
        self.assertEqual(found["failure"]["kind"], "silent")

    async def test_an_answer_without_end(self) -> None:
        self.patch(replay, "MAX_ANSWER", 1000)
        upstream = self.serve()
        again = await self.replay(self.pass_(GET, OK))
        peer = await upstream.connection()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)
        found = await self.over(again)
        self.assertEqual(found["failure"]["kind"], "cut")
        await peer.ended()

    async def test_not_too_many(self) -> None:
        upstream = self.serve()
        id = self.pass_(GET, OK)
        for _ in range(replay.MAX_OPEN):
            await self.replay(id)
        answer = await self.ask(f"/api/requests/{id}/replay", "POST", {})
        self.assertEqual(answer.status, 429)
        peer = await upstream.connection()
        self.inspection.close()
        await peer.ended()


class PinTests(InspectorTestCase):
    async def pin(self, id: str, method: str = "POST") -> int:
        return (await self.ask(f"/api/requests/{id}/pin", method)).status

    async def test_over_a_restart(self) -> None:
        id = self.pass_(
            get("/hook", "Content-Length: 3", "Cookie: s3cret").replace(b"GET", b"POST") + b"abc",
            OK,
        )
        socket = self.open_stream()
        socket.from_visitor(UPGRADE)
        socket.from_upstream(SWITCH + b"\r\n" + frame(b"hi"))
        other = next(self.store.newest_first()).id
        self.assertEqual(await self.pin(other), 409)
        socket.closed()
        before = await self.detail(id, "?reveal=true")
        for pinned in (id, other, id):
            self.assertEqual(await self.pin(pinned), 200)
        self.start()
        self.pass_(get("/new"), OK)
        rows = (await self.ask("/api/requests")).data["requests"]
        self.assertEqual([row["path"] for row in rows], ["/new", "/ws", "/hook"])
        self.assertEqual(len({row["id"] for row in rows}), 3)
        after = await self.detail(id, "?reveal=true")
        self.assertEqual({**after, "n": 0}, {**before, "n": 0, "pinned": True})
        self.assertEqual((await self.detail(other))["messages"][0]["text"], "hi")
        self.assertEqual((await self.ask("/api/requests?pinned=true&limit=1")).data["more"], True)
        for pinned in (id, other):
            self.assertEqual(await self.pin(pinned, "DELETE"), 200)
            self.assertEqual((await self.ask(f"/api/requests/{pinned}")).status, 404)
        self.start()
        self.assertEqual((await self.ask("/api/requests")).data["requests"], [])

    async def test_stays_when_others_go(self) -> None:
        self.store.most = 3
        id = self.pass_(get("/stays"), OK)
        await self.pin(id)
        for place in range(5):
            self.pass_(get(f"/{place}"), OK)
        await self.ask("/api/requests", "DELETE")
        self.pass_(get("/last"), OK)
        rows = (await self.ask("/api/requests")).data["requests"]
        self.assertEqual([row["path"] for row in rows], ["/last", "/stays"])
        used = self.store.used
        await self.pin(id, "DELETE")
        self.assertEqual(self.store.used, used)
        self.assertEqual((await self.ask(f"/api/requests/{id}")).status, 404)

    async def test_nobody_else_may_read_it(self) -> None:
        id = self.pass_(GET, OK)
        await self.pin(id)
        folder = self.folder()
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        (file,) = folder.iterdir()
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)

    async def test_files_that_are_broken(self) -> None:
        await self.pin(self.pass_(GET, OK))
        for place, text in enumerate(("", "{", "[]", '{"format": 1}', "null", "\xff")):
            (self.folder() / f"aaaaaa-{place}.json").write_text(text, encoding="latin-1")
        (self.folder() / "other.txt").write_text("x")
        self.start()
        rows = (await self.ask("/api/requests")).data["requests"]
        self.assertEqual(len(rows), 1)
        self.flushLoggedErrors()

    async def test_not_too_much(self) -> None:
        self.start(memory_limit=1 << 20)
        big = b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" + b"x" * 600_000
        first, second = self.pass_(GET, big), ""
        self.assertEqual(await self.pin(first), 200)
        second = self.pass_(GET, big)
        self.assertEqual(await self.pin(second), 409)

    async def test_a_folder_that_can_not_be_had(self) -> None:
        self.environ["XDG_STATE_HOME"] = "/proc/nothing"
        self.start()
        id = self.pass_(GET, OK)
        self.assertEqual((await self.ask("/api/requests")).status, 200)
        answer = await self.ask(f"/api/requests/{id}/pin", "POST")
        self.assertEqual((answer.status, "/proc/nothing" in answer.detail), (500, True))

    def folder(self) -> Any:
        from inletspy.client.inspector.pins import state_folder

        return state_folder(self.environ) / "pins"
