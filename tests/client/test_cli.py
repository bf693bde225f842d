"""The command `tunnel`: its words alone, and as a program with the real server."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from inletspy.client.cli import Arguments, parse
from inletspy.client.config import Wishes
from inletspy.errors import UsageError
from tests.system.http import fetch, listening, upstream
from tests.system.processes import Program, ServerProcess, reactor

COMMAND = "import sys; from inletspy.client.cli import main; sys.exit(main())"


class ParseTests(SynchronousTestCase):
    def test_words(self) -> None:
        for line, arguments in (
            ("3000", Arguments(Wishes("3000"))),
            ("5432 tcp", Arguments(Wishes("5432", "tcp"))),
            (
                "--json 5432 --remote-port 30001 tcp",
                Arguments(Wishes("5432", "tcp", remote_port=30001), "json"),
            ),
            ("3000 --quiet --name shop", Arguments(Wishes("3000", name="shop"), "quiet")),
            ("3000 --insecure --verbose", Arguments(Wishes("3000", insecure=True), verbose=True)),
            (
                "5432 tcp --private --name db",
                Arguments(Wishes("5432", "tcp", name="db", private=True)),
            ),
            ("-1", Arguments(Wishes("-1"))),
            ("", Arguments(Wishes(""), config="")),
            ("--quiet", Arguments(Wishes(""), "quiet", config="")),
            ("--config f --json", Arguments(Wishes(""), "json", config="f")),
            ("web --config=f db", Arguments(Wishes(""), config="f", names=("web", "db"))),
            (
                "--config f --server wss://h --token-file t --client-id me --insecure",
                Arguments(
                    Wishes("", server="wss://h", token_file="t", client_id="me", insecure=True),
                    config="f",
                ),
            ),
            (
                "3000 --allow 10.0.0.0/8,::1 --deny 10.0.0.1 --allow 9.9.9.9",
                Arguments(
                    Wishes("3000", allow=("10.0.0.0/8", "::1", "9.9.9.9"), deny=("10.0.0.1",))
                ),
            ),
            (
                "3000 --basic-auth a:b,c --basic-auth d:e --bearer f --private-http",
                Arguments(
                    Wishes("3000", basic_auth=("a:b,c", "d:e"), bearer=("f",), private_http=True)
                ),
            ),
            (
                "3000 --basic-auth-file f --bearer-file g --share-link 2h",
                Arguments(Wishes("3000", basic_auth_file="f", bearer_file="g", share_link="2h")),
            ),
            (
                "3000 --server wss://h --token-file f --client-id me --host-header=rewrite",
                Arguments(
                    Wishes(
                        "3000",
                        server="wss://h",
                        token_file="f",
                        client_id="me",
                        host_header="rewrite",
                    )
                ),
            ),
        ):
            self.assertEqual(parse(line.split()), arguments, line)

    def test_faults(self) -> None:
        for line, words in (
            ("3000 http more", "unrecognized arguments: more"),
            ("3000 --nam x", "unrecognized arguments: --nam"),
            ("3000 --json --quiet", "not allowed with"),
            ("5432 tcp --remote-port 0", "'0' is no port"),
            ("5432 tcp --remote-port 65536", "'65536' is no port"),
            ("5432 tcp --remote-port x", "'x' is no port"),
            ("3000 --server", "expected one argument"),
            ("3000 --completion csh", "invalid choice"),
            ("--config", "expected one argument"),
            ("--config=", "no file's name"),
            ("--name x", "--name is for one service: give its PORT, or set hostname in inletspy.t"),
            ("--config f --remote-port 1 web", "set remote-port in f"),
            ("--json connect db 5432", "`connect` comes first"),
            ("--config f --private", "set private in f"),
            ("--config f --host-header rewrite", "set host-header in f"),
            ("--config f --proxy-protocol v1", "set proxy-protocol in f"),
        ):
            error = self.assertRaises(UsageError, parse, line.split())
            self.assertIn(words, str(error))
            self.assertNotIn("\n", str(error))

    def test_a_token_is_not_for_the_command_line(self) -> None:
        for words in (["3000", "--token", "s3cret"], ["3000", "--token=s3cret"], ["--token"]):
            error = self.assertRaises(UsageError, parse, words)
            self.assertIn("--token-file FILE or the variable INLETS_TOKEN", str(error))
            self.assertNotIn("s3cret", str(error))


class Tunnel(Program):
    """`tunnel`, in an environment that says nothing of any server."""

    pty = False
    #: Whether it has ended, though perhaps not all was read that it printed.
    exited = False

    def __init__(self, case: TestCase, *words: str, **environ: str) -> None:
        super().__init__(case, [sys.executable, "-c", COMMAND, *words], environ)

    def spawn(self) -> None:
        self.home.mkdir(parents=True)
        reactor.spawnProcess(
            self,
            self.command[0],
            self.command,
            env=self.environ,
            path=str(self.home),
            usePTY=self.pty,
        )
        self.case.addCleanup(self._end)

    def processExited(self, reason: Failure) -> None:
        self.exited = True

    async def run(self) -> int:
        self.spawn()
        return await self.ended()

    async def line(self, starts: str) -> str:
        """The first line that starts so."""

        def find() -> str | None:
            whole = self.stdout.rpartition("\n")[0].splitlines()
            return next((line for line in whole if line.startswith(starts)), None)

        return await self.until(f"printing {starts!r}", find)


class EndingTests(TestCase):
    """How it ends where there is no server, or not a willing one."""

    async def assert_ends(self, status: int, said: str, *words: str, **environ: str) -> None:
        tunnel = Tunnel(self, *words, **environ)
        self.assertEqual(await tunnel.run(), status, tunnel.stderr)
        self.assertEqual(tunnel.stdout, "")
        self.assertTrue(tunnel.stderr.startswith("tunnel: "), tunnel.stderr)
        self.assertEqual(tunnel.stderr.count("\n"), 1, tunnel.stderr)
        self.assertIn(said, tunnel.stderr)

    async def test_wrong_usage(self) -> None:
        await self.assert_ends(2, "no port", "0")
        await self.assert_ends(2, "unknown protocol 'udp'", "3000", "udp")
        await self.assert_ends(2, "see `tunnel --help`", "--frob")
        await self.assert_ends(2, "is no server address", "3000", "--server", "ftp://x")
        await self.assert_ends(2, "'' is no port", "")
        await self.assert_ends(2, "as in `tunnel 3000`, or describe several in inletspy.toml")
        await self.assert_ends(2, "there is no nowhere.toml", "--config", "nowhere.toml")

    async def test_no_server(self) -> None:
        await self.assert_ends(4, "no tunnel server runs on this machine", "3000")

    async def test_nobody_at_the_servers_address(self) -> None:
        port = str(upstream(self))  # or else it may say first that nothing listens there
        await self.assert_ends(4, "connection refused", port, INLETS_SERVER="ws://127.0.0.1:1")

    async def test_no_tunnel_server_there(self) -> None:
        url = f"ws://127.0.0.1:{upstream(self)}"
        await self.assert_ends(4, "inletspy server", "3000", "--server", url)

    async def test_nobody_at_the_platforms_address(self) -> None:
        await self.assert_ends(
            4,
            "can't reach the platform",
            "3000",
            CLAUDE_WEB_BACKEND_URL="http://127.0.0.1:1",
            CLAUDE_WEB_AUTH_TOKEN="t",
        )

    async def test_errors_for_programs(self) -> None:
        for words, status, code in (
            (("0", "--json"), 2, "usage"),
            (("--json", "--frob"), 2, "usage"),
            (("3000", "--json"), 4, "unreachable"),
        ):
            tunnel = Tunnel(self, *words)
            self.assertEqual(await tunnel.run(), status)
            event = json.loads(tunnel.stdout)
            self.assertEqual((event["event"], event["code"]), ("error", code))
            self.assertEqual(tunnel.stderr, f"tunnel: {event['message']}\n")

    async def test_what_is_no_tunnel(self) -> None:
        for words, said in (
            (("--help",), "examples:"),
            (("--version",), "tunnel (inletspy) "),
            (("--completion", "fish"), "complete -c tunnel"),
        ):
            tunnel = Tunnel(self, *words)
            self.assertEqual(await tunnel.run(), 0)
            self.assertIn(said, tunnel.stdout)
            self.assertEqual(tunnel.stderr, "")

    async def test_ctrl_c_while_a_server_does_not_answer(self) -> None:
        url = f"ws://127.0.0.1:{listening(self, Factory.forProtocol(Protocol))}"
        tunnel = Tunnel(self, "9", "--server", url)
        tunnel.spawn()
        await tunnel.until("started", lambda: tunnel.stdout or None)  # of the upstream
        self.assertEqual(await tunnel.stop(signal.SIGINT), 0)
        self.assertEqual(tunnel.stderr, "")


class WithServerTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.server = ServerProcess(self)
        await self.server.start()

    def tunnel(self, *words: str, **environ: str) -> Tunnel:
        """It finds the server by itself."""
        return Tunnel(self, *words, INLETSPY_DATA_DIR=str(self.server.data_dir), **environ)

    async def test_plain_lines(self) -> None:
        port = upstream(self)
        tunnel = self.tunnel(str(port), "--name", "shop")
        tunnel.spawn()
        address = await tunnel.line("http")
        self.assertEqual(
            address,
            f"http://shop.{self.server.domain}:{self.server.data_port} -> http://localhost:{port}",
        )
        answer = await fetch(self.server.url("shop", "/a?b=1"))
        self.assertEqual(answer.status, 200)
        request = await tunnel.until("a request", lambda: _find(tunnel, "GET /a?b=1 200"))
        self.assertRegex(request, r"^\d\d:\d\d:\d\d GET /a\?b=1 200 \d+ms \d+B 127\.0\.0\.1$")
        self.assertEqual(await tunnel.stop(signal.SIGINT), 0)
        self.assertEqual(tunnel.stderr, "")
        self.assertNotIn(self.server.token, tunnel.stdout)

    async def test_events(self) -> None:
        """The upstream comes after the tunnel, and goes before it."""
        spare = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        port: int = spare.getHost().port
        await spare.stopListening()
        tunnel = self.tunnel(str(port), "--name", "late", "--json", USER_ID="12")
        tunnel.spawn()

        def event(kind: str) -> Callable[[], dict[str, Any] | None]:
            def find() -> dict[str, Any] | None:
                lines = tunnel.stdout.rpartition("\n")[0].splitlines()
                events = [json.loads(line) for line in lines]
                return next((event for event in events if event["event"] == kind), None)

            return find

        ready = await tunnel.until("ready", event("ready"))
        self.assertEqual(ready["public_url"], self.server.url("late", ""))
        self.assertEqual(ready["client_id"], "claude-web-user-12")
        await tunnel.until("told of the upstream", event("upstream_failed"))
        self.assertEqual((await fetch(self.server.url("late"))).status, 502)
        again = reactor.listenTCP(port, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(again.stopListening)
        await tunnel.until("told that it came", event("upstream_ready"))
        self.assertEqual(await tunnel.stop(), 0)

    async def test_quiet(self) -> None:
        tunnel = self.tunnel("9", "--quiet", "--name", "hush")
        tunnel.spawn()
        await tunnel.line("http")
        await fetch(self.server.url("hush"))
        self.assertEqual(await tunnel.stop(), 0)
        self.assertEqual(tunnel.stdout, self.server.url("hush", "\n"))
        self.assertEqual(tunnel.stderr, "")

    async def test_a_terminal(self) -> None:
        tunnel = self.tunnel("9", "--name", "shown", TERM="xterm", COLUMNS="100", LINES="30")
        tunnel.pty = True
        tunnel.spawn()
        await tunnel.until("online", lambda: "online" in tunnel.stdout or None)
        self.assertIn(self.server.url("shown", ""), tunnel.stdout)
        assert tunnel.transport is not None
        tunnel.transport.write(b"\x03")  # Ctrl-C, as it is typed
        self.assertEqual(await tunnel.ended(), 0)
        self.assertIn("ended", tunnel.stdout)
        self.assertTrue(tunnel.stdout.endswith("\x1b[?25h"), "the cursor is back")

    async def test_a_dumb_terminal(self) -> None:
        tunnel = self.tunnel("9", "--name", "dumb", TERM="dumb")
        tunnel.pty = True
        tunnel.spawn()
        await tunnel.line("http")
        self.assertEqual(await tunnel.stop(), 0)
        self.assertNotIn("\x1b", tunnel.stdout)

    async def test_nobody_reads(self) -> None:
        """What a person does not read must not stop what visitors get."""
        port = upstream(self)
        tunnel = self.tunnel(str(port), "--name", "unread")
        tunnel.spawn()
        await tunnel.line("http")
        assert tunnel.transport is not None
        standard_output = tunnel.transport.pipes[1]  # type: ignore[attr-defined]
        standard_output.stopReading()
        for _ in range(40):  # far more than a pipe holds
            answer = await fetch(self.server.url("unread", "/" + "x" * 8000))
            self.assertEqual(answer.status, 200)
        tunnel.kill(signal.SIGTERM)
        await tunnel.until("ended", lambda: tunnel.exited or None)
        standard_output.startReading()
        self.assertEqual(await tunnel.ended(), 0)

    async def test_nobody_can_read(self) -> None:
        """As in `tunnel 3000 | head -1`."""
        tunnel = self.tunnel("9", "--name", "piped")
        tunnel.spawn()
        await tunnel.line("http")
        assert tunnel.transport is not None
        tunnel.transport.closeStdout()
        for _ in range(2):
            # Only a line that it prints shows it that nobody reads.
            await fetch(self.server.url("piped"))
        self.assertEqual(await tunnel.ended(), 0)

    async def test_refused_token(self) -> None:
        for environ, said in (
            ({"INLETS_TOKEN": "wrong"}, "refused the token"),
            ({"INLETSPY_DATA_DIR": "/nonexistent"}, "wants a token"),
        ):
            tunnel = Tunnel(self, "9", INLETS_SERVER=self.server.control_url, **environ)
            self.assertEqual(await tunnel.run(), 3)
            self.assertIn(said, tunnel.stderr)
            self.assertNotIn("wrong", tunnel.stderr)

    async def test_taken_name(self) -> None:
        first = self.tunnel("9", "--name", "one", "--quiet")
        first.spawn()
        await first.line("http")
        second = self.tunnel("9", "--name", "one", "--client-id", "somebody-else", "--json")
        self.assertEqual(await second.run(), 3)
        error = json.loads(second.stdout)
        self.assertEqual(error["code"], "hostname_taken")
        self.assertIn("--name", error["message"])

    async def test_configuration_from_the_platform(self) -> None:
        """The backend tells the server and the token; here it is the server's own."""
        tunnel = Tunnel(
            self,
            "9",
            "--quiet",
            CLAUDE_WEB_BACKEND_URL=self.server.status_url,
            CLAUDE_WEB_AUTH_TOKEN=self.server.token,
        )
        tunnel.spawn()
        self.assertIn(f"-9.{self.server.domain}", await tunnel.line("http"))
        self.assertEqual(await tunnel.stop(), 0)


def _find(tunnel: Tunnel, text: str) -> str | None:
    return next((line for line in tunnel.stdout.splitlines() if text in line), None)
