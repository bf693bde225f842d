"""Request heads: what passes, and what is refused with which status."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import HeadError
from inletspy.wire.http1 import (
    CHUNKED,
    MAX_FIELDS,
    MAX_HEAD,
    NO_BODY,
    SIZED,
    RequestHead,
    check_partial_head,
    parse_request,
)
from tests.properties import repeatable
from tests.wire.heads import RequestTestCase, head, lines_of

BROWSER = (
    b"GET /assets/index.js?v=1 HTTP/1.1\r\n"
    b"Host: App-3000.Tunnel.localhost:8080\r\n"
    b"Connection: keep-alive\r\n"
    b'sec-ch-ua: "Chromium";v="128"\r\n'
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"accept: */*\r\n"
    b"TE: trailers\r\n"
    b"Cookie: name=w\xe9rt; b=\r\n"
    b"X-Empty:\r\n"
    b"\r\n"
)


class AcceptedTests(RequestTestCase):
    def test_a_browser(self) -> None:
        request = parse_request(BROWSER)
        self.assertEqual(request.method, b"GET")
        self.assertEqual(request.target, b"/assets/index.js?v=1")
        self.assertEqual(request.minor, 1)
        self.assertEqual(request.authority, b"app-3000.tunnel.localhost:8080")
        self.assertEqual(request.host, b"app-3000.tunnel.localhost")
        self.assertEqual((request.framing, request.length), (NO_BODY, 0))
        self.assertTrue(request.keep_alive)
        self.assertEqual(request.upgrade, b"")
        self.assertFalse(request.expects_continue)
        self.assertTrue(request.retriable)
        self.assertEqual(request.field(b"cookie"), b"name=w\xe9rt; b=")
        self.assertEqual(request.field(b"x-empty"), b"")
        self.assertIsNone(request.field(b"cook"))

    def test_cut_in_every_place(self) -> None:
        for end in range(len(BROWSER)):
            check_partial_head(BROWSER[:end])
            self.assertRefused(BROWSER[:end])

    def test_targets_are_left_alone(self) -> None:
        for target in (
            b"/",
            b"//",
            b"//elsewhere.example/x",
            b"/a//b/../c/./d",
            b"/%2e%2E/%00%zz",
            b"/?",
            b"/?a=b#c",
            b"/*",
            b"/http://b/",
            b"/w\xe9rt/\xff",
            b"/|\\^`{}\"<>'[]",
        ):
            request = parse_request(head(line=b"GET " + target + b" HTTP/1.1"))
            self.assertEqual(request.target, target)
            self.assertTrue(request.forward(b"").startswith(b"GET " + target + b" HTTP/1.1\r\n"))

    def test_any_method(self) -> None:
        for method in (b"GET", b"get", b"PROPFIND", b"M-SEARCH", b"!#$%&'*+.^_`|~1"):
            request = parse_request(head(line=method + b" / HTTP/1.1"))
            self.assertEqual(request.method, method)

    def test_values_with_all_that_a_value_may_have(self) -> None:
        value = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
        request = parse_request(head(b"X: " + value))
        self.assertIn(b"X: " + value, lines_of(request.forward(b"")))

    def test_options_for_the_server_as_a_whole(self) -> None:
        request = parse_request(head(line=b"OPTIONS * HTTP/1.1"))
        self.assertEqual((request.target, request.host), (b"*", b"a"))
        self.assertTrue(request.forward(b"").startswith(b"OPTIONS * HTTP/1.1\r\n"))

    def test_absolute_form(self) -> None:
        for target, authority, name in (
            (b"http://a", b"a", b"a"),
            (b"http://a/", b"a", b"a"),
            (b"HTTP://A:80/x//y", b"a:80", b"a"),
            (b"https://a./?q", b"a.", b"a"),
            (b"http://a?q", b"a", b"a"),
        ):
            request = parse_request(head(line=b"GET " + target + b" HTTP/1.1"))
            self.assertEqual(
                (request.target, request.authority, request.host), (target, authority, name)
            )

    def test_absolute_form_with_an_address(self) -> None:
        request = parse_request(head(line=b"GET http://[::1]:80/ HTTP/1.1", host=b"[::1]"))
        self.assertEqual((request.authority, request.host), (b"[::1]:80", b"[::1]"))

    def test_absolute_form_of_http_1_0_needs_no_host(self) -> None:
        request = parse_request(b"GET http://a:8/x HTTP/1.0\r\n\r\n")
        self.assertEqual((request.host, request.authority), (b"a", b"a:8"))
        self.assertFalse(request.has_host)

    def test_a_hundred_fields(self) -> None:
        lines = [b"X: y"] * (MAX_FIELDS - 1)
        self.assertEqual(len(lines_of(parse_request(head(*lines)).forward(b""))), MAX_FIELDS)

    def test_the_longest_head(self) -> None:
        space = MAX_HEAD - len(head(b"X: "))
        parse_request(head(b"X: " + b"y" * space))


class HostTests(RequestTestCase):
    def test_how_it_may_be_written(self) -> None:
        for host, name in (
            (b"a", b"a"),
            (b"A.B.Example:8080", b"a.b.example"),
            (b"a.b.", b"a.b"),
            (b"a.b.:80", b"a.b"),
            (b"a:", b"a"),
            (b"my_app-1", b"my_app-1"),
            (b"xn--bcher-kva.example", b"xn--bcher-kva.example"),
            (b"127.0.0.1:1", b"127.0.0.1"),
            (b"[2001:DB8::1]:443", b"[2001:db8::1]"),
            (b"[::ffff:1.2.3.4]", b"[::ffff:1.2.3.4]"),
        ):
            for written in (host, b"\t " + host + b" \t"):
                request = parse_request(head(host=written))
                self.assertEqual((request.host, request.authority), (name, host.lower()))
                self.assertTrue(request.has_host)

    def test_malformed(self) -> None:
        for host in (
            b"",
            b" ",
            b":80",
            b".",
            b".a",
            b"a..",
            b"a b",
            b"a,b",
            b"a:b",
            b"a:80:80",
            b"a:123456",
            b"a:-1",
            b"a/b",
            b"a?b",
            b"a#b",
            b"u@a",
            b"http://a",
            b"a%20b",
            b"b\xfccher",
            b"[::1",
            b"::1",
            b"[::1]x",
            b"[a b]",
            b"[]",
            b'a"b',
            b"<a>",
            b"\\a",
        ):
            self.assertRefused(head(host=host), reason="malformed Host")
            self.assertRefused(head(host=host, line=b"GET / HTTP/1.0"), reason="malformed Host")

    def test_missing(self) -> None:
        self.assertRefused(b"GET / HTTP/1.1\r\n\r\n", reason="no Host")
        self.assertRefused(b"GET http://a/ HTTP/1.1\r\n\r\n", reason="no Host")
        self.assertRefused(b"OPTIONS * HTTP/1.1\r\n\r\n", reason="no Host")

    def test_missing_in_http_1_0(self) -> None:
        request = parse_request(b"GET / HTTP/1.0\r\n\r\n")
        self.assertEqual((request.host, request.authority, request.has_host), (b"", b"", False))

    def test_twice(self) -> None:
        for other in (b"Host: a", b"host: b", b"HOST:"):
            self.assertRefused(head(other), reason="more than one Host")

    def test_another_one_in_the_target(self) -> None:
        for target in (b"http://b/", b"http://a.b/", b"http://[::1]/"):
            self.assertRefused(head(line=b"GET " + target + b" HTTP/1.1"), reason="different hosts")

    def test_long(self) -> None:
        """A name that leads nowhere is no fault; that it takes no time, is."""
        for host in (b"a" * 60_000, b"." * 60_000, b"a" + b"." * 60_000, b"-." * 30_000):
            try:
                parse_request(head(host=host))
            except HeadError as error:
                self.assertEqual(error.status, 400)


class RefusedTests(RequestTestCase):
    def test_request_lines(self) -> None:
        for line in (
            b"",
            b"GET",
            b"GET /",
            b"GET / ",
            b"GET  / HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b" GET / HTTP/1.1",
            b"GET /a b HTTP/1.1",
            b"GET /\ta HTTP/1.1",
            b"GET /\x7f HTTP/1.1",
            b"GET\t/ HTTP/1.1",
            b"G(T / HTTP/1.1",
            b"G\xe9T / HTTP/1.1",
            b": / HTTP/1.1",
            b"GET / http/1.1",
            b"GET / HTTP/1.1x",
            b"GET / HTTP/1",
            b"GET / HTTP/.1",
            b"GET / HTTP/1.10",
            b"GET / HTTP /1.1",
            b"GET / ICY/1.1",
            b"GET * HTTP/1.1",
            b"GET a HTTP/1.1",
            b"GET a:80 HTTP/1.1",
            b"GET ftp://a/ HTTP/1.1",
            b"GET http:/a HTTP/1.1",
            b"GET http:// HTTP/1.1",
            b"GET http:///x HTTP/1.1",
            b"GET http://u@a/ HTTP/1.1",
            b"GET http://a:b/ HTTP/1.1",
            b"GET http://a#b HTTP/1.1",
            b"OPTIONS ** HTTP/1.1",
            b"\x16\x03\x01\x02\x00\x01",
        ):
            self.assertRefused(head(line=line))

    def test_the_target_s_host_in_http_1_0(self) -> None:
        for target in (b"http://", b"http:///x", b"http://a b/", b"http://:80/"):
            self.assertRefused(b"GET " + target + b" HTTP/1.0\r\n\r\n")

    def test_other_versions(self) -> None:
        for version in (b"0.9", b"1.2", b"2.0", b"3.0", b"9.9"):
            self.assertRefused(head(line=b"GET / HTTP/" + version), 505)
        self.assertRefused(b"PRI * HTTP/2.0\r\n\r\n", 505)

    def test_connect(self) -> None:
        for target in (b"a:443", b"/", b"*", b"http://a/"):
            self.assertRefused(head(line=b"CONNECT " + target + b" HTTP/1.1"), 501)

    def test_lines(self) -> None:
        for field, reason in (
            (b" folded: x", "folded"),
            (b"\tfolded", "folded"),
            (b"A: b\r\n c", "folded"),
            (b"A: b\r\n\t", "folded"),
            (b"A : b", "space before"),
            (b"A\t: b", "space before"),
            (b"A: b\0c", "NUL"),
            (b"\0: b", "NUL"),
            (b"A: b\rc", "malformed header line"),
            (b"A: b\r", "malformed header line"),
            (b"A\r: b", "malformed header line"),
            (b"A: b\nB: c", "malformed header line"),
            (b"\nA: b", "malformed header line"),
            (b"A", "malformed header line"),
            (b": b", "malformed header line"),
            (b"A b", "malformed header line"),
            (b"A(b): c", "malformed header line"),
            (b"\xc4: c", "malformed header line"),
            (b"A: \x01", "malformed header line"),
            (b"A: \x7f", "malformed header line"),
            (b"A: \x0b", "malformed header line"),
        ):
            self.assertRefused(head(field), reason=reason)
            self.assertRefused(head(b"X: y", field, b"X: y"), reason=reason)

    def test_line_feeds_alone(self) -> None:
        self.assertRefused(b"GET / HTTP/1.1\nHost: a\n\n")
        self.assertRefused(b"GET / HTTP/1.1\r\nHost: a\n\r\n")
        self.assertRefused(b"GET / HTTP/1.1\nHost: a\r\n\r\n")

    def test_empty_lines_before_the_request_are_the_channel_s_business(self) -> None:
        self.assertRefused(b"\r\n" + head())

    def test_bytes_after_the_head(self) -> None:
        self.assertRefused(head() + b"x")
        self.assertRefused(head() + b"\r\n")

    def test_too_many_fields(self) -> None:
        self.assertRefused(head(*[b"X: y"] * MAX_FIELDS), 431)

    def test_too_long(self) -> None:
        space = MAX_HEAD - len(head(b"X: "))
        self.assertRefused(head(b"X: " + b"y" * (space + 1)), 431)
        self.assertRefused(head(line=b"GET /" + b"y" * MAX_HEAD + b" HTTP/1.1"), 414)


class PartialHeadTests(TestCase):
    def assertRefusedEarly(self, data: bytes, status: int = 400) -> None:
        with self.subTest(data=data[:100]):
            self.assertEqual(self.assertRaises(HeadError, check_partial_head, data).status, status)

    def test_faults_are_seen_before_the_end(self) -> None:
        for data in (
            b"\n",
            b"GET / HTTP/1.1\n",
            b"GET / HTTP/1.1\r\nA: b\n",
            b"a\rb",
            b"\r\r",
            b"\0",
        ):
            self.assertRefusedEarly(data)

    def test_what_can_still_become_a_head(self) -> None:
        for data in (b"", b"G", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\n", b"\r\n\r", b"\r\nG\r"):
            check_partial_head(data)

    def test_too_long(self) -> None:
        check_partial_head(b"x" * MAX_HEAD)
        self.assertRefusedEarly(b"x" * (MAX_HEAD + 1), 414)
        self.assertRefusedEarly(b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD, 431)


class FramingTests(RequestTestCase):
    def test_a_length(self) -> None:
        for value, length in ((b"1", 1), (b"007", 7), (b"9" * 18, 10**18 - 1)):
            request = parse_request(head(b"Content-Length: " + value))
            self.assertEqual((request.framing, request.length), (SIZED, length))
            self.assertFalse(request.retriable)

    def test_no_body(self) -> None:
        for lines in ([b"Content-Length: 0"], [b"Content-Length: 0", b"content-length: 00"], []):
            request = parse_request(head(*lines))
            self.assertEqual((request.framing, request.length), (NO_BODY, 0))

    def test_the_same_length_again_is_sent_once(self) -> None:
        request = parse_request(
            head(b"Content-Length: 5", b"X: y", b"content-length:5\t", b"CONTENT-LENGTH: 05")
        )
        self.assertEqual((request.framing, request.length), (SIZED, 5))
        self.assertEqual(
            lines_of(request.forward(b"")), [b"Host: a", b"Content-Length: 5", b"X: y"]
        )

    def test_malformed_lengths(self) -> None:
        for value in (
            b"",
            b"+5",
            b"-1",
            b"-0",
            b"0x5",
            b"5a",
            b"5.0",
            b"1e3",
            b"1_0",
            b"5 5",
            b"5,5",
            b"5, 6",
            b"5;",
            b'"5"',
            b"\xb2",
            b"\xd9\xa3",
            b"9" * 19,
            b"9" * 5000,
        ):
            self.assertRefused(head(b"Content-Length: " + value), reason="Content-Length")

    def test_differing_lengths(self) -> None:
        self.assertRefused(head(b"Content-Length: 5", b"Content-Length: 6"), reason="differing")
        self.assertRefused(head(b"Content-Length: 0", b"content-length: 6"), reason="differing")

    def test_chunked(self) -> None:
        for value in (b"chunked", b"Chunked", b"\tchunked "):
            request = parse_request(head(b"Transfer-Encoding: " + value))
            self.assertEqual(request.framing, CHUNKED)
            self.assertIn(b"Transfer-Encoding: " + value, lines_of(request.forward(b"")))

    def test_other_transfer_codings(self) -> None:
        for value in (
            b"",
            b"identity",
            b"gzip",
            b"gzip, chunked",
            b"chunked, gzip",
            b"chunked, chunked",
            b"chunked,",
            b",chunked",
            b"chunked;a=b",
            b"xchunked",
            b"chunked\xa0",
            b'"chunked"',
        ):
            self.assertRefused(head(b"Transfer-Encoding: " + value), reason="Transfer-Encoding")
        self.assertRefused(
            head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
            reason="Transfer-Encoding",
        )

    def test_chunked_in_http_1_0(self) -> None:
        self.assertRefused(
            head(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"),
            reason="Transfer-Encoding",
        )

    def test_both(self) -> None:
        for length in (b"0", b"5"):
            lines = (b"Content-Length: " + length, b"Transfer-Encoding: chunked")
            self.assertRefused(head(*lines), reason="with Transfer-Encoding")
            self.assertRefused(head(*reversed(lines)), reason="with Transfer-Encoding")


_names = st.from_regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", fullmatch=True)
_values = st.from_regex(rb"[\t\x20-\x7e\x80-\xff]{0,20}", fullmatch=True)
_fields = st.lists(st.tuples(_names, _values).map(b":".join), max_size=8)

#: Pieces that heads and their faults are made of.
_pieces = st.sampled_from(
    [
        *(b"GET / HTTP/1.1", b"POST http://a/ HTTP/1.0", b"CONNECT", b"*", b" ", b"\t", b":", b","),
        *(b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n", b"\0", b"\r\n\r\n", b"\xff", b"[::1]", b"a"),
        *(b"Host: a\r\n", b"Host:", b"Content-Length: 5\r\n", b"Content-Length:", b"5", b"chunked"),
        *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:", b"Connection:", b"close"),
        *(b"Upgrade: x\r\n", b"TE: trailers\r\n", b"Expect: 100-continue\r\n", b"keep-alive"),
        *(b"X-Forwarded-For: 1\r\n", b"Forwarded:", b"X-Request-Id: 1\r\n", b"Foo: bar\r\n"),
    ]
)


class RepeatedTests(TestCase):
    """The next head of a connection, which mostly has the fields of the last."""

    def check(self, first: bytes, second: bytes) -> bool:
        """Whether the second is read as the first's repetition; as if alone in any case."""
        last = parse_request(first)
        last.forward(b"A: 1\r\n")  # what was found out for one must fit the other
        last.forward(b"", b"other.example")
        request = parse_request(second, last)
        alone = parse_request(second)
        for name in RequestHead.__slots__:
            if not name.startswith("_kept"):
                self.assertEqual(getattr(request, name), getattr(alone, name), name)
        for host in (None, b"other.example", None):
            self.assertEqual(request.forward(b"B: 2\r\n", host), alone.forward(b"B: 2\r\n", host))
            self.assertEqual(
                request.forward(b"", host, (b"cookie",)), alone.forward(b"", host, (b"cookie",))
            )
        return request is last

    def test_the_same_fields(self) -> None:
        second = BROWSER.replace(b"GET /assets", b"POST /other")
        self.assertTrue(self.check(BROWSER, second))
        self.assertTrue(self.check(BROWSER, BROWSER))

    def test_other_fields(self) -> None:
        self.assertFalse(self.check(BROWSER, BROWSER.replace(b"accept: */*", b"accept: a/*")))
        self.assertFalse(self.check(BROWSER, BROWSER.replace(b"X-Empty:\r\n", b"")))
        self.assertFalse(self.check(BROWSER, BROWSER.replace(b"X-Empty:", b"X-Empty: 1")))

    def test_another_version(self) -> None:
        self.assertFalse(self.check(BROWSER, BROWSER.replace(b"HTTP/1.1", b"HTTP/1.0")))

    def test_targets_that_name_a_host(self) -> None:
        absolute = head(line=b"GET http://a/x HTTP/1.1")
        for first, second in ((head(), absolute), (absolute, head()), (absolute, absolute)):
            self.assertFalse(self.check(first, second))
        self.assertFalse(self.check(head(), head(line=b"OPTIONS * HTTP/1.1")))

    def test_what_is_refused_alone_is_refused_now(self) -> None:
        last = parse_request(head(b"Foo: bar"))
        for second in (
            head(b"Foo: bar", line=b"CONNECT /x HTTP/1.1"),
            head(b"Foo: bar", line=b"GET /\0 HTTP/1.1"),
            head(b"Foo: bar", line=b"GET / HTTP/1.2"),
            head(b"Foo: bar", line=b"GET /" + b"x" * MAX_HEAD + b" HTTP/1.1"),
            head(b"Foo: bar")[:-2] + b"XX",
            head(b"Foo: bar") + b"\r\n",
        ):
            self.assertRaises(HeadError, parse_request, second, last)
        self.assertEqual((last.method, last.target), (b"GET", b"/"))


