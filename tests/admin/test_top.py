"""`inletspy top`, against a status port in this process: as JSON, and at a terminal."""

from __future__ import annotations

import fcntl
import json
import signal
import struct
import sys
import termios
from typing import Any

from inletspy.policy.traffic import Traffic
from tests.admin.test_status import StatusTestCase
from tests.peers import until
from tests.system.processes import Program, reactor
from tests.web.support import ADMIN_TOKEN, ALICE_TOKEN, CONDITION, CREDENTIALS, live_row


class TopTestCase(StatusTestCase):
    name = "top"

    async def begin(self, *args: Any) -> None:
        """Have a tunnel of alice's, with traffic."""
        await super().begin(*args)
        self.addCleanup(until, lambda: len(self.live.observers) <= 1, "rid of streams")
        self.row = live_row(owner="alice")
        self.traffic = self.live.passing[self.row["id"]] = Traffic()
        self.live.show(self.row)

    def note(self) -> None:
        """A request is over."""
        now = reactor.seconds()
        self.traffic.note(now, now - 0.25, b"GET", b"/", 200, 1, 2, b"203.0.113.9")

    def stop_listening(self) -> None:
        """The server goes away, with all connections to it."""
        self.listening.stopListening()
        for reader in reactor.getReaders():
            if getattr(getattr(reader, "server", None), "factory", None) is self.site:
                reader.abortConnection()  # type: ignore[attr-defined]

    def listen_again(self) -> None:
        """The server is back."""
        self.listening = reactor.listenTCP(self.port, self.site, interface="127.0.0.1")
        self.addCleanup(self.listening.stopListening)


class JsonTests(TopTestCase):
    def told(self, program: Program) -> list[dict[str, Any]]:
        return [json.loads(line) for line in program.stdout.splitlines()]

    async def start(self, token: str) -> Program:
        program = self.command("--json", INLETS_TOKEN=token)
        await program.until("told of tunnels", lambda: program.stdout or None)
        return program

    async def test_events(self) -> None:
        self.note()
        program = await self.start(ADMIN_TOKEN)
        await program.until("told of health", lambda: len(self.told(program)) > 1 or None)
        tunnels, health = self.told(program)[:2]
        self.assertEqual(tunnels["event"], "tunnels")
        self.assertEqual([row["id"] for row in tunnels["tunnels"]], [self.row["id"]])
        self.assertEqual(tunnels["tunnels"][0]["owner"], "alice")
        self.assertEqual(health, {"event": "health", **CONDITION})
        self.note()

        def requests() -> int | None:
            rows = [row for told in self.told(program) for row in told.get("changed", [])]
            return next((1 for row in rows if row["traffic"]["requests"] == 2), None)

        await program.until("told of requests", requests)
        program.kill(signal.SIGINT)
        await program.ended()
        self.assertEqual(program.stderr, "")

    async def test_a_server_that_goes_away_and_comes_back(self) -> None:
        program = await self.start(ALICE_TOKEN)
        self.stop_listening()
        await program.until("told of the loss", lambda: '"away"' in program.stdout or None)
        self.live.show(live_row(owner="alice"))
        self.listen_again()
        await program.until("told anew", lambda: program.stdout.count('"tunnels":') == 2 or None)
        events = [told["event"] for told in self.told(program)]
        self.assertEqual(events, ["tunnels", "away", "tunnels"])
        self.assertEqual(program.stderr, "")

    async def test_a_token_that_is_revoked(self) -> None:
        program = await self.start(ALICE_TOKEN)
        self.addCleanup(CREDENTIALS.__setitem__, ALICE_TOKEN, CREDENTIALS[ALICE_TOKEN])
        del CREDENTIALS[ALICE_TOKEN]
        self.assertEqual(await program.ended(), 1)
        self.assertIn('"bye"', program.stdout)
        self.assertIn("does not accept the token", program.stderr)
        self.assertEqual(program.stderr.count("\n"), 1)


