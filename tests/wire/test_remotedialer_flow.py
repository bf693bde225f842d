"""The protocol of inlets OSS: slow readers, and peers that do or don't know of pauses."""

from __future__ import annotations

from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from inletspy.errors import ResetCode, StreamReset
from inletspy.wire.mux import MuxStream
from tests.properties import repeatable
from tests.wire.inlets import (
    DATA,
    ERROR,
    PAUSE,
    RESUME,
    SYNC_CONNECTIONS,
    InletsTestCase,
    message,
    read,
)
from tests.wire.muxes import Owner

HIGH_WATER = 256 << 10
LOW_WATER = 32 << 10
STREAM_LIMIT = 4 << 20
SESSION_LIMIT = 64 << 20
MIB = 1 << 20


class PauseTests(InletsTestCase):
    """Pause and Resume of today's peers, which old ones don't know."""

    def test_a_sender_is_asked_to_pause(self) -> None:
        owner = self.open()
        owner.consuming = False
        id = owner.stream.id
        self.assertEqual(self.give(self.server, message(id, DATA, b"x" * HIGH_WATER)), [])
        self.assertEqual(self.give(self.server, message(id, DATA, b"x")), [(id, PAUSE, b"")])
        self.assertEqual(self.give(self.server, message(id, DATA, b"x" * HIGH_WATER)), [])

    def test_and_to_go_on(self) -> None:
        owner = self.open()
        owner.consuming = False
        id = owner.stream.id
        self.give(self.server, message(id, DATA, b"x" * (HIGH_WATER + 1)))
        mux = self.server.mux
        mux.consumed(owner.stream, HIGH_WATER + 1 - LOW_WATER)
        self.assertEqual(self.server.take(), [])
        mux.consumed(owner.stream, 1)
        self.assertEqual(read(self.server.take()), [(id, RESUME, b"")])
        mux.consumed(owner.stream, LOW_WATER - 1)
        self.assertEqual(self.server.take(), [])
        self.assertEqual(mux._unconsumed, 0)

    def test_not_where_bytes_are_used_as_they_come(self) -> None:
        owner = self.open()
        self.assertEqual(self.give(self.server, message(owner.stream.id, DATA, b"x" * MIB)), [])

    def test_not_where_the_stream_is_over_by_then(self) -> None:
        owner = self.open()
        owner.on_data = lambda data: owner.reset()
        owner.consuming = False
        answer = self.give(self.server, message(owner.stream.id, DATA, b"x" * MIB))
        self.assertEqual([kind for _, kind, _ in answer], [ERROR])

    def test_to_be_asked_to_pause(self) -> None:
        (here, _), (other, _) = self.pair(), self.pair()
        self.give(self.server, message(here.stream.id, PAUSE), message(here.stream.id, PAUSE))
        here.write(b"waits")
        here.write(b" here")
        here.finish()
        other.write(b"goes on")
        self.assertEqual(self.pieces(self.server.take()), [(other.stream.id, b"goes on")])
        self.assertEqual(here.stream.queued, 10)
        self.give(self.server, message(here.stream.id, RESUME))
        self.assertEqual(here.events, ["closed"])

    def test_to_be_asked_to_go_on(self) -> None:
        here, there = self.pair()
        self.give(self.server, message(here.stream.id, PAUSE))
        here.write(b"x" * 100_000)
        self.assertEqual(self.server.take(), [])
        self.server.mux.receive(message(here.stream.id, RESUME))
        self.pump()
        self.assertEqual((here.events, len(there.received)), (["writable"], 100_000))
        self.give(self.server, message(here.stream.id, RESUME))
        here.write(b"y")
        self.pump()
        self.assertEqual(len(there.received), 100_001)

    def test_two_of_ours_hold_each_other_up(self) -> None:
        here, there = self.pair()
        there.consuming = False
        for _ in range(100):
            here.write(b"x" * 50_000)
            self.pump()
        self.assertGreater(here.stream.queued, 4_000_000)
        self.assertLess(len(there.received), HIGH_WATER + 100_000)
        there.consuming = True
        there.consume()
        self.pump()
        self.assertEqual((here.stream.queued, len(there.received)), (0, 5_000_000))


