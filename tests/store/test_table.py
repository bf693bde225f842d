"""Reading, changing and seeding `config_settings`, whoever made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from inletspy.config import ServerConfig
from inletspy.errors import UsageError
from inletspy.settings import Settings
from inletspy.store.database import Database
from inletspy.store.table import SettingsTable
from tests.postgres import execute, url_of_new_database
from tests.store.support import reactor

DEVELOPMENT = ServerConfig(Path("unused"))
PRODUCTION = ServerConfig(Path("unused"), domain="tunnel.example.com")


class TableTestCase(TestCase):
    timeout = 60

    async def asyncSetUp(self) -> None:
        """Give the test a table without rows."""
        self.url = url_of_new_database()
        self.database = Database(self.url, reactor)
        self.addCleanup(self.database.stop)
        await self.database.start()
        await self.database.migrate()
        self.table = SettingsTable(self.database)

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.asyncSetUp())

    def store(self, key: str, value: str | None, default: str | None = None) -> None:
        execute(
            self.url,
            "INSERT INTO config_settings (key, value, default_value) VALUES (%s, %s, %s)",
            (key, value, default),
        )

    def stored(self) -> dict[str, Any]:
        return dict(execute(self.url, "SELECT key, value FROM config_settings"))


class SeedTests(TableTestCase):
    async def test_development(self) -> None:
        await self.table.seed(DEVELOPMENT)
        stored = self.stored()
        self.assertEqual(stored.keys(), Settings.catalogue().keys())
        for secret in ("inlets_shared_token", "link_signing_key", "session_signing_key"):
            self.assertGreaterEqual(len(stored.pop(secret)), 32)
        self.assertEqual(
            {key: value for key, value in stored.items() if value is not None},
            {
                "tunnels_enabled": "true",
                "custom_domains_enabled": "true",
                "catch_all_enabled": "true",
                "tunnel_base_domain": "tunnel.localhost",
            },
        )

    async def test_production(self) -> None:
        await self.table.seed(PRODUCTION)
        stored = self.stored()
        self.assertEqual(stored.keys(), Settings.catalogue().keys())
        secrets = ("inlets_shared_token", "link_signing_key", "session_signing_key")
        self.assertEqual(len({stored.pop(secret) for secret in secrets}), 3)
        self.assertEqual(stored.pop("tunnel_base_domain"), "tunnel.example.com")
        self.assertEqual(set(stored.values()), {None})

    async def test_operators_see_what_each_is_for(self) -> None:
        await self.table.seed(PRODUCTION)
        rows = execute(
            self.url,
            "SELECT type, description, default_value, created_at IS NULL, updated_at IS NULL"
            " FROM config_settings WHERE key = 'tcp_port_range'",
        )
        setting = Settings.catalogue()["tcp_port_range"]
        self.assertEqual(rows, [("string", setting.description, "30000-30999", False, False)])

    async def test_a_token_from_the_environment(self) -> None:
        config = ServerConfig(Path("unused"), seed_token="given")
        await self.table.seed(config)
        self.assertEqual(self.stored()["inlets_shared_token"], "given")

    async def test_a_token_for_one_start_is_not_stored(self) -> None:
        await self.table.seed(ServerConfig(Path("unused"), token="for this start"))
        self.assertNotIn("for this start", self.stored().values())

    async def test_what_is_there_stays(self) -> None:
        there = {
            "tunnels_enabled": "false",
            "custom_domains_enabled": None,
            "inlets_shared_token": "theirs",
            "tunnel_base_domain": "theirs.example.com",
            "another_key": "x",
        }
        for key, value in there.items():
            self.store(key, value)
        await self.table.seed(ServerConfig(Path("unused"), seed_token="ours"))
        stored = self.stored()
        self.assertEqual({key: stored[key] for key in there}, there)

    async def test_an_empty_token_or_domain_is_filled_in(self) -> None:
        for empty in ("", None):
            execute(self.url, "TRUNCATE config_settings")
            self.store("inlets_shared_token", empty)
            self.store("tunnel_base_domain", empty, "")
            await self.table.seed(DEVELOPMENT)
            self.assertTrue(self.stored()["inlets_shared_token"])
            self.assertEqual(self.stored()["tunnel_base_domain"], "tunnel.localhost")

    async def test_a_default_of_the_platform_is_not_empty(self) -> None:
        self.store("tunnel_base_domain", None, "theirs.example.com")
        await self.table.seed(DEVELOPMENT)
        self.assertIsNone(self.stored()["tunnel_base_domain"])

    async def test_again_changes_nothing(self) -> None:
        await self.table.seed(DEVELOPMENT)
        stored = execute(self.url, "SELECT * FROM config_settings ORDER BY key")
        told: list[str] = []
        self.database.notified.subscribe(told.append)
        await self.table.seed(ServerConfig(Path("unused"), domain="other.localhost"))
        again = execute(self.url, "SELECT * FROM config_settings ORDER BY key")
        self.assertEqual(again, stored)
        # A notification of the seed would come before that of this statement.
        execute(self.url, "NOTIFY inletspy_config")
        while not told:
            await self.database.query("SELECT 1")
        self.assertEqual(len(told), 1)

    async def test_two_servers_at_once_agree(self) -> None:
        other = Database(self.url, reactor)
        self.addCleanup(other.stop)
        await other.start()
        tables = [self.table, SettingsTable(other)]
        await gatherResults([Deferred.fromCoroutine(t.seed(DEVELOPMENT)) for t in tables])
        tokens = [(await t.get("inlets_shared_token")).text for t in tables]
        self.assertEqual(tokens[0], tokens[1])


class ChangeTests(TableTestCase):
    async def test_set_and_reset(self) -> None:
        for value in ("true", "false"):
            await self.table.set("tunnels_enabled", value)
            self.assertEqual((await self.table.get("tunnels_enabled")).value, value)
        await self.table.reset("tunnels_enabled")
        stored = await self.table.get("tunnels_enabled")
        self.assertEqual((stored.value, stored.text), (None, "false"))

    async def test_reset_of_what_was_never_set(self) -> None:
        await self.table.reset("tunnels_enabled")
        self.assertEqual((await self.table.get("tunnels_enabled")).text, "false")

    async def test_a_changed_row_says_when(self) -> None:
        await self.table.seed(DEVELOPMENT)
        execute(self.url, "UPDATE config_settings SET updated_at = '2000-01-01'")
        await self.table.set("tunnels_enabled", "false")
        await self.table.reset("catch_all_enabled")
        rows = execute(
            self.url, "SELECT key FROM config_settings WHERE updated_at > '2000-01-01' ORDER BY key"
        )
        self.assertEqual(rows, [("catch_all_enabled",), ("tunnels_enabled",)])

    async def test_wrong_values_and_keys(self) -> None:
        for key, value in (
            ("tunnels_enabled", "yes"),
            ("tcp_port_range", "9-1"),
            ("trusted_proxies", "{}"),
            ("head_timeout_seconds", "soon"),
            ("tunnel_base_domain", "a..b"),
            ("no_such_key", "x"),
        ):
            with self.assertRaises(UsageError, msg=key):
                await self.table.set(key, value)
        with self.assertRaises(UsageError):
            await self.table.reset("another_key")
        self.assertEqual(self.stored(), {})

    async def test_all(self) -> None:
        self.store("another_key", "x")
        self.store("tunnels_enabled", "maybe")
        self.store("inlets_server_url", None, "wss://theirs.example.com")
        found = {row.setting.key: row for row in await self.table.all()}
        self.assertEqual(list(found), list(Settings.catalogue()))
        self.assertIn("must be true or false", str(found["tunnels_enabled"].problem))
        self.assertEqual(found["inlets_server_url"].text, "wss://theirs.example.com")
        self.assertIsNone(found["inlets_server_url"].problem)
        self.assertEqual(found["tcp_port_range"].text, "30000-30999")
