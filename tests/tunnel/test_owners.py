"""Users with tokens of their own: what is theirs, for how long, and what ends it."""

from __future__ import annotations

import json
import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.policy.limits import Limits
from inletspy.tunnel import contest
from tests.peers import until
from tests.tunnel.ends import Client
from tests.tunnel.plane import DOMAIN, TOKEN, Plane, Recorder, offer, stock_fields
from tests.tunnel.test_admission import free_ports
from tests.tunnel.websocket import handshake

#: What does harm to those who put it into SQL, headers, pages, formats or paths as it is.
ODD_TEXTS = (
    "'; DROP TABLE inletspy_users; --",
    "a\r\nX-Injected: 1",
    "a\0b",
    "<script>",
    "%s%n",
    "{0}",
    "\ud800",
    "../../etc",
    "*",
)
ALICES, BOBS, ALICES_SECOND = "ipy_alice_1", "ipy_bob_1", "ipy_alice_2"


class OwnersTestCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()
        self.plane = Plane(self, self.clock)
        self.patch(contest, "_PROBE_SECONDS", 0.05)
        for name, token in (("alice", ALICES), ("bob", BOBS), ("alice", ALICES_SECOND)):
            self.plane.accounts.user(name, token)

    async def refused(self, token: str, *services: Any, **hello: Any) -> dict[str, Any]:
        """The error with which a hello is refused."""
        client = await self.plane.connect(token=token)
        client.hello(*services, **hello)
        return await client.refused()

    async def client(self, token: str, *services: Any, **hello: Any) -> Client:
        """A client that was let in; its id is derived unless one is given."""
        if "client_id" not in hello:
            hello = {"client_id": "laptop", "derived": True, **hello}
        return await self.plane.native(*services, token=token, **hello)

    def names(self, client: Client) -> list[str]:
        """The public addresses that a client was given."""
        return [service["public_url"] for service in client.welcome["services"]]

    async def gone(self, client: Client) -> None:
        """Let the client's connection be lost, as when its process dies."""
        left = len(self.plane.control._links) - 1
        client.peer.cut()
        await until(lambda: len(self.plane.control._links) == left, "gone")


