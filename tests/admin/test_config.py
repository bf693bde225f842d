"""`inletspy config`, as people and scripts run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

import inletspy
from inletspy.config import ServerConfig
from inletspy.settings import Settings
from inletspy.store.cluster import Cluster
from inletspy.store.database import Database
from inletspy.store.postmaster import running_url
from inletspy.store.settings import StoredSettings
from tests.postgres import execute, own_cluster, url_of_new_database
from tests.store.support import reactor

TIMEOUT = 60

#: Nothing of these may decide where the command under test looks.
OURS = ("INLETS", "PG", "XDG_", "HOME", "NO_COLOR", "FORCE_COLOR")


def inletspy_command(
    *arguments: str, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    return subprocess.run(
        [sys.executable, "-m", "inletspy.admin.main", *arguments],
        input=stdin,
        env={**inherited, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


class CommandTestCase(TestCase):
    timeout = TIMEOUT

    def assertDone(self, ran: subprocess.CompletedProcess[str], output: str) -> None:
        self.assertEqual((ran.stdout, ran.stderr, ran.returncode), (output, "", 0))

    def assertRefused(
        self, ran: subprocess.CompletedProcess[str], status: int, *expected: str
    ) -> None:
        """One line that says what is wrong, and nothing else."""
        self.assertEqual((ran.stdout, ran.returncode), ("", status), ran.stderr)
        self.assertTrue(ran.stderr.startswith("inletspy: "), ran.stderr)
        self.assertEqual(len(ran.stderr.splitlines()), 1, ran.stderr)
        for text in expected:
            self.assertIn(text, ran.stderr)


class ConfigTests(CommandTestCase):
    """With the database of a server that has started once."""

    async def asyncSetUp(self) -> None:
        """Prepare the database as a server does."""
        self.url = url_of_new_database()
        database = Database(self.url, reactor)
        await database.start()
        await database.migrate()
        settings = StoredSettings(database, Clock())
        await settings.seed(ServerConfig(Path("unused"), seed_token="hush-hush"))
        await database.stop()

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.asyncSetUp())

    def run_config(
        self, *arguments: str, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `inletspy config` on that database."""
        return inletspy_command(
            "config", *arguments, stdin=stdin, INLETSPY_DATABASE=self.url, **environment
        )

    def test_get(self) -> None:
        self.assertDone(self.run_config("get", "tunnels_enabled"), "true\n")
        self.assertDone(self.run_config("get", "tcp_port_range"), "30000-30999\n")
        self.assertDone(self.run_config("get", "inlets_server_url"), "\n")

    def test_set_and_reset(self) -> None:
        self.assertDone(
            self.run_config("set", "tcp_port_range", "4000-4999"), "tcp_port_range = 4000-4999\n"
        )
        self.assertDone(self.run_config("get", "tcp_port_range"), "4000-4999\n")
        self.assertDone(
            self.run_config("reset", "tcp_port_range"), "tcp_port_range = 30000-30999 (default)\n"
        )
        self.assertDone(self.run_config("get", "tcp_port_range"), "30000-30999\n")

    def test_secrets_are_shown_on_demand_only(self) -> None:
        key = "inlets_shared_token"
        self.assertDone(self.run_config("get", key), "********\n")
        self.assertDone(self.run_config("get", key, "--reveal"), "hush-hush\n")
        for form in ((), ("-v",), ("--json",)):
            self.assertNotIn("hush", self.run_config("list", *form).stdout)
            self.assertIn("hush", self.run_config("list", "--reveal", *form).stdout)
        execute(
            self.url,
            "UPDATE config_settings SET default_value = 'hush', value = NULL WHERE key = %s",
            (key,),
        )
        for form in ((), ("-v",), ("--json",)):
            self.assertNotIn("hush", self.run_config("list", *form).stdout)
        execute(
            self.url,
            "UPDATE config_settings SET default_value = '' WHERE key = %s",
            (key,),
        )
        self.assertDone(self.run_config("set", key, "-", stdin="new"), f"{key} = ********\n")

    def test_secrets_can_not_be_emptied(self) -> None:
        ran = self.run_config("set", "inlets_shared_token", "-", stdin="\n")
        self.assertRefused(ran, 2, "inlets_shared_token must not be empty: nobody could connect")
        ran = self.run_config("set", "link_signing_key", "-", stdin="\n")
        self.assertRefused(ran, 2, "link_signing_key must not be empty\n")

    def test_secrets_are_not_taken_from_the_command_line(self) -> None:
        for key in ("inlets_shared_token", "link_signing_key", "session_signing_key"):
            ran = self.run_config("set", key, "hushhush" * 8)
            self.assertRefused(ran, 2, f"`inletspy config set {key} -`")
            self.assertNotIn("hush", ran.stderr)
            self.assertNotIn("hushhush", self.run_config("get", key, "--reveal").stdout)

    def test_a_token_without_default_is_not_reset(self) -> None:
        key = "inlets_shared_token"
        ran = self.run_config("reset", key)
        self.assertRefused(ran, 2, f"inletspy config set {key} -", "shared_token_enabled false")
        self.assertDone(self.run_config("get", key, "--reveal"), "hush-hush\n")
        execute(
            self.url,
            "UPDATE config_settings SET default_value = 'theirs' WHERE key = %s",
            (key,),
        )
        self.assertDone(self.run_config("reset", key), f"{key} = ******** (default)\n")
        self.assertDone(self.run_config("get", key, "--reveal"), "theirs\n")

    def test_a_value_from_standard_input(self) -> None:
        key = "inlets_shared_token"
        self.assertDone(self.run_config("set", key, "-", stdin="piped\n"), f"{key} = ********\n")
        self.assertDone(self.run_config("get", key, "--reveal"), "piped\n")

    def test_list(self) -> None:
        lines = self.run_config("list").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["KEY", "VALUE"])
        self.assertEqual([line.split()[0] for line in lines[1:]], list(Settings.catalogue()))
        rows = {line.split()[0]: line.split()[1:] for line in lines}
        self.assertEqual(rows["tunnels_enabled"], ["true"])
        self.assertEqual(rows["status_public"], ["false", "default"])

    def test_list_verbose(self) -> None:
        lines = self.run_config("list", "-v").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["KEY", "VALUE", "TYPE", "DEFAULT", "DESCRIPTION"])
        setting = Settings.catalogue()["tunnels_enabled"]
        [line] = [line for line in lines if line.startswith("tunnels_enabled ")]
        self.assertEqual(line.split()[1:4], ["true", "boolean", "false"])
        self.assertTrue(line.endswith(setting.description))

    def test_a_reader_that_has_seen_enough(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as output:
            ran = subprocess.run(
                [sys.executable, "-m", "inletspy.admin.main", "config", "list", "--json"],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "INLETSPY_DATABASE": self.url,
                },
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                timeout=TIMEOUT,
            )
        self.assertEqual((ran.stderr, ran.returncode), ("", 0))

    def test_output_that_can_not_be_written(self) -> None:
        for command in (("config", "list", "--json"), ("config", "get", "tcp_port_range")):
            with open("/dev/full", "w") as output:
                ran = subprocess.run(
                    [sys.executable, "-m", "inletspy.admin.main", *command],
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(sys.path),
                        "INLETSPY_DATABASE": self.url,
                    },
                    stdout=output,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=TIMEOUT,
                )
            line = "inletspy: can't write to standard output: No space left on device\n"
            self.assertEqual((ran.stderr, ran.returncode), (line, 1))

    def test_list_json(self) -> None:
        rows = json.loads(self.run_config("list", "--json").stdout)
        self.assertEqual([row["key"] for row in rows], list(Settings.catalogue()))
        self.assertEqual(
            rows[0],
            {
                "key": "tunnels_enabled",
                "value": "true",
                "type": "boolean",
                "default": "false",
                "description": Settings.catalogue()["tunnels_enabled"].description,
                "is_default": False,
                "secret": False,
                "problem": None,
            },
        )

    def test_colours_on_a_terminal_only(self) -> None:
        self.assertNotIn("\x1b", self.run_config("list").stdout)
        self.assertIn("\x1b[1mKEY", self.run_config("list", FORCE_COLOR="1", TERM="xterm").stdout)

    def test_what_others_stored_wrongly(self) -> None:
        execute(
            self.url,
            "UPDATE config_settings SET value = E'a\\nb\\x1b[2J' WHERE key = 'tunnels_enabled'",
        )
        listed = self.run_config("list").stdout
        self.assertRegex(listed, r"a\\nb\\x1b\[2J +not valid")
        got = self.run_config("get", "tunnels_enabled")
        self.assertEqual((got.stdout, got.returncode), ("false\n", 0))
        self.assertEqual(
            got.stderr,
            "inletspy: tunnels_enabled must be true or false; the default is in force\n",
        )

    def test_keys_of_the_platform_are_not_ours(self) -> None:
        execute(self.url, "INSERT INTO config_settings (key, value) VALUES ('theirs', 'hidden')")
        self.assertNotIn("theirs", self.run_config("list", "-v").stdout)
        for action in (("get", "theirs"), ("set", "theirs", "x"), ("reset", "theirs")):
            self.assertRefused(self.run_config(*action), 2, "unknown key 'theirs'")
        rows = execute(self.url, "SELECT value FROM config_settings WHERE key = 'theirs'")
        self.assertEqual(rows, [("hidden",)])

    def test_an_unknown_key(self) -> None:
        ran = self.run_config("set", "tunnel_enabled", "true")
        self.assertRefused(ran, 2, "unknown key 'tunnel_enabled'; did you mean tunnels_enabled?")

    def test_values_of_the_wrong_type(self) -> None:
        for key, value, expected in (
            ("tunnels_enabled", "yes", "tunnels_enabled must be true or false"),
            ("head_timeout_seconds", "-1", "must be above 0"),
            ("trusted_proxies", '["10.0.0.0/99"]', "trusted_proxies"),
            ("cors_allowed_origins", "[", "must be valid JSON"),
        ):
            self.assertRefused(self.run_config("set", key, value), 2, expected)

    async def test_a_running_server_hears_of_it(self) -> None:
        database = Database(self.url, reactor)
        self.addCleanup(database.stop)
        await database.start()
        settings = StoredSettings(database, Clock())
        await settings.load()
        self.addCleanup(settings.stop)
        changed: Deferred[bool] = Deferred()
        settings.subscribe(lambda new, _old: changed.callback(new.tunnels_enabled))
        ran = await deferToThread(self.run_config, "set", "tunnels_enabled", "false")
        self.assertDone(ran, "tunnels_enabled = false\n")
        self.assertFalse(await changed)


