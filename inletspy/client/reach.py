"""A private service of another client, as this one reaches it over all the links it has.

On each link the server is asked for the service, and from then on streams can be opened
to it. The service may be away, or its name unknown to a server that has only just
started: once it was there, it is asked for again until it is back. Who opens streams,
and what a person is told, is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from zope.interface import implementer

from inletspy.errors import ClientAway, ProtocolViolation, Refused
from inletspy.interfaces import IUpstream
from inletspy.tunnel.stream import Stream
from inletspy.wire.control import Connected, ConnectWish, Grant
from inletspy.wire.frames import NativeMux

__all__ = ["Reach", "ReachObserver"]

#: How long to wait before a service that was there is asked for again, in seconds.
_RETRY_SECONDS: Final = 2.0


class ReachObserver(Protocol):
    """What the person's side is told."""

    def ready(self, grants: Sequence[Grant]) -> None:
        """The service is reached, for the first time or again."""

    def disconnected(self, reason: str, retry_in: float) -> None:
        """It is reached no longer; the next try is in so many seconds."""


@implementer(IUpstream)
class Reach:
    """The way to a private service.

    Args:
        clock: the reactor's.
        name: the service's private name.
        observer: is told whether it is reached.

    Attributes:
        name: the same.
        place: where programs on this machine get to it, for people.
    """

    def __init__(self, clock: IReactorTime, name: str, observer: ReachObserver) -> None:
        self.name = name
        self.place = ""
        self._clock = clock
        self._observer = observer
        self._mux: NativeMux | None = None
        #: What OPEN frames on this link call it; None until the server has said so.
        self._number: int | None = None
        self._was_there = False
        self._retry: IDelayedCall | None = None

    def connect(self, protocol: IProtocol, visitor: str) -> Stream:
        """See `inletspy.interfaces.IUpstream`."""
        if self._mux is None or self._number is None:
            raise ClientAway
        stream = Stream(self._mux, self._later, self.name)
        stream.start(self._mux.open(self._number, visitor, stream), protocol)
        return stream

    def _later(self, function: Callable[[], None]) -> Any:
        return self._clock.callLater(0, function)

    # -- a link's life

    def welcomed(self, mux: NativeMux) -> None:
        """There is a link; ask for the service."""
        self._mux = mux
        self._ask()

    def _ask(self) -> None:
        self._retry = None
        if self._mux is not None:
            self._mux.send_control(ConnectWish(self.name).message())

    def lost(self) -> None:
        """The link is gone."""
        self._mux = self._number = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    # -- what the server says

    def connected(self, answer: Connected) -> None:
        """The service is there; raises ProtocolViolation if it is another."""
        if answer.name != self.name or self._number is not None:
            raise ProtocolViolation("a private service that was not asked for")
        self._number = answer.number
        self._was_there = True
        self._observer.ready([Grant(self.name, answer.number, self.place)])

    def refused(self, error: Refused) -> bool:
        """There is no such service.

        Returns:
            Whether it is asked for again.
        """
        if not self._was_there:
            return False
        if self._retry is None:
            self._observer.disconnected(error.message, _RETRY_SECONDS)
            self._retry = self._clock.callLater(_RETRY_SECONDS, self._ask)
        return True
