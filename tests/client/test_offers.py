"""What is wanted and what the server knows: by single messages, then with the real server."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from inletspy.client.offers import Offers
from inletspy.errors import Code, ProtocolViolation, Refused
from inletspy.tunnel.session import Session
from inletspy.wire.control import Grant, ServiceOffer
from tests.client.test_dialer import PlaneTestCase
from tests.client.tunnelling import WEB, Told
from tests.peers import Upstream, reactor, until
from tests.tunnel.plane import DOMAIN, Recorder, offer

API = ServiceOffer("rest", "http", "http://localhost:4000", hostname="rest")
DB = ServiceOffer("db", "tcp", "tcp://localhost:5432")


def grant(number: int, name: str) -> Grant:
    return Grant(name, number, f"http://{name}.{DOMAIN}:8080")


class OffersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told = Told()
        self.sent: list[dict[str, Any]] = []

    def up(self, *services: ServiceOffer) -> Offers:
        """Offers that were greeted and granted."""
        offers = Offers(services, self.told)
        self.welcome(offers)
        return offers

    def welcome(self, offers: Offers) -> None:
        greeting = offers.greeting()
        offers.welcomed([grant(n, o.name) for n, o in enumerate(greeting, 1)], self.sent.append)

    def asked(self) -> list[tuple[str, str]]:
        """What was sent since the last time: kind, and name of the service."""
        sent, self.sent[:] = list(self.sent), []
        return [
            (m["type"], m["name"] if m["type"] == "remove_service" else m["service"]["name"])
            for m in sent
        ]

    def upstream(self, offers: Offers, number: int) -> str | None:
        served = offers.numbered(number)
        return None if served is None else served.offer.upstream

    def test_added_and_removed(self) -> None:
        offers = self.up(WEB, DB)
        self.assertEqual(self.asked(), [])
        offers.want([DB, API])
        self.assertEqual(self.asked(), [("remove_service", "web"), ("add_service", "rest")])
        # Visitors may be on their way to the old one, but not once the server has heard of it.
        self.assertEqual(self.upstream(offers, 1), WEB.upstream)
        offers.removed("web")
        self.assertIsNone(offers.numbered(1))
        offers.added(grant(1, "rest"))
        self.assertEqual(self.upstream(offers, 1), API.upstream)
        self.assertEqual(self.upstream(offers, 2), DB.upstream)
        self.assertEqual(self.told.events, [("added", "rest", f"http://rest.{DOMAIN}:8080")])
        self.assertEqual(offers.announced, (DB, API))

    def test_closed_by_the_server(self) -> None:
        offers = self.up(WEB, DB)
        closed = Refused(Code.CLOSED, "it was closed", service="web")
        offers.refused(closed)
        self.assertEqual(self.told.events, [("refused", "web", "closed", "it was closed")])
        self.assertIsNone(offers.numbered(1))
        self.assertEqual((self.asked(), offers.announced), ([], (DB,)))
        # Neither a new link nor the next change of others brings it back.
        offers.lost()
        self.assertEqual(offers.greeting(), (DB,))
        self.welcome(offers)
        self.assertEqual(self.asked(), [])
        offers.want([WEB, DB])
        self.assertEqual(self.asked(), [("add_service", "web")])

    def test_closed_when_it_is_not_wanted_any_more(self) -> None:
        offers = self.up(WEB, DB)
        offers.want([replace(WEB, upstream="http://localhost:1"), DB])
        self.asked()
        offers.refused(Refused(Code.CLOSED, "it was closed", service="web"))
        offers.removed("web")
        offers.added(grant(1, "web"))
        self.assertEqual(self.upstream(offers, 1), "http://localhost:1")
        offers.refused(Refused(Code.CLOSED, "it was closed", service="unknown"))

    def test_the_same_again(self) -> None:
        offers = self.up(WEB, DB)
        offers.want([replace(DB), replace(WEB)])
        self.assertEqual(self.asked(), [])

    def test_changed(self) -> None:
        offers = self.up(WEB)
        changed = replace(WEB, upstream="http://localhost:3001")
        offers.want([changed])
        self.assertEqual(self.asked(), [("remove_service", "web"), ("add_service", "web")])
        self.assertEqual(self.upstream(offers, 1), WEB.upstream)
        offers.removed("web")
        offers.added(grant(1, "web"))
        self.assertEqual(self.upstream(offers, 1), changed.upstream)

    def test_one_question_at_a_time(self) -> None:
        offers = self.up(WEB)
        offers.want([WEB, API, DB])
        self.assertEqual(self.asked(), [("add_service", "rest")])
        offers.want([WEB, DB])  # before there is an answer
        self.assertEqual(self.asked(), [])
        offers.added(grant(2, "rest"))
        self.assertEqual(self.asked(), [("remove_service", "rest"), ("add_service", "db")])
        offers.removed("rest")
        offers.added(grant(2, "db"))
        self.assertEqual([event[:2] for event in self.told.events], [("added", "db")])

    def test_refused(self) -> None:
        offers = self.up(WEB)
        taken = Refused(Code.HOSTNAME_TAKEN, "taken", service="rest")
        offers.want([WEB, API, DB])
        offers.refused(taken)
        offers.added(grant(2, "db"))
        self.assertEqual(
            self.told.events,
            [
                ("refused", "rest", "hostname_taken", "taken"),
                ("added", "db", f"http://db.{DOMAIN}:8080"),
            ],
        )
        self.asked()
        offers.want([WEB, API, DB])  # is of no use
        self.assertEqual(self.asked(), [])
        # A new link is greeted without it, and it is asked for afterwards.
        offers.lost()
        self.assertEqual([o.name for o in offers.greeting()], ["web", "db"])
        offers.welcomed([grant(1, "web"), grant(2, "db")], self.sent.append)
        self.assertEqual(self.asked(), [("add_service", "rest")])
        offers.added(grant(3, "rest"))
        offers.lost()
        self.assertEqual([o.name for o in offers.greeting()], ["web", "rest", "db"])

    def test_refused_and_then_changed(self) -> None:
        offers = self.up(WEB)
        offers.want([WEB, API])
        offers.refused(Refused(Code.HOSTNAME_TAKEN, "taken", service="rest"))
        self.asked()
        offers.want([WEB, replace(API, hostname="api2")])
        self.assertEqual(self.asked(), [("remove_service", "rest"), ("add_service", "rest")])
        offers.lost()
        self.assertEqual(len(offers.greeting()), 2)

    def test_changes_without_a_link(self) -> None:
        offers = Offers([WEB], self.told)
        offers.want([API])
        self.assertEqual(offers.greeting(), (API,))
        offers.want([DB])  # before it is granted
        offers.welcomed([grant(1, "rest")], self.sent.append)
        self.assertEqual(self.asked(), [("remove_service", "rest"), ("add_service", "db")])
        offers.lost()
        offers.want([WEB])
        self.assertEqual(self.asked(), [])
        self.assertEqual(offers.greeting(), (WEB,))
        self.assertIsNone(offers.numbered(1))

    def test_left_out_of_greetings(self) -> None:
        offers = Offers([WEB, API], self.told)
        offers.greeting()
        self.assertFalse(offers.leave_out(""))
        self.assertFalse(offers.leave_out("other"))
        self.assertTrue(offers.leave_out("web"))
        self.assertEqual(offers.greeting(), (API,))
        self.assertFalse(offers.leave_out("rest"))  # nothing would be left

    def test_what_no_server_may_say(self) -> None:
        offers = self.up(WEB)
        self.assertRaises(ProtocolViolation, offers.added, grant(2, "web"))
        self.assertRaises(ProtocolViolation, offers.added, grant(2, ""))
        offers.greeting()
        self.assertRaises(ProtocolViolation, offers.welcomed, [grant(1, "other")], self.sent.append)
        offers.refused(Refused(Code.QUOTA, "too many", service="web"))
        offers.removed("other")
        self.assertEqual(self.told.events, [])


class ServerTests(PlaneTestCase):
    """With the real server."""

    def names(self) -> list[str]:
        return sorted(row["upstream"] for row in self.plane.admission.rows())

    def sessions(self) -> list[Session]:
        """The client's own."""
        there = self.plane.admission.sessions.values()
        return [session for session in there if session.client_id == "client"]

    async def test_changes(self) -> None:
        self.dial(self.plane.url, WEB, DB)
        await self.told.next("ready")
        session = self.plane.only_session
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        self.dialer.want([DB, API])
        self.assertEqual((await self.told.next("added"))[1], "rest")
        self.assertEqual(self.names(), [API.upstream, DB.upstream])
        self.assertIs(self.plane.only_session, session)
        # The name of one that is gone is free for the next, of the same client.
        self.dialer.want([DB, API, replace(WEB, name="web2")])
        self.assertEqual((await self.told.next("added"))[1], "web2")
        self.assertIs(self.plane.only_session, session)

    async def test_changed_one_keeps_its_port(self) -> None:
        self.dial(self.plane.url, WEB, DB)
        _, urls = await self.told.next("ready")
        self.dialer.want([WEB, replace(DB, upstream="tcp://localhost:5433")])
        _, name, url = await self.told.next("added")
        self.assertEqual((name, url), ("db", urls[1]))

    async def test_refused_and_the_others_go_on(self) -> None:
        await self.plane.native(offer(hostname="rest"), client_id="other")
        self.dial(self.plane.url, WEB)
        await self.told.next("ready")
        (session,) = self.sessions()
        self.dialer.want([WEB, API, DB])
        _, name, code, text = await self.told.next("refused")
        self.assertEqual((name, code), ("rest", "hostname_taken"))
        self.assertIn(f"rest.{DOMAIN} is taken", text)
        await self.told.next("added")
        self.assertEqual(self.sessions(), [session])

        # Also when the link is lost: the others are back, and this one is asked for again.
        link: Any = session.link
        link.abort()
        await self.told.next("disconnected")
        self.assertEqual(len((await self.told.next("ready"))[1]), 2)
        await self.told.next("refused")

    async def test_taken_while_the_link_was_lost(self) -> None:
        self.dial(self.plane.url, WEB, API)
        await self.told.next("ready")
        self.plane.settings.change(name_lease_seconds=0)
        self.patch(random, "uniform", lambda low, high: 3600)
        self.cut()
        await self.told.next("disconnected")
        await self.plane.until_empty()
        await self.plane.native(offer(hostname="rest"), client_id="other")
        for call in reactor.getDelayedCalls():
            if call.getTime() > reactor.seconds() + 3000:
                call.reset(0)
        self.assertEqual(await self.told.next("ready"), ("ready", [f"http://app.{DOMAIN}:8080"]))
        self.assertEqual((await self.told.next("refused"))[1:3], ("rest", "hostname_taken"))

    async def test_refused_at_the_start(self) -> None:
        await self.plane.native(offer(hostname="rest"), client_id="other")
        error = await self.fails(self.dial(self.plane.url, WEB, API), Refused)
        self.assertEqual((error.code, error.service), (Code.HOSTNAME_TAKEN, "rest"))
        self.assertEqual(len(self.plane.admission.sessions), 1)

    async def test_streams_of_what_is_removed_go_on(self) -> None:
        upstream = Upstream(self)
        self.dial(self.plane.url, replace(WEB, upstream=f"http://127.0.0.1:{upstream.port}"))
        await self.told.next("ready")
        service = self.plane.target(f"app.{DOMAIN}")
        assert service is not None
        recorder = Recorder()
        service.connect(recorder, "192.0.2.1:9")
        await self.told.next("follow")
        peer = await upstream.connection()
        self.dialer.want([DB])
        await self.told.next("added")
        self.assertEqual(self.names(), [DB.upstream])
        peer.send(b"still here")
        await until(lambda: recorder.received == b"still here", "heard")
