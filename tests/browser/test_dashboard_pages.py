"""The server's page in a browser: one tunnel, and what admins do; and all of it with axe."""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any, Final

from tests.browser.dashboards import DashboardTestCase
from tests.system.http import fetch


class TunnelTests(DashboardTestCase):
    async def test_its_requests(self) -> None:
        await self.start("alice")
        await self.serve("alice", "shop")
        await self.visit("alice-shop", "/before?x=1")
        page = await self.signed_in("alice")
        await self.click(page.get_by_role("link", name="More about"))
        table = page.get_by_role("table", name="Last requests")
        before = table.get_by_role("row").filter(has_text="/before?x=1")
        await self.see(before.get_by_text("200"), before.get_by_text("127.0.0.1"))
        await self.visit("alice-shop", "/after", "DELETE")
        await self.see(table.get_by_role("row").filter(has_text="/after").get_by_text("DELETE"))
        await self.click(page.get_by_role("button", name="Failed"))
        await self.see(page.get_by_text("None of the last requests failed."))
        await self.click(page.get_by_role("button", name="All"))
        await self.click(page.get_by_role("button", name="Pause"))
        await self.visit("alice-shop", "/missed")
        await self.see(page.get_by_role("button", name="Go on (1)"))
        self.assertEqual(await self.run_in_browser(table.get_by_text("/missed").count), 0)
        await self.click(page.get_by_role("button", name="Go on"))
        await self.see(table.get_by_text("/missed"))

    async def test_connections_of_tcp(self) -> None:
        await self.start("alice")
        client = await self.serve("alice", "", f"127.0.0.1:{self.upstream}", "tcp")
        public = client.events[-1]["public_url"]
        page = await self.signed_in("alice")
        await self.see(page.get_by_role("row").filter(has_text=public))
        await self.click(page.get_by_role("link", name="More about"))
        await self.see(page.get_by_text("Nobody was here yet."))
        await fetch(public.replace("tcp://", "http://"))
        table = page.get_by_role("table", name="Last connections")
        await self.see(table.get_by_role("row").filter(has_text="127.0.0.1"))

    async def test_share_links(self) -> None:
        await self.start("alice")
        port = str(self.upstream)
        await self.serve("alice", "", port, "--name", "alice-shop", "--private-http")
        self.assertNotEqual((await self.visit("alice-shop")).status, 200)
        page = await self.signed_in("alice")
        await self.click(page.get_by_role("link", name="More about"))
        await self.see(page.get_by_text("lets in who has one"))
        await self.click(page.get_by_role("button", name="Make one"))
        dialog = page.get_by_role("dialog")
        await self.run_in_browser(dialog.get_by_label("It lasts").select_option, "3600")
        await self.click(dialog.get_by_role("button", name="Make it"))
        shown = page.get_by_role("dialog", name="New share link")
        await self.click(shown.get_by_role("button", name="Copy the share link"))
        await self.see(page.get_by_role("status").filter(has_text="Copied"))
        link = await self.clipboard(page)
        await self.click(shown.get_by_role("button", name="Done"))
        visitor = CookieJar()
        self.assertEqual((await fetch(link, cookies=visitor)).status, 200)
        address = self.server.url("alice-shop")
        self.assertEqual((await fetch(address, cookies=visitor)).status, 200)
        links = page.get_by_role("table", name="Share links")
        await self.see(links.get_by_text("in 59 min"))
        await self.click(links.get_by_role("button", name="Revoke"))
        await self.click(page.get_by_role("dialog").get_by_role("button", name="Revoke"))
        await self.see(links.get_by_text("Revoked"))
        self.assertNotEqual((await fetch(address, cookies=visitor)).status, 200)

    async def test_close(self) -> None:
        await self.start("alice")
        client = await self.serve("alice", "shop")
        page = await self.signed_in("alice")
        await self.click(page.get_by_role("link", name="More about"))
        close = page.get_by_role("button", name="Close tunnel")
        await self.click(close)
        await self.click(page.get_by_role("dialog").get_by_role("button", name="Cancel"))
        await self.see(page.get_by_role("heading", name="alice-shop"))
        self.assertIsNone(client.status)
        await self.click(close)
        await self.click(page.get_by_role("dialog").get_by_role("button", name="Close the tunnel"))
        await self.see(page.get_by_role("heading", name="Tunnels", exact=True))
        self.assertEqual(await client.ended(), 3)
        # Its name is kept for it, until one closes that, too.
        row = page.get_by_role("row").filter(has_text="alice-shop")
        await self.see(row.get_by_text("Client away"))
        await self.click(row.get_by_role("link", name="More about"), close)
        dialog = page.get_by_role("dialog")
        await self.see(dialog.get_by_text("kept for it no longer"))
        await self.click(dialog.get_by_role("button", name="Close the tunnel"))
        await self.see(page.get_by_role("heading", name="No tunnels yet"))

    async def test_there_is_none(self) -> None:
        await self.start("alice", "bob")
        await self.serve("bob", "api")
        listed = await self.call("GET", "tunnels", user="bob")
        (row,) = listed.json["data"]["tunnels"]
        page = await self.signed_in("alice", f"/tunnels/{row['id']}")
        await self.see(page.get_by_text("There is no such tunnel."))
        await self.see(page.get_by_text("Live", exact=True))


