"""Who gets which name and which port, for how long, and what takes them away."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.errors import ResetCode, StreamReset
from inletspy.policy.routes import Claims
from inletspy.tunnel import contest
from inletspy.wire.frames import DATA, pack_frame
from tests.peers import reactor, until
from tests.tunnel.ends import Client
from tests.tunnel.plane import DOMAIN, TOKEN, Plane, Recorder, offer, stock_fields
from tests.tunnel.websocket import handshake

PROBE = 0.05


class AdmissionTestCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()
        self.plane = Plane(self, self.clock)
        self.patch(contest, "_PROBE_SECONDS", PROBE)

    async def refused(self, *services: Any, **hello: Any) -> dict[str, Any]:
        """The error with which a hello is refused."""
        client = await self.plane.connect()
        client.hello(*services, **hello)
        return await client.refused()

    async def app(self, client_id: str = "client", **hello: Any) -> Client:
        """A client that has the name `app`."""
        return await self.plane.native(offer(hostname="app"), client_id=client_id, **hello)

    async def gone(self, client: Client) -> None:
        """Let the client's connection be lost, as when its process dies."""
        client.peer.cut()
        await self.plane.until_empty()


class NameTests(AdmissionTestCase):
    async def test_names_that_are_none(self) -> None:
        for name in (
            "a..b",
            "-a",
            "a-",
            "a" * 64,
            "xn--",
            "xn--a-",
            "a b",
            "a_b",
            "é",
            "*",
            ".",
            "a/b",
            "a:80",
            "@",
            f"-a.{DOMAIN}",
            ".".join(["a" * 60] * 5),
        ):
            error = await self.refused(offer(hostname=name))
            self.assertEqual((name, error["code"]), (name, "hostname_invalid"))
            self.assertGreater(len(error["message"]), 20)
            self.assertIs(error["retry"], False)

    async def test_names_that_are_not_the_clients(self) -> None:
        self.plane.settings.change(custom_domains_enabled=False)
        for name in ("app.example.com", DOMAIN, f"a.b.{DOMAIN}", f"app.evil{DOMAIN}"):
            error = await self.refused(offer(hostname=name))
            self.assertIn(error["code"], ("hostname_not_yours", "hostname_invalid"), name)
            self.assertIn(name, error["message"])
        self.assertEqual(list(self.plane.routes.names), [])

    async def test_generated_name(self) -> None:
        client = await self.plane.native(offer())
        (service,) = client.welcome["services"]
        self.assertRegex(service["public_url"], rf"^http://[a-z0-9]{{10}}\.{DOMAIN}:8080$")

    async def test_letter_case_and_final_dot(self) -> None:
        client = await self.plane.native(offer(hostname=f"APP.{DOMAIN.upper()}."))
        self.assertEqual(client.welcome["services"][0]["public_url"], f"http://app.{DOMAIN}:8080")

    async def test_first_come_first_served(self) -> None:
        first = await self.app("first")
        for hostname in ("app", "App", f"app.{DOMAIN}"):
            error = await self.refused(offer(hostname=hostname), client_id="second")
            self.assertEqual(error["code"], "hostname_taken")
            self.assertIn(f"app.{DOMAIN} is taken", error["message"])
            self.assertIn("--name", error["message"])
        self.assertEqual(len(self.plane.admission.rows()), 1)
        first.answer_pings()

    async def test_all_or_nothing(self) -> None:
        await self.app("first")
        changes = self.plane.changes
        error = await self.refused(
            offer("one", hostname="one"),
            offer("db", "tcp://localhost:1"),
            offer("two", hostname="app"),
            client_id="second",
        )
        self.assertEqual(error["code"], "hostname_taken")
        self.assertEqual(self.plane.changes, changes)
        self.assertIsNone(self.plane.target(f"one.{DOMAIN}"))
        await until(lambda: not self.plane.ports._closing, "closed")
        self.assertEqual(self.plane.ports._open, {})
        self.assertEqual(len(self.plane.admission.rows()), 1)

    async def test_same_name_twice_in_one_session(self) -> None:
        error = await self.refused(offer("one", hostname="app"), offer("two", hostname="app"))
        self.assertEqual(error["code"], "hostname_taken")
        await self.plane.until_empty()

    async def test_gone_within_a_second(self) -> None:
        client = await self.app()
        began = reactor.seconds()
        await self.gone(client)
        self.assertEqual(self.plane.admission.rows(), [])
        self.assertLess(reactor.seconds() - began, 1)

    async def test_lease(self) -> None:
        await self.gone(await self.app("first"))
        error = await self.refused(offer(hostname="app"), client_id="second")
        self.assertEqual(error["code"], "hostname_taken")
        self.assertIn("kept for a client", error["message"])
        await self.gone(await self.app("first"))
        self.clock.advance(599)
        self.plane.admission.sweep()
        await self.refused(offer(hostname="app"), client_id="second")
        self.clock.advance(1)
        self.plane.admission.sweep()
        self.assertEqual(list(self.plane.routes.names), [])
        await self.app("second")

    async def test_lease_of_a_changed_length(self) -> None:
        self.plane.settings.change(name_lease_seconds=0)
        await self.gone(await self.app("first"))
        await self.app("second")

    async def test_stock_names_have_no_lease(self) -> None:
        # The id of such a client is another one the next time it is started.
        upstream = f"app.{DOMAIN}=http://a:1"
        await self.gone(await self.plane.stock(upstream))
        await self.plane.stock(upstream, inlets_id="2e" * 16)


