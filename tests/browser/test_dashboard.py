"""The server's page in a browser: signing in, and tunnels as they come and go."""

from __future__ import annotations

import json
from typing import Any

from twisted.protocols.portforward import ProxyFactory

from tests.browser.dashboards import DashboardTestCase
from tests.edge.tunnels import request
from tests.peers import PeerFactory
from tests.system.http import fetch, listening
from tests.system.processes import ServerProcess


class SignInTests(DashboardTestCase):
    async def test_with_a_token(self) -> None:
        await self.start("alice")
        page = await self.page(self.server.status_url)
        token, button = page.get_by_label("Token"), page.get_by_role("button", name="Sign in")
        await self.fill(token, "ipy_wrong")
        await self.click(button)
        await self.see(page.get_by_role("alert").filter(has_text="not good for signing in"))
        await self.fill(token, f"  {self.tokens['alice']}\n")
        await self.click(button)
        await self.see(page.get_by_role("heading", name="No tunnels yet"))
        self.assertEqual(await self.run_in_browser(page.evaluate, "document.cookie"), "")
        await self.see(page.get_by_role("link", name="Tokens"))
        # What only an admin can do is not there, and leads nowhere by its address.
        await self.see_no(page.get_by_role("link", name="Settings"))
        await self.run_in_browser(page.evaluate, "location.hash = '#/settings'")
        await self.see(page.get_by_role("heading", name="No tunnels yet"))
        await self.click(page.get_by_role("button", name="Sign out"))
        await self.see(button)
        await self.run_in_browser(page.reload)
        await self.see(button)

    async def test_with_the_shared_token(self) -> None:
        await self.start()
        self.tokens["shared"] = self.server.token
        page = await self.signed_in("shared")
        await self.see(page.get_by_role("heading", name="No tunnels yet"))
        await self.see_no(page.get_by_role("link", name="Tokens"))

    async def test_with_a_link(self) -> None:
        await self.start("alice")
        made = await self.call("POST", "session/links", user="alice")
        url = made.json["data"]["url"]
        page = await self.page(url)
        await self.see(page.get_by_role("heading", name="No tunnels yet"))
        self.assertEqual(await self.run_in_browser(lambda: page.url.partition("#")[2]), "/")
        again = await self.page(url)
        await self.see(again.get_by_text("The link was used already"))

    async def test_ends_with_the_token(self) -> None:
        await self.start("alice")
        page = await self.signed_in("alice")
        await self.call("DELETE", f"tokens/{self.tokens['alice'][:12]}")
        await self.see(page.get_by_role("alert").filter(has_text="Your session is over"))

    async def test_too_many_wrong_tokens(self) -> None:
        await self.start()
        await self.call("PUT", "config/wrong_tokens_per_address", {"value": 1})
        page = await self.page(self.server.status_url)
        button = page.get_by_role("button", name="Sign in")
        for _ in range(2):
            await self.fill(page.get_by_label("Token"), "wrong")
            await self.click(button)
            await self.see(page.locator("#problem:not(:empty)"))
        await self.see(page.get_by_role("button", name="Wait"))


