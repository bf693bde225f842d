"""The settings in force follow the database, and outlive it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from inletspy.config import ServerConfig
from inletspy.errors import StartError
from inletspy.interfaces import ISettings
from inletspy.settings import Settings
from inletspy.store.database import Database
from inletspy.store.following import RECONCILE
from inletspy.store.settings import StoredSettings
from tests.postgres import execute, own_cluster, url_of_new_database
from tests.store.support import failure_of, lines_logged, reactor

CONFIG = ServerConfig(Path("unused"))


class SettingsTestCase(TestCase):
    timeout = 60

    async def settings(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        token: str | None = None,
        revive: Callable[[], Deferred[None]] | None = None,
    ) -> StoredSettings:
        """The settings of a server that has started with a database."""
        database = Database(url, reactor, delays=lambda: repeat(0.01), revive=revive)
        self.addCleanup(database.stop)
        await database.start()
        await database.migrate()
        # Of the rounds that make up for lost notifications, only Clock's can show.
        settings = StoredSettings(database, clock or Clock(), token)
        await settings.seed(CONFIG)
        await settings.load()
        self.addCleanup(settings.stop)
        return settings

    def change(self, settings: StoredSettings) -> Deferred[tuple[Settings, Settings]]:
        """Fires with the next change, new and old."""
        changed: Deferred[tuple[Settings, Settings]] = Deferred()

        def tell(new: Settings, old: Settings) -> None:
            end()
            changed.callback((new, old))

        end = settings.subscribe(tell)
        return changed


def update(url: str, key: str, value: str | None) -> None:
    """What any other program would do."""
    execute(url, "UPDATE config_settings SET value = %s WHERE key = %s", (value, key))


class FollowTests(SettingsTestCase):
    async def test_first_reading(self) -> None:
        settings = await self.settings(url_of_new_database())
        self.assertTrue(verifyObject(ISettings, settings))
        self.assertTrue(settings.current.tunnels_enabled)
        self.assertEqual(settings.current.tunnel_base_domain, "tunnel.localhost")
        self.assertTrue(settings.current.inlets_shared_token)
        self.assertEqual(settings.current.tcp_port_range, range(30000, 31000))

    async def test_an_update_by_another_program(self) -> None:
        url = url_of_new_database()
        settings = await self.settings(url)
        changed = self.change(settings)
        update(url, "tunnels_enabled", "false")
        new, old = await changed
        self.assertEqual((new.tunnels_enabled, old.tunnels_enabled), (False, True))
        self.assertIs(settings.current, new)

    async def test_an_emptied_base_domain_falls_back(self) -> None:
        url = url_of_new_database()
        settings = await self.settings(url)
        update(url, "tunnel_base_domain", "tunnel.example.com")
        await self.change(settings)
        changed = self.change(settings)
        update(url, "tunnel_base_domain", "")
        new, _ = await changed
        self.assertEqual(new.tunnel_base_domain, "tunnel.localhost")

    async def test_delete_and_truncate(self) -> None:
        url = url_of_new_database()
        settings = await self.settings(url)
        changed = self.change(settings)
        execute(url, "DELETE FROM config_settings WHERE key = 'tunnels_enabled'")
        new, _ = await changed
        self.assertFalse(new.tunnels_enabled)
        changed = self.change(settings)
        execute(url, "TRUNCATE config_settings")
        new, _ = await changed
        self.assertEqual(new, Settings.from_rows({"tunnel_base_domain": "tunnel.localhost"}))

    async def test_null_is_the_default_that_the_row_names(self) -> None:
        url = url_of_new_database()
        settings = await self.settings(url)
        changed = self.change(settings)
        update(url, "tunnels_enabled", None)
        self.assertFalse((await changed)[0].tunnels_enabled)
        changed = self.change(settings)
        execute(
            url,
            "UPDATE config_settings SET default_value = 'true' WHERE key = 'tunnels_enabled'",
        )
        self.assertTrue((await changed)[0].tunnels_enabled)

    async def test_a_wrong_value_is_told_once_and_counts_as_the_default(self) -> None:
        url = url_of_new_database()
        settings = await self.settings(url)
        lines = lines_logged(self)
        changed = self.change(settings)
        execute(
            url,
            "UPDATE config_settings SET value = 'perhaps'"
            " WHERE key IN ('tunnels_enabled', 'status_public')",
        )
        new, _ = await changed
        self.assertEqual((new.tunnels_enabled, new.status_public), (False, False))
        for port in ("1-2", "1-3"):
            changed = self.change(settings)
            update(url, "tcp_port_range", port)
            await changed
        told = sorted(line for line in lines if "must be" in line)
        self.assertEqual(
            told,
            [
                "status_public must be true or false; using the default ('false')",
                "tunnels_enabled must be true or false; using the default ('false')",
            ],
        )

    async def test_only_a_difference_is_told(self) -> None:
        url = url_of_new_database()
        settings = await self.settings(url)
        told: list[Settings] = []
        settings.subscribe(lambda new, _old: told.append(new))
        execute(url, "UPDATE config_settings SET updated_at = CURRENT_TIMESTAMP")
        execute(url, "INSERT INTO config_settings (key, value) VALUES ('another_key', 'x')")
        changed = self.change(settings)
        update(url, "tunnels_enabled", "false")
        await changed
        self.assertEqual(len(told), 1)

    async def test_an_observer_that_fails_hurts_nobody(self) -> None:
        def fail(new: Settings, old: Settings) -> None:
            raise ZeroDivisionError

        url = url_of_new_database()
        settings = await self.settings(url)
        settings.subscribe(fail)
        for value in ("false", "true"):
            changed = self.change(settings)
            update(url, "tunnels_enabled", value)
            await changed
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    async def test_the_token_of_this_start(self) -> None:
        url = url_of_new_database()
        settings = await self.settings(url, token="of this start")
        changed = self.change(settings)
        execute(
            url,
            "UPDATE config_settings SET value = CASE key WHEN 'tunnels_enabled' THEN 'false'"
            " ELSE 'stored' END WHERE key IN ('tunnels_enabled', 'inlets_shared_token')",
        )
        new, _ = await changed
        self.assertEqual(new.inlets_shared_token, "of this start")

    async def test_a_change_that_nothing_notified_of(self) -> None:
        url = url_of_new_database()
        clock = Clock()
        settings = await self.settings(url, clock=clock)
        changed = self.change(settings)
        execute(
            url,
            "SET session_replication_role = replica;"
            " UPDATE config_settings SET value = 'false' WHERE key = 'tunnels_enabled'",
        )
        self.assertFalse(changed.called)
        clock.advance(RECONCILE)
        await changed

    async def test_no_more_after_the_end(self) -> None:
        url = url_of_new_database()
        settings = await self.settings(url)
        await settings.stop()
        database = settings._database
        told: Deferred[str] = Deferred()
        database.notified.subscribe(told.callback)
        update(url, "tunnels_enabled", "false")
        await told
        await database.query("SELECT 1")
        self.assertTrue(settings.current.tunnels_enabled)


class AwayTests(SettingsTestCase):
    async def test_kept_while_away_and_read_again_after(self) -> None:
        cluster = own_cluster(self)
        url = cluster.start()
        back: Deferred[None] = Deferred()
        settings = await self.settings(url, revive=lambda: back)
        before = settings.current
        lost: Deferred[str] = Deferred()
        settings._database.lost.subscribe(lost.callback)
        cluster.stop()
        await lost
        self.assertIs(settings.current, before)

        changed = self.change(settings)
        cluster.start()
        update(url, "tunnels_enabled", "false")
        self.assertIs(settings.current, before)
        back.callback(None)
        new, _ = await changed
        self.assertFalse(new.tunnels_enabled)

        changed = self.change(settings)
        update(url, "tunnels_enabled", "true")
        await changed

    async def test_unreadable_rows_leave_all_as_it_is(self) -> None:
        url = url_of_new_database()
        clock = Clock()
        settings = await self.settings(url, clock=clock)
        before = settings.current
        lines = lines_logged(self)
        execute(url, "ALTER TABLE config_settings RENAME TO elsewhere")
        clock.advance(RECONCILE)
        while not lines:
            await settings._database.query("SELECT 1")
        self.assertEqual(
            lines, ['can\'t read the settings: relation "config_settings" does not exist']
        )
        self.assertIs(settings.current, before)
        execute(url, "ALTER TABLE elsewhere RENAME TO config_settings")
        changed = self.change(settings)
        update(url, "tunnels_enabled", "false")
        await changed

    async def test_a_start_without_the_table(self) -> None:
        database = Database(url_of_new_database(), reactor)
        self.addCleanup(database.stop)
        await database.start()
        settings = StoredSettings(database, Clock())
        error = await failure_of(settings.seed(CONFIG), StartError)
        self.assertIn("can't store the settings", str(error))
        error = await failure_of(settings.load(), StartError)
        self.assertIn("can't read the settings", str(error))


class SeedTests(SettingsTestCase):
    async def test_what_a_start_was_told_in_vain_is_logged_without_the_value(self) -> None:
        settings = await self.settings(url_of_new_database())
        lines = lines_logged(self)
        await settings.seed(ServerConfig(Path("unused"), domain="x.localhost", seed_token="hush"))
        self.assertEqual(
            [line.split()[0] for line in lines], ["inlets_shared_token", "tunnel_base_domain"]
        )
        self.assertNotIn("hush", "".join(lines))

    async def test_nothing_to_say_when_all_is_as_told(self) -> None:
        settings = await self.settings(url_of_new_database())
        lines = lines_logged(self)
        await settings.seed(CONFIG)
        self.assertEqual(lines, [])
