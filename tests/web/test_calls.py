"""Answers that take time, and what is told when the store fails."""

from __future__ import annotations

import json
from typing import Any

import psycopg2
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from inletspy.errors import Conflict, DatabaseUnavailable, NotThere, UsageError
from inletspy.web.calls import ANSWER_SECONDS
from tests.web.support import (
    ADMIN_TOKEN,
    ALICE_TOKEN,
    READ_ONLY_TOKEN,
    Answer,
    StatusPort,
    Wire,
    bearer,
)

REQUEST = f"GET /api/users HTTP/1.1\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n".encode()
HEALTH = b"GET /health HTTP/1.1\r\n\r\n"


class PendingTable:
    """Gives no answer before a test does."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Any]] = []

    def users(self, name: str | None = None) -> Deferred[Any]:
        self.asked.append(Deferred())
        return self.asked[-1]

    def remove_user(self, name: str) -> Deferred[Any]:
        self.asked.append(Deferred())
        return self.asked[-1]


class PendingTests(TestCase):
    def setUp(self) -> None:
        self.table = PendingTable()
        self.port = StatusPort(table=self.table)

    def begin(self, request: bytes = REQUEST) -> tuple[Any, Wire]:
        channel, wire = self.port.connect()
        channel.dataReceived(request)
        return channel, wire

    def test_answered_when_the_store_has(self) -> None:
        _, wire = self.begin()
        self.assertEqual(wire.value(), b"")
        self.table.asked[0].callback([])
        answer = Answer(wire.value())
        self.assertEqual((answer.status, answer.json["data"]), (200, {"users": []}))
        self.assertEqual(self.port.later(), [])

    def test_pipelined_requests_wait_for_their_turn(self) -> None:
        _, wire = self.begin(REQUEST + HEALTH)
        self.assertEqual(wire.value(), b"")
        self.table.asked[0].callback([])
        self.assertIn(b'{"users": []}}\nHTTP/1.1 200 OK', wire.value())

    def test_a_client_that_does_not_wait(self) -> None:
        channel, wire = self.begin()
        channel.connectionLost(Failure(ConnectionDone()))
        self.table.asked[0].callback([])
        self.assertEqual(wire.value(), b"")
        self.assertEqual(self.port.later(), [])

    def test_what_fails_when_nobody_waits_is_logged_if_it_is_a_fault_of_ours(self) -> None:
        for error, logged in ((DatabaseUnavailable("away"), 0), (RuntimeError("a fault"), 1)):
            channel, _ = self.begin()
            channel.connectionLost(Failure(ConnectionDone()))
            self.table.asked[-1].errback(error)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), logged)

    def test_a_change_goes_on_without_its_client(self) -> None:
        fields = f"Authorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
        channel, _ = self.begin(f"DELETE /api/users/bob HTTP/1.1\r\n{fields}".encode())
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertFalse(self.port.accounts.refreshed)
        self.table.asked[0].callback(None)
        self.assertTrue(self.port.accounts.refreshed)

    def test_one_that_takes_too_long(self) -> None:
        channel, wire = self.begin()
        self.port.clock.advance(ANSWER_SECONDS - 0.1)
        self.assertEqual(wire.value(), b"")
        self.port.clock.advance(0.1)
        answer = Answer(wire.value())
        self.assertEqual((answer.status, answer.json["error"]), (503, "Timeout"))
        self.assertFalse(answer.json["success"])
        wire.clear()
        self.table.asked[0].callback([])
        self.assertEqual(wire.value(), b"")
        channel.dataReceived(HEALTH)
        self.assertEqual(Answer(wire.value()).status, 200)

    def test_what_the_store_says(self) -> None:
        for error, status, detail in (
            (NotThere("see `inletspy user list`"), 404, "There is none, or it is not yours"),
            (Conflict("there is one"), 409, "there is one"),
            (UsageError("it is none"), 400, "it is none"),
            (DatabaseUnavailable("could not connect to /run/x"), 503, "Try again later"),
        ):
            _, wire = self.begin()
            self.table.asked[-1].errback(error)
            answer = Answer(wire.value())
            self.assertEqual((answer.status, answer.json["detail"]), (status, detail))
            self.assertFalse(answer.json["success"])
            self.assertEqual(answer.headers["Retry-After"], "5" if status == 503 else None)

    def test_what_it_should_never_say(self) -> None:
        for error in (psycopg2.Error("the secret is xyzzy"), ValueError("the secret is xyzzy")):
            _, wire = self.begin()
            self.table.asked[-1].errback(error)
            answer = Answer(wire.value())
            self.assertEqual(answer.status, 500)
            self.assertEqual(answer.json, {"success": False, "error": "Internal error"})
            self.assertEqual(len(self.flushLoggedErrors(type(error))), 1)

    def test_an_answer_that_is_there_at_once(self) -> None:
        self.table.users = lambda name=None: succeed([])  # type: ignore[method-assign]
        _, wire = self.begin()
        self.assertEqual(Answer(wire.value()).json["data"], {"users": []})

    def test_so_many_of_one_owner_at_once(self) -> None:
        """Else whoever asks often enough would hold up what takes the token away."""
        begun = [self.begin(self.request_of(ALICE_TOKEN))[0] for _ in range(16)]
        begun[0].connectionLost(Failure(ConnectionDone()))  # what it asked for goes on
        answer = Answer(self.begin(self.request_of(ALICE_TOKEN))[1].value())
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "1"))
        for token, count in ((READ_ONLY_TOKEN, 1), (ADMIN_TOKEN, 17)):
            for _ in range(count):
                _, wire = self.begin(self.request_of(token))
                self.assertEqual(wire.value(), b"")
        self.table.asked[0].callback([])
        _, wire = self.begin(self.request_of(ALICE_TOKEN))
        self.assertEqual(wire.value(), b"")

    def request_of(self, token: str) -> bytes:
        return REQUEST.replace(ADMIN_TOKEN.encode(), token.encode())


class MethodTests(TestCase):
    def test_each_path_tells_its_methods(self) -> None:
        port = StatusPort()
        document = json.loads(port.ask("GET", "/api/openapi.json").body)
        for path, methods in document["paths"].items():
            target = path.replace("{", "").replace("}", "")
            allowed = port.ask("OPTIONS", target).headers["Allow"].split(", ")
            expected = {"OPTIONS", *(method.upper() for method in methods)}
            self.assertEqual(set(allowed) - {"HEAD"}, expected)
            for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"} - expected:
                answer = port.ask(method, target, headers=bearer(ADMIN_TOKEN))
                self.assertEqual(answer.status, 405)
                self.assertEqual(answer.headers["Allow"], ", ".join(allowed))
