"""Share links: what they are good for, and until when."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from inletspy.policy.links import LONGEST_LINK, link_end, link_id, link_with, new_link_token
from tests.properties import repeatable

GOOD: dict[str, Any] = {"key": "k" * 32, "hostname": "app.tunnel.localhost", "owner": "ann"}


class LinkTests(SynchronousTestCase):
    def end(self, token: bytes, **changes: Any) -> int | None:
        return link_end(token, **{**GOOD, "now": 1000.0, **changes})

    def test_good_until_its_end(self) -> None:
        token = new_link_token(**GOOD, end=1060).encode()
        self.assertEqual(self.end(token), 1060)
        self.assertEqual(self.end(token, now=1059.9), 1060)
        self.assertIsNone(self.end(token, now=1060))

    def test_for_one_name_of_one_owner_by_one_key(self) -> None:
        token = new_link_token(**GOOD, end=1060).encode()
        for changes in (
            {"hostname": "app2.tunnel.localhost"},
            {"hostname": "tunnel.localhost"},
            {"owner": "ann\n"},
            {"owner": "bob"},
            {"key": "j" * 32},
            {"key": ""},
        ):
            self.assertIsNone(self.end(token, **changes), changes)
        unsigned = new_link_token(**{**GOOD, "key": ""}, end=1060).encode()
        self.assertIsNone(self.end(unsigned, key=""))

    def test_none_lasts_for_ever(self) -> None:
        for end, good in ((1000 + LONGEST_LINK, True), (1100 + LONGEST_LINK, False)):
            token = new_link_token(**GOOD, end=end).encode()
            self.assertEqual(self.end(token) is not None, good)

    def test_each_part_counts(self) -> None:
        token = new_link_token(**GOOD, end=1060).encode()
        version, end, number, signature = token.split(b".")
        for forged in (
            b".".join((b"2", end, number, signature)),
            b".".join((version, b"9060", number, signature)),
            b".".join((version, b"0" + end, number, signature)),
            b".".join((version, end, number[::-1], signature)),
            b".".join((version, end, number, signature[::-1])),
            b".".join((version, end, number)),
            token + b"\n",
            token + b"=",
            b" " + token,
            b"",
        ):
            self.assertIsNone(self.end(forged), forged)

    def test_revoked(self) -> None:
        token = new_link_token(**GOOD, end=1060)
        other = new_link_token(**GOOD, end=1060)
        self.assertIsNone(self.end(token.encode(), revoked={link_id(token)}))
        self.assertEqual(self.end(token.encode(), revoked={link_id(other)}), 1060)
        self.assertNotIn(token.rpartition(".")[2], link_id(token))

    def test_two_are_never_the_same(self) -> None:
        self.assertNotEqual(new_link_token(**GOOD, end=1), new_link_token(**GOOD, end=1))

    @repeatable
    @given(st.binary(max_size=200))
    def test_whatever_comes(self, token: bytes) -> None:
        self.assertIsNone(self.end(token))

    def test_the_link(self) -> None:
        self.assertEqual(link_with("https://a.b:1", "x"), "https://a.b:1/?tunnel_token=x")
