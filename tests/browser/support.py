"""A browser for tests: the system's Chromium, driven by Playwright, and axe-core.

One browser serves all tests of a run, each in a context (cookies, windows) of its own.
Playwright's synchronous calls are made in one thread that is the browser's, while the
reactor goes on. Knows nothing of the pages, except what must hold for any of them: no
errors, nothing asked for elsewhere, nothing that the policy of the page had to refuse.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

from twisted.internet import reactor as installed_reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SkipTest, TestCase

from tests.system.processes import CHECKOUT

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        Locator,
        Page,
        Request,
    )

__all__ = ["BrowserTestCase"]

reactor: Any = installed_reactor

P = ParamSpec("P")
T = TypeVar("T")

#: Milliseconds that anything may take on the slowest machine.
TIMEOUT: Final = 30_000

#: Chromium on a machine without a screen, that talks to nobody by itself.
ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

AXE: Final = "axe-core@4.14.1"
#: What npm fetched for tests; kept from run to run.
CACHE: Final = CHECKOUT / ".browser"

#: What pages are to be: WCAG 2.2 AA, and what axe counts as good practice.
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


class _Chromium:
    """The browser of a run, and the only thread that may speak with it."""

    def __init__(self) -> None:
        self.pool = ThreadPool(1, 1, "browser")
        self.pool.start()
        self._playwright: Any = None
        self._browser: Browser | None = None
        reactor.addSystemEventTrigger("during", "shutdown", self._stop)

    def browser(self) -> Browser:
        """The browser, started if it is not; in its thread only."""
        if self._browser is None:
            from playwright.sync_api import sync_playwright

            self._playwright = sync_playwright().start()
            self._browser = self._playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=ARGUMENTS
            )
        return self._browser

    def _stop(self) -> None:
        self.pool.callInThread(self._close)
        self.pool.stop()

    def _close(self) -> None:
        if self._browser is not None:
            self._browser.close()
            self._playwright.stop()


@cache
def _chromium() -> _Chromium:
    return _Chromium()


@cache
def _missing() -> str:
    """Why there is no browser; empty if there is one."""
    try:
        import playwright.sync_api
    except ImportError:
        return "Playwright is not installed"
    assert playwright.sync_api
    return "" if shutil.which("chromium") else "there is no chromium on the PATH"


@cache
def _axe() -> str:
    """The script of axe-core, fetched with npm once; empty if that can't be had."""
    name, _, version = AXE.partition("@")
    archive = CACHE / f"{name}-{version}.tgz"
    if not archive.exists():
        CACHE.mkdir(exist_ok=True)
        command = ["npm", "pack", "--silent", "--pack-destination", str(CACHE), AXE]
        try:
            subprocess.run(command, cwd=CACHE, check=True, capture_output=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            return ""
    try:
        with tarfile.open(archive) as files:
            script = files.extractfile("package/axe.min.js")
            return script.read().decode("utf-8") if script is not None else ""
    except (tarfile.TarError, EOFError):  # npm did not get to its end
        archive.unlink()
        return ""


class BrowserTestCase(TestCase):
    """A test with windows of a browser; skipped where there is none.

    Whatever touches a window, its pages or what was found in them, goes through `run`.

    Attributes:
        problems: what no page may have: errors, refused and foreign requests. Must be
            empty in the end; a test that provokes some takes them out.
    """

    timeout = 180

    def setUp(self) -> None:
        if _missing():
            raise SkipTest(_missing())
        self.problems: list[str] = []
        self.addCleanup(self._see_no_problems)

    async def run_in_browser(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a call gives, made in the browser's thread."""
        return await deferToThreadPool(reactor, _chromium().pool, call, *args, **kwargs)

    async def context(self, **options: Any) -> BrowserContext:
        """Cookies and windows of their own, as another person's browser.

        Args:
            options: as `Browser.new_context` has them: `color_scheme`, `viewport`, ….
        """
        context = await self.run_in_browser(self._new_context, options)
        self.addCleanup(self.run_in_browser, context.close)
        return context

    async def page(self, url: str, context: BrowserContext | None = None, **options: Any) -> Page:
        """A window that shows an address.

        Args:
            url: the address.
            context: of which browser; a new one if there is none.
            options: for that new one.
        """
        context = context or await self.context(**options)
        return await self.run_in_browser(self._open, context, url)

    async def see(self, *what: Locator) -> None:
        """Wait until each is to be seen."""
        for one in what:
            await self.run_in_browser(one.first.wait_for, state="visible")

    async def see_no(self, *what: Locator) -> None:
        """Wait until each is not to be seen."""
        for one in what:
            await self.run_in_browser(one.first.wait_for, state="hidden")

    async def until(self, page: Page, expression: str) -> None:
        """Wait until an expression in JavaScript is true in a page.

        `Page.wait_for_function` is not for pages whose policy forbids to evaluate texts.
        """
        deadline = reactor.seconds() + TIMEOUT / 1000
        while not await self.run_in_browser(page.evaluate, expression):
            self.assertLess(reactor.seconds(), deadline, f"still not {expression}")
            await deferLater(reactor, 0.05)

    async def click(self, *what: Locator) -> None:
        """Click on each, as soon as that can be done."""
        for one in what:
            await self.run_in_browser(one.click)

    async def fill(self, where: Locator, text: str) -> None:
        """Type a text over what is there."""
        await self.run_in_browser(where.fill, text)

    async def text_of(self, what: Locator) -> str:
        """What is to be read in it."""
        return await self.run_in_browser(what.inner_text)

    async def clipboard(self, page: Page) -> str:
        """What was copied."""
        return str(await self.run_in_browser(page.evaluate, "navigator.clipboard.readText()"))

    async def assert_accessible(self, page: Page) -> None:
        """See that axe finds nothing to complain about in what the page shows.

        The test is skipped at this point where axe can't be had.
        """
        if not await self.run_in_browser(_axe):
            raise SkipTest(f"npm did not fetch {AXE}")
        self.assertEqual(await self.run_in_browser(self._violations, page), [])

    def _new_context(self, options: dict[str, Any]) -> BrowserContext:
        context = _chromium().browser().new_context(**options)
        context.set_default_timeout(TIMEOUT)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        return context

    def _open(self, context: BrowserContext, url: str) -> Page:
        page = context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(f"{error}"))
        page.on("request", lambda request: self._asked(request, url))
        page.goto(url)
        return page

    def _said(self, message: ConsoleMessage) -> None:
        # Answers that are no success are the page's own business; see what it makes of them.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def _asked(self, request: Request, url: str) -> None:
        asked, own = urlsplit(request.url), urlsplit(url)
        if asked.scheme in ("http", "https") and asked.netloc != own.netloc:
            self.problems.append(f"asked for {request.url}")

    def _violations(self, page: Page) -> list[str]:
        page.evaluate(_axe())
        found = page.evaluate(
            "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})",
            list(RULES),
        )
        return [
            f"{violation['id']}: {node['html'][:200]}: {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def _see_no_problems(self) -> None:
        self.assertEqual(self.problems, [])
