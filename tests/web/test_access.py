"""Tokens, loopback and cross-origin permission."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import TestCase

from inletspy.errors import TooManyGuesses
from tests.web.support import (
    ALICE_TOKEN,
    LOCAL,
    READ_ONLY_TOKEN,
    SHARED_TOKEN,
    STRANGER,
    Answer,
    StatusPort,
    bearer,
)


class TokenTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort(tunnels_enabled=True)

    def ask(self, *authorization: str, path: str = "/api/tunnels") -> Answer:
        fields = "".join(f"Authorization: {value}\r\n" for value in authorization)
        return self.port.ask_raw(f"GET {path} HTTP/1.1\r\n{fields}\r\n".encode("latin-1"))

    def test_a_valid_token(self) -> None:
        for value in (f"Bearer {SHARED_TOKEN}", f"bEARER {ALICE_TOKEN}", f"bearer  {ALICE_TOKEN} "):
            with self.subTest(value=value):
                self.assertEqual(self.ask(value).status, 200)

    def test_none(self) -> None:
        answer = self.ask()
        self.assertEqual(answer.status, 401)
        self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="inletspy"')
        self.assertEqual((answer.json["success"], answer.json["error"]), (False, "Unauthorized"))

    def test_one_that_is_no_good(self) -> None:
        answer = self.ask("Bearer wrong")
        self.assertEqual(answer.status, 401)
        challenge = answer.headers["WWW-Authenticate"]
        self.assertEqual(challenge, 'Bearer realm="inletspy", error="invalid_token"')
        self.assertNotIn(b"wrong", answer.raw)

    def test_too_many_wrong_ones(self) -> None:
        def authenticate(token: str, source: str | None) -> None:
            raise TooManyGuesses(6.5)

        self.port = StatusPort(authenticate=authenticate)
        answer = self.ask("Bearer wrong")
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "7"))
        self.assertTrue(answer.raw.startswith(b"HTTP/1.1 429 Too Many Requests\r\n"), answer.raw)
        self.assertEqual(answer.json["error"], "Too many wrong tokens")
        self.assertEqual(self.ask().status, 401)

    def test_whose_wrong_ones_are_counted(self) -> None:
        self.port.settings.change(trusted_proxies=(ip_network("127.0.0.0/8"),))
        by_proxy = {"X-Forwarded-For": "203.0.113.8"}
        for peer, fields, source in (
            (STRANGER, {}, STRANGER.host),
            (STRANGER, by_proxy, STRANGER.host),
            (LOCAL, by_proxy, "203.0.113.8"),
            (LOCAL, {}, None),
            (UNIXAddress(None), by_proxy, "203.0.113.8"),
            (UNIXAddress(None), {}, None),
        ):
            self.port.ask("GET", "/api/tunnels", headers={**bearer("x"), **fields}, peer=peer)
            self.assertEqual(self.port.sources_seen.pop(), source)

    def test_what_is_no_bearer_token_never_gets_to_be_compared(self) -> None:
        for values in (
            ("",),
            ("Bearer",),
            ("Bearer ",),
            (SHARED_TOKEN,),
            (f"Basic {SHARED_TOKEN}",),
            (f"Bearer{SHARED_TOKEN}",),
            (f"Bearer {SHARED_TOKEN} {SHARED_TOKEN}",),
            ("Bearer \xff\xfe",),
            ("Bearer " + "x" * 1025,),
            (f"Bearer {SHARED_TOKEN}", f"Bearer {SHARED_TOKEN}"),
        ):
            with self.subTest(values=values):
                self.assertEqual(self.ask(*values).status, 401)
        self.assertEqual(self.port.tokens_seen, [])

    def test_a_token_in_the_address_is_none(self) -> None:
        for name in ("token", "access_token"):
            answer = self.ask(path=f"/api/tunnels?{name}={SHARED_TOKEN}")
            self.assertEqual(answer.status, 401)

    def test_a_token_without_the_scope(self) -> None:
        for method, path in (("POST", "/tunnels"), ("GET", "/api/config/tunnels")):
            answer = self.port.ask(method, path, headers=bearer(READ_ONLY_TOKEN))
            with self.subTest(path=path):
                self.assertEqual((answer.status, answer.json["error"]), (403, "Forbidden"))
                self.assertIn("insufficient_scope", answer.headers["WWW-Authenticate"])
        self.assertEqual(self.ask(f"Bearer {READ_ONLY_TOKEN}").status, 200)


class LoopbackTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()

    def test_loopback_needs_no_token(self) -> None:
        for peer in (
            LOCAL,
            IPv4Address("TCP", "127.8.9.10", 1),
            IPv6Address("TCP", "::1", 1),
            IPv6Address("TCP", "::ffff:127.0.0.1", 1),
        ):
            with self.subTest(peer=peer):
                self.assertEqual(self.port.ask("GET", "/status", peer=peer).status, 200)

    def test_all_others_do(self) -> None:
        for peer in (
            STRANGER,
            IPv4Address("TCP", "10.0.0.1", 1),
            IPv6Address("TCP", "::ffff:203.0.113.9", 1),
            IPv6Address("TCP", "fe80::1%eth0", 1),
            UNIXAddress("/run/status.sock"),
            UNIXAddress(None),
        ):
            with self.subTest(peer=peer):
                self.assertEqual(self.port.ask("GET", "/status", peer=peer).status, 401)
                answer = self.port.ask("GET", "/status", headers=bearer(ALICE_TOKEN), peer=peer)
                self.assertEqual(answer.status, 200)

    def test_what_passed_a_proxy_is_not_from_here(self) -> None:
        for name in ("X-Forwarded-For", "forwarded", "X-Real-IP", "Via", "X-Forwarded-Host"):
            with self.subTest(name=name):
                for value in ("127.0.0.1", ""):
                    answer = self.port.ask("GET", "/status", headers={name: value})
                    self.assertEqual(answer.status, 401)

    def test_names_of_this_machine(self) -> None:
        names = ["localhost", "LOCALHOST:8091", "localhost.", "tunnel.localhost:8091", "c0ffee"]
        for host in [*names, "127.0.0.1", "[::1]:8091", "192.0.2.7:80", "a b", ""]:
            with self.subTest(host=host):
                answer = self.port.ask("GET", "/status", headers={"Host": host})
                self.assertEqual(answer.status, 200)

    def test_a_name_from_the_public_dns_is_not_from_here(self) -> None:
        names = ["example.com", "a.example.com:8091", "127.0.0.1.example.com", "localhost.evil.com"]
        for host in [*names, "user@example.com", "[::1", "evil.com.", "\xff.com", "]", "[x.y]"]:
            with self.subTest(host=host):
                answer = self.port.ask("GET", "/status", headers={"Host": host})
                self.assertEqual(answer.status, 401)

    def test_no_host_at_all_is_from_here_and_two_must_both_be(self) -> None:
        ask = self.port.ask_raw
        self.assertEqual(ask(b"GET /status HTTP/1.0\r\n\r\n").status, 200)
        two = b"GET /status HTTP/1.1\r\nHost: localhost\r\nHost: example.com\r\n\r\n"
        self.assertEqual(ask(two).status, 401)

    def test_loopback_alone_opens_nothing_but_status(self) -> None:
        for method, path in (
            ("POST", "/tunnels"),
            ("DELETE", "/tunnels/x"),
            ("GET", "/api/tunnels"),
            ("GET", "/api/config/tunnels"),
        ):
            with self.subTest(path=path):
                self.assertEqual(self.port.ask(method, path).status, 401)

    def test_status_public(self) -> None:
        self.port.settings.change(status_public=True)
        self.assertEqual(self.port.ask("GET", "/status", peer=STRANGER).status, 200)
        self.assertEqual(self.port.ask("GET", "/api/tunnels", peer=STRANGER).status, 401)


class OriginTests(TestCase):
    ORIGIN = "https://ide.example.com"

    def ask(self, port: StatusPort, origin: str = ORIGIN, path: str = "/health") -> Answer:
        return port.ask("GET", path, headers={"Origin": origin})

    def test_nobody_by_default(self) -> None:
        answer = self.ask(StatusPort())
        self.assertEqual(answer.status, 200)
        self.assertNotIn("Access-Control-Allow-Origin", answer.headers)
        self.assertEqual(answer.headers["Vary"], "Origin")

    def test_exactly_the_allowed_origin(self) -> None:
        port = StatusPort(cors_allowed_origins=(self.ORIGIN,))
        answer = self.ask(port)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], self.ORIGIN)
        self.assertEqual(answer.headers["Vary"], "Origin")
        self.assertNotIn("Access-Control-Allow-Credentials", answer.headers)
        for other in (
            "http://ide.example.com",
            "https://ide.example.com:8443",
            "https://ide.example.com.evil.com",
            "https://IDE.example.com",
            "null",
            "*",
            "",
            "\xff",
        ):
            with self.subTest(origin=other):
                self.assertNotIn("Access-Control-Allow-Origin", self.ask(port, other).headers)

    def test_errors_can_be_read_too(self) -> None:
        port = StatusPort(cors_allowed_origins=(self.ORIGIN,))
        for path, status in (("/nowhere", 404), ("/api/tunnels", 401)):
            answer = self.ask(port, path=path)
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], self.ORIGIN)

    def test_everybody_if_so_set_but_without_credentials(self) -> None:
        answer = self.ask(StatusPort(cors_allowed_origins=("*",)))
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
        self.assertNotIn("Access-Control-Allow-Credentials", answer.headers)

    def test_a_change_counts_at_once(self) -> None:
        port = StatusPort()
        port.settings.change(cors_allowed_origins=(self.ORIGIN,))
        self.assertEqual(self.ask(port).headers["Access-Control-Allow-Origin"], self.ORIGIN)

    def test_a_preflight(self) -> None:
        port = StatusPort(cors_allowed_origins=(self.ORIGIN,))
        headers = {
            "Origin": self.ORIGIN,
            "Access-Control-Request-Method": "DELETE",
            "Access-Control-Request-Headers": "authorization",
        }
        answer = port.ask("OPTIONS", "/tunnels/someone", headers=headers)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], self.ORIGIN)
        self.assertEqual(answer.headers["Access-Control-Allow-Methods"], "DELETE, OPTIONS")
        allowed = answer.headers["Access-Control-Allow-Headers"]
        self.assertEqual(allowed, "Authorization, Content-Type")

    def test_a_preflight_from_elsewhere_gets_no_permission(self) -> None:
        headers = {"Origin": "https://evil.com", "Access-Control-Request-Method": "POST"}
        answer = StatusPort(cors_allowed_origins=(self.ORIGIN,)).ask(
            "OPTIONS", "/tunnels", headers=headers
        )
        self.assertNotIn("Access-Control-Allow-Origin", answer.headers)
