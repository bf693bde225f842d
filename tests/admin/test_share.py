"""`inletspy share`, as people and scripts run it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from inletspy.config import ServerConfig
from inletspy.policy.links import link_end, link_id
from inletspy.policy.private import read_share_token
from inletspy.store.accounts_table import AccountsTable
from inletspy.store.database import Database
from inletspy.store.settings import StoredSettings
from tests.admin.test_config import CommandTestCase, inletspy_command
from tests.postgres import execute, url_of_new_database
from tests.store.support import reactor

DOMAIN = "tunnel.example.com"


class ShareTests(CommandTestCase):
    """With the database of a server that has started once, and says where it is."""

    async def asyncSetUp(self) -> None:
        """Prepare the database as a server does."""
        self.url = url_of_new_database()
        database = Database(self.url, reactor)
        await database.start()
        await database.migrate()
        await StoredSettings(database, Clock()).seed(ServerConfig(Path("unused"), domain=DOMAIN))
        await AccountsTable(database).add_user("ann")
        await AccountsTable(database).add_user("bob")
        await AccountsTable(database).reserve_name("shop", "bob")
        await database.stop()
        ((self.key,),) = execute(
            self.url, "SELECT value FROM config_settings WHERE key = 'link_signing_key'"
        )
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.describe(domain=DOMAIN, public_url=f"https://{DOMAIN}:8443")

    def describe(self, **content: str) -> None:
        """Have a server say this of itself."""
        (self.folder / "server.json").write_text(json.dumps(content), encoding="utf-8")

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.asyncSetUp())

    def share(self, *arguments: str) -> tuple[str, str, str]:
        """The address and the token of a link, and what was said besides."""
        ran = inletspy_command(
            "share",
            *arguments,
            INLETSPY_DATABASE=self.url,
            INLETSPY_DATA_DIR=str(self.folder),
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        match = re.fullmatch(r"(https?://\S+)/\?tunnel_token=(\S+)\n", ran.stdout)
        assert match is not None, ran.stdout
        return match[1], match[2], ran.stderr

    def test_a_link(self) -> None:
        before = int(time.time())
        address, token, said = self.share("app", "--expires", "30m")
        self.assertEqual(address, f"https://app.{DOMAIN}:8443")
        end = link_end(token.encode(), self.key, f"app.{DOMAIN}", "shared", time.time())
        assert end is not None
        self.assertTrue(before + 1800 <= end <= time.time() + 1800)
        self.assertIn("good until ", said)
        self.assertNotIn(token, said)
        self.assertEqual(self.noted(), [(link_id(token), "shared", f"app.{DOMAIN}", end)])

    def noted(self) -> list[tuple[object, ...]]:
        """The links that are in the database."""
        return execute(
            self.url,
            "SELECT id, owner, target, extract(epoch FROM expires_at)::int FROM inletspy_links",
        )

    def token(self, *arguments: str) -> tuple[str, str]:
        """A share token, and what was said besides."""
        ran = inletspy_command(
            *("share", "--private", *arguments),
            INLETSPY_DATABASE=self.url,
            INLETSPY_DATA_DIR=str(self.folder),
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout.strip(), ran.stderr

    def test_a_share_token(self) -> None:
        before = int(time.time())
        token, said = self.token("private:Db", "--user", "ann", "--expires", "30m")
        leave = read_share_token(token, self.key, time.time())
        assert leave is not None
        self.assertEqual(leave.service, ("ann", "db"))
        self.assertTrue(before + 1800 <= leave.end <= time.time() + 1800)
        self.assertIn("while ann serves it", said)
        self.assertNotIn(token, said)
        self.assertEqual(self.noted(), [(link_id(token), "ann", "private:db", leave.end)])

    def test_whose_private_service_it_is(self) -> None:
        for words, status, text in (
            (("db",), 2, "say whose service db is, with --user U or --user shared"),
            (("db", "--user", "carol"), 2, "there is no user carol"),
            (("a.b",), 2, "'a.b' is no name"),
            (("https://db",), 2, "is no name"),
        ):
            ran = inletspy_command(
                *("share", "--private", *words),
                INLETSPY_DATABASE=self.url,
                INLETSPY_DATA_DIR=str(self.folder),
            )
            self.assertEqual((ran.returncode, ran.stdout), (status, ""))
            self.assertIn(text, ran.stderr)

    def test_without_users_it_is_the_shared_tokens(self) -> None:
        execute(self.url, "DELETE FROM inletspy_users")
        leave = read_share_token(self.token("db")[0], self.key, time.time())
        assert leave is not None
        self.assertEqual(leave.service, ("shared", "db"))

    def test_whose_it_is(self) -> None:
        for name, owner in (("ann-3000", "ann"), ("shop", "bob"), ("annex", "shared")):
            _, token, _ = self.share(name)
            host = f"{name}.{DOMAIN}"
            self.assertIsNotNone(link_end(token.encode(), self.key, host, owner, time.time()))

    async def test_a_name_that_several_may_serve(self) -> None:
        database = Database(self.url, reactor)
        await database.start()
        table = AccountsTable(database)
        await table.create_token("ann", names=["app*"])
        await table.create_token("bob", names=["ap*"])
        await database.stop()
        ran = await deferToThread(
            inletspy_command,
            *("share", f"https://app.{DOMAIN}"),
            INLETSPY_DATABASE=self.url,
            INLETSPY_DATA_DIR=str(self.folder),
        )
        self.assertRefused(ran, 2, "and ann, bob may serve it", "--user U or --user shared")
        for words, owner in (
            (("apply", "--user", "ann"), "ann"),
            (("ann-app",), "ann"),  # by the prefix
            (("shop",), "bob"),
            (("web",), "shared"),  # nobody else's tokens are good for it
        ):
            _, token, _ = await deferToThread(self.share, *words)
            host = f"{words[0]}.{DOMAIN}"
            self.assertIsNotNone(link_end(token.encode(), self.key, host, owner, time.time()))

    def test_for_somebody_else(self) -> None:
        for words, owner in (
            (("shop",), "bob"),
            (("shop", "--user", "ann"), "ann"),
            (("app", "--user", "bob"), "bob"),
            (("app", "--user", "shared"), "shared"),
        ):
            _, token, said = self.share(*words)
            host = f"{words[0]}.{DOMAIN}"
            self.assertIsNotNone(link_end(token.encode(), self.key, host, owner, time.time()))
            self.assertIn(f"while {owner} serves it", said)
        url = f"https://app.{DOMAIN}"
        ran = inletspy_command("share", url, "--user", "eve", INLETSPY_DATABASE=self.url)
        self.assertRefused(ran, 2, "there is no user eve")

    def test_ways_to_name_it(self) -> None:
        for name, address in (
            ("App", f"https://app.{DOMAIN}:8443"),
            (f"app.{DOMAIN}", f"https://app.{DOMAIN}:8443"),
            ("app.example.org", "https://app.example.org:8443"),
            (f"http://app.{DOMAIN}", f"http://app.{DOMAIN}"),
            (f"https://app.{DOMAIN}:444/", f"https://app.{DOMAIN}:444"),
        ):
            self.assertEqual(self.share(name)[0], address)

    def test_without_a_server(self) -> None:
        (self.folder / "server.json").unlink()
        self.assertEqual(self.share(f"https://app.{DOMAIN}")[0], f"https://app.{DOMAIN}")
        ran = inletspy_command(
            "share", "app", INLETSPY_DATABASE=self.url, INLETSPY_DATA_DIR=str(self.folder)
        )
        self.assertRefused(ran, 1, "give all of it, like https://app.tunnel.example.com")

    def test_nonsense(self) -> None:
        for words, status, text in (
            (("app", "--expires", "2"), 2, "--expires: '2' is no span of time"),
            (("app", "--expires", "91d"), 2, "90 days at most"),
            (("",), 2, "no public address"),
            (("-a",), 2, ""),
            (("a b",), 2, "no public address"),
            (("tcp://app",), 2, "no public address"),
            (("https://app/x",), 2, "no public address"),
            (("https://app:99999",), 2, "no public address"),
        ):
            ran = inletspy_command("share", *words, INLETSPY_DATABASE=self.url)
            self.assertEqual((ran.stdout, ran.returncode), ("", status), ran.stderr)
            self.assertIn(text, ran.stderr)
        execute(self.url, "UPDATE config_settings SET value = NULL WHERE key = 'link_signing_key'")
        ran = inletspy_command("share", "app", INLETSPY_DATABASE=self.url)
        self.assertRefused(ran, 1, "there is no key to sign links with")

    def test_a_key_that_the_server_does_not_take(self) -> None:
        execute(
            self.url,
            "UPDATE config_settings SET value = 'short-key' WHERE key = 'link_signing_key'",
        )
        for words in ((f"https://app.{DOMAIN}",), ("db", "--private", "--user", "ann")):
            ran = inletspy_command("share", *words, INLETSPY_DATABASE=self.url)
            self.assertRefused(ran, 1, "32 characters", "inletspy config set link_signing_key -")
            self.assertNotIn("short-key", ran.stderr)
