"""nginx in front of a server, as tap-configs/nginx.conf and behind-nginx.toml set them up.

Visitors and upstreams are played byte by byte, so that what nginx keeps back shows.
As many MiB each way as INLETSPY_TEST_MIB says; 32 where it says nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path
from typing import Final
from unittest import SkipTest

from twisted.internet.defer import Deferred

from tests.edge.tunnels import ok, read_answer, read_head, request
from tests.peers import FINISHED, Peer, PeerFactory, Upstream
from tests.system.http import Answer, fetch
from tests.system.processes import ClientProcess, Program, ServerProcess, reactor
from tests.system.samples import DOMAIN, SAMPLES, SampleTestCase, certificate, moved
from tests.system.test_transfers import MIB, Incoming, Outgoing
from tests.system.whole import sockets

SIZE: Final = int(os.environ.get("INLETSPY_TEST_MIB", "32")) * MIB
#: Seconds that a transfer may take on the slowest machine.
PATIENCE: Final = 120 + SIZE // MIB

HOST: Final = f"app.{DOMAIN}"


def free_ports() -> tuple[int, int]:
    """Two ports of the loopback interface that nobody listens on."""
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        return one.getsockname()[1], two.getsockname()[1]


class NginxTests(SampleTestCase):
    timeout = 2 * PATIENCE + 60

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        self.program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin") or ""
        if not self.program:
            raise SkipTest("needs nginx")
        return Deferred.fromCoroutine(self.asyncSetUp())

    async def asyncSetUp(self) -> None:
        """Start a server, nginx in front of it, and a client that comes through nginx."""
        self.server = ServerProcess(self, *moved("behind-nginx.toml"))
        await self.server.start()
        await self.enable(
            self.server,
            trusted_proxies='["127.0.0.1/32"]',
            inlets_server_url=f"wss://{DOMAIN}",
        )
        await self.start_nginx()
        self.visitors = PeerFactory(self)
        self.upstream = Upstream(self)
        self.client = ClientProcess(
            self,
            self.server,
            *(str(self.upstream.port), "--name", "app"),
            *("--server", f"wss://localhost:{self.port}"),
            environ={"SSL_CERT_FILE": str(self.folder / "fullchain.pem")},
        )
        ready = await self.client.start()
        self.assertEqual(ready["public_url"], f"https://{HOST}")

    async def start_nginx(self) -> None:
        """Start nginx with the sample, in a configuration like that of Debian."""
        self.folder = Path(self.mktemp()).absolute()
        self.authority = certificate(self.folder)
        self.port, self.plain_port = free_ports()
        text = (SAMPLES / "nginx.conf").read_text(encoding="utf-8")
        text, count = re.subn(r"^ *listen \[::\]:.*\n", "", text, flags=re.M)
        self.assertEqual(count, 3)
        for sample, here in (
            ("listen 443", f"listen 127.0.0.1:{self.port}"),
            ("listen 80", f"listen 127.0.0.1:{self.plain_port}"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.server.data_port}"),
            ("127.0.0.1:8090", f"127.0.0.1:{self.server.control_port}"),
            ("127.0.0.1:8091", f"127.0.0.1:{self.server.status_port}"),
            ("/etc/inletspy", str(self.folder)),
        ):
            self.assertIn(sample, text)
            text = text.replace(sample, here)
        (self.folder / "site.conf").write_text(text)
        self.spool = self.folder / "spool"
        self.spool.mkdir()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {self.spool}/{kind};" for kind in kinds)
        (self.folder / "nginx.conf").write_text(
            ("user root;" if os.getuid() == 0 else "")
            + f"pid {self.folder}/pid; error_log stderr; daemon off; events {{}}"
            + f"http {{ access_log off; gzip on; {paths} include {self.folder}/site.conf; }}"
        )
        command = [self.program, "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]
        nginx = Program(self, command)
        nginx.spawn()

        def listens() -> bool | None:
            with socket.socket() as probe:
                return True if probe.connect_ex(("127.0.0.1", self.port)) == 0 else None

        await nginx.until("listening", listens)

    async def visit(self, sent: bytes, *, source: str = "127.0.0.1") -> Peer:
        """A visitor who has just connected by TLS, and says that much at once."""
        visitor = await self.visitors.connect_to(
            self.port, source=source, tls=(HOST, self.authority)
        )
        visitor.send(sent)
        return visitor

    async def asked(self, line: str, *fields: str, body: bytes = b"") -> tuple[Peer, Peer]:
        """Send a request; gives the visitor, and the upstream after the request's head."""
        visitor = await self.visit(request(line, f"Host: {HOST}", *fields, body=body))
        upstream = await self.upstream.connection()
        await read_head(upstream)
        return visitor, upstream

    async def base(self, path: str, token: str | None = None) -> Answer:
        """What the base domain itself answers."""
        url = f"https://{DOMAIN}:{self.port}{path}"
        return await fetch(url, token=token, authority=self.authority)

    # -- visitors

    async def test_pages_over_connections_that_are_kept(self) -> None:
        idle = sockets(self.server)
        for number in range(5):
            visitor = await self.visit(
                request(f"GET /a//b?{number} HTTP/1.1", f"Host: {HOST}"), source="127.0.0.2"
            )
            if not number:
                upstream = await self.upstream.connection()
            head = await read_head(upstream)
            self.assertEqual(head.start, f"GET /a//b?{number} HTTP/1.1")
            upstream.send(ok(b"page %d" % number))
            self.assertEqual((await read_answer(visitor))[1], b"page %d" % number)
            visitor.close()
        self.assertEqual(self.upstream.accepted, 1)
        self.assertEqual(sockets(self.server) - idle, 1)

    async def test_the_visitor_is_known_and_can_not_lie(self) -> None:
        lies = ("X-Forwarded-For: 10.9.9.9", "Forwarded: for=10.9.9.9", "X-Real-IP: 10.9.9.9")
        await self.visit(request("GET / HTTP/1.1", f"Host: {HOST}", *lies), source="127.0.0.2")
        head = await read_head(await self.upstream.connection())
        self.assertEqual(head.get("host"), HOST)
        self.assertEqual(head.get("x-forwarded-for"), "127.0.0.2, 127.0.0.1")
        self.assertEqual(head.get("x-forwarded-proto"), "https")
        self.assertEqual(head.get("x-forwarded-host"), HOST)
        self.assertEqual(head.get("x-forwarded-port"), str(self.port))
        self.assertNotIn("10.9.9.9", str(head.fields))

    async def test_large_heads(self) -> None:
        large = "a" * 30_000
        visitor = await self.visit(request("GET / HTTP/1.1", f"Host: {HOST}", f"Cookie: {large}"))
        upstream = await self.upstream.connection()
        self.assertEqual((await read_head(upstream)).get("cookie"), large)
        upstream.send(ok(b"ok", f"X-Large: {large}"))
        self.assertEqual((await read_answer(visitor))[0].get("x-large"), large)

    async def test_events_and_streamed_pages_arrive_at_once(self) -> None:
        for kind in ("text/event-stream", "text/html"):
            visitor, upstream = await self.asked("GET / HTTP/1.1", "Accept-Encoding: gzip")
            upstream.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n".encode())
            await read_head(visitor)
            for number in range(10):
                upstream.send(b"data: %d\n\n" % number)
                await visitor.read_until(b"data: %d\n\n" % number)

    async def test_web_socket(self) -> None:
        visitor, upstream = await self.asked(
            "GET /chat HTTP/1.1",
            *("Connection: Upgrade", "Upgrade: websocket"),
            *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
        )
        upstream.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        self.assertEqual((await read_head(visitor)).get("upgrade"), "websocket")
        for number in range(10):
            visitor.send(b"%d" % number)
            self.assertEqual(await upstream.read(1), b"%d" % number)
            upstream.send(b"%d" % number)
            self.assertEqual(await visitor.read(1), b"%d" % number)
        visitor.close()
        self.assertEqual(await upstream.ended(), FINISHED)

    async def test_uploads_arrive_as_they_come(self) -> None:
        visitor, upstream = await self.asked("PUT / HTTP/1.1", f"Content-Length: {SIZE + 5}")
        visitor.send(b"first")
        self.assertEqual(await upstream.read(5), b"first")
        outgoing, incoming = Outgoing(visitor, SIZE), Incoming(upstream, SIZE)
        await incoming.arrived.addTimeout(PATIENCE, reactor)
        self.assertEqual(incoming.digest.hexdigest(), outgoing.digest.hexdigest())
        self.assertEqual([name for _, _, files in os.walk(self.spool) for name in files], [])
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_large_downloads(self) -> None:
        visitor, upstream = await self.asked("GET / HTTP/1.1")
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
        await read_head(visitor)
        outgoing, incoming = Outgoing(upstream, SIZE), Incoming(visitor, SIZE)
        await incoming.arrived.addTimeout(PATIENCE, reactor)
        self.assertEqual(incoming.digest.hexdigest(), outgoing.digest.hexdigest())
        self.assertEqual([name for _, _, files in os.walk(self.spool) for name in files], [])

    async def test_plain_http_leads_to_https(self) -> None:
        answer = await fetch(f"http://{HOST}:{self.plain_port}/a?b")
        self.assertEqual(answer.status, 308)
        self.assertEqual(answer.headers.getRawHeaders("Location"), [f"https://{HOST}/a?b"])

    # -- the base domain

    async def test_status_port(self) -> None:
        self.assertEqual((await self.base("/health")).json, {"status": "ok"})
        for path in ("/status", "/api/tunnels", "/api/config/tunnels"):
            self.assertEqual((await self.base(path)).status, 401)
            self.assertEqual((await self.base(path, self.server.token)).status, 200)
        rows = (await self.base("/status", self.server.token)).json
        self.assertEqual([row["hostname"] for row in rows], [HOST])

    async def test_page_of_the_status_port(self) -> None:
        page = await self.base("/")
        self.assertEqual(page.status, 200)
        self.assertEqual(page.headers.getRawHeaders("Content-Type"), ["text/html; charset=utf-8"])
        self.assertNotIn(HOST.encode(), page.body)  # before somebody has signed in

    async def test_nothing_else(self) -> None:
        for path in ("/index.html", "/tunnel/x", "/statuses", "/apis"):
            self.assertEqual((await self.base(path)).status, 404, path)
