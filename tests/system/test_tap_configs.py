"""Each sample in tap-configs/ starts what it is there to start."""

from __future__ import annotations

from pathlib import Path

from tests.system.http import fetch, upstream
from tests.system.processes import ClientProcess, ServerProcess
from tests.system.samples import DOMAIN, SAMPLES, SampleTestCase, certificate, moved


class ServerTests(SampleTestCase):
    async def test_development(self) -> None:
        server = ServerProcess(self, "--config", str(SAMPLES / "development.toml"))
        await server.start()
        self.assertEqual(server.domain, "tunnel.localhost")
        answer = await fetch(server.url("nobody"))
        self.assertEqual(answer.status, 404)
        await self.assertServes(server)

    async def test_production(self) -> None:
        folder = Path(self.mktemp()).absolute()
        authority = certificate(folder)
        server = ServerProcess(self, *moved("production.toml", folder))
        await server.start()
        self.assertEqual(server.described["public_url"], f"https://{DOMAIN}")
        self.assertEqual(server.control_port, server.data_port)
        visited = f":{server.data_port}/"
        answer = await fetch(f"https://nobody.{DOMAIN}{visited}", authority=authority)
        self.assertEqual(answer.status, 404)

        await self.enable(server)
        client = ClientProcess(
            self,
            server,
            *(str(upstream(self)), "--name", "app", "--server", f"wss://localhost{visited}"),
            environ={"SSL_CERT_FILE": str(folder / "fullchain.pem")},
        )
        self.assertEqual((await client.start())["public_url"], f"https://app.{DOMAIN}")
        answer = await fetch(f"https://app.{DOMAIN}{visited}", authority=authority)
        self.assertEqual(answer.status, 200)
        await self.assertServes(server)

    async def test_behind_nginx(self) -> None:
        server = ServerProcess(self, *moved("behind-nginx.toml"))
        await server.start()
        self.assertEqual(server.described["public_url"], f"https://{DOMAIN}")
        await self.assertServes(server)

    async def test_application(self) -> None:
        variables = {
            "INLETSPY_INTERFACE": "127.0.0.1",
            "INLETS_CONTROL_PORT": "0",
            "INLETS_DATA_PORT": "0",
            "INLETS_STATUS_PORT": "0",
        }
        server = ServerProcess(self, environ=variables)
        assert server.database is not None
        server.environ |= {
            "INLETSPY_DATA_DIR": str(server.data_dir),
            "INLETSPY_DATABASE": server.database,
        }
        # In place of the plugin and its options.
        own = server.command.index("inletspy")
        server.command[own:] = ["--python", str(SAMPLES / "inletspy.tac")]
        await server.start()
        self.assertEqual(server.domain, "tunnel.localhost")
        await self.assertServes(server)
