"""What both wire protocols must do alike, by one mixin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from inletspy.errors import ProtocolViolation, ResetCode, StreamReset
from inletspy.wire.mux import FLUSH_SIZE, MuxStream, StreamCount
from tests.properties import repeatable
from tests.wire.inlets import InletsTestCase
from tests.wire.muxes import MuxTestCase, Owner
from tests.wire.native import NativeTestCase

# The mixin is no test case by itself, or it would be run as one.
if TYPE_CHECKING:
    Base = MuxTestCase
else:
    Base = object


class SharedTests(Base):
    """What both wire protocols must do alike."""

    # -- opening

    def test_open(self) -> None:
        owner = self.open()
        self.assertEqual(self.server.mux.streams, {owner.stream.id: owner.stream})
        self.pump()
        self.assertEqual([service for service, _ in self.client.visitors], [self.service])
        self.assertEqual(list(self.client.mux.streams), [owner.stream.id])

    def test_data_may_follow_at_once(self) -> None:
        owner = self.open()
        owner.write(b"hello")
        self.pump()
        self.assertEqual(self.client.owners[0].received, b"hello")

    def test_the_acceptor_may_write_at_once(self) -> None:
        def accept(stream: MuxStream, service: object, visitor: str) -> None:
            self.client.accept(stream, service, visitor)
            self.client.owners[-1].write(b"welcome")

        self.client.mux.accept = accept
        owner = self.open()
        self.pump()
        self.assertEqual(owner.received, b"welcome")

    def test_refused(self) -> None:
        def refuse(stream: MuxStream, service: object, visitor: str) -> None:
            raise StreamReset(ResetCode.REFUSED, "connection refused")

        self.client.mux.accept = refuse
        owner = self.open()
        self.pump()
        self.assertEqual(owner.events, [(ResetCode.REFUSED, "connection refused")])
        self.assertEqual((self.server.mux.streams, self.client.mux.streams), ({}, {}))

    def test_ended_by_the_acceptor_at_once(self) -> None:
        def accept(stream: MuxStream, service: object, visitor: str) -> None:
            self.client.accept(stream, service, visitor)
            self.client.owners[-1].reset(ResetCode.CANCELLED, "no")

        self.client.mux.accept = accept
        owner = self.open()
        self.pump()
        self.assertEqual(owner.end, (ResetCode.CANCELLED, "no"))
        self.assertEqual(self.client.mux.streams, {})

    def test_nobody_there_to_accept(self) -> None:
        self.client = self.make_end(server=False)
        owner = self.open()
        self.pump()
        self.assertIsInstance(owner.end, tuple)
        self.assertEqual(self.client.mux.streams, {})

    def test_an_acceptor_that_fails_leaves_nothing_behind(self) -> None:
        def fail(stream: MuxStream, service: object, visitor: str) -> None:
            raise ZeroDivisionError

        self.client.mux.accept = fail
        self.open()
        (message,) = self.server.take()
        self.assertRaises(ZeroDivisionError, self.client.mux.receive, message)
        self.assertEqual(self.client.mux.streams, {})

    def test_no_more_streams_than_there_may_be(self) -> None:
        self.server.mux.max_streams = 2
        first, _ = self.open(), self.open()
        error = self.assertRaises(StreamReset, self.open)
        self.assertEqual(error.code, ResetCode.LIMIT)
        first.reset()
        self.open()

    def test_no_more_streams_than_several_muxes_may_have_together(self) -> None:
        refused: list[bool] = []
        together = StreamCount(refused.append)
        together.most = together.count = 2
        first, second = self.open(), self.open()
        self.server.mux.count_with(together)
        self.assertEqual(together.count, 4)
        error = self.assertRaises(StreamReset, self.open)
        self.assertEqual((error.code, refused), (ResetCode.LIMIT, [True]))
        first.reset()
        first.reset()
        self.assertEqual(together.count, 3)
        together.most = 4
        self.open()
        together.most = 0
        self.open()
        self.server.mux.max_streams = 3
        self.assertRaises(StreamReset, self.open)
        self.assertEqual((together.count, refused), (5, [True, False]))
        second.finish()
        self.server.mux.lost(StreamReset(ResetCode.CANCELLED))
        self.assertEqual(together.count, 2)
        self.server.mux.count_with(StreamCount())
        self.assertEqual(together.count, 2)

    def test_the_peer_opens_no_more_streams_than_it_may(self) -> None:
        self.client.mux.max_streams = 2
        owners = [self.open() for _ in range(3)]
        self.pump()
        self.assertEqual([owner.end is None for owner in owners], [True, True, False])
        self.assertEqual(len(self.client.owners), 2)

    # -- data

    def test_data_both_ways(self) -> None:
        here, there = self.pair()
        here.write(b"question")
        here.write(b"?")
        there.write(b"answer")
        self.pump()
        self.assertEqual((there.received, here.received), (b"question?", b"answer"))

    def test_sizes(self) -> None:
        here, there = self.pair()
        limit = self.server.mux.max_data
        expected = b""
        for size in (1, limit - 1, limit, limit + 1, 3 * limit, 1_000_003):
            data = bytes((size & 0xFF, size >> 8 & 0xFF)) * (size // 2 + 1)
            here.write(data[:size])
            expected += data[:size]
            self.pump()
            self.assertEqual(len(there.received), len(expected))
        self.assertEqual(there.received, expected)
        self.assertEqual(here.stream.queued, 0)

    def test_no_piece_is_too_long(self) -> None:
        here, _ = self.pair()
        here.write(b"x" * (2 * self.server.mux.max_data + 1))
        sizes = [len(data) for _, data in self.pieces(self.server.take())]
        self.assertEqual(max(sizes), self.server.mux.max_data)
        self.assertEqual(sum(sizes), 2 * self.server.mux.max_data + 1)

    def test_nothing_written_is_nothing_sent(self) -> None:
        here, there = self.pair()
        here.write(b"")
        self.assertEqual(self.server.take(), [])
        self.server.mux.pause()
        here.write(b"")
        self.assertEqual(here.stream.queued, 0)
        self.server.mux.resume()
        self.assertEqual((self.server.take(), there.received), ([], b""))

    def test_streams_do_not_mix(self) -> None:
        pairs = [self.pair() for _ in range(5)]
        for index, (here, there) in enumerate(pairs):
            here.write(b"%d" % index)
            there.write(b"-%d" % index)
        self.pump()
        for index, (here, there) in enumerate(pairs):
            self.assertEqual((here.received, there.received), (b"-%d" % index, b"%d" % index))

    # -- turns and messages

    def test_one_turn_is_asked_for_once(self) -> None:
        self.assertEqual(self.server.turns, 0)
        self.open()
        self.assertEqual(self.server.turns, 1)
        here, _ = self.pair()
        turns = self.server.turns
        for _ in range(5):
            here.write(b"x")
        self.assertEqual(self.server.turns, turns + 1)
        self.assertEqual(self.server.messages, [])
        self.server.mux.flush()
        self.assertNotEqual(self.server.messages, [])
        here.write(b"x")
        self.assertEqual(self.server.turns, turns + 2)

    def test_much_is_sent_before_the_turn_ends(self) -> None:
        here, _ = self.pair()
        size = 10_000
        for _ in range(FLUSH_SIZE // size - 1):
            here.write(b"x" * size)
        self.assertEqual(self.server.messages, [])
        here.write(b"x" * size)
        self.assertGreaterEqual(sum(map(len, self.server.messages)), FLUSH_SIZE)
        self.server.messages.clear()
        self.server.mux.flush()
        self.assertEqual(self.server.messages, [])

    def test_a_turn_with_nothing_in_it(self) -> None:
        sent: list[int] = []
        self.server.on_send = lambda: sent.append(1)
        self.server.mux.flush()
        self.assertEqual(sent, [])

    # -- the end of a stream

    def test_finish_in_both_directions(self) -> None:
        here, there = self.pair()
        here.write(b"question")
        here.finish()
        self.pump()
        there.finish()
        self.pump()
        self.assertEqual((here.end, there.end), ("closed", "closed"))
        self.assertEqual(there.received, b"question")
        self.assertEqual((self.server.mux.streams, self.client.mux.streams), ({}, {}))

    def test_finish_comes_after_what_waits(self) -> None:
        here, there = self.pair()
        self.server.mux.pause()
        here.write(b"x" * 100_000)
        here.write(b"the end")
        here.finish()
        self.assertEqual(self.kinds(self.server.take()), [])
        self.server.mux.resume()
        self.server.mux.flush()
        kinds = [kind for _, kind in self.kinds(self.server.messages)]
        self.assertEqual(kinds, ["data"] * (len(kinds) - 1) + ["finish"])
        self.pump()
        self.assertEqual(there.received, b"x" * 100_000 + b"the end")
        self.assertNotIn("writable", here.events)

    def test_finish_twice(self) -> None:
        here, _ = self.pair()
        here.finish()
        here.finish()
        self.assertEqual([kind for _, kind in self.kinds(self.server.take())], ["finish"])

    def test_finish_twice_with_something_waiting(self) -> None:
        here, _ = self.pair()
        self.server.mux.pause()
        here.write(b"x")
        here.finish()
        here.finish()
        self.server.mux.resume()
        self.assertEqual([kind for _, kind in self.kinds(self.server.take())], ["data", "finish"])

    def test_reset(self) -> None:
        here, there = self.pair()
        here.reset(ResetCode.TIMEOUT, "i/o timeout")
        self.assertEqual(self.server.mux.streams, {})
        self.pump()
        self.assertEqual(there.events, [(ResetCode.TIMEOUT, "i/o timeout")])
        self.assertEqual(here.events, [])
        self.assertEqual(self.client.mux.streams, {})

    def test_reset_with_an_odd_reason(self) -> None:
        here, there = self.pair()
        here.reset(ResetCode.CANCELLED, "half a pair: \ud800; a long one: " + "é" * 5000)
        self.pump()
        self.assertIsNotNone(there.end)

    def test_reset_without_a_reason(self) -> None:
        here, there = self.pair()
        here.reset(ResetCode.CANCELLED)
        self.pump()
        self.assertIsInstance(there.end, tuple)

    def test_closing_twice(self) -> None:
        here, _ = self.pair()
        here.reset()
        here.reset()
        here.finish()
        self.assertEqual([kind for _, kind in self.kinds(self.server.take())], ["reset"])
        self.assertEqual(here.events, [])

    def test_what_is_over_sends_nothing(self) -> None:
        here, there = self.pair()
        there.reset()
        self.pump()
        self.assertIsNotNone(here.end)
        for size in (0, 1, 1_000_000):
            here.write(b"x" * size)
        here.finish()
        here.reset()
        self.server.mux.consumed(here.stream, 0)
        self.assertEqual(self.server.take(), [])
        self.assertEqual(here.stream.queued, 0)

    def test_reset_drops_what_waits(self) -> None:
        here, _ = self.pair()
        self.server.mux.pause()
        here.write(b"x" * 100_000)
        here.reset()
        self.assertEqual((here.stream.queued, len(here.stream.queue)), (0, 0))
        self.server.mux.resume()
        self.assertEqual([kind for _, kind in self.kinds(self.server.take())], ["reset"])
        self.assertEqual(here.events, [])

    def test_reset_by_the_peer_drops_what_waits(self) -> None:
        here, there = self.pair()
        self.server.mux.pause()
        here.write(b"x" * 100_000)
        there.reset()
        for message in self.client.take():
            self.server.mux.receive(message)
        self.server.mux.resume()
        self.assertEqual(self.pieces(self.server.take()), [])
        self.assertEqual(here.stream.queued, 0)

    def test_data_for_a_stream_that_was_reset_in_flight_is_dropped(self) -> None:
        here, there = self.pair()
        here.write(b"on its way")
        there.reset()
        self.pump()
        self.assertEqual(there.received, b"")
        self.assertIsNotNone(here.end)

    def test_what_is_used_after_the_end_gives_no_credit(self) -> None:
        here, there = self.pair()
        there.consuming = False
        here.write(b"x" * 200_000)
        self.pump()
        here.reset()
        self.pump()
        there.consume()
        self.assertEqual(self.client.take(), [])

    def test_both_reset_at_once(self) -> None:
        here, there = self.pair()
        here.reset()
        there.reset()
        self.pump()
        self.assertEqual((here.events, there.events), ([], []))

    # -- back-pressure

    def test_a_paused_link_is_sent_no_data(self) -> None:
        here, there = self.pair()
        self.server.mux.pause()
        here.write(b"one ")
        here.write(b"two ")
        self.assertEqual(here.stream.queued, 8)
        self.pump()
        self.assertEqual(there.received, b"")
        self.server.mux.resume()
        self.assertEqual(here.stream.queued, 0)
        self.assertEqual(here.events, ["writable"])
        here.write(b"three")
        self.pump()
        self.assertEqual(there.received, b"one two three")

    def test_writable_is_told_once_all_has_gone(self) -> None:
        here, there = self.pair()
        self.server.mux.pause()
        here.write(b"x" * 200_000)
        self.server.on_send = self.server.mux.pause
        for _ in range(100):
            if not here.stream.queued:
                break
            self.assertEqual(here.events, [])
            self.server.mux.resume()
        self.assertEqual(here.events, ["writable"])
        self.pump()
        self.assertEqual(len(there.received), 200_000)

    def test_a_link_that_pauses_gets_one_flush_at_most(self) -> None:
        here, _ = self.pair()
        self.server.on_send = self.server.mux.pause
        here.write(b"x" * 250_000)
        sent = sum(len(data) for _, data in self.pieces(self.server.messages))
        self.assertLess(sent, FLUSH_SIZE + self.server.mux.max_data)
        self.assertEqual(here.stream.queued, 250_000 - sent)

    def test_a_stream_that_is_full_holds_up_no_other(self) -> None:
        (here, there), (other, beyond) = self.pair(), self.pair()
        there.consuming = False
        for _ in range(40):
            here.write(b"x" * 30_000)
        self.pump()
        other.write(b"quick")
        self.pump()
        self.assertEqual(beyond.received, b"quick")

    # -- fairness

    def test_small_answers_do_not_wait_for_large_ones(self) -> None:
        (large, _), (small, _), (third, _) = self.pair(), self.pair(), self.pair()
        self.server.mux.pause()
        limit = self.server.mux.max_data
        large.write(b"x" * (3 * limit))
        small.write(b"y")
        third.write(b"z" * (2 * limit))
        self.server.mux.resume()
        order = [id for id, _ in self.pieces(self.server.take())]
        a, b, c = large.stream.id, small.stream.id, third.stream.id
        self.assertEqual(order, [a, b, c, a, c, a])

    def test_who_is_called_back_is_not_let_past_those_who_wait(self) -> None:
        (first, _), (second, _) = self.pair(), self.pair()
        again = [b"again"]
        first.on_writable = lambda: first.write(again.pop() if again else b"")
        self.server.mux.pause()
        first.write(b"first")
        second.write(b"second")
        self.server.mux.resume()
        self.assertEqual(
            self.pieces(self.server.take()),
            [
                (first.stream.id, b"first"),
                (second.stream.id, b"second"),
                (first.stream.id, b"again"),
            ],
        )

    def test_many_who_write_again_when_called_back(self) -> None:
        owners = [self.pair() for _ in range(1500)]
        self.server.mux.pause()
        for here, _ in owners:
            again = [b"again"] * 3

            def write(here: Owner = here, again: list[bytes] = again) -> None:
                if again:
                    here.write(again.pop())

            here.on_writable = write
            here.write(b"first")
        self.server.mux.resume()
        self.pump()
        self.assertEqual({there.received for _, there in owners}, {b"firstagainagainagain"})

    # -- being called back

    def test_data_that_makes_the_owner_answer(self) -> None:
        here, there = self.pair()
        there.on_data = lambda data: there.write(data.upper())
        here.write(b"hello")
        self.pump()
        self.assertEqual(here.received, b"HELLO")

    def test_data_that_makes_the_owner_reset(self) -> None:
        here, there = self.pair()
        there.on_data = lambda data: there.reset()
        here.write(b"one")
        here.write(b"two")
        self.pump()
        self.assertEqual(there.received, b"one")
        self.assertEqual((self.server.mux.streams, self.client.mux.streams), ({}, {}))

    def test_data_that_makes_the_owner_reset_another(self) -> None:
        (here, there), (other, beyond) = self.pair(), self.pair()
        there.on_data = lambda data: beyond.reset()
        here.write(b"one")
        other.write(b"two")
        self.pump()
        self.assertEqual((there.received, beyond.received), (b"one", b""))
        self.assertIsNotNone(other.end)
        self.assertIsNone(here.end)

    def test_an_end_that_makes_the_owner_open_another(self) -> None:
        here, there = self.pair()
        here.on_closed = self.open
        there.reset()
        self.pump()
        self.assertEqual(len(self.client.owners), 2)

    def test_a_flush_that_makes_the_owner_finish(self) -> None:
        """The transport can call back from inside of a write."""
        here, _ = self.pair()
        self.server.mux.pause()
        here.write(b"x" * 65_000)
        self.server.on_send = here.finish
        self.server.mux.resume()
        self.server.on_send = lambda: None
        kinds = [kind for _, kind in self.kinds(self.server.take())]
        self.assertEqual(kinds.count("finish"), 1)
        self.assertEqual(kinds[-1], "finish")

    def test_a_flush_that_makes_the_owner_reset(self) -> None:
        here, _ = self.pair()
        self.server.mux.pause()
        here.write(b"x" * 200_000)
        self.server.on_send = here.reset
        self.server.mux.resume()
        self.server.on_send = lambda: None
        kinds = [kind for _, kind in self.kinds(self.server.take())]
        self.assertEqual(kinds[-1], "reset")
        self.assertEqual(here.events, [])
        self.assertEqual(here.stream.queued, 0)

    def test_a_flush_that_makes_the_owner_write(self) -> None:
        here, there = self.pair()
        self.server.mux.pause()
        here.write(b"x" * 200_000)
        once = [b"the end"]
        self.server.on_send = lambda: here.write(once.pop() if once else b"")
        self.server.mux.resume()
        self.pump()
        self.assertEqual(there.received, b"x" * 200_000 + b"the end")

    def test_a_flush_that_finds_the_link_lost(self) -> None:
        here, _ = self.pair()
        other, _ = self.pair()
        self.server.mux.pause()
        here.write(b"x" * 200_000)
        other.write(b"x" * 200_000)
        gone = StreamReset(ResetCode.CANCELLED, "the link was lost")
        self.server.on_send = lambda: self.server.mux.lost(gone)
        self.server.mux.resume()
        self.assertEqual(here.events, [(ResetCode.CANCELLED, "the link was lost")])
        self.assertEqual(other.events, [(ResetCode.CANCELLED, "the link was lost")])

    def test_an_owner_that_fails_when_called_back_stops_no_other(self) -> None:
        (first, _), (second, beyond) = self.pair(), self.pair()

        def fail() -> None:
            raise ZeroDivisionError

        first.on_writable = fail
        self.server.mux.pause()
        first.write(b"first")
        second.write(b"second")
        self.assertRaises(ZeroDivisionError, self.server.mux.resume)
        second.write(b" and more")
        self.pump()
        self.assertEqual(beyond.received, b"second and more")

    # -- the end of the link

    def test_lost(self) -> None:
        owners = [self.open() for _ in range(3)]
        self.server.mux.pause()
        owners[1].write(b"waiting")
        self.server.mux.lost(StreamReset(ResetCode.CANCELLED, "lost"))
        for owner in owners:
            self.assertEqual(owner.events, [(ResetCode.CANCELLED, "lost")])
            self.assertEqual(owner.stream.queued, 0)
        self.assertEqual(self.server.mux.streams, {})
        self.server.mux.lost(StreamReset(ResetCode.CANCELLED, "again"))
        self.server.mux.resume()
        for owner in owners:
            self.assertEqual(len(owner.events), 1)

    def test_lost_and_one_owner_resets_another(self) -> None:
        first, second, third = self.open(), self.open(), self.open()
        first.on_closed = second.reset
        third.on_closed = first.reset
        self.server.mux.lost(StreamReset(ResetCode.CANCELLED, "lost"))
        self.assertEqual((second.events, third.end), ([], (ResetCode.CANCELLED, "lost")))

    def test_nothing_is_opened_once_the_link_is_lost(self) -> None:
        first, second = self.open(), self.open()
        failures: list[StreamReset] = []

        def retry() -> None:
            failures.append(self.assertRaises(StreamReset, self.open))

        first.on_closed = retry
        self.server.mux.lost(StreamReset(ResetCode.CANCELLED, "lost"))
        self.assertEqual([(e.code, e.reason) for e in failures], [(ResetCode.CANCELLED, "lost")])
        self.assertRaises(StreamReset, self.open)
        self.assertEqual(self.server.mux.streams, {})
        self.assertIsNotNone(second.end)

    def test_nothing_is_accepted_once_the_link_is_lost(self) -> None:
        self.open()
        (message,) = self.server.take()
        self.client.mux.lost(StreamReset(ResetCode.CANCELLED, "lost"))
        self.client.mux.receive(message)
        self.assertEqual((self.client.owners, self.client.mux.streams), ([], {}))

    # -- all of it

    @repeatable
    @given(st.data())
    def test_whatever_two_ends_do(self, data: st.DataObject) -> None:
        """No end breaks the protocol, no byte is lost or out of order, nothing is left."""
        MuxTestCase.setUp(self)
        pairs: list[tuple[Owner, Owner]] = []
        written: dict[Owner, bytes] = {}
        for _ in range(data.draw(st.integers(1, 25))):
            action = data.draw(
                st.sampled_from(["open", "write", "write", "read", "end", "link", "pump"])
            )
            end = data.draw(st.sampled_from([self.server, self.client]))
            if action == "open":
                pairs.append(self.pair())
            elif action == "link":
                data.draw(st.sampled_from([end.mux.pause, end.mux.resume]))()
            elif action == "pump":
                self.pump()
            elif pairs:
                owner = data.draw(st.sampled_from(pairs))[end is self.client]
                if action == "write" and not owner.stream.finishing and owner.end is None:
                    piece = bytes((len(written) + 1,)) * data.draw(
                        st.sampled_from([1, 999, 300_000])
                    )
                    if owner.mux.streams.get(owner.stream.id) is owner.stream:
                        written[owner] = written.get(owner, b"") + piece
                    owner.write(piece)
                elif action == "read":
                    owner.consuming = not owner.consuming
                    owner.consume()
                elif action == "end":
                    data.draw(st.sampled_from([owner.finish, owner.reset]))()
        for end in (self.server, self.client):
            end.mux.resume()
        for owner in (owner for pair in pairs for owner in pair):
            owner.consuming = True
            owner.consume()
        self.pump()
        for here, there in pairs:
            for one, two in ((here, there), (there, here)):
                sent = written.get(one, b"")
                self.assertTrue(sent.startswith(two.received))
                if one.stream.id in one.mux.streams:
                    self.assertEqual(len(two.received), len(sent))
                    self.assertEqual(one.stream.queued, 0)
                    self.assertIn(two.stream.id, two.mux.streams)

    @repeatable
    @given(st.lists(st.binary(max_size=60), max_size=4))
    def test_whatever_comes(self, messages: list[bytes]) -> None:
        MuxTestCase.setUp(self)
        self.pair()
        for end in (self.server, self.client):
            for message in messages:
                try:
                    end.mux.receive(message)
                except ProtocolViolation:
                    break


class NativeTests(SharedTests, NativeTestCase):
    pass


class InletsTests(SharedTests, InletsTestCase):
    pass
