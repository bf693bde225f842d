"""What happens on a link until it carries a session, and what a client may say on it."""

from __future__ import annotations

import hashlib
from struct import pack
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.errors import ClientAway, Code
from inletspy.wire import varint
from inletspy.wire.frames import CONTROL, DATA, OPEN, WINDOW, pack_frame
from tests.peers import until
from tests.tunnel.ends import Client
from tests.tunnel.plane import DOMAIN, TOKEN, Plane, Recorder, offer, stock_fields
from tests.tunnel.websocket import BINARY, TEXT, frame, handshake


class PlaneTestCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.plane = Plane(self)


class HandshakeTests(PlaneTestCase):
    async def assertRefused(self, request: bytes, status: int, text: str) -> None:
        answer = await self.plane.ask(request)
        self.assertTrue(answer.startswith(f"HTTP/1.1 {status} "), answer)
        self.assertIn(text, answer.partition("\r\n\r\n")[2])
        self.assertIn("\r\nConnection: close\r\n", answer)
        self.assertNotIn(TOKEN, answer)
        await self.plane.until_empty()

    async def test_token(self) -> None:
        self.plane.settings.change(wrong_tokens_per_address=0)
        for authorization in (
            [],
            ["Authorization: "],
            ["Authorization: Bearer"],
            ["Authorization: Bearer "],
            ["Authorization: Bearer wrong"],
            [f"Authorization: Basic {TOKEN}"],
            [f"Authorization: {TOKEN}"],
            [f"Authorization: Bearer {TOKEN}x"],
            [f"Authorization: Bearer {TOKEN}", "Authorization: Bearer wrong"],
            ["Authorization: Bearer \xff\x00"],
        ):
            for fields in ([], ["Sec-WebSocket-Protocol: inletspy.v1"], stock_fields("=http://a")):
                request = handshake(*authorization, *fields)
                await self.assertRefused(request, 401, "failed authentication")

    async def test_no_shared_token_lets_nobody_in(self) -> None:
        self.plane.settings.change(inlets_shared_token="")
        for token in ("", None, TOKEN):
            await self.assertRefused(handshake(token=token), 401, "failed authentication")

    async def test_no_upgrade(self) -> None:
        plain = "GET /tunnel HTTP/1.1\r\nHost: a\r\n"
        allowed = f"{plain}Authorization: Bearer {TOKEN}\r\n"
        await self.assertRefused(f"{allowed}\r\n".encode(), 400, "Upgrade")
        await self.assertRefused(f"{allowed}Connection: upgrade\r\n\r\n".encode(), 400, "Upgrade")
        # Whoever may not come in learns nothing but that.
        await self.assertRefused(f"{plain}\r\n".encode(), 401, "failed authentication")

    async def test_other_paths(self) -> None:
        for path in ("/", "/tunnel/", "/tunnels", "/Tunnel", "/%74unnel", "//tunnel", "/status"):
            await self.assertRefused(handshake(path=path, token=TOKEN), 404, "/tunnel")
            await self.assertRefused(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 404, "")

    async def test_path_with_a_query(self) -> None:
        client = Client(await self.plane.peer())
        await client.shake_hands(
            handshake(path="/tunnel?x=1", token=TOKEN, subprotocol="inletspy.v1")
        )
        client.hello()
        await client.hear("welcome")

    async def test_other_methods_and_versions(self) -> None:
        good = handshake(token=TOKEN)
        await self.assertRefused(good.replace(b"GET", b"POST"), 400, "POST")
        await self.assertRefused(good.replace(b"HTTP/1.1", b"HTTP/1.0"), 400, "HTTP/1.0")
        await self.assertRefused(good.replace(b"Version: 13", b"Version: 99"), 400, "99")
        await self.assertRefused(good.replace(b"Key: dGh", b"Key: "), 400, "Key")

    async def test_unknown_subprotocol(self) -> None:
        for offered in ("inletspy.v2", "chat, superchat"):
            request = handshake(token=TOKEN, subprotocol=offered)
            await self.assertRefused(request, 400, "this server speaks inletspy.v1")

    async def test_subprotocol_among_others(self) -> None:
        client = await self.plane.connect(subprotocol="inletspy.v2, inletspy.v1")
        self.assertIn("\r\nSec-WebSocket-Protocol: inletspy.v1\r\n", client.head)
        client.hello()
        await client.hear("welcome")

    async def test_nonsense(self) -> None:
        for request in (
            b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET /tunnel HTTP/1.1\r\n\xff\xfe: \x85\r\n\r\n",
            b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n",
            handshake(token=TOKEN).replace(b"Host: ", b"Host: a:\xb2"),
            handshake("Sec-WebSocket-Extensions: permessage-deflate; =", token=TOKEN),
            handshake("Origin: http://[", token=TOKEN),
        ):
            answer = await self.plane.ask(request)
            self.assertRegex(answer, r"^HTTP/1\.1 40[014] ")
        await self.plane.until_empty()

    async def test_tls(self) -> None:
        peer = await self.plane.peer()
        peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        self.assertEqual(await peer.ended(), "cut")

    async def test_endless_head(self) -> None:
        peer = await self.plane.peer()
        peer.send(b"GET /tunnel HTTP/1.1\r\n" + b"X: " + b"x" * 70_000)
        await peer.ended()
        self.assertEqual(peer.total, 0)

    async def test_peer_that_leaves_in_the_middle(self) -> None:
        whole = handshake(token=TOKEN, subprotocol="inletspy.v1")
        for end in range(0, len(whole), 7):
            peer = await self.plane.peer()
            peer.send(whole[:end])
            peer.cut()
        await self.plane.until_empty()


