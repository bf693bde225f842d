"""What owners may have of the server: clients, services, streams, new names."""

from __future__ import annotations

from typing import Any

from inletspy.errors import ResetCode, StreamReset
from inletspy.policy.limits import Limits
from tests.peers import until
from tests.tunnel.ends import Client
from tests.tunnel.plane import DOMAIN, TOKEN, Recorder, offer, stock_fields
from tests.tunnel.test_owners import ALICES, ALICES_SECOND, BOBS, OwnersTestCase
from tests.tunnel.websocket import handshake


class QuotaTestCase(OwnersTestCase):
    def limit(self, **limits: float) -> None:
        """Put limits for each user in force."""
        self.plane.settings.change(user_limits=Limits(**limits))

    async def refused_for_quota(self, token: str, *services: Any, **hello: Any) -> str:
        """The text with which a hello is refused because there is too much already."""
        error = await self.refused(token, *services, **{"client_id": "alice-x", **hello})
        self.assertEqual((error["code"], error["retry"]), ("quota", True))
        return str(error["message"])


class SessionTests(QuotaTestCase):
    async def test_so_many_and_no_more(self) -> None:
        self.limit(sessions=2)
        first = await self.client(ALICES)
        await self.client(ALICES_SECOND)
        self.assertEqual(
            await self.refused_for_quota(ALICES), "alice may have 2 clients at once: end one first"
        )
        await self.client(BOBS)  # whose are others
        await self.gone(first)
        await self.client(ALICES)
        self.assertEqual(self.plane.told, ["alice may have 2 clients at once, and wants more"])
        snapshot = self.plane.admission.snapshot()
        self.assertEqual(snapshot["refused"], {"sessions": 1})
        self.assertIn(
            {"of": "alice", "sessions": 2, "services": 0, "streams": 0}, snapshot["usage"]
        )

    async def test_one_that_is_refused_leaves_nothing(self) -> None:
        self.limit(sessions=1)
        for _ in range(3):
            await self.refused(ALICES, offer(hostname="bob-1"), client_id="alice-x")
        client = await self.client(ALICES)
        client.close()
        await self.plane.until_empty()

    async def test_who_comes_again_gets_in(self) -> None:
        """The session before does not stand in the way."""
        self.limit(sessions=1)
        first = await self.client(ALICES, offer(hostname="alice-app"))
        proof = {"session": first.welcome["session"], "key": first.welcome["key"], "received": 0}
        again = await self.plane.connect(token=ALICES)
        again.hello(offer(hostname="alice-app"), client_id="alice-laptop", resume=proof)
        self.assertEqual((await again.refused())["code"], "session_expired")
        await self.client(ALICES, offer(hostname="alice-app"))

    async def test_a_stock_client_is_told_when_to_try_again(self) -> None:
        self.plane.settings.change(shared_limits=Limits(sessions=1))
        await self.plane.stock("a.example.com=http://localhost:1")
        fields = stock_fields("b.example.com=http://localhost:1", inlets_id="22" * 16)
        answer = await self.plane.ask(handshake(*fields, token=TOKEN))
        self.assertTrue(answer.startswith("HTTP/1.1 429 "), answer)
        self.assertIn("\r\nRetry-After: 10\r\n", answer)
        self.assertIn("the shared token may have 1 client at once", answer)

    async def test_a_limit_that_changes(self) -> None:
        """It counts for those who come; those who are there stay."""
        clients = [await self.client(ALICES) for _ in range(3)]
        self.limit(sessions=2)
        await self.refused_for_quota(ALICES)
        self.assertEqual(len(self.plane.admission.sessions), 3)
        self.limit(sessions=0)
        await self.client(ALICES)
        for client in clients:
            self.assertFalse(self.plane.session_of(client).over)


class OwnLimitTests(QuotaTestCase):
    def own(self, **limits: float) -> None:
        """Give Alice's first token limits of its own."""
        self.plane.accounts.user("alice", ALICES, limits=limits)

    def usage(self) -> dict[str, tuple[int, int, int]]:
        """Sessions, services and streams, by whose they are."""
        return {
            row["of"]: (row["sessions"], row["services"], row["streams"])
            for row in self.plane.admission.snapshot()["usage"]
            if row["sessions"]
        }

    async def test_counted_by_itself(self) -> None:
        self.limit(sessions=1)
        self.own(sessions=2)
        for _ in range(2):
            await self.client(ALICES)
        text = await self.refused_for_quota(ALICES)
        self.assertTrue(text.startswith("alice's token ipy_alic… may have 2 clients"), text)
        await self.client(ALICES_SECOND)
        await self.refused_for_quota(ALICES_SECOND)

    async def test_given_and_taken_while_it_is_in_use(self) -> None:
        """What it has is counted at its new place."""
        client = await self.client(ALICES, offer(hostname="alice-app"))
        session = self.plane.session_of(client)
        stream = session.open_stream(session.services[1], Recorder(), "203.0.113.9:1")
        self.assertEqual(self.usage(), {"alice": (1, 1, 1)})
        self.own(sessions=1)
        self.assertEqual(self.usage(), {"alice's token ipy_alic…": (1, 1, 1)})
        await self.refused_for_quota(ALICES)
        await self.client(ALICES_SECOND)
        self.own()
        self.assertEqual(self.usage(), {"alice": (2, 1, 1)})
        stream.abortConnection()
        self.assertEqual(self.usage(), {"alice": (2, 1, 0)})