class TakeOverTests(AdmissionTestCase):
    async def test_with_the_key_at_once(self) -> None:
        old = await self.app()
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        recorder = Recorder()
        service.connect(recorder, "192.0.2.1:9")
        resume = {"session": old.welcome["session"], "key": old.welcome["key"], "received": 0}
        error = await self.refused(offer(hostname="app"), resume=resume)
        self.assertEqual((error["code"], error["retry"]), ("session_expired", True))
        self.assertEqual((await old.hear("error"))["code"], "replaced")
        await old.closed()
        await until(lambda: recorder.end is not None, "ended")
        await self.app()

    async def test_with_a_wrong_key(self) -> None:
        old = await self.app()
        session, key = old.welcome["session"], old.welcome["key"]
        for resume in (
            {"session": session, "key": "0" * 32, "received": 0},
            {"session": session, "key": "", "received": 0},
            {"session": session, "key": "ключ", "received": 0},
            {"session": "0" * 16, "key": key, "received": 0},
        ):
            error = await self.refused(offer(hostname="app"), resume=resume)
            self.assertEqual(error["code"], "session_expired")
        self.assertEqual(len(self.plane.admission.rows()), 1)
        self.assertIsNone(old.peer.end)

    async def test_of_a_dead_client_after_a_probe(self) -> None:
        old = await self.app()
        new = await self.app()  # the old one does not answer pings
        self.assertEqual(list(self.plane.admission.sessions), [new.welcome["session"]])
        self.assertEqual((await old.hear("error"))["code"], "replaced")
        await old.closed()
        # The end of the old one takes nothing from the new one.
        await until(lambda: len(self.plane.control._links) == 1, "rid of the old link")
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        self.assertIs(service.session, self.plane.session_of(new))

    async def test_of_a_live_client_is_refused(self) -> None:
        self.patch(contest, "_PROBE_SECONDS", 30)
        old = await self.app()
        old.answer_pings()
        error = await self.refused(offer(hostname="app"))
        self.assertEqual(error["code"], "hostname_taken")
        self.assertIn("another tunnel of this client", error["message"])
        self.assertIsNone(old.peer.end)

    async def test_of_a_client_that_can_not_be_heard_is_refused(self) -> None:
        await self.app()
        self.plane.only_session.mux.stopped = True
        self.assertEqual((await self.refused(offer(hostname="app")))["code"], "hostname_taken")

    async def test_of_another_client_is_refused_unasked(self) -> None:
        self.patch(contest, "_PROBE_SECONDS", 1e6)
        await self.app("first")
        await self.refused(offer(hostname="app"), client_id="second")

    async def test_of_a_stock_client_at_once(self) -> None:
        self.patch(contest, "_PROBE_SECONDS", 1e6)
        upstream = f"app.{DOMAIN}=http://a:1"
        old = await self.plane.stock(upstream, "=http://b:2")
        new = await self.plane.stock(upstream, "=http://b:2")
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        self.assertIs(service.session, self.plane.only_session)
        code, _ = await old.closed()
        self.assertGreater(code, 4000)
        await until(lambda: len(self.plane.control._links) == 1, "rid of the old link")
        self.assertIs(self.plane.target(f"app.{DOMAIN}"), service)
        self.assertEqual(len(self.plane.admission.rows()), 2)
        new.peer.cut()

    async def test_of_a_stock_client_with_another_id(self) -> None:
        upstream = f"app.{DOMAIN}=http://a:1"
        old = await self.plane.stock(upstream)
        request = handshake(*stock_fields(upstream, inlets_id="2e" * 16), token=TOKEN)
        self.assertIn("409 Conflict", await self.plane.ask(request))
        self.assertIsNone(old.peer.end)

    async def test_native_id_proves_nothing_about_a_stock_client(self) -> None:
        await self.plane.stock(f"app.{DOMAIN}=http://a:1")
        self.patch(contest, "_PROBE_SECONDS", 30)
        (row,) = self.plane.admission.rows()
        error = ensureDeferred(self.refused(offer(hostname="app"), client_id=row["client_id"]))
        link: Any = self.plane.only_session.link
        await until(lambda: link._pings or error.called, "asked")
        self.assertFalse(error.called)  # it is asked whether it lives
        link._answer_pings(True)
        self.assertEqual((await error)["code"], "hostname_taken")

    async def test_of_a_draining_session(self) -> None:
        self.patch(contest, "_PROBE_SECONDS", 1e6)
        old = await self.app()
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        recorder = Recorder()
        service.connect(recorder, "192.0.2.1:9")
        old.say({"type": "goaway"})
        await old.hear("goaway")
        new = await self.app()
        self.assertEqual(
            [r["session"] for r in self.plane.admission.rows()], [new.welcome["session"]]
        )
        old.send(pack_frame(2, DATA, b"the rest"))
        await until(lambda: recorder.received == b"the rest", "complete")
        self.assertIsNone(recorder.end)


