"""What a person is told, and that nobody else can make the terminal do things."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.client import display as display_module
from inletspy.client.config import ClientConfig
from inletspy.client.display import (
    Display,
    JsonDisplay,
    LinesDisplay,
    QuietDisplay,
    printable,
)
from inletspy.wire.control import Grant, ServiceOffer
from tests.client.support import CONFIG, GRANT, Written

GET = b"GET /a?b=1 HTTP/1.1\r\nHost: c0ffee-3000.tunnel.localhost\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 19\r\n\r\nInvalid Host header"
TCP = replace(CONFIG, services=(ServiceOffer("5432", "tcp", "tcp://localhost:5432"),))


class PrintableTests(TestCase):
    def test_what_a_terminal_would_act_on(self) -> None:
        for raw, shown in (
            (b"/plain?a=b%20c", "/plain?a=b%20c"),
            ("/é/日本".encode(), "/é/日本"),
            (b"/\x1b[2J\x07\r\n\x00", "/\\x1b[2J\\x07\\r\\n\\x00"),
            (b"/\x9b31m", "/\\x9b31m"),
            ("/\u009b31m".encode(), "/\\x9b31m"),
            ("/\u202egnp.exe".encode(), "/\\u202egnp.exe"),
            ("\u200bx", "\\u200bx"),
            ("\ud800", "\\ud800"),
        ):
            self.assertEqual(printable(raw), shown)
            self.assertTrue(printable(raw).isprintable())


class Showing(TestCase):
    """A display whose upstream listens, unless a test says otherwise."""

    kind: type[Display] = LinesDisplay

    def setUp(self) -> None:
        self.clock = Clock()
        self.output = Written()
        self.looks: list[Deferred[None]] = []
        self.listens = True
        self.patch(display_module, "look", self.look)
        self.display = self.show()

    def show(self, config: ClientConfig = CONFIG) -> Display:
        return self.kind(self.clock, config, self.output.steady)

    def look(self, reactor: Any, address: Any) -> Deferred[None]:
        return succeed(None) if self.listens else fail(ConnectionRefusedError())

    def exchange(self, request: bytes = GET, answer: bytes = OK) -> None:
        tap = self.display.follow("3000", "203.0.113.9:51234")
        assert tap is not None
        tap.from_visitor(request)
        self.clock.advance(0.0125)
        tap.from_upstream(answer)
        tap.closed()

    def events(self) -> list[dict[str, Any]]:
        """What was told as JSON, without the times."""
        events = [json.loads(line) for line in self.output.lines]
        for event in events:
            self.assertRegex(event.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        return events

    def life(self) -> None:
        """What every display is told sooner or later."""
        self.display.start()
        self.display.ready([GRANT])
        self.exchange()
        self.display.notice("tunnels will be off from 18:00")
        self.display.disconnected("the connection was lost", 0)
        self.display.disconnected("connection refused", 1.25)
        self.display.disconnected("connection refused", 2.5)
        self.display.ready([GRANT])
        self.listens = False
        self.display.upstream_failed("3000", "connection refused")
        self.clock.advance(1)
        self.listens = True
        self.clock.advance(1)
        self.display.disconnected("the connection was lost", 0)
        self.display.ready([replace(GRANT, public_url="http://new.tunnel.localhost:8080")])
        self.display.stop()


class LinesTests(Showing):
    def test_life(self) -> None:
        self.life()
        lines = self.output.lines
        self.assertRegex(lines.pop(1), r"^\d\d:\d\d:\d\d GET /a\?b=1 200 12ms 5B 203\.0\.113\.9$")
        self.assertEqual(
            lines,
            [
                "http://c0ffee-3000.tunnel.localhost:8080 -> http://localhost:3000",
                "notice: tunnels will be off from 18:00",
                "disconnected: the connection was lost; trying again",
                "disconnected: connection refused; trying again",
                "reconnected: the tunnel is up again",
                "upstream: a request came, but nothing listens on localhost:3000",
                "upstream: localhost:3000 answers now",
                "disconnected: the connection was lost; trying again",
                "reconnected: the tunnel is up again",
                "http://new.tunnel.localhost:8080 -> http://localhost:3000",
            ],
        )
        self.assertTrue(self.output.closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_upstream_that_is_not_there_yet(self) -> None:
        self.listens = False
        self.display.start()
        self.clock.pump([1] * 5)
        self.display.stop()
        self.assertEqual(
            self.output.lines,
            [
                "upstream: nothing listens on localhost:3000 yet; requests will work as soon as "
                "something does"
            ],
        )

    def test_upstream_that_is_far_away(self) -> None:
        self.display.upstream_failed("3000", "no answer")
        self.display.stop()
        self.assertEqual(
            self.output.lines,
            ["upstream: a request came, but localhost:3000 can't be reached: no answer"],
        )

    def test_upstream_of_a_tcp_service(self) -> None:
        self.listens = False
        self.display = self.show(TCP)
        self.display.start()
        self.display.upstream_failed("5432", "connection refused")
        self.display.stop()
        self.assertEqual(
            self.output.lines,
            [
                "upstream: nothing listens on localhost:5432 yet; connections will work as soon "
                "as something does",
                "upstream: a connection came, but nothing listens on localhost:5432",
            ],
        )

    def test_nothing_of_a_visitor_is_taken_literally(self) -> None:
        target = "/\x9b31m\u202e".encode()
        self.exchange(
            b"GET %b HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: \x9bevil\r\n\r\n" % target, OK
        )
        self.display.notice("\x9bnotice")
        self.display.disconnected("\u202ereason", 0)
        self.display.ready([replace(GRANT, public_url="http://\u202ea")])
        for line in self.output.lines:
            self.assertTrue(line.isprintable(), line)
        self.assertRegex(self.output.lines[0], r"GET /\\x9b31m\\u202e 200 12ms 5B \\x9bevil$")
        self.assertEqual(len(self.output.lines[0].split(" ")), 7)

    def test_no_answer(self) -> None:
        self.exchange(answer=b"")
        self.assertRegex(self.output.lines[0], r" GET /a\?b=1 - 12ms 0B 203\.0\.113\.9$")

    def test_a_hint_once(self) -> None:
        for _ in range(3):
            self.exchange(answer=REFUSAL)
        hints = [line for line in self.output.lines if line.startswith("hint: ")]
        self.assertEqual(
            hints,
            [
                "hint: webpack-dev-server refuses the host c0ffee-3000.tunnel.localhost: restart "
                "with `tunnel 3000 --host-header rewrite`, or add "
                '"c0ffee-3000.tunnel.localhost" to devServer.allowedHosts in webpack.config.js'
            ],
        )

    def test_requests_are_left_out_before_the_tunnel_waits(self) -> None:
        self.output.full = True
        self.exchange()
        self.display.ready([GRANT])
        self.assertEqual(len(self.output.lines), 1)

    def test_stock_server_that_tells_nothing(self) -> None:
        services = (
            ServiceOffer("1", "http", "http://localhost:1", hostname="app.example.com"),
            ServiceOffer("2", "http", "http://localhost:2"),
        )
        grants = [Grant("1", 0, "app.example.com"), Grant("2", 0, "")]
        self.show(replace(CONFIG, services=services)).ready(grants)
        self.assertEqual(
            self.output.lines,
            [
                "app.example.com -> http://localhost:1",
                "(any name that nobody else has) -> http://localhost:2",
            ],
        )

    def test_grants_of_unknown_services(self) -> None:
        self.display.ready([replace(GRANT, name="other"), GRANT])
        self.assertEqual(len(self.output.lines), 1)

    def test_open_streams_are_counted(self) -> None:
        taps = [self.display.follow("3000", "[::1]:1") for _ in range(3)]
        self.assertEqual(self.display.open_streams, 3)
        for tap in taps:
            assert tap is not None
            tap.closed()
        self.assertEqual(self.display.open_streams, 0)


class QuietTests(Showing):
    kind = QuietDisplay

    def exchange(self, request: bytes = GET, answer: bytes = OK) -> None:
        self.assertIsNone(self.display.follow("3000", "203.0.113.9:51234"))

    def test_life(self) -> None:
        self.life()
        self.assertEqual(
            self.output.lines,
            ["http://c0ffee-3000.tunnel.localhost:8080", "http://new.tunnel.localhost:8080"],
        )


class JsonTests(Showing):
    kind = JsonDisplay

    def test_life(self) -> None:
        self.life()
        service = {
            "protocol": "http",
            "upstream": "http://localhost:3000",
            "public_url": "http://c0ffee-3000.tunnel.localhost:8080",
        }
        up = {
            **service,
            "client_id": "c0ffee",
            "services": [{"name": "3000", **service}],
        }
        lost = {"event": "disconnected", "reason": "the connection was lost", "retry_in": 0}
        new = "http://new.tunnel.localhost:8080"
        self.assertEqual(
            self.events(),
            [
                {"event": "ready", **up},
                {
                    "event": "request",
                    "service": "3000",
                    "method": "GET",
                    "path": "/a?b=1",
                    "status": 200,
                    "duration_ms": 12.5,
                    "bytes": 5,
                    "visitor": "203.0.113.9",
                    "upgraded": False,
                },
                {"event": "notice", "message": "tunnels will be off from 18:00"},
                lost,
                {"event": "disconnected", "reason": "connection refused", "retry_in": 1.25},
                {"event": "disconnected", "reason": "connection refused", "retry_in": 2.5},
                {"event": "reconnected", **up},
                {
                    "event": "upstream_failed",
                    "service": "3000",
                    "upstream": "http://localhost:3000",
                    "reason": "connection refused",
                    "message": "a request came, but nothing listens on localhost:3000",
                },
                {
                    "event": "upstream_ready",
                    "service": "3000",
                    "upstream": "http://localhost:3000",
                },
                lost,
                {
                    "event": "reconnected",
                    **(service | {"public_url": new}),
                    "client_id": "c0ffee",
                    "services": [{"name": "3000", **(service | {"public_url": new})}],
                },
            ],
        )

    def test_listed_by_another_id(self) -> None:
        self.display.listed("alice-c0ffee")
        self.display.ready([GRANT])
        self.assertEqual(self.events()[0]["client_id"], "alice-c0ffee")

    def test_no_answer_and_a_hint(self) -> None:
        self.exchange(answer=b"")
        self.exchange(answer=REFUSAL)
        events = self.events()
        self.assertEqual([event["event"] for event in events], ["request", "request", "hint"])
        self.assertIsNone(events[0]["status"])
        self.assertIn("--host-header rewrite", events[2]["message"])

    def test_every_line_is_ascii(self) -> None:
        self.exchange(b"GET /\xc3\xa9\xff HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(self.output.text.isascii())
        self.assertEqual(self.events()[0]["path"], "/é\\xff")
