"""Share links: the rows, and what of them is in force."""

from __future__ import annotations

import time
from itertools import repeat
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from inletspy.errors import DatabaseUnavailable, NotThere, StartError
from inletspy.interfaces import ISharedLinks
from inletspy.policy.sharing import SharedLink, make_link
from inletspy.store import links as store_links
from inletspy.store.database import Database
from inletspy.store.links import LinksTable, StoredLinks
from tests.peers import until
from tests.postgres import execute, own_cluster, url_of_new_database
from tests.store.support import failure_of, lines_logged, reactor

KEY = "k" * 43


def link(seconds: int = 60, **changes: Any) -> SharedLink:
    """A new one."""
    made = {"owner": "alice", "hostname": "app.example.com", "public_url": "http://app.example.com"}
    return make_link(KEY, **{**made, **changes}, now=time.time(), seconds=seconds)[0]


class LinksTestCase(TestCase):
    timeout = 120

    async def database(self, url: str) -> Database:
        database = Database(url, reactor, delays=lambda: repeat(0.01))
        self.addCleanup(database.stop)
        await database.start()
        await database.migrate()
        return database

    async def followed(self, database: Database) -> StoredLinks:
        links = StoredLinks(database, Clock())
        await links.load()
        self.addCleanup(links.stop)
        return links


class InForceTests(LinksTestCase):
    async def test_added_noted_revoked(self) -> None:
        url = url_of_new_database()
        links = await self.followed(await self.database(url))
        self.assertTrue(verifyObject(ISharedLinks, links))
        first, second = link(), link(public_url="private:db")
        await links.add(first)
        links.note(second)
        self.assertEqual(links.current.by_id, {first.id: first, second.id: second})
        await links.revoke(second.id)
        self.assertEqual(links.current.revoked, {second.id})
        self.assertEqual(links.current.by_id[first.id], first)
        (row,) = execute(url, f"SELECT revoked_at FROM inletspy_links WHERE id = '{second.id}'")
        await links.revoke(second.id)
        again = execute(url, f"SELECT revoked_at FROM inletspy_links WHERE id = '{second.id}'")
        self.assertEqual(again, [row])
        await failure_of(links.revoke("none"), NotThere)

    async def test_another_server_and_a_restart(self) -> None:
        database = await self.database(url_of_new_database())
        links, other = await self.followed(database), await self.followed(database)
        made = link()
        links.note(made)
        await until(lambda: other.current.by_id, "told of the new one")
        self.assertEqual(other.current.by_id, {made.id: made})
        await other.revoke(made.id)
        await until(lambda: links.current.revoked, "told of the revocation")
        again = await self.followed(database)
        self.assertEqual(again.current.revoked, {made.id})

    async def test_what_the_command_line_adds(self) -> None:
        database = await self.database(url_of_new_database())
        links = await self.followed(database)
        made = link()
        await LinksTable(database).add([made, made])
        await until(lambda: links.current.by_id, "told of it")
        self.assertEqual([*links.current.by_id], [made.id])

    async def test_a_user_who_is_removed_takes_the_links_along(self) -> None:
        url = url_of_new_database()
        links = await self.followed(await self.database(url))
        execute(url, "INSERT INTO inletspy_users (name, prefix) VALUES ('alice', 'alice')")
        execute(url, "INSERT INTO inletspy_users (name, prefix) VALUES ('bob', 'bob')")
        own, others = link(), link(owner="bob")
        await links.add(own)
        await links.add(others)
        execute(url, "DELETE FROM inletspy_users WHERE name = 'alice'")
        await until(lambda: links.current.revoked, "told of the removal")
        self.assertEqual(links.current.revoked, {own.id})

    async def test_rows_of_those_that_have_ended_are_removed(self) -> None:
        url = url_of_new_database()
        database = await self.database(url)
        table = LinksTable(database)
        good, over = link(), link(-1)
        await table.add([good, over])
        self.assertEqual(await table.all(), [good])
        self.assertEqual(execute(url, "SELECT id FROM inletspy_links"), [(good.id,)])

    async def test_a_database_that_lacks_them(self) -> None:
        url = url_of_new_database()
        database = await self.database(url)
        execute(url, "DROP TABLE inletspy_links")
        error = await failure_of(StoredLinks(database, Clock()).load(), StartError)
        self.assertIn("share links", str(error))


class AwayTests(LinksTestCase):
    async def test_what_is_made_meanwhile_is_stored_when_it_is_back(self) -> None:
        cluster = own_cluster(self)
        database = await self.database(cluster.start())
        links = await self.followed(database)
        kept = link()
        await links.add(kept)
        cluster.stop()
        await until(lambda: not database.connected, "lost")
        made = link()
        links.note(made)
        self.assertEqual({*links.current.by_id}, {kept.id, made.id})
        await failure_of(links.add(link()), DatabaseUnavailable)
        for id in (kept.id, made.id):
            await failure_of(links.revoke(id), DatabaseUnavailable)
        self.assertEqual(links.current.revoked, frozenset())
        cluster.start()
        await until(lambda: database.connected, "back")
        await until(lambda: not links._waiting, "written")
        await links.revoke(made.id)
        self.assertEqual(links.current.revoked, {made.id})

    async def test_not_any_number_waits(self) -> None:
        database = await self.database(url_of_new_database())
        links = StoredLinks(database, Clock())
        await database.stop()
        self.patch(store_links, "_MAX_WAITING", 2)
        lines = lines_logged(self)
        made = [link() for _ in range(3)]
        for one in made:
            links.note(one)
        self.assertEqual([*links._waiting], [one.id for one in made[1:]])
        self.assertEqual([made[0].id in line for line in lines if "never listed" in line], [True])