class RaceTests(AdmissionTestCase):
    """What happens while one client is asked whether it lives, for another's sake."""

    async def asked(self) -> tuple[Client, Client]:
        """One client with the name, and another that waits for the answer of a probe."""
        self.patch(contest, "_PROBE_SECONDS", 30)
        old = await self.app()
        new = await self.plane.connect()
        new.hello(offer("first", hostname="first"), offer("db", "tcp://a:1"), offer(hostname="app"))
        (session,) = self.plane.admission.sessions.values()
        link: Any = session.link
        await until(lambda: link._pings, "asked")
        return old, new

    def assertNothingGranted(self) -> None:
        self.assertEqual(self.plane.admission._admitting, set())
        for route in (*self.plane.routes.names, *self.plane.routes.ports):
            self.assertFalse(route.targets, route.key)

    async def test_not_in_the_list_yet(self) -> None:
        old, _ = await self.asked()
        self.assertEqual(
            [row["session"] for row in self.plane.admission.rows()], [old.welcome["session"]]
        )
        self.assertEqual(self.plane.admission.snapshot()["sessions"], 1)

    async def test_old_one_leaves(self) -> None:
        old, new = await self.asked()
        old.peer.cut()
        welcome = await new.hear("welcome")
        self.assertEqual(len(welcome["services"]), 3)
        self.assertEqual(len(self.plane.admission.rows()), 3)

    async def test_new_one_leaves(self) -> None:
        old, new = await self.asked()
        new.peer.cut()
        await until(lambda: len(self.plane.control._links) == 1, "gone")
        old.peer.cut()
        await self.plane.until_empty()
        self.assertNothingGranted()

    async def test_both_leave(self) -> None:
        old, new = await self.asked()
        old.peer.cut()
        new.peer.cut()
        await self.plane.until_empty()
        self.assertNothingGranted()

    async def test_tunnels_are_turned_off(self) -> None:
        old, new = await self.asked()
        self.plane.settings.change(tunnels_enabled=False)
        self.assertEqual((await new.refused())["code"], "tunnels_disabled")
        await old.hear("notice")
        await old.refused()
        await self.plane.until_empty()
        self.assertNothingGranted()

    async def test_token_and_domain_change(self) -> None:
        for change, code in (
            ({"inlets_shared_token": "another"}, "unauthorized"),
            ({"tunnel_base_domain": "example.org"}, "hostname_invalid"),
        ):
            old, new = await self.asked()
            self.plane.settings.change(**change)
            self.assertEqual((await new.refused())["code"], code)
            await old.refused()
            await self.plane.until_empty()
            self.assertNothingGranted()
            self.plane.settings.change(inlets_shared_token=TOKEN, tunnel_base_domain=DOMAIN)

    async def test_server_goes_away(self) -> None:
        old, new = await self.asked()
        link: Any = self.plane.session_of(old).link
        self.plane.admission.drain_all()
        await old.hear("goaway")
        link._answer_pings(False)
        error = await new.refused()
        self.assertEqual((error["code"], error["retry"]), ("quota", True))
        old.peer.cut()
        await self.plane.until_empty()
        self.assertNothingGranted()
        error = await self.refused(offer())
        self.assertIn("going away", error["message"])

    async def test_somebody_is_quicker(self) -> None:
        old, new = await self.asked()
        session = self.plane.session_of(old)
        self.plane.admission.remove_service(session, "web")
        self.plane.routes.names.expire()
        self.clock.advance(601)  # past the lease
        third = await self.app("third")
        link: Any = session.link
        link._answer_pings(False)
        self.assertEqual((await new.refused())["code"], "hostname_taken")
        self.assertIsNone(old.peer.end)  # it had no part in it any more
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        self.assertIs(service.session, self.plane.session_of(third))

    async def test_service_is_taken_back_while_it_is_added(self) -> None:
        self.patch(contest, "_PROBE_SECONDS", 30)
        for name_is_free in (False, True):
            old = await self.app()
            new = await self.plane.native()
            link: Any = self.plane.session_of(old).link
            new.say({"type": "add_service", "service": offer("late", hostname="app")})
            await until(partial(getattr, link, "_pings"), "asked")
            new.say({"type": "remove_service", "name": "late"})
            new.say({"type": "add_service", "service": offer("next")})
            await new.hear("service_removed")
            await new.hear("service_added")
            self.assertEqual(len(self.plane.admission.rows()), 2)
            if name_is_free:
                old.peer.cut()
            else:
                link._answer_pings(True)
            self.assertEqual((await new.hear("error"))["service"], "late")
            old.peer.cut()
            new.peer.cut()
            await self.plane.until_empty()
            self.assertNothingGranted()

    async def test_session_ends_while_a_service_is_added(self) -> None:
        self.patch(contest, "_PROBE_SECONDS", 30)
        old = await self.app()
        new = await self.plane.native()
        link: Any = self.plane.session_of(old).link
        new.say({"type": "add_service", "service": offer("late", hostname="app")})
        await until(lambda: link._pings, "asked")
        new.peer.cut()
        await until(lambda: len(self.plane.admission.sessions) == 1, "gone")
        old.peer.cut()
        await self.plane.until_empty()
        self.assertNothingGranted()

    async def test_stock_client_leaves_before_it_is_let_in(self) -> None:
        self.patch(contest, "_PROBE_SECONDS", 30)
        container = f"c0ffee-3000.{DOMAIN}"
        old = await self.plane.native(offer(hostname="c0ffee-3000"), client_id="c0ffee")
        link: Any = self.plane.session_of(old).link
        peer = await self.plane.peer()
        peer.send(handshake(*stock_fields(f"{container}=http://a:1"), token=TOKEN))
        await until(lambda: link._pings, "asked")
        peer.cut()
        await until(lambda: len(self.plane.control._credentials) == 1, "gone")
        old.peer.cut()
        await self.plane.until_empty()
        self.assertNothingGranted()

    async def test_settings_change_before_a_stock_link_is_open(self) -> None:
        # Admitted, but without a link: the answer to its handshake is still to be sent.
        waiting: Deferred[None] = Deferred()
        admit = self.plane.admission.admit

        async def slowly(*arguments: Any, **options: Any) -> None:
            await admit(*arguments, **options)
            await waiting

        self.patch(self.plane.admission, "admit", slowly)
        opening = ensureDeferred(self.plane.stock("a.example.com=http://a:1"))
        await until(lambda: self.plane.admission.sessions, "admitted")
        self.plane.settings.change(tunnels_enabled=False)
        waiting.callback(None)
        client = await opening
        self.assertEqual(await client.closed(), (1001, "the session has ended"))
        await self.plane.until_empty()

    async def test_error_in_the_decision(self) -> None:
        def fail(*arguments: Any) -> None:
            raise ZeroDivisionError

        client = await self.plane.connect()
        self.patch(Claims, "claim", fail)
        client.hello(offer(hostname="app"))
        self.assertEqual(await client.closed(), (1011, "internal error"))
        answer = await self.plane.ask(handshake(*stock_fields("a.b=http://a:1"), token=TOKEN))
        self.assertTrue(answer.startswith("HTTP/1.1 500 "), answer)
        self.assertTrue(answer.endswith("internal error\n"))
        await self.plane.until_empty()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)


