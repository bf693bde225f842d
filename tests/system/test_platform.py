"""A dev-container platform that knows nothing of inletspy but what its old parts did.

The test plays its backend, the shell of a container and a wrapper that registers its own
tunnels: the calls and the SQL are those of the old platform.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from inletspy.client.config import container_id
from tests.peers import until
from tests.postgres import execute, url_of_new_database
from tests.system.http import fetch, upstream
from tests.system.processes import ClientProcess, ServerProcess
from tests.system.whole import TABLE

SHARED = "shared-token-of-the-platform"


class Backend(Resource):
    """The platform's backend: gives its containers what its database says."""

    isLeaf = True

    def __init__(self, database: str) -> None:
        super().__init__()
        self._database = database

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("Content-Type", "application/json")
        if request.getHeader("Authorization") != "Bearer a-container":
            return self.answer(request, 401, {"success": False, "error": "Unauthorized"})
        if request.path != b"/api/config/tunnels":
            return self.answer(request, 404, {"success": False, "error": "Not found"})
        rows = dict(execute(self._database, "SELECT key, value FROM config_settings"))
        if rows["tunnels_enabled"] != "true":
            message = "Tunnels feature is not enabled"
            return self.answer(request, 404, {"success": False, "error": message})
        keys = ("inlets_server_url", "inlets_shared_token", "tunnel_base_domain")
        data = {"tunnels_enabled": True, **{key: rows[key] for key in keys}}
        return self.answer(request, 200, {"success": True, "data": data})

    @staticmethod
    def answer(request: Request, status: int, content: object) -> bytes:
        request.setResponseCode(status)
        return json.dumps(content).encode()


class Container(ClientProcess):
    """`tunnel ...` in a container, which is told nothing but its environment."""

    def __init__(
        self, case: TestCase, server: ServerProcess, environ: Mapping[str, str], *arguments: str
    ) -> None:
        super().__init__(case, server, environ=environ)
        tunnel = "import sys; from inletspy.client.cli import main; sys.exit(main())"
        self.command = [sys.executable, "-c", tunnel, *arguments, "--json"]


