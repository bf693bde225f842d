"""Tokens: whose they are, and how they arrive."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.policy.tokens import TokenPolicy, bearer_token, is_token
from tests.properties import repeatable

TOKEN = "correct horse battery staple"


class TokenPolicyTests(TestCase):
    def setUp(self) -> None:
        self.shared = TOKEN
        self.policy = TokenPolicy(lambda: self.shared)

    def test_the_shared_token(self) -> None:
        owner = self.policy.authenticate(TOKEN)
        assert owner is not None
        self.assertEqual((owner.name, owner.scopes), ("shared", {"connect", "status"}))

    def test_others(self) -> None:
        for token in ("", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), " " + TOKEN, TOKEN + "\0"):
            self.assertIsNone(self.policy.authenticate(token))

    def test_an_empty_token_is_nobody_s(self) -> None:
        self.shared = ""
        for token in ("", "x"):
            self.assertIsNone(self.policy.authenticate(token))

    def test_a_token_that_changes(self) -> None:
        self.shared = "new"
        self.assertIsNone(self.policy.authenticate(TOKEN))
        self.assertIsNotNone(self.policy.authenticate("new"))

    def test_what_is_no_ascii(self) -> None:
        for token in ("schl\xfcssel", "\U0001f511", "\udcff", "\ud800"):
            self.assertIsNone(self.policy.authenticate(token))
            self.shared = token
            self.assertIsNotNone(self.policy.authenticate(token))
            for other in ("?", "schl?ssel", "\ufffd", "x"):
                self.assertIsNone(self.policy.authenticate(other))
            self.shared = TOKEN

    def test_compared_in_constant_time(self) -> None:
        compared: list[tuple[bytes, bytes]] = []

        def compare(one: bytes, two: bytes) -> bool:
            compared.append((one, two))
            return one == two

        self.patch(hmac, "compare_digest", compare)
        self.policy.authenticate("x")
        self.policy.authenticate(TOKEN)
        self.assertEqual(compared, [(b"x", TOKEN.encode()), (TOKEN.encode(), TOKEN.encode())])


class BearerTests(TestCase):
    def test_tokens(self) -> None:
        for field, token in (
            ("Bearer abc", "abc"),
            ("bearer abc", "abc"),
            ("BEARER  abc \t", "abc"),
            ("Bearer a b", "a b"),
            ("Bearer a=b.c~d+e/f==", "a=b.c~d+e/f=="),
        ):
            self.assertEqual(bearer_token(field), token)

    def test_no_token(self) -> None:
        for field in (None, "", "Bearer", "Bearer ", "Bearer \t ", "abc", "Basic abc", "Bearerabc"):
            self.assertEqual(bearer_token(field), "")

    def test_what_is_no_token_stays_none(self) -> None:
        """White space of other sorts is not the field's, and so not taken away."""
        for token in ("\xa0", "\x85", "abc\u2003"):
            self.assertEqual(bearer_token(f"Bearer {token}"), token)

    def test_what_every_client_can_send(self) -> None:
        for token in ("a", "0123456789abcdef", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~", "x" * 1000):
            self.assertTrue(is_token(token))
            self.assertEqual(bearer_token(f"Bearer {token}"), token)
        for token in ("", " ", "a b", "a ", "\ta", "a\n", "\0", "\x7f", "schl\xfcssel", "\ud800"):
            self.assertFalse(is_token(token))

    @repeatable
    @given(st.text(max_size=20), st.text(max_size=20))
    def test_whatever_comes(self, field: str, shared: str) -> None:
        policy = TokenPolicy(lambda: shared)
        for value in (field, f"Bearer {field}"):
            token = bearer_token(value)
            owner = policy.authenticate(token)
            self.assertEqual(owner is not None, token == shared != "")
