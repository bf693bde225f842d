"""`/api/events`, and `/api/health`."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from inletspy.policy.tokens import Credential
from inletspy.policy.traffic import Traffic
from tests.web.support import (
    ADMIN_TOKEN,
    ALICE,
    ALICE_TOKEN,
    CREDENTIALS,
    SHARED_TOKEN,
    STRANGER,
    StatusPort,
    bearer,
    live_row,
)

Event = tuple[str, Any]


class Reader:
    """Who reads a stream."""

    def __init__(
        self,
        port: StatusPort,
        query: str,
        token: str = "",
        *,
        source: str = STRANGER.host,
        cookie: str = "",
    ) -> None:
        self.channel, self.wire = port.connect(IPv4Address("TCP", source, 50000))
        fields = {"Host": "localhost:8091"}
        fields |= {"Cookie": cookie} if cookie else bearer(token)
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.channel.dataReceived(f"GET /api/events{query} HTTP/1.1\r\n{head}\r\n".encode())
        raw, _, self._rest = self.wire.value().partition(b"\r\n\r\n")
        self.wire.clear()
        self.status = int(raw.split(b" ")[1])
        self.head = raw.decode().lower()
        #: Whether the server has ended it in order.
        self.ended = False

    def text(self) -> str:
        """What has come since the last time."""
        data, self._rest = self._rest + self.wire.value(), b""
        self.wire.clear()
        whole = b""
        while data:
            size, _, data = data.partition(b"\r\n")
            length = int(size, 16)
            self.ended = not length
            whole += data[:length]
            data = data[length + 2 :]
        return whole.decode("ascii")

    def events(self) -> list[Event]:
        """The events that have come since the last time."""
        found = []
        for block in self.text().split("\n\n"):
            lines = dict(line.partition(": ")[::2] for line in block.split("\n") if line[:1] != ":")
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"])))
        return found

    def leave(self) -> None:
        """Go away."""
        self.channel.connectionLost(Failure(ConnectionDone()))


class EventsTestCase(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()
        self.live = self.port.live
        self.row = live_row(owner="alice")
        self.other = live_row(owner="bob")
        self.traffic = self.live.passing[self.row["id"]] = Traffic()
        self.live.show(self.row, self.other)

    def note(self, target: bytes = b"/") -> None:
        """A request of alice's tunnel is over."""
        now = self.port.clock.seconds()
        self.traffic.note(now, now, b"GET", target, 200, 1, 2, b"203.0.113.9")

    def open(self, query: str = "", token: str = ALICE_TOKEN) -> Reader:
        """A stream that is open, which the test reads from."""
        reader = Reader(self.port, query, token)
        self.assertEqual(reader.status, 200, reader.head)
        return reader

    def wait(self, seconds: int = 1) -> None:
        """Let some time go by."""
        for _ in range(seconds):
            self.port.clock.advance(1)