class RefusalTests(TopTestCase):
    async def test_in_one_line(self) -> None:
        await self.refused(1, "wants a token", "--json")
        await self.refused(1, "does not accept the token", "--json", INLETS_TOKEN="wrong")
        await self.refused(2, "top needs a terminal", INLETS_TOKEN=ALICE_TOKEN)
        await self.refused(2, "--sort: must be one of a (address)", "--sort", "z")
        self.announce(status_port=1)
        await self.refused(1, "can't reach the status port", "--json", INLETS_TOKEN=ALICE_TOKEN)


class OnTerminal(Program):
    """A program with a terminal of its own."""

    def spawn(self) -> None:
        """Start it there."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.environ |= {"TERM": "xterm"}
        for name in ("COLUMNS", "LINES"):
            self.environ.pop(name, None)
        process = reactor.spawnProcess(
            self, self.command[0], self.command, env=self.environ, path=str(self.home), usePTY=True
        )
        size = struct.pack("HHHH", 12, 120, 0, 0)
        fcntl.ioctl(process.fileno(), termios.TIOCSWINSZ, size)
        self.case.addCleanup(self._end)

    def type(self, text: bytes) -> None:
        """Type something."""
        assert self.transport is not None
        self.transport.write(text)

    def modes(self) -> Any:
        """How the terminal is set."""
        return termios.tcgetattr(self.transport.fileno())[:4]  # type: ignore[union-attr]


class TerminalTests(TopTestCase):
    async def start(self) -> OnTerminal:
        """The command, at a terminal; it has drawn."""
        line = [sys.executable, "-m", "inletspy.admin.main", "top", "--data-dir", str(self.folder)]
        program = OnTerminal(self, line, {"INLETS_TOKEN": ALICE_TOKEN})
        program.spawn()
        self.before = program.modes()
        await program.until("drawn", lambda: "abc-4000.tunnel.localhost" in program.stdout or None)
        return program

    async def seen(self, program: OnTerminal, text: str) -> None:
        """Wait until that was drawn since the last time."""
        await program.until(f"showing {text!r}", lambda: text in program.stdout or None)
        program.stdout = ""

    async def test_is_drawn_and_ends(self) -> None:
        program = await self.start()
        self.assertNotEqual(program.modes(), self.before)
        for _ in range(7):
            self.note()
        await self.seen(program, "250 ms")
        program.type(b"t")
        await self.seen(program, "TOTAL▾")
        program.type(b"t")
        await self.seen(program, "TOTAL▴")
        program.type(b"xq")
        self.assertEqual(await program.ended(), 0)
        self.assertTrue(program.stdout.endswith("\x1b[?1049l"), program.stdout[-50:])

    async def test_a_server_that_goes_away_and_comes_back(self) -> None:
        program = await self.start()
        program.stdout = ""
        self.stop_listening()
        await self.seen(program, "The server is away")
        self.listen_again()
        await self.seen(program, "alice, own tunnels")
        program.type(b"q")
        self.assertEqual(await program.ended(), 0)

    async def test_sleeps_and_goes_on(self) -> None:
        program = await self.start()
        program.stdout = ""
        program.type(b"\x1a")
        await self.seen(program, "\x1b[?1049l")
        self.assertEqual(program.modes(), self.before)
        program.kill(signal.SIGCONT)
        await self.seen(program, "ADDRESS")
        program.type(b"\x03")
        await program.ended()
        self.assertIn("\x1b[?1049l", program.stdout)

    async def test_refused_while_it_is_drawn(self) -> None:
        program = await self.start()
        self.addCleanup(CREDENTIALS.__setitem__, ALICE_TOKEN, CREDENTIALS[ALICE_TOKEN])
        del CREDENTIALS[ALICE_TOKEN]
        self.assertEqual(await program.ended(), 1)
        _, _, after = program.stdout.rpartition("\x1b[?1049l")
        self.assertIn("does not accept the token", after)
        self.assertNotIn("Traceback", after)
