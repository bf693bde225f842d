"""The inspector's page in a browser: what comes in, searched, opened, and where it ends."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twisted.internet.defer import ensureDeferred

from tests.browser.inspectors import (
    HOSTILE,
    ORDER,
    InspectorTestCase,
    expect,
    open_request,
    row,
)
from tests.system.http import fetch, listening
from tests.system.inlets import echo_sockets, open_socket

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

SIZES = ((360, 740), (1280, 800), (2560, 1300))


def overflows(page: Page) -> bool:
    """Whether the page, or the details in it, are wider than there is room for."""
    found = page.evaluate(
        "['html', '.detail', '.listing'].some(name => {"
        " const part = document.querySelector(name);"
        " return part && part.scrollWidth > part.clientWidth; })"
    )
    return bool(found)


class RequestsTests(InspectorTestCase):
    async def test_are_seen_as_they_come(self) -> None:
        await self.start()
        page = await self.inspector()
        address = self.address

        def see_nothing(page: Page) -> None:
            expect(
                page.get_by_role("heading", name="Waiting for the first request")
            ).to_be_visible()
            expect(page.locator(".address")).to_have_text(f"{address}")
            expect(page.locator(".bar")).to_contain_text("Live")
            # The token is gone from the address, and from where "back" leads to.
            assert urlsplit(page.url).fragment == "", page.url
            assert page.evaluate("history.length") <= 2

        def see_order(page: Page) -> None:
            panel = open_request(page, "/orders", "Request")
            expect(panel).to_contain_text("id: 12345678901234567890")
            expect(panel).to_contain_text('name: "Ada <b>Lovelace</b>"')
            expect(panel).to_contain_text("price: 12.50")
            panel.get_by_text("customer", exact=True).click()
            expect(panel.locator(".value", has_text="Lovelace")).to_be_hidden()
            panel.get_by_role("button", name="Expand").click()
            expect(panel.locator(".value", has_text="Lovelace")).to_be_visible()
            panel.get_by_role("button", name="Text").click()
            expect(panel.locator("pre")).to_have_text(ORDER)

        def see_secrets(page: Page) -> None:
            panel = page.get_by_role("tabpanel")
            expect(panel.get_by_text("secret-of-the-visitor")).to_have_count(0)
            panel.get_by_role("button", name="Reveal Authorization").click()
            expect(panel.get_by_text("Bearer secret-of-the-visitor")).to_be_visible()

        def see_answer(page: Page) -> None:
            page.keyboard.press("2")
            panel = page.get_by_role("tabpanel")
            expect(panel).to_contain_text("accepted: true")
            expect(panel).to_contain_text("HTTP/1.1 200 OK")
            expect(page.locator(".request-head")).to_contain_text("First byte")

        def copy(page: Page) -> Any:
            page.get_by_role("button", name="Copy as curl").click()
            expect(page.get_by_text("Copied", exact=True).first).to_be_visible()
            return page.evaluate("navigator.clipboard.readText()")

        await self.look(page, see_nothing)
        await self.order()
        for see in (see_order, see_secrets, see_answer):
            await self.look(page, see)
        command = await self.look(page, copy)
        self.assertIn("12345678901234567890", command)
        self.assertIn("Bearer secret-of-the-visitor", command)

    async def test_two_windows(self) -> None:
        await self.start()
        context = await self.context()
        windows = [await self.inspector(context) for _ in range(2)]
        await self.order()

        def see_it(page: Page) -> None:
            expect(row(page, "/orders")).to_have_count(1)
            expect(page.locator(".bar")).to_contain_text("Live")

        def clear(page: Page) -> None:
            page.get_by_role("button", name="Clear").click()
            page.get_by_role("dialog").get_by_role("button", name="Clear").click()

        def see_nothing(page: Page) -> None:
            expect(row(page, "/orders")).to_have_count(0)

        for window in windows:
            await self.look(window, see_it)
        await self.look(windows[0], clear)
        for window in windows:
            await self.look(window, see_nothing)
        await self.order()
        for window in windows:
            await self.look(window, see_it)

    async def test_bodies_are_shown_by_their_type(self) -> None:
        await self.start()
        form = b"user=ada&note=%3Cb%3Etea%3C%2Fb%3E"
        kind = "application/x-www-form-urlencoded"
        await self.ask("/form?from=%E2%80%AE&to=2", "POST", form, content_type=kind)
        for path in ("/image", "/bytes", "/gzip", "/page", "/big"):
            await self.ask(path)
        page = await self.inspector()

        def see(page: Page) -> None:
            panel = open_request(page, "/form", "Request")
            query = panel.get_by_role("table", name="Query")
            expect(query).to_contain_text("<U+202E>")
            expect(panel.get_by_role("table", name="Form fields")).to_contain_text("<b>tea</b>")
            panel = open_request(page, "/image", "Response")
            expect(panel.get_by_text("2 \u00d7 1")).to_be_visible()
            panel = open_request(page, "/bytes", "Response")
            expect(panel.locator(".hex")).to_contain_text("000020  20 21 22 23")
            panel.get_by_role("button", name="Show 6.14 kB more").click()
            expect(panel.locator(".hex")).to_contain_text("0027f0")
            panel = open_request(page, "/gzip", "Response")
            expect(panel).to_contain_text('sku: "TEA-01"')
            expect(panel).to_contain_text("gzip")
            panel = open_request(page, "/page", "Response")
            expect(panel.locator("pre")).to_contain_text("<h1>Tea</h1>")
            assert panel.locator("pre").inner_text().count("Tea") == 200
            panel.get_by_role("button", name="Show all").click()
            expect(panel.get_by_role("button", name="Show all")).to_have_count(0)
            assert panel.locator("pre").inner_text().count("Tea") == 300
            panel = open_request(page, "/big", "Response")
            expect(panel.locator(".notice")).to_contain_text("Cut: the first 1.05 MB of 1.28 MB")

        await self.look(page, see)

    async def test_are_searched_and_filtered(self) -> None:
        await self.start()
        await self.order()
        await self.order('{"total": 1, "hidden": "needle"}')
        for path in ("/missing", "/page", "/image"):
            await self.ask(path)
        page = await self.inspector()

        def see(page: Page) -> None:
            rows = page.get_by_role("listbox", name="Requests").get_by_role("option")
            expect(rows).to_have_count(5)
            page.keyboard.press("/")
            search = page.get_by_role("searchbox")
            expect(search).to_be_focused()
            page.keyboard.type("image")
            expect(rows).to_have_count(1)
            expect(rows).to_contain_text("/image")
            # What stands in a body only the client knows.
            search.fill("needle")
            expect(rows).to_have_count(1)
            expect(rows).to_contain_text("422")
            search.fill("no such thing")
            expect(page.get_by_text("No request is like that.")).to_be_visible()
            page.get_by_role("button", name="Show all").click()
            expect(rows).to_have_count(5)
            page.get_by_label("Status", exact=True).select_option("4xx")
            expect(rows).to_have_count(2)
            page.get_by_label("Method", exact=True).select_option("GET")
            expect(rows).to_have_count(1)
            expect(page.locator(".counted")).to_have_text("1 of 5")
            page.get_by_role("button", name="Show all").click()
            page.get_by_label("Path contains").fill("ORD")
            expect(rows).to_have_count(2)
            page.get_by_label("Slower than").select_option("10000")
            expect(rows).to_have_count(0)
            page.get_by_role("button", name="Show all").click()

        def go_by_keys(page: Page) -> None:
            heading = page.get_by_role("heading", level=2)
            page.keyboard.press("Escape")
            page.keyboard.press("j")
            expect(heading).to_have_text("GET /image")
            page.keyboard.press("j")
            expect(heading).to_have_text("GET /page")
            page.keyboard.press("k")
            expect(heading).to_have_text("GET /image")
            page.keyboard.press("End")
            expect(heading).to_have_text("POST /orders")
            page.keyboard.press("?")
            dialog = page.get_by_role("dialog", name="Keys")
            expect(dialog).to_be_visible()
            dialog.get_by_role("checkbox").uncheck()
            page.keyboard.press("Escape")
            page.keyboard.press("k")
            expect(heading).to_have_text("POST /orders")

        await self.look(page, see)
        await self.look(page, go_by_keys)

    async def test_stay_smooth_when_there_are_ten_thousand(self) -> None:
        await self.start()
        await self.ask("/page")
        answer = await self.fetch_summaries()
        one = answer[0]
        many = [
            {**one, "id": f"000000-{n}", "n": n, "path": f"/many/{n}"} for n in range(10_000, 0, -1)
        ]

        def serve(route: Route) -> None:
            query = dict(pair.split("=") for pair in urlsplit(route.request.url).query.split("&"))
            limit, before = int(query["limit"]), int(query.get("before", 10_001))
            rows = many[10_001 - before :][:limit]
            more = 10_001 - before + limit < 10_000
            route.fulfill(json={"success": True, "data": {"requests": rows, "more": more}})

        context = await self.context()
        await self.run_in_browser(context.route, "**/api/requests?*", serve)
        page = await self.inspector(context)

        def see(page: Page) -> None:
            listed = page.get_by_role("listbox", name="Requests")
            expect(page.locator(".counted")).to_have_text("10,000 requests")
            assert listed.get_by_role("option").count() < 100
            listed.focus()
            page.keyboard.press("End")
            expect(row(page, "/many/1").last).to_be_visible()
            page.get_by_role("searchbox").fill("many/7777")
            expect(page.locator(".counted")).to_have_text("1 of 10,000")
            # Sorting in and drawing a change takes no longer than two frames, or so; the
            # bound leaves room for a machine that does something else as well.
            took = page.evaluate(
                "async () => { const {Requests} = await import('/assets/inspector/requests.js');"
                " const all = new Requests(); await all.load(); const [first] = all.all;"
                " const start = performance.now(); all.update([{...first, pinned: true}]);"
                " return performance.now() - start; }"
            )
            assert took < 500, took

        await self.look(page, see)

    async def fetch_summaries(self) -> list[dict[str, Any]]:
        """What programs are told of all requests."""
        link = urlsplit(self.link)
        token = link.fragment.removeprefix("token=")
        answer = await fetch(f"http://{link.netloc}/api/requests", token=token)
        self.assertEqual(answer.status, 200)
        requests: list[dict[str, Any]] = answer.json["data"]["requests"]
        return requests


class StrangersTests(InspectorTestCase):
    """Nothing that comes in is more than a text, wherever it stands."""

    async def test_texts_do_no_harm(self) -> None:
        await self.start()
        path = "/hostile?%3Cb%3E=1&" + "long" * 2000 + "=%E2%80%AE%00%1B"
        markup = "<img src=x onerror='window.broken = 1'>"
        body = json.dumps({HOSTILE: HOSTILE, "__proto__": {"x": markup}}).encode()
        await self.ask(path, "POST", body, content_type="application/json", x_markup=markup)
        for width, height in SIZES:
            page = await self.inspector(viewport={"width": width, "height": height})

            def see(page: Page) -> None:
                open_request(page, "/hostile", "Request")
                panel = page.get_by_role("tabpanel")
                expect(panel).to_contain_text("<script>window.broken = 1</script>")
                expect(panel).to_contain_text(markup)
                assert not overflows(page)
                page.get_by_role("tab", name="Response").click()
                text = page.get_by_role("tabpanel").locator("pre")
                expect(text).to_contain_text("<U+202E>gnp.exe<U+202C> <U+2066><U+200B>␀␇␛[31m")
                page.get_by_role("button", name="Show all 65,631 characters").click()
                expect(text).to_contain_text("W" * 65_536)
                assert not overflows(page)
                assert page.evaluate("window.broken") is None
                assert page.locator("img").count() == 0

            await self.look(page, see)


class MessagesTests(InspectorTestCase):
    async def test_of_a_websocket_are_seen_as_they_come(self) -> None:
        await self.start()
        await self.client.stop()
        await self.connect(str(listening(self, echo_sockets())))
        visitor = await open_socket(self, f"{self.address}/live")
        visitor.sendMessage(b'{"tea": "green"}')
        await visitor.message()
        page = await self.inspector()

        def see_first(page: Page) -> None:
            open_request(page, "/live")
            expect(page.get_by_role("tab", name="Messages 2")).to_be_visible()

        def see_more(page: Page) -> None:
            messages = page.get_by_role("listbox", name="Messages").get_by_role("option")
            expect(messages).to_have_count(4)
            expect(messages.nth(0)).to_contain_text("from the visitor")
            expect(messages.nth(1)).to_contain_text("from the service")
            expect(messages.nth(2)).to_contain_text("00 ff 07")
            messages.nth(0).click()
            chosen = page.get_by_role("region", name="Message 1")
            expect(chosen).to_contain_text('tea: "green"')
            page.get_by_role("button", name="From visitor").click()
            expect(messages).to_have_count(2)

        await self.look(page, see_first)
        visitor.sendMessage(b"\x00\xff\x07", isBinary=True)
        await visitor.message()
        await self.look(page, see_more)
        await self.assert_accessible(page)

    async def test_are_seen_of_what_turns_out_to_be_a_stream(self) -> None:
        await self.start()
        page = await self.inspector()
        visiting = ensureDeferred(self.ask("/events"))
        stream = await self.shop.events.get()
        await self.look(page, lambda page: open_request(page, "/events"))

        def see_it(page: Page) -> None:
            messages = page.get_by_role("listbox", name="Messages").get_by_role("option")
            expect(messages).to_have_count(1)

        stream.write(b"data: first\n\n")
        await self.look(page, see_it)
        stream.finish()
        await visiting

    async def test_of_an_event_stream_are_seen_as_they_come(self) -> None:
        await self.start()
        page = await self.inspector()
        visiting = ensureDeferred(self.ask("/events"))
        stream = await self.shop.events.get()
        stream.write(b'event: price\ndata: {"tea": 12.5}\n\n')

        def see_first(page: Page) -> None:
            open_request(page, "/events")
            messages = page.get_by_role("listbox", name="Messages").get_by_role("option")
            expect(messages).to_have_count(1)
            expect(messages).to_contain_text("price")
            expect(page.locator(".request-head")).to_contain_text("so far")

        def see_second(page: Page) -> None:
            messages = page.get_by_role("listbox", name="Messages").get_by_role("option")
            expect(messages).to_have_count(2)
            expect(messages.nth(1)).to_contain_text("second")

        def see_end(page: Page) -> None:
            expect(page.locator(".request-head")).not_to_contain_text("so far")

        await self.look(page, see_first)
        stream.write(b"data: second\n\n")
        await self.look(page, see_second)
        stream.finish()
        await visiting
        await self.look(page, see_end)


class EndsTests(InspectorTestCase):
    async def test_only_the_link_lets_in(self) -> None:
        await self.start()
        await self.ask("/page")
        bare = self.link.partition("#")[0]
        page = await self.page(f"{bare}#token=wrong")
        link = self.link

        def see(page: Page) -> None:
            expect(page.get_by_role("alert")).to_contain_text("not that of this inspector")
            assert urlsplit(page.url).fragment == ""
            page.get_by_label("Or paste it here").fill("nonsense")
            page.get_by_role("button", name="Open").click()
            expect(page.get_by_role("alert")).to_contain_text("not that of this inspector")
            page.get_by_label("Or paste it here").fill(link)

        def enter(page: Page) -> None:
            page.get_by_role("button", name="Open").click()
            expect(row(page, "/page")).to_be_visible()

        await self.look(page, see)
        await self.assert_accessible(page)
        await self.look(page, enter)

    async def test_says_when_the_client_is_gone_and_comes_back(self) -> None:
        await self.start()
        await self.ask("/page")
        context = await self.context()
        page = await self.inspector(context)
        second = await self.inspector(context)
        port = urlsplit(self.link).port

        def see(page: Page) -> None:
            open_request(page, "/page", "Response")

        def see_notice(page: Page) -> None:
            expect(page.get_by_text("client is away")).to_be_visible()
            # What was there can be read still.
            expect(page.get_by_role("tabpanel")).to_contain_text("<h1>Tea</h1>")

        def see_end(page: Page) -> None:
            expect(page.get_by_text("This tunnel has ended")).to_be_visible()
            expect(page.get_by_role("tabpanel")).to_contain_text("<h1>Tea</h1>")
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_label("Or paste it here")).to_be_visible()

        def see_anew(page: Page, link: str) -> None:
            page.goto(link)
            expect(row(page, "/image")).to_be_visible()
            expect(row(page, "/page")).to_have_count(0)

        for each in (page, second):
            await self.look(each, see)
        await self.client.stop(signal.SIGKILL)
        for each in (page, second):
            await self.look(each, see_notice)
        # Another client at the same port has another token: the session is over.
        await self.connect(self.client.command[-1], "--inspect", str(port))
        await self.ask("/image")
        for each in (page, second):
            await self.look(each, see_end)
        await self.look(page, see_anew, self.link)

    async def test_is_accessible(self) -> None:
        await self.start()
        await self.order()
        for path in ("/missing", "/bytes", "/image", "/page"):
            await self.ask(path)
        for scheme, width in (("light", 1280), ("dark", 1280), ("dark", 360)):
            page = await self.inspector(
                color_scheme=scheme, viewport={"width": width, "height": 740}
            )
            await self.look(page, lambda page: expect(row(page, "/page")).to_be_visible())
            await self.assert_accessible(page)
            for path in ("/orders", "/bytes"):
                for tab in ("Request", "Response"):
                    await self.look(page, narrow_open, path, tab)
                    await self.assert_accessible(page)
            await self.look(page, lambda page: page.keyboard.press("?"))
            await self.assert_accessible(page)


def narrow_open(page: Page, path: str, tab: str) -> None:
    """Open a request, from the list where that takes turns with the details."""
    back = page.get_by_role("button", name="Back to the list")
    if back.is_visible():
        back.click()
    open_request(page, path, tab)
