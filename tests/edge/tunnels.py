"""An edge with a tunnel behind it, all in the test's own process.

Visitors and upstreams are real sockets. Between them stand the edge, a session, both ends
of a wire protocol and the agent's relay, as in the programs; only the WebSocket is left
out: messages go from one mux to the other by the reactor's next turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from inletspy.client.relay import Relay
from inletspy.edge.accesslog import AccessLog
from inletspy.edge.passwords import InThread
from inletspy.edge.resource import EdgeSite, HostProxyResource
from inletspy.edge.visits import Visits
from inletspy.errors import ResetCode, StreamReset
from inletspy.interfaces import ISettings
from inletspy.policy.addresses import UpstreamAddress
from inletspy.policy.limits import Limits
from inletspy.policy.quotas import AddressQuota, Refusals
from inletspy.policy.routes import RouteTable
from inletspy.policy.tokens import SHARED, Credential
from inletspy.policy.usage import Usage
from inletspy.settings import Settings
from inletspy.tunnel.endpoint import eager
from inletspy.tunnel.link import Link
from inletspy.tunnel.session import Service, Session
from inletspy.tunnel.stream import Stream
from inletspy.wire.control import ServiceOffer
from inletspy.wire.frames import NativeMux
from inletspy.wire.mux import Mux, MuxStream
from inletspy.wire.remotedialer import RemoteDialerMux
from tests.peers import Peer, PeerFactory, Upstream, listen, reactor, until

__all__ = [
    "DOMAIN",
    "Edge",
    "FixedSettings",
    "Head",
    "Tunnel",
    "TunnelTestCase",
    "ok",
    "read_answer",
    "read_head",
    "request",
    "usage",
]

DOMAIN = "tunnel.localhost"


def usage(who: str = "alice", **limits: float) -> Usage:
    """What an owner has, with these limits."""
    counted = Usage(who, reactor.seconds, Refusals(reactor.seconds))
    counted.limit(Limits(**limits))
    return counted


@implementer(ISettings)
class FixedSettings:
    """Settings that change when the test says so."""

    def __init__(self, **values: Any) -> None:
        self.current = replace(
            Settings.from_rows({}), tunnels_enabled=True, tunnel_base_domain=DOMAIN, **values
        )

    def change(self, **values: Any) -> None:
        """Put other values in force."""
        self.current = replace(self.current, **values)

    def subscribe(self, observer: Any) -> Any:
        return lambda: None


class _Wire:
    """One direction of a link: messages, in order, by a later turn."""

    def __init__(self) -> None:
        self.source: Mux
        self.target: Mux
        self.open = True
        self._messages: deque[bytes] = deque()

    def turn(self) -> None:
        reactor.callLater(0, lambda: self.source.flush())

    def send(self, messages: list[bytes]) -> None:
        if not self._messages:
            reactor.callLater(0, self._arrive)
        self._messages += messages

    def _arrive(self) -> None:
        messages, self._messages = self._messages, deque()
        for message in messages:
            if self.open:
                self.target.receive(message)

    # What a session asks of its link:

    def carry(self, mux: Mux, session: Session) -> None:
        pass

    def close(self, code: int = 1000, reason: str = "") -> None:
        pass

    cease = close


class Tunnel:
    """A session with one http service, and the client's end of it.

    Args:
        upstream: the URL that the client announces.
        native: which of the two protocols carries it.
        options: of the service.

    Attributes:
        service: what a route leads to.
        failures: what the client would tell its person.
    """

    def __init__(
        self, upstream: str, *, native: bool = True, options: Mapping[str, Any] | None = None
    ) -> None:
        self._down, self._up = _Wire(), _Wire()
        self.failures: list[str] = []
        self.session = Session(
            reactor,
            Credential(SHARED),
            "client",
            cast(Link, self._down),
            native=native,
            identified=True,
            on_end=lambda session: None,
            control=lambda session, message: None,
        )
        self._down.source = self._up.target = self.session.mux
        self.far: Mux
        if native:
            self.far = NativeMux(
                self._up.turn, self._up.send, server=False, control=lambda message: None
            )
        else:
            self.far = RemoteDialerMux(self._up.turn, self._up.send)
        self._up.source = self._down.target = self.far
        self.far.accept = self._accept
        self._address = UpstreamAddress.parse(upstream)
        offer = ServiceOffer("web", "http", upstream, options=dict(options or {}))
        self.service = Service(self.session, 1, offer, self._address)
        self.session.services[1] = self.service
        self.session.attach(cast(Link, self._down))
        self._native = native
        self._relay = Relay(reactor)

    def lose(self) -> None:
        """Lose the link, in the order in which a real one ends."""
        self._down.open = self._up.open = False
        lost = StreamReset(ResetCode.CANCELLED, "the link was lost")
        self.session.link_lost(cast(Link, self._down), None, "")
        self.session.mux.lost(lost)
        self.far.lost(lost)

    def streams(self) -> list[MuxStream]:
        """The streams that there are, as seen from both ends."""
        return [*self.session.mux.streams.values(), *self.far.streams.values()]

    def _accept(self, carried: MuxStream, service: Any, visitor: str) -> None:
        stream = Stream(self.far, lambda call: reactor.callLater(0, call), visitor)
        carried.events = stream
        # The server itself speaks TLS through the inlets protocol.
        tls = self._native and self._address.scheme == "https"
        self._relay.join(stream, carried, self._address, None, tls=tls, failed=self.failures.append)


class Edge:
    """The public side, on a free port of the loopback interface.

    Args:
        case: the test, with which it ends.
        public_url: how the outside sees it.
        tls: what it shows visitors where they come in by TLS.
        access_log: where to log requests.
        max_connections: visitors at once.
        settings: values other than the default.
    """

    def __init__(
        self,
        case: TestCase,
        *,
        public_url: str = f"http://{DOMAIN}:8080",
        tls: PrivateCertificate | None = None,
        access_log: AccessLog | None = None,
        max_connections: int = 1000,
        **settings: Any,
    ) -> None:
        self.settings = FixedSettings(**settings)
        #: Seconds since the epoch, for links and guesses; it stands still.
        self.now = 1_800_000_000.0
        #: Runs what is slow; see `inletspy.edge.passwords.InThread`.
        self.in_thread: InThread = deferToThread
        self.routes: RouteTable[Service] = RouteTable(
            reactor.seconds, lambda: self.settings.current.name_lease_seconds
        )
        self.quota = AddressQuota(lambda: self.settings.current.connections_per_address)
        #: What share links are called that were revoked.
        self.revoked: set[str] = set()
        visits = Visits(
            self.settings,
            self._in_thread,
            secure=public_url.startswith("https:"),
            now=self._now,
            revoked=lambda: self.revoked,
        )
        #: Names that are one user's, whether served or not.
        self.reserved: set[str] = set()
        self.resource = HostProxyResource(
            self.settings, self.routes, public_url, visits, self.reserved.__contains__
        )
        self.site = EdgeSite(
            self.resource, reactor, self.settings, self.quota, access_log, max_connections
        )
        self._tunnels: list[Tunnel] = []
        self._listening = listen(self.site, tls=tls, on=eager(reactor))
        self.port: int = self._listening.getHost().port
        case.addCleanup(self._end)
        # Runs first: visitors go before the edge does.
        self.visitors = PeerFactory(case)

    def _now(self) -> float:
        return self.now

    def _in_thread(self, *call: Any) -> Deferred[Any]:
        return self.in_thread(*call)

    def serve(self, hostname: str, tunnel: Tunnel) -> None:
        """Lead requests for `hostname` through a tunnel, too."""
        service = tunnel.service
        self.routes.names.claim(hostname, service.holder, service, join=True)
        tunnel.service.hostname = hostname
        self._tunnels.append(tunnel)

    def release(self, hostname: str, tunnel: Tunnel) -> None:
        """The tunnel's client is away; the name stays its own."""
        self.routes.names.release(hostname, tunnel.service)

    def sweep(self, seconds: int = 1) -> None:
        """Let so many seconds go by, as far as the edge can tell."""
        for _ in range(seconds):
            self.site.sweep()

    async def _end(self) -> None:
        """Check that nothing is left: visitors and upstreams have gone by now."""
        await self._listening.stopListening()
        await until(lambda: not self._left(), lambda: f"rid of {self._left()}")
        while any(call.getTime() <= reactor.seconds() for call in reactor.getDelayedCalls()):
            await deferLater(reactor, 0)

    def _left(self) -> list[object]:
        """What of the visitors and their requests is still there."""
        sockets = {*reactor.getReaders(), *reactor.getWriters()}
        return [
            *(socket for socket in sockets if isinstance(socket, Connection)),
            *self.site.channels,
            *self.quota._counts,
            *(stream for tunnel in self._tunnels for stream in tunnel.streams()),
        ]


