"""What a token may hand on."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import Refused
from inletspy.policy.delegation import TokenWish
from inletspy.policy.tokens import Credential, Owner
from tests.properties import repeatable

ALICE = Owner("alice", "alice")
NOW = 1000.0
USUAL = Credential(ALICE)
CONFINED = Credential(
    ALICE,
    scopes=frozenset(["connect", "admin"]),
    names=("ci-*", "shop"),
    ports=range(30000, 30011),
    expires_at=NOW + 60,
)

#: Over so small an alphabet that they meet.
patterns = st.text("ab-*", min_size=1, max_size=6).map(lambda text: f"a{text}a")
labels = st.text("ab-", max_size=8).map(lambda text: f"a{text}a")


class WithinTests(TestCase):
    def assertMore(self, maker: Credential, wish: TokenWish, text: str) -> None:
        self.assertIn(text, str(self.assertRaises(Refused, wish.within, maker, NOW)))

    def test_nothing_said(self) -> None:
        self.assertEqual(
            TokenWish().within(USUAL, NOW), TokenWish(["connect", "status"], (), None, None)
        )
        self.assertEqual(
            TokenWish().within(CONFINED, NOW),
            TokenWish(["connect"], ("ci-*", "shop"), range(30000, 30011), 60),
        )

    def test_less(self) -> None:
        wish = TokenWish(["admin"], ["CI-web-*", "shop"], range(30001, 30002), 59)
        self.assertEqual(wish.within(CONFINED, NOW), wish)
        wish = TokenWish(["status"], ["alice", "alice-*"], range(1, 2), 10**9)
        self.assertEqual(wish.within(USUAL, NOW), wish)

    def test_more(self) -> None:
        for maker, wish, text in (
            (USUAL, TokenWish(["admin"]), "lacks admin"),
            (CONFINED, TokenWish(["connect", "status"]), "lacks status"),
            (USUAL, TokenWish(names=["*"]), "alice-"),
            (USUAL, TokenWish(names=["alice*"]), "alice-"),
            (USUAL, TokenWish(names=["alice-*", "shop"]), "shop"),
            (CONFINED, TokenWish(names=["alice-*"]), "ci-*, shop"),
            (CONFINED, TokenWish(names=["c*"]), "c*"),
            (CONFINED, TokenWish(names=["shop*"]), "shop*"),
            (CONFINED, TokenWish(ports=range(29999, 30001)), "30000 to 30010"),
            (CONFINED, TokenWish(ports=range(30010, 30012)), "30000 to 30010"),
            (CONFINED, TokenWish(expires_in=61), "60 seconds more"),
            (Credential(ALICE, limits={"sessions": 1}), TokenWish(), "limits of its own"),
        ):
            self.assertMore(maker, wish, text)

    def test_no_pattern(self) -> None:
        self.assertRaises(ValueError, TokenWish(names=["a.b"]).within, USUAL, NOW)

    @repeatable
    @given(st.lists(patterns, min_size=1, max_size=3), patterns, labels)
    def test_no_label_gets_in_that_did_not(self, own: list[str], pattern: str, label: str) -> None:
        maker = Credential(ALICE, names=tuple(own))
        try:
            TokenWish(names=[pattern]).within(maker, NOW)
        except (Refused, ValueError):
            return
        if fnmatchcase(label, pattern):
            self.assertTrue(any(fnmatchcase(label, p) for p in own), (own, pattern, label))
