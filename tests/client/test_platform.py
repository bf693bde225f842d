"""What a platform's backend may answer, and what a person then reads."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import Request
from zope.interface import implementer

from inletspy.client.access import Access
from inletspy.client.platform import MAX_ANSWER, PATIENCE, agent_for, ask_platform
from inletspy.errors import Code, Refused, ServerUnreachable, UsageError
from tests.system.http import listening, upstream
from tests.system.processes import reactor

GIVEN = {
    "tunnels_enabled": True,
    "inlets_server_url": "wss://tunnel.example.com",
    "inlets_shared_token": "s3cret",
    "tunnel_base_domain": "tunnel.example.com",
}


class Backend(Resource):
    """Answers what it is told to, and remembers what it was asked."""

    isLeaf = True

    def __init__(self, status: int, answer: Any) -> None:
        super().__init__()
        self.status = status
        self.answer = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.asked: list[tuple[bytes, bytes | None]] = []

    def render_GET(self, request: Request) -> Any:
        self.asked.append((request.uri, request.getHeader(b"authorization")))
        request.setResponseCode(self.status)
        return self.answer


class AskTests(TestCase):
    async def ask(self, status: int, answer: Any) -> Access:
        self.backend = Backend(status, answer)
        url = f"http://127.0.0.1:{upstream(self, self.backend)}/base/"
        return await ask_platform(Agent(reactor), reactor, url, "backend-token")

    async def test_configuration(self) -> None:
        access = await self.ask(200, {"success": True, "data": GIVEN})
        self.assertEqual(access, Access("wss://tunnel.example.com", "s3cret", "tunnel.example.com"))
        self.assertEqual(
            self.backend.asked, [(b"/base/api/config/tunnels", b"Bearer backend-token")]
        )

    async def test_parts_that_are_missing(self) -> None:
        data = {"inlets_server_url": "wss://t", "tunnel_base_domain": "not a name"}
        self.assertEqual(await self.ask(200, {"data": data}), Access("wss://t"))

    async def test_refusals(self) -> None:
        for status, answer, code, words in (
            (401, {}, Code.UNAUTHORIZED, "CLAUDE_WEB_AUTH_TOKEN"),
            (404, {"success": False}, Code.TUNNELS_DISABLED, "not enabled"),
            (503, {}, Code.TUNNELS_DISABLED, "not configured"),
            (200, {"data": GIVEN | {"tunnels_enabled": False}}, Code.TUNNELS_DISABLED, "enabled"),
            (200, {"data": GIVEN | {"inlets_server_url": ""}}, Code.TUNNELS_DISABLED, "no tunnel"),
        ):
            error = await self.assertFailure(ensureDeferred(self.ask(status, answer)), Refused)
            assert isinstance(error, Refused)
            self.assertEqual(error.code, code)
            self.assertIn(words, str(error))

    async def test_answers_that_make_no_sense(self) -> None:
        for status, answer in (
            (500, b"oops"),
            (302, b""),
            (200, b""),
            (200, b"<html>"),
            (200, []),
            (200, {"data": None}),
            (200, {"success": True}),
            (200, b"[" * 20000),
            (200, b" " * (MAX_ANSWER + 1)),
        ):
            error = await self.assertFailure(
                ensureDeferred(self.ask(status, answer)), ServerUnreachable
            )
            self.assertIn("the platform at http://127.0.0.1:", str(error))
            self.assertNotIn("\n", str(error))
            self.assertNotIn("backend-token", str(error))

    async def test_nobody_there(self) -> None:
        asking = ask_platform(Agent(reactor), reactor, "http://127.0.0.1:1", "t")
        error = await self.assertFailure(ensureDeferred(asking), ServerUnreachable)
        self.assertIn("connection refused", str(error))


class AgentTests(TestCase):
    def test_no_url(self) -> None:
        for url in ("", "ide.example.com", "ftp://ide.example.com", "https://", "http://h:x"):
            error = self.assertRaises(UsageError, agent_for, reactor, url, {})
            self.assertIn("CLAUDE_WEB_BACKEND_URL", str(error))

    async def test_through_a_proxy(self) -> None:
        asked: list[bytes] = []

        class Proxy(Protocol):
            def dataReceived(self, data: bytes) -> None:
                asked.append(data.partition(b"\r\n")[0])
                assert self.transport is not None
                self.transport.write(b"HTTP/1.1 403 Not you\r\n\r\n")

        url = "https://ide.example.com"
        proxy = f"http://127.0.0.1:{listening(self, Factory.forProtocol(Proxy))}"
        agent = agent_for(reactor, url, {"HTTPS_PROXY": proxy})
        asking = ensureDeferred(ask_platform(agent, reactor, url, "t"))
        error = await self.assertFailure(asking, ServerUnreachable)
        self.assertIn("the proxy does not let us through: it answers '403 Not you'", str(error))
        self.assertEqual(asked, [b"CONNECT ide.example.com:443 HTTP/1.1"])

    def test_a_proxy_that_is_none(self) -> None:
        for url, environ in (
            ("http://ide.example.com", {"HTTP_PROXY": "socks5://p"}),
            ("https://ide.example.com", {"https_proxy": "ftp://p"}),
        ):
            error = self.assertRaises(UsageError, agent_for, reactor, url, environ)
            self.assertIn("PROXY", str(error))


@implementer(IAgent)
class Silent:
    """Never answers."""

    def request(self, *arguments: object, **options: object) -> Deferred[Any]:
        return Deferred()


class PatienceTests(TestCase):
    def test_is_limited(self) -> None:
        clock = Clock()
        asking = ensureDeferred(ask_platform(Silent(), clock, "http://ide", "t"))
        clock.advance(PATIENCE)
        error = self.failureResultOf(asking, ServerUnreachable).value
        self.assertIn("did not answer within 10 seconds", str(error))
