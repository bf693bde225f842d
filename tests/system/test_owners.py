"""Two users of one server, with the real programs: each has its own, and only that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.peers import Peer, Upstream, until
from tests.postgres import execute
from tests.system.http import Answer, fetch
from tests.system.processes import ClientProcess
from tests.system.whole import WholeTestCase

MIB = 1 << 20


class OwnersTestCase(WholeTestCase):
    """A server with Alice and Bob, each of whom has a token."""

    async def start_with_users(self) -> None:
        """Start the server, and prepare an upstream."""
        await self.start_server()
        self.upstream = Upstream(self)
        self.tokens: dict[str, str] = {}
        for user in ("alice", "bob"):
            await self.server.inletspy("user", "add", user)
            self.tokens[user] = await self.server.inletspy("token", "create", "--user", user)

    def tunnel(self, user: str, *arguments: str) -> ClientProcess:
        """A client of a user's, not started yet."""
        file = Path(self.mktemp()).absolute()
        file.write_text(self.tokens[user])
        return ClientProcess(self, self.server, *arguments, "--token-file", str(file))

    async def tcp(self, user: str) -> tuple[ClientProcess, int]:
        """A tcp tunnel of a user's, and its public port."""
        client = self.tunnel(user, f"127.0.0.1:{self.upstream.port}", "tcp")
        port = urlsplit(str((await client.start())["public_url"])).port
        assert port is not None
        return client, port

    async def ask(
        self, user: str, path: str, method: str = "GET", body: dict[str, Any] | None = None
    ) -> Answer:
        """One call of the status API with a user's token."""
        content = None if body is None else json.dumps(body).encode()
        return await fetch(
            self.server.status_url + path, method, body=content, token=self.tokens[user]
        )


class DownloadTestCase(OwnersTestCase):
    """With a visitor who downloads for as long as there is a tunnel."""

    async def downloading(self, user: str) -> tuple[ClientProcess, Peer]:
        """A tunnel in the middle of a download that does not end by itself."""
        client, port = await self.tcp(user)
        visitor = await self.visitors.connect_to(port)
        visitor.send(b"?")
        upstream = await self.upstream.connection()
        await upstream.read(1)
        upstream.send(bytes(MIB))
        await visitor.read(MIB)
        return client, visitor


class EndTests(DownloadTestCase):
    async def test_a_revoked_token_ends_downloads_and_client(self) -> None:
        await self.start_with_users()
        client, visitor = await self.downloading("alice")
        others, visitor_of_others = await self.downloading("bob")
        await self.server.inletspy("token", "revoke", self.tokens["alice"][:12])
        await visitor.ended()
        self.assertEqual(await client.ended(), 3)
        self.assertIn("was revoked", client.stdout + client.stderr)
        self.assertEqual((await self.ask("alice", "/api/tunnels")).status, 401)
        self.assertEqual((others.status, visitor_of_others.end), (None, None))

    async def test_a_removed_user(self) -> None:
        await self.start_with_users()
        client, visitor = await self.downloading("alice")
        registration = {
            "hostname": "alice-reg.example.com",
            "public_url": "https://alice-reg.example.com",
            "upstream": "http://localhost:1",
            "client_id": "alice-reg",
        }
        self.assertEqual((await self.ask("alice", "/tunnels", "POST", registration)).status, 200)
        file = self.server.data_dir / "tunnels.json"
        await until(lambda: "alice-reg" in file.read_text(), "listed")
        await self.server.inletspy("user", "remove", "alice")
        await until(lambda: "alice" not in file.read_text(), "listed no longer")
        await visitor.ended()
        self.assertEqual(await client.ended(), 3)
        self.assertIn("user alice was removed", client.stdout + client.stderr)

    async def test_an_expired_token(self) -> None:
        await self.start_with_users()
        client, visitor = await self.downloading("alice")
        assert self.server.database is not None
        execute(
            self.server.database,
            "UPDATE inletspy_tokens SET expires_at = CURRENT_TIMESTAMP + interval '1 second'"
            " WHERE user_name = 'alice'",
        )
        await visitor.ended()
        self.assertEqual(await client.ended(), 3)
        self.assertIn("has expired", client.stdout + client.stderr)

    async def test_the_shared_token_turned_off(self) -> None:
        await self.start_with_users()
        shared = ClientProcess(self, self.server, f"127.0.0.1:{self.upstream.port}")
        await shared.start()
        client, _ = await self.tcp("alice")
        self.set(shared_token_enabled="false")
        self.assertEqual(await shared.ended(), 3)
        await until(lambda: not self.server.token_file.exists(), "without the file")
        self.assertIsNone(client.status)


