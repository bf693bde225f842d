"""The stock inlets programs with ours: their client at our server, ours at theirs.

Runs for each of the programs that INLETS_BIN names; whichever version it is, its own
help tells which flags it has.
"""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from inletspy.client.dialer import Dialer, ServerAddress
from inletspy.errors import Refused
from inletspy.wire.control import Grant, ServiceOffer, ShareLink
from tests.peers import CUT, Peer, PeerFactory, Upstream, until
from tests.postgres import execute
from tests.system.http import Answer, EchoResource, fetch, listening, upstream
from tests.system.inlets import (
    BINARIES,
    BULK,
    OurClient,
    Service,
    StockClient,
    StockServer,
    bulk,
    echo_sockets,
    open_socket,
    rows,
)
from tests.system.processes import TIMEOUT, ServerProcess, reactor
from tests.system.samples import certificate

JSON = {"Accept": "application/json"}


async def fetch_until(status: int, url: str, what: str) -> Answer:
    """Ask again and again until the answer has that status."""
    deadline = reactor.seconds() + TIMEOUT
    while (answer := await fetch(url, headers=JSON)).status != status:
        if reactor.seconds() > deadline:
            raise AssertionError(f"{what}: still {answer.status} in place of {status}")
        await deferLater(reactor, 0.05)
    return answer


def together(*jobs: Coroutine[Any, Any, Any]) -> Deferred[list[Any]]:
    """Start jobs at the same time; gives their results."""
    return gatherResults([ensureDeferred(job) for job in jobs])


class Interop(TestCase):
    """What both directions share."""

    timeout = 240
    skip = None if BINARIES else "INLETS_BIN names no stock inlets program"
    #: The stock program.
    binary = ""

    def tls_upstream(self, resource: EchoResource) -> int:
        """A service behind TLS whose certificate is another's; gives its port."""
        folder = Path(self.mktemp())
        certificate(folder)
        pem = (folder / "fullchain.pem").read_text() + (folder / "key.pem").read_text()
        options = PrivateCertificate.loadPEM(pem).options()
        return listening(self, TLSMemoryBIOFactory(options, False, Site(resource)))

    async def assertBulk(self, url: str, *, down: int = 1, up: int = 1) -> None:
        """Large transfers, all at the same time, arrive as they were sent."""
        digest = hashlib.sha256(bulk()).hexdigest()
        downloads = [fetch(f"{url}/bulk") for _ in range(down)]
        uploads = [fetch(f"{url}/digest", "POST", body=bulk()) for _ in range(up)]
        answers = await together(*downloads, *uploads)
        self.assertEqual({answer.status for answer in answers}, {200})
        for answer in answers[:down]:
            self.assertEqual(hashlib.sha256(answer.body).hexdigest(), digest)
        for answer in answers[down:]:
            self.assertEqual(answer.body.decode(), digest)

    async def assertSockets(self, url: str) -> None:
        """Messages of every size come back, and the close code of the other side."""
        visitor = await open_socket(self, url)
        for message in (b"", b"\0\xff", bulk()[: 1 << 20]):
            visitor.sendMessage(message, True)
            self.assertEqual(await visitor.message(), message)
        visitor.sendMessage("Grüße".encode(), False)
        self.assertEqual(await visitor.message(), "Grüße")
        visitor.sendMessage(b"goodbye", True)
        self.assertEqual(await visitor.closed.addTimeout(TIMEOUT, reactor), 4321)

    async def assertEvents(self, visitor: Peer, service: Service) -> None:
        """Each event reaches the visitor before the next one is sent."""
        visitor.send(b"GET /events HTTP/1.1\r\nHost: events.tunnel.localhost\r\n\r\n")
        request = await service.events.get().addTimeout(TIMEOUT, reactor)
        for number in range(3):
            event = b"data: %d\n\n" % number
            request.write(event)
            await visitor.read_until(event)
        request.finish()
        await visitor.read_until(b"0\r\n\r\n")