class PortTests(AdmissionTestCase):
    def setUp(self) -> None:
        super().setUp()
        first = free_ports(3)
        self.range = range(first, first + 3)
        self.plane.settings.change(tcp_port_range=self.range)

    async def database(self, client_id: str = "client", **service: Any) -> tuple[Client, int]:
        """A client with a TCP service, and its public port."""
        client = await self.plane.native(
            offer("db", "tcp://a:5432", **service), client_id=client_id
        )
        (granted,) = client.welcome["services"]
        prefix, _, port = granted["public_url"].rpartition(":")
        self.assertEqual(prefix, f"tcp://{DOMAIN}")
        self.assertIn(int(port), self.range)
        return client, int(port)

    async def test_same_port_again(self) -> None:
        client, port = await self.database()
        for _ in range(3):
            await self.gone(client)
            await until(lambda: not listens(port), f"rid of port {port}")  # by the turn's end
            client, again = await self.database()
            self.assertEqual(again, port)
            self.assertTrue(listens(port))

    async def test_same_port_again_although_others_came(self) -> None:
        first, port = await self.database("first", remote_port=self.range[2])
        await self.gone(first)
        others = [(await self.database(f"other-{number}"))[1] for number in range(2)]
        self.assertNotIn(port, others)
        _, again = await self.database("first")
        self.assertEqual(again, port)

    async def test_same_port_again_after_the_lease(self) -> None:
        client, port = await self.database()
        await self.gone(client)
        self.clock.advance(601)
        self.plane.admission.sweep()
        _, again = await self.database()
        self.assertEqual(again, port)

    async def test_taken_over_from_a_dead_session(self) -> None:
        dead, port = await self.database()
        _, again = await self.database()
        self.assertEqual(again, port)
        self.assertTrue(listens(port))
        await dead.refused()
        self.assertTrue(listens(port))

    async def test_services_of_one_client(self) -> None:
        client = await self.plane.native(offer("a", "tcp://a:1"), offer("b", "tcp://b:2"))
        urls = {s["name"]: s["public_url"] for s in client.welcome["services"]}
        self.assertEqual(len(set(urls.values())), 2)
        await self.gone(client)
        client = await self.plane.native(offer("b", "tcp://b:2"), offer("a", "tcp://a:1"))
        self.assertEqual({s["name"]: s["public_url"] for s in client.welcome["services"]}, urls)

    async def test_port_asked_for(self) -> None:
        wanted = self.range[1]
        _, port = await self.database(remote_port=wanted)
        self.assertEqual(port, wanted)

    async def test_port_asked_for_is_out_of_range(self) -> None:
        for port in (1, 80, self.range[0] - 1, self.range[-1] + 1, 65535):
            error = await self.refused(offer("db", "tcp://a:1", remote_port=port))
            self.assertEqual(error["code"], "port_unavailable")
            self.assertIn(f"{self.range[0]} to {self.range[-1]}", error["message"])
            self.assertIs(error["retry"], False)

    async def test_port_asked_for_is_taken(self) -> None:
        wanted = self.range[1]
        await self.database("first", remote_port=wanted)
        error = await self.refused(offer("db", "tcp://a:1", remote_port=wanted), client_id="second")
        self.assertEqual(error["code"], "port_unavailable")
        self.assertIn("--remote-port", error["message"])

    async def test_port_asked_for_is_another_programs(self) -> None:
        wanted = self.range[1]
        with socket.create_server(("127.0.0.1", wanted)):
            error = await self.refused(offer("db", "tcp://a:1", remote_port=wanted))
            self.assertEqual(error["code"], "port_unavailable")
            for _ in range(2):
                await self.database(f"client-{_}")
        self.assertIsNone(self.plane.routes.ports.get(wanted))

    async def test_no_port_left(self) -> None:
        for number in range(3):
            await self.database(f"client-{number}")
        error = await self.refused(offer("db", "tcp://a:1"), client_id="one too many")
        self.assertEqual(error["code"], "invalid")  # no such id
        error = await self.refused(offer("db", "tcp://a:1"), client_id="one-too-many")
        self.assertEqual((error["code"], error["retry"]), ("port_unavailable", True))
        self.assertIn("no port is free", error["message"])

    async def test_released_when_another_service_is_refused(self) -> None:
        await self.app("first")
        error = await self.refused(
            offer("db", "tcp://a:1", remote_port=self.range[0]),
            offer(hostname="app"),
            client_id="second",
        )
        self.assertEqual((error["code"], error["service"]), ("hostname_taken", "web"))
        await until(lambda: not listens(self.range[0]), "closed")
        _, port = await self.database("second", remote_port=self.range[0])
        self.assertEqual(port, self.range[0])

    async def test_removed(self) -> None:
        client, port = await self.database()
        client.say({"type": "remove_service", "name": "db"})
        await until(lambda: not listens(port), "closed")
        self.assertEqual(self.plane.admission.rows(), [])


