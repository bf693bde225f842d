"""A session is found, kept and found again; and given up where trying is of no use."""

from __future__ import annotations

import os
import random
import socket
from dataclasses import replace
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from zope.interface import directlyProvides, providedBy

from inletspy.client import agent, dialer, proxy
from inletspy.client.dialer import Dialer, ProxyAddress
from inletspy.client.server import ServerAddress
from inletspy.errors import Code, Refused, ServerUnreachable
from inletspy.tunnel import clientlink
from inletspy.wire.control import ServiceOffer
from tests.certificates import self_signed
from tests.client.test_relay import silent_port
from tests.client.tunnelling import WEB, DialerTestCase, Told
from tests.peers import CLOSED, CUT, Peer, Upstream, reactor, until
from tests.tunnel.ends import Server
from tests.tunnel.plane import DOMAIN, TOKEN, Plane, Recorder, offer


class PlaneTestCase(DialerTestCase):
    """With the real control plane."""

    def setUp(self) -> None:
        super().setUp()
        self.plane = Plane(self)

    def cut(self) -> None:
        """Cut the link at the server."""
        (link,) = self.plane.control._links
        link.abort()


class SessionTests(PlaneTestCase):
    async def test_ready(self) -> None:
        self.dial(self.plane.url)
        self.assertEqual(await self.told.next("ready"), ("ready", [f"http://app.{DOMAIN}:8080"]))
        (row,) = self.plane.admission.rows()
        self.assertEqual((row["client_id"], row["wire"]), ("client", "inletspy.v1"))

    async def test_at_once_after_a_loss(self) -> None:
        self.dial(self.plane.url)
        await self.told.next("ready")
        for _ in range(3):
            old = self.plane.only_session
            self.cut()
            _, reason, wait = await self.told.next("disconnected")
            self.assertEqual((reason, wait), ("the connection to the server was lost", 0))
            await self.told.next("ready")
            self.assertIsNot(self.plane.only_session, old)

    async def test_comes_again_although_the_server_has_not_noticed(self) -> None:
        self.dial(self.plane.url)
        await self.told.next("ready")
        (link,) = self.plane.control._links
        link.transport.pauseProducing()  # so that it never learns of the loss
        old = self.plane.only_session
        self.dialer._agent._link.abort()
        await self.told.next("disconnected")
        await self.told.next("ready")
        self.assertIsNot(self.plane.only_session, old)
        self.assertTrue(old.over)

    async def test_waits_grow_while_the_server_is_away(self) -> None:
        port = free_port()
        upstream = Upstream(self, port=port)
        self.dial(f"ws://127.0.0.1:{port}")
        server = await Server.welcoming(self, upstream)
        await self.told.next("ready")
        await upstream.stop()
        server.peer.cut()
        await until(lambda: len(self.limits) > 19, "tried")
        limits = [0, 0.25, 0.5, 1, 2, *[3] * 10, 6, 12, 15, 15, 15]
        self.assertEqual(self.limits[:20], limits)
        _, reason, _ = self.told.events[3]
        self.assertIn("connection refused", reason)
        upstream = Upstream(self, port=port)
        server = await Server.welcoming(self, upstream)
        await until(lambda: self.told.events[-1][0] == "ready", "ready")

    async def test_waits_as_long_as_the_server_asks(self) -> None:
        for fields, wait in (
            ("Retry-After: 7\r\n", 7),
            ("retry-after:  12 \r\nX: y\r\n", 12),
            ("Retry-After: 99999999\r\n", 900),
            ("", 0),
            ("Retry-After: soon\r\n", 0),
            ("Retry-After: -1\r\n", 0),
            ("X-Retry-After: 5\r\n", 0),
        ):
            upstream = Upstream(self)
            self.told = Told()
            self.dial(f"ws://127.0.0.1:{upstream.port}")
            server = await Server.welcoming(self, upstream)
            await self.told.next("ready")
            server.peer.cut()
            await self.told.next("disconnected")
            peer = await upstream.connection()
            await peer.read_until(b"\r\n\r\n")
            peer.send(f"HTTP/1.1 429 Too Many\r\n{fields}Content-Length: 4\r\n\r\nbusy".encode())
            self.assertEqual(await self.told.next("disconnected"), ("disconnected", "busy", wait))

    async def test_sessions_that_end_at_once_are_no_reason_to_hurry(self) -> None:
        upstream = Upstream(self)
        self.dial(f"ws://127.0.0.1:{upstream.port}")
        for _ in range(8):
            server = await Server.accept(upstream)
            hello = await server.hear("hello")
            if "resume" in hello:
                await server.refuse("session_expired", retry=True)
                server = await Server.accept(upstream)
                await server.hear("hello")
            server.welcome()
            server.peer.close()
        await until(lambda: len(self.limits) >= 8, "told")
        self.assertGreater(max(self.limits), 0.5)

    async def test_session_that_lasted_is_dialled_at_once(self) -> None:
        self.reactor = Timed()
        upstream = Upstream(self)
        self.dial(f"ws://127.0.0.1:{upstream.port}")
        for lasted, limit in ((1.0, 0), (0.1, 0.25), (1.0, 0), (0.1, 0.25), (0.1, 0.5), (0.6, 1)):
            server = await Server.accept(upstream)
            if "resume" in await server.hear("hello"):
                await server.refuse("session_expired", retry=True)
                server = await Server.accept(upstream)
                await server.hear("hello")
            server.welcome()
            await self.told.next("ready")
            self.reactor.clock.advance(lasted)
            server.peer.cut()
            await self.told.next("disconnected")
            self.assertEqual(self.limits[-1], limit)

    async def test_tunnels_turned_off_and_on(self) -> None:
        self.dial(self.plane.url)
        await self.told.next("ready")
        self.plane.settings.change(tunnels_enabled=False)
        _, notice = await self.told.next("notice")
        self.assertIn("turned tunnels off", notice)
        _, reason, _ = await self.told.next("disconnected")
        self.assertIn("turned off", reason)
        for _ in range(3):
            _, reason, _ = await self.told.next("disconnected")
            self.assertIn("tunnels are disabled", reason)
        self.plane.settings.change(tunnels_enabled=True)
        await until(lambda: self.told.events[-1][0] == "ready", "ready")
        self.assertEqual(len(self.plane.admission.rows()), 1)

    async def test_server_goes_away_and_comes_back(self) -> None:
        self.dial(self.plane.url)
        await self.told.next("ready")
        self.plane.admission.drain_all()
        _, reason, _ = await self.told.next("disconnected")
        self.assertEqual(reason, "the server is going away")
        await self.told.next("disconnected")
        self.plane.admission._closing = False
        await until(lambda: self.told.events[-1][0] == "ready", "ready")

    async def test_drain_lets_streams_run_out(self) -> None:
        upstream = Upstream(self)
        self.dial(self.plane.url, ServiceOffer("db", "tcp", f"tcp://127.0.0.1:{upstream.port}"))
        await self.told.next("ready")
        (service,) = self.plane.only_session.services.values()
        visitor = Recorder()
        stream = service.connect(visitor, "192.0.2.1:9")
        stream.write(b"question")
        peer = await upstream.connection()
        await peer.read(8)
        self.plane.admission.drain_all()
        peer.send(b"answer")
        await until(lambda: visitor.received == b"answer", "answered")
        self.assertEqual([event[0] for event in self.told.events], ["ready"])
        stream.loseConnection()
        peer.close()
        await self.told.next("disconnected")

    async def test_same_port_again(self) -> None:
        self.dial(self.plane.url, ServiceOffer("db", "tcp", "tcp://localhost:5432"))
        _, (url,) = await self.told.next("ready")
        self.cut()
        await self.told.next("disconnected")
        self.assertEqual(await self.told.next("ready"), ("ready", [url]))