class ServiceTests(QuotaTestCase):
    async def test_of_all_clients_together(self) -> None:
        self.limit(services=3)
        two = (offer("a", hostname="alice-a"), offer("b", hostname="alice-b"))
        client = await self.client(ALICES, *two)
        text = await self.refused_for_quota(
            ALICES, offer("c", hostname="alice-c"), offer("d", hostname="alice-d")
        )
        self.assertEqual(text, "alice may have 3 services at once: end one first")
        client.say({"type": "add_service", "service": offer("c", hostname="alice-c")})
        await client.hear("service_added")
        client.say({"type": "add_service", "service": offer("d", hostname="alice-d")})
        error = await client.hear("error")
        self.assertEqual((error["code"], error["service"]), ("quota", "d"))
        client.say({"type": "remove_service", "name": "a"})
        await client.hear("service_removed")
        client.say({"type": "add_service", "service": offer("d", hostname="alice-d")})
        await client.hear("service_added")

    async def test_those_of_one_client(self) -> None:
        self.plane.settings.change(services_per_session=1)
        two = (offer("a", hostname="alice-a"), offer("b", hostname="alice-b"))
        error = await self.refused(ALICES, *two, client_id="alice-x")
        self.assertEqual((error["code"], error["retry"]), ("quota", False))
        self.assertEqual(self.plane.refusals.counts, {"services_per_session": 1})
        fields = stock_fields("a.example.com=http://a:1", "b.example.com=http://b:1")
        answer = await self.plane.ask(handshake(*fields, token=TOKEN))
        self.assertTrue(answer.startswith("HTTP/1.1 429 "), answer)

    async def test_one_after_the_other_without_end(self) -> None:
        """To grant one takes far longer than to ask for it, and leaves a line in the log."""
        self.plane.settings.change(services_per_session=2)
        client = await self.client(ALICES)

        async def added(name: str) -> dict[str, Any]:
            client.say({"type": "add_service", "service": offer(name, hostname="alice-a")})
            client.say({"type": "remove_service", "name": name})
            answer = await client.hear_one()
            await client.hear("service_removed")
            return answer

        answers = [(await added(f"s{number}"))["type"] for number in range(67)]
        self.assertEqual(answers, ["service_added"] * 66 + ["error"])
        error = await added("again")
        self.assertEqual((error["code"], error["service"]), ("quota", "again"))
        self.assertIn("10 services a second", error["message"])
        self.clock.advance(0.1)
        self.assertEqual((await added("later"))["type"], "service_added")
        self.assertEqual(self.plane.refusals.counts, {"services_per_second": 2})

    async def test_what_is_said_besides_takes_no_memory(self) -> None:
        options = {"share": True, "host_header": "rewrite", "later": [[]] * 9, "deny": ["10.0.0.1"]}
        client = await self.client(ALICES, offer("a", hostname="alice-a", options=options))
        service = self.plane.session_of(client).services[1]
        self.assertEqual(service.offer.options, {"host_header": "rewrite", "share": True})
        self.assertIsNotNone(service.rule)
        unfit: list[Any] = ["x" * 513, {}, [], 1]
        for value in unfit:
            client = await self.client(
                ALICES, offer("b", hostname="alice-b", options={"host_header": value})
            )
            self.assertEqual(self.plane.session_of(client).services[1].offer.options, {})
            await self.gone(client)


class StreamTests(QuotaTestCase):
    def open(self, client: Client) -> Any:
        session = self.plane.session_of(client)
        return session.open_stream(session.services[1], Recorder(), "203.0.113.9:1")

    async def test_through_all_clients_together(self) -> None:
        self.limit(streams=2)
        one = await self.client(ALICES, offer(hostname="alice-a"))
        other = await self.client(ALICES_SECOND, offer(hostname="alice-b"))
        first = self.open(one)
        self.open(other)
        for client in (one, other):
            error = self.assertRaises(StreamReset, self.open, client)
            self.assertEqual(error.code, ResetCode.LIMIT)
        first.abortConnection()
        self.open(other)
        await self.gone(other)  # and its streams with it
        self.open(one)
        self.open(one)
        self.assertEqual(self.plane.refusals.counts, {"streams": 2})

    async def test_a_limit_that_is_lowered(self) -> None:
        client = await self.client(ALICES, offer(hostname="alice-a"))
        streams = [self.open(client) for _ in range(3)]
        self.limit(streams=2)
        self.assertTrue(all(stream.connected for stream in streams))
        self.assertRaises(StreamReset, self.open, client)
        streams[0].abortConnection()
        self.assertRaises(StreamReset, self.open, client)
        streams[1].abortConnection()
        self.open(client)


class NameTests(QuotaTestCase):
    async def test_new_ones_in_an_hour(self) -> None:
        self.limit(names_per_hour=2)
        two = (offer("a", hostname="alice-a"), offer("b", hostname="alice-b"))
        client = await self.client(ALICES, *two)
        text = await self.refused_for_quota(ALICES, offer("c", hostname="alice-c"))
        self.assertEqual(text, "alice may have 2 new names an hour: try again in 1800 s")
        await self.gone(client)
        # Those that are kept for her are not new.
        await self.gone(await self.client(ALICES, *two))
        self.clock.advance(1800)
        self.plane.admission.sweep()
        await self.client(ALICES, offer("c", hostname="alice-c"))
        await self.refused_for_quota(ALICES, *two)

    async def test_a_stock_client_is_told_when_to_try_again(self) -> None:
        self.plane.settings.change(shared_limits=Limits(names_per_hour=1))
        await self.plane.stock(f"a.{DOMAIN}=http://localhost:1")
        fields = stock_fields(f"b.{DOMAIN}=http://localhost:1", inlets_id="22" * 16)
        answer = await self.plane.ask(handshake(*fields, token=TOKEN))
        self.assertTrue(answer.startswith("HTTP/1.1 429 "), answer)
        self.assertIn("\r\nRetry-After: 3600\r\n", answer)
        await until(lambda: len(self.plane.admission.sessions) == 1, "alone")
