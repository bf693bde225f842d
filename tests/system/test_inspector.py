"""The inspector of a real client, beside a real tunnel."""

from __future__ import annotations

import json
import socket
from typing import Any

from tests.edge.tunnels import ok, read_answer, read_head
from tests.peers import CUT, Peer, until
from tests.system.http import Answer, fetch
from tests.system.processes import ClientProcess
from tests.system.whole import WholeTestCase


class InspectorTests(WholeTestCase):
    async def inspected(self, *arguments: str) -> None:
        """Start the whole with an inspector."""
        await self.start("--inspect", "0", *arguments)
        (ready,) = [event for event in self.client.events if event["event"] == "ready"]
        self.base, _, self.token = ready["inspector_url"].partition("/#token=")

    async def ask(self, path: str, method: str = "GET", body: Any = None) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}"}
        data = None if body is None else json.dumps(body).encode()
        return await fetch(f"{self.base}{path}", method=method, headers=headers, body=data)

    async def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask("/api/requests")).json["data"]["requests"]
        return found

    async def answered(self, path: str, *fields: str, body: bytes = b"") -> Peer:
        """A request gets through, and its answer; gives the upstream's connection."""
        visitor = await self.visit(
            self.request(f"{'POST' if body else 'GET'} {path} HTTP/1.1", *fields, body=body)
        )
        peers = self.upstream.peers
        upstream = peers[-1] if peers else await self.upstream.connection()
        await read_head(upstream)
        upstream.send(ok(b"fine"))
        await read_answer(visitor)
        return upstream

    async def test_a_request_replayed(self) -> None:
        await self.inspected()
        upstream = await self.answered("/a?b=c")
        (row,) = await self.rows()
        self.assertEqual((row["path"], row["status"], row["visitor"]), ("/a?b=c", 200, "127.0.0.1"))
        again = (await self.ask(f"/api/requests/{row['id']}/replay", "POST", {})).json["data"]
        upstream = await self.upstream.connection()
        self.assertEqual((await read_head(upstream)).start, "GET /a?b=c HTTP/1.1")
        upstream.send(ok(b"again"))
        await upstream.ended()
        found = (await self.ask(f"/api/requests/{again['id']}")).json["data"]
        self.assertEqual(found["response"]["body"]["text"], "again")
        self.assertEqual((found["replay_of"], found["state"]), (row["id"], "done"))

    async def test_nothing_listens(self) -> None:
        await self.inspected()
        await self.upstream.stop()
        visitor = await self.visit(self.request("GET /lost HTTP/1.1"))
        self.assertIn("502", (await read_answer(visitor))[0].start)
        (row,) = await self.rows()
        self.assertEqual((row["path"], row["failure"]["kind"]), ("/lost", "refused"))
        self.assertIn(str(self.upstream.port), row["failure"]["title"])

    async def test_the_upstream_breaks_off(self) -> None:
        await self.inspected()
        visitor = await self.visit(self.request("GET /half HTTP/1.1"))
        upstream = await self.upstream.connection()
        await read_head(upstream)
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await visitor.read_until(b"half")
        upstream.cut()
        self.assertEqual(await visitor.ended(), CUT)
        (found,) = await self.rows()
        self.assertEqual((found["status"], found["failure"]["kind"]), (200, "reset"))

    async def test_the_inspectors_paths_are_the_upstreams(self) -> None:
        """Who comes through the tunnel reaches the service, whatever is asked for."""
        await self.inspected()
        port = self.base.rpartition(":")[2]
        for path in ("/api/requests", "/api/session", "/assets/inspector/index.html", "/"):
            cookie = f"Cookie: inletspy_inspector_{port}=x"
            await self.answered(path, f"Authorization: Bearer {self.token}", cookie)
        self.assertEqual(len(await self.rows()), 4)
        # Nor does a name that the tunnel has lead there.
        answer = await fetch(
            f"{self.base}/api/requests",
            headers={"Authorization": f"Bearer {self.token}", "Host": f"{self.host}:{port}"},
        )
        self.assertEqual(answer.status, 421)

    async def test_off(self) -> None:
        for arguments in (("--inspect", "off"), ("--inspect", "OFF")):
            await self.start(*arguments)
            (ready,) = [event for event in self.client.events if event["event"] == "ready"]
            self.assertNotIn("inspector_url", ready)
            await self.client.stop()

    async def test_two_at_once(self) -> None:
        await self.start()
        other = await self.start_client(self.upstream, name="other")
        urls = {
            event["inspector_url"]
            for program in (self.client, other)
            for event in program.events
            if event["event"] == "ready"
        }
        self.assertEqual(len({url.partition("#")[0] for url in urls}), 2)

    async def test_a_port_that_is_taken(self) -> None:
        await self.start_server()
        taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(taken.close)
        port = str(taken.getsockname()[1])
        for arguments, environ in (
            (["3000", "--inspect", port], {}),
            (["3000"], {"INLETSPY_INSPECT": port}),
        ):
            program = ClientProcess(self, self.server, *arguments, environ=environ)
            program.spawn()
            self.assertEqual(await program.ended(), 1)
            (line,) = program.stderr.splitlines()
            self.assertIn(f"can't listen on 127.0.0.1:{port}", line)
            self.assertIn("--inspect", line)

    async def test_what_makes_no_sense(self) -> None:
        await self.start_server()
        for arguments, environ, text in (
            (["3000", "--inspect", "on"], {}, "--inspect: 'on' is neither a port nor off"),
            (["3000"], {"INLETSPY_INSPECT_MEMORY": "x"}, "INLETSPY_INSPECT_MEMORY: 'x' is no"),
        ):
            program = ClientProcess(self, self.server, *arguments, environ=environ)
            program.spawn()
            self.assertEqual(await program.ended(), 2)
            self.assertIn(text, program.stderr)
            self.assertEqual(len(program.stderr.splitlines()), 1)

    async def test_it_ends_with_open_ends(self) -> None:
        """Neither who looks on nor a replay under way keeps the program from ending."""
        await self.inspected()
        await self.answered("/")
        port = int(self.base.rpartition(":")[2])
        viewer = await self.visitors.connect_to(port)
        viewer.send(
            f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {self.token}\r\n\r\n".encode()
        )
        await viewer.read_until(b"hello")
        (row,) = await self.rows()
        await self.ask(f"/api/requests/{row['id']}/replay", "POST", {})
        self.assertEqual(await self.client.stop(), 0)
        await until(lambda: viewer.end is not None, "away")