class HelloTests(PlaneTestCase):
    async def test_welcome(self) -> None:
        client = await self.plane.native(
            offer(hostname="app"), offer("db", "tcp://localhost:5432"), client_id="me@home"
        )
        welcome = client.welcome
        self.assertEqual(welcome["heartbeat"], 20)
        web, db = welcome["services"]
        self.assertEqual(web["public_url"], f"http://app.{DOMAIN}:8080")
        self.assertRegex(db["public_url"], rf"tcp://{DOMAIN}:30\d\d\d")
        self.assertNotEqual(web["number"], db["number"])
        self.assertGreaterEqual(len(bytes.fromhex(welcome["key"])) * 8, 128)
        rows = self.plane.admission.rows()
        self.assertEqual([row["client_id"] for row in rows], ["me@home"] * 2)
        self.assertEqual([row["hostname"] for row in rows], [f"app.{DOMAIN}", DOMAIN])
        self.assertNotIn(welcome["key"], str(rows))

    async def test_first_message_is_no_hello(self) -> None:
        for message in (
            {"type": "add_service", "service": offer()},
            {"type": "welcome"},
            {"type": "bye"},
            {},
            {"type": 1},
        ):
            client = await self.plane.connect()
            client.say(message)
            self.assertEqual((await client.closed())[0], 1002)

    async def test_second_hello(self) -> None:
        for first in ([], [offer(hostname="app")]):
            client = await self.plane.native(*first)
            client.hello()
            self.assertEqual(await client.closed(), (1002, "a second hello"))
        client = await self.plane.connect()
        hello = {"type": "hello", "version": 1, "client_id": "c", "services": []}
        client.say(hello, hello)  # in one message
        code, _ = await client.closed()
        self.assertEqual(code, 1002)
        await self.plane.until_empty()

    async def test_frames_before_hello(self) -> None:
        for message in (
            pack_frame(1, OPEN, b"\0\0"),
            pack_frame(2, DATA, b"x"),
            pack_frame(1, CONTROL, b"{}"),
            pack_frame(0, 99),
            b"cut",
        ):
            client = await self.plane.connect()
            client.send(message)
            self.assertEqual((await client.closed())[0], 1002)

    async def test_text(self) -> None:
        client = await self.plane.connect()
        client.send(b'{"type": "hello"}', TEXT)
        self.assertEqual(await client.closed(), (1002, "a text message"))

    async def test_message_of_two_mebibytes(self) -> None:
        for greet in (False, True):
            client = await (self.plane.native() if greet else self.plane.connect())
            client.send(b"x" * (2 << 20), BINARY)
            self.assertEqual((await client.closed())[0], 1009)

    async def test_no_json(self) -> None:
        for content in (
            b"",
            b"{",
            b"[]",
            b"null",
            b'"hello"',
            b"[" * 60_000,
            b'{"a":' * 10_000,
            b"\xff\xfe",
            b'{"type": "hello", "version": 1' + b"0" * 60_000 + b"}",
            b'{"type": "hello", "version": NaN}',
        ):
            client = await self.plane.connect()
            client.say(content)
            code, reason = await client.closed()
            self.assertEqual(code, 1002, content[:20])
            self.assertTrue(reason)

    async def test_wrong_types(self) -> None:
        good = offer(hostname="app")
        wrong: dict[str, Any]
        for wrong in (
            {"version": "1"},
            {"version": None},
            {"version": True},
            {"version": 1.0},
            {"version": -1},
            {"client_id": 7},
            {"client_id": None},
            {"client_id": "x" * 600},
            {"client_id": "a\nb"},
            {"services": None},
            {"services": {}},
            {"services": [1]},
            {"services": [{**good, "name": 1}]},
            {"services": [{**good, "proto": None}]},
            {"services": [{**good, "hostname": ["app"]}]},
            {"services": [{**good, "hostname": "a\0b"}]},
            {"services": [{**good, "upstream": {}}]},
            {"services": [{**good, "remote_port": "80"}]},
            {"services": [{**good, "remote_port": 65536}]},
            {"services": [{**good, "remote_port": -1}]},
            {"services": [{**good, "options": [1]}]},
            {"resume": "x"},
            {"resume": {}},
            {"resume": {"session": "x", "key": 1, "received": 0}},
        ):
            client = await self.plane.connect()
            client.hello(**wrong)
            code, reason = await client.closed()
            self.assertEqual(code, 1002, wrong)
            self.assertNotEqual(reason, "internal error")
        await self.plane.until_empty()

    async def test_values_of_no_use(self) -> None:
        for services, more, code, words in (
            ([], {"version": 2}, Code.VERSION, "update the older"),
            ([], {"client_id": ""}, Code.INVALID, "client_id must"),
            ([], {"client_id": "-a b"}, Code.INVALID, "client_id must"),
            ([offer(), offer()], {}, Code.INVALID, "same name"),
            ([offer("a b")], {}, Code.INVALID, "'a b'"),
            ([offer(proto="udp")], {}, Code.INVALID, "use http or tcp"),
            ([offer(upstream="http://localhost:0")], {}, Code.INVALID, "port"),
            ([offer(upstream="localhost")], {}, Code.INVALID, "http://localhost:3000"),
            ([offer(upstream="tcp://localhost")], {}, Code.INVALID, "names no port"),
            ([offer(upstream="http://a/b")], {}, Code.INVALID, "only scheme, host and port"),
            ([offer(proto="tcp")], {}, Code.INVALID, "no tcp upstream"),
        ):
            client = await self.plane.connect()
            client.hello(*services, **more)
            error = await client.refused()
            self.assertEqual(error["code"], code.value)
            self.assertIn(words, error["message"])
            self.assertIs(error["retry"], False)
        await self.plane.until_empty()

    async def test_more_services_than_fit(self) -> None:
        self.plane.settings.change(services_per_session=2)
        client = await self.plane.connect()
        client.hello(*(offer(f"s{number}") for number in range(3)))
        error = await client.refused()
        self.assertEqual(error["code"], "quota")
        self.assertIn("2 services at most", error["message"])
        client = await self.plane.connect()
        client.hello(*(offer(f"s{number}") for number in range(700)))
        self.assertEqual((await client.refused())["code"], "quota")

    async def test_disabled(self) -> None:
        self.plane.settings.change(tunnels_enabled=False)
        client = await self.plane.connect()
        client.hello(offer())
        error = await client.refused()
        self.assertEqual((error["code"], error["retry"]), ("tunnels_disabled", True))
        self.assertIn("inletspy config set tunnels_enabled true", error["message"])

    async def test_client_that_leaves_after_hello(self) -> None:
        for _ in range(10):
            client = await self.plane.connect()
            client.hello(offer(hostname="app"))
            client.peer.cut()
        await self.plane.until_empty()

    async def test_messages_straight_after_the_handshake(self) -> None:
        client = Client(await self.plane.peer())
        hello = b'{"type": "hello", "version": 1, "client_id": "c", "services": []}'
        early = frame(pack_frame(0, CONTROL, hello))
        request = handshake(token=TOKEN, subprotocol="inletspy.v1")
        await client.shake_hands(request + early)
        await client.hear("welcome")


class TimeTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()
        self.plane = Plane(self, self.clock)

    async def test_hello_comes_too_late(self) -> None:
        client = await self.plane.connect()
        self.clock.advance(10)
        code, reason = await client.closed()
        self.assertEqual((code, reason), (1002, "no hello"))
        await self.plane.until_empty()

    async def test_hello_on_a_link_that_closes(self) -> None:
        client = await self.plane.connect()
        self.clock.advance(10)
        client.hello(offer(hostname="app"))
        await client.closed()
        await self.plane.until_empty()
        self.assertIsNone(self.plane.routes.names.get(f"app.{DOMAIN}"))

    async def test_no_timer_is_left_of_a_greeting(self) -> None:
        client = await self.plane.native()
        self.clock.advance(10)
        self.assertEqual(len(self.plane.left()), 4)  # link, owner, session, what the owner has
        (heartbeat,) = self.clock.getDelayedCalls()
        client.peer.close()
        await self.plane.until_empty()
        client = await self.plane.connect()
        client.peer.cut()
        await self.plane.until_empty()
        self.assertEqual(self.clock.getDelayedCalls(), [heartbeat])

    async def test_silent_link_is_cut(self) -> None:
        client = await self.plane.native(offer(hostname="app"))
        stock = await self.plane.stock("stock.example.com=http://127.0.0.1:1")
        for silent in (client, stock):
            self.assertEqual(silent.peer.end, None)
        beats = 0
        while client.peer.end is None and beats < 3:
            self.clock.advance(20)
            beats += 1
            await until(lambda: client.peer.end or b"\x89\x00" in client.peer.received, "pinged")
            client.peer.received.clear()
        self.assertLessEqual(beats, 3)
        await stock.peer.ended()
        self.assertEqual(self.plane.admission.rows(), [])
        await self.plane.until_empty()

    async def test_link_that_answers_lives(self) -> None:
        client = await self.plane.native(offer(hostname="app"))
        (link,) = self.plane.control._links
        for _ in range(10):
            self.clock.advance(20)
            waiting = ensureDeferred(client.frame())  # answers pings
            await until(lambda: link.heard, "answered")
            self.assertIsNone(client.peer.end)
            waiting.addErrback(lambda failure: failure.trap(AssertionError))
        self.assertEqual(len(self.plane.admission.rows()), 1)
        client.peer.close()

    async def test_link_that_is_not_read_is_not_silent(self) -> None:
        stock = await self.plane.stock("stock.example.com=http://127.0.0.1:1")
        self.plane.only_session.mux.stopped = True
        for _ in range(5):
            self.clock.advance(20)
        self.assertEqual(len(self.plane.control._links), 1)
        stock.peer.close()

    async def test_heartbeat_as_it_is_set(self) -> None:
        self.plane.settings.change(heartbeat_seconds=5)
        self.clock.advance(20)
        client = await self.plane.native()
        self.assertEqual(client.welcome["heartbeat"], 5)
        for _ in range(3):
            self.clock.advance(5)
        await client.peer.ended()

    async def test_stop(self) -> None:
        clients = [await self.plane.native(), await self.plane.connect(), await self.plane.native()]
        stopped = self.plane.control.stop()
        for client in clients[:2]:
            self.assertEqual(await client.closed(), (1001, "the server is going away"))
        await until(lambda: len(self.plane.control._links) == 1, "rid of those that answer")
        self.assertNoResult(stopped)
        self.clock.advance(1)  # the last says nothing
        await stopped
        self.assertEqual(await clients[2].peer.ended(), "cut")

    async def test_stop_without_links(self) -> None:
        await self.plane.control.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def assertNoResult(self, deferred: Any) -> None:
        self.assertFalse(deferred.called)


