"""The real server and the real client as processes, for the tests of the whole.

Each is ended with the test that started it, and every wait is bounded and shows what
the process printed if it was in vain. Nothing here knows what is tested.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import inletspy
from tests.postgres import url_of_new_database

__all__ = ["CHECKOUT", "ClientProcess", "Program", "ServerProcess", "reactor"]

reactor = cast(PosixReactorBase, installed_reactor)

CHECKOUT: Final = Path(inletspy.__file__).parent.parent

#: Seconds that anything may take on the slowest machine.
TIMEOUT: Final = 60.0

#: Prefixes of the variables that would reach the programs from the tester's own shell.
FOREIGN: Final = ("INLETS", "CLAUDE_WEB", "TUNNEL_", "STATUS_PORT", "TOKEN", "USER_ID", "XDG_")

T = TypeVar("T")


class Program(ProcessProtocol):
    """A process that ends, at the latest, with the test that started it.

    Args:
        case: the test.
        command: the program and its arguments.
        environ: variables to add to those of the tests.

    Attributes:
        home: its HOME and its working directory, empty at the start.
        stdout: what it printed.
        stderr: what it printed there.
        status: how it ended; a signal as its negative number, None while it runs.
    """

    def __init__(
        self, case: TestCase, command: list[str], environ: Mapping[str, str] | None = None
    ) -> None:
        self.case = case
        self.command = command
        self.home = Path(case.mktemp()).absolute()
        self.environ = {n: v for n, v in os.environ.items() if not n.startswith(FOREIGN)}
        self.environ |= {
            "HOME": str(self.home),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONUNBUFFERED": "1",
            **(environ or {}),
        }
        self.stdout = ""
        self.stderr = ""
        self.status: int | None = None
        self._ended: Deferred[None] = Deferred()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.transport is not None
        return cast(int, self.transport.pid)

    def spawn(self) -> None:
        """Start it, and have it ended with the test."""
        self.home.mkdir(parents=True, exist_ok=True)
        reactor.spawnProcess(
            self, self.command[0], self.command, env=self.environ, path=str(self.home)
        )
        self.case.addCleanup(self._end)

    async def until(self, what: str, probe: Callable[[], T | None]) -> T:
        """What `probe` gives, as soon as that is not None.

        Args:
            what: is waited for, for the message of a failure.
            probe: is called again and again, until the process ends.
        """
        deadline = reactor.seconds() + TIMEOUT
        while (found := probe()) is None:
            if self.status is not None:
                self.fail(f"ended with status {self.status} before {what}")
            if reactor.seconds() > deadline:
                self.fail(f"still not {what} after {TIMEOUT:.0f} s")
            await deferLater(reactor, 0.02)
        return found

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """Its exit status, once it has ended by itself."""
        if self.status is None:
            # A Deferred of its own: a time-out must not fire the one of other waiters.
            waiting: Deferred[None] = Deferred()
            self._ended.addCallback(lambda _: None if waiting.called else waiting.callback(None))
            try:
                await waiting.addTimeout(TIMEOUT, reactor)
            except TimeoutError:
                self.fail(f"still running after {TIMEOUT:.0f} s")
        assert self.status is not None
        return self.status

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; gives its exit status."""
        self.kill(number)
        return await self.ended()

    def fail(self, what: str) -> None:
        """End the test, and show what was printed."""
        printed = "\n".join(text for text in (self.stdout, self.stderr) if text)
        self.case.fail(f"{type(self).__name__} {what}; it printed:\n{printed[-10_000:]}")

    async def _end(self) -> None:
        if self.status is not None:
            return
        # First the polite way, for what it started itself (a database) to end as well.
        self.kill(signal.SIGCONT)
        self.kill(signal.SIGTERM)
        patience = reactor.callLater(20, self.kill)
        try:
            await self.ended()
        finally:
            if patience.active():
                patience.cancel()

    # -- ProcessProtocol

    def outReceived(self, data: bytes) -> None:
        self.stdout += data.decode(errors="replace")

    def errReceived(self, data: bytes) -> None:
        self.stderr += data.decode(errors="replace")

    def processEnded(self, reason: Failure) -> None:
        if reason.check(ProcessDone):
            self.status = 0
        else:
            ending = cast(ProcessTerminated, reason.value)
            self.status = -ending.signal if ending.exitCode is None else ending.exitCode
        self._ended.callback(None)


