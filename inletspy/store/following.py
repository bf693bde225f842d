"""Keeping in step with rows of the database.

Owns when rows are read: at the start, when a notification hints at a change, after a
reconnect, and every so often in any case. Knows nothing of what the rows mean.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import psycopg2
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from inletspy.errors import DatabaseUnavailable, StartError
from inletspy.store.connection import first_line
from inletspy.store.database import Database

__all__ = ["RECONCILE", "Following"]

#: Seconds between two readings that nothing asked for: a notification is only a hint,
#: and some never come (triggers off during a restore, a connection pooler between).
RECONCILE: Final = 30.0

log = Logger()


class Following:
    """Has rows read whenever they may have changed, one reading at a time.

    Args:
        database: is started and migrated before anything is asked of this.
        clock: for the readings that nothing asked for.
        what: the rows, for people.
        channel: where changes are told of.
        read: reads the rows.
    """

    def __init__(
        self,
        database: Database,
        clock: IReactorTime,
        what: str,
        channel: str,
        read: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._what = what
        self._channel = channel
        self._read = read
        self._ends: list[Callable[[], None]] = []
        self._rounds = LoopingCall(self._read_again)
        self._rounds.clock = clock
        self._stale = False
        self._reading: Deferred[None] = succeed(None)

    def start(self) -> Deferred[None]:
        """Read the rows, and again at each change from now on; fails with StartError."""

        async def start() -> None:
            self._stale = True
            try:
                await self._catch_up()
            except (psycopg2.Error, DatabaseUnavailable) as error:
                raise StartError(f"can't read {self._what}: {first_line(error)}") from error
            self._ends = [
                self._database.notified.subscribe(self._hinted),
                self._database.restored.subscribe(self._read_again),
                self._rounds.stop,
            ]
            # At once: there may have been changes since, before anybody subscribed.
            self._rounds.start(RECONCILE, now=True)

        return ensureDeferred(start())

    def stop(self) -> Deferred[None]:
        """Follow the database no longer; fires when no reading is under way."""
        for end in self._ends:
            end()
        self._ends = []
        self._stale = False
        return self._read_to_the_end()

    def refresh(self) -> Deferred[None]:
        """Read the rows now; fires when they have been read, or can't be."""
        self._read_again()
        return self._read_to_the_end()

    def _read_to_the_end(self) -> Deferred[None]:
        """Fires when no reading is under way."""
        ended: Deferred[None] = Deferred()
        self._reading.chainDeferred(ended)
        return ended

    def _hinted(self, channel: str) -> None:
        if channel == self._channel:
            self._read_again()

    def _read_again(self) -> None:
        """Have the rows read, if need be once more after the reading under way."""
        self._stale = True
        if self._reading.called and self._database.connected:
            self._reading = ensureDeferred(self._catch_up())
            self._reading.addErrback(self._not_read)

    def _not_read(self, failure: Failure) -> None:
        if failure.check(psycopg2.Error, DatabaseUnavailable) is None:
            log.failure("Could not read {what}", failure, what=self._what)
        elif self._database.connected:  # else it has been said that the database is away
            log.warn(
                "can't read {what}: {reason}", what=self._what, reason=first_line(failure.value)
            )

    async def _catch_up(self) -> None:
        while self._stale:
            self._stale = False
            await self._read()
