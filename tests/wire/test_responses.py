"""Response heads: what passes, how the body is framed, and what the visitor gets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import HeadError
from inletspy.wire.http1 import (
    CHUNKED,
    CLOSE,
    MAX_FIELDS,
    MAX_HEAD,
    NO_BODY,
    SIZED,
    ResponseHead,
    parse_response,
)
from inletspy.wire.responses import plain_length
from tests.properties import repeatable


def head(*lines: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A response's head."""
    return b"\r\n".join([line, *lines, b"", b""])


def parse(*lines: bytes, line: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET") -> ResponseHead:
    """The head of an answer to a request with that method."""
    return parse_response(head(*lines, line=line), method)


class AcceptedTests(TestCase):
    def test_a_page(self) -> None:
        raw = head(
            b"Server: x", b"Content-Length: 5", b"Set-Cookie: a=b", b"set-cookie: c=w\xe9rt; d"
        )
        response = parse_response(raw, b"GET")
        self.assertEqual((response.status, response.minor), (200, 1))
        self.assertEqual((response.framing, response.length), (SIZED, 5))
        self.assertTrue(response.keep_alive)
        self.assertFalse(response.informational)
        self.assertIs(response.forward(), raw)

    def test_cut_in_every_place(self) -> None:
        raw = head(b"Content-Length: 5", b"X: y")
        for end in range(len(raw)):
            self.assertRaises(HeadError, parse_response, raw[:end], b"GET")

    def test_reasons(self) -> None:
        for line in (
            b"HTTP/1.1 404 Not Found",
            b"HTTP/1.1 404 ",
            b"HTTP/1.1 404  \tx",
            b"HTTP/1.1 404 w\xe9rt",
            b"HTTP/1.1 404 404",
        ):
            self.assertEqual(parse(line=line).status, 404)
            self.assertEqual(parse(line=line).forward(), head(line=line))
            self.assertEqual(parse(line=line).forward(b"A: b\r\n"), head(b"A: b", line=line))

    def test_no_reason_and_no_space_before_it(self) -> None:
        response = parse(b"X: y", line=b"HTTP/1.1 404")
        self.assertEqual(response.status, 404)
        self.assertEqual(response.forward(), head(b"X: y", line=b"HTTP/1.1 404 "))

    def test_unusual_statuses(self) -> None:
        for status in (b"299", b"599", b"999"):
            self.assertEqual(parse(line=b"HTTP/1.1 " + status + b" X").status, int(status))

    def test_two_hundred_fields(self) -> None:
        parse(*[b"Set-Cookie: a=b"] * (2 * MAX_FIELDS))

    def test_the_longest_head(self) -> None:
        parse(b"X: " + b"y" * (MAX_HEAD - len(head(b"X: "))))


class RefusedTests(TestCase):
    def assertRefused(self, data: bytes, reason: str = "") -> None:
        with self.subTest(data=data[:200]):
            error = self.assertRaises(HeadError, parse_response, data, b"GET")
            self.assertIn(reason, str(error))

    def test_status_lines(self) -> None:
        for line in (
            b"",
            b"HTTP/1.1",
            b"HTTP/1.1 ",
            b"HTTP/1.1 20 OK",
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 099 OK",
            b"HTTP/1.1 +20 OK",
            b"HTTP/1.1 abc OK",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1 200\tOK",
            b"HTTP/1.1 200 O\0K",
            b"HTTP/1.1 200 O\x7fK",
            b"HTTP/1.1 200 O\rK",
            b"HTTP/1.1 200 O\nK",
            b"http/1.1 200 OK",
            b"HTTP/1.2 200 OK",
            b"HTTP/2.0 200 OK",
            b"HTTP/2 200",
            b"ICY 200 OK",
            b" HTTP/1.1 200 OK",
            b"\r\nHTTP/1.1 200 OK",
            b"<html>",
        ):
            self.assertRefused(head(line=line), "malformed")

    def test_lines(self) -> None:
        for line in (
            b" folded",
            b"A: b\r\n c",
            b"A : b",
            b"A",
            b": b",
            b"A: b\0",
            b"A: b\rc",
            b"A: b\nc: d",
            b"\xff: b",
        ):
            self.assertRefused(head(line), "malformed")
        self.assertRefused(b"HTTP/1.1 200 OK\nA: b\n\n", "malformed")
        self.assertRefused(head() + b"x", "malformed")

    def test_too_long(self) -> None:
        self.assertRefused(head(b"X: " + b"y" * (MAX_HEAD - len(head(b"X: ")) + 1)), "too long")
        self.assertRefused(head(*[b"X: y"] * (2 * MAX_FIELDS + 1)), "too many")

    def test_framing(self) -> None:
        chunked, length = b"Transfer-Encoding: chunked", b"Content-Length: 5"
        for lines in ([chunked, length], [length, chunked], [b"Content-Length: 0", chunked]):
            self.assertRefused(head(*lines), "with Transfer-Encoding")
        self.assertRefused(head(length, b"Content-Length: 6"), "differing")
        for value in (b"", b"-1", b"+5", b"0x5", b"5, 5", b"5 ,", b"9" * 19, b"\xb2"):
            self.assertRefused(head(b"Content-Length: " + value), "malformed Content-Length")
        for value in (
            b"",
            b"gzip",
            b"gzip, chunked",
            b"identity",
            b"chunked, chunked",
            b"xchunked",
        ):
            self.assertRefused(head(b"Transfer-Encoding: " + value), "Transfer-Encoding")
        self.assertRefused(head(chunked, chunked), "Transfer-Encoding")
        self.assertRefused(head(chunked, line=b"HTTP/1.0 200 OK"), "Transfer-Encoding")

    def test_a_switch_to_nothing(self) -> None:
        self.assertRefused(head(b"Connection: upgrade", line=b"HTTP/1.1 101 X"), "101")


class FramingTests(TestCase):
    def check(self, response: ResponseHead, framing: int, length: int, keep_alive: bool) -> None:
        self.assertEqual(
            (response.framing, response.length, response.keep_alive), (framing, length, keep_alive)
        )

    def test_a_length(self) -> None:
        self.check(parse(b"content-length:\t007 "), SIZED, 7, True)
        self.check(parse(b"Content-Length: 0"), NO_BODY, 0, True)

    def test_the_same_length_again(self) -> None:
        response = parse(b"Content-Length: 5", b"X: y", b"content-length: 05")
        self.check(response, SIZED, 5, True)
        self.assertEqual(response.forward(), head(b"Content-Length: 5", b"X: y"))

    def test_chunked(self) -> None:
        raw = head(b"Transfer-Encoding: Chunked", b"Trailer: X")
        self.check(parse_response(raw, b"GET"), CHUNKED, 0, True)
        self.assertEqual(parse_response(raw, b"GET").forward(), raw)

    def test_until_the_connection_closes(self) -> None:
        self.check(parse(), CLOSE, 0, False)
        self.check(parse(b"Connection: keep-alive"), CLOSE, 0, False)
        self.check(parse(line=b"HTTP/1.0 200 OK"), CLOSE, 0, False)

    def test_whether_the_connection_is_kept(self) -> None:
        for version, connection, kept in (
            (b"1.1", b"", True),
            (b"1.1", b"Close", False),
            (b"1.1", b"x, close", False),
            (b"1.0", b"", False),
            (b"1.0", b"Keep-Alive", True),
            (b"1.0", b"keep-alive, close", False),
        ):
            with self.subTest(version=version, connection=connection):
                line = b"HTTP/" + version + b" 200 OK"
                response = parse(b"Connection: " + connection, b"Content-Length: 1", line=line)
                self.check(response, SIZED, 1, kept)

    def test_the_answer_to_head(self) -> None:
        for lines in ([b"Content-Length: 5"], [b"Transfer-Encoding: chunked"], []):
            raw = head(*lines)
            response = parse_response(raw, b"HEAD")
            self.check(response, NO_BODY, 0, True)
            self.assertEqual(response.forward(), raw)

    def test_not_modified(self) -> None:
        raw = head(b"Content-Length: 5", b"ETag: x", line=b"HTTP/1.1 304 Not Modified")
        self.check(parse_response(raw, b"GET"), NO_BODY, 0, True)
        self.assertEqual(parse_response(raw, b"GET").forward(), raw)

    def test_no_content(self) -> None:
        line = b"HTTP/1.1 204 No Content"
        self.check(parse(b"X: y", line=line), NO_BODY, 0, True)
        self.check(parse(b"Content-Length: 0", line=line), NO_BODY, 0, True)

    def test_no_content_that_announces_some(self) -> None:
        """It has none for the visitor; but nobody knows what follows on that connection."""
        line = b"HTTP/1.1 204 No Content"
        for field in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
            response = parse(field, b"Trailer: X", b"X: y", line=line)
            self.check(response, NO_BODY, 0, False)
            self.assertEqual(response.forward(), head(b"X: y", line=line))

    def test_informational(self) -> None:
        for line in (b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 Early Hints", b"HTTP/1.1 199 X"):
            raw = head(b"Link: </x>; rel=preload", line=line)
            response = parse_response(raw, b"POST")
            self.assertTrue(response.informational)
            self.assertEqual(response.framing, NO_BODY)
            self.assertEqual(response.forward(), raw)
        framed = parse(b"Content-Length: 0", b"X: y", line=b"HTTP/1.1 100 Continue")
        self.assertEqual(framed.forward(), head(b"X: y", line=b"HTTP/1.1 100 Continue"))


class ForwardTests(TestCase):
    def test_fields_that_end_at_this_hop(self) -> None:
        response = parse(
            b"A: 1",
            b"Connection: keep-alive, Foo",
            b"Keep-Alive: timeout=5",
            b"Content-Length: 5",
            b"FOO: 2",
            b"Food: 3",
            b"Proxy-Connection: x",
            b"Upgrade: h2c",
            b"B: 4",
        )
        self.assertEqual(
            response.forward(), head(b"A: 1", b"Content-Length: 5", b"Food: 3", b"B: 4")
        )

    def test_no_framing_is_taken_away_by_name(self) -> None:
        lines = [b"Content-Length: 5", b"Trailer: X"]
        response = parse(*lines, b"Connection: content-length, trailer")
        self.assertEqual(response.forward(), head(*lines))
        chunked = parse(b"Transfer-Encoding: chunked", b"Connection: transfer-encoding")
        self.assertEqual(chunked.forward(), head(b"Transfer-Encoding: chunked"))

    def test_extra_fields_come_last(self) -> None:
        response = parse(b"Content-Length: 5", b"X: y")
        self.assertEqual(
            response.forward(b"Connection: close\r\n"),
            head(b"Content-Length: 5", b"X: y", b"Connection: close"),
        )

    def test_http_1_0_becomes_1_1(self) -> None:
        response = parse(b"Content-Length: 5", line=b"HTTP/1.0 200 OK")
        self.assertEqual(response.minor, 0)
        self.assertEqual(response.forward(), head(b"Content-Length: 5"))

    def test_for_a_visitor_that_knows_no_chunks(self) -> None:
        response = parse(b"A: 1", b"Transfer-Encoding: chunked", b"B: 2", b"Trailer: X")
        self.assertEqual(response.forward(unframed=True), head(b"A: 1", b"B: 2"))
        self.assertEqual(
            response.forward(b"Connection: close\r\n", unframed=True),
            head(b"A: 1", b"B: 2", b"Connection: close"),
        )

    def test_a_switch(self) -> None:
        line = b"HTTP/1.1 101 Switching Protocols"
        response = parse(
            b"upgrade:WebSocket ", b"A: 1", b"Connection: Upgrade", b"Content-Length: 0", line=line
        )
        self.assertFalse(response.informational)
        self.assertEqual(response.framing, NO_BODY)
        self.assertEqual(
            response.forward(),
            head(b"A: 1", b"Connection: Upgrade", b"Upgrade: WebSocket", line=line),
        )


#: Pieces that heads and their faults are made of.
_pieces = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 204 \r\n", b"HTTP/1.1 101 X\r\n", b"HTTP/1.1 304"),
        *(b"\r\n", b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b",", b"\xff", b"x", b"5"),
        *(b"Content-Length: 5\r\n", b"Content-Length:", b"Transfer-Encoding: chunked\r\n"),
        *(b"Transfer-Encoding:", b"chunked", b"Connection:", b"close", b"keep-alive", b"trailer"),
        *(b"Upgrade: x\r\n", b"Trailer: x\r\n", b"Foo: bar\r\n", b"Keep-Alive: 5\r\n"),
    ]
)


