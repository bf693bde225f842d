"""The seams of inletspy, as zope interfaces.

Only what two layers share is declared here: what the edge asks of whatever is behind
it, and what the parts of the server ask of the settings and of each other's state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

    from inletspy.policy.accounts import Accounts
    from inletspy.policy.tokens import Owner
    from inletspy.settings import Settings

__all__ = [
    "IAccounts",
    "IAccountsTable",
    "ISettings",
    "ISnapshot",
    "IStream",
    "ITunnels",
    "IUpstream",
]


class IStream(ITransport, IConsumer, IPushProducer):
    """One logical connection inside a session; to its protocol, a transport.

    The protocol is told of received bytes by `dataReceived`, of a half-close by the
    peer by `readConnectionLost` (if it provides `IHalfCloseableProtocol`, else the
    stream is closed), and of the end by `connectionLost`, whose reason is
    `ConnectionDone` or an `inletspy.errors.StreamReset`.
    """

    connected = Attribute("bool: whether the stream can still carry bytes.")

    def loseWriteConnection() -> None:
        """Finish this direction after what was written; go on receiving."""

    def abortConnection() -> None:
        """End both directions at once; the peer is told that it was cancelled."""


class IUpstream(Interface):
    """Where a route leads: the service of one client, near or far."""

    def connect(protocol: IProtocol, visitor: str) -> IStream:
        """Open a stream to the upstream and make it the protocol's transport.

        The protocol may write at once. Whether the upstream took the connection
        shows later: a refusal arrives as `connectionLost`.

        Args:
            protocol: gets `makeConnection` before this returns.
            visitor: the address of who asks, as `IP:PORT`, for the client to show.

        Raises:
            inletspy.errors.ClientAway: no link to the client at the moment.
            inletspy.errors.StreamReset: a limit was reached.
        """


class ISettings(Interface):
    """The settings in force, which change while the server runs."""

    current: Settings = Attribute("The `inletspy.config.Settings` in force.")

    def subscribe(observer: Callable[[Settings, Settings], None]) -> Callable[[], None]:
        """Call `observer(new, old)` after every change; returns what ends that."""


class IAccounts(Interface):
    """The users, tokens and reserved names in force, which change while the server runs."""

    current: Accounts = Attribute("The `inletspy.policy.accounts.Accounts` in force.")
    table = Attribute("`IAccountsTable`: what is stored, to be listed and changed.")

    def subscribe(observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` after every change; returns what ends that."""


class IAccountsTable(Interface):
    """Users, tokens and reserved names as they are stored.

    What is wrong with a wish is raised as `inletspy.errors.UsageError`, or as one of its
    kinds `NotThere` and `Conflict`. Rows are dictionaries, with times as datetimes.
    """

    def users() -> Awaitable[list[dict[str, Any]]]:
        """All users."""

    def add_user(name: str, prefix: str | None = None) -> Awaitable[Owner]:
        """Add a user; the prefix is made from the name where none is given."""

    def remove_user(name: str) -> Awaitable[None]:
        """Remove a user, with all tokens and reserved names."""

    def tokens(user: str | None = None) -> Awaitable[list[dict[str, Any]]]:
        """All tokens, or those of one user; never the tokens themselves."""

    def create_token(
        user: str,
        *,
        scopes: Sequence[str] = (),
        names: Sequence[str] = (),
        ports: range | None = None,
        expires_in: float | None = None,
        limits: Mapping[str, float] | None = None,
    ) -> Awaitable[str]:
        """Make a token, and give it; it is stored nowhere."""

    def revoke_token(given: str) -> Awaitable[str]:
        """Revoke the one token that begins so; gives its readable start."""

    def names() -> Awaitable[list[dict[str, Any]]]:
        """All reserved names."""

    def reserve_name(name: str, user: str, base_domain: str = "") -> Awaitable[str]:
        """Reserve a label or a hostname for a user; gives it as it is stored."""

    def release_name(name: str, base_domain: str = "") -> Awaitable[str]:
        """Reserve a name no longer; gives it as it was stored."""


class ITunnels(Interface):
    """What tunnels there are, for status, API, metrics and files."""

    def rows() -> list[dict[str, Any]]:
        """One JSON-ready object per live tunnel service, in the order they came."""

    def subscribe(observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` after every change of `rows()`; returns what ends that."""


class ISnapshot(Interface):
    """A component that tells its state to status, metrics and dashboard."""

    def snapshot() -> Mapping[str, Any]:
        """The component's state now, JSON-ready."""