class SettingsTests(AdmissionTestCase):
    async def test_turned_off_and_on(self) -> None:
        client = await self.app()
        stock = await self.plane.stock("a.example.com=http://a:1")
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        recorder = Recorder()
        service.connect(recorder, "192.0.2.1:9")
        changes = self.plane.changes
        self.plane.settings.change(tunnels_enabled=False)
        self.assertEqual(self.plane.admission.rows(), [])
        self.assertGreater(self.plane.changes, changes)
        self.assertIsNone(self.plane.target(f"app.{DOMAIN}"))
        self.assertIn("turned tunnels off", (await client.hear("notice"))["message"])
        error = await client.refused()
        self.assertEqual((error["code"], error["retry"]), ("tunnels_disabled", True))
        code, _ = await stock.closed()
        self.assertGreater(code, 4000)
        await self.plane.until_empty()
        end: Any = recorder.end
        self.assertIsInstance(end.value, StreamReset)
        self.assertEqual(end.value.code, ResetCode.CANCELLED)
        await self.refused(offer(hostname="app"))
        self.plane.settings.change(tunnels_enabled=True)
        await self.app()

    async def test_shared_token_changed(self) -> None:
        client = await self.app()
        self.plane.settings.change(inlets_shared_token="another")
        error = await client.refused()
        self.assertEqual((error["code"], error["retry"]), ("unauthorized", False))
        await self.plane.until_empty()

    async def test_base_domain_changed(self) -> None:
        client = await self.app()
        self.plane.settings.change(tunnel_base_domain="example.org")
        error = await client.refused()
        self.assertEqual((error["code"], error["retry"]), ("hostname_invalid", True))
        await self.plane.until_empty()
        client = await self.app()
        self.assertEqual(client.welcome["services"][0]["public_url"], "http://app.example.org:8080")

    async def test_custom_domains_no_longer(self) -> None:
        client = await self.app()
        database = await self.plane.native(offer("db", "tcp://a:1"), client_id="other")
        custom = await self.plane.native(offer(hostname="a.example.com"), client_id="third")
        self.plane.settings.change(custom_domains_enabled=False)
        self.assertEqual((await custom.refused())["code"], "hostname_not_yours")
        self.assertEqual(len(self.plane.admission.rows()), 2)
        for kept in (client, database):
            self.assertIsNone(kept.peer.end)

    async def test_other_settings_touch_nobody(self) -> None:
        client = await self.app()
        self.plane.settings.change(heartbeat_seconds=5, trusted_proxies=(), status_public=True)
        self.plane.settings.change(tcp_port_range=range(1, 2), services_per_session=1)
        self.assertEqual(len(self.plane.admission.rows()), 1)
        self.assertIsNone(client.peer.end)

    async def test_streams_per_session(self) -> None:
        self.plane.settings.change(streams_per_session=2)
        await self.app()
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        service.connect(Recorder(), "")
        service.connect(Recorder(), "")
        error = self.assertRaises(StreamReset, service.connect, Recorder(), "")
        self.assertEqual(error.code, ResetCode.LIMIT)
        self.plane.settings.change(streams_per_session=3)  # of those that are here, too
        service.connect(Recorder(), "")
        self.assertRaises(StreamReset, service.connect, Recorder(), "")
        counts = {"sessions": 1, "services": 1, "streams": 3}
        self.assertEqual(
            self.plane.admission.snapshot(),
            {
                **counts,
                "refused": {"streams_per_session": 2},
                "usage": [{"of": "the shared token", **counts}],
            },
        )

    async def test_observer_that_fails(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        end = self.plane.admission.subscribe(fail)
        changes = self.plane.changes
        await self.app()
        self.assertEqual(self.plane.changes, changes + 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        end()


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on."""
    for first in range(31000, 32768, count):
        if not any(listens(port) for port in range(first, first + count)):
            return first
    raise AssertionError("no free ports")


def listens(port: int) -> bool:
    """Whether anybody listens on a port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
