"""The status port on real sockets, TCP and UNIX, against what strangers send."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import cast

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
)
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Protocol
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from inletspy.web.registrations import Registrations
from inletspy.web.site import StatusSite, status_site
from tests.web.support import (
    CONDITION,
    CREDENTIALS,
    SHARED_TOKEN,
    Answer,
    StubAccounts,
    StubSettings,
    StubSharedLinks,
    StubTunnels,
    live_row,
    sign_ins,
)

POST = f"POST /tunnels HTTP/1.1\r\nAuthorization: Bearer {SHARED_TOKEN}\r\n".encode()


class Conversation(Protocol):
    """Sends bytes and keeps what comes back until the connection ends."""

    def __init__(self, request: bytes, *, then_close: bool) -> None:
        self.request = request
        self.then_close = then_close
        self.answer = b""
        self.ended: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.request)
        if self.then_close:
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        self.answer += data

    def connectionLost(self, reason: Failure = Protocol.connectionLost) -> None:  # type: ignore[assignment]
        self.ended.callback(self.answer)


class SocketTests(TestCase):
    timeout = 60

    async def listen(self, endpoint: IStreamServerEndpoint) -> None:
        self.live = StubTunnels()
        registrations = Registrations(self.live, reactor)
        self.addCleanup(registrations.stop)
        self.site: StatusSite = status_site(
            settings=StubSettings(),
            tunnels=registrations,
            shared_links=StubSharedLinks(),
            accounts=StubAccounts(None),
            authenticate=lambda token, source: CREDENTIALS.get(token),
            sign_ins=sign_ins(reactor.seconds),
            health=lambda: None,
            condition=lambda: CONDITION,
            server_url=lambda: "",
            clock=reactor,
        )
        self.port = await endpoint.listen(self.site)
        self.addCleanup(self.port.stopListening)

    async def listen_on_tcp(self) -> IStreamClientEndpoint:
        await self.listen(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        address = cast(IPv4Address, self.port.getHost())
        return TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)

    async def say(
        self, endpoint: IStreamClientEndpoint, request: bytes, *, then_close: bool = False
    ) -> bytes:
        conversation = Conversation(request, then_close=then_close)
        await connectProtocol(endpoint, conversation)
        return await conversation.ended

    async def check_alive(self, endpoint: IStreamClientEndpoint) -> None:
        answer = Answer(await self.say(endpoint, b"GET /health HTTP/1.0\r\n\r\n"))
        self.assertEqual((answer.status, answer.json), (200, {"status": "ok"}))

    async def test_what_killed_the_old_one(self) -> None:
        endpoint = await self.listen_on_tcp()
        for request, status in (
            (b"GET /tunnels/% HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
            (b"DELETE /tunnels/% HTTP/1.0\r\nAuthorization: Bearer %b\r\n\r\n", 400),
            (b"GET /status HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n", 200),
            (b"GET http://[ HTTP/1.0\r\nHost: [\r\n\r\n", 404),
        ):
            answer = Answer(await self.say(endpoint, request.replace(b"%b", SHARED_TOKEN.encode())))
            with self.subTest(request=request):
                self.assertEqual(answer.status, status)
                self.assertIsNotNone(answer.json)
        await self.check_alive(endpoint)

    async def test_a_stranger_that_goes_away_in_the_middle(self) -> None:
        endpoint = await self.listen_on_tcp()
        whole = POST + b"Content-Length: 3\r\n\r\n{}"
        for end in range(0, len(whole) + 1, 7):
            await self.say(endpoint, whole[:end], then_close=True)
        await self.check_alive(endpoint)

    async def test_the_answer_to_a_huge_body_arrives(self) -> None:
        endpoint = await self.listen_on_tcp()
        size = 4_000_000
        for framing in (
            b"Content-Length: %d\r\n\r\n" % size,
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size,
        ):
            answer = Answer(await self.say(endpoint, POST + framing + b"a" * size))
            self.assertEqual((answer.status, answer.json["error"]), (400, "Invalid request"))
        await self.check_alive(endpoint)

    async def test_deep_json(self) -> None:
        endpoint = await self.listen_on_tcp()
        request = POST + b"Connection: close\r\nContent-Length: 65536\r\n\r\n" + b"[" * 65536
        self.assertEqual(Answer(await self.say(endpoint, request)).status, 400)
        await self.check_alive(endpoint)

    async def test_pipelined_requests_are_all_answered_in_order(self) -> None:
        endpoint = await self.listen_on_tcp()
        self.live.show(*(live_row(upstream=f"http://localhost:{n}") for n in range(500)))
        requests = b"GET /status HTTP/1.1\r\n\r\nGET /x HTTP/1.1\r\n\r\n" * 100
        answer = await self.say(endpoint, requests + b"GET /health HTTP/1.0\r\n\r\n")
        self.assertEqual((answer.count(b"200 OK"), answer.count(b"404 Not Found")), (101, 100))
        self.assertTrue(answer.endswith(b'{"status": "ok"}\n'))

    async def test_a_unix_socket(self) -> None:
        # A short path: those of UNIX sockets are limited.
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "status.sock")
        await self.listen(UNIXServerEndpoint(reactor, path))
        endpoint = UNIXClientEndpoint(reactor, path)
        await self.check_alive(endpoint)
        request = b"GET /status HTTP/1.0\r\nAuthorization: Bearer %b\r\n\r\n"
        answer = Answer(await self.say(endpoint, request % SHARED_TOKEN.encode()))
        self.assertEqual((answer.status, answer.json), (200, []))
        refused = Answer(await self.say(endpoint, b"nonsense\r\n\r\n"))
        self.assertEqual(refused.status, 400)

    async def test_requests_are_not_logged(self) -> None:
        endpoint = await self.listen_on_tcp()
        with capturedLogs() as events:
            await self.check_alive(endpoint)
        self.assertNotIn("/health", str(events))
