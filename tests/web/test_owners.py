"""Every call with somebody else's ids: nothing is seen, nothing is changed."""

from __future__ import annotations

import re
from typing import Any, Final

from inletspy.policy.visits import VisitRule
from tests.web.stored import StoredTestCase
from tests.web.support import registration

#: What is tried of each call with the token of another: its body, and the statuses that may
#: come of it for a token with the usual scopes. 200 is for what is only ever one's own.
TRIALS: Final[dict[tuple[str, str], tuple[Any, set[int]]]] = {
    ("GET", "/status"): (None, {200}),
    ("GET", "/health"): (None, {200}),
    ("POST", "/tunnels"): (registration(client_id="alice-reg"), {403}),
    ("DELETE", "/tunnels/{client_id}"): (None, {200}),
    ("POST", "/api/session"): ({"code": "alice"}, {401}),
    ("GET", "/api/session"): (None, {200}),
    ("DELETE", "/api/session"): (None, {200}),
    ("POST", "/api/session/links"): (None, {200}),
    ("GET", "/api/config/tunnels"): (None, {200}),
    ("GET", "/api/tunnels"): (None, {200}),
    ("GET", "/api/tunnels/{id}"): (None, {404}),
    ("DELETE", "/api/tunnels/{id}"): (None, {404}),
    ("GET", "/api/tunnels/{id}/requests"): (None, {404}),
    ("GET", "/api/tunnels/{id}/access"): (None, {404}),
    ("GET", "/api/tunnels/{id}/qr.svg"): (None, {404}),
    ("GET", "/api/tunnels/{id}/links"): (None, {404}),
    ("POST", "/api/tunnels/{id}/links"): ({"expires_in": 60}, {404}),
    ("DELETE", "/api/tunnels/{id}/links/{link_id}"): (None, {404}),
    ("GET", "/api/events"): (None, {404}),
    ("GET", "/api/health"): (None, {403}),
    ("GET", "/api/tokens"): (None, {200}),
    ("POST", "/api/tokens"): ({"user": "alice"}, {403}),
    ("GET", "/api/tokens/{prefix}"): (None, {404}),
    ("DELETE", "/api/tokens/{prefix}"): (None, {404}),
    ("GET", "/api/users"): (None, {200}),
    ("POST", "/api/users"): ({"name": "alice-2"}, {403}),
    ("GET", "/api/users/{name}"): (None, {404}),
    ("DELETE", "/api/users/{name}"): (None, {403}),
    ("GET", "/api/names"): (None, {200}),
    ("POST", "/api/names"): ({"name": "alice-shop", "user": "bob"}, {403}),
    ("GET", "/api/names/{name}"): (None, {404}),
    ("DELETE", "/api/names/{name}"): (None, {404}),
    ("GET", "/api/config"): (None, {403}),
    ("GET", "/api/config/{key}"): (None, {403}),
    ("PUT", "/api/config/{key}"): ({"value": False}, {403}),
    ("DELETE", "/api/config/{key}"): (None, {403}),
    ("GET", "/api/openapi.json"): (None, {200}),
}

#: What changes by itself.
_USED: Final = "last_used_at"


def _without_date(answer: bytes) -> bytes:
    """An answer as bytes, less the second at which it was given."""
    return re.sub(rb"\r\nDate:[^\r]*", b"", answer)


