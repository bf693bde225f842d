"""`/api/tokens`, `/api/users`, `/api/names` and `/api/config`, with a real database."""

from __future__ import annotations

from typing import Any, Final

from tests.postgres import execute
from tests.web.stored import StoredTestCase

#: Values of every kind, of which a field takes one kind at most.
VALUES: Final[list[Any]] = [
    None, True, 0, -1, 1.5, 10**30, "", "\0", "a\nb", "x" * 5000, "a'; DROP TABLE x; --",
    "a\u202eb", "\ud83d", [], [None], [[]], ["\0"], ["x"] * 500, {}, {"a": 1},
]  # fmt: skip

#: What is no fault: in `refused_names`, and no limits at all.
GOOD: Final = [("value", []), ("value", ["x"] * 500), ("limits", {})]

#: Bodies that are no objects, or no JSON.
NO_OBJECTS: Final = [
    b"", b"{", b"[]", b"null", b"12", b'"a"', b"{}{}", b'{"a": NaN}', b'{"\xff": 1}',
    b"[" * 60_000, b'{"name": "\\ud800"}', b"\xef\xbb\xbf{}",
]  # fmt: skip


class TokenTests(StoredTestCase):
    async def test_made_shown_once_used_and_revoked(self) -> None:
        token = self.tokens["alice"]
        answer = await self.ask("POST", "/api/tokens", {"expires_in": 3600}, token)
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        row = answer.json["data"]
        made = row.pop("token")
        self.assertEqual(answer.headers["Location"], f"/api/tokens/{made[:12]}")
        self.assertEqual((row["prefix"], row["user"], row["state"]), (made[:12], "alice", "good"))
        self.assertEqual(row["scopes"], ["connect", "status"])
        self.assertRegex(row["expires_at"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        # It is good as soon as it is known.
        self.assertEqual(await self.data("GET", answer.headers["Location"], token=made), row)
        both = await self.ask("GET", "/api/tokens", token=made)
        self.assertEqual(len(both.json["data"]["tokens"]), 2)
        self.assertNotIn(made.encode(), both.body)
        answer = await self.ask("DELETE", f"/api/tokens/{made[:12]}", token=token)
        self.assertEqual(answer.status, 200)
        self.assertEqual((await self.ask("GET", "/api/tokens", token=made)).status, 401)
        again = await self.ask("DELETE", f"/api/tokens/{made[:12]}", token=token)
        self.assertEqual(again.status, 409)

    async def test_only_the_whole_readable_start_revokes(self) -> None:
        token = self.tokens["alice"]
        for start in ("i", token[:11], token[:13], token, "%20", "%00", "%C3%A4"):
            answer = await self.ask("DELETE", f"/api/tokens/{start}", token=token)
            self.assertEqual(answer.status, 404, start)
        self.assertEqual((await self.ask("GET", "/api/tokens", token=token)).status, 200)

    async def test_none_is_good_for_more_than_the_one_that_made_it(self) -> None:
        confined = await self.create(
            "alice",
            names=["alice-ci-*", "shop"],
            ports=range(30000, 30011),
            expires_in=3600,
        )
        statuses = {
            "{}": 201,
            '{"names": ["alice-ci-*"], "ports": "30001-30002", "expires_in": 60}': 201,
            '{"names": ["ALICE-CI-web-*"], "scopes": ["status"]}': 201,
            '{"names": ["alice-*"]}': 403,
            '{"names": ["*"]}': 403,
            '{"names": ["shop*"]}': 403,
            '{"names": ["alice-ci-*", "other"]}': 403,
            '{"names": []}': 400,
            '{"ports": "29999-30001"}': 403,
            '{"ports": "30010-30011"}': 403,
            '{"expires_in": 7200}': 403,
            '{"scopes": ["admin"]}': 403,
            '{"scopes": ["connect", "admin"]}': 403,
            '{"user": "bob"}': 403,
            '{"user": "nobody"}': 403,
        }
        for body, status in statuses.items():
            answer = await self.ask("POST", "/api/tokens", body.encode(), confined)
            self.assertEqual(answer.status, status, body)
            if status == 201:
                row = answer.json["data"]
                self.assertIsNotNone(row["expires_at"])
                self.assertTrue(row["names"] and row["ports"].startswith("3000"), row)
        for names in (["*"], ["alice*"], ["bob-*"]):
            answer = await self.ask("POST", "/api/tokens", {"names": names}, self.tokens["alice"])
            self.assertEqual(answer.status, 403, names)
        only_sees = await self.create("alice", scopes=["status"])
        for token in (only_sees, self.tokens["shared"]):
            self.assertEqual((await self.ask("POST", "/api/tokens", {}, token)).status, 403)

    async def test_it_ends_with_the_one_that_made_it(self) -> None:
        parent = await self.create("alice")
        child = (await self.data("POST", "/api/tokens", {}, parent))["token"]
        grandchild = (await self.data("POST", "/api/tokens", {}, child))["token"]
        await self.ask("DELETE", f"/api/tokens/{parent[:12]}", token=self.tokens["alice"])
        for token in (parent, child, grandchild):
            self.assertEqual((await self.ask("GET", "/api/tokens", token=token)).status, 401)
        self.assertEqual(
            (await self.ask("GET", "/api/tokens", token=self.tokens["alice"])).status, 200
        )

    async def test_no_limits_are_got_round(self) -> None:
        token = self.tokens["alice"]
        answer = await self.ask("POST", "/api/tokens", {"limits": {"sessions": 0}}, token)
        self.assertEqual(answer.status, 403)
        # It counts by itself, and so would each that it made.
        limited = await self.create("alice", limits={"sessions": 1})
        self.assertEqual((await self.ask("POST", "/api/tokens", {}, limited)).status, 403)
        limits = {"sessions": 5, "connections_per_second": 0.5}
        body: dict[str, Any] = {"user": "alice", "limits": limits}
        row = await self.data("POST", "/api/tokens", body, self.tokens["root"])
        self.assertEqual(row["limits"], limits)
        wrong: Any
        for wrong in (
            {"sessions": -1},
            {"sessions": 1.5},
            {"bytes": 1},
            {"sessions": "5"},
            [],
            None,
        ):
            body = {"user": "alice", "limits": wrong}
            answer = await self.ask("POST", "/api/tokens", body, self.tokens["root"])
            self.assertEqual(answer.status, 400, wrong)

    async def test_an_admin_makes_any(self) -> None:
        body = {"user": "bob", "scopes": ["connect", "admin"], "names": ["*"], "ports": "1-65535"}
        row = await self.data("POST", "/api/tokens", body, self.tokens["root"])
        self.assertEqual(
            (row["user"], row["scopes"], row["names"]), ("bob", ["connect", "admin"], ["*"])
        )
        self.assertIsNone(row["expires_at"])
        answer = await self.ask("POST", "/api/tokens", {"user": "nobody"}, self.tokens["root"])
        self.assertEqual(
            (answer.status, answer.json["detail"]), (400, "user: there is none of that name")
        )
        rows = (await self.data("GET", "/api/tokens?user=bob", token=self.tokens["root"]))["tokens"]
        self.assertEqual([row["user"] for row in rows], ["bob", "bob"])
        rows = (await self.data("GET", "/api/tokens?user=nobody", token=self.tokens["root"]))[
            "tokens"
        ]
        self.assertEqual(rows, [])


class UserTests(StoredTestCase):
    async def test_added_seen_and_removed(self) -> None:
        root = self.tokens["root"]
        answer = await self.ask("POST", "/api/users", {"name": "u12@example.com"}, root)
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.headers["Location"], "/api/users/u12@example.com")
        row = answer.json["data"]
        self.assertEqual((row["prefix"], row["tokens"], row["names"]), ("u12-example-com", 0, 0))
        self.assertEqual(await self.data("GET", "/api/users/u12%40example.com", token=root), row)
        self.assertEqual(len((await self.data("GET", "/api/users", token=root))["users"]), 4)
        again = await self.ask("POST", "/api/users", {"name": "u12@example.com"}, root)
        self.assertEqual(again.status, 409)
        self.assertEqual(
            (await self.ask("DELETE", "/api/users/u12@example.com", token=root)).status, 200
        )
        self.assertEqual(
            (await self.ask("DELETE", "/api/users/u12@example.com", token=root)).status, 404
        )

    async def test_whose_token_asks_sees_the_own_row(self) -> None:
        rows = (await self.data("GET", "/api/users", token=self.tokens["alice"]))["users"]
        self.assertEqual([row["name"] for row in rows], ["alice"])
        self.assertEqual(
            (await self.ask("GET", "/api/users/alice", token=self.tokens["alice"])).status, 200
        )
        self.assertEqual(
            (await self.data("GET", "/api/users", token=self.tokens["shared"])), {"users": []}
        )

    async def test_a_removed_one_s_token_is_good_for_nothing(self) -> None:
        await self.data("DELETE", "/api/users/bob", token=self.tokens["root"])
        self.assertEqual(
            (await self.ask("GET", "/api/tunnels", token=self.tokens["bob"])).status, 401
        )


class NameTests(StoredTestCase):
    async def test_reserved_seen_and_released(self) -> None:
        root, alice = self.tokens["root"], self.tokens["alice"]
        body = {"name": "Shop.tunnel.example.com", "user": "alice"}
        answer = await self.ask("POST", "/api/names", body, root)
        self.assertEqual((answer.status, answer.headers["Location"]), (201, "/api/names/shop"))
        row = answer.json["data"]
        self.assertEqual((row["name"], row["user"]), ("shop", "alice"))
        self.assertEqual(await self.data("GET", "/api/names", token=alice), {"names": [row]})
        self.assertEqual((await self.ask("POST", "/api/names", body, root)).status, 409)
        nobody = await self.ask("POST", "/api/names", {"name": "x", "user": "nobody"}, root)
        self.assertEqual(nobody.status, 400)
        self.assertEqual(
            await self.data("DELETE", "/api/names/shop", token=alice), {"name": "shop"}
        )
        for name in ("shop", "a%20b", "%00", "x" * 300):
            for method in ("GET", "DELETE"):
                self.assertEqual(
                    (await self.ask(method, f"/api/names/{name}", token=root)).status, 404
                )
        for path in ("/api/names", "/api/tokens"):
            answer = await self.ask("GET", f"{path}?user=a%00", token=root)
            self.assertEqual((answer.status, answer.json["detail"]), (400, "user has a NUL in it"))


class SettingTests(StoredTestCase):
    async def begin(self) -> None:
        """Ask as an admin from now on."""
        await super().begin()
        self.root = self.tokens["root"]

    async def test_all_of_them_without_their_secrets(self) -> None:
        answer = await self.ask("GET", "/api/config", token=self.root)
        rows = {row["key"]: row for row in answer.json["data"]["settings"]}
        self.assertEqual(list(rows), list(self.settings.current.catalogue()))
        self.assertEqual(
            (rows["tunnels_enabled"]["value"], rows["tunnels_enabled"]["default"]), (True, False)
        )
        self.assertEqual(rows["connections_per_address"]["value"], 512)
        self.assertEqual(rows["trusted_proxies"]["value"], [])
        for row in await self.settings.table.all():
            if row.setting.secret:
                self.assertEqual(rows[row.setting.key]["value"], "********")
                self.assertNotIn(row.text.encode(), answer.body)

    async def test_changed_and_reset(self) -> None:
        for key, value in (
            ("tunnels_enabled", False),
            ("connections_per_address", 7),
            ("heartbeat_seconds", 1.5),
            ("tcp_port_range", "31000-31009"),
            ("refused_names", ["intranet"]),
        ):
            row = await self.data("PUT", f"/api/config/{key}", {"value": value}, self.root)
            self.assertEqual((row["value"], row["is_default"]), (value, False))
            row = await self.data("DELETE", f"/api/config/{key}", token=self.root)
            self.assertEqual((row["value"], row["is_default"]), (row["default"], True))

    async def test_a_change_is_in_force_when_it_is_answered(self) -> None:
        await self.data("PUT", "/api/config/connections_per_address", {"value": 7}, self.root)
        self.assertEqual(self.settings.current.connections_per_address, 7)

    async def test_a_secret_goes_in_and_not_out(self) -> None:
        path, secret = "/api/config/link_signing_key", "k" * 40
        answer = await self.ask("PUT", path, {"value": secret}, self.root)
        self.assertEqual((answer.status, answer.json["data"]["value"]), (200, "********"))
        self.assertEqual(self.settings.current.link_signing_key, secret)
        answer = await self.ask("PUT", path, {"value": ""}, self.root)
        self.assertEqual(answer.status, 400)

    async def test_the_shared_token_is_neither_emptied_nor_reset(self) -> None:
        path, before = "/api/config/inlets_shared_token", self.settings.current
        for method, body in (("DELETE", None), ("PUT", {"value": ""})):
            answer = await self.ask(method, path, body, self.root)
            self.assertEqual(answer.status, 400, method)
            self.assertIn("nobody could connect", answer.json["detail"])
            self.assertNotIn(before.inlets_shared_token.encode(), answer.body)
        await self.settings.refresh()
        self.assertEqual(self.settings.current, before)

    async def test_values_of_the_wrong_kind(self) -> None:
        for key, wrong in (
            ("tunnels_enabled", ["true", 1, None, []]),
            ("connections_per_address", ["7", 0, -1, 1.5, True, 10**300, [7]]),
            ("tcp_port_range", [30000, "9-1", "a", None, "1-70000", "30000-\0"]),
            ("trusted_proxies", ["10.0.0.0/8", ["x"], [1], {}, None, 5]),
            ("tunnel_base_domain", ["a b", "-", "x" * 300, "\0", 5]),
        ):
            for value in wrong:
                answer = await self.ask("PUT", f"/api/config/{key}", {"value": value}, self.root)
                self.assertEqual(answer.status, 400, (key, value))
        infinite = await self.ask(
            "PUT", "/api/config/connections_per_address", b'{"value": 1e400}', self.root
        )
        self.assertEqual(infinite.status, 400)

    async def test_unknown_keys(self) -> None:
        for key in ("nothing", "%00", "tunnels-enabled", "x" * 5000):
            for method, body in (("GET", None), ("DELETE", None), ("PUT", {"value": 1})):
                answer = await self.ask(method, f"/api/config/{key}", body, self.root)
                self.assertEqual(answer.status, 404, key)

    async def test_a_stored_value_that_can_not_be_read_is_told(self) -> None:
        execute(
            self.database_url,
            "UPDATE config_settings SET value = 'x' WHERE key = 'streams_per_session'",
        )
        row = await self.data("GET", "/api/config/streams_per_session", token=self.root)
        self.assertEqual(row["value"], "x")
        self.assertIn("must be a number", row["problem"])


#: Calls whose bodies have tests of their own.
TESTED_ELSEWHERE = ("/tunnels", "/api/session")


class WrongBodyTests(StoredTestCase):
    async def test_every_wrong_shape_of_every_body(self) -> None:
        """Each is answered with 400 and changes nothing."""
        before = await self.stored()
        bodies = {
            (method.upper(), path): call["requestBody"]["content"]["application/json"]["schema"]
            for path, methods in self.document["paths"].items()
            for method, call in methods.items()
            if "requestBody" in call and path not in TESTED_ELSEWHERE
        }
        self.assertEqual(len(bodies), 5)
        for (method, path), schema in bodies.items():
            good = dict.fromkeys(schema["required"], "alice")
            wrong: list[Any] = [*NO_OBJECTS, {**good, "unknown": 1}, {**good, "": 1}]
            wrong += [{n: v for n, v in good.items() if n != name} for name in good]
            for name in schema["properties"]:
                wrong += [{**good, name: value} for value in VALUES if (name, value) not in GOOD]
            for body in wrong:
                target = path.replace("{key}", "refused_names")
                answer = await self.ask(method, target, body, self.tokens["root"])
                with self.subTest(method=method, path=path, body=repr(body)[:60]):
                    self.assertEqual(
                        (answer.status, answer.json.get("error")), (400, "Invalid request")
                    )
                    self.assertTrue(answer.json["detail"].isprintable())
                    self.assertLess(len(answer.json["detail"]), 300)
        self.assertEqual(await self.stored(), before)

    async def test_other_media_types(self) -> None:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"):
            answer = await self.ask(
                "POST", "/api/users", {"name": "carol"}, self.tokens["root"], Content_Type=kind
            )
            self.assertEqual(answer.status, 415, kind)
        for kind in ("application/json", "Application/JSON; charset=utf-8"):
            name = {"name": f"carol{len(kind)}"}
            answer = await self.ask(
                "POST", "/api/users", name, self.tokens["root"], Content_Type=kind
            )
            self.assertEqual(answer.status, 201, kind)

    async def stored(self) -> Any:
        table = self.accounts.table
        tokens = [row["token"] for row in await table.tokens()]
        return [await table.users(), await table.names(), tokens, await self.settings.table.all()]
