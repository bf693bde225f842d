"""What the tests of the status port share: stand-ins for the server, and a client.

The client writes raw bytes to a channel in memory and reads the answer with the
standard library's own reader of responses.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.client import HTTPResponse
from io import BytesIO
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from inletspy.errors import DatabaseUnavailable
from inletspy.interfaces import IAccounts, ISharedLinks, IStoredSettings, ITunnels
from inletspy.policy.accounts import Accounts
from inletspy.policy.sharing import SharedLink, SharedLinks
from inletspy.policy.signins import SignIns
from inletspy.policy.tokens import SHARED, Credential, Owner, token_digest
from inletspy.policy.traffic import Traffic
from inletspy.policy.visits import VisitRule
from inletspy.settings import Settings
from inletspy.web.access import Authenticate
from inletspy.web.channel import StatusChannel
from inletspy.web.registrations import Registrations
from inletspy.web.site import StatusSite, status_site

LOCAL = IPv4Address("TCP", "127.0.0.1", 50000)
STRANGER = IPv4Address("TCP", "203.0.113.9", 50000)

SHARED_TOKEN = "the-shared-token"
ALICE_TOKEN = "the-token-of-alice"
READ_ONLY_TOKEN = "a-token-for-status-only"
ADMIN_TOKEN = "a-token-of-an-admin"
ALICE = Owner("alice", "alice")
CONNECT_ONLY_TOKEN = "a-token-for-tunnels-only"
CREDENTIALS = {
    token: replace(credential, digest=token_digest(token))
    for token, credential in {
        SHARED_TOKEN: Credential(SHARED),
        ALICE_TOKEN: Credential(ALICE),
        READ_ONLY_TOKEN: Credential(Owner("reader", "reader"), scopes=frozenset(["status"])),
        CONNECT_ONLY_TOKEN: Credential(Owner("robot", "robot"), scopes=frozenset(["connect"])),
        ADMIN_TOKEN: Credential(Owner("root", "root"), scopes=frozenset(["admin"])),
    }.items()
}

#: How the server is.
CONDITION: dict[str, Any] = {
    "version": "1.2.3",
    "uptime_seconds": 60,
    "tunnels": 1,
    "links": 2,
    "sessions": 3,
    "streams": 4,
    "visitors": 5,
    "memory_bytes": 6,
    "descriptors": {"open": 7, "limit": 8},
    "database": {"state": "up", "since": "2026-01-01T00:00:00Z"},
    "refusals": {"wrong_tokens": 9},
}

_ids = itertools.count(1)

#: 2026-01-01T00:00:00Z
NEW_YEAR = 1767225600.0


def known(digest: bytes | None) -> Credential | None:
    """What `TokenPolicy.known` tells of the tokens here."""
    wanted = token_digest(SHARED_TOKEN) if digest is None else digest
    return next((c for c in CREDENTIALS.values() if c.digest == wanted), None)


def sign_ins(now: Callable[[], float]) -> SignIns:
    """Sign-ins with the tokens here."""
    return SignIns(known, lambda: "k" * 43, now)


def bearer(token: str) -> dict[str, str]:
    """The header fields that carry a token."""
    return {"Authorization": f"Bearer {token}"}


def registration(**changes: Any) -> dict[str, Any]:
    """What a wrapper posts."""
    return {
        "hostname": "c0ffee-3000.tunnel.localhost",
        "public_url": "http://c0ffee-3000.tunnel.localhost:8080",
        "upstream": "http://localhost:3000",
        "client_id": "claude-web-user-1",
        **changes,
    }


def live_row(**changes: Any) -> dict[str, Any]:
    """A row of a tunnel that the server runs itself."""
    return {
        "id": f"id-{next(_ids)}",
        "hostname": "abc-4000.tunnel.localhost",
        "public_url": "http://abc-4000.tunnel.localhost:8080",
        "upstream": "http://localhost:4000",
        "client_id": "abc",
        "connected_at": "2025-12-31T00:00:00.000Z",
        "status": "active",
        "owner": "shared",
        **changes,
    }


@implementer(IStoredSettings)
class StubSettings:
    """Settings that a test changes as it likes."""

    table: Any = None

    async def refresh(self) -> None:
        raise NotImplementedError

    def __init__(self, **values: Any) -> None:
        self.current = replace(Settings.from_rows({}), **values)

    def change(self, **values: Any) -> None:
        self.current = replace(self.current, **values)

    def subscribe(self, observer: Callable[[Settings, Settings], None]) -> Callable[[], None]:
        raise NotImplementedError


@implementer(IAccounts)
class StubAccounts:
    """Alice, and nobody else.

    Attributes:
        table: what a test puts there.
        refreshed: whether anybody wanted to know of changes at once.
    """

    def __init__(self, table: Any) -> None:
        self.current = Accounts({"alice": ALICE})
        self.table = table
        self.refreshed = False

    async def refresh(self) -> None:
        self.refreshed = True

    def subscribe(self, observer: Callable[[], None]) -> Callable[[], None]:
        raise NotImplementedError


@implementer(ISharedLinks)
class StubSharedLinks:
    """Share links in memory only.

    Attributes:
        away: whether they can't be changed.
    """

    def __init__(self) -> None:
        self.current = SharedLinks()
        self.away = False

    def note(self, link: SharedLink) -> None:
        self.current = SharedLinks({**self.current.by_id, link.id: link})

    async def add(self, link: SharedLink) -> None:
        if self.away:
            raise DatabaseUnavailable("away")
        self.note(link)

    async def revoke(self, id: str) -> None:
        await self.add(replace(self.current.by_id[id], revoked_at=NEW_YEAR))


@implementer(ITunnels)
class StubTunnels:
    """Live tunnels that a test makes up."""

    def __init__(self) -> None:
        self.live: list[dict[str, Any]] = []
        self.kept: list[dict[str, Any]] = []
        self.passing: dict[str, Traffic] = {}
        self.rules: dict[str, VisitRule] = {}
        self.observers: list[Callable[[], None]] = []

    def rows(self) -> list[dict[str, Any]]:
        return list(self.live)

    def away(self) -> list[dict[str, Any]]:
        return list(self.kept)

    def traffic(self) -> dict[str, Traffic]:
        return self.passing

    def rule(self, id: str) -> VisitRule | None:
        return self.rules.get(id)

    def close(self, id: str) -> bool:
        kept = [row for row in self.live if row["id"] != id]
        closed = len(kept) < len(self.live)
        self.show(*kept)
        return closed

    def subscribe(self, observer: Callable[[], None]) -> Callable[[], None]:
        self.observers.append(observer)
        return lambda: self.observers.remove(observer)

    def show(self, *rows: dict[str, Any]) -> None:
        self.live = list(rows)
        for observer in list(self.observers):
            observer()


class Wire(StringTransport):
    """A transport in memory that remembers half-closes and how it ended."""

    half_closed = False
    aborted = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class Answer:
    """One answer of the status port."""

    def __init__(self, raw: bytes, method: str = "GET") -> None:
        self.raw = raw

        class Socket:
            def makefile(self, mode: str) -> BytesIO:
                return BytesIO(raw)

        response = HTTPResponse(cast(Any, Socket()), method=method)
        response.begin()
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        """The body, which must say that it is JSON and be that."""
        if self.headers["Content-Type"] != "application/json":
            raise AssertionError(f"no JSON: {self.raw!r}")
        return json.loads(self.body)


class StatusPort:
    """A status port without sockets, and all that is behind it."""

    def __init__(
        self, authenticate: Authenticate | None = None, table: Any = None, **settings: Any
    ) -> None:
        self.clock = Clock()
        self.clock.advance(NEW_YEAR)
        self.settings = StubSettings(**settings)
        self.accounts = StubAccounts(table)
        self.live = StubTunnels()
        self.shared_links = StubSharedLinks()
        self.tunnels = Registrations(self.live, self.clock)
        self.unhealthy: str | None = None
        self.condition = dict(CONDITION)
        self.server_url = ""
        self.tokens_seen: list[str] = []
        self.sources_seen: list[str | None] = []
        self.known: Callable[[bytes | None], Credential | None] = known
        self.key = "k" * 43
        self.sign_ins = SignIns(
            lambda digest: self.known(digest), lambda: self.key, self.clock.seconds
        )
        self.site: StatusSite = status_site(
            settings=self.settings,
            accounts=self.accounts,
            tunnels=self.tunnels,
            shared_links=self.shared_links,
            authenticate=authenticate or self.authenticate,
            sign_ins=self.sign_ins,
            health=lambda: self.unhealthy,
            condition=lambda: self.condition,
            server_url=lambda: self.server_url,
            clock=self.clock,
        )

    def authenticate(self, token: str, source: str | None) -> Credential | None:
        self.tokens_seen.append(token)
        self.sources_seen.append(source)
        return CREDENTIALS.get(token)

    def later(self) -> list[Any]:
        """What is to happen later, but for the end of idle connections."""
        return [call for call in self.clock.getDelayedCalls() if "timedOut" not in str(call)]

    def connect(self, peer: IAddress = LOCAL) -> tuple[StatusChannel, Wire]:
        """A new connection: the server's end and what it writes to."""
        channel = self.site.buildProtocol(peer)
        wire = Wire(peerAddress=peer)
        channel.makeConnection(wire)
        return channel, wire

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        peer: IAddress = LOCAL,
    ) -> Answer:
        """Make one request on a connection of its own."""
        fields = {"Host": "localhost:8091", **(headers or {})}
        if body is not None:
            fields["Content-Length"] = str(len(body))
        head = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        return self.ask_raw("\r\n".join([*head, "", ""]).encode("latin-1") + (body or b""), peer)

    def ask_raw(self, request: bytes, peer: IAddress = LOCAL) -> Answer:
        """Write these bytes on a connection of their own."""
        channel, wire = self.connect(peer)
        channel.dataReceived(request)
        return Answer(wire.value(), request.partition(b" ")[0].decode("latin-1"))

    def post(self, body: Any, token: str = SHARED_TOKEN) -> Answer:
        """Register something."""
        return self.ask("POST", "/tunnels", json.dumps(body).encode(), bearer(token))

    def status(self) -> Any:
        """What `/status` tells on this machine."""
        return self.ask("GET", "/status").json
