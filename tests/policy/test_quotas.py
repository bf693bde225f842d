"""Connections at once from one address, and what is told of limits."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from inletspy.policy import quotas
from inletspy.policy.quotas import AddressQuota, Refusals


class AddressQuotaTests(TestCase):
    def setUp(self) -> None:
        self.limit = 2.0
        self.refused: list[str] = []
        self.quota = AddressQuota(lambda: self.limit, self.refused.append)

    def test_up_to_the_limit(self) -> None:
        self.assertEqual([self.quota.take("a") for _ in range(4)], [True, True, False, False])
        self.assertEqual(self.refused, ["a", "a"])

    def test_addresses_count_apart(self) -> None:
        for address in ("a", "a", "b"):
            self.quota.take(address)
        self.assertEqual((self.quota.take("a"), self.quota.take("b")), (False, True))

    def test_a_subscriber_of_ipv6_is_one_address(self) -> None:
        for host in ("1", "2", "3"):
            taken = self.quota.take(f"2001:db8::{host}")
        self.assertFalse(taken)
        self.assertTrue(self.quota.take("2001:db8:0:1::1"))
        self.quota.give_back("2001:db8::2")
        self.assertTrue(self.quota.take("2001:db8::4"))

    def test_given_back(self) -> None:
        for _ in range(3):
            self.quota.take("a")
        self.quota.give_back("a")
        self.assertEqual([self.quota.take("a"), self.quota.take("a")], [True, False])

    def test_nothing_is_kept_of_those_who_left(self) -> None:
        for address in ("a", "a", "b"):
            self.quota.take(address)
        for address in ("a", "b", "a"):
            self.quota.give_back(address)
        self.assertEqual(self.quota._counts, {})

    def test_what_was_refused_is_not_counted(self) -> None:
        for _ in range(5):
            self.quota.take("a")
        self.quota.give_back("a")
        self.quota.give_back("a")
        self.assertRaises(KeyError, self.quota.give_back, "a")

    def test_some_are_exempt(self) -> None:
        self.assertTrue(all(self.quota.take("proxy", exempt=True) for _ in range(10)))
        self.assertFalse(self.quota.take("proxy"))
        for _ in range(10):
            self.quota.give_back("proxy")
        self.assertTrue(self.quota.take("proxy"))

    def test_a_limit_that_changes(self) -> None:
        self.quota.take("a")
        self.limit = 1
        self.assertFalse(self.quota.take("a"))
        self.limit = 2
        self.assertTrue(self.quota.take("a"))


class RefusalsTests(TestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.told: list[str] = []
        self.refusals = Refusals(lambda: self.now, self.told.append)

    def note(self, *owners: str, limit: str = "sessions") -> None:
        for owner in owners:
            self.refusals.note(limit, f"{limit} of {owner}", owner)

    def test_all_are_counted_and_few_told_of(self) -> None:
        self.note("a", "a", "b", "a")
        self.assertEqual(self.refusals.counts, {"sessions": 4})
        self.assertEqual(self.told, ["sessions of a", "sessions of b"])

    def test_told_again_after_a_minute(self) -> None:
        self.note("a")
        self.now += 59
        self.note("a")
        self.now += 1
        self.note("a", "a")
        self.assertEqual(len(self.told), 2)

    def test_limits_apart(self) -> None:
        self.note("a")
        self.note("a", limit="streams")
        self.assertEqual(self.told, ["sessions of a", "streams of a"])
        self.assertEqual(self.refusals.counts, {"sessions": 1, "streams": 1})

    def test_nobody_in_particular(self) -> None:
        for address in ("203.0.113.8", "203.0.113.9"):
            self.refusals.note("connections", f"too many of {address}")
        self.assertEqual(self.told, ["too many of 203.0.113.8"])

    def test_a_clock_that_is_set_back(self) -> None:
        self.note("a")
        self.now -= 100_000
        self.note("a", "a")
        self.assertEqual(len(self.told), 2)

    def test_bounded_memory(self) -> None:
        self.patch(quotas, "_MAX_TOLD", 3)
        self.note(*map(str, range(10)))
        self.assertEqual(len(self.refusals._told), 3)