class StreamTests(EventsTestCase):
    def test_the_head(self) -> None:
        reader = self.open()
        self.assertIn("\r\ncontent-type: text/event-stream", reader.head)
        self.assertIn("\r\ncache-control: no-store", reader.head)
        self.assertTrue(reader.text().startswith("retry: 2000\n\nevent: tunnels\ndata: {"))

    def test_only_the_head(self) -> None:
        answer = self.port.ask("HEAD", "/api/events", headers=bearer(ALICE_TOKEN))
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(self.port.later(), [])

    def test_begins_with_all(self) -> None:
        self.note()
        listed = self.port.ask("GET", "/api/tunnels", headers=bearer(ALICE_TOKEN)).json["data"]
        self.assertEqual(self.open().events(), [("tunnels", listed)])

    def test_a_tunnel_comes_and_goes(self) -> None:
        reader = self.open()
        reader.events()
        new = live_row(owner="alice")
        self.live.show(self.row, self.other, new)
        self.assertEqual(reader.events(), [])
        self.wait()
        (row,) = self.port.ask(
            "GET", "/api/tunnels?client_id=abc", headers=bearer(ALICE_TOKEN)
        ).json["data"]["tunnels"][1:]
        self.assertEqual(reader.events(), [("changes", {"changed": [row], "gone": []})])
        self.live.show(self.other, new)
        self.wait()
        gone = {"changed": [], "gone": [self.row["id"]]}
        self.assertEqual(reader.events(), [("changes", gone)])
        self.wait(5)
        self.assertEqual(reader.events(), [])

    def test_a_client_goes_away(self) -> None:
        reader = self.open()
        reader.events()
        away = {**self.row, "status": "away", "held_until": "2026-01-01T00:10:00Z"}
        self.live.kept = [away]
        self.live.show(self.other)
        self.wait()
        ((name, changes),) = reader.events()
        self.assertEqual((name, changes["gone"]), ("changes", []))
        (row,) = changes["changed"]
        self.assertEqual((row["id"], row["status"]), (self.row["id"], "away"))
        self.assertEqual(self.open().events()[0][1], {"tunnels": [row]})

    def test_figures(self) -> None:
        reader = self.open()
        reader.events()
        for _ in range(5):
            self.note()
        self.wait()
        ((_, changes),) = reader.events()
        (row,) = changes["changed"]
        self.assertEqual(row["traffic"], self.traffic.figures(self.port.clock.seconds()))
        self.wait(30)
        last = [changes for name, changes in reader.events() if name == "changes"][-1]
        figures = self.traffic.figures(self.port.clock.seconds())
        self.assertEqual(last["changed"][0]["traffic"], figures)

    def test_nothing_to_say(self) -> None:
        reader = self.open()
        reader.events()
        self.wait(14)
        self.assertEqual(reader.text(), "")
        self.wait(1)
        self.assertEqual(reader.text(), ": \n\n")
        self.wait(15)
        self.assertEqual(reader.text(), ": \n\n")

    def test_whose_they_are(self) -> None:
        readers = [self.open(token=token) for token in (ALICE_TOKEN, SHARED_TOKEN, ADMIN_TOKEN)]
        for reader, count in zip(readers, (1, 0, 2), strict=True):
            tunnels = reader.events()[0][1]["tunnels"]
            self.assertEqual(len(tunnels), count)
            self.assertEqual(any("owner" in row for row in tunnels), count == 2)
        self.live.show()
        self.wait()
        told = [[name for name, _ in reader.events() if name == "changes"] for reader in readers]
        self.assertEqual(told, [["changes"], [], ["changes"]])

    def test_health_is_for_admins(self) -> None:
        reader = self.open(token=ADMIN_TOKEN)
        self.assertEqual(reader.events()[-1], ("health", self.port.condition))
        self.port.condition["visitors"] = 77
        self.wait(4)
        self.assertEqual(reader.events(), [])
        self.wait()
        self.assertEqual(reader.events(), [("health", self.port.condition)])
        reader = self.open()
        self.wait(20)
        self.assertNotIn("health", dict(reader.events()))

    def test_requests_of_one(self) -> None:
        self.note(b"/before")
        reader = self.open(f"?tunnel={self.row['id']}")
        self.assertEqual([name for name, _ in reader.events()], ["tunnels"])
        self.note(b"/1")
        self.note(b"/2")
        self.wait()
        told = dict(reader.events())
        self.assertEqual([found["path"] for found in told["requests"]["requests"]], ["/2", "/1"])
        for _ in range(500):
            self.note()
        self.wait()
        self.assertEqual(len(dict(reader.events())["requests"]["requests"]), 200)
        self.wait()
        self.assertNotIn("requests", dict(reader.events()))

    def test_requests_of_one_that_is_not_there(self) -> None:
        for id in ("nonsense", self.other["id"]):
            self.assertEqual(Reader(self.port, f"?tunnel={id}", ALICE_TOKEN).status, 404)
        self.assertEqual(self.port.later(), [])
        new = live_row(owner="alice")
        self.open()
        self.live.show(new)
        self.open(f"?tunnel={new['id']}")


