"""What rows of the database stand for."""

from __future__ import annotations

import ipaddress
from dataclasses import fields
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from inletspy.errors import UsageError
from inletspy.policy.addresses import parse_port_range
from inletspy.settings import Settings, setting_named


class SettingsTests(SynchronousTestCase):
    def read(self, key: str, text: str | None) -> Any:
        return setting_named(key).parse(text)

    def assertWrong(self, key: str, text: str, words: str = "must") -> None:
        error = self.assertRaises(UsageError, self.read, key, text)
        self.assertTrue(str(error).startswith(f"{key} "), error)
        self.assertIn(words, str(error))
        self.assertLess(len(str(error)), 200)

    def test_keys_of_the_platform(self) -> None:
        catalogue = Settings.catalogue()
        for key, kind, default in (
            ("tunnels_enabled", "boolean", "false"),
            ("inlets_server_url", "string", ""),
            ("inlets_status_api_url", "string", ""),
            ("inlets_shared_token", "string", ""),
            ("tunnel_base_domain", "string", ""),
        ):
            self.assertEqual((catalogue[key].type, catalogue[key].default), (kind, default))

    def test_catalogue(self) -> None:
        catalogue = Settings.catalogue()
        self.assertEqual([*catalogue], [field.name for field in fields(Settings)])
        for setting in catalogue.values():
            self.assertIn(setting.type, ("string", "number", "boolean", "json"))
            self.assertTrue(setting.description.endswith("."), setting.key)
            setting.parse(None)
        self.assertEqual(
            [s.key for s in catalogue.values() if s.secret],
            ["inlets_shared_token", "link_signing_key", "session_signing_key"],
        )

    def test_defaults(self) -> None:
        settings = Settings.from_rows({})
        self.assertIs(settings.tunnels_enabled, False)
        self.assertEqual(settings.tcp_port_range, range(30000, 31000))
        self.assertEqual(settings.trusted_proxies, ())

    def test_values(self) -> None:
        rows = {
            "tunnels_enabled": "TRUE",
            "tunnel_base_domain": "Tunnel.Example.com",
            "tcp_port_range": "40000-40000",
            "trusted_proxies": '["10.0.0.1/8", "::1"]',
            "cors_allowed_origins": '["https://ide.example.com:8443", "*"]',
            "heartbeat_seconds": "2.5",
            "streams_per_session": "10",
            "name_lease_seconds": "0",
            "status_public": None,
            "somebody_elses_key": "x",
        }
        settings = Settings.from_rows(rows, self.fail)
        self.assertIs(settings.tunnels_enabled, True)
        self.assertEqual(settings.tunnel_base_domain, "tunnel.example.com")
        self.assertEqual(list(settings.tcp_port_range), [40000])
        self.assertEqual(
            settings.trusted_proxies,
            (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")),
        )
        self.assertEqual(settings.cors_allowed_origins, ("https://ide.example.com:8443", "*"))
        self.assertEqual(settings.heartbeat_seconds, 2.5)
        self.assertEqual(settings.streams_per_session, 10)

    def test_one_bad_row_takes_nothing_else_with_it(self) -> None:
        for key, setting in Settings.catalogue().items():
            problems: list[str] = []
            rows = {"tunnels_enabled": "true", "heartbeat_seconds": "7", key: "\0"}
            settings = Settings.from_rows(rows, problems.append)
            (problem,) = problems
            self.assertTrue(problem.startswith(key), problem)
            self.assertEqual(getattr(settings, key), setting.parse(None))
            if key != "heartbeat_seconds":
                self.assertEqual(settings.heartbeat_seconds, 7)
        Settings.from_rows({"tunnels_enabled": "x"})  # nobody has to listen

    def test_secret_is_not_in_a_problem(self) -> None:
        problems: list[str] = []
        Settings.from_rows({"inlets_shared_token": "s3cret words"}, problems.append)
        self.assertEqual(len(problems), 1)
        self.assertNotIn("s3cret", problems[0])

    def test_wrong_types(self) -> None:
        for text in ("", "1", "yes", "on", "tru", " true", "null"):
            self.assertWrong("tunnels_enabled", text, "must be true or false")
        for text in ("", "x", "0x10", "nan", "inf", "-inf", "1e13", "1,5", "[]", "true"):
            self.assertWrong("heartbeat_seconds", text)
        for text in ("0", "-1", "0.5", "1.5"):
            self.assertWrong("services_per_session", text, "a whole number above 0")
        for text in ("-1", "0.5"):
            self.assertWrong("wrong_tokens_per_address", text, "a whole number from 0")
        for text in ("0", "-1"):
            self.assertWrong("body_idle_seconds", text, "above 0")
        self.assertWrong("name_lease_seconds", "-1", "not be below 0")
        for text in ("0", "0.01", "21"):
            self.assertWrong("heartbeat_seconds", text, "from 0.1 to 20")
        for text in ("", "{", "[" * 100_000, "nan]"):
            self.assertWrong("trusted_proxies", text, "valid JSON")
        for text in ("{}", '"10.0.0.0/8"', "[1]", "null", "true"):
            self.assertWrong("trusted_proxies", text, "must be a JSON list")
        for text in ('["10.0.0.0/33"]', '["a"]', '[""]'):
            self.assertWrong("trusted_proxies", text, "IPv4 or IPv6 network")
        for text in ('["ftp://a"]', '["https://a/"]', '["https://"]', '["a"]', '["null"]'):
            self.assertWrong("cors_allowed_origins", text, "is no origin")
        for text in ("-a", "a..b", "a b"):
            self.assertWrong("tunnel_base_domain", text, "")
        for text in ("two words", "schl\u00fcssel", "a\nb"):
            self.assertWrong("inlets_shared_token", text, "printable ASCII")
        self.assertWrong("link_signing_key", "x" * 31, "32 characters at least")
        self.assertWrong("link_signing_key", "two words" * 9, "printable ASCII")

    def test_port_ranges(self) -> None:
        self.assertEqual(parse_port_range("1-65535"), range(1, 65536))
        for text in ("", "1", "-", "1-", "-1", "2-1", "0-5", "1-65536", "a-b", "1 - 2", "1--2"):
            self.assertRaises(ValueError, parse_port_range, text)
        self.assertWrong("tcp_port_range", "9" * 5000 + "-1", "must be FIRST-LAST")

    def test_unknown_key(self) -> None:
        for key, words in (
            ("tunnel_enabled", "did you mean tunnels_enabled?"),
            ("zzz", "see `inletspy config list`"),
        ):
            error = self.assertRaises(UsageError, setting_named, key)
            self.assertIn(words, str(error))