class StockClientAtOurServer(Interop):
    """What a stock client and its visitors see of our server."""

    async def start_server(self, *options: str, **arguments: Any) -> ServerProcess:
        server = ServerProcess(self, *options, **arguments)
        await server.start()
        return server

    async def start_client(
        self, server: ServerProcess, announced: str, *options: str
    ) -> StockClient:
        client = StockClient(self, self.binary, server, announced, *options)
        await client.start()
        return client

    async def restart(self, server: ServerProcess) -> ServerProcess:
        """Another server in the place of one that has ended."""
        return await self.start_server(
            "--control-port",
            str(server.control_port),
            "--data-port",
            str(server.data_port),
            data_dir=server.data_dir,
            database=server.database,
        )

    # -- names

    async def test_names(self) -> None:
        server = await self.start_server()
        here, there = upstream(self), upstream(self, Service())
        await self.start_client(
            server,
            f"c0ffee-3000.{server.domain}=http://127.0.0.1:{here},"
            f"app.example.com=http://127.0.0.1:{here}/,"
            f"Other.{server.domain}=127.0.0.1:{there}",
        )
        listed = (await fetch(f"{server.status_url}/status")).json
        self.assertEqual(listed, rows(server))
        by_name = {row["hostname"]: row for row in listed}
        self.assertEqual(
            set(by_name),
            {f"c0ffee-3000.{server.domain}", "app.example.com", f"other.{server.domain}"},
        )
        self.assertEqual(
            {row["hostname"]: row["upstream"] for row in listed}[f"other.{server.domain}"],
            f"http://127.0.0.1:{there}",
        )
        self.assertEqual(by_name[f"c0ffee-3000.{server.domain}"]["client_id"], "c0ffee")
        self.assertRegex(by_name["app.example.com"]["client_id"], "^[0-9a-f]{32}$")

        for url in (
            server.url("c0ffee-3000", "/a//b/%2e?c"),
            f"http://app.example.com:{server.data_port}/a//b/%2e?c",
            server.url("other", "/a//b/%2e?c"),
        ):
            answer = await fetch(url)
            self.assertEqual(answer.json["target"], "/a//b/%2e?c")
            self.assertEqual(answer.json["headers"]["host"], [url.split("/")[2]])

    async def test_no_name(self) -> None:
        server = await self.start_server()
        await self.start_client(server, f"http://127.0.0.1:{upstream(self)}")
        (row,) = rows(server)
        label = row["hostname"].removesuffix(f".{server.domain}")
        self.assertRegex(label, "^[a-z0-9]+$")
        self.assertEqual((await fetch(server.url(label))).status, 200)
        # It asked for all that is nobody's, and that ends where names are given out.
        anything = f"http://anything.example.com:{server.data_port}/"
        self.assertEqual((await fetch(anything)).status, 200)
        self.assertEqual((await fetch(server.url("nobody"))).status, 404)
        execute(
            server.database or "",
            "UPDATE config_settings SET value = 'false' WHERE key = 'catch_all_enabled'",
        )
        await fetch_until(404, anything, "without a catch-all")

    async def test_taken_name(self) -> None:
        server = await self.start_server()
        announced = f"mine.{server.domain}=http://127.0.0.1:{upstream(self)}"
        first = await self.start_client(server, announced)
        second = StockClient(self, self.binary, server, announced)
        second.spawn()
        await second.says(f"mine.{server.domain} is taken")
        await second.says("409 Conflict")
        await server.until(
            "noting the refusal",
            lambda: f"refused: hostname_taken: mine.{server.domain}" in server.stdout or None,
        )
        await second.stop()
        self.assertEqual((await fetch(server.url("mine"))).status, 200)

        first.kill()
        await fetch_until(503, server.url("mine"), "after the client was killed")
        await server.until("without tunnels", lambda: not rows(server) or None)
        await self.start_client(server, announced)
        self.assertEqual((await fetch(server.url("mine"))).status, 200)

    async def test_one_port(self) -> None:
        endpoint = "tcp:0:interface=127.0.0.1"
        server = await self.start_server("--control", endpoint, "--data", endpoint)
        self.assertEqual(server.control_port, server.data_port)
        await self.start_client(
            server,
            f"a.{server.domain}=127.0.0.1:{upstream(self)},"
            f"b.{server.domain}=127.0.0.1:{listening(self, echo_sockets())}",
        )
        answer = await fetch(server.url("a", "/tunnel"))
        self.assertEqual(answer.json["target"], "/tunnel")
        await self.assertSockets(server.url("b"))

    async def test_wrong_token(self) -> None:
        server = await self.start_server()
        client = StockClient(
            self, self.binary, server, f"x.{server.domain}=http://127.0.0.1:9", token="wrong"
        )
        client.spawn()
        await client.says("401 Unauthorized. Response body: failed authentication")
        self.assertEqual(rows(server), [])
        self.assertEqual((await fetch(server.url("x"))).status, 404)

    async def test_tunnels_disabled(self) -> None:
        server = await self.start_server()
        client = await self.start_client(server, f"a.{server.domain}=127.0.0.1:{upstream(self)}")
        change = "UPDATE config_settings SET value = %s WHERE key = 'tunnels_enabled'"
        execute(server.database or "", change, ["false"])
        await client.says("tunnels were turned off on the server")
        await fetch_until(503, server.url("a"), "with tunnels turned off")
        if client.reconnects:
            await client.says("503 Service Unavailable. Response body: tunnels are disabled")
            execute(server.database or "", change, ["true"])
            await fetch_until(200, server.url("a"), "with tunnels turned on")

    # -- what goes through

    async def test_bulk(self) -> None:
        server = await self.start_server()
        await self.start_client(server, f"a.{server.domain}=127.0.0.1:{upstream(self, Service())}")
        await self.assertBulk(server.url("a", ""), up=0)
        await self.assertBulk(server.url("a", ""), down=0)
        await self.assertBulk(server.url("a", ""), down=3, up=3)

    async def test_slow_reader(self) -> None:
        # A stock client takes no word to pause; what a visitor leaves unread is kept by
        # the server, up to 4 MiB, and meanwhile the others get theirs.
        server = await self.start_server()
        serving = upstream(self, Service())
        slow_upstream = Upstream(self)
        await self.start_client(
            server,
            f"fast.{server.domain}=127.0.0.1:{serving},"
            f"slow.{server.domain}=127.0.0.1:{slow_upstream.port}",
        )
        visitor = await PeerFactory(self).connect_to(server.data_port)
        visitor.pause()
        visitor.send(b"GET / HTTP/1.1\r\nHost: slow.%b\r\n\r\n" % server.domain.encode())
        serving_slow = await slow_upstream.connection()
        await serving_slow.read_until(b"\r\n\r\n")
        content = bulk()[: 3 << 20]
        serving_slow.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        serving_slow.send(content)
        await self.assertBulk(server.url("fast", ""))
        visitor.resume()
        await visitor.read_until(b"\r\n\r\n")
        self.assertEqual(await visitor.read(len(content)), content)

    async def test_very_slow_reader(self) -> None:
        # Past the 4 MiB the link itself is not read; once the visitor reads on, or is
        # gone, it is again.
        server = await self.start_server()
        await self.start_client(server, f"a.{server.domain}=127.0.0.1:{upstream(self, Service())}")
        request = b"GET /bulk HTTP/1.1\r\nHost: a.%b\r\n\r\n" % server.domain.encode()
        for goes in (False, True):
            visitor = await PeerFactory(self).connect_to(server.data_port)
            visitor.send(request)
            await visitor.read_until(b"\r\n\r\n")
            visitor.pause()
            others = together(fetch(server.url("a", "/bulk")), fetch(server.url("a", "/small")))
            if goes:
                visitor.cut()
            else:
                visitor.resume()
                self.assertEqual(await visitor.read(BULK), bulk())
            large, small = await others
            self.assertEqual(large.body, bulk())
            self.assertEqual(small.json["target"], "/small")

    async def test_slow_upstream(self) -> None:
        server = await self.start_server()
        slow = Upstream(self)
        serving = upstream(self)
        await self.start_client(
            server,
            f"slow.{server.domain}=127.0.0.1:{slow.port},fast.{server.domain}=127.0.0.1:{serving}",
        )
        uploading = together(fetch(server.url("slow"), "POST", body=bulk()))
        connection = await slow.connection()
        await connection.read_until(b"\r\n\r\n")
        connection.pause()
        asking = together(fetch(server.url("fast", "/beside")))
        connection.resume()
        self.assertEqual(await connection.read(BULK), bulk())
        connection.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        (uploaded,) = await uploading
        self.assertEqual(uploaded.status, 204)
        (asked,) = await asking
        self.assertEqual(asked.json["target"], "/beside")

    async def test_sockets(self) -> None:
        server = await self.start_server()
        await self.start_client(
            server, f"a.{server.domain}=127.0.0.1:{listening(self, echo_sockets())}"
        )
        await self.assertSockets(server.url("a", "/socket"))

    async def test_events(self) -> None:
        server = await self.start_server()
        service = Service()
        await self.start_client(
            server, f"events.{server.domain}=127.0.0.1:{upstream(self, service)}"
        )
        visitor = await PeerFactory(self).connect_to(server.data_port)
        await self.assertEvents(visitor, service)

    async def test_visitor_goes(self) -> None:
        server = await self.start_server()
        serving = Upstream(self)
        await self.start_client(server, f"a.{server.domain}=127.0.0.1:{serving.port}")
        visitor = await PeerFactory(self).connect_to(server.data_port)
        visitor.send(b"GET / HTTP/1.1\r\nHost: a.%b\r\n\r\n" % server.domain.encode())
        connection = await serving.connection()
        await connection.read_until(b"\r\n\r\n")
        visitor.close()
        await connection.ended()

    async def test_ends_of_answers(self) -> None:
        server = await self.start_server()
        serving = Upstream(self)
        await self.start_client(server, f"a.{server.domain}=127.0.0.1:{serving.port}")

        # The end of the connection is the end of the answer.
        asking = together(fetch(server.url("a")))
        connection = await serving.connection()
        await connection.read_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + bulk()[: 1 << 20])
        connection.close()
        (answer,) = await asking
        self.assertEqual(answer.body, bulk()[: 1 << 20])

        # The end of the connection comes too soon.
        visitor = await PeerFactory(self).connect_to(server.data_port)
        visitor.send(b"GET / HTTP/1.1\r\nHost: a.%b\r\n\r\n" % server.domain.encode())
        connection = await serving.connection()
        await connection.read_until(b"\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
        connection.close()
        await visitor.read_until(b"short")
        self.assertEqual(await visitor.ended(), CUT)

        # The answer comes before the request is over.
        visitor = await PeerFactory(self).connect_to(server.data_port)
        visitor.send(b"POST / HTTP/1.1\r\nHost: a.%b\r\n" % server.domain.encode())
        visitor.send(b"Content-Length: 9\r\n\r\nsho")
        connection = await serving.connection()
        await connection.read_until(b"sho")
        connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        connection.close()
        self.assertTrue((await visitor.read_until(b"\r\n\r\nno")).startswith(b"HTTP/1.1 413 "))

    async def test_faults_of_old(self) -> None:
        server = await self.start_server()
        await self.start_client(server, f"a.{server.domain}=127.0.0.1:{upstream(self, Service())}")
        for host in ("A.Tunnel.LocalHost", f"a.{server.domain}:80", f"a.{server.domain}.:8080"):
            visitor = await PeerFactory(self).connect_to(server.data_port)
            visitor.send(
                b"GET / HTTP/1.1\r\nHost: %b\r\nConnection: upgrade\r\n\r\n" % host.encode()
            )
            head = await visitor.read_until(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 200 "), head)
            self.assertIn(b"access-control-allow-origin: https://ide.example.com\r\n", head.lower())

    # -- upstreams

    async def test_upstream_down(self) -> None:
        server = await self.start_server()
        port = reactor.listenTCP(0, Site(EchoResource()), interface="127.0.0.1")
        number = port.getHost().port
        await self.start_client(server, f"a.{server.domain}=127.0.0.1:{number}")
        before = rows(server)
        await port.stopListening()
        answer = await fetch(server.url("a"), headers=JSON)
        self.assertEqual((answer.status, answer.json["error"]), (502, "upstream_refused"))
        self.assertNotIn("127.0.0.1", answer.body.decode())
        again = reactor.listenTCP(number, Site(EchoResource()), interface="127.0.0.1")
        self.addCleanup(again.stopListening)
        self.assertEqual((await fetch(server.url("a"))).status, 200)
        self.assertEqual(rows(server), before)

    async def test_upstream_without_port(self) -> None:
        server = await self.start_server()
        await self.start_client(
            server,
            f"none.{server.domain}=http://localhost,"
            f"some.{server.domain}=127.0.0.1:{upstream(self)}",
        )
        before = rows(server)
        answer = await fetch(server.url("none"), headers=JSON)
        self.assertEqual((answer.status, answer.json["error"]), (502, "upstream_without_port"))
        self.assertIn(f"http://none.{server.domain}:{server.data_port} answers 502", server.stdout)
        self.assertEqual((await fetch(server.url("some"))).status, 200)
        self.assertEqual(rows(server), before)

    async def test_not_strict(self) -> None:
        server = await self.start_server()
        await self.start_client(
            server,
            f"none.{server.domain}=http://localhost,"
            f"some.{server.domain}=127.0.0.1:{upstream(self)}",
            "--strict-forwarding=false",
        )
        self.assertEqual((await fetch(server.url("some"))).status, 200)
        self.assertEqual((await fetch(server.url("none"))).status, 502)
        self.assertEqual((await fetch(server.url("some"))).status, 200)

    async def test_tls_upstream(self) -> None:
        server = await self.start_server()
        port = self.tls_upstream(Service())
        await self.start_client(server, f"a.{server.domain}=https://127.0.0.1:{port}")
        self.assertEqual((await fetch(server.url("a", "/x"))).json["target"], "/x")
        await self.assertBulk(server.url("a", ""))

    # -- restarts

    async def test_server_restart(self) -> None:
        server = await self.start_server()
        announced = f"a.{server.domain}=127.0.0.1:{upstream(self)}"
        client = await self.start_client(server, announced)
        self.assertEqual((await fetch(server.url("a"))).status, 200)

        self.assertEqual(await server.stop(), 0)
        await client.says("close 1001 (going away)")
        server = await self.restart(server)
        if not client.reconnects:
            self.assertEqual(await client.ended(), 0)
            client = await self.start_client(server, announced)
        await fetch_until(200, server.url("a"), "after a restart in good order")

        await server.stop(signal.SIGKILL)
        server = await self.restart(server)
        if not client.reconnects:
            self.assertEqual(await client.ended(), 0)
            client = await self.start_client(server, announced)
        await fetch_until(200, server.url("a"), "after the server was killed")


class Following:
    """Somebody whom a dialer tells how it gets on."""

    def __init__(self) -> None:
        self.times_ready = 0
        self.failed: list[str] = []

    def listed(self, client_id: str) -> None:
        raise AssertionError("a stock server lists nobody")

    def ready(self, grants: Sequence[Grant]) -> None:
        self.times_ready += 1

    def disconnected(self, reason: str, retry_in: float) -> None:
        pass

    def notice(self, text: str) -> None:
        pass

    def upstream_failed(self, service: str, reason: str) -> None:
        self.failed.append(reason)

    def shared(self, link: ShareLink) -> None:
        raise AssertionError("a stock server makes no links")

    def service_added(self, grant: Grant) -> None:
        raise AssertionError("a stock server can't be asked for more")

    def service_refused(self, error: Refused) -> None:
        raise AssertionError("a stock server can't be asked for more")

    def follow(self, service: str, visitor: str) -> None:
        return None


class OurClientAtStockServer(Interop):
    """What our client and its visitors see of a stock server."""

    async def start_server(self, ports: tuple[int, int] | None = None) -> StockServer:
        server = StockServer(self, self.binary, ports)
        await server.start()
        return server

    async def start_client(self, server: StockServer, announced: str) -> OurClient:
        client = OurClient(self, server, announced)
        await client.start()
        return client

    async def test_names(self) -> None:
        server = await self.start_server()
        # A stock server takes the port for a part of the name.
        host = f"app.example.com:{server.data_port}"
        await self.start_client(
            server,
            f"{host}=http://127.0.0.1:{upstream(self, Service())}/,127.0.0.1:{upstream(self)}",
        )
        answer = await fetch(f"http://{host}/a?b")
        self.assertEqual(answer.json["target"], "/a?b")
        self.assertEqual(answer.json["headers"]["host"], [host])
        answer = await fetch(server.url("/c"))
        self.assertEqual(answer.json["target"], "/c")

    async def test_bulk(self) -> None:
        server = await self.start_server()
        await self.start_client(server, f"127.0.0.1:{upstream(self, Service())}")
        await self.assertBulk(server.url(""), up=0)
        await self.assertBulk(server.url(""), down=0)
        await self.assertBulk(server.url(""), down=3, up=3)

    async def test_slow_reader(self) -> None:
        # A stock server stops the whole tunnel for it; ours must hold out, and go on.
        server = await self.start_server()
        await self.start_client(server, f"127.0.0.1:{upstream(self, Service())}")
        visitor = await PeerFactory(self).connect_to(server.data_port)
        visitor.send(b"GET /bulk HTTP/1.1\r\nHost: any\r\n\r\n")
        await visitor.read_until(b"\r\n\r\n")
        visitor.pause()
        others = together(fetch(server.url("/bulk")), fetch(server.url("/small")))
        visitor.resume()
        self.assertEqual(await visitor.read(BULK), bulk())
        large, small = await others
        self.assertEqual(large.body, bulk())
        self.assertEqual(small.json["target"], "/small")

    async def test_sockets(self) -> None:
        server = await self.start_server()
        await self.start_client(server, f"127.0.0.1:{listening(self, echo_sockets())}")
        await self.assertSockets(server.url("/socket"))

    async def test_events(self) -> None:
        server = await self.start_server()
        service = Service()
        await self.start_client(server, f"127.0.0.1:{upstream(self, service)}")
        visitor = await PeerFactory(self).connect_to(server.data_port)
        await self.assertEvents(visitor, service)

    async def test_upstream_down(self) -> None:
        server = await self.start_server()
        port = reactor.listenTCP(0, Site(EchoResource()), interface="127.0.0.1")
        number = port.getHost().port
        address = f"127.0.0.1:{number}"
        await port.stopListening()
        await self.start_client(server, address)
        answer = await fetch(server.url())
        self.assertEqual(answer.status, 500)
        self.assertIn(f"nothing listens on {address}", answer.body.decode())
        again = reactor.listenTCP(number, Site(EchoResource()), interface="127.0.0.1")
        self.addCleanup(again.stopListening)
        self.assertEqual((await fetch(server.url())).status, 200)

    async def test_tls_upstream(self) -> None:
        server = await self.start_server()
        await self.start_client(server, f"https://127.0.0.1:{self.tls_upstream(Service())}")
        self.assertEqual((await fetch(server.url("/x"))).json["target"], "/x")
        await self.assertBulk(server.url(""))

    async def test_wrong_token(self) -> None:
        server = await self.start_server()
        client = OurClient(self, server, "127.0.0.1:9", token="wrong")
        client.spawn()
        self.assertEqual(await client.ended(), 3)
        self.assertIn("the server refused the token", client.stderr)

    async def test_server_restart(self) -> None:
        server = await self.start_server()
        client = await self.start_client(server, f"127.0.0.1:{upstream(self)}")
        self.assertEqual((await fetch(server.url())).status, 200)
        await server.stop(signal.SIGKILL)
        server = await self.start_server(server.ports)
        await client.connects(2)
        self.assertEqual((await fetch(server.url())).status, 200)
        self.assertEqual(await client.stop(), 0)

    async def test_dialer(self) -> None:
        server = await self.start_server()
        following = Following()
        dialer = Dialer(
            reactor,
            ServerAddress.parse(f"ws://127.0.0.1:{server.control_port}"),
            server.TOKEN,
            "client",
            [
                ServiceOffer("up", "http", f"http://127.0.0.1:{upstream(self)}"),
                ServiceOffer("down", "http", "http://127.0.0.1:1", "down"),
            ],
            following,
            protocol="inlets",
        )
        running = dialer.run()
        self.addCleanup(lambda: running)
        self.addCleanup(dialer.stop)
        for times in (1, 2):
            await until(lambda: following.times_ready == times, "connected")  # noqa: B023
            self.assertEqual((await fetch(server.url())).status, 200)
            down = await fetch(server.url(), headers={"Host": "down"})
            self.assertEqual((down.status, len(following.failed)), (500, times))
            if times == 1:
                await server.stop(signal.SIGKILL)
                server = await self.start_server(server.ports)


if BINARIES:
    for _number, _path in enumerate(BINARIES, 1):
        for _tests in (StockClientAtOurServer, OurClientAtStockServer):
            _name = f"{_tests.__name__}{_number}"
            globals()[_name] = type(_name, (_tests,), {"binary": _path})
    # Those that are left are of no binary.
    del StockClientAtOurServer, OurClientAtStockServer, _tests
