"""Sign-ins: what they are good for, how long, and what is none."""

from __future__ import annotations

import base64
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.policy.accounts import Accounts
from inletspy.policy.signins import CODE_SECONDS, SIGN_IN_SECONDS, SignIns
from inletspy.policy.tokens import Credential, Owner, TokenPolicy, token_digest
from tests.properties import repeatable

ALICE = Credential(Owner("alice", "alice"), digest=token_digest("alice's"))
BOB = Credential(Owner("bob", "bob"), digest=token_digest("bob's"))


class SignInTestCase(TestCase):
    def setUp(self) -> None:
        self.time = 1_000_000.0
        self.key = "k" * 43
        self.shared = "correct horse"
        self.accounts = Accounts(
            {c.owner.name: c.owner for c in (ALICE, BOB)}, {c.digest: c for c in (ALICE, BOB)}
        )
        self.tokens = TokenPolicy(lambda: self.shared, lambda: self.accounts, lambda: self.time)
        self.sign_ins = self.another()

    def another(self) -> SignIns:
        """As after a restart of the server."""
        return SignIns(self.tokens.known, lambda: self.key, lambda: self.time)

    def begin(self, token: str) -> str:
        credential = self.tokens.authenticate(token)
        assert credential is not None
        return self.sign_ins.begin(credential).text

    def begin_as(self, credential: Credential) -> str:
        return self.sign_ins.begin(credential).text

    def user(self, text: str) -> str | None:
        sign_in = self.sign_ins.read(text)
        return None if sign_in is None else sign_in.credential.owner.name