class EndTests(EventsTestCase):
    def test_nothing_is_left(self) -> None:
        readers = [self.open() for _ in range(3)]
        for reader in readers:
            reader.leave()
        self.assertEqual(self.port.later(), [])
        self.assertEqual(self.live.observers, [self.port.tunnels._observers.tell])

    def test_opened_again(self) -> None:
        self.open().leave()
        self.live.show(self.other)
        self.assertEqual(self.open().events(), [("tunnels", {"tunnels": []})])

    def test_the_token_is_revoked(self) -> None:
        reader = self.open()
        reader.events()
        self.patch_credential(None)
        self.wait()
        self.assertEqual([name for name, _ in reader.events()], ["bye"])
        self.assertTrue(reader.ended)
        self.assertEqual(Reader(self.port, "", ALICE_TOKEN).status, 401)

    def test_the_token_is_for_less(self) -> None:
        reader = self.open()
        reader.events()
        self.patch_credential(Credential(ALICE, scopes=frozenset(["connect"])))
        self.wait()
        self.assertEqual([name for name, _ in reader.events()], ["bye"])

    def test_the_token_is_for_more(self) -> None:
        """The reader comes again, and sees all."""
        reader = self.open()
        reader.events()
        self.patch_credential(Credential(ALICE, scopes=frozenset(["admin"])))
        self.wait()
        self.assertEqual([name for name, _ in reader.events()], ["bye"])

    def patch_credential(self, credential: Credential | None) -> None:
        """Have alice's token be good for something else."""
        before = CREDENTIALS[ALICE_TOKEN]
        self.addCleanup(CREDENTIALS.__setitem__, ALICE_TOKEN, before)
        if credential is None:
            del CREDENTIALS[ALICE_TOKEN]
        else:
            CREDENTIALS[ALICE_TOKEN] = credential

    def test_signed_in_until_signed_out(self) -> None:
        body = json.dumps({"token": ALICE_TOKEN}).encode()
        json_type = {"Content-Type": "application/json"}
        answer = self.port.ask("POST", "/api/session", body, json_type)
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        reader = Reader(self.port, "", cookie=cookie)
        self.assertEqual(reader.events()[0][0], "tunnels")
        self.wait(5)
        own = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
        self.assertEqual(self.port.ask("DELETE", "/api/session", headers=own).status, 200)
        self.wait()
        self.assertEqual([name for name, _ in reader.events()], ["bye"])

    def test_who_may_not(self) -> None:
        self.assertEqual(Reader(self.port, "", "nonsense").status, 401)


class BoundTests(EventsTestCase):
    def test_one_token_from_one_address(self) -> None:
        readers = [self.open() for _ in range(16)]
        refused = Reader(self.port, "", ALICE_TOKEN)
        self.assertEqual(refused.status, 429)
        self.assertIn("\r\nretry-after: 2", refused.head)
        other = Reader(self.port, "", ALICE_TOKEN, source="203.0.113.10")
        self.assertEqual(other.status, 200)
        self.assertEqual(Reader(self.port, "", SHARED_TOKEN).status, 200)
        readers[3].leave()
        self.open()

    def test_a_slow_reader_is_told_what_holds_by_then(self) -> None:
        reader = self.open()
        reader.events()
        reader.channel.pauseProducing()
        first, second = live_row(owner="alice"), live_row(owner="alice")
        self.live.show(self.row, first)
        self.wait(2)
        self.live.show(second)
        self.wait(25)
        self.assertEqual(reader.text(), "")
        reader.channel.resumeProducing()
        self.wait()
        ((_, changes),) = reader.events()
        self.assertEqual([row["id"] for row in changes["changed"]], [second["id"]])
        self.assertIn(self.row["id"], changes["gone"])

    def test_a_reader_that_is_too_slow_is_cut(self) -> None:
        reader, other = self.open(), self.open()
        reader.channel.pauseProducing()
        self.wait(29)
        self.assertFalse(reader.wire.aborted)
        self.wait(2)
        self.assertTrue(reader.wire.aborted)
        self.assertFalse(other.wire.aborted)

    def test_one_stream_s_trouble_is_its_own(self) -> None:
        reader, other = self.open(), self.open()
        other.events()

        def fail(data: bytes) -> None:
            raise RuntimeError("a fault of ours")

        reader.channel.requests[0].write = fail
        self.live.show()
        self.wait()
        self.assertTrue(reader.wire.aborted)
        self.assertEqual([name for name, _ in other.events()], ["changes"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class HealthTests(EventsTestCase):
    def test_for_admins_only(self) -> None:
        answer = self.port.ask("GET", "/api/health", headers=bearer(ADMIN_TOKEN))
        self.assertEqual(answer.json, {"success": True, "data": self.port.condition})
        answer = self.port.ask("GET", "/api/health", headers=bearer(ALICE_TOKEN))
        self.assertEqual(answer.status, 403)
