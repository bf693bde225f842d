"""Rules on who may visit: what they say, and what is no rule."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from inletspy.errors import Code, Refused
from inletspy.policy.sources import read_address
from inletspy.policy.visits import (
    Account,
    VisitRule,
    credential_bytes,
    hash_password,
)

ANN = {"user": "ann", "salt": "00" * 16, "hash": "11" * 32}
DIGEST = "22" * 32


def rule(**options: Any) -> VisitRule:
    """A rule that there is."""
    read = VisitRule.read("http", options)
    assert read is not None
    return read


class ReadTests(SynchronousTestCase):
    def test_none(self) -> None:
        nothing: dict[str, Any] = {"allow": [], "deny": None, "bearer": [], "private": False}
        for options in ({}, {"host_header": "rewrite"}, nothing):
            self.assertIsNone(VisitRule.read("http", options))

    def test_all(self) -> None:
        read = rule(allow=["10.0.0.0/8", "::1"], basic_auth=[ANN], bearer=[DIGEST], private=True)
        self.assertEqual(list(map(str, read.allow)), ["10.0.0.0/8", "::1/128"])
        self.assertEqual(read.accounts, (Account(b"ann", bytes(16), b"\x11" * 32),))
        self.assertEqual(read.tokens, (b"\x22" * 32,))
        self.assertTrue(read.private and read.asks and read.by_address)

    def test_nonsense(self) -> None:
        for options, words in (
            ({"allow": "10.0.0.0/8"}, "allow must be a list"),
            ({"allow": [1]}, "allow must be a list of addresses"),
            ({"allow": ["10.0.0.0/8"] * 65}, "64 items"),
            ({"deny": ["10.0.0.1/8"]}, "is it 10.0.0.0/8 that is meant?"),
            ({"deny": ["10.0.0.0/33"]}, "is no address or network"),
            ({"deny": ["10.0.0"]}, "is no address or network"),
            ({"deny": ["localhost"]}, "is no address or network"),
            ({"deny": [""]}, "is no address or network"),
            ({"deny": ["::ffff:10.0.0.0/104"]}, "write them as such"),
            ({"deny": ["x" * 10_000]}, "is no address or network"),
            ({"basic_auth": {"ann": "x"}}, "basic_auth must be a list"),
            ({"basic_auth": [ANN] * 9}, "8 items"),
            ({"basic_auth": [ANN, ANN]}, "names a user twice"),
            ({"basic_auth": ["ann:x"]}, "list of objects"),
            ({"basic_auth": [{**ANN, "user": ""}]}, "list of objects"),
            ({"basic_auth": [{**ANN, "user": "a:b"}]}, "list of objects"),
            ({"basic_auth": [{**ANN, "user": "a\r\nX: y"}]}, "list of objects"),
            ({"basic_auth": [{**ANN, "user": "\ud800"}]}, "list of objects"),
            ({"basic_auth": [{**ANN, "user": "\u20ac" * 86}]}, "list of objects"),
            ({"basic_auth": [{**ANN, "salt": "00"}]}, "list of objects"),
            ({"basic_auth": [{**ANN, "hash": "GG" * 32}]}, "list of objects"),
            ({"basic_auth": [{"user": "ann"}]}, "list of objects"),
            ({"bearer": [DIGEST] * 9}, "8 items"),
            ({"bearer": ["token"]}, "SHA-256"),
            ({"bearer": [None]}, "SHA-256"),
            ({"bearer": True}, "bearer must be a list"),
            ({"private": 1}, "private must be true or false"),
            ({"private": "yes"}, "private must be true or false"),
        ):
            error = self.assertRaises(Refused, VisitRule.read, "http", options)
            self.assertEqual(error.code, Code.INVALID)
            self.assertIn(words, str(error), options)
            self.assertLess(len(str(error)), 300)
            self.assertTrue(str(error).isprintable())

    def test_tcp_knows_addresses_only(self) -> None:
        self.assertIsNotNone(VisitRule.read("tcp", {"deny": ["::/0"]}))
        for options in ({"private": True}, {"bearer": [DIGEST]}, {"basic_auth": [ANN]}):
            error = self.assertRaises(Refused, VisitRule.read, "tcp", options)
            self.assertIn("tcp has allow and deny", str(error))


class AddressTests(SynchronousTestCase):
    def assertAdmits(self, visits: VisitRule, *addresses: str) -> None:
        for text in addresses:
            self.assertTrue(visits.admits(read_address(text)), text)

    def assertRefuses(self, visits: VisitRule, *addresses: str) -> None:
        for text in addresses:
            self.assertFalse(visits.admits(read_address(text)), text)

    def test_allow(self) -> None:
        visits = rule(allow=["203.0.113.0/24", "2001:db8::/32"])
        self.assertAdmits(visits, "203.0.113.9", "::ffff:203.0.113.9", "2001:db8::1")
        self.assertRefuses(visits, "203.0.114.9", "2001:db9::1", "::1", "unix", "")

    def test_deny(self) -> None:
        visits = rule(deny=["203.0.113.0/24"])
        self.assertAdmits(visits, "203.0.114.9", "::1", "fe80::1%eth0")
        self.assertRefuses(visits, "203.0.113.9", "::ffff:203.0.113.9", "unix")

    def test_deny_wins(self) -> None:
        visits = rule(allow=["10.0.0.0/8"], deny=["10.1.0.0/16"])
        self.assertAdmits(visits, "10.2.0.1")
        self.assertRefuses(visits, "10.1.0.1", "11.0.0.1")

    def test_neither(self) -> None:
        self.assertAdmits(rule(private=True), "10.0.0.1", "unix")


class CredentialTests(SynchronousTestCase):
    def test_tokens(self) -> None:
        visits = rule(bearer=[hashlib.sha256(token).hexdigest() for token in (b"one", b"two")])
        for token, right in ((b"one", True), (b"two", True), (b"", False), (b"onetwo", False)):
            self.assertEqual(visits.has_token(token), right)
        huge = b"x" * 300
        self.assertFalse(rule(bearer=[hashlib.sha256(huge).hexdigest()]).has_token(huge))
        self.assertFalse(rule(private=True).has_token(b"one"))

    def test_accounts(self) -> None:
        kept = hash_password(b"pass:word", bytes(16))
        visits = rule(basic_auth=[{**ANN, "hash": kept.hex()}, {**ANN, "user": "zo\u0308e"}])
        account = visits.account_of(b"ann")
        self.assertEqual(hash_password(b"pass:word", account.salt), account.hash)
        self.assertEqual(visits.account_of(credential_bytes("z\xf6e")).hash, b"\x11" * 32)
        nobody = visits.account_of(b"nobody")
        self.assertEqual((nobody.salt, nobody.hash), (bytes(16), b""))

    def test_secrets_are_not_shown(self) -> None:
        shown = repr(rule(basic_auth=[ANN], bearer=[DIGEST]))
        for secret in (b"\x11" * 32, b"\x22" * 32):
            self.assertNotIn(repr(secret)[2:-1], shown)