class SignInTests(SignInTestCase):
    def test_whose_it_is(self) -> None:
        self.assertEqual(self.user(self.begin_as(ALICE)), "alice")
        self.assertEqual(self.user(self.begin("correct horse")), "shared")

    def test_it_outlives_a_restart(self) -> None:
        text = self.begin_as(ALICE)
        sign_in = self.another().read(text)
        assert sign_in is not None
        self.assertEqual(sign_in.credential, ALICE)

    def test_no_two_are_the_same(self) -> None:
        self.assertNotEqual(self.begin_as(ALICE), self.begin_as(ALICE))

    def test_it_has_nothing_of_the_token(self) -> None:
        text = self.begin("correct horse")
        digest = base64.urlsafe_b64encode(token_digest("correct horse")).decode()
        self.assertNotIn("correct", text)
        self.assertNotIn(digest[:43], text)
        self.assertNotIn(text, repr(self.sign_ins.read(text)))

    def test_it_ends(self) -> None:
        text = self.begin_as(ALICE)
        self.time += SIGN_IN_SECONDS - 1
        self.assertEqual(self.user(text), "alice")
        self.time += 1
        self.assertIsNone(self.user(text))

    def test_it_ends_with_a_token_that_ends_sooner(self) -> None:
        short = replace(ALICE, expires_at=self.time + 60)
        self.accounts = replace(self.accounts, tokens={short.digest: short})
        text = self.begin_as(short)
        sign_in = self.sign_ins.read(text)
        assert sign_in is not None
        self.assertEqual(sign_in.end, self.time + 60)
        self.time += 60
        self.assertIsNone(self.user(text))

    def test_a_token_that_was_revoked(self) -> None:
        text = self.begin_as(ALICE)
        self.accounts = replace(self.accounts, tokens={BOB.digest: BOB})
        self.assertIsNone(self.user(text))

    def test_the_shared_token_changed_or_turned_off(self) -> None:
        text = self.begin("correct horse")
        for self.shared in ("battery staple", ""):
            self.assertIsNone(self.user(text))
        self.shared = "correct horse"
        self.assertEqual(self.user(text), "shared")

    def test_what_a_token_allows_is_asked_each_time(self) -> None:
        text = self.begin_as(ALICE)
        less = replace(ALICE, scopes=frozenset(["connect"]))
        self.accounts = replace(self.accounts, tokens={less.digest: less})
        sign_in = self.sign_ins.read(text)
        assert sign_in is not None
        self.assertFalse(sign_in.credential.allows("status"))

    def test_another_key_or_none(self) -> None:
        text = self.begin_as(ALICE)
        for self.key in ("j" * 43, ""):
            self.assertIsNone(self.user(text))
        self.assertFalse(self.sign_ins.possible)

    def test_signing_out_ends_that_one_only(self) -> None:
        text, other = self.begin_as(ALICE), self.begin_as(ALICE)
        sign_in = self.sign_ins.read(text)
        assert sign_in is not None
        self.sign_ins.end(sign_in)
        self.assertIsNone(self.user(text))
        self.assertEqual(self.user(other), "alice")

    def test_forged(self) -> None:
        text = self.begin_as(ALICE)
        one, end, nonce, name, signature = text.split(".")
        later = str(int(end) + 60)
        of_bob = self.begin_as(BOB).split(".")
        shared = self.begin("correct horse").split(".")
        for parts in (
            (one, later, nonce, name, signature),
            (one, end, nonce[::-1], name, signature),
            (one, end, nonce, of_bob[3], signature),
            (one, end, nonce, of_bob[3], of_bob[4]),
            (one, end, nonce, "shared", signature),
            (one, *shared[1:3], name, shared[4]),
            ("2", end, nonce, name, signature),
            (one, end, nonce, name, ""),
            (one, end, nonce, name),
            (one, end, nonce, name, signature, ""),
            (one, f"0{end}", nonce, name, signature),
            (one, f"+{end}", nonce, name, signature),
            (one, "9" * 13, nonce, name, signature),
        ):
            self.assertIsNone(self.user(".".join(parts)), parts)
        for other in ("", "1", "....", "x" * 5000, text + "\n", " " + text, text.upper(), "\udcff"):
            self.assertIsNone(self.user(other), other)

    @repeatable
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        self.assertIsNone(self.user(text))

    def test_one_that_lasts_too_long_is_none_even_if_it_is_signed(self) -> None:
        self.time += 3600
        text = self.begin_as(ALICE)
        self.time -= 3600
        self.assertIsNone(self.user(text))

    def test_what_became_of_a_credential(self) -> None:
        shared = self.tokens.authenticate("correct horse")
        assert shared is not None
        self.assertEqual(self.sign_ins.renew(ALICE), ALICE)
        self.assertEqual(self.sign_ins.renew(shared), shared)
        self.shared = "battery staple"
        self.assertIsNone(self.sign_ins.renew(shared))
        self.accounts = Accounts()
        self.assertIsNone(self.sign_ins.renew(ALICE))


class CodeTests(SignInTestCase):
    def test_it_is_good_once(self) -> None:
        code, end = self.sign_ins.new_code(ALICE)
        self.assertEqual(end, self.time + CODE_SECONDS)
        self.assertEqual(self.sign_ins.redeem(code), ALICE)
        self.assertIsNone(self.sign_ins.redeem(code))

    def test_it_expires(self) -> None:
        code, _ = self.sign_ins.new_code(ALICE)
        self.time += CODE_SECONDS
        self.assertIsNone(self.sign_ins.redeem(code))

    def test_its_token_must_be_good_still(self) -> None:
        code, _ = self.sign_ins.new_code(ALICE)
        self.accounts = Accounts()
        self.assertIsNone(self.sign_ins.redeem(code))

    def test_others_are_none(self) -> None:
        code, _ = self.sign_ins.new_code(ALICE)
        for other in ("", code[:-1], code + "x", code.upper(), "\ud800"):
            self.assertIsNone(self.sign_ins.redeem(other))
        self.assertEqual(self.sign_ins.redeem(code), ALICE)

    def test_one_token_can_not_have_any_number_nor_use_up_those_of_others(self) -> None:
        bobs, _ = self.sign_ins.new_code(BOB)
        codes = [self.sign_ins.new_code(ALICE)[0] for _ in range(100)]
        good = [code for code in codes if self.sign_ins.redeem(code) is not None]
        self.assertEqual(good, codes[-16:])
        self.assertEqual(self.sign_ins.redeem(bobs), BOB)