class PlainTests(TestCase):
    """Heads that are read the short way: to the same result as the long one."""

    def check(self, raw: bytes, *, plain: bool) -> None:
        self.check_length(raw)
        head = ResponseHead.plain(raw)
        self.assertEqual(head is not None, plain, raw)
        if head is None:
            return
        status_line, _, rest = raw.partition(b"\r\n")
        status, reason = int(status_line[9:12]), status_line[12:]
        other = ResponseHead(raw, 1, status, reason, rest[:-2], b"GET")
        for name in ("status", "minor", "reason", "framing", "length", "keep_alive", "lines"):
            self.assertEqual(getattr(head, name), getattr(other, name), name)
        for extra in (b"", b"Connection: close\r\n"):
            for unframed in (False, True):
                self.assertEqual(head.forward(extra, unframed), other.forward(extra, unframed))

    def check_length(self, raw: bytes) -> None:
        told = plain_length(raw)
        if told is not None:
            read = parse_response(raw, b"GET")
            self.assertEqual(told, (read.status, read.length))
            self.assertIn(read.framing, (SIZED, NO_BODY))

    def test_the_length_alone(self) -> None:
        length = b"Content-Length: 12"
        self.assertEqual(plain_length(head(length, b"Server: a")), (200, 12))
        self.assertEqual(plain_length(head(b"Content-Length: 0")), (200, 0))
        for raw in (
            head(),
            head(length, length),
            head(b"Transfer-Encoding: chunked"),
            head(length, line=b"HTTP/1.1 204 No"),
            head(length, line=b"HTTP/1.1 304 No"),
            head(length, line=b"HTTP/1.1 101 Go"),
            b"",
            b"x" * 100_000,
        ):
            self.assertIsNone(plain_length(raw), raw[:80])

    def test_of_usual_servers(self) -> None:
        length, date = b"Content-Length: 12", b"Date: Sat, 31 Jan 2026 12:00:00 GMT"
        kept, seconds = b"Connection: keep-alive", b"Keep-Alive: timeout=5"
        kind = b"Content-Type: text/html; charset=utf-8"
        for lines in (
            [],
            [length],
            [b"Server: nginx", date, kind, length, kept],
            [b"X-Powered-By: Express", kind, length, b'ETag: W/"c"', date, kept, seconds],
            [date, kept, seconds, length],
            [date, seconds, b"connection: Keep-Alive", kind],
            [b"date: x", b"server: uvicorn", b"content-length:0", b"content-type: a"],
        ):
            self.check(head(*lines), plain=True)
        self.check(head(length, line=b"HTTP/1.1 404 "), plain=True)

    def test_all_others_go_the_long_way(self) -> None:
        length = b"Content-Length: 12"
        for lines in (
            [length, length],
            [length, b"Connection: keep-alive", length],
            [b"Connection: close"],
            [b"Connection: keep-alive, foo"],
            [b"Connection: keep-alive", b"Connection: keep-alive"],
            [b"Keep-Alive: 5"],
            [b"Transfer-Encoding: chunked"],
            [b"Trailer: x"],
            [b"Upgrade: h2c"],
            [b"Proxy-Connection: close"],
            [b"Set-Cookie: a=b; Domain=example.com"],
            [b"CONTENT-LENGTH: 12"],
            [b"Content-Length: 12x"],
            [b"Content-Length: " + b"1" * 19],
            [b" folded"],
            [b"A : b"],
        ):
            self.check(head(*lines), plain=False)
        for line in (b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 103 X", b"HTTP/1.1 204 X"):
            self.check(head(line=line), plain=False)
        self.check(head(line=b"HTTP/1.1 304 Not Modified"), plain=False)

    @repeatable
    @given(st.lists(_pieces, max_size=8).map(b"".join))
    def test_whatever_comes(self, data: bytes) -> None:
        raw = b"HTTP/1.1 200 OK\r\n" + data + b"\r\n"
        self.check(raw, plain=ResponseHead.plain(raw) is not None)

    def test_as_many_fields_as_there_may_be(self) -> None:
        raw = head(*[b"A:"] * (2 * MAX_FIELDS))
        self.assertEqual(parse_response(raw, b"GET").forward(), raw)
        self.assertRaises(HeadError, parse_response, head(*[b"A:"] * 201), b"GET")


class PropertyTests(TestCase):
    @repeatable
    @given(st.binary(max_size=200), st.sampled_from([b"GET", b"HEAD"]))
    def test_whatever_comes(self, data: bytes, method: bytes) -> None:
        self.assertRaises(HeadError, parse_response, data, method)

    @repeatable
    @given(st.lists(_pieces, max_size=10).map(b"".join), st.sampled_from([b"GET", b"HEAD"]))
    def test_whatever_looks_like_a_head(self, data: bytes, method: bytes) -> None:
        for raw in (data, b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n"):
            try:
                response = parse_response(raw, method)
            except HeadError:
                continue
            # What is sent on is understood in the same way again.
            again = parse_response(response.forward(), method)
            self.assertEqual(
                (again.status, again.framing, again.length, again.minor),
                (response.status, response.framing, response.length, 1),
            )
            if response.status != 101:
                self.assertEqual(again.forward(), response.forward())
