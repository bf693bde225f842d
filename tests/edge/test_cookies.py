"""Cookies that upstreams set: none is for the names of others."""

from __future__ import annotations

from tests.edge.tunnels import DOMAIN, Head, TunnelTestCase, ok, read_answer, read_head
from tests.peers import Peer


class SetCookieTests(TunnelTestCase):
    """Cookies that an upstream sets."""

    async def answered(self, visitor: Peer, upstream: Peer, *fields: str) -> Head:
        upstream.send(ok(b"", *fields))
        return (await read_answer(visitor))[0]

    async def test_none_for_the_names_of_others(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        head = await self.answered(
            visitor,
            upstream,
            "Set-Cookie: a=b",
            f"Set-Cookie: c=d; Domain={DOMAIN}",
            "set-cookie: e=f; Path=/; domain=.LOCALHOST; Secure",
            f"Set-Cookie: g=h; Domain={self.host}",
        )
        self.assertEqual(head.all("set-cookie"), ["a=b", f"g=h; Domain={self.host}"])

    async def test_nor_with_an_upgrade(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("GET / HTTP/1.1", "Connection: Upgrade", "Upgrade: x")
        )
        upstream.send(
            b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: a=b; Domain=localhost\r\n\r\n"
            b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n"
            b"Set-Cookie: a=b; Domain=localhost\r\nSet-Cookie: c=d\r\n\r\n"
        )
        self.assertEqual((await read_head(visitor)).all("set-cookie"), [])
        self.assertEqual((await read_head(visitor)).all("set-cookie"), ["c=d"])


class StockSetCookieTests(SetCookieTests):
    native = False
