"""The accounts in force: users, tokens and names, kept in step with the database.

While the database is away the last ones read stay in force. Also notes, in batches, when
tokens were used. How the rows are changed is the business of `accounts_table`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import psycopg2
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from inletspy.errors import DatabaseUnavailable
from inletspy.interfaces import IAccounts
from inletspy.observers import Observers
from inletspy.policy.accounts import Accounts
from inletspy.policy.tokens import Credential
from inletspy.store.accounts_table import AccountsTable
from inletspy.store.connection import first_line
from inletspy.store.database import ACCOUNTS_CHANNEL, Database
from inletspy.store.following import Following

__all__ = ["NOTE_SECONDS", "StoredAccounts"]

#: Seconds between two notes of when tokens were used.
NOTE_SECONDS: Final = 60.0

log = Logger()


@implementer(IAccounts)
class StoredAccounts:
    """The accounts of a running server.

    Args:
        database: is started and migrated before anything is asked of this.
        clock: tells the time since the epoch, and when to read and write.

    Attributes:
        current: the accounts in force; nobody before `load` has fired.
        table: reads and changes what is stored.
    """

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self.current = Accounts()
        self.table = AccountsTable(database)
        self._database = database
        self._clock = clock
        self._observers: Observers[[]] = Observers()
        self._following = Following(
            database, clock, "users and tokens", ACCOUNTS_CHANNEL, self._read
        )
        #: When tokens were used last, by digest; what is not written yet.
        self._uses: dict[bytes, float] = {}
        self._notes = LoopingCall(self._note)
        self._notes.clock = clock

    def subscribe(self, observer: Callable[[], None]) -> Callable[[], None]:
        """Call `observer()` after every change; returns what ends that."""
        return self._observers.subscribe(observer)

    async def load(self) -> None:
        """Read the accounts, and again at each change from now on.

        Raises:
            StartError: they can't be read.
        """
        await self._following.start()
        self._notes.start(NOTE_SECONDS, now=False)

    def refresh(self) -> Deferred[None]:
        """Fires when what is stored by now is in force, or can't be read."""
        return self._following.refresh()

    def stop(self) -> Deferred[None]:
        """Follow the database no longer; fires when nothing is under way."""
        if self._notes.running:
            self._notes.stop()

        async def stop() -> None:
            await self._following.stop()
            await self._note()

        return ensureDeferred(stop())

    def used(self, credential: Credential) -> None:
        """A token is in use just now; that gets written by and by."""
        if not credential.owner.is_shared:
            self._uses[credential.digest] = self._clock.seconds()

    async def _read(self) -> None:
        new = await self.table.accounts()
        if new != self.current:
            self.current = new
            self._observers.tell()

    async def _note(self) -> None:
        uses, self._uses = self._uses, {}
        if not uses or not self._database.connected:
            return
        moments = {digest: datetime.fromtimestamp(time, UTC) for digest, time in uses.items()}
        try:
            await self.table.note_uses(moments)
        except (psycopg2.Error, DatabaseUnavailable) as error:
            log.warn("can't note when tokens were used: {reason}", reason=first_line(error))