class AdmissionTests(OwnersTestCase):
    async def test_what_is_derived_gets_the_prefix(self) -> None:
        client = await self.client(
            ALICES, offer(hostname=f"c0ffee-3000.{DOMAIN}", options={"derived": True})
        )
        self.assertEqual(self.names(client), [f"http://alice-c0ffee-3000.{DOMAIN}:8080"])
        (row,) = self.plane.admission.rows()
        self.assertEqual((row["client_id"], row["owner"]), ("alice-laptop", "alice"))

    async def test_what_was_chosen_must_be_one_s_own(self) -> None:
        error = await self.refused(ALICES, offer(hostname="shop"), client_id="alice-1")
        self.assertEqual((error["code"], error["retry"]), ("hostname_not_yours", False))
        self.assertIn(f"alice-shop.{DOMAIN}", error["message"])
        error = await self.refused(ALICES, client_id="laptop")
        self.assertEqual((error["code"], error["retry"]), ("invalid", False))
        self.assertIn("alice-laptop", error["message"])

    async def test_reserved_name(self) -> None:
        self.plane.accounts.reserve("shop", "alice")
        for token, client_id in ((BOBS, "bob"), (TOKEN, "client")):
            error = await self.refused(token, offer(hostname="shop"), client_id=client_id)
            self.assertEqual(error["code"], "hostname_not_yours")
        client = await self.client(ALICES, offer(hostname="shop"))
        self.assertEqual(self.names(client), [f"http://shop.{DOMAIN}:8080"])

    async def test_pattern_of_the_token(self) -> None:
        self.plane.accounts.user("alice", "ipy_pattern", names=("u1-*",))
        error = await self.refused("ipy_pattern", offer(hostname="alice-x"), client_id="alice")
        self.assertEqual(error["code"], "hostname_not_yours")
        self.assertIn("u1-*", error["message"])
        await self.client("ipy_pattern", offer(hostname="u1-x"))

    async def test_names_that_mislead(self) -> None:
        for name in ("www", "mail", "admin"):
            error = await self.refused(TOKEN, offer(hostname=name))
            self.assertEqual(error["code"], "hostname_not_yours")
        self.plane.settings.change(refused_names=("shop",), inlets_server_url=f"wss://x.{DOMAIN}")
        for name in ("shop", "x"):
            await self.refused(TOKEN, offer(hostname=name))

    async def test_the_shared_token_passes_for_no_user(self) -> None:
        error = await self.refused(TOKEN, client_id="alice-laptop")
        self.assertIn("somebody else", error["message"])
        error = await self.refused(TOKEN, offer(hostname="alice-3000"))
        self.assertIn("somebody else", error["message"])

    async def test_without_the_scope(self) -> None:
        self.plane.accounts.user("alice", "ipy_status", scopes=frozenset(["status", "admin"]))
        for fields in ([], stock_fields("=http://a:1")):
            answer = await self.plane.ask(handshake(*fields, token="ipy_status"))
            self.assertTrue(answer.startswith("HTTP/1.1 403 "), answer)
        await self.plane.until_empty()

    async def test_one_that_is_no_good(self) -> None:
        self.plane.accounts.user("alice", "ipy_expired", expires_at=0.0)
        self.plane.accounts.revoke(ALICES)
        for token in ("ipy_expired", ALICES):
            answer = await self.plane.ask(handshake(token=token))
            self.assertTrue(answer.startswith("HTTP/1.1 401 "), answer)

    async def test_revoked_between_handshake_and_hello(self) -> None:
        client = await self.plane.connect(token=ALICES)
        self.plane.accounts.revoke(ALICES)
        client.hello(offer(hostname="alice-x"), client_id="alice")
        error = await client.refused()
        self.assertEqual((error["code"], error["retry"]), ("unauthorized", False))
        await self.plane.until_empty()

    async def test_odd_texts_from_a_client(self) -> None:
        for text in ODD_TEXTS:
            for name, services in (
                ("client_id", ()),
                ("hostname", (offer(hostname=text),)),
                ("name", (offer(text),)),
                ("upstream", (offer(upstream=f"http://{text}"),)),
            ):
                client_id = text if name == "client_id" else "alice"
                client = await self.plane.connect(token=ALICES)
                client.hello(*services, client_id=client_id, derived=True)
                # Refused with a code, or for breaking the protocol.
                code, reason = await client.closed()
                self.assertTrue(code == 1002 or code > 4000, (name, text, code))
                self.assertTrue(reason.isprintable())
        self.assertEqual(self.plane.admission.rows(), [])

    async def said_to(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """What a client is answered that was let in before; nothing more if that ends its link."""
        client = await self.client(ALICES, offer("web", hostname="alice-x"))
        client.say(message)
        client.say({"type": "remove_service", "name": "web"})  # which is always answered
        answers: list[dict[str, Any]] = []
        while {"type": "service_removed", "name": "web"} not in answers:
            try:
                answers.append(await client.hear_one())
            except AssertionError:  # closed, or cut
                break
        for row in self.plane.admission.rows():
            self.assertRegex(row["hostname"], rf"^(alice-[a-z0-9-]+\.)?{DOMAIN}$|^$")
            self.assertTrue(json.dumps(row, ensure_ascii=False).isprintable())
        client.peer.cut()
        await self.plane.until_empty()
        return answers

    async def test_odd_texts_on_a_session(self) -> None:
        kinds = set()
        for text in ODD_TEXTS:
            messages: tuple[dict[str, Any], ...] = (
                {"type": "add_service", "service": offer(text)},
                {"type": "add_service", "service": offer("a", hostname=text)},
                {"type": "add_service", "service": offer("a", upstream=f"http://{text}")},
                {"type": "add_service", "service": offer("a", "tcp://a:1", private=text)},
                *(
                    {"type": "add_service", "service": offer("a", options={option: value})}
                    for option in ("host_header", "allow", "bearer", "basic_auth", text)
                    for value in (text, [text], [{"user": text, "salt": text, "hash": text}])
                ),
                {"type": "remove_service", "name": text},
                {"type": "connect", "name": text},
                {"type": "share", "service": text, "seconds": 60},
                {"type": text},
                {"type": "goaway", "message": text},
            )
            for message in messages:
                answers = await self.said_to(message)
                kinds |= {answer["type"] for answer in answers}
                # As it was sent it may come back, but never with what acts on a terminal.
                for answer in answers:
                    for part in (answer.get("message"), answer.get("name"), answer.get("service")):
                        self.assertTrue(str(part).isprintable(), (message, answer))
        self.assertEqual(
            kinds,
            {"service_added", "service_removed", "connect_refused", "error", "notice", "goaway"},
        )


class StockTests(OwnersTestCase):
    async def test_odd_texts(self) -> None:
        for text in filter(str.isascii, ODD_TEXTS):
            for fields in (
                stock_fields(f"{text}=http://a:1"),
                stock_fields(f"alice-x.{DOMAIN}=http://{text}"),
            ):
                peer = await self.plane.peer()
                peer.send(handshake(*fields, token=ALICES))
                self.assertNotIn(b"X-Injected", await peer.read_until(b"\r\n\r\n"))
                for row in self.plane.admission.rows():
                    self.assertRegex(row["hostname"], rf"^alice-[a-z0-9-]+\.{DOMAIN}$")
                    self.assertRegex(row["upstream"], "^http://[a-z]+(:1)?$")
                peer.cut()
                await self.plane.until_empty()

    async def test_names_of_a_container_get_the_prefix(self) -> None:
        await self.plane.stock(f"c0ffee-3000.{DOMAIN}=http://a:1", token=ALICES)
        (row,) = self.plane.admission.rows()
        self.assertEqual(row["hostname"], f"alice-c0ffee-3000.{DOMAIN}")
        self.assertEqual(row["client_id"], "alice-c0ffee")

    async def test_no_name(self) -> None:
        self.plane.settings.change(catch_all_enabled=True)
        await self.plane.stock("=http://a:1", token=ALICES)
        (row,) = self.plane.admission.rows()
        self.assertRegex(row["hostname"], rf"^alice-[a-z0-9]{{10}}\.{DOMAIN}$")
        self.assertRegex(row["client_id"], "^alice-[0-9a-f]{32}$")
        self.assertIsNone(self.plane.routes.catch_all)

    async def test_names_of_others(self) -> None:
        for name in (f"shop.{DOMAIN}", "app.example.com", f"bob.{DOMAIN}", f"www.{DOMAIN}"):
            fields = stock_fields(f"{name}=http://a:1")
            answer = await self.plane.ask(handshake(*fields, token=ALICES))
            self.assertTrue(answer.startswith("HTTP/1.1 403 "), answer)

    async def test_kept_for_the_user(self) -> None:
        client = await self.plane.stock(f"alice-x.{DOMAIN}=http://a:1", token=ALICES)
        await self.gone(client)
        route = self.plane.routes.names.get(f"alice-x.{DOMAIN}")
        assert route is not None
        self.assertEqual(route.until, 600)
        await self.client(ALICES_SECOND, offer(hostname="alice-x"))


class LeaseTests(OwnersTestCase):
    async def test_any_client_of_the_user_may_have_it_next(self) -> None:
        self.plane.accounts.reserve("shop", "alice")
        await self.gone(await self.client(ALICES, offer(hostname="shop")))
        # Released from the reservation, it is still kept.
        self.plane.accounts.change(reserved={})
        error = await self.refused(TOKEN, offer(hostname="shop"))
        self.assertEqual(error["code"], "hostname_taken")
        self.assertIn("kept for a client", error["message"])
        self.plane.accounts.reserve("shop", "alice")
        await self.client(ALICES_SECOND, offer(hostname="shop"), client_id="alice-desk")

    async def test_a_live_one_keeps_it(self) -> None:
        self.patch(contest, "_PROBE_SECONDS", 30)
        old = await self.client(ALICES, offer(hostname="alice-x"))
        old.answer_pings()
        error = await self.refused(ALICES_SECOND, offer(hostname="alice-x"), client_id="alice-desk")
        self.assertEqual(error["code"], "hostname_taken")
        self.assertIn("another tunnel of yours (alice-laptop)", error["message"])
        self.assertIsNone(old.peer.end)

    async def test_a_dead_one_does_not(self) -> None:
        old = await self.client(ALICES, offer(hostname="alice-x"))
        new = await self.client(ALICES_SECOND, offer(hostname="alice-x"), client_id="alice-desk")
        self.assertEqual((await old.hear("error"))["code"], "replaced")
        await old.closed()
        self.assertEqual(list(self.plane.admission.sessions), [new.welcome["session"]])

    async def test_whose_it_becomes_need_not_wait(self) -> None:
        shared = await self.plane.native(offer(hostname="shop"))
        self.plane.accounts.reserve("shop", "alice")
        self.assertEqual((await shared.refused())["code"], "hostname_not_yours")
        await self.client(ALICES, offer(hostname="shop"))


class PortTests(OwnersTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.ports = sorted(s.getsockname()[1] for s in self.sockets)
        for taken in self.sockets:
            self.addCleanup(taken.close)
        self.plane.settings.change(tcp_port_range=range(self.ports[0], self.ports[-1] + 1))

    def free(self, port: int) -> None:
        """Give up one of the ports that are taken by another program."""
        for taken in self.sockets:
            if taken.fileno() >= 0 and taken.getsockname()[1] == port:
                taken.close()

    def confine(self, token: str, *ports: int) -> None:
        self.plane.accounts.user("alice", token, ports=range(ports[0], ports[-1] + 1))

    async def test_outside_the_token_s(self) -> None:
        one, two, _ = self.ports
        self.confine(ALICES, one)
        db = offer("db", "tcp://localhost:1", remote_port=two)
        error = await self.refused(ALICES, db, client_id="alice")
        self.assertEqual(error["code"], "port_unavailable")
        self.assertIn(f"this token is good for ports {one} to {one}", error["message"])
        self.confine(ALICES, 1, 2)
        error = await self.refused(ALICES, offer("db", "tcp://localhost:1"), client_id="alice")
        self.assertIn("none of the ports", error["message"])

    async def test_taken_by_another_program_and_used_up(self) -> None:
        one, _, _ = self.ports
        self.confine(ALICES, one)
        db = offer("db", "tcp://localhost:1")
        for wanted, retry in ((one, False), (0, True)):
            error = await self.refused(ALICES, {**db, "remote_port": wanted}, client_id="alice")
            self.assertEqual((error["code"], error["retry"]), ("port_unavailable", retry))
        self.free(one)
        client = await self.client(ALICES, db)
        self.assertEqual(self.names(client), [f"tcp://{DOMAIN}:{one}"])
        error = await self.refused(ALICES, db, client_id="alice-desk")
        self.assertIn(f"no port is free from {one} to {one}", error["message"])

    async def test_kept_for_the_user(self) -> None:
        one, _, _ = self.ports
        self.plane.settings.change(tcp_port_range=range(one, one + 1))
        self.free(one)
        db = offer("db", "tcp://localhost:1")
        await self.gone(await self.client(ALICES, db))
        for wanted in (one, 0):
            error = await self.refused(BOBS, {**db, "remote_port": wanted}, client_id="bob")
            self.assertEqual(error["code"], "port_unavailable")
        client = await self.client(
            ALICES_SECOND, {**db, "name": "other", "remote_port": one}, client_id="alice-desk"
        )
        self.assertEqual(self.names(client), [f"tcp://{DOMAIN}:{one}"])

    async def test_nobody_is_asked_for_a_port_that_any_other_would_do_for(self) -> None:
        self.patch(contest, "_PROBE_SECONDS", 1e6)
        one, two, _ = self.ports
        self.confine(ALICES, one)
        self.free(one)
        await self.client(ALICES, offer("db", "tcp://localhost:1"))
        error = await self.refused(ALICES, offer("db", "tcp://localhost:1"), client_id="alice-desk")
        self.assertIn("no port is free", error["message"])
        self.assertTrue(two)


class KeptPortTests(OwnersTestCase):
    """Ports that stay a user's for a while are no way to take them all."""

    async def come_and_go(self, count: int, client_id: str) -> None:
        """Have so many services of alice's come, each under a new name, and go."""
        client = await self.client(ALICES, client_id=client_id)
        for number in range(count):
            client.say({"type": "add_service", "service": offer(f"x{number}", "tcp://a:1")})
            await until(lambda: self.plane.admission.rows(), "added")
            client.say({"type": "remove_service", "name": f"x{number}"})
            await until(lambda: not self.plane.admission.rows(), "removed")
        await self.gone(client)

    async def test_those_of_a_user(self) -> None:
        first = free_ports(8)
        self.plane.settings.change(tcp_port_range=range(first, first + 8))
        for services, held in ((0, 4), (3, 3)):
            self.plane.settings.change(user_limits=Limits(services=services))
            for client_id in ("alice-1", "alice-2"):
                await self.come_and_go(5, client_id)
                ports = list(self.plane.routes.ports)
                self.assertEqual(len(ports), held)
                # The last ones are kept.
                kept = {route.holder.service for route in ports if route.holder is not None}
                self.assertIn("x4", kept)
        await self.client(BOBS, offer("db", "tcp://a:1"))

    async def test_those_of_a_client_with_the_shared_token(self) -> None:
        first = free_ports(8)
        self.plane.settings.change(tcp_port_range=range(first, first + 8), services_per_session=2)
        for number in range(5):
            db = offer(f"x{number}", "tcp://a:1")
            await self.gone(await self.plane.native(db, client_id="one"))
        await self.gone(await self.plane.native(offer("db", "tcp://a:1"), client_id="two"))
        kept = {(r.holder.client_id, r.holder.service) for r in self.plane.routes.ports if r.holder}
        self.assertEqual(kept, {("one", "x3"), ("one", "x4"), ("two", "db")})


class EndTests(OwnersTestCase):
    """What ends sessions, and which."""

    async def assertEnded(self, client: Client, text: str) -> None:
        error = await client.refused()
        self.assertEqual((error["code"], error["retry"]), ("unauthorized", False))
        self.assertIn(text, error["message"])

    async def test_revoked(self) -> None:
        one = await self.client(ALICES, offer(hostname="alice-1"), client_id="alice-1")
        two = await self.client(ALICES_SECOND, offer(hostname="alice-2"), client_id="alice-2")
        self.plane.accounts.revoke(ALICES)
        self.assertEqual(len(self.plane.admission.rows()), 1)  # at once
        await self.assertEnded(one, "was revoked")
        self.assertIsNone(two.peer.end)

    async def test_expired(self) -> None:
        self.plane.accounts.user("alice", "ipy_short", expires_at=60.0)
        one = await self.client("ipy_short", offer(hostname="alice-1"))
        two = await self.client(ALICES, offer(hostname="alice-2"))
        self.clock.advance(59)
        self.plane.admission.sweep()
        self.assertEqual(len(self.plane.admission.rows()), 2)
        self.clock.advance(1)
        self.plane.admission.sweep()
        self.assertEqual(len(self.plane.admission.rows()), 1)
        await self.assertEnded(one, "has expired")
        self.assertIsNone(two.peer.end)

    async def test_user_removed(self) -> None:
        one = await self.client(ALICES, offer(hostname="alice-1"))
        two = await self.client(ALICES_SECOND, offer(hostname="alice-2"))
        bob = await self.client(BOBS, offer(hostname="bob-1"))
        self.plane.accounts.remove("alice")
        for client in (one, two):
            await self.assertEnded(client, "user alice was removed")
        self.assertEqual([row["owner"] for row in self.plane.admission.rows()], ["bob"])
        self.assertIsNone(bob.peer.end)

    async def test_shared_token_turned_off(self) -> None:
        shared = await self.plane.native(offer(hostname="app"))
        alice = await self.client(ALICES, offer(hostname="alice-1"))
        self.plane.settings.change(shared_token_enabled=False)
        await self.assertEnded(shared, "shared token was turned off")
        self.assertIsNone(alice.peer.end)
        answer = await self.plane.ask(handshake(token=TOKEN))
        self.assertTrue(answer.startswith("HTTP/1.1 401 "), answer)

    async def test_shared_token_changed(self) -> None:
        shared = await self.plane.native(offer(hostname="app"))
        alice = await self.client(ALICES, offer(hostname="alice-1"))
        self.plane.settings.change(inlets_shared_token="another")
        await self.assertEnded(shared, "shared token was changed")
        self.assertIsNone(alice.peer.end)

    async def test_scope_taken_away(self) -> None:
        client = await self.client(ALICES, offer(hostname="alice-1"))
        self.plane.accounts.user("alice", ALICES, scopes=frozenset(["status"]))
        await self.assertEnded(client, "not good for tunnels")

    async def test_a_name_that_becomes_somebody_else_s(self) -> None:
        shared = await self.plane.native(offer(hostname="shop"))
        other = await self.plane.native(offer(hostname="carol-1"), client_id="other")
        bob = await self.client(BOBS, offer(hostname="bob-1"))
        self.plane.accounts.reserve("shop", "alice")
        self.assertEqual((await shared.refused())["code"], "hostname_not_yours")
        self.plane.accounts.user("carol", "ipy_carol")
        self.assertEqual((await other.refused())["code"], "hostname_not_yours")
        self.assertIsNone(bob.peer.end)

    async def test_a_stock_client(self) -> None:
        client = await self.plane.stock(f"alice-x.{DOMAIN}=http://a:1", token=ALICES)
        self.plane.accounts.revoke(ALICES)
        code, reason = await client.closed()
        self.assertEqual(code, 4001)
        self.assertIn("was revoked", reason)

    async def test_streams_end_with_it_though_the_client_does_not_answer(self) -> None:
        client = await self.client(ALICES, offer(hostname="alice-x"))
        service = self.plane.target(f"alice-x.{DOMAIN}")
        assert service is not None
        recorder = Recorder()
        service.connect(recorder, "192.0.2.1:9")
        self.plane.accounts.revoke(ALICES)
        await until(lambda: recorder.end is not None, "ended")
        self.assertEqual(len(self.plane.control._links), 1)  # the link waits for an answer
        await client.refused()

    async def test_uses_are_told(self) -> None:
        await self.client(ALICES, offer(hostname="alice-x"))
        self.plane.accounts.used.clear()
        self.plane.admission.sweep()
        self.assertEqual([c.owner.name for c in self.plane.accounts.used], ["alice"])


class IsolationTests(OwnersTestCase):
    """Bob knows all that a list or a log could tell him of Alice, and says it."""

    async def test_every_message_with_the_other_s_ids(self) -> None:
        alice = await self.client(
            ALICES,
            offer("web", hostname="alice-x"),
            offer("db", "tcp://a:1"),
            offer("vault", "tcp://a:2", private="alice-vault"),
            client_id="alice",
        )
        alice.answer_pings()
        before = self.plane.admission.rows()
        web, db, _ = before
        session, key = alice.welcome["session"], alice.welcome["key"]
        port = int(db["public_url"].rpartition(":")[2])
        attempts: tuple[tuple[list[Any], dict[str, Any], str | None], ...] = (
            ([offer(hostname=web["hostname"])], {}, "hostname_not_yours"),
            ([offer(hostname=web["hostname"], options={"derived": True})], {}, None),
            ([offer("db", "tcp://a:1", remote_port=port)], {}, "port_unavailable"),
            ([], {"client_id": "alice"}, "invalid"),
            ([], {"client_id": "alice", "derived": True}, None),
            # Even with the key, which only she has.
            ([], {"resume": {"session": session, "key": key, "received": 0}}, "session_expired"),
        )
        for services, hello, code in attempts:
            client = await self.plane.connect(token=BOBS)
            client.hello(*services, **{"client_id": "bob", **hello})
            if code is not None:
                self.assertEqual((await client.refused())["code"], code)
            else:
                client.welcome = await client.hear("welcome")
                await self.gone(client)
        bob = await self.client(BOBS, offer("web", hostname="bob-x"))
        for message in (
            {"type": "add_service", "service": offer("x", hostname="alice-x")},
            {"type": "add_service", "service": offer("x", "tcp://a:1", remote_port=port)},
        ):
            bob.say(message)
            self.assertEqual((await bob.hear("error"))["service"], "x")
        bob.say(
            {"type": "remove_service", "name": "db"},
            {"type": "remove_service", "name": "alice-x", "session": session},
            {"type": "share", "service": "db", "seconds": 60, "session": session},
            {"type": "connect", "name": "alice-vault", "owner": "alice"},
            {"type": "goaway", "session": session},
        )
        for _ in range(2):
            await bob.hear("service_removed")
        self.assertIn("there is no such service", (await bob.hear("notice"))["message"])
        self.assertEqual((await bob.hear("connect_refused"))["code"], "no_such_service")
        await bob.hear("goaway")
        rows = [row for row in self.plane.admission.rows() if row["owner"] == "alice"]
        self.assertEqual(rows, before)
        self.assertIsNone(alice.peer.end)
        said = json.dumps([row for row in self.plane.admission.rows() if row["owner"] == "bob"])
        self.assertNotIn("alice-x.", said)
