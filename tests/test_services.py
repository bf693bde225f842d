"""The server as a whole, in the test's own process, on a real database and real ports."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from inletspy import services
from inletspy.announcement import without_password
from inletspy.client.dialer import Dialer
from inletspy.client.server import ServerAddress
from inletspy.config import ServerConfig
from inletspy.services import PublicAddress, Server, _one_port
from inletspy.wire.control import ServiceOffer
from tests.client.tunnelling import Told
from tests.edge.tunnels import ok, read_answer, read_head, request
from tests.peers import PeerFactory, Upstream, reactor, until
from tests.postgres import execute, url_of_new_database
from tests.system.http import fetch
from tests.tunnel.plane import ChangingSettings


class Standing:
    """The reactor, but one that nobody can stop."""

    def __init__(self) -> None:
        self.stops = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def stop(self) -> None:
        self.stops += 1


class ServerTestCase(TestCase):
    """Trial looks for what a server leaves in the reactor when it has stopped.

    Attributes:
        statuses: what the process would exit with.
    """

    timeout = 120

    def setUp(self) -> None:
        self.patch(Server, "_catch_signals", lambda self: None)
        self.patch(services, "say_what_to_type", lambda *arguments: None)
        self.patch(services, "complain", lambda text: self.complaints.append(text))
        self.complaints: list[str] = []
        self.statuses: list[int] = []
        self.reactor = Standing()
        self.folder = Path(self.mktemp()).absolute()
        self.database = url_of_new_database()

    def server(self, **config: Any) -> Server:
        """A server that is about to start."""
        given = {
            "data_dir": self.folder,
            "database": self.database,
            "interface": "127.0.0.1",
            **{f"{plane}_port": 0 for plane in ("control", "data", "status")},
            **config,
        }
        return Server(self.reactor, ServerConfig(**given), self.statuses.append)

    async def started(self, **config: Any) -> Server:
        """A server that serves; it stops with the test."""
        server = self.server(**config)
        server.startService()
        self.addCleanup(server.stopService)
        await until(lambda: server._ready or self.complaints, "ready")
        self.assertEqual(self.complaints, [])
        return server

    @property
    def described(self) -> dict[str, Any]:
        """What server.json says."""
        described: dict[str, Any] = json.loads((self.folder / "server.json").read_text())
        return described


class LifeTests(ServerTestCase):
    async def test_starts_and_stops(self) -> None:
        for _ in range(2):
            server = await self.started()
            self.assertTrue(verifyObject(IService, server))
            health = await fetch(f"http://127.0.0.1:{self.described['status_port']}/health")
            self.assertEqual(health.status, 200)
            await server.stopService()
            self.assertFalse((self.folder / "server.json").exists())
        self.assertEqual((self.statuses, self.reactor.stops), ([], 0))

    async def test_stopped_before_it_began(self) -> None:
        server = self.server()
        server.startService()
        await server.stopService()
        self.assertFalse(self.folder.exists())

    async def test_stopped_in_the_middle_of_the_start(self) -> None:
        server = self.server()
        server.startService()
        await until(lambda: server._ends, "under way")
        await server.stopService()
        self.assertFalse((self.folder / "server.json").exists())
        self.assertEqual((self.statuses, self.complaints), ([], []))

    async def test_failed_start_undoes_what_was_done(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = self.server(status_port=port)
            server.startService()
            await until(lambda: self.reactor.stops, "given up")
        self.assertEqual(self.statuses, [1])
        (complaint,) = self.complaints
        self.assertIn(f"port {port} (status)", complaint)
        await server.stopService()
        self.complaints.clear()
        await self.started()  # nothing is in the way

    async def test_unexpected_error(self) -> None:
        def fail(*arguments: Any) -> None:
            raise ZeroDivisionError("by nothing")

        self.patch(services, "Registrations", fail)
        server = self.server()
        server.startService()
        await until(lambda: self.reactor.stops, "given up")
        self.assertEqual((self.statuses, self.complaints), ([1], ["by nothing"]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await server.stopService()

    async def test_whatever_fails_to_end_the_rest_does(self) -> None:
        server = await self.started()

        def fail() -> None:
            raise ZeroDivisionError

        for position in range(len(server._ends), -1, -1):
            server._ends.insert(position, fail)
        count = sum(end is fail for end in server._ends)
        await server.stopService()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), count)
        self.assertFalse((self.folder / "server.json").exists())

    async def test_health_of_a_listener(self) -> None:
        server: Any = await self.started()
        await server._listening["data"].stopListening()
        health = await fetch(f"http://127.0.0.1:{self.described['status_port']}/health")
        self.assertEqual(health.status, 503)
        self.assertIn("data port", health.body.decode())

    async def test_base_domain_that_changes(self) -> None:
        await self.started()
        self.assertEqual(self.described["domain"], "tunnel.localhost")
        execute(
            self.database,
            "UPDATE config_settings SET value = 'other.localhost' WHERE key = 'tunnel_base_domain'",
        )
        await until(lambda: self.described["domain"] == "other.localhost", "announced")
        self.assertIn("other.localhost", self.described["public_url"])


class TrafficTests(ServerTestCase):
    async def asked(self) -> tuple[Any, Any, Any, Told]:
        """A server with a client and a request under way: visitor, upstream, and the client's."""
        server: Any = await self.started()
        token = (self.folder / "token.txt").read_text().strip()
        upstream = Upstream(self)
        self.visitors = PeerFactory(self)
        told = Told()
        dialer = Dialer(
            reactor,
            ServerAddress.parse(f"127.0.0.1:{self.described['control_port']}"),
            token,
            "client",
            [ServiceOffer("web", "http", f"http://127.0.0.1:{upstream.port}", hostname="app")],
            told,
        )
        dialer.run()
        self.addCleanup(dialer.stop)
        await told.next("ready")
        visitor = await self.visitors.connect_to(self.described["data_port"])
        visitor.send(request("GET / HTTP/1.1", "Host: app.tunnel.localhost"))
        behind = await upstream.connection()
        await read_head(behind)
        await told.next("follow")
        return server, visitor, behind, told

    async def test_drains(self) -> None:
        server, visitor, behind, told = await self.asked()
        stopping = server.stopService()
        await until(lambda: not server._listening["data"].connected, "deaf")
        self.assertFalse(stopping.called)
        behind.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        await stopping
        self.assertEqual((await told.next("disconnected"))[1], "the server is going away")

    async def test_cuts_what_does_not_end(self) -> None:
        self.patch(services, "DRAIN_SECONDS", 0.1)
        server, visitor, behind, _ = await self.asked()
        await server.stopService()
        await visitor.ended()
        await behind.ended()

    async def test_hurries(self) -> None:
        self.patch(services, "DRAIN_SECONDS", 3600.0)
        server, visitor, _, _ = await self.asked()
        server._stop_reactor()
        self.assertFalse(server._hurry)
        stopping = server.stopService()
        await until(lambda: not server._listening["data"].connected, "deaf")
        server._stop_reactor()
        await stopping
        await visitor.ended()


class PublicAddressTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        settings = ChangingSettings(tunnel_base_domain="example.com")
        for configured, port, http, tcp in (
            (None, 8080, "http://a.example.com:8080", "tcp://example.com:30000"),
            (None, 80, "http://a.example.com", "tcp://example.com:30000"),
            (None, 0, "http://a.example.com", "tcp://example.com:30000"),
            ("https://example.com", 8080, "https://a.example.com", "tcp://example.com:30000"),
            ("https://example.com:443", 1, "https://a.example.com", "tcp://example.com:30000"),
            ("https://example.com:80", 1, "https://a.example.com:80", "tcp://example.com:30000"),
            ("http://example.com:8443", 1, "http://a.example.com:8443", "tcp://example.com:30000"),
        ):
            address = PublicAddress(settings, configured, port)
            self.assertEqual(address.http_url("a.example.com"), http)
            self.assertEqual(address.tcp_url(30000), tcp)
        settings.change(tunnel_base_domain="example.org")
        self.assertEqual(address.url, "http://example.org:8443")

    def test_one_port(self) -> None:
        for expected, config in (
            (False, {}),
            (True, {"control_port": 80, "data_port": 80}),
            (False, {"control_port": 0, "data_port": 0}),
            (True, {"control": "tcp:80", "data": "tcp:80"}),
            (False, {"control": "tcp:80"}),
            (False, {"control": "tcp:80", "control_port": 1, "data_port": 1}),
            (False, {"control": "tcp:80", "data": "tcp:81"}),
        ):
            made = ServerConfig(Path("/x"), **config)
            self.assertEqual(_one_port(made), expected, config)

    def test_database_without_secrets(self) -> None:
        for url, shown in (
            (None, "embedded"),
            ("postgresql://me:s3cret@db:1/x", "postgresql://me@db:1/x"),
            ("postgresql://me@db/x", "postgresql://me@db/x"),
            ("postgresql:///x?host=/run&password=s3cret", "postgresql:///x?host=%2Frun"),
            ("postgresql://db/x?sslpassword=s3cret&user=me", "postgresql://db/x?user=me"),
            ("postgresql://me:s3%40cret@[::1]/x", "postgresql://me@[::1]/x"),
        ):
            self.assertEqual(without_password(url), shown)
            self.assertNotIn("s3", without_password(url))
