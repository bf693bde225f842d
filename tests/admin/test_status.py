"""`inletspy status`, against a status port in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from inletspy.admin.status import changes
from inletspy.web.registrations import Registrations
from inletspy.web.site import status_site
from tests.system.processes import Program, reactor
from tests.web.support import (
    ADMIN_TOKEN,
    ALICE_TOKEN,
    CONDITION,
    CREDENTIALS,
    SHARED_TOKEN,
    StubAccounts,
    StubSettings,
    StubSharedLinks,
    StubTunnels,
    live_row,
    sign_ins,
)


class StatusTestCase(TestCase):
    """Tests of a command that asks a status port.

    Attributes:
        name: the command's.
    """

    timeout = 120
    name = "status"

    async def begin(self, site: Site | None = None) -> None:
        """Listen, and leave behind what tells a command where."""
        self.live = StubTunnels()
        registrations = Registrations(self.live, reactor)
        self.addCleanup(registrations.stop)
        self.site = site or status_site(
            settings=StubSettings(),
            accounts=StubAccounts(None),
            tunnels=registrations,
            shared_links=StubSharedLinks(),
            authenticate=lambda token, source: CREDENTIALS.get(token),
            sign_ins=sign_ins(reactor.seconds),
            health=lambda: None,
            condition=lambda: CONDITION,
            server_url=lambda: "",
            clock=reactor,
        )
        self.listening = reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(self.listening.stopListening)
        self.port: int = self.listening.getHost().port
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.announce(status_port=self.port)

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.begin())

    def announce(self, **changes: Any) -> None:
        content = {"host": "127.0.0.1", "status_port": self.port, "pid": os.getpid(), **changes}
        (self.folder / "server.json").write_text(json.dumps(content))

    def command(self, *words: str, **environ: str) -> Program:
        """The command, started."""
        where = [] if "--status-url" in words else ["--data-dir", str(self.folder)]
        line = [sys.executable, "-m", "inletspy.admin.main", self.name, *words, *where]
        program = Program(self, line, environ)
        program.spawn()
        return program

    async def said(self, *words: str, **environ: str) -> str:
        """What it prints when all is well."""
        program = self.command(*words, **environ)
        self.assertEqual((await program.ended(), program.stderr), (0, ""))
        return program.stdout

    async def refused(self, status: int, text: str, *words: str, **environ: str) -> None:
        """See it end with one line that holds the text."""
        program = self.command(*words, **environ)
        self.assertEqual((await program.ended(), program.stdout), (status, ""), program.stderr)
        self.assertIn(text, program.stderr)
        self.assertEqual(program.stderr.count("\n"), 1, program.stderr)

    def token_file(self, token: str) -> str:
        path = Path(self.mktemp()).absolute()
        path.write_text(token + "\n")
        return str(path)


class ListTests(StatusTestCase):
    async def test_a_table(self) -> None:
        self.live.show(live_row(), live_row(owner="alice", status="draining", client_id="a\x1b[2J"))
        lines = (await self.said()).splitlines()
        self.assertEqual(lines[0].split(), ["ADDRESS", "UPSTREAM", "CLIENT", "SINCE", "STATE"])
        self.assertEqual(
            lines[1].split(),
            [
                "http://abc-4000.tunnel.localhost:8080",
                "http://localhost:4000",
                "abc",
                "2025-12-31",
                "00:00Z",
                "active",
            ],
        )
        self.assertIn("a\\x1b[2J", lines[2])
        self.assertTrue(lines[2].endswith("draining"))

    async def test_none(self) -> None:
        self.assertEqual(await self.said(), "no tunnels\n")
        self.assertEqual(json.loads(await self.said("--json")), [])

    async def test_as_json(self) -> None:
        row = live_row()
        self.live.show(row)
        shown = {key: value for key, value in row.items() if key != "owner"}
        self.assertEqual(json.loads(await self.said("--json")), [shown])

    async def test_whose_token_it_is_decides(self) -> None:
        self.live.show(live_row(), live_row(owner="alice", client_id="alices"))
        file = self.token_file(ALICE_TOKEN)
        for how in ({"INLETS_TOKEN": ALICE_TOKEN}, {}):
            words = () if how else ("--token-file", file)
            (row,) = json.loads(await self.said("--json", *words, **how))
            self.assertEqual(row["client_id"], "alices")
        table = await self.said("--token-file", self.token_file(ADMIN_TOKEN))
        self.assertEqual(
            [line.split()[3] for line in table.splitlines()], ["OWNER", "shared", "alice"]
        )

    async def test_the_stored_token_where_one_is_wanted(self) -> None:
        self.live.show(live_row())
        # The same machine, by what could be a name from the public DNS.
        self.announce(host="0x7f.1")
        (self.folder / "token.txt").write_text(SHARED_TOKEN)
        self.assertIn("abc", await self.said())

    async def test_an_address(self) -> None:
        self.live.show(live_row())
        for url in (f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}/status/"):
            self.assertIn("abc", await self.said("--status-url", url))


class RefusalTests(StatusTestCase):
    async def test_no_server(self) -> None:
        self.announce(status_port=1)
        await self.refused(
            1, "can't reach the status port at http://127.0.0.1:1: Connection refused"
        )
        self.announce(status_port=0)
        await self.refused(1, "name it with --status-url")
        (self.folder / "server.json").write_text("{")
        await self.refused(1, "is damaged")
        (self.folder / "server.json").unlink()
        await self.refused(1, "no server runs with the data directory")

    async def test_one_that_was_killed(self) -> None:
        """Somebody else may have its port by now."""
        ended = subprocess.Popen(["true"])
        ended.wait()
        self.announce(pid=ended.pid)
        await self.refused(1, "no server runs with the data directory")

    async def test_tokens(self) -> None:
        await self.refused(1, "does not accept the token", INLETS_TOKEN="wrong")
        await self.refused(2, "INLETS_TOKEN", INLETS_TOKEN="a b")
        await self.refused(2, "can't read the token file", "--token-file", "/nowhere")

    async def test_addresses_that_are_none(self) -> None:
        for url in (
            "localhost:8091",
            "ftp://localhost",
            "http://",
            "http://a:b",
            "http://u@h",
            "http://[",
            "http://h/?q",
        ):
            await self.refused(2, "--status-url: must be", "--status-url", url)


class OtherServerTests(StatusTestCase):
    answers: list[bytes]

    async def begin(self, site: Site | None = None) -> None:
        """Answer with whatever a test likes."""
        case = self

        class Other(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                return case.answers.pop()

        await super().begin(Site(Other()))

    async def test_what_is_no_status_port(self) -> None:
        for answer in (b"<html>", b"{}", b"[1]", b'[{"id": 1}]', b"[null]", b"[" * 99_999, b"\xff"):
            self.answers = [answer]
            await self.refused(1, "is no status port of an inletspy server")


class WatchTests(StatusTestCase):
    async def test_one_object_a_change(self) -> None:
        first, second = live_row(), live_row()
        self.live.show(first)
        program = self.command("--json", "--watch")

        def events() -> list[tuple[str, str]]:
            told = [json.loads(line) for line in program.stdout.splitlines()]
            return [(item["event"], item["tunnel"]["id"]) for item in told]

        async def seen(*expected: tuple[str, str]) -> None:
            await program.until(f"told of {expected}", lambda: events() == [*expected] or None)

        expected = [("added", first["id"])]
        await seen(*expected)
        self.live.show({**first, "status": "draining"}, second)
        expected += [("changed", first["id"]), ("added", second["id"])]
        await seen(*expected)
        self.live.show(second)
        await seen(*expected, ("removed", first["id"]))
        program.kill(signal.SIGINT)
        await program.ended()
        self.assertEqual(program.stderr, "")

    async def test_a_server_that_goes_away_and_comes_back(self) -> None:
        self.live.show(live_row())
        program = self.command("--json", "--watch")
        await program.until("told", lambda: program.stdout or None)
        await self.listening.stopListening()
        await program.until("complaining", lambda: program.stderr or None)
        self.assertIn("Connection refused", program.stderr)
        self.assertIn("trying again", program.stderr)
        self.live.show()
        again = reactor.listenTCP(self.port, self.site, interface="127.0.0.1")
        self.addCleanup(again.stopListening)
        await program.until("told again", lambda: '"removed"' in program.stdout or None)
        self.assertEqual(program.stderr.count("\n"), 1)


class ChangesTests(SynchronousTestCase):
    def test_what_came_went_and_changed(self) -> None:
        a, b, c = ({"id": name, "status": "active"} for name in "abc")
        changed = {**b, "status": "draining"}
        self.assertEqual(
            list(changes([a, b], [changed, c])),
            [("removed", a), ("changed", changed), ("added", c)],
        )
        self.assertEqual(list(changes([a, b], [b, a])), [])
