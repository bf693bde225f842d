"""Following what a server tells, also after it was away.

Owns when the server is tried again and what ends that. How it is asked is the matter of
`statusport`, what is made of what it tells that of a `Teller`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.task import deferLater

from inletspy.errors import InletspyError, ServerUnreachable

if TYPE_CHECKING:
    from inletspy.admin.statusport import StatusPort

__all__ = ["Follower", "Teller"]

#: Seconds to wait before the tries after a loss.
_WAITS: Final = (1, 2, 3, 5, 10)


class Teller(Protocol):
    """Who is told."""

    def opened(self, url: str, user: str, sees_all: bool) -> None:
        """The stream of events is there: of which server, whose, if of everybody's tunnels."""

    def got(self, event: str, data: str) -> None:
        """An event has come."""

    def lost(self, reason: str, wait: int) -> None:
        """The server is away, and tried again in so many seconds; told each second."""


class Follower:
    """Follows one server.

    Args:
        reactor: waits.
        find: the server, as it can be reached by now.
        teller: is told.
    """

    def __init__(self, reactor: Any, find: Callable[[], StatusPort], teller: Teller) -> None:
        self._reactor = reactor
        self._find = find
        self._teller = teller
        #: Whether the stream has been there.
        self._seen = False
        #: How often in a row it was in vain.
        self._tries = 0

    async def run(self) -> None:
        """Tell of events for ever.

        Raises:
            InletspyError: the server refuses, or was never there.
        """
        while True:
            try:
                await self._once()
                reason = "it ended the stream"
            except ServerUnreachable as error:
                if not self._seen:
                    raise
                reason = str(error)
            wait = _WAITS[min(self._tries, len(_WAITS) - 1)]
            self._tries += 1
            for seconds in range(wait, 0, -1):
                self._teller.lost(reason, seconds)
                await deferLater(self._reactor, 1)

    async def _once(self) -> None:
        try:
            port = self._find()
        except InletspyError as error:
            if not self._seen:
                raise
            raise ServerUnreachable(str(error)) from error
        user, sees_all = await port.whose()

        def opened() -> None:
            self._seen = True
            self._tries = 0
            self._teller.opened(port.url, user, sees_all)

        await port.follow(opened, self._teller.got)
