"""Upstreams inside the test's own process, and a visitor that calls them by HTTP.

A visitor connects to the loopback interface whatever the address says, so that names
like `app.tunnel.example.com` need no DNS.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any

import treq
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikeRedirectAgent,
    CookieAgent,
    HTTPConnectionPool,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from tests.system.processes import TIMEOUT, reactor

__all__ = ["Answer", "EchoResource", "fetch", "listening", "upstream"]


# -- visitors


@dataclass(frozen=True)
class Answer:
    """What a visitor got."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


@implementer(IAgentEndpointFactory)
class LoopbackEndpoints:
    """Leads every address to its port on this machine.

    Args:
        authority: the certificate that an https server must show, or be signed with.
        source: the address to come from.
    """

    def __init__(self, authority: Certificate | None, source: str) -> None:
        self._authority = authority
        self._source = source

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        plain = TCP4ClientEndpoint(reactor, "127.0.0.1", uri.port, bindAddress=(self._source, 0))
        if uri.scheme != b"https":
            return plain
        options = optionsForClientTLS(uri.host.decode("ascii"), trustRoot=self._authority)
        return wrapClientTLS(options, plain)


async def fetch(
    url: str,
    method: str = "GET",
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    token: str | None = None,
    authority: Certificate | None = None,
    source: str = "127.0.0.1",
    login: tuple[str, str] | None = None,
    cookies: CookieJar | None = None,
) -> Answer:
    """Send one request, over a connection of its own.

    Args:
        url: `http` or `https`; the host's name is sent but not looked up.
        method: of the request.
        headers: to send with it.
        body: to send with it.
        token: to send as a Bearer token.
        authority: the certificate to trust for `https`.
        source: the visitor's address, of 127.0.0.0/8.
        login: name and password, for Basic authentication.
        cookies: what a browser has, and gets; redirects are followed where it is given.
    """
    sent = Headers({name: [value] for name, value in (headers or {}).items()})
    if token is not None:
        sent.addRawHeader("Authorization", f"Bearer {token}")
    if login is not None:
        coded = base64.b64encode(":".join(login).encode()).decode()
        sent.addRawHeader("Authorization", f"Basic {coded}")
    pool = HTTPConnectionPool(reactor, persistent=False)
    agent: Any = Agent.usingEndpointFactory(reactor, LoopbackEndpoints(authority, source), pool)
    if cookies is not None:
        agent = BrowserLikeRedirectAgent(CookieAgent(agent, cookies))
    response = await treq.request(
        method,
        url,
        headers=sent,
        data=body,
        agent=agent,
        allow_redirects=False,
        unbuffered=True,
        timeout=TIMEOUT,
    )
    content = await treq.content(response).addTimeout(TIMEOUT, reactor)
    return Answer(response.code, response.headers, content)


# -- upstreams


class EchoResource(Resource):
    """Tells what it was asked; a body is sent back as it came."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        assert request.content is not None
        body: bytes = request.content.read()
        if body:
            return body
        described = {
            "method": request.method.decode("ascii"),
            "target": request.uri.decode("latin-1"),
            "headers": {
                name.decode("latin-1").lower(): [value.decode("latin-1") for value in values]
                for name, values in request.requestHeaders.getAllRawHeaders()
            },
        }
        request.setHeader(b"content-type", b"application/json")
        return json.dumps(described).encode()


class Watched(Factory):
    """Builds another factory's protocols, and knows their connections."""

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        self.connections: set[Any] = set()
        self.all_gone: Deferred[None] | None = None

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        protocol: Any = self._factory.buildProtocol(addr)
        if protocol is None:
            return None
        made, lost = protocol.makeConnection, protocol.connectionLost

        def make_connection(transport: ITransport) -> None:
            def connection_lost(reason: Failure = connectionDone) -> None:
                self.connections.discard(transport)
                lost(reason)
                if self.all_gone is not None and not self.connections:
                    self.all_gone.callback(None)

            protocol.connectionLost = connection_lost
            self.connections.add(transport)
            made(transport)

        protocol.makeConnection = make_connection
        return protocol


def listening(case: TestCase, factory: IProtocolFactory) -> int:
    """Serve a factory on a free port of the loopback interface.

    When the test ends, so does it, and all its connections with it.

    Returns:
        The port.
    """
    watched = Watched(factory)
    port = reactor.listenTCP(0, watched, interface="127.0.0.1")

    async def close() -> None:
        await port.stopListening()
        if watched.connections:
            watched.all_gone = Deferred()
            for transport in list(watched.connections):
                transport.abortConnection()
            await watched.all_gone

    case.addCleanup(close)
    return int(port.getHost().port)


def upstream(case: TestCase, resource: Resource | None = None) -> int:
    """A small HTTP service for the length of the test, an echo by default.

    Returns:
        Its port on the loopback interface.
    """
    return listening(case, Site(resource or EchoResource()))
