"""Control messages: read whole, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from inletspy.errors import Code, ProtocolViolation, Refused
from inletspy.wire.control import (
    Connected,
    ConnectWish,
    Grant,
    Hello,
    Resume,
    ServiceOffer,
    ShareLink,
    ShareWish,
    Welcome,
    connect_refused,
    error_message,
    read_error,
    read_text,
)
from tests.properties import repeatable

WEB = ServiceOffer("web", "http", "http://localhost:3000")
PRIVATE = ServiceOffer("5432", "tcp", "tcp://localhost:5432", private="db")
DATABASE = ServiceOffer(
    "db.1:a-b_c", "tcp", "tcp://localhost:5432", "name", 30_001, {"host_header": "rewrite"}
)
HELLO: dict[str, Any] = {
    "type": "hello",
    "version": 1,
    "client_id": "c0ffee",
    "services": [{"name": "web", "proto": "http", "upstream": "http://localhost:3000"}],
}
WELCOME: dict[str, Any] = {
    "type": "welcome",
    "session": "s1",
    "key": "k1",
    "heartbeat": 20,
    "services": [{"name": "web", "number": 1, "public_url": "http://web.tunnel.localhost:8080"}],
}
#: What JSON can say besides a text.
NO_TEXTS: tuple[Any, ...] = (None, 1, 1.5, True, [], ["a"], {}, {"a": "b"})
#: What it can say besides a number from 0 to 65535.
NO_NUMBERS: tuple[Any, ...] = ("1", "", 1.0, True, False, [], {}, -1, 65_536, 10**30)
NO_OBJECTS: tuple[Any, ...] = ("", "a", 0, 1, True, False, [], [{}])


def sent(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as it arrives at the other end."""
    arrived: dict[str, Any] = json.loads(json.dumps(message))
    return arrived


class ControlTestCase(TestCase):
    def assertViolates(
        self, read: Callable[[dict[str, Any]], object], message: Mapping[str, Any], /, **fields: Any
    ) -> None:
        """A message with other fields breaks the protocol."""
        with self.subTest(fields=fields):
            self.assertRaises(ProtocolViolation, read, {**message, **fields})

    def assertMissed(
        self, read: Callable[[dict[str, Any]], object], message: Mapping[str, Any], *keys: str
    ) -> None:
        """A message without one of the fields breaks the protocol."""
        for key in keys:
            rest = {name: value for name, value in message.items() if name != key}
            self.assertRaises(ProtocolViolation, read, rest)


class TextTests(ControlTestCase):
    def test_texts(self) -> None:
        for text in ("", "a", "w\xf6rd \U0001f600", "x" * 512, " ", "\xa0\u2028"):
            self.assertEqual(read_text({"key": text}, "key"), text)

    def test_what_is_no_short_text(self) -> None:
        for text in (*NO_TEXTS, "x" * 513, "\0", "a\nb", "\r", "\x7f", "\x85", "\ud800", "a\udfff"):
            self.assertViolates(lambda message: read_text(message, "key"), {}, key=text)
        self.assertRaises(ProtocolViolation, read_text, {}, "key")

    def test_a_default(self) -> None:
        self.assertEqual(read_text({}, "key", default="x"), "x")
        self.assertEqual(read_text({"key": None}, "key", default="x"), "x")
        self.assertEqual(read_text({"key": ""}, "key", default="x"), "")
        self.assertRaises(ProtocolViolation, read_text, {"key": 1}, "key", default="x")


class ServiceOfferTests(ControlTestCase):
    def test_there_and_back(self) -> None:
        for offer in (WEB, DATABASE, PRIVATE):
            self.assertEqual(ServiceOffer.read(sent(offer.message())), offer)

    def test_what_need_not_be_said(self) -> None:
        self.assertEqual(
            WEB.message(), {"name": "web", "proto": "http", "upstream": "http://localhost:3000"}
        )
        nothing = {"hostname": None, "remote_port": None, "options": None, "private": None}
        self.assertEqual(ServiceOffer.read({**WEB.message(), **nothing}), WEB)
        nothings = {"hostname": "", "remote_port": 0, "options": {}, "later": [1]}
        self.assertEqual(ServiceOffer.read({**WEB.message(), **nothings}), WEB)

    def test_what_must_be_said(self) -> None:
        self.assertMissed(ServiceOffer.read, WEB.message(), "name", "proto", "upstream")

    def test_wrong_types(self) -> None:
        for key in ("name", "proto", "upstream"):
            for value in NO_TEXTS:
                self.assertViolates(ServiceOffer.read, WEB.message(), **{key: value})
        for value in NO_TEXTS[1:]:
            self.assertViolates(ServiceOffer.read, WEB.message(), hostname=value)
            self.assertViolates(ServiceOffer.read, WEB.message(), private=value)
        for value in NO_NUMBERS:
            self.assertViolates(ServiceOffer.read, WEB.message(), remote_port=value)
        for value in NO_OBJECTS:
            self.assertViolates(ServiceOffer.read, WEB.message(), options=value)

    def test_values_of_no_use(self) -> None:
        for fields in (
            {"name": ""},
            {"name": "a b"},
            {"name": "-a"},
            {"name": "w\xf6rd"},
            {"name": "x" * 65},
            {"proto": "udp"},
            {"proto": "HTTP"},
            {"proto": ""},
        ):
            message = {**WEB.message(), **fields}
            error = self.assertRaises(Refused, ServiceOffer.read, message)
            self.assertEqual(error.code, Code.INVALID)
            read_error(sent(error_message(error)))