class RefusalTests(PlaneTestCase):
    async def assertRefused(self, running: Deferred[None], code: Code, words: str) -> None:
        error = await self.fails(running, Refused)
        self.assertEqual(error.code, code)
        self.assertIn(words, str(error))
        self.assertNotIn(TOKEN, str(error))

    async def test_token(self) -> None:
        for token in ("", "wrong"):
            running = self.dial(self.plane.url, token=token)
            await self.assertRefused(running, Code.UNAUTHORIZED, "--token-file")
        self.assertEqual(self.told.events, [])

    async def test_name_taken(self) -> None:
        await self.plane.native(offer(hostname="app"), client_id="first")
        running = self.dial(self.plane.url)
        await self.assertRefused(running, Code.HOSTNAME_TAKEN, f"app.{DOMAIN} is taken")

    async def test_disabled_at_the_start(self) -> None:
        self.plane.settings.change(tunnels_enabled=False)
        running = self.dial(self.plane.url)
        await self.assertRefused(running, Code.TUNNELS_DISABLED, "tunnels are disabled")

    async def test_name_taken_later(self) -> None:
        running = self.dial(self.plane.url)
        await self.told.next("ready")
        self.plane.settings.change(name_lease_seconds=0)
        self.patch(random, "uniform", lambda low, high: 3600)
        self.cut()
        await self.told.next("disconnected")
        await self.plane.until_empty()
        await self.plane.native(offer(hostname="app"), client_id="second")
        for call in reactor.getDelayedCalls():
            if call.getTime() > reactor.seconds() + 3000:
                call.reset(0)
        await self.assertRefused(running, Code.HOSTNAME_TAKEN, "is taken")

    async def test_token_changed(self) -> None:
        running = self.dial(self.plane.url)
        await self.told.next("ready")
        self.plane.settings.change(inlets_shared_token="another")
        await self.assertRefused(running, Code.UNAUTHORIZED, "the shared token was changed")

    async def test_token_changed_while_away(self) -> None:
        running = self.dial(self.plane.url)
        await self.told.next("ready")
        # Without telling anybody, as if it had been changed while the server was away.
        changed = replace(self.plane.settings.current, inlets_shared_token="another")
        self.plane.settings.current = changed
        self.cut()
        await self.assertRefused(running, Code.UNAUTHORIZED, "refused the token")

    async def test_replaced(self) -> None:
        running = self.dial(self.plane.url)
        await self.told.next("ready")
        self.plane.only_session.end(Refused(Code.REPLACED, "another program took over"))
        await self.assertRefused(running, Code.REPLACED, "took over")

    async def test_stock_server(self) -> None:
        upstream = Upstream(self)
        running = self.dial(f"ws://127.0.0.1:{upstream.port}")
        server = await Server.accept(upstream, None)
        await self.assertRefused(running, Code.VERSION, "use `inlets client`")
        await server.peer.ended()


