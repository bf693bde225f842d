"""A server with users and clients, and windows that show its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.task import deferLater

from tests.browser.support import BrowserTestCase
from tests.system.http import Answer, fetch, upstream
from tests.system.processes import ClientProcess, ServerProcess, reactor

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

__all__ = ["DashboardTestCase"]


class DashboardTestCase(BrowserTestCase):
    """Tests of the server's page, with real programs behind it.

    Attributes:
        server: it.
        tokens: of users, by name; `admin` reaches everything.
        upstream: the port of a service.
    """

    async def start(self, *users: str) -> None:
        """Start a server with an admin and these users."""
        self.server = ServerProcess(self)
        await self.server.start()
        self.upstream = upstream(self)
        self.tokens: dict[str, str] = {}
        await self.server.inletspy("user", "add", "admin")
        self.tokens["admin"] = await self.server.inletspy(
            "token", "create", "--user", "admin", "--scopes", "connect,status,admin"
        )
        # The server hears of what the command has written a moment later.
        session, token = f"{self.server.status_url}/api/session", self.tokens["admin"]
        while (await fetch(session, token=token)).status in (401, 429):
            await deferLater(reactor, 0.2)
        for user in users:
            await self.call("POST", "users", {"name": user})
            made = await self.call("POST", "tokens", {"user": user})
            self.tokens[user] = made.json["data"]["token"]

    async def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, user: str = "admin"
    ) -> Answer:
        """A call of the API that is a success."""
        answer = await fetch(
            f"{self.server.status_url}/api/{path}",
            method,
            body=None if body is None else json.dumps(body).encode(),
            headers={} if body is None else {"Content-Type": "application/json"},
            token=self.tokens[user],
        )
        self.assertLess(answer.status, 300, answer.body)
        return answer

    async def serve(self, user: str, name: str = "", *arguments: str) -> ClientProcess:
        """A client of a user's, that serves the upstream, or what the arguments say.

        Args:
            user: whose it is.
            name: comes after the user's prefix.
            arguments: in place of the upstream.
        """
        file = Path(self.mktemp()).absolute()
        file.write_text(self.tokens[user])
        what = arguments or (f"127.0.0.1:{self.upstream}", "--name", f"{user}-{name}")
        client = ClientProcess(self, self.server, *what, "--token-file", str(file))
        await client.start()
        return client

    async def visit(self, name: str, path: str = "/", method: str = "GET") -> Answer:
        """A visit of a tunnel."""
        return await fetch(self.server.url(name, path), method)

    async def signed_in(
        self, user: str, path: str = "", context: BrowserContext | None = None, **options: Any
    ) -> Page:
        """A window that shows the page to a user.

        Args:
            user: whose token it is.
            path: what stands after the `#`.
            context: a browser where the user is signed in already.
            options: for a new one.
        """
        page = await self.page(f"{self.server.status_url}/#{path}", context, **options)
        if context is None:
            await self.fill(page.get_by_label("Token"), self.tokens[user])
            await self.click(page.get_by_role("button", name="Sign in"))
        await self.see(page.get_by_text("Live", exact=True))
        return page
