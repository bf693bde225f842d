"""The seams of inletspy, as zope interfaces.

Only what two layers share is declared here: what the edge asks of whatever is behind
it, and what the parts of the server ask of the settings and of each other's state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

    from inletspy.settings import Settings

__all__ = ["ISettings", "ISnapshot", "IStream", "ITunnels", "IUpstream"]


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
