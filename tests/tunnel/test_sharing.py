"""Clients that ask to serve one name or port together, and those that do not."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.tunnel import contest, session
from inletspy.tunnel.session import Service
from tests.peers import until
from tests.tunnel.ends import Client
from tests.tunnel.plane import DOMAIN, TOKEN, Plane, Recorder, offer, stock_fields
from tests.tunnel.websocket import handshake

ALICES, BOBS = "ipy_alice_1", "ipy_bob_1"
HOST = f"shop.{DOMAIN}"


class SharingTestCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()
        self.plane = Plane(self, self.clock)
        self.patch(contest, "_PROBE_SECONDS", 0.05)
        for name, token in (("alice", ALICES), ("bob", BOBS)):
            self.plane.accounts.user(name, token)

    def shop(self, *, share: Any = True, **options: Any) -> dict[str, Any]:
        """The offer of a service that shares its name."""
        return offer(hostname="shop", options={"share": share, **options})

    async def client(self, client_id: str, *services: Any, token: str = TOKEN) -> Client:
        """A client that was let in, with the shared name unless other services are given."""
        services = services or (self.shop(),)
        return await self.plane.native(*services, token=token, client_id=client_id)

    async def refused(self, client_id: str, service: Any, token: str = TOKEN) -> dict[str, Any]:
        """The error with which a client is refused."""
        client = await self.plane.connect(token=token)
        client.hello(service, client_id=client_id)
        return await client.refused()

    def service(self, client: Client) -> Service:
        """The only service of a client."""
        (service,) = self.plane.session_of(client).services.values()
        return service

    @property
    def targets(self) -> set[Service]:
        """Who serves the name."""
        route = self.plane.routes.names.get(HOST)
        return set(route.targets) if route is not None else set()

    async def gone(self, client: Client) -> None:
        """Let the client's connection be lost, as when its process dies."""
        left = len(self.plane.control._links) - 1
        client.peer.cut()
        await until(lambda: len(self.plane.control._links) == left, "gone")


class JoiningTests(SharingTestCase):
    async def test_all_have_the_name(self) -> None:
        clients = [await self.client(name) for name in ("a", "b", "c")]
        self.assertEqual(self.targets, {self.service(client) for client in clients})
        rows = self.plane.admission.rows()
        self.assertEqual([row["hostname"] for row in rows], [HOST] * 3)
        self.assertEqual([row["client_id"] for row in rows], ["a", "b", "c"])
        self.assertEqual([row["shared"] for row in rows], [True] * 3)
        self.assertEqual(len({row["session"] for row in rows}), 3)

    async def test_only_some_asked_for_it(self) -> None:
        for first, second in ((True, False), (False, True), (False, False), ("yes", True)):
            client = await self.client("a", self.shop(share=first))
            error = await self.refused("b", self.shop(share=second))
            self.assertEqual(error["code"], "hostname_taken")
            self.assertIn("all need --share", error["message"])
            self.assertEqual(self.targets, {self.service(client)})
            await self.gone(client)
            self.plane.routes.names.forget(HOST)

    async def test_own_program_that_does_not_share(self) -> None:
        client = await self.client("a")
        client.answer_pings()
        error = await self.refused("a", self.shop(share=False))
        self.assertIn("end that one", error["message"])
        self.assertIn("all need --share", error["message"])

    async def test_other_owners(self) -> None:
        self.plane.accounts.reserve("shop", "alice")
        client = await self.client("alice-a", token=ALICES)
        for token, client_id in ((BOBS, "bob-a"), (TOKEN, "a")):
            error = await self.refused(client_id, self.shop(), token)
            self.assertNotIn("--share", error["message"])
        self.assertEqual(self.targets, {self.service(client)})
        other = await self.client("alice-b", token=ALICES)
        self.assertEqual(self.targets, {self.service(client), self.service(other)})

    async def test_stock_clients(self) -> None:
        await self.client("a")
        fields = stock_fields(f"{HOST}=http://localhost:3000")
        answer = await self.plane.ask(handshake(*fields, token=TOKEN))
        self.assertIn("409", answer.split("\r\n")[0])
        self.assertNotIn("--share", answer)

    async def test_on_a_session_that_is_up(self) -> None:
        first = await self.client("a")
        second = await self.plane.native(client_id="b")
        second.say({"type": "add_service", "service": self.shop()})
        await second.hear("service_added")
        self.assertEqual(self.targets, {self.service(first), self.service(second)})
        second.say({"type": "remove_service", "name": "web"})
        await second.hear("service_removed")
        self.assertEqual(self.targets, {self.service(first)})

    async def test_not_too_many(self) -> None:
        self.patch(contest, "_MAX_TOGETHER", 2)
        for name in ("a", "b"):
            await self.client(name)
        error = await self.refused("c", self.shop())
        self.assertIn("2 tunnels serve", error["message"])


class RuleTests(SharingTestCase):
    """What visitors one client keeps out, no other lets in."""

    async def test_all_have_the_same(self) -> None:
        rule = {"private": True, "deny": ["10.0.0.0/8"]}
        first = await self.client("a", self.shop(**rule))
        second = await self.client("b", self.shop(**rule))
        self.assertEqual(self.targets, {self.service(first), self.service(second)})
        self.service(first).visitors.add(b"somebody")
        self.assertEqual(self.service(second).visitors, {b"somebody"})

    async def test_another_one(self) -> None:
        rules: tuple[dict[str, Any], ...]
        rules = ({}, {"private": True}, {"deny": ["10.0.0.0/8"]}, {"bearer": ["0" * 64]})
        for first in rules:
            client = await self.client("a", self.shop(**first))
            for second in rules:
                if second is first:
                    continue
                error = await self.refused("b", self.shop(**second))
                self.assertEqual(error["code"], "hostname_taken")
                self.assertIn("who may visit", error["message"])
            self.assertEqual(self.targets, {self.service(client)})
            await self.gone(client)


