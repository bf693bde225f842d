"""Varints against the encoding of Go's `binary.PutVarint`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import ProtocolViolation
from inletspy.wire import varint
from tests.properties import repeatable

#: Numbers and what Go makes of them.
EXAMPLES = {
    0: "00",
    -1: "01",
    1: "02",
    2: "04",
    -2: "03",
    63: "7e",
    -64: "7f",
    64: "8001",
    -65: "8101",
    300: "d804",
    15_000: "b0ea01",
    (1 << 62): "80808080808080808001",
    (1 << 63) - 1: "feffffffffffffffff01",
    -(1 << 63): "ffffffffffffffffff01",
}


class VarintTests(TestCase):
    def test_examples(self) -> None:
        for number, text in EXAMPLES.items():
            data = bytes.fromhex(text)
            with self.subTest(number=number):
                self.assertEqual(varint.encode(number), data)
                self.assertEqual(varint.decode(data), (number, len(data)))

    def test_a_number_within_others(self) -> None:
        data = varint.encode(-300) + varint.encode(7) + b"payload"
        self.assertEqual(varint.decode(data), (-300, 2))
        self.assertEqual(varint.decode(data, 2), (7, 3))

    def test_a_longer_form_than_needed_is_understood(self) -> None:
        self.assertEqual(varint.decode(b"\x82\x80\x00"), (1, 3))

    def test_cut(self) -> None:
        data = varint.encode(-(1 << 63))
        for end in range(len(data)):
            with self.subTest(end=end):
                self.assertRaises(ProtocolViolation, varint.decode, data[:end])
        self.assertRaises(ProtocolViolation, varint.decode, b"abc", 3)
        self.assertRaises(ProtocolViolation, varint.decode, b"abc", 4)

    def test_more_than_ten_bytes(self) -> None:
        self.assertRaises(ProtocolViolation, varint.decode, b"\x80" * 10 + b"\x00")
        self.assertRaises(ProtocolViolation, varint.decode, b"\x80" * 10 + b"\x01")
        self.assertRaises(ProtocolViolation, varint.decode, b"\xff" * 11)

    def test_more_than_64_bits(self) -> None:
        self.assertRaises(ProtocolViolation, varint.decode, b"\xff" * 9 + b"\x02")
        self.assertRaises(ProtocolViolation, varint.decode, b"\xff" * 9 + b"\x7f")

    @repeatable
    @given(st.integers(-(1 << 63), (1 << 63) - 1), st.binary(max_size=12))
    def test_there_and_back(self, number: int, rest: bytes) -> None:
        data = varint.encode(number)
        self.assertLessEqual(len(data), 10)
        self.assertEqual(varint.decode(rest + data + rest, len(rest)), (number, len(rest + data)))

    @repeatable
    @given(st.binary(max_size=14))
    def test_whatever_comes(self, data: bytes) -> None:
        try:
            number, end = varint.decode(data)
        except ProtocolViolation:
            return
        self.assertIn(number, range(-(1 << 63), 1 << 63))
        self.assertIn(end, range(1, 11))
        self.assertLess(data[end - 1], 0x80)
