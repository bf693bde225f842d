"""What is kept of exchanges, and for how long: bounds that hold whatever passes."""

from __future__ import annotations

import time
from itertools import pairwise

from twisted.trial.unittest import TestCase

from inletspy.client.inspector.bodies import content_of
from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.views import answer_content, request_content, state_of
from tests.client.inspector.support import GET, OK, Capture, get

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class CapturedTests(TestCase):
    def test_one_in_each_piece(self) -> None:
        capture = Capture()
        capture.clock.advance(7)
        capture.stream.from_visitor(GET)
        self.assertEqual((capture.last.head, capture.last.ended), (GET, None))
        capture.clock.advance(0.5)
        capture.stream.from_upstream(OK)
        one = capture.last
        self.assertEqual((one.started, one.answered_at, one.ended), (7, 7.5, 7.5))
        self.assertEqual((one.answer, one.answer_bytes), (OK[:-5], b"hello"))
        self.assertEqual((one.answer_size, one.body_bytes, one.visitor), (5, b"", "192.0.2.1"))

    def test_cut_anywhere(self) -> None:
        """However the bytes come, what is kept is the same."""
        post = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        for cut in range(1, len(post)):
            for end in (1, len(OK) // 2, len(OK) - 5, len(OK) - 1):
                capture = Capture()
                capture.stream.from_visitor(post[:cut])
                capture.stream.from_visitor(post[cut:])
                one = capture.pass_(b"", OK[:end], OK[end:])
                self.assertEqual((one.head, one.body_bytes), (post[:-3], b"abc"))
                self.assertEqual((one.answer, one.answer_bytes), (OK[:-5], b"hello"))
                self.assertEqual((state_of(one), one.answer_size, one.body_size), ("done", 5, 3))

    def test_chunked_both_ways(self) -> None:
        capture = Capture()
        post = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        body = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 5\r\nX-B: c\r\n\r\n"
        one = capture.pass_(post + body[:9], CHUNKED)
        capture.stream.from_visitor(body[9:])
        capture.stream.from_upstream(body)
        for content in (request_content(one), answer_content(one)):
            self.assertEqual((content.content, content.cut), (b"abcde", False))
            self.assertEqual(content.trailers, (("X-Sum", "5"), ("X-B", "c")))
        self.assertEqual((one.body_size, one.answer_size), (len(body), len(body)))

    def test_content_that_looks_like_trailers(self) -> None:
        content = b"\r\n0\r\nSet-Cookie: x" + b"\r\n0\r\nx" * 100_000 + b"\r\n\r\n"
        chunks = b"%x\r\n%b\r\n0\r\n" % (len(content), content)
        for lines, trailers in ((b"", ()), (b"X: y\r\n", (("X", "y"),))):
            began = time.process_time()
            one = Capture().pass_(GET, CHUNKED + chunks + lines + b"\r\n")
            found = answer_content(one)
            self.assertEqual((found.content, found.trailers), (content, trailers))
            self.assertLess(time.process_time() - began, 3)

    def test_pipelined(self) -> None:
        capture = Capture()
        capture.pass_(get("/1") + get("/2") + get("/3"), OK + OK, OK)
        self.assertEqual(capture.targets, [b"/3", b"/2", b"/1"])
        self.assertEqual({one.answer_bytes for one in capture.store.newest_first()}, {b"hello"})

    def test_bodies_up_to_the_limit(self) -> None:
        for size, pieces in ((10, 1), (10, 3), (11, 1), (30, 7)):
            capture = Capture(body_limit=10)
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
            cuts = [len(answer) * place // pieces for place in range(pieces + 1)]
            one = capture.pass_(GET, *(answer[a:b] for a, b in pairwise(cuts)))
            self.assertEqual((one.answer_bytes, one.answer_size), (b"x" * 10, size))
            self.assertEqual(answer_content(one).cut, size > 10)

    def test_uploads_up_to_the_limit(self) -> None:
        capture = Capture(body_limit=10)
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 25\r\n\r\n"
        one = capture.pass_(post + b"1234567")
        capture.stream.from_visitor(b"8901234567")
        capture.stream.from_visitor(b"89012345")
        self.assertEqual((one.body_bytes, one.body_size), (b"1234567890", 25))
        self.assertTrue(request_content(one).cut)

    def test_no_bodies_at_all(self) -> None:
        one = Capture(body_limit=0).pass_(GET, OK)
        self.assertEqual((one.answer_bytes, one.answer_size), (b"", 5))

    def test_many_small_pieces_are_put_together(self) -> None:
        capture = Capture()
        size = 100_000
        capture.pass_(GET, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for place in range(size):
            capture.stream.from_upstream(b"%d" % (place % 10))
        pieces = capture.last._rest
        self.assertIsInstance(pieces, list)
        self.assertLess(len(pieces or ()), 10)
        self.assertEqual(capture.last.answer_bytes, b"0123456789" * (size // 10))

    def test_the_upstream_is_gone(self) -> None:
        for kind, answer in (("refused", b""), ("reset", OK[:-2]), ("closed", OK[:30])):
            capture = Capture()
            one = capture.pass_(GET, answer)
            capture.stream.upstream_ended(kind, "it is so")
            capture.stream.upstream_ended("closed", "later")
            capture.stream.closed()
            self.assertEqual((one.cause, state_of(one)), ((kind, "it is so"), "failed"))

    def test_the_visitor_is_gone(self) -> None:
        capture = Capture()
        one = capture.pass_(GET, OK[:-2])
        capture.stream.closed()
        self.assertEqual((one.cause or ("",))[0], "cut")

    def test_an_answer_up_to_the_close(self) -> None:
        for kind, cause in (("closed", None), ("reset", ("reset", "so"))):
            capture = Capture()
            one = capture.pass_(GET, b"HTTP/1.1 200 OK\r\n\r\nsome", b" more")
            capture.stream.upstream_ended(kind, "so")
            capture.stream.closed()
            self.assertEqual((one.cause, one.answer_bytes), (cause, b"some more"))

    def test_what_is_no_http(self) -> None:
        capture = Capture()
        one = capture.pass_(GET, b"SSH-2.0-server\r\n\r\n")
        self.assertEqual((one.cause or ("",))[0], "unreadable")
        self.assertEqual(one.unread, b"SSH-2.0-server\r\n\r\n")
        capture.stream.from_visitor(GET)  # is passed over
        self.assertEqual(len(capture.targets), 1)

    def test_a_fault_of_ours_is_contained(self) -> None:
        capture = Capture()
        capture.pass_(GET)
        self.patch(Captured, "completed", None)
        capture.stream.from_upstream(OK)
        capture.stream.from_upstream(OK)
        capture.stream.closed()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)


class BoundsTests(TestCase):
    def test_what_comes_after_it_went(self) -> None:
        """An upload that goes on after the answer, and after its exchange had to go."""
        capture = Capture(body_limit=1 << 20, limit=4000)
        upload = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"
        capture.pass_(upload, OK)
        other = capture.open()
        for _ in range(20):
            other.from_visitor(GET)
            other.from_upstream(OK)
        capture.stream.from_visitor(b"x" * 9000)
        self.assertEqual(capture.store.used, sum(one.size for one in capture.store.kept))
        self.assertTrue(capture.store.kept)

    def test_the_oldest_go(self) -> None:
        capture = Capture()
        capture.store.most = 3
        for place in range(5):
            capture.pass_(get(f"/{place}"), OK)
        self.assertEqual(capture.targets, [b"/4", b"/3", b"/2"])
        first = capture.store.run
        self.assertIsNone(capture.store.find(f"{first}-2"))
        found = capture.store.find(f"{first}-3")
        assert found is not None
        self.assertEqual((found.n, capture.store.first_n, capture.store.last_n), (3, 3, 5))
        for id in ("", "-", f"{first}-99", "aaaaaa-3", f"{first}-x", f"{first}-{'9' * 500}"):
            self.assertIsNone(capture.store.find(id), id)

    def test_memory(self) -> None:
        """Whatever passes, and however much is under way, what it costs stays within bounds."""
        capture = Capture(body_limit=100_000, limit=1 << 20)
        big = b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n"
        streams = [capture.open() for _ in range(300)]
        for _ in range(3):
            for stream in streams:
                stream.from_visitor(get("/" + "x" * 5000))
                stream.from_upstream(big)
                for _ in range(5):
                    stream.from_upstream(b"y" * 100_000)
                self.assertLessEqual(capture.store.used, 1 << 20)
            self.assertEqual(sum(one.size for one in capture.store.kept), capture.store.used)
        for stream in streams:
            stream.closed()

    def test_one_that_is_under_way_may_go(self) -> None:
        capture = Capture(limit=5000)
        one = capture.pass_(GET)
        other = capture.open()
        for _ in range(20):
            other.from_visitor(GET)
            other.from_upstream(OK)
        self.assertTrue(one.gone)
        used = capture.store.used
        capture.stream.from_upstream(OK)
        self.assertEqual((one.answer, one.answer_bytes, capture.store.used), (b"", b"", used))

    def test_clear(self) -> None:
        capture = Capture()
        one = capture.pass_(GET, OK[:-1])
        capture.store.clear()
        self.assertEqual((capture.targets, capture.store.used), ([], 0))
        capture.stream.from_upstream(OK[-1:])
        self.assertEqual((one.answer_bytes, capture.store.used), (b"", 0))
        self.assertEqual(capture.pass_(GET, OK).n, 2)

    def test_nothing_is_noted_while_nobody_looks(self) -> None:
        capture = Capture()
        capture.pass_(GET, OK)
        self.assertIsNone(capture.store.changed)
        capture.store.changed = {}
        one = capture.pass_(GET, OK)
        self.assertEqual(capture.store.changed, {2: one})


class ContentTests(TestCase):
    def test_framing_that_is_cut(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        content = content_of(head, b"5\r\nhel", cut=True)
        self.assertEqual((content.content, content.cut), (b"hel", True))
