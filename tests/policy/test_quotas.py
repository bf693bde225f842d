"""Connections at once from one address."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from inletspy.policy.quotas import AddressQuota


class AddressQuotaTests(TestCase):
    def setUp(self) -> None:
        self.limit = 2.0
        self.quota = AddressQuota(lambda: self.limit)

    def test_up_to_the_limit(self) -> None:
        self.assertEqual([self.quota.take("a") for _ in range(4)], [True, True, False, False])

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
