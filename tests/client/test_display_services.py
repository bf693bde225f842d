"""Several services that come and go, in every way of telling a person."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from inletspy.client.display import JsonDisplay, LinesDisplay, QuietDisplay
from inletspy.errors import Code, Refused
from inletspy.wire.control import Grant, ServiceOffer
from tests.client.support import CONFIG
from tests.client.test_display import GET, OK, REFUSAL, Showing

WEB = ServiceOffer("web", "http", "http://localhost:3000", hostname="shop")
DB = ServiceOffer("db", "tcp", "tcp://localhost:5432")
API = ServiceOffer("api", "http", "http://localhost:4000")
FILE = replace(CONFIG, services=(WEB, DB), restart="", file="inletspy.toml")
GRANTS = [Grant("web", 1, "http://shop.a:8080"), Grant("db", 2, "tcp://a:30000")]


class SeveralTestCase(Showing):
    def setUp(self) -> None:
        super().setUp()
        self.display = self.show(FILE)

    def visit(self, service: str, answer: bytes = OK) -> None:
        tap = self.display.follow(service, "203.0.113.9:51234")
        if tap is not None:
            tap.from_visitor(GET)
            tap.from_upstream(answer)
            tap.closed()

    def changes(self) -> None:
        """One is removed, one changed, one added and one refused."""
        self.display.start()
        self.display.ready(GRANTS)
        self.visit("web")
        other = replace(DB, upstream="tcp://localhost:5433")
        late = replace(API, name="late")
        self.display.change([other, API, late])
        self.display.service_added(Grant("db", 2, "tcp://a:30001"))
        self.display.service_added(Grant("api", 1, "http://api.a:8080"))
        self.display.service_refused(
            Refused(Code.HOSTNAME_TAKEN, "late.a is \x9btaken", service="late")
        )
        self.display.change_failed("inletspy.toml:3: nonsense")
        self.display.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PrivateTestCase(Showing):
    """A private service, at the client that has it and at one that reaches it."""

    def serve(self) -> list[str]:
        offer = ServiceOffer("5432", "tcp", "tcp://localhost:5432", private="db")
        display = self.show(replace(CONFIG, services=(offer,)))
        display.start()
        display.ready([Grant("5432", 1, "private:db")])
        display.stop()
        return self.output.lines

    def reach(self) -> list[str]:
        offer = ServiceOffer("db", "tcp", "private:db")
        display = self.show(replace(CONFIG, services=(offer,)))
        display.start()
        display.ready([Grant("db", 1, "127.0.0.1:5433")])
        display.notice("a connection to db failed: \x1b")
        display.disconnected("gone", 1.0)
        display.ready([Grant("db", 1, "127.0.0.1:5433")])
        display.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return self.output.lines


class PrivateLinesTests(PrivateTestCase):
    kind = LinesDisplay

    def test_both_sides(self) -> None:
        self.assertEqual(
            self.serve(),
            ["private:db -> tcp://localhost:5432", "private: tunnel connect db LOCALPORT"],
        )

    def test_connecting(self) -> None:
        self.assertEqual(
            self.reach(),
            [
                "127.0.0.1:5433 -> private:db",
                "notice: a connection to db failed: \\x1b",
                "disconnected: gone; trying again",
                "reconnected: the tunnel is up again",
            ],
        )


class PrivateQuietTests(PrivateTestCase):
    kind = QuietDisplay

    def test_serving(self) -> None:
        self.assertEqual(self.serve(), ["private:db"])

    def test_connecting(self) -> None:
        self.assertEqual(self.reach(), ["127.0.0.1:5433"])


class PrivateJsonTests(PrivateTestCase):
    kind = JsonDisplay

    def test_serving(self) -> None:
        (ready,) = map(json.loads, self.serve())
        self.assertEqual(
            (ready["public_url"], ready["upstream"]), ("private:db", "tcp://localhost:5432")
        )

    def test_connecting(self) -> None:
        events = list(map(json.loads, self.reach()))
        self.assertEqual(
            [event["event"] for event in events], ["ready", "notice", "disconnected", "reconnected"]
        )
        self.assertEqual(
            (events[0]["local_address"], events[0]["upstream"]), ("127.0.0.1:5433", "private:db")
        )
        self.assertNotIn("public_url", events[0])


class LinesTests(SeveralTestCase):
    kind = LinesDisplay

    def test_changes(self) -> None:
        self.changes()
        lines = self.output.lines
        self.assertRegex(lines.pop(2), r" GET /a\?b=1 200 0ms 5B 203\.0\.113\.9 web$")
        self.assertEqual(
            lines,
            [
                "http://shop.a:8080 -> http://localhost:3000 web",
                "tcp://a:30000 -> tcp://localhost:5432 db",
                "removed: web",
                "tcp://a:30001 -> tcp://localhost:5433 db",
                "http://api.a:8080 -> http://localhost:4000 api",
                "refused: late: late.a is \\x9btaken",
                "config: inletspy.toml:3: nonsense",
            ],
        )

    def test_upstreams(self) -> None:
        self.listens = False
        self.display.start()
        self.display.change([DB, API])
        self.listens = True
        self.clock.advance(1)
        self.display.stop()
        self.assertEqual(
            [line.partition(" yet")[0] for line in self.output.lines],
            [
                "upstream: web: nothing listens on localhost:3000",
                "upstream: db: nothing listens on localhost:5432",
                "removed: web",
                "upstream: api: nothing listens on localhost:4000",
                "upstream: db: localhost:5432 answers now",
                "upstream: api: localhost:4000 answers now",
            ],
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_visitors_of_what_is_gone(self) -> None:
        self.display.ready(GRANTS)
        tap = self.display.follow("web", "203.0.113.9:51234")
        assert tap is not None
        self.display.change([DB])
        self.assertIsNone(self.display.follow("web", "203.0.113.9:51234"))
        self.display.upstream_failed("web", "connection refused")
        tap.from_visitor(GET)
        tap.from_upstream(OK)
        tap.closed()
        self.assertEqual(self.output.lines[2], "removed: web")
        self.assertEqual(len(self.output.lines), 4)  # and the request that was answered
        self.assertEqual(self.display.open_streams, 0)

    def test_what_was_granted_before_it_changed(self) -> None:
        self.display.change([DB])
        self.display.ready(GRANTS)
        self.assertEqual(self.output.lines[1:], ["tcp://a:30000 -> tcp://localhost:5432 db"])

    def test_one_is_missing_after_a_reconnect(self) -> None:
        self.display.ready(GRANTS)
        self.display.ready(GRANTS[:1])
        self.assertEqual(
            self.output.lines[2:],
            [
                "reconnected: the tunnel is up again",
                "http://shop.a:8080 -> http://localhost:3000 web",
            ],
        )

    def test_hint(self) -> None:
        self.display.ready(GRANTS)
        self.visit("web", REFUSAL)
        self.assertIn(
            'localhost: set host-header = "rewrite" for web in inletspy.toml, or add',
            self.output.lines[-1],
        )


class QuietTests(SeveralTestCase):
    kind = QuietDisplay

    def test_changes(self) -> None:
        self.changes()
        self.assertEqual(
            self.output.lines,
            [
                "http://shop.a:8080 web",
                "tcp://a:30000 db",
                "tcp://a:30001 db",
                "http://api.a:8080 api",
            ],
        )


class JsonTests(SeveralTestCase):
    kind = JsonDisplay

    def test_changes(self) -> None:
        self.changes()
        web: dict[str, Any] = {
            "protocol": "http",
            "upstream": WEB.upstream,
            "public_url": "http://shop.a:8080",
        }
        db = {"protocol": "tcp", "upstream": DB.upstream, "public_url": "tcp://a:30000"}
        api = {**web, "upstream": API.upstream, "public_url": "http://api.a:8080"}
        new = {**db, "upstream": "tcp://localhost:5433", "public_url": "tcp://a:30001"}
        ready, request, *others = self.events()
        services = [{"name": "web", **web}, {"name": "db", **db}]
        self.assertEqual(
            ready, {"event": "ready", **web, "client_id": "c0ffee", "services": services}
        )
        self.assertEqual((request["event"], request["service"]), ("request", "web"))
        self.assertEqual(
            others,
            [
                {"event": "service_removed", "service": "web"},
                {"event": "service_removed", "service": "db"},
                {"event": "service_added", "service": "db", **new},
                {"event": "service_added", "service": "api", **api},
                {
                    "event": "service_refused",
                    "service": "late",
                    "code": "hostname_taken",
                    "message": "late.a is \\x9btaken",
                },
                {"event": "config_error", "message": "inletspy.toml:3: nonsense"},
            ],
        )

    def test_none_is_up(self) -> None:
        self.display.ready([])
        self.assertEqual(self.events(), [{"event": "ready", "client_id": "c0ffee", "services": []}])
