"""Who may visit, through the real programs: passwords, and a link in a browser's hands."""

from __future__ import annotations

import json
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.system.http import fetch, upstream
from tests.system.processes import ClientProcess, ServerProcess
from tests.system.whole import WholeTestCase

TOKEN = "a-token-that-is-long"
PASSWORD = "pass:w\xf6rd"


class VisitTests(WholeTestCase):
    async def tunnel(self, *arguments: str, **environ: str) -> ClientProcess:
        """A client for an upstream that tells what it was asked."""
        port = str(upstream(self))
        words = (port, "--name", "app", *arguments)
        client = ClientProcess(self, self.server, *words, environ=environ)
        await client.start()
        return client

    async def api(self, method: str, path: str, *keys: str, body: Any = None) -> Any:
        """What the status port answers, down to what has these keys."""
        content = None if body is None else json.dumps(body).encode()
        url = f"{self.server.status_url}/api/{path}"
        headers = {"Content-Type": "application/json"} if body else {}
        answer = await fetch(url, method, token=self.server.token, body=content, headers=headers)
        self.assertTrue(answer.json["success"], answer.body)
        found = answer.json["data"]
        for key in keys:
            found = found[key]
        return found

    async def test_passwords_and_tokens(self) -> None:
        self.server = ServerProcess(self, "--access-log", self.mktemp())
        await self.server.start()
        secrets = Path(self.mktemp())
        secrets.write_text(f"ann:{PASSWORD}\n", encoding="utf-8")
        client = await self.tunnel(
            "--basic-auth-file", str(secrets.absolute()), INLETSPY_BEARER=TOKEN
        )
        url = self.server.url("app", "/x")
        refused = await fetch(url)
        self.assertEqual((refused.status, refused.json["error"]), (401, "unauthorized"))
        challenges = refused.headers.getRawHeaders("www-authenticate")
        self.assertEqual(
            challenges, ['Basic realm="tunnel", charset="UTF-8"', 'Bearer realm="tunnel"']
        )
        for password, status in ((PASSWORD, 200), ("wrong", 401), (PASSWORD, 200)):
            answer = await fetch(url, login=("ann", password))
            self.assertEqual(answer.status, status)
            if status == 200:
                self.assertNotIn("authorization", answer.json["headers"])
        for field in ("Authorization", "X-Tunnel-Token"):
            value = TOKEN if field == "X-Tunnel-Token" else f"Bearer {TOKEN}"
            answer = await fetch(url, headers={field: value})
            self.assertEqual(answer.status, 200)
            self.assertNotIn(field.lower(), answer.json["headers"])

        secrets.write_text("ann:another\n")
        added = await client.event("service_added")
        self.assertEqual(
            added["public_url"], f"http://app.{self.server.domain}:{self.server.data_port}"
        )
        for login, status in ((("ann", PASSWORD), 401), (("ann", "another"), 200)):
            self.assertEqual((await fetch(url, login=login)).status, status)
        answer = await fetch(url, headers={"X-Tunnel-Token": TOKEN})
        self.assertEqual(answer.status, 200)
        await client.stop()
        await self.server.stop()
        for program in (client, self.server):
            for secret in (PASSWORD, TOKEN):
                self.assertNotIn(secret, program.stdout + program.stderr)

    async def test_a_share_link_in_a_browser(self) -> None:
        log = Path(self.mktemp()).absolute()
        self.server = ServerProcess(self, "--access-log", str(log))
        await self.server.start()
        client = await self.tunnel("--private-http", "--share-link", "2h")
        event = await client.event("share_link")
        link = event["url"]
        (token,) = parse_qs(urlsplit(link).query)["tunnel_token"]
        url = self.server.url("app")
        self.assertEqual((await fetch(url, cookies=CookieJar())).status, 401)

        browser = CookieJar()
        answer = await fetch(link, cookies=browser)
        self.assertEqual((answer.status, answer.json["target"]), (200, "/"))
        self.assertNotIn("cookie", answer.json["headers"])
        (cookie,) = browser
        self.assertTrue(cookie.has_nonstandard_attr("HttpOnly"))
        self.assertFalse(cookie.domain_specified)
        self.assertEqual((await fetch(f"{url}again", cookies=browser)).json["target"], "/again")
        self.assertEqual((await fetch(url, headers={"X-Tunnel-Token": token})).status, 200)

        other = ClientProcess(
            self, self.server, str(upstream(self)), "--name", "other", "--private-http"
        )
        await other.start()
        stolen = {"Cookie": f"tunnel_visit={token}", "X-Tunnel-Token": token}
        self.assertEqual((await fetch(self.server.url("other"), headers=stolen)).status, 401)

        rows = await self.api("GET", "tunnels", "tunnels")
        row = next(row for row in rows if row["hostname"].startswith("app."))
        (listed,) = await self.api("GET", f"tunnels/{row['id']}/links", "links")
        self.assertIn(f".{listed['id']}.", token)
        made = await self.api("POST", f"tunnels/{row['id']}/links", body={"expires_in": 60})
        again = CookieJar()
        self.assertEqual((await fetch(made["url"], cookies=again)).status, 200)
        await self.api("DELETE", f"tunnels/{row['id']}/links/{listed['id']}")
        for there in ({"cookies": browser}, {"headers": {"X-Tunnel-Token": token}}):
            self.assertEqual((await fetch(url, **there)).status, 401)
        self.assertEqual((await fetch(link, cookies=CookieJar())).status, 401)
        self.assertEqual((await fetch(url, cookies=again)).status, 200)

        await self.server.stop()
        self.assertNotIn(token, log.read_text(encoding="utf-8"))
        self.assertIn('"/?tunnel_token=***" 303', log.read_text(encoding="utf-8"))