class HelloTests(ControlTestCase):
    def test_there_and_back(self) -> None:
        for hello in (
            Hello("c0ffee", (WEB, DATABASE)),
            Hello("claude-web-user-12", ()),
            Hello("a@b.c:d+e_f-g", (WEB,), Resume("s1", "k1", 7)),
            Hello("c0ffee", (), derived=True),
        ):
            self.assertEqual(Hello.read(sent(hello.message())), hello)
        self.assertEqual(Hello("c0ffee", (WEB,)).message(), HELLO)

    def test_what_must_be_said(self) -> None:
        self.assertMissed(Hello.read, HELLO, "version", "client_id", "services")

    def test_wrong_types(self) -> None:
        for value in (*NO_NUMBERS[:-2], 65_537, None):
            self.assertViolates(Hello.read, HELLO, version=value)
        for value in NO_TEXTS:
            self.assertViolates(Hello.read, HELLO, client_id=value)
        services: tuple[Any, ...] = (None, "a", 1, True, {}, {"name": "web"}, [1], [[]], ["web"])
        for value in (*services, [{}], [None], [*HELLO["services"], None]):
            self.assertViolates(Hello.read, HELLO, services=value)

    def test_only_what_says_so_is_derived(self) -> None:
        values: tuple[Any, ...] = (None, 1, "true", [True], {})
        for value in values:
            self.assertFalse(Hello.read({**HELLO, "derived": value}).derived)
            offer = {**WEB.message(), "options": {"derived": value}}
            self.assertFalse(ServiceOffer.read(offer).derived)
        self.assertTrue(ServiceOffer.read({**WEB.message(), "options": {"derived": True}}).derived)

    def test_other_versions(self) -> None:
        for version in (0, 2, 65_536):
            error = self.assertRaises(Refused, Hello.read, {**HELLO, "version": version})
            self.assertEqual(error.code, Code.VERSION)

    def test_client_ids(self) -> None:
        for client_id in ("a", "0", "x" * 128):
            Hello.read({**HELLO, "client_id": client_id})
        for client_id in ("", "-a", "a b", "a/b", "<a>", "w\xf6rd", "x" * 129):
            error = self.assertRaises(Refused, Hello.read, {**HELLO, "client_id": client_id})
            self.assertEqual(error.code, Code.INVALID)

    def test_the_same_name_twice(self) -> None:
        services = [WEB.message(), {**WEB.message(), "upstream": "http://localhost:3001"}]
        error = self.assertRaises(Refused, Hello.read, {**HELLO, "services": services})
        self.assertEqual(error.code, Code.INVALID)

    def test_resume(self) -> None:
        resume = {"session": "s1", "key": "k1", "received": 0}
        self.assertEqual(Hello.read({**HELLO, "resume": resume}).resume, Resume("s1", "k1"))
        self.assertIsNone(Hello.read({**HELLO, "resume": None}).resume)

    def test_what_is_no_resume(self) -> None:
        good = {"session": "s1", "key": "k1", "received": 0}
        for value in (*NO_OBJECTS, {}):
            self.assertViolates(Hello.read, HELLO, resume=value)
        for key in good:
            self.assertViolates(Hello.read, HELLO, resume={**good, key: None})
        for number in (-1, 1.5, (1 << 62) + 1, "0"):
            self.assertViolates(Hello.read, HELLO, resume={**good, "received": number})

    def test_secrets_are_not_shown(self) -> None:
        self.assertNotIn("k1", repr(Hello("c0ffee", (), Resume("s1", "k1"))))


class WelcomeTests(ControlTestCase):
    def test_there_and_back(self) -> None:
        grants = (
            Grant("web", 1, "http://a.tunnel.localhost:8080"),
            Grant("db", 65_535, "tcp://b:1"),
        )
        for welcome in (Welcome("s1", "k1", 20, grants), Welcome("s1", "k1", 0.5, (), "c0ffee")):
            self.assertEqual(Welcome.read(sent(welcome.message())), welcome)
        self.assertEqual(Welcome.read(WELCOME).message(), {**WELCOME, "client_id": ""})

    def test_what_must_be_said(self) -> None:
        self.assertMissed(Welcome.read, WELCOME, "session", "key", "heartbeat", "services")
        grant = WELCOME["services"][0]
        self.assertMissed(Grant.read, grant, "name", "number", "public_url")

    def test_wrong_types(self) -> None:
        for value in NO_TEXTS:
            self.assertViolates(Welcome.read, WELCOME, session=value)
            self.assertViolates(Welcome.read, WELCOME, key=value)
            if value is not None:  # servers of before say nothing of it
                self.assertViolates(Welcome.read, WELCOME, client_id=value)
            self.assertViolates(Grant.read, WELCOME["services"][0], public_url=value)
        for value in NO_NUMBERS:
            self.assertViolates(Grant.read, WELCOME["services"][0], number=value)
        numbers: tuple[Any, ...] = (0, -1, 86_400, float("nan"), float("inf"), 10**400)
        for heartbeat in (None, "20", True, [], *numbers):
            self.assertViolates(Welcome.read, WELCOME, heartbeat=heartbeat)
        lists: tuple[Any, ...] = (None, {}, [1], [{}])
        for services in lists:
            self.assertViolates(Welcome.read, WELCOME, services=services)

    def test_secrets_are_not_shown(self) -> None:
        self.assertNotIn("k1", repr(Welcome.read(WELCOME)))


