"""The native protocol: what it shares with the other, and its own rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from struct import pack, unpack_from
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inletspy.errors import ProtocolViolation, ResetCode, StreamReset
from inletspy.wire import frames
from inletspy.wire.frames import (
    INITIAL_WINDOW,
    MAX_PAYLOAD,
    MAX_WINDOW,
    NativeMux,
    pack_frame,
)
from tests.properties import repeatable
from tests.wire import muxes
from tests.wire.muxes import End, Owner

CONTROL, OPEN, DATA, WINDOW, FIN, RESET, ACK = range(7)
KINDS = {OPEN: "open", DATA: "data", FIN: "finish", RESET: "reset"}


def frames_of(messages: list[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Stream, type and payload of each frame, read as docs/protocol.md has it."""
    for message in messages:
        while message:
            stream, word = unpack_from("!II", message)
            end = 8 + (word >> 8)
            assert end <= len(message), "a cut frame"
            yield stream, word & 0xFF, message[8:end]
            message = message[end:]


def window(stream: int, credit: int) -> bytes:
    return pack_frame(stream, WINDOW, pack("!I", credit))


class NativeTestCase(muxes.MuxTestCase):
    service = 7

    def make_end(self, *, server: bool) -> End:
        end = End()
        self.said: list[dict[str, Any]] = []
        end.mux = NativeMux(end.turn, end.send, server=server, control=self.said.append)
        return end

    def pieces(self, messages: list[bytes]) -> list[tuple[int, bytes]]:
        return [(id, data) for id, kind, data in frames_of(messages) if kind == DATA and data]

    def kinds(self, messages: list[bytes]) -> list[tuple[int, str]]:
        return [(id, KINDS.get(kind, "other")) for id, kind, _ in frames_of(messages)]

    def give(self, end: End, *parts: bytes) -> list[tuple[int, int, bytes]]:
        """Have an end receive frames; what it answers."""
        end.take()
        end.mux.receive(b"".join(parts))
        return list(frames_of(end.take()))

    def assertViolated(self, end: End, *parts: bytes) -> None:
        self.assertRaises(ProtocolViolation, end.mux.receive, b"".join(parts))


class SharedTests(NativeTestCase, muxes.MuxTests):
    pass


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
        muxes.MuxTestCase.setUp(self)
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

    def grow(self, owner: Owner) -> int:
        """By how much the client widens a stream's window at the server's signal."""
        answer = self.give(self.client, pack_frame(owner.stream.id, DATA))
        return sum(unpack_from("!I", data)[0] for _, kind, data in answer if kind == WINDOW)

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

    def test_not_for_a_slow_reader(self) -> None:
        here, there = self.pair()
        there.consuming = False
        here.write(b"x")
        self.pump()
        self.assertEqual(self.grow(there), 0)
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


class ControlTests(NativeTestCase):
    def say(self, payload: bytes) -> None:
        self.client.mux.receive(pack_frame(0, CONTROL, payload))

    def test_there_and_back(self) -> None:
        message = {"type": "hello", "text": "w\xf6rd \U0001f600", "list": [1, None, {"a": 2.5}]}
        self.server.mux.send_control(message)
        self.pump()
        self.assertEqual(self.said, [message])

    def test_what_is_no_message(self) -> None:
        for payload in (
            b"",
            b" ",
            b"x",
            b"{",
            b'{"type":"a"}x',
            b'{"type":"a"}{"type":"b"}',
            b"null",
            b"1",
            b'"type"',
            b"[]",
            b'[{"type":"a"}]',
            b"{}",
            b'{"Type":"a"}',
            b'{"type":1}',
            b'{"type":null}',
            b'{"type":["a"]}',
            b"{'type':'a'}",
            b'{"type":"a",}',
            b'{"type":"a\n"}',
            b'{"type":"a","b":NaN}',
            b'{"type":"a","b":-Infinity}',
            b'{"type":"a","b":[Infinity]}',
            b'{"type":"a","b":' + b"1" * 5000 + b"}",
            b'{"type":"\xff"}',
            b"\xef\xbb\xbf" + b'{"type":"a"}',
            '{"type":"a"}'.encode("utf-16"),
            '{"type":"a"}'.encode("utf-32-be"),
            b"[" * 60_000,
            b'{"type":' * 8000,
            b'{"type":"a","b":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        ):
            with self.subTest(payload=payload[:60]):
                self.assertRaises(ProtocolViolation, self.say, payload)
        self.assertEqual(self.said, [])

    def test_a_huge_one(self) -> None:
        text = "x" * (MAX_PAYLOAD - len('{"type":""}'))
        self.server.mux.send_control({"type": text})
        self.pump()
        self.assertEqual(self.said, [{"type": text}])
        self.assertRaises(ValueError, self.server.mux.send_control, {"type": text + "x"})
        self.assertRaises(ValueError, self.server.mux.send_control, {"type": float("nan")})
        self.assertEqual(self.server.take(), [])

    def test_a_violation_in_what_is_said_ends_the_session(self) -> None:
        def violated(message: dict[str, Any]) -> None:
            raise ProtocolViolation("a second hello")

        self.client.mux.control = violated
        self.assertRaises(ProtocolViolation, self.say, b'{"type":"hello"}')

    @repeatable
    @given(
        st.dictionaries(
            st.text(max_size=5),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.text(max_size=5)
                | st.floats(allow_nan=False, allow_infinity=False),
                lambda items: (
                    st.lists(items, max_size=3)
                    | st.dictionaries(st.text(max_size=3), items, max_size=3)
                ),
                max_leaves=8,
            ),
            max_size=4,
        )
    )
    def test_any_message(self, fields: dict[str, Any]) -> None:
        muxes.MuxTestCase.setUp(self)
        message = {**fields, "type": "x"}
        self.server.mux.send_control(message)
        self.pump()
        self.assertEqual(self.said, [message])

    @repeatable
    @given(st.one_of(st.binary(max_size=30), st.text(max_size=30).map(str.encode)))
    def test_whatever_is_said(self, payload: bytes) -> None:
        muxes.MuxTestCase.setUp(self)
        try:
            self.say(payload)
        except ProtocolViolation:
            self.assertEqual(self.said, [])
        else:
            self.assertEqual(self.said, [json.loads(payload)])


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
        muxes.MuxTestCase.setUp(self)
        for end in (self.server, self.client):
            for frame in received:
                try:
                    end.mux.receive(frame)
                except ProtocolViolation:
                    break
            end.mux.lost(StreamReset(ResetCode.CANCELLED))
            self.assertEqual(end.mux.streams, {})
