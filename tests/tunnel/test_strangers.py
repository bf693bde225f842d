"""Those who come to the control port and are not known yet: how many, and how they guess."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from tests.peers import CUT, until
from tests.tunnel.plane import TOKEN, Plane, offer
from tests.tunnel.websocket import handshake

LONG = "a wrong token that nobody could guess, as long as it is"


def status(answer: str) -> int:
    """The status of an answer."""
    return int(answer.split(" ")[1])


def retry_after(answer: str) -> int:
    """How long it says to wait; 0 if it does not."""
    _, found, rest = answer.partition("\r\nRetry-After: ")
    return int(rest.split("\r\n")[0]) if found else 0


class GuessTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = Clock()
        self.plane = Plane(self, self.clock, wrong_tokens_per_address=3)

    async def ask(self, token: str | None = "wrong", *fields: str) -> str:
        """The answer to a handshake that is refused."""
        return await self.plane.ask(handshake(*fields, token=token, subprotocol="inletspy.v1"))

    async def statuses(self, times: int, token: str = "wrong", *fields: str) -> list[int]:
        return [status(await self.ask(token, *fields)) for _ in range(times)]

    async def test_after_a_few_they_wait(self) -> None:
        self.assertEqual(await self.statuses(5), [401, 401, 401, 429, 429])
        answer = await self.ask()
        self.assertEqual(retry_after(answer), 1)
        self.assertIn("too many wrong tokens from your address", answer)

    async def test_the_wait_grows_to_a_quarter_of_an_hour(self) -> None:
        await self.statuses(3)
        waits = []
        for _ in range(12):
            waits.append(retry_after(await self.ask()))
            self.clock.advance(waits[-1])
            self.assertEqual(await self.statuses(1), [401])
        self.assertEqual(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900])

    async def test_a_good_token_that_is_long_passes(self) -> None:
        good = "ipy_a token of 32 characters at least"
        self.plane.settings.change(inlets_shared_token=good)
        await self.statuses(5)
        client = await self.plane.native(offer(), token=good)
        client.close()
        await self.plane.until_empty()
        # Which wins nothing for the others, nor for wrong ones of that length.
        self.assertEqual(await self.statuses(1), [429])
        self.assertEqual(await self.statuses(2, LONG), [429, 429])

    async def test_a_good_token_that_could_be_guessed_waits(self) -> None:
        await self.statuses(3)
        self.assertEqual(await self.statuses(1, TOKEN), [429])
        self.clock.advance(1)
        await self.plane.native(offer())

    async def test_none_counts_too(self) -> None:
        for _ in range(3):
            await self.ask(None)
        self.assertEqual(status(await self.ask(None)), 429)

    async def test_a_malformed_handshake_counts_once(self) -> None:
        request = handshake(token="wrong").replace(b"Version: 13", b"Version: 99")
        answers = [status(await self.plane.ask(request)) for _ in range(4)]
        self.assertEqual(answers, [401, 401, 401, 429])

    async def test_any_number(self) -> None:
        self.plane.settings.change(wrong_tokens_per_address=0)
        self.assertEqual(set(await self.statuses(20)), {401})

    async def test_behind_a_proxy_each_counts_for_itself(self) -> None:
        self.plane.settings.change(trusted_proxies=(ip_network("127.0.0.0/8"),))
        first, second = "X-Forwarded-For: 203.0.113.1", "X-Forwarded-For: 203.0.113.2"
        self.assertEqual(await self.statuses(4, "wrong", first), [401, 401, 401, 429])
        self.assertEqual(await self.statuses(1, "wrong", second), [401])
        # One that does not say whom it brings shuts nobody out.
        self.assertEqual(set(await self.statuses(9)), {401})

    async def test_what_strangers_say_of_where_they_are_counts_for_nothing(self) -> None:
        answers = [
            status(await self.ask("wrong", f"X-Forwarded-For: 203.0.113.{number}"))
            for number in range(4)
        ]
        self.assertEqual(answers, [401, 401, 401, 429])


class CrowdTests(TestCase):
    timeout = 60

    async def test_of_one_address(self) -> None:
        plane = Plane(self, connections_per_address=2)
        held = [await plane.peer() for _ in range(2)]
        await until(lambda: len(plane.strangers) == 2, "there")
        self.assertEqual(await (await plane.peer()).ended(), CUT)
        self.assertEqual(plane.refusals.counts["strangers_per_address"], 1)
        held[0].close()
        await until(lambda: len(plane.strangers) == 1, "gone")
        await plane.native(offer())

    async def test_those_with_a_session_do_not_count(self) -> None:
        plane = Plane(self, connections_per_address=1)
        await plane.native(offer(hostname="a"), client_id="a")
        await plane.stock("b=http://localhost:3000")
        await plane.native(offer(hostname="c"), client_id="c")
        self.assertEqual(len(plane.strangers), 0)

    async def test_those_without_hello_do(self) -> None:
        plane = Plane(self, connections_per_address=1)
        client = await plane.connect()
        self.assertEqual(len(plane.strangers), 1)
        client.close()
        await plane.until_empty()

    async def test_a_proxy_brings_any_number(self) -> None:
        plane = Plane(self, connections_per_address=1, trusted_proxies=(ip_network("127.0.0.0/8"),))
        for _ in range(5):
            await plane.peer()
        await until(lambda: len(plane.strangers) == 5, "there")

    async def test_in_all_the_oldest_makes_room(self) -> None:
        plane = Plane(self, strangers=3)
        first, *others = [await plane.peer() for _ in range(3)]
        await until(lambda: len(plane.strangers) == 3, "there")
        await plane.native(offer())
        self.assertEqual(await first.ended(), CUT)
        self.assertEqual(len(plane.strangers), 2)
        self.assertEqual([other.end for other in others], [None, None])
