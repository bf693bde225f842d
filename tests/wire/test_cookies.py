"""Cookies: for whom they are set, and which of them go on."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from inletspy.wire.cookies import cookie_values, reaches, without_cookies
from inletspy.wire.http1 import parse_response

NAMES = frozenset((b"ours", b"__Host-ours"))


class DomainTests(SynchronousTestCase):
    def test_for_the_domain_or_above(self) -> None:
        for attributes in (
            b"Domain=tunnel.example.com",
            b"domain=.tunnel.example.com",
            b"DOMAIN=Example.COM",
            b"Domain=com",
            b"Domain=..example.com",
            b"Domain=example.com.",
            b"Path=/; Domain=example.com; Secure",
            b"Path=/;Domain=example.com",
            b" \tDomain \t= \texample.com\t",
            b'Domain="example.com"',
            b'Domain=".example.com"',
            # Some take the first of several, some the last, some the last that is not empty.
            b"Domain=app.tunnel.example.com; Domain=example.com",
            b"Domain=example.com; Domain=app.tunnel.example.com",
            b"Domain=example.com; Domain=",
            # Escapes, wide letters and the like are read as the plain ones by some.
            b"Domain=example%2ecom",
            b"Domain=\xef\xbd\x85xample.com",
            b"Domain=exa mple.com",
        ):
            self.assertTrue(reaches(b"a=b; " + attributes, b"tunnel.example.com"), attributes)

    def test_for_the_upstream_itself(self) -> None:
        for cookie in (
            b"a=b",
            b"",
            b"a=b; Domain",
            b"a=b; Domain=",
            b"a=b; Domain=.",
            b"a=b; Domain=app.tunnel.example.com",
            b"a=b; Domain=.app.tunnel.example.com",
            b"a=b; Domain=nel.example.com",
            b"a=b; Domain=xample.com",
            b"a=b; Domain=example.org",
            b"Domain=example.com; Path=/",
            b"a=b; XDomain=example.com",
            b"a=Domain=example.com",
        ):
            self.assertFalse(reaches(cookie, b"tunnel.example.com"), cookie)


class ResponseTests(SynchronousTestCase):
    def left(self, *cookies: bytes) -> list[bytes]:
        """The lines of an answer with these cookies that visitors get."""
        lines = [b"HTTP/1.1 200 OK", b"Content-Length: 0", *cookies, b"X: y", b"", b""]
        response = parse_response(b"\r\n".join(lines), b"GET")
        response.drop_cookies(b"tunnel.localhost")
        head = response.forward().split(b"\r\n")
        self.assertEqual(head[:2] + head[-3:], lines[:2] + lines[-3:])
        return head[2:-3]

    def test_only_those_are_dropped(self) -> None:
        wide = b"sEt-CooKie:\ta=b;domain=LOCALHOST"
        own = b"Set-Cookie: domain=b; Path=/"
        other = b"Set-Cookie: c=d; Domain=app.tunnel.localhost"
        self.assertEqual(self.left(own, wide, other), [own, other])
        self.assertEqual(self.left(wide, wide), [])
        self.assertEqual(self.left(wide + b" "), [])
        self.assertEqual(self.left(own, other), [own, other])

    def test_others_say_domain_too(self) -> None:
        line = b"Strict-Transport-Security: max-age=1; includeSubDomains"
        self.assertEqual(self.left(line), [line])
        self.assertEqual(self.left(b"X-Set-Cookie: a; domain=localhost")[0][:1], b"X")


class CookieTests(SynchronousTestCase):
    def test_values(self) -> None:
        for cookie, values in (
            (b"ours=1", [b"1"]),
            (b'a=b;ours = "1" ; __Host-ours=2=3', [b"1", b"2=3"]),
            (b"ours", [b""]),
            (b"Ours=1; oours=2; a=ours=3", []),
            (b"", []),
        ):
            self.assertEqual(cookie_values(cookie, NAMES), values)

    def test_without(self) -> None:
        for cookie, kept in (
            (b"ours=1", b""),
            (b"ours=1; __Host-ours=2;", b""),
            (b"a=b; ours=1;c=d", b"a=b; c=d"),
            (b"a=b; ; c", b"a=b; c"),
            (b' ours ="1"; a="x y"', b'a="x y"'),
        ):
            self.assertEqual(without_cookies(cookie, NAMES), kept)
