"""`/api/config/tunnels` and `/api/tunnels`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from tests.web.support import (
    ADMIN_TOKEN,
    ALICE_TOKEN,
    LOCAL,
    SHARED_TOKEN,
    STRANGER,
    Answer,
    StatusPort,
    bearer,
    live_row,
    registration,
)


class ConfigurationTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort(
            tunnels_enabled=True,
            inlets_server_url="wss://tunnel.example.com",
            inlets_shared_token=SHARED_TOKEN,
            tunnel_base_domain="tunnel.example.com",
        )

    def ask(self, token: str | None = SHARED_TOKEN) -> Answer:
        headers = bearer(token) if token else {}
        return self.port.ask("GET", "/api/config/tunnels", headers=headers, peer=STRANGER)

    def test_configured(self) -> None:
        answer = self.ask()
        self.assertEqual(answer.status, 200)
        self.assertEqual(
            answer.json,
            {
                "success": True,
                "data": {
                    "tunnels_enabled": True,
                    "inlets_server_url": "wss://tunnel.example.com",
                    "inlets_shared_token": SHARED_TOKEN,
                    "tunnel_base_domain": "tunnel.example.com",
                },
            },
        )

    def test_a_user_gets_the_own_token_and_never_the_shared_one(self) -> None:
        answer = self.ask(ALICE_TOKEN)
        self.assertEqual(answer.json["data"]["inlets_shared_token"], ALICE_TOKEN)
        self.assertNotIn(SHARED_TOKEN.encode(), answer.raw)

    def test_disabled(self) -> None:
        self.port.settings.change(tunnels_enabled=False, inlets_server_url="")
        answer = self.ask()
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.json, {"success": False, "error": "Tunnels feature is not enabled"})

    def test_without_a_token_whatever_is_set(self) -> None:
        for enabled in (True, False):
            self.port.settings.change(tunnels_enabled=enabled)
            for token in (None, "wrong"):
                answer = self.ask(token)
                self.assertEqual((answer.status, answer.json["success"]), (401, False))

    def test_not_configured(self) -> None:
        self.port.settings.change(inlets_server_url="")
        answer = self.ask()
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.json["success"], False)
        self.assertEqual(answer.json["error"], "Tunnels are not configured")

    def test_the_server_knows_an_address_where_none_is_set(self) -> None:
        self.port.server_url = "ws://localhost:8090"
        self.assertEqual(self.ask().json["data"]["inlets_server_url"], "wss://tunnel.example.com")
        self.port.settings.change(inlets_server_url="")
        self.assertEqual(self.ask().json["data"]["inlets_server_url"], "ws://localhost:8090")


class OwnTunnelsTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()
        self.port.live.show(
            live_row(client_id="claude-web-user-1"),
            live_row(client_id="claude-web-user-12"),
            live_row(client_id="alices", owner="alice"),
            live_row(client_id="malices", owner="malice"),
        )
        self.port.post(registration(client_id="alice-registered"), ALICE_TOKEN)

    def ask(self, query: str = "", token: str = SHARED_TOKEN) -> Answer:
        # From loopback too it is only the caller's own.
        return self.port.ask("GET", f"/api/tunnels{query}", headers=bearer(token), peer=LOCAL)

    def clients(self, *args: Any) -> list[str]:
        answer = self.ask(*args)
        self.assertTrue(answer.json["success"])
        return [row["client_id"] for row in answer.json["data"]["tunnels"]]

    def test_only_the_callers_own(self) -> None:
        self.assertEqual(self.clients(), ["claude-web-user-1", "claude-web-user-12"])
        self.assertEqual(self.clients("", ALICE_TOKEN), ["alices", "alice-registered"])

    def test_all_of_them_for_an_admin(self) -> None:
        self.assertEqual(len(self.clients("", ADMIN_TOKEN)), 5)
        self.assertEqual(self.clients("?client_id=malices", ADMIN_TOKEN), ["malices"])

    def test_owners_are_not_shown(self) -> None:
        self.assertNotIn(b"owner", self.ask().body)

    def test_of_exactly_one_client(self) -> None:
        self.assertEqual(self.clients("?client_id=claude-web-user-1"), ["claude-web-user-1"])
        for query in ("?client_id=claude-web-user-", "?client_id=", "?client_id=alices"):
            self.assertEqual(self.clients(query), [])

    def test_a_query_that_makes_no_sense(self) -> None:
        for query in ("?client_id=a&client_id=b", "?client_id=%ff"):
            answer = self.ask(query)
            self.assertEqual((answer.status, answer.json["error"]), (400, "Invalid request"))
            self.assertEqual(answer.json["success"], False)

    def test_none(self) -> None:
        self.port.live.show()
        self.assertEqual(self.ask().json, {"success": True, "data": {"tunnels": []}})
