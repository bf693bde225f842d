"""Private services with the real programs: one serves, another reaches it, none else."""

from __future__ import annotations

import json
import random

from tests.peers import CUT, FINISHED, PeerFactory, Upstream
from tests.system.http import fetch
from tests.system.processes import ClientProcess
from tests.system.test_owners import OwnersTestCase

MIB = 1 << 20
#: What comes first on the command line.
CONNECT = ["connect", "db", "0"]


class PrivateTests(OwnersTestCase):
    def serving(self, user: str) -> ClientProcess:
        address = f"127.0.0.1:{self.upstream.port}"
        return self.tunnel(user, address, "tcp", "--private", "--name", "db")

    def connecting(self, user: str) -> ClientProcess:
        client = self.tunnel(user)
        client.command[3:3] = CONNECT
        return client

    async def test_from_one_machine_to_another(self) -> None:
        await self.start_with_users()
        serving = self.serving("alice")
        self.assertEqual((await serving.start())["public_url"], "private:db")

        stranger = self.connecting("bob")
        stranger.spawn()
        self.assertEqual(await stranger.ended(), 3)
        self.assertIn("there is no private service db of yours", stranger.stderr)

        connecting = self.connecting("alice")
        place = str((await connecting.start())["local_address"])
        host, _, port = place.rpartition(":")
        self.assertEqual(host, "127.0.0.1")
        programs = PeerFactory(self)
        near = await programs.connect_to(int(port))
        far = await self.upstream.connection()
        payload = random.randbytes(8 * MIB)
        near.send(payload)
        near.finish()
        self.assertEqual(await far.read_to_end(), payload)
        self.assertEqual(far.end, FINISHED)
        far.send(payload[::-1])
        far.close()
        self.assertEqual(await near.read_to_end(), payload[::-1])

        rows = json.loads((await fetch(f"{self.server.status_url}/status")).body)
        self.assertEqual(
            [(row["public_url"], row["private"]) for row in rows], [("private:db", True)]
        )

        # The one that serves goes and comes again; the other need not be touched.
        self.assertEqual(await serving.stop(), 0)
        near = await programs.connect_to(int(port))
        self.assertEqual(await near.ended(), CUT)
        notice = await connecting.event("notice")
        self.assertIn("the client that serves db is away", str(notice["message"]))
        await self.serving("alice").start()
        near = await programs.connect_to(int(port))
        far = await self.upstream.connection()
        near.send(b"?")
        self.assertEqual(await far.read(1), b"?")

        await self.server.inletspy("token", "revoke", self.tokens["alice"][:12])
        self.assertEqual(await connecting.ended(), 3)
        self.assertIn("revoked", connecting.stderr)
        await near.ended()
        self.assertEqual(self.upstream.accepted, 2)

    async def test_after_the_server_was_away(self) -> None:
        await self.start_server()
        self.upstream = Upstream(self)
        address = f"127.0.0.1:{self.upstream.port}"
        serving = ClientProcess(self, self.server, address, "tcp", "--private", "--name", "db")
        await serving.start()
        connecting = ClientProcess(self, self.server)
        connecting.command[3:3] = CONNECT
        port = int(str((await connecting.start())["local_address"]).rpartition(":")[2])
        ports = (
            *("--control-port", str(self.server.control_port)),
            *("--data-port", str(self.server.data_port)),
            *("--status-port", str(self.server.status_port)),
        )
        await self.server.stop()
        again = type(self.server)(
            self, *ports, data_dir=self.server.data_dir, database=self.server.database
        )
        await again.start()
        await connecting.event("reconnected")
        near = await PeerFactory(self).connect_to(port)
        far = await self.upstream.connection()
        near.send(b"?")
        self.assertEqual(await far.read(1), b"?")
