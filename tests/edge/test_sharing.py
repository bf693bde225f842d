"""Several clients that serve one name: who gets a request, and what if one can't answer it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, ensureDeferred, gatherResults

from inletspy.policy.tokens import Credential, Owner
from inletspy.policy.visits import VisitRule
from inletspy.wire.frames import NativeMux
from tests.edge.tunnels import Edge, Tunnel, TunnelTestCase, ok, read_answer, read_head
from tests.peers import Peer, Upstream, until

SHARE = {"share": True}


class Member:
    """One of the clients: its tunnel and its upstream."""

    def __init__(self, case: TunnelTestCase, edge: Edge, host: str, *, native: bool) -> None:
        self.upstream = Upstream(case)
        self.tunnel = Tunnel(f"http://127.0.0.1:{self.upstream.port}", native=native, options=SHARE)
        self._edge = edge
        self._host = host
        edge.serve(host, self.tunnel)
        self.tunnel.session.on_end = lambda session: edge.release(host, self.tunnel)

    async def answers(self, content: bytes, peer: Peer | None = None) -> Peer:
        """Answer the next request, on a connection of its own or on a given one."""
        peer = peer or await self.upstream.connection()
        await read_head(peer)
        peer.send(ok(content))
        return peer


class SharingTestCase(TunnelTestCase):
    """Two of them, which answer with their names when a test says so."""

    def setUp(self) -> None:
        self.edge = Edge(self, **self.settings())
        self.b = Member(self, self.edge, self.host, native=self.native)
        self.a = Member(self, self.edge, self.host, native=self.native)

    def both(self) -> tuple[Member, Member]:
        return self.a, self.b


class ChoiceTests(SharingTestCase):
    async def test_in_turn(self) -> None:
        visitor = await self.visit()
        peers: dict[bytes, Peer] = {}
        for turn in range(6):
            name, member = ((b"a", self.a), (b"b", self.b))[turn % 2]
            visitor.send(self.request(f"GET /{turn} HTTP/1.1"))
            peers[name] = await member.answers(name, peers.get(name))
            self.assertEqual((await read_answer(visitor))[1], name)
        self.assertEqual((self.a.upstream.accepted, self.b.upstream.accepted), (1, 1))

    async def test_least_busy(self) -> None:
        """Whoever has a slow request gets no others while the other one is free."""
        slow = await self.visit(self.request("GET /slow HTTP/1.1"))
        busy = await self.a.upstream.connection()
        await read_head(busy)
        visitor = await self.visit()
        peer = None
        for _ in range(3):
            visitor.send(self.request())
            peer = await self.b.answers(b"b", peer)
            await read_answer(visitor)
        busy.send(ok(b"slow"))
        self.assertEqual((await read_answer(slow))[1], b"slow")
        visitor.send(self.request())
        await self.a.answers(b"a", busy)
        self.assertEqual((await read_answer(visitor))[1], b"a")

    async def test_ten_at_once_are_spread(self) -> None:
        for _ in range(10):
            await self.visit(self.request())
        await until(
            lambda: (self.a.upstream.accepted, self.b.upstream.accepted) == (5, 5), "spread"
        )
        self.assertEqual([m.tunnel.service.under_way for m in self.both()], [5, 5])

    async def test_under_way_is_what_it_says(self) -> None:
        visitor = await self.visit(self.request())
        peer = await self.a.upstream.connection()
        self.assertEqual([m.tunnel.service.under_way for m in self.both()], [1, 0])
        await self.a.answers(b"a", peer)
        await read_answer(visitor)
        self.assertEqual([m.tunnel.service.under_way for m in self.both()], [0, 0])
        self.assertEqual(self.a.tunnel.service.streams, 1)
        peer.close()
        await until(lambda: not self.a.tunnel.service.streams, "closed")
        self.assertEqual(self.a.tunnel.service.under_way, 0)

    async def test_who_drains_gets_no_more(self) -> None:
        slow = await self.visit(self.request())
        busy = await self.a.upstream.connection()
        await read_head(busy)
        self.a.tunnel.session.drain("it goes")
        visitor = await self.visit()
        peer = None
        for _ in range(3):
            visitor.send(self.request("POST / HTTP/1.1", "Content-Length: 1", body=b"x"))
            peer = await self.b.answers(b"b", peer)
            await peer.read(1)
            await read_answer(visitor)
        busy.send(ok(b"a"))
        self.assertEqual((await read_answer(slow))[1], b"a")

    async def test_all_are_away(self) -> None:
        for member in self.both():
            member.tunnel.lose()
        visitor = await self.visit(self.request())
        self.assertEqual((await read_answer(visitor))[0].status, 503)


class InletsChoiceTests(ChoiceTests):
    native = False


class LossTests(SharingTestCase):
    """One of the two dies."""

    async def asked_a(self, sent: bytes) -> tuple[Peer, Peer]:
        """A visitor whose request is at the first of the two."""
        visitor = await self.visit(sent)
        upstream = await self.a.upstream.connection()
        await read_head(upstream)
        return visitor, upstream

    async def test_the_other_answers(self) -> None:
        visitor, _ = await self.asked_a(self.request())
        self.a.tunnel.lose()
        await self.b.answers(b"b")
        self.assertEqual((await read_answer(visitor))[1], b"b")

    async def test_also_on_a_connection_that_was_used(self) -> None:
        visitor = await self.visit(self.request())
        peer = await self.a.answers(b"a")
        await read_answer(visitor)
        self.edge.release(self.host, self.b.tunnel)  # so that it is the same one's turn
        visitor.send(self.request())
        await read_head(peer)
        self.edge.serve(self.host, self.b.tunnel)
        self.a.tunnel.lose()
        await self.b.answers(b"b")
        self.assertEqual((await read_answer(visitor))[1], b"b")

    async def test_one_that_is_closed(self) -> None:
        """Its client goes on with other services."""
        visitor, _ = await self.asked_a(self.request())
        session, service = self.a.tunnel.session, self.a.tunnel.service
        session.cut(service)
        del session.services[service.number]
        self.edge.release(self.host, self.a.tunnel)
        await self.b.answers(b"b")
        self.assertEqual((await read_answer(visitor))[1], b"b")

    async def assert_not_repeated(self, sent: bytes) -> None:
        visitor, _ = await self.asked_a(sent)
        self.a.tunnel.lose()
        self.assertEqual((await read_answer(visitor))[0].status, 503)
        self.assertEqual(self.b.upstream.accepted, 0)

    async def test_what_may_have_had_an_effect(self) -> None:
        await self.assert_not_repeated(self.request("POST / HTTP/1.1"))

    async def test_what_had_a_body(self) -> None:
        await self.assert_not_repeated(
            self.request("PUT / HTTP/1.1", "Content-Length: 1", body=b"x")
        )

    async def test_an_answer_that_has_begun_is_cut(self) -> None:
        visitor, upstream = await self.asked_a(self.request())
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsome")
        await visitor.read_until(b"some")
        self.a.tunnel.lose()
        await visitor.ended()
        self.assertEqual(self.b.upstream.accepted, 0)

    async def test_the_last_one(self) -> None:
        visitor, _ = await self.asked_a(self.request())
        self.b.tunnel.lose()
        self.a.tunnel.lose()
        self.assertEqual((await read_answer(visitor))[0].status, 503)

    async def test_nobody_else_gets_what_one_was_let_in_for(self) -> None:
        """The name may be a stranger's by now, with visitors of its own."""
        visitor, _ = await self.asked_a(self.request())
        self.b.tunnel.service.rule = VisitRule(private=True)
        self.a.tunnel.lose()
        self.assertEqual((await read_answer(visitor))[0].status, 503)
        self.assertEqual(self.b.upstream.accepted, 0)

    async def test_nor_does_another_owner(self) -> None:
        """Whose visitors have to be let in by another link."""
        rule = VisitRule(private=True)
        self.a.tunnel.service.rule = self.b.tunnel.service.rule = rule
        self.patch(self.edge.resource._visits, "_knows", lambda visit: True)
        visitor, _ = await self.asked_a(self.request())
        for member in self.both():
            self.edge.release(self.host, member.tunnel)
        self.edge.routes.names.forget(self.host)
        self.b.tunnel.session.credential = Credential(Owner("bob", "bob"))
        self.edge.serve(self.host, self.b.tunnel)
        self.a.tunnel.lose()
        self.assertEqual((await read_answer(visitor))[0].status, 503)
        self.assertEqual(self.b.upstream.accepted, 0)

    async def fall_silent(self, *, seconds: int = 3) -> None:
        """The client of the first of the two does not answer any more."""
        self.a.tunnel.session.silent = True
        self.edge.sweep(seconds)

    async def test_one_that_falls_silent(self) -> None:
        visitor, upstream = await self.asked_a(self.request())
        await self.fall_silent()
        peer = await self.b.answers(b"b")
        self.assertEqual((await read_answer(visitor))[1], b"b")
        await upstream.ended()  # what it would have said is for nobody
        for method in ("GET", "POST"):
            visitor.send(self.request(f"{method} / HTTP/1.1"))
            await self.b.answers(b"b", peer)
            self.assertEqual((await read_answer(visitor))[1], b"b")
        self.assertEqual(self.a.upstream.accepted, 1)

    async def assert_waits(self, sent: bytes) -> None:
        visitor, upstream = await self.asked_a(sent)
        await self.fall_silent()
        upstream.send(ok(b"a"))  # it was only slow
        self.assertEqual((await read_answer(visitor))[1], b"a")
        self.assertEqual(self.b.upstream.accepted, 0)

    async def test_silence_and_what_may_have_had_an_effect(self) -> None:
        await self.assert_waits(self.request("POST / HTTP/1.1"))

    async def test_silence_and_what_had_a_body(self) -> None:
        await self.assert_waits(self.request("PUT / HTTP/1.1", "Content-Length: 1", body=b"x"))

    async def test_silence_in_the_middle_of_an_answer(self) -> None:
        visitor, upstream = await self.asked_a(self.request())
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsome")
        await visitor.read_until(b"some")
        await self.fall_silent()
        upstream.send(b"end")
        self.assertEqual(await visitor.read(3), b"end")
        self.assertEqual(self.b.upstream.accepted, 0)

    async def test_all_fall_silent(self) -> None:
        visitor, upstream = await self.asked_a(self.request())
        self.b.tunnel.session.silent = True
        await self.fall_silent()
        upstream.send(ok(b"a"))
        self.assertEqual((await read_answer(visitor))[1], b"a")
        visitor.send(self.request())  # there is nobody better
        await self.b.answers(b"b")
        self.assertEqual((await read_answer(visitor))[1], b"b")

    async def test_during_load(self) -> None:
        """Nobody notices, of those whose request may be repeated."""
        answers: list[int] = []

        async def visit() -> None:
            visitor = await self.visit()
            for _ in range(20):
                visitor.send(self.request())
                head, _ = await read_answer(visitor)
                answers.append(head.status)
                if len(answers) == 100:
                    self.a.tunnel.lose()

        for member in self.both():
            self.go_on(self.serve(member))
        await gatherResults([ensureDeferred(visit()) for _ in range(10)])
        self.assertEqual(answers, [200] * 200)
        self.assertGreater(self.a.upstream.accepted, 0)
        self.assertEqual(self.a.tunnel.service.streams, 0)

    async def serve(self, member: Member) -> None:
        """Answer whatever comes."""

        async def converse(peer: Peer) -> None:
            while True:
                await member.answers(b"ok", peer)

        while True:
            self.go_on(converse(await member.upstream.connection()))

    def go_on(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do something until the test ends, or it can't be done any more."""
        done = ensureDeferred(doing)
        done.addErrback(lambda failure: failure.trap(AssertionError, CancelledError) and None)
        self.addCleanup(done.cancel)


class InletsLossTests(LossTests):
    native = False


class RefusalTests(SharingTestCase):
    """The upstream of one of the two is down."""

    async def ask(self, *fields: str, line: str = "GET / HTTP/1.1") -> Peer:
        """A visitor who asks while the first one's upstream does not listen."""
        await self.a.upstream.stop()
        return await self.visit(self.request(line, *fields))

    async def test_the_other_answers(self) -> None:
        visitor = await self.ask()
        await self.b.answers(b"b")
        self.assertEqual((await read_answer(visitor))[1], b"b")

    async def test_also_what_must_not_happen_twice(self) -> None:
        """Nothing of it has reached anybody."""
        visitor = await self.ask(line="POST / HTTP/1.1")
        await self.b.answers(b"b")
        self.assertEqual((await read_answer(visitor))[1], b"b")

    async def test_an_upload_that_waits_to_begin(self) -> None:
        visitor = await self.ask("Content-Length: 4", "Expect: 100-continue", line="PUT / HTTP/1.1")
        upstream = await self.b.upstream.connection()
        await read_head(upstream)
        upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await read_head(visitor)
        visitor.send(b"body")
        self.assertEqual(await upstream.read(4), b"body")
        upstream.send(ok(b"b"))
        self.assertEqual((await read_answer(visitor))[1], b"b")

    async def test_an_upload_that_has_begun(self) -> None:
        await self.a.upstream.stop()
        visitor = await self.visit(
            self.request("PUT / HTTP/1.1", "Content-Length: 4", body=b"body")
        )
        self.assertEqual((await read_answer(visitor))[0].status, 502)
        self.assertEqual(self.b.upstream.accepted, 0)

    async def test_the_other_is_preferred_for_a_while(self) -> None:
        visitor = await self.ask()
        peer = await self.b.answers(b"b")
        await read_answer(visitor)
        opened: list[Any] = []
        open_stream = self.a.tunnel.session.open_stream

        def opening(*arguments: Any) -> Any:
            opened.append(arguments)
            return open_stream(*arguments)

        self.patch(self.a.tunnel.session, "open_stream", opening)
        for _ in range(4):
            visitor.send(self.request())
            await self.b.answers(b"b", peer)
            await read_answer(visitor)
        self.assertEqual(opened, [])
        session = self.a.tunnel.session
        self.patch(session, "seconds", lambda now=session.seconds: now() + 5)
        visitor.send(self.request())
        await self.b.answers(b"b", peer)
        await read_answer(visitor)
        self.assertEqual(len(opened), 1)

    async def test_both_are_down(self) -> None:
        await self.b.upstream.stop()
        visitor = await self.ask()
        self.assertEqual((await read_answer(visitor))[0].status, 502)
        visitor.send(self.request())
        self.assertEqual((await read_answer(visitor))[0].status, 502)

    async def test_too_many_streams(self) -> None:
        self.a.tunnel.session.mux.max_streams = 0
        visitor = await self.visit(self.request("POST / HTTP/1.1", "Content-Length: 1", body=b"x"))
        upstream = await self.b.answers(b"b")
        self.assertEqual(await upstream.read(1), b"x")
        self.assertEqual((await read_answer(visitor))[1], b"b")


class InletsRefusalTests(RefusalTests):
    native = False


class AloneTests(TunnelTestCase):
    """A service that shares with nobody goes on as ever."""

    async def test_its_upstream_is_down(self) -> None:
        await self.upstream.stop()
        visitor = await self.visit(self.request())
        self.assertEqual((await read_answer(visitor))[0].status, 502)
        self.assertIsInstance(self.tunnel.session.mux, NativeMux)
        self.assertEqual(self.tunnel.service.streams, 0)
