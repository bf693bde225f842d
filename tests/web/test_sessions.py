"""Signing in at the status port, the cookie, and what pages of others can't do with it."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.trial.unittest import TestCase

from inletspy import __version__
from inletspy.errors import TooManyGuesses
from inletspy.policy.signins import CODE_SECONDS, SIGN_IN_SECONDS
from inletspy.web.access import Access, Caller
from tests.web.support import (
    ADMIN_TOKEN,
    ALICE_TOKEN,
    CONNECT_ONLY_TOKEN,
    CREDENTIALS,
    LOCAL,
    SHARED_TOKEN,
    STRANGER,
    Answer,
    StatusPort,
    bearer,
    live_row,
)

OWN = {"Origin": "http://localhost:8091"}
JSON = {"Content-Type": "application/json"}


class SessionTestCase(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort(tunnels_enabled=True, tunnel_base_domain="tunnel.example.com")

    def sign_in(self, peer: IAddress = LOCAL, fields: Any = None, **body: Any) -> Answer:
        headers = {**JSON, **(fields or {})}
        return self.port.ask("POST", "/api/session", json.dumps(body).encode(), headers, peer)

    def cookie(self, answer: Answer) -> dict[str, str]:
        """The Cookie field of a browser that got an answer."""
        field = self.only_cookie(answer)
        return {"Cookie": field.partition(";")[0]}

    def only_cookie(self, answer: Answer) -> str:
        """The one Set-Cookie field of an answer."""
        fields: list[str] = answer.headers.get_all("Set-Cookie", [])
        self.assertEqual(len(fields), 1, answer.raw)
        return fields[0]

    def signed_in(self, token: str = ALICE_TOKEN) -> dict[str, str]:
        answer = self.sign_in(token=token)
        self.assertEqual(answer.status, 200, answer.body)
        return self.cookie(answer)

    def ask(self, method: str, path: str, fields: dict[str, str], body: Any = None) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        return self.port.ask(method, path, content, fields, STRANGER)


class SignInTests(SessionTestCase):
    def test_by_a_token(self) -> None:
        answer = self.sign_in(token=ALICE_TOKEN)
        self.assertEqual(
            answer.json,
            {
                "success": True,
                "data": {
                    "user": "alice",
                    "scopes": ["connect", "status"],
                    "admin": False,
                    "expires_at": "2026-01-01T12:00:00Z",
                },
            },
        )
        cookie = self.only_cookie(answer)
        self.assertRegex(
            cookie,
            r"^inletspy_session=[A-Za-z0-9._-]+; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict$",
        )
        self.assertNotIn(ALICE_TOKEN, answer.raw.decode())
        self.assertEqual(answer.headers["Cache-Control"], "no-store")

    def test_who_is_signed_in(self) -> None:
        answer = self.ask("GET", "/api/session", self.signed_in(ADMIN_TOKEN))
        self.assertEqual(
            answer.json["data"],
            {
                "user": "root",
                "scopes": ["admin"],
                "admin": True,
                "expires_at": "2026-01-01T12:00:00Z",
                "version": __version__,
                "base_domain": "tunnel.example.com",
                "server_url": "",
                "tunnels_enabled": True,
            },
        )
        self.assertEqual(self.ask("GET", "/api/session", {}).status, 401)
        by_token = self.ask("GET", "/api/session", bearer(SHARED_TOKEN)).json["data"]
        self.assertEqual((by_token["user"], by_token["expires_at"]), ("shared", None))

    def test_it_is_as_good_as_the_token(self) -> None:
        self.port.live.show(live_row(owner="alice"), live_row(owner="bob"))
        for token, owners in ((ALICE_TOKEN, [None]), (ADMIN_TOKEN, ["alice", "bob"])):
            rows = self.ask("GET", "/api/tunnels", self.signed_in(token)).json["data"]["tunnels"]
            self.assertEqual([row.get("owner") for row in rows], owners)
        answer = self.ask("GET", "/api/config", self.signed_in())
        self.assertEqual((answer.status, answer.json["error"]), (403, "Forbidden"))
        self.assertEqual(len(self.ask("GET", "/status", self.signed_in()).json), 1)

    def test_a_token_that_is_sent_counts_alone(self) -> None:
        cookie = self.signed_in(ADMIN_TOKEN)
        answer = self.ask("GET", "/api/session", {**cookie, **bearer(ALICE_TOKEN)})
        self.assertEqual(answer.json["data"]["user"], "alice")
        for wrong in (bearer("wrong"), {"Authorization": "Basic eA=="}, {"Authorization": ""}):
            self.assertEqual(self.ask("GET", "/api/session", {**cookie, **wrong}).status, 401)

    def test_the_token_itself_is_not_told(self) -> None:
        answer = self.ask("GET", "/api/config/tunnels", self.signed_in())
        self.assertEqual(answer.status, 401)

    def test_wrong_tokens(self) -> None:
        for token in ("wrong", "", "x" * 1024, "\x00", "schl\xfcssel", "\U0001f511"):
            answer = self.sign_in(token=token)
            with self.subTest(token=token):
                self.assertEqual(answer.status, 400 if not token else 401)
                self.assertNotIn("Set-Cookie", answer.headers)

    def test_bodies_that_make_no_sense(self) -> None:
        bodies: tuple[dict[str, Any], ...] = (
            {},
            {"token": ALICE_TOKEN, "code": "x"},
            {"token": 1},
            {"token": None},
            {"token": [ALICE_TOKEN]},
            {"token": "x" * 1025},
            {"code": "x" * 129},
            {"password": ALICE_TOKEN},
        )
        for body in bodies:
            answer = self.sign_in(**body)
            with self.subTest(body=body):
                self.assertEqual((answer.status, answer.json["error"]), (400, "Invalid request"))
        self.assertEqual(self.sign_in(fields={"Content-Type": "text/plain"}, token="x").status, 415)

    def test_a_token_without_the_scope(self) -> None:
        answer = self.sign_in(token=CONNECT_ONLY_TOKEN)
        self.assertEqual(answer.status, 403)
        self.assertNotIn("Set-Cookie", answer.headers)

    def test_wrong_ones_are_counted_where_they_come_from(self) -> None:
        self.port.settings.change(trusted_proxies=(ip_network("127.0.0.0/8"),))
        for body in ({"token": "wrong"}, {"code": "wrong"}):
            self.sign_in(STRANGER, **body)
            self.assertEqual(self.port.sources_seen.pop(), STRANGER.host)
            self.sign_in(LOCAL, {"X-Forwarded-For": "203.0.113.8"}, **body)
            self.assertEqual(self.port.sources_seen.pop(), "203.0.113.8")

    def test_too_many_wrong_ones(self) -> None:
        def authenticate(token: str, source: str | None) -> None:
            raise TooManyGuesses(6.5)

        self.port = StatusPort(authenticate=authenticate)
        bodies: tuple[dict[str, Any], ...] = ({"token": "wrong"}, {"code": "wrong"})
        for body in bodies:
            answer = self.sign_in(**body)
            self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "7"))

    def test_without_a_key(self) -> None:
        self.port.key = ""
        self.assertEqual(self.sign_in(token=ALICE_TOKEN).status, 503)
        links = self.ask("POST", "/api/session/links", bearer(ALICE_TOKEN))
        self.assertEqual((links.status, links.json["error"]), (503, "No key to sign with"))


class CookieTests(SessionTestCase):
    def test_over_https(self) -> None:
        self.port.settings.change(trusted_proxies=(ip_network("127.0.0.0/8"),))
        https = {"X-Forwarded-Proto": "https"}
        cookie = self.only_cookie(self.sign_in(LOCAL, https, token=ALICE_TOKEN))
        self.assertTrue(cookie.startswith("__Host-inletspy_session="), cookie)
        self.assertTrue(cookie.endswith("; SameSite=Strict; Secure"), cookie)
        field = {"Cookie": cookie.partition(";")[0]}
        answer = self.port.ask("GET", "/api/session", None, {**field, **https}, LOCAL)
        self.assertEqual(answer.status, 200)
        # What a page of a tunnel beside the server may have set does not count there.
        plain = {"Cookie": field["Cookie"].removeprefix("__Host-")}
        answer = self.port.ask("GET", "/api/session", None, {**plain, **https}, LOCAL)
        self.assertEqual(answer.status, 401)

    def test_https_that_nobody_vouches_for(self) -> None:
        answer = self.sign_in(STRANGER, {"X-Forwarded-Proto": "https"}, token=ALICE_TOKEN)
        self.assertNotIn("Secure", answer.headers["Set-Cookie"])

    def test_it_ends(self) -> None:
        cookie = self.signed_in()
        self.port.clock.advance(SIGN_IN_SECONDS - 1)
        self.assertEqual(self.ask("GET", "/api/session", cookie).status, 200)
        self.port.clock.advance(1)
        answer = self.ask("GET", "/api/session", cookie)
        self.assertEqual((answer.status, answer.json["error"]), (401, "Unauthorized"))

    def test_it_ends_with_its_token(self) -> None:
        cookie = self.signed_in()
        self.port.known = lambda digest: None
        self.assertEqual(self.ask("GET", "/api/session", cookie).status, 401)

    def test_another_key(self) -> None:
        cookie = self.signed_in()
        self.port.key = "j" * 43
        self.assertEqual(self.ask("GET", "/api/session", cookie).status, 401)

    def test_forged_and_foreign_ones(self) -> None:
        good = self.signed_in()["Cookie"]
        name, _, value = good.partition("=")
        other = StatusPort()
        other.key = "o" * 43
        body = json.dumps({"token": ADMIN_TOKEN}).encode()
        foreign = other.ask("POST", "/api/session", body, JSON).headers["Set-Cookie"].split(";")[0]
        for cookie in (
            foreign,
            f"{name}=",
            name,
            f"{name}={value}x",
            f"{name}={value[:-1]}",
            f"{name}={value[1:]}",
            f"{name.upper()}={value}",
            f"x{name}={value}",
            f"{name}={ALICE_TOKEN}",
            f"{name}=\xff\x01",
            f"{name}=" + "9" * 8000,
            "=" + value,
            ";" * 500,
            "; ".join([f"{name}=x"] * 4) + f"; {good}",
        ):
            with self.subTest(cookie=cookie[:50]):
                self.assertEqual(self.ask("GET", "/api/session", {"Cookie": cookie}).status, 401)
        # A stray one does not sign anybody out.
        for cookie in (f"{name}=x; {good}", f"a=b; {good}; c=d", f'{name}="{value}"'):
            self.assertEqual(self.ask("GET", "/api/session", {"Cookie": cookie}).status, 200)

    def test_a_stale_one_takes_nothing_from_this_machine(self) -> None:
        stale = {"Cookie": "inletspy_session=x"}
        self.assertEqual(self.port.ask("GET", "/status", None, stale, LOCAL).status, 200)

    def test_signing_out(self) -> None:
        cookie = self.signed_in()
        other = self.signed_in()
        answer = self.ask("DELETE", "/api/session", {**cookie, **OWN})
        self.assertEqual((answer.status, answer.json["data"]), (200, {"signed_in": False}))
        self.assertTrue(
            re.fullmatch(
                "inletspy_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
                answer.headers["Set-Cookie"],
            )
        )
        self.assertEqual(self.ask("GET", "/api/session", cookie).status, 401)
        self.assertEqual(self.ask("GET", "/api/session", other).status, 200)
        self.assertEqual(self.ask("DELETE", "/api/session", {}).status, 200)


class OriginTests(SessionTestCase):
    def change(self, method: str = "DELETE", body: Any = None, **fields: str) -> Answer:
        """Ask for a change as the one signed in."""
        row = live_row(owner="alice")
        self.port.live.show(row)
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return self.ask(method, f"/api/tunnels/{row['id']}", {**self.signed_in(), **headers}, body)

    def test_own_pages(self) -> None:
        for fields in (
            OWN,
            {"Origin": "http://localhost:8091", "Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "same-origin"},
            # Behind a proxy that speaks TLS and is not trusted; browsers tell it by themselves.
            {"Origin": "https://localhost:8091", "Sec-Fetch-Site": "same-origin"},
        ):
            with self.subTest(fields=fields):
                self.assertEqual(self.change(**fields).status, 200)

    def test_pages_of_others(self) -> None:
        for fields in (
            {},
            {"Origin": "http://evil.example.com"},
            {"Origin": "https://localhost:8091"},
            {"Origin": "http://localhost:8092"},
            {"Origin": "http://localhost"},
            {"Origin": "http://app.localhost:8091"},
            {"Origin": "null"},
            {"Origin": ""},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "same-site", **OWN},
            {"Referer": "http://localhost:8091/"},
        ):
            answer = self.change(**fields)
            with self.subTest(fields=fields):
                self.assertEqual((answer.status, answer.json["error"]), (403, "Forbidden"))
                self.assertEqual(len(self.port.live.live), 1)

    def test_origins_that_may_call_may_not_do_so_by_cookie(self) -> None:
        ide = "https://ide.example.com"
        self.port.settings.change(cors_allowed_origins=(ide, "*"))
        answer = self.change(Origin=ide)
        self.assertEqual(answer.status, 403)
        self.assertNotIn("Access-Control-Allow-Credentials", answer.headers)

    def test_two_origins_are_none(self) -> None:
        row = live_row(owner="alice")
        self.port.live.show(row)
        request = (
            f"DELETE /api/tunnels/{row['id']} HTTP/1.1\r\nHost: localhost:8091\r\n"
            f"Cookie: {self.signed_in()['Cookie']}\r\nOrigin: http://localhost:8091\r\n"
            "Origin: http://localhost:8091\r\n\r\n"
        )
        self.assertEqual(self.port.ask_raw(request.encode()).status, 403)

    def test_a_token_needs_no_origin(self) -> None:
        for origin in ({}, {"Origin": "http://evil.example.com"}):
            row = live_row(owner="alice")
            self.port.live.show(row)
            fields = {**bearer(ALICE_TOKEN), **origin}
            self.assertEqual(self.ask("DELETE", f"/api/tunnels/{row['id']}", fields).status, 200)

    def test_bodies_must_say_that_they_are_json(self) -> None:
        cookie = self.signed_in(ADMIN_TOKEN)
        body = {"value": True}
        for kind in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "a, application/json"}):
            fields = {**cookie, **OWN, **kind}
            answer = self.ask("PUT", "/api/config/status_public", fields, body)
            with self.subTest(kind=kind):
                self.assertEqual((answer.status, answer.json["error"]), (403, "Forbidden"))

    def test_nobody_is_signed_in_or_out_by_a_page_of_others(self) -> None:
        foreign: tuple[dict[str, str], ...] = (
            {"Origin": "http://evil.example.com"},
            {"Sec-Fetch-Site": "same-site"},
        )
        for fields in foreign:
            answer = self.sign_in(fields=fields, token=ALICE_TOKEN)
            self.assertEqual(answer.status, 403)
            self.assertNotIn("Set-Cookie", answer.headers)
            for cookie in (self.signed_in(), {}):
                answer = self.ask("DELETE", "/api/session", {**cookie, **fields})
                self.assertEqual(answer.status, 403)
        self.assertEqual(self.ask("DELETE", "/api/session", self.signed_in()).status, 403)

    def test_reading_is_for_any_page_as_nobody_gets_to_see_it(self) -> None:
        fields = {**self.signed_in(), "Origin": "http://evil.example.com"}
        answer = self.ask("GET", "/api/session", fields)
        self.assertEqual(answer.status, 200)
        self.assertNotIn("Access-Control-Allow-Origin", answer.headers)


class LinkTests(SessionTestCase):
    def link(self, token: str = ALICE_TOKEN, **fields: str) -> Answer:
        return self.ask("POST", "/api/session/links", {**bearer(token), **fields})

    def code(self) -> str:
        url: str = self.link().json["data"]["url"]
        return url.partition("#code=")[2]

    def test_it_signs_in_once(self) -> None:
        answer = self.link()
        self.assertEqual(answer.json["data"]["expires_at"], "2026-01-01T00:05:00Z")
        url = answer.json["data"]["url"]
        self.assertRegex(url, r"^http://localhost:8091/#code=[A-Za-z0-9_-]{43}$")
        code = url.partition("#code=")[2]
        signed_in = self.sign_in(code=code)
        self.assertEqual((signed_in.status, signed_in.json["data"]["user"]), (200, "alice"))
        cookie = self.cookie(signed_in)
        self.assertEqual(self.ask("GET", "/api/session", cookie).status, 200)
        again = self.sign_in(code=code)
        self.assertEqual((again.status, again.json["error"]), (401, "Unauthorized"))
        self.assertIn("good once", again.json["detail"])

    def test_it_expires(self) -> None:
        code = self.code()
        self.port.clock.advance(CODE_SECONDS)
        self.assertEqual(self.sign_in(code=code).status, 401)

    def test_its_token_is_revoked_meanwhile(self) -> None:
        code = self.code()
        self.port.known = lambda digest: None
        self.assertEqual(self.sign_in(code=code).status, 401)

    def test_a_code_is_no_token_and_a_token_no_code(self) -> None:
        self.assertEqual(self.sign_in(code=ALICE_TOKEN).status, 401)
        code = self.code()
        self.assertEqual(self.sign_in(token=code).status, 401)
        self.assertEqual(self.ask("GET", "/api/session", bearer(code)).status, 401)

    def test_only_who_sends_the_token_gets_one(self) -> None:
        fields = {**self.signed_in(), **OWN}
        self.assertEqual(self.ask("POST", "/api/session/links", fields).status, 401)
        self.assertEqual(self.link("wrong").status, 401)
        self.assertEqual(self.link(CONNECT_ONLY_TOKEN).status, 403)

    def test_where_it_leads(self) -> None:
        self.port.settings.change(trusted_proxies=(ip_network("203.0.113.0/24"),))
        answer = self.link(Host="Status.Example.com", X_Forwarded_Proto="x")
        self.assertTrue(answer.json["data"]["url"].startswith("http://status.example.com/#code="))
        fields = {"Host": "status.example.com", "X-Forwarded-Proto": "http, https"}
        url = self.ask("POST", "/api/session/links", {**bearer(ALICE_TOKEN), **fields})
        self.assertTrue(url.json["data"]["url"].startswith("https://status.example.com/#code="))
        for host in ("", "a b", "evil.com/", "x@evil.com", "a?b", "\xff"):
            answer = self.link(Host=host)
            with self.subTest(host=host):
                self.assertEqual((answer.status, answer.json["error"]), (400, "Invalid request"))


class RenewalTests(SessionTestCase):
    """What a request that lasts asks again and again."""

    def test_by_cookie_and_by_token(self) -> None:
        access = Access(lambda token, source: CREDENTIALS.get(token), self.port.sign_ins)
        sign_in = self.port.sign_ins.begin(CREDENTIALS[ALICE_TOKEN])
        callers = [
            Caller(sign_in.credential, sign_in=sign_in),
            *(Caller(CREDENTIALS[token], token) for token in (ALICE_TOKEN, SHARED_TOKEN)),
        ]
        for caller in callers:
            self.assertEqual(access.renewed(caller), caller)
        self.port.known = lambda digest: None
        for caller in callers:
            self.assertIsNone(access.renewed(caller))
