"""`inletspy user`, `token` and `name`, as people and scripts run them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from inletspy.config import ServerConfig
from inletspy.store.database import Database
from inletspy.store.settings import StoredSettings
from tests.admin.test_config import CommandTestCase, inletspy_command
from tests.postgres import execute, url_of_new_database
from tests.store.support import reactor


class AccountCommandTestCase(CommandTestCase):
    """With the database of a server that has started once."""

    async def asyncSetUp(self) -> None:
        """Prepare the database as a server does."""
        self.url = url_of_new_database()
        database = Database(self.url, reactor)
        await database.start()
        await database.migrate()
        settings = StoredSettings(database, Clock())
        await settings.seed(ServerConfig(Path("unused"), domain="tunnel.example.com"))
        await database.stop()

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.asyncSetUp())

    def inletspy(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `inletspy` on that database."""
        return inletspy_command(*words, INLETSPY_DATABASE=self.url)

    def do(self, *words: str) -> str:
        """Run it; what it tells a person, which must be all it says."""
        ran = self.inletspy(*words)
        self.assertEqual((ran.stdout, ran.returncode), ("", 0), ran.stderr)
        return ran.stderr

    def rows(self, *words: str) -> list[dict[str, object]]:
        """What a list says to programs."""
        ran = self.inletspy(*words, "--json")
        self.assertEqual((ran.stderr, ran.returncode), ("", 0))
        rows: list[dict[str, object]] = json.loads(ran.stdout)
        return rows


