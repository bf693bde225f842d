"""The database goes away and comes back; migrations, notifications and backoff."""

from __future__ import annotations

import os
import signal
from itertools import islice, repeat

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from inletspy.errors import DatabaseUnavailable, StartError
from inletspy.observers import Observers
from inletspy.store import migrations
from inletspy.store.database import Database, backoff
from inletspy.store.embedded import EmbeddedPostgres
from tests.postgres import execute, own_cluster, url_of_new_database
from tests.store.support import failure_of, reactor


def once(observers: Observers[...]) -> Deferred[tuple[object, ...]]:
    """Fires with what is told next."""
    told: Deferred[tuple[object, ...]] = Deferred()

    def tell(*arguments: object) -> None:
        end()
        told.callback(arguments)

    end = observers.subscribe(tell)
    return told


class DatabaseTestCase(TestCase):
    timeout = 60

    async def started(self, database: Database) -> Database:
        self.addCleanup(database.stop)
        await database.start()
        return database

    async def new(self) -> Database:
        return await self.started(Database(url_of_new_database(), reactor, delays=at_once))


def at_once() -> repeat[float]:
    """Delays for those who would not wait."""
    return repeat(0.01)


class MigrationTests(DatabaseTestCase):
    async def applied(self, database: Database) -> list[str]:
        return [name for (name,) in await database.query("SELECT name FROM inletspy_migrations")]

    def test_they_are_numbered_and_shipped(self) -> None:
        numbers = [int(name.partition("_")[0]) for name in migrations.names()]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertEqual(migrations.names()[0], "0001_config_settings.sql")

    async def test_twice(self) -> None:
        database = await self.new()
        await database.migrate()
        await database.operation("INSERT INTO config_settings (key) VALUES ('kept')")
        await database.migrate()
        self.assertEqual(await self.applied(database), migrations.names())
        self.assertEqual(await database.query("SELECT key FROM config_settings"), [("kept",)])

    async def test_several_at_once(self) -> None:
        url = url_of_new_database()
        databases = [await self.started(Database(url, reactor)) for _ in range(4)]
        await gatherResults([database.migrate() for database in databases])
        self.assertEqual(await self.applied(databases[0]), migrations.names())

    async def test_the_platforms_table_is_used_as_it_is(self) -> None:
        database = await self.new()
        for statement in (
            "CREATE TABLE config_settings (key VARCHAR(255) PRIMARY KEY, value TEXT,"
            " type VARCHAR(50) NOT NULL DEFAULT 'string', description TEXT, default_value TEXT,"
            " created_at TIMESTAMP, updated_at TIMESTAMP, owner TEXT)",
            "CREATE TABLE audit (key VARCHAR(255) REFERENCES config_settings)",
            "INSERT INTO config_settings (key, value, owner) VALUES ('theirs', 'x', 'them')",
            "INSERT INTO audit VALUES ('theirs')",
        ):
            await database.operation(statement)
        await database.migrate()
        rows = await database.query(
            "SELECT key, value, owner FROM config_settings JOIN audit USING (key)"
        )
        self.assertEqual(rows, [("theirs", "x", "them")])

    async def test_a_table_elsewhere_in_the_path_is_not_hidden(self) -> None:
        database = await self.new()
        await database.operation("CREATE SCHEMA postgres")  # "$user" comes first in the path
        await database.operation(
            "CREATE TABLE public.config_settings (key VARCHAR(255) PRIMARY KEY, value TEXT)"
        )
        await database.migrate()
        rows = await database.query("SELECT to_regclass('postgres.config_settings')")
        self.assertEqual(rows, [(None,)])

    async def test_one_that_cannot_be_applied_leaves_nothing(self) -> None:
        database = await self.new()
        await database.operation("CREATE VIEW config_settings AS SELECT 1 AS key")
        error = await failure_of(database.migrate(), StartError)
        self.assertIn("can't prepare the database test", str(error))
        self.assertEqual(str(error).splitlines(), [str(error)])
        rows = await database.query("SELECT to_regclass('inletspy_migrations')")
        self.assertEqual(rows, [(None,)])


class NotificationTests(DatabaseTestCase):
    async def test_every_kind_of_change_by_any_program(self) -> None:
        url = url_of_new_database()
        database = await self.started(Database(url, reactor))
        await database.migrate()
        for statement in (
            "INSERT INTO config_settings (key) VALUES ('a'), ('b')",
            "UPDATE config_settings SET value = 'x' WHERE key = 'a'",
            "DELETE FROM config_settings WHERE key = 'a'",
            "TRUNCATE config_settings",
        ):
            told = once(database.notified)
            execute(url, statement)
            self.assertEqual(await told, ("inletspy_config",), statement)


