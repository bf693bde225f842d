"""The samples of tap-configs/, moved to where a test can use them.

What only makes sense on its own machine (paths, ports, the database) is replaced; all
else is as in the sample.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

from OpenSSL.crypto import FILETYPE_PEM
from twisted.internet.ssl import Certificate
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.certificates import self_signed
from tests.postgres import execute
from tests.system.http import fetch
from tests.system.processes import CHECKOUT, ServerProcess, reactor

__all__ = ["DOMAIN", "SAMPLES", "SampleTestCase", "certificate", "moved"]

SAMPLES: Final = CHECKOUT / "tap-configs"
DOMAIN: Final = "tunnel.example.com"


def certificate(folder: Path) -> Certificate:
    """Put a key and a certificate where the samples look for them below `folder`."""
    made = self_signed(DOMAIN, f"*.{DOMAIN}", "localhost")
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_bytes(Certificate.dumpPEM(made))
    (folder / "key.pem").write_bytes(made.privateKey.dump(FILETYPE_PEM))
    return Certificate.loadPEM(Certificate.dumpPEM(made))


def moved(name: str, folder: Path | None = None) -> list[str]:
    """The options to start a server with a sample, on free ports.

    Args:
        name: the sample's.
        folder: stands in for /etc/inletspy.
    """
    sample = SAMPLES / name
    given = tomllib.loads(sample.read_text(encoding="utf-8"))
    options = ["--config", str(sample)]
    for plane in ("data", "control", "status"):
        endpoint = re.sub(r"port=\d+", "port=0", given[plane])
        options += [f"--{plane}", endpoint.replace("/etc/inletspy", str(folder))]
    return options


class SampleTestCase(TestCase):
    """Tests of servers that a sample sets up."""

    timeout = 180

    async def assertServes(self, server: ServerProcess) -> None:
        """The server is up, of the expected kind, and ends in order."""
        health = await fetch(f"{server.status_url}/health")
        self.assertEqual((health.status, health.json), (200, {"status": "ok"}))
        await self.assertEnds(server)

    async def assertEnds(self, server: ServerProcess) -> None:
        """The server ends in order when it is asked to."""
        self.assertEqual(await server.stop(), 0)
        self.assertFalse((server.data_dir / "server.json").exists())

    async def enable(self, server: ServerProcess, **settings: str) -> None:
        """Have a server allow tunnels, with these settings, as its operator would."""
        assert server.database is not None
        for key, value in {**settings, "tunnels_enabled": "true"}.items():
            execute(
                server.database,
                "UPDATE config_settings SET value = %s WHERE key = %s",
                (value, key),
            )
        url = f"{server.status_url}/api/config/tunnels"
        while (await fetch(url, token=server.token)).status == 404:  # as long as they are off
            await deferLater(reactor, 0.02)