class IsolationTests(StoredTestCase):
    async def begin(self) -> None:
        """Let alice have one of everything."""
        await super().begin()
        await self.accounts.table.reserve_name("shop", "alice")
        await self.accounts.refresh()
        row = registration(client_id="alice-reg", hostname="alice-reg.example.com")
        answer = await self.ask("POST", "/tunnels", row, self.tokens["alice"])
        self.assertEqual(answer.status, 200)
        tunnels = (await self.data("GET", "/api/tunnels", token=self.tokens["alice"]))["tunnels"]
        self.assertEqual(len(tunnels), 2)
        live = tunnels[0]["id"]
        self.live.rules[live] = VisitRule(private=True)
        link = await self.data(
            "POST", f"/api/tunnels/{live}/links", {"expires_in": 60}, self.tokens["alice"]
        )
        self.ids: dict[str, list[str]] = {
            "/api/tunnels/{id}/requests": [row["id"] for row in tunnels],
            "/api/tunnels/{id}/access": [live],
            "/api/tunnels/{id}/qr.svg": [live],
            "/api/tunnels/{id}/links": [live],
            "/api/tunnels/{id}/links/{link_id}": [f"{live}/links/{link['id']}"],
            "/api/tunnels/{id}": [row["id"] for row in tunnels],
            "/tunnels/{client_id}": [row["client_id"] for row in tunnels],
            "/api/tokens/{prefix}": [self.tokens["alice"][:12]],
            "/api/users/{name}": ["alice"],
            "/api/names/{name}": ["shop", "shop.tunnel.example.com", "SHOP"],
            "/api/config/{key}": ["tunnels_enabled", "inlets_shared_token"],
        }

    def places(self, path: str) -> list[str]:
        """Where alice's things are, of which a call's path has one."""
        return [re.sub("{.*}", id, path) for id in self.ids[path]]

    async def world(self) -> Any:
        """All there is, as an admin sees it."""
        kinds = ("tunnels", "tokens", "users", "names")
        found = [
            (await self.data("GET", f"/api/{kind}", token=self.tokens["root"]))[kind]
            for kind in kinds
        ]
        found.append(self.shared_links.current)
        for row in found[1]:
            row.pop(_USED)
        return [*found, await self.settings.table.all()]

    async def test_each_call(self) -> None:
        before = await self.world()
        described = {
            (method.upper(), path)
            for path, methods in self.document["paths"].items()
            for method in methods
        }
        self.assertEqual(described, TRIALS.keys())
        intruders = {
            "bob": self.tokens["bob"],
            "shared": self.tokens["shared"],
            "bob who sees": await self.create("bob", scopes=["status"]),
            "bob who connects": await self.create("bob", scopes=["connect"]),
        }
        before = await self.world()
        for name, token in intruders.items():
            for (method, path), (body, expected) in TRIALS.items():
                if "who" in name:
                    expected = expected | {403}
                queries = ["", "?client_id=alice-1"] if path == "/api/tunnels" else [""]
                queries += ["?user=alice"] if path in ("/api/tokens", "/api/names") else []
                if path == "/api/events":  # without a tunnel it never ends
                    queries = [f"?tunnel={id}" for id in self.ids["/api/tunnels/{id}"]]
                queries = [path + query for query in queries]
                for where in self.places(path) if "{" in path else queries:
                    answer = await self.ask(method, where, body, token)
                    with self.subTest(who=name, method=method, path=where):
                        self.assertIn(answer.status, expected)
                        if answer.status == 200 and not path.endswith("openapi.json"):
                            self.assertNotIn(b"alice", answer.body)
                            self.assertNotIn(b"shop", answer.body)
                        for other in self.tokens.values():
                            if other != token:
                                self.assertNotIn(other.encode(), answer.body)
            self.assertEqual(await self.world(), before)

    async def test_what_is_another_s_is_answered_as_what_is_not_there(self) -> None:
        token = self.tokens["bob"]
        for path in self.ids:
            for method in ("GET", "DELETE"):
                nowhere = re.sub("{[^}]*}", "ipy_12345678", path)
                missing = await self.ask(method, nowhere, token=token)
                for where in self.places(path):
                    answer = await self.ask(method, where, token=token)
                    with self.subTest(method=method, path=where):
                        self.assertEqual(_without_date(answer.raw), _without_date(missing.raw))

    async def test_the_owner_can_do_all_of_it(self) -> None:
        """Else the tests above would show nothing."""
        token = self.tokens["alice"]
        for path in self.ids:
            if path in ("/tunnels/{client_id}", "/api/users/{name}", "/api/config/{key}"):
                continue
            for method in ("GET", "DELETE") if path != "/api/tokens/{prefix}" else ("GET",):
                if (method, path) not in TRIALS:
                    continue
                answer = await self.ask(method, self.places(path)[-1], token=token)
                self.assertEqual(answer.status, 200, f"{method} {path}")
        prefix = self.tokens["alice"][:12]
        self.assertEqual(
            await self.data("DELETE", f"/api/tokens/{prefix}", token=token), {"prefix": prefix}
        )
        self.assertEqual((await self.ask("GET", "/api/tokens", token=token)).status, 401)
