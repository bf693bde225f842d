"""Users, their prefixes and what carries them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import Code, Refused
from inletspy.policy.accounts import Accounts, check_pattern, check_user_name, prefix_for
from inletspy.policy.tokens import SHARED, Owner
from tests.properties import repeatable

ALICE = Owner("alice@example.com", "alice")
ANNA_B = Owner("anna-b", "anna-b")
USER_1, USER_12 = (Owner(f"u{n}", f"claude-web-user-{n}") for n in (1, 12))
ACCOUNTS = Accounts({owner.name: owner for owner in (ALICE, ANNA_B, USER_1, USER_12)})


class PrefixTests(TestCase):
    def test_whose_a_text_is(self) -> None:
        for text, owner in (
            ("alice", ALICE),
            ("alice-", ALICE),
            ("alice-laptop-3000", ALICE),
            ("alicia", None),
            ("alic", None),
            ("alice.x", None),
            ("Alice-x", None),
            ("malice-x", None),
            ("x-alice", None),
            ("anna", None),
            ("anna-c", None),
            ("anna-b-c", ANNA_B),
            ("claude-web-user-1", USER_1),
            ("claude-web-user-12", USER_12),
            ("claude-web-user-1-2", USER_1),
            ("claude-web-user-123", None),
            ("claude-web-user", None),
            ("", None),
            ("-", None),
        ):
            self.assertEqual((text, ACCOUNTS.owner_of(text)), (text, owner))

    def test_prefixes_that_would_share_names(self) -> None:
        for prefix, owner in (
            ("alice", ALICE),
            ("alice-b", ALICE),
            ("anna", ANNA_B),
            ("anna-b", ANNA_B),
            ("anna-b-c", ANNA_B),
            ("anna-c", None),
            ("an", None),
            ("alicia", None),
            ("claude-web-user-2", None),
        ):
            self.assertEqual((prefix, ACCOUNTS.overlapping(prefix)), (prefix, owner))

    @repeatable
    @given(st.text("ab-", max_size=8), st.text("ab-", min_size=1, max_size=4))
    def test_the_look_up_is_the_plain_question(self, text: str, prefix: str) -> None:
        owner = Owner("x", prefix)
        found = Accounts({"x": owner}).owner_of(text)
        self.assertEqual(found is owner, owner.carried_by(text))

    def test_nobody_carries_an_empty_prefix(self) -> None:
        for text in ("", "-", "-a", "a"):
            self.assertFalse(SHARED.carried_by(text))


class ClientIdTests(TestCase):
    def refused(self, owner: Owner, client_id: str) -> Refused:
        error: Refused = self.assertRaises(Refused, ACCOUNTS.own_client_id, owner, client_id)
        self.assertEqual((error.code, error.retry), (Code.INVALID, False))
        return error

    def test_a_user_s_own(self) -> None:
        for client_id in ("alice", "alice-laptop"):
            self.assertEqual(ACCOUNTS.own_client_id(ALICE, client_id), client_id)

    def test_one_that_is_not(self) -> None:
        for client_id in ("laptop", "alicelaptop", "anna-b-x", "claude-web-user-1", "ALICE-x"):
            self.assertIn(f"alice-{client_id}", self.refused(ALICE, client_id).message)

    def test_one_that_nobody_chose_gets_the_prefix(self) -> None:
        for client_id in ("laptop", "anna-b-x"):
            own = ACCOUNTS.own_client_id(ALICE, client_id, derived=True)
            self.assertEqual(own, f"alice-{client_id}")
        self.assertEqual(ACCOUNTS.own_client_id(ALICE, "alice-x", derived=True), "alice-x")
        self.assertEqual(len(ACCOUNTS.own_client_id(ALICE, "x" * 128, derived=True)), 128)

    def test_the_shared_token_is_for_those_of_no_user(self) -> None:
        for client_id in ("laptop", "anna", "claude-web-user-123"):
            self.assertEqual(ACCOUNTS.own_client_id(SHARED, client_id), client_id)
        for client_id in ("alice", "alice-x", "claude-web-user-12"):
            self.refused(SHARED, client_id)
            self.assertRaises(Refused, ACCOUNTS.own_client_id, SHARED, client_id, derived=True)


class CheckTests(TestCase):
    def test_user_names(self) -> None:
        for name in ("a", "alice", "alice@example.com", "u-1", "x" * 64, "1_2.3+4"):
            self.assertEqual(check_user_name(name), name)
        for name in ("", "A", "-a", "a b", "a\n", "é", "x" * 65, "a'b", "a/b", "shared", "\0"):
            self.assertRaises(ValueError, check_user_name, name)

    def test_prefixes(self) -> None:
        for name, prefix in (
            ("alice", "alice"),
            ("alice@example.com", "alice-example-com"),
            ("u-1", "u-1"),
            ("a.-b.", "a-b"),
        ):
            self.assertEqual(prefix_for(name), prefix)
        self.assertEqual(prefix_for("alice", "AL"), "al")
        for wanted in ("", "a b", "a.b", "-", "x" * 41, "shared", "xn--", "*"):
            self.assertRaises(ValueError, prefix_for, "alice", wanted)
        self.assertRaises(ValueError, prefix_for, "x" * 41)

    def test_patterns(self) -> None:
        for pattern in ("u1-*", "*", "shop", "*-3000", "a-*-b-*", "x" * 63):
            self.assertEqual(check_pattern(pattern), pattern)
        self.assertEqual(check_pattern("U1-*"), "u1-*")
        for pattern in ("", "a.b", "*.a", "-*", "[a]", "a?", "a b", "x" * 64, "é*", "a\n", "**-"):
            self.assertRaises(ValueError, check_pattern, pattern)
