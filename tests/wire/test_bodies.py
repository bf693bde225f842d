"""Bodies: where they end, whatever the pieces they come in, and what breaks them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import HeadError
from inletspy.wire.bodies import (
    MAX_SIZE_LINE,
    MAX_TRAILERS,
    Body,
    ChunkedBody,
    CloseBody,
    SizedBody,
    body_for,
    chunk,
)
from inletspy.wire.http1 import CHUNKED, CLOSE, NO_BODY, SIZED
from tests.properties import repeatable


def feed(body: Body, *parts: bytes) -> tuple[int, bytes]:
    """How many bytes of the parts belong to a body, and its content."""
    size = 0
    pieces: list[bytes] = []
    for part in parts:
        size += body.feed(part, pieces)
        if body.finished:
            break
    return size, b"".join(pieces)


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


class SizedTests(TestCase):
    def test_whole(self) -> None:
        body = SizedBody(5)
        self.assertFalse(body.finished)
        self.assertEqual(feed(body, b"helloNEXT"), (5, b"hello"))
        self.assertTrue(body.finished)

    def test_nothing_after_it(self) -> None:
        body = SizedBody(5)
        self.assertEqual(feed(body, b"hell", b"o"), (5, b"hello"))
        self.assertTrue(body.finished)

    def test_in_two_at_every_place(self) -> None:
        data = b"helloNEXT"
        for cut in range(len(data)):
            body = SizedBody(5)
            size, content = feed(body, data[:cut], data[cut:])
            self.assertEqual((size, content, body.finished), (5, b"hello", True))

    def test_what_is_over_takes_no_more(self) -> None:
        body = SizedBody(1)
        body.feed(b"x")
        self.assertEqual(body.feed(b"y"), 0)
        self.assertTrue(SizedBody(0).finished)

    def test_without_pieces(self) -> None:
        body = SizedBody(10**18)
        self.assertEqual(body.feed(b"hello"), 5)
        self.assertFalse(body.finished)


class CloseTests(TestCase):
    def test_all_is_its_own(self) -> None:
        body = CloseBody()
        self.assertEqual(feed(body, b"a", b"", b"bc"), (3, b"abc"))
        self.assertFalse(body.finished)


class ChoiceTests(TestCase):
    def test_by_framing(self) -> None:
        self.assertIsNone(body_for(NO_BODY, 0))
        self.assertIsInstance(body_for(CHUNKED, 0), ChunkedBody)
        self.assertIsInstance(body_for(CLOSE, 0), CloseBody)
        sized = body_for(SIZED, 3)
        self.assertIsInstance(sized, SizedBody)
        self.assertEqual(sized and sized.feed(b"abcd"), 3)


class ChunkedTests(TestCase):
    #: What is well formed, and its content.
    GOOD = (
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"1\r\na\r\n2\r\nbc\r\n000\r\n\r\n", b"abc"),
        (b"A\r\n0123456789\r\n00000000a\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"3\r\n0\r\n\r\n0\r\n\r\n", b"0\r\n"),
        (b"1;a\r\nx\r\n0;last\r\n\r\n", b"x"),
        (b'1 \t;\ta=b;c="d;e"\r\nx\r\n0\r\n\r\n', b"x"),
        (b"1;\xe9\r\nx\r\n0\r\n\r\n", b"x"),
        (b"1;\r\nx\r\n0\r\n\r\n", b"x"),
        (b"0\r\nA: b\r\nc:\r\n\r\n", b""),
        (b"1\r\nx\r\n0\r\nX-Sum: \xe9\t1\r\n\r\n", b"x"),
    )

    #: What is not, be it whole or in pieces.
    BAD = (
        b"-1\r\nx\r\n",
        b"+1\r\nx\r\n",
        b"0x10\r\nx\r\n",
        b"00000000000000001\r\nx\r\n",
        b"fffffffffffffffff\r\nx\r\n",
        b"8000000000000000\r\nx\r\n",
        b"ffffffffffffffff\r\nx\r\n",
        b"\r\n",
        b";a\r\n",
        b" 1\r\nx\r\n",
        b"1 \r\nx\r\n",
        b"1 x\r\nx\r\n",
        b"1,2\r\nx\r\n",
        b"1_0\r\nx\r\n",
        b"g\r\n",
        b"\xb2\r\n",
        b"1\nx\r\n0\r\n\r\n",
        b"1\r\r\nx\r\n",
        b"1;a\nx\r\n0\r\n\r\n",
        b"1;a\rb\r\nx\r\n0\r\n\r\n",
        b"1;a\0\r\nx\r\n",
        b"1;a\x7f\r\nx\r\n",
        b"1\r\nxy\r\n",
        b"1\r\nx\n0\r\n\r\n",
        b"1\r\nx\r0\r\n\r\n",
        b"1\r\nx0\r\n\r\n",
        b"1\r\nx\r\n\r\n",
        b"0\r\n\n",
        b"0\n\r\n",
        b"0\r\n \r\n",
        b"0\r\nA\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA: b\rc\r\n\r\n",
        b"0\r\nA: \0\r\n\r\n",
        b"0\r\n: b\r\n\r\n",
        b"0\r\n\xe9: b\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n",
        b"0\r\nHOST:\r\n\r\n",
    )

    def test_well_formed(self) -> None:
        for data, content in self.GOOD:
            for parts in ([data], [data + b"GET /"], bytewise(data + b"0\r\n\r\n")):
                with self.subTest(parts=parts):
                    body = ChunkedBody()
                    self.assertEqual(feed(body, *parts), (len(data), content))
                    self.assertTrue(body.finished)
                    self.assertEqual(body.feed(b"0\r\n\r\n"), 0)

    def test_in_two_at_every_place(self) -> None:
        for data, content in self.GOOD:
            for cut in range(len(data)):
                body = ChunkedBody()
                size = body.feed(data[:cut])
                self.assertEqual((size, body.finished), (cut, False))
                body = ChunkedBody()
                size, got = feed(body, data[:cut], b"", data[cut:] + b"NEXT")
                self.assertEqual((size, got, body.finished), (len(data), content, True))

    def test_malformed(self) -> None:
        for data in self.BAD:
            for parts in ([data], bytewise(data)):
                with self.subTest(parts=parts):
                    self.assertRaises(HeadError, feed, ChunkedBody(), *parts)
            for cut in range(1, len(data)):
                with self.subTest(data=data, cut=cut):
                    self.assertRaises(HeadError, feed, ChunkedBody(), data[:cut], data[cut:])

    def test_the_largest_chunk(self) -> None:
        body = ChunkedBody()
        self.assertEqual(feed(body, b"7fffffffffffffff\r\nabc"), (21, b"abc"))
        self.assertFalse(body.finished)

    def test_a_long_size_line(self) -> None:
        line = b"1;" + b"a" * (MAX_SIZE_LINE - 4) + b"\r\n"
        self.assertEqual(feed(ChunkedBody(), line + b"x"), (MAX_SIZE_LINE + 1, b"x"))
        for parts in ([b"1;a" + line[2:]], [line[:-2], b"aaa"], bytewise(b"1;a" + line[2:])):
            self.assertRaises(HeadError, feed, ChunkedBody(), *parts)

    def test_long_trailers(self) -> None:
        line = b"A: " + b"b" * 1019 + b"\r\n"
        whole = line * (MAX_TRAILERS // len(line))
        body = ChunkedBody()
        feed(body, b"0\r\n", whole, b"\r\n")
        self.assertTrue(body.finished)
        self.assertRaises(HeadError, feed, ChunkedBody(), b"0\r\n", whole, b"A:\r\n")
        self.assertRaises(HeadError, feed, ChunkedBody(), b"0\r\nA:" + b"b" * MAX_TRAILERS)

    def test_to_make_one(self) -> None:
        self.assertEqual(chunk(b"hello world, how are you"), b"18\r\nhello world, how are you\r\n")


_pieces = st.sampled_from(
    [b"0", b"1", b"a", b"-", b";", b"x", b" ", b":", b"\r\n", b"\r\n", b"\r", b"\n", b"A: b\r\n"]
)


class PropertyTests(TestCase):
    @repeatable
    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
    def test_there_and_back(self, contents: list[bytes], data: st.DataObject) -> None:
        raw = b"".join(map(chunk, contents)) + b"0\r\n\r\n"
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=5)))
        parts = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        body = ChunkedBody()
        self.assertEqual(feed(body, *parts), (len(raw), b"".join(contents)))
        self.assertTrue(body.finished)

    @repeatable
    @given(st.one_of(st.binary(max_size=60), st.lists(_pieces, max_size=20).map(b"".join)))
    def test_pieces_make_no_difference(self, data: bytes) -> None:
        """Whatever comes, it is taken or refused alike, whole and byte by byte."""
        outcomes: list[tuple[tuple[int, bytes], bool] | None] = []
        for parts in ([data], bytewise(data)):
            body = ChunkedBody()
            try:
                outcomes.append((feed(body, *parts), body.finished))
            except HeadError:
                outcomes.append(None)
        self.assertEqual(outcomes[0], outcomes[1])