class LocationTests(CommandTestCase):
    """Which database is meant."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def embedded(self) -> Cluster:
        """A data directory with an embedded database, not running, with settings in it."""
        cluster = own_cluster(self)
        url = cluster.start()
        execute(
            url,
            "CREATE TABLE config_settings (key VARCHAR(255) PRIMARY KEY, value TEXT, type TEXT,"
            " description TEXT, default_value TEXT, created_at TIMESTAMP, updated_at TIMESTAMP)",
        )
        cluster.stop()
        return cluster

    def test_an_embedded_one_that_does_not_run(self) -> None:
        cluster = self.embedded()
        options = ("--data-dir", str(cluster.directory.parent))
        ran = inletspy_command("config", "set", "tunnels_enabled", "true", *options)
        self.assertDone(ran, "tunnels_enabled = true\n")
        self.assertIsNone(running_url(cluster.directory))
        ran = inletspy_command(*options, "config", "get", "tunnels_enabled")
        self.assertDone(ran, "true\n")

    def test_an_embedded_one_that_runs_stays_running(self) -> None:
        cluster = self.embedded()
        url = cluster.start()
        folder = cluster.directory.parent
        (folder / "server.json").write_text('{"database": "embedded"}')
        options = ("--data-dir", str(folder))
        ran = inletspy_command("config", "set", "tunnels_enabled", "true", *options)
        self.assertDone(ran, "tunnels_enabled = true\n")
        self.assertEqual(running_url(cluster.directory), url)
        self.assertEqual(execute(url, "SELECT value FROM config_settings"), [("true",)])

    def test_the_default_directory(self) -> None:
        cluster = self.embedded()
        (self.folder / "inletspy").symlink_to(cluster.directory.parent)
        ran = inletspy_command("config", "get", "tunnels_enabled", XDG_STATE_HOME=str(self.folder))
        self.assertDone(ran, "false\n")

    def test_the_one_that_the_running_server_names(self) -> None:
        url = url_of_new_database()
        (self.folder / "server.json").write_text(json.dumps({"database": url}))
        ran = inletspy_command("config", "list", INLETSPY_DATA_DIR=str(self.folder))
        self.assertRefused(ran, 1, "lacks what this version needs", url.split("/")[3].split("?")[0])

    def test_option_over_environment_over_directory(self) -> None:
        (self.folder / "server.json").write_text('{"database": "postgresql:///c?host=/nowhere"}')
        arguments = ["config", "list", "--data-dir", str(self.folder)]
        self.assertRefused(inletspy_command(*arguments), 1, "c on /nowhere")
        environment = {"INLETSPY_DATABASE": "postgresql:///b?host=/nowhere"}
        self.assertRefused(inletspy_command(*arguments, **environment), 1, "b on /nowhere")
        arguments += ["--database", "postgresql:///a?host=/nowhere"]
        self.assertRefused(inletspy_command(*arguments, **environment), 1, "a on /nowhere")

    def test_the_one_of_a_configuration_file(self) -> None:
        file = self.folder / "server.toml"
        file.write_text('database = "postgresql:///d?host=/nowhere"\ncontrol-port = 1\n')
        ran = inletspy_command("config", "list", INLETSPY_CONFIG=str(file))
        self.assertRefused(ran, 1, "d on /nowhere")

    def test_nothing_there(self) -> None:
        ran = inletspy_command("config", "list", "--data-dir", str(self.folder))
        self.assertRefused(ran, 1, str(self.folder), "--data-dir", "--database", "twistd")
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_damaged_server_json(self) -> None:
        for content in ("", "[]", '{"database": 5}', "\0"):
            (self.folder / "server.json").write_text(content)
            ran = inletspy_command("config", "list", "--data-dir", str(self.folder))
            self.assertRefused(ran, 1, "no server has run")

    def test_a_database_that_refuses(self) -> None:
        url = url_of_new_database()
        execute(url, "CREATE TABLE config_settings (key TEXT)")
        self.assertRefused(
            inletspy_command("config", "list", "--database", url), 1, "the database refuses: column"
        )

    def test_passwords_stay_out_of_messages(self) -> None:
        for url in (
            "postgresql://u:hush@127.0.0.1:1/x",
            f"postgresql://u:hush@{quote('/nowhere', safe='')}/x",
            "postgresql://u:hush/x@h/x",
            "mysql://u:hush@h/x",
        ):
            ran = inletspy_command("config", "list", "--database", url)
            self.assertIn(ran.returncode, (1, 2))
            self.assertEqual(len(ran.stderr.splitlines()), 1, ran.stderr)
            self.assertNotIn("hush", ran.stderr)


class UsageTests(CommandTestCase):
    def test_version(self) -> None:
        self.assertDone(inletspy_command("--version"), f"inletspy {inletspy.__version__}\n")

    def test_help(self) -> None:
        for arguments in (("--help",), ("config", "--help"), ("config", "set", "--help")):
            ran = inletspy_command(*arguments)
            self.assertEqual((ran.stderr, ran.returncode), ("", 0))
        self.assertIn(
            "inletspy config set tunnels_enabled false", inletspy_command("config", "-h").stdout
        )

    def test_called_in_a_wrong_way(self) -> None:
        for arguments in (
            (),
            ("config",),
            ("config", "get"),
            ("nonsense",),
            ("config", "set", "x"),
        ):
            ran = inletspy_command(*arguments)
            self.assertEqual((ran.stdout, ran.returncode), ("", 2))
            self.assertIn("usage: inletspy", ran.stderr)
