"""`inletspy setup`, as people and scripts run it."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from inletspy.admin.setup import environment_text, wanted_settings
from inletspy.config import ServerConfig
from inletspy.errors import UsageError
from inletspy.settings import Settings
from tests.admin.test_config import CommandTestCase, inletspy_command
from tests.postgres import execute, own_cluster, url_of_new_database


def sourced(file: Path) -> dict[str, str]:
    """What a shell makes of an environment file."""
    ran = subprocess.run(
        ["/bin/sh", "-c", f'set -a; . "{file}"; exec env -0'],
        env={},
        capture_output=True,
        check=True,
        timeout=60,
    )
    items = (item.split("=", 1) for item in ran.stdout.decode().split("\0") if item)
    return {name: value for name, value in items if name not in ("PWD", "_", "SHLVL", "OLDPWD")}


class SetupTestCase(CommandTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.file = self.folder / "inletspy.env"
        self.url = url_of_new_database()

    def set_up(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command on a database of the test's own."""
        return inletspy_command(
            *("setup", "--data-dir", str(self.folder), *arguments),
            **{"INLETSPY_DATABASE": self.url, **environment},
        )

    def stored(self) -> dict[str, Any]:
        """The settings that have a value."""
        rows = execute(self.url, "SELECT key, value FROM config_settings WHERE value IS NOT NULL")
        return dict(rows)

    def assertSetUp(self, ran: subprocess.CompletedProcess[str]) -> None:
        self.assertEqual((ran.stderr, ran.returncode), ("", 0))
        self.assertNotIn(self.stored()["inlets_shared_token"], ran.stdout)


class NewServerTests(SetupTestCase):
    def test_development(self) -> None:
        self.assertSetUp(self.set_up())
        stored = self.stored()
        token = stored.pop("inlets_shared_token")
        self.assertGreaterEqual(len(token), 32)
        self.assertEqual(
            stored,
            {
                "tunnels_enabled": "true",
                "inlets_server_url": "ws://localhost:8090",
                "inlets_status_api_url": "http://localhost:8091",
                "tunnel_base_domain": "tunnel.localhost",
                "custom_domains_enabled": "true",
                "catch_all_enabled": "true",
            },
        )
        self.assertEqual(
            sourced(self.file),
            {
                "INLETSPY_DATA_DIR": str(self.folder),
                "INLETSPY_DATABASE": self.url,
                "INLETS_DOMAIN": "tunnel.localhost",
                "INLETS_TOKEN": token,
            },
        )

    def test_production(self) -> None:
        ran = self.set_up("--domain", "Tunnel.Example.com")
        self.assertSetUp(ran)
        stored = self.stored()
        token = stored.pop("inlets_shared_token")
        self.assertEqual(
            stored,
            {
                "tunnels_enabled": "true",
                "inlets_server_url": "wss://tunnel.example.com",
                "inlets_status_api_url": "https://tunnel.example.com",
                "tunnel_base_domain": "tunnel.example.com",
                "custom_domains_enabled": "false",
                "catch_all_enabled": "false",
            },
        )
        self.assertEqual(
            sourced(self.file),
            {
                "INLETSPY_DATA_DIR": str(self.folder),
                "INLETSPY_DATABASE": self.url,
                "INLETS_DOMAIN": "tunnel.example.com",
                "INLETSPY_PUBLIC_URL": "https://tunnel.example.com",
                "INLETS_TOKEN": token,
            },
        )
        for step in ("*.tunnel.example.com", "nginx.conf", "production.toml", "inletspy.service"):
            self.assertIn(step, ran.stdout)
        self.assertIn("tunnel 3000 --server wss://tunnel.example.com ", ran.stdout)

    def test_the_samples_that_it_names_exist(self) -> None:
        samples = Path(__file__).parents[2]
        named = re.findall(r"tap-configs/[\w.-]+", self.set_up("--domain", "example.com").stdout)
        self.assertGreater(len(named), 3)
        self.assertEqual([name for name in named if not (samples / name).exists()], [])

    def test_the_kind_may_be_said(self) -> None:
        self.assertSetUp(self.set_up("--dev", "--domain", "dev.example.com"))
        self.assertEqual(self.stored()["inlets_server_url"], "ws://dev.example.com:8090")
        self.assertNotIn("INLETSPY_PUBLIC_URL", sourced(self.file))
        self.assertSetUp(self.set_up("--prod", "--domain", "a.localhost", "--force"))
        self.assertEqual(self.stored()["inlets_server_url"], "wss://a.localhost")

    def test_ports_and_public_address(self) -> None:
        variables = {"INLETS_CONTROL_PORT": "9090", "INLETS_STATUS_PORT": "9091"}
        self.assertSetUp(self.set_up(**variables))
        self.assertEqual(self.stored()["inlets_server_url"], "ws://localhost:9090")
        self.assertEqual(self.stored()["inlets_status_api_url"], "http://localhost:9091")
        self.assertEqual(variables.items() - sourced(self.file).items(), set())
        other = {"INLETSPY_PUBLIC_URL": "https://example.com:8443"}
        self.assertSetUp(self.set_up("--domain", "example.com", "--force", **other))
        self.assertEqual(self.stored()["inlets_server_url"], "wss://example.com:8443")
        self.assertEqual(other.items() - sourced(self.file).items(), set())

    def test_a_token_of_ones_own(self) -> None:
        self.assertSetUp(self.set_up(INLETS_TOKEN="a-token-of-mine"))
        self.assertEqual(self.stored()["inlets_shared_token"], "a-token-of-mine")
        self.assertEqual(sourced(self.file)["INLETS_TOKEN"], "a-token-of-mine")

    def test_only_the_owner_can_read_what_is_written(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.assertSetUp(self.set_up())
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        self.file.chmod(0o644)
        self.assertSetUp(self.set_up("--domain", "other.localhost", "--force"))
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertEqual(os.listdir(self.folder), ["inletspy.env"])

    def test_a_file_that_others_can_read(self) -> None:
        ran = self.set_up()
        self.assertSetUp(ran)
        self.assertIn("(mode 600):", ran.stdout)
        self.file.chmod(0o644)
        ran = self.set_up()
        self.assertSetUp(ran)
        self.assertIn("(mode 600; it was 644):", ran.stdout)
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)

    def test_a_file_elsewhere(self) -> None:
        self.folder.mkdir()
        elsewhere = self.folder / "a $file"
        self.assertSetUp(self.set_up("--env-file", str(elsewhere)))
        self.assertFalse(self.file.exists())
        self.assertEqual(stat.S_IMODE(elsewhere.stat().st_mode), 0o600)


