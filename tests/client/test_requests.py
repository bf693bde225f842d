"""Following the exchanges in a stream: transcripts in, reports out, also cut everywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.client.exchanges import Exchange
from inletspy.client.requests import MAX_EXCERPT, MAX_WAITING, RequestFollower
from inletspy.wire.http1 import MAX_HEAD

GET = b"GET /a?b=1 HTTP/1.1\r\nHost: app.example.com:8080\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Followed:
    """A follower, with what it has reported."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reports: list[Exchange] = []
        self.ends = 0
        self.tap = RequestFollower(self.clock.seconds, "192.0.2.1", self.reports.append, self.end)

    def end(self) -> None:
        self.ends += 1

    @property
    def summary(self) -> list[tuple[bytes, bytes, int | None, int]]:
        return [(r.method, r.target, r.status, r.size) for r in self.reports]


class RequestFollowerTests(TestCase):
    def test_one_exchange(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(GET)
        followed.clock.advance(0.25)
        followed.tap.from_upstream(OK)
        (report,) = followed.reports
        self.assertEqual((report.method, report.target), (b"GET", b"/a?b=1"))
        self.assertEqual((report.host, report.visitor), (b"app.example.com", "192.0.2.1"))
        self.assertEqual((report.status, report.seconds, report.size), (200, 0.25, 5))
        self.assertEqual((report.upgraded, report.excerpt), (False, b""))

    def test_who_asked_is_told_by_the_edge(self) -> None:
        """A stream is used again for other visitors than the one it was opened for."""
        followed = Followed()
        followed.tap.from_visitor(
            b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7, 10.0.0.1\r\n\r\n"
        )
        followed.tap.from_upstream(OK)
        self.assertEqual(followed.reports[0].visitor, "203.0.113.7")

    def test_kept_alive(self) -> None:
        followed = Followed()
        for _ in range(3):
            followed.tap.from_visitor(GET)
            followed.tap.from_upstream(OK)
        self.assertEqual(followed.summary, [(b"GET", b"/a?b=1", 200, 5)] * 3)

    def test_pipelined(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(GET + GET.replace(b"GET /a?b=1", b"HEAD /h") + GET)
        followed.tap.from_upstream(OK + OK[: -len(b"hello")] + OK)
        self.assertEqual(
            followed.summary,
            [(b"GET", b"/a?b=1", 200, 5), (b"HEAD", b"/h", 200, 0), (b"GET", b"/a?b=1", 200, 5)],
        )

    def test_bodies_up_and_down(self) -> None:
        post = (
            b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"
        )
        chunked = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        followed = Followed()
        followed.tap.from_visitor(post + GET)
        followed.tap.from_upstream(chunked + OK)
        self.assertEqual(
            followed.summary, [(b"POST", b"/up", 201, 12), (b"GET", b"/a?b=1", 200, 5)]
        )

    def test_interim_answers_are_no_answers(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(GET)
        followed.tap.from_upstream(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
        self.assertEqual(followed.reports, [])
        followed.tap.from_upstream(OK)
        self.assertEqual(followed.summary, [(b"GET", b"/a?b=1", 200, 5)])

    def test_answer_before_the_request_is_complete(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(b"PUT /f HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        followed.tap.from_upstream(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(followed.summary, [(b"PUT", b"/f", 413, 0)])
        followed.tap.from_visitor(b"67890" + GET)
        followed.tap.from_upstream(OK)
        self.assertEqual(followed.summary[1:], [(b"GET", b"/a?b=1", 200, 5)])

    def test_upgrade_is_reported_and_not_followed(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        followed.tap.from_upstream(
            b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05"
        )
        self.assertEqual(followed.summary, [(b"GET", b"/ws", 101, 0)])
        self.assertTrue(followed.reports[0].upgraded)
        followed.tap.from_visitor(GET)
        followed.tap.from_upstream(OK)
        followed.tap.closed()
        self.assertEqual(len(followed.reports), 1)

    def test_refused_upgrade_is_followed_further(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        followed.tap.from_upstream(OK)
        followed.tap.from_visitor(GET)
        followed.tap.from_upstream(OK)
        self.assertEqual([r.upgraded for r in followed.reports], [False, False])

    def test_body_up_to_the_close(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(GET)
        followed.tap.from_upstream(b"HTTP/1.1 200 OK\r\n\r\nsome")
        followed.tap.from_upstream(b" more")
        self.assertEqual(followed.reports, [])
        followed.tap.closed()
        self.assertEqual(followed.summary, [(b"GET", b"/a?b=1", 200, 9)])
        self.assertEqual(followed.ends, 1)

    def test_visitor_leaves_an_endless_answer(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(GET)
        followed.tap.from_upstream(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
        )
        followed.clock.advance(60)
        followed.tap.closed()
        self.assertEqual(followed.summary, [(b"GET", b"/a?b=1", 200, 7)])
        self.assertEqual(followed.reports[0].seconds, 60)

    def test_no_answer_at_all(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(GET + GET)
        followed.tap.closed()
        self.assertEqual(followed.summary, [(b"GET", b"/a?b=1", None, 0)] * 2)

    def test_what_makes_no_sense_is_passed_over(self) -> None:
        for request, answer in (
            (b"\x16\x03\x01\r\n\r\n", b""),
            (b"GET / HTTP/1.1\r\n\r\n", OK),  # no Host
            (GET, b"SSH-2.0\r\n\r\n"),
            (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            (b"", OK),
            (b"G" * (MAX_HEAD + 1), b""),
            (GET, b"H" * (MAX_HEAD + 1)),
            (GET * (MAX_WAITING + 1), OK),
        ):
            followed = Followed()
            followed.tap.from_visitor(request)
            followed.tap.from_upstream(answer)
            followed.tap.from_visitor(GET)
            followed.tap.from_upstream(OK)
            followed.tap.closed()
            self.assertEqual((followed.reports, followed.ends), ([], 1), (request[:50], answer))

    def test_excerpt_of_what_may_be_a_refusal(self) -> None:
        text = b"Invalid Host header"
        for head, kept in (
            (b"403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n%b\r\n0\r\n\r\n", text),
            (b"421 Misdirected\r\nContent-Length: 19\r\n\r\n%b", text),
            (b"200 OK\r\nContent-Length: 19\r\n\r\n%b", text),
            (b"200 OK\r\nContent-Length: 20\r\n\r\n%b!", b""),
        ):
            followed = Followed()
            followed.tap.from_visitor(GET)
            followed.tap.from_upstream(b"HTTP/1.1 " + head % text)
            self.assertEqual([r.excerpt for r in followed.reports], [kept])

    def test_excerpt_is_bounded_and_its_own(self) -> None:
        followed = Followed()
        followed.tap.from_visitor(GET + GET)
        followed.tap.from_upstream(b"HTTP/1.1 403 No\r\nContent-Length: 9000\r\n\r\n")
        for _ in range(9):
            followed.tap.from_upstream(b"x" * 1000)
        followed.tap.from_upstream(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nyy")
        self.assertEqual([r.excerpt for r in followed.reports], [b"x" * MAX_EXCERPT, b"yy"])
        self.assertEqual([r.size for r in followed.reports], [9000, 2])

    def test_refusal_without_a_head(self) -> None:
        """So Next.js answers an upgrade from an origin that it does not know."""
        followed = Followed()
        followed.tap.from_visitor(
            b"GET /_next/hmr HTTP/1.1\r\nHost: a\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        followed.tap.from_upstream(b"Unauthorized")
        followed.tap.closed()
        self.assertEqual(
            [(r.status, r.excerpt) for r in followed.reports], [(None, b"Unauthorized")]
        )

    @given(st.data())
    def test_cut_anywhere(self, data: st.DataObject) -> None:
        up = GET + b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody" + GET
        down = (
            b"HTTP/1.1 103 Hints\r\n\r\n"
            + OK
            + b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
            + OK
        )
        followed = Followed()
        for whole, feed in ((up, followed.tap.from_visitor), (down, followed.tap.from_upstream)):
            cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=9)))
            for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
                feed(whole[start:end])
        self.assertEqual(
            followed.summary,
            [(b"GET", b"/a?b=1", 200, 5), (b"POST", b"/p", 403, 12), (b"GET", b"/a?b=1", 200, 5)],
        )
        self.assertEqual(followed.reports[1].excerpt, b"no")

    def test_a_fault_at_the_end_is_contained(self) -> None:
        def fail(exchange: Exchange) -> None:
            raise RuntimeError("on purpose")

        followed = Followed()
        tap = RequestFollower(followed.clock.seconds, "192.0.2.1", fail, followed.end)
        tap.from_visitor(GET)
        tap.closed()
        self.assertEqual(followed.ends, 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    @given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=8))
    def test_never_raises(self, pieces: list[tuple[bool, bytes]]) -> None:
        followed = Followed()
        followed.tap.from_visitor(GET)
        for from_visitor, piece in pieces:
            (followed.tap.from_visitor if from_visitor else followed.tap.from_upstream)(piece)
        followed.tap.closed()
        self.assertEqual(followed.ends, 1)
