"""Hostnames: the grammar, and which of them a client may have."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import Code, Refused
from inletspy.policy.names import (
    base_label,
    check_hostname,
    check_label,
    container_of,
    grant_hostname,
)
from tests.properties import repeatable

BASE = "tunnel.example.com"

#: No label, whatever is around it.
BAD_LABELS = (
    "-",
    "-a",
    "a-",
    "a b",
    " a",
    "a\0",
    "a\n",
    "a_b",
    "a/b",
    "a:80",
    "a@b",
    "*",
    "<a>",
    "b\xfccher",
    "\u212aelvin",
    "\u0661",
    "a\u0307",
    "\ud800",
    "x" * 64,
    "\xe9" * 64,
    "xn--",
    "xn---",
    "xn--a-",
    "xn--\xe9",
    "xn---a",
    "xn--a",
    "xn--0",
    "xn--ls8h",
    "xn--1ug",
    "xn--99999999",
    "ab--c",
    "XN--",
)


class LabelTests(TestCase):
    def test_labels(self) -> None:
        for label in ("a", "0", "a-b", "a--b", "c0ffee-3000", "1a", "x" * 63, "xn--bcher-kva"):
            self.assertEqual(check_label(label), label)
            self.assertEqual(check_label(label.upper()), label)

    def test_internationalised(self) -> None:
        for label in ("xn--bcher-kva", "xn--fiqs8s", "xn--mnchen-3ya", "xn--zzzzzzzzzz"):
            self.assertEqual(check_label(label), label)

    def test_what_is_none(self) -> None:
        for label in ("", *BAD_LABELS, ".", "a.b", "a."):
            with self.subTest(label=label):
                text = str(self.assertRaises(ValueError, check_label, label))
                self.assertTrue(text.isprintable(), text)
                self.assertLess(len(text), 200)


class HostnameTests(TestCase):
    def test_hostnames(self) -> None:
        for name in (
            "a",
            "a.b",
            "c0ffee-3000.tunnel.localhost",
            "1.2.3.4",
            "xn--bcher-kva.example",
        ):
            self.assertEqual(check_hostname(name), name)
            self.assertEqual(check_hostname(name.upper() + "."), name)

    def test_the_longest(self) -> None:
        name = ".".join(["x" * 63] * 3 + ["x" * 61])
        self.assertEqual(len(name), 253)
        self.assertEqual(check_hostname(name + "."), name)
        self.assertRaises(ValueError, check_hostname, "x" + name)

    def test_what_is_none(self) -> None:
        names = ("", ".", "..", "a..b", ".a", "a..", "http://a", "[::1]", "a,b")
        for name in (*names, *BAD_LABELS, *(f"a.{label}.b" for label in BAD_LABELS)):
            with self.subTest(name=name):
                self.assertRaises(ValueError, check_hostname, name)

    @repeatable
    @given(st.text(max_size=80) | st.from_regex(r"[a-zA-Z0-9.xn-]{1,70}", fullmatch=True))
    def test_whatever_comes(self, text: str) -> None:
        try:
            name = check_hostname(text)
        except ValueError:
            return
        self.assertEqual(name, text.lower().removesuffix("."))
        self.assertTrue(re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*", name))
        self.assertEqual(check_hostname(name), name)

    @repeatable
    @given(st.text(min_size=1, max_size=12))
    def test_whatever_pretends_to_be_international(self, text: str) -> None:
        for label in (f"xn--{text}", f"xn--{text.encode('punycode').decode()}"):
            try:
                check_label(label)
            except ValueError:
                continue
            self.assertTrue(label.isascii())


class PlaceTests(TestCase):
    def test_what_stands_under_the_base_domain(self) -> None:
        for hostname, label in (
            ("a.tunnel.example.com", "a"),
            ("a.b.tunnel.example.com", "a.b"),
            ("tunnel.example.com", None),
            ("example.com", None),
            ("atunnel.example.com", None),
            ("tunnel.example.com.evil.example", None),
            ("", None),
        ):
            self.assertEqual(base_label(hostname, BASE), label)
        self.assertIsNone(base_label("a.b", ""))

    def test_container_ids(self) -> None:
        for hostname, container in (
            ("c0ffee-3000.tunnel.example.com", "c0ffee"),
            ("my-dev-box-80.tunnel.example.com", "my-dev-box"),
            ("c0ffee-65535.tunnel.example.com", "c0ffee"),
            ("c0ffee-123456.tunnel.example.com", None),
            ("c0ffee-.tunnel.example.com", None),
            ("c0ffee.tunnel.example.com", None),
            ("3000.tunnel.example.com", None),
            ("c0ffee-3000.example.com", None),
            ("c0ffee-3000.tunnel.example.com.evil.example", None),
            ("tunnel.example.com", None),
        ):
            self.assertEqual(container_of(hostname, BASE), container)


class GrantTests(TestCase):
    def grant(self, requested: str, *, base: str = BASE, custom_domains: bool = False) -> str:
        return grant_hostname(requested, base, custom_domains=custom_domains)

    def assertRefused(
        self, code: Code, requested: str, *, base: str = BASE, custom_domains: bool = False
    ) -> Refused:
        with self.subTest(requested=requested):
            error: Refused = self.assertRaises(
                Refused, grant_hostname, requested, base, custom_domains=custom_domains
            )
            self.assertEqual(error.code, code)
            self.assertTrue(error.message.isprintable(), error.message)
            return error

    def test_a_label(self) -> None:
        self.assertEqual(self.grant("C0ffee-3000"), "c0ffee-3000.tunnel.example.com")

    def test_a_full_name(self) -> None:
        self.assertEqual(self.grant("Web.Tunnel.Example.COM."), "web.tunnel.example.com")

    def test_none(self) -> None:
        names = {self.grant("") for _ in range(100)}
        self.assertEqual(len(names), 100)
        for name in names:
            self.assertEqual(check_hostname(name), name)
            self.assertIsNotNone(base_label(name, BASE))

    def test_no_name(self) -> None:
        for requested in (
            "a..b",
            ".",
            "..",
            ".a",
            *BAD_LABELS,
            *(f"{x}.{BASE}" for x in BAD_LABELS),
        ):
            for custom_domains in (False, True):
                self.assertRefused(Code.HOSTNAME_INVALID, requested, custom_domains=custom_domains)

    def test_more_than_one_label(self) -> None:
        error = self.assertRefused(Code.HOSTNAME_NOT_YOURS, f"a.b.{BASE}", custom_domains=True)
        self.assertIn(f"a-b.{BASE}", error.message)

    def test_too_long_with_the_base_domain(self) -> None:
        base = ".".join(["x" * 63] * 3)
        self.assertEqual(self.grant("y" * 61, base=base), "y" * 61 + "." + base)
        self.assertRefused(Code.HOSTNAME_INVALID, "y" * 62, base=base)

    def test_other_domains(self) -> None:
        for requested in (
            "app.example.com",
            "a.tunnel.example.org",
            f"x{BASE}",
            f"{BASE}.evil.com",
        ):
            self.assertRefused(Code.HOSTNAME_NOT_YOURS, requested)
            self.assertEqual(self.grant(requested.upper(), custom_domains=True), requested)

    def test_the_base_domain_and_those_above_it(self) -> None:
        for requested in (BASE, BASE.upper(), BASE + ".", "example.com", "com."):
            for custom_domains in (False, True):
                self.assertRefused(
                    Code.HOSTNAME_NOT_YOURS, requested, custom_domains=custom_domains
                )

    def test_addresses(self) -> None:
        for requested in ("127.0.0.1", "203.0.113.9.", "1.2", "a.1"):
            for custom_domains in (False, True):
                self.assertRefused(Code.HOSTNAME_INVALID, requested, custom_domains=custom_domains)

    def test_a_server_without_a_base_domain(self) -> None:
        for requested in ("", "web"):
            error = self.assertRefused(Code.HOSTNAME_INVALID, requested, base="")
            self.assertIn("tunnel_base_domain", error.message)
        self.assertRefused(Code.HOSTNAME_NOT_YOURS, "app.example.com", base="")
        self.assertEqual(
            self.grant("app.example.com", base="", custom_domains=True), "app.example.com"
        )

    @repeatable
    @given(st.text(max_size=70), st.booleans())
    def test_whatever_is_asked_for(self, requested: str, custom_domains: bool) -> None:
        try:
            name = self.grant(requested, custom_domains=custom_domains)
        except Refused:
            return
        self.assertEqual(check_hostname(name), name)
        if not custom_domains:
            self.assertNotIn(".", base_label(name, BASE) or ".")