class EmbeddedTests(SetupTestCase):
    def test_a_first_start_without_anything(self) -> None:
        """The steps it prints work: a value is read from the database that it made."""
        cluster = own_cluster(self, made=False)
        self.folder = cluster.directory.parent
        self.file = self.folder / "inletspy.env"
        ran = self.set_up("--domain", "tunnel.example.com", INLETSPY_DATABASE="")
        self.assertEqual((ran.stderr, ran.returncode), ("", 0))
        self.assertFalse((self.folder / "postgres" / "postmaster.pid").exists())
        variables = sourced(self.file)
        self.assertNotIn("INLETSPY_DATABASE", variables)
        self.assertDone(
            inletspy_command("config", "get", "inlets_shared_token", "--reveal", **variables),
            f"{variables['INLETS_TOKEN']}\n",
        )
        again = self.set_up("--domain", "tunnel.example.com", INLETSPY_DATABASE="")
        self.assertDone(again, ran.stdout)


class ExistingTests(SetupTestCase):
    """What is there stays."""

    def test_again(self) -> None:
        first = self.set_up("--domain", "example.com")
        stored, text = self.stored(), self.file.read_text()
        self.assertDone(self.set_up("--domain", "example.com"), first.stdout)
        self.assertEqual((self.stored(), self.file.read_text()), (stored, text))

    def test_settings_that_were_chosen(self) -> None:
        self.set_up("--domain", "example.com")
        self.file.unlink()
        execute(
            self.url,
            "UPDATE config_settings SET value = CASE key WHEN 'tunnels_enabled' THEN 'false'"
            " ELSE 'ws://theirs' END WHERE key IN ('tunnels_enabled', 'inlets_server_url')",
        )
        before = self.stored()
        ran = self.set_up("--domain", "example.com")
        self.assertSetUp(ran)
        self.assertEqual(self.stored(), before)
        self.assertIn("'ws://theirs' (as it was, not wss://example.com)", ran.stdout)
        self.assertIn("Tunnels are disabled", ran.stdout)
        self.assertIn("config set tunnels_enabled true", ran.stdout)
        self.assertNotIn(self.url, ran.stdout)

        forced = self.set_up("--domain", "example.com", "--force")
        self.assertSetUp(forced)
        self.assertNotIn("as it was", forced.stdout)
        self.assertEqual(
            self.stored(),
            {
                **before,
                "tunnels_enabled": "true",
                "inlets_server_url": "wss://example.com",
            },
        )

    def test_a_table_of_a_platform(self) -> None:
        execute(
            self.url,
            "CREATE TABLE config_settings (key VARCHAR(255) PRIMARY KEY, value TEXT,"
            " type VARCHAR(50) NOT NULL DEFAULT 'string', description TEXT, default_value TEXT,"
            " created_at TIMESTAMP, updated_at TIMESTAMP)",
        )
        for key, value, default in (
            ("theirs", "x", None),
            ("tunnels_enabled", None, "false"),
            ("inlets_server_url", "", ""),
            ("inlets_status_api_url", None, "https://status.example.com"),
        ):
            execute(
                self.url,
                "INSERT INTO config_settings (key, value, default_value) VALUES (%s, %s, %s)",
                (key, value, default),
            )
        self.assertSetUp(self.set_up("--domain", "example.com"))
        stored = self.stored()
        self.assertEqual((stored["theirs"], stored["tunnels_enabled"]), ("x", "true"))
        self.assertEqual(stored["inlets_server_url"], "wss://example.com")
        self.assertNotIn("inlets_status_api_url", stored)

    def test_another_domain(self) -> None:
        self.set_up("--domain", "example.com")
        before = self.stored()
        refused = self.set_up("--domain", "other.example.com")
        self.assertRefused(refused, 1, "'example.com' already", "--force")
        self.assertEqual(self.stored(), before)
        self.assertSetUp(self.set_up("--domain", "other.example.com", "--force"))
        after = self.stored()
        self.assertEqual(after["tunnel_base_domain"], "other.example.com")
        self.assertEqual(after["inlets_shared_token"], before["inlets_shared_token"])

    def test_a_file_with_something_else(self) -> None:
        self.folder.mkdir()
        for there in ("file", "link to nowhere", "directory"):
            if there == "file":
                self.file.write_bytes(b"precious\xff")
            elif there == "directory":
                self.file.mkdir()
            else:
                self.file.symlink_to(self.folder / "nowhere")
            refused = self.set_up()
            self.assertRefused(refused, 1, f"{self.file} is there already", "--force", "--env-file")
            self.assertEqual(self.stored(), {})
            if there == "file":
                self.assertEqual(self.file.read_bytes(), b"precious\xff")
            if there == "directory":
                forced = self.set_up("--force")
                self.assertRefused(forced, 1, f"can't write {self.file}: Is a directory")
                self.assertEqual(os.listdir(self.folder), ["inletspy.env"])
            else:
                self.file.unlink()