class UnreachableTests(DialerTestCase):
    async def assertUnreachable(self, running: Deferred[None], words: str) -> None:
        error = await self.fails(running, ServerUnreachable)
        self.assertIn(words, str(error))
        self.assertEqual(len(str(error).splitlines()), 1)
        self.assertEqual(self.told.events, [])

    async def test_nobody_listens(self) -> None:
        running = self.dial(f"ws://127.0.0.1:{free_port()}")
        await self.assertUnreachable(running, "connection refused; is the server running?")

    async def test_unknown_host(self) -> None:
        running = self.dial("ws://nobody.invalid:8090")
        await self.assertUnreachable(running, "the host name nobody.invalid is unknown")

    async def test_no_answer_to_the_connection(self) -> None:
        self.patch(dialer, "_CONNECT_SECONDS", 0.1)
        running = self.dial(f"ws://127.0.0.1:{silent_port(self)}")
        await self.assertUnreachable(running, "it does not answer")

    async def test_no_answer_to_the_handshake(self) -> None:
        self.patch(clientlink, "_HANDSHAKE_SECONDS", 1)
        upstream = Upstream(self)
        running = self.dial(f"ws://127.0.0.1:{upstream.port}")
        await self.assertUnreachable(running, "it does not answer")

    async def test_no_answer_to_hello(self) -> None:
        self.patch(agent, "_WELCOME_SECONDS", 0.1)
        upstream = Upstream(self)
        running = self.dial(f"ws://127.0.0.1:{upstream.port}")
        server = await Server.accept(upstream)
        await self.assertUnreachable(running, "the server does not answer")
        await server.peer.ended()

    async def test_other_programs(self) -> None:
        for answer, words in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "answers with HTTP 200"),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers with HTTP 404"),
            (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "answers with HTTP 502"),
            (b"HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n", "answers with HTTP 301"),
            (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "closed the connection during the handshake"),
            (b"\xff\xfe\r\n\r\n", "closed the connection during the handshake"),
            (b"HTTP/1.1 101 OK\r\n\r\n", "closed the connection during the handshake"),
            (b"", "closed the connection during the handshake"),
        ):
            upstream = Upstream(self)
            running = self.dial(f"ws://127.0.0.1:{upstream.port}")
            peer = await upstream.connection()
            await peer.read_until(b"\r\n\r\n")
            peer.send(answer)
            peer.close()
            await self.assertUnreachable(running, words)

    async def test_link_closed_before_the_welcome(self) -> None:
        for code, reason, words in (
            (1013, "try again", "try again"),
            (1011, "", "the server closed the connection (code 1011)"),
            (None, "", "the connection to the server was lost"),
        ):
            upstream = Upstream(self)
            running = self.dial(f"ws://127.0.0.1:{upstream.port}")
            server = await Server.accept(upstream)
            if code is None:
                server.peer.close()
            else:
                server.close(code, reason)
                await server.frame()
                server.peer.close()
            await self.assertUnreachable(running, words)

    async def test_answers_of_stock_servers_keep_their_reasons(self) -> None:
        for status, text, kind, words in (
            ("409 Conflict", "app is taken", Refused, "app is taken"),
            ("403 Forbidden", "", Refused, "HTTP 403"),
            ("429 Too Many Requests", "too many wrong tokens", Refused, "too many wrong tokens"),
            ("503 Service Unavailable", "tunnels are disabled", Refused, "tunnels are disabled"),
            ("503 Service Unavailable", "", ServerUnreachable, "HTTP 503"),
        ):
            upstream = Upstream(self)
            running = self.dial(f"ws://127.0.0.1:{upstream.port}", protocol="inlets")
            peer = await upstream.connection()
            await peer.read_until(b"\r\n\r\n")
            peer.send(f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n".encode())
            peer.send(text.encode())
            error = await self.fails(running, kind)
            self.assertIn(words, str(error))
            await peer.ended()


class TLSTests(DialerTestCase):
    """With a control plane behind TLS."""

    def setUp(self) -> None:
        super().setUp()
        self.plane = Plane(self)

    def serve(self, *names: str) -> str:
        """Serve the control plane with a certificate; gives the URL, for `localhost`."""
        factory = self.plane._listening.factory
        options = self_signed(*names).options()
        listening = reactor.listenSSL(0, factory, options, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        return f"wss://localhost:{listening.getHost().port}"

    def trust(self, *names: str) -> None:
        """Have the machine trust a certificate, as its administrator would."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(self_signed(*names).dumpPEM())
        changed = mock.patch.dict(os.environ, {"SSL_CERT_FILE": os.path.abspath(path)})
        changed.start()
        self.addCleanup(changed.stop)

    async def test_trusted(self) -> None:
        self.trust("localhost")
        self.dial(self.serve("localhost"))
        await self.told.next("ready")
        (link,) = self.plane.control._links
        link.abort()
        await self.told.next("disconnected")
        await self.told.next("ready")

    async def test_self_signed(self) -> None:
        error = await self.fails(self.dial(self.serve("localhost")), ServerUnreachable)
        self.assertIn("can't trust wss://localhost:", str(error))
        self.assertIn("certificate verify failed", str(error))
        self.assertIn("--insecure", str(error))

    async def test_for_another_name(self) -> None:
        self.trust("other.example.com")
        error = await self.fails(self.dial(self.serve("other.example.com")), ServerUnreachable)
        self.assertIn("its certificate is for another name", str(error))

    async def test_insecure(self) -> None:
        self.dial(self.serve("other.example.com"), insecure=True)
        await self.told.next("ready")

    async def test_name_that_no_certificate_can_be_for(self) -> None:
        error = await self.fails(self.dial("wss://my_server:1"), ServerUnreachable)
        self.assertIn("my_server", str(error))

    async def test_server_speaks_no_tls(self) -> None:
        url = self.plane.url.replace("ws:", "wss:")
        error = await self.fails(self.dial(url), ServerUnreachable)
        self.assertIn("and not ws://?", str(error))

    async def test_client_speaks_no_tls(self) -> None:
        url = self.serve("localhost").replace("wss:", "ws:")
        error = await self.fails(self.dial(url), ServerUnreachable)
        self.assertIn("and not wss://?", str(error))

    async def test_through_a_proxy(self) -> None:
        self.trust("localhost")
        url = ServerAddress.parse(self.serve("localhost"))
        upstream = Upstream(self)
        self.dial(str(url), proxy=ProxyAddress("127.0.0.1", upstream.port, "me:secret"))
        behind = await upstream.connection()
        asked = await behind.read_until(b"\r\n\r\n")
        self.assertIn(f"CONNECT localhost:{url.port} ".encode(), asked)
        self.assertIn(b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n", asked)
        through = await self.plane._peers.connect_to(url.port)
        behind.send(b"HTTP/1.1 200 OK\r\n\r\n")
        join(behind, through)
        await self.told.next("ready")

    async def test_proxy_refuses(self) -> None:
        upstream = Upstream(self)
        running = self.dial(
            "wss://tunnel.example.com", proxy=ProxyAddress("127.0.0.1", upstream.port, "me:secret")
        )
        behind = await upstream.connection()
        behind.send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        error = await self.fails(running, ServerUnreachable)
        self.assertIn("the proxy does not let us through: it answers", str(error))
        self.assertNotIn("secret", str(error))

    async def test_proxy_is_silent(self) -> None:
        self.patch(proxy, "_SECONDS", 0.1)
        upstream = Upstream(self)
        running = self.dial(
            "wss://tunnel.example.com", proxy=ProxyAddress("127.0.0.1", upstream.port)
        )
        error = await self.fails(running, ServerUnreachable)
        self.assertIn("the proxy does not answer", str(error))

    async def test_no_proxy_there(self) -> None:
        running = self.dial(
            "wss://tunnel.example.com", proxy=ProxyAddress("127.0.0.1", free_port())
        )
        error = await self.fails(running, ServerUnreachable)
        self.assertIn("proxy", str(error))
        self.assertNotIn("is the server running", str(error))


class StopTests(PlaneTestCase):
    """`stop` in every state leaves nothing behind; trial looks for that itself."""

    async def assertStops(self, running: Deferred[None]) -> None:
        first, second = self.dialer.stop(), self.dialer.stop()
        await first
        await second
        await running
        await self.dialer.stop()

    async def test_before_it_runs(self) -> None:
        server = ServerAddress.parse("ws://127.0.0.1:1")
        waiting = Dialer(reactor, server, "", "client", [WEB], self.told)
        await waiting.stop()
        await waiting.run()

    async def test_at_once(self) -> None:
        await self.assertStops(self.dial(self.plane.url))
        await self.assertStops(self.dial("ws://nobody.invalid:1"))

    async def test_while_it_connects(self) -> None:
        await self.assertStops(self.dial(f"ws://127.0.0.1:{silent_port(self)}"))

    async def test_while_it_shakes_hands(self) -> None:
        for scheme in ("ws", "wss"):
            upstream = Upstream(self)
            running = self.dial(f"{scheme}://127.0.0.1:{upstream.port}")
            peer = await upstream.connection()
            await until(lambda peer=peer: peer.total, "asked")  # type: ignore[misc]
            await self.assertStops(running)
            self.assertIn(await peer.ended(), (CLOSED, CUT))

    async def test_while_it_waits_for_the_proxy(self) -> None:
        upstream = Upstream(self)
        proxied = ProxyAddress("127.0.0.1", upstream.port)
        running = self.dial("wss://tunnel.example.com", proxy=proxied)
        peer = await upstream.connection()
        await peer.read_until(b"\r\n\r\n")
        await self.assertStops(running)
        self.assertIn(await peer.ended(), (CLOSED, CUT))

    async def test_before_the_welcome(self) -> None:
        upstream = Upstream(self)
        running = self.dial(f"ws://127.0.0.1:{upstream.port}")
        server = await Server.accept(upstream)
        await server.hear("hello")
        stopping = ensureDeferred(self.assertStops(running))
        self.assertEqual((await server.closing())[0], 1000)
        server.peer.close()
        await stopping

    async def test_while_it_is_up(self) -> None:
        running = self.dial(self.plane.url)
        await self.told.next("ready")
        await self.assertStops(running)
        await self.plane.until_empty()
        self.assertEqual(len(self.told.events), 1)

    async def test_while_it_drains(self) -> None:
        upstream = Upstream(self)
        running = self.dial(
            self.plane.url, ServiceOffer("db", "tcp", f"tcp://127.0.0.1:{upstream.port}")
        )
        await self.told.next("ready")
        (service,) = self.plane.only_session.services.values()
        visitor = Recorder()
        service.connect(visitor, "192.0.2.1:9")
        await upstream.connection()
        self.plane.admission.drain_all()
        await until(lambda: self.dialer._agent._drain_timer is not None, "told to go")
        await self.assertStops(running)
        await until(lambda: visitor.end is not None, "cut")

    async def test_while_it_waits_to_try_again(self) -> None:
        self.patch(random, "uniform", lambda low, high: 3600 if high else 0)
        running = self.dial(self.plane.url)
        await self.told.next("ready")
        self.plane.settings.change(tunnels_enabled=False)
        await until(lambda: self.told.events[-1][-1] == 3600, "waiting")
        await self.assertStops(running)

    async def test_server_that_does_not_say_goodbye(self) -> None:
        upstream = Upstream(self)
        running = self.dial(f"ws://127.0.0.1:{upstream.port}")
        server = await Server.welcoming(self, upstream)
        await self.told.next("ready")
        await self.assertStops(running)
        await server.peer.ended()


class Timed:
    """The reactor, but for what time it is."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.seconds = self.clock.seconds
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


def join(one: Peer, two: Peer) -> None:
    """Pass on all that comes to either of two peers from the other, as a proxy does."""
    for source, target in ((one, two), (two, one)):
        target.send(bytes(source.received))
        source.dataReceived = target.send  # type: ignore[method-assign]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
