"""Where a connection comes from, and whom to believe about that."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from twisted.trial.unittest import SynchronousTestCase

from inletspy.policy.sources import UNIX, block_of, guesser, is_proxy, read_address, source_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:1::/48"))


class AddressTests(SynchronousTestCase):
    def test_as_proxies_write_them(self) -> None:
        for text, address in (
            ("203.0.113.9:4711", "203.0.113.9"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1"),
        ):
            self.assertEqual(str(read_address(text)), address)
        for text in ("_hidden", "unknown", "[", "1.2.3", "a:b", "1.2.3.4, 5.6.7.8"):
            self.assertIsNone(read_address(text), text)

    def test_what_is_one_visitor(self) -> None:
        for text, block in (
            ("203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
        ):
            self.assertEqual(block_of(ip_address(text)), block)
        self.assertNotEqual(block_of(None), block_of(read_address("10.0.0.1")))

    def test_what_is_one_visitor_as_text(self) -> None:
        for text, block in (
            ("203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            (UNIX, UNIX),
            ("", ""),
        ):
            self.assertEqual(block_of(text), block)


class ProxyTests(SynchronousTestCase):
    def test_who_is_one(self) -> None:
        for peer in ("10.1.2.3", "2001:db8:1::7", UNIX):
            self.assertTrue(is_proxy(peer, PROXIES), peer)
        for peer in ("11.1.2.3", "2001:db8:2::7", "", "?"):
            self.assertFalse(is_proxy(peer, PROXIES), peer)
        self.assertFalse(is_proxy("127.0.0.1", ()))
        self.assertTrue(is_proxy(UNIX, ()))

    def assertSource(self, expected: str, peer: str, forwarded_for: str) -> None:
        self.assertEqual(str(source_of(peer, forwarded_for, PROXIES)), expected)

    def test_a_stranger_is_not_believed(self) -> None:
        self.assertSource("203.0.113.9", "203.0.113.9", "198.51.100.1")

    def test_a_proxy_is(self) -> None:
        self.assertSource("198.51.100.1", "10.0.0.1", "198.51.100.1")
        self.assertSource("198.51.100.1", UNIX, "192.0.2.1, 198.51.100.1:4711")

    def test_a_proxy_behind_a_proxy(self) -> None:
        self.assertSource("198.51.100.1", "10.0.0.1", "192.0.2.1, 198.51.100.1, 10.0.0.2,")

    def test_what_is_no_address(self) -> None:
        self.assertSource("None", "10.0.0.1", "198.51.100.1, unknown")
        self.assertSource("None", UNIX, "")

    def test_a_proxy_that_does_not_say(self) -> None:
        """It is not the visitor, and its address says nothing of one."""
        for forwarded_for in ("", " , ", "10.0.0.1", "2001:db8:1::7, 10.0.0.2"):
            self.assertSource("None", "10.0.0.1", forwarded_for)
            self.assertSource("None", UNIX, forwarded_for)

    def test_of_a_long_list_the_end_counts(self) -> None:
        self.assertSource("None", "10.0.0.1", "198.51.100.1" + ", 10.0.0.2" * 20)
        self.assertSource("198.51.100.1", "10.0.0.1", "198.51.100.1" + ", 10.0.0.2" * 15)

    def test_guesses_count_by_block(self) -> None:
        for expected, peer, forwarded_for in (
            ("203.0.113.9", "203.0.113.9", ""),
            ("2001:db8:2:3::/64", "2001:db8:2:3:4::5", ""),
            ("127.0.0.1", "127.0.0.1", ""),
            ("198.51.100.1", "10.0.0.1", "198.51.100.1"),
            (None, "10.0.0.1", ""),
            (None, "10.0.0.1", "10.0.0.2"),
            (None, UNIX, ""),
        ):
            self.assertEqual(guesser(peer, forwarded_for, PROXIES), expected)
