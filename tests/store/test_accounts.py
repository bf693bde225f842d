"""Users, tokens and names: the tables, and the accounts in force that follow them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any

import psycopg2
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from inletspy.errors import Conflict, NotThere, StartError, UsageError
from inletspy.interfaces import IAccounts, IAccountsTable
from inletspy.policy.accounts import Accounts
from inletspy.policy.tokens import Credential, Owner, token_digest
from inletspy.store.accounts import NOTE_SECONDS, StoredAccounts
from inletspy.store.accounts_table import MADE_LIMIT, AccountsTable
from inletspy.store.database import Database
from inletspy.store.following import RECONCILE
from tests.postgres import execute, own_cluster, url_of_new_database
from tests.store.support import failure_of, reactor

#: 2026-01-01T00:00:00Z
NEW_YEAR = 1767225600.0
BASE = "tunnel.example.com"


class AccountsTestCase(TestCase):
    timeout = 60

    async def database(self, url: str, **more: Any) -> Database:
        database = Database(url, reactor, delays=lambda: repeat(0.01), **more)
        self.addCleanup(database.stop)
        await database.start()
        await database.migrate()
        return database

    async def table(self) -> AccountsTable:
        self.url = url_of_new_database()
        return AccountsTable(await self.database(self.url))


class UserTests(AccountsTestCase):
    async def test_added_listed_removed(self) -> None:
        table = await self.table()
        self.assertTrue(verifyObject(IAccountsTable, table))
        self.assertEqual(await table.users(), [])
        added = await table.add_user("alice@example.com")
        self.assertEqual(added, Owner("alice@example.com", "alice-example-com"))
        await table.add_user("bob", "b")
        await table.create_token("bob")
        await table.reserve_name("shop", "bob")
        alice, bob = await table.users()
        self.assertEqual((alice["name"], alice["tokens"], alice["names"]), (added.name, 0, 0))
        self.assertEqual((bob["prefix"], bob["tokens"], bob["names"]), ("b", 1, 1))
        self.assertLess(abs(datetime.now(UTC) - bob["created_at"]), timedelta(minutes=10))
        await table.remove_user("bob")
        self.assertEqual([row["name"] for row in await table.users()], [added.name])
        self.assertEqual((await table.tokens(), await table.names()), ([], []))

    async def test_what_can_not_be_added(self) -> None:
        table = await self.table()
        await table.add_user("anna-b")
        for name, prefix, kind, text in (
            ("anna-b", "other", Conflict, "a user anna-b already"),
            ("anna", None, Conflict, "anna-b's"),
            ("x", "anna-b", Conflict, "anna-b's"),
            ("anna-b-c", None, Conflict, "anna-b's"),
            ("shared", None, UsageError, "shared"),
            ("A", None, UsageError, "small letters"),
            ("x'; DROP TABLE inletspy_users; --", None, UsageError, "name"),
            ("x\0", None, UsageError, "name"),
            ("x", "*", UsageError, "prefix"),
        ):
            error = await failure_of(table.add_user(name, prefix), kind)
            self.assertIn(text, str(error))
            self.assertTrue(str(error).isprintable())
        self.assertEqual(len(await table.users()), 1)
        await table.add_user("annabel")

    async def test_two_at_once(self) -> None:
        table = await self.table()
        other = AccountsTable(await self.database(self.url))
        results: list[Any] = []
        for adding in (table.add_user("anna"), other.add_user("anna-b")):
            Deferred.fromCoroutine(adding).addBoth(results.append)
        while len(results) < 2:
            await table.users()
        self.assertEqual(len(await table.users()), 1)
        (failure,) = [result for result in results if not isinstance(result, Owner)]
        failure.trap(Conflict)

    async def test_one_that_is_not_there(self) -> None:
        table = await self.table()
        for name in ("nobody", "", "a\0b", "\ud800", "x' OR 'a'='a"):
            for asking in (
                table.remove_user(name),
                table.create_token(name),
                table.tokens(name),
                table.reserve_name("shop", name),
            ):
                self.assertIn("no user", str(await failure_of(asking, NotThere)))


class TokenTests(AccountsTestCase):
    async def asyncSetUp(self) -> None:
        self.accounts = await self.table()
        await self.accounts.add_user("alice")

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.asyncSetUp())

    async def good(self) -> dict[bytes, Credential]:
        return dict((await self.accounts.accounts()).tokens)

    async def test_created(self) -> None:
        token = await self.accounts.create_token("alice")
        self.assertRegex(token, "^ipy_[A-Za-z0-9]{43}$")
        credential = Credential(Owner("alice", "alice"), token[:12], digest=token_digest(token))
        self.assertEqual(await self.good(), {credential.digest: credential})
        (row,) = await self.accounts.tokens()
        self.assertEqual(
            {key: row[key] for key in ("token", "user", "scopes", "names", "ports", "limits")},
            {
                "token": token[:12],
                "user": "alice",
                "scopes": ["connect", "status"],
                "names": [],
                "ports": None,
                "limits": None,
            },
        )
        for key in ("expires_at", "revoked_at", "last_used_at"):
            self.assertIsNone(row[key])
        everything = execute(self.url, "SELECT t::text FROM inletspy_tokens t")
        self.assertNotIn(token, str(everything))

    async def test_created_with_all_there_is(self) -> None:
        token = await self.accounts.create_token(
            "alice",
            scopes=["admin", "connect", "admin"],
            names=["U1-*", "shop"],
            ports=range(30000, 30011),
            expires_in=3600,
        )
        execute(self.url, "UPDATE inletspy_tokens SET limits = '{\"sessions\": 2}'")
        (credential,) = (await self.good()).values()
        self.assertEqual(credential.digest, token_digest(token))
        self.assertEqual(credential.scopes, {"connect", "admin"})
        self.assertEqual(credential.names, ("u1-*", "shop"))
        self.assertEqual(credential.ports, range(30000, 30011))
        self.assertEqual(credential.limits, {"sessions": 2})
        (row,) = await self.accounts.tokens("alice")
        self.assertEqual(row["ports"], "30000-30010")
        self.assertEqual(row["expires_at"] - row["created_at"], timedelta(hours=1))
        self.assertAlmostEqual(row["expires_at"].timestamp(), credential.expires_at or 0, 3)

    async def test_what_can_not_be_created(self) -> None:
        for wishes, text in (
            ({"scopes": ["root"]}, "unknown scope 'root'"),
            ({"scopes": []}, "needs a scope"),
            ({"names": ["a.b"]}, "no pattern"),
            ({"names": ["a", "'; --"]}, "no pattern"),
        ):
            creating = self.accounts.create_token("alice", **wishes)
            self.assertIn(text, str(await failure_of(creating, UsageError)))
        self.assertEqual(await self.good(), {})

    async def test_revoked(self) -> None:
        one, two = [await self.accounts.create_token("alice") for _ in range(2)]
        self.assertEqual(await self.accounts.revoke_token(one[:12]), one[:12])
        self.assertEqual(list(await self.good()), [token_digest(two)])
        self.assertEqual(
            [row["revoked_at"] is None for row in await self.accounts.tokens()], [False, True]
        )
        error = await failure_of(self.accounts.revoke_token(one[:12]), Conflict)
        self.assertIn("revoked already", str(error))
        # What is revoked does not make the start of another ambiguous.
        self.assertEqual(await self.accounts.revoke_token("ipy_"), two[:12])

    async def test_those_of_others_are_not_there(self) -> None:
        token = await self.accounts.create_token("alice")
        await self.accounts.add_user("bob")
        await failure_of(self.accounts.revoke_token(token[:12], "bob"), NotThere)
        await self.accounts.revoke_token(token[:12], "alice")

    async def test_what_a_token_made_ends_with_it(self) -> None:
        other, parent = [await self.accounts.create_token("alice") for _ in range(2)]
        credentials = await self.good()
        child = await self.accounts.create_token("alice", maker=credentials[token_digest(parent)])
        maker = (await self.good())[token_digest(child)]
        await self.accounts.create_token("alice", maker=maker)
        self.assertEqual(len(await self.good()), 4)
        await self.accounts.revoke_token(parent[:12])
        self.assertEqual(list(await self.good()), [token_digest(other)])
        error = await failure_of(self.accounts.create_token("alice", maker=maker), Conflict)
        self.assertIn("good no longer", str(error))

    async def test_what_expired_long_ago_is_not_kept_in_memory(self) -> None:
        token = await self.accounts.create_token("alice", expires_in=3600)
        for ago, known in (("23 hours", True), ("25 hours", False)):
            execute(
                self.url,
                f"UPDATE inletspy_tokens SET expires_at = CURRENT_TIMESTAMP - interval '{ago}'",
            )
            tokens = (await self.accounts.accounts()).tokens
            self.assertEqual(token_digest(token) in tokens, known)

    async def test_an_expired_one_makes_none(self) -> None:
        token = await self.accounts.create_token("alice", expires_in=3600)
        maker = (await self.good())[token_digest(token)]
        execute(self.url, "UPDATE inletspy_tokens SET expires_at = CURRENT_TIMESTAMP")
        await failure_of(self.accounts.create_token("alice", maker=maker), Conflict)

    async def test_not_too_many_are_made(self) -> None:
        token = await self.accounts.create_token("alice")
        maker = (await self.good())[token_digest(token)]
        execute(
            self.url,
            "INSERT INTO inletspy_tokens (digest, user_name, prefix, scopes, made_by, revoked_at)"
            " SELECT sha256(n::text::bytea), 'alice', n::text, '{connect}', %s, CURRENT_TIMESTAMP"
            " FROM generate_series(1, %s) n",
            (maker.digest, MADE_LIMIT),
        )
        error = await failure_of(self.accounts.create_token("alice", maker=maker), Conflict)
        self.assertIn("revoke some", str(error))
        execute(
            self.url,
            "UPDATE inletspy_tokens SET created_at = created_at - interval '2 days'"
            " WHERE made_by IS NOT NULL",
        )
        await self.accounts.create_token("alice", maker=maker)

    async def test_revoked_by_the_whole_token(self) -> None:
        token = await self.accounts.create_token("alice")
        await failure_of(self.accounts.revoke_token(token[:-1]), NotThere)
        await self.accounts.revoke_token(token)
        self.assertEqual(await self.good(), {})

    async def test_which_one_must_be_clear(self) -> None:
        tokens = [await self.accounts.create_token("alice") for _ in range(3)]
        error = await failure_of(self.accounts.revoke_token("ipy_"), UsageError)
        self.assertIn("3 tokens begin so", str(error))
        for token in tokens:
            self.assertIn(token[:12], str(error))
            self.assertNotIn(token, str(error))
        for given in ("", "ipy_nothing", "%", "ipy%", "' OR 'a'='a", "\0", "\ud800", "é"):
            await failure_of(self.accounts.revoke_token(given), NotThere)
        self.assertEqual(len(await self.good()), 3)

    async def test_uses_are_noted_and_only_the_latest_counts(self) -> None:
        token = await self.accounts.create_token("alice")
        late, early = (datetime.fromtimestamp(NEW_YEAR + n, UTC) for n in (60, 0))
        for moment in (late, early):
            await self.accounts.note_uses({token_digest(token): moment, bytes(32): moment})
        self.assertEqual((await self.accounts.tokens())[0]["last_used_at"], late)

    async def test_rows_that_make_no_sense_are_refused(self) -> None:
        await self.accounts.create_token("alice")
        for change in (
            "expires_at = 'infinity'",
            "port_first = 1",
            "digest = 'x'",
            "user_name = 'nobody'",
        ):
            with self.assertRaises(psycopg2.Error):
                execute(self.url, f"UPDATE inletspy_tokens SET {change}")

    async def test_odd_rows_hurt_nobody(self) -> None:
        await self.accounts.create_token("alice")
        execute(
            self.url,
            "UPDATE inletspy_tokens SET port_first = 70000, port_last = -5, limits = '[1]',"
            " names = '{[,\"\"}', scopes = '{x}'",
        )
        (credential,) = (await self.good()).values()
        self.assertFalse(credential.ports)
        self.assertIsNotNone(credential.ports)
        self.assertEqual(credential.limits, {})


class NameTests(AccountsTestCase):
    async def test_reserved_and_released(self) -> None:
        table = await self.table()
        await table.add_user("alice")
        for given, stored in (
            ("Shop", "shop"),
            (f"blog.{BASE}.", "blog"),
            ("www.example.org", "www.example.org"),
        ):
            self.assertEqual(await table.reserve_name(given, "alice", BASE), stored)
        rows = await table.names()
        self.assertEqual(
            [(row["name"], row["user"]) for row in rows],
            [("blog", "alice"), ("shop", "alice"), ("www.example.org", "alice")],
        )
        self.assertEqual((await table.accounts()).reserved["blog"], "alice")
        self.assertEqual(await table.names("alice"), rows)
        self.assertEqual(await table.names("bob"), [])
        await failure_of(table.release_name("blog", BASE, "bob"), NotThere)
        await table.release_name("blog", BASE)
        await failure_of(table.release_name(f"blog.{BASE}", BASE), NotThere)
        self.assertEqual(len(await table.names()), 2)

    async def test_what_can_not_be_reserved(self) -> None:
        table = await self.table()
        await table.add_user("alice")
        await table.add_user("bob")
        await table.reserve_name("shop", "alice", BASE)
        for name in ("shop", f"shop.{BASE}"):
            error = await failure_of(table.reserve_name(name, "bob", BASE), Conflict)
            self.assertIn("alice already", str(error))
        for name in ("", "a b", "*", "a..b", f"a.b.{BASE}", "\0", "x" * 64, "'"):
            await failure_of(table.reserve_name(name, "bob", BASE), UsageError)


class FollowTests(AccountsTestCase):
    async def stored(self, url: str, **more: Any) -> StoredAccounts:
        self.clock = Clock()
        self.clock.advance(NEW_YEAR)
        accounts = StoredAccounts(await self.database(url, **more), self.clock)
        await accounts.load()
        self.addCleanup(accounts.stop)
        return accounts

    def change(self, accounts: StoredAccounts) -> Deferred[None]:
        changed: Deferred[None] = Deferred()

        def tell() -> None:
            end()
            changed.callback(None)

        end = accounts.subscribe(tell)
        return changed

    async def test_each_change_is_followed(self) -> None:
        accounts = await self.stored(url_of_new_database())
        self.assertTrue(verifyObject(IAccounts, accounts))
        self.assertEqual(accounts.current, Accounts())
        table = accounts.table
        for step in (
            lambda: table.add_user("alice"),
            lambda: table.reserve_name("shop", "alice"),
            lambda: table.create_token("alice"),
            lambda: table.revoke_token("ipy_"),
            lambda: table.release_name("shop"),
            lambda: table.remove_user("alice"),
        ):
            changed = self.change(accounts)
            before = accounts.current
            await step()
            await changed
            self.assertNotEqual(accounts.current, before)
        self.assertEqual(accounts.current, Accounts())

    async def test_truncate_counts_and_a_use_does_not(self) -> None:
        url = url_of_new_database()
        accounts = await self.stored(url)
        token = await accounts.table.create_token((await accounts.table.add_user("alice")).name)
        while not accounts.current.tokens:
            await self.change(accounts)
        told: list[str] = []
        self.addCleanup(accounts._database.notified.subscribe(told.append))
        await accounts.table.note_uses({token_digest(token): datetime.now(UTC)})
        changed = self.change(accounts)
        execute(url, "TRUNCATE inletspy_tokens")
        await changed
        self.assertEqual(told, ["inletspy_accounts"])
        self.assertEqual(accounts.current.tokens, {})

    async def test_a_change_that_nothing_notified_of(self) -> None:
        url = url_of_new_database()
        accounts = await self.stored(url)
        changed = self.change(accounts)
        execute(
            url,
            "SET session_replication_role = replica;"
            " INSERT INTO inletspy_users (name, prefix) VALUES ('a', 'a')",
        )
        self.clock.advance(RECONCILE)
        await changed

    async def test_kept_while_the_database_is_away(self) -> None:
        cluster = own_cluster(self)
        url = cluster.start()
        back: Deferred[None] = Deferred()
        accounts = await self.stored(url, revive=lambda: back)
        await accounts.table.add_user("alice")
        if not accounts.current.owners:
            await self.change(accounts)
        lost: Deferred[str] = Deferred()
        accounts._database.lost.subscribe(lost.callback)
        cluster.stop()
        await lost
        self.assertIn("alice", accounts.current.owners)
        accounts.used(Credential(Owner("alice", "alice"), digest=bytes(32)))
        self.clock.advance(NOTE_SECONDS)  # nobody is there to write to
        changed = self.change(accounts)
        cluster.start()
        execute(url, "DELETE FROM inletspy_users")
        self.assertIn("alice", accounts.current.owners)
        back.callback(None)
        await changed
        self.assertEqual(accounts.current, Accounts())

    async def test_uses_are_written_once_a_minute_and_at_the_end(self) -> None:
        accounts = await self.stored(url_of_new_database())
        await accounts.table.add_user("alice")
        token = await accounts.table.create_token("alice")
        credential = Credential(Owner("alice", "alice"), digest=token_digest(token))

        async def last_used() -> float | None:
            (row,) = await accounts.table.tokens()
            moment: datetime | None = row["last_used_at"]
            return moment.timestamp() if moment is not None else None

        accounts.used(credential)
        self.clock.advance(NOTE_SECONDS - 1)
        accounts.used(credential)
        self.assertIsNone(await last_used())
        self.clock.advance(1)
        self.assertEqual(await last_used(), NEW_YEAR + NOTE_SECONDS - 1)
        self.clock.advance(5)
        accounts.used(credential)
        await accounts.stop()
        self.assertEqual(await last_used(), NEW_YEAR + NOTE_SECONDS + 5)

    async def test_a_start_without_the_tables(self) -> None:
        database = Database(url_of_new_database(), reactor)
        self.addCleanup(database.stop)
        await database.start()
        error = await failure_of(StoredAccounts(database, Clock()).load(), StartError)
        self.assertIn("can't read users and tokens", str(error))
