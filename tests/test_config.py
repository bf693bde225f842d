"""What a server is told at its start, and what rows of the database stand for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from inletspy.config import (
    DEFAULT_DOMAIN,
    ServerConfig,
    default_data_dir,
    is_development,
    read_token_file,
)
from inletspy.errors import UsageError
from inletspy.settings import Settings


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


class TokenFileTests(SynchronousTestCase):
    def test_token(self) -> None:
        path = Path(self.mktemp())
        path.write_text("\n s3cret \r\n")
        self.assertEqual(read_token_file(path), "s3cret")
