"""The status port as one twisted.web site: the tree of resources, and who may connect.

This is where the parts of the status port meet. What they need of the rest of the
server is passed in.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.server import Site

from inletspy.files import Files
from inletspy.interfaces import IAccounts, ISettings, ISharedLinks, IStoredSettings
from inletspy.policy.signins import SignIns
from inletspy.policy.sources import block_of
from inletspy.web.access import Access, Authenticate
from inletspy.web.accounts import NAME, TOKEN, USER, AccountCalls
from inletspy.web.api import ConfigurationCalls, ServerUrl, TunnelCalls
from inletspy.web.calls import Call, tree
from inletspy.web.channel import PATIENCE_SECONDS, StatusChannel, StatusRequest
from inletspy.web.config import SETTING, SettingCalls
from inletspy.web.events import EventCalls
from inletspy.web.health import HEALTH, Condition, HealthCalls
from inletspy.web.links import LINK, LinkCalls
from inletspy.web.openapi import document
from inletspy.web.registrations import Registrations
from inletspy.web.rows import TUNNEL
from inletspy.web.sessions import SESSION, SessionCalls
from inletspy.web.status import Health, RegistrationCalls, StatusCalls
from inletspy.web.traffic import PASSAGE, TRAFFIC, TrafficCalls

if TYPE_CHECKING:
    from twisted.web.resource import Resource

__all__ = ["StatusSite", "status_site"]

#: What the calls' schemas call by name.
SCHEMAS: Final = {
    "Session": SESSION,
    "Tunnel": TUNNEL,
    "Traffic": TRAFFIC,
    "Request": PASSAGE,
    "Link": LINK,
    "Health": HEALTH,
    "Token": TOKEN,
    "User": USER,
    "Name": NAME,
    "Setting": SETTING,
}


def status_site(
    *,
    settings: IStoredSettings,
    accounts: IAccounts,
    tunnels: Registrations,
    shared_links: ISharedLinks,
    authenticate: Authenticate,
    sign_ins: SignIns,
    health: Health,
    condition: Condition,
    server_url: ServerUrl,
    clock: IReactorTime,
) -> StatusSite:
    """The factory to listen with on the status port, over TCP or a UNIX socket.

    Args:
        settings: the settings in force.
        accounts: the users and tokens in force.
        tunnels: all tunnels, those registered from outside among them.
        shared_links: the share links that were made.
        authenticate: what a token is good for; see `access.Authenticate`.
        sign_ins: who is signed in.
        health: why the server is not healthy; None while it is.
        condition: how it is, in figures.
        server_url: the control address to hand out where no setting names one; may
            give an empty text.
        clock: for the time that clients may take.
    """
    access = Access(authenticate, sign_ins, lambda: settings.current.trusted_proxies)
    calls = [
        *SessionCalls(access, sign_ins, settings, server_url).calls(),
        *StatusCalls(tunnels, settings, health, access).calls(),
        *RegistrationCalls(tunnels, accounts).calls(),
        *ConfigurationCalls(settings, server_url).calls(),
        *TunnelCalls(tunnels, clock.seconds).calls(),
        *TrafficCalls(tunnels).calls(),
        *LinkCalls(tunnels, shared_links, settings, clock.seconds).calls(),
        *EventCalls(tunnels, access, condition, clock).calls(),
        *HealthCalls(condition).calls(),
        *AccountCalls(accounts, settings, clock.seconds).calls(),
        *SettingCalls(settings).calls(),
    ]
    calls.append(
        Call(
            "GET",
            "/api/openapi.json",
            lambda asked: described,
            "This document",
            {"type": "object"},
            token="none",
            bare=True,
        )
    )
    described = document(calls, SCHEMAS)
    root = tree(calls, access, clock)
    root.putChild(b"", Files("dashboard"))
    root.putChild(b"assets", Files("dashboard"))
    return StatusSite(root, settings, clock)


class StatusSite(Site):
    """A site whose connections are bounded, in number by address and in time.

    Attributes:
        settings: the settings in force.
    """

    protocol = StatusChannel  # type: ignore[assignment]
    requestFactory = StatusRequest

    def __init__(self, root: Resource, settings: ISettings, clock: IReactorTime) -> None:
        super().__init__(
            root, timeout=PATIENCE_SECONDS, reactor=clock, parsePOSTFormSubmission=False
        )
        self.settings = settings
        self._connections: Counter[str] = Counter()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel for the peer, or None if it has too many."""
        limit = self.settings.current.connections_per_address
        if self._connections[_host(addr)] >= limit:
            return None
        return super().buildProtocol(addr)

    def connected(self, peer: IAddress) -> None:
        """Count a connection of that peer."""
        self._connections[_host(peer)] += 1

    def disconnected(self, peer: IAddress) -> None:
        """Count it no more."""
        self._connections[_host(peer)] -= 1
        if not self._connections[_host(peer)]:
            del self._connections[_host(peer)]

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 and nothing else: the bounds are those of its channel."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Open no access log, and keep no clock for its lines."""


def _host(peer: IAddress | None) -> str:
    """What connections are counted by; all of a UNIX socket are one peer."""
    return block_of(str(getattr(peer, "host", "")))
