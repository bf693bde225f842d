"""Addresses of upstreams, as people write them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.policy.addresses import UpstreamAddress
from tests.properties import repeatable


class AddressTests(TestCase):
    def test_addresses(self) -> None:
        for text, scheme, host, port, effective in (
            ("http://localhost:3000", "http", "localhost", 3000, 3000),
            ("http://localhost:3000/", "http", "localhost", 3000, 3000),
            ("http://localhost", "http", "localhost", None, 80),
            ("https://localhost", "https", "localhost", None, 443),
            ("https://App.Example.com:8443", "https", "app.example.com", 8443, 8443),
            ("tcp://10.0.0.1:5432", "tcp", "10.0.0.1", 5432, 5432),
            ("http://[::1]:3000", "http", "::1", 3000, 3000),
            ("http://[2001:DB8::1]", "http", "2001:db8::1", None, 80),
            ("http://my_service-1:65535", "http", "my_service-1", 65_535, 65_535),
            ("HTTP://a:1", "http", "a", 1, 1),
            ("http://a:", "http", "a", None, 80),
        ):
            with self.subTest(text=text):
                address = UpstreamAddress.parse(text)
                self.assertEqual((address.scheme, address.host), (scheme, host))
                self.assertEqual((address.port, address.effective_port), (port, effective))

    def test_the_authority_is_kept_to_the_letter(self) -> None:
        for authority in ("localhost", "LOCALHOST:080", "[::1]:3000", "a:", "127.0.0.1:80"):
            address = UpstreamAddress.parse(f"http://{authority}/")
            self.assertEqual(address.authority, authority)
            self.assertEqual(str(address), f"http://{authority}")

    def test_what_is_none(self) -> None:
        for text in (
            "",
            "localhost",
            "localhost:3000",
            "//localhost:3000",
            "http:localhost",
            "http://",
            "http:///x",
            "http://:3000",
            "ftp://localhost",
            "unix:///run/x",
            "http+unix://x",
            "http://localhost:0",
            "http://localhost:65536",
            "http://localhost:-1",
            "http://localhost:abc",
            "http://localhost:3000:4000",
            "http://localhost:\u0663",
            "tcp://localhost",
            "tcp://localhost:",
            "http://localhost:3000/path",
            "http://localhost:3000?query",
            "http://localhost:3000#fragment",
            "http://user@localhost",
            "http://user:secret@localhost",
            "http://@localhost",
            "http://:@localhost",
            "http://a b",
            " http://a",
            "http://a ",
            "http://a\n:3000",
            "http://a\t",
            "http://a\r\nX: y",
            "http://a\0",
            "http://a\x7f",
            "http://b\xfccher",
            "http://\u212aelvin",
            "http://a%20b",
            "http://a,b",
            "http://a;b",
            "http://[::1",
            "http://::1",
            "http://[::1]x",
            "http://[fe80::1%25eth0]",
            "http://[a]",
            "http://[:::]",
            "http://[1.2.3.4]:80",
            "http://[12345::]",
            "http://a:" + "1" * 5000,
            "http://" + "a" * 254,
        ):
            with self.subTest(text=text):
                reason = str(self.assertRaises(ValueError, UpstreamAddress.parse, text))
                self.assertTrue(reason.isprintable(), reason)

    def test_the_reason_names_the_port(self) -> None:
        for port in ("65536", "abc", "-1"):
            error = self.assertRaises(ValueError, UpstreamAddress.parse, f"http://localhost:{port}")
            self.assertIn("port must be 1 to 65535", str(error))

    @repeatable
    @given(
        st.text(max_size=30)
        | st.from_regex(r"(http|https|tcp)://[a-z0-9.:@\[\]/?#-]{0,20}", fullmatch=True)
    )
    def test_whatever_comes(self, text: str) -> None:
        try:
            address = UpstreamAddress.parse(text)
        except ValueError:
            return
        self.assertIn(address.effective_port, range(1, 65_536))
        self.assertTrue(address.authority.isascii() and address.authority.isprintable())
        self.assertEqual(UpstreamAddress.parse(str(address)), address)
