"""Names and ports whose client has gone, and what is remembered of their services."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.tunnel.session import Service
from tests.peers import reactor, until
from tests.tunnel.plane import DOMAIN, Plane, offer


class AwayTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.plane = Plane(self)
        self.admission = self.plane.admission

    def note(self, service: Service) -> None:
        """A request through it is over."""
        now = reactor.seconds()
        service.traffic.note(now, now, b"GET", b"/", 200, 1, 2, b"127.0.0.1")

    def service(self, hostname: str = "app") -> Service:
        """Who serves that name."""
        service = self.plane.target(f"{hostname}.{DOMAIN}")
        assert service is not None
        return service

    def away(self) -> list[dict[str, Any]]:
        """The rows of those that are away."""
        return self.admission.away()

    async def test_a_client_that_goes_and_comes_again(self) -> None:
        client = await self.plane.native(offer(hostname="app"), client_id="laptop")
        service = self.service()
        self.note(service)
        (row,) = self.admission.rows()
        self.assertEqual(self.away(), [])
        client.peer.cut()
        await self.plane.until_empty()
        (kept,) = self.away()
        self.assertEqual(kept.pop("status"), "away")
        self.assertRegex(kept.pop("held_until"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(kept, {key: value for key, value in row.items() if key != "status"})
        self.assertEqual(self.admission.rows(), [])
        self.assertIs(self.admission.traffic()[row["id"]], service.traffic)
        client = await self.plane.native(offer(hostname="app"), client_id="laptop")
        again = self.service()
        self.assertIs(again.traffic, service.traffic)
        self.assertNotEqual(again.id, service.id)
        self.assertEqual(self.away(), [])
        self.assertEqual(self.admission.traffic().keys(), {again.id})
        client.peer.cut()

    async def test_all_kinds(self) -> None:
        client = await self.plane.native(
            offer("web", hostname="app"),
            offer("db", "tcp://localhost:5432"),
            offer("private", private="secret"),
            client_id="laptop",
        )
        rows = {row["id"] for row in self.admission.rows()}
        client.peer.cut()
        await self.plane.until_empty()
        self.assertEqual({row["id"] for row in self.away()}, rows)
        self.assertEqual(self.admission.traffic().keys(), rows)

    async def test_a_user(self) -> None:
        """Whose reserved name it is, for which all that was kept for others is dropped."""
        self.plane.accounts.user("alice", "the token of alice")
        self.plane.accounts.reserve("shop", "alice")
        services = []
        for client_id in ("alice-laptop", "alice-desk"):
            client = await self.plane.native(
                offer(hostname="shop"), token="the token of alice", client_id=client_id
            )
            services.append(self.service("shop"))
            self.note(services[-1])
            client.peer.cut()
            await self.plane.until_empty()
        self.assertIs(services[0].traffic, services[1].traffic)
        self.assertEqual(services[0].traffic.noted, 2)
        (row,) = self.away()
        self.assertEqual((row["owner"], row["client_id"]), ("alice", "alice-desk"))

    async def test_a_user_who_is_removed(self) -> None:
        for _ in range(2):
            self.plane.accounts.user("alice", "the token of alice")
            client = await self.plane.native(
                offer(hostname="alice-app"), token="the token of alice", client_id="alice-laptop"
            )
            self.assertEqual(self.service("alice-app").traffic.noted, 0)
            self.note(self.service("alice-app"))
            client.peer.cut()
            await self.plane.until_empty()
            self.assertEqual(len(self.away()), 1)
            self.plane.accounts.remove("alice")
            self.assertEqual(self.away(), [])

    async def test_another_gets_nothing_of_it(self) -> None:
        plane = Plane(self, name_lease_seconds=0.0)
        client = await plane.native(offer(hostname="app"), client_id="laptop")
        first = plane.target(f"app.{DOMAIN}")
        client.peer.cut()
        await plane.until_empty()
        self.assertEqual(plane.admission.away(), [])
        client = await plane.native(offer(hostname="app"), client_id="desk")
        second = plane.target(f"app.{DOMAIN}")
        assert first is not None and second is not None
        self.assertIsNot(first.traffic, second.traffic)
        client.peer.cut()

    async def test_what_is_kept_for_nobody_is_not_away(self) -> None:
        client = await self.plane.stock("app=http://localhost:3000")
        self.assertEqual(len(self.admission.rows()), 1)
        client.peer.cut()
        await self.plane.until_empty()
        self.assertEqual(self.away(), [])

    async def test_closed_while_away(self) -> None:
        client = await self.plane.native(offer(hostname="app"), client_id="laptop")
        client.peer.cut()
        await self.plane.until_empty()
        (row,) = self.away()
        changes = self.plane.changes
        self.assertTrue(self.admission.close(row["id"]))
        self.assertEqual(self.away(), [])
        self.assertEqual(self.plane.changes, changes + 1)
        self.assertFalse(self.admission.close(row["id"]))
        client = await self.plane.native(offer(hostname="app"), client_id="desk")
        client.peer.cut()

    async def test_the_end_of_a_lease_is_told(self) -> None:
        clock = Clock()
        plane = Plane(self, clock)
        client = await plane.native(offer(hostname="app"), client_id="laptop")
        client.peer.cut()
        await plane.until_empty()
        self.assertEqual(len(plane.admission.away()), 1)
        clock.advance(plane.settings.current.name_lease_seconds)
        self.assertEqual(plane.admission.away(), [])
        changes = plane.changes
        plane.admission.sweep()
        self.assertEqual(plane.changes, changes + 1)

    async def test_a_client_that_begins_to_leave(self) -> None:
        client = await self.plane.native(offer(hostname="app"), client_id="laptop")
        changes = self.plane.changes
        client.say({"type": "goaway", "message": ""})
        await until(lambda: self.plane.changes > changes, "told")
        self.assertEqual([row["status"] for row in self.admission.rows()], ["draining"])
        client.peer.cut()
