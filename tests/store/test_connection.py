"""What a lost, slow or refused database looks like to those who ask: clear errors only."""

from __future__ import annotations

from typing import Any

import psycopg2
import psycopg2.errors
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from inletspy.errors import DatabaseUnavailable, StartError, UsageError
from inletspy.store.address import Address
from inletspy.store.connection import Cursor, first_line
from inletspy.store.database import Database
from tests.postgres import url_of_new_database
from tests.store.support import failure_of, reactor


class Mute(Protocol):
    """Takes a connection and says nothing."""


class Deaf(Protocol):
    """Ends a connection as soon as it is there."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class AskingTests(TestCase):
    timeout = 60

    async def database(self) -> Database:
        database = Database(url_of_new_database(), reactor, patience=30)
        self.addCleanup(database.stop)
        await database.start()
        return database

    async def test_rows(self) -> None:
        database = await self.database()
        self.assertEqual(await database.query("SELECT 1, 'x'"), [(1, "x")])
        self.assertEqual(await database.query("SELECT %s, 100 %% 30", ("ä",)), [("ä", 10)])
        self.assertEqual(await database.query("SELECT '%'"), [("%",)])

    async def test_number_of_changed_rows(self) -> None:
        database = await self.database()
        await database.operation("CREATE TABLE t (n INT)")
        self.assertEqual(await database.operation("INSERT INTO t VALUES (1), (2)"), 2)

    async def test_many_at_once(self) -> None:
        database = await self.database()
        asked = [database.query("SELECT %s", (n,)) for n in range(20)]
        self.assertEqual(await gatherResults(asked), [[(n,)] for n in range(20)])

    async def test_an_error_of_the_statement_is_its_own(self) -> None:
        database = await self.database()
        await failure_of(database.query("SELECT 1/0"), psycopg2.errors.DivisionByZero)
        self.assertEqual(await database.query("SELECT 1"), [(1,)])
        self.assertTrue(database.connected)

    async def test_transaction(self) -> None:
        database = await self.database()
        await database.operation("CREATE TABLE t (n INT)")

        async def insert(cursor: Cursor) -> int:
            await cursor.execute("INSERT INTO t VALUES (1)")
            await cursor.execute("SELECT count(*) FROM t")
            count: int = cursor.fetchone()[0]
            return count

        async def insert_and_fail(cursor: Cursor) -> None:
            await insert(cursor)
            raise LookupError("no")

        async def insert_and_err(cursor: Cursor) -> None:
            await insert(cursor)
            await cursor.execute("SELECT 1/0")

        self.assertEqual(await database.transaction(insert), 1)
        await failure_of(database.transaction(insert_and_fail), LookupError)
        await failure_of(database.transaction(insert_and_err), psycopg2.errors.DivisionByZero)
        self.assertEqual(await database.query("SELECT n FROM t"), [(1,)])

    async def test_a_caller_that_gives_up_disturbs_nobody(self) -> None:
        database = await self.database()
        asked = database.query("SELECT pg_sleep(0.05)")
        after = database.query("SELECT 2")
        asked.cancel()
        await failure_of(asked, CancelledError)
        self.assertEqual(await after, [(2,)])

    async def test_stopping_fails_what_waits(self) -> None:
        database = await self.database()
        running, waiting = database.query("SELECT pg_sleep(60)"), database.query("SELECT 1")
        stopped = database.stop()
        await failure_of(running, DatabaseUnavailable)
        await failure_of(waiting, DatabaseUnavailable)
        await stopped
        await failure_of(database.query("SELECT 1"), DatabaseUnavailable)

    async def test_no_answer_in_time(self) -> None:
        database = Database(
            url_of_new_database(), reactor, patience=0.5, delays=lambda: iter([3600.0])
        )
        self.addCleanup(database.stop)
        await database.start()
        error = await failure_of(database.query("SELECT pg_sleep(60)"), DatabaseUnavailable)
        self.assertEqual(str(error), "no answer within 0.5 s")
        self.assertFalse(database.connected)


class FirstStartTests(TestCase):
    """A database that can't be reached ends the start, with one line and no password."""

    timeout = 60

    async def assertClear(self, url: str, expected: str, **options: Any) -> None:
        database = Database(url, reactor, **options)
        error = await failure_of(database.start(), StartError)
        text = str(error)
        self.assertIn(expected, text)
        self.assertEqual(text.splitlines(), [text])
        self.assertNotIn("hush", text)
        self.assertFalse(database.connected)
        await database.stop()

    def listen(self, protocol: type[Protocol]) -> int:
        port = reactor.listenTCP(0, Factory.forProtocol(protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def test_nobody_listens(self) -> None:
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        where = f"x on 127.0.0.1:{number}: "
        await self.assertClear(f"postgresql://u:hush@127.0.0.1:{number}/x", where)
        await self.assertClear(f"postgresql://u:hush@localhost:{number}/x", "Connection refused")

    async def test_no_socket(self) -> None:
        await self.assertClear("postgresql://u:hush@/x?host=/nowhere", "No such file")

    async def test_unknown_host(self) -> None:
        await self.assertClear("postgresql://u:hush@nowhere.invalid/x", "nowhere.invalid")

    async def test_no_such_database(self) -> None:
        url = url_of_new_database().replace("/test", "/not_test")
        await self.assertClear(url, "does not exist")

    async def test_something_else_answers(self) -> None:
        for protocol, expected in ((Deaf, "server closed"), (Mute, "no answer within 0.3 s")):
            url = f"postgresql://u:hush@127.0.0.1:{self.listen(protocol)}/x"
            await self.assertClear(url, expected, patience=0.3)

    async def test_stopped_while_it_connects(self) -> None:
        database = Database(f"postgresql://127.0.0.1:{self.listen(Mute)}/x", reactor)
        started = database.start()
        await database.stop()
        await failure_of(started, StartError)


class AddressTests(TestCase):
    def test_description(self) -> None:
        for url, expected in (
            ("postgresql://me:hush@db.example.com/tunnels", "tunnels on db.example.com"),
            ("postgres://me@10.0.0.1:5433/x", "x on 10.0.0.1:5433"),
            ("postgresql:///x?host=/run/pg&port=5432", "x on /run/pg"),
            ("postgresql://", "the default database on the local socket"),
        ):
            self.assertEqual(Address(url).description, expected)

    def test_a_url_that_cannot_be_read_is_not_quoted(self) -> None:
        for url in (
            "postgresql://u:hush/@h/d",
            "postgresql://u:a@hush@h/d",
            "postgresql://h/d?hush=1",
            "hush",
        ):
            self.assertNotIn("hush", str(self.assertRaises(UsageError, Address, url)))

    async def test_a_name_is_looked_up_before_libpq_does(self) -> None:
        parameters = await Address("postgresql://localhost/x").resolve(reactor)
        addresses = parameters["hostaddr"].split(",")
        self.assertIn("127.0.0.1", addresses)
        self.assertEqual(parameters["host"].split(","), ["localhost"] * len(addresses))

    def test_what_is_no_name_is_left_alone(self) -> None:
        for host in ("127.0.0.1", "[::1]", "a.example,b.example", "%2Frun"):
            parameters = self.successResultOf(Address(f"postgresql://{host}/x").resolve(reactor))
            self.assertNotIn("hostaddr", parameters)

    def test_first_line(self) -> None:
        self.assertEqual(first_line(psycopg2.Error("\n one \ntwo")), "one")
        self.assertEqual(first_line(psycopg2.Error()), "Error")
