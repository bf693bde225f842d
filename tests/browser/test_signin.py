"""Who is signed in at the status port, and opens a page that means harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.browser.support import BrowserTestCase
from tests.system.processes import ServerProcess, reactor

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

#: Asks as a page can ask; gives the status, 0 where the page is not told, -1 where it is refused.
ASK = """async ([method, url, mode, type, body]) => {
    const content = body === null ? undefined : new Blob([body], type === null ? {} : {type});
    try {
        const answer = await fetch(url, {method, mode, credentials: "include", body: content});
        return answer.status;
    } catch {
        return -1;
    }
}"""

#: Sends a form, whose answer nobody reads.
SEND = """([url, name, value]) => new Promise(done => {
    const frame = document.createElement("iframe");
    frame.name = "answer";
    const form = document.createElement("form");
    Object.assign(form, {action: url, method: "post", enctype: "text/plain", target: "answer"});
    const field = document.createElement("input");
    Object.assign(field, {name, value});
    form.append(field);
    document.body.append(frame, form);
    frame.addEventListener("load", () => done(true));
    form.submit();
})"""


class ForeignPageTests(BrowserTestCase):
    """The page is of another port, and so of the same site to the browser: cookies come along."""

    async def test_it_changes_nothing(self) -> None:
        server = ServerProcess(self)
        await server.start()
        status = f"http://localhost:{server.status_port}"
        self.seen: list[tuple[str | None, str | None]] = []
        first, second = self.listen(), self.listen()
        own = await self.page(f"{status}/api/openapi.json")
        foreign = await self.page(first, own.context)
        await self.run_in_browser(self.attack, own, foreign, status, second, server.token)

    def listen(self) -> str:
        """A page of somebody else's, which notes what is posted to it; gives its address."""
        seen = self.seen

        class Page(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                return b"<body>"

            def render_POST(self, request: Any) -> bytes:
                seen.append((request.getHeader("Sec-Fetch-Site"), request.getHeader("Cookie")))
                return b""

        listening = reactor.listenTCP(0, Site(Page()), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        return f"http://localhost:{listening.getHost().port}/"

    def attack(self, own: Page, foreign: Page, status: str, elsewhere: str, token: str) -> None:
        """Sign in, and have the other page try what pages can try."""
        session = f"{status}/api/session"
        proof = f'{{"token": "{token}"}}'
        json = "application/json"
        self.assertEqual(own.evaluate(ASK, ["POST", session, "cors", json, proof]), 200)
        (cookie,) = own.context.cookies()
        self.assertTrue(cookie["httpOnly"])
        self.assertEqual(own.evaluate("document.cookie"), "")

        answers: list[Response] = []
        foreign.on("response", lambda answer: answers.append(answer))
        registration = '{"hostname": "a.b", "public_url": "http://a.b", "upstream": "x", '
        registration += '"client_id": "x"}'
        asked: list[list[Any]] = [
            ["POST", f"{status}/tunnels", "no-cors", None, registration],
            ["POST", f"{status}/tunnels", "no-cors", "text/plain", registration],
            ["POST", f"{status}/api/tokens", "no-cors", None, "{}"],
            ["POST", session, "no-cors", None, proof],
        ]
        for what in asked:
            self.assertEqual(foreign.evaluate(ASK, what), 0, what)
        value = registration.partition("=")[0]
        foreign.evaluate(SEND, [f"{status}/tunnels", f'{value[:-1]}, "y": "', '"}'])
        sent = [answer for answer in answers if answer.url.startswith(status)]
        self.assertEqual([answer.status for answer in sent], [403] * 5)
        # Not for want of the cookie: whatever is at another port gets it, asked likewise.
        foreign.evaluate(ASK, ["POST", elsewhere, "no-cors", None, "{}"])
        self.assertEqual(self.seen, [("same-site", f"inletspy_session={cookie['value']}")])

        for what in (
            ["DELETE", session, "cors", None, None],
            ["POST", session, "cors", json, proof],
            ["GET", f"{status}/api/tunnels", "cors", None, None],
        ):
            self.assertEqual(foreign.evaluate(ASK, what), -1, what)
        self.assertEqual(own.context.cookies(), [cookie])
        self.assertEqual(own.evaluate(ASK, ["GET", session, "cors", None, None]), 200)
        self.assertEqual(own.evaluate("fetch('/status').then(answer => answer.json())"), [])
        # Own pages can: else the above would show nothing.
        what = ["POST", f"{status}/tunnels", "cors", json, registration]
        self.assertEqual(own.evaluate(ASK, what), 200)
        self.assertEqual(own.evaluate(ASK, ["DELETE", session, "cors", None, None]), 200)
        self.assertEqual(own.context.cookies(), [])
        self.problems.clear()  # that it asks elsewhere, and is refused, is its purpose
