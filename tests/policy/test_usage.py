"""What owners take, held against their limits by a clock that is moved by hand."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from inletspy.errors import Code, OverLimit
from inletspy.policy.limits import Limits
from inletspy.policy.quotas import Rate, Refusals
from inletspy.policy.tokens import SHARED, Credential, Owner
from inletspy.policy.usage import Usage, Usages

ALICE = Credential(Owner("alice", "alice"), token="ipy_alice", digest=b"a")
ALICES_OTHER = Credential(Owner("alice", "alice"), token="ipy_other", digest=b"o")


class RateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.rate = Rate()

    def take(self, times: int = 1, rate: float = 2, burst: float = 4) -> list[float]:
        return [round(self.rate.take(self.now, rate, burst), 6) for _ in range(times)]

    def test_a_burst_and_no_more(self) -> None:
        self.assertEqual(self.take(6), [0, 0, 0, 0, 0.5, 0.5])

    def test_it_fills_up_again(self) -> None:
        self.take(4)
        self.now += 0.5
        self.assertEqual(self.take(2), [0, 0.5])
        self.now += 1.25
        self.assertEqual(self.take(3), [0, 0, 0.25])
        self.now += 1000
        self.assertEqual(self.take(5), [0, 0, 0, 0, 0.5])

    def test_what_is_refused_costs_nothing(self) -> None:
        self.take(1000)
        self.now += 0.5
        self.assertEqual(self.take(), [0])

    def test_at_its_rate_for_long(self) -> None:
        for _ in range(10_000):
            self.assertEqual(self.take(rate=10, burst=1), [0])
            self.now += 0.1

    def test_less_than_one(self) -> None:
        self.assertEqual(self.take(2, rate=0.01, burst=0.1), [0, 100])
        self.now += 100
        self.assertEqual(self.take(1, rate=0.01, burst=0.1), [0])

    def test_a_clock_that_is_set_back(self) -> None:
        self.take(4)
        self.now -= 100_000
        self.assertEqual(self.take(), [0.5])
        self.now += 0.5
        self.assertEqual(self.take(), [0])

    def test_a_rate_that_changes(self) -> None:
        self.take(4)
        self.assertEqual(self.take(1, rate=100, burst=200), [0.01])
        self.now += 0.01
        self.assertEqual(self.take(1, rate=100, burst=200), [0])
        self.now += 3
        self.assertEqual(self.take(3, rate=1, burst=2), [0, 0, 1])


class UsageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.told: list[str] = []
        self.refusals = Refusals(lambda: self.now, self.told.append)
        self.usage = Usage("alice", lambda: self.now, self.refusals)

    def assertOver(self, take: Any, *arguments: Any) -> OverLimit:
        error = self.assertRaises(OverLimit, take, *arguments)
        assert isinstance(error, OverLimit)
        self.assertIs(error.code, Code.QUOTA)
        return error

    def test_sessions(self) -> None:
        self.usage.limit(Limits(sessions=2))
        self.usage.take_session("a")
        self.usage.take_session("b")
        error = self.assertOver(self.usage.take_session, "c")
        self.assertEqual(error.message, "alice may have 2 clients at once: end one first")
        self.usage.sessions.discard("a")
        self.usage.take_session("c")

    def test_services(self) -> None:
        self.usage.limit(Limits(services=1))
        self.usage.take_service("a")
        self.assertOver(self.usage.take_service, "b")
        self.assertEqual(self.usage.services, {"a"})

    def test_names(self) -> None:
        self.usage.limit(Limits(names_per_hour=3))
        for _ in range(3):
            self.usage.take_name()
        error = self.assertOver(self.usage.take_name)
        self.assertEqual(error.wait, 1200)
        self.assertIn("3 new names an hour: try again in 1200 s", error.message)
        self.now += 1200
        self.usage.take_name()
        self.assertOver(self.usage.take_name)

    def test_connections(self) -> None:
        self.usage.limit(Limits(connections_per_second=2))
        waits = [self.usage.take_connection() for _ in range(22)]
        self.assertEqual([wait for wait in waits if wait], [0.5, 0.5])
        self.now += 0.5
        self.assertEqual(self.usage.take_connection(), 0)

    def test_any_number(self) -> None:
        for number in range(1000):
            self.usage.take_session(number)
            self.usage.take_service(number)
            self.usage.take_name()
            self.assertEqual(self.usage.take_connection(), 0)

    def test_a_limit_that_is_lowered(self) -> None:
        self.usage.limit(Limits(sessions=3))
        for session in "abc":
            self.usage.take_session(session)
        self.usage.limit(Limits(sessions=1))
        self.assertEqual(self.usage.sessions, set("abc"))
        self.assertOver(self.usage.take_session, "d")

    def test_what_is_counted_and_told(self) -> None:
        self.usage.limit(Limits(sessions=1, services=1, connections_per_second=0.01))
        self.usage.take_session("a")
        for _ in range(3):
            self.assertOver(self.usage.take_session, "b")
            self.usage.take_connection()
        self.usage.streams.most = 7
        self.usage.streams.full(True)
        self.usage.streams.full(False)
        self.assertEqual(
            self.refusals.counts,
            {"sessions": 3, "connections_per_second": 2, "streams": 1, "streams_per_session": 1},
        )
        self.assertEqual(
            self.told,
            [
                "alice may have 1 client at once, and wants more",
                "alice may have 0.01 visitors a second, and wants more",
                "alice may have 7 streams at once, and wants more",
                "a client of alice has as many streams as one may",
            ],
        )


class UsagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.limits = {True: Limits(sessions=9), False: Limits(sessions=2, names_per_hour=10)}
        self.refusals = Refusals(lambda: self.now)
        self.usages = Usages(
            lambda owner: self.limits[owner.is_shared], lambda: self.now, self.refusals
        )

    def test_the_tokens_of_a_user_count_together(self) -> None:
        usage = self.usages.of(ALICE)
        self.assertIs(self.usages.of(ALICES_OTHER), usage)
        self.assertIsNot(self.usages.of(Credential(SHARED)), usage)
        self.assertEqual(usage.limits.sessions, 2)
        self.assertEqual(self.usages.of(Credential(SHARED)).limits.sessions, 9)

    def test_one_with_limits_of_its_own_counts_by_itself(self) -> None:
        own = Credential(ALICE.owner, token="ipy_own", digest=b"x", limits={"sessions": 5})
        usage = self.usages.of(own)
        self.assertIsNot(usage, self.usages.of(ALICE))
        self.assertEqual(usage.limits, Limits(sessions=5, names_per_hour=10))
        self.assertEqual(usage.who, "alice's token ipy_own…")

    def guest(self, digest: bytes) -> Usage:
        return self.usages.of(
            Credential(ALICE.owner, "for db", digest=digest, limits={"sessions": 9}, reaches="db")
        )

    def test_all_guests_of_an_owner_count_together(self) -> None:
        one, other = self.guest(b"g"), self.guest(b"h")
        one.take_session("a")
        other.take_session("b")
        error = self.assertRaises(OverLimit, other.take_session, "c")
        self.assertIn("all with share tokens of alice may have 2 clients", str(error))
        self.assertEqual(other.sessions, {"b"})
        self.usages.of(ALICE).take_session("c")  # which are others
        one.give_back_session("a")
        self.guest(b"i").take_session("d")

    def test_guests_are_remembered_as_long_as_there_are_any(self) -> None:
        one = self.guest(b"g")
        one.take_session("a")
        self.usages.expire()
        self.assertIs(self.guest(b"h").above, one.above)
        one.give_back_session("a")
        self.usages.expire()
        self.assertEqual(self.usages._usages, {})

    def test_limits_that_change(self) -> None:
        usage = self.usages.of(ALICE)
        self.limits[False] = Limits(sessions=7, streams=3)
        self.assertIs(self.usages.of(ALICE), usage)
        self.assertEqual((usage.limits.sessions, usage.streams.most), (7, 3))

    def test_nothing_is_kept_of_those_who_left(self) -> None:
        usage = self.usages.of(ALICE)
        usage.take_session("a")
        usage.take_name()
        self.usages.expire()
        self.assertIs(self.usages.of(ALICE), usage)
        usage.sessions.discard("a")
        self.usages.expire()  # what was taken in the last hour still counts
        self.assertIs(self.usages.of(ALICE), usage)
        self.now += 360
        self.usages.expire()
        self.assertEqual(self.usages._usages, {})

    def test_snapshot(self) -> None:
        usage = self.usages.of(ALICE)
        usage.take_session("a")
        self.refusals.note("sessions", "")
        self.assertEqual(
            self.usages.snapshot(),
            {
                "refused": {"sessions": 1},
                "usage": [{"of": "alice", "sessions": 1, "services": 0, "streams": 0}],
            },
        )
