"""The client's end of a session, towards servers that say what a test says."""

from __future__ import annotations

from struct import pack, unpack
from typing import Any

from inletspy.client import agent
from inletspy.errors import Refused, ResetCode, ServerUnreachable
from inletspy.wire import varint
from inletspy.wire.control import ServiceOffer, ShareLink
from inletspy.wire.frames import CONTROL, DATA, FIN, OPEN, RESET, pack_frame
from tests.client.test_relay import Tap
from tests.client.tunnelling import WEB, DialerTestCase
from tests.peers import FINISHED, Upstream, until
from tests.tunnel.ends import Server, grant
from tests.tunnel.websocket import CLOSE, PING, PONG, TEXT, take_frames

VISITOR = b"192.0.2.1:9"


class AgentTestCase(DialerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.listening = Upstream(self)
        self.url = f"ws://127.0.0.1:{self.listening.port}"

    async def welcomed(self, *services: ServiceOffer) -> Server:
        """A server that has welcomed a client with these services, numbered from 1 on."""
        self.dial(self.url, *services)
        server = await Server.welcoming(self, self.listening)
        await self.told.next("ready")
        return server

    async def frames(self, server: Server) -> list[tuple[int, int, bytes]]:
        """The stream frames in the client's next message: stream, type and payload."""
        message = (await server.frame()).payload
        found = []
        while message:
            stream, word = unpack("!II", message[:8])
            found.append((stream, word & 0xFF, message[8 : 8 + (word >> 8)]))
            message = message[8 + (word >> 8) :]
        return found


class GreetingTests(AgentTestCase):
    async def test_hello(self) -> None:
        database = ServiceOffer("db", "tcp", "tcp://localhost:5432", remote_port=30001)
        self.dial(self.url, WEB, database, client_id="me")
        server = await Server.accept(self.listening)
        self.assertEqual(server.field("Sec-WebSocket-Protocol"), "inletspy.v1")
        self.assertEqual(server.field("Authorization"), "Bearer a shared token")
        hello = await server.hear("hello")
        self.assertEqual((hello["version"], hello["client_id"]), (1, "me"))
        self.assertNotIn("resume", hello)
        web, db = hello["services"]
        self.assertEqual((web["hostname"], db["remote_port"]), ("app", 30001))

    async def test_listed_by_another_id(self) -> None:
        self.dial(self.url, client_id="c0ffee")
        server = await Server.accept(self.listening)
        await server.hear("hello")
        server.say(
            {
                "type": "welcome",
                "session": "5e55",
                "key": "6b",
                "heartbeat": 20,
                "services": [grant(1, "web")],
                "client_id": "alice-c0ffee",
            }
        )
        await self.told.next("ready")
        self.assertEqual(self.told.client_id, "alice-c0ffee")

    async def test_a_server_that_does_not_say_how_it_lists(self) -> None:
        await self.welcomed()
        self.assertEqual(self.told.client_id, "client")

    async def test_no_token(self) -> None:
        self.dial(self.url, token="")
        server = await Server.accept(self.listening)
        self.assertNotIn("Authorization", server.head)

    async def test_resume(self) -> None:
        server = await self.welcomed()
        server.peer.cut()
        await self.told.next("disconnected")
        server = await Server.accept(self.listening)
        hello = await server.hear("hello")
        self.assertEqual(hello["resume"], {"session": "5e55", "key": "6b", "received": 0})
        await server.refuse("session_expired", retry=True)
        server = await Server.accept(self.listening)
        self.assertNotIn("resume", await server.hear("hello"))
        server.welcome(grant(1, "web"))
        await self.told.next("ready")  # without a word about the detour

    async def test_bad_welcomes(self) -> None:
        good = {"type": "welcome", "session": "5e55", "key": "6b", "heartbeat": 20, "services": []}
        for message in (
            {**good, "services": [grant(1, "another")]},
            {**good, "services": [{"name": "web"}]},
            {**good, "services": {}},
            {**good, "heartbeat": 0},
            {**good, "heartbeat": "20"},
            {**good, "heartbeat": 1e9},
            {**good, "session": 7},
            {**good, "key": None},
            {"type": "error"},
            {"type": "error", "code": 1, "message": "x"},
            {"type": "notice", "message": "\x1b[2J"},
            {"type": 1},
            b"[]",
            b"{",
        ):
            running = self.dial(self.url)
            server = await Server.accept(self.listening)
            server.say(message)
            self.assertEqual((await self.closing(server))[0], 1002, message)
            server.peer.close()
            await self.fails(running, ServerUnreachable)
        self.assertEqual(self.told.events, [])

    async def closing(self, server: Server) -> tuple[int, str]:
        await server.hear("hello")
        return await server.closing()

    async def test_second_welcome(self) -> None:
        server = await self.welcomed()
        server.welcome()
        self.assertEqual(await server.closing(), (1002, "a second welcome"))

    async def test_code_of_a_later_version(self) -> None:
        running = self.dial(self.url)
        server = await Server.accept(self.listening)
        await server.hear("hello")
        await server.refuse("too_fancy")
        error = await self.fails(running, Refused)
        self.assertEqual(str(error), "it is too_fancy")

    async def test_notice_and_messages_of_later_versions(self) -> None:
        server = await self.welcomed()
        server.say({"type": "poem"}, {"type": "notice", "message": "back in 5 minutes"})
        self.assertEqual(await self.told.next("notice"), ("notice", "back in 5 minutes"))
        server.say({"type": "error", "service": "web", "code": "quota", "message": "x"})
        server.send(pack_frame(1, OPEN, b"\0"))  # not a server's to open
        self.assertEqual((await server.closing())[0], 1002)

    async def test_share_links(self) -> None:
        self.assertFalse(self.dialer and self.dialer.ask_for_link("web", 60))
        server = await self.welcomed()
        self.assertTrue(self.dialer.ask_for_link("web", 7200))
        wish = await server.hear("share")
        self.assertEqual(wish, {"type": "share", "service": "web", "seconds": 7200})
        link = ShareLink("web", "http://app/?tunnel_token=x", 1 << 32)
        server.say(link.message())
        self.assertEqual(await self.told.next("shared"), ("shared", link))
        server.say({"type": "shared", "service": "web", "url": 1})
        self.assertEqual((await server.closing())[0], 1002)

    async def test_text_and_huge_messages(self) -> None:
        for message, opcode, code in ((b"x", TEXT, 1002), (b"x" * (2 << 20), 2, 1009)):
            server = await self.welcomed()
            server.send(message, opcode)
            self.assertEqual((await server.closing())[0], code)
            server.peer.close()
            self.told.events.clear()
            self.told._seen = 0
            await self.dialer.stop()


class StreamTests(AgentTestCase):
    async def test_data_with_the_opening(self) -> None:
        upstream = Upstream(self)
        server = await self.welcomed(ServiceOffer("db", "tcp", f"tcp://127.0.0.1:{upstream.port}"))
        server.send(
            pack_frame(2, OPEN, pack("!H", 1) + VISITOR)
            + pack_frame(2, DATA, b"question")
            + pack_frame(2, FIN)
        )
        peer = await upstream.connection()
        self.assertEqual(await peer.read_to_end(), b"question")
        self.assertEqual(peer.end, FINISHED)
        peer.send(b"answer")
        self.assertIn((2, DATA, b"answer"), await self.frames(server))
        peer.close()
        self.assertEqual(await self.frames(server), [(2, FIN, b"")])
        self.assertEqual(len(self.told.events), 1)  # nobody follows what is not http

    async def test_proxy_protocol(self) -> None:
        upstream = Upstream(self)
        place = f"tcp://127.0.0.1:{upstream.port}"
        server = await self.welcomed(
            ServiceOffer("db", "tcp", place, options={"proxy_protocol": "v1"}),
            ServiceOffer("other", "tcp", place),
        )
        server.send(
            pack_frame(2, OPEN, pack("!H", 1) + VISITOR)
            + pack_frame(2, DATA, b"question")
            + pack_frame(2, FIN)
        )
        peer = await upstream.connection()
        line = f"PROXY TCP4 192.0.2.1 127.0.0.1 9 {upstream.port}\r\n".encode()
        self.assertEqual(await peer.read_to_end(), line + b"question")
        server.send(
            pack_frame(4, OPEN, pack("!H", 2) + VISITOR)
            + pack_frame(4, DATA, b"question")
            + pack_frame(4, FIN)
        )
        self.assertEqual(await (await upstream.connection()).read_to_end(), b"question")

    async def test_upstream_refuses(self) -> None:
        upstream = Upstream(self)
        await upstream.stop()
        place = f"127.0.0.1:{upstream.port}"
        server = await self.welcomed(ServiceOffer("web", "http", f"http://{place}"))
        server.send(pack_frame(2, OPEN, pack("!H", 1) + VISITOR))
        ((stream, kind, payload),) = await self.frames(server)
        self.assertEqual((stream, kind, payload[:2]), (2, RESET, pack("!H", ResetCode.REFUSED)))
        await self.told.next("follow")
        _, service, reason = await self.told.next("upstream_failed")
        self.assertEqual((service, reason), ("web", payload[2:].decode()))
        self.assertIn(f"nothing listens on {place}", reason)

    async def test_service_that_is_none(self) -> None:
        server = await self.welcomed()
        server.send(pack_frame(2, OPEN, pack("!H", 7) + VISITOR))
        ((_, kind, payload),) = await self.frames(server)
        self.assertEqual(
            (kind, payload), (RESET, pack("!H", ResetCode.REFUSED) + b"no such service")
        )

    async def test_stream_before_the_welcome(self) -> None:
        self.dial(self.url)
        server = await Server.accept(self.listening)
        await server.hear("hello")
        server.send(pack_frame(2, OPEN, pack("!H", 1) + VISITOR))
        ((_, kind, _),) = await self.frames(server)
        self.assertEqual(kind, RESET)

    async def test_tap(self) -> None:
        upstream = Upstream(self)
        self.told.tap = tap = Tap()
        server = await self.welcomed(
            ServiceOffer("web", "http", f"http://127.0.0.1:{upstream.port}")
        )
        server.send(pack_frame(2, OPEN, pack("!H", 1) + VISITOR) + pack_frame(2, DATA, b"question"))
        self.assertEqual(await self.told.next("follow"), ("follow", "web", VISITOR.decode()))
        peer = await upstream.connection()
        await peer.read(8)
        server.peer.cut()
        await peer.ended()
        self.assertEqual((tap.sent, tap.closes), (b"question", 1))

    async def test_frames_that_no_server_may_send(self) -> None:
        for message in (
            pack_frame(2, DATA, b"x"),
            pack_frame(3, OPEN, b"\0\1"),
            pack_frame(0, OPEN, b"\0\1"),
            pack_frame(2, CONTROL, b"{}"),
            pack_frame(2, 77),
            b"cut",
        ):
            server = await self.welcomed()
            server.send(message)
            self.assertEqual((await server.closing())[0], 1002, message)
            server.peer.close()
            await self.told.next("disconnected")
            await self.dialer.stop()


class SilenceTests(AgentTestCase):
    async def test_silent_server_is_given_up(self) -> None:
        self.dial(self.url)
        server = await Server.accept(self.listening)
        await server.hear("hello")
        server.welcome(heartbeat=0.02)
        await self.told.next("ready")
        _, reason, _ = await self.told.next("disconnected")
        self.assertEqual(reason, "the server has fallen silent")
        pings = [f for f in take_frames(server.peer.received) if f.opcode == PING]
        self.assertLessEqual(len(pings), 3)

    async def test_server_that_answers_is_kept(self) -> None:
        self.dial(self.url)
        server = await Server.accept(self.listening)
        await server.hear("hello")
        server.welcome(heartbeat=0.2)
        await self.told.next("ready")
        for _ in range(4):
            data = bytearray(await server.peer.read(6))
            (ping,) = take_frames(data)
            self.assertEqual(ping.opcode, PING)
            server.send(ping.payload, PONG)
        self.assertEqual(len(self.told.events), 1)

    async def test_goaway_of_an_idle_session(self) -> None:
        server = await self.welcomed()
        server.say({"type": "goaway"})
        self.assertEqual(await server.closing(), (1000, "the client ends"))
        server.peer.close()
        _, reason, _ = await self.told.next("disconnected")
        self.assertEqual(reason, "the server asks to reconnect")


class InletsTests(AgentTestCase):
    """Towards a stock server."""

    def stock(self, *services: ServiceOffer) -> Any:
        return self.dial(self.url, *services, protocol="inlets")

    async def test_handshake(self) -> None:
        self.stock(WEB, ServiceOffer("any", "http", "http://localhost:4000/"))
        server = await Server.accept(self.listening, None)
        self.assertEqual(await self.told.next("ready"), ("ready", ["app", ""]))
        self.assertNotIn("Sec-WebSocket-Protocol", server.head)
        first_id = server.field("x-inlets-id")
        self.assertEqual(len(bytes.fromhex(first_id)), 16)
        self.assertIn("\r\nx-inlets-upstream: app=http://localhost:3000\r\n", server.head)
        self.assertIn("\r\nx-inlets-upstream: =http://localhost:4000\r\n", server.head)
        server.peer.cut()
        await self.told.next("disconnected")
        server = await Server.accept(self.listening, None)
        self.assertEqual(server.field("x-inlets-id"), first_id)

    async def test_stream(self) -> None:
        upstream = Upstream(self)
        place = f"127.0.0.1:{upstream.port}"
        self.stock(ServiceOffer("web", "http", f"http://{place}"))
        server = await Server.accept(self.listening, None)
        server.send(message(2, 2, f"tcp/{place}".encode()))
        server.send(message(2, 1, b"question"))
        peer = await upstream.connection()
        self.assertEqual(await peer.read(8), b"question")
        peer.send(b"answer")
        self.assertTrue((await server.frame()).payload.endswith(b"answer"))
        server.send(message(2, 3, b"EOF"))
        await peer.ended()
        await self.told.next("ready")
        await self.told.next("follow")

    async def test_dials_nothing_but_what_was_announced(self) -> None:
        upstream = Upstream(self)
        self.stock(ServiceOffer("web", "http", "http://localhost:3000"))
        server = await Server.accept(self.listening, None)
        for address in (
            f"tcp/127.0.0.1:{upstream.port}",
            "tcp/127.0.0.1:3000",
            "tcp/localhost:03000",
            "udp/localhost:3000",
            "unix//var/run/docker.sock",
        ):
            server.send(message(2, 2, address.encode()))
            answer = (await server.frame()).payload
            self.assertIn(b"not allowed", answer, address)
        self.assertEqual(upstream.accepted, 0)

    async def test_pings_and_silence(self) -> None:
        self.patch(agent, "_INLETS_PING_SECONDS", 0.02)
        self.stock()
        server = await Server.accept(self.listening, None)
        await self.told.next("ready")
        _, reason, _ = await self.told.next("disconnected")
        self.assertEqual(reason, "the server has fallen silent")
        pings = take_frames(server.peer.received)
        self.assertEqual({ping.opcode for ping in pings}, {PING})
        self.assertGreater(len(pings), 8)

    async def test_server_closes(self) -> None:
        self.stock()
        server = await Server.accept(self.listening, None)
        await self.told.next("ready")
        server.close(1001, "restarting")
        await until(lambda: server.peer.received, "answered")
        self.assertEqual([f.opcode for f in take_frames(server.peer.received)], [CLOSE])
        server.peer.close()
        self.assertEqual((await self.told.next("disconnected"))[1], "restarting")


def message(connection: int, kind: int, payload: bytes) -> bytes:
    """A message of the inlets protocol."""
    numbers = [1, connection, kind, *([15_000] if kind in (1, 2) else [])]
    return b"".join(map(varint.encode, numbers)) + payload