class AdminTests(DashboardTestCase):
    async def test_settings_take_effect(self) -> None:
        await self.start("alice")
        client = await self.serve("alice", "shop")
        page = await self.signed_in("admin", "/settings")
        lease = page.get_by_label("name_lease_seconds", exact=True)
        await self.fill(lease, "5")
        await self.run_in_browser(lease.press, "Enter")
        await self.see(page.get_by_role("button", name="Reset name_lease_seconds"))
        stored = await self.call("GET", "config/name_lease_seconds")
        self.assertEqual(stored.json["data"]["value"], 5)
        await self.click(page.get_by_role("button", name="Reset name_lease_seconds"))
        await self.until(page, "document.getElementById('setting-name_lease_seconds').value == 600")
        ports = page.get_by_label("tcp_port_range", exact=True)
        await self.fill(ports, "many")
        await self.run_in_browser(ports.press, "Enter")
        await self.see(page.get_by_role("alert").filter(has_text="tcp_port_range"))
        proxies = page.get_by_label("trusted_proxies", exact=True)
        await self.fill(proxies, "10.0.0.0/8\n\n 192.0.2.1 ")
        await self.click(page.locator("form", has=proxies).get_by_role("button", name="Save"))
        await self.see(page.get_by_role("button", name="Reset trusted_proxies"))
        stored = await self.call("GET", "config/trusted_proxies")
        self.assertEqual(stored.json["data"]["value"], ["10.0.0.0/8", "192.0.2.1"])
        # One that ends what runs is asked about first.
        await self.call("PUT", "config/name_lease_seconds", {"value": 0})
        switch = page.get_by_role("switch", name="tunnels_enabled")
        await self.click(switch)
        await self.run_in_browser(page.keyboard.press, "Escape")
        await self.see(page.locator("#setting-tunnels_enabled:checked"))
        self.assertIsNone(client.status)
        await self.click(switch)
        await self.click(page.get_by_role("dialog").get_by_role("button", name="Save"))
        await self.see(page.locator("#setting-tunnels_enabled:not(:checked)"))
        self.assertIn((await self.visit("alice-shop")).status, (404, 503))
        await self.click(page.get_by_role("link", name="Tunnels"))
        await self.see(page.get_by_role("heading", name="Tunnels are turned off"))

    async def test_users_tokens_and_names(self) -> None:
        await self.start()
        page = await self.signed_in("admin", "/users")
        dialog = page.get_by_role("dialog")
        await self.click(page.get_by_role("button", name="Add user"))
        await self.fill(dialog.get_by_label("Name"), "admin")
        await self.click(dialog.get_by_role("button", name="Add user"))
        await self.see(dialog.get_by_role("alert"))
        await self.fill(dialog.get_by_label("Name"), "carol")
        await self.click(dialog.get_by_role("button", name="Add user"))
        await self.see_no(dialog)
        users = page.get_by_role("table", name="Users")
        await self.see(users.get_by_role("row").filter(has_text="carol"))

        await self.click(page.get_by_role("button", name="Make token"))
        await self.run_in_browser(dialog.get_by_label("User").select_option, "carol")
        await self.fill(dialog.get_by_label("Names"), "carol-ci-*, carol-x")
        await self.click(dialog.get_by_role("button", name="Make token"))
        await self.click(page.get_by_role("button", name="Copy the token"))
        await self.see(page.get_by_role("status").filter(has_text="Copied"))
        self.tokens["carol"] = token = await self.clipboard(page)
        await self.click(dialog.get_by_role("button", name="Done"))
        await self.see_no(page.get_by_text(token))
        made = await self.call("GET", "tokens", user="carol")
        self.assertEqual(made.json["data"]["tokens"][0]["names"], ["carol-ci-*", "carol-x"])

        await self.run_in_browser(page.evaluate, "location.hash = '#/names'")
        await self.click(page.get_by_role("button", name="Reserve a name"))
        await self.fill(dialog.get_by_label("Name"), "shop")
        await self.run_in_browser(dialog.get_by_label("User").select_option, "carol")
        await self.click(dialog.get_by_role("button", name="Reserve"))
        await self.click(page.get_by_role("row").filter(has_text="shop").get_by_role("button"))
        await self.click(dialog.get_by_role("button", name="Release"))
        await self.see(page.get_by_text("No name is reserved."))

        await self.run_in_browser(page.evaluate, "location.hash = '#/users'")
        row = page.get_by_role("row").filter(has_text=token[:12])
        await self.click(row.get_by_role("button", name="Revoke"))
        await self.click(dialog.get_by_role("button", name="Revoke"))
        await self.see_no(row)
        await self.click(page.get_by_label("Also ended ones"))
        await self.see(row.get_by_text("Revoked"))
        await self.click(
            users.get_by_role("row").filter(has_text="carol").get_by_role("button", name="Remove")
        )
        await self.click(dialog.get_by_role("button", name="Remove user"))
        await self.see_no(users.get_by_role("row").filter(has_text="carol"))

    async def test_health(self) -> None:
        await self.start()
        page = await self.signed_in("admin", "/health")
        await self.see(page.locator(".facts").get_by_text("Up", exact=True))
        await self.see(page.get_by_text("Descriptors", exact=True))

    async def test_a_user_makes_tokens_for_nobody_else(self) -> None:
        await self.start("alice")
        page = await self.signed_in("alice", "/tokens")
        await self.click(page.get_by_role("button", name="Make token"))
        dialog = page.get_by_role("dialog")
        await self.see_no(dialog.get_by_label("User"), dialog.get_by_text("admin"))
        await self.click(dialog.get_by_role("button", name="Make token"))
        await self.see(page.get_by_role("heading", name="New token"))


