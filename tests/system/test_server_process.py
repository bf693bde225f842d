"""The server as a process: how it starts, how it does not, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.trial.unittest import TestCase

from inletspy.services import DRAIN_SECONDS
from tests.edge.tunnels import ok, read_answer, read_head, request
from tests.peers import CUT, PeerFactory, Upstream, until
from tests.postgres import execute, own_cluster
from tests.system.http import fetch, upstream
from tests.system.processes import TIMEOUT, ClientProcess, Program, ServerProcess, reactor
from tests.system.whole import WholeTestCase

ADMIN = "import sys; from inletspy.admin.main import main; sys.exit(main())"


class StoppingTests(WholeTestCase):
    """A signal ends the server in order, with status 0."""

    async def test_idle(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            await self.start()
            began = reactor.seconds()
            self.assertEqual(await self.server.stop(number), 0)
            self.assertLess(reactor.seconds() - began, DRAIN_SECONDS)
            self.assertFalse((self.server.data_dir / "server.json").exists())
            self.assertNotIn("Traceback", self.server.stdout + self.server.stderr)
            event = await self.client.event("disconnected")
            self.assertEqual(event["reason"], "the server is going away")

    async def test_request_under_way_is_finished(self) -> None:
        await self.start()
        visitor = await self.visit(self.request())
        behind = await self.upstream.connection()
        await read_head(behind)
        idle = await self.visit()
        self.server.kill(signal.SIGTERM)
        await until(lambda: not listens(self.server.data_port), "deaf to new visitors")
        self.assertFalse(listens(self.server.control_port))
        health = await fetch(f"{self.server.status_url}/health")
        self.assertEqual(health.status, 503)
        await idle.ended()
        behind.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 999_999)
        head = await read_head(visitor)
        self.assertEqual(head.get("connection"), "close")
        await visitor.read(999_999)
        self.assertIsNone(self.server.status)
        behind.send(b"y")
        self.assertEqual(await visitor.read_to_end(), b"y")
        self.assertEqual(await self.server.ended(), 0)

    async def test_what_never_ends_is_cut(self) -> None:
        await self.start()
        waiting = await self.visit(self.request())
        await read_head(await self.upstream.connection())
        reading = await self.visit(self.request())
        behind = await self.upstream.connection()
        await read_head(behind)
        behind.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        await read_head(reading)
        began = reactor.seconds()
        self.server.kill(signal.SIGTERM)
        self.assertEqual(await self.server.ended(), 0)
        self.assertGreater(reactor.seconds() - began, DRAIN_SECONDS - 1)
        self.assertEqual((await read_answer(waiting))[0].status, 503)
        self.assertEqual(await reading.ended(), CUT)
        await behind.ended()

    async def test_second_signal_hurries(self) -> None:
        await self.start()
        visitor = await self.visit(self.request())
        behind = await self.upstream.connection()
        await read_head(behind)
        behind.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        await read_head(visitor)
        began = reactor.seconds()
        self.server.kill(signal.SIGINT)
        await until(lambda: not listens(self.server.data_port), "told to stop")
        self.server.kill(signal.SIGINT)
        self.assertEqual(await self.server.ended(), 0)
        self.assertLess(reactor.seconds() - began, DRAIN_SECONDS)
        self.assertEqual(await visitor.ended(), CUT)

    async def test_during_the_start(self) -> None:
        server = ServerProcess(self, database=None)
        server.spawn()
        # Later than twistd's "starting up": before the reactor runs, a signal just ends it.
        database = server.data_dir / "postgres"
        await server.until("starting", lambda: database.exists() or None)
        self.assertEqual(await server.stop(), 0)
        self.assertEqual(server.stderr, "")
        self.assertNotIn("Traceback", server.stdout)
        self.assertFalse((server.data_dir / "postgres" / "postmaster.pid").exists())

    async def test_killed_and_started_again(self) -> None:
        await self.start()
        self.server.kill(signal.SIGKILL)
        self.assertEqual(await self.server.ended(), -signal.SIGKILL)
        self.assertTrue((self.server.data_dir / "server.json").exists())
        await self.client.event("disconnected")
        ports = (
            *("--control-port", str(self.server.control_port)),
            *("--data-port", str(self.server.data_port)),
        )
        again = ServerProcess(
            self, *ports, data_dir=self.server.data_dir, database=self.server.database
        )
        await again.start()
        await self.client.event("reconnected")
        visitor = await self.visit(self.request())
        behind = await self.upstream.connection()
        await read_head(behind)
        behind.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")


class RefusedStartTests(TestCase):
    """A start that can't be ends with one clear line and a status."""

    timeout = 180

    async def assertRefused(self, server: Program, status: int, *words: str) -> None:
        """It ends with that status, and one line of these words."""
        server.spawn()
        self.assertEqual(await server.ended(), status, server.stdout + server.stderr)
        (line,) = server.stderr.splitlines()
        self.assertTrue(line.startswith("inletspy: "), line)
        for word in words:
            self.assertIn(word, line)
        self.assertNotIn("Traceback", server.stdout)

    async def test_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            for plane in ("control", "data", "status"):
                server = ServerProcess(self, f"--{plane}-port", port)
                words = (f"port {port} ({plane})", "in use", f"--{plane}-port")
                await self.assertRefused(server, 1, *words)
                self.assertFalse((server.data_dir / "server.json").exists())
            server = ServerProcess(self, "--data", f"tcp:{port}:interface=127.0.0.1")
            await self.assertRefused(server, 1, "(data)", "in use", "choose another with --data")

    async def test_second_server(self) -> None:
        first = ServerProcess(self)
        await first.start()
        second = ServerProcess(self, data_dir=first.data_dir, database=first.database)
        await self.assertRefused(second, 1, "another inletspy server uses", str(first.data_dir))
        self.assertEqual(first._description(), first.described)
        self.assertEqual((await fetch(f"{first.status_url}/health")).status, 200)
        self.assertEqual(await first.stop(), 0)
        third = ServerProcess(self, data_dir=first.data_dir, database=first.database)
        await third.start()

    async def test_data_directory(self) -> None:
        file = Path(self.mktemp()).absolute()
        file.write_text("no directory")
        for path in (file, file / "below", Path("/proc/nowhere"), Path("/dev/null")):
            server = ServerProcess(self, data_dir=path)
            await self.assertRefused(
                server, 1, f"can't use the data directory {path}", "--data-dir"
            )

    async def test_full_disk(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "inletspy-test", folder],
            capture_output=True,
            timeout=20,
        )
        if mounted.returncode:
            raise SkipTest("only root may mount a small disk")
        self.addCleanup(lambda: subprocess.run(["umount", folder], timeout=20, check=True))
        with open(folder / "filling", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        server = ServerProcess(self, data_dir=folder)
        await self.assertRefused(server, 1, "No space left on device")
        server = ServerProcess(self, data_dir=folder, database=None)
        await self.assertRefused(server, 1, "")

    async def test_database(self) -> None:
        url = "postgresql://nobody:s3cret@127.0.0.1:1/nowhere"
        server = ServerProcess(self, database=url)
        await self.assertRefused(server, 1, "can't reach the database", "127.0.0.1:1")
        self.assertNotIn("s3cret", server.stdout + server.stderr)

    async def test_options(self) -> None:
        for options, words in (
            (["--data-port", "abc"], ("--data-port", "'abc'")),
            (["--domain", "a..b"], ("--domain",)),
            (["--nonsense"], ("--nonsense",)),
            (["3000"], ("'3000'",)),
            (["--token-file", "/nonexistent"], ("/nonexistent", "No such file")),
        ):
            await self.assertRefused(ServerProcess(self, *options), 2, *words, "--help")
        server = ServerProcess(self, environ={"INLETS_DOMAIN": "-a"})
        await self.assertRefused(server, 2, "INLETS_DOMAIN")

    async def test_endpoints(self) -> None:
        pem = Path(self.mktemp()).absolute()
        pem.write_text("no certificate")
        for options, words in (
            (["--control", "carrier-pigeon:1"], ("--control", "Unknown endpoint type")),
            (["--data", "tcp:x"], ("--data", "'tcp:x' is no endpoint")),
            (["--status", "ssl:0:privateKey=/nonexistent"], ("--status", "No such file")),
            (["--status", f"ssl:0:privateKey={pem}"], ("--status", "no key and certificate")),
            (["--interface", "192.0.2.1"], ("192.0.2.1", "--interface")),
            (["--interface", "no.such.host.invalid"], ("invalid", "--interface")),
        ):
            await self.assertRefused(ServerProcess(self, *options), 1, *words)


class StartedTests(WholeTestCase):
    """The ways to start a server."""

    async def assertServes(self, server: ServerProcess) -> None:
        client = ClientProcess(self, server, str(upstream(self)), "--name", "app")
        await client.start()
        answer = await fetch(server.url("app"))
        self.assertEqual((answer.status, answer.json["method"]), (200, "GET"))
        self.assertEqual((await fetch(f"{server.status_url}/health")).status, 200)

    async def test_described(self) -> None:
        server = ServerProcess(self, "--public-url", "https://tunnel.example.com", database=None)
        await server.start()
        path = server.data_dir / "server.json"
        self.assertEqual(
            server.described,
            {
                **server.described,
                "pid": server.pid,
                "host": "127.0.0.1",
                "domain": "tunnel.localhost",
                "public_url": "https://tunnel.localhost",
                "database": "embedded",
            },
        )
        self.assertNotIn(server.token, path.read_text())
        self.assertNotIn(server.token, server.stdout + server.stderr)
        self.assertEqual(server.token_file.stat().st_mode & 0o777, 0o600)
        self.assertEqual(path.stat().st_uid, os.getuid())
        await server.until("ready", lambda: "inletspy is ready." in server.stdout or None)
        await self.assertServes(server)
        self.assertEqual(await server.stop(), 0)
        self.assertFalse(path.exists())
        self.assertFalse((server.data_dir / "postgres" / "postmaster.pid").exists())

    async def test_twist(self) -> None:
        server = ServerProcess(self)
        own = server.command.index("inletspy")
        main = "from twisted.application.twist._twist import Twist; Twist.main()"
        twist = [sys.executable, "-c", main]
        server.command[:own] = twist
        await server.start()
        await self.assertServes(server)
        self.assertEqual(await server.stop(), 0)
        server = ServerProcess(self, data_dir=Path("/proc/nowhere"))
        server.command[:own] = twist
        server.spawn()
        self.assertEqual(await server.ended(), 1)

    async def test_daemon(self) -> None:
        server = Daemon(self)
        await server.start()
        await self.assertServes(server)
        daemon = server.pid
        os.kill(daemon, signal.SIGTERM)
        await until(lambda: not server.pid_file.exists(), "gone")
        self.assertIn("Server Shut Down", server.log_file.read_text())
        self.assertFalse((server.data_dir / "server.json").exists())

    async def test_daemon_that_can_not_start(self) -> None:
        server = Daemon(self, data_dir=Path("/proc/nowhere"))
        server.spawn()
        self.assertEqual(await server.ended(), 0)  # all that twistd knows by then

        def told() -> bool:
            return server.log_file.exists() and "Server Shut Down" in server.log_file.read_text()

        await until(told, "told")
        log = server.log_file.read_text()
        self.assertIn("inletspy: can't use the data directory /proc/nowhere", log)
        self.assertFalse(server.pid_file.exists())

    async def test_one_port(self) -> None:
        port = str(free_port())
        server = ServerProcess(self, "--control-port", port, "--data-port", port)
        await server.start()
        self.assertEqual((server.control_port, server.data_port), (int(port), int(port)))
        await self.assertServes(server)
        answer = await fetch(f"http://127.0.0.1:{port}/tunnel")
        self.assertEqual(answer.status, 404)  # without an upgrade it is for visitors
        self.assertEqual(await server.stop(), 0)

    async def test_unix_sockets(self) -> None:
        # A socket's name has a hundred bytes at most, which a test's folder may exceed.
        folder = own_cluster(self).directory.parent
        options = [
            word
            for plane in ("data", "status")
            for word in (f"--{plane}", f"unix:{folder / plane}")
        ]
        self.server = ServerProcess(self, *options)
        await self.server.start()
        self.assertEqual((self.server.data_port, self.server.status_port), (0, 0))
        self.assertNotIn("localhost:0", self.server.stdout)
        self.upstream = Upstream(self)
        await self.start_client(self.upstream)
        visitors = PeerFactory(self)
        visitor = await visitors.connect(UNIXClientEndpoint(reactor, str(folder / "data")))
        visitor.send(request("GET / HTTP/1.1", "Host: app.tunnel.localhost"))
        behind = await self.upstream.connection()
        await read_head(behind)
        behind.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")
        asking = await visitors.connect(UNIXClientEndpoint(reactor, str(folder / "status")))
        asking.send(request("GET /health HTTP/1.1", "Host: a", "Connection: close"))
        self.assertIn(b'"ok"', await asking.read_to_end())
        self.assertEqual(await self.server.stop(), 0)
        self.assertFalse((folder / "data").exists())

    async def test_token_file(self) -> None:
        file = Path(self.mktemp()).absolute()
        file.write_text("a-token-for-this-start\n")
        server = ServerProcess(self, "--token-file", str(file))
        await server.start()
        await self.assertServes(server)
        self.assertEqual(server.token, "a-token-for-this-start")
        self.assertEqual(await server.stop(), 0)
        assert server.database is not None
        ((stored,),) = execute(
            server.database, "SELECT value FROM config_settings WHERE key = 'inlets_shared_token'"
        )
        self.assertNotEqual(stored, "a-token-for-this-start")
        again = ServerProcess(self, data_dir=server.data_dir, database=server.database)
        await again.start()
        self.assertEqual(again.token, stored)

    async def test_configuration_file_and_environment(self) -> None:
        file = Path(self.mktemp()).absolute()
        file.write_text('domain = "file.localhost"\npublic-url = "http://file.localhost:1"\n')
        server = ServerProcess(
            self, "--config", str(file), environ={"INLETS_DOMAIN": "environ.localhost"}
        )
        await server.start()
        self.assertEqual(server.domain, "environ.localhost")
        self.assertEqual(server.described["public_url"], "http://environ.localhost:1")


class SettingsTests(WholeTestCase):
    async def config(self, *arguments: str) -> None:
        """Run `inletspy config` as a person does."""
        assert self.server.database is not None
        command = [sys.executable, "-c", ADMIN, "config", *arguments]
        program = Program(self, [*command, "--data-dir", str(self.server.data_dir)])
        program.spawn()
        self.assertEqual(await program.ended(), 0, program.stderr)

    async def test_tunnels_off_and_on(self) -> None:
        await self.start()
        await self.config("set", "tunnels_enabled", "false")
        notice = await self.client.event("notice")
        self.assertIn("turned tunnels off", notice["message"])
        await self.client.event("disconnected")
        answer = await fetch(f"{self.server.status_url}/status")
        self.assertEqual(answer.json, [])
        self.assertEqual((await fetch(self.server.url("app"))).status, 503)
        other = ClientProcess(self, self.server, "3000", "--name", "other")
        other.spawn()
        self.assertEqual(await other.ended(), 3)
        await self.config("set", "tunnels_enabled", "true")
        await self.client.event("reconnected")
        rows = (await fetch(f"{self.server.status_url}/status")).json
        self.assertEqual([row["hostname"] for row in rows], [self.host])


class DatabaseTests(WholeTestCase):
    async def test_stopped_and_started_under_traffic(self) -> None:
        cluster = own_cluster(self)
        url = cluster.start()
        self.server = ServerProcess(self, database=url)
        await self.server.start()
        self.visitors = PeerFactory(self)
        client = ClientProcess(self, self.server, str(upstream(self)), "--name", "app")
        await client.start()
        statuses: list[int] = []
        running = True

        async def visit() -> None:
            while running:
                statuses.append((await fetch(self.server.url("app"))).status)

        traffic = gatherResults([ensureDeferred(visit()) for _ in range(4)])
        await until(lambda: len(statuses) > 20, "under way")
        cluster.stop()
        await self.until_health(503)
        served = len(statuses)
        await until(lambda: len(statuses) > served + 20, "serving without a database")
        late = ClientProcess(self, self.server, str(upstream(self)), "--name", "late")
        await late.start()  # what it takes is known
        cluster.start()
        execute(url, "UPDATE config_settings SET value = 'true' WHERE key = 'status_public'")
        execute(url, "UPDATE config_settings SET value = '7' WHERE key = 'heartbeat_seconds'")
        await self.until_health(200)
        third = ClientProcess(self, self.server, str(upstream(self)), "--name", "third")
        await third.start()
        public = await fetch(f"{self.server.status_url}/status", source="127.0.0.1")
        self.assertEqual(len(public.json), 3)
        execute(url, "UPDATE config_settings SET value = 'false' WHERE key = 'tunnels_enabled'")
        running = False
        await traffic
        self.assertEqual(set(statuses[:-4]), {200})
        for each in (client, late, third):
            await each.event("disconnected")
        self.assertEqual(await self.server.stop(), 0)
        self.assertNotIn("Traceback", self.server.stdout)

    async def until_health(self, status: int) -> None:
        """Ask for the server's health until it is that."""
        deadline = reactor.seconds() + TIMEOUT
        while (answer := await fetch(f"{self.server.status_url}/health")).status != status:
            if reactor.seconds() > deadline:
                self.fail(f"still {answer.status} in place of {status}: {answer.json}")


class Daemon(ServerProcess):
    """`twistd inletspy`, which leaves the foreground."""

    def __init__(self, case: TestCase, **options: Any) -> None:
        super().__init__(case, **options)
        self.pid_file = self.home / "twistd.pid"
        self.log_file = self.home / "twistd.log"
        own = self.command.index("-n")
        self.command[own : own + 2] = [f"--pidfile={self.pid_file}", f"--logfile={self.log_file}"]
        case.addCleanup(self._end_daemon)

    @property
    def pid(self) -> int:
        """That of the daemon, once it is one."""
        return int(self.pid_file.read_text()) if self.pid_file.exists() else super().pid

    async def start(self) -> None:
        self.spawn()
        status = await self.ended()
        if status:
            self.fail(f"ended with status {status}")

        def described() -> bool:
            try:
                content = json.loads((self.data_dir / "server.json").read_text())
            except (OSError, ValueError):
                return False
            self.described = content
            return bool(content["pid"] == self.pid)

        await until(described, "ready")

    async def _end_daemon(self) -> None:
        if self.pid_file.exists():
            os.kill(self.pid, signal.SIGTERM)
            await until(lambda: not self.pid_file.exists(), "gone")


def listens(port: int) -> bool:
    """Whether anybody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