class PlatformTests(TestCase):
    timeout = 180

    async def start_server(self, *options: str) -> None:
        """Start a server on the platform's own database, with other keys in it."""
        self.database = url_of_new_database()
        execute(self.database, TABLE)
        execute(
            self.database,
            "INSERT INTO config_settings (key, value, default_value, type) VALUES"
            " ('session_limit', '5', '3', 'number'), ('tunnels_enabled', NULL, 'false', 'boolean'),"
            " ('tunnel_base_domain', NULL, '', 'string')",
        )
        variables = {"INLETS_TOKEN": SHARED, "INLETS_DOMAIN": "tunnel.example.com"}
        self.server = ServerProcess(self, environ=variables, database=self.database)
        await self.server.start()
        self.assertEqual(self.server.token, SHARED)

    def sql(self, statement: str) -> None:
        """Change the database in the way that an operator does."""
        psql = shutil.which("psql")
        if psql is None:
            execute(self.database, statement)
        else:
            subprocess.run([psql, self.database, "-qc", statement], check=True, timeout=60)

    def set(self, key: str, value: str) -> None:
        self.sql(f"UPDATE config_settings SET value = '{value}' WHERE key = '{key}'")

    async def status(self) -> list[dict[str, Any]]:
        """What the backend reads."""
        answer = await fetch(f"{self.server.status_url}/status")
        self.assertEqual(answer.status, 200)
        rows: list[dict[str, Any]] = answer.json
        return rows

    async def until_file(self, rows: list[dict[str, Any]]) -> None:
        """Wait until `tunnels.json` says that."""
        file = self.server.data_dir / "tunnels.json"
        await until(lambda: json.loads(file.read_text()) == rows, f"{rows} in the file")

    async def test_a_day_of_a_container(self) -> None:
        await self.start_server()
        backend = upstream(self, Backend(self.database))
        environ = {
            "CLAUDE_WEB_BACKEND_URL": f"http://127.0.0.1:{backend}",
            "CLAUDE_WEB_AUTH_TOKEN": "a-container",
            "USER_ID": "7",
        }
        port = upstream(self)

        early = Container(self, self.server, environ, str(port))
        early.spawn()
        self.assertEqual(await early.ended(), 3)
        self.assertEqual(early.events[0]["code"], "tunnels_disabled")
        stranger = {**environ, "CLAUDE_WEB_AUTH_TOKEN": "another"}
        refused = Container(self, self.server, stranger, str(port))
        refused.spawn()
        self.assertEqual(await refused.ended(), 3)
        self.assertEqual(refused.events[0]["code"], "unauthorized")

        self.set("inlets_server_url", self.server.control_url)
        self.set("tunnels_enabled", "true")
        container = Container(self, self.server, environ, str(port), "http")
        public_url = (await container.start())["public_url"]
        host = f"{container_id(socket.gethostname())}-{port}.tunnel.example.com"
        self.assertEqual(public_url, f"http://{host}:{self.server.data_port}")
        answer = await fetch(public_url)
        self.assertEqual((answer.status, answer.json["headers"]["host"][0]), (200, public_url[7:]))

        (row,) = await self.status()
        self.assertEqual(
            {
                key: row[key]
                for key in ("hostname", "public_url", "upstream", "client_id", "status")
            },
            {
                "hostname": host,
                "public_url": public_url,
                "upstream": f"http://localhost:{port}",
                "client_id": "claude-web-user-7",
                "status": "active",
            },
        )
        self.assertRegex(row["connected_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
        await self.until_file([row])
        url = f"{self.server.status_url}/api/tunnels"
        said = (await fetch(url, token=SHARED)).json
        (seen,) = said["data"]["tunnels"]
        self.assertEqual(seen.pop("traffic")["statuses"]["2xx"], 1)
        self.assertEqual(said, {"success": True, "data": {"tunnels": [row]}})

        self.set("tunnels_enabled", "false")
        self.assertIn("turned tunnels off", (await container.event("notice"))["message"])
        await container.event("disconnected")
        self.assertEqual(await self.status(), [])
        self.assertEqual(
            execute(
                self.database,
                "SELECT value, default_value FROM config_settings WHERE key = 'session_limit'",
            ),
            [("5", "3")],
        )

    async def test_wrappers_that_register_by_themselves(self) -> None:
        await self.start_server()
        status = self.server.status_url

        async def call(method: str, path: str, content: Any = None) -> tuple[int, Any]:
            body = None if content is None else json.dumps(content).encode()
            headers = {"Content-Type": "application/json"}
            answer = await fetch(
                f"{status}{path}", method, headers=headers, body=body, token=SHARED
            )
            return answer.status, answer.json

        wrapped = {
            "client_id": "claude-web-user-12",
            "hostname": "c0ffee-3000.tunnel.example.com",
            "public_url": "https://c0ffee-3000.tunnel.example.com",
            "upstream": "http://localhost:3000",
            "status": "active",
        }
        self.assertEqual(await call("POST", "/tunnels", wrapped), (200, {"success": True}))
        (row,) = await self.status()
        self.assertEqual(wrapped.items() - row.items(), set())
        self.assertEqual(await call("POST", "/tunnels", wrapped), (200, {"success": True}))
        self.assertEqual(await self.status(), [row])

        code, error = await call("POST", "/tunnels", {**wrapped, "public_url": "javascript:x"})
        self.assertEqual((code, error["error"]), (400, "Invalid request"))
        self.assertEqual(await call("GET", "/nowhere"), (404, {"error": "Not found"}))
        self.assertEqual((await fetch(f"{status}/tunnels/%", "DELETE", token=SHARED)).status, 400)
        answer = {"success": True}
        self.assertEqual(await call("DELETE", "/tunnels/claude-web-user-1"), (200, answer))
        self.assertEqual(await self.status(), [row])
        self.assertEqual(await call("DELETE", "/tunnels/claude-web-user-12"), (200, answer))
        self.assertEqual(await self.status(), [])
        await self.until_file([])
        self.assertEqual((await fetch(f"{status}/health")).json, {"status": "ok"})

    async def test_the_server_in_place_of_a_backend(self) -> None:
        await self.start_server()
        self.set("inlets_server_url", self.server.control_url)
        self.set("tunnels_enabled", "true")
        environ = {
            "CLAUDE_WEB_BACKEND_URL": self.server.status_url,
            "CLAUDE_WEB_AUTH_TOKEN": SHARED,
        }
        url = f"{self.server.status_url}/api/config/tunnels"
        while (await fetch(url, token=SHARED)).status != 200:
            pass
        container = Container(self, self.server, environ, str(upstream(self)))
        answer = await fetch((await container.start())["public_url"])
        self.assertEqual(answer.status, 200)
