"""`inletspy dashboard`, against a status port in this process."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from treq import content
from treq.client import HTTPClient
from twisted.web.client import Agent
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.admin.test_status import StatusTestCase
from tests.system.processes import reactor
from tests.web.support import ADMIN_TOKEN, ALICE_TOKEN, CONNECT_ONLY_TOKEN, SHARED_TOKEN


class DashboardTestCase(StatusTestCase):
    name = "dashboard"

    async def link(self, *words: str, **environ: str) -> tuple[str, str]:
        """The link that is printed, and what is said with it."""
        program = self.command(*words, **environ)
        self.assertEqual(await program.ended(), 0, program.stderr)
        self.assertEqual(program.stdout.count("\n"), 1)
        return program.stdout.rstrip("\n"), program.stderr

    async def sign_in(self, link: str) -> tuple[int, str]:
        """What a page makes of the link: the status, and the answer."""
        page, _, fragment = link.partition("#")
        code = fragment.removeprefix("code=")
        client = HTTPClient(Agent(reactor))
        response = await client.post(f"{page}api/session", json={"code": code})
        return response.code, (await content(response)).decode()


class LinkTests(DashboardTestCase):
    async def test_it_signs_in_once(self) -> None:
        for how, user in (
            ({"INLETS_TOKEN": ALICE_TOKEN}, "alice"),
            ({"INLETS_TOKEN": ADMIN_TOKEN}, "root"),
        ):
            link, said = await self.link(**how)
            self.assertRegex(link, rf"^http://127\.0\.0\.1:{self.port}/#code=[\w-]{{43}}$")
            self.assertIn(f"signs in as {user}", said)
            self.assertNotIn("code", said)
            status, answer = await self.sign_in(link)
            self.assertEqual(status, 200)
            self.assertIn(f'"user": "{user}"', answer)
            self.assertEqual((await self.sign_in(link))[0], 401)

    async def test_the_stored_token_of_the_server_on_this_machine(self) -> None:
        (self.folder / "token.txt").write_text(SHARED_TOKEN)
        link, said = await self.link()
        self.assertIn("signs in as shared", said)
        self.assertEqual((await self.sign_in(link))[0], 200)

    async def test_a_server_elsewhere_is_reached_as_it_was_asked(self) -> None:
        url = f"http://localhost:{self.port}"
        link, _ = await self.link(
            "--status-url", f"{url}/", "--token-file", self.token_file(ALICE_TOKEN)
        )
        self.assertTrue(link.startswith(f"{url}/#code="), link)

    async def test_an_address_that_is_none_to_go_to(self) -> None:
        self.announce(host="0.0.0.0")
        link, _ = await self.link(INLETS_TOKEN=ALICE_TOKEN)
        self.assertTrue(link.startswith(f"http://localhost:{self.port}/#code="), link)

    async def test_in_a_browser(self) -> None:
        seen = Path(self.mktemp()).absolute()
        browser = Path(self.mktemp()).absolute()
        browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
        browser.chmod(0o755)
        link, _ = await self.link("--open", INLETS_TOKEN=ALICE_TOKEN, BROWSER=str(browser))
        self.assertEqual(seen.read_text(), link)

    async def test_no_browser(self) -> None:
        nothing = {"PATH": "/nowhere", "DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}
        link, said = await self.link("--open", INLETS_TOKEN=ALICE_TOKEN, **nothing)
        self.assertTrue(link.startswith("http://"))
        self.assertIn("open the link yourself", said)


class RefusalTests(DashboardTestCase):
    async def test_tokens(self) -> None:
        await self.refused(1, "wants a token")
        await self.refused(1, "does not accept the token", INLETS_TOKEN="wrong")
        await self.refused(1, "needs the scope status", INLETS_TOKEN=CONNECT_ONLY_TOKEN)
        await self.refused(2, "can't read the token file", "--token-file", "/nowhere")
        await self.refused(2, "leave --token-file out", "--admin", "--token-file", "/nowhere")

    async def test_servers(self) -> None:
        self.announce(status_port=1)
        await self.refused(1, "can't reach the status port at http://127.0.0.1:1")
        await self.refused(2, "--status-url: must be", "--status-url", "localhost:8091")
        os.unlink(self.folder / "server.json")
        await self.refused(1, "no server runs with the data directory")
        await self.refused(1, "no server runs with the data directory", "--admin")


class OtherServerTests(DashboardTestCase):
    answer: tuple[int, bytes]

    async def begin(self, site: Site | None = None) -> None:
        """Answer with whatever a test likes."""
        case = self

        class Other(Resource):
            isLeaf = True

            def render_POST(self, request: Any) -> bytes:
                request.setResponseCode(case.answer[0])
                return case.answer[1]

        await super().begin(Site(Other()))

    async def test_what_is_no_status_port(self) -> None:
        for body in (b"<html>", b"{}", b"[1]", b'{"data": 1}', b'{"data": {"url": "http://["}}'):
            self.answer = (200, body)
            await self.refused(1, "is no status port of an inletspy server", INLETS_TOKEN="x")
        self.answer = (404, b'{"error": "Not found"}')
        await self.refused(1, "(HTTP 404)", INLETS_TOKEN="x")

    async def test_a_server_that_can_not_sign(self) -> None:
        self.answer = (503, b'{"error": "No key to sign with", "detail": "Set a key"}')
        program = self.command(INLETS_TOKEN="x")
        self.assertEqual(await program.ended(), 1)
        self.assertTrue(re.search("can't do that: Set a key\n$", program.stderr))
