"""Figures in rows, tunnels that are away, and the last requests."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from inletspy.policy.traffic import Traffic
from tests.web.support import (
    ADMIN_TOKEN,
    ALICE_TOKEN,
    NEW_YEAR,
    SHARED_TOKEN,
    STRANGER,
    Answer,
    StatusPort,
    bearer,
    live_row,
)


class TrafficTestCase(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()
        self.live = self.port.live
        self.row = live_row(owner="alice")
        self.live.show(self.row, live_row())
        self.traffic = self.live.passing[self.row["id"]] = Traffic(lambda: 3)

    def note(self, target: bytes = b"/", status: int = 200) -> None:
        """A request of alice's tunnel is over."""
        now = self.port.clock.seconds()
        self.traffic.note(now, now - 0.5, b"GET", target, status, 10, 20, b"203.0.113.9")

    def ask(self, target: str, token: str = ALICE_TOKEN, method: str = "GET") -> Answer:
        return self.port.ask(method, target, headers=bearer(token), peer=STRANGER)

    def data(self, target: str, token: str = ALICE_TOKEN) -> Any:
        """What comes of a call that is granted."""
        answer = self.ask(target, token)
        self.assertEqual(answer.status, 200, answer.raw)
        return answer.json["data"]


class FigureTests(TrafficTestCase):
    def test_in_rows(self) -> None:
        self.note()
        (row,) = self.data("/api/tunnels")["tunnels"]
        self.assertEqual(row["traffic"], self.traffic.figures(NEW_YEAR))
        self.assertEqual(row["traffic"]["active"], 3)
        self.assertEqual(self.data(f"/api/tunnels/{row['id']}"), row)

    def test_none_where_nothing_is_known(self) -> None:
        for row in self.data("/api/tunnels", SHARED_TOKEN)["tunnels"]:
            self.assertNotIn("traffic", row)

    def test_not_at_status(self) -> None:
        for row in self.ask("/status").json:
            self.assertNotIn("traffic", row)


class AwayTests(TrafficTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.note()
        self.live.show()
        self.live.kept = [
            {**self.row, "status": "away", "held_until": "2026-01-01T00:10:00Z"},
            live_row(status="away", held_until="2026-01-01T00:10:00Z"),
        ]

    def test_only_when_asked_for(self) -> None:
        self.assertEqual(self.data("/api/tunnels")["tunnels"], [])
        self.assertEqual(self.data("/api/tunnels?away=false")["tunnels"], [])
        (row,) = self.data("/api/tunnels?away=true")["tunnels"]
        self.assertEqual((row["id"], row["status"]), (self.row["id"], "away"))
        self.assertEqual(row["held_until"], "2026-01-01T00:10:00Z")
        self.assertEqual(row["traffic"]["requests"], 1)
        self.assertNotIn("owner", row)
        self.assertEqual(len(self.data("/api/tunnels?away=true", ADMIN_TOKEN)["tunnels"]), 2)

    def test_one(self) -> None:
        where = f"/api/tunnels/{self.row['id']}"
        self.assertEqual(self.ask(where).status, 404)
        self.assertEqual(self.data(f"{where}?away=true")["status"], "away")
        self.assertEqual(self.ask(f"{where}?away=true", SHARED_TOKEN).status, 404)

    def test_nonsense(self) -> None:
        for value in ("1", "TRUE", "", "true&away=true"):
            self.assertEqual(self.ask(f"/api/tunnels?away={value}").status, 400, value)

    def test_requests(self) -> None:
        where = f"/api/tunnels/{self.row['id']}/requests"
        self.assertEqual(len(self.data(where)["requests"]), 1)

    def test_given_up(self) -> None:
        closed: list[str] = []
        self.live.close = lambda id: not closed.append(id)  # type: ignore[method-assign,func-returns-value]
        where = f"/api/tunnels/{self.row['id']}"
        self.assertEqual(self.ask(where, SHARED_TOKEN, "DELETE").status, 404)
        self.assertEqual(self.ask(where, method="DELETE").status, 200)
        self.assertEqual(closed, [self.row["id"]])


class RequestTests(TrafficTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.where = f"/api/tunnels/{self.row['id']}/requests"

    def requests(self, query: str = "") -> list[dict[str, Any]]:
        """What is told of the last requests."""
        found: list[dict[str, Any]] = self.data(self.where + query)["requests"]
        return found

    def test_none(self) -> None:
        self.assertEqual(self.requests(), [])

    def test_one(self) -> None:
        self.note(b"/a?b=c", 404)
        self.assertEqual(
            self.requests(),
            [
                {
                    "n": 1,
                    "time": "2025-12-31T23:59:59.500Z",
                    "method": "GET",
                    "path": "/a?b=c",
                    "status": 404,
                    "duration_ms": 500.0,
                    "bytes_in": 10,
                    "bytes_out": 20,
                    "visitor": "203.0.113.9",
                }
            ],
        )

    def test_a_connection(self) -> None:
        self.traffic.begin(NEW_YEAR - 2)
        self.traffic.end(NEW_YEAR, NEW_YEAR - 2, 1, 2, b"203.0.113.9")
        (found,) = self.requests()
        self.assertEqual([found[name] for name in ("method", "path", "status")], [None] * 3)
        self.assertEqual(
            (found["duration_ms"], found["bytes_in"], found["bytes_out"]), (2000, 1, 2)
        )

    def test_limit(self) -> None:
        for number in range(150):
            self.note(b"/%d" % number)
        self.assertEqual(len(self.requests()), 100)
        self.assertEqual([found["n"] for found in self.requests("?limit=2")], [150, 149])
        self.assertEqual(len(self.requests("?limit=200")), 150)
        for value in ("0", "201", "-1", "a", "", "1e2", "٣", "0" * 5000 + "1"):
            answer = self.port.ask(
                "GET",
                f"{self.where}?limit={value}".encode().decode("latin-1"),
                headers=bearer(ALICE_TOKEN),
            )
            self.assertEqual(answer.status, 400, value)

    def test_secrets_of_links_are_hidden(self) -> None:
        self.note(b"/?tunnel_token=1.2.secret&a=b")
        self.assertEqual(self.requests()[0]["path"], "/?tunnel_token=***&a=b")

    def test_whatever_visitors_send(self) -> None:
        self.note("/<script>\u202e\u2028'\"\\".encode())
        self.note(b"/" + b"x" * 60_000)
        long, strange = self.requests()
        self.assertEqual(strange["path"], "/<script>\\xe2\\x80\\xae\\xe2\\x80\\xa8'\"\\")
        self.assertTrue(long["path"].endswith("x…"))
        self.assertLess(len(long["path"]), 1000)

    def test_whose_they_are(self) -> None:
        self.note()
        self.assertEqual(len(self.data(self.where, ADMIN_TOKEN)["requests"]), 1)
        for token in (SHARED_TOKEN, "nonsense"):
            self.assertIn(self.ask(self.where, token).status, (401, 404))

    def test_of_no_tunnel(self) -> None:
        self.assertEqual(self.ask("/api/tunnels/nonsense/requests").status, 404)