class ControlMessageTests(PlaneTestCase):
    async def test_add_and_remove(self) -> None:
        client = await self.plane.native()
        client.say({"type": "add_service", "service": offer("web", hostname="app")})
        added = (await client.hear("service_added"))["service"]
        self.assertEqual(added["public_url"], f"http://app.{DOMAIN}:8080")
        client.say({"type": "add_service", "service": offer("db", "tcp://localhost:5432")})
        second = (await client.hear("service_added"))["service"]
        self.assertNotEqual(added["number"], second["number"])
        self.assertEqual(len(self.plane.admission.rows()), 2)

        changes = self.plane.changes
        client.say({"type": "remove_service", "name": "web"})
        client.say({"type": "remove_service", "name": "nothing"})
        client.say({"type": "add_service", "service": offer("web2", hostname="app")})
        for name in ("web", "nothing"):
            self.assertEqual((await client.hear("service_removed"))["name"], name)
        again = (await client.hear("service_added"))["service"]
        self.assertEqual(again["public_url"], added["public_url"])
        self.assertEqual(len(self.plane.admission.rows()), 2)
        self.assertEqual(self.plane.changes, changes + 2)

    async def test_no_stream_to_what_was_removed(self) -> None:
        client = await self.plane.native(offer(hostname="app"))
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        recorder = Recorder()
        service.connect(recorder, "192.0.2.1:9")
        client.say({"type": "remove_service", "name": "web"})
        await client.hear("service_removed")
        client.say({"type": "add_service", "service": offer("another")})
        added = (await client.hear("service_added"))["service"]
        self.assertEqual(added["number"], service.number)
        self.assertRaises(ClientAway, service.connect, Recorder(), "192.0.2.1:9")
        client.send(pack_frame(2, DATA, b"still here"))
        await until(lambda: recorder.received == b"still here", "heard")

    async def test_numbers_stay_small(self) -> None:
        client = await self.plane.native(offer("kept"))
        for number in range(20):
            client.say({"type": "add_service", "service": offer(f"s{number}")})
            added = (await client.hear("service_added"))["service"]
            self.assertEqual(added["number"], 2)
            client.say({"type": "remove_service", "name": f"s{number}"})
            await client.hear("service_removed")

    async def test_add_what_is_refused(self) -> None:
        client = await self.plane.native(offer(hostname="app"))
        other = await self.plane.native(client_id="other")
        self.plane.settings.change(services_per_session=2)
        for service, code in (
            (offer("a", hostname="app"), "hostname_taken"),
            (offer("b", hostname="-a"), "hostname_invalid"),
            (offer("c", upstream="nonsense"), "invalid"),
            (offer("d", proto="udp"), "invalid"),
            (offer("d e"), "invalid"),
            (offer("e", "tcp://localhost:1", remote_port=80), "port_unavailable"),
        ):
            other.say({"type": "add_service", "service": service})
            error = await other.hear("error")
            self.assertEqual((error["code"], error["service"]), (code, service["name"]))
        for name in ("one", "two", "three"):
            other.say({"type": "add_service", "service": offer(name)})
        await other.hear("service_added")
        await other.hear("service_added")
        self.assertEqual((await other.hear("error"))["code"], "quota")
        client.say({"type": "add_service", "service": offer("web")})
        error = await client.hear("error")
        self.assertEqual((error["code"], error["service"]), ("invalid", "web"))
        self.assertEqual(len(self.plane.admission.rows()), 3)

    async def test_malformed(self) -> None:
        for message in (
            {"type": "add_service"},
            {"type": "add_service", "service": "web"},
            {"type": "add_service", "service": {}},
            {"type": "add_service", "service": {**offer(), "name": 1}},
            {"type": "add_service", "service": {**offer(), "upstream": None}},
            {"type": "remove_service"},
            {"type": "remove_service", "name": ["web"]},
        ):
            client = await self.plane.native(offer(hostname="app"))
            client.say(message)
            code, reason = await client.closed()
            self.assertEqual(code, 1002, message)
            self.assertNotEqual(reason, "internal error")
            await self.plane.until_empty()

    async def test_messages_of_later_versions(self) -> None:
        client = await self.plane.native()
        client.say({"type": "poem", "lines": []})
        client.say({"type": "add_service", "service": offer(future={"a": 1})})
        await client.hear("service_added")

    async def test_goaway(self) -> None:
        client = await self.plane.native(offer(hostname="app"))
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        recorder = Recorder()
        service.connect(recorder, "192.0.2.1:9")
        client.say({"type": "goaway"})
        await client.hear("goaway")
        self.assertTrue(self.plane.only_session.draining)
        client.send(pack_frame(2, DATA, b"still here"))
        await until(lambda: recorder.received == b"still here", "heard")
        client.say({"type": "goaway"})  # once is enough
        client.say({"type": "add_service", "service": offer("more")})
        self.assertEqual((await client.hear("error"))["service"], "more")

    async def test_frames_that_no_client_may_send(self) -> None:
        for message in (
            pack_frame(2, DATA, b"x"),  # no such stream
            pack_frame(2, WINDOW, pack("!I", 1)),
            pack_frame(0, DATA, b"x"),
            pack_frame(2, OPEN, b"\0\1"),  # the server's to open
            pack_frame(1, 99),
            pack_frame(1, OPEN, b"\0"),
            b"\0" * 7,
        ):
            client = await self.plane.native(offer(hostname="app"))
            client.send(message)
            self.assertEqual((await client.closed())[0], 1002, message)
            await self.plane.until_empty()

    async def test_stream_that_the_client_opens(self) -> None:
        client = await self.plane.native()
        client.send(pack_frame(1, OPEN, b"\0\1192.0.2.1:9"))
        reset = await client.frame()
        self.assertIn(b"no such private service", reset.payload)

    async def test_credit_overrun(self) -> None:
        client = await self.plane.native(offer(hostname="app"))
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        recorder = Recorder()
        service.connect(recorder, "192.0.2.1:9").pauseProducing()
        for _ in range(4):
            client.send(pack_frame(2, DATA, b"x" * 65536))
        client.send(pack_frame(2, DATA, b"x"))
        self.assertEqual(await client.closed(), (1002, "DATA beyond the credit given"))
        await self.plane.until_empty()
        await until(lambda: recorder.end is not None, "ended")

    async def test_messages_after_the_close(self) -> None:
        client = await self.plane.native(offer(hostname="app"))
        self.plane.only_session.end()
        client.say({"type": "add_service", "service": offer("late", hostname="late")})
        await client.closed()
        await self.plane.until_empty()
        self.assertIsNone(self.plane.routes.names.get(f"late.{DOMAIN}"))


