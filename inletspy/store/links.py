"""The share links that were made: the rows, and what of them is in force.

Kept in memory and in step with the database, so that a visitor's request asks no database.
Links that clients have made while it is away wait here to be written. What a link is good
for is the business of `policy`.
"""

from __future__ import annotations

from collections.abc import Collection
from operator import attrgetter
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from inletspy.errors import NotThere
from inletspy.interfaces import ISharedLinks
from inletspy.policy.sharing import SharedLink, SharedLinks
from inletspy.store.database import LINKS_CHANNEL, Database
from inletspy.store.following import Following

__all__ = ["LinksTable", "StoredLinks"]

#: Links that wait to be written, at most; of more, the oldest are never listed.
_MAX_WAITING: Final = 10_000

log = Logger()


class LinksTable:
    """The rows of `inletspy_links`.

    All methods raise DatabaseUnavailable, or another `psycopg2.Error`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[SharedLink]:
        """Those that have not ended; the rows of others are removed."""
        await self._database.operation(
            "DELETE FROM inletspy_links WHERE expires_at <= CURRENT_TIMESTAMP"
        )
        rows = await self._database.query(
            "SELECT id, owner, target, key_mark, extract(epoch FROM created_at)::float8,"
            " extract(epoch FROM expires_at)::float8, extract(epoch FROM revoked_at)::float8"
            " FROM inletspy_links"
        )
        return [SharedLink(*row) for row in rows]

    async def add(self, links: Collection[SharedLink]) -> None:
        """Add rows; one that is there already stays as it is."""
        columns = ("id", "owner", "target", "mark", "created_at", "expires_at")
        await self._database.operation(
            "INSERT INTO inletspy_links (id, owner, target, key_mark, created_at, expires_at)"
            " SELECT id, owner, target, mark, to_timestamp(created_at), to_timestamp(expires_at)"
            " FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::float8[],"
            " %s::float8[]) AS new (id, owner, target, mark, created_at, expires_at)"
            " ON CONFLICT DO NOTHING",
            [[*map(attrgetter(column), links)] for column in columns],
        )

    async def revoke(self, id: str) -> None:
        """Note that a link is good no longer; raises NotThere if there is none of that id."""
        found = await self._database.operation(
            "UPDATE inletspy_links SET revoked_at = coalesce(revoked_at, CURRENT_TIMESTAMP)"
            " WHERE id = %s",
            (id,),
        )
        if not found:
            raise NotThere("there is no such link")


@implementer(ISharedLinks)
class StoredLinks:
    """The share links of a running server.

    Args:
        database: is started and migrated before anything is asked of this.
        clock: for the readings that nothing asked for.

    Attributes:
        current: those in force; none before `load` has fired.
    """

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self.current = SharedLinks()
        self._table = LinksTable(database)
        self._following = Following(database, clock, "the share links", LINKS_CHANNEL, self._read)
        #: What is not written yet, the oldest first.
        self._waiting: dict[str, SharedLink] = {}

    def load(self) -> Deferred[None]:
        """Read the links, and again at each change from now on; fails with StartError."""
        return self._following.start()

    def stop(self) -> Deferred[None]:
        """Follow the database no longer; fires when no reading is under way."""
        return self._following.stop()

    def note(self, link: SharedLink) -> None:
        """See `inletspy.interfaces.ISharedLinks`."""
        if len(self._waiting) >= _MAX_WAITING:
            lost = next(iter(self._waiting))
            del self._waiting[lost]
            log.warn("too many share links wait to be stored: {id} is never listed", id=lost)
        self._waiting[link.id] = link
        self._hold({**self.current.by_id, link.id: link})
        self._following.refresh()

    async def add(self, link: SharedLink) -> None:
        """See `inletspy.interfaces.ISharedLinks`."""
        await self._table.add([link])
        await self._following.refresh()

    async def revoke(self, id: str) -> None:
        """See `inletspy.interfaces.ISharedLinks`."""
        if id in self._waiting:
            await self._following.refresh()
        await self._table.revoke(id)
        await self._following.refresh()

    async def _read(self) -> None:
        waiting = dict(self._waiting)
        if waiting:
            await self._table.add(waiting.values())
            for id in waiting:
                self._waiting.pop(id, None)
        stored = {link.id: link for link in await self._table.all()}
        self._hold({**self._waiting, **stored})

    def _hold(self, links: dict[str, SharedLink]) -> None:
        if links != self.current.by_id:
            self.current = SharedLinks(links)