class TunnelsTests(DashboardTestCase):
    async def test_come_and_go_live(self) -> None:
        await self.start("alice")
        page = await self.signed_in("alice")
        await self.see(page.get_by_text(f"HOST-3000.{self.server.domain}"))
        await self.click(page.get_by_role("button", name="Copy the command", exact=True))
        await self.see(page.get_by_text("Copied", exact=True))
        command = await self.clipboard(page)
        self.assertRegex(command, rf"^tunnel 3000 --server ws://.*:{self.server.control_port}$")
        await self.call("PUT", "config/name_lease_seconds", {"value": 0})
        client = await self.serve("alice", "shop")
        row = page.get_by_role("row").filter(has_text="alice-shop")
        await self.see(row.get_by_text("Active"), row.get_by_text(str(self.upstream)))
        await self.visit("alice-shop")
        await self.see(row.get_by_role("img", name="2xx: 1"))
        await client.stop()
        await self.see_no(row)
        await self.see(page.get_by_role("heading", name="No tunnels yet"))

    async def test_a_client_that_is_away(self) -> None:
        await self.start("alice")
        page = await self.signed_in("alice")
        client = await self.serve("alice", "shop")
        row = page.get_by_role("row").filter(has_text="alice-shop")
        await self.click(row.get_by_role("link", name="More about"))
        await self.see(page.get_by_role("heading", name="alice-shop"))
        await client.stop()
        await self.see(page.get_by_text("Client away"))
        # In the list it says until when, and counts as none.
        await self.click(page.get_by_role("link", name="Tunnels", exact=True).first)
        totals = page.locator(".readings > div").filter(has_text="Tunnels")
        await self.see(row.get_by_text("kept until"), totals.get_by_text("0", exact=True))
        await self.click(row.get_by_role("link", name="More about"))
        # Who watches its page goes on watching when it is back.
        await self.serve("alice", "shop")
        await self.see(page.locator(".head .state").get_by_text("Active"))
        await self.visit("alice-shop", "/back")
        await self.see(page.get_by_role("cell", name="/back"))

    async def test_each_sees_the_own(self) -> None:
        await self.start("alice", "bob")
        alice = await self.signed_in("alice")
        admin = await self.signed_in("admin")
        await self.serve("alice", "shop")
        await self.serve("bob", "api")
        rows = admin.get_by_role("row")
        await self.see(rows.filter(has_text="alice-shop"), rows.filter(has_text="bob-api"))
        await self.see(rows.filter(has_text="bob-api").get_by_text("bob", exact=True))
        await self.see(alice.get_by_role("row").filter(has_text="alice-shop"))
        self.assertEqual(
            await self.run_in_browser(alice.get_by_text("bob").count), 0, "what is another's"
        )

    async def test_are_found_and_sorted(self) -> None:
        await self.start("alice")
        page = await self.signed_in("alice")
        for name in ("one", "two"):
            await self.serve("alice", name)
        await self.visit("alice-two")
        rows = page.locator("tbody tr")
        await self.see(rows.filter(has_text="alice-two").get_by_role("img", name="2xx: 1"))
        self.assertIn("alice-one", await self.text_of(rows.first))
        await self.click(page.get_by_role("button", name="Requests"))
        self.assertIn("alice-two", await self.text_of(rows.first))
        await self.run_in_browser(page.keyboard.press, "/")
        await self.run_in_browser(page.keyboard.type, "TWO")
        await self.see_no(rows.filter(has_text="alice-one"))
        await self.fill(page.get_by_label("Find tunnels"), "three")
        await self.see(page.get_by_text("No tunnel has “three”"))

    async def test_two_windows(self) -> None:
        await self.start("alice")
        one = await self.signed_in("alice")
        two = await self.signed_in("alice", context=one.context)
        await self.serve("alice", "shop")
        for page in (one, two):
            await self.see(page.get_by_role("row").filter(has_text="alice-shop"))
        await self.click(one.get_by_role("button", name="Sign out"))
        await self.see(one.get_by_label("Token"))
        await self.see(two.get_by_role("alert").filter(has_text="Your session is over"))

    async def test_addresses(self) -> None:
        await self.start("alice")
        await self.serve("alice", "shop")
        page = await self.signed_in("alice")
        address = self.server.url("alice-shop", "")
        link = page.get_by_role("link", name="alice-shop").first
        self.assertEqual(await self.run_in_browser(link.get_attribute, "href"), address)
        await self.click(page.get_by_role("button", name="Copy the address"))
        await self.see(page.get_by_role("status").filter(has_text="Copied"))
        self.assertEqual(await self.clipboard(page), address)
        await self.click(page.get_by_role("button", name="QR code"))
        image = page.get_by_role("img", name="The address as a QR code")
        await self.see(image)
        await self.until(page, "document.querySelector('dialog img').naturalWidth > 20")
        await self.run_in_browser(page.keyboard.press, "Escape")
        await self.see_no(image)

    async def test_copied_where_browsers_have_no_clipboard(self) -> None:
        """As on pages that came by plain http from elsewhere."""
        await self.start("alice")
        await self.serve("alice", "shop")
        page = await self.signed_in("alice")
        await self.run_in_browser(
            page.evaluate, "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
        )
        await self.click(page.get_by_role("button", name="Copy the address"))
        await self.see(page.get_by_role("status").filter(has_text="Copied"))
        search = page.get_by_label("Find tunnels")
        await self.run_in_browser(search.press, "Control+V")
        self.assertEqual(
            await self.run_in_browser(search.input_value), self.server.url("alice-shop", "")
        )


