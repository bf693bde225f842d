"""A stream is to its protocol what a TCP connection is, whichever wire protocol carries it.

Two muxes are joined by queues of messages that a test delivers when it likes, so that
every order of events can be had without sockets or time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyClass

import inletspy.tunnel.stream
from inletspy.errors import ResetCode, StreamReset
from inletspy.interfaces import IStream
from inletspy.tunnel.stream import Stream
from inletspy.wire.frames import INITIAL_WINDOW, NativeMux
from inletspy.wire.mux import MuxStream
from inletspy.wire.remotedialer import RemoteDialerMux
from tests.properties import repeatable

KIB = 1024
FINISHED, DONE = "finished", "done"


class Plain(Protocol):
    """Records what its transport tells, and what it was told out of order.

    Attributes:
        log: received bytes, FINISHED, and at the end DONE or a ResetCode.
        inside: how many of its own methods and its transport's are under way.
        faults: what no transport may do.
    """

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.inside = 0
        self.faults: list[str] = []
        self.on_made: Callable[[], None] = lambda: None
        self.on_data: Callable[[bytes], None] = lambda data: None
        self.on_finished: Callable[[], None] = lambda: None
        self.on_end: Callable[[], None] = lambda: None
        self.transport: Any

    @property
    def received(self) -> bytes:
        return b"".join(item for item in self.log if isinstance(item, bytes))

    @property
    def over(self) -> bool:
        return bool(self.log) and (self.log[-1] is DONE or isinstance(self.log[-1], ResetCode))

    def call(self, name: str, *arguments: Any) -> None:
        """Use the transport."""
        self.inside += 1
        getattr(self.transport, name)(*arguments)
        self.inside -= 1

    def _told(self, item: Any, react: Callable[[], None]) -> None:
        if self.over:
            self.faults.append(f"{item!r} after the end")
        if self.inside:
            self.faults.append(f"{item!r} from inside a call of the protocol's own")
        self.log.append(item)
        self.inside += 1
        try:
            react()
        finally:
            self.inside -= 1

    def connectionMade(self) -> None:
        self.inside += 1
        try:
            self.on_made()
        finally:
            self.inside -= 1

    def dataReceived(self, data: bytes) -> None:
        if FINISHED in self.log:
            self.faults.append("data after the half-close")
        self._told(data, lambda: self.on_data(data))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        error = reason.value
        if isinstance(error, ConnectionDone):
            end: Any = DONE
        else:
            assert isinstance(error, StreamReset)
            end = error.code
        self._told(end, self.on_end)


@implementer(IHalfCloseableProtocol)
class HalfClosing(Plain):
    """A protocol that is told of half-closes, too."""

    def readConnectionLost(self) -> None:
        if FINISHED in self.log:
            self.faults.append("a second half-close")
        self._told(FINISHED, self.on_finished)

    def writeConnectionLost(self) -> None:
        self.faults.append("TCP tells this, a stream does not")


class Source:
    """A push producer that counts."""

    def __init__(self) -> None:
        self.paused = False
        self.stopped = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def stopProducing(self) -> None:
        self.stopped = True


class Side:
    """One end of the link.

    Attributes:
        messages: sent, and not delivered to the other end yet.
    """

    def __init__(self, native: bool, server: bool) -> None:
        self.messages: deque[bytes] = deque()
        self.calls: deque[Callable[[], None]] = deque()
        self.mux: NativeMux | RemoteDialerMux
        if native:
            self.mux = NativeMux(
                lambda: None, self.messages.extend, server=server, control=lambda message: None
            )
        else:
            self.mux = RemoteDialerMux(lambda: None, self.messages.extend)
        self.protocol: Plain = HalfClosing()
        self.stream: Stream

    def turn(self) -> None:
        """Make the calls that were put off."""
        for _ in range(len(self.calls)):
            self.calls.popleft()()


class Joined:
    """A stream from a server's protocol to a client's.

    Attributes:
        near, far: its ends, of which `near` opened it.
    """

    def __init__(self, *, native: bool, near: Plain, far: Plain) -> None:
        self.native = native
        self.near, self.far = Side(native, True), Side(native, False)
        self.near.protocol, self.far.protocol = near, far
        self.far.mux.accept = self._accept
        self.near.stream = self._stream(self.near)
        if isinstance(self.near.mux, NativeMux):
            carried = self.near.mux.open(1, "192.0.2.1:9", self.near.stream)
        else:
            carried = self.near.mux.open("127.0.0.1:80", "192.0.2.1:9", self.near.stream)
        self.near.stream.start(carried, near)
        self.deliver(self.near)

    def _stream(self, side: Side) -> Stream:
        return Stream(side.mux, side.calls.append, "a peer")

    def _accept(self, carried: MuxStream, service: Any, visitor: str) -> None:
        self.far.stream = carried.events = self._stream(self.far)
        self.far.stream.start(carried, self.far.protocol)

    def other(self, side: Side) -> Side:
        return self.far if side is self.near else self.near

    def deliver(self, source: Side, count: int | None = None) -> None:
        """Deliver so many of the messages that a side has sent; all by default."""
        source.mux.flush()
        for _ in range(len(source.messages) if count is None else count):
            if source.messages:
                self.other(source).mux.receive(source.messages.popleft())

    def settle(self) -> None:
        """Deliver and call until nothing is left to do."""
        for _ in range(10_000):
            for side in (self.near, self.far):
                side.turn()
                side.mux.flush()
            sides = [side for side in (self.near, self.far) if side.messages]
            if not sides and not self.near.calls and not self.far.calls:
                return
            for side in sides:
                self.deliver(side)
        raise AssertionError("it never settles")

    def lose(self, side: Side) -> None:
        side.mux.lost(StreamReset(ResetCode.CANCELLED, "the link was lost"))


class StreamCases:
    """What holds with both wire protocols."""

    native: bool

    def join(self, near: Plain | None = None, far: Plain | None = None) -> Joined:
        joined = Joined(native=self.native, near=near or HalfClosing(), far=far or HalfClosing())
        self.joined = joined
        self.near, self.far = joined.near, joined.far
        self.visitor, self.upstream = joined.near.protocol, joined.far.protocol
        return joined

    def assertOver(self: Any) -> None:
        """Nothing is left of the stream, at either end, and nothing went wrong."""
        for side in (self.near, self.far):
            self.assertEqual(side.protocol.faults, [])
            self.assertTrue(side.protocol.over, side.protocol.log[-1:])
            self.assertEqual(side.mux.streams, {})
            self.assertFalse(side.stream.connected)

    def test_what_has_gathered_leaves_others_their_turn(self: Any) -> None:
        self.join()
        self.far.stream.pauseProducing()
        self.near.stream.write(bytes(200_000))
        self.joined.deliver(self.near)
        for _ in range(3):  # as often as it goes, it is not told more
            self.far.stream.resumeProducing()
        self.patch(inletspy.tunnel.stream, "_MAX_IN_A_ROW", 70_000)
        told = []
        while self.far.calls:
            before = len(self.upstream.received)
            self.far.turn()
            told.append(len(self.upstream.received) - before)
        self.assertEqual(sum(told), 200_000)
        self.assertLess(max(told), 70_000 + 65_537)
        self.assertGreater(len(told), 1)

    def test_interface(self: Any) -> None:
        self.assertTrue(verifyClass(IStream, Stream))

    def test_bytes_in_both_directions(self: Any) -> None:
        joined = self.join()
        self.visitor.call("write", b"ping")
        self.upstream.call("writeSequence", [b"po", b"", b"ng"])
        joined.settle()
        self.assertEqual((self.upstream.received, self.visitor.received), (b"ping", b"pong"))
        self.assertEqual(str(self.visitor.transport.getPeer()), "StreamAddress('a peer')")

    def test_close_in_order_delivers_what_was_written(self: Any) -> None:
        joined = self.join()
        self.visitor.call("write", b"x" * 700 * KIB)
        self.visitor.call("loseConnection")
        self.visitor.call("write", b"too late")
        self.assertFalse(self.visitor.over)
        joined.settle()
        self.upstream.call("loseConnection")
        joined.settle()
        self.assertEqual(self.upstream.received, b"x" * 700 * KIB)
        self.assertEqual(self.upstream.log[-2:], [FINISHED, DONE])
        self.assertEqual(self.visitor.log, [DONE])
        self.assertOver()

    def test_plain_protocol_is_closed_at_the_half_close(self: Any) -> None:
        joined = self.join(far=Plain())
        self.visitor.call("write", b"bye")
        self.visitor.call("loseWriteConnection")
        joined.settle()
        self.assertEqual(self.upstream.log, [b"bye", DONE])
        self.assertOver()

    def test_abort_tells_the_peer(self: Any) -> None:
        joined = self.join()
        self.visitor.call("write", b"x" * 700 * KIB)
        self.visitor.call("abortConnection")
        self.assertFalse(self.visitor.over)  # never from inside its own call
        joined.settle()
        self.assertEqual(self.visitor.log, [ResetCode.CANCELLED])
        self.assertEqual(self.upstream.log[-1], ResetCode.CANCELLED)
        self.assertOver()
        self.visitor.transport = self.near.stream
        self.visitor.call("write", b"x")
        self.visitor.call("abortConnection")
        self.visitor.call("loseConnection")
        self.assertOver()

    def test_paused_reader_gets_all_in_order(self: Any) -> None:
        joined = self.join()
        self.upstream.call("pauseProducing")
        self.visitor.call("write", b"one")
        joined.settle()
        self.visitor.call("write", b"two")
        self.visitor.call("loseWriteConnection")
        joined.settle()
        self.assertEqual(self.upstream.log, [])
        self.upstream.call("resumeProducing")
        self.assertEqual(self.upstream.log, [])  # never from inside its own call
        joined.settle()
        self.assertEqual(self.upstream.received, b"onetwo")
        self.assertIn(FINISHED, self.upstream.log)

    def test_reader_that_pauses_at_each_piece(self: Any) -> None:
        joined = self.join()
        self.upstream.on_data = lambda data: self.upstream.call("pauseProducing")
        self.upstream.call("pauseProducing")
        for letter in (b"a", b"b", b"c"):
            self.visitor.call("write", letter)
            joined.settle()
        for count in range(1, 4):
            self.upstream.call("resumeProducing")
            joined.settle()
            self.assertEqual(self.upstream.log, [b"a", b"b", b"c"][:count])

    def test_data_does_not_overtake_what_waits(self: Any) -> None:
        joined = self.join()
        self.upstream.call("pauseProducing")
        self.visitor.call("write", b"first")
        joined.deliver(self.near)
        self.upstream.call("resumeProducing")
        self.visitor.call("write", b"second")
        joined.deliver(self.near)
        joined.settle()
        self.assertEqual(self.upstream.log, [b"first", b"second"])

    def test_close_without_data_is_told_although_paused(self: Any) -> None:
        # A client that still dials its upstream need not go on.
        joined = self.join()
        self.upstream.call("pauseProducing")
        self.visitor.call("abortConnection")
        joined.settle()
        self.assertEqual(self.upstream.log, [ResetCode.CANCELLED])
        self.assertOver()

    def test_reset_cuts_short_what_a_paused_reader_has_not_read(self: Any) -> None:
        joined = self.join()
        self.upstream.call("pauseProducing")
        self.visitor.call("write", b"x" * 100 * KIB)
        joined.settle()
        self.visitor.call("abortConnection")
        joined.settle()
        self.assertEqual(self.upstream.log, [ResetCode.CANCELLED])
        self.assertOver()

    def test_slow_reader_stops_the_writer(self: Any) -> None:
        joined = self.join()
        source = Source()
        self.visitor.call("registerProducer", source, True)
        self.upstream.call("pauseProducing")
        written = 0
        while not source.paused and written < 100_000 * KIB:
            self.visitor.call("write", b"x" * 16 * KIB)
            written += 16 * KIB
            joined.settle()
        self.assertTrue(source.paused)
        self.assertLess(written, 600 * KIB)
        self.upstream.call("resumeProducing")
        joined.settle()
        self.assertFalse(source.paused)
        self.assertEqual(len(self.upstream.received), written)

    def test_link_that_takes_no_more_stops_the_writer(self: Any) -> None:
        joined = self.join()
        source = Source()
        self.near.mux.pause()
        self.visitor.call("registerProducer", source, True)
        self.assertFalse(source.paused)
        self.visitor.call("write", b"x")
        self.assertTrue(source.paused)
        self.near.mux.resume()
        self.assertFalse(source.paused)
        joined.settle()
        self.assertEqual(self.upstream.received, b"x")

    def test_producer_of_a_stream_that_is_full_is_paused_at_once(self: Any) -> None:
        self.join()
        self.near.mux.pause()
        self.visitor.call("write", b"x")
        source = Source()
        self.visitor.call("registerProducer", source, True)
        self.assertTrue(source.paused)
        self.assertRaises(RuntimeError, self.near.stream.registerProducer, Source(), True)
        self.visitor.call("unregisterProducer")
        self.near.mux.resume()
        self.assertTrue(source.paused)  # it is no business of the stream's any more
        self.assertRaises(NotImplementedError, self.near.stream.registerProducer, source, False)

    def test_producer_at_the_end(self: Any) -> None:
        joined = self.join()
        source = Source()
        self.near.mux.pause()
        self.visitor.call("registerProducer", source, True)
        self.visitor.call("write", b"x")
        self.assertTrue(source.paused)
        joined.lose(self.near)
        self.assertFalse(source.paused)  # else nobody would ever resume it
        late = Source()
        self.near.stream.registerProducer(late, True)
        self.assertTrue(late.stopped)

    def test_lost_link(self: Any) -> None:
        joined = self.join()
        self.visitor.call("write", b"x")
        self.upstream.call("pauseProducing")
        joined.deliver(self.near)
        joined.lose(self.near)
        joined.lose(self.far)
        joined.settle()
        self.assertEqual(self.visitor.log, [ResetCode.CANCELLED])
        self.assertEqual(self.upstream.log, [ResetCode.CANCELLED])
        self.assertOver()

    def test_protocol_that_closes_in_dataReceived(self: Any) -> None:
        for name in ("loseConnection", "abortConnection", "loseWriteConnection", "stopProducing"):
            joined = self.join()
            self.upstream.on_data = lambda data, name=name: self.upstream.call(name)
            self.visitor.call("write", b"x")
            joined.settle()
            self.visitor.call("loseConnection")
            self.upstream.call("loseConnection")
            joined.settle()
            self.assertEqual(self.upstream.received, b"x")
            self.assertOver()

    def test_protocol_that_closes_at_the_half_close(self: Any) -> None:
        for name in ("loseConnection", "abortConnection", "loseWriteConnection"):
            joined = self.join()
            self.upstream.on_finished = lambda name=name: self.upstream.call(name)
            self.visitor.call("loseWriteConnection")
            joined.settle()
            self.assertOver()

    def test_protocol_that_writes_in_all_its_methods(self: Any) -> None:
        joined = self.join()
        for react in ("on_data", "on_finished", "on_end"):
            setattr(
                self.upstream, react, lambda *_: self.upstream.transport.write(b"y" * 100 * KIB)
            )
        self.visitor.call("write", b"x")
        self.visitor.call("loseWriteConnection")
        joined.settle()
        self.upstream.call("loseConnection")
        joined.settle()
        self.assertOver()

    def test_echo_from_inside_dataReceived_at_both_ends(self: Any) -> None:
        joined = self.join()
        for protocol in (self.visitor, self.upstream):
            protocol.on_data = lambda data, p=protocol: (
                len(p.received) < 900 * KIB and p.call("write", data)
            )
        self.visitor.call("write", b"x" * 300 * KIB)
        joined.settle()
        self.assertGreater(len(self.visitor.received), 600 * KIB)

    def test_protocol_that_fails(self: Any) -> None:
        def fail(*_: Any) -> None:
            raise ZeroDivisionError

        for react in ("on_data", "on_finished"):
            joined = self.join()
            setattr(self.upstream, react, fail)
            self.visitor.call("write", b"x")
            self.visitor.call("loseWriteConnection")
            joined.settle()
            self.upstream.call("loseConnection")
            joined.settle()
            if react == "on_data" or self.native:
                self.assertEqual(self.upstream.log[-1], ResetCode.INTERNAL)
                self.assertIn(self.visitor.log[-1], (ResetCode.INTERNAL, ResetCode.CANCELLED, DONE))
            self.assertOver()
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_protocol_that_fails_at_its_end(self: Any) -> None:
        joined = self.join()

        def fail() -> None:
            raise ZeroDivisionError

        self.upstream.on_end = fail
        self.visitor.call("abortConnection")
        joined.settle()
        self.assertOver()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_protocol_that_fails_at_its_beginning(self: Any) -> None:
        upstream = HalfClosing()

        def fail() -> None:
            raise ZeroDivisionError

        upstream.on_made = fail
        joined = self.join(far=upstream)
        joined.settle()
        self.visitor.call("loseConnection")
        joined.settle()
        self.assertEqual(self.upstream.log, [ResetCode.INTERNAL])
        self.assertOver()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_producer_that_fails(self: Any) -> None:
        joined = self.join()
        source = Source()
        self.near.mux.pause()
        self.visitor.call("registerProducer", source, True)
        self.visitor.call("write", b"x")

        def fail() -> None:
            raise ZeroDivisionError

        source.resumeProducing = fail  # type: ignore[method-assign]
        self.near.mux.resume()
        joined.settle()
        self.assertEqual(self.visitor.log, [ResetCode.INTERNAL])
        self.assertOver()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failure_touches_no_other_stream(self: Any) -> None:
        joined = self.join()
        first = self.upstream

        def fail(data: bytes) -> None:
            raise ZeroDivisionError

        first.on_data = fail
        other = Plain()
        self.far.protocol = Plain()
        stream = Stream(self.near.mux, self.near.calls.append, "another")
        mux = self.near.mux
        carried = (
            mux.open(1, "", stream) if isinstance(mux, NativeMux) else mux.open("a:1", "", stream)
        )
        stream.start(carried, other)
        self.visitor.call("write", b"x")
        other.call("write", b"y")
        joined.settle()
        self.assertEqual(self.far.protocol.received, b"y")
        self.assertEqual(list(mux.streams), [carried.id])
        self.flushLoggedErrors(ZeroDivisionError)

    @repeatable
    @given(st.data())
    def test_whatever_happens(self: Any, data: st.DataObject) -> None:
        kinds = st.sampled_from((Plain, HalfClosing))
        joined = self.join(data.draw(kinds)(), data.draw(kinds)())
        sides = {"near": self.near, "far": self.far}
        sent = {"near": b"", "far": b""}
        cut: set[str] = set()
        closed: set[str] = set()
        steps = st.tuples(
            st.sampled_from(("near", "far")),
            st.sampled_from(
                ("write", "pause", "resume", "finish", "close", "abort", "deliver", "turn")
                + ("write", "deliver", "turn") * 3
            ),
            st.sampled_from((1, 3000, 70 * KIB, INITIAL_WINDOW + 1)),
        )
        writing = {"near", "far"}
        for name, action, size in data.draw(st.lists(steps, max_size=40)):
            side = sides[name]
            protocol = side.protocol
            if action == "deliver":
                joined.deliver(side, 1 + size % 7)
            elif action == "turn":
                side.turn()
            elif action == "write":
                piece = bytes((len(sent[name]) % 251,)) * size
                if name in writing and side.stream.connected:
                    sent[name] += piece
                protocol.call("write", piece)
            elif action == "pause":
                protocol.call("pauseProducing")
            elif action == "resume":
                protocol.call("resumeProducing")
            elif action == "finish":
                writing.discard(name)
                protocol.call("loseWriteConnection")
            elif action == "close":
                writing.discard(name)
                closed.add(name)
                protocol.call("loseConnection")
            elif action == "abort":
                cut.add(name)
                protocol.call("abortConnection")
        for side in (self.near, self.far):
            side.protocol.call("resumeProducing")
        joined.settle()
        for name, side in sides.items():
            protocol = side.protocol
            theirs = sent["far" if name == "near" else "near"]
            self.assertEqual(protocol.faults, [])
            self.assertTrue(theirs.startswith(protocol.received))
            if not cut and not closed and self.native:
                plain_closed = any(isinstance(s.protocol, Plain) for s in sides.values())
                if not plain_closed:
                    self.assertEqual(protocol.received, theirs)
            protocol.call("loseConnection")
        joined.settle()
        for side in sides.values():
            if side.stream.lingering:
                side.stream.abortConnection()
        joined.settle()
        self.assertOver()
        for side in sides.values():
            self.assertEqual(getattr(side.mux, "_unconsumed", 0), 0)
            self.assertEqual(getattr(side.mux, "_extra_windows", 0), 0)


class NativeStreamTests(StreamCases, SynchronousTestCase):
    """Streams of inletspy.v1, which have a half-close and credit."""

    native = True

    def test_half_close_goes_on_in_the_other_direction(self) -> None:
        joined = self.join()
        self.visitor.call("write", b"question")
        self.visitor.call("loseWriteConnection")
        joined.settle()
        self.assertEqual(self.upstream.log, [b"question", FINISHED])
        self.upstream.call("write", b"answer")
        self.upstream.call("loseConnection")
        joined.settle()
        self.assertEqual(self.visitor.log, [b"answer", FINISHED, DONE])
        self.assertEqual(self.upstream.log, [b"question", FINISHED, DONE])
        self.assertOver()

    def test_half_close_waits_for_a_paused_reader(self) -> None:
        # One that still dials has nobody yet to tell it to.
        joined = self.join()
        self.upstream.call("pauseProducing")
        self.visitor.call("loseWriteConnection")
        joined.settle()
        self.assertEqual(self.upstream.log, [])
        self.upstream.call("resumeProducing")
        joined.settle()
        self.assertEqual(self.upstream.log, [FINISHED])

    def test_data_for_a_closed_stream_resets_it(self) -> None:
        joined = self.join()
        self.upstream.call("loseConnection")
        joined.settle()
        self.assertTrue(self.far.stream.lingering)
        self.assertEqual(self.visitor.log, [FINISHED])
        self.visitor.call("write", b"late")
        joined.settle()
        self.assertEqual(self.visitor.log, [FINISHED, ResetCode.CANCELLED])
        self.assertEqual(self.upstream.log, [ResetCode.CANCELLED])
        self.assertOver()

    def test_late_data_does_not_cut_what_is_still_to_be_sent(self) -> None:
        # An upstream that answers early and closes, while its visitor is still uploading.
        joined = self.join()
        answer = b"a" * 3 * INITIAL_WINDOW
        self.upstream.call("write", answer)
        self.upstream.call("loseConnection")
        self.visitor.call("write", b"u" * 2 * INITIAL_WINDOW)
        self.assertFalse(self.far.stream.lingering)
        joined.settle()
        self.assertEqual(self.visitor.received, answer)
        self.assertIn(FINISHED, self.visitor.log)
        self.visitor.call("loseConnection")
        joined.settle()
        self.assertOver()

    def test_reset_after_the_half_close_takes_nothing_from_a_slow_reader(self) -> None:
        joined = self.join()
        self.visitor.call("pauseProducing")
        self.upstream.call("write", b"answer")
        self.upstream.call("loseConnection")
        joined.settle()
        self.visitor.call("write", b"late")
        joined.settle()
        self.assertEqual(self.upstream.log, [ResetCode.CANCELLED])
        self.assertEqual(self.visitor.log, [])
        self.visitor.call("resumeProducing")
        joined.settle()
        self.assertEqual(self.visitor.log, [b"answer", FINISHED, ResetCode.CANCELLED])
        self.assertOver()

    def test_closing_gives_the_credit_of_the_unread_back(self) -> None:
        joined = self.join()
        self.upstream.call("pauseProducing")
        self.visitor.call("write", b"x" * INITIAL_WINDOW)
        joined.settle()
        self.visitor.call("loseWriteConnection")
        self.upstream.call("write", b"answer")
        self.upstream.call("loseConnection")
        joined.settle()
        self.assertEqual(self.visitor.received, b"answer")
        self.visitor.call("loseConnection")
        joined.settle()
        self.assertOver()

    def test_pausing_a_closed_stream_keeps_nothing(self) -> None:
        joined = self.join()
        self.upstream.call("loseConnection")
        self.upstream.call("pauseProducing")
        self.visitor.call("write", b"late")
        joined.settle()
        self.assertEqual(self.upstream.log, [ResetCode.CANCELLED])
        self.visitor.call("loseConnection")
        joined.settle()
        self.assertOver()


class InletsStreamTests(StreamCases, SynchronousTestCase):
    """Streams of inlets OSS: to finish one direction is to close both."""

    native = False

    def test_close_is_a_half_close_first(self) -> None:
        # An answer whose end is the connection's needs no other sign of being complete.
        joined = self.join()
        self.upstream.call("write", b"answer")
        self.upstream.call("loseConnection")
        joined.settle()
        self.assertEqual(self.visitor.log, [b"answer", FINISHED, DONE])
        self.assertOver()

    def test_close_reaches_a_paused_reader_after_the_data(self) -> None:
        joined = self.join()
        self.visitor.call("pauseProducing")
        self.upstream.call("write", b"answer")
        self.upstream.call("loseConnection")
        joined.settle()
        self.assertEqual(self.visitor.log, [])
        self.visitor.call("resumeProducing")
        joined.settle()
        self.assertEqual(self.visitor.log, [b"answer", FINISHED, DONE])
        self.assertOver()

    def test_reader_may_leave_a_closed_stream_unread(self) -> None:
        for name in ("loseConnection", "abortConnection"):
            joined = self.join()
            self.visitor.call("pauseProducing")
            self.upstream.call("write", b"answer")
            self.upstream.call("loseConnection")
            joined.settle()
            self.visitor.call(name)
            joined.settle()
            self.assertEqual(self.visitor.log, [DONE])
            self.assertOver()