class CongestionTests(InletsTestCase):
    """Peers that can't pause are read on up to a bound, and then not at all."""

    def setUp(self) -> None:
        super().setUp()
        self.stops: list[bool] = []
        self.server.mux.congested = self.stops.append

    def fill(self, size: int, owner: Owner | None = None) -> Owner:
        """A stream with so many bytes that its owner has not used."""
        if owner is None:
            owner = self.open()
            owner.consuming = False
        whole, rest = divmod(size, MIB)
        for piece in [b"x" * MIB] * whole + [b"x" * rest]:
            self.server.mux.receive(message(owner.stream.id, DATA, piece))
            owner.received = b""
        return owner

    def assertCounted(self) -> None:
        """The sum of all is what each has."""
        mux = self.server.mux
        self.assertEqual(mux._unconsumed, sum(s.unconsumed for s in mux.streams.values()))
        self.assertEqual(mux.stopped, bool(self.stops) and self.stops[-1])

    def test_one_stream(self) -> None:
        owner = self.fill(STREAM_LIMIT)
        self.assertEqual(self.stops, [])
        self.fill(1, owner)
        self.assertEqual(self.stops, [True])
        self.fill(MIB, owner)
        self.assertEqual(self.stops, [True])
        stream: MuxStream = owner.stream
        self.server.mux.consumed(stream, stream.unconsumed - HIGH_WATER - 1)
        self.assertEqual(self.stops, [True])
        self.server.mux.consumed(stream, 1)
        self.assertEqual(self.stops, [True, False])
        self.assertCounted()

    def test_two_streams(self) -> None:
        first, second = self.fill(STREAM_LIMIT + 1), self.fill(STREAM_LIMIT + 1)
        first.consume()
        self.assertEqual(self.stops, [True])
        second.consume()
        self.assertEqual(self.stops, [True, False])
        self.assertCounted()

    def test_all_together(self) -> None:
        owners = [self.fill(STREAM_LIMIT) for _ in range(16)]
        self.assertEqual(self.stops, [])
        last = self.fill(1)
        self.assertEqual(self.stops, [True])
        for owner in owners[:7]:
            owner.consume()
        self.assertEqual(self.stops, [True])
        last.consume()
        owners[7].consume()
        self.assertEqual(self.stops, [True, False])
        self.assertCounted()

    def test_many_with_little_each(self) -> None:
        """No stream has so much that its sender is asked to pause."""
        owners = [self.fill(HIGH_WATER) for _ in range(SESSION_LIMIT // HIGH_WATER)]
        self.assertEqual(self.stops, [])
        self.fill(1)
        self.assertEqual(self.stops, [True])
        for owner in owners:
            owner.reset()
        self.assertEqual(self.stops, [True, False])
        self.assertCounted()

    def test_a_stream_that_ends_while_nothing_is_read(self) -> None:
        def by_its_owner(owner: Owner) -> None:
            owner.reset()

        def by_finishing(owner: Owner) -> None:
            owner.finish()

        def by_the_peer(owner: Owner) -> None:
            self.server.mux.receive(message(owner.stream.id, ERROR, b"EOF"))

        def by_being_unknown(owner: Owner) -> None:
            known = pack("<q", owner.stream.id)
            self.server.mux.receive(message(0, SYNC_CONNECTIONS, known))
            self.server.mux.receive(message(0, SYNC_CONNECTIONS))

        def by_the_loss_of_the_link(owner: Owner) -> None:
            self.server.mux.lost(StreamReset(ResetCode.CANCELLED))

        for end in (
            by_its_owner,
            by_finishing,
            by_the_peer,
            by_being_unknown,
            by_the_loss_of_the_link,
        ):
            with self.subTest(end=end.__name__):
                self.setUp()
                owner = self.fill(STREAM_LIMIT + 1)
                end(owner)
                self.assertEqual(self.stops, [True, False])
                self.assertEqual(self.server.mux._unconsumed, 0)
                owner.consume()
                self.assertEqual(self.server.mux._unconsumed, 0)
                self.assertCounted()

    def test_one_of_two_ends(self) -> None:
        first, second = self.fill(STREAM_LIMIT + 1), self.fill(STREAM_LIMIT + 1)
        first.reset()
        self.assertEqual(self.stops, [True])
        second.reset()
        self.assertEqual(self.stops, [True, False])
        self.assertCounted()

    def test_an_end_in_the_middle_of_what_fills_it(self) -> None:
        owner = self.open()
        owner.consuming = False
        owner.on_data = lambda data: owner.reset()
        self.server.mux.receive(message(owner.stream.id, DATA, b"x" * (STREAM_LIMIT + 1)))
        self.assertEqual(self.stops, [])
        self.assertCounted()

    def test_it_begins_anew(self) -> None:
        owner = self.fill(STREAM_LIMIT + 1)
        owner.consume()
        self.fill(STREAM_LIMIT + 1, owner)
        self.assertEqual(self.stops, [True, False, True])

    @repeatable
    @given(
        st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from("fcre"), st.integers(0, 5)), max_size=30
        )
    )
    def test_whatever_happens(self, steps: list[tuple[int, str, int]]) -> None:
        CongestionTests.setUp(self)
        owners = [self.fill(0) for _ in range(4)]
        for index, step, size in steps:
            owner = owners[index]
            if owner.stream.id not in self.server.mux.streams:
                owners[index] = owner = self.fill(0)
            if step == "f":
                self.fill(size * MIB, owner)
            elif step == "c":
                owner.consume()
            elif step == "r":
                owner.reset()
            else:
                self.server.mux.receive(message(owner.stream.id, ERROR, b"EOF"))
            self.assertCounted()
            unread = [stream.unconsumed for stream in self.server.mux.streams.values()]
            if max(unread, default=0) > STREAM_LIMIT:
                self.assertTrue(self.server.mux.stopped)
            if not any(unread):
                self.assertFalse(self.server.mux.stopped)
