"""Tunnels that are closed from outside: the client is told, and nothing is left."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from inletspy.tunnel.session import Service
from tests.peers import until
from tests.tunnel.plane import DOMAIN, Plane, Recorder, offer


class CloseTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.plane = Plane(self)

    def id_of(self, name: str) -> str:
        (row,) = [r for r in self.plane.admission.rows() if r["hostname"] == f"{name}.{DOMAIN}"]
        return str(row["id"])

    def target(self, name: str) -> Service:
        service = self.plane.target(f"{name}.{DOMAIN}")
        assert service is not None
        return service

    async def test_the_only_one_of_a_client(self) -> None:
        client = await self.plane.native(offer(hostname="app"))
        self.assertTrue(self.plane.admission.close(self.id_of("app")))
        error = await client.refused()
        self.assertEqual((error["code"], error["retry"]), ("closed", False))
        self.assertIn(f"http://app.{DOMAIN}:8080 was closed", error["message"])
        await self.plane.until_empty()

    async def test_one_of_several(self) -> None:
        client = await self.plane.native(
            offer(hostname="app"), offer("rest", "http://localhost:4000", hostname="rest")
        )
        closed, other = Recorder(), Recorder()
        self.target("app").connect(closed, "203.0.113.9:1")
        self.target("rest").connect(other, "203.0.113.9:2")
        changes = self.plane.changes
        self.assertTrue(self.plane.admission.close(self.id_of("app")))
        error = await client.hear("error")
        self.assertEqual((error["code"], error["service"]), ("closed", "web"))
        await until(lambda: closed.end, "cut")
        self.assertIsNone(other.end)
        self.assertIsNone(self.plane.target(f"app.{DOMAIN}"))
        self.assertEqual(
            [row["hostname"] for row in self.plane.admission.rows()], [f"rest.{DOMAIN}"]
        )
        self.assertEqual(self.plane.changes, changes + 1)
        client.peer.cut()

    async def test_of_a_stock_client(self) -> None:
        client = await self.plane.stock(
            f"app.{DOMAIN}=http://127.0.0.1:3000", f"rest.{DOMAIN}=http://127.0.0.1:4000"
        )
        self.assertTrue(self.plane.admission.close(self.id_of("app")))
        self.assertEqual(len(self.plane.admission.rows()), 1)
        self.assertTrue(self.plane.admission.close(self.id_of("rest")))
        self.assertIn("was closed", (await client.closed())[1])
        await self.plane.until_empty()

    async def test_one_that_is_not_there(self) -> None:
        client = await self.plane.native(offer(hostname="app"))
        session = self.plane.session_of(client)
        for id in ("", "app", session.id, "0" * 16):
            self.assertFalse(self.plane.admission.close(id))
        self.assertEqual(len(self.plane.admission.rows()), 1)
        client.peer.cut()

    async def test_no_two_have_the_same_id(self) -> None:
        client = await self.plane.native(offer(hostname="app"), offer("b", hostname="b"))
        first = self.id_of("b")
        client.say({"type": "remove_service", "name": "b"})
        await client.hear("service_removed")
        client.say({"type": "add_service", "service": offer("b", hostname="b")})
        await client.hear("service_added")
        self.assertNotIn(first, (self.id_of("b"), self.id_of("app")))
        self.assertFalse(self.plane.admission.close(first))
        client.peer.cut()
