"""Private services: who reaches which, and how what passes through two sessions behaves."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from struct import pack
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from inletspy.client import reach as reach_module
from inletspy.client.agent import Observer
from inletspy.client.dialer import Dialer
from inletspy.client.localport import LocalPort
from inletspy.client.reach import Reach
from inletspy.client.server import ServerAddress
from inletspy.errors import Refused
from inletspy.policy.limits import Limits
from inletspy.policy.links import link_with, new_link_token
from inletspy.policy.private import PrivateName, new_share_token
from inletspy.policy.sharing import make_link
from inletspy.tunnel import contest
from inletspy.wire.control import ServiceOffer
from inletspy.wire.frames import OPEN, RESET, pack_frame
from tests.client.tunnelling import Told
from tests.peers import CLOSED, CUT, FINISHED, Peer, PeerFactory, Upstream, reactor, until
from tests.tunnel.ends import Client
from tests.tunnel.plane import DOMAIN, TOKEN, Plane, offer, stock_fields
from tests.tunnel.websocket import handshake

KEY = "k" * 43
ALICES, BOBS, ALICES_SECOND = "ipy_alice_1", "ipy_bob_1", "ipy_alice_2"
DB = offer("5432", "tcp://localhost:5432", private="db")
UNKNOWN = "there is no private service {} of yours"


class PlaneTestCase(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.plane = Plane(self, link_signing_key=KEY)
        self.patch(contest, "_PROBE_SECONDS", 0.05)
        for name, token in (("alice", ALICES), ("bob", BOBS), ("alice", ALICES_SECOND)):
            self.plane.accounts.user(name, token)

    async def client(self, token: str, *services: Any, **hello: Any) -> Client:
        if "client_id" not in hello:
            hello = {"client_id": "laptop", "derived": True, **hello}
        return await self.plane.native(*services, token=token, **hello)

    async def ask(self, client: Client, name: str) -> dict[str, Any]:
        client.say({"type": "connect", "name": name})
        return await client.hear_one()

    async def asked(self, client: Client, name: str) -> str | int:
        """The number, or the text of the refusal."""
        answer = await self.ask(client, name)
        if answer["type"] == "connected":
            self.assertEqual(answer["name"], name)
            return int(answer["number"])
        self.assertEqual((answer["type"], answer["name"]), ("connect_refused", name))
        return str(answer["message"])

    def share(self, owner: str = "alice", name: str = "db", seconds: float = 60) -> str:
        return new_share_token(KEY, PrivateName(owner, name), int(time.time() + seconds))


class ServingTests(PlaneTestCase):
    """What a private service is given, and how it is listed."""

    async def test_no_public_address(self) -> None:
        client = await self.client(
            ALICES, DB, offer("web", private="web"), offer("open", hostname="alice-open")
        )
        urls = [service["public_url"] for service in client.welcome["services"]]
        self.assertEqual(urls, ["private:db", "private:web", f"http://alice-open.{DOMAIN}:8080"])
        self.assertEqual([route.key for route in self.plane.routes.names], [f"alice-open.{DOMAIN}"])
        self.assertEqual(list(self.plane.routes.ports), [])
        private, _, public = self.plane.admission.rows()
        self.assertEqual(
            {key: private[key] for key in ("hostname", "public_url", "upstream", "private")},
            {
                "hostname": "",
                "public_url": "private:db",
                "upstream": "tcp://localhost:5432",
                "private": True,
            },
        )
        self.assertNotIn("private", public)

    async def test_names_are_each_owners(self) -> None:
        for token in (ALICES, BOBS, TOKEN):
            await self.client(token, DB)
        self.assertEqual(
            {route.key for route in self.plane.routes.private},
            {("alice", "db"), ("bob", "db"), ("shared", "db")},
        )

    async def test_one_client_has_a_name(self) -> None:
        first = await self.client(ALICES, DB)
        first.answer_pings()
        second = await self.plane.connect(token=ALICES)
        second.hello(DB, client_id="other", derived=True)
        error = await second.refused()
        self.assertEqual((error["code"], error["service"]), ("hostname_taken", "5432"))
        self.assertIn("db is served by another tunnel of yours (alice-laptop)", error["message"])

    async def test_it_is_kept_for_its_client(self) -> None:
        first = await self.client(TOKEN, DB, client_id="one")
        first.peer.cut()
        await self.plane.until_empty()
        other = await self.plane.connect()
        other.hello(DB, client_id="two")
        self.assertIn("kept for a client", (await other.refused())["message"])
        await self.client(TOKEN, DB, client_id="one")

    async def test_it_is_free_once_removed(self) -> None:
        client = await self.client(ALICES, DB)
        client.say({"type": "remove_service", "name": "5432"})
        await client.hear("service_removed")
        client.say({"type": "add_service", "service": {**DB, "name": "other"}})
        added = await client.hear("service_added")
        self.assertEqual(added["service"]["public_url"], "private:db")

    async def test_new_names_are_counted(self) -> None:
        self.plane.settings.change(user_limits=Limits(names_per_hour=2))
        client = await self.client(ALICES, DB, offer("web", private="web"))
        client.say({"type": "add_service", "service": {**DB, "name": "3", "private": "third"}})
        error = await client.hear("error")
        self.assertEqual((error["code"], error["service"]), ("quota", "3"))
        self.assertEqual(len(list(self.plane.routes.private)), 2)

    async def test_what_does_not_go_together(self) -> None:
        for more, code in (
            ({"private": "a.b"}, "hostname_invalid"),
            ({"private": "a" * 64}, "hostname_invalid"),
            ({"private": "../x"}, "hostname_invalid"),
            ({"remote_port": 30000}, "invalid"),
            ({"hostname": "app"}, "invalid"),
            ({"options": {"allow": ["127.0.0.1"]}}, "invalid"),
        ):
            client = await self.plane.connect(token=ALICES)
            client.hello({**DB, **more}, client_id="alice")
            self.assertEqual((await client.refused())["code"], code, more)
        for wrong in (1, True, ["db"], {"name": "db"}, "a\nb"):
            client = await self.plane.connect(token=ALICES)
            client.hello({**DB, "private": wrong}, client_id="alice")
            self.assertEqual((await client.closed())[0], 1002, wrong)

    async def test_pattern_of_a_token(self) -> None:
        self.plane.accounts.user("alice", "ipy_pattern", names=("ci-*",))
        client = await self.plane.connect(token="ipy_pattern")
        client.hello(DB, client_id="alice")
        error = await client.refused()
        self.assertEqual(error["code"], "hostname_not_yours")
        self.assertIn("ci-*", error["message"])
        await self.client("ipy_pattern", {**DB, "private": "ci-db"})
        await self.client(ALICES, DB)
        client = await self.client("ipy_pattern")
        self.assertEqual(await self.asked(client, "db"), UNKNOWN.format("db"))
        self.assertEqual(await self.asked(client, "ci-db"), 1)


class AskingTests(PlaneTestCase):
    """Who may open streams to which service."""

    async def test_the_owner(self) -> None:
        await self.client(ALICES, DB, offer("web", private="web"))
        client = await self.client(ALICES_SECOND)
        self.assertEqual(await self.asked(client, "db"), 1)
        self.assertEqual(await self.asked(client, "web"), 2)
        self.assertEqual(await self.asked(client, "DB"), 1)

    async def test_all_with_the_shared_token_are_one(self) -> None:
        await self.client(TOKEN, DB, client_id="one")
        self.assertEqual(await self.asked(await self.client(TOKEN, client_id="two"), "db"), 1)

    async def test_others_learn_nothing(self) -> None:
        await self.client(ALICES, DB, offer("open", hostname="alice-open"))
        for token in (BOBS, TOKEN):
            client = await self.client(token)
            for name in ("db", "nothing", "alice-open", "5432"):
                answer = await self.ask(client, name)
                self.assertEqual(
                    answer,
                    {
                        "type": "connect_refused",
                        "name": name,
                        "code": "no_such_service",
                        "message": UNKNOWN.format(name),
                        "retry": False,
                    },
                )

    async def test_odd_names(self) -> None:
        client = await self.client(ALICES)
        for name in ("", "a.b", "x" * 400, "../db", "ä", "alice db"):
            self.assertEqual(await self.asked(client, name), UNKNOWN.format(name))
        for message in ({}, {"name": 1}, {"name": "a\tb"}, {"name": "x" * 513}):
            client = await self.client(ALICES)
            client.say({"type": "connect", **message})
            self.assertEqual((await client.closed())[0], 1002)

    async def test_there_are_not_too_many(self) -> None:
        self.plane.settings.change(services_per_session=2)
        await self.client(ALICES, DB, offer("web", private="web"))
        await self.client(ALICES, offer("third", private="third"), client_id="alice-2")
        client = await self.client(ALICES_SECOND)
        self.assertEqual(await self.asked(client, "db"), 1)
        self.assertEqual(await self.asked(client, "web"), 2)
        self.assertIn("2 private services at most", str(await self.asked(client, "third")))
        self.assertEqual(await self.asked(client, "web"), 2)

    async def test_stream_to_nothing(self) -> None:
        """A number that was not given is refused, and the session goes on."""
        await self.client(ALICES, DB)
        client = await self.client(BOBS)
        client.send(pack_frame(1, OPEN, pack("!H", 1) + b"1.2.3.4:5"))
        (found,) = [await client.frame()]
        self.assertEqual(
            found.payload, pack_frame(1, RESET, pack("!H", 1) + b"no such private service")
        )
        self.assertEqual(await self.asked(client, "db"), UNKNOWN.format("db"))

    async def test_stock_clients_have_no_say(self) -> None:
        await self.client(TOKEN, DB)
        await self.plane.stock("app.example.com=http://127.0.0.1:1")
        sessions = self.plane.admission.sessions.values()
        self.assertEqual([session.reaches for session in sessions], [{}, {}])


class GuestTests(PlaneTestCase):
    """Those who were given a share token."""

    async def test_one_service_and_nothing_else(self) -> None:
        await self.client(ALICES, DB, offer("web", private="web"))
        guest = await self.client(self.share())
        self.assertEqual(await self.asked(guest, "db"), 1)
        self.assertEqual(await self.asked(guest, "web"), UNKNOWN.format("web"))
        guest.say({"type": "add_service", "service": offer("x", hostname="alice-x")})
        error = await guest.hear("error")
        self.assertEqual((error["code"], error["service"]), ("unauthorized", "x"))
        guest.say({"type": "share", "service": "5432", "seconds": 60})
        self.assertIn("no such service", (await guest.hear("notice"))["message"])

    async def test_it_serves_nothing(self) -> None:
        guest = await self.plane.connect(token=self.share())
        guest.hello(offer(hostname="alice-x"), client_id="alice")
        self.assertEqual((await guest.refused())["code"], "unauthorized")
        answer = await self.plane.ask(
            handshake(*stock_fields("=http://a:1"), token=self.share(), subprotocol=None)
        )
        self.assertTrue(answer.startswith("HTTP/1.1 403 "), answer)

    async def test_refused(self) -> None:
        link = new_link_token(KEY, "db", "alice", int(time.time()) + 60)
        good = self.share()
        for token in (
            self.share(seconds=0),
            self.share("carol"),
            new_share_token("j" * 43, PrivateName("alice", "db"), int(time.time()) + 60),
            good[:-1] + ("A" if good[-1] != "A" else "B"),
            link,
            link_with("http://db", link),
        ):
            answer = await self.plane.ask(handshake(token=token))
            self.assertTrue(answer.startswith("HTTP/1.1 401 "), (token, answer))

    async def test_its_sessions_do_not_use_up_the_owners(self) -> None:
        self.plane.settings.change(user_limits=Limits(sessions=11))
        for _ in range(10):
            await self.client(ALICES)
        token = self.share()
        for _ in range(10):
            await self.client(token)
        self.assertIn("may have 10 clients at once", await self.over_limit(token))
        await self.client(ALICES)

    async def test_an_owner_has_no_more_sessions_by_many_share_tokens(self) -> None:
        self.plane.settings.change(user_limits=Limits(sessions=2))
        guests = [await self.client(self.share()) for _ in range(2)]
        self.assertEqual(
            await self.over_limit(self.share()),
            "all with share tokens of alice may have 2 clients at once: end one first",
        )
        await self.client(self.share("bob"))
        guests[0].close()
        await until(lambda: len(self.plane.admission.sessions) == 2, "one less")
        await self.client(self.share())

    async def over_limit(self, token: str) -> str:
        """The text with which one more guest is refused because there are too many."""
        guest = await self.plane.connect(token=token)
        guest.hello(client_id="one-too-many")
        error = await guest.refused()
        self.assertEqual((error["code"], error["retry"]), ("quota", True))
        return str(error["message"])

    async def test_what_ends_it(self) -> None:
        self.plane.accounts.user("carol", "ipy_carol")
        for end in (
            lambda: self.plane.accounts.remove("carol"),
            lambda: self.plane.settings.change(link_signing_key="j" * 43),
        ):
            guest = await self.client(self.share("carol"))
            end()
            error = await guest.refused()
            self.assertEqual((error["code"], error["retry"]), ("unauthorized", False))
            await self.plane.until_empty()
            self.plane.accounts.user("carol", "ipy_carol")

    async def test_expiry_ends_it(self) -> None:
        guest = await self.client(self.share())
        now = time.time() + 61
        self.patch(self.plane.admission._tokens, "_now", lambda: now)
        self.plane.admission.sweep()
        self.assertIn("has expired", (await guest.refused())["message"])

    async def test_made_for_its_client(self) -> None:
        client = await self.client(ALICES, DB)
        client.say({"type": "share", "service": "5432", "seconds": 7200})
        shared = await client.hear("shared")
        self.assertEqual(shared["service"], "5432")
        guest = await self.client(shared["url"])
        self.assertEqual(await self.asked(guest, "db"), 1)


class PassingTests(PlaneTestCase):
    """Real clients on both sides, and sockets behind both."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(random, "uniform", lambda low, high: low)
        self.patch(reach_module, "_RETRY_SECONDS", 0.01)
        self.upstream = Upstream(self)
        self.visitors = PeerFactory(self)
        self.failures: list[str] = []

    def dial(self, token: str, observer: Observer, **more: Any) -> Dialer:
        """A client that runs until the test ends."""
        dialer = Dialer(
            reactor,
            ServerAddress.parse(self.plane.url),
            token,
            "laptop",
            more.pop("services", ()),
            observer,
            derived=True,
            **more,
        )
        running = dialer.run()

        async def end() -> None:
            dialer._abort_links()
            await dialer.stop()
            running.addErrback(lambda failure: None)

        self.addCleanup(end)
        self.running: Deferred[Any] = running
        return dialer

    async def serve(self, token: str = ALICES, **options: Any) -> Dialer:
        told = Told()
        address = f"tcp://127.0.0.1:{self.upstream.port}"
        service = ServiceOffer("5432", "tcp", address, options=options, private="db")
        dialer = self.dial(token, told, services=[service])
        await told.next("ready")
        return dialer

    async def reach(self, token: str = ALICES_SECOND) -> None:
        """Have a local port lead to the service."""
        self.told = Told()
        way = Reach(reactor, "db", self.told)
        listening: Any = LocalPort(reactor, way, self.failures.append).open("127.0.0.1", 0)
        self.addCleanup(listening.stopListening)
        self.port = listening.getHost().port
        way.place = f"127.0.0.1:{self.port}"
        self.reaching = self.dial(token, self.told, reach=way)
        self.assertEqual(await self.told.next("ready"), ("ready", [way.place]))

    async def joined(self) -> tuple[Peer, Peer]:
        """A program at the local port and the upstream that hear each other."""
        near = await self.visitors.connect_to(self.port)
        far = await self.upstream.connection()
        near.send(b"?")
        self.assertEqual(await far.read(1), b"?")
        far.send(b"!")
        self.assertEqual(await near.read(1), b"!")
        return near, far

    def streams(self) -> int:
        return int(self.plane.admission.snapshot()["streams"])

    async def until_idle(self) -> None:
        await until(lambda: self.streams() == 0, lambda: f"rid of {self.streams()} streams")

    async def test_bytes_and_half_closes(self) -> None:
        await self.serve()
        await self.reach()
        payload = random.randbytes(3_000_000)
        for finish_first in ("near", "far"):
            near, far = await self.joined()
            self.assertEqual(self.streams(), 2)
            one, two = (near, far) if finish_first == "near" else (far, near)
            one.send(payload)
            one.finish()
            self.assertEqual(await two.read_to_end(), payload)
            self.assertEqual(two.end, FINISHED)
            two.send(payload[::-1])
            two.close()
            self.assertEqual(await one.read_to_end(), payload[::-1])
            self.assertIn(await one.ended(), (FINISHED, CLOSED))
            await self.until_idle()
        self.assertEqual(self.failures, [])

    async def test_several_that_share_it(self) -> None:
        for _ in range(2):
            await self.serve(share=True)
        await self.reach()
        for _ in range(6):
            await self.joined()
        services = [
            service
            for session in self.plane.admission.sessions.values()
            for service in session.services.values()
        ]
        self.assertEqual([service.streams for service in services], [3, 3])

    async def test_either_side_may_cut(self) -> None:
        await self.serve()
        await self.reach()
        near, far = await self.joined()
        near.cut()
        self.assertEqual(await far.ended(), CUT)
        near, far = await self.joined()
        far.cut()
        self.assertEqual(await near.ended(), CUT)
        await self.until_idle()
        self.assertEqual(self.failures, [])

    async def test_a_reader_that_stops_holds_up_its_own(self) -> None:
        """What is on the way is bounded, and others pass."""
        await self.serve()
        await self.reach()
        size = 40 << 20
        for slow_side in ("near", "far"):
            near, far = await self.joined()
            reader, writer = (near, far) if slow_side == "near" else (far, near)
            reader.pause()
            writer.send(bytes(size))
            await writer.until_stuck()
            for session in self.plane.admission.sessions.values():
                for stream in session.mux.streams.values():
                    # Each side's window, and what a turn brings beyond it.
                    self.assertLess(stream.unconsumed + stream.queued, 2 << 20)
            other_near, other_far = await self.joined()
            other_far.send(bytes(1_000_000))
            await other_near.read(1_000_000)
            other_near.cut()
            reader.resume()
            await reader.read(size)
            reader.cut()
            await self.until_idle()

    async def test_nothing_listens(self) -> None:
        await self.serve()
        await self.reach()
        await self.upstream.stop()
        near = await self.visitors.connect_to(self.port)
        self.assertEqual(await near.ended(), CUT)
        self.assertEqual(self.failures, ["nothing listens behind it"])
        await self.until_idle()

    async def test_away_and_back(self) -> None:
        serving = await self.serve()
        await self.reach()
        near, _ = await self.joined()
        serving._abort_links()
        await serving.stop()
        self.assertEqual(await near.ended(), CUT)
        near = await self.visitors.connect_to(self.port)
        self.assertEqual(await near.ended(), CUT)
        self.assertEqual(self.failures, ["the client that serves db is away"])
        await self.serve()
        await self.joined()

    async def test_reconnects(self) -> None:
        await self.serve()
        await self.reach()
        near, far = await self.joined()
        self.reaching._abort_links()
        self.assertIn(await near.ended(), (CUT, CLOSED))
        await far.ended()
        await self.told.next("disconnected")
        await self.told.next("ready")
        await self.joined()

    async def test_server_that_does_not_know_it_yet(self) -> None:
        """As after a restart, when the client that connects is the quicker one."""
        serving = await self.serve()
        await self.reach()
        serving._abort_links()
        await serving.stop()
        await until(lambda: len(self.plane.admission.sessions) == 1, "alone")
        self.plane.routes.private.forget(PrivateName("alice", "db"))
        self.reaching._abort_links()
        await self.told.next("disconnected")
        self.assertIn("no private service", (await self.told.next("disconnected"))[1])
        near = await self.visitors.connect_to(self.port)
        self.assertEqual(await near.ended(), CUT)
        self.assertEqual(self.failures, ["it is not connected just now"])
        await self.serve()
        await until(lambda: self.told.events[-1][0] == "ready", "ready again")
        await self.joined()

    async def test_unknown_at_the_start(self) -> None:
        told = Told()
        self.dial(ALICES, told, reach=Reach(reactor, "db", told))
        error = await self.assertFailure(self.running, Refused)
        self.assertEqual(str(error), UNKNOWN.format("db"))

    async def test_guest_and_its_end(self) -> None:
        await self.guest_ends(lambda: self.plane.settings.change(link_signing_key="j" * 43))

    async def test_a_guest_whose_token_is_revoked(self) -> None:
        await self.serve()
        link, token = make_link(KEY, "alice", "", "private:db", time.time(), 60)
        self.plane.shared_links.note(link)

        def revoke() -> None:
            self.plane.shared_links.note(replace(link, revoked_at=time.time()))
            self.plane.admission.sweep()

        await self.guest_ends(revoke, token)

    async def guest_ends(self, end: Callable[[], None], token: str = "") -> None:
        """A guest connects, and is told that its token is good no longer."""
        if not token:
            await self.serve()
        await self.reach(token or self.share())
        running = self.running
        near, far = await self.joined()
        end()
        self.assertIn(await near.ended(), (CUT, CLOSED))
        await far.ended()
        error = await self.assertFailure(running, Refused)
        self.assertIn("good no longer", str(error))

    async def test_revoking_ends_both_sides(self) -> None:
        for revoked in (ALICES, ALICES_SECOND):
            self.plane.accounts.user("alice", ALICES)
            await self.serve()
            await self.reach()
            near, far = await self.joined()
            self.plane.accounts.revoke(revoked)
            await near.ended()
            await far.ended()
            if revoked == ALICES_SECOND:
                await self.assertFailure(self.running, Refused)

    async def test_streams_are_counted_on_both_sides(self) -> None:
        await self.serve()
        await self.reach()
        for session in self.plane.admission.sessions.values():
            session.mux.max_streams = 1 if session.services else 10
        near, _ = await self.joined()
        second = await self.visitors.connect_to(self.port)
        self.assertEqual(await second.ended(), CUT)
        self.assertEqual(self.failures, ["too many streams"])
        near.cut()
        await self.until_idle()
        await self.joined()

    async def test_too_many_connections_a_second(self) -> None:
        self.plane.settings.change(user_limits=Limits(connections_per_second=0.1))
        await self.serve()
        await self.reach()
        await self.joined()
        second = await self.visitors.connect_to(self.port)
        self.assertEqual(await second.ended(), CUT)
        self.assertIn("as many connections to it as there may be", self.failures[0])

    async def test_guests_do_not_use_up_the_owners_rate(self) -> None:
        self.plane.settings.change(user_limits=Limits(connections_per_second=0.1))
        await self.serve()
        await self.reach(self.share())
        await self.joined()
        for _ in range(2):
            near = await self.visitors.connect_to(self.port)
            self.assertEqual(await near.ended(), CUT)
        await self.reach()
        await self.joined()

    async def test_where_connections_come_from(self) -> None:
        """The upstream is told of the client's own address, and not what that client says."""
        await self.serve(proxy_protocol="v1")
        await self.reach()
        near = await self.visitors.connect_to(self.port)
        far = await self.upstream.connection()
        near.send(b"?")
        line = (await far.read_until(b"\r\n")).decode().split()
        self.assertEqual(line[:4], ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"])
        link_ports = {str(link.transport.getPeer().port) for link in self.plane.control._links}
        self.assertIn(line[4], link_ports)

    async def test_where_they_come_from_behind_a_proxy(self) -> None:
        networks = (ip_network("127.0.0.1"),)
        self.plane.settings.change(trusted_proxies=networks)
        await self.serve(proxy_protocol="v1")
        client = await self.plane.connect(
            token=ALICES_SECOND, fields=["X-Forwarded-For: 203.0.113.9, 198.51.100.7"]
        )
        client.hello(client_id="laptop", derived=True)
        await client.hear("welcome")
        self.assertEqual(await self.asked(client, "db"), 1)
        client.send(pack_frame(1, OPEN, pack("!H", 1) + b"1.2.3.4:5"))
        far = await self.upstream.connection()
        line = (await far.read_until(b"\r\n")).decode().split()
        self.assertEqual(line[2], "198.51.100.7")

    async def test_server_that_goes_away(self) -> None:
        await self.serve()
        await self.reach()
        near, far = await self.joined()
        self.plane.admission.drain_all()
        near.send(b"still")
        self.assertEqual(await far.read(5), b"still")
        second = await self.visitors.connect_to(self.port)
        self.assertEqual(await second.ended(), CUT)
