"""Requests sent again from the inspector's page, what differs then, and what is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twisted.web.server import Site

from tests.browser.inspectors import ORDER, InspectorTestCase, expect, open_request, row
from tests.system.processes import reactor

if TYPE_CHECKING:
    from playwright.sync_api import Page


class ReplayTests(InspectorTestCase):
    async def test_as_it_was_and_edited(self) -> None:
        await self.start()
        await self.order(ORDER.replace("33.00", "34.00"))
        page = await self.inspector()

        def replay(page: Page) -> None:
            open_request(page, "/orders", "Response")
            page.get_by_role("button", name="Replay", exact=True).click()
            expect(page.get_by_role("tab", name="Compare")).to_have_attribute(
                "aria-selected", "true"
            )
            panel = page.get_by_role("tabpanel")
            expect(panel.get_by_role("heading", name="Original #1")).to_be_visible()
            expect(panel.get_by_role("heading", name="Replay #2")).to_be_visible()
            bodies = panel.get_by_role("table", name="Bodies side by side")
            expect(bodies.locator("del")).to_have_text("1")
            expect(bodies.locator("ins")).to_have_text("2")
            expect(panel).to_contain_text("1 line differs")
            expect(row(page, "/orders")).to_have_count(2)

        def edit(page: Page) -> None:
            page.keyboard.press("e")
            dialog = page.get_by_role("dialog", name="Edit and replay")
            expect(dialog.get_by_label("Path")).to_have_value("/orders")
            expect(dialog.get_by_text("secret-of-the-visitor")).to_have_count(0)
            dialog.get_by_label("Path").fill("orders")
            dialog.get_by_role("button", name="Send").click()
            # The browser says itself that a path starts with a slash.
            expect(dialog.get_by_label("Path")).to_be_focused()
            dialog.get_by_label("Path").fill("/orders?again=1")
            dialog.get_by_role("button", name="Add header").click()
            dialog.get_by_label("Name").last.fill("X Y")
            dialog.get_by_label("Value", exact=True).last.fill("tea")
            dialog.get_by_role("button", name="Send").click()
            expect(dialog.get_by_role("alert")).to_contain_text("no header field")
            dialog.get_by_label("Name").last.fill("X-Kind")
            body = dialog.get_by_label("Body")
            body.fill(body.input_value().replace("34.00", "33.00"))

        def send(page: Page) -> None:
            page.get_by_role("dialog").get_by_role("button", name="Send").click()
            expect(page.get_by_role("dialog")).to_have_count(0)
            heading = page.get_by_role("heading", level=2)
            expect(heading).to_have_text("POST /orders?again=1")
            panel = page.get_by_role("tabpanel")
            expect(panel).to_contain_text("First line, headers and body differ.")
            changed = panel.get_by_role("row").filter(has_text='"accepted"')
            expect(changed.locator("del")).to_have_text("false")
            expect(changed.locator("ins")).to_have_text("true")
            panel.get_by_role("button", name="Requests").click()
            expect(panel).to_contain_text("X-Kind: tea")
            expect(panel.locator("ins").filter(has_text="?again=1")).to_be_visible()

        await self.look(page, replay)
        await self.assert_accessible(page)
        await self.look(page, edit)
        await self.assert_accessible(page)
        await self.look(page, send)
        # What was hidden in the form is sent as it was.
        self.assertEqual(self.shop.secrets, ["Bearer secret-of-the-visitor"] * 3)

    async def test_what_was_cut_is_not_sent_unseen(self) -> None:
        await self.start("--inspect-body", "1KiB")
        await self.order(json.dumps({"total": 33, "note": "x" * 5000}))
        page = await self.inspector()

        def see(page: Page) -> None:
            open_request(page, "/orders", "Request")
            panel = page.get_by_role("tabpanel")
            expect(panel).to_contain_text("Cut: the first 1.02 kB of")
            expect(panel).to_contain_text("cut here")
            page.keyboard.press("r")
            problem = page.get_by_role("alert").filter(has_text="can't be sent as it was")
            expect(problem).to_be_visible()
            page.keyboard.press("e")
            dialog = page.get_by_role("dialog", name="Edit and replay")
            expect(dialog).to_contain_text("The body was cut")
            dialog.get_by_label("Body").fill('{"total": 33}')
            dialog.get_by_role("button", name="Send").click()
            expect(page.get_by_role("heading", name="Replay #2")).to_be_visible()
            expect(problem).to_be_hidden()

        await self.look(page, see)

    async def test_against_a_service_that_is_gone(self) -> None:
        await self.start()
        await self.client.stop()
        port = reactor.listenTCP(0, self.site(), interface="127.0.0.1")
        await self.connect(str(port.getHost().port))
        await self.order()
        await port.stopListening()
        page = await self.inspector()

        def see(page: Page) -> None:
            open_request(page, "/orders", "Request")
            page.keyboard.press("r")
            head = page.locator(".request-head")
            expect(head).to_contain_text("refused")
            expect(head).to_contain_text("Start the service, or check the port")
            expect(page.get_by_role("tabpanel")).to_contain_text("There is no response of #2")

        await self.look(page, see)
        await self.assert_accessible(page)

    def site(self) -> Any:
        """The shop, without connections that stay open."""
        return Site(self.shop, timeout=1)


class PinTests(InspectorTestCase):
    async def test_pinned_requests_survive_clearing_and_a_restart(self) -> None:
        await self.start()
        await self.order()
        await self.ask("/page")
        page = await self.inspector()

        def pin(page: Page) -> None:
            open_request(page, "/orders")
            page.keyboard.press("p")
            pressed = page.get_by_role("button", name="Pinned")
            expect(pressed).to_have_attribute("aria-pressed", "true")
            page.locator("label").filter(has_text="Pinned").click()
            expect(row(page, "/orders")).to_be_visible()
            expect(row(page, "/page")).to_have_count(0)
            page.get_by_role("button", name="Show all").click()
            expect(row(page, "/page")).to_be_visible()
            page.get_by_role("button", name="Clear").click()
            dialog = page.get_by_role("dialog", name="Clear the list?")
            dialog.get_by_role("button", name="Clear").click()
            expect(row(page, "/page")).to_have_count(0)
            expect(row(page, "/orders")).to_be_visible()

        def archive(page: Page) -> Any:
            with page.expect_download() as download:
                page.locator(".request-head").get_by_role("link", name="HAR").click()
            return json.loads(download.value.path().read_text())

        def see(page: Page) -> None:
            open_request(page, "/orders")
            expect(page.get_by_role("button", name="Pinned")).to_be_visible()
            expect(page.get_by_role("tabpanel")).to_contain_text("id: 12345678901234567890")

        await self.look(page, pin)
        kept = await self.look(page, archive)
        (entry,) = kept["log"]["entries"]
        self.assertEqual(urlsplit(entry["request"]["url"]).path, "/orders")
        self.assertNotIn("secret-of-the-visitor", json.dumps(kept))
        await self.client.stop()
        await self.connect(self.client.command[-1], home=str(self.client.home))
        await self.look(await self.inspector(), see)
