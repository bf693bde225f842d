"""What a server is told at its start, and what rows of the database stand for."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from inletspy.config import (
    DEFAULT_DOMAIN,
    ServerConfig,
    Settings,
    default_data_dir,
    is_development,
    parse_port_range,
    read_token_file,
    setting_named,
)
from inletspy.errors import UsageError


class ServerConfigTests(SynchronousTestCase):
    def load(
        self, environ: Mapping[str, str] | None = None, /, **options: str | None
    ) -> ServerConfig:
        given = {name.replace("_", "-"): text for name, text in options.items()}
        return ServerConfig.load(given, {"HOME": "/home/me", **(environ or {})})

    def file(self, text: str | bytes, name: str = "config.toml") -> str:
        path = Path(self.mktemp())
        path.mkdir()
        content = text.encode() if isinstance(text, str) else text
        (path / name).write_bytes(content)
        return str(path / name)

    def assertWrong(
        self, words: str, environ: Mapping[str, str] | None = None, /, **options: str
    ) -> None:
        error = self.assertRaises(UsageError, self.load, environ, **options)
        self.assertIn(words, str(error))
        self.assertEqual(len(str(error).splitlines()), 1)

    def test_defaults(self) -> None:
        config = self.load()
        self.assertEqual(config, ServerConfig(Path("/home/me/.local/state/inletspy")))
        self.assertEqual(
            (config.control_port, config.data_port, config.status_port), (8090, 8080, 8091)
        )
        self.assertEqual((config.domain, config.interface), (DEFAULT_DOMAIN, ""))
        self.assertIsNone(config.database)

    def test_every_option(self) -> None:
        token = self.file(" s3cret \n", "token")
        config = self.load(
            data_dir="/srv/state",
            database="postgres://me@db/x",
            domain="Tunnel.Example.COM.",
            interface="127.0.0.1",
            control_port="1",
            data_port="0",
            status_port="65535",
            control="tcp:1",
            data="unix:/a",
            status="tcp:2",
            public_url="HTTPS://tunnel.example.com:8443/",
            token_file=token,
            access_log="-",
        )
        self.assertEqual(
            config,
            ServerConfig(
                data_dir=Path("/srv/state"),
                database="postgres://me@db/x",
                domain="tunnel.example.com",
                interface="127.0.0.1",
                control_port=1,
                data_port=0,
                status_port=65535,
                control="tcp:1",
                data="unix:/a",
                status="tcp:2",
                public_url="https://tunnel.example.com:8443",
                token="s3cret",
                access_log="-",
            ),
        )

    def test_option_over_environment_over_file(self) -> None:
        path = self.file('domain = "file.example"\ndata-port = 3\ncontrol-port = "3"')
        environ = {"INLETS_DOMAIN": "env.example", "INLETS_CONTROL_PORT": "2"}
        config = self.load(environ, config=path, domain="option.example", status_port=None)
        self.assertEqual(
            (config.domain, config.control_port, config.data_port, config.status_port),
            ("option.example", 2, 3, 8091),
        )

    def test_file_named_by_the_environment(self) -> None:
        path = self.file("data-port = 3")
        self.assertEqual(self.load({"INLETSPY_CONFIG": path}).data_port, 3)

    def test_every_variable(self) -> None:
        token = self.file("s3cret", "token")
        values = {
            "data-dir": "/srv",
            "database": "postgresql:///x",
            "domain": "example.com",
            "interface": "::1",
            "control-port": "11",
            "data-port": "12",
            "status-port": "13",
            "control": "tcp:1",
            "data": "tcp:2",
            "status": "tcp:3",
            "public-url": "http://example.com",
            "token-file": token,
            "access-log": "/log",
        }
        for name, variables in ServerConfig.ENVIRONMENT.items():
            for variable in variables:
                if name == "config":
                    continue
                by_variable = self.load({variable: values[name]})
                self.assertEqual(by_variable, self.load(**{name.replace("-", "_"): values[name]}))
                self.assertNotEqual(by_variable, self.load())

    def test_empty_variable_is_none(self) -> None:
        environ = {
            variable: "" for names in ServerConfig.ENVIRONMENT.values() for variable in names
        }
        self.assertEqual(self.load({**environ, "INLETS_TOKEN": ""}), self.load())

    def test_first_of_two_variables(self) -> None:
        environ = {"INLETS_STATUS_PORT": "1", "STATUS_PORT": "2"}
        self.assertEqual(self.load(environ).status_port, 1)

    def test_token_of_the_environment_is_a_seed(self) -> None:
        config = self.load({"INLETS_TOKEN": " s3cret\n"})
        self.assertEqual((config.token, config.seed_token), (None, "s3cret"))
        for wrong in ("two words", "a\tb", "schl\u00fcssel", "a\x7fb"):
            self.assertWrong("INLETS_TOKEN: must be printable", {"INLETS_TOKEN": wrong})

    def test_wrong_ports(self) -> None:
        for text in ("", "-1", "65536", "abc", "80 ", "8e1", "0x50", "٣", "9" * 5000):
            for option in ("control_port", "data_port", "status_port"):
                name = option.replace("_", "-")
                self.assertWrong(f"--{name}: must be a port, 0 to 65535", **{option: text})
        self.assertWrong("INLETS_DATA_PORT: must be a port", {"INLETS_DATA_PORT": "x"})

    def test_wrong_domain(self) -> None:
        for text in ("a..b", "-a", "a" * 64, "a b", "a_b", "*.example.com", "é.example"):
            self.assertWrong("--domain: ", domain=text)
        self.assertWrong("INLETS_DOMAIN: ", {"INLETS_DOMAIN": "-a"})
        self.assertEqual(self.load(domain="").domain, DEFAULT_DOMAIN)

    def test_wrong_public_url(self) -> None:
        for text in (
            "",
            "tunnel.example.com",
            "ftp://a.example",
            "https://",
            "https://a.example/path",
            "https://a.example?x",
            "https://a.example#x",
            "https://me@a.example",
            "https://a.example:0",
            "https://a.example:65536",
            "https://a.example:x",
            "https://a b",
            "https://a..b",
            "https://[::1",
        ):
            self.assertWrong("--public-url: must be an address like", public_url=text)

    def test_wrong_database(self) -> None:
        for text in ("mysql://a/b", "dbname=x", "/var/run"):
            self.assertWrong("--database: must be a URL like postgresql://", database=text)
        error = self.assertRaises(UsageError, self.load, database="mysql://me:s3cret@db/x")
        self.assertNotIn("s3cret", str(error))

    def test_nothing_where_something_is_needed(self) -> None:
        for option in ("data_dir", "database", "control", "data", "status", "token_file"):
            self.assertWrong(f"--{option.replace('_', '-')}: must be some text", **{option: ""})

    def test_token_file(self) -> None:
        for content, words in (
            (b"", "is empty"),
            (b" \n", "is empty"),
            (b"two words", "printable ASCII"),
            (b"\xff\xfe", "not text"),
        ):
            self.assertWrong(words, token_file=self.file(content))
        self.assertWrong("No such file", token_file="/nonexistent/token")
        self.assertWrong("Is a directory", token_file="/")

    def test_wrong_files(self) -> None:
        for content, words in (
            (b"data-port = ", "is no TOML"),
            (b"\xff", "is no TOML"),
            (b"port = 1", "unknown key 'port'; known are data-dir, "),
            (b"config = 'x'", "unknown key 'config'"),
            (b"data-port = true", "data-port must be text or a whole number"),
            (b"data-port = 1.5", "data-port must be text or a whole number"),
            (b"domain = ['a']", "domain must be text"),
            (b"[server]\ndomain = 'a'", "unknown key 'server'"),
        ):
            self.assertWrong(words, config=self.file(content))
        path = self.file("data-port = 70000")
        self.assertWrong(f"data-port in {path}: must be a port", config=path)
        self.assertWrong("data-dir in", config=self.file('data-dir = "a\\u0000b"'))
        self.assertWrong("can't read the configuration file /nonexistent", config="/nonexistent")
        self.assertWrong("Is a directory", config="/")

    def test_data_directory(self) -> None:
        self.assertEqual(self.load(data_dir="x").data_dir, Path.cwd() / "x")
        self.assertEqual(self.load(data_dir="~/x").data_dir, Path("~/x").expanduser())
        self.assertEqual(
            default_data_dir({"XDG_STATE_HOME": "/state", "HOME": "/home/me"}),
            Path("/state/inletspy"),
        )

    def test_secrets_are_not_shown(self) -> None:
        config = self.load(
            {"INLETS_TOKEN": "seed-s3cret"},
            token_file=self.file("own-s3cret"),
            database="postgresql://me:s3cret@db/x",
        )
        self.assertNotIn("s3cret", repr(config))
        settings = Settings.from_rows({"inlets_shared_token": "s3cret"})
        self.assertNotIn("s3cret", repr(settings))

    def test_development(self) -> None:
        for domain, expected in (
            ("localhost", True),
            ("tunnel.localhost", True),
            ("notlocalhost", False),
            ("localhost.example.com", False),
        ):
            self.assertEqual(is_development(domain), expected)


class SettingsTests(SynchronousTestCase):
    def read(self, key: str, text: str | None) -> Any:
        return setting_named(key).parse(text)

    def assertWrong(self, key: str, text: str, words: str = "must") -> None:
        error = self.assertRaises(UsageError, self.read, key, text)
        self.assertTrue(str(error).startswith(f"{key} "), error)
        self.assertIn(words, str(error))
        self.assertLess(len(str(error)), 200)

    def test_keys_of_the_platform(self) -> None:
        catalogue = Settings.catalogue()
        for key, kind, default in (
            ("tunnels_enabled", "boolean", "false"),
            ("inlets_server_url", "string", ""),
            ("inlets_status_api_url", "string", ""),
            ("inlets_shared_token", "string", ""),
            ("tunnel_base_domain", "string", ""),
        ):
            self.assertEqual((catalogue[key].type, catalogue[key].default), (kind, default))

    def test_catalogue(self) -> None:
        catalogue = Settings.catalogue()
        self.assertEqual([*catalogue], [field.name for field in fields(Settings)])
        for setting in catalogue.values():
            self.assertIn(setting.type, ("string", "number", "boolean", "json"))
            self.assertTrue(setting.description.endswith("."), setting.key)
            setting.parse(None)
        self.assertEqual([s.key for s in catalogue.values() if s.secret], ["inlets_shared_token"])

    def test_defaults(self) -> None:
        settings = Settings.from_rows({})
        self.assertIs(settings.tunnels_enabled, False)
        self.assertEqual(settings.tcp_port_range, range(30000, 31000))
        self.assertEqual(settings.trusted_proxies, ())

    def test_values(self) -> None:
        rows = {
            "tunnels_enabled": "TRUE",
            "tunnel_base_domain": "Tunnel.Example.com",
            "tcp_port_range": "40000-40000",
            "trusted_proxies": '["10.0.0.1/8", "::1"]',
            "cors_allowed_origins": '["https://ide.example.com:8443", "*"]',
            "heartbeat_seconds": "2.5",
            "streams_per_session": "10",
            "name_lease_seconds": "0",
            "status_public": None,
            "somebody_elses_key": "x",
        }
        settings = Settings.from_rows(rows, self.fail)
        self.assertIs(settings.tunnels_enabled, True)
        self.assertEqual(settings.tunnel_base_domain, "tunnel.example.com")
        self.assertEqual(list(settings.tcp_port_range), [40000])
        self.assertEqual(
            settings.trusted_proxies,
            (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")),
        )
        self.assertEqual(settings.cors_allowed_origins, ("https://ide.example.com:8443", "*"))
        self.assertEqual(settings.heartbeat_seconds, 2.5)
        self.assertEqual(settings.streams_per_session, 10)

    def test_one_bad_row_takes_nothing_else_with_it(self) -> None:
        for key, setting in Settings.catalogue().items():
            problems: list[str] = []
            rows = {"tunnels_enabled": "true", "heartbeat_seconds": "7", key: "\0"}
            settings = Settings.from_rows(rows, problems.append)
            (problem,) = problems
            self.assertTrue(problem.startswith(key), problem)
            self.assertEqual(getattr(settings, key), setting.parse(None))
            if key != "heartbeat_seconds":
                self.assertEqual(settings.heartbeat_seconds, 7)
        Settings.from_rows({"tunnels_enabled": "x"})  # nobody has to listen

    def test_secret_is_not_in_a_problem(self) -> None:
        problems: list[str] = []
        Settings.from_rows({"inlets_shared_token": "s3cret words"}, problems.append)
        self.assertEqual(len(problems), 1)
        self.assertNotIn("s3cret", problems[0])

    def test_wrong_types(self) -> None:
        for text in ("", "1", "yes", "on", "tru", " true", "null"):
            self.assertWrong("tunnels_enabled", text, "must be true or false")
        for text in ("", "x", "0x10", "nan", "inf", "-inf", "1e13", "1,5", "[]", "true"):
            self.assertWrong("heartbeat_seconds", text)
        for text in ("0", "-1", "0.5", "1.5"):
            self.assertWrong("services_per_session", text, "a whole number above 0")
        for text in ("0", "-1"):
            self.assertWrong("body_idle_seconds", text, "above 0")
        self.assertWrong("name_lease_seconds", "-1", "not be below 0")
        for text in ("0", "0.01", "21"):
            self.assertWrong("heartbeat_seconds", text, "from 0.1 to 20")
        for text in ("", "{", "[" * 100_000, "nan]"):
            self.assertWrong("trusted_proxies", text, "valid JSON")
        for text in ("{}", '"10.0.0.0/8"', "[1]", "null", "true"):
            self.assertWrong("trusted_proxies", text, "must be a JSON list")
        for text in ('["10.0.0.0/33"]', '["a"]', '[""]'):
            self.assertWrong("trusted_proxies", text, "IPv4 or IPv6 network")
        for text in ('["ftp://a"]', '["https://a/"]', '["https://"]', '["a"]', '["null"]'):
            self.assertWrong("cors_allowed_origins", text, "is no origin")
        for text in ("-a", "a..b", "a b"):
            self.assertWrong("tunnel_base_domain", text, "")
        for text in ("two words", "schl\u00fcssel", "a\nb"):
            self.assertWrong("inlets_shared_token", text, "printable ASCII")

    def test_port_ranges(self) -> None:
        self.assertEqual(parse_port_range("1-65535"), range(1, 65536))
        for text in ("", "1", "-", "1-", "-1", "2-1", "0-5", "1-65536", "a-b", "1 - 2", "1--2"):
            self.assertRaises(ValueError, parse_port_range, text)
        self.assertWrong("tcp_port_range", "9" * 5000 + "-1", "must be FIRST-LAST")

    def test_unknown_key(self) -> None:
        for key, words in (
            ("tunnel_enabled", "did you mean tunnels_enabled?"),
            ("zzz", "see `inletspy config list`"),
        ):
            error = self.assertRaises(UsageError, setting_named, key)
            self.assertIn(words, str(error))


class TokenFileTests(SynchronousTestCase):
    def test_token(self) -> None:
        path = Path(self.mktemp())
        path.write_text("\n s3cret \r\n")
        self.assertEqual(read_token_file(path), "s3cret")
