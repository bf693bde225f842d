"""`inletspy setup`, and then a server by the file that it wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import unquote

from tests.admin.test_setup import sourced
from tests.postgres import url_of_new_database
from tests.system.http import fetch, upstream
from tests.system.processes import ClientProcess, Program, ServerProcess
from tests.system.samples import SampleTestCase, moved

ADMIN = "import sys; from inletspy.admin.main import main; sys.exit(main())"


class SetupTests(SampleTestCase):
    async def test_a_server_for_others(self) -> None:
        folder = Path(self.mktemp()).absolute()
        environ = {"INLETSPY_DATABASE": url_of_new_database()}
        command = [sys.executable, "-c", ADMIN, "setup", "--data-dir", str(folder)]
        setup = Program(self, [*command, "--domain", "example.com"], environ)
        setup.spawn()
        self.assertEqual(await setup.ended(), 0, setup.stderr)
        written = sourced(folder / "inletspy.env")
        # The sample's own domain gives way to the one that was set up.
        server = ServerProcess(
            self, *moved("behind-nginx.toml"), environ=written, data_dir=folder, database=None
        )
        await server.start()
        self.assertEqual(server.described["public_url"], "https://example.com")
        self.assertEqual(unquote(server.described["database"]), environ["INLETSPY_DATABASE"])
        self.assertEqual(server.token, written["INLETS_TOKEN"])
        answer = await fetch(f"{server.status_url}/api/config/tunnels", token=server.token)
        self.assertEqual(
            answer.json["data"],
            {
                "tunnels_enabled": True,
                "inlets_server_url": "wss://example.com",
                "inlets_shared_token": server.token,
                "tunnel_base_domain": "example.com",
            },
        )
        client = ClientProcess(self, server, str(upstream(self)), "--name", "app")
        self.assertEqual((await client.start())["public_url"], "https://app.example.com")
        self.assertEqual((await fetch(server.url("app"))).status, 200)
        await self.assertServes(server)
        self.assertNotIn("not what this start was told", server.stdout + server.stderr)
