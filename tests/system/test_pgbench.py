"""PostgreSQL's own programs through `tunnel 5432 tcp`.

pgbench runs for as many seconds as INLETSPY_TEST_SECONDS says; 2 where it says nothing.
"""

from __future__ import annotations

import os
import shutil
from glob import glob
from typing import Any, Final
from unittest import SkipTest
from urllib.parse import parse_qs, urlsplit

from twisted.protocols.portforward import ProxyFactory

from tests.postgres import url_of_new_database
from tests.system.http import listening
from tests.system.processes import ClientProcess, Program, reactor
from tests.system.test_tcp import free_ports
from tests.system.whole import WholeTestCase

SECONDS: Final = os.environ.get("INLETSPY_TEST_SECONDS", "2")


class ToSocket(ProxyFactory):
    """Leads each connection to a UNIX socket."""

    noisy = False

    def __init__(self, path: str) -> None:
        super().__init__("", 0)
        self._path = path

    def buildProtocol(self, addr: Any) -> Any:
        protocol: Any = super().buildProtocol(addr)
        protocol.reactor = self
        return protocol

    def connectTCP(self, host: str, port: int, factory: Any) -> Any:
        """Stands in for that of the reactor."""
        return reactor.connectUNIX(self._path, factory)


def program(name: str) -> str:
    """The path of a program of PostgreSQL's.

    Raises:
        SkipTest: it is not there.
    """
    folders = sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True)
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise SkipTest(f"needs {name}")
    return found


class PgbenchTests(WholeTestCase):
    timeout = 180 + 2 * int(SECONDS)

    async def test_eight_clients_at_once(self) -> None:
        psql, pgbench = program("psql"), program("pgbench")
        url = urlsplit(url_of_new_database())
        # The tests' PostgreSQL listens on no TCP port.
        where = parse_qs(url.query)
        path = f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}"
        port = listening(self, ToSocket(path))

        first = free_ports(1)
        await self.start_server(tcp_port_range=f"{first}-{first}")
        client = ClientProcess(self, self.server, str(port), "tcp")
        self.assertEqual(
            (await client.start())["public_url"], f"tcp://{self.server.domain}:{first}"
        )
        variables = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(first),
            "PGUSER": str(url.username),
            "PGDATABASE": url.path[1:],
        }

        async def run(*command: str) -> Program:
            ran = Program(self, list(command), variables)
            ran.spawn()
            self.assertEqual(await ran.ended(), 0, ran.stderr)
            return ran

        await run(pgbench, "--initialize", "--quiet")
        counted = await run(psql, "-Atc", "SELECT count(*) FROM pgbench_accounts")
        self.assertEqual(counted.stdout, "100000\n")
        bench = await run(pgbench, "-n", "-c", "8", "-j", "2", "-T", SECONDS)
        self.assertIn("number of failed transactions: 0 ", bench.stdout)
        done = await run(psql, "-Atc", "SELECT count(*) FROM pgbench_history")
        self.assertGreater(int(done.stdout), 8)
        self.assertIn(f"number of transactions actually processed: {done.stdout}", bench.stdout)