@dataclass(frozen=True)
class Head:
    """A head as it came.

    Attributes:
        start: the first line.
        fields: names as they were written, with their values, in order.
    """

    start: str
    fields: list[tuple[str, str]]

    @property
    def status(self) -> int:
        """The status code of a response."""
        return int(self.start.split(" ")[1])

    def all(self, name: str) -> list[str]:
        """The values of the fields of that name."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The value of the only field of that name; None if there is none."""
        values = self.all(name)
        if len(values) > 1:
            raise AssertionError(f"{name} came {len(values)} times")
        return values[0] if values else None


async def read_head(peer: Peer) -> Head:
    """The head that comes next."""
    lines = (await peer.read_until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = [line.split(": ", 1) for line in lines[1:-2]]
    return Head(lines[0], [(name, value) for name, value in fields])


async def read_answer(peer: Peer) -> tuple[Head, bytes]:
    """The response that comes next, one with a Content-Length, and its body."""
    head = await read_head(peer)
    return head, await peer.read(int(head.get("content-length") or 0))


class TunnelTestCase(TestCase):
    """Tests with one edge, one tunnel and one upstream."""

    timeout = 60
    host = f"app.{DOMAIN}"
    native = True
    #: For visitors that come in by TLS, the name they ask for and whom they trust.
    trusted: tuple[str, Certificate] | None = None
    #: What the upstream shows where it speaks TLS.
    upstream_tls: PrivateCertificate | None = None

    def settings(self) -> dict[str, Any]:
        """What the edge is made with, other than the default."""
        return {}

    def setUp(self) -> None:
        self.edge = Edge(self, **self.settings())
        self.upstream = Upstream(self, tls=self.upstream_tls)
        scheme = "https" if self.upstream_tls else "http"
        self.tunnel = Tunnel(f"{scheme}://127.0.0.1:{self.upstream.port}", native=self.native)
        self.edge.serve(self.host, self.tunnel)

    async def visit(self, sent: bytes = b"", *, source: str = "127.0.0.1") -> Peer:
        """A visitor who has just connected, and says that much at once."""
        visitor = await self.edge.visitors.connect_to(
            self.edge.port, source=source, tls=self.trusted
        )
        if sent:
            visitor.send(sent)
        return visitor

    async def until_visitors(self, count: int) -> None:
        """Wait until the edge has so many connections."""
        await until(
            lambda: len(self.edge.site.channels) == count,
            lambda: f"down or up from {len(self.edge.site.channels)} visitors to {count}",
        )

    def request(self, line: str = "GET / HTTP/1.1", *fields: str, body: bytes = b"") -> bytes:
        """A request for the tunnel's host."""
        return request(line, f"Host: {self.host}", *fields, body=body)

    async def asked(self, sent: bytes) -> tuple[Peer, Peer, Head]:
        """Send a request: its visitor, the upstream's connection, and the head there."""
        visitor = await self.visit(sent)
        upstream = await self.upstream.connection()
        return visitor, upstream, await read_head(upstream)


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A request as bytes."""
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1") + body


def ok(content: bytes = b"ok", *fields: str) -> bytes:
    """A response as bytes, sized."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(content)}", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + content
