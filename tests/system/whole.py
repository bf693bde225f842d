"""The whole of it for one test: a server, a client, an upstream that a test plays.

Visitors are raw connections. Knows how to tell whether the programs have let go of all
that they held, and how much memory they took.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from tests.edge.tunnels import request
from tests.peers import Peer, PeerFactory, Upstream, until
from tests.postgres import execute
from tests.system.processes import ClientProcess, Program, ServerProcess

__all__ = ["WholeTestCase", "peak_memory", "sockets"]

TABLE = """
CREATE TABLE config_settings (
    key VARCHAR(255) PRIMARY KEY,
    value TEXT,
    type VARCHAR(50) NOT NULL DEFAULT 'string',
    description TEXT,
    default_value TEXT,
    created_at TIMESTAMP,
    updated_at TIMESTAMP
)
"""


def sockets(program: Program) -> int:
    """How many sockets a process has."""
    count = 0
    for descriptor in Path(f"/proc/{program.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since
            count += os.readlink(descriptor).startswith("socket:")
    return count


def peak_memory(program: Program) -> int:
    """The most bytes of memory that a process ever had in use."""
    for line in Path(f"/proc/{program.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not tell")


class WholeTestCase(TestCase):
    """Tests with real processes."""

    timeout = 180
    host = "app.tunnel.localhost"

    async def start_server(self, *options: str, **settings: object) -> None:
        """Start a server with these settings in its database."""
        self.server = ServerProcess(self, *options)
        assert self.server.database is not None
        if settings:
            execute(self.server.database, TABLE)
            for key, value in {"tunnels_enabled": "true", **settings}.items():
                execute(
                    self.server.database,
                    "INSERT INTO config_settings (key, value) VALUES (%s, %s)",
                    (key, str(value)),
                )
        await self.server.start()
        self.visitors = PeerFactory(self)

    async def start(self, *arguments: str, tls: Any = None, **settings: object) -> None:
        """Start a server with these settings, an upstream, and a client for it.

        Args:
            arguments: further ones for the client.
            tls: what the upstream shows where it speaks TLS.
            settings: values of the server's settings.
        """
        await self.start_server(**settings)
        self.upstream = Upstream(self, tls=tls)
        self.client = await self.start_client(self.upstream, *arguments, tls=tls is not None)
        self.idle = (sockets(self.server), sockets(self.client))

    async def start_client(
        self, upstream: Upstream, *arguments: str, name: str = "app", tls: bool = False
    ) -> ClientProcess:
        """Start a client for an upstream, and wait until its tunnel is up."""
        address = f"{'https' if tls else 'http'}://127.0.0.1:{upstream.port}"
        client = ClientProcess(self, self.server, address, "--name", name, *arguments)
        await client.start()
        return client

    def set(self, **settings: object) -> None:
        """Change settings in the database, as any program may."""
        assert self.server.database is not None
        for key, value in settings.items():
            execute(
                self.server.database,
                "UPDATE config_settings SET value = %s WHERE key = %s",
                (str(value), key),
            )

    async def visit(self, sent: bytes = b"", *, source: str = "127.0.0.1") -> Peer:
        """A visitor of the data port who has just connected, and says that much at once."""
        visitor = await self.visitors.connect_to(self.server.data_port, source=source)
        if sent:
            visitor.send(sent)
        return visitor

    def request(self, line: str = "GET / HTTP/1.1", *fields: str, body: bytes = b"") -> bytes:
        """A request for the tunnel's host."""
        return request(line, f"Host: {self.host}", *fields, body=body)

    async def until_idle(self) -> None:
        """End all that the test holds, and see that the programs let go of it, too."""
        for peer in (*self.visitors.peers, *self.upstream.peers):
            if not peer.gone.called:
                peer.cut()
        await until(lambda: self._sockets() == self.idle, lambda: f"idle: {self._sockets()}")

    def _sockets(self) -> tuple[int, int]:
        return sockets(self.server), sockets(self.client)
