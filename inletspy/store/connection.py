"""One connection to PostgreSQL that can be trusted to end.

txpostgres with its rough edges covered: every operation is bounded in time; a lost
connection is noticed also while it is idle, told once, and fails what waits for it; no
error ends up in the log as unhandled. Knows nothing of reconnecting or of what is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import psycopg2
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from txpostgres import txpostgres

from inletspy.errors import DatabaseUnavailable

__all__ = ["Connection", "Cursor", "first_line"]

T = TypeVar("T")

#: A `txpostgres.Cursor`, which has no types: `execute(sql, parameters)` gives a Deferred,
#: `fetchall()`, `fetchone()` and `rowcount` are as in DB-API.
Cursor: TypeAlias = Any


def first_line(error: BaseException | None) -> str:
    """What an error of psycopg2 says, as one line."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


class Connection(txpostgres.Connection):  # type: ignore[misc]
    """A connection to PostgreSQL.

    Args:
        reactor: what watches the socket and the time.
        patience: seconds that one operation, connecting included, may take; after
            that the connection is taken for dead.
        lost: is called once, with the reason, when the connection ends by itself.
        notified: is called with the channel of each notification.
    """

    def __init__(
        self,
        reactor: Any,
        patience: float,
        lost: Callable[[str], None],
        notified: Callable[[str], None],
    ) -> None:
        super().__init__(reactor)
        self.over: str | None = None
        self._patience = patience
        self._lost = lost
        self._notified = notified

    def open(self, parameters: Mapping[str, Any]) -> Deferred[None]:
        """Connect, with libpq's connection parameters.

        Returns:
            Fires when connected; fails with DatabaseUnavailable.
        """

        async def connect() -> None:
            await self.connect(**parameters)

        return self._run(connect, self._patience)

    def query(self, sql: str, parameters: Sequence[Any]) -> Deferred[list[tuple[Any, ...]]]:
        """The rows that one statement gives.

        Returns:
            Fires with them; fails with DatabaseUnavailable, or another `psycopg2.Error`
            that the statement caused.
        """

        async def query() -> list[tuple[Any, ...]]:
            cursor = self.cursor()
            await cursor.execute(sql, parameters or None)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

        return self._run(query, self._patience)

    def operation(self, sql: str, parameters: Sequence[Any]) -> Deferred[int]:
        """Run one statement without a result.

        Returns:
            Fires with the number of rows it changed; fails as `query` does.
        """

        async def operate() -> int:
            cursor = self.cursor()
            await cursor.execute(sql, parameters or None)
            changed: int = cursor.rowcount
            return changed

        return self._run(operate, self._patience)

    def transaction(
        self, steps: Callable[[Cursor], Awaitable[T]], patience: float | None = None
    ) -> Deferred[T]:
        """Run `steps` with a cursor in one transaction, undone if they fail.

        Args:
            steps: awaits the cursor's `execute` and nothing else.
            patience: seconds for the whole, in place of the connection's own.

        Returns:
            Fires with what `steps` gave; fails as `query` does or as `steps` did.
        """

        async def transact() -> T:
            cursor = self.cursor()
            await cursor.execute("BEGIN")
            try:
                result = await steps(cursor)
                await cursor.execute("COMMIT")
            except BaseException:
                if self.over is None and not self.closed:
                    await cursor.execute("ROLLBACK")
                raise
            return result

        return self._run(transact, self._patience if patience is None else patience)

    def drop(self, reason: str) -> None:
        """Take the connection for lost: `lost` is called, and what waits for it fails."""
        if self.over is None:
            self.over = reason
            self._lost(reason)
            self._close()

    def finish(self, reason: str) -> Deferred[None]:
        """Close the connection on purpose; what waits for it fails for that reason.

        Returns:
            Fires when all that waited for it has failed.
        """
        if self.over is None:
            self.over = reason
            self._close()
        ended: Deferred[None] = self.lock.run(lambda: None)
        return ended

    def _close(self) -> None:
        if self._connection is not None:
            self.close()

    def _run(self, operation: Callable[[], Awaitable[T]], patience: float) -> Deferred[T]:
        async def bounded() -> T:
            if self.over is not None:
                raise DatabaseUnavailable(self.over)
            limit = self.reactor.callLater(patience, self.drop, f"no answer within {patience:g} s")
            try:
                return await operation()
            except (psycopg2.OperationalError, psycopg2.InterfaceError, ConnectionDone) as error:
                if self._connection is None or self.closed:
                    self.drop(first_line(error))
                raise DatabaseUnavailable(self.over or first_line(error)) from None
            finally:
                if limit.active():
                    limit.cancel()

        # A caller that gives up must not disturb the operation: txpostgres can't be
        # cancelled between two statements, and asks the server while it blocks.
        result: Deferred[T] = Deferred()
        self.lock.run(lambda: ensureDeferred(bounded())).addCallbacks(
            result.callback, result.errback
        )
        return result

    # -- what txpostgres leaves to be wished for ----------------------------------------

    def doRead(self) -> None:
        """Read; an idle connection that ended is no error of the reactor's."""
        self.reactor.removeReader(self)
        try:
            self.continuePolling()
            self.checkForNotifies()
        except psycopg2.Error as error:
            self.drop(first_line(error))
        # A connection that failed before it was open has no file number any more.
        if self.over is None and self.fileno() >= 0:
            self.reactor.addReader(self)

    def checkForNotifies(self) -> None:
        """Tell of notifications at once, with no use of the global reactor."""
        while self.notifies:
            self._notified(self.notifies.pop(0).channel)