class ErrorTests(ControlTestCase):
    def test_there_and_back(self) -> None:
        for code in Code:
            for retry in (False, True):
                error = read_error(sent(error_message(Refused(code, "a reason", retry=retry))))
                self.assertEqual(
                    (error.code, error.message, error.retry), (code, "a reason", retry)
                )

    def test_codes_of_later_versions(self) -> None:
        error = read_error({"message": "a reason", "code": "later"})
        self.assertEqual((error.code, error.retry), (Code.INVALID, False))

    def test_only_true_is_true(self) -> None:
        values: tuple[Any, ...] = (1, "true", None, [])
        for retry in values:
            self.assertFalse(read_error({"message": "", "code": "quota", "retry": retry}).retry)

    def test_a_long_reason_can_be_read(self) -> None:
        error = read_error(sent(error_message(Refused(Code.INVALID, "x" * 5000))))
        self.assertEqual(error.message, "x" * 512)

    def test_wrong_types(self) -> None:
        good = {"message": "a reason", "code": "quota"}
        self.assertMissed(read_error, good, "message", "code")
        for value in NO_TEXTS:
            self.assertViolates(read_error, good, message=value)
            self.assertViolates(read_error, good, code=value)


class ConnectTests(ControlTestCase):
    def test_there_and_back(self) -> None:
        for message in (ConnectWish("db"), Connected("db", 7)):
            self.assertEqual(type(message).read(sent(message.message())), message)
        refusal = sent(connect_refused("db", Refused(Code.NO_SUCH_SERVICE, "none")))
        self.assertEqual((refusal["type"], refusal["name"]), ("connect_refused", "db"))
        self.assertEqual(read_error(refusal).code, Code.NO_SUCH_SERVICE)

    def test_wrong_types(self) -> None:
        self.assertMissed(ConnectWish.read, {"name": "db"}, "name")
        self.assertMissed(Connected.read, {"name": "db", "number": 1}, "name", "number")
        for value in NO_TEXTS:
            self.assertViolates(ConnectWish.read, {}, name=value)
        for value in NO_NUMBERS:
            self.assertViolates(Connected.read, {"name": "db"}, number=value)


class ShareTests(ControlTestCase):
    def test_there_and_back(self) -> None:
        for message in (ShareWish("web", 7200), ShareLink("web", "https://a.b/?x=y", 1 << 32)):
            self.assertEqual(type(message).read(sent(message.message())), message)
        self.assertNotIn("https", repr(ShareLink("web", "https://a.b/?x=y", 1)))

    def test_wrong_types(self) -> None:
        wish = {"service": "web", "seconds": 1}
        self.assertMissed(ShareWish.read, wish, "service", "seconds")
        link = {"service": "web", "url": "https://a.b", "expires": 1}
        self.assertMissed(ShareLink.read, link, "service", "url", "expires")
        for value in (-1, 1.5, True, "1", 1 << 40):
            self.assertViolates(ShareWish.read, wish, seconds=value)
            self.assertViolates(ShareLink.read, link, expires=value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda items: st.lists(items, max_size=3) | st.dictionaries(st.text(max_size=3), items),
    max_leaves=6,
)
_keys = st.sampled_from(
    [
        *("version", "client_id", "services", "resume", "session", "key", "received", "heartbeat"),
        *("service", "seconds", "url", "expires", "number", "private"),
        *("name", "proto", "upstream", "hostname", "remote_port", "options", "message", "code"),
    ]
)


class PropertyTests(TestCase):
    @repeatable
    @given(st.dictionaries(_keys, _json, max_size=4), st.sampled_from([HELLO, WELCOME, {}]))
    def test_whatever_is_said(self, fields: dict[str, Any], message: dict[str, Any]) -> None:
        for read in (
            *(Hello.read, Welcome.read, ServiceOffer.read, Grant.read, read_error),
            *(ShareWish.read, ShareLink.read, ConnectWish.read, Connected.read),
        ):
            for said in ({**message, **fields}, {**message, "services": [fields]}):
                try:
                    read(said)
                except (ProtocolViolation, Refused):
                    continue