class AwayTests(DatabaseTestCase):
    """Lost while idle, lost while asked, stopped, killed, frozen: always the same."""

    async def test_stopped_and_started_again(self) -> None:
        cluster = own_cluster(self)
        url = cluster.start()
        database = await self.started(Database(url, reactor, delays=at_once))
        await database.migrate()
        lost, restored = once(database.lost), once(database.restored)

        cluster.stop()
        (reason,) = await lost
        self.assertFalse(database.connected)
        snapshot = database.snapshot()
        self.assertEqual((snapshot["connected"], snapshot["problem"]), (False, reason))
        await failure_of(database.query("SELECT 1"), DatabaseUnavailable)

        cluster.start()
        await restored
        self.assertTrue(database.connected)
        self.assertIsNone(database.snapshot()["problem"])
        self.assertEqual(await database.query("SELECT 1"), [(1,)])
        told = once(database.notified)
        execute(url, "TRUNCATE config_settings")
        await told

    async def test_it_listens_before_it_tells_that_it_is_back(self) -> None:
        """Or a change made by who hears of it would go unnoticed."""
        url = url_of_new_database()
        database = await self.started(Database(url, reactor, delays=at_once))
        await database.migrate()
        database.restored.subscribe(lambda: execute(url, "TRUNCATE config_settings"))
        told = once(database.notified)
        execute(url, KILL_OTHERS)
        await told

    async def test_one_connection_lost_is_both_lost(self) -> None:
        url = url_of_new_database()
        database = await self.started(Database(url, reactor, delays=at_once))
        for which in ("=", "<>"):
            lost, restored = once(database.lost), once(database.restored)
            [(asking,)] = await database.query("SELECT pg_backend_pid()")
            execute(url, f"{KILL_OTHERS} AND pid {which} %s", (asking,))
            await lost
            await restored
            [(now_asking,)] = await database.query("SELECT pg_backend_pid()")
            self.assertNotEqual(now_asking, asking)

    async def test_lost_while_it_is_asked(self) -> None:
        url = url_of_new_database()
        database = await self.started(Database(url, reactor, delays=at_once))
        restored = once(database.restored)
        asked = [database.query("SELECT pg_sleep(60)"), database.query("SELECT 1")]
        execute(url, KILL_OTHERS)
        for failing in asked:
            await failure_of(failing, DatabaseUnavailable)
        await restored

    async def test_frozen(self) -> None:
        """A silent server is noticed though nobody asks, and the socket stays open."""
        url = url_of_new_database()
        database = await self.started(
            Database(url, reactor, delays=at_once, patience=0.5, heartbeat=0.1)
        )
        restored = once(database.restored)
        [(pid,)] = await database.query("SELECT pg_backend_pid()")
        lost = once(database.lost)
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        self.assertEqual(await lost, ("no answer within 0.5 s",))
        await restored

    async def test_brought_back_when_it_is_ours(self) -> None:
        cluster = own_cluster(self)
        embedded = EmbeddedPostgres(cluster.directory, reactor)
        self.addCleanup(embedded.stop)
        url = await embedded.start()
        database = await self.started(Database(url, reactor, delays=at_once, revive=embedded.start))
        restored = once(database.restored)
        cluster.start()
        cluster._stop()
        await restored
        self.assertEqual(await database.query("SELECT 1"), [(1,)])

    async def test_tries_on_when_bringing_it_back_fails(self) -> None:
        tries: list[str] = []

        async def revive() -> None:
            tries.append("")
            if len(tries) < 3:
                raise ValueError("not yet")

        url = url_of_new_database()
        database = await self.started(
            Database(url, reactor, delays=at_once, revive=lambda: Deferred.fromCoroutine(revive()))
        )
        restored = once(database.restored)
        execute(url, KILL_OTHERS)
        await restored
        self.assertEqual(len(tries), 3)

    async def test_stopping_while_away_leaves_nothing_behind(self) -> None:
        """Trial itself fails a test that leaves something in the reactor."""
        cluster = own_cluster(self)
        database = Database(cluster.start(), reactor, delays=lambda: repeat(3600.0))
        await database.start()
        lost = once(database.lost)
        cluster.stop()
        await lost
        await database.stop()
        self.assertFalse(database.connected)

    async def test_stopping_twice(self) -> None:
        database = await self.new()
        await database.stop()
        await database.stop()

    async def test_stopping_is_not_losing(self) -> None:
        database = await self.new()
        told: list[str] = []
        database.lost.subscribe(told.append)
        await database.stop()
        self.assertEqual(told, [])


#: Ends the connections of all but who asks.
KILL_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class BackoffTests(TestCase):
    def limits(self, count: int) -> list[float]:
        """The most that each of the first delays came to in many runs."""
        runs = [islice(backoff(), count) for _ in range(300)]
        return [max(column) for column in zip(*runs, strict=True)]

    def test_doubles_up_to_a_limit_with_full_jitter(self) -> None:
        for most, limit in zip(self.limits(9), [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15], strict=True):
            self.assertLessEqual(most, limit)
            self.assertGreater(most, limit * 0.9)
