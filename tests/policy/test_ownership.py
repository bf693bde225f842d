"""Which names are whose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import Code, Refused
from inletspy.policy.accounts import Accounts
from inletspy.policy.names import base_label, check_hostname
from inletspy.policy.ownership import REFUSED_NAMES, NameRules
from inletspy.policy.tokens import SHARED, Credential, Owner
from tests.properties import repeatable

BASE = "tunnel.example.com"
ALICE, BOB = Owner("alice", "alice"), Owner("bob", "bob")
SHARED_TOKEN, ALICES, BOBS = Credential(SHARED), Credential(ALICE), Credential(BOB)
ACCOUNTS = Accounts(
    {"alice": ALICE, "bob": BOB},
    {},
    {
        "shop": "alice",
        "bob-exhibition": "alice",
        "www": "alice",
        "shop.example.org": "alice",
        f"old.{BASE}": "bob",
    },
)
RULES = NameRules(ACCOUNTS, BASE, custom_domains=True)


class OwnershipTestCase(TestCase):
    rules = RULES

    def grant(self, credential: Credential, requested: str, **more: Any) -> str:
        return self.rules.grant(credential, requested, **more)

    def assertOwn(self, credential: Credential, *requested: str) -> None:
        for name in requested:
            granted = self.grant(credential, name)
            self.assertEqual(granted, name if "." in name else f"{name}.{BASE}")

    def refused(self, credential: Credential, *requested: str, **more: Any) -> list[str]:
        texts = []
        for name in requested:
            with self.subTest(name=name):
                error = self.assertRaises(Refused, self.grant, credential, name, **more)
                self.assertEqual((error.code, error.retry), (Code.HOSTNAME_NOT_YOURS, False))
                texts.append(error.message)
        return texts


class UserTests(OwnershipTestCase):
    def test_names_with_the_prefix(self) -> None:
        self.assertOwn(ALICES, "alice", "alice-c0ffee-3000", f"alice-x.{BASE}")
        self.refused(ALICES, "c0ffee-3000", "alicia", "malice-x", "x-alice", "alicex")

    def test_what_would_be_accepted_is_told(self) -> None:
        (text,) = self.refused(ALICES, "news")
        self.assertIn(f"alice-news.{BASE}", text)

    def test_reserved_names(self) -> None:
        self.assertOwn(ALICES, "shop", "bob-exhibition", "shop.example.org", "www")
        self.assertOwn(BOBS, "old")
        self.refused(BOBS, "shop", "bob-exhibition", "shop.example.org", "www")
        self.refused(ALICES, "old")

    def test_names_with_another_s_prefix(self) -> None:
        for name in ("bob", "bob-3000"):
            (text,) = self.refused(ALICES, name)
            self.assertIn("somebody else", text)

    def test_names_outside_the_base_domain(self) -> None:
        self.refused(ALICES, "app.example.com", "alice.example.com", BASE, "example.com")


class SharedTests(OwnershipTestCase):
    def test_whatever_is_nobody_s(self) -> None:
        self.assertOwn(SHARED_TOKEN, "c0ffee-3000", "alicia", "app.example.com", "bobby-1")

    def test_nothing_of_a_user_s(self) -> None:
        self.refused(SHARED_TOKEN, "alice", "alice-3000", "bob-x", "shop", "shop.example.org")
        self.refused(SHARED_TOKEN, "alice-3000", "shop", derived=True)

    def test_other_domains_only_while_enabled(self) -> None:
        rules = replace(RULES, custom_domains=False)
        self.assertRaises(Refused, rules.grant, SHARED_TOKEN, "app.example.com")
        self.assertEqual(rules.grant(ALICES, "shop.example.org"), "shop.example.org")


class RefusedNameTests(OwnershipTestCase):
    def test_by_default(self) -> None:
        for credential in (SHARED_TOKEN, ALICES):
            for name in REFUSED_NAMES - {"www"}:
                self.refused(credential, name, name.upper(), f"{name}.{BASE}")
        for name in ("www", "mail", "admin", "smtp", "wpad", "localhost", "autodiscover", "ns1"):
            self.assertIn(name, REFUSED_NAMES)

    def test_only_the_very_names(self) -> None:
        self.assertOwn(SHARED_TOKEN, "www-3000", "my-mail", "www.example.com")

    def test_more_of_them(self) -> None:
        self.rules = replace(RULES, refused=("intranet", "alice-hr", "shop"))
        self.refused(SHARED_TOKEN, "intranet")
        self.refused(ALICES, "alice-hr")
        self.assertOwn(ALICES, "shop")  # reserved

    def test_the_server_s_own(self) -> None:
        self.rules = replace(RULES, own_hosts={f"connect.{BASE}", "status.example.net"})
        self.refused(SHARED_TOKEN, "connect", f"connect.{BASE}", "status.example.net")

    def test_with_any_pattern(self) -> None:
        self.refused(Credential(ALICE, names=("*",)), "mail", "bob-x", "bob", "old")


class PatternTests(OwnershipTestCase):
    def test_only_these(self) -> None:
        token = Credential(ALICE, names=("u1-*", "shop"))
        self.assertOwn(token, "u1-a", "u1-a-b-3000", "shop")
        for text in self.refused(token, "alice", "alice-x", "u1", "xu1-a", "shops", "www"):
            self.assertIn("u1-*, shop", text)
        self.refused(token, "shop.example.org")

    def test_other_owners_names_stay_theirs(self) -> None:
        token = Credential(ALICE, names=("bob-*", "old", "*"))
        self.refused(token, "bob-x", "old")
        self.assertOwn(token, "bob-exhibition")

    def test_many_stars_take_no_time(self) -> None:
        token = Credential(ALICE, names=("*a" * 31 + "b",))
        self.refused(token, "a" * 63)


class DerivedTests(OwnershipTestCase):
    def derive(self, credential: Credential, name: str) -> str:
        label = base_label(self.grant(credential, name, derived=True), BASE)
        assert label is not None
        return label

    def test_the_prefix_is_put_in_front(self) -> None:
        self.assertEqual(self.derive(ALICES, "c0ffee-3000"), "alice-c0ffee-3000")
        self.assertEqual(self.derive(ALICES, f"c0ffee-3000.{BASE}"), "alice-c0ffee-3000")
        self.assertEqual(self.derive(ALICES, "bob-3000"), "alice-bob-3000")
        self.assertEqual(self.derive(ALICES, "mail"), "alice-mail")
        self.assertEqual(self.derive(ALICES, "alice-3000"), "alice-3000")

    def test_no_longer_than_a_label(self) -> None:
        long = [self.derive(ALICES, f"{'x' * 55}{end}-65535") for end in "ab"]
        for label in long:
            self.assertRegex(label, "^alice-x+-[0-9a-f]{6}-65535$")
            self.assertEqual(len(label), 63)
        self.assertNotEqual(*long)

    def test_by_the_token_s_pattern(self) -> None:
        for names, label in (
            (("u1-*",), "u1-c0ffee-3000"),
            (("*-u1",), "c0ffee-3000-u1"),
            (("shop",), "shop"),
            (("bob-*", "u1-*"), "u1-c0ffee-3000"),
            (("*",), "c0ffee-3000"),
            (("a*b*c",), "ac0ffee-3000bc"),
        ):
            self.assertEqual(self.derive(Credential(ALICE, names=names), "c0ffee-3000"), label)
        self.refused(Credential(ALICE, names=("bob-*",)), "c0ffee-3000", derived=True)

    def test_a_generated_name(self) -> None:
        for credential, form in (
            (ALICES, r"alice-[a-z0-9]{10}"),
            (Credential(ALICE, names=("u1-*",)), r"u1-[a-z0-9]{10}"),
            (SHARED_TOKEN, r"[a-z0-9]{10}"),
        ):
            self.assertRegex(self.grant(credential, ""), rf"^{form}\.{BASE}$")

    @repeatable
    @given(
        st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True),
        st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True),
        st.booleans(),
    )
    def test_always_a_name_of_one_s_own(self, name: str, prefix: str, derived: bool) -> None:
        credential = Credential(Owner("x", prefix))
        rules = NameRules(Accounts({"x": credential.owner, "bob": BOB}), BASE)
        try:
            hostname = rules.grant(credential, name, derived=derived)
        except Refused:
            return
        self.assertEqual(check_hostname(hostname), hostname)
        label = base_label(hostname, BASE)
        assert label is not None
        self.assertTrue(credential.owner.carried_by(label))
