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
    from inletspy.policy.sharing import SharedLink, SharedLinks
    from inletspy.policy.tokens import Credential, Owner
    from inletspy.policy.traffic import Traffic
    from inletspy.policy.visits import VisitRule
    from inletspy.settings import Settings, StoredSetting

__all__ = [
    "IAccounts",
    "IAccountsTable",
    "ISettings",
    "ISettingsTable",
    "ISharedLinks",
    "ISnapshot",
    "IStoredSettings",
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

    current: Settings = Attribute("The `inletspy.settings.Settings` in force.")

    def subscribe(observer: Callable[[Settings, Settings], None]) -> Callable[[], None]:
        """Call `observer(new, old)` after every change; returns what ends that."""


class IStoredSettings(ISettings):
    """The settings in force, with what they are made of."""

    table = Attribute("`ISettingsTable`: what is stored, to be listed and changed.")

    def refresh() -> Awaitable[None]:
        """Waits until what is stored by now is in force."""


class ISettingsTable(Interface):
    """The settings as they are stored; errors are those of `IAccountsTable`."""

    def all() -> Awaitable[list[StoredSetting]]:
        """All keys, in the order of the catalogue."""

    def get(key: str) -> Awaitable[StoredSetting]:
        """One key."""

    def set(key: str, text: str) -> Awaitable[None]:
        """Store a value."""

    def reset(key: str) -> Awaitable[None]:
        """Go back to the default."""


class IAccounts(Interface):
    """The users, tokens and reserved names in force, which change while the server runs."""

    current: Accounts = Attribute("The `inletspy.policy.accounts.Accounts` in force.")
    table = Attribute("`IAccountsTable`: what is stored, to be listed and changed.")

    def refresh() -> Awaitable[None]:
        """Waits until what is stored by now is in force."""

    def subscribe(observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` after every change; returns what ends that."""


class IAccountsTable(Interface):
    """Users, tokens and reserved names as they are stored.

    What is wrong with a wish is raised as `inletspy.errors.UsageError`, or as one of its
    kinds `NotThere` and `Conflict`. Rows are dictionaries, with times as datetimes.
    """

    def users(name: str | None = None) -> Awaitable[list[dict[str, Any]]]:
        """All users, or the one of that name."""

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
        maker: Credential | None = None,
    ) -> Awaitable[str]:
        """Make a token, and give it; it is stored nowhere.

        With a maker, another token of the same user's, it ends with that one.
        """

    def revoke_token(given: str, user: str | None = None) -> Awaitable[str]:
        """Revoke the one token (of a user) that begins so; gives its readable start."""

    def names(user: str | None = None) -> Awaitable[list[dict[str, Any]]]:
        """All reserved names, or those of one user."""

    def reserve_name(name: str, user: str, base_domain: str = "") -> Awaitable[str]:
        """Reserve a label or a hostname for a user; gives it as it is stored."""

    def release_name(name: str, base_domain: str = "", user: str | None = None) -> Awaitable[str]:
        """Reserve a name (of a user) no longer; gives it as it was stored."""


class ISharedLinks(Interface):
    """The share links that were made and have not ended.

    What changes them raises what those of `IAccountsTable` raise.
    """

    current: SharedLinks = Attribute("The `inletspy.policy.sharing.SharedLinks` in force.")

    def note(link: SharedLink) -> None:
        """A link was made; it is stored as soon as the database is there."""

    def add(link: SharedLink) -> Awaitable[None]:
        """Store a new link; fires when it is in force."""

    def revoke(id: str) -> Awaitable[None]:
        """Make a link good for nothing, if it is not so already; fires when it is in force."""


class ITunnels(Interface):
    """What tunnels there are, for status, API, metrics and files."""

    def rows() -> list[dict[str, Any]]:
        """One JSON-ready object per live tunnel service, in the order they came."""

    def away() -> list[dict[str, Any]]:
        """The same for names and ports that are kept for owners whose client has gone.

        Their `status` is `away`, and `held_until` says how long it stays so.
        """

    def traffic() -> Mapping[str, Traffic]:
        """What passes through tunnels, also those that are away, by the `id` of their rows.

        Of tunnels that this server does not run itself nothing is known.
        """

    def rule(id: str) -> VisitRule | None:
        """Who may visit the tunnel whose row has that `id`; None where that is not known."""

    def close(id: str) -> bool:
        """End the tunnel whose row has that `id`, and tell its client; False if none has.

        Of one that is away, the name is kept no longer.
        """

    def subscribe(observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` after every change of `rows()`; returns what ends that."""


class ISnapshot(Interface):
    """A component that tells its state to status, metrics and dashboard."""

    def snapshot() -> Mapping[str, Any]:
        """The component's state now, JSON-ready."""
