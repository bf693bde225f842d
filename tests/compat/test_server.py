"""What `inlets server` starts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from inletspy.compat.flags import FlagValue
from inletspy.compat.inlets import SERVER_FLAGS
from inletspy.compat.server import ServerCommand, server_command
from inletspy.errors import UsageError


class ServerCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.said: list[str] = []

    def command(
        self, given: dict[str, FlagValue] | None = None, token: str = "abc", **environ: str
    ) -> ServerCommand:
        flags = {flag.key: flag.default for flag in SERVER_FLAGS} | (given or {})
        environ = {"INLETSPY_DATA_DIR": "/data"} | environ
        return server_command(flags, token, environ, self.said.append)

    def listens(self, **given: FlagValue) -> list[str]:
        """The options before those that are always there."""
        command = self.command({name.replace("_", "-"): value for name, value in given.items()})
        rest = command.options.index("--status-port")
        return list(command.options[:rest])

    def test_one_port_for_both_planes(self) -> None:
        command = self.command()
        self.assertEqual(
            command.options,
            (
                *("--data-port", "8000", "--control-port", "8000"),
                *("--status-port", "0", "--data-dir", "/data/inlets-8000"),
            ),
        )

    def test_ports_and_addresses(self) -> None:
        both = ["--data-port", "80", "--control-port"]
        self.assertEqual(self.listens(port=80), [*both, "80"])
        self.assertEqual(self.listens(port=80, control_port=8080), [*both, "8080"])
        self.assertEqual(
            self.listens(port=80, bind_addr="127.0.0.1"), [*both, "80", "--interface", "127.0.0.1"]
        )
        self.assertEqual(
            self.listens(port=80, data_addr="::1", control_addr="[::1]"),
            [*both, "80", "--interface", "::1"],
        )
        self.assertEqual(
            self.listens(port=80, data_addr="0.0.0.0", control_addr="0.0.0.0"), [*both, "80"]
        )
        self.assertEqual(
            self.listens(port=8090, data_addr="0.0.0.0:80", control_port=8090), [*both, "8090"]
        )
        self.assertEqual(
            self.listens(port=80, control_port=81, control_addr="127.0.0.1"),
            ["--data", "tcp:80", "--control", "tcp:81:interface=127.0.0.1"],
        )
        self.assertEqual(
            self.listens(port=80, data_addr="[::1]:8080", control_addr="10.0.0.1:81"),
            [
                *("--data", "tcp6:8080:interface=\\:\\:1"),
                *("--control", "tcp:81:interface=10.0.0.1"),
            ],
        )

    def test_the_environment_wins(self) -> None:
        command = self.command({"port": 80, "control-port": 81}, TOKEN="env\n", PORT="5000")
        self.assertEqual(command.options[:4], ("--data-port", "5000", "--control-port", "5000"))
        self.assertEqual(command.token, "env")
        self.assertEqual(self.said, ["Token read from environment variable."])

    def test_the_token_is_not_shown(self) -> None:
        command = self.command()
        self.assertEqual(command.token, "abc")
        self.assertNotIn("abc", repr(command))

    def test_where_the_token_is_if_none_is_given(self) -> None:
        self.assertEqual(self.command(token="").token, "")
        self.assertIn("/data/inlets-8000/token.txt", self.said[0])

    def test_faults(self) -> None:
        for given, fault in (
            ({"port": 0}, "--port: '0' is no port"),
            ({"port": 65536}, "--port: '65536' is no port"),
            ({"port": -1}, "--port"),
            ({"control-port": 70000}, "--control-port"),
            ({"data-addr": "a:b"}, "--data-addr: 'a:b' is no address"),
            ({"control-addr": "h:0"}, "--control-addr: '0' is no port"),
        ):
            error = self.assertRaises(UsageError, self.command, given)
            self.assertIn(fault, str(error))
        self.assertRaises(UsageError, self.command, {}, PORT="x")
