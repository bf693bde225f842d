"""The command `inlets`: its words alone, and as programs that work together."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from inletspy.client.config import ClientConfig
from inletspy.compat.flags import FlagValue
from inletspy.compat.inlets import CLIENT_FLAGS, client_config
from inletspy.errors import UsageError
from tests.system.http import fetch, upstream
from tests.system.processes import Program, ServerProcess

COMMAND = "import sys; from inletspy.compat.inlets import main; sys.exit(main())"


class ClientConfigTests(SynchronousTestCase):
    def config(self, upstream: str, **given: FlagValue) -> ClientConfig:
        self.patch(socket, "gethostname", lambda: "c0ffee")
        flags = {flag.key: flag.default for flag in reversed(CLIENT_FLAGS)}
        return client_config(flags | {"upstream": upstream} | given, "abc", {})

    def offered(self, upstream: str, **given: FlagValue) -> list[tuple[str, str, str]]:
        services = self.config(upstream, **given).services
        self.assertEqual(len({service.name for service in services}), len(services))
        return [(service.proto, service.hostname, service.upstream) for service in services]

    def test_upstreams(self) -> None:
        for text, offered in (
            ("http://127.0.0.1:3000", [("http", "", "http://127.0.0.1:3000")]),
            ("127.0.0.1:3000", [("http", "", "http://127.0.0.1:3000")]),
            ("=https://h:1", [("http", "", "https://h:1")]),
            ("http://localhost", [("http", "", "http://localhost")]),
            ("a.example.com=h:1", [("http", "a.example.com", "http://h:1")]),
            (
                " a=http://h:1 , b = h:2 ,h:3",
                [
                    ("http", "a", "http://h:1"),
                    ("http", "b", "http://h:2"),
                    ("http", "", "http://h:3"),
                ],
            ),
            ("a=h:1,a=h:2", [("http", "a", "http://h:2")]),
            # As its users worked around what the stock server makes of a Host with a port.
            ("a.example.com:8080=h:1", [("http", "a.example.com:8080", "http://h:1")]),
        ):
            self.assertEqual(self.offered(text), offered, text)

    def test_tcp(self) -> None:
        self.assertEqual(
            self.offered("127.0.0.1:5432,db=tcp://127.0.0.1:22", tcp=True),
            [("tcp", "", "tcp://127.0.0.1:5432"), ("tcp", "", "tcp://127.0.0.1:22")],
        )
        self.assertEqual(self.config("h:1", tcp=True).client_id, "c0ffee")

    def test_remote(self) -> None:
        for remote, server in (
            ("127.0.0.1:8000", "ws://127.0.0.1:8000"),
            ("wss://tunnel.example.com", "wss://tunnel.example.com"),
            ("http://h:80", "http://h:80"),
        ):
            self.assertEqual(self.config("h:1", remote=remote).server, server)
        self.assertEqual(self.config("h:1").server, "ws://127.0.0.1:8000")

    def test_faults(self) -> None:
        for text, given in (
            ("", {}),
            ("http://h:1/path", {}),
            ("ftp://h:1", {}),
            ("h:x", {}),
            ("a\r\nb=h:1", {}),
            ("h", {"tcp": True}),
        ):
            self.assertRaises(UsageError, self.config, text, **given)


class Inlets(Program):
    """The command `inlets`."""

    def __init__(self, case: TestCase, *words: str, **environ: str) -> None:
        super().__init__(case, [sys.executable, "-c", COMMAND, *words], environ)

    async def said(self, text: str) -> None:
        await self.until(f"saying {text!r}", lambda: text in self.stderr or None)


class CommandTests(TestCase):
    async def ends(self, *words: str) -> Inlets:
        program = Inlets(self, *words)
        program.spawn()
        await program.ended()
        return program

    async def test_help_and_version(self) -> None:
        for words, said in (
            ((), "Available Commands:"),
            (("--help",), "Available Commands:"),
            (("help", "client"), "--upstream string"),
            (("client", "--help"), "--upstream string"),
            (("server", "-h"), "--control-port int"),
            (("version",), "Version: "),
        ):
            program = await self.ends(*words)
            self.assertEqual((program.status, program.stderr), (0, ""))
            self.assertIn(said, program.stdout)

    async def test_faults(self) -> None:
        for words, said in (
            (("frob",), 'Error: unknown command "frob" for "inlets"\n'),
            (("client", "--frob"), "Error: unknown flag: --frob\n"),
            (("client",), "Error: upstream is missing in the client argument\n"),
            (("server", "-p", "x"), 'Error: invalid argument "x" for "-p, --port" flag'),
            (("client", "-u", "h:1", "-f", "/nonexistent"), "Error: unable to load file"),
        ):
            program = await self.ends(*words)
            self.assertEqual((program.status, program.stdout), (1, ""))
            self.assertTrue(program.stderr.startswith(said), program.stderr)
            self.assertEqual(program.stderr.count("\n"), 1)


class TogetherTests(TestCase):
    async def test_client_and_server(self) -> None:
        """On one port, with a token that only the two of them see."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = Inlets(
            self, "server", "--port", str(port), "-b", "127.0.0.1", "-t", "s3cret", "--print-token"
        )
        server.spawn()
        await server.until("ready", lambda: "ready" in server.stdout or None)

        def command_line(program: Program) -> bytes:
            return Path("/proc", str(program.pid), "cmdline").read_bytes()

        if Path("/proc/self/cmdline").exists():
            self.assertNotIn(b"s3cret", command_line(server))

        token_file = server.home / "token"
        token_file.write_text("s3cret\n")
        service = upstream(self)
        client = Inlets(
            self,
            "client",
            f"--remote=127.0.0.1:{port}",
            "--upstream",
            f"app.example.com=http://127.0.0.1:{service},http://127.0.0.1:{service}",
            "--token-from",
            str(token_file),
        )
        client.spawn()
        await client.said("Connected: app.example.com")
        for host in ("app.example.com", "any.example.com"):
            answer = await fetch(f"http://{host}:{port}/path")
            self.assertEqual((answer.status, answer.json["target"]), (200, "/path"))
        self.assertIn("Warning: connecting without encryption", client.stderr)
        self.assertEqual(await client.stop(signal.SIGINT), 0)
        self.assertEqual(await server.stop(), 0)
        printed = server.stdout + server.stderr + client.stdout + client.stderr
        self.assertNotIn("s3cret", printed)
        self.assertIn("a token is never printed", server.stderr)

    async def test_tcp(self) -> None:
        server = ServerProcess(self)
        await server.start()
        client = Inlets(
            self,
            *("client", "--tcp", "--insecure", f"--url={server.control_url}"),
            *("--token-from", str(server.token_file), "-u", f"127.0.0.1:{upstream(self)}"),
        )
        client.spawn()
        await client.said(f"Connected: tcp://{server.domain}:")
        self.assertNotIn("Warning", client.stderr)
        self.assertEqual(await client.stop(), 0)

    async def test_a_server_that_comes_later(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        token_file = Path(self.mktemp()).absolute()
        token_file.write_text("abc")
        client = Inlets(
            self,
            *("client", "-r", f"127.0.0.1:{port}", "-f", str(token_file)),
            *("-u", f"app.example.com=127.0.0.1:{upstream(self)}"),
        )
        client.spawn()
        await client.said("Not connected")
        server = ServerProcess(self, "--control-port", str(port), "--token-file", str(token_file))
        await server.start()
        await client.said("Connected: app.example.com")
        self.assertEqual(await client.stop(), 0)

    async def test_a_wrong_token(self) -> None:
        server = ServerProcess(self)
        await server.start()
        client = Inlets(
            self, "client", "--url", server.control_url, "-t", "wrong", "-u", "app.example.com=h:1"
        )
        client.spawn()
        self.assertEqual(await client.ended(), 3)
        self.assertIn("Error: ", client.stderr)
        self.assertNotIn("wrong", client.stderr)