class AwayTests(DashboardTestCase):
    async def test_the_server_starts_anew(self) -> None:
        await self.start("alice")
        page = await self.signed_in("alice")
        port = self.server.status_port
        await self.server.stop()
        await self.see(page.get_by_text("The server is away."))
        options = ["--status-port", str(port), "--control-port", str(self.server.control_port)]
        self.server = ServerProcess(
            self, *options, data_dir=self.server.data_dir, database=self.server.database
        )
        await self.server.start()
        await self.see_no(page.get_by_text("The server is away."))
        await self.see(page.get_by_text("Live", exact=True))
        await self.serve("alice", "shop")
        await self.see(page.get_by_role("row").filter(has_text="alice-shop"))

    async def test_the_stream_is_cut(self) -> None:
        await self.start("alice")
        way = _Way(self.server.status_port)
        port = listening(self, way)
        page = await self.page(f"http://127.0.0.1:{port}/")
        await self.fill(page.get_by_label("Token"), self.tokens["alice"])
        await self.click(page.get_by_role("button", name="Sign in"))
        await self.see(page.get_by_text("Live", exact=True))
        way.open = False
        way.cut()
        await self.see(page.get_by_text("The server is away."))
        await self.serve("alice", "shop")
        way.open = True
        await self.click(page.get_by_role("button", name="Try now"))
        await self.see(page.get_by_role("row").filter(has_text="alice-shop"))
        await self.see_no(page.get_by_text("The server is away."))


class _Way(ProxyFactory):
    """Between the browser and a port: it can be cut, and closed.

    Attributes:
        open: whether it takes new connections.
    """

    noisy = False

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.open = True
        self._passing: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        if not self.open:
            return None
        self._passing.append(super().buildProtocol(addr))
        return self._passing[-1]

    def cut(self) -> None:
        """End all connections."""
        for protocol in self._passing:
            if protocol.transport is not None:
                protocol.transport.abortConnection()


class HostileTests(DashboardTestCase):
    async def test_texts_of_strangers(self) -> None:
        await self.start("alice")
        await self.serve("alice", "shop")
        markup = "<img src=x onerror=alert(1)>"
        registration = {
            "client_id": "alice-x",
            "hostname": "alice-reg.example.com",
            "public_url": "https://alice-reg.example.com/",
            "upstream": "http://localhost:1/" + markup.replace(" ", "+"),
        }
        answer = await fetch(
            f"{self.server.status_url}/tunnels",
            "POST",
            body=json.dumps(registration).encode(),
            token=self.tokens["alice"],
        )
        self.assertEqual(answer.status, 200, answer.body)
        page = await self.signed_in("alice", viewport={"width": 360, "height": 700})
        await self.see(page.get_by_text(registration["upstream"]))
        await self.click(
            page.get_by_role("row").filter(has_text="alice-shop").get_by_label("More about")
        )
        long = "/" + "a" * 8000
        await self.visit("alice-shop", long)
        visitor = await PeerFactory(self).connect_to(self.server.data_port)
        host = f"Host: alice-shop.{self.server.domain}"
        visitor.send(request("GET /<b>bold</b>\xe2\x80\xae HTTP/1.1", host))
        cells = page.locator(".cell-path")
        await self.see(cells.filter(has_text="/<b>bold</b>"), cells.filter(has_text="a" * 300))
        self.assertEqual(await self.run_in_browser(page.locator("main b, main img").count), 0)
        wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        self.assertEqual(await self.run_in_browser(page.evaluate, wider), 0)

    async def test_what_is_not_seen_is_shown(self) -> None:
        await self.start()
        page = await self.page(self.server.status_url)
        shown = await self.run_in_browser(
            page.evaluate,
            """async () => {
                const { foreign } = await import("/assets/shared/dom.js");
                const element = foreign("a\\u0000\\u001b[31m\\u202eb\\u200b\\ud800c\\u2066");
                document.body.append(element);
                return [element.textContent, getComputedStyle(element).unicodeBidi];
            }""",
        )
        self.assertEqual(shown, ["a␀␛[31m<U+202E>b<U+200B><U+D800>c<U+2066>", "isolate"])

    async def test_addresses_that_are_none(self) -> None:
        await self.start()
        page = await self.page(self.server.status_url)
        links = await self.run_in_browser(
            page.evaluate,
            """async () => {
                const { h, outside } = await import("/assets/shared/dom.js");
                const urls = ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x"];
                return [
                    ...urls.map((url) => outside(url, "x").tagName),
                    ...urls.map((url) => h("a", { href: url }).hasAttribute("href")),
                    outside("https://example.com/", "x").tagName,
                ];
            }""",
        )
        self.assertEqual(links, ["SPAN"] * 3 + [False] * 3 + ["A"])
