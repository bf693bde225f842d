"""What the tests of the inspector's page share: a tunnel to a shop, and its inspector.

The shop is a service in the test's own process. Knows nothing of what the page makes of
what it answers.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from twisted.internet.defer import DeferredQueue
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from tests.browser.support import TIMEOUT, BrowserTestCase
from tests.system.http import Answer, fetch, upstream
from tests.system.processes import ClientProcess, ServerProcess

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

__all__ = ["HOSTILE", "ORDER", "InspectorTestCase", "Shop", "expect", "open_request", "row"]

P = ParamSpec("P")
T = TypeVar("T")

#: With a number that no floating point number is, and with what would be markup.
ORDER: Final = (
    '{"id": 12345678901234567890, "customer": {"name": "Ada <b>Lovelace</b>", "vip": true}, '
    '"items": [{"sku": "TEA-01", "price": 12.50}, {"sku": "CUP-07", "price": 8.00}], '
    '"total": 33.00}'
)

#: Markup, an override of direction, controls, and a line that is longer than any screen.
HOSTILE: Final = (
    "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>\n"
    "\u202egnp.exe\u202c \u2066\u200b\x00\x07\x1b[31m\n" + "W" * 65_536 + "\n"
)


def expect(locator: Locator) -> Any:
    """What must come to hold for elements of a page; see Playwright's own."""
    # Imported late: where Playwright is missing these tests skip.
    from playwright.sync_api import expect as assertions

    assertions.set_options(timeout=TIMEOUT)
    return assertions(locator)


def row(page: Page, text: str) -> Locator:
    """The rows of the list of requests that have a text."""
    return page.get_by_role("listbox", name="Requests").get_by_role("option").filter(has_text=text)


def open_request(page: Page, text: str, tab: str = "") -> Locator:
    """Click on the request whose row has a text, and perhaps on a tab.

    Returns:
        The panel that is open.
    """
    row(page, text).first.click()
    heading = page.get_by_role("heading", level=2)
    expect(heading).to_contain_text(text)
    if tab:
        page.get_by_role("tab", name=tab).click()
    return page.get_by_role("tabpanel")


def image() -> bytes:
    """A PNG file, two by one pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + b"\xff\0\0" + b"\0\xff\0")
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


class Shop(Resource):
    """The service behind the tunnel.

    Attributes:
        orders: how many came.
        secrets: what they were authorized by.
        events: requests for /events, to be answered by the test.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.orders = 0
        self.secrets: list[str | None] = []
        self.events: DeferredQueue[Request] = DeferredQueue()

    def render(self, request: Request) -> Any:
        path = request.path.decode("latin-1")
        if path == "/events":
            request.setHeader("content-type", "text/event-stream")
            self.events.put(request)
            return NOT_DONE_YET
        if path == "/orders":
            return self._order(request)
        kind, body = {
            "/image": ("image/png", image()),
            "/bytes": ("application/octet-stream", bytes(range(256)) * 40),
            "/hostile": ("text/html", HOSTILE.encode()),
            "/page": ("text/html", b"<h1>Tea</h1>\n" * 300),
            "/big": ("text/plain", b"0123456789abcdef" * 80_000),
        }.get(path, ("application/json", b'{"ok": true}'))
        if path == "/gzip":
            request.setHeader("content-encoding", "gzip")
            body = gzip.compress(ORDER.encode())
        if path == "/missing":
            request.setResponseCode(404)
        request.setHeader("content-type", kind)
        request.setHeader("set-cookie", "seen=secret-of-the-shop")
        return body

    def _order(self, request: Request) -> bytes:
        assert request.content is not None
        self.orders += 1
        self.secrets.append(request.getHeader("authorization"))
        total = json.loads(request.content.read()).get("total")
        if total != 33:
            request.setResponseCode(422)
        request.setHeader("content-type", "application/json")
        told = {"attempt": self.orders, "accepted": total == 33, "total": total}
        return json.dumps(told, indent=2).encode()


class InspectorTestCase(BrowserTestCase):
    """Tests with a server, a client and its inspector.

    Attributes:
        shop: the service.
        server: where the tunnel leads through.
        client: runs the inspector.
        link: the inspector's address, with the token.
    """

    async def start(self, *arguments: str) -> None:
        """Start all of it.

        Args:
            arguments: further ones for the client.
        """
        self.shop = Shop()
        self.server = ServerProcess(self)
        await self.server.start()
        await self.connect(str(upstream(self, self.shop)), *arguments)

    async def connect(self, *arguments: str, home: str = "") -> None:
        """Start a client, whose inspector is the one that is looked at.

        Args:
            arguments: for it.
            home: the home directory of a client before it; else a new one.
        """
        options = ["--name", "shop", "--inspect", "0"]
        environ = {"HOME": home} if home else {}
        self.client = ClientProcess(self, self.server, *options, *arguments, environ=environ)
        ready = await self.client.start()
        self.link = ready["inspector_url"]

    @property
    def address(self) -> str:
        """The public address."""
        return self.server.url("shop").rstrip("/")

    async def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        """What a visitor gets from the shop.

        Args:
            path: with its query.
            method: of the request.
            body: to send.
            headers: with `_` for `-` in their names.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await fetch(f"{self.address}{path}", method, body=body, headers=named)

    async def order(self, content: str = ORDER) -> Answer:
        """Place an order, as a webhook does."""
        kind, secret = "application/json", "Bearer secret-of-the-visitor"
        return await self.ask(
            "/orders", "POST", content.encode(), content_type=kind, authorization=secret
        )

    async def inspector(self, context: BrowserContext | None = None, **options: Any) -> Page:
        """A window that shows the inspector.

        Args:
            context: of which browser; a new one if there is none.
            options: for that new one.
        """
        return await self.page(self.link, context, **options)

    async def look(
        self, page: Page, see: Callable[Concatenate[Page, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What a function sees on a page; it is called in the browser's thread."""
        return await self.run_in_browser(see, page, *args, **kwargs)