class PropertyTests(TestCase):
    def check_accepted(self, request: RequestHead) -> None:
        """What has passed and is sent on is understood in the same way again."""
        forwarded = request.forward(b"")
        again = parse_request(forwarded.replace(b"\r\n", b"\r\nHost: a\r\n", not request.has_host))
        self.assertEqual(
            (again.method, again.target, again.framing, again.length, again.upgrade),
            (request.method, request.target, request.framing, request.length, request.upgrade),
        )
        names = [line.partition(b":")[0].lower() for line in lines_of(forwarded)]
        self.assertEqual(names.count(b"host"), request.has_host)
        self.assertLessEqual(names.count(b"content-length"), 1)
        self.assertLessEqual(names.count(b"transfer-encoding"), 1)
        self.assertFalse(b"content-length" in names and b"transfer-encoding" in names)
        self.assertFalse([name for name in names if name.startswith(b"x-forwarded-")])

    @repeatable
    @given(st.binary(max_size=200))
    def test_whatever_comes(self, data: bytes) -> None:
        for parse in (parse_request, check_partial_head):
            try:
                parse(data)
            except HeadError as error:
                self.assertIn(error.status, (400, 414, 417, 431, 501, 505))

    @repeatable
    @given(st.lists(_pieces, max_size=12).map(b"".join))
    def test_whatever_looks_like_a_head(self, data: bytes) -> None:
        for raw in (data, b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n"):
            try:
                request = parse_request(raw)
            except HeadError:
                continue
            check_partial_head(raw)
            self.check_accepted(request)

    @repeatable
    @given(st.lists(_pieces, max_size=4).map(b"".join), st.lists(_pieces, max_size=4).map(b"".join))
    def test_one_after_the_other(self, one: bytes, other: bytes) -> None:
        """Whatever came before it, a head means what it means alone."""
        for first in (one, other):
            for second in (one, other):
                try:
                    last = parse_request(b"GET /1 HTTP/1.1\r\nHost: a\r\n" + first + b"\r\n")
                    raw = b"PUT /2 HTTP/1.1\r\nHost: a\r\n" + second + b"\r\n"
                    alone = parse_request(raw)
                except HeadError:
                    continue
                self.assertEqual(parse_request(raw, last).forward(b""), alone.forward(b""))

    @repeatable
    @given(_names, st.from_regex(rb"/[\x21-\x7e\x80-\xff]{0,20}", fullmatch=True), _fields)
    def test_whatever_is_well_formed(
        self, method: bytes, target: bytes, lines: list[bytes]
    ) -> None:
        raw = head(*lines, line=method + b" " + target + b" HTTP/1.1")
        try:
            request = parse_request(raw)
        except HeadError as error:
            # Only for what it says, never for how it is written.
            self.assertNotIn("header line", str(error))
            return
        self.check_accepted(request)
        self.assertEqual(request.lines, raw.partition(b"\r\n")[2][:-2])
