"""What wrappers may register, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from inletspy.answers import InvalidRequest, Problem
from inletspy.interfaces import ITunnels
from inletspy.web.registrations import (
    CLIENT_LIMIT,
    LIFETIME_SECONDS,
    REGISTRATION,
    SHARED_LIMIT,
    TOTAL_LIMIT,
    USER_LIMIT,
    Registration,
    Registrations,
)
from inletspy.web.schemas import check
from tests.web.support import NEW_YEAR, StubTunnels, live_row, registration

WRONG: dict[str, list[Any]] = {
    "hostname": ["", "a..b", "-a", "a b", "a\0b", "x" * 64, "xn--", "a/b", "name:8080", "*"],
    "public_url": [
        "",
        "localhost",
        "//localhost",
        "ftp://localhost",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://a b",
        "http://a\nb",
        "http://[::1",
        "http://localhost:99999",
        "http://localhost:0",
        "http://localhost:x",
        "http://user:secret@localhost",
        'http://localhost/"><script>',
        "http://bücher.example",
        "tcp://localhost",
        "http://localhost/" + "a" * 2048,
    ],
    "upstream": ["", "a\nb", "a\x1b[2J", "x" * 513],
    "client_id": ["", "a\0", "a\u202eb", "\ud800", "x" * 257],
}


def read(body: dict[str, Any]) -> Registration:
    check(REGISTRATION, body)
    return Registration.from_json(body)


def parse(**changes: Any) -> Registration:
    return read(registration(**changes))


class ParseTests(TestCase):
    def detail(self, body: dict[str, Any]) -> str:
        problem = self.assertRaises(InvalidRequest, read, body)
        self.assertEqual(problem.status, 400)
        return str(problem.detail)

    def test_missing_fields(self) -> None:
        for name in WRONG:
            body = registration()
            del body[name]
            self.assertEqual(self.detail(body), f"{name} is missing")

    def test_wrong_types(self) -> None:
        for name in WRONG:
            value: Any
            for value in (0, 1.5, True, [], {}, ["a"], None):
                with self.subTest(name=name, value=value):
                    self.assertEqual(
                        self.detail(registration(**{name: value})), f"{name} must be text"
                    )

    def test_wrong_values(self) -> None:
        for name, values in WRONG.items():
            for value in values:
                with self.subTest(name=name, value=value):
                    self.assertIn(name, self.detail(registration(**{name: value})))

    def test_good_addresses(self) -> None:
        for url in (
            "https://c0ffee-3000.tunnel.example.com",
            "HTTP://localhost:8080/path?query#fragment",
            "tcp://tunnel.example.com:30000",
            "http://[::1]:8080/",
        ):
            self.assertEqual(parse(public_url=url).public_url, url)

    def test_a_hostname_is_written_one_way(self) -> None:
        self.assertEqual(parse(hostname="C0FFEE.Example.com.").hostname, "c0ffee.example.com")

    def test_only_active_tunnels(self) -> None:
        parse(status="active")
        for status in ("closed", "", 1, None):
            self.assertIn("status", self.detail(registration(status=status)))

    def test_wrong_times(self) -> None:
        value: Any
        for value in (
            "",
            "today",
            "2026-01-01T00:00:00",
            "2026-01-01",
            "2026-13-01T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
            0,
            [],
        ):
            with self.subTest(value=value):
                self.assertIn("connected_at", self.detail(registration(connected_at=value)))

    def test_other_fields_do_not_matter(self) -> None:
        self.assertEqual(parse(pid=1, owner="root"), parse())


class RegistrationsTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NEW_YEAR)
        self.live = StubTunnels()
        self.registrations = Registrations(self.live, self.clock)
        self.changes = 0
        self.unsubscribe = self.registrations.subscribe(self.changed)

    def changed(self) -> None:
        self.changes += 1

    def register(self, owner: str = "shared", **changes: Any) -> None:
        self.registrations.register(owner, parse(**changes))

    def clients(self) -> list[str]:
        return [row["client_id"] for row in self.registrations.rows()]

    def test_interface(self) -> None:
        verifyObject(ITunnels, self.registrations)

    def test_a_row(self) -> None:
        self.register()
        (row,) = self.registrations.rows()
        expected = {
            **registration(),
            "id": row["id"],
            "connected_at": "2026-01-01T00:00:00.000Z",
            "status": "active",
            "owner": "shared",
        }
        self.assertEqual(row, expected)
        self.assertEqual(self.changes, 1)

    def test_a_renewal_keeps_connected_at_and_takes_the_rest(self) -> None:
        self.register()
        self.clock.advance(30)
        self.register(hostname="new.tunnel.localhost", connected_at="2020-01-01T00:00:00Z")
        (row,) = self.registrations.rows()
        self.assertEqual(row["connected_at"], "2026-01-01T00:00:00.000Z")
        self.assertEqual(row["hostname"], "new.tunnel.localhost")
        self.assertEqual(self.changes, 2)

    def test_a_renewal_that_changes_nothing_is_no_change(self) -> None:
        self.register()
        self.clock.advance(30)
        self.register()
        self.assertEqual(self.changes, 1)

    def test_a_wrapper_may_say_since_when_but_not_from_the_future(self) -> None:
        self.register(client_id="a", connected_at="2025-06-01T14:00:00+02:00")
        self.register(client_id="b", connected_at="2999-01-01T00:00:00Z")
        self.assertEqual(
            [row["connected_at"] for row in self.registrations.rows()],
            ["2025-06-01T12:00:00.000Z", "2026-01-01T00:00:00.000Z"],
        )

    def test_one_that_is_not_renewed_is_gone_in_time(self) -> None:
        self.register()
        self.clock.advance(LIFETIME_SECONDS - 0.5)
        self.assertEqual((len(self.clients()), self.changes), (1, 1))
        self.clock.advance(0.5)
        self.assertEqual((self.clients(), self.changes), ([], 2))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_each_has_its_own_time(self) -> None:
        for client_id in ("a", "b", "c"):
            self.register(client_id=client_id)
            self.clock.advance(10)
        self.register(client_id="a")
        self.clock.pump([1] * 40)
        self.assertEqual(self.clients(), ["a", "c"])
        self.clock.pump([1] * 10)
        self.assertEqual(self.clients(), ["a"])
        self.clock.pump([1] * 9)
        self.assertEqual(self.clients(), ["a"])
        self.clock.pump([1])
        self.assertEqual(self.clients(), [])

    def test_one_renewed_in_time_stays_for_ever(self) -> None:
        for _ in range(20):
            self.register()
            self.clock.advance(LIFETIME_SECONDS - 1)
        self.assertEqual(len(self.clients()), 1)

    def test_after_its_end_it_starts_anew(self) -> None:
        self.register()
        self.clock.advance(LIFETIME_SECONDS)
        self.register()
        (row,) = self.registrations.rows()
        self.assertEqual(row["connected_at"], "2026-01-01T00:01:00.000Z")
        self.clock.advance(LIFETIME_SECONDS)
        self.assertEqual(self.clients(), [])

    def test_forgetting_takes_all_of_exactly_that_client(self) -> None:
        self.register(client_id="user-1", upstream="a")
        self.register(client_id="user-12")
        self.register(client_id="user-1", upstream="b")
        self.registrations.forget("shared", "user-1")
        self.assertEqual(self.clients(), ["user-12"])
        self.assertEqual(self.changes, 4)
        self.registrations.forget("shared", "user-1")
        self.assertEqual(self.changes, 4)

    def test_owners_do_not_touch_one_another(self) -> None:
        self.register("alice", hostname="a.example.com")
        self.register("bob", hostname="b.example.com")
        self.registrations.forget("bob", "claude-web-user-1")
        (row,) = self.registrations.rows()
        self.assertEqual((row["owner"], row["hostname"]), ("alice", "a.example.com"))

    def test_a_client_has_a_limit(self) -> None:
        for number in range(CLIENT_LIMIT):
            self.register(upstream=str(number))
        problem = self.assertRaises(Problem, self.register, upstream="one more")
        self.assertEqual(problem.status, 429)
        self.register(upstream="0")
        self.register(client_id="another")
        self.register("another owner")
        self.assertEqual(len(self.clients()), CLIENT_LIMIT + 2)

    def test_so_have_all_together(self) -> None:
        self.fill("shared", SHARED_LIMIT)
        users = (TOTAL_LIMIT - SHARED_LIMIT) // USER_LIMIT
        for number in range(users):
            self.fill(f"user-{number}", USER_LIMIT)
        problem = self.assertRaises(Problem, self.register, "one-more")
        self.assertEqual(problem.status, 429)
        self.assertIn(f"There are {TOTAL_LIMIT} already", str(problem.detail))
        self.registrations.forget("user-0", "client-0")
        self.register("one-more")

    def fill(self, owner: str, count: int) -> None:
        """Have an owner register so much, a client each."""
        one = parse()
        for number in range(count):
            self.registrations.register(owner, replace(one, client_id=f"client-{number}"))

    def test_so_has_an_owner(self) -> None:
        for owner, most in (("alice", USER_LIMIT), ("shared", SHARED_LIMIT)):
            self.fill(owner, most)
            problem = self.assertRaises(Problem, self.register, owner)
            self.assertEqual(problem.status, 429)
            self.register(owner, client_id="client-0")  # a renewal
            self.register("bob")
            self.registrations.forget(owner, "client-1")
            self.register(owner)
            self.assertRaises(Problem, self.register, owner, client_id="another")
        self.clock.advance(LIFETIME_SECONDS)
        self.assertEqual(self.clients(), [])
        self.register("alice")

    def test_those_of_users_that_are_removed(self) -> None:
        for owner in ("shared", "alice", "bob"):
            self.register(owner)
        self.registrations.keep_users({"bob"})
        self.assertEqual([row["owner"] for row in self.registrations.rows()], ["shared", "bob"])
        self.assertEqual(self.changes, 4)
        self.registrations.keep_users({"bob"})
        self.assertEqual(self.changes, 4)
        self.clock.advance(LIFETIME_SECONDS)
        self.assertEqual(self.clients(), [])

    def test_live_tunnels_come_first_and_win(self) -> None:
        self.register(client_id="abc", upstream="http://localhost:4000")
        self.register(client_id="abc", upstream="http://localhost:4001")
        self.live.show(live_row())
        self.assertEqual(
            [(row["hostname"], row["upstream"]) for row in self.registrations.rows()],
            [
                ("abc-4000.tunnel.localhost", "http://localhost:4000"),
                ("c0ffee-3000.tunnel.localhost", "http://localhost:4001"),
            ],
        )
        self.live.show()
        self.assertEqual(len(self.clients()), 2)
        self.assertEqual(self.changes, 4)

    def test_an_observer_that_fails_keeps_no_other_from_being_told(self) -> None:
        told: list[bool] = []
        self.registrations.subscribe(lambda: 1 / 0)  # type: ignore[arg-type]
        self.registrations.subscribe(lambda: told.append(True))
        self.register()
        self.assertEqual(told, [True])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_one_that_unsubscribed_is_told_nothing(self) -> None:
        self.unsubscribe()
        self.register()
        self.assertEqual(self.changes, 0)

    def test_stopping_leaves_nothing_behind(self) -> None:
        self.register()
        self.registrations.stop()
        self.assertEqual((self.clock.getDelayedCalls(), self.live.observers), ([], []))
