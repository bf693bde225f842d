"""The native protocol: credit, and windows that grow."""

from __future__ import annotations

from struct import pack, unpack_from

from hypothesis import given
from hypothesis import strategies as st

from inletspy.errors import ResetCode, StreamReset
from inletspy.wire import frames
from inletspy.wire.frames import (
    INITIAL_WINDOW,
    MAX_PAYLOAD,
    MAX_WINDOW,
    pack_frame,
)
from tests.properties import repeatable
from tests.wire.muxes import Owner
from tests.wire.native import DATA, FIN, RESET, WINDOW, NativeTestCase, frames_of, window


class CreditTests(NativeTestCase):
    def test_the_sender_stays_within_its_credit(self) -> None:
        here, there = self.pair()
        there.consuming = False
        for _ in range(10):
            here.write(b"x" * 50_000)
        self.pump()
        self.assertEqual(len(there.received), INITIAL_WINDOW)
        self.assertEqual(here.stream.queued, 500_000 - INITIAL_WINDOW)
        self.assertEqual(here.events, [])

    def test_the_last_byte_of_it_can_be_used(self) -> None:
        here, _ = self.pair()
        here.write(b"x" * INITIAL_WINDOW)
        self.assertEqual((here.stream.queued, here.stream.credit), (0, 0))
        here.write(b"y")
        self.assertEqual(here.stream.queued, 1)

    def test_an_overrun(self) -> None:
        here, there = self.pair()
        there.consuming = False
        id = here.stream.id
        for _ in range(INITIAL_WINDOW // MAX_PAYLOAD):
            self.give(self.client, pack_frame(id, DATA, b"x" * MAX_PAYLOAD))
        self.assertViolated(self.client, pack_frame(id, DATA, b"x"))
        self.assertEqual(len(there.received), INITIAL_WINDOW)

    def test_credit_comes_back_when_half_of_the_window_is_used(self) -> None:
        here, there = self.pair()
        there.consuming = False
        for _ in range(4):
            here.write(b"x" * 50_000)
        self.pump()
        mux, stream = self.client.mux, there.stream
        mux.consumed(stream, INITIAL_WINDOW // 2 - 1)
        self.assertEqual(self.client.take(), [])
        mux.consumed(stream, 1)
        self.assertEqual(
            list(frames_of(self.client.take())),
            [(stream.id, WINDOW, pack("!I", INITIAL_WINDOW // 2))],
        )

    def test_what_waits_for_credit_goes_on_with_it(self) -> None:
        here, there = self.pair()
        there.consuming = False
        here.write(b"x" * 400_000)
        here.finish()
        self.pump()
        there.consuming = True
        there.consume()
        self.pump()
        self.assertEqual((len(there.received), there.events), (400_000, ["finished"]))

    def test_a_little_credit_is_used(self) -> None:
        here, there = self.pair()
        there.consuming = False
        here.write(b"x" * (INITIAL_WINDOW + 10))
        self.pump()
        answer = self.give(self.server, window(here.stream.id, 3))
        self.assertEqual([data for _, kind, data in answer if kind == DATA], [b"xxx", b""])
        self.assertEqual(here.stream.queued, 7)
        self.assertEqual(here.events, [])
        answer = self.give(self.server, window(here.stream.id, 7))
        self.assertEqual([data for _, kind, data in answer if kind == DATA], [b"x" * 7])
        self.assertEqual(here.events, ["writable"])

    def test_no_credit_at_all_in_a_window(self) -> None:
        here, _ = self.pair()
        self.give(self.server, window(here.stream.id, 0))
        self.assertEqual(here.stream.credit, INITIAL_WINDOW)

    def test_more_credit_than_there_can_be(self) -> None:
        here, _ = self.pair()
        id = here.stream.id
        self.give(self.server, window(id, (1 << 31) - INITIAL_WINDOW))
        self.assertViolated(self.server, window(id, 1))
        self.setUp()
        self.pair()
        self.assertViolated(self.server, window(id, 0xFFFFFFFF))

    def test_credit_while_the_link_is_paused(self) -> None:
        here, there = self.pair()
        self.server.mux.pause()
        here.write(b"x")
        self.assertEqual(self.give(self.server, window(here.stream.id, 100)), [])
        self.server.mux.resume()
        self.pump()
        self.assertEqual(there.received, b"x")

    @repeatable
    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 200_000)), max_size=40))
    def test_never_more_than_the_credit(self, steps: list[tuple[bool, int]]) -> None:
        NativeTestCase.setUp(self)
        here = self.open()
        credit, written, sent = INITIAL_WINDOW, 0, 0
        for gives, size in steps:
            if gives:
                credit += size
                self.server.mux.receive(window(here.stream.id, size))
            else:
                written += size
                here.write(b"x" * size)
            sent += sum(len(data) for _, data in self.pieces(self.server.take()))
            self.assertEqual(sent, min(written, credit))
            self.assertEqual(here.stream.queued, written - sent)


class WindowTests(NativeTestCase):
    """Windows grow where a sender waits for credit while its reader does not wait."""

    def signal(self, owner: Owner, *meanwhile: bytes) -> int:
        """By how much the client widens a stream's window when the server says that it waits.

        Args:
            owner: of the stream.
            meanwhile: what comes in the turn after that.
        """
        answer = self.give(self.client, pack_frame(owner.stream.id, DATA))
        self.client.mux.receive(b"".join(meanwhile))
        answer += frames_of(self.client.take())
        return sum(unpack_from("!I", data)[0] for _, kind, data in answer if kind == WINDOW)

    def grow(self, owner: Owner) -> int:
        """The same where it has waited once already."""
        if not owner.stream.kept_waiting:
            self.assertEqual(self.signal(owner), 0)
        return self.signal(owner)

    def test_the_sender_tells_when_it_waits(self) -> None:
        here, there = self.pair()
        there.consuming = False
        here.write(b"x" * (INITIAL_WINDOW + 1))
        last = list(frames_of(self.server.take()))[-1]
        self.assertEqual(last, (here.stream.id, DATA, b""))

    def test_it_tells_once_for_each_time(self) -> None:
        here, _ = self.pair()
        for _ in range(8):
            here.write(b"x" * INITIAL_WINDOW)
        self.assertEqual([data for _, _, data in frames_of(self.server.take())].count(b""), 1)
        answer = self.give(self.server, window(here.stream.id, 100), window(here.stream.id, 100))
        self.assertEqual([data for _, _, data in answer].count(b""), 2)

    def test_it_does_not_tell_while_it_has_nothing_to_send(self) -> None:
        here, _ = self.pair()
        here.write(b"x" * INITIAL_WINDOW)
        self.assertNotIn(b"", [data for _, _, data in frames_of(self.server.take())])

    def test_doubled_up_to_a_limit(self) -> None:
        _, there = self.pair()
        grown = []
        while growth := self.grow(there):
            grown.append(growth)
        self.assertEqual(grown, [INITIAL_WINDOW << step for step in range(6)])
        self.assertEqual(there.stream.window, MAX_WINDOW)
        self.assertEqual(there.stream.allowance, MAX_WINDOW)

    def test_not_where_it_waited_once(self) -> None:
        _, there = self.pair()
        piece = pack_frame(there.stream.id, DATA, b"x")
        for _ in range(3):
            self.assertEqual(self.signal(there), 0)
            self.assertEqual(self.signal(there, piece), 0)
        self.assertEqual(there.stream.window, INITIAL_WINDOW)

    def test_not_while_more_is_there_to_be_read(self) -> None:
        _, there = self.pair()
        piece = pack_frame(there.stream.id, DATA, b"x" * MAX_PAYLOAD)
        for _ in range(8):
            self.signal(there, piece)
        self.assertEqual(there.stream.window, INITIAL_WINDOW)
        self.assertEqual(len(there.received), 8 * MAX_PAYLOAD)

    def test_not_for_one_that_has_finished_or_ended_meanwhile(self) -> None:
        for last in (FIN, RESET):
            _, there = self.pair()
            self.signal(there)
            end = pack_frame(there.stream.id, last, b"" if last == FIN else b"\0\0")
            self.assertEqual(self.signal(there, end), 0)
            self.assertEqual(self.client.mux._extra_windows, 0)

    def test_turns_are_asked_for_only_as_long_as_somebody_waits(self) -> None:
        _, there = self.pair()
        self.grow(there)
        self.client.take()
        turns = self.client.turns
        self.client.take()
        self.assertEqual(self.client.turns, turns)

    def test_not_for_a_slow_reader(self) -> None:
        here, there = self.pair()
        there.consuming = False
        here.write(b"x")
        self.pump()
        self.assertEqual([self.signal(there) for _ in range(3)], [0, 0, 0])
        there.consume()
        self.assertEqual(self.grow(there), INITIAL_WINDOW + 1)

    def test_all_streams_together_have_a_limit(self) -> None:
        pairs = [self.pair()[1] for _ in range(8)]
        for owner in pairs:
            while self.grow(owner):
                pass
        windows = [owner.stream.window for owner in pairs]
        extra = sum(windows) - len(windows) * INITIAL_WINDOW
        self.assertEqual(extra, frames.MAX_EXTRA_WINDOWS)
        self.assertLessEqual(max(windows), MAX_WINDOW)

    def test_what_a_stream_had_goes_to_others_when_it_ends(self) -> None:
        owners = [self.pair()[1] for _ in range(6)]
        for owner in owners:
            while self.grow(owner):
                pass
        last = owners[-1]
        self.assertLess(last.stream.window, MAX_WINDOW)
        owners[0].reset()
        while self.grow(last):
            pass
        self.assertEqual(last.stream.window, MAX_WINDOW)
        for owner in owners[1:]:
            owner.reset()
        self.assertEqual(self.client.mux._extra_windows, 0)

    def test_what_all_had_is_given_back_when_the_link_is_lost(self) -> None:
        _, there = self.pair()
        self.grow(there)
        self.client.mux.lost(StreamReset(ResetCode.CANCELLED))
        self.assertEqual(self.client.mux._extra_windows, 0)

    def test_a_transfer_widens_its_window_by_itself(self) -> None:
        here, there = self.pair()
        for _ in range(64):
            here.write(b"x" * INITIAL_WINDOW)
        self.pump()
        self.assertEqual(len(there.received), 64 * INITIAL_WINDOW)
        self.assertGreater(there.stream.window, INITIAL_WINDOW)
        self.assertLessEqual(here.stream.credit, there.stream.window)
