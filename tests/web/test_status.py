"""`/status`, `/health` and `/tunnels`."""

from __future__ import annotations

import json

from twisted.trial.unittest import TestCase

from inletspy.web.registrations import CLIENT_LIMIT, LIFETIME_SECONDS
from tests.web.support import (
    ADMIN_TOKEN,
    ALICE_TOKEN,
    LOCAL,
    SHARED_TOKEN,
    STRANGER,
    StatusPort,
    bearer,
    live_row,
    registration,
)


class StatusTests(TestCase):
    def test_an_array_even_if_there_is_nothing(self) -> None:
        self.assertEqual(StatusPort().status(), [])

    def test_live_and_registered_tunnels_without_their_owners(self) -> None:
        port = StatusPort()
        port.live.show(live_row())
        port.post(registration())
        live, registered = port.status()
        self.assertEqual({**live, "owner": "shared"}, live_row(id=live["id"]))
        self.assertEqual(
            registered,
            {
                **registration(),
                "id": registered["id"],
                "connected_at": "2026-01-01T00:00:00.000Z",
                "status": "active",
            },
        )

    def test_a_query_changes_nothing(self) -> None:
        self.assertEqual(StatusPort().ask("GET", "/status?a=%&%zz").json, [])

    def test_with_a_token_from_elsewhere(self) -> None:
        port = StatusPort()
        port.live.show(live_row())
        answer = port.ask("GET", "/status", headers=bearer(SHARED_TOKEN), peer=STRANGER)
        self.assertEqual((answer.status, len(answer.json)), (200, 1))

    def test_a_token_shows_its_owner_s_alone_wherever_it_comes_from(self) -> None:
        port = StatusPort(status_public=True)
        port.live.show(live_row(), live_row(client_id="alice-x", owner="alice"))
        for peer in (LOCAL, STRANGER):
            for token, clients in (
                (SHARED_TOKEN, ["abc"]),
                (ALICE_TOKEN, ["alice-x"]),
                (ADMIN_TOKEN, ["abc", "alice-x"]),
            ):
                answer = port.ask("GET", "/status", headers=bearer(token), peer=peer)
                self.assertEqual([row["client_id"] for row in answer.json], clients)
            self.assertEqual(len(port.ask("GET", "/status", peer=peer).json), 2)
            # One that was revoked is no better than none, and says so.
            answer = port.ask("GET", "/status", headers=bearer("revoked"), peer=peer)
            self.assertEqual(answer.status, 401)

    def test_private_services_are_not_for_strangers(self) -> None:
        port = StatusPort(status_public=True)
        port.live.show(live_row(), live_row(public_url="private:db", private=True))
        for peer, token, count in (
            (LOCAL, "", 2),
            (STRANGER, "", 1),
            (STRANGER, SHARED_TOKEN, 2),
            (STRANGER, ALICE_TOKEN, 0),
        ):
            headers = bearer(token) if token else {}
            answer = port.ask("GET", "/status", headers=headers, peer=peer)
            self.assertEqual(len(answer.json), count, (peer, token))


class HealthTests(TestCase):
    def test_well(self) -> None:
        answer = StatusPort().ask("GET", "/health", peer=STRANGER)
        self.assertEqual((answer.status, answer.json), (200, {"status": "ok"}))

    def test_unwell(self) -> None:
        port = StatusPort()
        port.unhealthy = "the database is gone"
        answer = port.ask("GET", "/health", peer=STRANGER)
        expected = {"status": "unavailable", "reason": "the database is gone"}
        self.assertEqual((answer.status, answer.json), (503, expected))
        self.assertEqual(port.ask("HEAD", "/health").status, 503)


class RegistrationTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()

    def delete(self, path: str, token: str = SHARED_TOKEN) -> tuple[int, object]:
        answer = self.port.ask("DELETE", path, headers=bearer(token))
        return answer.status, answer.json

    def test_register_renew_and_run_out(self) -> None:
        for _ in range(2):
            answer = self.port.post(registration())
            self.assertEqual((answer.status, answer.json), (200, {"success": True}))
            self.port.clock.advance(LIFETIME_SECONDS - 1)
        (row,) = self.port.status()
        self.assertEqual(row["connected_at"], "2026-01-01T00:00:00.000Z")
        self.port.clock.advance(1)
        self.assertEqual(self.port.status(), [])

    def test_an_invalid_one(self) -> None:
        answer = self.port.post(registration(public_url="gopher://example.com"))
        self.assertEqual((answer.status, answer.json["error"]), (400, "Invalid request"))
        self.assertIn("public_url", answer.json["detail"])
        self.assertEqual(self.port.status(), [])

    def test_no_token_no_registration(self) -> None:
        body = json.dumps(registration()).encode()
        self.assertEqual(self.port.ask("POST", "/tunnels", body).status, 401)
        self.assertEqual(self.port.ask("POST", "/tunnels", b"nonsense").status, 401)
        self.assertEqual(self.port.status(), [])

    def test_too_many(self) -> None:
        for number in range(CLIENT_LIMIT):
            self.port.post(registration(upstream=f"http://localhost:{number}"))
        answer = self.port.post(registration())
        self.assertEqual((answer.status, answer.json["error"]), (429, "Too many registrations"))

    def test_delete_takes_all_of_that_client(self) -> None:
        for upstream in ("a", "b"):
            self.port.post(registration(upstream=upstream))
        self.port.post(registration(client_id="claude-web-user-12"))
        self.assertEqual(self.delete("/tunnels/claude-web-user-1"), (200, {"success": True}))
        (row,) = self.port.status()
        self.assertEqual(row["client_id"], "claude-web-user-12")
        self.assertEqual(self.delete("/tunnels/claude-web-user-1"), (200, {"success": True}))

    def test_delete_needs_the_token_of_who_registered(self) -> None:
        self.port.post(registration())
        self.assertEqual(self.port.ask("DELETE", "/tunnels/claude-web-user-1").status, 401)
        self.delete("/tunnels/claude-web-user-1", ALICE_TOKEN)
        self.assertEqual(len(self.port.status()), 1)

    def test_any_client_id_can_be_named_in_the_path(self) -> None:
        for client_id, path in (
            ("a b/c%", "a%20b%2Fc%25"),
            ("Zoë", "Zo%c3%ab"),
            ("a+b", "a+b"),
            ("..", ".."),
            ("a?b", "a%3Fb"),
        ):
            self.port.post(registration(client_id=client_id))
            self.assertEqual(len(self.port.status()), 1)
            self.delete(f"/tunnels/{path}?query")
            with self.subTest(client_id=client_id):
                self.assertEqual(self.port.status(), [])

    def test_what_is_no_percent_encoding_is_invalid(self) -> None:
        for path in ("%", "a%2", "%zz", "%%", "%u0041", "%ff", "%c3", "%ed%a0%80", "\xc3"):
            status, body = self.delete(f"/tunnels/{path}")
            with self.subTest(path=path):
                self.assertEqual(status, 400)
                self.assertIn("detail", json.dumps(body))

    def test_the_token_comes_first(self) -> None:
        self.assertEqual(self.port.ask("DELETE", "/tunnels/%").status, 401)

    def test_live_tunnels_are_not_touched(self) -> None:
        self.port.live.show(live_row())
        self.delete("/tunnels/abc")
        self.assertEqual(len(self.port.status()), 1)
