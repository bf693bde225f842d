"""The native protocol: frames, ids, half-closes and resets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inletspy.errors import ProtocolViolation, ResetCode, StreamReset
from inletspy.wire.frames import (
    MAX_PAYLOAD,
    pack_frame,
)
from tests.properties import repeatable
from tests.wire.muxes import Owner
from tests.wire.native import ACK, CONTROL, DATA, FIN, OPEN, RESET, WINDOW, NativeTestCase, window


class TranscriptTests(NativeTestCase):
    """Against bytes written down by hand."""

    def test_open_data_and_finish(self) -> None:
        owner = self.open()
        owner.write(b"hi")
        owner.finish()
        self.assertEqual(
            self.server.take(),
            [
                b"\0\0\0\2" + b"\0\0\x13\1" + b"\0\7" + b"203.0.113.9:51234"
                b"\0\0\0\2" + b"\0\0\2\2" + b"hi"
                b"\0\0\0\2" + b"\0\0\0\4"
            ],
        )

    def test_reset(self) -> None:
        owner = self.open()
        self.server.take()
        owner.reset(ResetCode.TIMEOUT, "slow")
        self.assertEqual(self.server.take(), [b"\0\0\0\2" + b"\0\0\6\5" + b"\0\3" + b"slow"])

    def test_window(self) -> None:
        stream = b"\0\0\0\2"
        self.client.mux.receive(stream + b"\0\0\2\1" + b"\0\7")
        for _ in range(2):
            self.client.mux.receive(stream + b"\1\0\0\2" + b"x" * 65_536)
        self.assertEqual(self.client.take(), [stream + b"\0\0\4\3" + b"\0\2\0\0"])

    def test_control(self) -> None:
        self.server.mux.send_control({"type": "notice", "message": "wörd"})
        payload = b'{"type":"notice","message":"w\\u00f6rd"}'
        self.assertEqual(self.server.take(), [b"\0\0\0\0" + b"\0\0\x27\0" + payload])

    def test_many_frames_in_one_message(self) -> None:
        frames = [
            pack_frame(0, CONTROL, b'{"type":"a"}'),
            pack_frame(2, OPEN, b"\0\7v"),
            pack_frame(2, DATA, b"one"),
            pack_frame(0, ACK, b"\0" * 8),
            pack_frame(4, OPEN, b"\0\7v"),
            pack_frame(2, DATA, b"two"),
            pack_frame(4, RESET, b"\0\4"),
            pack_frame(2, FIN),
        ]
        for messages in ([b"".join(frames)], frames):
            self.setUp()
            for message in messages:
                self.client.mux.receive(message)
            first, second = self.client.owners
            self.assertEqual(self.said, [{"type": "a"}])
            self.assertEqual((first.received, first.events), (b"onetwo", ["finished"]))
            self.assertEqual(second.end, (ResetCode.CANCELLED, ""))

    def test_a_message_cut_in_every_place(self) -> None:
        whole = [
            pack_frame(2, OPEN, b"\0\7v"),
            pack_frame(2, DATA, b"data"),
            window(2, 5),
            pack_frame(0, CONTROL, b'{"type":"a"}'),
            pack_frame(2, FIN),
        ]
        message = b"".join(whole)
        ends = {len(b"".join(whole[:count])) for count in range(len(whole) + 1)}
        for cut in range(len(message)):
            self.setUp()
            if cut in ends:
                self.client.mux.receive(message[:cut])
            else:
                self.assertViolated(self.client, message[:cut])


class FrameTests(NativeTestCase):
    def test_lengths(self) -> None:
        here, there = self.pair()
        self.give(self.client, pack_frame(here.stream.id, DATA, b"x" * MAX_PAYLOAD))
        self.assertEqual(len(there.received), MAX_PAYLOAD)
        self.assertViolated(self.client, pack_frame(here.stream.id, DATA, b"x" * (MAX_PAYLOAD + 1)))
        self.assertViolated(self.client, b"\0\0\0\2\xff\xff\xff\2" + b"x" * 100)

    def test_what_a_stream_gets_is_bytes(self) -> None:
        """Unmasked messages come in buffers, which no transport takes."""
        for size in (1, MAX_PAYLOAD):
            here, there = self.pair()
            kinds: list[type] = []
            there.on_data = lambda data, kinds=kinds: kinds.append(type(data))  # type: ignore[misc]
            self.client.mux.receive(bytearray(pack_frame(here.stream.id, DATA, b"x" * size)))
            self.assertEqual(kinds, [bytes])

    def test_unknown_types(self) -> None:
        here, _ = self.pair()
        for kind in (7, 8, 127, 255):
            self.assertViolated(self.client, pack_frame(0, kind))
            self.assertViolated(self.client, pack_frame(here.stream.id, kind, b"x"))

    def test_an_empty_message(self) -> None:
        self.assertEqual(self.give(self.client, b""), [])

    def test_acknowledgements(self) -> None:
        self.assertEqual(self.give(self.client, pack_frame(0, ACK, b"\xff" * 8)), [])
        for frame in (
            pack_frame(0, ACK),
            pack_frame(0, ACK, b"\0" * 7),
            pack_frame(0, ACK, b"\0" * 9),
            pack_frame(2, ACK, b"\0" * 8),
        ):
            self.assertViolated(self.client, frame)

    def test_malformed_payloads(self) -> None:
        here, _ = self.pair()
        id = here.stream.id
        for frame in (
            pack_frame(id, WINDOW),
            pack_frame(id, WINDOW, b"\0\0\1"),
            pack_frame(id, WINDOW, b"\0\0\0\0\1"),
            pack_frame(id, FIN, b"x"),
            pack_frame(id, RESET),
            pack_frame(id, RESET, b"\1"),
            pack_frame(id + 2, OPEN),
            pack_frame(id + 2, OPEN, b"\0"),
            pack_frame(id + 2, OPEN, b"\0\1" + b"x" * 299),
            pack_frame(id, CONTROL, b'{"type":"a"}'),
        ):
            self.assertViolated(self.client, frame)


class StreamIdTests(NativeTestCase):
    def test_each_end_has_its_own(self) -> None:
        self.server.mux.accept = self.server.accept
        opened = [self.open().stream.id for _ in range(3)]
        self.assertEqual(opened, [2, 4, 6])
        owner = Owner(self.client.mux)
        opened = [self.client.mux.open(1, "v", owner).id for _ in range(3)]
        self.assertEqual(opened, [1, 3, 5])
        self.pump()
        self.assertEqual(self.server.visitors, [(1, "v")] * 3)

    def test_ids_of_the_wrong_end(self) -> None:
        for id in (0, 1, 3, 0xFFFFFFFF):
            self.assertViolated(self.client, pack_frame(id, OPEN, b"\0\7"))
        for id in (0, 2, 4, 0xFFFFFFFE):
            self.assertViolated(self.server, pack_frame(id, OPEN, b"\0\7"))

    def test_ids_rise(self) -> None:
        self.give(self.client, pack_frame(6, OPEN, b"\0\7"))
        for id in (2, 4, 6):
            self.assertViolated(self.client, pack_frame(id, OPEN, b"\0\7"))
        self.give(self.client, pack_frame(0xFFFFFFFE, OPEN, b"\0\7"))

    def test_ids_are_not_used_again(self) -> None:
        here, there = self.pair()
        there.reset()
        self.pump()
        self.assertViolated(self.client, pack_frame(here.stream.id, OPEN, b"\0\7"))
        self.assertNotEqual(self.open().stream.id, here.stream.id)

    def test_ids_run_out(self) -> None:
        self.server.mux._next_id = 0xFFFFFFFE
        self.assertEqual(self.open().stream.id, 0xFFFFFFFE)
        error = self.assertRaises(StreamReset, self.open)
        self.assertEqual(error.code, ResetCode.LIMIT)

    def test_frames_for_streams_that_have_ended(self) -> None:
        """They were under way when it ended."""
        here, there = self.pair()
        own = self.client.mux.open(1, "v", Owner(self.client.mux))
        self.client.mux.reset(own, ResetCode.CANCELLED)
        there.reset()
        for id in (here.stream.id, own.id):
            for frame in (
                pack_frame(id, DATA, b"x"),
                pack_frame(id, DATA),
                window(id, 5),
                pack_frame(id, FIN),
                pack_frame(id, RESET, b"\0\1"),
            ):
                self.assertEqual(self.give(self.client, frame), [])

    def test_ids_that_were_left_out_count_as_ended(self) -> None:
        self.give(self.client, pack_frame(10, OPEN, b"\0\7"))
        self.give(self.client, pack_frame(4, DATA, b"x"))

    def test_frames_for_streams_that_never_were(self) -> None:
        here, _ = self.pair()
        own = self.client.mux.open(1, "v", Owner(self.client.mux))
        for id in (0, here.stream.id + 2, own.id + 2, 0xFFFFFFFE, 0xFFFFFFFF):
            for frame in (
                pack_frame(id, DATA, b"x"),
                pack_frame(id, DATA),
                window(id, 5),
                pack_frame(id, FIN),
                pack_frame(id, RESET, b"\0\1"),
            ):
                self.assertViolated(self.client, frame)

    def test_services_and_visitors(self) -> None:
        self.give(
            self.client,
            pack_frame(2, OPEN, b"\xff\xff[2001:db8::1]:5"),
            pack_frame(4, OPEN, b"\0\0"),
            pack_frame(6, OPEN, b"\0\1\xff\xfe"),
            pack_frame(8, OPEN, b"\0\1" + b"x" * 298),
        )
        self.assertEqual(
            self.client.visitors,
            [(65535, "[2001:db8::1]:5"), (0, ""), (1, "��"), (1, "x" * 298)],
        )

    def test_a_visitor_that_is_no_ascii(self) -> None:
        self.server.mux.open(7, "vïsitor", Owner(self.server.mux))
        self.pump()
        self.assertEqual(self.client.visitors, [(7, "v?sitor")])


class HalfCloseTests(NativeTestCase):
    def test_one_direction_goes_on(self) -> None:
        here, there = self.pair()
        here.finish()
        self.pump()
        self.assertEqual((there.events, here.events), (["finished"], []))
        there.write(b"still here")
        self.pump()
        self.assertEqual(here.received, b"still here")
        there.finish()
        self.pump()
        self.assertEqual(
            (here.events, there.events), (["finished", "closed"], ["finished", "closed"])
        )

    def test_both_at_once(self) -> None:
        here, there = self.pair()
        here.finish()
        there.finish()
        self.pump()
        self.assertEqual((here.end, there.end), ("closed", "closed"))
        self.assertEqual((self.server.mux.streams, self.client.mux.streams), ({}, {}))

    def test_finish_when_told_that_the_peer_has(self) -> None:
        here, there = self.pair()
        there.on_finished = there.finish
        here.finish()
        self.pump()
        self.assertEqual((here.end, there.end), ("closed", "closed"))

    def test_reset_when_told_that_the_peer_has_finished(self) -> None:
        here, there = self.pair()
        there.on_finished = there.reset
        here.finish()
        self.pump()
        self.assertEqual((here.end, there.end), ((ResetCode.CANCELLED, ""), None))

    def test_closed_only_when_what_waited_is_sent(self) -> None:
        here, there = self.pair()
        self.server.mux.pause()
        here.write(b"x" * 100)
        here.finish()
        there.finish()
        self.pump()
        self.assertEqual(here.events, ["finished"])
        self.server.mux.resume()
        self.pump()
        self.assertEqual((here.events, there.received), (["finished", "closed"], b"x" * 100))

    def test_credit_after_a_finish_is_of_no_interest(self) -> None:
        here, there = self.pair()
        there.consuming = False
        here.write(b"x" * 200_000)
        here.finish()
        self.pump()
        there.consume()
        self.assertEqual(self.client.take(), [])

    def test_a_second_finish(self) -> None:
        here, _ = self.pair()
        self.assertViolated(self.client, pack_frame(here.stream.id, FIN) * 2)

    def test_data_after_finish(self) -> None:
        for data in (b"x", b""):
            self.setUp()
            here, _ = self.pair()
            self.assertViolated(
                self.client, pack_frame(here.stream.id, FIN), pack_frame(here.stream.id, DATA, data)
            )

    def test_credit_and_reset_after_finish_are_in_order(self) -> None:
        here, there = self.pair()
        id = here.stream.id
        self.give(self.client, pack_frame(id, FIN), window(id, 10), pack_frame(id, RESET, b"\0\2x"))
        self.assertEqual(there.events, ["finished", (ResetCode.UNREACHABLE, "x")])

    def test_data_for_one_that_both_have_finished(self) -> None:
        """It is over then, and to this end the same as one that was reset."""
        here, there = self.pair()
        there.finish()
        self.give(self.client, pack_frame(here.stream.id, FIN))
        self.assertEqual(self.give(self.client, pack_frame(here.stream.id, DATA, b"x")), [])


class ResetTests(NativeTestCase):
    def test_every_code(self) -> None:
        for code in ResetCode:
            here, there = self.pair()
            here.reset(code, "why")
            self.pump()
            self.assertEqual(there.events, [(code, "why")])

    def test_codes_of_later_versions(self) -> None:
        here, there = self.pair()
        self.give(self.client, pack_frame(here.stream.id, RESET, b"\xff\xff"))
        self.assertEqual(there.events, [(ResetCode.INTERNAL, "")])

    def test_reasons(self) -> None:
        here, there = self.pair()
        self.give(self.client, pack_frame(here.stream.id, RESET, b"\0\1\xff" + b"x" * 60_000))
        self.assertEqual(there.events, [(ResetCode.REFUSED, "�" + "x" * 999)])


class PropertyTests(NativeTestCase):
    @repeatable
    @given(
        st.lists(
            st.builds(
                pack_frame,
                st.sampled_from([0, 1, 2, 3, 4, 6]),
                st.integers(0, 7),
                st.sampled_from(
                    [
                        b"",
                        b"\0",
                        b"\0\1",
                        b"\0\1x",
                        b"\0\0\0\5",
                        b"\0" * 8,
                        b'{"type":"a"}',
                        b"x" * 70,
                    ]
                ),
            ),
            max_size=12,
        )
    )
    def test_whatever_frames_come(self, received: list[bytes]) -> None:
        NativeTestCase.setUp(self)
        for end in (self.server, self.client):
            for frame in received:
                try:
                    end.mux.receive(frame)
                except ProtocolViolation:
                    break
            end.mux.lost(StreamReset(ResetCode.CANCELLED))
            self.assertEqual(end.mux.streams, {})
