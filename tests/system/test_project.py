"""`tunnel` with a file of several services, which changes while they are up."""

from __future__ import annotations

from urllib.parse import urlsplit

from tests.edge.tunnels import request
from tests.peers import Peer, Upstream
from tests.system.http import fetch
from tests.system.processes import ClientProcess
from tests.system.whole import WholeTestCase

MIB = 1 << 20
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


class ProjectTests(WholeTestCase):
    async def client_with(self, text: str, *arguments: str) -> ClientProcess:
        """A client with this file in its working directory, not started yet."""
        client = ClientProcess(self, self.server, *arguments)
        client.home.mkdir(parents=True)
        self.file = client.home / "inletspy.toml"
        self.file.write_text(text)
        return client

    def service(self, name: str, upstream: Upstream, *lines: str) -> str:
        return "\n".join(
            [f"[services.{name}]", f'upstream = "127.0.0.1:{upstream.port}"', *lines, ""]
        )

    async def asks(self, name: str, upstream: Upstream) -> tuple[Peer, Peer]:
        """A visitor of a host, and the upstream's end of the request."""
        visitor = await self.visit(request("GET / HTTP/1.1", f"Host: {name}.{self.server.domain}"))
        peer = await upstream.connection()
        await peer.read_until(b"\r\n\r\n")
        return visitor, peer

    async def test_services_come_and_go_during_a_download(self) -> None:
        await self.start_server()
        first, second, third = (Upstream(self) for _ in range(3))
        shop = self.service("web", first, 'hostname = "shop"')
        files = self.service("files", second, 'hostname = "files"')
        database = self.service("db", third, 'proto = "tcp"', 'proxy-protocol = "v2"')
        client = await self.client_with(shop + files)
        ready = await client.start()
        self.assertEqual([s["name"] for s in ready["services"]], ["web", "files"])
        for name, upstream in (("shop", first), ("files", second)):
            visitor, peer = await self.asks(name, upstream)
            peer.send(ANSWER % 2 + b"ok")
            self.assertTrue((await visitor.read_until(b"ok")).startswith(b"HTTP/1.1 200"))
            peer.close()
            visitor.close()

        downloading, peer = await self.asks("files", second)
        downloading.pause()
        peer.send(ANSWER % (32 * MIB) + bytes(32 * MIB))
        await peer.until_stuck()

        self.file.write_text(files + database)
        self.assertEqual((await client.event("service_removed"))["service"], "web")
        added = await client.event("service_added")
        self.assertEqual((added["service"], added["protocol"]), ("db", "tcp"))
        gone = await fetch(self.server.url("shop"))
        self.assertIn(gone.status, (404, 503))
        port = urlsplit(added["public_url"]).port
        assert port is not None
        visitor = await self.visitors.connect_to(port)
        visitor.send(b"question")
        upstream_end = await third.connection()
        said = await upstream_end.read_until(b"question")
        self.assertTrue(said.startswith(b"\r\n\r\n\0\r\nQUIT\n"), said)

        # A mistake costs nothing.
        self.file.write_text("[services.files]\nupstraem = 1\n")
        fault = (await client.event("config_error"))["message"]
        self.assertIn("inletspy.toml:2: unknown key 'upstraem' in [services.files]", fault)
        upstream_end.send(b"answer")
        self.assertEqual(await visitor.read(6), b"answer")

        self.assertIsNone(peer.end)
        downloading.resume()
        await downloading.read_until(b"\r\n\r\n")
        self.assertEqual(await downloading.read(32 * MIB), bytes(32 * MIB))
        events = [event["event"] for event in client.events]
        self.assertNotIn("disconnected", events)
        self.assertEqual(client.stderr, "")
        self.assertEqual(await client.stop(), 0)

    async def test_one_is_refused_and_the_others_go_on(self) -> None:
        await self.start_server()
        first, second = Upstream(self), Upstream(self)
        other = ClientProcess(self, self.server, str(second.port), "--name", "taken")
        await other.start()
        mine = self.service("web", first, 'hostname = "mine"')
        taken = self.service("late", second, 'hostname = "taken"')

        client = await self.client_with(mine + taken, "--client-id", "another")
        client.spawn()
        self.assertEqual(await client.ended(), 3)
        (error,) = client.events
        self.assertEqual(error["code"], "hostname_taken")
        self.assertIn("inletspy.toml: late is refused: taken.", error["message"])
        self.assertNotIn("--", error["message"])  # a file has keys, not flags

        client = await self.client_with(mine, "--client-id", "another")
        await client.start()
        self.file.write_text(mine + taken)
        refused = await client.event("service_refused")
        self.assertEqual((refused["service"], refused["code"]), ("late", "hostname_taken"))
        visitor, peer = await self.asks("mine", first)
        peer.send(ANSWER % 2 + b"ok")
        await visitor.read_until(b"ok")

        # Once it is free, the name is had by asking for it again, in another way.
        self.file.write_text(mine + taken.replace('"taken"', '"free"'))
        self.assertEqual((await client.event("service_added"))["service"], "late")

    async def test_chosen_services(self) -> None:
        await self.start_server()
        upstream = Upstream(self)
        text = "".join(
            self.service(name, upstream, f'hostname = "{name}"') for name in ("one", "two", "six")
        )
        client = await self.client_with(text, "--config", "inletspy.toml", "six", "one")
        ready = await client.start()
        self.assertEqual([s["name"] for s in ready["services"]], ["one", "six"])
        rows = await fetch(f"{self.server.status_url}/status")
        self.assertEqual(len({row["session"] for row in rows.json}), 1)
        await client.stop()