class StockTests(PlaneTestCase):
    """Clients of inlets OSS, which offer no subprotocol."""

    async def assertRefused(self, fields: list[str], status: int, text: str) -> None:
        answer = await self.plane.ask(handshake(*fields, token=TOKEN))
        self.assertTrue(answer.startswith(f"HTTP/1.1 {status} "), answer)
        self.assertIn(text, answer)
        await self.plane.until_empty()

    async def test_names(self) -> None:
        client = await self.plane.stock(
            "app.example.com=http://127.0.0.1:3000", "c0ffee-3000.tunnel.localhost=http://b:1"
        )
        self.assertNotIn("Sec-WebSocket-Protocol", client.head)
        rows = self.plane.admission.rows()
        # Its id, which would let anybody take over from it, is not shown.
        shown = hashlib.sha256(b"1f" * 16).hexdigest()[:32]
        self.assertEqual(
            [(row["hostname"], row["upstream"], row["client_id"]) for row in rows],
            [
                ("app.example.com", "http://127.0.0.1:3000", shown),
                (f"c0ffee-3000.{DOMAIN}", "http://b:1", "c0ffee"),
            ],
        )
        self.assertIsNone(self.plane.routes.catch_all)
        client.peer.cut()
        await self.plane.until_empty()
        self.assertEqual(self.plane.admission.rows(), [])

    async def test_several_in_one_field(self) -> None:
        await self.plane.stock("a.example.com=http://a:1,b.example.com=http://b:2")
        self.assertEqual(len(self.plane.admission.rows()), 2)

    async def test_catch_all(self) -> None:
        first = await self.plane.stock("=http://127.0.0.1:3000")
        second = await self.plane.stock("=http://127.0.0.1:4000", inlets_id="2e" * 16)
        one, two = self.plane.admission.rows()
        self.assertRegex(one["hostname"], rf"^[a-z0-9]+\.{DOMAIN}$")
        self.assertNotEqual(one["hostname"], two["hostname"])
        catch_all = self.plane.routes.catch_all
        assert catch_all is not None
        self.assertEqual(catch_all.offer.upstream, "http://127.0.0.1:3000")
        first.peer.cut()
        await until(lambda: len(self.plane.admission.rows()) == 1, "gone")
        catch_all = self.plane.routes.catch_all
        assert catch_all is not None
        self.assertEqual(catch_all.offer.upstream, "http://127.0.0.1:4000")
        second.peer.cut()

    async def test_what_is_missing(self) -> None:
        good = stock_fields("a.example.com=http://a:1")
        for fields in (
            good[1:],  # no id
            ["x-inlets-id: ", *good[1:]],
            ["x-inlets-id: \xff", *good[1:]],
            ["x-inlets-id: a\x1b[1mb", *good[1:]],
            ["x-inlets-id: " + "1" * 200, *good[1:]],
            good[:1],  # no upstream
            stock_fields(""),
            stock_fields("http://a:1"),
            stock_fields("a=ftp://a:1"),
            stock_fields("a=" + "http://" + "a" * 600),
        ):
            await self.assertRefused(fields, 401, "failed authentication")

    async def test_malformed_upstreams_are_skipped(self) -> None:
        client = await self.plane.stock("nonsense", "a.example.com=http://a:1", "b=gopher://b:1")
        self.assertEqual(len(self.plane.admission.rows()), 1)
        client.peer.close()

    async def test_refusals_have_a_status_and_a_reason(self) -> None:
        held = await self.plane.stock("a.example.com=http://a:1")
        other = "2e" * 16
        for upstream, status, words in (
            ("a.example.com=http://b:2", 409, "a.example.com is taken"),
            ("-a=http://b:2", 403, "no name"),
            (f"a.b.{DOMAIN}=http://b:2", 403, "a-b"),
            (f"{DOMAIN}=http://b:2", 403, "can't be served"),
            ("b.example.com=http://b:2/path", 400, "only scheme, host and port"),
        ):
            fields = stock_fields(upstream, inlets_id=other)
            answer = await self.plane.ask(handshake(*fields, token=TOKEN))
            self.assertTrue(answer.startswith(f"HTTP/1.1 {status} "), answer)
            self.assertIn(words, answer)
        self.plane.settings.change(custom_domains_enabled=False)
        held.peer.cut()
        await self.plane.until_empty()
        await self.assertRefused(stock_fields("c.example.com=http://b:2"), 403, DOMAIN)
        self.plane.settings.change(tunnels_enabled=False)
        await self.assertRefused(stock_fields("=http://b:2"), 503, "tunnels are disabled")

    async def test_messages(self) -> None:
        client = await self.plane.stock("a.example.com=http://a:1")
        service = self.plane.target("a.example.com")
        assert service is not None
        recorder = Recorder()
        stream = service.connect(recorder, "192.0.2.1:9")
        stream.write(b"GET")
        connect = (await client.frame()).payload
        self.assertTrue(connect.endswith(b"tcp/a:1"), connect)
        numbers = [varint.encode(number) for number in (7, 2, 1, 0)]
        client.send(b"".join(numbers) + b"200")
        await until(lambda: recorder.received == b"200", "answered")
        client.send(b"".join([*numbers[:2], varint.encode(3)]) + b"EOF")
        await until(lambda: recorder.end is not None, "ended")

    async def test_bad_messages(self) -> None:
        for message in (
            b"",
            b"\x80" * 11,
            b"\x80" * 10 + b"\x01",
            b"\x02",
            b"\x02\x04\x02",  # Data without a deadline
            b"\x02\x04\x10\x00",  # SyncConnections of a broken length
        ):
            client = await self.plane.stock("a.example.com=http://a:1")
            client.send(message)
            self.assertEqual((await client.closed())[0], 1002, message)
            await self.plane.until_empty()
        client = await self.plane.stock("a.example.com=http://a:1")
        client.send(b"text", TEXT)
        self.assertEqual((await client.closed())[0], 1002)
