"""Public TCP ports: two connections that behave as one."""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection
from twisted.trial.unittest import TestCase

from inletspy.edge.tcp import PublicPorts
from inletspy.policy.quotas import AddressQuota
from inletspy.policy.routes import Route
from inletspy.policy.visits import VisitRule
from inletspy.tunnel.endpoint import eager
from tests.edge.tunnels import Tunnel, usage
from tests.peers import CUT, FINISHED, Peer, PeerFactory, Upstream, listen, reactor, until

BIG = 48 << 20


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PortTestCase(TestCase):
    """One public port, with a tunnel and an upstream behind it."""

    timeout = 60
    native = True

    def setUp(self) -> None:
        self.limit = 100
        self.ports = PublicPorts(
            eager(reactor), "127.0.0.1", AddressQuota(lambda: float(self.limit))
        )
        self.addCleanup(self._end)
        # They end before the rest is looked at.
        self.upstream = Upstream(self)
        self.visitors = PeerFactory(self)
        self.tunnel = Tunnel(f"tcp://127.0.0.1:{self.upstream.port}", native=self.native)
        self.port = free_port()
        self.route = Route(self.port, None, self.tunnel.service)
        self.ports.open(self.port, self.route)

    async def _end(self) -> None:
        """Check that nothing is left: visitors and upstreams have gone by now."""
        for port in self.ports.snapshot()["ports"]:
            self.ports.close(port)
        await until(lambda: not self._left(), lambda: f"rid of {self._left()}")
        while any(call.getTime() <= reactor.seconds() for call in reactor.getDelayedCalls()):
            await deferLater(reactor, 0)

    def _left(self) -> list[object]:
        sockets = {*reactor.getReaders(), *reactor.getWriters()}
        left = [socket for socket in sockets if isinstance(socket, Connection)]
        return [*left, *self.tunnel.streams()]

    async def visit(self) -> Peer:
        """A visitor who has just connected."""
        return await self.visitors.connect_to(self.port)

    async def joined(self) -> tuple[Peer, Peer]:
        """A visitor and an upstream that hear each other."""
        visitor = await self.visit()
        upstream = await self.upstream.connection()
        visitor.send(b"?")
        self.assertEqual(await upstream.read(1), b"?")
        upstream.send(b"!")
        self.assertEqual(await visitor.read(1), b"!")
        return visitor, upstream