class ServerProcess(Program):
    """`twistd -n inletspy` on free ports of the loopback interface.

    Args:
        case: the test.
        options: more of them; the last of its kind counts.
        environ: variables for it.
        data_dir: an existing one, for a second start; else a new one.
        database: its URL; None for the embedded one. Without it, a new and empty
            database in the PostgreSQL that all tests share.

    Attributes:
        data_dir: its data directory.
        described: the content of `server.json`, once it has started.
    """

    PORTS: Final = ("--control-port", "0", "--data-port", "0", "--status-port", "0")

    def __init__(
        self,
        case: TestCase,
        *options: str,
        environ: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
        database: str | None = "",
    ) -> None:
        twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        super().__init__(case, [*twistd, "-n", "--pidfile=", "inletspy"], environ)
        self.data_dir = data_dir or self.home / "data"
        self.database = url_of_new_database() if database == "" else database
        self.command += ["--data-dir", str(self.data_dir), "--interface", "127.0.0.1"]
        self.command += [*self.PORTS, *options]
        if self.database is not None:
            self.command += ["--database", self.database]
        self.described: dict[str, Any] = {}

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self.spawn()
        self.described = await self.until("ready", self._description)

    async def inletspy(self, *words: str) -> str:
        """What the command `inletspy` prints about this server; it must succeed."""
        command = [sys.executable, "-m", "inletspy.admin.main", *words]
        environ = {**self.environ, "INLETSPY_DATABASE": str(self.database)}

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command, env=environ, cwd=CHECKOUT, capture_output=True, text=True, timeout=60
            )

        ran = await deferToThread(run)
        self.case.assertEqual(ran.returncode, 0, ran.stderr)
        return ran.stdout.strip()

    def _description(self) -> dict[str, Any] | None:
        try:
            content = json.loads((self.data_dir / "server.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if content["pid"] == self.pid else None

    @property
    def token_file(self) -> Path:
        """Where it keeps the shared token."""
        return self.data_dir / "token.txt"

    @property
    def token(self) -> str:
        """The shared token."""
        return self.token_file.read_text(encoding="utf-8").strip()

    @property
    def control_port(self) -> int:
        """Where clients connect to."""
        return int(self.described["control_port"])

    @property
    def data_port(self) -> int:
        """Where visitors of HTTP services connect to."""
        return int(self.described["data_port"])

    @property
    def status_port(self) -> int:
        """Where the status API is."""
        return int(self.described["status_port"])

    @property
    def domain(self) -> str:
        """The base domain."""
        return str(self.described["domain"])

    @property
    def control_url(self) -> str:
        """What a client is given as `--server`."""
        return f"ws://127.0.0.1:{self.control_port}"

    @property
    def status_url(self) -> str:
        """The status API, without a path."""
        return f"http://127.0.0.1:{self.status_port}"

    def url(self, name: str, path: str = "/") -> str:
        """The public address of the tunnel of that name, for `tests.system.http.fetch`."""
        return f"http://{name}.{self.domain}:{self.data_port}{path}"


class ClientProcess(Program):
    """`tunnel ... --json`, connected to a server of the same test.

    Args:
        case: the test.
        server: has been started.
        arguments: what a person types, like `"3000", "http"`.
        environ: variables for it.
    """

    def __init__(
        self,
        case: TestCase,
        server: ServerProcess,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        connection = ["--server", server.control_url, "--token-file", str(server.token_file)]
        tunnel = "import sys; from inletspy.client.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", tunnel, "--json", *connection, *arguments]
        super().__init__(case, command, environ)
        self._seen = 0

    @property
    def events(self) -> list[dict[str, Any]]:
        """All that it told so far."""
        whole, _, _ = self.stdout.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    async def start(self) -> dict[str, Any]:
        """Start it, and wait until its tunnel is up; gives the `ready` event."""
        self.spawn()
        return await self.event("ready")

    async def event(self, kind: str) -> dict[str, Any]:
        """The next event of a kind; those before it count as seen."""
        return await self.until(f"telling {kind!r}", lambda: self._next(kind))

    def _next(self, kind: str) -> dict[str, Any] | None:
        for number, event in enumerate(self.events[self._seen :], self._seen + 1):
            if event["event"] == kind:
                self._seen = number
                return event
        return None
