"""The server's access to its database, which may go away and come back.

Owns two connections, one to ask and one to listen, which live and end together, the
reconnecting, and the migrations' turn. Knows nothing of any table's meaning.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import psycopg2
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from inletspy.errors import DatabaseUnavailable, StartError
from inletspy.interfaces import ISnapshot
from inletspy.observers import Observers
from inletspy.store import migrations
from inletspy.store.address import Address
from inletspy.store.connection import Connection, Cursor, first_line

__all__ = [
    "ACCOUNTS_CHANNEL",
    "CHANNELS",
    "LINKS_CHANNEL",
    "SETTINGS_CHANNEL",
    "Database",
    "backoff",
]

SETTINGS_CHANNEL: Final = "inletspy_config"
ACCOUNTS_CHANNEL: Final = "inletspy_accounts"
LINKS_CHANNEL: Final = "inletspy_links"

#: What the listening connection listens to; a migration that adds one adds it here.
CHANNELS: Final = (SETTINGS_CHANNEL, ACCOUNTS_CHANNEL, LINKS_CHANNEL)

#: Seconds that one migration may take.
MIGRATION_PATIENCE: Final = 120.0

T = TypeVar("T")

log = Logger()


def backoff(first: float = 0.25, most: float = 15.0) -> Iterator[float]:
    """Seconds to wait before each try: up to a limit that doubles, with full jitter."""
    limit = first
    while True:
        yield random.uniform(0, limit)
        limit = min(2 * limit, most)


@implementer(ISnapshot)
class Database:
    """A PostgreSQL database.

    When it is lost, all that waits fails with DatabaseUnavailable, and connecting is
    tried for ever. `lost` is told the reason; `restored` that it is back, when the
    listening has begun again, so that whoever reads then misses nothing; `notified`
    the channel of each notification.

    Args:
        url: `postgresql://…`, as libpq reads it.
        reactor: what the connections and clocks run in.
        revive: is called before each attempt to reconnect; brings back a database
            that is ours to start.
        delays: makes the seconds to wait before the attempts after each loss.
        patience: seconds that connecting or one operation may take.
        heartbeat: seconds between the signs of life that are asked for.

    Attributes:
        connected: whether the database can be asked just now.
        description: which database it is, for people; without user and password.

    Raises:
        UsageError: the URL can't be read.
    """

    def __init__(
        self,
        url: str,
        reactor: Any,
        *,
        revive: Callable[[], Deferred[Any]] | None = None,
        delays: Callable[[], Iterator[float]] = backoff,
        patience: float = 10.0,
        heartbeat: float = 15.0,
    ) -> None:
        self._address = Address(url)
        self._reactor = reactor
        self._revive = revive
        self._make_delays = delays
        self._patience = patience
        self._heartbeat = heartbeat
        self.description = self._address.description
        self.connected = False
        self._since: float = reactor.seconds()
        self.lost: Observers[[str]] = Observers()
        self.restored: Observers[[]] = Observers()
        self.notified: Observers[[str]] = Observers()
        self._asking: Connection | None = None
        self._listening: Connection | None = None
        self._pulse: LoopingCall | None = None
        self._problem: str | None = None
        self._stopping = False
        self._delays = delays()
        self._next_try: IDelayedCall | None = None
        self._trying: Deferred[None] = succeed(None)

    # -- life --------------------------------------------------------------------------

    def start(self) -> Deferred[None]:
        """Connect for the first time.

        Returns:
            Fires when connected; fails with StartError.
        """

        async def start() -> None:
            try:
                await self._connect()
            except (DatabaseUnavailable, psycopg2.Error) as error:
                raise StartError(
                    f"can't reach the database {self.description}: {first_line(error)}"
                ) from None

        return ensureDeferred(start())

    def stop(self) -> Deferred[None]:
        """Close the connections; fires when nothing of them is left in the reactor."""

        async def stop() -> None:
            self._stopping = True
            self.connected = False
            if self._next_try is not None and self._next_try.active():
                self._next_try.cancel()
            await self._disconnect()
            await self._trying

        return ensureDeferred(stop())

    def migrate(self) -> Deferred[None]:
        """Bring the schema up to date; fails with StartError."""

        async def migrate() -> None:
            try:
                for name in migrations.names():
                    step = partial(migrations.apply, name=name)
                    await self.transaction(step, MIGRATION_PATIENCE)
            except (psycopg2.Error, DatabaseUnavailable) as error:
                raise StartError(
                    f"can't prepare the database {self.description}: {first_line(error)}"
                ) from error

        return ensureDeferred(migrate())

    def snapshot(self) -> Mapping[str, Any]:
        """Whether the database is there, since when, and if it is not, why."""
        return {
            "connected": self.connected,
            "since": self._since,
            "database": self.description,
            "problem": self._problem,
        }

    # -- asking ------------------------------------------------------------------------

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> Deferred[list[tuple[Any, ...]]]:
        """The rows that one statement gives; see `Connection.query`."""
        if self._asking is None or not self.connected:
            return fail(self._away())
        return self._asking.query(sql, parameters)

    def operation(self, sql: str, parameters: Sequence[Any] = ()) -> Deferred[int]:
        """Run one statement without a result; see `Connection.operation`."""
        if self._asking is None or not self.connected:
            return fail(self._away())
        return self._asking.operation(sql, parameters)

    def transaction(
        self, steps: Callable[[Cursor], Awaitable[T]], patience: float | None = None
    ) -> Deferred[T]:
        """Run `steps` in one transaction; see `Connection.transaction`."""
        if self._asking is None or not self.connected:
            return fail(self._away())
        return self._asking.transaction(steps, patience)

    def _away(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(self._problem or "not connected")

    # -- connecting --------------------------------------------------------------------

    async def _connect(self) -> None:
        parameters = await self._address.resolve(self._reactor)
        if self._stopping:
            raise DatabaseUnavailable("closed")
        listening = self._listening = self._new_connection()
        asking = self._asking = self._new_connection()
        try:
            await listening.open(parameters)
            for channel in CHANNELS:
                await listening.operation(f"LISTEN {channel}", ())
            await asking.open(parameters)
            for connection in (listening, asking):
                if connection.over is not None:
                    raise DatabaseUnavailable(connection.over)
        except BaseException as error:
            self._problem = first_line(error)
            await self._disconnect()
            raise
        self.connected = True
        self._since = self._reactor.seconds()
        self._problem = None
        self._pulse = LoopingCall(self._feel_pulse)
        self._pulse.clock = self._reactor
        self._pulse.start(self._heartbeat, now=False)

    def _new_connection(self) -> Connection:
        return Connection(self._reactor, self._patience, self._connection_lost, self.notified.tell)

    async def _disconnect(self) -> None:
        if self._pulse is not None:
            self._pulse.stop()
            self._pulse = None
        connections = [c for c in (self._asking, self._listening) if c is not None]
        self._asking = self._listening = None
        reason = self._problem or "closed"
        await DeferredList([connection.finish(reason) for connection in connections])

    async def _feel_pulse(self) -> None:
        """Ask both connections for a sign of life; one without it drops itself."""
        connections = [c for c in (self._asking, self._listening) if c is not None]
        signs = [connection.query("SELECT 1", ()) for connection in connections]
        await DeferredList(signs, consumeErrors=True)

    def _connection_lost(self, reason: str) -> None:
        if not self.connected:
            return  # while connecting: the attempt fails by itself
        self.connected = False
        self._since = self._reactor.seconds()
        self._problem = reason
        log.warn("lost the database {database}: {reason}", database=self.description, reason=reason)
        self._delays = self._make_delays()
        self._trying = ensureDeferred(self._disconnect())
        self._trying.addCallback(lambda _: self._try_later())
        self.lost.tell(reason)

    def _try_later(self) -> None:
        if not self._stopping:
            self._next_try = self._reactor.callLater(next(self._delays), self._try_again)

    def _try_again(self) -> None:
        self._trying = ensureDeferred(self._reconnect())

    async def _reconnect(self) -> None:
        before = self._problem
        try:
            if self._revive is not None:
                await self._revive()
            await self._connect()
        except Exception as error:
            self._problem = first_line(error)
            if self._problem != before:
                log.info("still without the database: {reason}", reason=self._problem)
            self._try_later()
        else:
            log.info("reached the database {database} again", database=self.description)
            self.restored.tell()
