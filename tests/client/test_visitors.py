"""What a person says about visitors, and what of it leaves the machine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase

from inletspy.client import visitors
from inletspy.client.access import Access
from inletspy.client.config import ClientConfig, Wishes, load
from inletspy.errors import UsageError
from inletspy.policy.visits import VisitRule, credential_bytes, hash_password

TOKEN = "a-token-that-is-long"


async def nobody(backend: str, token: str) -> Access:
    """The platform that is not to be asked."""
    raise AssertionError("nobody is to be asked")


class VisitTests(SynchronousTestCase):
    def load(self, wishes: Wishes, **environ: str) -> ClientConfig:
        """What a start with these wishes has, in an environment without a file."""
        environ |= {"HOME": self.mktemp(), "INLETS_SERVER": "ws://h:8090", "INLETS_TOKEN": "t"}
        return self.successResultOf(ensureDeferred(load(wishes, environ, nobody)))

    def refused(self, wishes: Wishes, **environ: str) -> UsageError:
        """Why a start with these wishes comes to nothing."""
        environ |= {"HOME": self.mktemp(), "INLETS_SERVER": "ws://h:8090", "INLETS_TOKEN": "t"}
        starting = ensureDeferred(load(wishes, environ, nobody))
        error: UsageError = self.failureResultOf(starting, UsageError).value
        return error

    def rule(self, wishes: Wishes, **environ: str) -> VisitRule | None:
        """The rule that a server reads from what it is sent."""
        (service,) = self.load(wishes, **environ).services
        return VisitRule.read(service.proto, json.loads(json.dumps(dict(service.options))))

    def accounts(self, wishes: Wishes, **environ: str) -> list[bytes]:
        """The names of the users, all of whom have the password `pass:wörd`."""
        rule = self.rule(wishes, **environ)
        assert rule is not None
        for account in rule.accounts:
            self.assertEqual(
                hash_password(credential_bytes("pass:w\xf6rd"), account.salt), account.hash
            )
        self.assertEqual(len({account.salt for account in rule.accounts}), len(rule.accounts))
        return [account.user for account in rule.accounts]

    def file(self, content: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content)
        return str(path)

    def test_passwords(self) -> None:
        wishes = Wishes("3000", basic_auth=("ann:pass:w\xf6rd", "zo\u0308e:pass:wo\u0308rd"))
        self.assertEqual(self.accounts(wishes), [b"ann", "z\xf6e".encode()])
        self.assertNotIn("w\xf6rd", repr(self.load(wishes)) + repr(wishes))

    def test_passwords_from_elsewhere(self) -> None:
        path = self.file("# those of the family\r\nann:pass:w\xf6rd\r\n\nbob:pass:w\xf6rd".encode())
        self.assertEqual(self.accounts(Wishes("3000", basic_auth_file=path)), [b"ann", b"bob"])
        both = Wishes("3000", basic_auth=("eve:pass:w\xf6rd",), basic_auth_file=path)
        self.assertEqual(self.accounts(both), [b"eve", b"ann", b"bob"])
        variable = {"INLETSPY_BASIC_AUTH": "pat:pass:w\xf6rd"}
        self.assertEqual(self.accounts(Wishes("3000"), **variable), [b"pat"])
        # What was said to this one start counts more than what is in the air.
        self.assertEqual(len(self.accounts(both, **variable)), 3)

    def test_a_file_that_can_be_read_once(self) -> None:
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.write(writing, "ann:pass:w\xf6rd\n".encode())
        os.close(writing)
        wishes = Wishes("3000", basic_auth_file=f"/dev/fd/{reading}")
        self.assertEqual(self.accounts(wishes), [b"ann"])

    def test_tokens(self) -> None:
        digest = hashlib.sha256(TOKEN.encode()).digest()
        path = self.file(f"{TOKEN}\n".encode())
        for wishes, environ in (
            (Wishes("3000", bearer=(TOKEN,)), {}),
            (Wishes("3000", bearer_file=path), {}),
            (Wishes("3000"), {"INLETSPY_BEARER": TOKEN}),
        ):
            rule = self.rule(wishes, **environ)
            assert rule is not None
            self.assertEqual(rule.tokens, (digest,))

    def test_addresses(self) -> None:
        for typed in (("3000", ""), ("5432", "tcp")):
            rule = self.rule(Wishes(*typed, allow=("10.0.0.0/8", " ::1"), deny=("10.0.0.1",)))
            assert rule is not None
            self.assertEqual(list(map(str, rule.allow)), ["10.0.0.0/8", "::1/128"])
            self.assertEqual(list(map(str, rule.deny)), ["10.0.0.1/32"])

    def test_private(self) -> None:
        config = self.load(Wishes("3000", private_http=True, share_link="2h"))
        self.assertEqual(config.services[0].options["private"], True)
        self.assertEqual(config.link_seconds, 7200)

    def test_those_who_share_ask_for_the_same(self) -> None:
        """The server sees that although it knows no password; see what it compares."""

        def rule(*accounts: str, share: bool = True) -> VisitRule | None:
            visitors._account.cache_clear()  # as another process has none
            wishes = Wishes("3000", name="shop", share=share, basic_auth=accounts)
            return self.rule(wishes)

        first = rule("ann:pass", "bob:pass")
        self.assertEqual(first, rule("ann:pass", "bob:pass"))
        self.assertNotEqual(first, rule("ann:pass", "bob:past"))
        self.assertNotEqual(rule("ann:pass"), rule("eve:pass"))
        assert first is not None
        self.assertEqual(len({account.salt for account in first.accounts}), 2)
        self.assertNotEqual(rule("ann:pass", share=False), rule("ann:pass", share=False))

    def test_the_same_wish_is_the_same_service(self) -> None:
        wishes = Wishes("3000", basic_auth=("ann:pass",))
        self.assertEqual(self.load(wishes).services, self.load(wishes).services)

    def test_nothing_said(self) -> None:
        self.assertIsNone(
            self.rule(Wishes("3000"), INLETSPY_BASIC_AUTH="", INLETSPY_BEARER=" \n"[1:])
        )

    def test_nonsense(self) -> None:
        refused: tuple[tuple[dict[str, Any], str], ...] = (
            ({"basic_auth": ("s3cret",)}, "--basic-auth: must be USER:PASSWORD"),
            ({"basic_auth": (":s3cret",)}, "--basic-auth: must be USER:PASSWORD"),
            ({"basic_auth": ("s3cret:",)}, "--basic-auth: must be USER:PASSWORD"),
            ({"basic_auth": ("s3cret\x07:x",)}, "--basic-auth: the user's name has"),
            ({"basic_auth": ("a:" + "s3cret" * 50,)}, "--basic-auth: name and password may have"),
            ({"basic_auth": ("a:s3cret", "a:b")}, "names a user twice"),
            ({"basic_auth": tuple(f"u{n}:s3cret" for n in range(9))}, "8 items"),
            ({"basic_auth_file": "/nonexistent"}, "--basic-auth-file: can't read /nonexistent"),
            ({"basic_auth_file": self.file(b"# none\n")}, "is empty"),
            ({"basic_auth_file": self.file(b"s3cret\xff")}, "is not text in UTF-8"),
            ({"basic_auth_file": self.file(b"a:s3cret\n" * 9000)}, "is too long"),
            ({"basic_auth_file": self.file(b"s3cret")}, "--basic-auth-file: must be USER"),
            ({"bearer": ("s3cret",)}, "--bearer: a token must have 16 to 256"),
            ({"bearer": ("s3cret with spaces",)}, "--bearer: a token must have"),
            ({"bearer_file": self.file("s3crets3crets3cr\xe9t".encode())}, "--bearer-file: a tok"),
            ({"allow": ("10.0.0.1/8",)}, "--allow: '10.0.0.1/8' is no network: is it 10.0.0.0/8"),
            ({"allow": ("",)}, "--allow: '' is no address or network"),
            ({"deny": ("a\nb",)}, "--deny: 'a\\nb' is no address or network"),
            ({"allow": ("10.0.0.1",) * 65}, "64 items"),
            (
                {"share_link": "2h"},
                "--share-link is for a service with --private-http or --private",
            ),
            ({"share_link": "2", "private_http": True}, "--share-link: '2' is no span of time"),
            ({"share_link": "91d", "private_http": True}, "90 days at most"),
        )
        for wishes, words in refused:
            error = self.refused(Wishes("3000", **wishes))
            self.assertIn(words, str(error))
            self.assertNotIn("s3cret", str(error))
            self.assertNotIn("\n", str(error))

    def test_what_tcp_has_not(self) -> None:
        for wishes in (
            {"basic_auth": ("a:b",)},
            {"basic_auth_file": "x"},
            {"bearer": (TOKEN,)},
            {"bearer_file": "x"},
            {"private_http": True},
        ):
            error = self.refused(Wishes("5432", "tcp", **wishes))
            self.assertIn("is for http", str(error))
        # Nobody shall think that it is protected.
        for variable in ("INLETSPY_BASIC_AUTH", "INLETSPY_BEARER"):
            environ = {variable: f"a:{TOKEN}"}
            self.assertIn("is for http", str(self.refused(Wishes("5432", "tcp"), **environ)))
