"""Tokens: whose they are, and how they arrive."""

from __future__ import annotations

import hmac
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import Code, Refused
from inletspy.policy.accounts import Accounts
from inletspy.policy.tokens import (
    SHARED,
    Credential,
    Owner,
    TokenPolicy,
    bearer_token,
    is_token,
    new_token,
    readable_start,
    token_digest,
)
from tests.properties import repeatable

TOKEN = "correct horse battery staple"


class TokenPolicyTests(TestCase):
    def setUp(self) -> None:
        self.shared = TOKEN
        self.policy = TokenPolicy(lambda: self.shared, Accounts, lambda: 0.0)

    def test_the_shared_token(self) -> None:
        credential = self.policy.authenticate(TOKEN)
        assert credential is not None
        self.assertEqual(credential.owner, SHARED)
        self.assertEqual(credential.scopes, {"connect", "status"})

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
        policy = TokenPolicy(lambda: shared, Accounts, lambda: 0.0)
        for value in (field, f"Bearer {field}"):
            token = bearer_token(value)
            owner = policy.authenticate(token)
            self.assertEqual(owner is not None, token == shared != "")


class UserTokenTests(TestCase):
    """Tokens of users, and what becomes of them."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.shared = TOKEN
        self.used: list[Credential] = []
        self.alice = Owner("alice", "alice")
        self.credential = Credential(self.alice, "ipy_alices", digest=token_digest("ipy_alices1"))
        self.put(self.credential)
        self.policy = TokenPolicy(
            lambda: self.shared, lambda: self.accounts, lambda: self.now, self.used.append
        )

    def put(self, *credentials: Credential) -> None:
        self.accounts = Accounts({"alice": self.alice}, {c.digest: c for c in credentials})

    def over(self, credential: Credential) -> str:
        error = self.assertRaises(Refused, self.policy.renew, credential)
        self.assertEqual((error.code, error.retry), (Code.UNAUTHORIZED, False))
        return str(error.message)

    def test_whose_it_is(self) -> None:
        self.assertIs(self.policy.authenticate("ipy_alices1"), self.credential)
        self.assertEqual(self.used, [self.credential])
        for other in ("ipy_alices", "ipy_alices12", self.credential.digest.hex()):
            self.assertIsNone(self.policy.authenticate(other))
        self.assertEqual(len(self.used), 1)

    def test_without_a_shared_token(self) -> None:
        self.shared = ""
        self.assertIs(self.policy.authenticate("ipy_alices1"), self.credential)
        self.assertIsNone(self.policy.authenticate(TOKEN))

    def test_expiry(self) -> None:
        self.put(replace(self.credential, expires_at=1001.0))
        credential = self.policy.authenticate("ipy_alices1")
        assert credential is not None
        self.assertEqual(self.policy.renew(credential), credential)
        self.now = 1001.0
        self.assertIsNone(self.policy.authenticate("ipy_alices1"))
        self.assertIn("ipy_alices… has expired", self.over(credential))

    def test_revoked(self) -> None:
        self.put()
        self.assertIsNone(self.policy.authenticate("ipy_alices1"))
        self.assertIn("ipy_alices… was revoked", self.over(self.credential))

    def test_user_removed(self) -> None:
        self.accounts = Accounts()
        self.assertIn("user alice was removed", self.over(self.credential))

    def test_changed(self) -> None:
        changed = replace(self.credential, ports=range(1, 2))
        self.put(changed)
        self.assertIs(self.policy.renew(self.credential), changed)

    def test_shared_token_changed_or_turned_off(self) -> None:
        credential = self.policy.authenticate(TOKEN)
        assert credential is not None
        self.assertEqual(self.policy.renew(credential), credential)
        self.shared = "another"
        self.assertIn("shared token was changed", self.over(credential))
        self.shared = ""
        self.assertIn("shared token was turned off", self.over(credential))

    def test_what_scopes_allow(self) -> None:
        admin = Credential(self.alice, scopes=frozenset(["admin"]))
        self.assertEqual(
            [admin.allows(scope) for scope in ("connect", "status", "admin")], [False, True, True]
        )
        self.assertFalse(self.credential.allows("admin"))

    def test_a_credential_does_not_show_what_it_is_found_by(self) -> None:
        self.assertNotIn(repr(self.credential.digest), repr(self.credential))

    def test_new_ones(self) -> None:
        tokens = {new_token() for _ in range(100)}
        self.assertEqual(len({readable_start(token) for token in tokens}), 100)
        for token in tokens:
            self.assertTrue(is_token(token))
