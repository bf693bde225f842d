"""Share tokens: what they are good for, and until when; and who uses them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from inletspy.errors import Refused
from inletspy.policy.accounts import Accounts
from inletspy.policy.links import LONGEST_LINK, link_end, link_id, new_link_token, sign
from inletspy.policy.private import (
    Leave,
    PrivateName,
    new_share_token,
    read_share_token,
)
from inletspy.policy.tokens import SHARED, Credential, Owner, TokenPolicy, is_token
from tests.properties import repeatable

KEY = "k" * 32
DB = PrivateName("ann.o+k@example", "db")


class ShareTokenTests(SynchronousTestCase):
    def test_good_until_its_end(self) -> None:
        token = new_share_token(KEY, DB, 1060)
        self.assertTrue(is_token(token))
        self.assertEqual(read_share_token(token, KEY, 1000.0), Leave(DB, 1060))
        self.assertEqual(read_share_token(token, KEY, 1059.9), Leave(DB, 1060))
        self.assertIsNone(read_share_token(token, KEY, 1060.0))
        self.assertNotEqual(token, new_share_token(KEY, DB, 1060))

    def test_by_one_key(self) -> None:
        token = new_share_token(KEY, DB, 1060)
        self.assertIsNone(read_share_token(token, "j" * 32, 1000.0))
        self.assertIsNone(read_share_token(token, "", 1000.0))
        self.assertIsNone(read_share_token(new_share_token("", DB, 1060), "", 1000.0))

    def test_of_a_time_that_nobody_gives(self) -> None:
        token = new_share_token(KEY, DB, 1000 + LONGEST_LINK + 61)
        self.assertIsNone(read_share_token(token, KEY, 1000.0))

    def test_every_part_counts(self) -> None:
        kind, end, nonce, name, owner, signature = new_share_token(KEY, DB, 1060).split(".")
        other = new_share_token(KEY, PrivateName("bob", "web"), 1061).split(".")
        for forged in (
            (kind, "1061", nonce, name, owner, signature),
            (kind, end, other[2], name, owner, signature),
            (kind, end, nonce, "web", owner, signature),
            (kind, end, nonce, name, other[4], signature),
            (kind, end, nonce, name, owner, other[5]),
            (kind, end, nonce, name, signature),
            (kind, end, nonce, name, owner, signature, signature),
            (kind, f"{end}\n", nonce, name, owner, signature),
            ("", end, nonce, name, owner, signature),
        ):
            self.assertIsNone(read_share_token(".".join(forged), KEY, 1000.0), forged)

    def test_no_link_and_no_link_is_one(self) -> None:
        """Neither is taken for the other, whatever names are alike."""
        token = new_share_token(KEY, DB, 1060)
        self.assertIsNone(link_end(token.encode(), KEY, "db", DB.owner, 1000.0))
        link = new_link_token(KEY, "db", DB.owner, 1060)
        self.assertIsNone(read_share_token(link, KEY, 1000.0))
        # Nor with the form of one and the signature of the other.
        text, _, signature = token.rpartition(".")
        for other in (link.rpartition(".")[2], sign(KEY, "inletspy share link", text)):
            self.assertNotEqual(signature, other)
            self.assertIsNone(read_share_token(f"{text}.{other}", KEY, 1000.0))

    @repeatable
    @given(st.text() | st.from_regex(re.compile(r"\Aipys(\.[\w-]*){5}\Z")))
    def test_anything(self, text: str) -> None:
        self.assertIsNone(read_share_token(text, KEY, 1000.0))


class GuestTests(SynchronousTestCase):
    """What a share token stands for in the eyes of the server."""

    def setUp(self) -> None:
        self.shared, self.key, self.now = "a shared token", KEY, 1000.0
        self.accounts = Accounts(owners={"ann": Owner("ann", "ann")})
        self.revoked: set[str] = set()
        self.policy = TokenPolicy(
            lambda: self.shared,
            lambda: self.accounts,
            lambda: self.now,
            signing_key=lambda: KEY,
            revoked=lambda: self.revoked,
        )

    def guest(self, owner: str = "ann") -> Credential | None:
        return self.policy.guest(new_share_token(self.key, PrivateName(owner, "db"), 1060))

    def test_one(self) -> None:
        guest = self.guest()
        assert guest is not None
        self.assertEqual((guest.owner.name, guest.reaches, guest.scopes), ("ann", "db", set()))
        self.assertTrue(guest.opens_sessions)
        self.assertTrue(guest.good_for_private("db"))
        self.assertFalse(guest.good_for_private("web"))
        for scope in ("connect", "status", "admin"):
            self.assertFalse(guest.allows(scope))
        self.assertNotIn(guest.share_token, repr(guest))
        self.assertEqual(self.policy.renew(guest), guest)

    def test_it_is_no_token_elsewhere(self) -> None:
        token = new_share_token(KEY, PrivateName("ann", "db"), 1060)
        self.assertIsNone(self.policy.authenticate(token))

    def test_none(self) -> None:
        self.assertIsNone(self.guest("bob"))
        self.assertIsNone(self.policy.guest(""))
        self.assertIsNone(self.policy.guest(self.shared))
        self.key = "j" * 32
        self.assertIsNone(self.guest())

    def test_revoked(self) -> None:
        guest = self.guest()
        assert guest is not None
        self.revoked = {link_id(guest.share_token)}
        self.assertIsNone(self.policy.guest(guest.share_token))
        self.assertIn("good no longer", self.over(guest))
        self.assertIsNotNone(self.guest())

    def over(self, guest: Credential) -> str:
        with self.assertRaises(Refused) as caught:
            self.policy.renew(guest)
        return str(caught.exception)

    def test_of_the_shared_token(self) -> None:
        guest = self.guest("shared")
        assert guest is not None
        self.assertEqual(guest.owner, SHARED)
        self.shared = "another"
        self.assertEqual(self.policy.renew(guest), guest)
        self.shared = ""
        self.assertIsNone(self.guest("shared"))
        self.assertIn("good no longer", self.over(guest))

    def test_what_ends_it(self) -> None:
        guest = self.guest()
        assert guest is not None
        self.accounts = Accounts()
        self.assertIn("good no longer", self.over(guest))
        self.accounts = Accounts(owners={"ann": Owner("ann", "ann")})
        self.now = 1060.0
        self.assertIn("has expired", self.over(guest))


class PatternTests(SynchronousTestCase):
    def test_names_of_a_token(self) -> None:
        credential = Credential(Owner("ann", "ann"), names=("ci-*", "db"))
        for name, good in (("ci-1", True), ("db", True), ("db2", False), ("prod", False)):
            self.assertEqual(credential.good_for_private(name), good, name)
        self.assertTrue(Credential(Owner("ann", "ann")).good_for_private("anything"))
