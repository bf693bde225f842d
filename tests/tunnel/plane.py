"""A control plane on a port of this machine, and clients that say what a test says.

All is as in the server but for the edge: a route leads to its service, and a test opens
the streams itself. When a test ends, nothing may be left of its clients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from inletspy.edge.tcp import PublicPorts
from inletspy.interfaces import IAccounts, ISettings, ISharedLinks
from inletspy.policy.accounts import Accounts
from inletspy.policy.guesses import Guesses
from inletspy.policy.quotas import AddressQuota, Refusals
from inletspy.policy.routes import RouteTable
from inletspy.policy.sharing import SharedLink, SharedLinks
from inletspy.policy.tokens import Credential, Owner, TokenPolicy, token_digest
from inletspy.policy.usage import Usages
from inletspy.settings import Settings
from inletspy.tunnel.admission import Admission
from inletspy.tunnel.control import ControlPlane
from inletspy.tunnel.serverlink import ServerLinkFactory
from inletspy.tunnel.session import Service, Session
from inletspy.tunnel.strangers import Strangers
from tests.peers import Peer, PeerFactory, reactor, until
from tests.tunnel.ends import Client
from tests.tunnel.websocket import handshake

__all__ = [
    "DOMAIN",
    "TOKEN",
    "ChangingAccounts",
    "ChangingSettings",
    "Plane",
    "Recorder",
    "offer",
    "stock_fields",
]

DOMAIN = "tunnel.localhost"
TOKEN = "a shared token"


@implementer(ISettings)
class ChangingSettings:
    """Settings that change when a test says so."""

    def __init__(self, **values: Any) -> None:
        self._observers: list[Callable[[Settings, Settings], None]] = []
        self.current = replace(
            Settings.from_rows({}),
            tunnels_enabled=True,
            tunnel_base_domain=DOMAIN,
            inlets_shared_token=TOKEN,
            custom_domains_enabled=True,
        )
        self.change(**values)

    def change(self, **values: Any) -> None:
        """Put other values in force."""
        old, self.current = self.current, replace(self.current, **values)
        for observer in self._observers:
            observer(self.current, old)

    def subscribe(self, observer: Callable[[Settings, Settings], None]) -> Callable[[], None]:
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)


@implementer(IAccounts)
class ChangingAccounts:
    """Users and tokens that change when a test says so.

    Attributes:
        used: each credential that was used, as often as it was.
    """

    table: Any = None

    async def refresh(self) -> None:
        raise NotImplementedError

    def __init__(self) -> None:
        self._observers: list[Callable[[], None]] = []
        self.current = Accounts()
        self.used: list[Credential] = []

    def change(self, **values: Any) -> None:
        """Put other values in force."""
        self.current = replace(self.current, **values)
        for observer in self._observers:
            observer()

    def user(self, name: str, token: str, prefix: str = "", **credential: Any) -> Credential:
        """Give a user a token; make the user if there is none of that name."""
        owner = Owner(name, prefix or name)
        good = Credential(owner, token[:8], digest=token_digest(token), **credential)
        self.change(
            owners={**self.current.owners, name: owner},
            tokens={**self.current.tokens, good.digest: good},
        )
        return good

    def reserve(self, name: str, user: str) -> None:
        """Reserve a name."""
        self.change(reserved={**self.current.reserved, name: user})

    def revoke(self, token: str) -> None:
        """Take a token away."""
        digest = token_digest(token)
        self.change(tokens={d: c for d, c in self.current.tokens.items() if d != digest})

    def remove(self, name: str) -> None:
        """Remove a user."""
        current = self.current
        self.change(
            owners={n: o for n, o in current.owners.items() if n != name},
            tokens={d: c for d, c in current.tokens.items() if c.owner.name != name},
            reserved={n: u for n, u in current.reserved.items() if u != name},
        )

    def subscribe(self, observer: Callable[[], None]) -> Callable[[], None]:
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)


class Address:
    """How the outside sees the server."""

    def http_url(self, hostname: str) -> str:
        return f"http://{hostname}:8080"

    def tcp_url(self, port: int) -> str:
        return f"tcp://{DOMAIN}:{port}"


@implementer(ISharedLinks)
class KeptLinks:
    """Share links in memory only."""

    def __init__(self) -> None:
        self.current = SharedLinks()

    def note(self, link: SharedLink) -> None:
        self.current = SharedLinks({**self.current.by_id, link.id: link})

    async def add(self, link: SharedLink) -> None:
        self.note(link)

    async def revoke(self, id: str) -> None:
        self.note(replace(self.current.by_id[id], revoked_at=1.0))


class Plane:
    """The control plane, on a free port of the loopback interface.

    Args:
        case: the test, with which it ends.
        clock: for its time-outs; the reactor by default.
        strangers: links without a session, at most.
        settings: other than the default.

    Attributes:
        changes: how often observers of the tunnels were called.
        told: what the log has of limits.
    """

    def __init__(
        self,
        case: TestCase,
        clock: IReactorTime = reactor,
        *,
        strangers: int = 1000,
        **settings: Any,
    ) -> None:
        self.case = case
        self.settings = ChangingSettings(**settings)
        self.changes = 0
        self.routes: RouteTable[Service] = RouteTable(
            clock.seconds, lambda: self.settings.current.name_lease_seconds
        )
        self.ports = PublicPorts(reactor, "127.0.0.1", AddressQuota(lambda: 1000))
        self.accounts = ChangingAccounts()
        self.shared_links = KeptLinks()
        tokens = TokenPolicy(
            lambda: self.settings.current.shared_token,
            lambda: self.accounts.current,
            clock.seconds,
            self.accounts.used.append,
            Guesses(clock.seconds, lambda: self.settings.current.wrong_tokens_per_address, 900),
            signing_key=lambda: self.settings.current.link_signing_key,
            revoked=lambda: self.shared_links.current.revoked,
        )
        self.told: list[str] = []
        self.refusals = Refusals(clock.seconds, self.told.append)
        self.usages = Usages(
            lambda owner: self.settings.current.limits_of(owner), clock.seconds, self.refusals
        )
        self.strangers = Strangers(self.settings, tokens, self.refusals, strangers)
        self.admission = Admission(
            self.settings,
            self.accounts,
            tokens,
            self.usages,
            self.routes,
            self.ports,
            Address(),
        )
        self.admission.subscribe(self._changed)
        self.control = ControlPlane(
            clock, self.settings, self.strangers, self.admission, self.shared_links
        )
        self.control.start()
        factory = ServerLinkFactory(reactor, self.control)
        self._listening = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.port: int = self._listening.getHost().port
        self.url = f"ws://127.0.0.1:{self.port}"
        case.addCleanup(self._end)
        self._peers = PeerFactory(case)  # its end comes first

    def _changed(self) -> None:
        self.changes += 1

    async def peer(self) -> Peer:
        """A connection to the control port that has said nothing yet."""
        return await self._peers.connect_to(self.port)

    async def ask(self, request: bytes) -> str:
        """The whole answer to a handshake that is refused."""
        peer = await self.peer()
        peer.send(request)
        return (await peer.read_to_end()).decode()

    async def native(
        self, *services: Mapping[str, Any], token: str = TOKEN, **hello: Any
    ) -> Client:
        """A client that has been welcomed with these services."""
        client = await self.connect(token=token)
        client.hello(*services, **hello)
        client.welcome = await client.hear("welcome")
        return client

    async def connect(
        self,
        *,
        token: str = TOKEN,
        subprotocol: str | None = "inletspy.v1",
        fields: Any = (),
    ) -> Client:
        """A client whose handshake is done, and no more."""
        client = Client(await self.peer())
        await client.shake_hands(handshake(*fields, token=token, subprotocol=subprotocol))
        return client

    async def stock(
        self, *upstreams: str, inlets_id: str = "1f" * 16, token: str = TOKEN
    ) -> Client:
        """A client of inlets OSS."""
        return await self.connect(
            token=token, subprotocol=None, fields=stock_fields(*upstreams, inlets_id=inlets_id)
        )

    def session_of(self, client: Client) -> Session:
        """The session of a client that was welcomed."""
        return self.admission.sessions[client.welcome["session"]]

    @property
    def only_session(self) -> Session:
        """The one session that there is."""
        (session,) = self.admission.sessions.values()
        return session

    def target(self, hostname: str) -> Service | None:
        """Where requests for `hostname` go."""
        route = self.routes.names.get(hostname)
        return route.targets[0] if route is not None and route.targets else None

    def left(self) -> list[object]:
        """What is there of clients."""
        return [
            *self.control._links,
            *self.control._credentials,
            *self.control._admitted,
            *self.strangers._links,
            *self.strangers._quota._counts,
            *self.admission.sessions.values(),
            *self.admission._admitting,
            *(route.key for route in self.routes.names if route.targets),
            *(route.key for route in self.routes.ports if route.targets),
            *(route.key for route in self.routes.private if route.targets),
            *self.routes._catch_all,
            *self.ports._open,
            *(
                usage
                for usage in self.usages._usages.values()
                if usage.sessions or usage.services or usage.streams.count
            ),
        ]

    async def until_empty(self) -> None:
        """Wait until nothing is left of any client."""
        await until(lambda: not self.left(), lambda: f"rid of {self.left()}")

    async def _end(self) -> None:
        await self._listening.stopListening()
        await self.until_empty()
        await self.control.stop()
        while any(call.getTime() <= reactor.seconds() for call in reactor.getDelayedCalls()):
            await deferLater(reactor, 0)


def stock_fields(*upstreams: str, inlets_id: str = "1f" * 16) -> list[str]:
    """The fields by which a stock client announces itself."""
    return [
        f"x-inlets-id: {inlets_id}",
        *(f"x-inlets-upstream: {upstream}" for upstream in upstreams),
    ]


def offer(
    name: str = "web", upstream: str = "http://localhost:3000", **more: Any
) -> dict[str, Any]:
    """A service as a `hello` announces it."""
    proto = "tcp" if upstream.startswith("tcp:") else "http"
    return {"name": name, "proto": proto, "upstream": upstream, **more}


class Recorder(Protocol):
    """A stream's protocol that keeps what it is told."""

    def __init__(self) -> None:
        self.received = b""
        self.end: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end = reason