class AccessibleTests(DashboardTestCase):
    #: What stands after the # to what is there once it is shown.
    PAGES: Final = {
        "/": "tbody tr",
        "/users": "tbody tr",
        "/names": ".empty:visible",
        "/settings": "#setting-tunnels_enabled",
        "/health": ".facts .state.good",
        "/tokens": "tbody tr",
    }

    async def assert_all_accessible(self, **options: Any) -> None:
        await self.start("alice")
        await self.serve("alice", "shop")
        await self.visit("alice-shop")
        sign_in = await self.page(self.server.status_url, **options)
        await self.see(sign_in.get_by_label("Token"))
        await self.assert_accessible(sign_in)
        page = await self.signed_in("admin", **options)
        await self.see(page.get_by_role("row").filter(has_text="alice-shop"))
        for path, shown in self.PAGES.items():
            await self.run_in_browser(page.evaluate, f"location.hash = '#{path}'")
            await self.see(page.locator(shown))
            await self.assert_accessible(page)
            hidden = "(nav => nav.scrollWidth - nav.clientWidth)(document.querySelector('nav'))"
            self.assertEqual(await self.run_in_browser(page.evaluate, hidden), 0)
        await self.run_in_browser(page.evaluate, "location.hash = '#/'")
        await self.click(page.get_by_role("link", name="More about"))
        await self.see(page.get_by_role("cell", name="GET"))
        await self.assert_accessible(page)
        await self.click(page.get_by_role("button", name="Close tunnel"))
        await self.assert_accessible(page)

    async def test_light(self) -> None:
        await self.assert_all_accessible(color_scheme="light")

    async def test_dark(self) -> None:
        await self.assert_all_accessible(color_scheme="dark")

    async def test_narrow(self) -> None:
        await self.assert_all_accessible(viewport={"width": 360, "height": 740})

    async def test_by_keyboard_alone(self) -> None:
        await self.start("alice")
        await self.serve("alice", "shop")
        page = await self.page(self.server.status_url)
        press, write = page.keyboard.press, page.keyboard.type
        await self.see(page.get_by_label("Token"))
        await self.run_in_browser(write, self.tokens["alice"])
        await self.run_in_browser(press, "Enter")
        more = page.get_by_role("link", name="More about")
        await self.see(more)
        focused = "document.activeElement.getAttribute('aria-label') ?? ''"
        for _ in range(40):
            await self.run_in_browser(press, "Tab")
            if str(await self.run_in_browser(page.evaluate, focused)).startswith("More about"):
                break
        await self.run_in_browser(press, "Enter")
        await self.see(page.get_by_role("heading", name="alice-shop"))
        on_heading = "document.activeElement.tagName"
        self.assertEqual(await self.run_in_browser(page.evaluate, on_heading), "H1")