class ForwardingTests(PortTestCase):
    """What passes, whichever protocol carries it."""

    async def test_upstream_may_speak_first(self) -> None:
        visitor = await self.visit()
        upstream = await self.upstream.connection()
        upstream.send(b"SSH-2.0-x\r\n")
        self.assertEqual(await visitor.read(11), b"SSH-2.0-x\r\n")
        visitor.send(b"hello")
        self.assertEqual(await upstream.read(5), b"hello")

    async def test_bytes_before_the_upstream_is_reached(self) -> None:
        visitor = await self.visit()
        visitor.send(b"at once")
        upstream = await self.upstream.connection()
        self.assertEqual(await upstream.read(7), b"at once")

    async def test_all_bytes(self) -> None:
        visitor, upstream = await self.joined()
        content = bytes(range(256)) * 10_000
        visitor.send(content)
        upstream.send(content[::-1])
        self.assertEqual(await upstream.read(len(content)), content)
        self.assertEqual(await visitor.read(len(content)), content[::-1])

    async def test_close_of_the_visitor(self) -> None:
        visitor, upstream = await self.joined()
        visitor.send(b"last")
        visitor.close()
        self.assertEqual(await upstream.read_to_end(), b"last")
        self.assertEqual(upstream.end, FINISHED)

    async def test_close_of_the_upstream(self) -> None:
        visitor, upstream = await self.joined()
        content = bytes(3_000_000)
        upstream.send(content)
        upstream.close()
        self.assertEqual(await visitor.read_to_end(), content)
        self.assertEqual(visitor.end, FINISHED)

    async def test_reset_of_either(self) -> None:
        for one, other in ((0, 1), (1, 0)):
            ends = await self.joined()
            ends[one].cut()
            self.assertEqual(await ends[other].ended(), CUT)

    async def test_upstream_refuses(self) -> None:
        await self.upstream.stop()
        visitor = await self.visit()
        self.assertEqual(await visitor.ended(), CUT)
        self.assertEqual(len(self.tunnel.failures), 1)

    async def test_slow_reader_holds_its_writer_up(self) -> None:
        for slow, fast in ((0, 1), (1, 0)):
            ends = await self.joined()
            ends[slow].pause()
            ends[fast].send(bytes(BIG))
            await ends[fast].until_stuck()
            held = sum(stream.queued + stream.unconsumed for stream in self.tunnel.streams())
            self.assertLess(held, BIG // 2)
            other = await self.joined()
            other[slow].send(b"not held up")
            self.assertEqual(await other[fast].read(11), b"not held up")
            ends[slow].resume()
            self.assertEqual(len(await ends[slow].read(BIG)), BIG)
            for peer in (*ends, *other):
                peer.cut()

    async def test_close_of_a_writer_that_is_held_up(self) -> None:
        """What it sent before still arrives, and then the end."""
        for slow, fast in ((0, 1), (1, 0)):
            ends = await self.joined()
            ends[slow].pause()
            ends[fast].send(bytes(BIG))
            ends[fast].close()
            await ends[fast].until_stuck()
            ends[slow].resume()
            self.assertEqual(len(await ends[slow].read_to_end()), BIG)
            self.assertEqual(ends[slow].end, FINISHED)

    async def test_link_is_lost(self) -> None:
        visitor, upstream = await self.joined()
        self.tunnel.lose()
        self.assertEqual(await visitor.ended(), CUT)
        self.assertEqual(await upstream.ended(), CUT)
        self.assertEqual(await (await self.visit()).ended(), CUT)

    async def test_both_sockets_send_at_once_and_are_kept_alive(self) -> None:
        await self.joined()
        peers = {*self.visitors.peers, *self.upstream.peers}
        tests_own = {cast(Any, peer.transport) for peer in peers}
        ours = [s for s in reactor.getReaders() if isinstance(s, Connection) and s not in tests_own]
        self.assertEqual(len(ours), 2)
        for transport in ours:
            self.assertTrue(transport.getTcpNoDelay())
            self.assertTrue(transport.getTcpKeepAlive())

    async def test_limit_of_an_address(self) -> None:
        self.limit = 2
        first, _ = await self.joined()
        await self.joined()
        self.assertEqual(await (await self.visit()).ended(), CUT)
        first.cut()
        await until(lambda: len(self.tunnel.streams()) == 2, "told of the end")
        await self.joined()

    async def test_limit_of_the_owner(self) -> None:
        self.tunnel.session.usage = usage(connections_per_second=0.2)
        for _ in range(2):
            await self.joined()
        self.assertEqual(await (await self.visit()).ended(), CUT)

    async def test_limit_of_the_session(self) -> None:
        self.tunnel.session.mux.max_streams = 1
        await self.joined()
        self.assertEqual(await (await self.visit()).ended(), CUT)


class InletsForwardingTests(ForwardingTests):
    native = False


class HalfCloseTests(PortTestCase):
    """One direction ends before the other; the native protocol carries that."""

    async def test_of_the_visitor(self) -> None:
        visitor, upstream = await self.joined()
        visitor.send(b"question")
        visitor.finish()
        self.assertEqual(await upstream.read_to_end(), b"question")
        self.assertEqual(upstream.end, FINISHED)
        upstream.send(b"answer")
        self.assertEqual(await visitor.read(6), b"answer")
        upstream.close()
        self.assertEqual(await visitor.ended(), FINISHED)

    async def test_of_the_upstream(self) -> None:
        visitor, upstream = await self.joined()
        upstream.send(b"that is all")
        upstream.finish()
        self.assertEqual(await visitor.read_to_end(), b"that is all")
        visitor.send(b"thanks")
        self.assertEqual(await upstream.read(6), b"thanks")
        visitor.close()
        self.assertEqual(await upstream.ended(), FINISHED)

    async def test_before_the_upstream_is_reached(self) -> None:
        visitor = await self.visit()
        visitor.send(b"question")
        visitor.finish()
        upstream = await self.upstream.connection()
        self.assertEqual(await upstream.read_to_end(), b"question")
        upstream.send(b"answer")
        upstream.close()
        self.assertEqual(await visitor.read_to_end(), b"answer")

    async def test_reset_after_it(self) -> None:
        for one, other in ((0, 1), (1, 0)):
            ends = await self.joined()
            ends[one].finish()
            await ends[other].ended()
            ends[other].cut()
            await ends[one].gone
            self.assertEqual(ends[one].end, CUT)


class PortTests(PortTestCase):
    """Opening and closing."""

    async def test_visitors_that_may_not_come(self) -> None:
        for options, let_in in (
            ({"deny": ["127.0.0.0/8"]}, False),
            ({"allow": ["10.0.0.0/8"]}, False),
            ({"allow": ["127.0.0.1"], "deny": ["10.0.0.0/8"]}, True),
        ):
            self.tunnel.service.rule = VisitRule.read("tcp", options)
            if let_in:
                await self.joined()
            else:
                visitor = await self.visit()
                self.assertEqual(await visitor.ended(), CUT)
                self.assertEqual(self.upstream.peers, [])

    async def test_closed_port_keeps_its_connections(self) -> None:
        visitor, upstream = await self.joined()
        self.ports.close(self.port)
        await self.until_closed()
        visitor.send(b"still here")
        self.assertEqual(await upstream.read(10), b"still here")

    async def test_port_is_free_again(self) -> None:
        self.ports.close(self.port)
        await self.until_closed()
        other = Tunnel(f"tcp://127.0.0.1:{self.upstream.port}")
        self.ports.open(self.port, Route(self.port, None, other.service))
        await self.joined()
        self.assertEqual(len(other.session.mux.streams), 1)
        self.tunnel = other

    async def test_taking_over_without_a_gap(self) -> None:
        """Closed and opened in one turn, it never stops listening."""
        other = Tunnel(f"tcp://127.0.0.1:{self.upstream.port}")
        self.ports.close(self.port)
        self.ports.open(self.port, Route(self.port, None, other.service))
        await self.joined()
        self.assertEqual(len(other.session.mux.streams), 1)
        self.tunnel = other

    async def test_port_that_another_program_has(self) -> None:
        taken = listen(PeerFactory(self))
        self.addCleanup(taken.stopListening)
        with self.assertRaises(CannotListenError):
            port: int = taken.getHost().port
            self.ports.open(port, Route(port, None, self.tunnel.service))
        self.assertEqual(self.ports.snapshot(), {"ports": [self.port]})

    async def until_closed(self) -> None:
        def refused() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) != 0

        await until(refused, "closed")


class SharedPortTests(PortTestCase):
    """A port that two clients have together."""

    def setUp(self) -> None:
        super().setUp()
        self.second = Upstream(self)
        other = Tunnel(f"tcp://127.0.0.1:{self.second.port}", native=self.native)
        self.route.lead_to(self.tunnel.service, other.service)
        self.services = [self.tunnel.service, other.service]

    async def test_to_the_least_busy(self) -> None:
        for _ in range(6):
            await self.visit()
        await until(lambda: (self.upstream.accepted, self.second.accepted) == (3, 3), "spread")
        for peer in self.second.peers:
            peer.cut()
        await until(lambda: self.services[1].under_way == 0, "closed")
        for _ in range(3):
            await self.visit()
        await until(lambda: (self.upstream.accepted, self.second.accepted) == (3, 6), "spread")
        self.assertEqual([service.under_way for service in self.services], [3, 3])

    async def test_one_that_is_down_does_not_get_them_all(self) -> None:
        """It has the fewest connections, as it ends each at once."""
        await self.upstream.stop()
        refused = await self.visit()
        await refused.ended()
        for _ in range(5):
            await self.visit()
        await until(lambda: self.second.accepted == 5, "there")