class CloseTests(DownloadTestCase):
    async def test_a_tunnel_of_the_owner_s_own(self) -> None:
        await self.start_with_users()
        client, visitor = await self.downloading("alice")
        (row,) = (await self.ask("alice", "/status")).json
        answer = await self.ask("alice", f"/api/tunnels/{row['id']}", "DELETE")
        self.assertEqual((answer.status, answer.json["success"]), (200, True))
        await visitor.ended()
        self.assertEqual(await client.ended(), 3)
        self.assertIn("was closed", client.stdout + client.stderr)
        self.assertEqual((await self.ask("alice", "/status")).json, [])


class IsolationTests(OwnersTestCase):
    async def test_every_call_with_the_other_s_ids(self) -> None:
        await self.start_with_users()
        http = f"127.0.0.1:{self.upstream.port}"
        alice = self.tunnel("alice", http)
        url = urlsplit(str((await alice.start())["public_url"]))
        host = url.hostname or ""
        self.assertRegex(host, rf"^alice-.+-{self.upstream.port}\.tunnel\.localhost$")
        _, port = await self.tcp("alice")
        registration = {
            "hostname": "alice-reg.example.com",
            "public_url": "https://alice-reg.example.com",
            "upstream": "http://localhost:1",
            "client_id": "alice-reg",
        }
        self.assertEqual((await self.ask("alice", "/tunnels", "POST", registration)).status, 200)
        before = (await self.ask("alice", "/status")).json
        self.assertEqual(len(before), 3)
        client_ids = {row["client_id"] for row in before}

        for path in ("/status", *(f"/status?client_id={name}" for name in client_ids)):
            self.assertEqual((await self.ask("bob", path)).json, [])
        for query in ("", *(f"?client_id={name}" for name in client_ids)):
            answer = (await self.ask("bob", f"/api/tunnels{query}")).json
            self.assertEqual(answer["data"]["tunnels"], [])
        for name in client_ids:
            answer = await self.ask("bob", f"/tunnels/{name}", "DELETE")
            self.assertEqual(answer.json, {"success": True})  # of its own, which are none
            planted = {**registration, "client_id": name}
            self.assertEqual((await self.ask("bob", "/tunnels", "POST", planted)).status, 403)
        for row in before:
            for method in ("GET", "DELETE"):
                answer = await self.ask("bob", f"/api/tunnels/{row['id']}", method)
                self.assertEqual(answer.status, 404)
        configuration = (await self.ask("bob", "/api/config/tunnels")).json["data"]
        self.assertEqual(configuration["inlets_shared_token"], self.tokens["bob"])

        for arguments, text in (
            (("--name", host), "belongs to somebody else"),
            (("--name", host.partition(".")[0]), "belongs to somebody else"),
            (("--client-id", "alice-reg"), "is not yours"),
            (("tcp", "--remote-port", str(port)), "is in use"),
        ):
            bob = self.tunnel("bob", http, *arguments)
            bob.spawn()
            self.assertEqual(await bob.ended(), 3)
            self.assertIn(text, bob.stdout + bob.stderr)

        self.assertEqual((await self.ask("alice", "/status")).json, before)
        self.assertIsNone(alice.status)
        for secret in (*self.tokens.values(), self.server.token):
            self.assertNotIn(secret, self.server.stdout + self.server.stderr)
