"""Signing in at the status port of the real server, which is started again meanwhile."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from tests.peers import until
from tests.system.http import Answer, fetch
from tests.system.processes import ServerProcess
from tests.system.test_owners import OwnersTestCase


class SignInTests(OwnersTestCase):
    async def sign_in(self, **body: str) -> Answer:
        """What the server answers to who signs in."""
        return await fetch(
            f"{self.server.status_url}/api/session",
            "POST",
            body=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )

    async def cookie(self, **body: str) -> str:
        """The cookie of who has signed in."""
        answer = await self.sign_in(**body)
        self.assertEqual(answer.status, 200, answer.body)
        (field,) = answer.headers.getRawHeaders("Set-Cookie", [])
        return field.partition(";")[0]

    async def user(self, cookie: str) -> str | None:
        """Whose a cookie is; None if it is no good."""
        url = f"{self.server.status_url}/api/session"
        answer = await fetch(url, headers={"Cookie": cookie})
        return str(answer.json["data"]["user"]) if answer.status == 200 else None

    async def until_out(self, cookie: str) -> None:
        """Wait until a cookie is no good any more."""
        over: list[bool] = []

        async def ask() -> None:
            over.append(await self.user(cookie) is None)

        while not over or not over[-1]:
            await ask()

    async def test_it_outlives_a_restart_and_ends_with_its_token(self) -> None:
        await self.start_with_users()
        link = await self.server.inletspy("dashboard", "--data-dir", str(self.server.data_dir))
        cookies = {
            "alice": await self.cookie(token=self.tokens["alice"]),
            "bob": await self.cookie(token=self.tokens["bob"]),
            "shared": await self.cookie(code=urlsplit(link).fragment.removeprefix("code=")),
        }
        again = await self.sign_in(code=urlsplit(link).fragment.removeprefix("code="))
        self.assertEqual(again.status, 401)
        await self.server.stop()
        before = self.server
        self.server = ServerProcess(self, data_dir=before.data_dir, database=before.database)
        await self.server.start()
        for user, cookie in cookies.items():
            self.assertEqual(await self.user(cookie), user)

        await self.server.inletspy("token", "revoke", self.tokens["alice"][:12])
        await self.until_out(cookies["alice"])
        self.assertEqual(await self.user(cookies["bob"]), "bob")
        await self.server.inletspy("user", "remove", "bob")
        await self.until_out(cookies["bob"])
        await self.server.inletspy("config", "set", "shared_token_enabled", "false")
        await self.until_out(cookies["shared"])
        await self.server.inletspy("config", "set", "shared_token_enabled", "true")
        await until(self.server.token_file.exists, "there is a token again")
        told = before.stdout + before.stderr + self.server.stdout + self.server.stderr
        for secret in (*self.tokens.values(), *cookies.values(), urlsplit(link).fragment):
            self.assertNotIn(secret.partition("=")[2] or secret, told)

    async def test_an_admin_by_the_database_alone(self) -> None:
        await self.start_with_users()
        where = ("--data-dir", str(self.server.data_dir))
        for tokens in (1, 2):
            link = await self.server.inletspy("dashboard", "--admin", *where)
            answer = await self.sign_in(code=urlsplit(link).fragment.removeprefix("code="))
            told = answer.json["data"]
            self.assertEqual((told["user"], told["admin"]), ("operator", True))
            rows = json.loads(
                await self.server.inletspy("token", "list", "--user", "operator", "--json")
            )
            self.assertEqual(len(rows), tokens)
        (field,) = answer.headers.getRawHeaders("Set-Cookie", [])
        cookie = field.partition(";")[0]
        # Nobody has the token, and it is over with the sign-in; revoked, it takes that along.
        self.assertEqual({(*row["scopes"],) for row in rows}, {("status", "admin")})
        self.assertLessEqual(told["expires_at"], rows[1]["expires_at"])
        self.assertEqual(await self.user(cookie), "operator")
        await self.server.inletspy("token", "revoke", rows[1]["token"])
        await self.until_out(cookie)

    async def test_an_admin_of_another_server(self) -> None:
        """A server that does not take the token leaves none behind that is good."""
        await self.start_with_users()
        other = ServerProcess(self)
        await other.start()
        with self.assertRaises(self.failureException) as caught:
            await self.server.inletspy("dashboard", "--admin", "--status-url", other.status_url)
        self.assertIn("does not accept the token", str(caught.exception))
        (row,) = json.loads(
            await self.server.inletspy("token", "list", "--user", "operator", "--json")
        )
        self.assertEqual(row["state"], "revoked")

    async def test_wrong_ones_have_to_wait(self) -> None:
        await self.start_with_users()
        for number in range(10):
            body = {"token" if number % 2 else "code": f"wrong-{number}"}
            self.assertEqual((await self.sign_in(**body)).status, 401)
        refused = await self.sign_in(token="wrong")
        self.assertEqual(refused.status, 429)
        self.assertTrue(refused.headers.hasHeader("Retry-After"))
        # One that nobody can guess is let in all the same.
        self.assertEqual((await self.sign_in(token=self.tokens["alice"])).status, 200)
