"""HTTP proxies between the client and its server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase, TestCase

from inletspy.client import proxy
from inletspy.client.proxy import ProxyAddress, ProxyRefused, TunnelThroughProxy, proxy_for
from inletspy.client.server import ServerAddress
from tests.peers import Peer, Upstream, reactor, until

PLAIN = ServerAddress.parse("ws://tunnel.example.com:8090")
SECURE = ServerAddress.parse("wss://tunnel.example.com")


class ProxyAddressTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        for text, host, port, credentials in (
            ("http://proxy.example.com:3128", "proxy.example.com", 3128, ""),
            ("proxy.example.com:3128", "proxy.example.com", 3128, ""),
            ("http://proxy.example.com", "proxy.example.com", 80, ""),
            ("http://me:p%40ss@proxy:1/", "proxy", 1, "me:p@ss"),
            ("http://me@proxy:1", "proxy", 1, "me:"),
            ("http://[::1]:8080", "::1", 8080, ""),
        ):
            self.assertEqual(ProxyAddress.parse(text), ProxyAddress(host, port, credentials))

    def test_what_is_none(self) -> None:
        for text in ("", "https://p", "socks5://p", "http://", "http://p:0", "http://p:99999"):
            self.assertRaises(ValueError, ProxyAddress.parse, text)

    def test_credentials_are_not_shown(self) -> None:
        self.assertNotIn("p@ss", repr(ProxyAddress.parse("http://me:p%40ss@proxy:1")))

    def test_which_variable_counts(self) -> None:
        one, two, three = (ProxyAddress(name, 1) for name in ("one", "two", "three"))
        both = {"HTTPS_PROXY": "http://one:1", "HTTP_PROXY": "two:1", "ALL_PROXY": "three:1"}
        for server, environ, expected in (
            (SECURE, both, one),
            (PLAIN, both, two),
            (SECURE, {"https_proxy": "one:1"}, one),
            (PLAIN, {"https_proxy": "one:1"}, None),
            (PLAIN, {"ALL_PROXY": "three:1", "HTTP_PROXY": ""}, three),
            (SECURE, {}, None),
            (ServerAddress.parse("ws://localhost:8090"), both, None),
            (ServerAddress.parse("ws://127.0.0.9:8090"), both, None),
            (ServerAddress.parse("ws://[::1]:8090"), both, None),
        ):
            self.assertEqual(proxy_for(server, environ), expected, environ)

    def test_no_proxy(self) -> None:
        for value, bypassed in (
            ("*", True),
            ("example.com", True),
            (".example.com", True),
            ("tunnel.example.com", True),
            ("other.example.com, example.com", True),
            ("tunnel.example.com:443", True),
            ("tunnel.example.com:80", False),
            ("ample.com", False),
            ("example.org", False),
            ("", False),
        ):
            environ = {"HTTPS_PROXY": "http://one:1", "NO_PROXY": value}
            self.assertEqual(proxy_for(SECURE, environ) is None, bypassed, value)

    def test_wrong_value_is_named(self) -> None:
        error = self.assertRaises(ValueError, proxy_for, SECURE, {"https_proxy": "socks5://a"})
        self.assertTrue(str(error).startswith("HTTPS_PROXY: "), error)


class TunnelThroughProxyTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.proxy = Upstream(self)

    def connect(self, host: str = "tunnel.example.com", credentials: str = "") -> Deferred[Any]:
        address = ProxyAddress("127.0.0.1", self.proxy.port, credentials)
        endpoint = TunnelThroughProxy(reactor, address, host, 443)
        return endpoint.connect(Factory.forProtocol(Peer))

    async def assertRefused(self, connecting: Deferred[Any], words: str) -> None:
        try:
            await connecting
        except ProxyRefused as error:
            self.assertIn(words, str(error))
        else:
            raise AssertionError("not refused")

    async def test_way_through(self) -> None:
        for extra in (b"", b"and at once the first bytes"):
            connecting = self.connect()
            behind = await self.proxy.connection()
            self.assertEqual(
                await behind.read_until(b"\r\n\r\n"),
                b"CONNECT tunnel.example.com:443 HTTP/1.1\r\nHost: tunnel.example.com:443\r\n\r\n",
            )
            behind.send(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n" + extra)
            peer: Peer = await connecting
            self.assertEqual(await peer.read(len(extra)), extra)
            peer.send(b"ping")
            self.assertEqual(await behind.read(4), b"ping")
            behind.send(b"pong")
            self.assertEqual(await peer.read(4), b"pong")
            behind.close()
            self.assertEqual(await peer.ended(), "closed")

    async def test_answer_in_pieces(self) -> None:
        connecting = self.connect("2001:db8::1")
        behind = await self.proxy.connection()
        self.assertIn(b"CONNECT [2001:db8::1]:443 ", await behind.read_until(b"\r\n\r\n"))
        for byte in b"HTTP/1.0 200\r\n\r\n":
            behind.send(bytes((byte,)))
        peer = await connecting
        peer.cut()
        await behind.ended()

    async def test_credentials(self) -> None:
        connecting = self.connect(credentials="me:p@ss\r\n")
        behind = await self.proxy.connection()
        asked = await behind.read_until(b"\r\n\r\n")
        self.assertIn(b"\r\nProxy-Authorization: Basic bWU6cEBzcw0K\r\n", asked)
        behind.send(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        await self.assertRefused(connecting, "407 Proxy Authentication Required")
        await behind.ended()

    async def test_refusals(self) -> None:
        for answer, words in (
            (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"),
            (b"HTTP/1.1 502\r\n\r\n", "502"),
            (b"HTTP/1.1\r\n\r\n", "it answers"),
            (b"SSH-2.0-OpenSSH\r\n\r\n", "it answers"),
            (b"HTTP/1.1 403 \x1b[31mred\xff\r\n\r\n", "it answers"),
            (b"x" * 70_000, "too long"),
        ):
            connecting = self.connect()
            behind = await self.proxy.connection()
            behind.send(answer)
            await self.assertRefused(connecting, words)
            await behind.ended()

    async def test_proxy_that_closes(self) -> None:
        for answer in (b"", b"HTTP/1.1 200 OK\r\n"):
            connecting = self.connect()
            behind = await self.proxy.connection()
            behind.send(answer)
            behind.close()
            await self.assertRefused(connecting, "closed the connection")

    async def test_proxy_that_does_not_listen(self) -> None:
        await self.proxy.stop()
        connecting = self.connect()
        await self.assertFailure(connecting, Exception)
        self.assertIsNotNone(connecting)

    async def test_proxy_that_says_nothing(self) -> None:
        self.patch(proxy, "_SECONDS", 0.1)
        connecting = self.connect()
        behind = await self.proxy.connection()
        await self.assertRefused(connecting, "does not answer")
        self.assertEqual(await behind.ended(), "cut")

    async def test_cancelled(self) -> None:
        connecting = self.connect()
        behind = await self.proxy.connection()
        connecting.cancel()
        await self.assertFailure(connecting, CancelledError)
        await behind.ended()
        connecting = self.connect()
        connecting.cancel()
        await self.assertFailure(connecting, CancelledError)
        await until(lambda: True, "a turn")
