"""Which limits there are, and what is none."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from inletspy.policy.limits import Limits, check_limits, parse_limit
from inletspy.policy.tokens import SHARED, Owner
from inletspy.settings import Settings


class LimitsTests(SynchronousTestCase):
    def test_own_ones_in_place_of_others(self) -> None:
        limits = Limits(sessions=5, streams=7)
        self.assertEqual(limits.but({"sessions": 9}), Limits(sessions=9, streams=7))
        self.assertEqual(limits.but({"sessions": 0}), Limits(streams=7))
        self.assertIs(limits.but({}), limits)

    def test_what_makes_no_sense_is_left_out(self) -> None:
        """A row may hold what some other program wrote."""
        limits = Limits(sessions=5)
        value: Any
        for value in (-1, "9", None, True, 1.5, [], float("nan"), float("inf"), 1 << 80):
            self.assertIs(limits.but({"sessions": value, "else": 1}), limits)

    def test_written_on_a_command_line(self) -> None:
        for text, expected in (
            ("sessions=5", ("sessions", 5)),
            (" streams =0", ("streams", 0)),
            ("connections_per_second=0.5", ("connections_per_second", 0.5)),
        ):
            self.assertEqual(parse_limit(text), expected)
        for text, reason in (
            ("", "must be like"),
            ("sessions", "must be like"),
            ("sessions=", "must be like"),
            ("sessions=x", "must be like"),
            ("sessions=1.5", "whole"),
            ("sessions=-1", "from 0"),
            ("sessions=1e10", "from 0"),
            ("clients=1", "use sessions, services"),
        ):
            self.assertIn(reason, str(self.assertRaises(ValueError, parse_limit, text)))

    def test_as_an_object(self) -> None:
        self.assertEqual(check_limits({"sessions": 5.0}), {"sessions": 5})
        values: Any
        for values in ([], None, "sessions", {"sessions": "5"}, {"x": 1}):
            self.assertRaises(ValueError, check_limits, values)


class SettingTests(SynchronousTestCase):
    def settings(self, **rows: str) -> tuple[Settings, list[str]]:
        problems: list[str] = []
        settings = Settings.from_rows(dict(rows), problems.append)
        return settings, problems

    def test_a_few_of_them(self) -> None:
        """The others stay as they are."""
        settings, problems = self.settings(user_limits='{"sessions": 3}', shared_limits="{}")
        default = self.settings()[0]
        self.assertEqual(problems, [])
        self.assertEqual(settings.user_limits, default.user_limits.but({"sessions": 3}))
        self.assertEqual(settings.shared_limits, default.shared_limits)

    def test_what_is_wrong(self) -> None:
        for text, reason in (
            ("5", "must be a JSON object"),
            ('{"session": 5}', "is no limit"),
            ('{"sessions": "5"}', "must be a number"),
            ('{"sessions": true}', "must be a number"),
        ):
            settings, problems = self.settings(user_limits=text)
            self.assertIn(reason, problems[0])
            self.assertEqual(settings, self.settings()[0])

    def test_whose(self) -> None:
        settings: Any = self.settings(shared_limits='{"sessions": 7}')[0]
        self.assertEqual(settings.limits_of(SHARED).sessions, 7)
        self.assertEqual(settings.limits_of(Owner("alice", "alice")), settings.user_limits)