class RefusedTests(SetupTestCase):
    def test_wrong_options(self) -> None:
        for arguments, expected in (
            (("--domain", "a..b"), "--domain"),
            (("--domain", "example.com/x"), "--domain"),
            (("--prod",), "--prod needs the domain"),
            (("--database", "mysql://u:hush@h/x"), "--database: must be a URL"),
        ):
            refused = self.set_up(*arguments)
            self.assertRefused(refused, 2, expected)
            self.assertFalse(self.folder.exists())
        both = self.set_up("--dev", "--prod")
        self.assertEqual((both.stdout, both.returncode), ("", 2))

    def test_places_where_nothing_can_be(self) -> None:
        nowhere = self.folder / "no" / "such.env"
        self.assertRefused(self.set_up("--env-file", str(nowhere)), 1, f"can't write {nowhere}")
        refused = self.set_up("--data-dir", "/proc/inletspy")
        self.assertRefused(refused, 1, "can't use the data directory /proc/inletspy")

    def test_a_database_that_is_away(self) -> None:
        refused = self.set_up(INLETSPY_DATABASE="postgresql://u:hush@127.0.0.1:1/x")
        self.assertRefused(refused, 1, "can't reach the database x on 127.0.0.1:1")
        self.assertFalse(self.file.exists())


class RunningServerTests(SetupTestCase):
    def test_the_database_that_it_uses(self) -> None:
        self.folder.mkdir()
        (self.folder / "server.json").write_text(json.dumps({"database": self.url}))
        self.assertSetUp(self.set_up(INLETSPY_DATABASE=""))
        self.assertEqual(sourced(self.file)["INLETSPY_DATABASE"], self.url)


class ContentTests(TestCase):
    def test_all_that_is_wanted_is_allowed(self) -> None:
        for development in (True, False):
            for key, value in wanted_settings(ServerConfig(Path("/d")), development).items():
                Settings.catalogue()[key].parse(value)

    def test_shells_read_values_as_they_are(self) -> None:
        odd = "a $HOME `id` $(id) \"'\\& é;#*~"
        config = ServerConfig(Path(f"/{odd}"), database=f"postgresql://{odd}")
        file = Path(self.mktemp())
        file.write_text(environment_text(config, True, "to$ken'"))
        read = sourced(file.absolute())
        self.assertEqual(read["INLETSPY_DATA_DIR"], f"/{odd}")
        self.assertEqual(read["INLETSPY_DATABASE"], f"postgresql://{odd}")
        self.assertEqual(read["INLETS_TOKEN"], "to$ken'")

    def test_what_no_line_can_hold(self) -> None:
        for path, token in (("/a\nINLETS_TOKEN=b", "token"), ("/a", "hush\n")):
            config = ServerConfig(Path(path))
            error = self.assertRaises(UsageError, environment_text, config, True, token)
            self.assertNotIn("hush", str(error))
