"""Request heads: what ends at this hop, and what is sent on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from inletspy.wire import fields
from inletspy.wire.http1 import (
    parse_request,
)
from tests.wire.heads import RequestTestCase, head, lines_of


class ConnectionTests(RequestTestCase):
    def test_whether_it_is_kept(self) -> None:
        for version, value, kept in (
            (b"1.1", b"", True),
            (b"1.1", b"Keep-Alive", True),
            (b"1.1", b"Close", False),
            (b"1.1", b"foo, ,close", False),
            (b"1.1", b"close, keep-alive", False),
            (b"1.1", b"closed", True),
            (b"1.0", b"", False),
            (b"1.0", b"keep-alive", True),
            (b"1.0", b"x,Keep-Alive\t", True),
            (b"1.0", b"keep-alive, close", False),
        ):
            with self.subTest(version=version, value=value):
                line = b"GET / HTTP/" + version
                request = parse_request(head(b"Connection: " + value, line=line))
                self.assertEqual(request.keep_alive, kept)
        several = head(b"Connection: foo", b"Connection: close")
        self.assertFalse(parse_request(several).keep_alive)

    def test_fields_that_end_at_this_hop(self) -> None:
        request = parse_request(
            head(
                b"A: 1",
                b"Connection: close",
                b"Keep-Alive: timeout=5",
                b"B: 2",
                b"Proxy-Connection: keep-alive",
                b"TE: deflate",
                b"Upgrade: h2c",
                b"connection:",
                b"C: 3",
            )
        )
        self.assertEqual(lines_of(request.forward(b"")), [b"Host: a", b"A: 1", b"B: 2", b"C: 3"])

    def test_fields_that_connection_names(self) -> None:
        request = parse_request(
            head(
                b"Foo: 1",
                b"Food: 2",
                b"fOO: 1",
                b"Connection: foo ,\tBAR,x-foo",
                b"X-Foo-Bar: 3",
                b"Bar:",
            )
        )
        self.assertEqual(lines_of(request.forward(b"")), [b"Host: a", b"Food: 2", b"X-Foo-Bar: 3"])

    def test_no_framing_and_no_routing_is_taken_away_by_name(self) -> None:
        lines = [b"Content-Length: 5", b"Trailer: x", b"X-Request-Id: 1", b"Expect: 100-continue"]
        names = b", ".join(field.partition(b":")[0] for field in lines)
        request = parse_request(head(*lines, b"Connection: host, " + names))
        self.assertEqual(lines_of(request.forward(b"")), [b"Host: a", *lines])
        self.assertTrue(request.has_request_id)
        self.assertTrue(request.expects_continue)
        request = parse_request(
            head(b"Transfer-Encoding: chunked", b"Connection: transfer-encoding")
        )
        self.assertIn(b"Transfer-Encoding: chunked", lines_of(request.forward(b"")))

    def test_however_many_names_the_lines_are_read_once(self) -> None:
        """Once for each name would be seconds for one request."""
        searches: list[bytes] = []
        find = fields._find_lines

        def search(lower: bytes) -> Iterator[re.Match[bytes]]:
            searches.append(lower)
            return find(lower)

        self.patch(fields, "_find_lines", search)
        names = b",".join(b"%x" % number for number in range(9000))
        request = parse_request(head(b"Connection: " + names, b"10: a", b"X: b"))
        self.assertEqual(lines_of(request.forward(b"")), [b"Host: a", b"X: b"])
        self.assertEqual(len(searches), 1)

    def test_te(self) -> None:
        for value, kept in (
            (b"trailers", True),
            (b"Trailers", True),
            (b"gzip, trailers", True),
            (b"x-trailers", False),
            (b"", False),
        ):
            with self.subTest(value=value):
                lines = lines_of(parse_request(head(b"TE: " + value)).forward(b"X: y\r\n"))
                expected = [b"Connection: TE", b"TE: trailers"] if kept else []
                self.assertEqual(lines, [b"Host: a", b"X: y", *expected])

    def test_expect(self) -> None:
        request = parse_request(head(b"Expect: 100-Continue", b"Content-Length: 5"))
        self.assertTrue(request.expects_continue)
        self.assertIn(b"Expect: 100-Continue", lines_of(request.forward(b"")))
        for value in (b"", b"200-ok", b"100-continue, x"):
            self.assertRefused(head(b"Expect: " + value), 417)

    def test_expect_in_http_1_0_means_nothing(self) -> None:
        request = parse_request(head(b"Expect: 100-continue", line=b"GET / HTTP/1.0"))
        self.assertFalse(request.expects_continue)
        self.assertEqual(lines_of(request.forward(b"")), [b"Host: a"])


class UpgradeTests(RequestTestCase):
    def test_both_fields(self) -> None:
        for connection in (b"Upgrade", b"keep-alive, upgrade", b"UPGRADE ,x"):
            request = parse_request(
                head(b"Connection: " + connection, b"Upgrade:  WebSocket ", b"Sec-X: y")
            )
            self.assertEqual(request.upgrade, b"WebSocket")
            self.assertFalse(request.retriable)
            self.assertEqual(
                lines_of(request.forward(b"")),
                [b"Host: a", b"Sec-X: y", b"Connection: Upgrade", b"Upgrade: WebSocket"],
            )

    def test_several_protocols(self) -> None:
        request = parse_request(
            head(b"Upgrade: websocket", b"Connection: upgrade", b"UPGRADE:", b"upgrade:foo/2, bar")
        )
        self.assertEqual(request.upgrade, b"websocket, foo/2, bar")

    def test_one_field_is_not_enough(self) -> None:
        for lines in (
            [b"Upgrade: websocket"],
            [b"Connection: upgrade"],
            [b"Connection: upgrade", b"Upgrade:"],
            [b"Connection: upgraded", b"Upgrade: websocket"],
        ):
            request = parse_request(head(*lines))
            self.assertEqual(request.upgrade, b"")
            self.assertEqual(lines_of(request.forward(b"")), [b"Host: a"])

    def test_http_1_0_knows_none(self) -> None:
        lines = (b"Connection: upgrade, keep-alive", b"Upgrade: websocket")
        request = parse_request(head(*lines, line=b"GET / HTTP/1.0"))
        self.assertEqual(request.upgrade, b"")


class ForwardTests(RequestTestCase):
    FORWARDING = (
        b"X-Forwarded-For: 1.2.3.4",
        b"x-forwarded-PROTO: https",
        b"X-Forwarded-Anything-Else: x",
        b"Forwarded: for=1.2.3.4",
        b"X-Real-IP: 1.2.3.4",
    )
    #: What some programs can't tell from those.
    LOOKALIKES = (b"X_Forwarded_For: 5.6.7.8", b"x-forwarded_host: evil", b"X_Real-Ip: 5.6.7.8")

    def test_order_and_case_are_kept(self) -> None:
        lines = [b"hOST:a", b"b:  x ", b"A: 1", b"B: 2", b"a: 3", b"Set-X:"]
        data = b"\r\n".join([b"GET / HTTP/1.1", *lines, b"", b""])
        self.assertEqual(parse_request(data).forward(b""), data)

    def test_http_1_0_becomes_1_1(self) -> None:
        request = parse_request(b"GET / HTTP/1.0\r\nA: b\r\n\r\n")
        self.assertEqual(request.forward(b""), b"GET / HTTP/1.1\r\nA: b\r\n\r\n")

    def test_extra_fields_come_last(self) -> None:
        request = parse_request(head(b"A: b"))
        self.assertEqual(lines_of(request.forward(b"X: y\r\n")), [b"Host: a", b"A: b", b"X: y"])

    def test_what_a_stranger_says_of_its_way_is_left_out(self) -> None:
        request = parse_request(head(*self.FORWARDING, b"X-Forwarded: kept", b"X-Forward: kept"))
        self.assertEqual(
            lines_of(request.forward(b"")),
            [b"Host: a", b"X-Forwarded: kept", b"X-Forward: kept"],
        )
        self.assertEqual(request.forwarding_fields, list(self.FORWARDING))

    def test_further_fields_can_be_left_out(self) -> None:
        request = parse_request(head(b"Origin: http://a", b"B: c", b"oRIGIN: http://b"))
        self.assertEqual(
            lines_of(request.forward(b"X: y\r\n", leave_out=(b"origin",))),
            [b"Host: a", b"B: c", b"X: y"],
        )

    def test_what_only_looks_like_it_is_never_kept(self) -> None:
        request = parse_request(head(*self.LOOKALIKES))
        self.assertEqual(lines_of(request.forward(b"")), [b"Host: a"])
        self.assertEqual(request.forwarding_fields, [])

    def test_a_visitor_can_t_take_away_what_a_trusted_proxy_says(self) -> None:
        names = b", ".join(field.partition(b":")[0] for field in self.FORWARDING)
        request = parse_request(head(*self.FORWARDING, b"Connection: " + names))
        self.assertEqual(request.forwarding_fields, list(self.FORWARDING))
        self.assertEqual(lines_of(request.forward(b"")), [b"Host: a"])

    def test_another_host(self) -> None:
        data = b"GET / HTTP/1.1\r\nA: b\r\nhost: a\r\nConnection: close\r\nC: d\r\n\r\n"
        self.assertEqual(
            lines_of(parse_request(data).forward(b"X: y\r\n", b"localhost:3000")),
            [b"Host: localhost:3000", b"A: b", b"C: d", b"X: y"],
        )
        none = parse_request(b"GET / HTTP/1.0\r\nA: b\r\n\r\n")
        self.assertEqual(lines_of(none.forward(b"", b"b")), [b"Host: b", b"A: b"])

    def test_a_request_id_is_noticed(self) -> None:
        self.assertFalse(parse_request(head()).has_request_id)
        request = parse_request(head(b"x-request-ID: 1"))
        self.assertTrue(request.has_request_id)
        self.assertIn(b"x-request-ID: 1", lines_of(request.forward(b"")))

    def test_heads_are_not_changed_by_being_forwarded(self) -> None:
        request = parse_request(head(*self.FORWARDING, b"Connection: x", b"X: y"))
        first = request.forward(b"", b"b", leave_out=(b"x",))
        request.forward(b"")
        self.assertEqual(request.forward(b"", b"b", leave_out=(b"x",)), first)