class LeavingTests(SharingTestCase):
    async def test_one_after_the_other(self) -> None:
        first, second = await self.client("a"), await self.client("b")
        await self.gone(first)
        self.assertEqual(self.targets, {self.service(second)})
        error = await self.refused("a", self.shop(share=False))
        self.assertIn("all need --share", error["message"])
        await self.gone(second)
        self.assertEqual(self.targets, set())

    async def test_kept_for_all_of_them(self) -> None:
        clients = [await self.client(name) for name in ("a", "b")]
        for client in clients:
            await self.gone(client)
        self.clock.advance(599)
        error = await self.refused("c", self.shop(share=False))
        self.assertIn("is kept", error["message"])
        again = [await self.client(name) for name in ("b", "a", "c")]
        self.assertEqual(self.targets, {self.service(client) for client in again})

    async def test_nobody_s_after_the_lease(self) -> None:
        await self.gone(await self.client("a"))
        self.clock.advance(601)
        client = await self.client("c", self.shop(share=False))
        self.assertEqual(self.targets, {self.service(client)})

    async def test_token_revoked(self) -> None:
        self.plane.accounts.user("alice", "ipy_alice_2")
        name = offer(hostname="alice-shop", options={"share": True})
        first = await self.client("alice-a", name, token=ALICES)
        second = await self.client("alice-b", name, token="ipy_alice_2")
        self.plane.accounts.revoke(ALICES)
        await first.hear("error")
        route = self.plane.routes.names.get(f"alice-shop.{DOMAIN}")
        assert route is not None
        self.assertEqual(route.targets, (self.service(second),))

    async def test_a_session_that_is_dead_unnoticed(self) -> None:
        """Its client has come again, and visitors are not to wait for it."""
        dead = await self.client("a")
        other = await self.client("b")
        old = self.plane.session_of(dead)
        again = await self.client("a")
        self.assertTrue(old.over)
        self.assertEqual(self.targets, {self.service(other), self.service(again)})

    async def test_one_that_falls_silent(self) -> None:
        """Others are preferred until it is heard again; nobody asks while it has no streams."""
        self.patch(session, "_ANSWER_SECONDS", 0.05)
        frozen, other = await self.client("a"), await self.client("b")
        service, its = self.service(frozen), self.plane.session_of(frozen)
        its.sweep()
        self.assertFalse(its._asked)
        stream = service.connect(Recorder(), "192.0.2.1:9")
        its.sweep()
        its.sweep()
        await until(lambda: its.silent, "found silent")
        route = self.plane.routes.names.get(HOST)
        assert route is not None
        for _ in range(3):
            self.assertIs(route.choose(Service.load), self.service(other))
        stream.abortConnection()
        frozen.answer_pings()
        its.sweep()
        await until(lambda: not its.silent, "heard")
        self.assertFalse(self.plane.session_of(other).silent)

    async def test_one_alone_is_not_asked(self) -> None:
        alone = await self.client("a", self.shop(share=False))
        self.service(alone).connect(Recorder(), "192.0.2.1:9")
        its = self.plane.session_of(alone)
        its.sweep()
        self.assertFalse(its._asked)

    async def test_a_session_that_lives(self) -> None:
        first = await self.client("a")
        first.answer_pings()
        second = await self.client("a")
        self.assertEqual(self.targets, {self.service(first), self.service(second)})

    async def test_all_dead_and_one_comes_that_does_not_share(self) -> None:
        self.plane.accounts.reserve("shop", "alice")
        olds = [await self.client(f"alice-{name}", token=ALICES) for name in "abcd"]
        sessions = [self.plane.session_of(client) for client in olds]
        client = await self.client("alice-e", self.shop(share=False), token=ALICES)
        self.assertEqual(self.targets, {self.service(client)})
        self.assertEqual([session.over for session in sessions], [True] * 4)


class PortTests(SharingTestCase):
    def setUp(self) -> None:
        super().setUp()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.plane.settings.change(tcp_port_range=range(self.port, self.port + 1))

    def db(self, *, share: bool = True, port: int | None = None, **options: Any) -> Any:
        """The offer of a service that shares its port."""
        port = self.port if port is None else port
        return offer(
            "db", "tcp://localhost:5432", remote_port=port, options={"share": share, **options}
        )

    async def test_all_have_the_port(self) -> None:
        first = await self.client("a", self.db())
        second = await self.client("b", self.db())
        route = self.plane.routes.ports.get(self.port)
        assert route is not None
        self.assertEqual(set(route.targets), {self.service(first), self.service(second)})
        await self.gone(first)
        self.assertTrue(self.listens())
        await self.gone(second)
        await until(lambda: not self.listens(), "closed")

    async def test_refused(self) -> None:
        await self.client("a", self.db())
        for service, words in (
            (self.db(share=False), "all need --share"),
            (self.db(port=0), "--remote-port"),
            (self.db(deny=["10.0.0.0/8"]), "who may visit"),
        ):
            error = await self.refused("b", service)
            self.assertIn(words, error["message"])
        self.assertNotIn("--share", (await self.refused("bob-b", self.db(), BOBS))["message"])

    def listens(self) -> bool:
        """Whether anybody listens on the port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