class UserTests(AccountCommandTestCase):
    def test_added_listed_removed(self) -> None:
        told = self.do("user", "add", "alice")
        self.assertIn("inletspy token create --user alice", told)
        self.do("user", "add", "u12@example.com", "--prefix", "claude-web-user-12")
        ran = self.inletspy("user", "list")
        self.assertEqual((ran.stderr, ran.returncode), ("", 0))
        lines = [line.split() for line in ran.stdout.splitlines()]
        self.assertEqual(lines[0], ["NAME", "PREFIX", "TOKENS", "NAMES", "CREATED"])
        self.assertEqual(lines[2][:4], ["u12@example.com", "claude-web-user-12", "0", "0"])
        self.do("user", "remove", "alice")
        (row,) = self.rows("user", "list")
        self.assertEqual(row["name"], "u12@example.com")
        self.assertRegex(str(row["created_at"]), r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_what_can_not_be(self) -> None:
        self.do("user", "add", "anna-b")
        for words, text in (
            (("add", "shared"), "no user can be called shared"),
            (("add", "anna"), "would share names"),
            (("add", "anna-b"), "already"),
            (("add", "x", "--prefix", "a.b"), "prefix"),
            (("remove", "nobody"), "no user 'nobody'"),
        ):
            self.assertRefused(self.inletspy("user", *words), 2, text)


class TokenTests(AccountCommandTestCase):
    async def asyncSetUp(self) -> None:
        """Add a user, too."""
        await super().asyncSetUp()
        self.do("user", "add", "alice")

    def create(self, *words: str) -> str:
        ran = self.inletspy("token", "create", "--user", "alice", *words)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        token, end, rest = ran.stdout.partition("\n")
        self.assertEqual((end, rest), ("\n", ""))
        self.assertNotIn(token, ran.stderr)
        self.assertIn(token[:12], ran.stderr)
        return token

    def test_created_listed_revoked(self) -> None:
        token = self.create()
        other = self.create(
            "--expires", "30d", "--names", "u1-*, shop", "--ports", "30000-30010",
            "--scopes", "connect,admin", "--limit", "sessions=5", "--limit", "names_per_hour=0.5",
        )  # fmt: skip
        one, two = self.rows("token", "list")
        self.assertEqual((one["token"], one["state"]), (token[:12], "good"))
        self.assertEqual((one["scopes"], one["expires_at"]), (["connect", "status"], None))
        self.assertEqual(two["scopes"], ["connect", "admin"])
        self.assertEqual((two["names"], two["ports"]), (["u1-*", "shop"], "30000-30010"))
        self.assertEqual(one["limits"], None)
        self.assertEqual(two["limits"], {"sessions": 5, "names_per_hour": 0.5})
        self.assertIn(token[:12], self.do("token", "revoke", token[:12]))
        execute(
            self.url,
            "UPDATE inletspy_tokens SET expires_at = CURRENT_TIMESTAMP WHERE prefix = %s",
            (other[:12],),
        )
        table = self.inletspy("token", "list", "--user", "alice").stdout
        self.assertEqual(
            [line.split()[:3] for line in table.splitlines()],
            [
                ["TOKEN", "USER", "STATE"],
                [token[:12], "alice", "revoked"],
                [other[:12], "alice", "expired"],
            ],
        )
        self.assertIn("sessions=5,names_per_hour=0.5", table)
        for secret in (token, other):
            self.assertNotIn(secret, table)

    def test_one_port(self) -> None:
        self.create("--ports", "30005")
        self.assertEqual(self.rows("token", "list")[0]["ports"], "30005-30005")

    def test_what_can_not_be(self) -> None:
        for words, text in (
            (("create", "--user", "nobody"), "no user 'nobody'"),
            (("create", "--user", "alice", "--expires", "soon"), "--expires: 'soon'"),
            (("create", "--user", "alice", "--expires", ""), "--expires"),
            (("create", "--user", "alice", "--names", "a.b"), "no pattern"),
            (("create", "--user", "alice", "--names", ""), "no pattern"),
            (("create", "--user", "alice", "--ports", "9-1"), "--ports must be"),
            (
                ("create", "--user", "alice", "--limit", "session=5"),
                "'session' is no limit",
            ),
            (("create", "--user", "alice", "--limit", "streams"), "must be like sessions=5"),
            (("create", "--user", "alice", "--limit", "streams=1.5"), "a whole number"),
            (("create", "--user", "alice", "--limit", "streams=nan"), "must be a number from 0"),
            (("create", "--user", "alice", "--scopes", "connect,root"), "unknown scope 'root'"),
            (("list", "--user", "nobody"), "no user 'nobody'"),
            (("revoke", "ipy_none"), "no token begins so"),
        ):
            self.assertRefused(self.inletspy("token", *words), 2, text)
        self.assertEqual(self.rows("token", "list"), [])


class NameTests(AccountCommandTestCase):
    def test_reserved_listed_released(self) -> None:
        self.do("user", "add", "alice")
        self.assertIn(
            "reserved shop for alice", self.do("name", "reserve", "shop", "--user", "alice")
        )
        self.do("name", "reserve", "blog.tunnel.example.com", "--user", "alice")
        self.do("name", "reserve", "shop.example.org", "--user", "alice")
        self.assertEqual(
            [row["name"] for row in self.rows("name", "list")],
            ["blog", "shop", "shop.example.org"],
        )
        self.do("name", "release", "blog")
        table = self.inletspy("name", "list").stdout
        self.assertEqual(
            [line.split()[:2] for line in table.splitlines()],
            [["NAME", "USER"], ["shop", "alice"], ["shop.example.org", "alice"]],
        )

    def test_what_can_not_be(self) -> None:
        self.do("user", "add", "alice")
        self.do("name", "reserve", "shop", "--user", "alice")
        for words, text in (
            (("reserve", "shop", "--user", "alice"), "reserved for alice already"),
            (("reserve", "x", "--user", "nobody"), "no user 'nobody'"),
            (("reserve", "a b", "--user", "alice"), "no name"),
            (("release", "x"), "x is not reserved"),
        ):
            self.assertRefused(self.inletspy("name", *words), 2, text)


class UnpreparedTests(CommandTestCase):
    def test_a_database_that_no_server_has_used(self) -> None:
        ran = inletspy_command("user", "list", INLETSPY_DATABASE=url_of_new_database())
        self.assertRefused(ran, 1, "start a server with it once")
