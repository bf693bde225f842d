"""The PROXY protocol's header, by its specification and by another reader of it."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.protocols.haproxy import _v1parser, _v2parser
from twisted.trial.unittest import SynchronousTestCase

from inletspy.wire.proxy import PROXY_VERSIONS, proxy_header
from tests.properties import repeatable

SIGNATURE = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
ALL_ONES = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str).filter(lambda text: not text.startswith("::ffff:"))
PORTS = st.integers(0, 65535)


class SpecificationTests(SynchronousTestCase):
    """What the specification itself gives as examples, and its layout."""

    def test_lines_of_version_1(self) -> None:
        for visitor, host, port, line in (
            ("192.168.0.1:56324", "192.168.0.11", 443, "TCP4 192.168.0.1 192.168.0.11 56324 443"),
            (
                "255.255.255.255:65535",
                "255.255.255.255",
                65535,
                "TCP4 255.255.255.255 255.255.255.255 65535 65535",
            ),
            (f"[{ALL_ONES}]:65535", ALL_ONES, 65535, f"TCP6 {ALL_ONES} {ALL_ONES} 65535 65535"),
            ("[2001:db8::1]:9", "::1", 22, "TCP6 2001:db8::1 ::1 9 22"),
        ):
            self.assertEqual(
                proxy_header("v1", visitor, host, port), f"PROXY {line}\r\n".encode("ascii")
            )

    def test_longest_line(self) -> None:
        line = proxy_header("v1", f"[{ALL_ONES}]:65535", ALL_ONES, 65535)
        self.assertLessEqual(len(line), 107)

    def test_version_2_over_ipv4(self) -> None:
        self.assertEqual(
            proxy_header("v2", "192.168.0.1:56324", "192.168.0.11", 443),
            SIGNATURE + b"\x21\x11\x00\x0c\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb",
        )

    def test_version_2_over_ipv6(self) -> None:
        source = bytes.fromhex("20010db8000000000000000000000001")
        self.assertEqual(
            proxy_header("v2", "[2001:db8::1]:9", "::1", 22),
            SIGNATURE + b"\x21\x21\x00\x24" + source + bytes(15) + b"\x01\x00\x09\x00\x16",
        )

    def test_a_visitor_of_unknown_address(self) -> None:
        for visitor in (
            "",
            "somebody",
            "unix:/run/socket",
            "203.0.113.9",
            "203.0.113.9:",
            "203.0.113.9:65536",
            "203.0.113.9:-1",
            "203.0.113.9:\u0663",
            "203.0.113.9 10.0.0.1:1",
            "203.0.113.9\r\nPROXY:1",
            "999.0.0.1:1",
            "[]:1",
        ):
            self.assertEqual(proxy_header("v1", visitor, "127.0.0.1", 1), b"PROXY UNKNOWN\r\n")
            self.assertEqual(
                proxy_header("v2", visitor, "127.0.0.1", 1), SIGNATURE + b"\x20\x00\x00\x00"
            )

    def test_an_upstream_of_unknown_address(self) -> None:
        self.assertEqual(proxy_header("v1", "203.0.113.9:1", "/socket", 0), b"PROXY UNKNOWN\r\n")

    def test_one_of_two_is_mapped(self) -> None:
        mapped = ip_address("::ffff:127.0.0.1")
        for visitor, host in (("[2001:db8::1]:9", "127.0.0.1"), ("127.0.0.1:9", "2001:db8::1")):
            _, kind, *addresses = proxy_header("v1", visitor, host, 22).decode().split()[:4]
            self.assertEqual(kind, "TCP6")
            self.assertEqual({*map(ip_address, addresses)}, {mapped, ip_address("2001:db8::1")})
            self.assertIn(mapped.packed, proxy_header("v2", visitor, host, 22))

    def test_mapped_and_scoped_addresses(self) -> None:
        for visitor, host, line in (
            ("[::ffff:203.0.113.9]:9", "127.0.0.1", "TCP4 203.0.113.9 127.0.0.1 9 22"),
            ("[fe80::1%eth0]:9", "::1", "TCP6 fe80::1 ::1 9 22"),
        ):
            self.assertEqual(proxy_header("v1", visitor, host, 22), f"PROXY {line}\r\n".encode())


class ParserTests(SynchronousTestCase):
    """Twisted's parser understands it."""

    def parsed(self, version: str, header: bytes) -> Any:
        parser: Any = (_v1parser.V1Parser if version == "v1" else _v2parser.V2Parser)()
        info, rest = parser.feed(header + b"the rest")
        self.assertEqual(rest, b"the rest")
        return info

    def check(self, kind: Any, visitor: str, source: str, source_port: int, to: Any) -> None:
        for version in PROXY_VERSIONS:
            info = self.parsed(version, proxy_header(version, visitor, to[0], to[1]))
            for told, host, port in (
                (info.source, source, source_port),
                (info.destination, *to),
            ):
                self.assertIsInstance(told, kind)
                self.assertEqual(ip_address(told.host), ip_address(host))
                self.assertEqual(told.port, port)

    @repeatable
    @given(IPV4, PORTS, IPV4, PORTS)
    def test_ipv4(self, source: str, source_port: int, host: str, port: int) -> None:
        self.check(IPv4Address, f"{source}:{source_port}", source, source_port, (host, port))

    @repeatable
    @given(IPV6, PORTS, IPV6, PORTS)
    def test_ipv6(self, source: str, source_port: int, host: str, port: int) -> None:
        self.check(IPv6Address, f"[{source}]:{source_port}", source, source_port, (host, port))

    def test_unknown(self) -> None:
        # The short form of version 1 is the specification's own; Twisted misses a space.
        info = self.parsed("v2", proxy_header("v2", "somebody", "127.0.0.1", 1))
        self.assertEqual((info.source, info.destination), (None, None))

    @repeatable
    @given(st.sampled_from(PROXY_VERSIONS), st.text(max_size=40), st.text(max_size=40), PORTS)
    def test_any_text_makes_a_whole_header(
        self, version: str, visitor: str, host: str, port: int
    ) -> None:
        header = proxy_header(version, visitor, host, port)
        if header != b"PROXY UNKNOWN\r\n":
            self.parsed(version, header)
